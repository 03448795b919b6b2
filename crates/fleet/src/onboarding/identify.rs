//! Which registered CA signed the certificate, and whether it may bring in devices now.

use core::borrow::Borrow;

use identity::certificate::Certificate;

use super::{Arrival, Authority, Identified, fail};
use crate::attempt::Trail;
use crate::call::{Call, Profile};
use crate::certificate::{KEYS_HINT, is_key_accepted};
use crate::limits::CAS_PER_SUBJECT_MAX;
use crate::record::{CaCertificate, CaStatus, CertificateMode};
use crate::refusal::{Exception, Refusal};
use crate::validity;

/// Finds the registered CA that signed the certificate. `candidates` are the tenant's CAs whose subject is the leaf's
/// issuer.
pub fn identify<'a, A: Borrow<Authority>>(
    call: &Call,
    arrival: Arrival<'a>,
    candidates: &'a [A],
    trail: &mut Trail,
) -> Result<Identified<'a>, Refusal> {
    let leaf = arrival.leaf;
    let authority = match issuer(leaf, candidates) {
        Ok(authority) => authority,
        Err(refusal) => return Err(fail(trail, "ca.found", refusal)),
    };
    trail.passed(
        "ca.found",
        format!("signed by the registered CA {}", authority.record.record.id),
    );
    if let Err(refusal) = check_authority(call, &authority.record.record, arrival.named_by_sni) {
        return Err(fail(trail, "ca.status", refusal));
    }
    trail.passed("ca.status", "ACTIVE, with automatic registration");
    if let Err(refusal) = check_leaf(call, &arrival) {
        return Err(fail(trail, "certificate.validity", refusal));
    }
    trail.passed(
        "certificate.validity",
        format!("until {}", leaf.not_after().to_rfc3339()),
    );
    let plan = match authority.reads_manifests {
        true => None,
        false => authority.plan(leaf, None),
    };
    Ok(Identified {
        leaf,
        authority,
        plan,
        listed: None,
    })
}

/// The candidate that signed the leaf.
fn issuer<'a, A: Borrow<Authority>>(
    leaf: &Certificate,
    candidates: &'a [A],
) -> Result<&'a Authority, Refusal> {
    let refuse = |code, reason: String| Refusal::new(Exception::Unauthorized, code, reason);
    let candidates = candidates
        .iter()
        .take(CAS_PER_SUBJECT_MAX as usize)
        .map(Borrow::borrow);
    let mut seen = 0;
    for authority in candidates {
        if authority.certificate.id() == leaf.id() {
            return Err(refuse(
                "fleet.onboarding.is_ca",
                "the certificate is a registered CA, not a device".to_owned(),
            ));
        }
        if leaf.is_signed_by(authority.certificate.public_key()).is_ok() {
            return Ok(authority);
        }
        seen += 1;
    }
    if seen == 0 {
        return Err(refuse(
            "fleet.onboarding.unknown_ca",
            format!(
                "the certificate is not registered, and no CA with the subject \"{}\" is",
                leaf.issuer()
            ),
        )
        .hint("register the CA that issued it (RegisterCACertificate), or the certificate itself"));
    }
    Err(refuse(
        "fleet.onboarding.signature",
        format!(
            "{seen} registered CA(s) are named \"{}\", but none of their keys signed the certificate",
            leaf.issuer()
        ),
    )
    .hint("register the CA that really issued it: its name is known, its key is not"))
}

fn check_authority(call: &Call, ca: &CaCertificate, named_by_sni: bool) -> Result<(), Refusal> {
    let id = ca.id;
    let refuse = |code, why: &str, hint: &'static str| {
        Err(Refusal::new(
            Exception::Unauthorized,
            code,
            format!("the CA {id} that issued the certificate {why}"),
        )
        .hint(hint))
    };
    if ca.status != CaStatus::Active {
        return refuse(
            "fleet.onboarding.ca_inactive",
            "is INACTIVE",
            "activate it (UpdateCACertificate --new-status ACTIVE)",
        );
    }
    if !ca.auto_registration {
        return refuse(
            "fleet.onboarding.no_auto_registration",
            "does not register certificates at their first connection",
            "allow it (UpdateCACertificate --new-auto-registration-status ENABLE), or register the certificate",
        );
    }
    if ca.mode == CertificateMode::SniOnly && !named_by_sni {
        return refuse(
            "fleet.onboarding.sni",
            "is registered as SNI_ONLY, and the client sent no server name of this account",
            "let the client send the endpoint's name (SNI)",
        );
    }
    validity::check("the CA certificate", ca.not_before, ca.not_after, call.now)
}

fn check_leaf(call: &Call, arrival: &Arrival<'_>) -> Result<(), Refusal> {
    let leaf = arrival.leaf;
    let refuse = |code, reason: &str| Refusal::new(Exception::Unauthorized, code, reason);
    if leaf.is_simulated() && !arrival.allow_simulated {
        return Err(refuse(
            "fleet.onboarding.simulated",
            "the certificate is that of a simulated chip",
        )
        .hint("start the server with --allow-simulated if this is not production"));
    }
    if !is_key_accepted(leaf.public_key().kind()) {
        return Err(refuse(
            "fleet.onboarding.key",
            "the key of the certificate is not one that may connect",
        )
        .hint(KEYS_HINT));
    }
    if call.profile == Profile::SelfHost && leaf.is_ca() {
        return Err(refuse(
            "fleet.onboarding.leaf_is_ca",
            "the certificate is a CA certificate, not a device's",
        ));
    }
    validity::check_certificate("the device certificate", leaf, call.now)
}
