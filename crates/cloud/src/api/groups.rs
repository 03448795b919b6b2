//! Operations on thing groups and on who is in them.
//!
//! They stand between the wire and `fleet::thing_group` and `fleet::thing_group_members`. A group or a thing can be named
//! or given as an ARN; when both are given they must mean the same.

use std::collections::BTreeMap;

use fleet::names::GroupName;
use fleet::record::{Tag, ThingGroup};
use fleet::search::{QUERY_VERSION, THINGS_INDEX};
use fleet::thing_group_members::{self, Facts, Joined};
use fleet::{arn, thing, thing_group};
use identity::ThingName;
use serde::Deserialize;
use serde_json::{Value, json};
use store::{GroupFilter, Records as _};

use super::listing::{Pages, by_token, part};
use super::operation::Input;
use super::render::{Answer, nothing, object};
use super::things::{AttributePayload, parse_name};
use super::{Request, TagInput, dynamic_groups, fault::ApiFault, search, timestamp};
use crate::clock;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Properties {
    pub(super) thing_group_description: Option<String>,
    pub(super) attribute_payload: Option<AttributePayload>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    thing_group_name: String,
    parent_group_name: Option<String>,
    thing_group_properties: Option<Properties>,
    #[serde(default)]
    tags: Vec<TagInput>,
    expected_version: Option<u64>,
    #[serde(default)]
    recursive: bool,
    #[serde(flatten)]
    pages: Pages,
}

impl Named {
    fn name(&self) -> Result<GroupName, ApiFault> {
        Ok(GroupName::parse(&self.thing_group_name)?)
    }
}

/// CreateThingGroup.
pub(super) async fn create(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let name = input.name()?;
    let parent = input
        .parent_group_name
        .as_deref()
        .map(GroupName::parse)
        .transpose()?;
    let properties = input.thing_group_properties.unwrap_or_default();
    let wanted = thing_group::CreateRequest {
        parent,
        description: properties.thing_group_description.unwrap_or_default(),
        attributes: attributes_of(properties.attribute_payload).unwrap_or_default(),
        tags: input.tags.into_iter().map(Tag::from).collect(),
    };
    for name in wanted.parent.iter().chain([&name]) {
        dynamic_groups::check_static(request, name).await?;
    }
    let fresh = clock::uuid().map_err(ApiFault::failed)?;
    let (tenant, store) = (&request.call.tenant, request.store());
    let made = request
        .decide(async || {
            let mut facts = thing_group::CreateFacts {
                existing: store.group_lineage(tenant, &name).await?.into_iter().next(),
                lineage: Vec::new(),
            };
            if let Some(parent) = &wanted.parent {
                facts.lineage = store.group_lineage(tenant, parent).await?;
            }
            let decision = thing_group::create(&request.call, &name, wanted.clone(), &facts, fresh)?;
            if let (Some(parent), false) = (&wanted.parent, decision.batch.is_empty()) {
                thing_group::check_room(parent, store.group_children(tenant, parent).await?)?;
            }
            Ok(decision)
        })
        .await?;
    Ok(json!({
        "thingGroupName": made.name.as_str(),
        "thingGroupArn": arn::group(tenant, &made.name),
        "thingGroupId": made.id.to_string(),
    }))
}

pub(super) fn attributes_of(payload: Option<AttributePayload>) -> Option<BTreeMap<String, String>> {
    payload.and_then(|payload| payload.attributes)
}

/// What an update wants of a group, static or dynamic.
pub(super) fn wanted_update(
    properties: Option<Properties>,
    expected_version: Option<u64>,
) -> Result<thing_group::UpdateRequest, ApiFault> {
    let properties = properties.ok_or_else(|| super::missing("thingGroupProperties"))?;
    let payload = properties.attribute_payload;
    Ok(thing_group::UpdateRequest {
        description: properties.thing_group_description,
        merge: payload.as_ref().is_some_and(|payload| payload.merge),
        attributes: attributes_of(payload),
        expected_version,
    })
}

