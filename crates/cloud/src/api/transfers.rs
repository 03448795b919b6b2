//! Operations that move certificates between the accounts of this server.
//!
//! They stand between the wire and `fleet::certificate_transfer`. They are the only ones that look into another account,
//! and only at what a transfer between the two is about.

use fleet::certificate_transfer::{self as transfer, Facts, Incoming, Outgoing};
use fleet::record::PolicyTarget;
use fleet::{Exception, Refusal, arn};
use identity::{AccountId, CertificateId, Tenant};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::Records as _;

use super::certificates::parse_id;
use super::listing::{Pages, by_marker};
use super::operation::Input;
use super::render::{Answer, nothing, object};
use super::{Request, fault::ApiFault, timestamp};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    certificate_id: String,
    #[serde(default)]
    target_aws_account: String,
    #[serde(default)]
    transfer_message: String,
    #[serde(default)]
    reject_reason: String,
    #[serde(default)]
    set_as_active: bool,
}

/// The same region of another account.
fn beside(request: &Request<'_>, account: AccountId) -> Tenant {
    Tenant {
        account,
        region: request.call.tenant.region,
    }
}

/// What is known of a transfer from `source` to `target`.
async fn facts(
    request: &Request<'_>,
    id: &CertificateId,
    source: &Tenant,
    target: &Tenant,
) -> Result<Facts, ApiFault> {
    let (store, name) = (request.store(), id.to_string());
    let policies = store.policies_of(source, &PolicyTarget::Certificate(*id)).await?;
    let things = store.things_of(source, id).await?;
    Ok(Facts {
        certificate: store.certificate(source, id).await?,
        outgoing: store.resource::<Outgoing>(source, &name).await?,
        incoming: store.resource::<Incoming>(target, &name).await?,
        is_there: store.certificate(target, id).await?.is_some(),
        attached: policies.len() + things.len(),
    })
}

/// TransferCertificate.
pub(super) async fn begin(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let id = parse_id(&input.certificate_id)?;
    let known = |account: &AccountId| request.control.plan.has_account(account);
    let account = input
        .target_aws_account
        .parse()
        .ok()
        .filter(known)
        .ok_or_else(|| {
            Refusal::new(
                Exception::InvalidRequest,
                "cloud.api.account",
                "targetAwsAccount is not an account of this server",
            )
        })?;
    let (source, target) = (&request.call.tenant, beside(request, account));
    request
        .decide(async || {
            let facts = facts(request, &id, source, &target).await?;
            let message = &input.transfer_message;
            Ok(transfer::transfer(&request.call, &id, &target, message, &facts)?)
        })
        .await?;
    Ok(json!({ "transferredCertificateArn": arn::certificate(&target, &id) }))
}

/// What the new account knows of a transfer, and where it comes from.
async fn incoming(request: &Request<'_>, id: &CertificateId) -> Result<(Tenant, Facts), ApiFault> {
    let target = &request.call.tenant;
    let known = Facts {
        incoming: request.store().resource(target, &id.to_string()).await?,
        ..Facts::default()
    };
    let from = &transfer::pending(id, &known)?.record.from;
    let account = from
        .parse()
        .map_err(|_| ApiFault::failed("a transfer from no account"))?;
    let source = beside(request, account);
    let facts = facts(request, id, &source, target).await?;
    Ok((source, facts))
}

/// AcceptCertificateTransfer.
pub(super) async fn accept(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let id = parse_id(&input.certificate_id)?;
    request
        .decide(async || {
            let (source, facts) = incoming(request, &id).await?;
            Ok(transfer::accept(
                &request.call,
                &id,
                &source,
                input.set_as_active,
                &facts,
            )?)
        })
        .await?;
    Ok(nothing())
}

/// RejectCertificateTransfer.
pub(super) async fn reject(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let id = parse_id(&input.certificate_id)?;
    request
        .decide(async || {
            let (source, facts) = incoming(request, &id).await?;
            Ok(transfer::reject(
                &request.call,
                &id,
                &source,
                &input.reject_reason,
                &facts,
            )?)
        })
        .await?;
    Ok(nothing())
}

/// CancelCertificateTransfer.
pub(super) async fn cancel(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let (id, source) = (parse_id(&input.certificate_id)?, &request.call.tenant);
    request
        .decide(async || {
            let outgoing: Option<fleet::record::Versioned<Outgoing>> =
                request.store().resource(source, &id.to_string()).await?;
            let account = outgoing.and_then(|outgoing| outgoing.record.to.parse().ok());
            let target = account.map(|account| beside(request, account));
            let facts = facts(request, &id, source, target.as_ref().unwrap_or(source)).await?;
            Ok(transfer::cancel(&request.call, &id, target.as_ref(), &facts)?)
        })
        .await?;
    Ok(nothing())
}

#[derive(Deserialize)]
struct List {
    #[serde(flatten)]
    pages: Pages,
}

/// What DescribeCertificate tells of a certificate's journey: of the one that it is on or was sent back from, else of the one
/// that it came by.
pub(super) async fn described(
    request: &Request<'_>,
    id: &CertificateId,
) -> Result<Map<String, Value>, ApiFault> {
    let (tenant, name) = (&request.call.tenant, id.to_string());
    let incoming = request.store().resource::<Incoming>(tenant, &name).await?;
    let outgoing = request.store().resource::<Outgoing>(tenant, &name).await?;
    let incoming = incoming.filter(|incoming| incoming.record.ended.is_some());
    let before = incoming.as_ref().map(|incoming| &incoming.record.from);
    let journey = match (&outgoing, &incoming) {
        (Some(outgoing), _) => object(json!({
            "transferMessage": told(&outgoing.record.message),
            "transferDate": timestamp(outgoing.record.sent),
            "rejectReason": told(&outgoing.record.reason),
            "rejectDate": outgoing.record.rejected.map(timestamp),
        })),
        (None, Some(incoming)) => object(json!({
            "transferMessage": told(&incoming.record.message),
            "transferDate": timestamp(incoming.record.sent),
            "acceptDate": incoming.record.ended.map(timestamp),
        })),
        (None, None) => return Ok(Map::new()),
    };
    let shown = object(json!({ "transferData": journey, "previousOwnedBy": before }));
    Ok(match shown {
        Value::Object(members) => members,
        _ => Map::new(),
    })
}

/// A text that somebody wrote; none if it is empty.
fn told(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// ListOutgoingCertificates.
pub(super) async fn list(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let (tenant, asked) = (&request.call.tenant, input.read::<List>()?.pages.markers()?);
    let mut page = request
        .store()
        .list_resources::<Outgoing>(tenant, "", asked)
        .await?;
    page.items.retain(|outgoing| outgoing.rejected.is_none());
    Ok(by_marker("outgoingCertificates", &page, |outgoing| {
        object(json!({
            "certificateArn": arn::named(tenant, "cert", &outgoing.certificate),
            "certificateId": outgoing.certificate,
            "transferredTo": outgoing.to,
            "transferDate": timestamp(outgoing.sent),
            "transferMessage": Some(&outgoing.message).filter(|text| !text.is_empty()),
            "creationDate": timestamp(outgoing.created),
        }))
    }))
}
