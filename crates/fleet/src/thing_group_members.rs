//! AddThingToThingGroup, RemoveThingFromThingGroup and UpdateThingGroupsForThing.
//!
//! Being in a group decides which policies count for a thing's certificates, so every change here raises the trust epoch.
//! A thing is in at most ten groups, and in one of each hierarchy (AWS IoT developer guide, "Static thing groups").

use identity::ThingName;

use crate::batch::{Key, Record, Relation};
use crate::call::{Call, Decided, Decision, Event};
use crate::limits::GROUPS_PER_THING_MAX;
use crate::names::GroupName;
use crate::record::{GroupMember, Thing, ThingGroup, Versioned};
use crate::refusal::{Exception, Refusal};
use crate::registry_event::{RegistryEvent, Relating};
use crate::{thing, thing_group};

/// A group that a thing is in, and the top of its hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The membership.
    pub member: Versioned<GroupMember>,
    /// The group at the top.
    pub root: GroupName,
}

/// A group to be joined, with the groups above it: itself first, the top last.
#[derive(Debug, Clone)]
pub struct Joined {
    /// Its name.
    pub name: GroupName,
    /// Empty if there is no such group.
    pub lineage: Vec<Versioned<ThingGroup>>,
}

/// What is known before a thing changes groups.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The thing.
    pub thing: Option<Versioned<Thing>>,
    /// The groups it is in.
    pub memberships: Vec<Membership>,
    /// The groups to be joined.
    pub joined: Vec<Joined>,
    /// The groups to be left, with whether they exist.
    pub left: Vec<(GroupName, Option<Versioned<ThingGroup>>)>,
}

/// Joins and leaves groups, all or nothing. Joining a group that it is in, or leaving one that it is not in, succeeds.
pub fn change(call: &Call, name: &ThingName, facts: &Facts) -> Decided<()> {
    let thing = thing::found(name, facts.thing.as_ref())?;
    let mut batch = call.batch();
    let mut events = vec![Event::ThingGrants(name.clone())];
    let mut tell = |relating, group: &Versioned<ThingGroup>| {
        let thing = (name.clone(), thing.record.id);
        let group = thing_group::identified(group);
        events.push(Event::Registry(RegistryEvent::Membership(relating, group, thing)));
    };
    let mut staying: Vec<(&GroupName, &GroupName)> = facts
        .memberships
        .iter()
        .map(|membership| (&membership.member.record.group, &membership.root))
        .collect();
    for (group, existing) in &facts.left {
        let existing = thing_group::found(group, existing.as_ref())?;
        let membership = facts
            .memberships
            .iter()
            .find(|membership| membership.member.record.group == *group);
        if let Some(membership) = membership {
            let key = Key::GroupMember {
                group: group.clone(),
                thing: name.clone(),
            };
            let comes_back = facts.joined.iter().any(|joined| joined.name == *group);
            if comes_back || !staying.iter().any(|(other, _)| *other == group) {
                continue;
            }
            batch.delete(key, membership.member.version);
            batch
                .audit
                .push(call.entry("thing_group.leave", name.as_str(), group.as_str()));
            staying.retain(|(other, _)| *other != group);
            tell(Relating::Removed, existing);
        }
    }
    let stayed = staying.len();
    for joined in &facts.joined {
        let existing = thing_group::found(&joined.name, joined.lineage.first())?;
        if staying.iter().any(|(other, _)| **other == joined.name) {
            continue;
        }
        let root = joined.lineage.last().map_or(&joined.name, |top| &top.record.name);
        check_room(name, joined, root, &staying)?;
        staying.push((&joined.name, root));
        tell(Relating::Added, existing);
        batch.check(Key::Group(joined.name.clone()), existing.version);
        batch.insert(Record::GroupMember(GroupMember {
            group: joined.name.clone(),
            thing: name.clone(),
        }));
        batch
            .audit
            .push(call.entry("thing_group.join", name.as_str(), joined.name.as_str()));
    }
    if batch.is_empty() {
        return Ok(Decision::unchanged(call, ()));
    }
    if staying.len() > stayed {
        batch.check(Key::Thing(name.clone()), thing.version);
    }
    // The groups were just read: whoever changes them meanwhile makes us look again.
    batch.at_most(
        Relation::GroupsOf(name.clone()),
        u32::try_from(facts.memberships.len()).unwrap_or(u32::MAX),
    );
    batch.raises_epoch = true;
    Ok(Decision {
        batch,
        events,
        reply: (),
    })
}

/// Refuses a longer list of groups than a thing could be in.
pub fn check_number(groups: usize) -> Result<(), Refusal> {
    if groups <= GROUPS_PER_THING_MAX as usize {
        return Ok(());
    }
    Err(Refusal::new(
        Exception::InvalidRequest,
        "fleet.thing_group.list",
        format!("{groups} groups are named, but a thing can be in {GROUPS_PER_THING_MAX}"),
    ))
}

fn check_room(
    name: &ThingName,
    joined: &Joined,
    root: &GroupName,
    staying: &[(&GroupName, &GroupName)],
) -> Result<(), Refusal> {
    if let Some((other, _)) = staying.iter().find(|(_, other)| *other == root) {
        return Err(Refusal::new(
            Exception::InvalidRequest,
            "fleet.thing_group.hierarchy",
            format!(
                "thing {name} cannot be in {}: it is in {other}, which is in the same hierarchy",
                joined.name
            ),
        )
        .hint("take it out of the other group first (RemoveThingFromThingGroup)"));
    }
    if staying.len() >= GROUPS_PER_THING_MAX as usize {
        return Err(Refusal::new(
            Exception::InvalidRequest,
            "fleet.thing_group.groups",
            format!("thing {name} is in {GROUPS_PER_THING_MAX} groups already"),
        ));
    }
    Ok(())
}