/// DescribeThingGroup.
pub(super) async fn describe(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let name = input.read::<Named>()?.name()?;
    let tenant = &request.call.tenant;
    let lineage = request.store().group_lineage(tenant, &name).await?;
    let group = &thing_group::found(&name, lineage.first())?.record;
    let above = lineage.iter().skip(1).rev();
    let dynamic = dynamic_groups::looked_up(request, &name).await?;
    let of_dynamic = |text: &'static str| dynamic.as_ref().map(|_| text);
    Ok(object(json!({
        "indexName": of_dynamic(THINGS_INDEX),
        "queryString": dynamic.as_ref().map(|dynamic| dynamic.record.query.as_str()),
        "queryVersion": of_dynamic(QUERY_VERSION),
        "status": of_dynamic("ACTIVE"),
        "thingGroupName": name.as_str(),
        "thingGroupId": group.id.to_string(),
        "thingGroupArn": arn::group(tenant, &name),
        "version": group.version,
        "thingGroupProperties": object(json!({
            "thingGroupDescription": Some(&group.description).filter(|text| !text.is_empty()),
            "attributePayload": { "attributes": group.attributes },
        })),
        "thingGroupMetadata": object(json!({
            "parentGroupName": group.parent.as_ref().map(|parent| parent.as_str()),
            "rootToParentThingGroups": (lineage.len() > 1)
                .then(|| above.map(|group| shown(request, &group.record.name)).collect::<Vec<_>>()),
            "creationDate": timestamp(group.created),
        })),
    })))
}

fn shown(request: &Request<'_>, name: &GroupName) -> Value {
    json!({ "groupName": name.as_str(), "groupArn": arn::group(&request.call.tenant, name) })
}

async fn looked_up(
    request: &Request<'_>,
    name: &GroupName,
) -> Result<Option<fleet::record::Versioned<ThingGroup>>, ApiFault> {
    let lineage = request.store().group_lineage(&request.call.tenant, name).await?;
    Ok(lineage.into_iter().next())
}

/// UpdateThingGroup.
pub(super) async fn update(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let name = input.name()?;
    let wanted = wanted_update(input.thing_group_properties, input.expected_version)?;
    dynamic_groups::check_static(request, &name).await?;
    let version = request
        .decide(async || {
            let lineage = request.store().group_lineage(&request.call.tenant, &name).await?;
            Ok(thing_group::update(
                &request.call,
                &name,
                wanted.clone(),
                &lineage,
            )?)
        })
        .await?;
    Ok(json!({ "version": version }))
}

/// DeleteThingGroup.
pub(super) async fn delete(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let name = input.name()?;
    let (tenant, store) = (&request.call.tenant, request.store());
    dynamic_groups::check_static(request, &name).await?;
    request
        .decide(async || {
            let lineage = store.group_lineage(tenant, &name).await?;
            let has_children = store.group_children(tenant, &name).await? > 0;
            let policies = store.policies_of_group(tenant, &name).await?;
            Ok(thing_group::delete(
                &request.call,
                &name,
                input.expected_version,
                &lineage,
                has_children,
                policies.into_iter().map(|attached| attached.name).collect(),
            )?)
        })
        .await?;
    Ok(nothing())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    parent_group: Option<String>,
    name_prefix_filter: Option<String>,
    recursive: Option<bool>,
    #[serde(flatten)]
    pages: Pages,
}

