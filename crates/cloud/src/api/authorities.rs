//! Operations on registration codes, CA certificates, and the endpoint.
//!
//! They stand between the wire and `fleet::registration_code`, `fleet::registration`, `fleet::ca` and `fleet::endpoint`.

use std::collections::BTreeSet;

use fleet::record::{CaCertificate, CertificateMode, RegistrationConfig, Tag};
use fleet::registration::{self, ConfigFacts, ConfigRequest, Examined};
use fleet::{
    arn, ca, certificate, endpoint,
    names::{PolicyName, TemplateName},
    registration_code,
};
use identity::CertificateId;
use serde::Deserialize;
use serde_json::{Value, json};
use store::Records as _;

use super::certificates::parse_id;
use super::listing::{Pages, by_marker};
use super::operation::Input;
use super::render::{Answer, nothing, object};
use super::{Request, TagInput, fault::ApiFault, timestamp};
use crate::clock;

/// GetRegistrationCode.
pub(super) async fn registration_code(request: &Request<'_>, _: Input) -> Result<Answer, ApiFault> {
    let fresh = clock::random().map_err(ApiFault::failed)?;
    let code = request
        .decide(async || {
            let existing = request.store().registration_code(&request.call.tenant).await?;
            Ok(registration_code::current(
                &request.call,
                existing.as_ref(),
                fresh,
            )?)
        })
        .await?;
    Ok(json!({ "registrationCode": code.to_string() }))
}

/// DeleteRegistrationCode.
pub(super) async fn delete_registration_code(request: &Request<'_>, _: Input) -> Result<Answer, ApiFault> {
    request
        .decide(async || {
            let existing = request.store().registration_code(&request.call.tenant).await?;
            Ok(registration_code::delete(&request.call, existing.as_ref())?)
        })
        .await?;
    Ok(nothing())
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    template_body: Option<String>,
    template_name: Option<String>,
    role_arn: Option<String>,
}

