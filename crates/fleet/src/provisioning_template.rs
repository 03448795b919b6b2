//! CreateProvisioningTemplate, DescribeProvisioningTemplate, UpdateProvisioningTemplate and DeleteProvisioningTemplate.
//!
//! A named template has a type that never changes: JITP for first connections under a CA, FLEET_PROVISIONING for devices
//! that come with a claim certificate. What it can never carry out is refused here, not at the first device.

use std::sync::Arc;

use crate::batch::{Key, Record, Relation};
use crate::call::{Call, Decided, Decision};
use crate::limits::{HOOK_ARN_BYTES_MAX, TEMPLATE_DESCRIPTION_BYTES_MAX, TEMPLATES_MAX};
use crate::names::{TemplateName, TemplateVersionId};
use crate::record::{ProvisioningHook, ProvisioningTemplate, Tag, TemplateKind, TemplateVersion, Versioned};
use crate::refusal::{Exception, Refusal};
use crate::registration::check_role;
use crate::tags;
use crate::template::Template;

/// The only form of the question to a hook (AWS IoT API reference, ProvisioningHook).
const PAYLOAD_VERSION: &str = "2020-04-01";

/// `preProvisioningHook` as it was sent.
#[derive(Debug, Clone, Default)]
pub struct HookRequest {
    /// `payloadVersion`.
    pub payload_version: Option<String>,
    /// `targetArn`.
    pub target_arn: String,
}

/// What CreateProvisioningTemplate asks for.
#[derive(Debug, Clone, Default)]
pub struct CreateRequest {
    /// `type`.
    pub kind: Option<String>,
    /// `templateBody`.
    pub body: String,
    /// `description`.
    pub description: String,
    /// `enabled`.
    pub enabled: bool,
    /// `provisioningRoleArn`.
    pub role_arn: String,
    /// `preProvisioningHook`.
    pub hook: Option<HookRequest>,
    /// `tags`.
    pub tags: Vec<Tag>,
}

/// What UpdateProvisioningTemplate asks for; `None` leaves things as they are.
#[derive(Debug, Clone, Default)]
pub struct UpdateRequest {
    /// `description`.
    pub description: Option<String>,
    /// `enabled`.
    pub enabled: Option<bool>,
    /// `defaultVersionId`.
    pub default_version: Option<u32>,
    /// `provisioningRoleArn`.
    pub role_arn: Option<String>,
    /// `preProvisioningHook`.
    pub hook: Option<HookRequest>,
    /// `removePreProvisioningHook`.
    pub remove_hook: bool,
}

/// CreateProvisioningTemplate. `count` is how many templates there are.
pub fn create(
    call: &Call,
    name: &TemplateName,
    request: CreateRequest,
    existing: Option<&Versioned<ProvisioningTemplate>>,
    count: u32,
) -> Decided<ProvisioningTemplate> {
    let kind = parse_kind(request.kind.as_deref())?;
    check_role(&request.role_arn)?;
    check_description(&request.description)?;
    check_body(kind, &request.body)?;
    tags::check(&request.tags)?;
    let hook = request.hook.map(check_hook).transpose()?;
    if existing.is_some() {
        return Err(Refusal::new(
            Exception::ResourceAlreadyExists,
            "fleet.provisioning_template.exists",
            format!("provisioning template {name} already exists"),
        )
        .hint("add a version with CreateProvisioningTemplateVersion")
        .existing(name.as_str(), crate::arn::template(&call.tenant, name)));
    }
    if count >= TEMPLATES_MAX {
        return Err(Refusal::new(
            Exception::LimitExceeded,
            "fleet.provisioning_template.limit",
            format!("there are {TEMPLATES_MAX} provisioning templates already"),
        )
        .hint("delete one first (DeleteProvisioningTemplate)"));
    }
    let id = TemplateVersionId(1);
    let template = ProvisioningTemplate {
        name: name.clone(),
        kind,
        description: request.description,
        enabled: request.enabled,
        role_arn: request.role_arn,
        hook,
        versions: vec![TemplateVersion {
            id,
            body: Arc::from(request.body),
            created: call.now,
        }],
        default_version: id,
        last_version: id,
        created: call.now,
        modified: call.now,
        tags: request.tags,
    };
    let mut batch = call.batch();
    batch.insert(Record::Template(template.clone()));
    batch.at_most(Relation::Templates, TEMPLATES_MAX - 1);
    batch
        .audit
        .push(call.entry("template.create", name.as_str(), kind.name()));
    Ok(Decision {
        batch,
        events: Vec::new(),
        reply: template,
    })
}

/// DescribeProvisioningTemplate, and the first step of everything about a named template.
pub fn found<'a>(
    name: &TemplateName,
    existing: Option<&'a Versioned<ProvisioningTemplate>>,
) -> Result<&'a Versioned<ProvisioningTemplate>, Refusal> {
    existing.ok_or_else(|| {
        Refusal::new(
            Exception::ResourceNotFound,
            "fleet.template.missing",
            format!("there is no provisioning template named {name}"),
        )
        .hint("create it first (CreateProvisioningTemplate)")
    })
}

