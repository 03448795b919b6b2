//! Keys that leave the token encrypted, and keys that come so.

use super::objects::{Made, check_home};
use super::{Application, Usable};
use crate::attribute::{Attribute, AttributeKind as A, Class, Value};
use crate::attributes::Attributes;
use crate::crypto::{Key, unwrap, wrap, wrapped_bytes};
use crate::error::Error;
use crate::material;
use crate::mechanism::{Abilities, Mechanism};
use crate::object::Object;
use crate::object::rules::Origin;
use crate::session::Open;
use crate::template::{Wanted, kind_of, merged};

impl Application {
    /// Encrypts a key with another. Without a buffer: how long it gets at most.
    pub fn wrap_key(
        &self,
        session: u64,
        mechanism: &Mechanism,
        with: u64,
        key: u64,
        out: Option<&mut [u8]>,
    ) -> Result<usize, Error> {
        let session = self.session(session)?;
        let wrapping = self
            .visible(&session, with)
            .map_err(|_| Error::WrappingKeyHandleInvalid)?;
        let target = self.key_object(&session, key)?;
        self.check_wraps(&wrapping, &target)?;
        let usable = self.usable_key(&session, mechanism, with, Abilities::WRAP, A::Wrap);
        let usable = usable.map_err(wrapping_words)?;
        let target = self.of(&session)?.token.key(&target)?;
        let Some(out) = out else {
            return wrapped_bytes(mechanism, &usable.key, &target);
        };
        let wrapped = wrap(mechanism, &usable.key, &target)?;
        let needed = wrapped.len();
        out.get_mut(..needed)
            .ok_or(Error::BufferTooSmall { needed })?
            .copy_from_slice(&wrapped);
        Ok(needed)
    }

    /// Whether this key may leave the token under that one.
    fn check_wraps(&self, wrapping: &Object, target: &Object) -> Result<(), Error> {
        let (with, key) = (wrapping.attributes(), target.attributes());
        if !matches!(target.class(), Class::PrivateKey | Class::SecretKey) {
            return Err(Error::KeyHandleInvalid);
        }
        if !with.flag(A::Wrap) {
            return Err(Error::KeyFunctionNotPermitted);
        }
        if !key.flag(A::Extractable) {
            return Err(Error::KeyUnextractable);
        }
        if key.flag(A::WrapWithTrusted) && !with.flag(A::Trusted) {
            return Err(Error::KeyNotWrappable);
        }
        if self.strict_roles && key.flag(A::Sensitive) && with.flag(A::Decrypt) {
            return Err(Error::KeyNotWrappable);
        }
        if !target.matches(template_of(with, A::WrapTemplate)) {
            return Err(Error::KeyNotWrappable);
        }
        Ok(())
    }

    /// A key from its encryption.
    pub fn unwrap_key(
        &self,
        session: u64,
        mechanism: &Mechanism,
        with: u64,
        wrapped: &[u8],
        template: &[Attribute<'_>],
    ) -> Result<u64, Error> {
        let session = self.session(session)?;
        let slot = self.of(&session)?;
        let unwrapping = self.unwrapping(&session, mechanism, with)?;
        let object = slot.token.object(unwrapping.object)?;
        let template = merged(template, template_of(object.attributes(), A::UnwrapTemplate))?;
        let (class, key_type) = kind_of(&template)?;
        if !matches!(class, Class::PrivateKey | Class::SecretKey) {
            return Err(Error::TemplateInconsistent(
                "only private and secret keys are unwrapped",
            ));
        }
        let wanted = Wanted::read(&template, Origin::Unwrap, class, key_type)?;
        check_home(slot, &session, &wanted)?;
        let value = unwrap(mechanism, &unwrapping.key, wrapped)?;
        let key = match class {
            Class::SecretKey => material::secret(key_type, wanted.attributes.number(A::ValueLength), &value),
            _ => material::kept(class, &value),
        };
        let key = key.map_err(|error| match error {
            Error::AttributeValueInvalid { .. } => Error::WrappedKeyInvalid,
            other => other,
        })?;
        if class == Class::PrivateKey && material::key_type(&key) != key_type {
            return Err(Error::WrappedKeyInvalid);
        }
        self.settle(slot, &session, Made::from_outside(wanted, key)?)
    }

    fn unwrapping(&self, session: &Open, mechanism: &Mechanism, key: u64) -> Result<Usable, Error> {
        let usable = self.usable_key(session, mechanism, key, Abilities::UNWRAP, A::Unwrap);
        usable.map_err(|error| match error {
            Error::KeyHandleInvalid => Error::UnwrappingKeyHandleInvalid,
            other => other,
        })
    }
}

fn wrapping_words(error: Error) -> Error {
    match error {
        Error::KeyHandleInvalid => Error::WrappingKeyHandleInvalid,
        other => other,
    }
}

/// The template that a key carries for others.
pub(super) fn template_of(attributes: &Attributes, kind: A) -> &[Attribute<'static>] {
    match attributes.value(kind) {
        Some(Value::Template(lines)) => lines,
        _ => &[],
    }
}

impl Made {
    /// A key that was not born here.
    pub(super) fn from_outside(mut wanted: Wanted, key: Key) -> Result<Self, Error> {
        material::describe(&key, &mut wanted.attributes)?;
        let (attributes, _) = wanted.completed(None)?;
        Ok(Self {
            attributes,
            key: Some(key),
            value: None,
        })
    }
}
