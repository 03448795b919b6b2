//! What can keep the cloud from starting or running, and who has to act.
//!
//! It stands at the edge to the operator: each message names what was tried, on which thing, and what to do. Errors of
//! single connections and requests are no errors of this type; they end in an attempt record or an API answer.

use core::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use identity::{Blame, Explained};

/// The cloud cannot start or go on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A configuration value cannot be.
    Setting {
        /// Its key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it must look like.
        allowed: &'static str,
    },
    /// Somebody else listens there already.
    AddressTaken {
        /// Which listener.
        listener: &'static str,
        /// Where.
        address: SocketAddr,
    },
    /// The system does not let us listen there.
    Listen {
        /// Which listener.
        listener: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A file or directory could not be read or written.
    File {
        /// What was tried.
        action: &'static str,
        /// On which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the server's own identity is not what was once written there.
    Identity {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A certificate of the operator's file, or its key, cannot be used.
    ServerCertificate {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A certificate or key of the server's own could not be made.
    Issue(identity::Error),
    /// The TLS library does not take the server's own certificate.
    Tls(rustls::Error),
    /// The records cannot be opened.
    Store(store::Error),
    /// A thread or runtime could not be started.
    Thread(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting { key, value, allowed } => {
                write!(
                    f,
                    "the setting {key} cannot be \"{}\"; it must be {allowed}",
                    value.escape_debug()
                )
            }
            Self::AddressTaken { listener, address } => write!(
                f,
                "cannot listen for {listener} on {address}: the port is taken by another program; stop it, or choose \
                 another port (port 0 is any free one)"
            ),
            Self::Listen {
                listener, address, ..
            } => write!(f, "cannot listen for {listener} on {address}"),
            Self::File { action, path, .. } => {
                write!(
                    f,
                    "cannot {action} {}; check that it exists and may be written",
                    path.display()
                )
            }
            Self::Identity { path, what } => write!(
                f,
                "{} is not what this server wrote there: {what}; restore it from a copy, or move the whole data directory \
                 away to begin anew",
                path.display()
            ),
            Self::ServerCertificate { path, what } => write!(
                f,
                "cannot use {}, which [server_certificates] names: {what}; mend the file or take the entry out",
                path.display()
            ),
            Self::Issue(_) => f.write_str("cannot make the server's own certificates"),
            Self::Tls(_) => f.write_str("cannot use the server's own certificate for TLS"),
            Self::Store(error) => error.fmt(f),
            Self::Thread(_) => f.write_str("cannot start a thread of the server"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Setting { .. }
            | Self::AddressTaken { .. }
            | Self::Identity { .. }
            | Self::ServerCertificate { .. } => None,
            Self::Listen { source, .. } | Self::File { source, .. } | Self::Thread(source) => Some(source),
            Self::Issue(source) => Some(source),
            Self::Tls(source) => Some(source),
            // Its text is this error's own text.
            Self::Store(source) => source.source(),
        }
    }
}

impl Explained for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Setting { .. } => "cloud.config.value",
            Self::AddressTaken { .. } => "cloud.listen.taken",
            Self::Listen { .. } => "cloud.listen.refused",
            Self::File { .. } => "cloud.file",
            Self::Identity { .. } => "cloud.identity.file",
            Self::ServerCertificate { .. } => "cloud.server_certificate",
            Self::Issue(_) => "cloud.identity.issue",
            Self::Tls(_) => "cloud.identity.tls",
            Self::Store(error) => error.code(),
            Self::Thread(_) => "cloud.thread",
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::Setting { .. } => Blame::Peer,
            Self::AddressTaken { .. } | Self::Identity { .. } | Self::ServerCertificate { .. } => {
                Blame::State
            }
            Self::Store(error) => error.blame(),
            _ => Blame::Fault,
        }
    }
}
