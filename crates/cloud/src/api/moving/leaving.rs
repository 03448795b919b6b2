//! GET /birthmark/export: a page of one kind of resource, each with what hangs on it.

use fleet::billing_group::BillingGroup;
use fleet::import::Line;
use fleet::names::{GroupName, PolicyName};
use fleet::page::{Marker, Page, PageRequest};
use fleet::record::{DeviceCertificate, PolicyTarget, Thing, ThingGroup};
use fleet::thing_type::ThingType;
use identity::Tenant;
use serde::Deserialize;
use serde_json::{Value, json};
use store::{GroupFilter, LocalRecords, Records as _};

use super::lines;
use crate::api::Request;
use crate::api::fault::ApiFault;
use crate::api::operation::Input;
use crate::api::render::{Answer, object};
use crate::limits::EXPORT_LINES_MAX;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    kind: String,
    count: Option<i64>,
    next_token: Option<String>,
}

/// A page, oldest first; resources that others name come before them if kinds are asked for in the order of the import.
pub(in crate::api) async fn export(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let asked: Asked = input.read()?;
    let count = asked.count.unwrap_or(250);
    let size = u16::try_from(count)
        .ok()
        .filter(|count| (1..=EXPORT_LINES_MAX).contains(count));
    let size = size
        .ok_or_else(|| ApiFault::invalid("cloud.api.count", format!("count is 1 to {EXPORT_LINES_MAX}")))?;
    let page = PageRequest {
        size,
        after: asked.next_token.as_deref().map(Marker::parse).transpose()?,
        ascending: true,
    };
    let (found, next) = lines_of(request, &asked.kind, page).await?;
    let shown: Vec<Value> = found.iter().map(lines::write).collect();
    Ok(object(
        json!({ "lines": shown, "nextToken": next.map(Marker::to_token) }),
    ))
}

type Found = Result<(Vec<Line>, Option<Marker>), ApiFault>;

async fn lines_of(request: &Request<'_>, kind: &str, page: PageRequest) -> Found {
    let (store, tenant) = (request.store(), &request.call.tenant);
    match kind {
        "thing-type" => Ok(plain(
            store.list_resources::<ThingType>(tenant, "", page).await?,
            Line::ThingType,
        )),
        "billing-group" => Ok(plain(
            store.list_resources::<BillingGroup>(tenant, "", page).await?,
            Line::BillingGroup,
        )),
        "ca" => Ok(plain(store.list_cas(tenant, page).await?, Line::Ca)),
        "policy" => {
            let names = store.list_policies(tenant, page).await?;
            let mut found = Vec::with_capacity(names.items.len());
            for name in &names.items {
                found.extend(
                    store
                        .policy(tenant, name)
                        .await?
                        .map(|policy| Line::Policy(policy.record)),
                );
            }
            Ok((found, names.next))
        }
        "template" => {
            let heads = store.list_templates(tenant, page).await?;
            let mut found = Vec::with_capacity(heads.items.len());
            for head in &heads.items {
                let whole = store.template(tenant, &head.name).await?;
                found.extend(whole.map(|template| Line::Template(template.record)));
            }
            Ok((found, heads.next))
        }
        "group" => {
            let filter = GroupFilter {
                recursive: true,
                ..GroupFilter::default()
            };
            let groups = store.list_groups(tenant, &filter, page).await?;
            let mut found = Vec::with_capacity(groups.items.len());
            for group in groups.items {
                found.push(group_line(store, tenant, group).await?);
            }
            Ok((found, groups.next))
        }
        "thing" => {
            let things = store
                .list_things(tenant, &fleet::thing::Filter::default(), page)
                .await?;
            let mut found = Vec::with_capacity(things.items.len());
            for thing in things.items {
                found.push(thing_line(store, tenant, thing).await?);
            }
            Ok((found, things.next))
        }
        "certificate" => {
            let certificates = store.list_certificates(tenant, page).await?;
            let mut found = Vec::with_capacity(certificates.items.len());
            for certificate in certificates.items {
                found.push(certificate_line(store, tenant, certificate).await?);
            }
            Ok((found, certificates.next))
        }
        _ => Err(ApiFault::invalid(
            "cloud.api.kind",
            "kind is thing-type, billing-group, policy, template, ca, group, thing or certificate",
        )),
    }
}

fn plain<T>(page: Page<T>, line: impl Fn(T) -> Line) -> (Vec<Line>, Option<Marker>) {
    (page.items.into_iter().map(line).collect(), page.next)
}

/// A group with its policies.
pub(super) async fn group_line(
    store: &LocalRecords,
    tenant: &Tenant,
    group: ThingGroup,
) -> Result<Line, ApiFault> {
    let policies = policies(store, tenant, &PolicyTarget::Group(group.name.clone())).await?;
    Ok(Line::Group(group, policies))
}

/// A thing with its groups.
pub(super) async fn thing_line(
    store: &LocalRecords,
    tenant: &Tenant,
    thing: Thing,
) -> Result<Line, ApiFault> {
    let memberships = store.groups_of(tenant, &thing.name).await?;
    let groups: Vec<GroupName> = memberships
        .into_iter()
        .map(|membership| membership.member.record.group)
        .collect();
    Ok(Line::Thing(thing, groups))
}

/// A certificate with its policies and things.
pub(super) async fn certificate_line(
    store: &LocalRecords,
    tenant: &Tenant,
    certificate: DeviceCertificate,
) -> Result<Line, ApiFault> {
    let policies = policies(store, tenant, &PolicyTarget::Certificate(certificate.id)).await?;
    let things = store.things_of(tenant, &certificate.id).await?;
    let things = things
        .into_iter()
        .map(|held| (held.record.thing, held.record.kind))
        .collect();
    Ok(Line::Certificate(certificate, policies, things))
}

async fn policies(
    store: &LocalRecords,
    tenant: &Tenant,
    target: &PolicyTarget,
) -> Result<Vec<PolicyName>, ApiFault> {
    let attached = store.policies_of(tenant, target).await?;
    Ok(attached
        .into_iter()
        .map(|attachment| attachment.record.policy)
        .collect())
}
