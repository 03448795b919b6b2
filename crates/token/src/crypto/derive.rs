//! Keys from keys: Diffie-Hellman, HKDF, and what TLS 1.2 makes of its secrets.
//!
//! Each gives bytes; which type of key they become, and who may see it, is the core's business.

use std::sync::Arc;
use std::vec::Vec;

use identity::der::Reader;
use zeroize::Zeroizing;

use super::digest::Digest;
use super::mac::hmac;
use super::tls::{self, Base};
use super::{HardwareSecret, Key, Secret};
use crate::error::Error;
use crate::limits::{PARAMETER_BYTES_MAX, SECRET_BYTES_MAX};
use crate::mechanism::Hash;
use crate::mechanism::parameters::{EcdhParameters, HkdfParameters, HkdfSalt, Mechanism};

/// What was derived.
pub enum Derived {
    /// The value of one key; for `CKM_HKDF_DATA`, of an object of data.
    Value(Zeroizing<Vec<u8>>),
    /// A master secret, and the version that its premaster secret began with.
    Master {
        /// 48 bytes.
        secret: Zeroizing<Vec<u8>>,
        /// Major and minor, from RSA only.
        version: Option<(u8, u8)>,
    },
    /// The keys of a connection.
    KeyBlock(KeyBlock),
}

/// The keys of a TLS 1.2 connection (RFC 5246, 6.3).
pub struct KeyBlock {
    /// Authenticates what the client writes; empty if not asked for, as all others.
    pub client_mac: Zeroizing<Vec<u8>>,
    /// Authenticates what the server writes.
    pub server_mac: Zeroizing<Vec<u8>>,
    /// Encrypts what the client writes.
    pub client_key: Zeroizing<Vec<u8>>,
    /// Encrypts what the server writes.
    pub server_key: Zeroizing<Vec<u8>>,
    /// Begins what the client writes.
    pub client_iv: Vec<u8>,
    /// Begins what the server writes.
    pub server_iv: Vec<u8>,
}

/// Derives from `base`. `bytes` is what the template wants (`CKA_VALUE_LEN`, or what its type of key always has); `None` takes
/// all there is. `salt` is the key that [`HkdfSalt::Key`] names.
pub fn derive(
    mechanism: &Mechanism,
    base: &Key,
    salt: Option<&Key>,
    bytes: Option<usize>,
) -> Result<Derived, Error> {
    if bytes.is_some_and(|bytes| bytes == 0 || bytes > SECRET_BYTES_MAX) {
        return Err(Error::KeySizeRange);
    }
    match mechanism {
        Mechanism::Ecdh1(parameters) => agreed(parameters, base, bytes).map(Derived::Value),
        Mechanism::HkdfDerive(parameters) | Mechanism::HkdfData(parameters) => {
            hkdf(parameters, secret(base)?, salt, bytes).map(Derived::Value)
        }
        Mechanism::Tls12Master(parameters) => tls::master(parameters, Base::of(base)?),
        Mechanism::Tls12ExtendedMaster(parameters) => tls::extended_master(parameters, Base::of(base)?),
        Mechanism::Tls12KeyAndMac(parameters) => {
            tls::key_block(parameters, Base::of(base)?).map(Derived::KeyBlock)
        }
        Mechanism::Tls12Kdf(parameters) => {
            let bytes = bytes.ok_or(Error::TemplateIncomplete)?;
            tls::exported(parameters, Base::of(base)?, bytes).map(Derived::Value)
        }
        _ => Err(Error::MechanismUnknown),
    }
}

fn secret(key: &Key) -> Result<&Secret, Error> {
    match key {
        Key::Secret(secret) => Ok(secret),
        _ => Err(Error::KeyTypeInconsistent),
    }
}

/// Agrees on a secret, and makes a key of it (PKCS #11 v3.1, 6.3.17).
fn agreed(
    parameters: &EcdhParameters,
    base: &Key,
    bytes: Option<usize>,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    if parameters.kdf.is_none() && !parameters.shared.is_empty() {
        return Err(Error::MechanismParameterInvalid);
    }
    if parameters.shared.len() > PARAMETER_BYTES_MAX {
        return Err(Error::MechanismParameterInvalid);
    }
    let agreed = with_either(&parameters.public, |point| agree(base, point))?;
    match parameters.kdf {
        None => ending(&agreed, bytes),
        Some(hash) => {
            let bytes = bytes.unwrap_or(agreed.len());
            Ok(x963(hash, &agreed, &parameters.shared, bytes))
        }
    }
}

