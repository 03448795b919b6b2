//! Device certificates: CreateCertificateFromCsr, CreateKeysAndCertificate, RegisterCertificate(WithoutCA), Describe-,
//! Update-, List- and DeleteCertificate.
//!
//! Issuing is in three steps, so that nothing leaves before it is recorded: the shell proves the request
//! ([`examine_request`]), signs through `identity::issue`, and hands the finished certificate to [`create`]; only after
//! that batch is durable is the certificate told. The private key of CreateKeysAndCertificate never comes here.

mod register;

pub use register::{Registration, register, register_without_ca};

use std::sync::Arc;

use identity::certificate::Certificate;
use identity::key::{Curve, KeyKind};
use identity::request::{ProvenKey, Request};
use identity::{CertificateId, UnixMillis};

use crate::arn;
use crate::batch::{Key, Record, Relation};
use crate::call::{Call, Decided, Decision, Event};
use crate::limits::{CERTIFICATE_PEM_BYTES_MAX, REQUEST_PEM_BYTES_MAX, RSA_BITS_MIN};
use crate::record::{
    CertificateMode, CertificateStatus, DeviceCertificate, Origin, PolicyAttachment, ThingPrincipal,
    Versioned,
};
use crate::refusal::{Exception, Refusal};

/// The answer to everything that makes a certificate record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// ARN.
    pub arn: String,
    /// Id.
    pub id: CertificateId,
}

/// CreateCertificateFromCsr, first half: the request is well made, its key is one that AWS takes, and whoever sent it holds
/// that key.
pub fn examine_request(pem: &str) -> Result<ProvenKey, Refusal> {
    let wrong = |reason: String| Refusal::new(Exception::InvalidRequest, "fleet.request", reason);
    if pem.len() > REQUEST_PEM_BYTES_MAX {
        return Err(wrong(format!(
            "the certification request is longer than {REQUEST_PEM_BYTES_MAX} bytes"
        )));
    }
    let request = Request::from_pem(pem).map_err(|fault| {
        wrong(format!("the certification request cannot be read: {fault}"))
            .hint("send one PKCS #10 request in PEM")
    })?;
    if !is_key_accepted(request.public_key().kind()) {
        return Err(wrong(
            "the key of the certification request is not one that may be certified".to_owned(),
        )
        .hint(KEYS_HINT));
    }
    request.verify().map_err(|fault| {
        wrong(format!(
            "the certification request is not signed by its own key: {fault}"
        ))
        .hint("sign it with the private key that belongs to the public key in it")
    })
}

/// CreateCertificateFromCsr and CreateKeysAndCertificate, second half: records what was issued here.
pub fn create(call: &Call, issued: &Certificate, set_as_active: bool) -> Decided<Registered> {
    let status = if set_as_active {
        CertificateStatus::Active
    } else {
        CertificateStatus::Inactive
    };
    let record = record(
        call,
        issued,
        None,
        Origin::Issued,
        status,
        CertificateMode::Default,
    );
    Ok(inserted(call, record, "certificate.issue"))
}

/// DescribeCertificate, and the first step of everything about a certificate.
pub fn found<'a>(
    id: &CertificateId,
    existing: Option<&'a Versioned<DeviceCertificate>>,
) -> Result<&'a Versioned<DeviceCertificate>, Refusal> {
    existing.ok_or_else(|| {
        Refusal::new(
            Exception::ResourceNotFound,
            "fleet.certificate.missing",
            format!("there is no certificate {id} in this account and region"),
        )
    })
}

/// UpdateCertificate; setting the status there is changes nothing.
pub fn update(
    call: &Call,
    id: &CertificateId,
    new_status: &str,
    existing: Option<&Versioned<DeviceCertificate>>,
) -> Decided<()> {
    let existing = found(id, existing)?;
    let status = target_status(new_status)?;
    let old = existing.record.status;
    if old == status {
        return Ok(Decision::unchanged(call, ()));
    }
    if matches!(
        old,
        CertificateStatus::Revoked | CertificateStatus::PendingTransfer
    ) {
        return Err(Refusal::new(
            Exception::CertificateState,
            "fleet.certificate.final_state",
            format!(
                "certificate {id} is {} and cannot become {}",
                old.name(),
                status.name()
            ),
        )
        .hint("register another certificate for the device"));
    }
    let mut record = existing.record.clone();
    record.status = status;
    record.customer_version += 1;
    record.modified = call.now;
    let mut batch = call.batch();
    batch.replace(Record::Certificate(record), existing.version);
    let detail = format!("{} -> {}", old.name(), status.name());
    batch
        .audit
        .push(call.entry("certificate.status", id.to_string(), detail));
    batch.raises_epoch = true;
    Ok(Decision {
        batch,
        events: vec![Event::CertificateTrust(*id)],
        reply: (),
    })
}

/// What hangs on a certificate that is to be deleted.
#[derive(Debug, Clone, Default)]
pub struct DeleteFacts {
    /// Its policies.
    pub policies: Vec<Versioned<PolicyAttachment>>,
    /// Its things.
    pub things: Vec<Versioned<ThingPrincipal>>,
}

