//! Signatures: made and verified.
//!
//! What signs is taken out of the session first: no lock is held while a key works.

use std::vec::Vec;

use super::Application;
use crate::attribute::AttributeKind;
use crate::crypto::{Sign, Verify};
use crate::error::Error;
use crate::limits::SIGN_DATA_BYTES_MAX;
use crate::mechanism::{Abilities, Mechanism};
use crate::session::Open;
use crate::session::operation::{Running, part, room, whole};

impl Application {
    /// Begins a signature.
    pub fn sign_init(&self, session: u64, mechanism: &Mechanism, key: u64) -> Result<(), Error> {
        let session = self.session(session)?;
        if session.operations().sign.is_some() {
            return Err(Error::OperationActive);
        }
        let running = self.signing(&session, mechanism, key)?;
        session.operations().sign = Some(running);
        Ok(())
    }

    /// What is needed to sign with this key.
    fn signing(&self, session: &Open, mechanism: &Mechanism, key: u64) -> Result<Running<Sign>, Error> {
        let (object, key) = self.usable_key(session, mechanism, key, Abilities::SIGN, AttributeKind::Sign)?;
        Ok(Running::new(Sign::new(mechanism, &key)?, Some(object)))
    }

    /// Signs one message. Without a buffer: how long the signature is.
    pub fn sign(&self, session: u64, data: &[u8], out: Option<&mut [u8]>) -> Result<usize, Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        let needed = whole(&mut operations.sign)?.bytes();
        let Some(out) = room(out, needed)? else {
            return Ok(needed);
        };
        let running = operations.sign.take();
        drop(operations);
        running
            .ok_or(Error::OperationNotInitialized)?
            .with
            .sign(data, out)
    }

    /// The next part of what is to be signed.
    pub fn sign_update(&self, session: u64, data: &[u8]) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        part(&mut operations.sign, |sign| sign.update(data))
    }

    /// The signature over all parts.
    pub fn sign_final(&self, session: u64, out: Option<&mut [u8]>) -> Result<usize, Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        let running = operations.sign.as_ref().ok_or(Error::OperationNotInitialized)?;
        let needed = running.with.bytes();
        let Some(out) = room(out, needed)? else {
            return Ok(needed);
        };
        let running = operations.sign.take();
        drop(operations);
        running.ok_or(Error::OperationNotInitialized)?.with.finish(out)
    }

    /// A whole signature at once, beside whatever runs in the session.
    pub(crate) fn sign_at_once(
        &self,
        session: u64,
        mechanism: &Mechanism,
        key: u64,
        data: &[u8],
    ) -> Result<Vec<u8>, Error> {
        if data.len() > SIGN_DATA_BYTES_MAX {
            return Err(Error::DataLengthRange { found: data.len() });
        }
        let session = self.session(session)?;
        let mut sign = self.signing(&session, mechanism, key)?.with;
        let mut signature = std::vec![0; sign.bytes()];
        let bytes = sign.sign(data, &mut signature)?;
        signature.truncate(bytes);
        Ok(signature)
    }

    /// Begins a verification.
    pub fn verify_init(&self, session: u64, mechanism: &Mechanism, key: u64) -> Result<(), Error> {
        let session = self.session(session)?;
        if session.operations().verify.is_some() {
            return Err(Error::OperationActive);
        }
        let (object, key) =
            self.usable_key(&session, mechanism, key, Abilities::VERIFY, AttributeKind::Verify)?;
        let verify = Verify::new(mechanism, &key)?;
        session.operations().verify = Some(Running::new(verify, Some(object)));
        Ok(())
    }

    /// Verifies the signature of one message.
    pub fn verify(&self, session: u64, data: &[u8], signature: &[u8]) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        whole(&mut operations.verify)?;
        let running = operations.verify.take();
        drop(operations);
        running
            .ok_or(Error::OperationNotInitialized)?
            .with
            .verify(data, signature)
    }

    /// The next part of what was signed.
    pub fn verify_update(&self, session: u64, data: &[u8]) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        part(&mut operations.verify, |verify| verify.update(data))
    }

    /// Verifies the signature over all parts.
    pub fn verify_final(&self, session: u64, signature: &[u8]) -> Result<(), Error> {
        let session = self.session(session)?;
        let running = session.operations().verify.take();
        running
            .ok_or(Error::OperationNotInitialized)?
            .with
            .finish(signature)
    }
}
