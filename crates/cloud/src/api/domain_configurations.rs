//! Operations on domain configurations: the further names under which devices reach a tenant.
//!
//! They stand between the wire and `fleet::domain_configuration`. A change holds the turn of all domains from the look-up
//! until the listeners know of it, so that no name is given twice.

use fleet::domain_configuration::{
    self, Authentication, AuthorizerConfig, CreateFacts, CreateRequest, DefaultEndpoint, DomainConfiguration,
    Protocol, SecurityPolicy, ServiceType, Settings, UpdateRequest,
};
use fleet::names::DomainConfigurationName;
use fleet::page::PageRequest;
use fleet::record::{Tag, Versioned};
use fleet::{arn, resource};
use serde::Deserialize;
use serde_json::{Value, json};
use store::Records as _;

use super::listing::{Pages, by_marker, part};
use super::operation::Input;
use super::render::{Answer, nothing, object};
use super::{Request, TagInput, fault::ApiFault, timestamp};
use crate::clock;
use crate::footing::Ground;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthorizerInput {
    default_authorizer_name: Option<String>,
    #[serde(default)]
    allow_authorizer_override: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TlsInput {
    security_policy: Option<String>,
}

#[derive(Deserialize)]
struct ServerCertificateInput {
    #[serde(rename = "enableOCSPCheck", default)]
    staples: bool,
    #[serde(rename = "ocspLambdaArn")]
    responder: Option<String>,
    #[serde(rename = "ocspAuthorizedResponderArn")]
    signer: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientCertificateInput {
    client_certificate_callback_arn: Option<String>,
}

/// What both creating and updating set.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SettingsInput {
    authorizer_config: Option<AuthorizerInput>,
    tls_config: Option<TlsInput>,
    server_certificate_config: Option<ServerCertificateInput>,
    authentication_type: Option<String>,
    application_protocol: Option<String>,
    client_certificate_config: Option<ClientCertificateInput>,
}

impl SettingsInput {
    fn read(self) -> Result<Settings, ApiFault> {
        let policy = self.tls_config.and_then(|tls| tls.security_policy);
        let (authentication, protocol) = (self.authentication_type, self.application_protocol);
        Ok(Settings {
            security_policy: policy
                .map(|word| SecurityPolicy::asked("securityPolicy", Some(&word)))
                .transpose()?,
            authentication: authentication
                .map(|word| Authentication::asked("authenticationType", Some(&word)))
                .transpose()?,
            protocol: protocol
                .map(|word| Protocol::asked("applicationProtocol", Some(&word)))
                .transpose()?,
            authorizer: self.authorizer_config.map(|input| AuthorizerConfig {
                default: input.default_authorizer_name,
                overridable: input.allow_authorizer_override,
            }),
            staples: self
                .server_certificate_config
                .is_some_and(|input| input.staples || input.responder.is_some() || input.signer.is_some()),
            has_callback: self
                .client_certificate_config
                .is_some_and(|input| input.client_certificate_callback_arn.is_some()),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Create {
    domain_configuration_name: String,
    domain_name: Option<String>,
    #[serde(default)]
    server_certificate_arns: Vec<String>,
    validation_certificate_arn: Option<String>,
    service_type: Option<String>,
    #[serde(default)]
    tags: Vec<TagInput>,
    #[serde(flatten)]
    settings: SettingsInput,
}

/// CreateDomainConfiguration.
pub(super) async fn create(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Create = input.read()?;
    let name = DomainConfigurationName::parse(&input.domain_configuration_name)?;
    let wanted = CreateRequest {
        domain: input.domain_name,
        server_certificates: input.server_certificate_arns,
        validation_certificate: input.validation_certificate_arn,
        service: ServiceType::asked("serviceType", input.service_type.as_deref())?,
        settings: input.settings.read()?,
        tags: input.tags.into_iter().map(Tag::from).collect(),
    };
    let domains = &request.control.domains;
    let _turn = domains.change().await;
    let made = request
        .decide(async || {
            let facts = facts(request, &name, &wanted).await?;
            Ok(domain_configuration::create(
                &request.call,
                &name,
                wanted.clone(),
                facts,
            )?)
        })
        .await?;
    let mark = request.control.withdrawals.mark();
    domains.hold(request.call.tenant, made.clone(), mark);
    Ok(named(request, &made))
}

async fn facts(
    request: &Request<'_>,
    name: &DomainConfigurationName,
    wanted: &CreateRequest,
) -> Result<CreateFacts, ApiFault> {
    let (control, tenant) = (request.control, &request.call.tenant);
    let arn = wanted.server_certificates.first();
    let certificates = control.domains.certificates();
    let certified = arn.and_then(|arn| certificates.of(tenant, arn));
    let domain = wanted.domain.as_deref().unwrap_or_default();
    let [suffix, label] = [5, 13].map(random_word);
    let endpoint = control.plan.endpoint_of(tenant).to_ascii_lowercase();
    let is_address = endpoint.parse::<std::net::IpAddr>().is_ok();
    Ok(CreateFacts {
        existing: looked_up(request, name.as_str()).await?,
        count: every(request).await?.len(),
        certificate: certified.map(|certified| certified.facts.clone()),
        taken: control.domains.is_taken(&control.plan.names(), domain),
        made_up: (!is_address).then_some(format!("d{}-ats.{endpoint}", label?)),
        suffix: suffix?,
    })
}

/// So many random letters and digits.
fn random_word(letters: usize) -> Result<String, ApiFault> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bytes = clock::random::<16>().map_err(ApiFault::failed)?;
    let letter = |byte: &u8| {
        ALPHABET
            .get(usize::from(byte & 31))
            .map(|letter| char::from(*letter))
    };
    Ok(bytes.iter().take(letters).filter_map(letter).collect())
}

async fn looked_up(
    request: &Request<'_>,
    name: &str,
) -> Result<Option<Versioned<DomainConfiguration>>, ApiFault> {
    Ok(request.store().resource(&request.call.tenant, name).await?)
}

/// All of the tenant: there are few.
async fn every(request: &Request<'_>) -> Result<Vec<DomainConfiguration>, ApiFault> {
    let page = PageRequest {
        size: fleet::limits::PAGE_ITEMS_MAX,
        ..PageRequest::first()
    };
    let found = request
        .store()
        .list_resources::<DomainConfiguration>(&request.call.tenant, "", page)
        .await?;
    Ok(found.items)
}

fn named(request: &Request<'_>, configuration: &DomainConfiguration) -> Answer {
    json!({
        "domainConfigurationName": configuration.name,
        "domainConfigurationArn": configuration.arn(&request.call),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    domain_configuration_name: String,
}

/// DescribeDomainConfiguration.
pub(super) async fn describe(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let name = input.read::<Named>()?.domain_configuration_name;
    if let Some(endpoint) = DefaultEndpoint::of(&name) {
        return Ok(describe_default(request, endpoint));
    }
    let existing = looked_up(request, &name).await?;
    let found = &resource::found(&name, existing.as_ref())?.record;
    let certificates: Vec<Value> = found
        .server_certificate
        .iter()
        .map(|arn| describe_certificate(request, arn, &found.domain))
        .collect();
    let authorizer = found.authorizer.as_ref().map(|authorizer| {
        object(json!({
            "defaultAuthorizerName": authorizer.default,
            "allowAuthorizerOverride": authorizer.overridable,
        }))
    });
    Ok(object(json!({
        "domainConfigurationName": found.name,
        "domainConfigurationArn": found.arn(&request.call),
        "domainName": found.domain,
        "serverCertificates": certificates,
        "authorizerConfig": authorizer,
        "domainConfigurationStatus": if found.disabled { "DISABLED" } else { "ENABLED" },
        "serviceType": found.service.name(),
        "domainType": if found.is_customers() { "CUSTOMER_MANAGED" } else { "AWS_MANAGED" },
        "lastStatusChangeDate": timestamp(found.status_changed),
        "tlsConfig": { "securityPolicy": found.security_policy.name() },
        "serverCertificateConfig": { "enableOCSPCheck": false },
        "authenticationType": found.authentication.name(),
        "applicationProtocol": found.protocol.name(),
    })))
}

fn describe_certificate(request: &Request<'_>, arn: &str, domain: &str) -> Value {
    let certificates = request.control.domains.certificates();
    let known = certificates.of(&request.call.tenant, arn);
    let fault = match known {
        Some(certified) => certified.facts.fault(domain, request.call.now),
        None => Some("the operator's file names it no longer".to_owned()),
    };
    object(json!({
        "serverCertificateArn": arn,
        "serverCertificateStatus": if fault.is_some() { "INVALID" } else { "VALID" },
        "serverCertificateStatusDetail": fault,
    }))
}

fn describe_default(request: &Request<'_>, endpoint: &DefaultEndpoint) -> Answer {
    let tenant = &request.call.tenant;
    json!({
        "domainConfigurationName": endpoint.name,
        "domainConfigurationArn": arn::named(tenant, "domainconfiguration", endpoint.name),
        "domainName": request.control.plan.endpoint_of(tenant),
        "serverCertificates": [],
        "domainConfigurationStatus": "ENABLED",
        "serviceType": endpoint.service.name(),
        "domainType": "ENDPOINT",
        "tlsConfig": { "securityPolicy": SecurityPolicy::default().name() },
        "authenticationType": Authentication::default().name(),
        "applicationProtocol": Protocol::default().name(),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Update {
    domain_configuration_name: String,
    domain_configuration_status: Option<String>,
    #[serde(default)]
    remove_authorizer_config: bool,
    #[serde(flatten)]
    settings: SettingsInput,
}

/// UpdateDomainConfiguration.
pub(super) async fn update(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Update = input.read()?;
    let name = &input.domain_configuration_name;
    let enabled = match input.domain_configuration_status.as_deref() {
        None => None,
        Some("ENABLED") => Some(true),
        Some("DISABLED") => Some(false),
        Some(_) => {
            return Err(ApiFault::invalid(
                "cloud.api.member",
                "domainConfigurationStatus is ENABLED or DISABLED",
            ));
        }
    };
    let wanted = UpdateRequest {
        enabled,
        removes_authorizer: input.remove_authorizer_config,
        settings: input.settings.read()?,
    };
    let domains = &request.control.domains;
    let _turn = domains.change().await;
    let changed = request
        .decide(async || {
            let existing = looked_up(request, name).await?;
            let wanted = wanted.clone();
            Ok(domain_configuration::update(
                &request.call,
                name,
                wanted,
                existing.as_ref(),
            )?)
        })
        .await?;
    let mark = request.control.withdrawals.mark();
    domains.hold(request.call.tenant, changed.clone(), mark);
    if changed.disabled {
        withdraw(request, &changed.domain).await?;
    }
    Ok(named(request, &changed))
}

/// Ends the connections that came by this domain: "devices connected to that domain receive an authentication error" (AWS IoT
/// developer guide, "Managing domain configurations").
async fn withdraw(request: &Request<'_>, domain: &str) -> Result<(), ApiFault> {
    request.control.withdraw(Ground::Domain(domain.into())).await
}

/// DeleteDomainConfiguration.
pub(super) async fn delete(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let name = input.read::<Named>()?.domain_configuration_name;
    let domains = &request.control.domains;
    let _turn = domains.change().await;
    let existing = looked_up(request, &name).await?;
    request
        .decide(async || {
            let existing = looked_up(request, &name).await?;
            Ok(domain_configuration::delete(
                &request.call,
                &name,
                existing.as_ref(),
            )?)
        })
        .await?;
    if let Some(existing) = existing {
        domains.forget(&existing.record.domain);
        withdraw(request, &existing.record.domain).await?;
    }
    Ok(nothing())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    service_type: Option<String>,
    #[serde(flatten)]
    pages: Pages,
}

/// ListDomainConfigurations: in the order of their names, the default endpoints among them.
pub(super) async fn list(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: List = input.read()?;
    let wanted = input
        .service_type
        .map(|word| ServiceType::asked("serviceType", Some(&word)))
        .transpose()?;
    let tenant = &request.call.tenant;
    let made = every(request).await?;
    let made = made
        .into_iter()
        .map(|found| (found.arn(&request.call), found.service, found.name));
    let defaults = DefaultEndpoint::ALL.iter().map(|endpoint| {
        let arn = arn::named(tenant, "domainconfiguration", endpoint.name);
        (arn, endpoint.service, endpoint.name.to_owned())
    });
    let mut all: Vec<_> = made.chain(defaults).collect();
    all.retain(|(_, service, _)| wanted.is_none_or(|wanted| wanted == *service));
    all.sort_by(|(_, _, one), (_, _, other)| one.cmp(other));
    let page = part(all, input.pages.markers()?);
    Ok(by_marker(
        "domainConfigurations",
        &page,
        |(arn, service, name)| {
            json!({
                "domainConfigurationName": name,
                "domainConfigurationArn": arn,
                "serviceType": service.name(),
            })
        },
    ))
}
