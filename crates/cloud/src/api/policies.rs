//! Operations on policies, their versions, and the certificates that they are attached to.
//!
//! They stand between the wire and `fleet::policies`, `fleet::policy_versions` and `fleet::attachment`.

use fleet::names::{PolicyName, PolicyVersionId};
use fleet::page::PageRequest;
use fleet::record::{Policy, PolicyTarget, PolicyVersion, Tag};
use fleet::{arn, attachment, certificate, policies, policy_versions, thing_group};
use serde::Deserialize;
use serde_json::json;
use store::Records as _;

use super::listing::{Pages, by_marker, part};
use super::operation::Input;
use super::render::{Answer, nothing, object};
use super::{Request, TagInput, fault::ApiFault, timestamp};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Create {
    policy_name: String,
    policy_document: String,
    #[serde(default)]
    tags: Vec<TagInput>,
    #[serde(default)]
    set_as_default: bool,
}

/// CreatePolicy.
pub(super) async fn create(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Create = input.read()?;
    let name = PolicyName::parse(&input.policy_name)?;
    let tags: Vec<Tag> = input.tags.into_iter().map(Tag::from).collect();
    let made = request
        .decide(async || {
            let existing = request.store().policy(&request.call.tenant, &name).await?;
            Ok(policies::create(
                &request.call,
                &name,
                &input.policy_document,
                tags.clone(),
                existing.as_ref(),
            )?)
        })
        .await?;
    Ok(json!({
        "policyName": name.as_str(),
        "policyArn": arn::policy(&request.call.tenant, &name),
        "policyDocument": input.policy_document,
        "policyVersionId": made.default_version.to_string(),
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    policy_name: String,
    policy_version_id: Option<String>,
}

impl Named {
    fn name(&self) -> Result<PolicyName, ApiFault> {
        Ok(PolicyName::parse(&self.policy_name)?)
    }

    fn version(&self) -> Result<PolicyVersionId, ApiFault> {
        let text = self
            .policy_version_id
            .as_deref()
            .ok_or_else(|| super::missing("policyVersionId"))?;
        Ok(PolicyVersionId::parse(text)?)
    }
}

/// GetPolicy.
pub(super) async fn fetch(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let name = input.read::<Named>()?.name()?;
    let existing = request.store().policy(&request.call.tenant, &name).await?;
    let policy = &policies::found(&name, existing.as_ref())?.record;
    Ok(object(json!({
        "policyName": name.as_str(),
        "policyArn": arn::policy(&request.call.tenant, &name),
        "policyDocument": policy.default_document().map(|version| &*version.document),
        "defaultVersionId": policy.default_version.to_string(),
        "creationDate": timestamp(policy.created),
        "lastModifiedDate": timestamp(policy.modified),
        "generationId": generation_id(policy),
    })))
}

/// Changes when a policy is deleted and made again under the same name.
fn generation_id(policy: &Policy) -> String {
    let seed = format!("{}/{}", policy.name, policy.created.0);
    super::hex(&identity::crypto::sha256(seed.as_bytes()))
}

/// ListPolicies.
pub(super) async fn list(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let page = input.read::<Page>()?.pages.markers()?;
    let page = request.store().list_policies(&request.call.tenant, page).await?;
    Ok(by_marker("policies", &page, |name| shown(request, name)))
}

fn shown(request: &Request<'_>, name: &PolicyName) -> Answer {
    json!({ "policyName": name.as_str(), "policyArn": arn::policy(&request.call.tenant, name) })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(flatten)]
    pages: Pages,
    #[serde(default)]
    recursive: bool,
    #[serde(default)]
    policy_name: String,
    #[serde(default, alias = "principal")]
    target: String,
}

/// DeletePolicy.
pub(super) async fn delete(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let name = input.read::<Named>()?.name()?;
    let tenant = &request.call.tenant;
    request
        .decide(async || {
            let existing = request.store().policy(tenant, &name).await?;
            let targets = request
                .store()
                .list_targets(tenant, &name, PageRequest::first())
                .await?;
            let has_targets = !targets.items.is_empty();
            Ok(policies::delete(
                &request.call,
                &name,
                existing.as_ref(),
                has_targets,
            )?)
        })
        .await?;
    Ok(nothing())
}

/// CreatePolicyVersion.
pub(super) async fn create_version(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Create = input.read()?;
    let name = PolicyName::parse(&input.policy_name)?;
    let made: PolicyVersion = request
        .decide(async || {
            let existing = request.store().policy(&request.call.tenant, &name).await?;
            let (document, default) = (&input.policy_document, input.set_as_default);
            Ok(policy_versions::create(
                &request.call,
                &name,
                document,
                default,
                existing.as_ref(),
            )?)
        })
        .await?;
    Ok(json!({
        "policyArn": arn::policy(&request.call.tenant, &name),
        "policyDocument": &*made.document,
        "policyVersionId": made.id.to_string(),
        "isDefaultVersion": input.set_as_default,
    }))
}

/// GetPolicyVersion.
pub(super) async fn fetch_version(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let (name, id) = (input.name()?, input.version()?);
    let existing = request.store().policy(&request.call.tenant, &name).await?;
    let (policy, version) = policy_versions::version(&name, id, existing.as_ref())?;
    Ok(json!({
        "policyArn": arn::policy(&request.call.tenant, &name),
        "policyName": name.as_str(),
        "policyDocument": &*version.document,
        "policyVersionId": id.to_string(),
        "isDefaultVersion": policy.default_version == id,
        "creationDate": timestamp(version.created),
        "lastModifiedDate": timestamp(version.created),
        "generationId": generation_id(policy),
    }))
}

/// ListPolicyVersions.
pub(super) async fn versions(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let name = input.read::<Named>()?.name()?;
    let existing = request.store().policy(&request.call.tenant, &name).await?;
    let policy = &policies::found(&name, existing.as_ref())?.record;
    let items = policy.versions.iter().rev().map(|version| {
        json!({
            "versionId": version.id.to_string(),
            "isDefaultVersion": policy.default_version == version.id,
            "createDate": timestamp(version.created),
        })
    });
    Ok(json!({ "policyVersions": items.collect::<Vec<_>>() }))
}

/// SetDefaultPolicyVersion.
pub(super) async fn set_default_version(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let (name, id) = (input.name()?, input.version()?);
    request
        .decide(async || {
            let existing = request.store().policy(&request.call.tenant, &name).await?;
            Ok(policy_versions::set_default(
                &request.call,
                &name,
                id,
                existing.as_ref(),
            )?)
        })
        .await?;
    Ok(nothing())
}

/// DeletePolicyVersion.
pub(super) async fn delete_version(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let (name, id) = (input.name()?, input.version()?);
    request
        .decide(async || {
            let existing = request.store().policy(&request.call.tenant, &name).await?;
            Ok(policy_versions::delete(
                &request.call,
                &name,
                id,
                existing.as_ref(),
            )?)
        })
        .await?;
    Ok(nothing())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attachment {
    policy_name: String,
    #[serde(alias = "principal")]
    target: String,
}

impl Attachment {
    fn parse(&self, request: &Request<'_>) -> Result<(PolicyName, PolicyTarget), ApiFault> {
        Ok((
            PolicyName::parse(&self.policy_name)?,
            arn::parse_target(&request.call.tenant, &self.target)?,
        ))
    }
}

/// AttachPolicy and AttachPrincipalPolicy.
pub(super) async fn attach(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let (name, target) = input.read::<Attachment>()?.parse(request)?;
    let tenant = &request.call.tenant;
    if let PolicyTarget::Group(group) = &target {
        super::dynamic_groups::check_static(request, group).await?;
    }
    request
        .decide(async || {
            let store = request.store();
            let attached = store.policies_of(tenant, &target).await?;
            let facts = attachment::AttachFacts {
                policy: store.policy(tenant, &name).await?,
                certificate: match &target {
                    PolicyTarget::Certificate(id) => store.certificate(tenant, id).await?,
                    PolicyTarget::Group(_) => None,
                },
                group: match &target {
                    PolicyTarget::Group(name) => store.group_lineage(tenant, name).await?.into_iter().next(),
                    PolicyTarget::Certificate(_) => None,
                },
                policies_of_target: u32::try_from(attached.len()).unwrap_or(u32::MAX),
                existing: attached
                    .into_iter()
                    .find(|attached| attached.record.policy == name),
            };
            Ok(attachment::attach(&request.call, &name, &target, &facts)?)
        })
        .await?;
    Ok(nothing())
}

/// DetachPolicy.
pub(super) async fn detach(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let (name, target) = input.read::<Attachment>()?.parse(request)?;
    request
        .decide(async || {
            let attached = request.store().policies_of(&request.call.tenant, &target).await?;
            let existing = attached.iter().find(|attached| attached.record.policy == name);
            let is_there = existing.is_some() || is_there(request, &target).await?;
            let call = &request.call;
            Ok(attachment::detach_if_attached(
                call, &name, &target, existing, is_there,
            )?)
        })
        .await?;
    Ok(nothing())
}

/// DetachPrincipalPolicy.
pub(super) async fn detach_principal(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let (name, target) = input.read::<Attachment>()?.parse(request)?;
    request
        .decide(async || {
            let attached = request.store().policies_of(&request.call.tenant, &target).await?;
            let existing = attached.iter().find(|attached| attached.record.policy == name);
            Ok(attachment::detach(&request.call, &name, &target, existing)?)
        })
        .await?;
    Ok(nothing())
}

/// ListAttachedPolicies and ListPrincipalPolicies.
pub(super) async fn attached(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Page = input.read()?;
    let target = arn::parse_target(&request.call.tenant, &input.target)?;
    let tenant = &request.call.tenant;
    let asked = input.pages.markers()?;
    check_target(request, &target).await?;
    let page = match &target {
        PolicyTarget::Group(group) if input.recursive => {
            let above = request.store().policies_of_group(tenant, group).await?;
            part(above.into_iter().map(|attached| attached.name).collect(), asked)
        }
        _ => {
            request
                .store()
                .list_attached_policies(tenant, &target, asked)
                .await?
        }
    };
    Ok(by_marker("policies", &page, |name| shown(request, name)))
}

/// Whether there is such a target.
async fn is_there(request: &Request<'_>, target: &PolicyTarget) -> Result<bool, ApiFault> {
    let (tenant, store) = (&request.call.tenant, request.store());
    Ok(match target {
        PolicyTarget::Certificate(id) => store.certificate(tenant, id).await?.is_some(),
        PolicyTarget::Group(name) => !store.group_lineage(tenant, name).await?.is_empty(),
    })
}

/// Refuses a target that is not there.
async fn check_target(request: &Request<'_>, target: &PolicyTarget) -> Result<(), ApiFault> {
    let (tenant, store) = (&request.call.tenant, request.store());
    match target {
        PolicyTarget::Certificate(id) => {
            certificate::found(id, store.certificate(tenant, id).await?.as_ref())?;
        }
        PolicyTarget::Group(name) => {
            thing_group::found(name, store.group_lineage(tenant, name).await?.first())?;
        }
    }
    Ok(())
}

/// ListTargetsForPolicy.
pub(super) async fn targets(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    list_targets(request, input, "targets").await
}

/// ListPolicyPrincipals: the same under an older name.
pub(super) async fn policy_principals(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    list_targets(request, input, "principals").await
}

async fn list_targets(request: &Request<'_>, input: Input, member: &str) -> Result<Answer, ApiFault> {
    let input: Page = input.read()?;
    let name = PolicyName::parse(&input.policy_name)?;
    let tenant = &request.call.tenant;
    let existing = request.store().policy(tenant, &name).await?;
    policies::found(&name, existing.as_ref())?;
    let page = request
        .store()
        .list_targets(tenant, &name, input.pages.markers()?)
        .await?;
    Ok(by_marker(member, &page, |item| arn::target(tenant, item).into()))
}
