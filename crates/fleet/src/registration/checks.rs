//! The checks of RegisterCACertificate one by one, under the letters that their order has.

use std::sync::Arc;

use identity::certificate::Certificate;
use identity::extension::KeyUsage;

use super::{Examined, Facts};
use crate::batch::{Batch, Record, Relation};
use crate::call::{Call, Profile};
use crate::certificate::{KEYS_HINT, is_key_accepted, parse_pem};
use crate::limits::{CAS_PER_SUBJECT_MAX, CLOCK_SKEW_MILLIS_MAX};
use crate::record::{CertificateMode, RegionClaim};
use crate::refusal::{Exception, Refusal};
use crate::{arn, validity};

/// Check a (RFC 5280, 4.2.1.3 and 4.2.1.9): this may sign certificates, and will for a while.
pub(super) fn check_ca(call: &Call, ca: &Certificate) -> Result<(), Refusal> {
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
pub(super) fn check_verification(call: &Call, ca: &Certificate, pem: &str) -> Result<String, Refusal> {
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
pub(super) fn check_possession(
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
pub(super) fn check_room(
    call: &Call,
    examined: &Examined,
    facts: &Facts,
    batch: &mut Batch,
) -> Result<(), Refusal> {
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

pub(super) fn refuse_simulated(ca: &Certificate, facts: &Facts) -> Result<(), Refusal> {
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
