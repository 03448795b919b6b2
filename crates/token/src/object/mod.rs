//! An object: what is public about it, and the parsed key while somebody uses it.
//!
//! It answers attributes from memory. What it must never hold in its attributes is the value of a private or secret key.

pub(crate) mod change;
pub(crate) mod computed;
pub mod rules;

use core::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::vec::Vec;

use identity::certificate::Certificate;
use identity::key::PublicKey;
use zeroize::Zeroizing;

use crate::attribute::{Attribute, AttributeKind, Class, Value};
use crate::attributes::Attributes;
use crate::backend::Place;
use crate::crypto::Key;
use crate::error::Error;

/// Names an object for as long as it exists; never used again for another one in this process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(pub(crate) u64);

impl Handle {
    /// As C programs see it.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "object {}", self.0)
    }
}

/// Where an object lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// On the token.
    Token(Place),
    /// It says something about the token and is part of this library.
    Library,
    /// In memory, until this session is closed.
    Session(u64),
}

/// An object that a session may see.
pub struct Object {
    pub(crate) handle: Handle,
    pub(crate) home: Home,
    attributes: Arc<Attributes>,
    aliases: &'static [&'static str],
    /// Of a session object that is no key: its value, if it is private.
    value: Option<Zeroizing<Vec<u8>>>,
    key: RwLock<Option<Arc<Key>>>,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {:?}", self.handle, self.home, self.class())
    }
}

impl Object {
    pub(crate) fn new(
        handle: Handle,
        home: Home,
        attributes: Arc<Attributes>,
        aliases: &'static [&'static str],
    ) -> Self {
        Self {
            handle,
            home,
            attributes,
            aliases,
            value: None,
            key: RwLock::default(),
        }
    }

    /// A session object with what is secret about it.
    pub(crate) fn in_session(
        handle: Handle,
        session: u64,
        attributes: Attributes,
        key: Option<Arc<Key>>,
        value: Option<Zeroizing<Vec<u8>>>,
    ) -> Self {
        Self {
            value,
            key: RwLock::new(key),
            ..Self::new(handle, Home::Session(session), Arc::new(attributes), &[])
        }
    }

    /// The same object with other attributes.
    pub(crate) fn changed(&self, attributes: Arc<Attributes>) -> Self {
        Self {
            handle: self.handle,
            home: self.home,
            attributes,
            aliases: self.aliases,
            value: self.value.clone(),
            key: RwLock::new(self.cached_key()),
        }
    }

    pub(crate) fn cached_key(&self) -> Option<Arc<Key>> {
        self.key.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps a key that was opened, if that is still allowed; whoever was first wins.
    pub(crate) fn cache_key(&self, key: Arc<Key>, allowed: impl Fn() -> bool) -> Option<Arc<Key>> {
        let mut place = self.key.write().unwrap_or_else(PoisonError::into_inner);
        allowed().then(|| Arc::clone(place.get_or_insert(key)))
    }

    /// Forgets an opened key that can be opened again.
    pub(crate) fn forget_key(&self) {
        if matches!(self.home, Home::Token(_)) {
            *self.key.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    pub(crate) const fn session_value(&self) -> Option<&Zeroizing<Vec<u8>>> {
        self.value.as_ref()
    }

    /// What names it.
    #[must_use]
    pub const fn handle(&self) -> Handle {
        self.handle
    }

    /// Everything that is public about it.
    #[must_use]
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    pub(crate) const fn shared_attributes(&self) -> &Arc<Attributes> {
        &self.attributes
    }

    pub(crate) const fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }

    /// What it is. An object without class is data that nobody can use.
    #[must_use]
    pub fn class(&self) -> Class {
        self.attributes.class().unwrap_or(Class::Data)
    }

    /// What it is called; nothing if its label is no text.
    #[must_use]
    pub fn label(&self) -> &str {
        let label = self.attributes.bytes(AttributeKind::Label);
        label
            .and_then(|label| core::str::from_utf8(label).ok())
            .unwrap_or_default()
    }

    /// Whether only the logged-in user may see it.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.attributes.flag(AttributeKind::Private)
    }

    /// The certificate, if it is one.
    #[must_use]
    pub fn certificate(&self) -> Option<Certificate> {
        if self.class() != Class::Certificate {
            return None;
        }
        Certificate::parse(self.attributes.bytes(AttributeKind::Value)?).ok()
    }

    /// The public key of a key or of a certificate, as far as it is known.
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey> {
        PublicKey::from_spki_der(self.attributes.bytes(AttributeKind::PublicKeyInfo)?).ok()
    }

    /// The value of a public attribute. What may be told only of some keys, the application knows.
    pub fn attribute(&self, kind: AttributeKind) -> Result<Value<'_>, Error> {
        if let Some(value) = self.attributes.value(kind) {
            return Ok(value.clone());
        }
        if rules::is_secret(&self.attributes, kind) {
            return Err(Error::AttributeSensitive(kind));
        }
        Err(Error::AttributeTypeInvalid(kind))
    }

    /// Whether the object has every attribute of the template with exactly that value. A label may also be an alias.
    #[must_use]
    pub fn matches(&self, template: &[Attribute<'_>]) -> bool {
        template.iter().all(|wanted| {
            self.attributes
                .value(wanted.kind)
                .is_some_and(|value| *value == wanted.value)
                || (wanted.kind == AttributeKind::Label && self.answers_to(&wanted.value))
        })
    }

    fn answers_to(&self, label: &Value<'_>) -> bool {
        let mut aliases = self.aliases.iter();
        aliases.any(|alias| label.as_bytes() == Some(alias.as_bytes()))
    }

    /// Whether this is the object that was there before: what never changes is the same.
    pub(crate) fn is(&self, attributes: &Arc<Attributes>) -> bool {
        use AttributeKind as A;
        let same = |kind| self.attributes.value(kind) == attributes.value(kind);
        // A secure element may learn a public key later, from a certificate.
        let compatible = |kind| {
            let (ours, theirs) = (self.attributes.value(kind), attributes.value(kind));
            ours.is_none() || theirs.is_none() || ours == theirs
        };
        Arc::ptr_eq(&self.attributes, attributes)
            || ([A::Class, A::UniqueId].into_iter().all(same)
                && compatible(A::PublicKeyInfo)
                && (self.class() != Class::Certificate || same(A::Value)))
    }
}
