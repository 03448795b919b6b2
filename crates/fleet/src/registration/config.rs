//! `registrationConfig`: which template a first connection under a CA follows, and whether it can work.

use std::collections::BTreeSet;

use identity::certificate::Certificate;

use crate::batch::{Batch, Key};
use crate::limits::{ROLE_ARN_BYTES_MAX, ROLE_ARN_BYTES_MIN};
use crate::names::{PolicyName, TemplateName};
use crate::provisioning_template;
use crate::record::{ProvisioningTemplate, RegistrationConfig, TemplateKind, Versioned};
use crate::refusal::{Exception, Refusal};
use crate::template::Template;

/// `registrationConfig` as it was sent.
#[derive(Debug, Clone, Default)]
pub struct ConfigRequest {
    /// `templateBody`.
    pub template_body: Option<String>,
    /// `templateName`.
    pub template_name: Option<String>,
    /// `roleArn`.
    pub role_arn: Option<String>,
}

impl ConfigRequest {
    /// The policies that its template names: what to look for. Empty when there is no template or it is broken, which is
    /// told later.
    pub fn policy_names(&self) -> Vec<PolicyName> {
        let template = self
            .template_body
            .as_deref()
            .and_then(|body| Template::parse(body).ok());
        template
            .map(|template| template.named_policies())
            .unwrap_or_default()
    }
}

/// What is known about the things that a `registrationConfig` names.
#[derive(Debug, Clone, Default)]
pub struct ConfigFacts {
    /// Those of [`ConfigRequest::policy_names`] that exist.
    pub policies: BTreeSet<PolicyName>,
    /// The template of `templateName`, if there is one.
    pub template: Option<Versioned<ProvisioningTemplate>>,
    /// A certificate such as devices will bring, if the caller gave one: the template is then checked against it.
    pub sample: Option<Certificate>,
    /// Whether policies that do not exist are refused (profile `self-host`); AWS finds out at the first connection.
    pub strict: bool,
}

/// Check f: template body or name, role, and the lint of the template.
pub(crate) fn check_config(
    config: ConfigRequest,
    facts: &ConfigFacts,
    batch: &mut Batch,
) -> Result<RegistrationConfig, Refusal> {
    let wrong = |reason: &str| Refusal::new(Exception::InvalidRequest, "fleet.ca.config", reason);
    if let Some(role) = &config.role_arn {
        check_role(role)?;
    }
    let Some(body) = &config.template_body else {
        let Some(name) = &config.template_name else {
            return Err(wrong("the registrationConfig names no template")
                .hint("give templateBody and roleArn, or leave registrationConfig out"));
        };
        return named(TemplateName::parse(name)?, config.role_arn, facts, batch);
    };
    if config.template_name.is_some() {
        return Err(
            wrong("the registrationConfig has both templateBody and templateName")
                .hint("give one of the two"),
        );
    }
    if config.role_arn.is_none() {
        return Err(wrong("the registrationConfig has a templateBody but no roleArn")
            .hint("any well-formed role ARN will do here: it is kept and echoed, not assumed"));
    }
    let template = Template::parse(body)?;
    template.lint()?;
    if let Some(sample) = &facts.sample {
        template.check_against(sample)?;
    }
    if facts.strict
        && let Some(warning) = unknown_policies(&config, facts).into_iter().next()
    {
        return Err(Refusal::new(
            Exception::ResourceNotFound,
            "fleet.template.policy_missing",
            warning,
        )
        .hint("create the policy first (CreatePolicy)"));
    }
    Ok(RegistrationConfig {
        template_body: config.template_body,
        template_name: None,
        role_arn: config.role_arn,
    })
}

/// A template that is named must be there, be meant for first connections, and stay so until the CA is kept.
fn named(
    name: TemplateName,
    role_arn: Option<String>,
    facts: &ConfigFacts,
    batch: &mut Batch,
) -> Result<RegistrationConfig, Refusal> {
    let template = provisioning_template::found(&name, facts.template.as_ref())?;
    if template.record.kind != TemplateKind::JustInTime {
        return Err(Refusal::new(
            Exception::InvalidRequest,
            "fleet.ca.template_type",
            format!(
                "provisioning template {name} has the type {}",
                template.record.kind.name()
            ),
        )
        .hint("a CA needs a template of the type JITP"));
    }
    batch.check(Key::Template(name.clone()), template.version);
    Ok(RegistrationConfig {
        template_body: None,
        template_name: Some(name),
        role_arn,
    })
}

pub(super) fn unknown_policies(config: &ConfigRequest, facts: &ConfigFacts) -> Vec<String> {
    let unknown = config
        .policy_names()
        .into_iter()
        .filter(|name| !facts.policies.contains(name));
    unknown
        .map(|name| format!("the template names the policy {name}, which does not exist"))
        .collect()
}

pub(crate) fn check_role(role: &str) -> Result<(), Refusal> {
    if (ROLE_ARN_BYTES_MIN..=ROLE_ARN_BYTES_MAX).contains(&role.len()) && role.starts_with("arn:") {
        return Ok(());
    }
    Err(Refusal::new(
        Exception::InvalidRequest,
        "fleet.ca.role",
        "roleArn is not a role ARN",
    )
    .hint("it looks like arn:aws:iam::123456789012:role/name and has 20 to 2048 characters"))
}
