//! Why the store could not do what was asked, grouped by who must act.

use core::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use fleet::batch::{Key, Relation};
use identity::{Blame, Explained};

/// A failure of the store. Cheap to clone: one fault may answer a whole group of batches.
#[derive(Debug, Clone)]
pub enum Error {
    /// The data directory cannot be used.
    Directory {
        /// Which.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        cause: Arc<std::io::Error>,
    },
    /// Another process uses the data directory.
    Locked {
        /// Which.
        path: PathBuf,
        /// The process that holds it, if it could be read.
        holder: Option<u32>,
    },
    /// The file was written by a newer version of this program.
    Newer {
        /// Which.
        path: PathBuf,
        /// The version in the file.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// The database engine failed.
    Database {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        cause: Arc<rusqlite::Error>,
    },
    /// A row holds what no version of this program writes.
    Corrupt {
        /// Where.
        place: &'static str,
        /// What is wrong.
        what: String,
    },
    /// The audit log does not fit together.
    BrokenChain {
        /// The first line that does not follow from the one before it.
        number: u64,
    },
    /// A batch is too large or writes one key twice: our own mistake.
    Batch {
        /// What is wrong.
        what: &'static str,
    },
    /// The writer thread has ended.
    Stopped,
}

impl Error {
    pub(crate) fn database(action: &'static str) -> impl Fn(rusqlite::Error) -> Self {
        move |cause| Self::Database {
            action,
            cause: Arc::new(cause),
        }
    }

    pub(crate) fn corrupt(place: &'static str, what: impl Into<String>) -> Self {
        Self::Corrupt {
            place,
            what: what.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { path, action, .. } => write!(f, "cannot {action} {}", path.display()),
            Self::Locked {
                path,
                holder: Some(pid),
            } => {
                write!(f, "data directory {} is in use by process {pid}", path.display())
            }
            Self::Locked { path, holder: None } => {
                write!(
                    f,
                    "data directory {} is in use by another process",
                    path.display()
                )
            }
            Self::Newer { path, found, known } => write!(
                f,
                "{} has data format {found}, newer than {known}, the newest this version knows: use a newer version of birthmark",
                path.display()
            ),
            Self::Database { action, .. } => write!(f, "the database failed to {action}"),
            Self::Corrupt { place, what } => write!(f, "the records are damaged: {place}: {what}"),
            Self::BrokenChain { number } => {
                write!(
                    f,
                    "the audit log was altered: line {number} does not follow from the one before it"
                )
            }
            Self::Batch { what } => write!(f, "a batch cannot be kept: {what}"),
            Self::Stopped => f.write_str("the store has been shut down"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Directory { cause, .. } => Some(cause.as_ref()),
            Self::Database { cause, .. } => Some(cause.as_ref()),
            _ => None,
        }
    }
}

impl Explained for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Directory { .. } => "store.directory",
            Self::Locked { .. } => "store.locked",
            Self::Newer { .. } => "store.newer",
            Self::Database { .. } => "store.database",
            Self::Corrupt { .. } => "store.corrupt",
            Self::BrokenChain { .. } => "store.audit.chain",
            Self::Batch { .. } => "store.batch",
            Self::Stopped => "store.stopped",
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::Batch { .. } => Blame::Misuse,
            Self::Locked { .. } | Self::Newer { .. } => Blame::State,
            _ => Blame::Fault,
        }
    }
}

/// The fact that did not hold when the batch was to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// The record under this key is not as the batch expects.
    Record(Key),
    /// More records stand in this relation than the batch allows.
    Relation(Relation),
    /// This counter would go higher than the batch allows.
    Tally(String),
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(key) => write!(f, "{key:?} was changed by somebody else"),
            Self::Relation(relation) => write!(f, "{relation:?} was changed by somebody else"),
            Self::Tally(name) => write!(f, "the counter {name} has reached its end"),
        }
    }
}

/// Why a batch was not kept. Nothing of it was written.
#[derive(Debug, Clone)]
pub enum CommitError {
    /// A fact changed since it was read: look again, decide again.
    Conflict(Conflict),
    /// Too many batches are waiting: try later.
    Overloaded,
    /// The store failed.
    Fault(Error),
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(conflict) => write!(f, "the batch was not kept: {conflict}"),
            Self::Overloaded => f.write_str("the batch was not kept: too many are waiting for the disk"),
            Self::Fault(fault) => write!(f, "the batch was not kept: {fault}"),
        }
    }
}

impl core::error::Error for CommitError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Fault(fault) => fault.source(),
            _ => None,
        }
    }
}

impl Explained for CommitError {
    fn code(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "store.conflict",
            Self::Overloaded => "store.overloaded",
            Self::Fault(fault) => fault.code(),
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::Conflict(_) => Blame::State,
            Self::Overloaded => Blame::Fault,
            Self::Fault(fault) => fault.blame(),
        }
    }
}
