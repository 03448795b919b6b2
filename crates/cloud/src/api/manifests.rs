//! Manifests over HTTPS: who signs them, what was taken of them, and which CAs ask them.
//!
//! It stands beside the operations of AWS IoT, like [`super::own`], between operators and `fleet::manifest`. Signatures are
//! verified here, with the keys that were enrolled, before anything is decided; nothing else of a manifest is believed.

use fleet::manifest::{self, ManifestOrder, ManifestProgress, ManifestSigner, gate, intake, signers};
use fleet::page::PageRequest;
use fleet::record::Versioned;
use fleet::resource;
use identity::certificate::Certificate;
use identity::manifest::{Entry, Terms, microchip};
use identity::{CertificateId, Explained, UnixMillis};
use serde::Deserialize;
use serde_json::{Value, json};
use store::Records as _;

use super::fault::ApiFault;
use super::operation::Input;
use super::render::{Answer, nothing};
use super::{Request, certificates::parse_id, timestamp};
use crate::limits::{MANIFEST_ITEMS_MAX, MANIFEST_PAGES_MAX};

#[derive(Deserialize)]
struct Enrolling {
    document: String,
    #[serde(default)]
    label: String,
}

/// Enrols a signer: an administrator says whose manifests count.
pub(super) async fn enroll(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let asked: Enrolling = input.read()?;
    let document = signers::Document::read(&asked.document)?;
    let tenant = &request.call.tenant;
    let id = document.id().to_string();
    let signer = request
        .decide(async || {
            let mut cas = Vec::new();
            let mut page = all(None);
            for _ in 0..MANIFEST_PAGES_MAX {
                let found = request.store().list_cas(tenant, page).await?;
                cas.extend(found.items);
                match found.next {
                    Some(next) => page = all(Some(next)),
                    None => break,
                }
            }
            let existing = request.store().resource(tenant, &id).await?;
            Ok(signers::enroll(
                &request.call,
                &document,
                &asked.label,
                &cas,
                existing.as_ref(),
            )?)
        })
        .await?;
    Ok(shown_signer(&signer))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamedSigner {
    signer_id: String,
}

/// Revokes a signer, for ever.
pub(super) async fn revoke(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let id = input.read::<NamedSigner>()?.signer_id;
    let signer = request
        .decide(async || {
            let existing = request.store().resource(&request.call.tenant, &id).await?;
            Ok(signers::revoke(&request.call, &id, existing.as_ref())?)
        })
        .await?;
    Ok(shown_signer(&signer))
}

/// Every signer of the account, oldest first.
pub(super) async fn list_signers(request: &Request<'_>, _: Input) -> Result<Answer, ApiFault> {
    let found: Vec<ManifestSigner> = every(request).await?;
    let shown: Vec<Value> = found.iter().map(shown_signer).collect();
    Ok(json!({ "signers": shown }))
}

/// Every order of the account, oldest first.
pub(super) async fn list_orders(request: &Request<'_>, _: Input) -> Result<Answer, ApiFault> {
    let found: Vec<ManifestOrder> = every(request).await?;
    let mut shown = Vec::with_capacity(found.len());
    for order in &found {
        shown.push(standing(request, order).await?);
    }
    Ok(json!({ "orders": shown }))
}

#[derive(Deserialize)]
struct NamedOrder {
    order: String,
}

/// How an order stands.
pub(super) async fn describe_order(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let name = input.read::<NamedOrder>()?.order;
    let found = request.store().resource(&request.call.tenant, &name).await?;
    standing(
        request,
        &resource::found::<ManifestOrder>(&name, found.as_ref())?.record,
    )
    .await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Placing {
    order: String,
    signer_id: String,
    ca_certificate_id: String,
    count: u64,
    not_before: i64,
    not_after: i64,
    #[serde(default)]
    per_hour: u64,
}

/// Places the order of manifests that have no terms of their own.
pub(super) async fn place(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let asked: Placing = input.read()?;
    let terms = Terms {
        ca: parse_id(&asked.ca_certificate_id)?,
        count: asked.count,
        not_before: UnixMillis(asked.not_before),
        not_after: UnixMillis(asked.not_after),
        per_hour: asked.per_hour,
    };
    let tenant = &request.call.tenant;
    let order = request
        .decide(async || {
            let signer = request.store().resource(tenant, &asked.signer_id).await?;
            let existing = request.store().resource(tenant, &asked.order).await?;
            let (signer, existing) = (signer.as_ref(), existing.as_ref());
            Ok(intake::place(
                &request.call,
                &asked.order,
                &asked.signer_id,
                &terms,
                signer,
                existing,
            )?)
        })
        .await?;
    standing(request, &order).await
}

/// Takes lines of a manifest of ours, in order; those before the first that is refused stay taken.
pub(super) async fn take(request: &Request<'_>, _: Input) -> Result<Answer, ApiFault> {
    let text = core::str::from_utf8(request.body)
        .map_err(|_| ApiFault::invalid("cloud.api.body", "the manifest is not UTF-8"))?;
    let (mut new, mut known) = (0, 0);
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let taken = take_line(request, line).await?;
        new += taken.new;
        known += taken.known;
    }
    Ok(json!({ "new": new, "known": known }))
}

async fn take_line(request: &Request<'_>, line: &str) -> Result<intake::Taken, ApiFault> {
    let tenant = &request.call.tenant;
    let named = identity::manifest::signer_of(line)
        .map_err(unreadable)?
        .to_string();
    request
        .decide(async || {
            let signer: Option<Versioned<ManifestSigner>> = request.store().resource(tenant, &named).await?;
            let key = match &signer {
                None => None,
                Some(signer) => Some(signer.record.read()?.key),
            };
            let opened = identity::manifest::open(line, |_| key).map_err(unreadable)?;
            let order = &opened.segment.order;
            let facts = facts(request, order, signer, &opened.segment.entries).await?;
            Ok(intake::take(&request.call, &opened, &facts)?)
        })
        .await
}

#[derive(Deserialize)]
struct Items {
    order: String,
    items: Vec<Value>,
}

/// Takes items of a manifest of Microchip's.
pub(super) async fn take_items(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let asked: Items = input.read()?;
    if asked.items.len() > MANIFEST_ITEMS_MAX {
        let why = format!("one call takes at most {MANIFEST_ITEMS_MAX} items");
        return Err(ApiFault::invalid("cloud.api.count", why));
    }
    let tenant = &request.call.tenant;
    let taken = request
        .decide(async || {
            let order: Option<Versioned<ManifestOrder>> =
                request.store().resource(tenant, &asked.order).await?;
            let named = &resource::found(&asked.order, order.as_ref())?.record.signer;
            let signer: Option<Versioned<ManifestSigner>> = request.store().resource(tenant, named).await?;
            let document = resource::found(named, signer.as_ref())?.record.read()?;
            let entries = open_items(&asked.items, document.certificate.as_ref())?;
            let facts = facts(request, &asked.order, signer, &entries).await?;
            Ok(intake::take_items(&request.call, &asked.order, &entries, &facts)?)
        })
        .await?;
    Ok(json!({ "new": taken.new, "known": taken.known }))
}

fn open_items(items: &[Value], signer: Option<&Certificate>) -> Result<Vec<Entry>, ApiFault> {
    let signer = signer.ok_or_else(|| {
        ApiFault::invalid(
            "cloud.api.manifest",
            "the order's signer was enrolled by a bare key, and these manifests name it by its certificate",
        )
    })?;
    let opened = items.iter().map(|item| microchip::open(item, signer));
    opened.collect::<Result<_, _>>().map_err(unreadable)
}

async fn facts(
    request: &Request<'_>,
    order: &str,
    signer: Option<Versioned<ManifestSigner>>,
    entries: &[Entry],
) -> Result<intake::Facts, ApiFault> {
    let (store, tenant) = (request.store(), &request.call.tenant);
    let keys: Vec<_> = entries.iter().map(|entry| entry.key).collect();
    Ok(intake::Facts {
        signer,
        order: store.resource(tenant, order).await?,
        progress: store.resource(tenant, order).await?,
        known: store.manifest_entries(tenant, &keys).await?,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamedCa {
    ca_certificate_id: String,
}

/// Closes the gate of a CA: from now on its devices have to stand in a manifest.
pub(super) async fn close_gate(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    turn(request, input, true).await
}

/// Opens the gate of a CA; the audit log calls it a matter of security.
pub(super) async fn open_gate(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    turn(request, input, false).await
}

async fn turn(request: &Request<'_>, input: Input, on: bool) -> Result<Answer, ApiFault> {
    let id = parse_id(&input.read::<NamedCa>()?.ca_certificate_id)?;
    request
        .decide(async || {
            let existing = request.store().ca(&request.call.tenant, &id).await?;
            Ok(gate::turn(&request.call, &id, on, existing.as_ref())?)
        })
        .await?;
    request.control.authorities_changed();
    Ok(nothing())
}

/// Whether the gate of a CA is closed.
pub(super) async fn describe_gate(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let id: CertificateId = parse_id(&input.read::<NamedCa>()?.ca_certificate_id)?;
    let existing = request.store().ca(&request.call.tenant, &id).await?;
    let authority = &fleet::ca::found(&id, existing.as_ref())?.record;
    Ok(json!({ "caCertificateId": id.to_string(), "closed": authority.gated }))
}

fn shown_signer(signer: &ManifestSigner) -> Value {
    json!({
        "signerId": signer.id,
        "label": signer.label,
        "certificateId": Some(&signer.certificate).filter(|id| !id.is_empty()),
        "revoked": signer.revoked,
        "enrolled": timestamp(signer.created),
    })
}

async fn standing(request: &Request<'_>, order: &ManifestOrder) -> Result<Value, ApiFault> {
    let (store, tenant) = (request.store(), &request.call.tenant);
    let progress: Option<Versioned<ManifestProgress>> = store.resource(tenant, &order.name).await?;
    let progress = progress.map(|progress| progress.record);
    let admitted = store.tally(tenant, &order.admitted_tally(), 0).await?;
    let hour = manifest::hour(request.call.now);
    let this_hour = store.tally(tenant, &order.hourly_tally(), hour).await?;
    Ok(json!({
        "order": order.name,
        "signerId": order.signer,
        "caCertificateId": order.ca,
        "count": order.count,
        "notBefore": order.not_before.0,
        "notAfter": order.not_after.0,
        "perHour": order.per_hour,
        "sequence": progress.as_ref().map_or(0, |progress| progress.sequence),
        "digest": progress.as_ref().map_or("", |progress| &progress.digest),
        "entries": progress.as_ref().map_or(0, |progress| progress.entries),
        "admitted": admitted,
        "admittedThisHour": this_hour,
    }))
}

async fn every<T: resource::Resource>(request: &Request<'_>) -> Result<Vec<T>, ApiFault> {
    let mut found = Vec::new();
    let mut page = all(None);
    for _ in 0..MANIFEST_PAGES_MAX {
        let part = request
            .store()
            .list_resources::<T>(&request.call.tenant, "", page)
            .await?;
        found.extend(part.items);
        match part.next {
            Some(next) => page = all(Some(next)),
            None => break,
        }
    }
    Ok(found)
}

fn all(after: Option<fleet::page::Marker>) -> PageRequest {
    PageRequest {
        size: fleet::limits::PAGE_ITEMS_MAX,
        after,
        ascending: true,
    }
}

fn unreadable(error: identity::Error) -> ApiFault {
    let exception = match error.blame() {
        identity::Blame::Refused => fleet::Exception::Unauthorized,
        _ => fleet::Exception::InvalidRequest,
    };
    fleet::Refusal::new(exception, error.code(), error.to_string()).into()
}