/// ListThingGroups. Without a parent every group is shown unless `recursive` is false.
pub(super) async fn list(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: List = input.read()?;
    let parent = input.parent_group.as_deref().map(GroupName::parse).transpose()?;
    if let Some(parent) = &parent {
        thing_group::found(parent, looked_up(request, parent).await?.as_ref())?;
    }
    let filter = GroupFilter {
        recursive: input.recursive.unwrap_or_else(|| parent.is_none()),
        parent,
        prefix: input.name_prefix_filter,
    };
    let page = input.pages.tokens()?;
    let page = request
        .store()
        .list_groups(&request.call.tenant, &filter, page)
        .await?;
    Ok(by_token("thingGroups", &page, |group| {
        shown(request, &group.name)
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    thing_group_name: Option<String>,
    thing_group_arn: Option<String>,
    thing_name: Option<String>,
    thing_arn: Option<String>,
}

impl Member {
    fn parse(&self, request: &Request<'_>) -> Result<(GroupName, ThingName), ApiFault> {
        let tenant = &request.call.tenant;
        let group = (self.thing_group_name.as_deref(), self.thing_group_arn.as_deref());
        let group = arn::either(tenant, "thinggroup", "thingGroupName", group)?;
        let thing = (self.thing_name.as_deref(), self.thing_arn.as_deref());
        let thing = arn::either(tenant, "thing", "thingName", thing)?;
        Ok((GroupName::parse(group)?, parse_name(thing)?))
    }
}

/// AddThingToThingGroup.
pub(super) async fn add(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let (group, thing) = input.read::<Member>()?.parse(request)?;
    change(request, &thing, &[group], &[]).await
}

/// RemoveThingFromThingGroup.
pub(super) async fn remove(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let (group, thing) = input.read::<Member>()?.parse(request)?;
    change(request, &thing, &[], &[group]).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    #[serde(default)]
    thing_name: String,
    #[serde(default)]
    thing_groups_to_add: Vec<String>,
    #[serde(default)]
    thing_groups_to_remove: Vec<String>,
}

/// UpdateThingGroupsForThing.
pub(super) async fn change_groups(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Change = input.read()?;
    let thing = parse_name(&input.thing_name)?;
    let parse = |names: &[String]| -> Result<Vec<GroupName>, fleet::Refusal> {
        thing_group_members::check_number(names.len())?;
        names.iter().map(|name| GroupName::parse(name)).collect()
    };
    let (joined, left) = (
        parse(&input.thing_groups_to_add)?,
        parse(&input.thing_groups_to_remove)?,
    );
    change(request, &thing, &joined, &left).await
}

async fn change(
    request: &Request<'_>,
    thing: &ThingName,
    joined: &[GroupName],
    left: &[GroupName],
) -> Result<Answer, ApiFault> {
    for name in joined.iter().chain(left) {
        dynamic_groups::check_static(request, name).await?;
    }
    request
        .decide(async || {
            let facts = facts(request, thing, joined, left).await?;
            Ok(thing_group_members::change(&request.call, thing, &facts)?)
        })
        .await?;
    Ok(nothing())
}

async fn facts(
    request: &Request<'_>,
    thing: &ThingName,
    joined: &[GroupName],
    left: &[GroupName],
) -> Result<Facts, ApiFault> {
    let (tenant, store) = (&request.call.tenant, request.store());
    let mut facts = Facts {
        thing: store.thing(tenant, thing).await?,
        memberships: store.groups_of(tenant, thing).await?,
        ..Facts::default()
    };
    for name in joined {
        facts.joined.push(Joined {
            name: name.clone(),
            lineage: store.group_lineage(tenant, name).await?,
        });
    }
    for name in left {
        facts.left.push((name.clone(), looked_up(request, name).await?));
    }
    Ok(facts)
}

/// ListThingsInThingGroup.
pub(super) async fn things(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let name = input.name()?;
    thing_group::found(&name, looked_up(request, &name).await?.as_ref())?;
    if let Some(dynamic) = dynamic_groups::looked_up(request, &name).await? {
        let page = search::members(request, &dynamic.record, input.pages.tokens()?).await?;
        return Ok(by_token("things", &page, |found| {
            found.thing.name.as_str().into()
        }));
    }
    let page = request
        .store()
        .list_things_in_group(
            &request.call.tenant,
            &name,
            input.recursive,
            input.pages.tokens()?,
        )
        .await?;
    Ok(by_token("things", &page, |thing| thing.as_str().into()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ForThing {
    thing_name: String,
    #[serde(flatten)]
    pages: Pages,
}

/// ListThingGroupsForThing.
pub(super) async fn groups_of(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: ForThing = input.read()?;
    let (name, tenant) = (parse_name(&input.thing_name)?, &request.call.tenant);
    let existing = request.store().thing(tenant, &name).await?;
    let thing = &thing::found(&name, existing.as_ref())?.record;
    let joined = request.store().groups_of(tenant, &name).await?;
    let mut groups: Vec<GroupName> = joined
        .into_iter()
        .map(|joined| joined.member.record.group)
        .collect();
    groups.extend(dynamic_groups::groups_of(request, thing, &groups).await?);
    let page = part(groups, input.pages.tokens()?);
    Ok(by_token("thingGroups", &page, |group| shown(request, group)))
}
