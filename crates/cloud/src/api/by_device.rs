//! Requests of devices: the data plane over HTTPS with a client certificate.
//!
//! It stands beside the check of signatures, for requests that carry none. Who calls is looked up as for MQTT, and each
//! operation asks the policies of the certificate; what they do not allow is answered "Forbidden", as AWS does, and
//! explained in the attempt record. It must never let a device do what only access keys may.

use std::sync::Arc;

use fleet::attempt::{Kind, Verdict};
use fleet::audit::Actor;
use fleet::domain_configuration::{Authentication, Protocol};
use fleet::text::Text;
use fleet::{Call, Exception, Profile, Refusal};
use identity::certificate::Certificate;
use policy::{Action, Context, Resource, decide};

use super::fault::ApiFault;
use super::operation::{Input, Operation, bind};
use super::render::Answer;
use super::server::Conversation;
use super::sigv4::Incoming;
use super::table::Handler;
use super::{Received, Request};
use crate::arrival::Record;
use crate::clock;
use crate::front_door;
use crate::shard::Clearance;

/// What devices may ask for, if their policies say so.
const OPERATIONS: [&str; 3] = ["Publish", "GetRetainedMessage", "ListRetainedMessages"];

/// Does what a device asks for. Its first request over a connection that is granted is recorded, and every one that is not.
pub(super) async fn perform(
    conversation: &Conversation,
    certificate: &Certificate,
    received: &Received,
    (operation, input): (&Operation<Handler>, Input),
) -> Result<Answer, ApiFault> {
    let control = &conversation.control;
    let mut record = conversation.record.again(control);
    record.attempt.trace = received.trace;
    record.attempt.kind = match operation.name {
        "Publish" => Kind::Publish,
        _ => Kind::Api,
    };
    record.attempt.operation = Some(Text::short(operation.name));
    let outcome = admitted(
        conversation,
        certificate,
        received,
        (operation, input),
        &mut record,
    )
    .await;
    match &outcome {
        Ok(_) if conversation.granted.replace(true) => {}
        Ok(_) => {
            record.attempt.accept();
            record.keep(control);
        }
        Err(fault) => {
            note(&mut record, fault);
            record.keep(control);
        }
    }
    outcome
}

async fn admitted(
    conversation: &Conversation,
    certificate: &Certificate,
    received: &Received,
    (operation, input): (&Operation<Handler>, Input),
    record: &mut Record,
) -> Result<Answer, ApiFault> {
    if !OPERATIONS.contains(&operation.name) {
        return Err(not_for_devices(operation.name).into());
    }
    let (control, addressed) = (&conversation.control, conversation.addressed);
    front_door::check_address(addressed)?;
    let domain = conversation.domain.as_deref();
    front_door::admit(domain, Protocol::Https, Authentication::X509)?;
    let looked = front_door::look_up(control, certificate, addressed, record).await?;
    let clearance = looked.ok_or_else(unknown)?;
    let incoming = Incoming {
        method: received.method.as_str(),
        path: received.uri.path(),
        query: received.uri.query().unwrap_or_default(),
        headers: &received.headers,
        body: &received.body,
    };
    let input = bind(operation.members, &incoming, input, |_| true)?;
    let who = format!("{} from {}", certificate.id(), received.peer.ip());
    let request = Request {
        control,
        call: Call {
            tenant: addressed.tenant,
            now: clock::now(),
            actor: Actor::Device(Text::short(who)),
            profile: Profile::Aws,
        },
        body: &received.body,
        peer: received.peer,
        device: Some((&clearance, received.trace)),
    };
    (operation.handler)(&request, input).await
}

fn not_for_devices(operation: &str) -> Refusal {
    let reason = format!("{operation} is for access keys, not for certificates");
    Refusal::new(Exception::Unauthorized, "cloud.api.device", reason)
        .hint("sign the request with an access key (Signature Version 4)")
}

fn unknown() -> Refusal {
    let reason = "the certificate is not registered, and a first connection is made by MQTT";
    Refusal::new(Exception::Unauthorized, "cloud.api.unknown_device", reason)
        .hint("let the device connect by MQTT first, or register its certificate")
}

fn note(record: &mut Record, fault: &ApiFault) {
    let attempt = &mut record.attempt;
    match fault {
        ApiFault::Refused(refusal) => attempt.refuse(refusal),
        ApiFault::Forbidden { explanation } => {
            attempt.trail.failed("policy.decide", explanation.as_str());
            attempt.end(
                Verdict::Refused,
                "broker.policy",
                explanation.as_str(),
                "add the statement to a policy of the certificate (CreatePolicyVersion), or correct what the device asks for",
            );
        }
        ApiFault::Failed(cause) => {
            attempt.end(Verdict::Faulted, "cloud.api.fault", cause.as_str(), "");
        }
        other => attempt.end(Verdict::Refused, "cloud.api.request", other.to_string(), ""),
    }
}

impl Request<'_> {
    /// Whether the caller may do this: an access key that came so far may, a device is held to its policies.
    pub(super) fn authorize(&self, action: Action, resource: Resource<'_>) -> Result<(), ApiFault> {
        let Some((Clearance { grant, facts, .. }, _)) = self.device else {
            return Ok(());
        };
        // There is no client id over HTTPS, so the variables of a thing have no value.
        let context = Context::new("", self.peer.ip(), Arc::clone(facts), None);
        let question = policy::Request {
            action,
            resource,
            context: &context,
            now: self.call.now,
        };
        let verdict = decide(grant, &question);
        match verdict.is_allowed() {
            true => Ok(()),
            false => Err(ApiFault::Forbidden {
                explanation: verdict.explain(grant, &question),
            }),
        }
    }
}
