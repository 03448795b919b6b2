//! Operations on things and on the certificates that are attached to them.
//!
//! They stand between the wire and `fleet::thing` and `fleet::principal`.

use std::collections::BTreeMap;

use fleet::names::{BillingGroupName, ThingTypeName};
use fleet::page::PageRequest;
use fleet::record::{PrincipalType, Thing, ThingPrincipal};
use fleet::{Decision, Event, arn, certificate, principal, thing};
use identity::{CertificateId, ThingName};
use serde::Deserialize;
use serde_json::{Value, json};
use store::Records as _;

use super::listing::{Pages, by_token};
use super::operation::Input;
use super::render::{Answer, nothing, object};
use super::{Request, fault::ApiFault};
use crate::clock;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttributePayload {
    pub(super) attributes: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) merge: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    thing_name: String,
    thing_type_name: Option<String>,
    billing_group_name: Option<String>,
    attribute_payload: Option<AttributePayload>,
    expected_version: Option<u64>,
    #[serde(default)]
    remove_thing_type: bool,
}

impl Named {
    fn name(&self) -> Result<ThingName, ApiFault> {
        parse_name(&self.thing_name)
    }
}

pub(super) fn parse_name(text: &str) -> Result<ThingName, ApiFault> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(140).collect();
        ApiFault::invalid(
            "cloud.api.thing_name",
            format!("\"{shown}\" is not a thing name: it has 1 to 128 of a-z, A-Z, 0-9, :, _ and -"),
        )
    })
}

/// CreateThing.
pub(super) async fn create(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let name = input.name()?;
    let attributes = input
        .attribute_payload
        .unwrap_or_default()
        .attributes
        .unwrap_or_default();
    let wanted = thing::CreateRequest {
        type_name: parse_type(input.thing_type_name.as_deref())?,
        attributes,
        billing_group: input
            .billing_group_name
            .as_deref()
            .map(BillingGroupName::parse)
            .transpose()?,
    };
    let fresh = clock::uuid().map_err(ApiFault::failed)?;
    let made = request
        .decide(async || {
            let kinds = (wanted.type_name.as_ref(), wanted.billing_group.as_ref());
            let facts = facts(request, &name, kinds).await?;
            Ok(thing::create(
                &request.call,
                &name,
                wanted.clone(),
                &facts,
                fresh,
            )?)
        })
        .await?;
    Ok(json!({
        "thingName": made.name.as_str(),
        "thingArn": arn::thing(&request.call.tenant, &made.name),
        "thingId": made.id.to_string(),
    }))
}

fn parse_type(name: Option<&str>) -> Result<Option<ThingTypeName>, ApiFault> {
    Ok(name.map(ThingTypeName::parse).transpose()?)
}

async fn facts(
    request: &Request<'_>,
    name: &ThingName,
    (type_name, billing_group): (Option<&ThingTypeName>, Option<&BillingGroupName>),
) -> Result<thing::Facts, ApiFault> {
    let (tenant, store) = (&request.call.tenant, request.store());
    let mut facts = thing::Facts {
        existing: store.thing(tenant, name).await?,
        ..thing::Facts::default()
    };
    if let Some(type_name) = type_name {
        facts.thing_type = store.resource(tenant, type_name.as_str()).await?;
    }
    if let Some(billing_group) = billing_group {
        facts.billing_group = store.resource(tenant, billing_group.as_str()).await?;
    }
    Ok(facts)
}

/// Whether any thing passes the filter.
pub(super) async fn is_any(request: &Request<'_>, filter: &thing::Filter) -> Result<bool, ApiFault> {
    let page = PageRequest {
        size: 1,
        ..PageRequest::first()
    };
    let page = request
        .store()
        .list_things(&request.call.tenant, filter, page)
        .await?;
    Ok(!page.items.is_empty())
}

