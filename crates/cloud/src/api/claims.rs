//! CreateProvisioningClaim: a claim certificate for the next few minutes, made for somebody who stands beside the device.
//!
//! It stands between the wire and `fleet::claim`. The certificate is in no list and may do nothing but provision a device
//! by its template. Its private key is made here, told once and never kept.

use fleet::claim::{self, ProvisioningClaim};
use fleet::limits::{CLAIM_MILLIS, CLAIMS_MAX};
use fleet::names::TemplateName;
use identity::name::Name;
use serde::Deserialize;
use serde_json::json;
use store::Records as _;

use super::operation::Input;
use super::render::Answer;
use super::{Request, fault::ApiFault, timestamp};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Create {
    template_name: String,
}

/// CreateProvisioningClaim.
pub(super) async fn create(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let name = TemplateName::parse(&input.read::<Create>()?.template_name)?;
    let (call, store) = (&request.call, request.store());
    // Before the key, which takes long.
    claim::body(&name, store.template(&call.tenant, &name).await?.as_ref())?;
    let kept = store.resource_count::<ProvisioningClaim>(&call.tenant, CLAIMS_MAX);
    // The operation declares no exception for a limit.
    claim::check_claims(kept.await?).map_err(|_| ApiFault::Busy("too many claim certificates are good"))?;
    let key = request.control.make_rsa_key().await?;
    let subject = Name::with_common_name("claim").map_err(ApiFault::failed)?;
    let proven = key.prove(&subject).map_err(ApiFault::failed)?;
    let until = call.now.plus_millis(CLAIM_MILLIS);
    let issued = request
        .control
        .issuer
        .issue_claim(proven, call.now, until)
        .map_err(ApiFault::failed)?;
    let made = request
        .decide(async || {
            let template = store.template(&call.tenant, &name).await?;
            Ok(claim::create(call, &name, template.as_ref(), &issued)?)
        })
        .await?;
    let private = key.traditional_pem().map_err(ApiFault::failed)?;
    Ok(json!({
        "certificateId": made.certificate,
        "certificatePem": issued.pem(),
        "keyPair": { "PublicKey": issued.public_key().pem(), "PrivateKey": private.as_str() },
        "expiration": timestamp(made.expires),
    }))
}
