//! The four operations on versions of a named provisioning template.
//!
//! A template has at most five versions, numbers are never used twice, and one of them counts.

use std::sync::Arc;

use crate::call::{Call, Decided};
use crate::limits::TEMPLATE_VERSIONS_MAX;
use crate::names::{TemplateName, TemplateVersionId};
use crate::provisioning_template::{check_body, found, missing_version, replaced};
use crate::record::{ProvisioningTemplate, TemplateVersion, Versioned};
use crate::refusal::{Exception, Refusal};

/// CreateProvisioningTemplateVersion.
pub fn create(
    call: &Call,
    name: &TemplateName,
    body: &str,
    set_as_default: bool,
    existing: Option<&Versioned<ProvisioningTemplate>>,
) -> Decided<TemplateVersionId> {
    let existing = found(name, existing)?;
    let mut template = existing.record.clone();
    check_body(template.kind, body)?;
    if template.versions.len() >= TEMPLATE_VERSIONS_MAX {
        return Err(Refusal::new(
            Exception::VersionsLimitExceeded,
            "fleet.provisioning_template.versions",
            format!("provisioning template {name} has {TEMPLATE_VERSIONS_MAX} versions already"),
        )
        .hint("delete one first (DeleteProvisioningTemplateVersion)"));
    }
    let id = TemplateVersionId(template.last_version.0 + 1);
    template.versions.push(TemplateVersion {
        id,
        body: Arc::from(body),
        created: call.now,
    });
    template.last_version = id;
    if set_as_default {
        template.default_version = id;
    }
    let detail = format!("version {id}, default {set_as_default}");
    Ok(replaced(
        call,
        template,
        existing.version,
        "template.version.create",
        detail,
        id,
    ))
}

/// DescribeProvisioningTemplateVersion.
pub fn version<'a>(
    name: &TemplateName,
    id: TemplateVersionId,
    existing: Option<&'a Versioned<ProvisioningTemplate>>,
) -> Result<(&'a ProvisioningTemplate, &'a TemplateVersion), Refusal> {
    let template = &found(name, existing)?.record;
    let version = template.version(id).ok_or_else(|| missing_version(name, id))?;
    Ok((template, version))
}

/// DeleteProvisioningTemplateVersion: never of the one that counts.
pub fn delete(
    call: &Call,
    name: &TemplateName,
    id: TemplateVersionId,
    existing: Option<&Versioned<ProvisioningTemplate>>,
) -> Decided<()> {
    version(name, id, existing)?;
    let existing = found(name, existing)?;
    if existing.record.default_version == id {
        return Err(Refusal::new(
            Exception::DeleteConflict,
            "fleet.provisioning_template.default_version",
            format!(
                "version {id} of provisioning template {name} cannot be deleted: it is the default version"
            ),
        )
        .hint("make another version the default first (UpdateProvisioningTemplate)"));
    }
    let mut template = existing.record.clone();
    template.versions.retain(|version| version.id != id);
    let detail = format!("version {id}");
    Ok(replaced(
        call,
        template,
        existing.version,
        "template.version.delete",
        detail,
        (),
    ))
}
