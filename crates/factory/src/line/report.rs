//! What became of each chip, and of all of them.

use std::{borrow::Cow, fmt};

use identity::{CertificateId, ThingName};
use optiga::Uid;

/// What became of one chip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The chip, if it could be asked.
    pub uid: Option<Uid>,
    /// Its name, if it has one.
    pub thing: Option<ThingName>,
    /// Its certificate, if it has one.
    pub certificate: Option<CertificateId>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of one chip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was new, and is complete.
    Made,
    /// It was begun before, and is complete now.
    Resumed,
    /// It was complete before.
    AlreadyDone,
    /// It is lost for this order.
    Scrapped(Reason),
    /// Nothing is wrong with it that is known: it may be put in again.
    Aside(Reason),
}

impl Outcome {
    /// Whether the chip is complete.
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Made | Self::Resumed | Self::AlreadyDone)
    }
}

/// Why a chip is not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The stable code.
    pub code: Cow<'static, str>,
    /// In words.
    pub text: String,
}

impl Reason {
    pub(super) fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            text: text.into(),
        }
    }

    /// As it stands in the ledger: code, colon, words.
    pub(super) fn from_ledger(line: &str) -> Self {
        let (code, text) = line.split_once(": ").unwrap_or(("", line));
        Self {
            code: code.to_owned().into(),
            text: text.into(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.text)
    }
}

/// How many chips became what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// New and complete.
    pub made: u64,
    /// Begun before, complete now.
    pub resumed: u64,
    /// Complete before.
    pub already_done: u64,
    /// Lost.
    pub scrapped: u64,
    /// To be put in again.
    pub aside: u64,
}

impl Report {
    /// Chips that are complete.
    pub const fn done(&self) -> u64 {
        self.made + self.resumed + self.already_done
    }

    pub(super) const fn count(&mut self, outcome: &Outcome) {
        let counter = match outcome {
            Outcome::Made => &mut self.made,
            Outcome::Resumed => &mut self.resumed,
            Outcome::AlreadyDone => &mut self.already_done,
            Outcome::Scrapped(_) => &mut self.scrapped,
            Outcome::Aside(_) => &mut self.aside,
        };
        *counter += 1;
    }
}