/// DescribeThing.
pub(super) async fn describe(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let name = input.read::<Named>()?.name()?;
    let existing = request.store().thing(&request.call.tenant, &name).await?;
    let Thing {
        name,
        id,
        type_name,
        billing_group,
        attributes,
        version,
        ..
    } = &thing::found(&name, existing.as_ref())?.record;
    Ok(object(json!({
        "defaultClientId": name.as_str(),
        "thingName": name.as_str(),
        "thingId": id.to_string(),
        "thingArn": arn::thing(&request.call.tenant, name),
        "thingTypeName": type_name.as_ref().map(|name| name.as_str()),
        "attributes": attributes,
        "version": version,
        "billingGroupName": billing_group.as_ref().map(|name| name.as_str()),
    })))
}

/// UpdateThing.
pub(super) async fn update(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let name = input.name()?;
    let payload = input.attribute_payload.unwrap_or_default();
    let wanted = thing::UpdateRequest {
        type_name: parse_type(input.thing_type_name.as_deref())?,
        attributes: payload.attributes,
        merge: payload.merge,
        expected_version: input.expected_version,
        remove_type: input.remove_thing_type,
    };
    request
        .decide(async || {
            let facts = facts(request, &name, (wanted.type_name.as_ref(), None)).await?;
            Ok(thing::update(&request.call, &name, wanted.clone(), &facts)?)
        })
        .await?;
    Ok(nothing())
}

/// DeleteThing.
pub(super) async fn delete(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let name = input.name()?;
    let tenant = &request.call.tenant;
    request
        .decide(async || {
            let existing = request.store().thing(tenant, &name).await?;
            let holdings = request.store().principals_of(tenant, &name).await?;
            let principals: Vec<_> = holdings.into_iter().map(|holding| holding.principal).collect();
            Ok(thing::delete(
                &request.call,
                &name,
                input.expected_version,
                existing.as_ref(),
                &principals,
            )?)
        })
        .await?;
    Ok(nothing())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    #[serde(flatten)]
    pages: Pages,
    attribute_name: Option<String>,
    attribute_value: Option<String>,
    thing_type_name: Option<String>,
    #[serde(default)]
    use_prefix_attribute_value: bool,
}

