//! Data that are read from their signature: RSA backwards.

use super::Application;
use super::sign::check_recovers;
use crate::attribute::AttributeKind;
use crate::crypto::Encrypt;
use crate::error::Error;
use crate::mechanism::{Abilities, Mechanism};
use crate::session::operation::{Running, ending, whole};
use crate::session::recover::Recover;

impl Application {
    /// Begins to read data from a signature.
    pub fn verify_recover_init(&self, session: u64, mechanism: &Mechanism, key: u64) -> Result<(), Error> {
        let session = self.session(session)?;
        if session.operations().verify_recover.is_some() {
            return Err(Error::OperationActive);
        }
        check_recovers(mechanism)?;
        let usage = AttributeKind::VerifyRecover;
        let usable = self.usable_key(&session, mechanism, key, Abilities::VERIFY, usage)?;
        // The public function is the one that encrypts; the padding is looked at here.
        let with = Encrypt::new(&Mechanism::RsaX509, &usable.key)?;
        let recover = Recover::new(with, matches!(mechanism, Mechanism::RsaPkcs));
        session.operations().verify_recover = Some(Running::new(recover, usable.object, usable.asks_always));
        Ok(())
    }

    /// Reads them. Without a buffer: how long they are at most.
    pub fn verify_recover(
        &self,
        session: u64,
        signature: &[u8],
        out: Option<&mut [u8]>,
    ) -> Result<usize, Error> {
        let session = self.session(session)?;
        let mut operations = session.operations();
        let longest = whole(&mut operations.verify_recover)?.bytes(signature.len());
        match out {
            None => Ok(longest),
            Some(out) => ending(&mut operations.verify_recover, |recover| {
                recover.run(signature, out)
            }),
        }
    }
}
