//! Keys as ciphertext of other keys: a secret key's bytes or a private key's PKCS #8, encrypted.

use std::sync::Arc;
use std::vec::Vec;

use zeroize::Zeroizing;

use super::{Decrypt, Encrypt, Key};
use crate::error::Error;
use crate::mechanism::Abilities;
use crate::mechanism::parameters::Mechanism;

/// Wraps a key. A private key becomes its PKCS #8 first.
pub fn wrap(mechanism: &Mechanism, with: &Arc<Key>, target: &Key) -> Result<Vec<u8>, Error> {
    let value = target.secret()?.ok_or(Error::KeyNotWrappable)?;
    allowed(mechanism, Abilities::WRAP)?;
    let mut encrypt = Encrypt::new(mechanism, with)?;
    let mut wrapped = std::vec![0; encrypt.once_bytes(value.len())];
    let bytes = encrypt.once(&value, &mut wrapped).map_err(|error| match error {
        Error::DataLengthRange { .. } => Error::KeySizeRange,
        other => other,
    })?;
    wrapped.truncate(bytes);
    Ok(wrapped)
}

/// What was wrapped: bytes for [`super::Secret::new`], or a PKCS #8 for [`Key::from_pkcs8`].
pub fn unwrap(mechanism: &Mechanism, with: &Arc<Key>, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    allowed(mechanism, Abilities::UNWRAP)?;
    let mut decrypt = Decrypt::new(mechanism, with)?;
    let mut value = Zeroizing::new(std::vec![0; decrypt.once_bytes(wrapped.len())]);
    let bytes = decrypt.once(wrapped, &mut value).map_err(|error| match error {
        Error::EncryptedDataInvalid => Error::WrappedKeyInvalid,
        Error::EncryptedDataLengthRange | Error::DataLengthRange { .. } => Error::WrappedKeyLengthRange,
        other => other,
    })?;
    value.truncate(bytes);
    Ok(value)
}

/// Length of what [`wrap`] gives, at most.
pub fn wrapped_bytes(mechanism: &Mechanism, with: &Arc<Key>, target: &Key) -> Result<usize, Error> {
    let value = target.secret()?.ok_or(Error::KeyNotWrappable)?;
    allowed(mechanism, Abilities::WRAP)?;
    Ok(Encrypt::new(mechanism, with)?.once_bytes(value.len()))
}

const fn allowed(mechanism: &Mechanism, flag: u64) -> Result<(), Error> {
    if mechanism.kind().abilities().does(flag) {
        Ok(())
    } else {
        Err(Error::MechanismUnknown)
    }
}
