//! Objects: asked, made, changed, destroyed.

use std::sync::Arc;
use std::vec::Vec;

use identity::certificate::Certificate;
use zeroize::Zeroizing;

use super::{Application, Slot};
use crate::attribute::{Attribute, AttributeKind as A, Class, Value};
use crate::attributes::Attributes;
use crate::backend::{Damage, Draft, User};
use crate::crypto::Key;
use crate::error::Error;
use crate::material;
use crate::object::change::{self, Deed};
use crate::object::rules::Origin;
use crate::object::{Handle, Home, Object};
use crate::session::Open;
use crate::template::{Wanted, kind_of, unique_id, value};

/// An object that is complete and has no home yet.
pub(super) struct Made {
    pub(super) attributes: Attributes,
    pub(super) key: Option<Key>,
    /// The value of private data.
    pub(super) value: Option<Zeroizing<Vec<u8>>>,
}

impl Application {
    /// The object behind a handle, if the session may see it.
    pub fn object(&self, session: u64, object: u64) -> Result<Arc<Object>, Error> {
        let session = self.session(session)?;
        self.visible(&session, object)
    }

    /// What is on the session's token but can not be used.
    pub fn damaged(&self, session: u64) -> Result<Vec<Damage>, Error> {
        let session = self.session(session)?;
        self.of(&session)?.token.damaged()
    }

