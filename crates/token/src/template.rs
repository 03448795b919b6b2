//! From what a program asks for to everything that an object is, or the right error (PKCS #11 v3.1, 4.1).
//!
//! Secret parts of a key are taken out here: they go to the crypto, never into the attributes.

use std::vec::Vec;

use zeroize::Zeroizing;

use crate::attribute::{Attribute, AttributeKind, AttributeKind as A, Class, Value};
use crate::attributes::Attributes;
use crate::error::Error;
use crate::limits::{TEMPLATE_ATTRIBUTES_MAX, UNAVAILABLE};
use crate::mechanism::KeyType;
use crate::object::computed::complete;
use crate::object::rules::{self, Given, Origin, Rule, check_value};

/// A secret part of a key, as a program gave it.
pub(crate) type Part = (AttributeKind, Zeroizing<Vec<u8>>);

/// An object that is being made.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) class: Class,
    pub(crate) key_type: Option<KeyType>,
    /// What the program said and may say.
    pub(crate) attributes: Attributes,
    pub(crate) parts: Vec<Part>,
    origin: Origin,
}

/// Which object a template speaks of: its class, and of keys the type.
pub(crate) fn kind_of(template: &[Attribute<'_>]) -> Result<(Class, Option<KeyType>), Error> {
    let number = number(template, A::Class)?.ok_or(Error::TemplateIncomplete)?;
    let class = Class::from_number(number).ok_or(Error::AttributeValueInvalid {
        kind: A::Class,
        why: "there are no objects of this class",
    })?;
    let key = match class {
        Class::PublicKey | Class::PrivateKey | Class::SecretKey => Some(key_type_of(template)?),
        _ => None,
    };
    Ok((class, key))
}

fn key_type_of(template: &[Attribute<'_>]) -> Result<KeyType, Error> {
    match number(template, A::KeyType)? {
        // Programs that know only one kind of curve leave it out.
        None if value(template, A::EcParams).is_some() => Ok(KeyType::Ec),
        None => Err(Error::TemplateIncomplete),
        Some(number) => KeyType::from_number(number).ok_or(Error::AttributeValueInvalid {
            kind: A::KeyType,
            why: "there are no keys of this type",
        }),
    }
}

impl Wanted {
    /// Reads a template for an object of this kind.
    pub(crate) fn read(
        template: &[Attribute<'_>],
        origin: Origin,
        class: Class,
        key_type: Option<KeyType>,
    ) -> Result<Self, Error> {
        if template.len() > TEMPLATE_ATTRIBUTES_MAX {
            return Err(Error::ArgumentsBad("too many attributes in one template"));
        }
        let mut wanted = Self {
            class,
            key_type,
            attributes: Attributes::new(),
            parts: Vec::new(),
            origin,
        };
        for attribute in template {
            wanted.take(attribute)?;
        }
        wanted.say(A::Class, class.number())?;
        if let Some(key_type) = key_type {
            wanted.say(A::KeyType, key_type.number())?;
        }
        wanted.check_needs()?;
        Ok(wanted)
    }

    fn take(&mut self, attribute: &Attribute<'_>) -> Result<(), Error> {
        check_value(attribute)?;
        let kind = attribute.kind;
        if self.attributes.value(kind).is_some() || self.parts.iter().any(|(known, _)| *known == kind) {
            return Err(Error::TemplateInconsistent("an attribute is there twice"));
        }
        let Some(rule) = rules::find(self.class, self.key_type, kind) else {
            return self.take_foreign(attribute);
        };
        self.check_giver(rule, attribute)?;
        match &attribute.value {
            Value::Bytes(bytes) if rule.secret => self.parts.push((kind, Zeroizing::new(bytes.to_vec()))),
            value => self.attributes.set(kind, value.clone().into_owned()),
        }
        Ok(())
    }

    /// An attribute that such objects do not have: a use that is not wanted is no harm, and some programs describe the public
    /// half in a private key's template.
    fn take_foreign(&self, attribute: &Attribute<'_>) -> Result<(), Error> {
        let half =
            self.class == Class::PrivateKey && self.origin == Origin::Create && attribute.kind == A::EcPoint;
        if half || attribute.value == Value::Flag(false) {
            return Ok(());
        }
        Err(Error::TemplateInconsistent(
            "an attribute that an object of this kind can not have",
        ))
    }

    fn check_giver(&self, rule: &Rule, attribute: &Attribute<'_>) -> Result<(), Error> {
        let made_from_key = matches!(self.origin, Origin::Generate | Origin::Derive | Origin::Unwrap);
        match rule.given {
            Given::Nobody => Err(Error::AttributeReadOnly),
            Given::Part | Given::CreatorMay if made_from_key => Err(Error::TemplateInconsistent(
                "a part of a key that is not made yet",
            )),
            Given::Generator if self.origin == Origin::Create && self.class != Class::SecretKey => Ok(()),
            _ if attribute.value.shape() != rule.kind.shape() => Err(Error::AttributeValueInvalid {
                kind: rule.kind,
                why: "it is of another shape",
            }),
            _ => Ok(()),
        }
    }

    /// A number that is known already: the template may say the same or nothing.
    fn say(&mut self, kind: AttributeKind, number: u64) -> Result<(), Error> {
        match self.attributes.number(kind) {
            Some(said) if said != number => Err(Error::TemplateInconsistent(
                "another class or key type than what is made here",
            )),
            _ => {
                self.attributes.set(kind, Value::Number(number));
                Ok(())
            }
        }
    }

    fn check_needs(&self) -> Result<(), Error> {
        let is_needed = |rule: &&Rule| match rule.given {
            Given::Creator | Given::Part => self.origin == Origin::Create,
            Given::Maker => matches!(self.origin, Origin::Create | Origin::Generate),
            _ => false,
        };
        let given = |rule: &Rule| {
            self.attributes.value(rule.kind).is_some()
                || self.parts.iter().any(|(kind, _)| *kind == rule.kind)
        };
        let mut needed = rules::all(self.class, self.key_type).filter(is_needed);
        if needed.all(given) {
            Ok(())
        } else {
            Err(Error::TemplateIncomplete)
        }
    }

    /// A part of the key.
    pub(crate) fn part(&self, kind: AttributeKind) -> Option<&[u8]> {
        let mut parts = self.parts.iter();
        parts
            .find(|(known, _)| *known == kind)
            .map(|(_, value)| value.as_slice())
    }

    /// Whether it is to outlive the session.
    pub(crate) fn is_token(&self) -> bool {
        self.attributes.flag(A::Token)
    }

    /// Whether it is to be seen only after login.
    pub(crate) fn is_private(&self) -> bool {
        let default = rules::find(self.class, self.key_type, A::Private).and_then(Rule::default);
        match self.attributes.value(A::Private) {
            Some(said) => *said == Value::Flag(true),
            None => default.is_some_and(|default| default.value == Value::Flag(true)),
        }
    }

    /// Everything that the object is: what was said, what follows from it, and the defaults. `made_by` is the mechanism of a key
    /// that was generated.
    pub(crate) fn completed(mut self, made_by: Option<u64>) -> Result<(Attributes, Vec<Part>), Error> {
        let attributes = &mut self.attributes;
        attributes.set(A::UniqueId, Value::from(unique_id()?));
        complete(attributes);
        if matches!(
            self.class,
            Class::PublicKey | Class::PrivateKey | Class::SecretKey
        ) {
            attributes.set(A::Local, Value::Flag(made_by.is_some()));
            let mechanism = made_by.unwrap_or(UNAVAILABLE);
            attributes.set(A::KeyGenMechanism, Value::Number(mechanism));
        }
        if matches!(self.class, Class::PrivateKey | Class::SecretKey) {
            let born_here = made_by.is_some();
            let always = born_here && attributes.flag(A::Sensitive);
            let never = born_here && !attributes.flag(A::Extractable);
            attributes.set(A::AlwaysSensitive, Value::Flag(always));
            attributes.set(A::NeverExtractable, Value::Flag(never));
        }
        Ok((self.attributes, self.parts))
    }
}

/// Thirty-two digits that no other object has.
pub(crate) fn unique_id() -> Result<Vec<u8>, Error> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Error::General("the random source failed"))?;
    let digits = random.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    Ok(digits
        .map(|digit| char::from_digit(digit.into(), 16).map_or(b'0', |digit| digit as u8))
        .collect())
}

/// One line of a template.
pub(crate) fn value<'a>(template: &'a [Attribute<'_>], kind: AttributeKind) -> Option<&'a Value<'a>> {
    let mut lines = template.iter();
    lines
        .find(|attribute| attribute.kind == kind)
        .map(|attribute| &attribute.value)
}

fn number(template: &[Attribute<'_>], kind: AttributeKind) -> Result<Option<u64>, Error> {
    match value(template, kind) {
        None => Ok(None),
        Some(Value::Number(number)) => Ok(Some(*number)),
        Some(_) => Err(Error::AttributeValueInvalid {
            kind,
            why: "it is no number",
        }),
    }
}

/// The class that a template names, if it does.
pub(crate) fn class_said(template: &[Attribute<'_>]) -> Result<Option<Class>, Error> {
    let said = number(template, A::Class)?;
    said.map(|number| {
        Class::from_number(number).ok_or(Error::AttributeValueInvalid {
            kind: A::Class,
            why: "there are no objects of this class",
        })
    })
    .transpose()
}

/// The type of key that a template names, if it does.
pub(crate) fn key_type_said(template: &[Attribute<'_>]) -> Result<Option<KeyType>, Error> {
    let said = number(template, A::KeyType)?;
    said.map(|number| {
        KeyType::from_number(number).ok_or(Error::AttributeValueInvalid {
            kind: A::KeyType,
            why: "there are no keys of this type",
        })
    })
    .transpose()
}

/// A program's template with what a key demands of those that come from it: both, or an error if they differ.
pub(crate) fn merged<'a>(
    template: &[Attribute<'a>],
    demanded: &[Attribute<'static>],
) -> Result<Vec<Attribute<'a>>, Error> {
    let mut all = template.to_vec();
    for line in demanded {
        match value(template, line.kind) {
            None => all.push(line.clone()),
            Some(said) if *said == line.value => {}
            Some(_) => {
                return Err(Error::TemplateInconsistent(
                    "the key from which it comes demands otherwise",
                ));
            }
        }
    }
    Ok(all)
}
