//! CreateThing, DescribeThing, UpdateThing, DeleteThing and ListThings.
//!
//! A thing has a name, a few searchable attributes and a version that callers may demand. It may have a thing type, which
//! must exist and not be deprecated when it is given, and a billing group.

use std::collections::BTreeMap;

use identity::ThingName;

use crate::batch::{Batch, Key, Record, Relation};
use crate::billing_group::{self, BillingGroup};
use crate::call::{Call, Decided, Decision, Event};
use crate::limits::{
    ATTRIBUTE_NAME_BYTES_MAX, ATTRIBUTE_VALUE_BYTES_MAX, THING_ATTRIBUTES_MAX, TYPED_THING_ATTRIBUTES_MAX,
};
use crate::names::{BillingGroupName, ThingTypeName};
use crate::page::Marker;
use crate::record::{Thing, ThingPrincipal, Uuid, Versioned};
use crate::refusal::{Exception, Refusal};
use crate::registry_event::{Operation, RegistryEvent, Relating};
use crate::resource;
use crate::thing_type::{self, ThingType};

/// What CreateThing asks for.
#[derive(Debug, Clone, Default)]
pub struct CreateRequest {
    /// Thing type.
    pub type_name: Option<ThingTypeName>,
    /// Attributes.
    pub attributes: BTreeMap<String, String>,
    /// Billing group.
    pub billing_group: Option<BillingGroupName>,
}

/// What is known before a thing is made or changed.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The thing, if there is one of that name.
    pub existing: Option<Versioned<Thing>>,
    /// The thing type of the request.
    pub thing_type: Option<Versioned<ThingType>>,
    /// The billing group of the request.
    pub billing_group: Option<Versioned<BillingGroup>>,
}

/// What UpdateThing asks for.
#[derive(Debug, Clone, Default)]
pub struct UpdateRequest {
    /// New thing type.
    pub type_name: Option<ThingTypeName>,
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
    pub type_name: Option<ThingTypeName>,
    /// Things in this billing group.
    pub billing_group: Option<BillingGroupName>,
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

    /// Whether every thing of its type and billing group passes.
    pub fn is_empty(&self) -> bool {
        self.attribute_name.is_none()
    }

    /// Whether this thing passes.
    pub fn admits(&self, thing: &Thing) -> bool {
        self.admits_type(thing) && self.admits_billing(thing) && self.admits_attribute(thing)
    }

    fn admits_type(&self, thing: &Thing) -> bool {
        match &self.type_name {
            None => true,
            wanted => thing.type_name == *wanted,
        }
    }

    fn admits_billing(&self, thing: &Thing) -> bool {
        match &self.billing_group {
            None => true,
            wanted => thing.billing_group == *wanted,
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
    facts: &Facts,
    fresh: Uuid,
) -> Decided<Thing> {
    check_attributes(&request.attributes, request.type_name.is_some())?;
    if let Some(existing) = &facts.existing {
        return same_or_exists(call, &existing.record, &request);
    }
    let mut batch = call.batch();
    check_type(request.type_name.as_ref(), facts, &mut batch)?;
    if let Some(name) = &request.billing_group {
        let group = resource::found(name.as_str(), facts.billing_group.as_ref())?;
        batch.check(billing_group::key(name), group.version);
    }
    let thing = Thing {
        name: name.clone(),
        id: fresh,
        type_name: request.type_name,
        billing_group: request.billing_group,
        attributes: request.attributes,
        version: 1,
        born_under: None,
        simulated: false,
        created: call.now,
        modified: call.now,
    };
    batch.insert(Record::Thing(thing.clone()));
    batch.audit.push(call.entry("thing.create", name.as_str(), ""));
    Ok(Decision {
        batch,
        events: news_of_new(&thing),
        reply: thing,
    })
}

/// What is told of a thing that was made.
pub(crate) fn news_of_new(thing: &Thing) -> Vec<Event> {
    let mut events = vec![told(Operation::Created, thing)];
    events.extend(association(Relating::Added, thing));
    events
}

/// What is told of a thing that was changed: live connections first.
pub(crate) fn news_of_changed(old: &Thing, new: &Thing) -> Vec<Event> {
    let mut events = vec![Event::ThingTrust(new.name.clone()), told(Operation::Updated, new)];
    if old.type_name != new.type_name {
        events.extend(association(Relating::Removed, old));
        events.extend(association(Relating::Added, new));
    }
    events
}

/// The type that a thing is given must be there, and stay so until this is kept.
fn check_type(name: Option<&ThingTypeName>, facts: &Facts, batch: &mut Batch) -> Result<(), Refusal> {
    if let Some(name) = name {
        let found = thing_type::admitting(name, facts.thing_type.as_ref())?;
        batch.check(resource::key::<ThingType>(name.as_str()), found.version);
    }
    Ok(())
}

pub(crate) fn told(operation: Operation, thing: &Thing) -> Event {
    Event::Registry(RegistryEvent::Thing(operation, Box::new(thing.clone())))
}

fn association(relating: Relating, thing: &Thing) -> Option<Event> {
    let name = thing.type_name.clone()?;
    Some(Event::Registry(RegistryEvent::Association(
        relating,
        thing.name.clone(),
        thing.id,
        name,
    )))
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
pub fn update(call: &Call, name: &ThingName, request: UpdateRequest, facts: &Facts) -> Decided<()> {
    let existing = found(name, facts.existing.as_ref())?;
    check_version(&existing.record, request.expected_version)?;
    let mut batch = call.batch();
    let mut thing = existing.record.clone();
    if request.remove_type && request.type_name.is_some() {
        return Err(Refusal::new(
            Exception::InvalidRequest,
            "fleet.thing.type_and_none",
            "cannot give a thing a type and take it away in one call",
        ));
    }
    if request.remove_type {
        thing.type_name = None;
    }
    if request.type_name.is_some() && request.type_name != thing.type_name {
        check_type(request.type_name.as_ref(), facts, &mut batch)?;
        thing.type_name = request.type_name;
    }
    if let Some(attributes) = request.attributes {
        thing.attributes = updated_attributes(&thing.attributes, attributes, request.merge)?;
    }
    check_attributes(&thing.attributes, thing.type_name.is_some())?;
    thing.version += 1;
    thing.modified = call.now;
    let events = news_of_changed(&existing.record, &thing);
    batch.audit.push(call.entry(
        "thing.update",
        name.as_str(),
        format!("version {}", thing.version),
    ));
    batch.replace(Record::Thing(thing), existing.version);
    batch.raises_epoch = true;
    Ok(Decision {
        batch,
        events,
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
    let mut events = vec![told(Operation::Deleted, &existing.record)];
    events.extend(association(Relating::Removed, &existing.record));
    Ok(Decision {
        batch,
        events,
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
    let same = thing.attributes == request.attributes
        && thing.type_name == request.type_name
        && thing.billing_group == request.billing_group;
    if same {
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
