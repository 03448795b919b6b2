//! The device's key over PKCS #11: found by label, used through a session.

use identity::der::Writer;
use token::{Attribute, Class, Handle, Hash, Mechanism, Session};

use crate::key::{DeviceKey, KeyError};
use crate::limits::CHAIN_CERTIFICATES_MAX;

/// How a device signs.
pub(crate) const ECDSA_SHA256: Mechanism = Mechanism::Ecdsa(Some(Hash::Sha256));

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
pub struct TokenKey {
    session: Session,
    key: Handle,
    chain: Vec<Vec<u8>>,
    anchor: Vec<u8>,
}

impl TokenKey {
    /// Finds the identity with these labels.
    pub fn find(session: Session, labels: &Labels) -> Result<Self, KeyError> {
        let key = first(&session, Class::PrivateKey, &labels.key)?;
        let certificates = all(&session, Class::Certificate, &labels.certificate)?;
        let chain = certificates.into_iter().take(CHAIN_CERTIFICATES_MAX);
        let chain = chain
            .map(|handle| der(&session, handle))
            .collect::<Result<Vec<_>, _>>()?;
        check_belongs(&session, key, &chain, &labels.certificate)?;
        let anchor = der(&session, first(&session, Class::Certificate, &labels.root)?)?;
        Ok(Self {
            session,
            key,
            chain,
            anchor,
        })
    }
}

fn all(session: &Session, class: Class, label: &str) -> Result<Vec<Handle>, KeyError> {
    let found = session.find(&[Attribute::class(class), Attribute::label(label)])?;
    if !found.is_empty() {
        return Ok(found);
    }
    let damaged = session.damaged()?;
    let damage = damaged
        .into_iter()
        .find(|damage| damage.label == label)
        .map(|damage| damage.why);
    Err(KeyError::Missing {
        label: label.into(),
        damage,
    })
}

pub(crate) fn first(session: &Session, class: Class, label: &str) -> Result<Handle, KeyError> {
    all(session, class, label)?
        .first()
        .copied()
        .ok_or(KeyError::Malformed("a search found nothing and did not say so"))
}

fn der(session: &Session, certificate: Handle) -> Result<Vec<u8>, KeyError> {
    let object = session.object(certificate)?;
    let certificate = object
        .certificate()
        .ok_or(KeyError::Malformed("a certificate object without certificate"))?;
    Ok(certificate.der().to_vec())
}

/// A certificate for another key would only fail later, as a signature that the server refuses.
fn check_belongs(session: &Session, key: Handle, chain: &[Vec<u8>], label: &str) -> Result<(), KeyError> {
    let key = session.object(key)?;
    let Some(public) = key.public_key() else {
        return Ok(());
    };
    let device = chain
        .first()
        .and_then(|der| identity::certificate::Certificate::parse(der).ok());
    if device.is_some_and(|certificate| *certificate.public_key() == public) {
        return Ok(());
    }
    Err(KeyError::Mismatch { label: label.into() })
}

impl DeviceKey for TokenKey {
    fn certificate_chain(&self) -> Vec<Vec<u8>> {
        self.chain.clone()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        signature_der(&self.session.sign(self.key, &ECDSA_SHA256, message)?)
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
