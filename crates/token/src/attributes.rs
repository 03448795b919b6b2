//! All that is public about one object: its attributes, each once, in the order of their numbers.
//!
//! The value of a sensitive attribute never comes in here: keys are opened by the backend when they are used.

use alloc::vec::Vec;

use crate::attribute::{Attribute, AttributeKind, Class, Value};
use crate::mechanism::{KeyType, MechanismType};

/// The attributes of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(Vec<Attribute<'static>>);

impl Attributes {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    fn place(&self, kind: AttributeKind) -> Result<usize, usize> {
        self.0.binary_search_by_key(&kind, |attribute| attribute.kind)
    }

    /// The value of one attribute.
    #[must_use]
    pub fn value(&self, kind: AttributeKind) -> Option<&Value<'static>> {
        let place = self.place(kind).ok()?;
        self.0.get(place).map(|attribute| &attribute.value)
    }

    /// Gives an attribute a value, whatever it had.
    pub fn set(&mut self, kind: AttributeKind, value: Value<'static>) {
        match self.place(kind) {
            Ok(place) => {
                if let Some(attribute) = self.0.get_mut(place) {
                    attribute.value = value;
                }
            }
            Err(place) => self.0.insert(place, Attribute { kind, value }),
        }
    }

    /// Gives an attribute a value if it has none.
    pub fn set_default(&mut self, kind: AttributeKind, value: Value<'static>) {
        if let Err(place) = self.place(kind) {
            self.0.insert(place, Attribute { kind, value });
        }
    }

    /// Takes an attribute away.
    pub fn remove(&mut self, kind: AttributeKind) -> Option<Value<'static>> {
        let place = self.place(kind).ok()?;
        Some(self.0.remove(place).value)
    }

    /// All of them, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Attribute<'static>> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a flag is there and true.
    #[must_use]
    pub fn flag(&self, kind: AttributeKind) -> bool {
        self.value(kind) == Some(&Value::Flag(true))
    }

    /// A number.
    #[must_use]
    pub fn number(&self, kind: AttributeKind) -> Option<u64> {
        self.value(kind).and_then(Value::as_number)
    }

    /// Bytes.
    #[must_use]
    pub fn bytes(&self, kind: AttributeKind) -> Option<&[u8]> {
        self.value(kind).and_then(Value::as_bytes)
    }

    /// Whether `CKA_ALLOWED_MECHANISMS` has this mechanism. None named means all.
    #[must_use]
    pub fn allows(&self, mechanism: MechanismType) -> bool {
        match self.value(AttributeKind::AllowedMechanisms) {
            Some(Value::Numbers(allowed)) => allowed.is_empty() || allowed.contains(&mechanism.number()),
            _ => true,
        }
    }

    /// `CKA_CLASS`.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        self.number(AttributeKind::Class).and_then(Class::from_number)
    }

    /// `CKA_KEY_TYPE`.
    #[must_use]
    pub fn key_type(&self) -> Option<KeyType> {
        self.number(AttributeKind::KeyType).and_then(KeyType::from_number)
    }
}

impl FromIterator<Attribute<'static>> for Attributes {
    fn from_iter<I: IntoIterator<Item = Attribute<'static>>>(attributes: I) -> Self {
        let mut all = Self::new();
        for Attribute { kind, value } in attributes {
            all.set(kind, value);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AttributeKind as A;

    #[test]
    fn each_attribute_is_there_once_in_the_order_of_numbers() {
        let mut all = Attributes::new();
        for kind in [A::Sign, A::Class, A::EcParams, A::Class] {
            all.set(kind, Value::Number(kind.number()));
        }
        all.set_default(A::Sign, Value::Flag(true));
        let kinds: Vec<_> = all.iter().map(|attribute| attribute.kind).collect();
        assert_eq!(kinds, [A::Class, A::Sign, A::EcParams]);
        assert_eq!(all.number(A::Sign), Some(0x108));
        assert_eq!(all.remove(A::Sign), Some(Value::Number(0x108)));
        assert_eq!(
            (all.value(A::Sign), all.flag(A::Sign), all.len()),
            (None, false, 2)
        );
    }
}
