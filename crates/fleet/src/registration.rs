//! RegisterCACertificate: a certificate authority is admitted, with proof that its owner holds its key.
//!
//! The checks stand in the order in which AWS makes them (AWS IoT developer guide, "Register your CA certificate"):
//! the CA certificate itself, mode and fields, the verification certificate, the code in it, what is registered already,
//! the template. Each has its own exception, reason and hint. Nothing here trusts a chain: a registered CA is a direct issuer.

use std::collections::BTreeSet;
use std::sync::Arc;

use identity::CertificateId;
use identity::certificate::Certificate;
use identity::extension::KeyUsage;

use crate::batch::{Batch, Record, Relation};
use crate::call::{Call, Decided, Decision, Profile};
use crate::certificate::{KEYS_HINT, Registered, is_key_accepted, parse_pem};
use crate::limits::{CAS_PER_SUBJECT_MAX, CLOCK_SKEW_MILLIS_MAX, ROLE_ARN_BYTES_MAX, ROLE_ARN_BYTES_MIN};
use crate::names::{PolicyName, TemplateName};
use crate::record::{
    CaCertificate, CaStatus, CertificateMode, RegionClaim, RegistrationCode, RegistrationConfig, Tag,
    Versioned,
};
use crate::refusal::{Exception, Refusal};
use crate::template::Template;
use crate::{arn, tags, validity};

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
    /// A certificate such as devices will bring, if the caller gave one: the template is then checked against it.
    pub sample: Option<Certificate>,
    /// Whether policies that do not exist are refused (profile `self-host`); AWS finds out at the first connection.
    pub strict: bool,
}

/// What RegisterCACertificate was sent.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `caCertificate`.
    pub ca_certificate: String,
    /// `verificationCertificate`.
    pub verification_certificate: Option<String>,
    /// `setAsActive`.
    pub set_as_active: bool,
    /// `allowAutoRegistration`.
    pub allow_auto_registration: bool,
    /// `certificateMode`.
    pub mode: Option<String>,
    /// `registrationConfig`.
    pub registration: Option<ConfigRequest>,
    /// `tags`.
    pub tags: Vec<Tag>,
}

/// A request whose certificates were read and whose proof of possession, if the mode asks for one, was verified.
#[derive(Debug, Clone)]
pub struct Examined {
    ca: Certificate,
    /// CommonName of the verification certificate; `None` in SNI_ONLY mode.
    claimed_code: Option<String>,
    mode: CertificateMode,
    request: Request,
}

/// What is known when a CA is to be registered.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The tenant's registration code.
    pub code: Option<Versioned<RegistrationCode>>,
    /// The same CA, if it is registered.
    pub existing: Option<Versioned<CaCertificate>>,
    /// How many CAs of the tenant have the same subject.
    pub cas_with_subject: u32,
    /// Who holds the CA in DEFAULT mode in this region.
    pub claim: Option<Versioned<RegionClaim>>,
    /// About the template.
    pub config: ConfigFacts,
    /// Whether CAs of simulated chips are let in.
    pub allow_simulated: bool,
}

/// The answer of RegisterCACertificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredCa {
    /// ARN and id.
    pub registered: Registered,
    /// What will go wrong later, although AWS accepts it now.
    pub warnings: Vec<String>,
}

impl Examined {
    /// The checks that need no facts: a to c.
    pub fn examine(call: &Call, request: Request) -> Result<Self, Refusal> {
        let ca = parse_pem("caCertificate", &request.ca_certificate)?;
        check_ca(call, &ca)?;
        let mode = parse_mode(request.mode.as_deref())?;
        let claimed_code = match (mode, request.verification_certificate.as_deref()) {
            (CertificateMode::Default, Some(pem)) => Some(check_verification(call, &ca, pem)?),
            (CertificateMode::SniOnly, None) => None,
            (CertificateMode::Default, None) => {
                return Err(mode_refusal(
                    "DEFAULT needs a verificationCertificate",
                    "sign a certificate whose CommonName is the registration code (GetRegistrationCode) with the CA's key",
                ));
            }
            (CertificateMode::SniOnly, Some(_)) => {
                return Err(mode_refusal(
                    "SNI_ONLY takes no verificationCertificate",
                    "leave it out, or register in DEFAULT mode",
                ));
            }
        };
        Ok(Self {
            ca,
            claimed_code,
            mode,
            request,
        })
    }

