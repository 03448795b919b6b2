//! CreateThingType, DescribeThingType, UpdateThingType, DeprecateThingType and DeleteThingType.
//!
//! A thing type lets its things have more attributes and says which of them are searched for. A deprecated one takes no
//! new things. A type can be deleted five minutes after it was deprecated, as at AWS, unless the operator
//! sets another time, and as long as no thing has it.

use crate::batch::Relation;
use crate::call::{Call, Decided, Decision, Event};
use crate::limits::{PROPAGATING_ATTRIBUTES_MAX, SEARCHABLE_ATTRIBUTES_MAX};
use crate::names::ThingTypeName;
use crate::plain::shaped;
use crate::record::{Tag, Uuid, Versioned};
use crate::refusal::{Exception, Refusal};
use crate::registry_event::{Operation, RegistryEvent};
use crate::resource::{self, Kind, Resource};
use crate::thing_group::check_description;
use crate::{arn, tags, thing};
use identity::UnixMillis;

shaped!(
    /// An attribute that messages of a thing's connection carry as a user property.
    Propagating {
        /// The key of the user property.
        user_property: String,
        /// The thing's attribute …
        thing_attribute: Option<String>,
        /// … or a property of the connection.
        connection_attribute: Option<String>,
    }
);

shaped!(
    /// A thing type.
    ThingType {
        /// Name.
        name: String,
        /// AWS's thingTypeId.
        id: Uuid,
        /// For people.
        description: String,
        /// Attributes that are searched for.
        searchable: Vec<String>,
        /// Attributes that messages carry; kept and told, not carried.
        propagating: Vec<Propagating>,
        /// When it was deprecated.
        deprecated: Option<UnixMillis>,
        /// When it was made.
        created: UnixMillis,
        /// Tags.
        tags: Vec<Tag>,
    }
);

impl Resource for ThingType {
    const KIND: Kind = Kind::ThingType;

    fn name(&self) -> &str {
        &self.name
    }
}

/// `thingTypeProperties`; `None` leaves things as they are.
#[derive(Debug, Clone, Default)]
pub struct Properties {
    /// `thingTypeDescription`
    pub description: Option<String>,
    /// `searchableAttributes`
    pub searchable: Option<Vec<String>>,
    /// `mqtt5Configuration.propagatingAttributes`
    pub propagating: Option<Vec<Propagating>>,
}

/// CreateThingType: a new type, or the one there is if it was made with the same configuration.
pub fn create(
    call: &Call,
    name: &ThingTypeName,
    properties: Properties,
    tags: Vec<Tag>,
    existing: Option<&Versioned<ThingType>>,
    fresh: Uuid,
) -> Decided<ThingType> {
    tags::check(&tags)?;
    let wanted = applied(
        ThingType {
            name: name.as_str().to_owned(),
            id: fresh,
            description: String::new(),
            searchable: Vec::new(),
            propagating: Vec::new(),
            deprecated: None,
            created: call.now,
            tags,
        },
        properties,
    )?;
    if let Some(Versioned { record, .. }) = existing {
        let same = record.description == wanted.description
            && record.searchable == wanted.searchable
            && record.propagating == wanted.propagating;
        return match same {
            true => Ok(Decision::unchanged(call, record.clone())),
            false => Err(resource::exists(
                record,
                &record.id.to_string(),
                arn::named(&call.tenant, "thingtype", &record.name),
            )),
        };
    }
    Ok(resource::insert(call, "thing_type.create", wanted).telling(|made| told(Operation::Created, made)))
}

/// UpdateThingType.
pub fn update(
    call: &Call,
    name: &ThingTypeName,
    properties: Properties,
    existing: Option<&Versioned<ThingType>>,
) -> Decided<ThingType> {
    let existing = resource::found(name.as_str(), existing)?;
    let changed = applied(existing.record.clone(), properties)?;
    Ok(
        resource::replace(call, "thing_type.update", changed, existing.version)
            .telling(|changed| told(Operation::Updated, changed)),
    )
}

/// DeprecateThingType, and its undoing.
pub fn deprecate(
    call: &Call,
    name: &ThingTypeName,
    undo: bool,
    existing: Option<&Versioned<ThingType>>,
) -> Decided<ThingType> {
    let existing = resource::found(name.as_str(), existing)?;
    let mut changed = existing.record.clone();
    if changed.deprecated.is_some() != undo {
        return Ok(Decision::unchanged(call, changed));
    }
    changed.deprecated = (!undo).then_some(call.now);
    Ok(
        resource::replace(call, "thing_type.deprecate", changed, existing.version)
            .telling(|changed| told(Operation::Updated, changed)),
    )
}

