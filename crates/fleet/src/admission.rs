//! Whether a certificate that is registered may connect now.
//!
//! A registered certificate needs no chain check: it is known byte for byte. Its status, its validity and its mode decide.
//! A certificate that awaits activation goes to [`crate::onboarding`] once more.

use identity::{CertificateId, UnixMillis};

use crate::attempt::Trail;
use crate::record::{CertificateMode, CertificateStatus, DeviceCertificate};
use crate::refusal::{Exception, Refusal};
use crate::validity;

/// What becomes of a connection with a registered certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may connect.
    Admitted,
    /// It was registered by a first connection and not yet activated: onboarding is tried again.
    Onboard,
}

/// What is looked at of a certificate that is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// Its id.
    pub id: CertificateId,
    /// The registered CA that signed it; `None` when it was registered by itself.
    pub ca: Option<CertificateId>,
    /// Its status.
    pub status: CertificateStatus,
    /// Whether it is only for those who name their endpoint.
    pub mode: CertificateMode,
    /// The beginning of its validity.
    pub not_before: UnixMillis,
    /// The end of its validity.
    pub not_after: UnixMillis,
}

impl From<&DeviceCertificate> for Registered {
    fn from(certificate: &DeviceCertificate) -> Self {
        Self {
            id: certificate.id,
            ca: certificate.ca,
            status: certificate.status,
            mode: certificate.mode,
            not_before: certificate.not_before,
            not_after: certificate.not_after,
        }
    }
}

/// Decides on a registered certificate. `named_by_sni` is whether the client named this tenant's endpoint.
pub fn decide(
    certificate: impl Into<Registered>,
    now: UnixMillis,
    named_by_sni: bool,
    trail: &mut Trail,
) -> Result<Admission, Refusal> {
    let outcome = examine(&certificate.into(), now, named_by_sni);
    match &outcome {
        Ok(Admission::Admitted) => trail.passed("certificate.status", "ACTIVE and inside its validity"),
        Ok(Admission::Onboard) => trail.passed(
            "certificate.status",
            "PENDING_ACTIVATION: its first connection is tried again",
        ),
        Err(refusal) => trail.failed("certificate.status", refusal.reason()),
    }
    outcome
}

fn examine(certificate: &Registered, now: UnixMillis, named_by_sni: bool) -> Result<Admission, Refusal> {
    let id = certificate.id;
    let refuse = |code, why: &str, hint: &'static str| {
        Err(Refusal::new(Exception::Unauthorized, code, format!("certificate {id} {why}")).hint(hint))
    };
    if certificate.mode == CertificateMode::SniOnly && !named_by_sni {
        return refuse(
            "fleet.admission.sni",
            "is registered as SNI_ONLY, and the client sent no server name of this account",
            "let the client send the endpoint's name (SNI)",
        );
    }
    let admission = match certificate.status {
        CertificateStatus::Active => Admission::Admitted,
        CertificateStatus::PendingActivation if certificate.ca.is_some() => Admission::Onboard,
        CertificateStatus::PendingActivation => {
            return refuse(
                "fleet.admission.pending",
                "is PENDING_ACTIVATION",
                "activate it (UpdateCertificate --new-status ACTIVE)",
            );
        }
        CertificateStatus::Inactive => {
            return refuse(
                "fleet.admission.inactive",
                "is INACTIVE",
                "activate it (UpdateCertificate --new-status ACTIVE)",
            );
        }
        CertificateStatus::Revoked => {
            return refuse(
                "fleet.admission.revoked",
                "is REVOKED",
                "a revoked certificate never comes back: give the device another one",
            );
        }
        CertificateStatus::PendingTransfer => {
            return refuse(
                "fleet.admission.transfer",
                "is PENDING_TRANSFER to another account",
                "accept or cancel the transfer",
            );
        }
    };
    validity::check(
        "the device certificate",
        certificate.not_before,
        certificate.not_after,
        now,
    )?;
    Ok(admission)
}