/// UpdateProvisioningTemplate.
pub fn update(
    call: &Call,
    name: &TemplateName,
    request: UpdateRequest,
    existing: Option<&Versioned<ProvisioningTemplate>>,
) -> Decided<()> {
    let existing = found(name, existing)?;
    let mut template = existing.record.clone();
    if let Some(description) = request.description {
        check_description(&description)?;
        template.description = description;
    }
    template.enabled = request.enabled.unwrap_or(template.enabled);
    if let Some(number) = request.default_version {
        let id = TemplateVersionId(number);
        template.version(id).ok_or_else(|| missing_version(name, id))?;
        template.default_version = id;
    }
    if let Some(role) = request.role_arn {
        check_role(&role)?;
        template.role_arn = role;
    }
    if request.remove_hook {
        template.hook = None;
    }
    if let Some(hook) = request.hook {
        template.hook = Some(check_hook(hook)?);
    }
    if template == existing.record {
        return Ok(Decision::unchanged(call, ()));
    }
    let detail = format!(
        "enabled {}, default version {}",
        template.enabled, template.default_version
    );
    Ok(replaced(
        call,
        template,
        existing.version,
        "template.update",
        detail,
        (),
    ))
}

/// DeleteProvisioningTemplate: never while a CA follows it. `is_used` is whether one does.
pub fn delete(
    call: &Call,
    name: &TemplateName,
    existing: Option<&Versioned<ProvisioningTemplate>>,
    is_used: bool,
) -> Decided<()> {
    let existing = found(name, existing)?;
    if is_used {
        return Err(Refusal::new(
            Exception::DeleteConflict,
            "fleet.provisioning_template.in_use",
            format!("provisioning template {name} cannot be deleted: a CA certificate names it"),
        )
        .hint("find it with ListCACertificates --template-name and change its registrationConfig"));
    }
    let mut batch = call.batch();
    batch.delete(Key::Template(name.clone()), existing.version);
    batch.at_most(Relation::CasWithTemplate(name.clone()), 0);
    batch.audit.push(call.entry("template.delete", name.as_str(), ""));
    Ok(Decision {
        batch,
        events: Vec::new(),
        reply: (),
    })
}

/// The template of first connections, read; why it cannot be followed, otherwise.
pub(crate) fn read(
    name: &TemplateName,
    existing: Option<&Versioned<ProvisioningTemplate>>,
) -> Result<Template, Refusal> {
    let template = &found(name, existing)?.record;
    if !template.enabled {
        return Err(Refusal::new(
            Exception::ResourceRegistrationFailure,
            "fleet.provisioning_template.disabled",
            format!("provisioning template {name} is not enabled"),
        )
        .hint("enable it (UpdateProvisioningTemplate --enabled); the device's next connection tries again"));
    }
    let version = template
        .default_body()
        .ok_or_else(|| missing_version(name, template.default_version))?;
    Template::parse(&version.body)
}

/// Refuses a body that a template of this type can never carry out.
pub(crate) fn check_body(kind: TemplateKind, body: &str) -> Result<(), Refusal> {
    let template = Template::parse(body)?;
    match kind {
        TemplateKind::JustInTime => template.lint(),
        TemplateKind::FleetProvisioning => template.lint_for_claims(),
    }
}

/// A template in the place of the one before.
pub(crate) fn replaced<R>(
    call: &Call,
    mut template: ProvisioningTemplate,
    version: u64,
    action: &'static str,
    detail: String,
    reply: R,
) -> Decision<R> {
    template.modified = call.now;
    let mut batch = call.batch();
    batch
        .audit
        .push(call.entry(action, template.name.as_str(), detail));
    batch.replace(Record::Template(template), version);
    Decision {
        batch,
        events: Vec::new(),
        reply,
    }
}

pub(crate) fn missing_version(name: &TemplateName, id: TemplateVersionId) -> Refusal {
    Refusal::new(
        Exception::ResourceNotFound,
        "fleet.provisioning_template.version_missing",
        format!("provisioning template {name} has no version {id}"),
    )
}

fn parse_kind(text: Option<&str>) -> Result<TemplateKind, Refusal> {
    let Some(text) = text else {
        return Ok(TemplateKind::default());
    };
    TemplateKind::parse(text).ok_or_else(|| {
        let shown: String = text.chars().take(32).collect();
        wrong(format!("\"{shown}\" is not a type of provisioning templates"))
            .hint("the types are FLEET_PROVISIONING and JITP")
    })
}

fn check_description(text: &str) -> Result<(), Refusal> {
    if text.len() <= TEMPLATE_DESCRIPTION_BYTES_MAX && !text.contains(char::is_control) {
        return Ok(());
    }
    Err(wrong(format!(
        "the description has more than {TEMPLATE_DESCRIPTION_BYTES_MAX} bytes or holds control characters"
    )))
}

/// AWS has hooks of the type FLEET_PROVISIONING alone; here a template of the type JITP may have one as well.
fn check_hook(hook: HookRequest) -> Result<ProvisioningHook, Refusal> {
    let payload_version = hook.payload_version.unwrap_or_else(|| PAYLOAD_VERSION.to_owned());
    if payload_version != PAYLOAD_VERSION {
        return Err(wrong("the payloadVersion of the hook is not known".to_owned())
            .hint("the only version is 2020-04-01"));
    }
    if hook.target_arn.is_empty() || hook.target_arn.len() > HOOK_ARN_BYTES_MAX {
        return Err(wrong(format!(
            "the targetArn of the hook has 1 to {HOOK_ARN_BYTES_MAX} bytes, not {}",
            hook.target_arn.len()
        )));
    }
    Ok(ProvisioningHook {
        payload_version,
        target_arn: hook.target_arn,
    })
}

fn wrong(reason: String) -> Refusal {
    Refusal::new(
        Exception::InvalidRequest,
        "fleet.provisioning_template.request",
        reason,
    )
}
