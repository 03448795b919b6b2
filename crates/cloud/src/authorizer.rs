//! Decides about a client that shows a token, or a user name and a password, instead of a certificate.
//!
//! It stands beside the look-up of certificates: the listeners call [`authorize`] with what a client showed, and get what it
//! may do from the custom authorizer of its tenant, or a refusal. The question to the authorizer's program and its answer
//! are those of the AWS IoT developer guide ("Custom authentication"). A token without a good signature asks nobody
//! anything, and a program that does not answer has said no.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fleet::attempt::Trail;
use fleet::authorizer::{Authorizer, DefaultAuthorizer};
use fleet::authorizer_answer::{Admitted, Answer, unfit};
use fleet::record::Versioned;
use fleet::{Exception, Refusal, resource};
use http::HeaderMap;
use identity::Tenant;
use policy::Grant;
use serde_json::{Map, Value, json};
use store::Records as _;

use crate::api::{ApiFault, decode_text, object, query_pairs};
use crate::clock;
use crate::control::Control;
use crate::principal::{named, stand_in};
use crate::shard::{Clearance, Lease};
use crate::webhook::Fault;

const NAME: &str = "x-amz-customauthorizer-name";
const SIGNATURE: &str = "x-amz-customauthorizer-signature";

/// What a client shows.
#[derive(Clone, Copy, Default)]
pub(crate) struct Credentials<'a> {
    /// The authorizer of the endpoint that it reached.
    pub(crate) authorizer: Option<&'a str>,
    /// It may not choose another one.
    pub(crate) is_fixed: bool,
    /// The name in its ClientHello.
    pub(crate) server_name: Option<&'a str>,
    /// Its HTTP request: headers and query.
    pub(crate) http: Option<(&'a HeaderMap, &'a str)>,
    /// Its CONNECT.
    pub(crate) mqtt: Option<Login<'a>>,
}

/// What a CONNECT shows.
#[derive(Clone, Copy, Default)]
pub(crate) struct Login<'a> {
    /// User name; what follows a question mark in it are parameters.
    pub(crate) user_name: Option<&'a str>,
    /// Password.
    pub(crate) password: Option<&'a [u8]>,
    /// Client id.
    pub(crate) client_id: &'a str,
}

/// A token, its signature, and where they came in.
#[derive(Default)]
pub(crate) struct Shown {
    pub(crate) token: Option<String>,
    /// Base64.
    pub(crate) signature: Option<String>,
    /// Which protocols the client spoke, and what they carried.
    pub(crate) protocols: Map<String, Value>,
}

impl Credentials<'_> {
    /// A parameter, wherever it stands: in a header, in the query, or in the user name.
    fn parameter(&self, name: &str) -> Option<String> {
        let header = || {
            let (headers, _) = self.http?;
            headers.get(name)?.to_str().ok().map(str::to_owned)
        };
        let query = || self.http.and_then(|(_, query)| in_query(query, name));
        let login = || {
            let (_, parameters) = self.mqtt?.user_name?.split_once('?')?;
            in_query(parameters, name)
        };
        header().or_else(query).or_else(login)
    }

    fn shown(&self, authorizer: &Authorizer) -> Shown {
        let token_key = Some(authorizer.token_key_name.as_str()).filter(|name| !name.is_empty());
        let mut protocols = Map::new();
        protocols.insert("tls".into(), object(json!({ "serverName": self.server_name })));
        if let Some((headers, query)) = self.http {
            let headers = headers
                .iter()
                .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?)));
            let headers: Map<_, _> = headers.map(|(name, value)| (name, value.into())).collect();
            let query = if query.is_empty() {
                String::new()
            } else {
                format!("?{query}")
            };
            protocols.insert("http".into(), json!({ "headers": headers, "queryString": query }));
        }
        if let Some(login) = self.mqtt {
            let password = login.password.map(|password| STANDARD.encode(password));
            let client_id = Some(login.client_id).filter(|id| !id.is_empty());
            let carried = json!({ "username": login.user_name, "password": password, "clientId": client_id });
            protocols.insert("mqtt".into(), object(carried));
        }
        Shown {
            token: token_key.and_then(|name| self.parameter(name)),
            signature: self.parameter(SIGNATURE),
            protocols,
        }
    }
}

/// A parameter of a query; percent-encoded, since signatures hold characters that mean something there.
fn in_query(query: &str, name: &str) -> Option<String> {
    let mut pairs = query_pairs(query);
    let (_, value) = pairs.find(|(found, _)| found.eq_ignore_ascii_case(name))?;
    decode_text(value)
}

