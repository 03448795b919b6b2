//! CreateDomainConfiguration, DescribeDomainConfiguration, UpdateDomainConfiguration and DeleteDomainConfiguration: the
//! further names under which devices reach a tenant.
//!
//! A domain is of a customer, with a certificate that the operator's file names, or of this server, which makes up its
//! name and certifies it. Which server name means which tenant follows from these records, so a name is given once on
//! the whole server. The three default endpoints are no records: they are described, and cannot be changed.

use identity::UnixMillis;

use crate::call::{Call, Decided};
use crate::limits::DOMAIN_CONFIGURATIONS_MAX;
use crate::names::DomainConfigurationName;
use crate::plain::{shaped, words};
use crate::record::{Tag, Versioned};
use crate::refusal::{Exception, Refusal};
use crate::resource::{self, Kind, Resource};
use crate::{arn, domain_name, tags};

words!(
    /// What is served under the name of a domain.
    ServiceType {
        /// Messages of devices.
        Data = "DATA",
        /// Temporary access keys for devices.
        CredentialProvider = "CREDENTIAL_PROVIDER",
        /// Jobs.
        Jobs = "JOBS",
    }
);

words!(
    /// Which versions of TLS are spoken (AWS IoT developer guide, "Transport security").
    SecurityPolicy {
        /// 1.3 and 1.2.
        Tls13And12 = "IoTSecurityPolicy_TLS13_1_2_2022_10",
        /// 1.3 alone.
        Tls13 = "IoTSecurityPolicy_TLS13_1_3_2022_10",
        /// 1.2 alone.
        Tls12 = "IoTSecurityPolicy_TLS12_1_2_2022_10",
        /// From 1.0 to 1.2; older versions than 1.2 are not spoken here.
        Tls10In2016 = "IoTSecurityPolicy_TLS12_1_0_2016_01",
        /// From 1.0 to 1.2, with one more suite; older versions than 1.2 are not spoken here.
        Tls10In2015 = "IoTSecurityPolicy_TLS12_1_0_2015_01",
    }
);

words!(
    /// How clients say who they are.
    Authentication {
        /// As port and protocol have it.
        Default = "DEFAULT",
        /// By a client certificate.
        X509 = "AWS_X509",
        /// By an access key.
        SigV4 = "AWS_SIGV4",
        /// By what an authorizer is shown.
        Custom = "CUSTOM_AUTH",
        /// By what an authorizer is shown, and a client certificate.
        CustomX509 = "CUSTOM_AUTH_X509",
    }
);

words!(
    /// What clients speak.
    Protocol {
        /// As port and ALPN have it.
        Default = "DEFAULT",
        /// MQTT over TLS.
        Mqtt = "SECURE_MQTT",
        /// MQTT over WebSocket.
        WebSocket = "MQTT_WSS",
        /// HTTP over TLS.
        Https = "HTTPS",
    }
);

shaped!(
    /// Who is asked about clients of a domain.
    AuthorizerConfig {
        /// The name of the authorizer, when a client names none.
        default: Option<String>,
        /// Whether a client may name another one.
        overridable: bool,
    }
);

shaped!(
    /// A domain configuration.
    DomainConfiguration {
        /// Name.
        name: String,
        /// What its ARN ends in.
        suffix: String,
        /// The domain, in lower case.
        domain: String,
        /// The ARN of its server certificate; a domain of this server has none.
        server_certificate: Option<String>,
        /// The ARN of the certificate that proves that the caller owns the domain; kept and not used.
        validation_certificate: Option<String>,
        /// What it serves.
        service: ServiceType,
        /// Whether clients are refused.
        disabled: bool,
        /// When that was last changed.
        status_changed: UnixMillis,
        /// Which versions of TLS.
        security_policy: SecurityPolicy,
        /// How clients say who they are.
        authentication: Authentication,
        /// What clients speak.
        protocol: Protocol,
        /// Who is asked about them.
        authorizer: Option<AuthorizerConfig>,
        /// Tags.
        tags: Vec<Tag>,
    }
);

impl Resource for DomainConfiguration {
    const KIND: Kind = Kind::DomainConfiguration;

    fn name(&self) -> &str {
        &self.name
    }
}

impl DomainConfiguration {
    /// Whether the domain is the caller's own, with a certificate of the operator's file.
    pub fn is_customers(&self) -> bool {
        self.server_certificate.is_some()
    }

