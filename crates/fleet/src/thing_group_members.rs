//! AddThingToThingGroup, RemoveThingFromThingGroup and UpdateThingGroupsForThing.
//!
//! Being in a group decides which policies count for a thing's certificates, so every change here raises the trust epoch.
//! A thing is in at most ten groups, and in one of each hierarchy (AWS IoT developer guide, "Static thing groups").

use identity::ThingName;

use crate::batch::{Batch, Key, Record, Relation};
use crate::call::{Call, Decided, Decision, Event};
use crate::limits::GROUPS_PER_THING_MAX;
use crate::names::GroupName;
use crate::record::{GroupMember, Thing, ThingGroup, Uuid, Versioned};
use crate::refusal::{Exception, Refusal};
use crate::registry_event::{RegistryEvent, Relating};
use crate::{onboarding, thing, thing_group};

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

/// A thing among groups: which it is in while a decision is made.
pub(crate) struct Groups<'a> {
    thing: (&'a ThingName, Uuid),
    memberships: &'a [Membership],
    /// The groups that it stays in or joins, each with the top of its hierarchy.
    staying: Vec<(&'a GroupName, &'a GroupName)>,
}

impl<'a> Groups<'a> {
    /// Of a thing that a template is about.
    pub(crate) fn of(name: &'a ThingName, id: Uuid, facts: &'a onboarding::Facts) -> Self {
        Self::new(name, id, &facts.memberships)
    }

    fn new(name: &'a ThingName, id: Uuid, memberships: &'a [Membership]) -> Self {
        let staying = memberships
            .iter()
            .map(|membership| (&membership.member.record.group, &membership.root))
            .collect();
        Self {
            thing: (name, id),
            memberships,
            staying,
        }
    }

    /// Leaves one; nothing happens if it is not in it.
    fn leave(&mut self, call: &Call, group: &GroupName, batch: &mut Batch) -> bool {
        let found = self
            .memberships
            .iter()
            .find(|membership| membership.member.record.group == *group);
        let Some(membership) = found.filter(|_| self.staying.iter().any(|(other, _)| *other == group)) else {
            return false;
        };
        let key = Key::GroupMember {
            group: group.clone(),
            thing: self.thing.0.clone(),
        };
        batch.delete(key, membership.member.version);
        batch
            .audit
            .push(call.entry("thing_group.leave", self.thing.0.as_str(), group.as_str()));
        self.staying.retain(|(other, _)| *other != group);
        true
    }

    /// Leaves every group that is not among these. No message tells of it: the ids of the groups are not known here.
    pub(crate) fn leave_all_but(&mut self, call: &Call, kept: &[GroupName], batch: &mut Batch) {
        let left: Vec<GroupName> = self
            .staying
            .iter()
            .map(|(group, _)| (*group).clone())
            .filter(|group| !kept.contains(group))
            .collect();
        for group in &left {
            self.leave(call, group, batch);
        }
    }

    /// Joins these, where it is not in them; gives what is told of it.
    pub(crate) fn join(
        mut self,
        call: &Call,
        joined: &'a [Joined],
        batch: &mut Batch,
    ) -> Result<Vec<Event>, Refusal> {
        let mut events = Vec::new();
        for group in joined {
            let existing = thing_group::found(&group.name, group.lineage.first())?;
            if self.staying.iter().any(|(other, _)| **other == group.name) {
                continue;
            }
            let root = group.lineage.last().map_or(&group.name, |top| &top.record.name);
            check_room(self.thing.0, group, root, &self.staying)?;
            self.staying.push((&group.name, root));
            batch.check(Key::Group(group.name.clone()), existing.version);
            batch.insert(Record::GroupMember(GroupMember {
                group: group.name.clone(),
                thing: self.thing.0.clone(),
            }));
            batch
                .audit
                .push(call.entry("thing_group.join", self.thing.0.as_str(), group.name.as_str()));
            events.push(self.told(Relating::Added, existing));
        }
        if !self.memberships.is_empty() && !events.is_empty() {
            self.hold(batch);
        }
        Ok(events)
    }

    /// The groups were just read: whoever changes them meanwhile makes us look again.
    fn hold(&self, batch: &mut Batch) {
        batch.at_most(
            Relation::GroupsOf(self.thing.0.clone()),
            u32::try_from(self.memberships.len()).unwrap_or(u32::MAX),
        );
    }

    fn told(&self, relating: Relating, group: &Versioned<ThingGroup>) -> Event {
        let thing = (self.thing.0.clone(), self.thing.1);
        let group = thing_group::identified(group);
        Event::Registry(RegistryEvent::Membership(relating, group, thing))
    }
}

/// Joins and leaves groups, all or nothing. Joining a group that it is in, or leaving one that it is not in, succeeds.
pub fn change(call: &Call, name: &ThingName, facts: &Facts) -> Decided<()> {
    let thing = thing::found(name, facts.thing.as_ref())?;
    let mut batch = call.batch();
    let mut events = vec![Event::ThingGrants(name.clone())];
    let mut groups = Groups::new(name, thing.record.id, &facts.memberships);
    for (group, existing) in &facts.left {
        let existing = thing_group::found(group, existing.as_ref())?;
        let comes_back = facts.joined.iter().any(|joined| joined.name == *group);
        if !comes_back && groups.leave(call, group, &mut batch) {
            events.push(groups.told(Relating::Removed, existing));
        }
    }
    let joined = groups.join(call, &facts.joined, &mut batch)?;
    if batch.is_empty() {
        return Ok(Decision::unchanged(call, ()));
    }
    if !joined.is_empty() {
        batch.check(Key::Thing(name.clone()), thing.version);
        if facts.memberships.is_empty() {
            batch.at_most(Relation::GroupsOf(name.clone()), 0);
        }
    }
    events.extend(joined);
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
