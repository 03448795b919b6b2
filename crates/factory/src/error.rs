//! What can stop a factory, grouped by who has to act. A chip that fails does not: it is an outcome of the line, not an error.

use std::{fmt, io, path::PathBuf};

use identity::{Blame, Explained};

/// Why the factory did not do what was asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    // Peer: what was given is wrong.
    /// A name or number is not allowed.
    Term {
        /// Which.
        what: &'static str,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The registration code is not one.
    RegistrationCode,
    /// The trust anchor for the chips cannot be used.
    TrustAnchor {
        /// Why.
        why: &'static str,
    },

    // Refused: a rule says no.
    /// The ledger is not what was written.
    Tampered {
        /// The file.
        path: PathBuf,
        /// The byte at which it shows.
        at: u64,
        /// How it shows.
        why: &'static str,
    },
    /// Files with keys can be read by other users.
    Exposed {
        /// The file or directory.
        path: PathBuf,
    },
    /// The order would outlive the CA that signs it.
    OutlivesSigner,

    // State: something is missing, exists, or belongs to somebody else.
    /// There is no factory.
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There is a factory already.
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// The making of the factory was interrupted.
    Incomplete {
        /// Where.
        path: PathBuf,
    },
    /// The directory holds files of somebody else.
    Occupied {
        /// Where.
        path: PathBuf,
    },
    /// Another process has the factory open.
    Locked {
        /// Where.
        path: PathBuf,
    },
    /// The files come from a newer version of this program.
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The files do not belong together.
    Misplaced {
        /// The file that does not belong to the others.
        path: PathBuf,
    },
    /// The order exists with other terms.
    OtherTerms {
        /// The order.
        name: String,
    },
    /// The ledger holds this already.
    Duplicate {
        /// What is there already.
        what: String,
    },

    // Misuse: our caller.
    /// The line wants to record a step that does not follow from the one before.
    OutOfStep {
        /// The step.
        what: &'static str,
    },

    // Fault: disk, database, signer.
    /// A file operation failed.
    File {
        /// What was tried.
        trying: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The index of the ledger failed.
    Index(rusqlite::Error),
    /// An earlier write failed; the ledger must be opened again.
    Broken,
    /// A certificate, key or signature failed.
    Identity(identity::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Term { what, allowed } => write!(f, "{what} is not allowed: it must be {allowed}"),
            Self::RegistrationCode => {
                f.write_str("not a registration code: it must be 64 hexadecimal digits, as GetRegistrationCode gives it")
            }
            Self::TrustAnchor { why } => write!(f, "cannot write the server root into chips: {why}"),
            Self::Tampered { path, at, why } => write!(
                f,
                "{} was changed at byte {at}: {why}; restore it from a backup, nothing was written",
                path.display()
            ),
            Self::Exposed { path } => {
                write!(f, "{} can be read by other users: chmod go= it, and replace the keys if you must", path.display())
            }
            Self::OutlivesSigner => f.write_str(
                "cannot accept the order: its certificates would be valid for longer than the CA that signs them",
            ),
            Self::Missing { path } => write!(f, "there is no factory in {}: make one with factory init", path.display()),
            Self::Exists { path } => write!(f, "there is a factory in {} already", path.display()),
            Self::Incomplete { path } => {
                write!(f, "the factory in {} was made only in part: run factory init again", path.display())
            }
            Self::Occupied { path } => {
                write!(f, "cannot make a factory in {}: it holds other files; name a new directory", path.display())
            }
            Self::Locked { path } => write!(f, "the factory in {} is in use by another process", path.display()),
            Self::Newer { path, found, known } => write!(
                f,
                "{} comes from a newer version of this program (format {found}, known up to {known}): use that version",
                path.display()
            ),
            Self::Misplaced { path } => write!(f, "{} does not belong to this factory", path.display()),
            Self::OtherTerms { name } => {
                write!(f, "the order {name} exists with other terms (count, prefix): give it another name, or the same terms")
            }
            Self::Duplicate { what } => write!(f, "the ledger has this already: {what}"),
            Self::OutOfStep { what } => write!(f, "cannot record {what}: the step before it is not in the ledger"),
            Self::File { trying, path, .. } => write!(f, "cannot {trying} {}", path.display()),
            Self::Index(_) => f.write_str("the index of the ledger failed; if it stays so, remove ledger.sqlite: it is rebuilt"),
            Self::Broken => f.write_str("the ledger cannot be written since a write failed: open the factory again"),
            Self::Identity(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            Self::Index(source) => Some(source),
            Self::Identity(source) => source.source(),
            _ => None,
        }
    }
}

impl Explained for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Term { .. } => "factory.term",
            Self::RegistrationCode => "factory.registration_code",
            Self::TrustAnchor { .. } => "factory.trust_anchor",
            Self::Tampered { .. } => "factory.ledger.tampered",
            Self::Exposed { .. } => "factory.exposed",
            Self::OutlivesSigner => "factory.order.outlives_signer",
            Self::Missing { .. } => "factory.missing",
            Self::Exists { .. } => "factory.exists",
            Self::Incomplete { .. } => "factory.incomplete",
            Self::Occupied { .. } => "factory.occupied",
            Self::Locked { .. } => "factory.locked",
            Self::Newer { .. } => "factory.newer",
            Self::Misplaced { .. } => "factory.misplaced",
            Self::OtherTerms { .. } => "factory.order.other_terms",
            Self::Duplicate { .. } => "factory.ledger.duplicate",
            Self::OutOfStep { .. } => "factory.ledger.out_of_step",
            Self::File { .. } => "factory.file",
            Self::Index(_) => "factory.index",
            Self::Broken => "factory.ledger.broken",
            Self::Identity(error) => error.code(),
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::Term { .. } | Self::RegistrationCode | Self::TrustAnchor { .. } => Blame::Peer,
            Self::Tampered { .. } | Self::Exposed { .. } | Self::OutlivesSigner => Blame::Refused,
            Self::Missing { .. }
            | Self::Exists { .. }
            | Self::Incomplete { .. }
            | Self::Occupied { .. }
            | Self::Locked { .. }
            | Self::Newer { .. }
            | Self::Misplaced { .. }
            | Self::OtherTerms { .. }
            | Self::Duplicate { .. } => Blame::State,
            Self::OutOfStep { .. } => Blame::Misuse,
            Self::File { .. } | Self::Index(_) | Self::Broken => Blame::Fault,
            Self::Identity(error) => error.blame(),
        }
    }
}

impl From<identity::Error> for Error {
    fn from(error: identity::Error) -> Self {
        Self::Identity(error)
    }
}
