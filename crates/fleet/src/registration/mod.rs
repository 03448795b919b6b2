//! RegisterCACertificate: a certificate authority is admitted, with proof that its owner holds its key.
//!
//! The checks stand in the order in which AWS makes them (AWS IoT developer guide, "Register your CA certificate"):
//! the CA certificate itself, mode and fields, the verification certificate, the code in it, what is registered already,
//! the template. Each has its own exception, reason and hint. Nothing here trusts a chain: a registered CA is a direct issuer.

mod checks;
mod config;

pub use config::{ConfigFacts, ConfigRequest};
pub(crate) use config::{check_config, check_role};

use std::sync::Arc;

use identity::CertificateId;
use identity::certificate::Certificate;

use crate::batch::Record;
use crate::call::{Call, Decided, Decision};
use crate::certificate::{Registered, parse_pem};
use crate::names::PolicyName;
use crate::record::{
    CaCertificate, CaStatus, CertificateMode, RegionClaim, RegistrationCode, RegistrationConfig, Tag,
    Versioned,
};
use crate::refusal::{Exception, Refusal};
use crate::{arn, tags};
use checks::{check_ca, check_possession, check_room, check_verification, refuse_simulated};
use config::unknown_policies;

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

    /// `templateName`: what to look for.
    pub fn template_name(&self) -> Option<&str> {
        self.request.registration.as_ref()?.template_name.as_deref()
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
            Some(check_config(config, &facts.config, &mut batch)?)
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
        gated: false,
        not_before: ca.not_before(),
        not_after: ca.not_after(),
        created: call.now,
        modified: call.now,
        customer_version: 1,
        tags: request.tags.clone(),
    }
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