/// Asks the authorizer about a client: what it may do, and until when.
///
/// # Errors
/// The client is not let in, with the reason; the steps are in the trail.
pub(crate) async fn authorize(
    control: &Control,
    tenant: &Tenant,
    credentials: &Credentials<'_>,
    trail: &mut Trail,
) -> Result<Clearance, ApiFault> {
    let authorizer = find(control, tenant, credentials).await;
    let authorizer = authorizer.inspect_err(|fault| trail.failed("authorizer.found", fault.to_string()))?;
    trail.passed("authorizer.found", authorizer.name.as_str());
    let shown = credentials.shown(&authorizer);
    let answer = ask(control, tenant, &authorizer, &shown, trail).await?;
    let admitted = answer.admit(&authorizer.name);
    let admitted = admitted.inspect_err(|refusal| trail.failed("authorizer.answer", refusal.reason()))?;
    trail.passed("authorizer.answer", format!("lets {} in", admitted.principal));
    Ok(cleared(tenant, &authorizer.name, admitted))
}

/// What the authorizer says rests on no record, so no change of trust makes it old; it ends when the authorizer says.
fn cleared(tenant: &Tenant, authorizer: &str, admitted: Admitted) -> Clearance {
    let principal = stand_in(&format!("authorizer {authorizer}: {}", admitted.principal));
    let grant = Grant::new(*tenant, principal, u64::MAX, admitted.policies).without_certificate();
    let mut clearance = named(Arc::new(grant), &admitted.principal);
    clearance.lease = Some(Lease {
        until: clock::now().plus_millis(i64::from(admitted.disconnect_after_seconds) * 1000),
        kind: broker::Lease::Authorizer,
    });
    clearance
}

async fn find(
    control: &Control,
    tenant: &Tenant,
    credentials: &Credentials<'_>,
) -> Result<Authorizer, ApiFault> {
    let chosen = credentials.parameter(NAME).filter(|_| !credentials.is_fixed);
    let named = chosen.or_else(|| credentials.authorizer.map(str::to_owned));
    let name = match named {
        Some(name) => name,
        None => {
            let default = default(control, tenant).await?;
            default.ok_or_else(nobody)?.record.authorizer
        }
    };
    let found: Option<Versioned<Authorizer>> = control.records.resource(tenant, &name).await?;
    let found = resource::found(&name, found.as_ref())?.record.clone();
    match found.is_active() {
        true => Ok(found),
        false => Err(Refusal::new(
            Exception::Unauthorized,
            "cloud.authorizer.inactive",
            format!("the authorizer {} is INACTIVE", found.name),
        )
        .hint("activate it (UpdateAuthorizer --status ACTIVE)")
        .into()),
    }
}

/// Nobody decides about the client.
fn nobody() -> Refusal {
    Refusal::new(
        Exception::Unauthorized,
        "cloud.authorizer.none",
        "the client came without a certificate and names no custom authorizer, and none is the default",
    )
    .hint("name one (x-amz-customauthorizer-name), set a default (SetDefaultAuthorizer), or connect with a client certificate (protocol x-amzn-mqtt-ca, or port 8883)")
}

/// The authorizer of clients that name none.
pub(crate) async fn default(
    control: &Control,
    tenant: &Tenant,
) -> Result<Option<Versioned<DefaultAuthorizer>>, ApiFault> {
    Ok(control.records.resource(tenant, "").await?)
}

/// Checks the signature, then asks the program.
pub(crate) async fn ask(
    control: &Control,
    tenant: &Tenant,
    authorizer: &Authorizer,
    shown: &Shown,
    trail: &mut Trail,
) -> Result<Answer, Refusal> {
    let verified = check_signature(authorizer, shown, trail)?;
    let webhook = control.webhooks.find(tenant, &authorizer.function_arn);
    let webhook = webhook.inspect_err(|refusal| trail.failed("authorizer.function", refusal.reason()))?;
    let connection = clock::uuid().map_err(|error| unfit(error.to_string()))?;
    let question = object(json!({
        "token": shown.token,
        "signatureVerified": verified,
        "protocols": shown.protocols.keys().collect::<Vec<_>>(),
        "protocolData": shown.protocols,
        "connectionMetadata": { "id": connection.to_string() },
    }));
    let answer = webhook.ask(&question).await.and_then(|answer| read(&answer));
    answer
        .inspect(|_| trail.passed("authorizer.ask", webhook.name()))
        .inspect_err(|fault| trail.failed("authorizer.ask", fault.to_string()))
        .map_err(|fault| unfit(fault.to_string()).hint(fault.remedy()))
}