    /// The id of the CA: what to look for.
    pub fn id(&self) -> CertificateId {
        self.ca.id()
    }

    /// DER of the subject of the CA: what to look for.
    pub fn subject(&self) -> &[u8] {
        self.ca.subject().der()
    }

    /// The policies that the template names: what to look for.
    pub fn policy_names(&self) -> Vec<PolicyName> {
        self.request
            .registration
            .as_ref()
            .map(ConfigRequest::policy_names)
            .unwrap_or_default()
    }
}

/// RegisterCACertificate: the checks that need facts (d to f), and the records.
pub fn decide(call: &Call, examined: &Examined, facts: &Facts) -> Decided<RegisteredCa> {
    let mut batch = call.batch();
    refuse_simulated(&examined.ca, facts)?;
    check_possession(call, examined, facts, &mut batch)?;
    check_room(call, examined, facts, &mut batch)?;
    tags::check(&examined.request.tags)?;
    let mut warnings = Vec::new();
    let registration = match examined.request.registration.clone() {
        None => None,
        Some(config) => {
            warnings = unknown_policies(&config, &facts.config);
            Some(check_config(config, &facts.config)?)
        }
    };
    let ca = ca_record(call, examined, registration);
    let id = ca.id;
    let detail = format!(
        "mode {}, status {}, subject {}",
        ca.mode.name(),
        ca.status.name(),
        examined.ca.subject()
    );
    batch
        .audit
        .push(call.entry("ca.register", id.to_string(), detail));
    if examined.mode == CertificateMode::SniOnly {
        let detail = "a CA was registered without proof that its key is held";
        batch
            .audit
            .push(call.entry("security.sni_only_registration", id.to_string(), detail));
    }
    for warning in &warnings {
        batch
            .audit
            .push(call.entry("ca.template_warning", id.to_string(), warning.as_str()));
    }
    batch.insert(Record::Ca(ca));
    let registered = Registered {
        arn: arn::ca_certificate(&call.tenant, &id),
        id,
    };
    Ok(Decision {
        batch,
        events: Vec::new(),
        reply: RegisteredCa { registered, warnings },
    })
}

