//! What a device remembers of its own refusals, so that `birthmark explain` works on its side of the wire, too.
//!
//! The cloud can tell why it refused a device; only the device can tell why it refused a server.

use std::{net::SocketAddr, path::Path};

use ::device::Error;
use fleet::{
    attempt::{Attempt, Kind, TraceId, Verdict},
    text::Text,
};
use identity::{Explained, Tenant};
use store::{Attempts, DataDirectory, LocalAttempts, wait};

use super::factory::now;
use crate::exit::{Context, Failure};

/// The attempts of the devices that live in one directory.
pub(crate) struct Log {
    attempts: LocalAttempts,
}

impl Log {
    /// Opens or makes the log.
    pub(crate) fn open(directory: &Path) -> Result<Self, Failure> {
        let what = || format!("could not keep the device's attempts in {}", directory.display());
        let directory = DataDirectory::open(directory).fault(what)?;
        Ok(Self {
            attempts: LocalAttempts::open(&directory).fault(what)?,
        })
    }

    /// Remembers why a connection came to nothing; readable when this returns.
    pub(crate) fn refused(&self, client_id: &str, server: SocketAddr, error: &Error) -> Result<(), Failure> {
        let mut trace = [0; 16];
        identity::crypto::random(&mut trace).fault(|| "the system gives no random bytes".to_owned())?;
        let mut attempt = Attempt::begin(TraceId(trace), Kind::Connect, Tenant::default(), now());
        attempt.peer = Some(server);
        attempt.client_id = Some(Text::short(client_id));
        attempt.thing = client_id.parse().ok();
        attempt.trail.failed("device.connect", chain(error));
        attempt.end(Verdict::Refused, error.code(), chain(error), hint(error));
        self.attempts.record(attempt);
        wait(self.attempts.flush()).fault(|| "could not write the device's attempts".to_owned())
    }
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn hint(error: &Error) -> &'static str {
    match error {
        Error::ServerNotTrusted(_) => {
            "if this server is the right one, the chip needs its root as trust anchor; if not, somebody stands in between"
        }
        Error::ClosedBeforeConnack(_) => {
            "ask the cloud: birthmark explain --data-dir <its data directory> last"
        }
        Error::Unreachable { .. } | Error::Resolve { .. } => "check the address, the port and the network",
        _ => "",
    }
}
