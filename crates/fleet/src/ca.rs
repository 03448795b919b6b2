//! DescribeCACertificate, UpdateCACertificate, ListCACertificates, ListCertificatesByCA and DeleteCACertificate.
//!
//! Changing a CA decides about certificates that come later; those already registered stay as they are (AWS IoT developer
//! guide, "Manage your CA certificates"), so no epoch is raised here.

use identity::CertificateId;

use crate::batch::{Key, Record};
use crate::call::{Call, Decided, Decision};
use crate::record::{CaCertificate, CaStatus, RegionClaim, RegistrationConfig, Versioned};
use crate::refusal::{Exception, Refusal};
use crate::registration::{ConfigFacts, ConfigRequest, check_config};

/// DescribeCACertificate, and the first step of everything about a CA.
pub fn found<'a>(
    id: &CertificateId,
    existing: Option<&'a Versioned<CaCertificate>>,
) -> Result<&'a Versioned<CaCertificate>, Refusal> {
    existing.ok_or_else(|| {
        Refusal::new(
            Exception::ResourceNotFound,
            "fleet.ca.missing",
            format!("there is no CA certificate {id} in this account and region"),
        )
    })
}

/// What UpdateCACertificate asks for.
#[derive(Debug, Clone, Default)]
pub struct UpdateRequest {
    /// ACTIVE or INACTIVE.
    pub new_status: Option<String>,
    /// ENABLE or DISABLE.
    pub new_auto_registration: Option<String>,
    /// Another template.
    pub registration: Option<ConfigRequest>,
    /// Takes the template away and stops automatic registration.
    pub remove_auto_registration: bool,
}

/// UpdateCACertificate.
pub fn update(
    call: &Call,
    id: &CertificateId,
    request: UpdateRequest,
    existing: Option<&Versioned<CaCertificate>>,
    facts: &ConfigFacts,
) -> Decided<()> {
    let existing = found(id, existing)?;
    let mut ca = existing.record.clone();
    if let Some(status) = &request.new_status {
        ca.status =
            CaStatus::parse(status).ok_or_else(|| unknown("CA status", status, "use ACTIVE or INACTIVE"))?;
    }
    if request.remove_auto_registration {
        // Devices that nobody asked for must not come in because only half of it was taken away.
        (ca.registration, ca.auto_registration) = (None, false);
    }
    if let Some(text) = &request.new_auto_registration {
        ca.auto_registration = parse_auto_registration(text)?;
    }
    let mut batch = call.batch();
    if let Some(config) = request.registration {
        ca.registration = Some(check_config(config, facts, &mut batch)?);
    }
    if ca == existing.record {
        return Ok(Decision::unchanged(call, ()));
    }
    ca.customer_version += 1;
    ca.modified = call.now;
    let detail = describe_change(&existing.record, &ca);
    batch.audit.push(call.entry("ca.update", id.to_string(), detail));
    batch.replace(Record::Ca(ca), existing.version);
    Ok(Decision {
        batch,
        events: Vec::new(),
        reply: (),
    })
}

/// DeleteCACertificate: never while ACTIVE. `claim` is the DEFAULT-mode claim of this region, if there is one.
pub fn delete(
    call: &Call,
    id: &CertificateId,
    existing: Option<&Versioned<CaCertificate>>,
    claim: Option<&Versioned<RegionClaim>>,
) -> Decided<()> {
    let existing = found(id, existing)?;
    if existing.record.status == CaStatus::Active {
        return Err(Refusal::new(
            Exception::CertificateState,
            "fleet.ca.active",
            format!("CA certificate {id} cannot be deleted: it is ACTIVE"),
        )
        .hint("set it to INACTIVE first (UpdateCACertificate --new-status INACTIVE)"));
    }
    let mut batch = call.batch();
    batch.delete(Key::Ca(*id), existing.version);
    if let Some(claim) = claim.filter(|claim| claim.record.owner == call.tenant.account) {
        batch.delete(Key::RegionClaim(*id), claim.version);
    }
    batch.audit.push(call.entry("ca.delete", id.to_string(), ""));
    Ok(Decision {
        batch,
        events: Vec::new(),
        reply: (),
    })
}

/// The AWS word for whether first connections register certificates.
pub fn auto_registration_name(enabled: bool) -> &'static str {
    if enabled { "ENABLE" } else { "DISABLE" }
}

fn parse_auto_registration(text: &str) -> Result<bool, Refusal> {
    match text {
        "ENABLE" => Ok(true),
        "DISABLE" => Ok(false),
        other => Err(unknown(
            "auto registration status",
            other,
            "use ENABLE or DISABLE",
        )),
    }
}

fn unknown(what: &str, text: &str, hint: &'static str) -> Refusal {
    let shown: String = text.chars().take(64).collect();
    Refusal::new(
        Exception::InvalidRequest,
        "fleet.ca.word",
        format!("\"{shown}\" is not a {what}"),
    )
    .hint(hint)
}

fn describe_change(old: &CaCertificate, new: &CaCertificate) -> String {
    let template = |config: &Option<RegistrationConfig>| config.is_some();
    format!(
        "status {} -> {}, auto registration {} -> {}, template {} -> {}{}",
        old.status.name(),
        new.status.name(),
        auto_registration_name(old.auto_registration),
        auto_registration_name(new.auto_registration),
        template(&old.registration),
        template(&new.registration),
        if old.registration == new.registration {
            ""
        } else {
            " (changed)"
        },
    )
}
