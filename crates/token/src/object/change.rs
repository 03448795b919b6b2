//! How an object may become another: what a program may set later, and what a copy may have otherwise. Rights only get fewer
//! (PKCS #11 v3.1, 4.4 and 5.7).

use super::rules::{self, Change, Rule, check_value};
use crate::attribute::{Attribute, AttributeKind as A, Value};
use crate::attributes::Attributes;
use crate::error::Error;

/// What is being done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// `C_SetAttributeValue`.
    Set,
    /// `C_CopyObject`.
    Copy,
}

/// Whether these changes are allowed; `officer` is whether the security officer asks.
pub(crate) fn check(
    attributes: &Attributes,
    changes: &[Attribute<'_>],
    deed: Deed,
    officer: bool,
) -> Result<(), Error> {
    let guard = match deed {
        Deed::Set => A::Modifiable,
        Deed::Copy => A::Copyable,
    };
    if attributes.value(guard) == Some(&Value::Flag(false)) {
        return Err(Error::ObjectProtected);
    }
    for (at, change) in changes.iter().enumerate() {
        if changes.iter().skip(at + 1).any(|later| later.kind == change.kind) {
            return Err(Error::TemplateInconsistent("an attribute is there twice"));
        }
        check_one(attributes, change, deed, officer)?;
    }
    Ok(())
}

fn check_one(
    attributes: &Attributes,
    change: &Attribute<'_>,
    deed: Deed,
    officer: bool,
) -> Result<(), Error> {
    let class = attributes.class().ok_or(Error::AttributeReadOnly)?;
    let rule = rules::find(class, attributes.key_type(), change.kind);
    let rule = rule.ok_or(Error::AttributeTypeInvalid(change.kind))?;
    check_value(change)?;
    if change.value.shape() != change.kind.shape() {
        return Err(Error::AttributeValueInvalid {
            kind: change.kind,
            why: "it is of another shape",
        });
    }
    let same = attributes.value(change.kind) == Some(&change.value);
    let to = change.value.as_flag();
    if allowed(rule, to, deed, officer) || (same && deed == Deed::Copy) {
        Ok(())
    } else {
        Err(Error::AttributeReadOnly)
    }
}

fn allowed(rule: &Rule, to: Option<bool>, deed: Deed, officer: bool) -> bool {
    match rule.change {
        Change::Never => false,
        Change::Free => !rule.secret,
        Change::Raise => to == Some(true),
        Change::Lower => to == Some(false),
        Change::RaiseInCopy => deed == Deed::Copy && to == Some(true),
        Change::InCopy => deed == Deed::Copy,
        Change::Officer => officer,
    }
}

/// What the changes make of the object.
pub(crate) fn applied(attributes: &Attributes, changes: &[Attribute<'_>]) -> Attributes {
    let mut changed = attributes.clone();
    for change in changes {
        changed.set(change.kind, change.value.clone().into_owned());
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::Class;
    use crate::mechanism::KeyType;

    fn key() -> Attributes {
        let said = [
            Attribute::class(Class::PrivateKey),
            Attribute::new(A::KeyType, Value::Number(KeyType::Ec.number())),
            Attribute::new(A::Private, Value::Flag(false)),
            Attribute::new(A::Sensitive, Value::Flag(false)),
            Attribute::new(A::Extractable, Value::Flag(true)),
        ];
        let mut attributes: Attributes = said.into_iter().collect();
        super::super::computed::complete(&mut attributes);
        attributes
    }

    #[test]
    fn rights_only_get_fewer() {
        let refused = Err(Error::AttributeReadOnly);
        let flag = |kind, flag| Attribute::new(kind, Value::Flag(flag));
        for (change, set, copy) in [
            (flag(A::Sensitive, true), Ok(()), Ok(())),
            (flag(A::Extractable, false), Ok(()), Ok(())),
            (flag(A::Copyable, false), Ok(()), Ok(())),
            (flag(A::WrapWithTrusted, true), Ok(()), Ok(())),
            (flag(A::Private, true), refused.clone(), Ok(())),
            (flag(A::Token, true), refused.clone(), Ok(())),
            (flag(A::Modifiable, false), refused.clone(), Ok(())),
            (flag(A::AlwaysSensitive, true), refused.clone(), refused.clone()),
            (flag(A::Local, true), refused.clone(), refused.clone()),
            (
                Attribute::new(A::EcParams, Value::bytes(b"x")),
                refused.clone(),
                refused.clone(),
            ),
            (
                Attribute::new(A::Value, Value::bytes(b"x")),
                refused.clone(),
                refused.clone(),
            ),
            (
                Attribute::new(A::UniqueId, Value::bytes(b"x")),
                refused.clone(),
                refused.clone(),
            ),
            (Attribute::label("new"), Ok(()), Ok(())),
            (
                flag(A::Encrypt, true),
                Err(Error::AttributeTypeInvalid(A::Encrypt)),
                Err(Error::AttributeTypeInvalid(A::Encrypt)),
            ),
        ] {
            let changes = [change];
            assert_eq!(check(&key(), &changes, Deed::Set, false), set, "{changes:?}");
            assert_eq!(check(&key(), &changes, Deed::Copy, false), copy, "{changes:?}");
        }
        // The way back is closed.
        let closed = applied(&key(), &[flag(A::Sensitive, true), flag(A::Extractable, false)]);
        for back in [flag(A::Sensitive, false), flag(A::Extractable, true)] {
            assert_eq!(check(&closed, &[back], Deed::Set, false), refused);
        }
    }

    #[test]
    fn what_must_not_change_or_be_copied_does_not() {
        let flag = |kind, flag| Attribute::new(kind, Value::Flag(flag));
        let stiff = applied(&key(), &[flag(A::Modifiable, false), flag(A::Copyable, false)]);
        let label = [Attribute::label("x")];
        for deed in [Deed::Set, Deed::Copy] {
            assert_eq!(check(&stiff, &label, deed, true), Err(Error::ObjectProtected));
        }
        let twice = [Attribute::label("x"), Attribute::label("y")];
        assert!(check(&key(), &twice, Deed::Set, false).is_err());
    }

    #[test]
    fn trust_is_the_officers_to_give() {
        let mut certificate: Attributes = [Attribute::class(Class::Certificate)].into_iter().collect();
        super::super::computed::complete(&mut certificate);
        let trusted = [Attribute::new(A::Trusted, Value::Flag(true))];
        assert_eq!(check(&certificate, &trusted, Deed::Set, true), Ok(()));
        assert_eq!(
            check(&certificate, &trusted, Deed::Set, false),
            Err(Error::AttributeReadOnly)
        );
    }
}
