//! What went wrong, as one line for a person.
//!
//! A tool for developers needs no error codes: it stops at the first thing it cannot do and says which thing that was.

use std::fmt;

/// The result of everything that can go wrong here.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// One line: what was tried, on which thing, and why it did not work.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says what was being tried when an error came up.
pub(crate) trait Trying<T> {
    /// Turns the error into `"{what}: {error}"`.
    fn trying(self, what: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T, E: fmt::Display> Trying<T> for Result<T, E> {
    fn trying(self, what: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|error| Failure::new(format!("{}: {error}", what())))
    }
}
