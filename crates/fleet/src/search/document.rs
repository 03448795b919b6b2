//! What of a thing can be searched, field by field.
//!
//! The same rows that are searched are kept in the index, so that both say the same about a thing.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::names::GroupName;
use crate::record::Thing;

/// A field of a thing that can be searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// `thingName`
    Name,
    /// `thingId`
    Id,
    /// `thingTypeName`
    Type,
    /// `thingGroupNames`: thing groups, and the billing group.
    Groups,
    /// `billingGroupName`
    BillingGroup,
    /// `registry.version`
    Version,
    /// `attributes.<name>`
    Attribute(String),
}

impl Field {
    /// The field of that name; no thing has any other one.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "thingName" => Self::Name,
            "thingId" => Self::Id,
            "thingTypeName" | "registry.thingTypeName" => Self::Type,
            "thingGroupNames" | "registry.thingGroupNames" => Self::Groups,
            "billingGroupName" => Self::BillingGroup,
            "registry.version" => Self::Version,
            other => Self::Attribute(
                other
                    .strip_prefix("attributes.")
                    .filter(|name| !name.is_empty())?
                    .to_owned(),
            ),
        })
    }

    /// Its name.
    pub fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Name => "thingName",
            Self::Id => "thingId",
            Self::Type => "thingTypeName",
            Self::Groups => "thingGroupNames",
            Self::BillingGroup => "billingGroupName",
            Self::Version => "registry.version",
            Self::Attribute(name) => return Cow::Owned(format!("attributes.{name}")),
        })
    }

    /// Whether the index has it.
    pub(crate) fn is_indexed(&self) -> bool {
        !matches!(self, Self::Groups | Self::Version)
    }
}

/// What the index has to know of a thing.
#[derive(Debug, Clone, Copy)]
pub struct ThingRef<'a> {
    /// `thingName`
    pub name: &'a str,
    /// `thingId`
    pub id: &'a str,
    /// `thingTypeName`
    pub type_name: Option<&'a str>,
    /// `billingGroupName`
    pub billing_group: Option<&'a str>,
    /// `attributes`
    pub attributes: &'a BTreeMap<String, String>,
}

/// The rows of the index for a thing: name of a field, and a value in lower case.
pub fn index_rows(thing: ThingRef<'_>) -> Vec<(Cow<'static, str>, String)> {
    let fixed = [
        (Field::Name, Some(thing.name)),
        (Field::Id, Some(thing.id)),
        (Field::Type, thing.type_name),
        (Field::BillingGroup, thing.billing_group),
    ];
    let fixed = fixed
        .into_iter()
        .filter_map(|(field, value)| Some((field.name(), value?.to_ascii_lowercase())));
    let attributes = thing.attributes.iter().map(|(name, value)| {
        let field = Field::Attribute(name.clone());
        (field.name(), value.to_ascii_lowercase())
    });
    fixed.chain(attributes).collect()
}

/// A thing as queries see it.
#[derive(Debug, Clone)]
pub struct Document<'a> {
    /// The thing.
    pub thing: &'a Thing,
    /// The static groups that it is directly in.
    pub groups: &'a [GroupName],
}

impl Document<'_> {
    /// Whether a value of this field passes.
    pub(crate) fn any_of(&self, field: &Field, test: impl Fn(&str) -> bool) -> bool {
        let thing = self.thing;
        match field {
            Field::Name => test(thing.name.as_str()),
            Field::Id => test(&thing.id.to_string()),
            Field::Type => thing.type_name.as_ref().is_some_and(|name| test(name.as_str())),
            Field::BillingGroup => thing
                .billing_group
                .as_ref()
                .is_some_and(|name| test(name.as_str())),
            Field::Groups => {
                self.groups.iter().any(|name| test(name.as_str())) || self.any_of(&Field::BillingGroup, test)
            }
            Field::Version => test(&thing.version.to_string()),
            Field::Attribute(name) => thing.attributes.get(name).is_some_and(|value| test(value)),
        }
    }

    /// Whether a value of any field passes.
    pub(crate) fn any(&self, test: impl Fn(&str) -> bool + Copy) -> bool {
        [Field::Name, Field::Id, Field::Type, Field::Groups]
            .iter()
            .any(|field| self.any_of(field, test))
            || self.thing.attributes.values().any(|value| test(value))
    }

    /// The values of a field: more than one only of groups.
    pub fn values(&self, field: &Field) -> Vec<String> {
        let found = core::cell::RefCell::new(Vec::new());
        self.any_of(field, |value| {
            found.borrow_mut().push(value.to_owned());
            false
        });
        found.into_inner()
    }
}
