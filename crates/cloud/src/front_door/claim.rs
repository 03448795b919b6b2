//! Claim certificates of CreateProvisioningClaim: in no list, good for minutes, and for provisioning alone.
//!
//! It stands beside the look-up of registered certificates, and is asked only about certificates that say they were issued
//! by this server. What such a certificate may do is written here and nowhere else: no policy is attached to it.

use std::sync::Arc;

use fleet::claim::ProvisioningClaim;
use fleet::{Exception, Refusal};
use identity::certificate::Certificate;
use policy::{CertificateFacts, Grant, NamedPolicy, Policy};
use store::Records as _;

use crate::api::ApiFault;
use crate::arrival::Record;
use crate::clock;
use crate::control::Control;
use crate::shard::Clearance;
use crate::tenancy::Addressed;

/// The name under which explanations name what such a certificate may do.
const POLICY_NAME: &str = "provisioning claim";

/// Looks a claim certificate up. `None`: it is none.
pub(super) async fn clear(
    control: &Control,
    certificate: &Certificate,
    addressed: Addressed,
    record: &mut Record,
) -> Result<Option<Clearance>, ApiFault> {
    let (tenant, id) = (addressed.tenant, certificate.id());
    let found = control
        .records
        .resource::<ProvisioningClaim>(&tenant, &id.to_string())
        .await?;
    let Some(claim) = found.map(|found| found.record) else {
        return Ok(None);
    };
    if !claim.is_good(clock::now()) {
        return Err(expired(&claim).into());
    }
    let detail = format!("a claim certificate for the template {}", claim.template);
    record.attempt.trail.passed("certificate.found", detail);
    let policy = Policy::parse(&claim.policy()).map_err(ApiFault::failed)?;
    let epoch = control.records.trust_epoch(&tenant).await?;
    let policies = [NamedPolicy::new(POLICY_NAME, policy)];
    Ok(Some(Clearance {
        grant: Arc::new(Grant::new(tenant, id, epoch, policies)),
        facts: Arc::new(CertificateFacts::of(id, certificate)),
        things: Arc::default(),
        by_name: addressed.by_name,
        lease: None,
        footing: None,
    }))
}

fn expired(claim: &ProvisioningClaim) -> Refusal {
    Refusal::new(
        Exception::Unauthorized,
        "cloud.claim.expired",
        format!(
            "the claim certificate for the template {} is not good any more",
            claim.template
        ),
    )
    .hint("make a new one (CreateProvisioningClaim)")
}
