//! What a device asks of its token, whoever made that: our own in this process, or any vendor's module.

use identity::key::PublicKey;
use token::{Attribute, AttributeKind, Class, Handle, Hash, KeyPairTemplate, Mechanism, Session, Value};

use crate::key::KeyError;

/// How a device signs.
const ECDSA_SHA256: Mechanism = Mechanism::Ecdsa(Some(Hash::Sha256));

/// A token with private keys and certificates that have labels. A device never learns what it is made of.
pub trait DeviceToken: Send + Sync {
    /// How a private key is named between two calls.
    type Key: Copy + Send + Sync;

    /// The private keys with this label.
    fn private_keys(&self, label: &str) -> Result<Vec<Self::Key>, KeyError>;

    /// The public half of a private key, if the token knows it.
    fn public_key(&self, key: Self::Key) -> Result<Option<PublicKey>, KeyError>;

    /// Signs with ECDSA on P-256 over SHA-256: `r ‖ s`.
    fn sign(&self, key: Self::Key, message: &[u8]) -> Result<Vec<u8>, KeyError>;

    /// Generates a P-256 key that signs and never leaves the token. Keys that have the label are gone then.
    fn generate(&self, label: &str) -> Result<Self::Key, KeyError>;

    /// The certificates with this label, DER.
    fn certificates(&self, label: &str) -> Result<Vec<Vec<u8>>, KeyError>;

    /// Stores a certificate, of this key or of somebody else; those that had the label are gone then.
    fn store_certificate(&self, label: &str, der: &[u8], key: Option<Self::Key>) -> Result<(), KeyError>;

    /// Why something with this label is there and can not be used.
    fn damage(&self, _label: &str) -> Result<Option<&'static str>, KeyError> {
        Ok(None)
    }
}

/// The one private key that a label means.
pub(crate) fn private_key<T: DeviceToken>(token: &T, label: &str) -> Result<T::Key, KeyError> {
    let found = token.private_keys(label)?;
    found.first().copied().ok_or(missing(token, label)?)
}

/// What is told of a label under which there is nothing.
pub(crate) fn missing<T: DeviceToken>(token: &T, label: &str) -> Result<KeyError, KeyError> {
    let (label, damage) = (label.into(), token.damage(label)?);
    Ok(KeyError::Missing { label, damage })
}

fn named(session: &Session, class: Class, label: &str) -> Result<Vec<Handle>, KeyError> {
    Ok(session.find(&[Attribute::class(class), Attribute::label(label)])?)
}

/// The id by which a key, its public half and its certificate belong together.
fn id(session: &Session, key: Handle) -> Result<Value<'static>, KeyError> {
    Ok(session.attribute(key, AttributeKind::Id)?)
}

/// Destroys what a new object has taken the place of. On a secure element the place itself was written anew.
fn destroy(session: &Session, old: &[Handle], new: &[Handle]) -> Result<(), KeyError> {
    let there = session.find(&[])?;
    let gone = |handle: &&Handle| !new.contains(handle) && there.contains(handle);
    for handle in old.iter().filter(gone) {
        session.destroy(*handle)?;
    }
    Ok(())
}

impl DeviceToken for Session {
    type Key = Handle;

    fn private_keys(&self, label: &str) -> Result<Vec<Handle>, KeyError> {
        named(self, Class::PrivateKey, label)
    }

    fn public_key(&self, key: Handle) -> Result<Option<PublicKey>, KeyError> {
        Ok(self.object(key)?.public_key())
    }

    fn sign(&self, key: Handle, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        Ok(Self::sign(self, key, &ECDSA_SHA256, message)?)
    }

    fn generate(&self, label: &str) -> Result<Handle, KeyError> {
        let mut old = self.private_keys(label)?;
        for key in old.clone() {
            let id = Attribute::new(AttributeKind::Id, id(self, key)?);
            old.extend(self.find(&[Attribute::class(Class::PublicKey), id])?);
        }
        let template = KeyPairTemplate {
            overwrite: !old.is_empty(),
            ..KeyPairTemplate::signing(label)
        };
        let (public, private) = self.generate_key_pair(&template)?;
        destroy(self, &old, &[public, private])?;
        Ok(private)
    }

    fn certificates(&self, label: &str) -> Result<Vec<Vec<u8>>, KeyError> {
        let found = named(self, Class::Certificate, label)?;
        let der = |handle| {
            let object = self.object(handle)?;
            let certificate = object.certificate();
            let certificate =
                certificate.ok_or(KeyError::Malformed("a certificate object without certificate"))?;
            Ok(certificate.der().to_vec())
        };
        found.into_iter().map(der).collect()
    }

    fn store_certificate(&self, label: &str, der: &[u8], key: Option<Handle>) -> Result<(), KeyError> {
        let old = named(self, Class::Certificate, label)?;
        let mut template = vec![
            Attribute::class(Class::Certificate),
            Attribute::new(AttributeKind::Token, Value::Flag(true)),
            Attribute::label(label),
            Attribute::new(AttributeKind::Value, Value::bytes(der)),
        ];
        if let Some(key) = key {
            template.push(Attribute::new(AttributeKind::Id, id(self, key)?));
        }
        // On a secure element the old one must make room first; in files it goes when the new one is there.
        let new = match self.create(&template) {
            Err(token::Error::Occupied { .. }) => {
                destroy(self, &old, &[])?;
                self.create(&template)?
            }
            made => made?,
        };
        destroy(self, &old, &[new])
    }

    fn damage(&self, label: &str) -> Result<Option<&'static str>, KeyError> {
        let damaged = self.damaged()?;
        let found = damaged.into_iter().find(|damage| damage.label == label);
        Ok(found.map(|damage| damage.why))
    }
}