    /// One attribute of an object, also one that is told only of some.
    pub fn attribute(&self, session: u64, object: &Object, kind: A) -> Result<Value<'static>, Error> {
        match object.attribute(kind) {
            Err(Error::AttributeSensitive(_)) => {
                let session = self.session(session)?;
                self.sealed(&session, object, kind)
            }
            other => other.map(Value::into_owned),
        }
    }

    /// What is sealed, for those who may have it: the value of private data, or a part of a key that is not sensitive and may
    /// leave the token.
    fn sealed(&self, session: &Open, object: &Object, kind: A) -> Result<Value<'static>, Error> {
        let slot = self.of(session)?;
        let attributes = object.attributes();
        let value = match (object.class(), object.home) {
            (Class::Data, Home::Token(place)) => slot.token.backend().open_value(place)?,
            (Class::Data, _) => object.session_value().cloned().unwrap_or_default(),
            _ if attributes.flag(A::Sensitive) || !attributes.flag(A::Extractable) => {
                return Err(Error::AttributeSensitive(kind));
            }
            _ => material::part(&*slot.token.key(object)?, kind)?,
        };
        Ok(Value::from(value.to_vec()))
    }

    /// How many bytes the object takes, about.
    pub fn object_size(&self, session: u64, object: u64) -> Result<usize, Error> {
        let session = self.session(session)?;
        let object = self.visible(&session, object)?;
        Ok(object.attributes().iter().map(size).sum())
    }

    /// Creates an object.
    pub fn create_object(&self, session: u64, template: &[Attribute<'_>]) -> Result<u64, Error> {
        let session = self.session(session)?;
        let slot = self.of(&session)?;
        let (class, key_type) = kind_of(template)?;
        let wanted = Wanted::read(template, Origin::Create, class, key_type)?;
        check_home(slot, &session, &wanted)?;
        let made = created(wanted)?;
        self.settle(slot, &session, made)
    }

    /// Gives an object its home: the token, or the session.
    pub(super) fn settle(&self, slot: &Slot, session: &Open, made: Made) -> Result<u64, Error> {
        if made.attributes.flag(A::Token) {
            let handles = slot.token.keep([draft(made)?].into())?;
            return handles.first().map(|handle| handle.0).ok_or(LOST);
        }
        Ok(self.settle_in_session(slot, session, made).0)
    }

    pub(super) fn settle_in_session(&self, slot: &Slot, session: &Open, made: Made) -> Handle {
        let handle = self.handles.next();
        let key = made.key.map(Arc::new);
        let object = Object::in_session(handle, session.handle, made.attributes, key, made.value);
        session.note_object();
        slot.token.table_mut().insert(object);
        handle
    }

    /// Destroys an object, and ends what uses it.
    pub fn destroy_object(&self, session: u64, object: u64) -> Result<(), Error> {
        let open = self.session(session)?;
        let object = self.visible(&open, object)?;
        let slot = self.of(&open)?;
        if matches!(object.home, Home::Token(_)) {
            open.check_writable()?;
        }
        if matches!(object.home, Home::Library) || !object.attributes().flag(A::Destroyable) {
            return Err(Error::ObjectProtected);
        }
        slot.token.destroy(&object)?;
        self.forget(open.slot, |used| used == object.handle);
        Ok(())
    }

    /// Changes attributes of an object: all, or none.
    pub fn set_attributes(&self, session: u64, object: u64, template: &[Attribute<'_>]) -> Result<(), Error> {
        let session = self.session(session)?;
        let object = self.visible(&session, object)?;
        let slot = self.of(&session)?;
        if matches!(object.home, Home::Token(_)) {
            session.check_writable()?;
        }
        let officer = slot.user() == Some(User::SecurityOfficer);
        change::check(object.attributes(), template, Deed::Set, officer)?;
        // The value of private data is sealed, and no backend changes what it has sealed.
        if object.class() == Class::Data && object.is_private() && value(template, A::Value).is_some() {
            return Err(Error::AttributeReadOnly);
        }
        let changes: Vec<_> = template.iter().cloned().map(Attribute::into_owned).collect();
        slot.token.change(&object, &changes)
    }

    /// Copies an object; the copy may have fewer rights.
    pub fn copy_object(&self, session: u64, object: u64, template: &[Attribute<'_>]) -> Result<u64, Error> {
        let session = self.session(session)?;
        let object = self.visible(&session, object)?;
        let slot = self.of(&session)?;
        let officer = slot.user() == Some(User::SecurityOfficer);
        change::check(object.attributes(), template, Deed::Copy, officer)?;
        let mut attributes = change::applied(object.attributes(), template);
        attributes.set(A::UniqueId, Value::from(unique_id()?));
        if attributes.flag(A::Token) {
            session.check_writable()?;
        }
        if attributes.flag(A::Private) && !slot.sees_private() {
            return Err(Error::UserNotLoggedIn);
        }
        let mut made = Made {
            attributes,
            key: None,
            value: None,
        };
        match object.class() {
            Class::PrivateKey | Class::SecretKey => {
                let secret = slot.token.key(&object)?.secret()?;
                let secret = secret.ok_or(Error::ObjectProtected)?;
                made.key = Some(material::kept(object.class(), &secret)?);
            }
            Class::Data if value(template, A::Value).is_some() => made.seal(None),
            Class::Data => made.seal(self.copied_value(slot, &object)?),
            _ => {}
        }
        self.settle(slot, &session, made)
    }

    /// The value of data that are copied, if it is sealed.
    fn copied_value(&self, slot: &Slot, object: &Object) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        match object.home {
            _ if !object.is_private() => Ok(None),
            Home::Token(place) => slot.token.backend().open_value(place).map(Some),
            _ => Ok(object.session_value().cloned()),
        }
    }
}

impl Made {
    /// Puts the value of data where it belongs: private ones are sealed.
    fn seal(&mut self, sealed: Option<Zeroizing<Vec<u8>>>) {
        if !self.attributes.flag(A::Private) {
            return;
        }
        let open = self.attributes.remove(A::Value);
        let open = open.as_ref().and_then(Value::as_bytes).unwrap_or_default();
        self.value = Some(sealed.unwrap_or_else(|| Zeroizing::new(open.to_vec())));
    }
}

fn size(attribute: &Attribute<'_>) -> usize {
    let value = match &attribute.value {
        Value::Flag(_) => 1,
        Value::Number(_) => 8,
        Value::Bytes(bytes) => bytes.len(),
        Value::Numbers(numbers) => 8 * numbers.len(),
        Value::Template(lines) => lines.iter().map(size).sum(),
    };
    8 + value
}

const LOST: Error = Error::General("an object that was made is not there");

/// Who may make such an object here.
pub(super) fn check_home(slot: &Slot, session: &Open, wanted: &Wanted) -> Result<(), Error> {
    if wanted.is_token() {
        session.check_writable()?;
    }
    if wanted.is_private() && !slot.sees_private() {
        return Err(Error::UserNotLoggedIn);
    }
    if wanted.attributes.flag(A::Trusted) && slot.user() != Some(User::SecurityOfficer) {
        return Err(Error::AttributeReadOnly);
    }
    Ok(())
}

/// An object from outside.
fn created(wanted: Wanted) -> Result<Made, Error> {
    match wanted.class {
        Class::Data => {
            let (attributes, _) = wanted.completed(None)?;
            let mut made = Made {
                attributes,
                key: None,
                value: None,
            };
            made.seal(None);
            Ok(made)
        }
        Class::Certificate => {
            let der = wanted
                .attributes
                .bytes(A::Value)
                .ok_or(Error::TemplateIncomplete)?;
            Certificate::parse(der).map_err(|_| Error::AttributeValueInvalid {
                kind: A::Value,
                why: "it is not a certificate in DER",
            })?;
            let (attributes, _) = wanted.completed(None)?;
            Ok(Made {
                attributes,
                key: None,
                value: None,
            })
        }
        Class::PublicKey | Class::PrivateKey | Class::SecretKey => {
            let key = material::import(&wanted)?;
            Made::from_outside(wanted, key)
        }
        Class::Profile => Err(Error::AttributeValueInvalid {
            kind: A::Class,
            why: "programs make no profiles",
        }),
    }
}

/// What a backend is to keep.
pub(super) fn draft(made: Made) -> Result<Draft, Error> {
    let secret = match &made.key {
        Some(key) => key.secret()?,
        None => made.value,
    };
    Ok(Draft {
        attributes: made.attributes,
        secret,
    })
}