/// DeleteThingType: only one that has been deprecated for `wait_millis`, and only when no thing has it. `is_used` is whether
/// one has.
pub fn delete(
    call: &Call,
    name: &ThingTypeName,
    existing: Option<&Versioned<ThingType>>,
    is_used: bool,
    wait_millis: i64,
) -> Decided<()> {
    let existing = resource::found(name.as_str(), existing)?;
    let refuse = |why: &str| {
        Err(Refusal::new(
            Exception::InvalidRequest,
            "fleet.thing_type.in_use",
            format!("thing type {name} cannot be deleted: {why}"),
        ))
    };
    let Some(since) = existing.record.deprecated else {
        return refuse("it is not deprecated (DeprecateThingType)");
    };
    if is_used {
        return refuse("there are things of this type (ListThings --thing-type-name)");
    }
    let left = wait_millis - call.now.since(since);
    if left > 0 {
        // Tools look for these words to know that they are to try again.
        let refusal = refuse("Please wait for 5 minutes after deprecation and then retry");
        return refusal.map_err(|refusal| refusal.hint(format!("{} seconds are left", left / 1000 + 1)));
    }
    let mut decision = resource::delete(call, "thing_type.delete", existing);
    decision.batch.at_most(Relation::ThingsOfType(name.clone()), 0);
    decision.events.push(told(Operation::Deleted, &existing.record));
    Ok(decision)
}

/// Refuses to give a thing a type that is not there or deprecated.
pub(crate) fn admitting<'a>(
    name: &ThingTypeName,
    existing: Option<&'a Versioned<ThingType>>,
) -> Result<&'a Versioned<ThingType>, Refusal> {
    let found = resource::found(name.as_str(), existing)?;
    if found.record.deprecated.is_none() {
        return Ok(found);
    }
    Err(Refusal::new(
        Exception::InvalidRequest,
        "fleet.thing_type.deprecated",
        format!("thing type {name} is deprecated: it takes no new things"),
    )
    .hint("undo it with DeprecateThingType and undoDeprecate"))
}

fn told(operation: Operation, thing_type: &ThingType) -> Event {
    Event::Registry(RegistryEvent::ThingType(operation, Box::new(thing_type.clone())))
}

fn applied(mut thing_type: ThingType, properties: Properties) -> Result<ThingType, Refusal> {
    if let Some(description) = properties.description {
        check_description(&description)?;
        thing_type.description = description;
    }
    if let Some(searchable) = properties.searchable {
        check_number(
            "searchable attributes",
            searchable.len(),
            SEARCHABLE_ATTRIBUTES_MAX,
        )?;
        searchable
            .iter()
            .try_for_each(|name| thing::check_attribute(name, ""))?;
        thing_type.searchable = searchable;
    }
    if let Some(propagating) = properties.propagating {
        check_number(
            "propagating attributes",
            propagating.len(),
            PROPAGATING_ATTRIBUTES_MAX,
        )?;
        propagating.iter().try_for_each(check_propagating)?;
        thing_type.propagating = propagating;
    }
    Ok(thing_type)
}

fn check_propagating(propagating: &Propagating) -> Result<(), Refusal> {
    let sources = (&propagating.thing_attribute, &propagating.connection_attribute);
    let names = [
        Some(&propagating.user_property),
        sources.0.as_ref(),
        sources.1.as_ref(),
    ];
    names
        .into_iter()
        .flatten()
        .try_for_each(|name| thing::check_attribute(name, ""))?;
    if sources.0.is_some() == sources.1.is_some() {
        return Err(wrong(
            "a propagating attribute comes from either thingAttribute or connectionAttribute",
        ));
    }
    Ok(())
}

fn check_number(what: &str, number: usize, most: usize) -> Result<(), Refusal> {
    if number <= most {
        return Ok(());
    }
    Err(wrong(&format!("it can have {most} {what}, not {number}")))
}

fn wrong(why: &str) -> Refusal {
    Refusal::new(
        Exception::InvalidRequest,
        "fleet.thing_type.properties",
        format!("the thing type cannot be so: {why}"),
    )
}
