//! TestAuthorization and GetEffectivePolicies: what a device may do, without the device.
//!
//! They stand between the wire and `fleet::authorization`. The policies are compiled and decided by the code that decides
//! on live connections; nothing here may know the language of policies.

use std::sync::Arc;

use fleet::authorization::{self, Answer as Tested, Authorized, Question};
use fleet::names::PolicyName;
use fleet::{arn, certificate, policies, thing};
use identity::CertificateId;
use identity::certificate::Certificate;
use policy::{CertificateFacts, Context, Grant, NamedPolicy};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{AttachedPolicy, Records as _, Trust};

use super::operation::Input;
use super::render::Answer;
use super::things::parse_name;
use super::{Request, fault::ApiFault};
use crate::trust::thing_facts;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthInfo {
    #[serde(default)]
    action_type: String,
    #[serde(default)]
    resources: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Test {
    principal: Option<String>,
    cognito_identity_pool_id: Option<String>,
    client_id: Option<String>,
    #[serde(default)]
    auth_infos: Vec<AuthInfo>,
    #[serde(default)]
    policy_names_to_add: Vec<String>,
    #[serde(default)]
    policy_names_to_skip: Vec<String>,
}

/// TestAuthorization.
pub(super) async fn test(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Test = input.read()?;
    refuse_pool(input.cognito_identity_pool_id.as_deref())?;
    let names = input.policy_names_to_add.len() + input.policy_names_to_skip.len();
    authorization::check_size(input.auth_infos.len(), names)?;
    let tenant = &request.call.tenant;
    let asked: Vec<(&str, Question)> = input
        .auth_infos
        .iter()
        .map(|info| {
            let question = Question::parse(tenant, &info.action_type, info.resources.clone())?;
            Ok((info.action_type.as_str(), question))
        })
        .collect::<Result<_, fleet::Refusal>>()?;
    let trust = match input.principal.as_deref() {
        Some(principal) => Some(trust(request, principal).await?),
        None => None,
    };
    let documents = documents(request, &input, trust.as_ref()).await?;
    let unknown_client = input.client_id.is_none();
    let missing = unknown_client && documents.iter().any(|attached| names_client(&attached.document));
    let context = context(
        request,
        input.client_id.as_deref().unwrap_or_default(),
        trust.as_ref(),
    )?;
    let compiled: Result<Vec<NamedPolicy>, ApiFault> = documents
        .iter()
        .map(|attached| request.control.grants.compiled(tenant, attached))
        .collect();
    let (id, epoch) = trust.as_ref().map_or((CertificateId([0; 32]), 0), |trust| {
        (trust.certificate.record.id, trust.epoch)
    });
    let grant = Grant::new(*tenant, id, epoch, compiled?);
    let missing: &[&str] = if missing { &["iot:ClientId"] } else { &[] };
    let results: Result<Vec<Value>, ApiFault> = asked
        .iter()
        .map(|(action, question)| {
            let tested = authorization::test(&grant, question, &context, request.call.now)?;
            Ok(shown(request, action, question, &tested, missing))
        })
        .collect();
    Ok(json!({ "authResults": results? }))
}

/// What is known of the device, as if it connected now from where the caller is.
fn context(request: &Request<'_>, client_id: &str, trust: Option<&Trust>) -> Result<Context, ApiFault> {
    let facts = match trust {
        None => CertificateFacts::new(CertificateId([0; 32])),
        Some(trust) => {
            let record = &trust.certificate.record;
            let parsed = Certificate::parse(&record.der).map_err(ApiFault::failed)?;
            CertificateFacts::of(record.id, &parsed)
        }
    };
    let thing = trust
        .and_then(|trust| trust.things.iter().find(|thing| thing.name.as_str() == client_id))
        .cloned()
        .map(thing_facts);
    Ok(Context::new(
        client_id,
        request.peer.ip(),
        Arc::new(facts),
        thing.as_ref(),
    ))
}

/// The policies that count: those of the principal, without those to be skipped, with those to be added.
async fn documents(
    request: &Request<'_>,
    input: &Test,
    trust: Option<&Trust>,
) -> Result<Vec<AttachedPolicy>, ApiFault> {
    let mut documents: Vec<AttachedPolicy> = trust.map(|trust| trust.policies.clone()).unwrap_or_default();
    documents.retain(|attached| {
        !input
            .policy_names_to_skip
            .iter()
            .any(|name| name == attached.name.as_str())
    });
    for name in &input.policy_names_to_add {
        let name = PolicyName::parse(name)?;
        if documents.iter().any(|attached| attached.name == name) {
            continue;
        }
        let existing = request.store().policy(&request.call.tenant, &name).await?;
        let found = policies::found(&name, existing.as_ref())?;
        if let Some(version) = found.record.default_document() {
            documents.push(AttachedPolicy {
                name,
                version: version.id,
                record_version: found.version,
                document: version.document.clone(),
            });
        }
    }
    Ok(documents)
}

fn names_client(document: &str) -> bool {
    let document = document.to_ascii_lowercase();
    document.contains("iot:clientid") || document.contains("iot:connection.thing")
}

fn shown(
    request: &Request<'_>,
    action: &str,
    question: &Question,
    tested: &Tested,
    missing: &[&str],
) -> Value {
    let tenant = &request.call.tenant;
    let list = |names: &[String]| -> Vec<Value> {
        let shown =
            |name: &String| json!({ "policyName": name, "policyArn": arn::policy_text(tenant, name) });
        names.iter().map(shown).collect()
    };
    let silent = match tested.decision {
        Authorized::Allowed => Vec::new(),
        _ => list(&tested.silent),
    };
    json!({
        "authInfo": { "actionType": action, "resources": question.resources },
        "allowed": { "policies": list(&tested.allowing) },
        "denied": {
            "implicitDeny": { "policies": silent },
            "explicitDeny": { "policies": list(&tested.denying) },
        },
        "authDecision": tested.decision.name(),
        "missingContextValues": missing,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Effective {
    principal: Option<String>,
    cognito_identity_pool_id: Option<String>,
    thing_name: Option<String>,
}

/// GetEffectivePolicies.
pub(super) async fn effective(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Effective = input.read()?;
    refuse_pool(input.cognito_identity_pool_id.as_deref())?;
    let tenant = &request.call.tenant;
    let mut policies = match input.principal.as_deref() {
        Some(principal) => trust(request, principal).await?.policies,
        None => Vec::new(),
    };
    if let Some(name) = input.thing_name.as_deref() {
        let name = parse_name(name)?;
        let existing = request.store().thing(tenant, &name).await?;
        thing::found(&name, existing.as_ref())?;
        for inherited in request.store().policies_of_thing(tenant, &name).await? {
            if !policies.iter().any(|known| known.name == inherited.name) {
                policies.push(inherited);
            }
        }
    }
    let items = policies.iter().map(|attached| {
        json!({
            "policyName": attached.name.as_str(),
            "policyArn": arn::policy(tenant, &attached.name),
            "policyDocument": &*attached.document,
        })
    });
    Ok(json!({ "effectivePolicies": items.collect::<Vec<_>>() }))
}

/// What the certificate may do and what it is attached to, whatever its status.
async fn trust(request: &Request<'_>, principal: &str) -> Result<Trust, ApiFault> {
    let tenant = &request.call.tenant;
    let id = arn::parse_principal(tenant, principal)?;
    let trust = request.store().trust(tenant, &id).await?;
    if trust.is_none() {
        certificate::found(&id, None)?;
    }
    trust.ok_or_else(|| ApiFault::failed("a certificate was there and was not"))
}

fn refuse_pool(pool: Option<&str>) -> Result<(), ApiFault> {
    match pool {
        None => Ok(()),
        Some(_) => Err(ApiFault::invalid(
            "cloud.api.cognito",
            "there are no Cognito identities here: name a certificate as principal",
        )),
    }
}
