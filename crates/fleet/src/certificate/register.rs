//! RegisterCertificate and RegisterCertificateWithoutCA: certificates that were issued elsewhere.

use identity::certificate::Certificate;

use super::{KEYS_HINT, Registered, inserted, is_key_accepted, parse_pem, record, unknown_status};
use crate::batch::Key;
use crate::call::{Call, Decided};
use crate::record::{
    CaCertificate, CaStatus, CertificateMode, CertificateStatus, DeviceCertificate, Origin, Versioned,
};
use crate::refusal::{Exception, Refusal};
use crate::{arn, validity};

/// What RegisterCertificate asks for, read and checked as far as it can be without facts.
#[derive(Debug, Clone)]
pub struct Registration {
    leaf: Certificate,
    ca: Option<Certificate>,
    status: CertificateStatus,
    allow_simulated: bool,
}

impl Registration {
    /// Reads the request. `status` and `set_as_active` as AWS has them: the first wins.
    pub fn parse(
        certificate_pem: &str,
        ca_pem: Option<&str>,
        status: Option<&str>,
        set_as_active: bool,
    ) -> Result<Self, Refusal> {
        let leaf = parse_pem("certificatePem", certificate_pem)?;
        let ca = ca_pem.map(|pem| parse_pem("caCertificatePem", pem)).transpose()?;
        let status = match status {
            None if set_as_active => CertificateStatus::Active,
            None => CertificateStatus::Inactive,
            Some(text) => registration_status(text)?,
        };
        Ok(Self {
            leaf,
            ca,
            status,
            allow_simulated: false,
        })
    }

    /// Whether certificates of simulated chips are let in; without a word of the operator they are not.
    #[must_use]
    pub fn allow_simulated(mut self, allow: bool) -> Self {
        self.allow_simulated = allow;
        self
    }

    /// The certificate to be registered: what to look for.
    pub fn leaf(&self) -> &Certificate {
        &self.leaf
    }
}

/// RegisterCertificate: the issuing CA must be registered and active. `candidates` are the registered CAs whose subject is
/// the leaf's issuer.
pub fn register(
    call: &Call,
    registration: &Registration,
    candidates: &[Versioned<CaCertificate>],
    existing: Option<&Versioned<DeviceCertificate>>,
) -> Decided<Registered> {
    let leaf = &registration.leaf;
    refuse_existing(call, existing)?;
    check_leaf(call, registration)?;
    let ca = issuer(registration, candidates)?;
    if ca.record.status != CaStatus::Active {
        return Err(Refusal::new(
            Exception::CertificateState,
            "fleet.ca.inactive",
            format!(
                "certificate {} cannot be registered: its CA {} is INACTIVE",
                leaf.id(),
                ca.record.id
            ),
        )
        .hint("activate the CA (UpdateCACertificate --new-status ACTIVE)"));
    }
    let record = record(
        call,
        leaf,
        Some(ca.record.id),
        Origin::Registered,
        registration.status,
        ca.record.mode,
    );
    let mut decision = inserted(call, record, "certificate.register");
    decision.batch.check(Key::Ca(ca.record.id), ca.version);
    Ok(decision)
}

/// RegisterCertificateWithoutCA: found only with SNI.
pub fn register_without_ca(
    call: &Call,
    registration: &Registration,
    existing: Option<&Versioned<DeviceCertificate>>,
) -> Decided<Registered> {
    refuse_existing(call, existing)?;
    check_leaf(call, registration)?;
    let (leaf, status) = (&registration.leaf, registration.status);
    let record = record(
        call,
        leaf,
        None,
        Origin::Registered,
        status,
        CertificateMode::SniOnly,
    );
    Ok(inserted(call, record, "certificate.register"))
}

fn refuse_existing(call: &Call, existing: Option<&Versioned<DeviceCertificate>>) -> Result<(), Refusal> {
    let Some(existing) = existing else { return Ok(()) };
    let id = existing.record.id;
    Err(Refusal::new(
        Exception::ResourceAlreadyExists,
        "fleet.certificate.exists",
        format!(
            "certificate {id} is already registered, with status {}",
            existing.record.status.name()
        ),
    )
    .existing(id.to_string(), arn::certificate(&call.tenant, &id)))
}

fn check_leaf(call: &Call, registration: &Registration) -> Result<(), Refusal> {
    let leaf = &registration.leaf;
    if leaf.is_simulated() && !registration.allow_simulated {
        return Err(Refusal::new(
            Exception::CertificateValidation,
            "fleet.certificate.simulated",
            format!("certificate {} is that of a simulated chip", leaf.id()),
        )
        .hint("start the server with --allow-simulated if this is not production"));
    }
    if !is_key_accepted(leaf.public_key().kind()) {
        return Err(Refusal::new(
            Exception::CertificateValidation,
            "fleet.certificate.key",
            format!("the key of certificate {} is not one that may connect", leaf.id()),
        )
        .hint(KEYS_HINT));
    }
    validity::check_not_expired("the certificate", leaf, call.now)
}

/// The registered CA that signed the leaf.
fn issuer<'a>(
    registration: &Registration,
    candidates: &'a [Versioned<CaCertificate>],
) -> Result<&'a Versioned<CaCertificate>, Refusal> {
    let leaf = &registration.leaf;
    let wrong = |reason: String| {
        Refusal::new(
            Exception::CertificateValidation,
            "fleet.certificate.issuer",
            reason,
        )
    };
    let candidate = match (&registration.ca, candidates) {
        (Some(ca), _) => candidates.iter().find(|candidate| candidate.record.id == ca.id()),
        (None, [only]) => Some(only),
        (None, []) => None,
        (None, _) => {
            return Err(Refusal::new(
                Exception::CertificateConflict,
                "fleet.certificate.ambiguous_issuer",
                format!(
                    "{} registered CAs have the subject {}",
                    candidates.len(),
                    leaf.issuer()
                ),
            )
            .hint("send the CA's certificate as well (caCertificatePem)"));
        }
    };
    let candidate = candidate.ok_or_else(|| {
        wrong(format!("no registered CA has the subject {}", leaf.issuer()))
            .hint("register the CA first (RegisterCACertificate), or use RegisterCertificateWithoutCA")
    })?;
    let authority = Certificate::parse(&candidate.record.der).map_err(|fault| {
        wrong(format!(
            "the registered CA {} cannot be read: {fault}",
            candidate.record.id
        ))
    })?;
    leaf.is_signed_by(authority.public_key()).map_err(|_| {
        wrong(format!(
            "the certificate is not signed by the registered CA {}",
            candidate.record.id
        ))
    })?;
    Ok(candidate)
}

fn registration_status(text: &str) -> Result<CertificateStatus, Refusal> {
    match CertificateStatus::parse(text) {
        Some(CertificateStatus::PendingTransfer | CertificateStatus::PendingActivation) => Err(Refusal::new(
            Exception::CertificateState,
            "fleet.certificate.status_reserved",
            format!("a certificate cannot be registered as {text}"),
        )),
        Some(status) => Ok(status),
        None => Err(unknown_status(text)),
    }
}
