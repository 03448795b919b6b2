//! The credentials endpoint: a device that shows its certificate is given the temporary access key of a role.
//!
//! `GET /role-aliases/{alias}/credentials` (AWS IoT developer guide, "Authorizing direct calls to AWS services"). It stands
//! beside the API on the same listener; no access key is needed, the certificate of the connection is who asks. A refusal
//! says no more than that access is denied, as AWS does; its reason is in the attempt record.

use std::net::IpAddr;

use fleet::attempt::Verdict;
use fleet::domain_configuration::ServiceType;
use fleet::names::RoleAliasName;
use fleet::role_alias::{self, AssumeFacts, RoleAlias};
use fleet::text::Text;
use fleet::{Exception, Refusal};
use http::{HeaderMap, Method, Response};
use http_body_util::Full;
use hyper::body::Bytes;
use identity::ThingName;
use policy::{Action, Context, Request, Resource};
use serde_json::{Value, json};
use store::Records as _;

use super::encoding::decode_text;
use super::fault::ApiFault;
use super::render;
use super::server::Conversation;
use crate::arrival::Record;
use crate::clock;
use crate::front_door;
use crate::shard::Clearance;
use crate::temporary_keys::Assumed;

/// The header in which a device says which thing it is.
const THING_NAME: &str = "x-amzn-iot-thingname";

/// The alias that a request asks for, as it stands in the path; `None`: it is no request for credentials.
pub(super) fn alias_in<'a>(method: &Method, path: &'a str) -> Option<&'a str> {
    let alias = path
        .strip_prefix("/role-aliases/")?
        .strip_suffix("/credentials")?;
    (method == Method::GET && !alias.is_empty() && !alias.contains('/')).then_some(alias)
}

/// Answers a request for credentials; it leaves an attempt record in any case.
pub(super) async fn answer(
    conversation: &Conversation,
    alias: &str,
    headers: &HeaderMap,
) -> Response<Full<Bytes>> {
    let control = &conversation.control;
    let mut record = conversation.record.again(control);
    record.attempt.operation = Some(Text::short("AssumeRoleWithCertificate"));
    let id = fleet::record::Uuid(record.attempt.trace.0).to_string();
    let given = give(conversation, alias, headers, &mut record).await;
    let response = match &given {
        Ok(credentials) => render::answer(credentials, &id),
        Err(fault) => render::denied(fault, &id),
    };
    match given {
        Ok(_) => record.attempt.end(
            Verdict::Accepted,
            "cloud.credentials.given",
            "the device was given the temporary access key of a role",
            "",
        ),
        Err(ApiFault::Refused(refusal)) => record.attempt.refuse(&refusal),
        Err(fault) => {
            let cause = match &fault {
                ApiFault::Failed(cause) => cause.clone(),
                other => other.to_string(),
            };
            let hint = "look at the server's disk and log";
            record
                .attempt
                .end(Verdict::Faulted, "cloud.credentials.fault", cause, hint);
        }
    }
    record.keep(control);
    response
}