/// Check f: template body or name, role, and the lint of the template.
pub(crate) fn check_config(
    config: ConfigRequest,
    facts: &ConfigFacts,
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
        let name = TemplateName::parse(name)?;
        return Err(Refusal::new(
            Exception::ResourceNotFound,
            "fleet.template.missing",
            format!("there is no provisioning template named {name}: named templates are not supported by this release"),
        )
        .hint("send the template itself (templateBody)"));
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

/// Check a (RFC 5280, 4.2.1.3 and 4.2.1.9): this may sign certificates, and will for a while.
fn check_ca(call: &Call, ca: &Certificate) -> Result<(), Refusal> {
    let wrong = |code, reason: String| Refusal::new(Exception::CertificateValidation, code, reason);
    if !ca.basic_constraints().is_some_and(|constraints| constraints.ca) {
        return Err(wrong(
            "fleet.ca.not_a_ca",
            format!(
                "\"{}\" is not a CA certificate: it has no basicConstraints with CA:TRUE",
                ca.subject()
            ),
        )
        .hint("make the CA certificate with basicConstraints=critical,CA:TRUE"));
    }
    if ca
        .key_usage()
        .is_some_and(|usage| !usage.contains(KeyUsage::KEY_CERT_SIGN))
    {
        return Err(wrong(
            "fleet.ca.key_usage",
            format!(
                "\"{}\" may not sign certificates: its keyUsage lacks keyCertSign",
                ca.subject()
            ),
        )
        .hint("make the CA certificate with keyUsage=critical,keyCertSign,cRLSign"));
    }
    if !is_key_accepted(ca.public_key().kind()) {
        return Err(wrong(
            "fleet.ca.key",
            format!("the key of \"{}\" is not accepted", ca.subject()),
        )
        .hint(KEYS_HINT));
    }
    validity::check_certificate("the CA certificate", ca, call.now)?;
    let names_itself = ca.subject().der() == ca.issuer().der()
        && (ca.authority_key_id().is_none() || ca.authority_key_id() == ca.subject_key_id());
    if names_itself && ca.is_signed_by(ca.public_key()).is_err() {
        return Err(wrong(
            "fleet.ca.self_signature",
            format!(
                "\"{}\" names itself as its issuer, but is not signed by its own key",
                ca.subject()
            ),
        ));
    }
    if call.profile == Profile::SelfHost {
        check_ca_strictly(ca)
    } else {
        Ok(())
    }
}

/// What AWS lets pass and RFC 5280 does not.
fn check_ca_strictly(ca: &Certificate) -> Result<(), Refusal> {
    let why = if ca.subject_key_id().is_none() {
        "it has no subjectKeyIdentifier (RFC 5280, 4.2.1.2)"
    } else if ca.serial().iter().all(|byte| *byte == 0) {
        "its serial number is 0 (RFC 5280, 4.1.2.2)"
    } else {
        return Ok(());
    };
    Err(Refusal::new(
        Exception::CertificateValidation,
        "fleet.ca.strict",
        format!("\"{}\" is not a well-made CA certificate: {why}", ca.subject()),
    ))
}

/// Checks b and c; gives the code that the verification certificate carries.
fn check_verification(call: &Call, ca: &Certificate, pem: &str) -> Result<String, Refusal> {
    let wrong = |code, reason: String| Refusal::new(Exception::CertificateValidation, code, reason);
    let verification = parse_pem("verificationCertificate", pem)?;
    if verification.issuer().der() != ca.subject().der() {
        return Err(wrong(
            "fleet.ca.verification_issuer",
            format!(
                "the verification certificate was issued by \"{}\", not by \"{}\"",
                verification.issuer(),
                ca.subject()
            ),
        )
        .hint("sign it with this CA's key and name this CA as the issuer"));
    }
    verification.is_signed_by(ca.public_key()).map_err(|_| {
        wrong(
            "fleet.ca.verification_signature",
            format!(
                "the verification certificate is not signed by the key of \"{}\"",
                ca.subject()
            ),
        )
        .hint("sign it with the private key that belongs to the CA certificate")
    })?;
    let not_before = verification.not_before().plus_millis(-CLOCK_SKEW_MILLIS_MAX);
    validity::check(
        "the verification certificate",
        not_before,
        verification.not_after(),
        call.now,
    )?;
    Ok(verification
        .subject()
        .common_name()
        .unwrap_or_default()
        .to_owned())
}

/// Check d.
fn check_possession(
    call: &Call,
    examined: &Examined,
    facts: &Facts,
    batch: &mut Batch,
) -> Result<(), Refusal> {
    let Some(claimed) = &examined.claimed_code else {
        return if call.profile == Profile::SelfHost {
            Err(Refusal::new(
                Exception::InvalidRequest,
                "fleet.ca.possession_required",
                "a CA is registered here only with proof that its key is held; SNI_ONLY has none",
            )
            .hint("register it in DEFAULT mode with a verification certificate"))
        } else {
            Ok(())
        };
    };
    let wrong = |reason: String| {
        Refusal::new(Exception::RegistrationCodeValidation, "fleet.ca.registration_code", reason).hint(
            "the CommonName of the verification certificate must be the code that GetRegistrationCode gives to this account and region",
        )
    };
    let Some(code) = &facts.code else {
        return Err(wrong(
            "this account has no registration code in this region".to_owned(),
        ));
    };
    if !code.record.code.matches(claimed) {
        let shown: String = claimed.chars().take(80).collect();
        return Err(wrong(format!(
            "the verification certificate carries the wrong code: \"{shown}\""
        )));
    }
    batch.check(crate::batch::Key::RegistrationCode, code.version);
    Ok(())
}

/// Check e.
fn check_room(call: &Call, examined: &Examined, facts: &Facts, batch: &mut Batch) -> Result<(), Refusal> {
    let id = examined.id();
    let arn = arn::ca_certificate(&call.tenant, &id);
    let exists = |reason: String| {
        Refusal::new(Exception::ResourceAlreadyExists, "fleet.ca.exists", reason)
            .existing(id.to_string(), arn.clone())
    };
    if facts.existing.is_some() {
        return Err(exists(format!("CA certificate {id} is already registered")));
    }
    if facts.cas_with_subject >= CAS_PER_SUBJECT_MAX {
        return Err(Refusal::new(
            Exception::LimitExceeded,
            "fleet.ca.subject_limit",
            format!(
                "{CAS_PER_SUBJECT_MAX} CA certificates with the subject \"{}\" are registered already",
                examined.ca.subject()
            ),
        )
        .hint("delete one that is no longer used (DeleteCACertificate)"));
    }
    let subject: Arc<[u8]> = Arc::from(examined.subject());
    batch.at_most(Relation::CasWithSubject(subject), CAS_PER_SUBJECT_MAX - 1);
    if examined.mode == CertificateMode::SniOnly {
        return Ok(());
    }
    if facts.claim.is_some() {
        return Err(exists(format!(
            "CA certificate {id} is registered by another account of this region"
        ))
        .hint("register it there as SNI_ONLY first, or here as SNI_ONLY"));
    }
    batch.insert(Record::RegionClaim(RegionClaim {
        ca: id,
        owner: call.tenant.account,
    }));
    Ok(())
}

fn ca_record(call: &Call, examined: &Examined, registration: Option<RegistrationConfig>) -> CaCertificate {
    let (ca, request) = (&examined.ca, &examined.request);
    CaCertificate {
        id: ca.id(),
        der: Arc::from(ca.der()),
        subject: Arc::from(ca.subject().der()),
        key_id: ca.public_key().key_id(),
        status: if request.set_as_active {
            CaStatus::Active
        } else {
            CaStatus::Inactive
        },
        auto_registration: request.allow_auto_registration,
        mode: examined.mode,
        registration,
        not_before: ca.not_before(),
        not_after: ca.not_after(),
        created: call.now,
        modified: call.now,
        customer_version: 1,
        tags: request.tags.clone(),
    }
}

fn refuse_simulated(ca: &Certificate, facts: &Facts) -> Result<(), Refusal> {
    if facts.allow_simulated || !ca.is_simulated() {
        return Ok(());
    }
    Err(Refusal::new(
        Exception::CertificateValidation,
        "fleet.ca.simulated",
        format!("\"{}\" is the CA of simulated chips", ca.subject()),
    )
    .hint("start the server with --allow-simulated if this is not production"))
}

fn unknown_policies(config: &ConfigRequest, facts: &ConfigFacts) -> Vec<String> {
    let unknown = config
        .policy_names()
        .into_iter()
        .filter(|name| !facts.policies.contains(name));
    unknown
        .map(|name| format!("the template names the policy {name}, which does not exist"))
        .collect()
}

fn check_role(role: &str) -> Result<(), Refusal> {
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

fn parse_mode(text: Option<&str>) -> Result<CertificateMode, Refusal> {
    match text {
        None => Ok(CertificateMode::Default),
        Some(text) => CertificateMode::parse(text).ok_or_else(|| {
            mode_refusal(
                &format!(
                    "\"{}\" is not a certificate mode",
                    text.chars().take(64).collect::<String>()
                ),
                "use DEFAULT or SNI_ONLY",
            )
        }),
    }
}

fn mode_refusal(reason: &str, hint: &'static str) -> Refusal {
    Refusal::new(
        Exception::InvalidRequest,
        "fleet.ca.mode",
        format!("the CA cannot be registered: {reason}"),
    )
    .hint(hint)
}
