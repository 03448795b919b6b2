//! Digests.

use super::Application;
use crate::attribute::Class;
use crate::crypto::{Digest, Key};
use crate::error::Error;
use crate::mechanism::Mechanism;
use crate::session::operation::{Running, end, ending, part, room, whole};

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
        operations.digest = Some(Running::keyless(Digest::new(*hash)));
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

    /// A secret key as the next part of the data.
    pub fn digest_key(&self, session: u64, key: u64) -> Result<(), Error> {
        let session = self.session(session)?;
        end(&mut session.operations().digest)?;
        let object = self.key_object(&session, key)?;
        let key = match object.class() {
            Class::SecretKey => self.of(&session)?.token.key(&object)?,
            _ => return Err(Error::KeyIndigestible),
        };
        let Key::Secret(secret) = &*key else {
            return Err(Error::KeyIndigestible);
        };
        part(&mut session.operations().digest, |digest| {
            digest.update(secret.value());
            Ok(())
        })
    }

    /// The digest of all parts.
    pub fn digest_final(&self, session: u64, out: Option<&mut [u8]>) -> Result<usize, Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        let needed = end(&mut operations.digest)?.bytes();
        match out {
            None => Ok(needed),
            Some(out) => ending(&mut operations.digest, |digest| digest.finish(out)),
        }
    }
}