/// DeleteCertificate: never while ACTIVE or attached to a thing; `force` takes attached policies away as well.
pub fn delete(
    call: &Call,
    id: &CertificateId,
    force: bool,
    existing: Option<&Versioned<DeviceCertificate>>,
    facts: &DeleteFacts,
) -> Decided<()> {
    let existing = found(id, existing)?;
    check_deletable(id, existing.record.status, force, facts)?;
    let mut batch = call.batch();
    for attachment in &facts.policies {
        let PolicyAttachment { policy, target } = attachment.record.clone();
        batch.delete(Key::Attachment { policy, target }, attachment.version);
    }
    batch.delete(Key::Certificate(*id), existing.version);
    let target = crate::record::PolicyTarget::Certificate(*id);
    batch.at_most(
        Relation::PoliciesOf(target),
        u32::try_from(facts.policies.len()).unwrap_or(u32::MAX),
    );
    batch.at_most(Relation::ThingsOf(*id), 0);
    batch.audit.push(call.entry(
        "certificate.delete",
        id.to_string(),
        if force { "forced" } else { "" },
    ));
    batch.raises_epoch = true;
    Ok(Decision {
        batch,
        events: vec![Event::CertificateTrust(*id)],
        reply: (),
    })
}

/// Whether AWS takes certificates with this key (AWS IoT developer guide, "X.509 client certificates").
pub fn is_key_accepted(kind: KeyKind) -> bool {
    match kind {
        KeyKind::Ec(Curve::P256 | Curve::P384 | Curve::P521) => true,
        KeyKind::Rsa { bits } => bits >= RSA_BITS_MIN,
    }
}

pub(crate) const KEYS_HINT: &str = "use RSA with at least 2048 bits, or the curve P-256, P-384 or P-521";

/// Reads exactly one PEM certificate of a request.
pub(crate) fn parse_pem(field: &str, pem: &str) -> Result<Certificate, Refusal> {
    let wrong = |reason: String| {
        Refusal::new(Exception::CertificateValidation, "fleet.certificate.pem", reason)
            .hint("send exactly one X.509 certificate in PEM")
    };
    if pem.len() > CERTIFICATE_PEM_BYTES_MAX {
        return Err(wrong(format!(
            "{field} is longer than {CERTIFICATE_PEM_BYTES_MAX} bytes"
        )));
    }
    Certificate::from_pem(pem).map_err(|fault| wrong(format!("{field} cannot be read: {fault}")))
}

/// A new record of a certificate.
pub(crate) fn record(
    call: &Call,
    certificate: &Certificate,
    ca: Option<CertificateId>,
    origin: Origin,
    status: CertificateStatus,
    mode: CertificateMode,
) -> DeviceCertificate {
    DeviceCertificate {
        id: certificate.id(),
        der: Arc::from(certificate.der()),
        ca,
        origin,
        status,
        mode,
        not_before: certificate.not_before(),
        not_after: certificate.not_after(),
        created: call.now,
        modified: call.now,
        customer_version: 1,
    }
}

fn inserted(call: &Call, record: DeviceCertificate, action: &'static str) -> Decision<Registered> {
    let id = record.id;
    let mut batch = call.batch();
    batch
        .audit
        .push(call.entry(action, id.to_string(), record.status.name()));
    batch.insert(Record::Certificate(record));
    Decision {
        batch,
        events: Vec::new(),
        reply: Registered {
            arn: arn::certificate(&call.tenant, &id),
            id,
        },
    }
}

fn target_status(text: &str) -> Result<CertificateStatus, Refusal> {
    match CertificateStatus::parse(text) {
        Some(CertificateStatus::PendingTransfer | CertificateStatus::PendingActivation) => Err(Refusal::new(
            Exception::InvalidRequest,
            "fleet.certificate.status_reserved",
            format!("a certificate cannot be set to {text}"),
        )
        .hint("AWS IoT keeps this status for its own transitions")),
        Some(status) => Ok(status),
        None => Err(unknown_status(text)),
    }
}

fn unknown_status(text: &str) -> Refusal {
    Refusal::new(
        Exception::InvalidRequest,
        "fleet.certificate.status",
        format!(
            "\"{}\" is not a certificate status",
            text.chars().take(64).collect::<String>()
        ),
    )
    .hint("use ACTIVE, INACTIVE or REVOKED")
}

fn check_deletable(
    id: &CertificateId,
    status: CertificateStatus,
    force: bool,
    facts: &DeleteFacts,
) -> Result<(), Refusal> {
    if status == CertificateStatus::Active {
        return Err(Refusal::new(
            Exception::CertificateState,
            "fleet.certificate.active",
            format!("certificate {id} cannot be deleted: it is ACTIVE"),
        )
        .hint("set it to INACTIVE first (UpdateCertificate)"));
    }
    let conflict = |what: String, hint: &'static str| {
        Err(Refusal::new(
            Exception::DeleteConflict,
            "fleet.certificate.attached",
            format!("certificate {id} cannot be deleted: {what}"),
        )
        .hint(hint))
    };
    if !facts.things.is_empty() {
        return conflict(
            format!("it is attached to {} thing(s)", facts.things.len()),
            "detach it (DetachThingPrincipal)",
        );
    }
    if !facts.policies.is_empty() && !force {
        return conflict(
            format!("{} policies are attached to it", facts.policies.len()),
            "detach them, or use forceDelete",
        );
    }
    Ok(())
}

/// What DescribeCertificate and DescribeCACertificate call generationId: the same as long as the record lives.
pub fn generation_id(id: &CertificateId, created: UnixMillis) -> String {
    let mut bytes = [0; 40];
    let (head, tail) = bytes.split_at_mut(32);
    head.copy_from_slice(&id.0);
    tail.copy_from_slice(&created.0.to_be_bytes());
    identity::crypto::sha256(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
