//! CreateThing, DescribeThing, UpdateThing, DeleteThing and ListThings.
//!
//! A thing has a name, a few searchable attributes and a version that callers may demand. Thing types, groups and billing
//! groups are refused by name until they exist.

use std::collections::BTreeMap;

use identity::ThingName;

use crate::batch::{Key, Record, Relation};
use crate::call::{Call, Decided, Decision, Event};
use crate::limits::{
    ATTRIBUTE_NAME_BYTES_MAX, ATTRIBUTE_VALUE_BYTES_MAX, THING_ATTRIBUTES_MAX, TYPED_THING_ATTRIBUTES_MAX,
};
use crate::names::ThingTypeName;
use crate::page::Marker;
use crate::record::{Thing, ThingPrincipal, Uuid, Versioned};
use crate::refusal::{Exception, Refusal};

/// What CreateThing asks for.
#[derive(Debug, Clone, Default)]
pub struct CreateRequest {
    /// Thing type.
    pub type_name: Option<String>,
    /// Attributes.
    pub attributes: BTreeMap<String, String>,
    /// Billing group.
    pub billing_group: Option<String>,
}

/// What UpdateThing asks for.
#[derive(Debug, Clone, Default)]
pub struct UpdateRequest {
    /// New thing type.
    pub type_name: Option<String>,
    /// New attributes; `None` leaves them.
    pub attributes: Option<BTreeMap<String, String>>,
    /// Adds to the attributes there are; an empty value removes one.
    pub merge: bool,
    /// The version the thing must have.
    pub expected_version: Option<u64>,
    /// Takes the thing type away.
    pub remove_type: bool,
}

/// Which things ListThings shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Things with this attribute …
    pub attribute_name: Option<String>,
    /// … and this value of it.
    pub attribute_value: Option<String>,
    /// The value is only the beginning.
    pub value_is_prefix: bool,
    /// Things of this type.
    pub type_name: Option<String>,
}

impl Filter {
    /// Checks the combination.
    pub fn check(self) -> Result<Self, Refusal> {
        if self.attribute_value.is_some() && self.attribute_name.is_none() {
            return Err(Refusal::new(
                Exception::InvalidRequest,
                "fleet.thing.filter",
                "cannot list things by attribute value alone",
            )
            .hint("name the attribute as well"));
        }
        Ok(self)
    }

    /// Whether every thing passes.
    pub fn is_empty(&self) -> bool {
        self.attribute_name.is_none() && self.type_name.is_none()
    }

    /// Whether this thing passes.
    pub fn admits(&self, thing: &Thing) -> bool {
        self.admits_type(thing) && self.admits_attribute(thing)
    }

    fn admits_type(&self, thing: &Thing) -> bool {
        match &self.type_name {
            None => true,
            Some(wanted) => thing
                .type_name
                .as_ref()
                .is_some_and(|name| name.as_str() == wanted),
        }
    }

    fn admits_attribute(&self, thing: &Thing) -> bool {
        let Some(name) = &self.attribute_name else {
            return true;
        };
        let Some(value) = thing.attributes.get(name) else {
            return false;
        };
        match &self.attribute_value {
            None => true,
            Some(wanted) if self.value_is_prefix => value.starts_with(wanted.as_str()),
            Some(wanted) => value == wanted,
        }
    }
}

/// A thing in a list, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its place in the order of making.
    pub place: Marker,
    /// The thing.
    pub thing: Thing,
}

/// CreateThing: a new thing, or the one there is if it was made with the same configuration.
pub fn create(
    call: &Call,
    name: &ThingName,
    request: CreateRequest,
    existing: Option<&Versioned<Thing>>,
    fresh: Uuid,
) -> Decided<Thing> {
    refuse_unsupported(request.type_name.as_deref(), request.billing_group.as_deref())?;
    check_attributes(&request.attributes, false)?;
    if let Some(existing) = existing {
        return same_or_exists(call, &existing.record, &request);
    }
    let thing = Thing {
        name: name.clone(),
        id: fresh,
        type_name: None,
        attributes: request.attributes,
        version: 1,
        born_under: None,
        simulated: false,
        created: call.now,
        modified: call.now,
    };
    let mut batch = call.batch();
    batch.insert(Record::Thing(thing.clone()));
    batch.audit.push(call.entry("thing.create", name.as_str(), ""));
    Ok(Decision {
        batch,
        events: Vec::new(),
        reply: thing,
    })
}

/// DescribeThing, and the first step of everything about a thing.
pub fn found<'a>(
    name: &ThingName,
    existing: Option<&'a Versioned<Thing>>,
) -> Result<&'a Versioned<Thing>, Refusal> {
    existing.ok_or_else(|| {
        Refusal::new(
            Exception::ResourceNotFound,
            "fleet.thing.missing",
            format!("there is no thing named {name}"),
        )
    })
}

/// UpdateThing.
pub fn update(
    call: &Call,
    name: &ThingName,
    request: UpdateRequest,
    existing: Option<&Versioned<Thing>>,
) -> Decided<()> {
    let existing = found(name, existing)?;
    refuse_unsupported(request.type_name.as_deref(), None)?;
    check_version(&existing.record, request.expected_version)?;
    let mut thing = existing.record.clone();
    if request.remove_type {
        thing.type_name = None;
    }
    if let Some(attributes) = request.attributes {
        thing.attributes = updated_attributes(&thing.attributes, attributes, request.merge)?;
    }
    check_attributes(&thing.attributes, thing.type_name.is_some())?;
    thing.version += 1;
    thing.modified = call.now;
    let mut batch = call.batch();
    batch.audit.push(call.entry(
        "thing.update",
        name.as_str(),
        format!("version {}", thing.version),
    ));
    batch.replace(Record::Thing(thing), existing.version);
    batch.raises_epoch = true;
    Ok(Decision {
        batch,
        events: vec![Event::ThingTrust(name.clone())],
        reply: (),
    })
}

