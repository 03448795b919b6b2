//! Looking up and deciding on a certificate, without keeping and without telling.
//!
//! The front door decides with it about those who come, [`crate::rehearsal`] about a certificate that somebody holds in his
//! hand, and the replay of stuck devices about those in the records: one piece of code, so that a rehearsal cannot promise
//! what the first night does not keep.

use fleet::admission::{self, Admission};
use fleet::attempt::{Attempt, Trail, Verdict};
use fleet::onboarding::{Arrival, Authority, Onboarded, identify};
use fleet::{Call, Decision, Exception, Refusal};
use identity::certificate::Certificate;
use identity::{CertificateId, Tenant};
use store::{LocalRecords, Records as _, Trust};

use crate::api::ApiFault;
use crate::clock;
use crate::hook::Consultation;
use crate::tenancy::Addressed;

/// Why a client is shown out.
#[derive(Clone, Debug)]
pub(crate) enum ShownOut {
    /// A decision says no.
    Refused(Refusal),
    /// It was provisioned by this connection, and AWS closes it then.
    Provisioned {
        /// Whether its certificate is ACTIVE now.
        active: bool,
    },
    /// It was registered and awaits somebody's decision.
    Registered,
    /// Something of ours failed.
    Failed(ApiFault),
}

impl From<Refusal> for ShownOut {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<store::Error> for ShownOut {
    fn from(error: store::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<ApiFault> for ShownOut {
    fn from(fault: ApiFault) -> Self {
        match fault {
            ApiFault::Refused(refusal) => Self::Refused(refusal),
            fault => Self::Failed(fault),
        }
    }
}

impl ShownOut {
    /// Writes down why.
    pub(crate) fn tell(self, attempt: &mut Attempt) {
        match self {
            Self::Refused(refusal) => attempt.refuse(&refusal),
            Self::Provisioned { active: true } => attempt.end(
                Verdict::Accepted,
                "cloud.first_connection.provisioned",
                "the device was provisioned by this first connection, which is closed then as AWS does",
                "connect again: the next connection is taken",
            ),
            Self::Provisioned { active: false } => attempt.end(
                Verdict::Refused,
                "cloud.first_connection.inactive",
                "the device was provisioned, and the template leaves its certificate INACTIVE",
                "activate it (UpdateCertificate --new-status ACTIVE)",
            ),
            Self::Registered => attempt.end(
                Verdict::Refused,
                "cloud.first_connection.registered",
                "the certificate was registered by this first connection and awaits activation: its CA has no template",
                "activate it (UpdateCertificate --new-status ACTIVE), or give the CA a template",
            ),
            Self::Failed(ApiFault::Busy(what)) => {
                attempt.end(Verdict::Faulted, "cloud.first_connection.busy", what, "the device's next connection tries again");
            }
            Self::Failed(fault) => {
                let cause = match &fault {
                    ApiFault::Failed(cause) => cause.clone(),
                    other => other.to_string(),
                };
                attempt.end(Verdict::Faulted, "cloud.front_door.fault", cause, "look at the server's disk and log");
            }
        }
    }
}

/// The endpoint that the client asked for is somebody's.
pub(crate) fn check_addressed(addressed: Addressed) -> Result<(), Refusal> {
    if addressed.known {
        return Ok(());
    }
    Err(Refusal::new(
        Exception::Unauthorized,
        "cloud.front_door.nobody",
        "the client asked for an endpoint that is of no account here",
    )
    .hint("connect to what DescribeEndpoint answers"))
}

/// Looks a certificate up. `None`: it is not known, or awaits activation by its first connection.
pub(crate) async fn look_up(
    records: &LocalRecords,
    certificate: &Certificate,
    addressed: Addressed,
    attempt: &mut Attempt,
) -> Result<Option<Trust>, ApiFault> {
    let Addressed { tenant, by_name, .. } = addressed;
    let Some(trust) = records.trust(&tenant, &certificate.id()).await? else {
        attempt.trail.passed(
            "certificate.found",
            "not registered: this is its first connection",
        );
        return Ok(None);
    };
    attempt.standing = fleet::attempt::Standing::Known {
        ca: trust.certificate.record.ca,
    };
    match admission::decide(
        &trust.certificate.record,
        clock::now(),
        by_name,
        &mut attempt.trail,
    )? {
        Admission::Onboard => Ok(None),
        Admission::Admitted => Ok(Some(trust)),
    }
}

/// The registered CAs with this subject, their templates read.
pub(crate) async fn authorities(
    records: &LocalRecords,
    tenant: &Tenant,
    subject: &[u8],
) -> Result<Vec<Authority>, ShownOut> {
    let found = records.cas_by_subject(tenant, subject).await?;
    let mut authorities = Vec::with_capacity(found.len());
    for record in found {
        let authority = Authority::read(record)?;
        authorities.push(match authority.template_name().cloned() {
            None => authority,
            Some(name) => {
                let template = records.template(tenant, &name).await?;
                authority.with_template(template.as_ref())
            }
        });
    }
    Ok(authorities)
}

/// Decides on a first connection: what would be kept and told, and the CA that signed the certificate.
pub(crate) async fn first_connection(
    records: &LocalRecords,
    call: &Call,
    arrival: Arrival<'_>,
    candidates: &[Authority],
    hooks: &mut Consultation<'_>,
    trail: &mut Trail,
) -> Result<(Decision<Onboarded>, CertificateId), ShownOut> {
    let tenant = &call.tenant;
    let mut identified = identify(call, arrival, candidates, trail)?;
    if let Some(key) = identified.listing() {
        let hour = fleet::manifest::hour(call.now);
        identified = identified.with_listed(records.listed(tenant, &key, hour).await?);
    }
    let identified = hooks.ask(tenant, arrival.leaf, identified, trail).await;
    let facts = records
        .onboarding_facts(tenant, &arrival.leaf.id(), &identified.needs())
        .await?;
    let thing_id = clock::uuid().map_err(ApiFault::failed)?;
    let decision = identified.decide(call, &facts, thing_id, trail)?;
    Ok((decision, *identified.ca()))
}