    /// Its ARN.
    pub fn arn(&self, call: &Call) -> String {
        let name = format!("{}/{}", self.name, self.suffix);
        arn::named(&call.tenant, "domainconfiguration", &name)
    }

    /// Whether this is served under the name; an attempt record tells why not.
    pub fn serves(&self, service: ServiceType) -> Result<(), Refusal> {
        let refuse = |code, why: String, hint: &'static str| {
            Err(Refusal::new(Exception::Unauthorized, code, why).hint(hint))
        };
        if self.disabled {
            return refuse(
                "fleet.domain_configuration.disabled",
                format!(
                    "the domain configuration {} of {} is DISABLED",
                    self.name, self.domain
                ),
                "enable it (UpdateDomainConfiguration --domain-configuration-status ENABLED)",
            );
        }
        if self.service != service {
            return refuse(
                "fleet.domain_configuration.service",
                format!(
                    "{} serves {}, not {}",
                    self.domain,
                    self.service.name(),
                    service.name()
                ),
                "use a domain whose serviceType is what the device asks for",
            );
        }
        Ok(())
    }

    /// Whether a client that comes so is admitted under this name; an attempt record tells why not.
    pub fn admit(&self, protocol: Protocol, authentication: Authentication) -> Result<(), Refusal> {
        self.serves(ServiceType::Data)?;
        let refuse = |code, why: String, hint: &'static str| {
            Err(Refusal::new(Exception::Unauthorized, code, why).hint(hint))
        };
        if self.protocol != Protocol::Default && self.protocol != protocol {
            return refuse(
                "fleet.domain_configuration.protocol",
                format!(
                    "{} takes {}, not {}",
                    self.domain,
                    self.protocol.name(),
                    protocol.name()
                ),
                "change its applicationProtocol, or what the device speaks",
            );
        }
        if self.authentication != Authentication::Default && self.authentication != authentication {
            return refuse(
                "fleet.domain_configuration.authentication",
                format!(
                    "{} takes {}, not {}",
                    self.domain,
                    self.authentication.name(),
                    authentication.name()
                ),
                "change its authenticationType, or how the device says who it is",
            );
        }
        Ok(())
    }
}

/// What CreateDomainConfiguration asks for.
#[derive(Debug, Clone, Default)]
pub struct CreateRequest {
    /// `domainName`.
    pub domain: Option<String>,
    /// `serverCertificateArns`.
    pub server_certificates: Vec<String>,
    /// `validationCertificateArn`.
    pub validation_certificate: Option<String>,
    /// `serviceType`.
    pub service: ServiceType,
    /// How it is set.
    pub settings: Settings,
    /// `tags`.
    pub tags: Vec<Tag>,
}

/// What both creating and updating set; `None` leaves things as they are.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `tlsConfig.securityPolicy`.
    pub security_policy: Option<SecurityPolicy>,
    /// `authenticationType`.
    pub authentication: Option<Authentication>,
    /// `applicationProtocol`.
    pub protocol: Option<Protocol>,
    /// `authorizerConfig`.
    pub authorizer: Option<AuthorizerConfig>,
    /// `serverCertificateConfig.enableOCSPCheck`, or any other part of it.
    pub staples: bool,
    /// `clientCertificateConfig.clientCertificateCallbackArn`.
    pub has_callback: bool,
}

/// What is known of a server certificate of the operator's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerCertificate {
    /// The names it is for.
    pub names: Vec<String>,
    /// Start of its validity.
    pub not_before: UnixMillis,
    /// End of its validity.
    pub not_after: UnixMillis,
}

impl ServerCertificate {
    /// Why it cannot be used for this domain now, if it cannot.
    pub fn fault(&self, domain: &str, now: UnixMillis) -> Option<String> {
        if !self.names.iter().any(|name| domain_name::covers(name, domain)) {
            return Some(format!("it is for {}, not for {domain}", self.names.join(", ")));
        }
        match (now < self.not_before, self.not_after < now) {
            (true, _) => Some("it is not yet valid".to_owned()),
            (_, true) => Some("it has expired".to_owned()),
            _ => None,
        }
    }
}

