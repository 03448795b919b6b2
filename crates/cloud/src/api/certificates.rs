//! Operations on device certificates: issue, register, describe, change, list, delete.
//!
//! They stand between the wire and `fleet::certificate`: each reads its members, looks up the facts, lets `fleet` decide,
//! keeps what it decided and tells the answer. A private key is made here, told once and never kept.

use fleet::certificate::{self, DeleteFacts, Registered, Registration};
use fleet::record::{DeviceCertificate, PolicyTarget};
use fleet::{Exception, Refusal, arn};
use identity::issue::AWS_ISSUED_COMMON_NAME;
use identity::name::Name;
use identity::{CertificateId, Tenant};
use serde::Deserialize;
use serde_json::{Value, json};
use store::Records as _;

use super::listing::{Pages, by_marker};
use super::operation::Input;
use super::render::{Answer, nothing, object};
use super::{Request, fault::ApiFault, timestamp};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FromRequest {
    certificate_signing_request: String,
    #[serde(default)]
    set_as_active: bool,
}

/// CreateCertificateFromCsr.
pub(super) async fn create_from_csr(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: FromRequest = input.read()?;
    let proven = certificate::examine_request(&input.certificate_signing_request)?;
    let issued = request
        .control
        .issuer
        .issue(proven, request.call.now)
        .map_err(ApiFault::failed)?;
    let registered = request
        .decide(async || Ok(certificate::create(&request.call, &issued, input.set_as_active)?))
        .await?;
    Ok(issued_answer(&registered, &issued.pem()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateKeys {
    #[serde(default)]
    set_as_active: bool,
}

/// CreateKeysAndCertificate.
pub(super) async fn create_keys(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: CreateKeys = input.read()?;
    let key = request.control.make_rsa_key().await?;
    let subject = Name::with_common_name(AWS_ISSUED_COMMON_NAME).map_err(ApiFault::failed)?;
    let proven = key.prove(&subject).map_err(ApiFault::failed)?;
    let issued = request
        .control
        .issuer
        .issue(proven, request.call.now)
        .map_err(ApiFault::failed)?;
    let registered = request
        .decide(async || Ok(certificate::create(&request.call, &issued, input.set_as_active)?))
        .await?;
    let mut answer = issued_answer(&registered, &issued.pem());
    let private = key.traditional_pem().map_err(ApiFault::failed)?;
    if let Value::Object(answer) = &mut answer {
        let pair = json!({ "PublicKey": issued.public_key().pem(), "PrivateKey": private.as_str() });
        answer.insert("keyPair".into(), pair);
    }
    Ok(answer)
}

fn issued_answer(registered: &Registered, pem: &str) -> Answer {
    json!({
        "certificateArn": registered.arn,
        "certificateId": registered.id.to_string(),
        "certificatePem": pem,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Register {
    certificate_pem: String,
    ca_certificate_pem: Option<String>,
    status: Option<String>,
    #[serde(default)]
    set_as_active: bool,
}

impl Register {
    fn parse(&self, request: &Request<'_>) -> Result<Registration, Refusal> {
        let (ca, status) = (self.ca_certificate_pem.as_deref(), self.status.as_deref());
        let registration = Registration::parse(&self.certificate_pem, ca, status, self.set_as_active)?;
        Ok(registration.allow_simulated(request.control.plan.allow_simulated))
    }
}

/// RegisterCertificate.
pub(super) async fn register(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let registration = input.read::<Register>()?.parse(request)?;
    let tenant = &request.call.tenant;
    let registered = request
        .decide(async || {
            let store = request.store();
            let existing = store.certificate(tenant, &registration.leaf().id()).await?;
            let candidates = store
                .cas_by_subject(tenant, registration.leaf().issuer().der())
                .await?;
            Ok(certificate::register(
                &request.call,
                &registration,
                &candidates,
                existing.as_ref(),
            )?)
        })
        .await?;
    Ok(registered_answer(&registered))
}

/// RegisterCertificateWithoutCA.
pub(super) async fn register_without_ca(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let registration = input.read::<Register>()?.parse(request)?;
    let registered = request
        .decide(async || {
            let existing = request
                .store()
                .certificate(&request.call.tenant, &registration.leaf().id())
                .await?;
            Ok(certificate::register_without_ca(
                &request.call,
                &registration,
                existing.as_ref(),
            )?)
        })
        .await?;
    Ok(registered_answer(&registered))
}

fn registered_answer(registered: &Registered) -> Answer {
    json!({ "certificateArn": registered.arn, "certificateId": registered.id.to_string() })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    certificate_id: String,
    new_status: Option<String>,
    #[serde(default)]
    force_delete: bool,
}

impl Named {
    fn id(&self) -> Result<CertificateId, ApiFault> {
        parse_id(&self.certificate_id)
    }
}

/// Reads the id of a certificate as AWS writes it.
pub(super) fn parse_id(text: &str) -> Result<CertificateId, ApiFault> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(80).collect();
        let reason = format!("\"{shown}\" is not a certificate id");
        Refusal::new(Exception::InvalidRequest, "cloud.api.certificate_id", reason)
            .hint("a certificate id has 64 hexadecimal digits")
            .into()
    })
}

/// DescribeCertificate.
pub(super) async fn describe(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let id = input.read::<Named>()?.id()?;
    let existing = request.store().certificate(&request.call.tenant, &id).await?;
    let found = certificate::found(&id, existing.as_ref())?;
    let mut shown = description(&request.call.tenant, &found.record);
    if let Value::Object(members) = &mut shown {
        members.extend(super::transfers::described(request, &id).await?);
    }
    Ok(json!({ "certificateDescription": shown }))
}

fn description(tenant: &Tenant, certificate: &DeviceCertificate) -> Value {
    object(json!({
        "certificateArn": arn::certificate(tenant, &certificate.id),
        "certificateId": certificate.id.to_string(),
        "caCertificateId": certificate.ca.map(|ca| ca.to_string()),
        "status": certificate.status.name(),
        "certificatePem": identity::pem::encode("CERTIFICATE", &certificate.der),
        "ownedBy": tenant.account.as_str(),
        "creationDate": timestamp(certificate.created),
        "lastModifiedDate": timestamp(certificate.modified),
        "customerVersion": certificate.customer_version,
        "generationId": certificate::generation_id(&certificate.id, certificate.created),
        "validity": {
            "notBefore": timestamp(certificate.not_before),
            "notAfter": timestamp(certificate.not_after),
        },
        "certificateMode": certificate.mode.name(),
    }))
}

/// UpdateCertificate.
pub(super) async fn update(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let id = input.id()?;
    let status = input
        .new_status
        .as_deref()
        .ok_or_else(|| super::missing("newStatus"))?;
    request
        .decide(async || {
            let existing = request.store().certificate(&request.call.tenant, &id).await?;
            Ok(certificate::update(
                &request.call,
                &id,
                status,
                existing.as_ref(),
            )?)
        })
        .await?;
    Ok(nothing())
}

/// DeleteCertificate.
pub(super) async fn delete(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Named = input.read()?;
    let id = input.id()?;
    let tenant = &request.call.tenant;
    request
        .decide(async || {
            let store = request.store();
            let existing = store.certificate(tenant, &id).await?;
            let facts = DeleteFacts {
                policies: store.policies_of(tenant, &PolicyTarget::Certificate(id)).await?,
                things: store.things_of(tenant, &id).await?,
            };
            Ok(certificate::delete(
                &request.call,
                &id,
                input.force_delete,
                existing.as_ref(),
                &facts,
            )?)
        })
        .await?;
    Ok(nothing())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    ca_certificate_id: Option<String>,
    #[serde(flatten)]
    pages: Pages,
}

/// ListCertificates and ListCertificatesByCA.
pub(super) async fn list(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: List = input.read()?;
    let tenant = &request.call.tenant;
    let ca = input.ca_certificate_id.as_deref().map(parse_id).transpose()?;
    let page = input.pages.markers()?;
    let page = match ca {
        Some(ca) => request.store().list_certificates_by_ca(tenant, &ca, page).await?,
        None => request.store().list_certificates(tenant, page).await?,
    };
    Ok(by_marker("certificates", &page, |certificate| {
        json!({
            "certificateArn": arn::certificate(tenant, &certificate.id),
            "certificateId": certificate.id.to_string(),
            "status": certificate.status.name(),
            "certificateMode": certificate.mode.name(),
            "creationDate": timestamp(certificate.created),
        })
    }))
}
