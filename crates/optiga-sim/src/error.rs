//! What can go wrong around the chips: their tray, and the authority that certifies them. What a chip itself refuses is an
//! answer on its bus, not an error here.

use core::fmt;
use std::io;
use std::path::PathBuf;

use identity::{Blame, Explained};

/// Why a tray cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    // State: the file is not what was asked for.
    /// The file is something else.
    NotATray {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer version.
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u16,
    },
    /// The tray exists and differs from what was asked for.
    Mismatch {
        /// The file.
        path: PathBuf,
        /// What differs, with both values.
        what: String,
    },
    /// Another process has the tray open.
    InUse {
        /// The file.
        path: PathBuf,
    },

    // Misuse: our own caller.
    /// More chips than a tray holds.
    TooManyChips {
        /// How many were asked for.
        asked: u32,
        /// How many there may be.
        limit: u32,
    },

    // Fault.
    /// The file has bytes that no tray ever wrote.
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the first record begins that cannot be read.
        at_byte: u64,
    },
    /// The file could not be opened, read or written.
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The authority of the simulated chips could not make a key or a certificate.
    Authority(&'static str),
}

impl Error {
    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::File { what, path, cause }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotATray { path } => write!(
                f,
                "cannot open {}: it is not a tray of simulated chips",
                path.display()
            ),
            Self::Newer { path, version } => {
                write!(
                    f,
                    "cannot open tray {}: it has version {version}, this program knows 1",
                    path.display()
                )
            }
            Self::Mismatch { path, what } => write!(f, "cannot open tray {}: {what}", path.display()),
            Self::InUse { path } => {
                write!(
                    f,
                    "cannot open tray {}: another process is using it",
                    path.display()
                )
            }
            Self::TooManyChips { asked, limit } => {
                write!(f, "cannot make a tray of {asked} chips: the limit is {limit}")
            }
            Self::Damaged { path, at_byte } => {
                write!(
                    f,
                    "cannot read tray {}: it is damaged at byte {at_byte}",
                    path.display()
                )
            }
            Self::File { what, path, .. } => write!(f, "cannot {what} tray {}", path.display()),
            Self::Authority(what) => write!(f, "the authority of the simulated chips cannot {what}"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::File { cause, .. } => Some(cause),
            _ => None,
        }
    }
}

impl Explained for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::NotATray { .. } => "chip.tray.foreign",
            Self::Newer { .. } => "chip.tray.newer",
            Self::Mismatch { .. } => "chip.tray.mismatch",
            Self::InUse { .. } => "chip.tray.in_use",
            Self::TooManyChips { .. } => "chip.tray.too_many",
            Self::Damaged { .. } => "chip.tray.damaged",
            Self::File { .. } => "chip.tray.file",
            Self::Authority(_) => "chip.authority",
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::NotATray { .. } | Self::Newer { .. } | Self::Mismatch { .. } | Self::InUse { .. } => {
                Blame::State
            }
            Self::TooManyChips { .. } => Blame::Misuse,
            Self::Damaged { .. } | Self::File { .. } | Self::Authority(_) => Blame::Fault,
        }
    }
}
