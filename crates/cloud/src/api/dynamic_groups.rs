//! Operations on dynamic thing groups, and what every other operation on groups has to know of them.
//!
//! They stand between the wire and `fleet::dynamic_group`.

use fleet::dynamic_group::{self, CreateRequest, DynamicGroup, Facts};
use fleet::names::GroupName;
use fleet::page::PageRequest;
use fleet::record::{Tag, Thing, Versioned};
use fleet::search::{Document, QUERY_VERSION, Query, THINGS_INDEX};
use fleet::{Exception, arn};
use serde::Deserialize;
use serde_json::json;
use store::Records as _;

use super::groups::{Properties, attributes_of, wanted_update};
use super::operation::Input;
use super::render::{Answer, nothing};
use super::search::{check_ready, read_query};
use super::{Request, TagInput, fault::ApiFault};
use crate::clock;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    thing_group_name: String,
    thing_group_properties: Option<Properties>,
    index_name: Option<String>,
    query_string: Option<String>,
    query_version: Option<String>,
    #[serde(default)]
    tags: Vec<TagInput>,
    expected_version: Option<u64>,
}

impl Named {
    fn query(&self) -> Result<Query, ApiFault> {
        let (index, version) = (self.index_name.as_deref(), self.query_version.as_deref());
        read_query(index, version, self.query_string.as_deref())
    }
}

/// The query of a group, if it is a dynamic one.
pub(super) async fn looked_up(
    request: &Request<'_>,
    name: &GroupName,
) -> Result<Option<Versioned<DynamicGroup>>, ApiFault> {
    let tenant = &request.call.tenant;
    Ok(request.store().resource(tenant, name.as_str()).await?)
}

/// Refuses what only static groups are for.
pub(super) async fn check_static(request: &Request<'_>, name: &GroupName) -> Result<(), ApiFault> {
    Ok(dynamic_group::check_static(
        name,
        looked_up(request, name).await?.as_ref(),
    )?)
}

/// All of the tenant: there are few.
pub(super) async fn every(request: &Request<'_>) -> Result<Vec<DynamicGroup>, ApiFault> {
    let page = PageRequest {
        size: fleet::limits::PAGE_ITEMS_MAX,
        ..PageRequest::first()
    };
    let found = request
        .store()
        .list_resources(&request.call.tenant, "", page)
        .await?;
    Ok(found.items)
}

/// The dynamic groups that a thing is in.
pub(super) async fn groups_of(
    request: &Request<'_>,
    thing: &Thing,
    groups: &[GroupName],
) -> Result<Vec<GroupName>, ApiFault> {
    let document = Document { thing, groups };
    let mut found = Vec::new();
    for group in every(request).await? {
        if Query::parse(&group.query)?.admits(&document) {
            found.push(GroupName::parse(&group.name)?);
        }
    }
    Ok(found)
}

/// What is not ready, this operation has no exception of its own for.
fn undeclared(fault: ApiFault) -> ApiFault {
    match fault {
        ApiFault::Refused(refusal) => refusal.under(Exception::InvalidRequest).into(),
        other => other,
    }
}

async fn facts(request: &Request<'_>, name: &GroupName) -> Result<Facts, ApiFault> {
    let lineage = request.store().group_lineage(&request.call.tenant, name).await?;
    Ok(Facts {
        group: lineage.into_iter().next(),
        dynamic: looked_up(request, name).await?,
        count: every(request).await?.len(),
    })
}

/// CreateDynamicThingGroup.
pub(super) async fn create(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let name = GroupName::parse(&input.thing_group_name)?;
    let query = input.query()?;
    check_ready(request).await.map_err(undeclared)?;
    let properties = input.thing_group_properties.unwrap_or_default();
    let wanted = CreateRequest {
        query: query.clone(),
        description: properties.thing_group_description.unwrap_or_default(),
        attributes: attributes_of(properties.attribute_payload).unwrap_or_default(),
        tags: input.tags.into_iter().map(Tag::from).collect(),
    };
    let fresh = clock::uuid().map_err(ApiFault::failed)?;
    let made = request
        .decide(async || {
            let facts = facts(request, &name).await?;
            let wanted = wanted.clone();
            Ok(dynamic_group::create(
                &request.call,
                &name,
                wanted,
                &facts,
                fresh,
            )?)
        })
        .await?;
    Ok(json!({
        "thingGroupName": made.name.as_str(),
        "thingGroupArn": arn::group(&request.call.tenant, &made.name),
        "thingGroupId": made.id.to_string(),
        "indexName": THINGS_INDEX,
        "queryString": query.text(),
        "queryVersion": QUERY_VERSION,
    }))
}

/// UpdateDynamicThingGroup.
pub(super) async fn update(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let name = GroupName::parse(&input.thing_group_name)?;
    let query = match input.query_string {
        Some(_) => Some(input.query()?),
        None => None,
    };
    let wanted = wanted_update(input.thing_group_properties, input.expected_version)?;
    let version = request
        .decide(async || {
            let facts = facts(request, &name).await?;
            let wanted = wanted.clone();
            Ok(dynamic_group::update(
                &request.call,
                &name,
                wanted,
                query.as_ref(),
                &facts,
            )?)
        })
        .await?;
    Ok(json!({ "version": version }))
}

/// DeleteDynamicThingGroup.
pub(super) async fn delete(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let name = GroupName::parse(&input.thing_group_name)?;
    request
        .decide(async || {
            let facts = facts(request, &name).await?;
            let version = input.expected_version;
            Ok(dynamic_group::delete(&request.call, &name, version, &facts)?)
        })
        .await?;
    Ok(nothing())
}