async fn give(
    conversation: &Conversation,
    alias: &str,
    headers: &HeaderMap,
    record: &mut Record,
) -> Result<Value, ApiFault> {
    let control = &conversation.control;
    let clearance = clear(conversation, record).await?;
    let tenant = conversation.addressed.tenant;
    let refuse = |code, why: String| Refusal::new(Exception::ResourceNotFound, code, why);
    let name = decode_text(alias).and_then(|text| RoleAliasName::parse(&text).ok());
    let name = name.ok_or_else(|| {
        refuse(
            "cloud.credentials.alias",
            "the path names no role alias: it is /role-aliases/ALIAS/credentials".to_owned(),
        )
    })?;
    let found = control
        .records
        .resource::<RoleAlias>(&tenant, name.as_str())
        .await?;
    let found = found.map(|found| found.record);
    let thing = headers.get(THING_NAME);
    let thing = thing.map(|value| value.to_str().unwrap_or_default());
    record.attempt.thing = thing.and_then(|thing| thing.parse().ok());
    let denied = denied(&clearance, &name, thing, conversation.peer.ip());
    let things: Vec<ThingName> = clearance.things.iter().map(|thing| thing.name.clone()).collect();
    let role = found.as_ref().map_or("", RoleAlias::role);
    let facts = AssumeFacts {
        denied: denied.as_deref(),
        alias: found.as_ref(),
        thing,
        things: &things,
        is_role_known: control.plan.role(&tenant.account, role).is_some(),
    };
    let expires = role_alias::assume(name.as_str(), facts, clock::now())?;
    let trail = &mut record.attempt.trail;
    trail.passed("credentials.role", format!("role {role} by the alias {name}"));
    let assumed = Assumed {
        tenant,
        role: role.to_owned(),
        certificate: clearance.grant.certificate,
        alias: name.as_str().to_owned(),
        thing: thing.map(str::to_owned),
        expires,
    };
    let issued = control.temporary_keys.issue(&assumed);
    let issued = issued.ok_or_else(|| ApiFault::failed("a temporary access key could not be sealed"))?;
    let expiration = expires.to_rfc3339();
    Ok(json!({ "credentials": {
        "accessKeyId": issued.access_key,
        "secretAccessKey": issued.secret.as_str(),
        "sessionToken": issued.token,
        "expiration": format!("{}Z", expiration.split('.').next().unwrap_or_default()),
    } }))
}

/// Finds out who asks, and whether he may come in.
async fn clear(conversation: &Conversation, record: &mut Record) -> Result<Clearance, ApiFault> {
    front_door::check_address(conversation.addressed)?;
    if let Some(domain) = &conversation.domain {
        domain.configuration.serves(ServiceType::CredentialProvider)?;
    }
    let refuse = |code, why: &str| Refusal::new(Exception::Unauthorized, code, why);
    let certificate = conversation.certificate.as_ref().ok_or_else(|| {
        refuse(
            "cloud.credentials.certificate",
            "the client showed no certificate",
        )
        .hint("connect with the certificate and the key of the device")
    })?;
    let cleared = front_door::look_up(&conversation.control, certificate, conversation.addressed, record);
    Ok(cleared.await?.ok_or_else(|| {
        refuse(
            "cloud.credentials.unregistered",
            "the certificate is not registered: a request for credentials is no first connection",
        )
        .hint("let the device connect by MQTT first, or register its certificate")
    })?)
}

/// Why no policy of the certificate allows it, if none does.
fn denied(clearance: &Clearance, alias: &RoleAliasName, thing: Option<&str>, from: IpAddr) -> Option<String> {
    let named = |name: &str| clearance.things.iter().find(|thing| thing.name.as_str() == name);
    let facts = thing.and_then(named);
    let client_id = thing.unwrap_or_default();
    let context = Context::new(client_id, from, clearance.facts.clone(), facts);
    let request = Request {
        action: Action::AssumeRoleWithCertificate,
        resource: Resource::role_alias(alias.as_str()),
        context: &context,
        now: clock::now(),
    };
    let verdict = policy::decide(&clearance.grant, &request);
    (!verdict.is_allowed()).then(|| verdict.explain(&clearance.grant, &request))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_path_of_credentials_is_theirs() {
        let check = |method: Method, path: &'static str| alias_in(&method, path);
        assert_eq!(check(Method::GET, "/role-aliases/a/credentials"), Some("a"));
        assert_eq!(
            check(Method::GET, "/role-aliases/a%40b/credentials"),
            Some("a%40b")
        );
        for (method, path) in [
            (Method::POST, "/role-aliases/a/credentials"),
            (Method::GET, "/role-aliases/a"),
            (Method::GET, "/role-aliases//credentials"),
            (Method::GET, "/role-aliases/a/b/credentials"),
            (Method::GET, "/role-aliases/credentials"),
        ] {
            assert_eq!(check(method, path), None, "{path}");
        }
    }
}
