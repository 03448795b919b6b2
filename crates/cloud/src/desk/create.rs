//! A certificate for a device that has none: with a key pair made here, or for a certification request of its own.

use std::sync::Arc;

use broker::Ask;
use fleet::attempt::Trail;
use fleet::claim::OwnershipToken;
use fleet::limits::OWNERSHIP_TOKENS_MAX;
use fleet::{Call, claim};
use identity::crypto::SoftwareKey;
use identity::issue::AWS_ISSUED_COMMON_NAME;
use identity::name::Name;
use identity::request::ProvenKey;
use store::Records as _;
use zeroize::Zeroizing;

use super::wire::{Answer, CreateRequest, Created, FromRequest, Topic};
use crate::api::{ApiFault, hex};
use crate::clock;
use crate::control::Control;

/// CreateKeysAndCertificate. The private key is told once and kept nowhere.
pub(super) async fn with_keys(
    control: &Arc<Control>,
    call: &Call,
    ask: &Ask,
    topic: &Topic<'_>,
    trail: &mut Trail,
) -> Result<Answer, ApiFault> {
    let CreateRequest {} = topic.read()?;
    check_room(control, call, trail).await?;
    let key = control.make_rsa_key().await?;
    let subject = Name::with_common_name(AWS_ISSUED_COMMON_NAME).map_err(ApiFault::failed)?;
    let proven = key.prove(&subject).map_err(ApiFault::failed)?;
    let mut created = issue(control, call, ask, proven, trail).await?;
    created.private_key = Some(private_pem(&key)?);
    Ok(Answer::Created(created))
}

/// CreateCertificateFromCsr.
pub(super) async fn from_request(
    control: &Arc<Control>,
    call: &Call,
    ask: &Ask,
    topic: &Topic<'_>,
    trail: &mut Trail,
) -> Result<Answer, ApiFault> {
    let request: FromRequest = topic.read()?;
    check_room(control, call, trail).await?;
    let proven = fleet::certificate::examine_request(&request.certificate_signing_request)?;
    issue(control, call, ask, proven, trail)
        .await
        .map(Answer::Created)
}

/// Before the key, which takes long.
async fn check_room(control: &Control, call: &Call, trail: &mut Trail) -> Result<(), ApiFault> {
    let records = &control.records;
    let waiting = records
        .resource_count::<OwnershipToken>(&call.tenant, OWNERSHIP_TOKENS_MAX)
        .await?;
    let room = claim::check_room(waiting);
    Ok(room.inspect_err(|refusal| trail.failed("token.room", refusal.reason()))?)
}

async fn issue(
    control: &Control,
    call: &Call,
    ask: &Ask,
    proven: ProvenKey,
    trail: &mut Trail,
) -> Result<Created, ApiFault> {
    let issued = control.issuer.issue(proven, call.now).map_err(ApiFault::failed)?;
    let secret = Zeroizing::new(clock::random::<32>().map_err(ApiFault::failed)?);
    let token = Zeroizing::new(hex(&*secret));
    let decide = async || Ok(claim::issue(call, &issued, claim::hash(&token), &ask.certificate));
    let (registered, told) = control.keep(decide).await?;
    control.tell(&call.tenant, told).await?;
    trail.passed("certificate.issue", registered.id.to_string());
    Ok(Created {
        id: registered.id,
        pem: issued.pem(),
        private_key: None,
        token,
    })
}

fn private_pem(key: &SoftwareKey) -> Result<Zeroizing<String>, ApiFault> {
    key.traditional_pem().map_err(ApiFault::failed)
}
