//! Operations on named provisioning templates and their versions.
//!
//! They stand between the wire and `fleet::provisioning_template` and `fleet::provisioning_template_versions`. What carries a
//! template out is in `register_thing`.

use fleet::names::{TemplateName, TemplateVersionId};
use fleet::provisioning_template::{self as template, HookRequest};
use fleet::record::{ProvisioningTemplate, Tag, Versioned};
use fleet::{arn, provisioning_template_versions as template_versions};
use serde::Deserialize;
use serde_json::{Value, json};
use store::Records as _;

use super::listing::{Pages, by_token, part};
use super::operation::Input;
use super::render::{Answer, nothing, object};
use super::{Request, TagInput, fault::ApiFault, timestamp};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hook {
    payload_version: Option<String>,
    #[serde(default)]
    target_arn: String,
}

impl From<Hook> for HookRequest {
    fn from(hook: Hook) -> Self {
        Self {
            payload_version: hook.payload_version,
            target_arn: hook.target_arn,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Create {
    template_name: String,
    template_body: String,
    provisioning_role_arn: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    enabled: bool,
    pre_provisioning_hook: Option<Hook>,
    #[serde(default)]
    tags: Vec<TagInput>,
    r#type: Option<String>,
}

/// CreateProvisioningTemplate.
pub(super) async fn create(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Create = input.read()?;
    let name = TemplateName::parse(&input.template_name)?;
    check_hook(request, input.pre_provisioning_hook.as_ref())?;
    let wanted = template::CreateRequest {
        kind: input.r#type,
        body: input.template_body,
        description: input.description,
        enabled: input.enabled,
        role_arn: input.provisioning_role_arn,
        hook: input.pre_provisioning_hook.map(HookRequest::from),
        tags: input.tags.into_iter().map(Tag::from).collect(),
    };
    let made = request
        .decide(async || {
            let existing = request.store().template(&request.call.tenant, &name).await?;
            let count = request.store().template_count(&request.call.tenant).await?;
            let wanted = wanted.clone();
            Ok(template::create(
                &request.call,
                &name,
                wanted,
                existing.as_ref(),
                count,
            )?)
        })
        .await?;
    request.control.authorities_changed();
    Ok(json!({
        "templateArn": arn::template(&request.call.tenant, &name),
        "templateName": name.as_str(),
        "defaultVersionId": made.default_version.0,
    }))
}

/// A hook that nobody can ask would refuse every device.
fn check_hook(request: &Request<'_>, hook: Option<&Hook>) -> Result<(), ApiFault> {
    if let Some(hook) = hook {
        request
            .control
            .webhooks
            .find(&request.call.tenant, &hook.target_arn)?;
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    template_name: String,
    version_id: Option<String>,
    #[serde(flatten)]
    pages: Pages,
}

impl Named {
    fn name(&self) -> Result<TemplateName, ApiFault> {
        Ok(TemplateName::parse(&self.template_name)?)
    }

    fn version(&self) -> Result<TemplateVersionId, ApiFault> {
        let text = self.version_id.as_deref().unwrap_or_default();
        text.parse().map(TemplateVersionId).map_err(|_| {
            ApiFault::invalid(
                "cloud.api.template_version",
                "versionId is the number of a version",
            )
        })
    }
}

async fn looked_up(
    request: &Request<'_>,
    name: &TemplateName,
) -> Result<Option<Versioned<ProvisioningTemplate>>, ApiFault> {
    Ok(request.store().template(&request.call.tenant, name).await?)
}

/// DescribeProvisioningTemplate.
pub(super) async fn describe(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let name = input.read::<Named>()?.name()?;
    let existing = looked_up(request, &name).await?;
    let found = &template::found(&name, existing.as_ref())?.record;
    let mut shown = summary(request, found);
    if let Value::Object(shown) = &mut shown {
        let body = found.default_body().map(|version| &*version.body);
        shown.insert("defaultVersionId".into(), found.default_version.0.into());
        shown.insert("templateBody".into(), body.into());
        shown.insert("provisioningRoleArn".into(), found.role_arn.as_str().into());
        let hook = found
            .hook
            .as_ref()
            .map(|hook| json!({ "payloadVersion": hook.payload_version, "targetArn": hook.target_arn }));
        shown.insert("preProvisioningHook".into(), hook.into());
    }
    Ok(object(shown))
}

fn summary(request: &Request<'_>, template: &ProvisioningTemplate) -> Value {
    json!({
        "templateArn": arn::template(&request.call.tenant, &template.name),
        "templateName": template.name.as_str(),
        "description": template.description,
        "creationDate": timestamp(template.created),
        "lastModifiedDate": timestamp(template.modified),
        "enabled": template.enabled,
        "type": template.kind.name(),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Update {
    template_name: String,
    description: Option<String>,
    enabled: Option<bool>,
    default_version_id: Option<u32>,
    provisioning_role_arn: Option<String>,
    pre_provisioning_hook: Option<Hook>,
    #[serde(default)]
    remove_pre_provisioning_hook: bool,
}

/// UpdateProvisioningTemplate.
pub(super) async fn update(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Update = input.read()?;
    let name = TemplateName::parse(&input.template_name)?;
    check_hook(request, input.pre_provisioning_hook.as_ref())?;
    let wanted = template::UpdateRequest {
        description: input.description,
        enabled: input.enabled,
        default_version: input.default_version_id,
        role_arn: input.provisioning_role_arn,
        hook: input.pre_provisioning_hook.map(HookRequest::from),
        remove_hook: input.remove_pre_provisioning_hook,
    };
    request
        .decide(async || {
            let existing = looked_up(request, &name).await?;
            Ok(template::update(
                &request.call,
                &name,
                wanted.clone(),
                existing.as_ref(),
            )?)
        })
        .await?;
    request.control.authorities_changed();
    Ok(nothing())
}

/// DeleteProvisioningTemplate.
pub(super) async fn delete(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let name = input.read::<Named>()?.name()?;
    request
        .decide(async || {
            let existing = looked_up(request, &name).await?;
            let is_used = request
                .store()
                .is_template_used(&request.call.tenant, &name)
                .await?;
            Ok(template::delete(
                &request.call,
                &name,
                existing.as_ref(),
                is_used,
            )?)
        })
        .await?;
    request.control.authorities_changed();
    Ok(nothing())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    #[serde(flatten)]
    pages: Pages,
}

/// ListProvisioningTemplates.
pub(super) async fn list(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let page = input.read::<List>()?.pages.tokens()?;
    let page = request.store().list_templates(&request.call.tenant, page).await?;
    Ok(by_token("templates", &page, |template| {
        summary(request, template)
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateVersion {
    template_name: String,
    template_body: String,
    #[serde(default)]
    set_as_default: bool,
}

/// CreateProvisioningTemplateVersion.
pub(super) async fn create_version(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: CreateVersion = input.read()?;
    let name = TemplateName::parse(&input.template_name)?;
    let id = request
        .decide(async || {
            let existing = looked_up(request, &name).await?;
            let (body, default) = (&input.template_body, input.set_as_default);
            Ok(template_versions::create(
                &request.call,
                &name,
                body,
                default,
                existing.as_ref(),
            )?)
        })
        .await?;
    request.control.authorities_changed();
    Ok(json!({
        "templateArn": arn::template(&request.call.tenant, &name),
        "templateName": name.as_str(),
        "versionId": id.0,
        "isDefaultVersion": input.set_as_default,
    }))
}

/// DescribeProvisioningTemplateVersion.
pub(super) async fn describe_version(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let (name, id) = (input.name()?, input.version()?);
    let existing = looked_up(request, &name).await?;
    let (template, version) = template_versions::version(&name, id, existing.as_ref())?;
    Ok(json!({
        "versionId": id.0,
        "creationDate": timestamp(version.created),
        "templateBody": &*version.body,
        "isDefaultVersion": template.default_version == id,
    }))
}

/// ListProvisioningTemplateVersions: there are at most five, so one page holds them unless fewer are asked for.
pub(super) async fn versions(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let name = input.name()?;
    let page = input.pages.tokens()?;
    let existing = looked_up(request, &name).await?;
    let template = &template::found(&name, existing.as_ref())?.record;
    let page = part(template.versions.iter().collect(), page);
    Ok(by_token("versions", &page, |version| {
        json!({
            "versionId": version.id.0,
            "creationDate": timestamp(version.created),
            "isDefaultVersion": template.default_version == version.id,
        })
    }))
}

/// DeleteProvisioningTemplateVersion.
pub(super) async fn delete_version(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let (name, id) = (input.name()?, input.version()?);
    request
        .decide(async || {
            let existing = looked_up(request, &name).await?;
            Ok(template_versions::delete(
                &request.call,
                &name,
                id,
                existing.as_ref(),
            )?)
        })
        .await?;
    request.control.authorities_changed();
    Ok(nothing())
}
