//! Operations on role aliases: by which name a device asks for the temporary access key of a role.
//!
//! They stand between the wire and `fleet::role_alias`.

use fleet::names::RoleAliasName;
use fleet::page::PageRequest;
use fleet::record::{Tag, Versioned};
use fleet::role_alias::{self, RoleAlias};
use fleet::{arn, resource};
use serde::Deserialize;
use serde_json::{Value, json};
use store::Records as _;

use super::listing::{Pages, by_marker, part};
use super::operation::Input;
use super::render::{Answer, nothing};
use super::{Request, TagInput, fault::ApiFault, timestamp};
use crate::footing::Ground;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    role_alias: String,
    role_arn: Option<String>,
    credential_duration_seconds: Option<i64>,
    #[serde(default)]
    tags: Vec<TagInput>,
}

impl Named {
    fn name(&self) -> Result<RoleAliasName, ApiFault> {
        Ok(RoleAliasName::parse(&self.role_alias)?)
    }
}

async fn looked_up(
    request: &Request<'_>,
    name: &RoleAliasName,
) -> Result<Option<Versioned<RoleAlias>>, ApiFault> {
    let tenant = &request.call.tenant;
    Ok(request.store().resource(tenant, name.as_str()).await?)
}

fn arn_of(request: &Request<'_>, name: &str) -> String {
    arn::named(&request.call.tenant, "rolealias", name)
}

fn named(request: &Request<'_>, alias: &RoleAlias) -> Answer {
    json!({ "roleAlias": alias.name, "roleAliasArn": arn_of(request, &alias.name) })
}

/// All of the tenant: there are few.
async fn every(request: &Request<'_>) -> Result<Vec<RoleAlias>, ApiFault> {
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

/// CreateRoleAlias.
pub(super) async fn create(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let name = input.name()?;
    let wanted = role_alias::CreateRequest {
        role_arn: input.role_arn.ok_or_else(|| super::missing("roleArn"))?,
        duration_seconds: input.credential_duration_seconds,
        tags: input.tags.into_iter().map(Tag::from).collect(),
    };
    let made = request
        .decide(async || {
            let existing = looked_up(request, &name).await?;
            let count = every(request).await?.len();
            let wanted = wanted.clone();
            Ok(role_alias::create(
                &request.call,
                &name,
                wanted,
                existing.as_ref(),
                count,
            )?)
        })
        .await?;
    Ok(named(request, &made))
}

/// DescribeRoleAlias.
pub(super) async fn describe(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let name = input.read::<Named>()?.name()?;
    let existing = looked_up(request, &name).await?;
    let found = &resource::found(name.as_str(), existing.as_ref())?.record;
    Ok(json!({ "roleAliasDescription": {
        "roleAlias": found.name,
        "roleAliasArn": arn_of(request, &found.name),
        "roleArn": found.role_arn,
        "owner": request.call.tenant.account.as_str(),
        "credentialDurationSeconds": found.duration_seconds,
        "creationDate": timestamp(found.created),
        "lastModifiedDate": timestamp(found.modified),
    } }))
}

/// UpdateRoleAlias.
pub(super) async fn update(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let name = input.name()?;
    let changed = request
        .decide(async || {
            let existing = looked_up(request, &name).await?;
            Ok(role_alias::update(
                &request.call,
                &name,
                input.role_arn.clone(),
                input.credential_duration_seconds,
                existing.as_ref(),
            )?)
        })
        .await?;
    Ok(named(request, &changed))
}

/// DeleteRoleAlias.
pub(super) async fn delete(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let name = input.read::<Named>()?.name()?;
    request
        .decide(async || {
            let existing = looked_up(request, &name).await?;
            Ok(role_alias::delete(&request.call, &name, existing.as_ref())?)
        })
        .await?;
    let ground = Ground::RoleAlias(request.call.tenant, name.as_str().into());
    request.control.withdraw(ground).await?;
    Ok(nothing())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    #[serde(flatten)]
    pages: Pages,
}

/// ListRoleAliases: in the order of their names, or in the opposite one.
pub(super) async fn list(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let asked = input.read::<List>()?.pages.markers()?;
    let mut names: Vec<String> = every(request)
        .await?
        .into_iter()
        .map(|alias| alias.name)
        .collect();
    names.sort();
    if !asked.ascending {
        names.reverse();
    }
    let page = part(names, asked);
    Ok(by_marker("roleAliases", &page, |name| Value::from(name.as_str())))
}
