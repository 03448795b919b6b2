//! Digests.

use super::Application;
use crate::crypto::Digest;
use crate::error::Error;
use crate::mechanism::Mechanism;
use crate::session::operation::{Running, part, room, whole};

impl Application {
    /// Begins a digest.
    pub fn digest_init(&self, session: u64, mechanism: &Mechanism) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        if operations.digest.is_some() {
            return Err(Error::OperationActive);
        }
        let Mechanism::Digest(hash) = mechanism else {
            return Err(Error::MechanismInvalid(mechanism.kind()));
        };
        operations.digest = Some(Running::new(Digest::new(*hash), None));
        Ok(())
    }

    /// The digest of one message. Without a buffer: how long it is.
    pub fn digest(&self, session: u64, data: &[u8], out: Option<&mut [u8]>) -> Result<usize, Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        let digest = whole(&mut operations.digest)?;
        let needed = digest.bytes();
        let Some(out) = room(out, needed)? else {
            return Ok(needed);
        };
        digest.update(data);
        let done = digest.finish(out);
        operations.digest = None;
        done
    }

    /// The next part of the data.
    pub fn digest_update(&self, session: u64, data: &[u8]) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        part(&mut operations.digest, |digest| {
            digest.update(data);
            Ok(())
        })
    }

    /// The digest of all parts.
    pub fn digest_final(&self, session: u64, out: Option<&mut [u8]>) -> Result<usize, Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        let running = operations.digest.as_mut().ok_or(Error::OperationNotInitialized)?;
        let needed = running.with.bytes();
        let Some(out) = room(out, needed)? else {
            return Ok(needed);
        };
        let done = running.with.finish(out);
        operations.digest = None;
        done
    }
}
