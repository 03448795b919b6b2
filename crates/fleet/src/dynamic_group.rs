//! CreateDynamicThingGroup, UpdateDynamicThingGroup and DeleteDynamicThingGroup: groups of what a query finds.
//!
//! A dynamic group is a thing group without members of its own, and a query beside it. Who is in it is what the query finds
//! at that moment, so a change of a thing counts at once and nothing can be forgotten. It has no groups under it, nobody joins
//! or leaves it, and no policy is attached to it (AWS IoT developer guide, "Dynamic thing groups").

use std::collections::BTreeMap;

use crate::batch::Key;
use crate::call::{Call, Decided};
use crate::limits::DYNAMIC_GROUPS_MAX;
use crate::names::GroupName;
use crate::plain::shaped;
use crate::record::{Tag, ThingGroup, Uuid, Versioned};
use crate::refusal::{Exception, Refusal};
use crate::resource::{self, Kind, Resource};
use crate::search::Query;
use crate::thing_group;

shaped!(
    /// The query of a dynamic thing group.
    DynamicGroup {
        /// The name of the group.
        name: String,
        /// The query.
        query: String,
    }
);

impl Resource for DynamicGroup {
    const KIND: Kind = Kind::DynamicGroup;

    fn name(&self) -> &str {
        &self.name
    }
}

/// What CreateDynamicThingGroup asks for.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    /// `queryString`
    pub query: Query,
    /// `thingGroupDescription`
    pub description: String,
    /// `attributePayload.attributes`
    pub attributes: BTreeMap<String, String>,
    /// `tags`
    pub tags: Vec<Tag>,
}

/// What is known of a group.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The group, if there is one of that name.
    pub group: Option<Versioned<ThingGroup>>,
    /// Its query, if it is a dynamic one.
    pub dynamic: Option<Versioned<DynamicGroup>>,
    /// How many dynamic groups there are.
    pub count: usize,
}

/// CreateDynamicThingGroup: a new group, or the one there is if it was made with the same configuration.
pub fn create(
    call: &Call,
    name: &GroupName,
    request: CreateRequest,
    facts: &Facts,
    fresh: Uuid,
) -> Decided<ThingGroup> {
    if let (Some(group), dynamic) = (&facts.group, &facts.dynamic) {
        let same_query = dynamic
            .as_ref()
            .is_some_and(|found| found.record.query == request.query.text());
        if !same_query {
            return Err(thing_group::exists(call, &group.record));
        }
    } else if facts.count >= DYNAMIC_GROUPS_MAX {
        return Err(Refusal::new(
            Exception::LimitExceeded,
            "fleet.dynamic_group.limit",
            format!("there are {DYNAMIC_GROUPS_MAX} dynamic thing groups already"),
        ));
    }
    let wanted = thing_group::CreateRequest {
        parent: None,
        description: request.description,
        attributes: request.attributes,
        tags: request.tags,
    };
    let known = thing_group::CreateFacts {
        existing: facts.group.clone(),
        lineage: Vec::new(),
    };
    let mut decision = thing_group::create(call, name, wanted, &known, fresh)?;
    if facts.group.is_none() {
        let dynamic = DynamicGroup {
            name: name.as_str().to_owned(),
            query: request.query.text().to_owned(),
        };
        decision.batch.insert(dynamic.kept());
    }
    Ok(decision)
}

/// UpdateDynamicThingGroup: gives the new version.
pub fn update(
    call: &Call,
    name: &GroupName,
    request: thing_group::UpdateRequest,
    query: Option<&Query>,
    facts: &Facts,
) -> Decided<u64> {
    let dynamic = found(name, facts)?;
    let lineage: Vec<_> = facts.group.iter().cloned().collect();
    let mut decision = thing_group::update(call, name, request, &lineage)?;
    if let Some(query) = query {
        let changed = DynamicGroup {
            query: query.text().to_owned(),
            ..dynamic.record.clone()
        };
        decision.batch.replace(changed.kept(), dynamic.version);
    }
    Ok(decision)
}

/// DeleteDynamicThingGroup: deleting what is not there succeeds.
pub fn delete(call: &Call, name: &GroupName, expected_version: Option<u64>, facts: &Facts) -> Decided<()> {
    if facts.group.is_some() {
        let _ = found(name, facts)?;
    }
    let lineage: Vec<_> = facts.group.iter().cloned().collect();
    let mut decision = thing_group::delete(call, name, expected_version, &lineage, false, Vec::new())?;
    if let Some(dynamic) = &facts.dynamic {
        let key: Key = resource::key::<DynamicGroup>(name.as_str());
        decision.batch.delete(key, dynamic.version);
    }
    Ok(decision)
}

fn found<'a>(name: &GroupName, facts: &'a Facts) -> Result<&'a Versioned<DynamicGroup>, Refusal> {
    thing_group::found(name, facts.group.as_ref())?;
    facts.dynamic.as_ref().ok_or_else(|| {
        Refusal::new(
            Exception::InvalidRequest,
            "fleet.dynamic_group.static",
            format!("the thing group {name} is not a dynamic one"),
        )
        .hint("use UpdateThingGroup or DeleteThingGroup")
    })
}

/// Refuses to do with a dynamic group what only static ones are for.
pub fn check_static(name: &GroupName, dynamic: Option<&Versioned<DynamicGroup>>) -> Result<(), Refusal> {
    match dynamic {
        None => Ok(()),
        Some(_) => Err(Refusal::new(
            Exception::InvalidRequest,
            "fleet.dynamic_group.dynamic",
            format!(
                "the thing group {name} is a dynamic one: its query says who is in it, and it has no groups and no policies"
            ),
        )),
    }
}
