//! Objects: asked, made, changed, destroyed.

use std::sync::Arc;
use std::vec::Vec;

use zeroize::Zeroizing;

use super::{Application, Slot};
use crate::attribute::{Attribute, AttributeKind as A, Class, Value};
use crate::attributes::Attributes;
use crate::backend::{Damage, Draft, User};
use crate::crypto::Key;
use crate::error::Error;
use crate::material;
use crate::object::rules::Origin;
use crate::object::{Handle, Home, Object};
use crate::session::Open;
use crate::template::{Wanted, kind_of};

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
            Err(Error::AttributeSensitive(_)) if object.class() == Class::Data => {
                let session = self.session(session)?;
                self.value(&session, object)
            }
            other => other.map(Value::into_owned),
        }
    }

    /// The value of private data.
    fn value(&self, session: &Open, object: &Object) -> Result<Value<'static>, Error> {
        let slot = self.of(session)?;
        let value = match object.home {
            Home::Session(_) => object
                .session_value()
                .cloned()
                .ok_or(Error::ObjectHandleInvalid)?,
            Home::Token(place) => slot.token.backend().open_value(place)?,
        };
        Ok(Value::from(value.to_vec()))
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
        if !object.attributes().flag(A::Destroyable) {
            return Err(Error::ObjectProtected);
        }
        slot.token.destroy(&object)?;
        self.forget(open.slot, |used| used == object.handle);
        Ok(())
    }

    /// Changes attributes of an object.
    pub fn set_attributes(&self, session: u64, object: u64, template: &[Attribute<'_>]) -> Result<(), Error> {
        let open = self.session(session)?;
        let object = self.visible(&open, object)?;
        if matches!(object.home, Home::Token(_)) {
            open.check_writable()?;
        }
        let changes: Vec<_> = template.iter().cloned().map(Attribute::into_owned).collect();
        let slot = self.of(&open)?;
        slot.token.change(&object, &changes)
    }
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
fn created(mut wanted: Wanted) -> Result<Made, Error> {
    match wanted.class {
        Class::Data => {
            let value = if wanted.is_private() {
                let value = wanted.attributes.remove(A::Value);
                let bytes = value.as_ref().and_then(Value::as_bytes).unwrap_or_default();
                Some(Zeroizing::new(bytes.to_vec()))
            } else {
                None
            };
            let (mut attributes, _) = wanted.completed(None)?;
            if value.is_some() {
                attributes.remove(A::Value);
            }
            Ok(Made {
                attributes,
                key: None,
                value,
            })
        }
        Class::Certificate => {
            let der = wanted
                .attributes
                .bytes(A::Value)
                .ok_or(Error::TemplateIncomplete)?;
            identity::certificate::Certificate::parse(der).map_err(|_| Error::AttributeValueInvalid {
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
            material::describe(&key, &mut wanted.attributes);
            let (attributes, _) = wanted.completed(None)?;
            Ok(Made {
                attributes,
                key: Some(key),
                value: None,
            })
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
