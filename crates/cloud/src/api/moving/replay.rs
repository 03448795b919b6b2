//! POST /birthmark/reprovision: devices once more through the template of their CA, after somebody mended it: those of a CA,
//! one by its certificate, or those of a thing.
//!
//! The decision is that of a first connection, with the certificate from the records instead of from a handshake: its key
//! was proven when it was recorded. Unless the caller says `apply`, nothing is kept and nobody is told.

use fleet::attempt::Trail;
use fleet::onboarding::{Arrival, Onboarded};
use fleet::page::{Marker, PageRequest};
use fleet::record::{CertificateStatus, DeviceCertificate};
use fleet::{Decision, Refusal};
use identity::certificate::Certificate;
use identity::{Explained as _, UnixMillis};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Page, Records as _};

use crate::api::Request;
use crate::api::certificates::parse_id;
use crate::api::fault::ApiFault;
use crate::api::operation::Input;
use crate::api::render::{Answer, object};
use crate::api::things::parse_name;
use crate::deciding::{self, ShownOut};
use crate::hook::Consultation;
use crate::limits::REPROVISION_DEVICES_MAX;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    ca_certificate_id: Option<String>,
    certificate_id: Option<String>,
    thing_name: Option<String>,
    /// Only those registered since then: seconds since 1970.
    since: Option<i64>,
    #[serde(default)]
    apply: bool,
    /// Also those that are ACTIVE: their things and policies are brought to what the template says now.
    #[serde(default)]
    active: bool,
    next_token: Option<String>,
}

/// A page of the devices that are asked for.
pub(in crate::api) async fn reprovision(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let asked: Asked = input.read()?;
    let page = chosen(request, &asked).await?;
    let since = asked.since.map_or(UnixMillis(i64::MIN), UnixMillis::from_seconds);
    let wanted = |certificate: &&DeviceCertificate| match certificate.status {
        _ if certificate.created < since => false,
        CertificateStatus::PendingActivation => true,
        CertificateStatus::Active => asked.active,
        _ => false,
    };
    let mut devices = Vec::new();
    for certificate in page.items.iter().filter(wanted) {
        devices.push(replay(request, certificate, asked.apply).await?);
    }
    Ok(object(
        json!({ "devices": devices, "nextToken": page.next.map(Marker::to_token) }),
    ))
}

/// The certificates of a CA, one certificate, or those of a thing.
async fn chosen(request: &Request<'_>, asked: &Asked) -> Result<Page<DeviceCertificate>, ApiFault> {
    let (store, tenant) = (request.store(), &request.call.tenant);
    let whole = |items| Page { items, next: None };
    match (&asked.ca_certificate_id, &asked.certificate_id, &asked.thing_name) {
        (Some(ca), None, None) => {
            let ca = parse_id(ca)?;
            fleet::ca::found(&ca, store.ca(tenant, &ca).await?.as_ref())?;
            let page = PageRequest {
                size: REPROVISION_DEVICES_MAX,
                after: asked.next_token.as_deref().map(Marker::parse).transpose()?,
                ascending: true,
            };
            Ok(store.list_certificates_by_ca(tenant, &ca, page).await?)
        }
        (None, Some(id), None) => {
            let id = parse_id(id)?;
            let found = store.certificate(tenant, &id).await?;
            let found = fleet::certificate::found(&id, found.as_ref())?;
            Ok(whole(vec![found.record.clone()]))
        }
        (None, None, Some(thing)) => {
            let name = parse_name(thing)?;
            fleet::thing::found(&name, store.thing(tenant, &name).await?.as_ref())?;
            let mut items = Vec::new();
            for holding in store.principals_of(tenant, &name).await? {
                let id = holding.principal.record.certificate;
                items.extend(store.certificate(tenant, &id).await?.map(|found| found.record));
            }
            Ok(whole(items))
        }
        _ => Err(ApiFault::invalid(
            "cloud.api.member",
            "name one of caCertificateId, certificateId and thingName",
        )),
    }
}

async fn replay(
    request: &Request<'_>,
    certificate: &DeviceCertificate,
    apply: bool,
) -> Result<Value, ApiFault> {
    let leaf = Certificate::parse(&certificate.der).map_err(ApiFault::failed)?;
    let outcome = match apply {
        true => request.decide(async || decide(request, &leaf).await).await,
        false => decide(request, &leaf).await.map(|decision| decision.reply),
    };
    let id = certificate.id.to_string();
    Ok(match outcome {
        Ok(Onboarded::Provisioned {
            thing,
            policies,
            active,
        }) => json!({
            "certificateId": id,
            "outcome": "provisioned",
            "thingName": thing.map(|name| name.to_string()),
            "policies": policies.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
            "active": active,
        }),
        Ok(Onboarded::Registered) => {
            json!({ "certificateId": id, "outcome": "pending", "reason": "its CA has no template" })
        }
        Ok(Onboarded::Failed(refusal) | Onboarded::Unlisted(refusal)) | Err(ApiFault::Refused(refusal)) => {
            refused(&id, &refusal)
        }
        Err(other) => return Err(other),
    })
}

fn refused(id: &str, refusal: &Refusal) -> Value {
    json!({
        "certificateId": id, "outcome": "pending", "code": refusal.code(),
        "reason": refusal.reason(), "hint": refusal.remedy(),
    })
}

async fn decide(request: &Request<'_>, leaf: &Certificate) -> Result<Decision<Onboarded>, ApiFault> {
    let arrival = Arrival {
        leaf,
        named_by_sni: true,
        allow_simulated: request.control.plan.allow_simulated,
    };
    let failed = |shown_out| match shown_out {
        ShownOut::Refused(refusal) => ApiFault::Refused(refusal),
        ShownOut::Failed(fault) => fault,
        ShownOut::Provisioned { .. } | ShownOut::Registered => {
            ApiFault::failed("a replay ended before it began")
        }
    };
    let (records, call) = (request.store(), &request.call);
    let candidates = deciding::authorities(records, &call.tenant, leaf.issuer().der())
        .await
        .map_err(failed)?;
    let mut trail = Trail::default();
    let mut hooks = Consultation::with(&request.control.webhooks);
    let decided =
        deciding::first_connection(records, call, arrival, &candidates, &mut hooks, &mut trail).await;
    decided.map(|(decision, _)| decision).map_err(failed)
}