/// What is known before a domain configuration is made.
#[derive(Debug, Clone, Default)]
pub struct CreateFacts {
    /// The one of that name, if there is one.
    pub existing: Option<Versioned<DomainConfiguration>>,
    /// How many the tenant has.
    pub count: usize,
    /// The server certificate that is asked for, if the operator's file has it and this account may use it.
    pub certificate: Option<ServerCertificate>,
    /// Whether the domain means somebody already.
    pub taken: bool,
    /// The name of a domain of this server, if it can have one.
    pub made_up: Option<String>,
    /// What the ARN is to end in.
    pub suffix: String,
}

/// CreateDomainConfiguration. A second one of the same name is refused, whatever it asks for.
pub fn create(
    call: &Call,
    name: &DomainConfigurationName,
    request: CreateRequest,
    facts: CreateFacts,
) -> Decided<DomainConfiguration> {
    if let Some(Versioned { record, .. }) = &facts.existing {
        return Err(resource::exists(record, &record.name, record.arn(call)));
    }
    tags::check(&request.tags)?;
    check_service(request.service)?;
    if facts.count >= DOMAIN_CONFIGURATIONS_MAX {
        return Err(Refusal::new(
            Exception::LimitExceeded,
            "fleet.domain_configuration.limit",
            format!("there are {DOMAIN_CONFIGURATIONS_MAX} domain configurations already"),
        ));
    }
    let server_certificate = match request.server_certificates.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        _ => return Err(invalid("a domain has one server certificate")),
    };
    let domain = match (&request.domain, &server_certificate) {
        (Some(domain), Some(certificate)) => customers_domain(call, domain, certificate, &facts)?,
        (None, None) => facts.made_up.ok_or_else(|| {
            invalid("this server is reached by an address and can make up no domain: give domainName and serverCertificateArns")
        })?,
        (Some(_), None) => return Err(invalid("domainName needs serverCertificateArns")),
        (None, Some(_)) => return Err(invalid("serverCertificateArns needs domainName")),
    };
    let configuration = applied(
        DomainConfiguration {
            name: name.as_str().to_owned(),
            suffix: facts.suffix,
            domain,
            server_certificate,
            validation_certificate: request.validation_certificate,
            service: request.service,
            disabled: false,
            status_changed: call.now,
            security_policy: SecurityPolicy::default(),
            authentication: Authentication::default(),
            protocol: Protocol::default(),
            authorizer: None,
            tags: request.tags,
        },
        request.settings,
    )?;
    Ok(resource::insert(
        call,
        "domain_configuration.create",
        configuration,
    ))
}

fn check_service(service: ServiceType) -> Result<(), Refusal> {
    match service {
        ServiceType::Data | ServiceType::CredentialProvider => Ok(()),
        ServiceType::Jobs => Err(invalid(
            "this server has no endpoint of jobs: serviceType is DATA or CREDENTIAL_PROVIDER",
        )),
    }
}

fn customers_domain(
    call: &Call,
    domain: &str,
    certificate: &str,
    facts: &CreateFacts,
) -> Result<String, Refusal> {
    let domain = domain_name::parse(domain)?;
    if facts.taken {
        return Err(Refusal::new(
            Exception::ResourceAlreadyExists,
            "fleet.domain_configuration.taken",
            format!("the domain {domain} is in use"),
        ));
    }
    let refuse = |why: String| {
        Refusal::new(
            Exception::CertificateValidation,
            "fleet.domain_configuration.certificate",
            format!("the server certificate {certificate} cannot be used: {why}"),
        )
    };
    let known = facts.certificate.as_ref().ok_or_else(|| {
        refuse("there is none of that name".to_owned())
            .hint("the operator's file names them under [server_certificates]; the ARN ends in such a name")
    })?;
    match known.fault(&domain, call.now) {
        Some(why) => Err(refuse(why)),
        None => Ok(domain),
    }
}

/// What UpdateDomainConfiguration asks for.
#[derive(Debug, Clone, Default)]
pub struct UpdateRequest {
    /// `domainConfigurationStatus`: whether it is to be enabled.
    pub enabled: Option<bool>,
    /// `removeAuthorizerConfig`.
    pub removes_authorizer: bool,
    /// How it is set.
    pub settings: Settings,
}