/// Agrees on the bare secret with a key in hardware and leaves it in the device; `None` if it can not stay there.
pub(crate) fn agree_inside(
    parameters: &EcdhParameters,
    base: &Key,
) -> Result<Option<Arc<dyn HardwareSecret>>, Error> {
    let Key::Hardware { device, curve } = base else {
        return Ok(None);
    };
    if parameters.kdf.is_some() || !parameters.shared.is_empty() {
        return Ok(None);
    }
    with_either(&parameters.public, |point| {
        let whole = super::EcPublic::new(*curve, point).map_err(|_| Error::MechanismParameterInvalid)?;
        device.agree_inside(*curve, whole.public().ec_point().unwrap_or(point))
    })
}

fn agree(base: &Key, point: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    match base {
        Key::EcPrivate(key) => key.agree(point),
        Key::X25519Private(key) => key.agree(point),
        Key::Hardware { device, curve } => {
            // The device gets whole points only, and none that is not on the curve.
            let whole = super::EcPublic::new(*curve, point).map_err(|_| Error::MechanismParameterInvalid)?;
            device.agree(*curve, whole.public().ec_point().unwrap_or(point))
        }
        _ => Err(Error::KeyTypeInconsistent),
    }
}

/// A point comes bare or in a DER OCTET STRING. A bare one that happens to look like the other is tried as it is, first.
fn with_either<T>(public: &[u8], then: impl Fn(&[u8]) -> Result<T, Error>) -> Result<T, Error> {
    let bare = then(public);
    match (&bare, Reader::whole(public, Reader::octets)) {
        (Err(Error::MechanismParameterInvalid), Ok(inside)) => then(inside),
        _ => bare,
    }
}

/// As many bytes as are wanted, from the end: PKCS #11 cuts a secret at its beginning.
fn ending(secret: &[u8], bytes: Option<usize>) -> Result<Zeroizing<Vec<u8>>, Error> {
    let bytes = bytes.unwrap_or(secret.len());
    let start = secret.len().checked_sub(bytes).ok_or(Error::KeySizeRange)?;
    Ok(Zeroizing::new(secret.get(start..).unwrap_or_default().to_vec()))
}

/// The key derivation function of ANSI X9.63 (SEC 1, 3.6.1).
fn x963(hash: Hash, secret: &[u8], shared: &[u8], bytes: usize) -> Zeroizing<Vec<u8>> {
    filled(bytes, hash.bytes(), |counter, _| {
        let mut digest = Digest::new(hash);
        digest.update(secret);
        digest.update(&counter.to_be_bytes());
        digest.update(shared);
        Ok(digest.value().as_ref().to_vec().into())
    })
    .unwrap_or_default()
}

/// Blocks one after the other until there are so many bytes; each block may be made of the one before.
fn filled(
    bytes: usize,
    block_bytes: usize,
    block: impl Fn(u32, &[u8]) -> Result<Zeroizing<Vec<u8>>, Error>,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut out = Zeroizing::new(Vec::with_capacity(bytes + block_bytes));
    let mut before = Zeroizing::new(Vec::new());
    let mut counter = 0;
    while out.len() < bytes {
        counter += 1;
        before = block(counter, &before)?;
        out.extend_from_slice(&before);
    }
    out.truncate(bytes);
    Ok(out)
}

/// HKDF (RFC 5869), either of its steps or both.
fn hkdf(
    parameters: &HkdfParameters,
    base: &Secret,
    salt: Option<&Key>,
    bytes: Option<usize>,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let hash = parameters.hash;
    let extracted = match &parameters.extract {
        None => None,
        // A key of HMAC is filled with zeros: none are as many as there should be.
        Some(HkdfSalt::Zeros) => Some(hmac(hash, &[], &[base.value()])?),
        Some(HkdfSalt::Bytes(salt)) => Some(hmac(hash, salt, &[base.value()])?),
        Some(HkdfSalt::Key(_)) => {
            let salt = secret(salt.ok_or(Error::MechanismParameterInvalid)?)?;
            Some(hmac(hash, salt.value(), &[base.value()])?)
        }
    };
    let key = extracted.as_ref().map_or_else(|| base.value(), AsRef::as_ref);
    match &parameters.expand {
        Some(info) => expand(hash, key, info, bytes.unwrap_or_else(|| hash.bytes())),
        // Only the first step: all of its output.
        None if extracted.is_none() => Err(Error::MechanismParameterInvalid),
        None if bytes.is_some_and(|bytes| bytes > key.len()) => Err(Error::KeySizeRange),
        None => Ok(Zeroizing::new(
            key.get(..bytes.unwrap_or(key.len())).unwrap_or_default().to_vec(),
        )),
    }
}

/// HKDF's second step (RFC 5869, 2.3).
fn expand(hash: Hash, key: &[u8], info: &[u8], bytes: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
    if bytes > 255 * hash.bytes() {
        return Err(Error::KeySizeRange);
    }
    filled(bytes, hash.bytes(), |counter, before| {
        let block = hmac(hash, key, &[before, info, &[counter as u8]])?;
        Ok(Zeroizing::new(block.as_ref().to_vec()))
    })
}
