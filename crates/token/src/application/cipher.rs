//! Encryption and decryption.
//!
//! How much comes out is told before the work is done; a call that only asks changes nothing.

use super::Application;
use crate::attribute::AttributeKind;
use crate::crypto::{Decrypt, Encrypt};
use crate::error::Error;
use crate::mechanism::{Abilities, Mechanism};
use crate::session::operation::{Running, end, ending, part, whole};

/// The same six functions for both directions.
macro_rules! cipher {
    ($with:ident, $place:ident, $does:expr, $usage:expr, $init:ident, $once:ident, $update:ident, $end:ident, $word:literal) => {
        impl Application {
            #[doc = concat!("Begins ", $word, ".")]
            pub fn $init(&self, session: u64, mechanism: &Mechanism, key: u64) -> Result<(), Error> {
                let session = self.session(session)?;
                if session.operations().$place.is_some() {
                    return Err(Error::OperationActive);
                }
                let usable = self.usable_key(&session, mechanism, key, $does, $usage)?;
                let with = $with::new(mechanism, &usable.key)?;
                session.operations().$place = Some(Running::new(with, usable.object, usable.asks_always));
                Ok(())
            }

            #[doc = concat!("The whole of ", $word, " at once. Without a buffer: how much comes out at most.")]
            pub fn $once(&self, session: u64, data: &[u8], out: Option<&mut [u8]>) -> Result<usize, Error> {
                let session = self.session(session)?;
                let mut operations = session.operations();
                let with = whole(&mut operations.$place)?;
                match out {
                    None => Ok(with.once_bytes(data.len())),
                    Some(out) => ending(&mut operations.$place, |with| with.once(data, out)),
                }
            }

            #[doc = concat!("The next part of ", $word, ". Without a buffer: how much comes out.")]
            pub fn $update(&self, session: u64, data: &[u8], out: Option<&mut [u8]>) -> Result<usize, Error> {
                let session = self.session(session)?;
                let mut operations = session.operations();
                match out {
                    None => Ok(end(&mut operations.$place)?.update_bytes(data.len())),
                    Some(out) => part(&mut operations.$place, |with| with.update(data, out)),
                }
            }

            #[doc = concat!("The end of ", $word, ". Without a buffer: how much comes out at most.")]
            pub fn $end(&self, session: u64, out: Option<&mut [u8]>) -> Result<usize, Error> {
                let session = self.session(session)?;
                let mut operations = session.operations();
                match out {
                    None => Ok(end(&mut operations.$place)?.finish_bytes()),
                    Some(out) => ending(&mut operations.$place, |with| with.finish(out)),
                }
            }
        }
    };
}

cipher!(
    Encrypt,
    encrypt,
    Abilities::ENCRYPT,
    AttributeKind::Encrypt,
    encrypt_init,
    encrypt,
    encrypt_update,
    encrypt_final,
    "an encryption"
);
cipher!(
    Decrypt,
    decrypt,
    Abilities::DECRYPT,
    AttributeKind::Decrypt,
    decrypt_init,
    decrypt,
    decrypt_update,
    decrypt_final,
    "a decryption"
);