impl From<Config> for ConfigRequest {
    fn from(config: Config) -> Self {
        let Config {
            template_body,
            template_name,
            role_arn,
        } = config;
        Self {
            template_body,
            template_name,
            role_arn,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Register {
    ca_certificate: String,
    verification_certificate: Option<String>,
    #[serde(default)]
    set_as_active: bool,
    #[serde(default)]
    allow_auto_registration: bool,
    registration_config: Option<Config>,
    #[serde(default)]
    tags: Vec<TagInput>,
    certificate_mode: Option<String>,
}

/// RegisterCACertificate.
pub(super) async fn register(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Register = input.read()?;
    let examined = Examined::examine(
        &request.call,
        registration::Request {
            ca_certificate: input.ca_certificate,
            verification_certificate: input.verification_certificate,
            set_as_active: input.set_as_active,
            allow_auto_registration: input.allow_auto_registration,
            mode: input.certificate_mode,
            registration: input.registration_config.map(ConfigRequest::from),
            tags: input.tags.into_iter().map(Tag::from).collect(),
        },
    )?;
    let registered = request
        .decide(async || {
            let facts = registration_facts(request, &examined).await?;
            Ok(registration::decide(&request.call, &examined, &facts)?)
        })
        .await?
        .registered;
    request.control.authorities_changed();
    if let Some(anchors) = &request.control.plan.tls.terms.anchors {
        let ca = request.store().ca(&request.call.tenant, &registered.id).await?;
        anchors.hold(ca.map(|ca| (Some(request.call.tenant), ca.record.id, ca.record.der)));
    }
    Ok(json!({ "certificateArn": registered.arn, "certificateId": registered.id.to_string() }))
}

async fn registration_facts(
    request: &Request<'_>,
    examined: &Examined,
) -> Result<registration::Facts, ApiFault> {
    let (store, tenant, id) = (request.store(), &request.call.tenant, examined.id());
    let same_subject = store.cas_by_subject(tenant, examined.subject()).await?;
    Ok(registration::Facts {
        code: store.registration_code(tenant).await?,
        existing: store.ca(tenant, &id).await?,
        cas_with_subject: u32::try_from(same_subject.len()).unwrap_or(u32::MAX),
        claim: store.region_claim(&tenant.region, &id).await?,
        config: config_facts(request, examined.policy_names(), examined.template_name()).await?,
        allow_simulated: request.control.plan.allow_simulated,
    })
}

/// Which of the policies that a template names exist, and the template that is named.
async fn config_facts(
    request: &Request<'_>,
    names: Vec<PolicyName>,
    template: Option<&str>,
) -> Result<ConfigFacts, ApiFault> {
    let mut policies = BTreeSet::new();
    for name in names {
        if request
            .store()
            .policy(&request.call.tenant, &name)
            .await?
            .is_some()
        {
            policies.insert(name);
        }
    }
    let template = match template {
        None => None,
        Some(name) => {
            let name = TemplateName::parse(name)?;
            request.store().template(&request.call.tenant, &name).await?
        }
    };
    Ok(ConfigFacts {
        policies,
        template,
        ..ConfigFacts::default()
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    ca_certificate_id: String,
    new_status: Option<String>,
    new_auto_registration_status: Option<String>,
    registration_config: Option<Config>,
    #[serde(default)]
    remove_auto_registration: bool,
}

impl Named {
    fn id(&self) -> Result<CertificateId, ApiFault> {
        parse_id(&self.ca_certificate_id)
    }
}

/// DescribeCACertificate.
pub(super) async fn describe(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let id = input.read::<Named>()?.id()?;
    let existing = request.store().ca(&request.call.tenant, &id).await?;
    let authority = &ca::found(&id, existing.as_ref())?.record;
    Ok(object(json!({
        "certificateDescription": description(request, authority),
        "registrationConfig": authority.registration.as_ref().map(shown_config),
    })))
}

fn description(request: &Request<'_>, authority: &CaCertificate) -> Value {
    json!({
        "certificateArn": arn::ca_certificate(&request.call.tenant, &authority.id),
        "certificateId": authority.id.to_string(),
        "status": authority.status.name(),
        "certificatePem": identity::pem::encode("CERTIFICATE", &authority.der),
        "ownedBy": request.call.tenant.account.as_str(),
        "creationDate": timestamp(authority.created),
        "autoRegistrationStatus": ca::auto_registration_name(authority.auto_registration),
        "lastModifiedDate": timestamp(authority.modified),
        "customerVersion": authority.customer_version,
        "generationId": certificate::generation_id(&authority.id, authority.created),
        "validity": {
            "notBefore": timestamp(authority.not_before),
            "notAfter": timestamp(authority.not_after),
        },
        "certificateMode": authority.mode.name(),
    })
}

fn shown_config(config: &RegistrationConfig) -> Value {
    object(json!({
        "templateBody": config.template_body,
        "templateName": config.template_name.as_ref().map(|name| name.as_str()),
        "roleArn": config.role_arn,
    }))
}

/// UpdateCACertificate.
pub(super) async fn update(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let id = input.id()?;
    let wanted = ca::UpdateRequest {
        new_status: input.new_status,
        new_auto_registration: input.new_auto_registration_status,
        registration: input.registration_config.map(ConfigRequest::from),
        remove_auto_registration: input.remove_auto_registration,
    };
    let policies = wanted
        .registration
        .as_ref()
        .map(ConfigRequest::policy_names)
        .unwrap_or_default();
    request
        .decide(async || {
            let existing = request.store().ca(&request.call.tenant, &id).await?;
            let template = wanted
                .registration
                .as_ref()
                .and_then(|config| config.template_name.as_deref());
            let facts = config_facts(request, policies.clone(), template).await?;
            Ok(ca::update(
                &request.call,
                &id,
                wanted.clone(),
                existing.as_ref(),
                &facts,
            )?)
        })
        .await?;
    request.control.authorities_changed();
    Ok(nothing())
}

/// DeleteCACertificate.
pub(super) async fn delete(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let id = input.read::<Named>()?.id()?;
    let tenant = &request.call.tenant;
    request
        .decide(async || {
            let existing = request.store().ca(tenant, &id).await?;
            let claim = match existing.as_ref().map(|existing| existing.record.mode) {
                Some(CertificateMode::Default) => request.store().region_claim(&tenant.region, &id).await?,
                _ => None,
            };
            Ok(ca::delete(&request.call, &id, existing.as_ref(), claim.as_ref())?)
        })
        .await?;
    request.control.authorities_changed();
    if let Some(anchors) = &request.control.plan.tls.terms.anchors {
        anchors.forget(tenant, id);
    }
    Ok(nothing())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    #[serde(flatten)]
    pages: Pages,
    template_name: Option<String>,
}

/// ListCACertificates.
pub(super) async fn list(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: List = input.read()?;
    let tenant = &request.call.tenant;
    let mut page = request.store().list_cas(tenant, input.pages.markers()?).await?;
    let wanted = |authority: &CaCertificate| {
        let template = authority
            .registration
            .as_ref()
            .and_then(|config| config.template_name.as_ref());
        input
            .template_name
            .as_deref()
            .is_none_or(|name| template.is_some_and(|template| template.as_str() == name))
    };
    page.items.retain(wanted);
    Ok(by_marker("certificates", &page, |authority| {
        json!({
            "certificateArn": arn::ca_certificate(tenant, &authority.id),
            "certificateId": authority.id.to_string(),
            "status": authority.status.name(),
            "creationDate": timestamp(authority.created),
        })
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    endpoint_type: Option<String>,
}

/// DescribeEndpoint.
pub(super) async fn describe_endpoint(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Endpoint = input.read()?;
    let host = request.control.plan.endpoint_of(&request.call.tenant);
    Ok(json!({ "endpointAddress": endpoint::describe(input.endpoint_type.as_deref(), &host)? }))
}