fn check_signature(authorizer: &Authorizer, shown: &Shown, trail: &mut Trail) -> Result<bool, Refusal> {
    if authorizer.signing_disabled {
        trail.skipped("authorizer.signature", "tokens of this authorizer need none");
        return Ok(false);
    }
    let (token, signature) = (shown.token.as_deref(), shown.signature.as_deref());
    let signature = signature.and_then(|signature| STANDARD.decode(signature).ok());
    let is_good = |(token, signature): (&str, Vec<u8>)| authorizer.has_signed(token, &signature);
    if token.zip(signature).is_some_and(is_good) {
        trail.passed(
            "authorizer.signature",
            "the token is signed with a key of the authorizer",
        );
        return Ok(true);
    }
    let reason = format!(
        "the token in {} is missing, or not signed by a key of the authorizer",
        authorizer.token_key_name
    );
    trail.failed("authorizer.signature", reason.as_str());
    Err(
        Refusal::new(Exception::Unauthorized, "cloud.authorizer.signature", reason)
            .hint("send token and signature (base64, percent-encoded in queries and user names)"),
    )
}

fn read(answer: &Value) -> Result<Answer, Fault> {
    let wrong = |member: &str| Fault::Answer(format!("{member} is missing or not what it must be"));
    let number = |name: &str| match &answer[name] {
        Value::Null => Ok(0),
        value => value.as_i64().ok_or_else(|| wrong(name)),
    };
    let document = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Object(_) => Ok(value.to_string()),
        _ => Err(wrong("policyDocuments")),
    };
    let documents = match &answer["policyDocuments"] {
        Value::Null => Vec::new(),
        Value::Array(documents) => documents.iter().map(document).collect::<Result<_, _>>()?,
        _ => return Err(wrong("policyDocuments")),
    };
    Ok(Answer {
        is_authenticated: answer["isAuthenticated"]
            .as_bool()
            .ok_or_else(|| wrong("isAuthenticated"))?,
        principal: answer["principalId"].as_str().unwrap_or_default().to_owned(),
        policies: documents,
        disconnect_after_seconds: number("disconnectAfterInSeconds")?,
        refresh_after_seconds: number("refreshAfterInSeconds")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_wherever_they_stand() {
        let mut headers = HeaderMap::new();
        headers.insert(NAME, "from-header".parse().unwrap());
        let login = Login {
            user_name: Some("me?SDK=x&x-amz-customauthorizer-name=from-name&tok=a%2Bb"),
            ..Login::default()
        };
        let all = Credentials {
            http: Some((&headers, "X-Amz-CustomAuthorizer-Name=from-query&tok=q")),
            mqtt: Some(login),
            ..Credentials::default()
        };
        assert_eq!(all.parameter(NAME).as_deref(), Some("from-header"));
        assert_eq!(all.parameter("tok").as_deref(), Some("q"));
        let alone = Credentials {
            mqtt: Some(login),
            ..Credentials::default()
        };
        assert_eq!(alone.parameter(NAME).as_deref(), Some("from-name"));
        assert_eq!(alone.parameter("tok").as_deref(), Some("a+b"));
        assert_eq!(alone.parameter("SDK2"), None);
        let bare = Login {
            user_name: Some("me"),
            ..Login::default()
        };
        assert_eq!(
            Credentials {
                mqtt: Some(bare),
                ..Credentials::default()
            }
            .parameter(NAME),
            None
        );
    }

    #[test]
    fn an_answer_has_its_members() {
        let document = json!({ "Version": "2012-10-17", "Statement": [] });
        let full = json!({ "isAuthenticated": true, "principalId": "p", "policyDocuments": [document.to_string(), document],
            "disconnectAfterInSeconds": 3600, "refreshAfterInSeconds": 300 });
        let answer = read(&full).unwrap();
        assert_eq!(
            (
                answer.principal.as_str(),
                answer.policies.len(),
                answer.refresh_after_seconds
            ),
            ("p", 2, 300)
        );
        assert_eq!(answer.policies[0], answer.policies[1]);
        assert!(read(&json!({ "isAuthenticated": false })).is_ok());
        for wrong in [
            json!({}),
            json!({ "isAuthenticated": "true" }),
            json!({ "isAuthenticated": true, "policyDocuments": "{}" }),
            json!({ "isAuthenticated": true, "policyDocuments": [1] }),
            json!({ "isAuthenticated": true, "refreshAfterInSeconds": "300" }),
            json!({ "isAuthenticated": true, "refreshAfterInSeconds": 1.5 }),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }
}