/// UpdateDomainConfiguration.
pub fn update(
    call: &Call,
    name: &str,
    request: UpdateRequest,
    existing: Option<&Versioned<DomainConfiguration>>,
) -> Decided<DomainConfiguration> {
    if DefaultEndpoint::of(name).is_some() {
        return Err(invalid(
            "the domain configurations of the default endpoints cannot be changed",
        ));
    }
    let existing = resource::found(name, existing)?;
    let mut changed = existing.record.clone();
    if let Some(enabled) = request.enabled.filter(|enabled| *enabled == changed.disabled) {
        changed.disabled = !enabled;
        changed.status_changed = call.now;
    }
    if request.removes_authorizer {
        if request.settings.authorizer.is_some() {
            return Err(invalid(
                "authorizerConfig is given and removeAuthorizerConfig too",
            ));
        }
        changed.authorizer = None;
    }
    let changed = applied(changed, request.settings)?;
    Ok(resource::replace(
        call,
        "domain_configuration.update",
        changed,
        existing.version,
    ))
}

/// DeleteDomainConfiguration: only a disabled one.
pub fn delete(call: &Call, name: &str, existing: Option<&Versioned<DomainConfiguration>>) -> Decided<()> {
    if DefaultEndpoint::of(name).is_some() {
        return Err(invalid(
            "the domain configurations of the default endpoints cannot be deleted",
        ));
    }
    let existing = resource::found(name, existing)?;
    if !existing.record.disabled {
        return Err(Refusal::new(
            Exception::InvalidRequest,
            "fleet.domain_configuration.enabled",
            format!("domain configuration {name} cannot be deleted: it is ENABLED"),
        )
        .hint("disable it first (UpdateDomainConfiguration --domain-configuration-status DISABLED)"));
    }
    Ok(resource::delete(call, "domain_configuration.delete", existing))
}

fn applied(mut changed: DomainConfiguration, settings: Settings) -> Result<DomainConfiguration, Refusal> {
    if settings.staples {
        return Err(invalid(
            "this server staples no OCSP answers: leave serverCertificateConfig out",
        ));
    }
    if settings.has_callback {
        return Err(invalid(
            "this server calls nobody about client certificates: leave clientCertificateConfig out",
        ));
    }
    if let Some(authorizer) = settings.authorizer {
        authorizer.default.as_deref().map_or(Ok(()), check_authorizer)?;
        changed.authorizer = Some(authorizer);
    }
    changed.security_policy = settings.security_policy.unwrap_or(changed.security_policy);
    changed.authentication = settings.authentication.unwrap_or(changed.authentication);
    changed.protocol = settings.protocol.unwrap_or(changed.protocol);
    if changed.authentication == Authentication::CustomX509 {
        return Err(invalid(
            "this server asks no authorizer about clients with a certificate: authenticationType is AWS_X509 or CUSTOM_AUTH",
        ));
    }
    check_combination(changed.protocol, changed.authentication)?;
    Ok(changed)
}

fn check_authorizer(name: &str) -> Result<(), Refusal> {
    let is_name = (1..=128).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'=' | b',' | b'@' | b'-'));
    match is_name {
        true => Ok(()),
        false => Err(invalid(
            "defaultAuthorizerName has 1 to 128 of the characters A-Z a-z 0-9 _ = , @ -",
        )),
    }
}

/// AWS IoT developer guide, "Device communication protocols": MQTT over TLS knows no access keys, WebSocket no client
/// certificates.
fn check_combination(protocol: Protocol, authentication: Authentication) -> Result<(), Refusal> {
    match (protocol, authentication) {
        (Protocol::Mqtt, Authentication::SigV4) | (Protocol::WebSocket, Authentication::X509) => {
            Err(invalid(&format!(
                "{} cannot be used with {}",
                protocol.name(),
                authentication.name()
            )))
        }
        _ => Ok(()),
    }
}

fn invalid(why: &str) -> Refusal {
    Refusal::new(
        Exception::InvalidRequest,
        "fleet.domain_configuration",
        format!("the domain configuration cannot be so: {why}"),
    )
}

/// The domain configuration of a default endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultEndpoint {
    /// Its name, which is the type that DescribeEndpoint takes.
    pub name: &'static str,
    /// What it serves.
    pub service: ServiceType,
}

impl DefaultEndpoint {
    /// All of them, in the order of their names.
    pub const ALL: [Self; 2] = [
        Self {
            name: "iot:CredentialProvider",
            service: ServiceType::CredentialProvider,
        },
        Self {
            name: "iot:Data-ATS",
            service: ServiceType::Data,
        },
    ];

    /// The one of that name.
    pub fn of(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|known| known.name == name)
    }
}
