//! Operations on billing groups and on who is in them.
//!
//! They stand between the wire and `fleet::billing_group`.

use fleet::billing_group::{self, BillingGroup};
use fleet::names::BillingGroupName;
use fleet::record::Tag;
use fleet::{arn, resource, thing};
use identity::ThingName;
use serde::Deserialize;
use serde_json::json;
use store::Records as _;

use super::listing::{Pages, by_token};
use super::operation::Input;
use super::render::{Answer, nothing, object};
use super::things::parse_name;
use super::{Request, TagInput, fault::ApiFault, timestamp};
use crate::clock;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    billing_group_description: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    billing_group_name: String,
    billing_group_properties: Option<Properties>,
    #[serde(default)]
    tags: Vec<TagInput>,
    expected_version: Option<u64>,
    #[serde(flatten)]
    pages: Pages,
}

impl Named {
    fn name(&self) -> Result<BillingGroupName, ApiFault> {
        Ok(BillingGroupName::parse(&self.billing_group_name)?)
    }
}

/// CreateBillingGroup.
pub(super) async fn create(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let name = input.name()?;
    let description = input
        .billing_group_properties
        .and_then(|properties| properties.billing_group_description)
        .unwrap_or_default();
    let tags: Vec<Tag> = input.tags.into_iter().map(Tag::from).collect();
    let fresh = clock::uuid().map_err(ApiFault::failed)?;
    let made = request
        .decide(async || {
            let existing = request.kept::<BillingGroup>(name.as_str()).await?;
            let tags = tags.clone();
            Ok(billing_group::create(
                &request.call,
                &name,
                &description,
                tags,
                existing.as_ref(),
                fresh,
            )?)
        })
        .await?;
    Ok(json!({
        "billingGroupName": made.name,
        "billingGroupArn": arn::named(&request.call.tenant, "billinggroup", &made.name),
        "billingGroupId": made.id.to_string(),
    }))
}

/// DescribeBillingGroup.
pub(super) async fn describe(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let name = input.read::<Named>()?.name()?;
    let existing = request.kept::<BillingGroup>(name.as_str()).await?;
    let group = &resource::found(name.as_str(), existing.as_ref())?.record;
    let description = Some(&group.description).filter(|text| !text.is_empty());
    Ok(json!({
        "billingGroupName": group.name,
        "billingGroupId": group.id.to_string(),
        "billingGroupArn": arn::named(&request.call.tenant, "billinggroup", &group.name),
        "version": group.version,
        "billingGroupProperties": object(json!({ "billingGroupDescription": description })),
        "billingGroupMetadata": { "creationDate": timestamp(group.created) },
    }))
}

/// UpdateBillingGroup.
pub(super) async fn update(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let name = input.name()?;
    let properties = input
        .billing_group_properties
        .ok_or_else(|| super::missing("billingGroupProperties"))?;
    let description = properties.billing_group_description;
    let changed = request
        .decide(async || {
            let existing = request.kept::<BillingGroup>(name.as_str()).await?;
            let (description, version) = (description.clone(), input.expected_version);
            Ok(billing_group::update(
                &request.call,
                &name,
                description,
                version,
                existing.as_ref(),
            )?)
        })
        .await?;
    Ok(json!({ "version": changed.version }))
}

fn of_group(name: &BillingGroupName) -> thing::Filter {
    thing::Filter {
        billing_group: Some(name.clone()),
        ..thing::Filter::default()
    }
}

/// DeleteBillingGroup.
pub(super) async fn delete(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let name = input.name()?;
    let things = of_group(&name);
    request
        .decide(async || {
            let existing = request.kept::<BillingGroup>(name.as_str()).await?;
            let is_used = super::things::is_any(request, &things).await?;
            let version = input.expected_version;
            Ok(billing_group::delete(
                &request.call,
                &name,
                version,
                existing.as_ref(),
                is_used,
            )?)
        })
        .await?;
    Ok(nothing())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    #[serde(default)]
    name_prefix_filter: String,
    #[serde(flatten)]
    pages: Pages,
}

/// ListBillingGroups.
pub(super) async fn list(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: List = input.read()?;
    let (tenant, asked) = (&request.call.tenant, input.pages.tokens()?);
    let page = request
        .store()
        .list_resources::<BillingGroup>(tenant, &input.name_prefix_filter, asked)
        .await?;
    Ok(by_token(
        "billingGroups",
        &page,
        |group| json!({ "groupName": group.name, "groupArn": arn::named(tenant, "billinggroup", &group.name) }),
    ))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    billing_group_name: Option<String>,
    billing_group_arn: Option<String>,
    thing_name: Option<String>,
    thing_arn: Option<String>,
}

impl Member {
    fn parse(&self, request: &Request<'_>) -> Result<(BillingGroupName, ThingName), ApiFault> {
        let tenant = &request.call.tenant;
        let group = (
            self.billing_group_name.as_deref(),
            self.billing_group_arn.as_deref(),
        );
        let group = arn::either(tenant, "billinggroup", "billingGroupName", group)?;
        let thing = (self.thing_name.as_deref(), self.thing_arn.as_deref());
        let thing = arn::either(tenant, "thing", "thingName", thing)?;
        Ok((BillingGroupName::parse(group)?, parse_name(thing)?))
    }
}

/// AddThingToBillingGroup.
pub(super) async fn add(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let (name, thing) = input.read::<Member>()?.parse(request)?;
    request
        .decide(async || {
            let group = request.kept::<BillingGroup>(name.as_str()).await?;
            let existing = request.store().thing(&request.call.tenant, &thing).await?;
            Ok(billing_group::add(
                &request.call,
                &name,
                &thing,
                group.as_ref(),
                existing.as_ref(),
            )?)
        })
        .await?;
    Ok(nothing())
}

/// RemoveThingFromBillingGroup.
pub(super) async fn remove(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let (name, thing) = input.read::<Member>()?.parse(request)?;
    request
        .decide(async || {
            let group = request.kept::<BillingGroup>(name.as_str()).await?;
            let existing = request.store().thing(&request.call.tenant, &thing).await?;
            Ok(billing_group::remove(
                &request.call,
                &name,
                &thing,
                group.as_ref(),
                existing.as_ref(),
            )?)
        })
        .await?;
    Ok(nothing())
}

/// ListThingsInBillingGroup.
pub(super) async fn things(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let name = input.name()?;
    resource::found(
        name.as_str(),
        request.kept::<BillingGroup>(name.as_str()).await?.as_ref(),
    )?;
    let page = request
        .store()
        .list_things(&request.call.tenant, &of_group(&name), input.pages.tokens()?)
        .await?;
    Ok(by_token("things", &page, |thing| thing.name.as_str().into()))
}
