//! CreateThingGroup, DescribeThingGroup, UpdateThingGroup and DeleteThingGroup: static groups, in hierarchies.
//!
//! A policy that is attached to a group counts for the things in it and in the groups under it, so deleting a group
//! changes what devices may do. Dynamic groups, which hold what a query finds, are in [`crate::dynamic_group`].

use std::collections::BTreeMap;

use crate::batch::{Key, Record, Relation};
use crate::call::{Call, Decided, Decision, Event};
use crate::limits::{DESCRIPTION_BYTES_MAX, GROUP_ATTRIBUTES_MAX, GROUP_CHILDREN_MAX, GROUP_DEPTH_MAX};
use crate::names::{GroupName, PolicyName};
use crate::record::{Tag, ThingGroup, Uuid, Versioned};
use crate::refusal::{Exception, Refusal};
use crate::registry_event::{Operation, RegistryEvent, Relating};
use crate::{tags, thing};

/// What CreateThingGroup asks for.
#[derive(Debug, Clone, Default)]
pub struct CreateRequest {
    /// `parentGroupName`.
    pub parent: Option<GroupName>,
    /// `thingGroupDescription`.
    pub description: String,
    /// `attributePayload.attributes`.
    pub attributes: BTreeMap<String, String>,
    /// `tags`.
    pub tags: Vec<Tag>,
}

/// What UpdateThingGroup asks for; `None` leaves things as they are.
#[derive(Debug, Clone, Default)]
pub struct UpdateRequest {
    /// `thingGroupDescription`.
    pub description: Option<String>,
    /// `attributePayload.attributes`.
    pub attributes: Option<BTreeMap<String, String>>,
    /// `attributePayload.merge`: an empty value removes an attribute.
    pub merge: bool,
    /// `expectedVersion`.
    pub expected_version: Option<u64>,
}

/// What is known before a group is made.
#[derive(Debug, Clone, Default)]
pub struct CreateFacts {
    /// The group, if there is one of that name.
    pub existing: Option<Versioned<ThingGroup>>,
    /// The parent and the groups above it, the parent first; empty if there is no such group.
    pub lineage: Vec<Versioned<ThingGroup>>,
}

/// CreateThingGroup: a new group, or the one there is if it was made with the same configuration.
pub fn create(
    call: &Call,
    name: &GroupName,
    request: CreateRequest,
    facts: &CreateFacts,
    fresh: Uuid,
) -> Decided<ThingGroup> {
    check_properties(&request.description, &request.attributes)?;
    tags::check(&request.tags)?;
    if let Some(existing) = &facts.existing {
        return same_or_exists(call, &existing.record, &request);
    }
    let mut batch = call.batch();
    let mut events = Vec::new();
    if let Some(parent) = &request.parent {
        let above = found(parent, facts.lineage.first())?;
        if facts.lineage.len() >= GROUP_DEPTH_MAX {
            return Err(Refusal::new(
                Exception::InvalidRequest,
                "fleet.thing_group.depth",
                format!("thing group {name} would be deeper than {GROUP_DEPTH_MAX} levels"),
            ));
        }
        batch.check(Key::Group(parent.clone()), above.version);
        batch.at_most(Relation::ChildrenOf(parent.clone()), GROUP_CHILDREN_MAX - 1);
        let child = (name.clone(), fresh);
        events.push(Event::Registry(RegistryEvent::Hierarchy(
            Relating::Added,
            identified(above),
            child,
        )));
    }
    let group = ThingGroup {
        name: name.clone(),
        id: fresh,
        parent: request.parent,
        description: request.description,
        attributes: request.attributes,
        version: 1,
        created: call.now,
        modified: call.now,
        tags: request.tags,
    };
    batch.insert(Record::Group(group.clone()));
    batch
        .audit
        .push(call.entry("thing_group.create", name.as_str(), ""));
    events.insert(0, told(Operation::Created, &group, &facts.lineage));
    Ok(Decision {
        batch,
        events,
        reply: group,
    })
}

/// Name and id, as messages tell a group.
pub(crate) fn identified(group: &Versioned<ThingGroup>) -> (GroupName, Uuid) {
    (group.record.name.clone(), group.record.id)
}

/// `above` are the groups above it, the nearest first.
fn told(operation: Operation, group: &ThingGroup, above: &[Versioned<ThingGroup>]) -> Event {
    let above = above.iter().rev().map(identified).collect();
    Event::Registry(RegistryEvent::Group(operation, Box::new(group.clone()), above))
}

/// Refuses one more group under a parent that has as many as it can have. `children` is how many it has.
pub fn check_room(parent: &GroupName, children: u32) -> Result<(), Refusal> {
    if children < GROUP_CHILDREN_MAX {
        return Ok(());
    }
    Err(Refusal::new(
        Exception::InvalidRequest,
        "fleet.thing_group.children",
        format!("thing group {parent} has {GROUP_CHILDREN_MAX} groups under it already"),
    ))
}

