//! Signatures: made and verified; and data that a signature carries.
//!
//! What signs is taken out of the session first: no lock is held while a key works.

use std::vec::Vec;

use super::Application;
use crate::attribute::AttributeKind;
use crate::crypto::{Sign, Verify};
use crate::error::Error;
use crate::limits::SIGN_DATA_BYTES_MAX;
use crate::mechanism::{Abilities, Mechanism, MechanismType};
use crate::session::Open;
use crate::session::operation::{Running, end, part, room, taken, whole};

impl Application {
    /// Begins a signature.
    pub fn sign_init(&self, session: u64, mechanism: &Mechanism, key: u64) -> Result<(), Error> {
        let session = self.session(session)?;
        if session.operations().sign.is_some() {
            return Err(Error::OperationActive);
        }
        let running = self.signing(&session, mechanism, key, AttributeKind::Sign)?;
        session.operations().sign = Some(running);
        Ok(())
    }

    /// What is needed to sign with this key.
    fn signing(
        &self,
        session: &Open,
        mechanism: &Mechanism,
        key: u64,
        usage: AttributeKind,
    ) -> Result<Running<Sign>, Error> {
        let usable = self.usable_key(session, mechanism, key, Abilities::SIGN, usage)?;
        let sign = Sign::new(mechanism, &usable.key)?;
        Ok(Running::new(sign, usable.object, usable.asks_always))
    }

    /// Signs one message. Without a buffer: how long the signature is.
    pub fn sign(&self, session: u64, data: &[u8], out: Option<&mut [u8]>) -> Result<usize, Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        let needed = whole(&mut operations.sign)?.bytes();
        let Some(out) = room(out, needed)? else {
            return Ok(needed);
        };
        let sign = taken(&mut operations.sign);
        drop(operations);
        sign?.sign(data, out)
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
        let needed = end(&mut operations.sign)?.bytes();
        let Some(out) = room(out, needed)? else {
            return Ok(needed);
        };
        let sign = taken(&mut operations.sign);
        drop(operations);
        sign?.finish(out)
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
        let mut sign = taken(&mut Some(self.signing(
            &session,
            mechanism,
            key,
            AttributeKind::Sign,
        )?))?;
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
        let usable = self.usable_key(&session, mechanism, key, Abilities::VERIFY, AttributeKind::Verify)?;
        let verify = Verify::new(mechanism, &usable.key)?;
        session.operations().verify = Some(Running::new(verify, usable.object, usable.asks_always));
        Ok(())
    }

    /// Verifies the signature of one message.
    pub fn verify(&self, session: u64, data: &[u8], signature: &[u8]) -> Result<(), Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        whole(&mut operations.verify)?;
        let verify = taken(&mut operations.verify);
        drop(operations);
        verify?.verify(data, signature)
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
        let verify = taken(&mut session.operations().verify);
        verify?.finish(signature)
    }

    // Signatures that carry their data.

    /// Begins a signature from which the data can be read again.
    pub fn sign_recover_init(&self, session: u64, mechanism: &Mechanism, key: u64) -> Result<(), Error> {
        let session = self.session(session)?;
        if session.operations().sign_recover.is_some() {
            return Err(Error::OperationActive);
        }
        check_recovers(mechanism)?;
        let running = self.signing(&session, mechanism, key, AttributeKind::SignRecover)?;
        session.operations().sign_recover = Some(running);
        Ok(())
    }

    /// Makes it. Without a buffer: how long it is.
    pub fn sign_recover(&self, session: u64, data: &[u8], out: Option<&mut [u8]>) -> Result<usize, Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        let needed = whole(&mut operations.sign_recover)?.bytes();
        let Some(out) = room(out, needed)? else {
            return Ok(needed);
        };
        let sign = taken(&mut operations.sign_recover);
        drop(operations);
        sign?.sign(data, out)
    }
}

/// Only the mechanisms that hash nothing leave the data in the signature.
pub(super) fn check_recovers(mechanism: &Mechanism) -> Result<(), Error> {
    match mechanism {
        Mechanism::RsaPkcs | Mechanism::RsaX509 => Ok(()),
        other => Err(Error::MechanismInvalid(MechanismType::clone(&other.kind()))),
    }
}
