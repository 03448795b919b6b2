//! Signatures and message authentication codes: made, and verified.
//!
//! One call for all data, or part by part. The result's length is known before any work. A buffer that is too small changes
//! nothing: the same call with a larger one succeeds.

use std::sync::Arc;
use std::vec::Vec;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use super::mac::{Code, MAC_BYTES_MAX, Mac};
use super::scheme::{Gathered, Scheme};
use super::{Key, Secret, fill, tls};
use crate::error::Error;
use crate::mechanism::parameters::{Mechanism, TlsMacParameters};

/// A signature that is being made.
pub struct Sign {
    with: With,
    bytes: usize,
}

/// A signature that is being verified.
pub struct Verify {
    with: With,
    bytes: usize,
}

enum With {
    Pair {
        key: Arc<Key>,
        scheme: Scheme,
        gathered: Gathered,
    },
    Mac(Mac),
    /// A Finished message of TLS, over the hash of the handshake.
    Finished {
        key: Arc<Key>,
        parameters: TlsMacParameters,
        handshake: Zeroizing<Vec<u8>>,
    },
}

impl With {
    fn new(mechanism: &Mechanism, key: &Arc<Key>) -> Result<(Self, usize), Error> {
        if let Some(mac) = mac(mechanism, key)? {
            let bytes = mac.bytes();
            return Ok((Self::Mac(mac), bytes));
        }
        if let Mechanism::TlsMac(parameters) = mechanism {
            tls::check_finished(parameters)?;
            secret(key)?;
            let finished = Self::Finished {
                key: Arc::clone(key),
                parameters: *parameters,
                handshake: Zeroizing::new(Vec::new()),
            };
            return Ok((finished, parameters.bytes));
        }
        let scheme = Scheme::of(mechanism)?;
        let bytes = scheme.signature_bytes(key)?;
        let pair = Self::Pair {
            key: Arc::clone(key),
            scheme,
            gathered: Gathered::Nothing,
        };
        Ok((pair, bytes))
    }

    fn update(&mut self, part: &[u8]) -> Result<(), Error> {
        match self {
            Self::Pair { scheme, gathered, .. } => gathered.update(*scheme, part),
            Self::Mac(mac) => mac.update(part),
            Self::Finished { handshake, .. } => {
                let found = handshake.len().saturating_add(part.len());
                if found > MAC_BYTES_MAX {
                    return Err(Error::DataLengthRange { found });
                }
                handshake.extend_from_slice(part);
                Ok(())
            }
        }
    }
}

/// The `verify_data` over this hash of the handshake.
fn finished(parameters: &TlsMacParameters, key: &Key, handshake: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    if handshake.len() != parameters.hash.bytes() {
        return Err(Error::DataLengthRange {
            found: handshake.len(),
        });
    }
    tls::finished(parameters, secret(key)?, handshake)
}

fn secret(key: &Key) -> Result<&Secret, Error> {
    match key {
        Key::Secret(secret) => Ok(secret),
        _ => Err(Error::KeyTypeInconsistent),
    }
}

/// The code that this mechanism makes with this key; `None` if it makes signatures.
fn mac(mechanism: &Mechanism, key: &Key) -> Result<Option<Mac>, Error> {
    match mechanism {
        Mechanism::Hmac { hash, bytes } => Mac::hmac(*hash, secret(key)?.value(), *bytes).map(Some),
        Mechanism::AesCmac { bytes } => Mac::cmac(secret(key)?, *bytes).map(Some),
        _ => Ok(None),
    }
}

fn code_of(mac: &Mac, data: &[u8]) -> Result<Code, Error> {
    let mut mac = mac.clone();
    mac.update(data)?;
    mac.finish()
}

impl Sign {
    /// With this mechanism and this private or secret key.
    pub fn new(mechanism: &Mechanism, key: &Arc<Key>) -> Result<Self, Error> {
        let (with, bytes) = With::new(mechanism, key)?;
        if key.is_public() {
            return Err(Error::KeyFunctionNotPermitted);
        }
        Ok(Self { with, bytes })
    }

    /// How long the signature will be.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    fn room(&self, out: &[u8]) -> Result<(), Error> {
        if out.len() < self.bytes {
            return Err(Error::BufferTooSmall { needed: self.bytes });
        }
        Ok(())
    }

    /// Signs all data at once (`C_Sign`). With a software key this allocates nothing of its own and takes no lock.
    pub fn sign(&mut self, data: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        self.room(out)?;
        match &self.with {
            With::Pair { key, scheme, .. } => scheme.with_input(data, |input| scheme.sign(key, input, out)),
            With::Mac(mac) => fill(out, code_of(mac, data)?.as_ref()),
            With::Finished { key, parameters, .. } => fill(out, &finished(parameters, key, data)?),
        }
    }

    /// The next part (`C_SignUpdate`).
    pub fn update(&mut self, part: &[u8]) -> Result<(), Error> {
        self.with.update(part)
    }

    /// The signature of all parts (`C_SignFinal`).
    pub fn finish(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        self.room(out)?;
        match &self.with {
            With::Pair {
                key,
                scheme,
                gathered,
            } => gathered.with_input(*scheme, |input| scheme.sign(key, input, out)),
            With::Mac(mac) => fill(out, mac.finish()?.as_ref()),
            With::Finished {
                key,
                parameters,
                handshake,
            } => fill(out, &finished(parameters, key, handshake)?),
        }
    }
}

impl Verify {
    /// With this mechanism and this public or secret key.
    pub fn new(mechanism: &Mechanism, key: &Arc<Key>) -> Result<Self, Error> {
        let (with, bytes) = With::new(mechanism, key)?;
        // Whether a key in hardware verifies, its device knows.
        let may = key.is_public() || matches!(**key, Key::Hardware { .. });
        if !may && matches!(with, With::Pair { .. }) {
            return Err(Error::KeyFunctionNotPermitted);
        }
        Ok(Self { with, bytes })
    }

    fn fits(&self, signature: &[u8]) -> Result<(), Error> {
        if signature.len() != self.bytes {
            return Err(Error::SignatureLengthRange);
        }
        Ok(())
    }

    /// Verifies all data at once (`C_Verify`).
    pub fn verify(&mut self, data: &[u8], signature: &[u8]) -> Result<(), Error> {
        self.fits(signature)?;
        match &self.with {
            With::Pair { key, scheme, .. } => {
                scheme.with_input(data, |input| scheme.verify(key, input, signature))
            }
            With::Mac(mac) => same(code_of(mac, data)?.as_ref(), signature),
            With::Finished { key, parameters, .. } => same(&finished(parameters, key, data)?, signature),
        }
    }

    /// The next part (`C_VerifyUpdate`).
    pub fn update(&mut self, part: &[u8]) -> Result<(), Error> {
        self.with.update(part)
    }

    /// Verifies all parts (`C_VerifyFinal`).
    pub fn finish(&mut self, signature: &[u8]) -> Result<(), Error> {
        self.fits(signature)?;
        match &self.with {
            With::Pair {
                key,
                scheme,
                gathered,
            } => gathered.with_input(*scheme, |input| scheme.verify(key, input, signature)),
            With::Mac(mac) => same(mac.finish()?.as_ref(), signature),
            With::Finished {
                key,
                parameters,
                handshake,
            } => same(&finished(parameters, key, handshake)?, signature),
        }
    }
}

/// Compares in constant time.
fn same(code: &[u8], signature: &[u8]) -> Result<(), Error> {
    verify_slices_are_equal(code, signature).map_err(|_| Error::SignatureInvalid)
}
