//! The device's key over PKCS #11: found by label, used where it is.

use identity::certificate::Certificate;
use identity::der::Writer;

use crate::device_token::{DeviceToken, missing, private_key};
use crate::key::{DeviceKey, KeyError};
use crate::limits::CHAIN_CERTIFICATES_MAX;

/// What the device's objects are called in its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// The private key.
    pub key: String,
    /// Its certificate, and those above it.
    pub certificate: String,
    /// The root that servers must have.
    pub root: String,
}

impl Default for Labels {
    /// The names that FreeRTOS programs use.
    fn default() -> Self {
        Self {
            key: "Device Priv TLS Key".into(),
            certificate: "Device Cert".into(),
            root: "Root Cert".into(),
        }
    }
}

/// A device's identity in a token. The certificates are read once; the private key stays where it is.
#[derive(Debug)]
pub struct TokenKey<T: DeviceToken> {
    token: T,
    key: T::Key,
    chain: Vec<Vec<u8>>,
    anchor: Vec<u8>,
}

impl<T: DeviceToken> TokenKey<T> {
    /// Finds the identity with these labels.
    pub fn find(token: T, labels: &Labels) -> Result<Self, KeyError> {
        let key = private_key(&token, &labels.key)?;
        let mut chain = certificates(&token, &labels.certificate)?;
        chain.truncate(CHAIN_CERTIFICATES_MAX);
        check_belongs(&token, key, &chain, &labels.certificate)?;
        let anchor = certificates(&token, &labels.root)?.swap_remove(0);
        Ok(Self {
            token,
            key,
            chain,
            anchor,
        })
    }
}

/// At least one.
fn certificates<T: DeviceToken>(token: &T, label: &str) -> Result<Vec<Vec<u8>>, KeyError> {
    let found = token.certificates(label)?;
    if found.is_empty() {
        return Err(missing(token, label)?);
    }
    Ok(found)
}

/// A certificate for another key would only fail later, as a signature that the server refuses.
fn check_belongs<T: DeviceToken>(
    token: &T,
    key: T::Key,
    chain: &[Vec<u8>],
    label: &str,
) -> Result<(), KeyError> {
    let Some(public) = token.public_key(key)? else {
        return Ok(());
    };
    let device = chain.first().and_then(|der| Certificate::parse(der).ok());
    if device.is_some_and(|certificate| *certificate.public_key() == public) {
        return Ok(());
    }
    Err(KeyError::Mismatch { label: label.into() })
}

impl<T: DeviceToken> DeviceKey for TokenKey<T> {
    fn certificate_chain(&self) -> Vec<Vec<u8>> {
        self.chain.clone()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        signature_der(&self.token.sign(self.key, message)?)
    }

    fn trust_anchor(&self) -> Vec<u8> {
        self.anchor.clone()
    }
}

/// From PKCS #11's `r ‖ s` to the SEQUENCE of X.509 and TLS (RFC 3279 2.2.3).
pub(crate) fn signature_der(fixed: &[u8]) -> Result<Vec<u8>, KeyError> {
    let half = fixed.len() / 2;
    let halves = fixed
        .split_at_checked(half)
        .filter(|_| half * 2 == fixed.len() && half > 0);
    let (r, s) = halves.ok_or(KeyError::Malformed("a signature that is not two equal halves"))?;
    Ok(Writer::build(|writer| {
        writer.sequence(|signature| {
            signature.unsigned(r);
            signature.unsigned(s);
        });
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_become_sequences() {
        let mut fixed = [0; 64];
        (fixed[31], fixed[32]) = (5, 0x80);
        let der = signature_der(&fixed).unwrap();
        assert_eq!(der[..7], [0x30, 38, 2, 1, 5, 2, 33]);
        assert_eq!(der[7..9], [0, 0x80]);
        assert_eq!(
            signature_der(&[]),
            Err(KeyError::Malformed("a signature that is not two equal halves"))
        );
        assert!(signature_der(&[1; 63]).is_err());
    }
}