/// DeleteThing: deleting what is not there succeeds; a thing with certificates stays.
pub fn delete(
    call: &Call,
    name: &ThingName,
    expected_version: Option<u64>,
    existing: Option<&Versioned<Thing>>,
    principals: &[Versioned<ThingPrincipal>],
) -> Decided<()> {
    let Some(existing) = existing else {
        return Ok(Decision::unchanged(call, ()));
    };
    check_version(&existing.record, expected_version)?;
    if !principals.is_empty() {
        return Err(Refusal::new(
            Exception::InvalidRequest,
            "fleet.thing.attached",
            format!(
                "thing {name} cannot be deleted: {} certificate(s) are attached to it",
                principals.len()
            ),
        )
        .hint("detach all principals first (DetachThingPrincipal)"));
    }
    let mut batch = call.batch();
    batch.delete(Key::Thing(name.clone()), existing.version);
    batch.at_most(Relation::PrincipalsOf(name.clone()), 0);
    batch.audit.push(call.entry("thing.delete", name.as_str(), ""));
    Ok(Decision {
        batch,
        events: Vec::new(),
        reply: (),
    })
}

/// Checks a map of attributes against alphabet, length and number.
pub fn check_attributes(attributes: &BTreeMap<String, String>, typed: bool) -> Result<(), Refusal> {
    let most = if typed {
        TYPED_THING_ATTRIBUTES_MAX
    } else {
        THING_ATTRIBUTES_MAX
    };
    if attributes.len() > most {
        return Err(Refusal::new(
            Exception::InvalidRequest,
            "fleet.thing.attributes",
            format!(
                "a thing {} type can have {most} attributes, not {}",
                if typed { "with a" } else { "without a" },
                attributes.len()
            ),
        ));
    }
    for (name, value) in attributes {
        check_attribute(name, value)?;
    }
    Ok(())
}

pub(crate) fn check_attribute(name: &str, value: &str) -> Result<(), Refusal> {
    let common = |byte: u8| byte.is_ascii_alphanumeric() || b"_.,@/:#-".contains(&byte);
    let name_ok = (1..=ATTRIBUTE_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(common);
    let value_ok = value.len() <= ATTRIBUTE_VALUE_BYTES_MAX
        && value.bytes().all(|byte| common(byte) || b"=[]".contains(&byte));
    if name_ok && value_ok {
        return Ok(());
    }
    let what = if name_ok { "value" } else { "name" };
    Err(Refusal::new(
        Exception::InvalidRequest,
        "fleet.thing.attribute",
        format!(
            "attribute \"{}\" has a {what} that is not allowed",
            name.chars().take(64).collect::<String>()
        ),
    )
    .hint("names have 1 to 128 of A-Z a-z 0-9 _ . , @ / : # -, values up to 800 of these and = [ ]"))
}

fn same_or_exists(call: &Call, thing: &Thing, request: &CreateRequest) -> Decided<Thing> {
    if thing.attributes == request.attributes && thing.type_name.is_none() {
        return Ok(Decision::unchanged(call, thing.clone()));
    }
    Err(Refusal::new(
        Exception::ResourceAlreadyExists,
        "fleet.thing.exists",
        format!("thing {} already exists with another configuration", thing.name),
    )
    .hint("change it with UpdateThing")
    .existing(thing.id.to_string(), crate::arn::thing(&call.tenant, &thing.name)))
}

pub(crate) fn updated_attributes(
    old: &BTreeMap<String, String>,
    new: BTreeMap<String, String>,
    merge: bool,
) -> Result<BTreeMap<String, String>, Refusal> {
    if !merge {
        return Ok(new);
    }
    let mut merged = old.clone();
    for (name, value) in new {
        check_attribute(&name, &value)?;
        if value.is_empty() {
            merged.remove(&name);
        } else {
            merged.insert(name, value);
        }
    }
    Ok(merged)
}

fn check_version(thing: &Thing, expected: Option<u64>) -> Result<(), Refusal> {
    match expected {
        Some(expected) if expected != thing.version => Err(Refusal::new(
            Exception::VersionConflict,
            "fleet.thing.version",
            format!(
                "thing {} has version {}, not {expected}",
                thing.name, thing.version
            ),
        )),
        _ => Ok(()),
    }
}

fn refuse_unsupported(type_name: Option<&str>, billing_group: Option<&str>) -> Result<(), Refusal> {
    if let Some(type_name) = type_name {
        let type_name = ThingTypeName::parse(type_name)?;
        return Err(Refusal::new(
            Exception::ResourceNotFound,
            "fleet.thing_type.unsupported",
            format!("there is no thing type {type_name}: thing types are not supported by this release"),
        ));
    }
    match billing_group {
        Some(_) => Err(Refusal::new(
            Exception::ResourceNotFound,
            "fleet.billing_group.unsupported",
            "there is no such billing group: billing groups are not supported by this release",
        )),
        None => Ok(()),
    }
}
