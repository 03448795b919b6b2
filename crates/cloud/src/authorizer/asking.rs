//! The question to an authorizer's program, and its answer.
//!
//! The form of both is that of the AWS IoT developer guide ("Defining your Lambda function"). A question is kept as it was
//! asked, so that it can be asked again; the token's signature is checked each time before anybody is asked. It must never
//! take no answer for a yes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fleet::attempt::Trail;
use fleet::authorizer::Authorizer;
use fleet::authorizer_answer::{Answer, unfit};
use fleet::limits::AUTHORIZER_SECONDS_MAX;
use fleet::{Exception, Refusal};
use identity::Tenant;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::shown::Shown;
use crate::api::object;
use crate::clock;
use crate::control::Control;
use crate::webhook::Fault;

/// What a client may speak, from the bottom to the top.
const PROTOCOLS: [&str; 3] = ["tls", "http", "mqtt"];

/// A question about one client: all that it takes to ask it, and to ask it again.
pub(crate) struct Question {
    pub(super) tenant: Tenant,
    /// The name of the authorizer.
    pub(super) authorizer: String,
    token: Option<Zeroizing<String>>,
    signature: Option<String>,
    body: Zeroizing<Vec<u8>>,
}

impl Question {
    /// The question to this authorizer about a client that shows this.
    pub(crate) fn new(tenant: &Tenant, authorizer: &Authorizer, shown: Shown) -> Result<Self, Refusal> {
        let connection = clock::uuid().map_err(|error| unfit(error.to_string()))?;
        let body = object(json!({
            "token": shown.token,
            // It is not asked at all if there is a signature to be checked and it is wrong.
            "signatureVerified": !authorizer.signing_disabled,
            "protocols": PROTOCOLS.iter().filter(|name| shown.protocols.contains_key(**name)).collect::<Vec<_>>(),
            "protocolData": shown.protocols,
            "connectionMetadata": { "id": connection.to_string() },
        }));
        Ok(Self {
            tenant: *tenant,
            authorizer: authorizer.name.clone(),
            token: shown.token.map(Zeroizing::new),
            signature: shown.signature,
            body: Zeroizing::new(body.to_string().into_bytes()),
        })
    }

    /// Checks the signature, then asks the program.
    pub(crate) async fn ask(
        &self,
        control: &Control,
        authorizer: &Authorizer,
        trail: &mut Trail,
    ) -> Result<Answer, Refusal> {
        self.check_signature(authorizer, trail)?;
        let webhook = control.webhooks.find(&self.tenant, &authorizer.function_arn);
        let webhook = webhook.inspect_err(|refusal| trail.failed("authorizer.function", refusal.reason()))?;
        let answer = webhook.ask_in(self.body.to_vec()).await;
        answer
            .and_then(|answer| read(&answer))
            .inspect(|_| trail.passed("authorizer.ask", webhook.name()))
            .inspect_err(|fault| trail.failed("authorizer.ask", fault.to_string()))
            .map_err(|fault| unfit(fault.to_string()).hint(fault.remedy()))
    }

    /// Whether the token is signed, if the authorizer demands that.
    pub(super) fn check_signature(&self, authorizer: &Authorizer, trail: &mut Trail) -> Result<(), Refusal> {
        if authorizer.signing_disabled {
            trail.skipped("authorizer.signature", "tokens of this authorizer need none");
            return Ok(());
        }
        let signature = self.signature.as_deref();
        let signature = signature.and_then(|signature| STANDARD.decode(signature).ok());
        let is_good = |(token, signature): (&str, Vec<u8>)| authorizer.has_signed(token, &signature);
        let token = self.token.as_ref().map(|token| token.as_str());
        if token.zip(signature).is_some_and(is_good) {
            trail.passed(
                "authorizer.signature",
                "the token is signed with a key of the authorizer",
            );
            return Ok(());
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
}

fn read(answer: &Value) -> Result<Answer, Fault> {
    let wrong = |member: &str| Fault::Answer(format!("{member} is missing or not what it must be"));
    let number = |name: &str, missing: i64| match &answer[name] {
        Value::Null => Ok(missing),
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
        disconnect_after_seconds: number("disconnectAfterInSeconds", AUTHORIZER_SECONDS_MAX)?,
        refresh_after_seconds: number("refreshAfterInSeconds", 0)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
                answer.disconnect_after_seconds,
                answer.refresh_after_seconds
            ),
            ("p", 2, 3600, 300)
        );
        assert_eq!(answer.policies[0], answer.policies[1]);
        let least = read(&json!({ "isAuthenticated": false })).unwrap();
        assert_eq!(
            (least.disconnect_after_seconds, least.refresh_after_seconds),
            (86_400, 0)
        );
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
