//! Clears away what has run out: ownership tokens with the certificates that nobody made use of, and claim certificates.
//!
//! Tokens are listed in the order in which they were made, which is that in which they run out: the sweep looks at what has
//! run out and one more.

use fleet::audit::Actor;
use fleet::certificate::DeleteFacts;
use fleet::claim::{self, OwnershipToken, ProvisioningClaim};
use fleet::page::PageRequest;
use fleet::record::{PolicyTarget, Versioned};
use fleet::resource::Resource;
use fleet::{Call, Decision, Profile};
use identity::{CertificateId, Tenant, UnixMillis};
use store::Records as _;

use crate::api::ApiFault;
use crate::control::Control;

/// Sweeps every tenant that has ever had any. What cannot be swept now is swept the next time.
pub(super) async fn all(control: &Control, now: UnixMillis) {
    let Ok(tenants) = control.records.tenants().await else {
        return;
    };
    for tenant in tenants {
        let call = Call {
            tenant,
            now,
            actor: Actor::Operator,
            profile: Profile::Aws,
        };
        let _ = tokens(control, &call).await;
        let _ = claims(control, &call).await;
    }
}

async fn tokens(control: &Control, call: &Call) -> Result<(), ApiFault> {
    while let Some(token) = oldest::<OwnershipToken>(control, &call.tenant).await? {
        if token.expires > call.now {
            break;
        }
        let (_, told) = control.keep(async || expiry(control, call, &token).await).await?;
        control.tell(&call.tenant, told).await?;
    }
    Ok(())
}

async fn expiry(control: &Control, call: &Call, token: &OwnershipToken) -> Result<Decision<()>, ApiFault> {
    let records = &control.records;
    let found: Option<Versioned<OwnershipToken>> = records.resource(&call.tenant, &token.hash).await?;
    let token = fleet::resource::found(&token.hash, found.as_ref())?;
    let id: CertificateId = token.record.certificate.parse().map_err(ApiFault::failed)?;
    let certificate = records.certificate(&call.tenant, &id).await?;
    let facts = DeleteFacts {
        policies: records
            .policies_of(&call.tenant, &PolicyTarget::Certificate(id))
            .await?,
        things: records.things_of(&call.tenant, &id).await?,
    };
    Ok(claim::expire(call, token, certificate.as_ref(), &facts)?)
}

async fn claims(control: &Control, call: &Call) -> Result<(), ApiFault> {
    while let Some(oldest) = oldest::<ProvisioningClaim>(control, &call.tenant).await? {
        if oldest.is_good(call.now) {
            break;
        }
        let ended = async || {
            let found: Option<Versioned<ProvisioningClaim>> = control
                .records
                .resource(&call.tenant, &oldest.certificate)
                .await?;
            let found = fleet::resource::found(&oldest.certificate, found.as_ref())?;
            Ok(claim::forget(call, found))
        };
        let (_, told) = control.keep(ended).await?;
        control.tell(&call.tenant, told).await?;
    }
    Ok(())
}

/// The one that was made first.
async fn oldest<T: Resource>(control: &Control, tenant: &Tenant) -> Result<Option<T>, ApiFault> {
    let first = PageRequest {
        size: 1,
        ..PageRequest::first()
    };
    let page = control.records.list_resources::<T>(tenant, "", first).await?;
    Ok(page.items.into_iter().next())
}