/// ListThings.
pub(super) async fn list(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: List = input.read()?;
    let page = input.pages.tokens()?;
    let filter = thing::Filter {
        attribute_name: input.attribute_name,
        attribute_value: input.attribute_value,
        value_is_prefix: input.use_prefix_attribute_value,
        type_name: parse_type(input.thing_type_name.as_deref())?,
        billing_group: None,
    }
    .check()?;
    let page = request
        .store()
        .list_things(&request.call.tenant, &filter, page)
        .await?;
    Ok(by_token("things", &page, |thing| {
        object(json!({
            "thingName": thing.name.as_str(),
            "thingArn": arn::thing(&request.call.tenant, &thing.name),
            "thingTypeName": thing.type_name.as_ref().map(|name| name.as_str()),
            "attributes": thing.attributes,
            "version": thing.version,
        }))
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attachment {
    thing_name: String,
    principal: String,
    thing_principal_type: Option<String>,
}

impl Attachment {
    fn parse(&self, request: &Request<'_>) -> Result<(ThingName, CertificateId), ApiFault> {
        Ok((
            parse_name(&self.thing_name)?,
            arn::parse_principal(&request.call.tenant, &self.principal)?,
        ))
    }
}

/// AttachThingPrincipal.
pub(super) async fn attach(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Attachment = input.read()?;
    let (name, certificate) = input.parse(request)?;
    let tenant = &request.call.tenant;
    request
        .decide(async || {
            let store = request.store();
            let facts = principal::AttachFacts {
                thing: store.thing(tenant, &name).await?,
                certificate: store.certificate(tenant, &certificate).await?,
                things_of_certificate: store.things_of(tenant, &certificate).await?,
            };
            let kind = input.thing_principal_type.as_deref();
            let decision = principal::attach(&request.call, &name, &certificate, kind, &facts)?;
            Ok(with_thing_news(decision, &name))
        })
        .await?;
    Ok(nothing())
}

/// DetachThingPrincipal.
pub(super) async fn detach(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let (name, certificate) = input.read::<Attachment>()?.parse(request)?;
    let tenant = &request.call.tenant;
    request
        .decide(async || {
            let things = request.store().things_of(tenant, &certificate).await?;
            let existing = things.iter().find(|attached| attached.record.thing == name);
            let decision = principal::detach(&request.call, &name, &certificate, existing)?;
            Ok(with_thing_news(decision, &name))
        })
        .await?;
    Ok(nothing())
}

/// Live connections ask about their thing, too: a change of its attachments is told to them like one of its attributes.
fn with_thing_news(mut decision: Decision<()>, name: &ThingName) -> Decision<()> {
    if !decision.batch.is_empty() {
        decision.events.push(Event::ThingTrust(name.clone()));
    }
    decision
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListAttached {
    thing_name: Option<String>,
    principal: Option<String>,
    #[serde(flatten)]
    pages: Pages,
    thing_principal_type: Option<String>,
}

impl ListAttached {
    fn admits(&self, attached: &ThingPrincipal) -> bool {
        self.thing_principal_type
            .as_deref()
            .is_none_or(|kind| PrincipalType::parse(kind) == Some(attached.kind))
    }
}

/// ListThingPrincipals.
pub(super) async fn principals(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let tenant = request.call.tenant;
    list_principals(request, input, "principals", |attached| {
        arn::certificate(&tenant, &attached.certificate).into()
    })
    .await
}

/// ListThingPrincipalsV2.
pub(super) async fn principals_v2(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let tenant = request.call.tenant;
    list_principals(request, input, "thingPrincipalObjects", |attached| {
        json!({ "principal": arn::certificate(&tenant, &attached.certificate), "thingPrincipalType": attached.kind.name() })
    })
    .await
}

async fn list_principals(
    request: &Request<'_>,
    input: Input,
    member: &str,
    show: impl Fn(&ThingPrincipal) -> Value,
) -> Result<Answer, ApiFault> {
    let input: ListAttached = input.read()?;
    let name = parse_name(
        input
            .thing_name
            .as_deref()
            .ok_or_else(|| super::missing("thingName"))?,
    )?;
    let tenant = &request.call.tenant;
    let existing = request.store().thing(tenant, &name).await?;
    thing::found(&name, existing.as_ref())?;
    let page = request
        .store()
        .list_thing_principals(tenant, &name, input.pages.tokens()?)
        .await?;
    Ok(attached_answer(&input, member, &page.items, page.next, show))
}

/// ListPrincipalThings.
pub(super) async fn things_of(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    list_things_of(request, input, "things", |attached| {
        attached.thing.as_str().into()
    })
    .await
}

/// ListPrincipalThingsV2.
pub(super) async fn things_of_v2(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    list_things_of(request, input, "principalThingObjects", |attached| {
        json!({ "thingName": attached.thing.as_str(), "thingPrincipalType": attached.kind.name() })
    })
    .await
}

async fn list_things_of(
    request: &Request<'_>,
    input: Input,
    member: &str,
    show: impl Fn(&ThingPrincipal) -> Value,
) -> Result<Answer, ApiFault> {
    let input: ListAttached = input.read()?;
    let tenant = &request.call.tenant;
    let principal = input
        .principal
        .as_deref()
        .ok_or_else(|| super::missing("x-amzn-principal"))?;
    let id = arn::parse_principal(tenant, principal)?;
    let existing = request.store().certificate(tenant, &id).await?;
    certificate::found(&id, existing.as_ref())?;
    let page = request
        .store()
        .list_principal_things(tenant, &id, input.pages.tokens()?)
        .await?;
    Ok(attached_answer(&input, member, &page.items, page.next, show))
}

fn attached_answer(
    input: &ListAttached,
    member: &str,
    items: &[ThingPrincipal],
    next: Option<fleet::page::Marker>,
    show: impl Fn(&ThingPrincipal) -> Value,
) -> Answer {
    let items: Vec<_> = items.iter().filter(|item| input.admits(item)).map(show).collect();
    object(json!({ member: items, "nextToken": next.map(|marker| marker.to_token()) }))
}