/// DescribeThingGroup, and the first step of everything about a group.
pub fn found<'a>(
    name: &GroupName,
    existing: Option<&'a Versioned<ThingGroup>>,
) -> Result<&'a Versioned<ThingGroup>, Refusal> {
    existing.ok_or_else(|| {
        Refusal::new(
            Exception::ResourceNotFound,
            "fleet.thing_group.missing",
            format!("there is no thing group named {name}"),
        )
    })
}

/// UpdateThingGroup: gives the new version. `lineage` is the group and those above it, itself first.
pub fn update(
    call: &Call,
    name: &GroupName,
    request: UpdateRequest,
    lineage: &[Versioned<ThingGroup>],
) -> Decided<u64> {
    let existing = found(name, lineage.first())?;
    check_version(&existing.record, request.expected_version)?;
    let mut group = existing.record.clone();
    if let Some(description) = request.description {
        group.description = description;
    }
    if let Some(attributes) = request.attributes {
        group.attributes = thing::updated_attributes(&group.attributes, attributes, request.merge)?;
    }
    check_properties(&group.description, &group.attributes)?;
    group.version += 1;
    group.modified = call.now;
    let version = group.version;
    let mut batch = call.batch();
    batch
        .audit
        .push(call.entry("thing_group.update", name.as_str(), format!("version {version}")));
    let events = vec![told(
        Operation::Updated,
        &group,
        lineage.get(1..).unwrap_or_default(),
    )];
    batch.replace(Record::Group(group), existing.version);
    Ok(Decision {
        batch,
        events,
        reply: version,
    })
}

/// DeleteThingGroup: deleting what is not there succeeds, a group with groups under it stays. Its members leave it and its
/// policies are detached. `lineage` is the group and those above it; `policies` are those that count for its members.
pub fn delete(
    call: &Call,
    name: &GroupName,
    expected_version: Option<u64>,
    lineage: &[Versioned<ThingGroup>],
    has_children: bool,
    policies: Vec<PolicyName>,
) -> Decided<()> {
    let Some((existing, above)) = lineage.split_first() else {
        return Ok(Decision::unchanged(call, ()));
    };
    check_version(&existing.record, expected_version)?;
    if has_children {
        return Err(Refusal::new(
            Exception::InvalidRequest,
            "fleet.thing_group.children",
            format!("thing group {name} cannot be deleted: there are groups under it"),
        )
        .hint("delete them first (ListThingGroups --parent-group)"));
    }
    let mut batch = call.batch();
    batch.delete(Key::Group(name.clone()), existing.version);
    batch.at_most(Relation::ChildrenOf(name.clone()), 0);
    batch
        .audit
        .push(call.entry("thing_group.delete", name.as_str(), ""));
    batch.raises_epoch = true;
    let mut events: Vec<Event> = policies.into_iter().map(Event::PolicyTrust).collect();
    events.push(told(Operation::Deleted, &existing.record, above));
    if let Some(parent) = above.first() {
        events.push(Event::Registry(RegistryEvent::Hierarchy(
            Relating::Removed,
            identified(parent),
            identified(existing),
        )));
    }
    Ok(Decision {
        batch,
        events,
        reply: (),
    })
}

/// Refuses a description that is too long for any kind of group or type.
pub(crate) fn check_description(text: &str) -> Result<(), Refusal> {
    if text.len() <= DESCRIPTION_BYTES_MAX && !text.contains(char::is_control) {
        return Ok(());
    }
    Err(Refusal::new(
        Exception::InvalidRequest,
        "fleet.description",
        format!("the description has more than {DESCRIPTION_BYTES_MAX} bytes or holds control characters"),
    ))
}

fn check_properties(description: &str, attributes: &BTreeMap<String, String>) -> Result<(), Refusal> {
    check_description(description)?;
    if attributes.len() > GROUP_ATTRIBUTES_MAX {
        return Err(Refusal::new(
            Exception::InvalidRequest,
            "fleet.thing_group.attributes",
            format!(
                "a thing group can have {GROUP_ATTRIBUTES_MAX} attributes, not {}",
                attributes.len()
            ),
        ));
    }
    attributes
        .iter()
        .try_for_each(|(name, value)| thing::check_attribute(name, value))
}

fn same_or_exists(call: &Call, group: &ThingGroup, request: &CreateRequest) -> Decided<ThingGroup> {
    let same = group.parent == request.parent
        && group.description == request.description
        && group.attributes == request.attributes;
    if same {
        return Ok(Decision::unchanged(call, group.clone()));
    }
    Err(exists(call, group))
}

/// Refuses to make a group whose name is taken by another one.
pub(crate) fn exists(call: &Call, group: &ThingGroup) -> Refusal {
    Refusal::new(
        Exception::ResourceAlreadyExists,
        "fleet.thing_group.exists",
        format!(
            "thing group {} already exists with another configuration",
            group.name
        ),
    )
    .existing(group.id.to_string(), crate::arn::group(&call.tenant, &group.name))
}

fn check_version(group: &ThingGroup, expected: Option<u64>) -> Result<(), Refusal> {
    match expected {
        Some(expected) if expected != group.version => Err(Refusal::new(
            Exception::VersionConflict,
            "fleet.thing_group.version",
            format!(
                "thing group {} has version {}, not {expected}",
                group.name, group.version
            ),
        )),
        _ => Ok(()),
    }
}
