//! How the command ends: exit codes, and the one place where an error becomes words on stderr.
//!
//! Every failure says what was tried, on which thing, and what to do; the cause chain is printed below it. It must never
//! print a secret, and foreign text is printed escaped.

use std::{error::Error, fmt, process::ExitCode};

/// Exit code of a run that did what was asked.
pub(crate) const DONE: u8 = 0;
/// Exit code of a run that was carried out and whose answer is "no": a count that does not match, a ledger that does
/// not verify, a request that the other side refused.
pub(crate) const REFUSED: u8 = 1;
/// Exit code of a command line or configuration that cannot be understood (clap uses the same).
pub(crate) const USAGE: u8 = 2;
/// Exit code of a fault outside the request: a port that is taken, a directory that cannot be written, a dead chip.
pub(crate) const FAULT: u8 = 3;

/// A failure on its way to the person who typed the command.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// The request was understood and answered with no.
    pub(crate) fn refused(what: impl Into<String>) -> Self {
        Self {
            code: REFUSED,
            what: what.into(),
            source: None,
        }
    }

    /// The command line or a configuration file is wrong.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self {
            code: USAGE,
            what: what.into(),
            source: None,
        }
    }

    /// Something outside the request is broken.
    pub(crate) fn fault(what: impl Into<String>) -> Self {
        Self {
            code: FAULT,
            what: what.into(),
            source: None,
        }
    }

    /// Adds the cause, which is printed beneath.
    pub(crate) fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Prints the failure on stderr and gives the exit code.
    #[expect(
        clippy::print_stderr,
        reason = "this is the edge where errors become words for a person"
    )]
    pub(crate) fn report(&self) -> ExitCode {
        eprintln!("birthmark: {}", escaped(&self.to_string()));
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        let mut cause = self.source.as_deref().map(|error| error as &dyn Error);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl Error for Failure {}

/// Gives any error its words: what was tried, and whose fault the failure is.
pub(crate) trait Context<T> {
    /// The failure is a fault of the world (exit code 3).
    fn fault(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
    /// The failure is a refusal (exit code 1).
    fn refused(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> Context<T> for Result<T, E> {
    fn fault(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::fault(what()).because(error))
    }

    fn refused(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::refused(what()).because(error))
    }
}

/// Foreign text, safe to print on a terminal: control characters, ANSI sequences and direction marks are escaped.
pub(crate) fn escaped(text: &str) -> String {
    let harmful = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if harmful(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Failure, escaped};

    #[test]
    fn a_failure_prints_its_causes_once() {
        let failure =
            Failure::fault("could not open the ledger").because(std::io::Error::other("disk on fire"));
        assert_eq!(failure.to_string(), "could not open the ledger: disk on fire");
    }

    #[test]
    fn terminal_sequences_are_escaped() {
        assert_eq!(escaped("a\u{1b}[31mred\u{202e}"), "a\\u{1b}[31mred\\u{202e}");
        assert_eq!(escaped("Ä ok\nnext"), "Ä ok\nnext");
    }
}
