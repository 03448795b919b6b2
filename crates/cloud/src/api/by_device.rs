//! Requests of devices: the data plane over HTTPS with a client certificate, or with what a custom authorizer knows.
//!
//! It stands beside the check of signatures, for requests that carry none. Who calls is looked up as for MQTT, and each
//! operation asks the policies of the certificate or of the authorizer's answer; what they do not allow is answered
//! "Forbidden", as AWS does, and explained in the attempt record. It must never let a device do what only access keys may.

use std::sync::Arc;

use fleet::attempt::{Kind, Standing, Verdict};
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
use super::sigv4::{Denied, Incoming};
use super::table::Handler;
use super::{Received, Request};
use crate::arrival::Record;
use crate::authorizer::{self, Credentials};
use crate::clock;
use crate::front_door;
use crate::shard::Clearance;

/// What devices may ask for, if their policies say so.
const OPERATIONS: [&str; 3] = ["Publish", "GetRetainedMessage", "ListRetainedMessages"];
/// What those may ask for whom an authorizer lets in (AWS IoT developer guide, "Connecting to AWS IoT Core by using custom
/// authentication", HTTPS).
const OPERATION_OF_AUTHORIZERS: &str = "Publish";

/// Who vouches for a request that carries no signature.
#[derive(Clone, Copy)]
pub(super) enum Voucher<'a> {
    /// The certificate of its connection.
    Certificate(&'a Certificate),
    /// The custom authorizer that it names, or that of those who name none.
    Authorizer,
}

/// Who vouches for a request of this operation, if anybody can.
pub(super) fn voucher<'a>(
    conversation: &'a Conversation,
    received: &Received,
    operation: &str,
) -> Option<Voucher<'a>> {
    let names_authorizer = authorizer::is_asked(&received.headers, received.uri.query().unwrap_or_default());
    let certificate = conversation.certificate.as_ref();
    let domain = conversation.domain.as_deref();
    match front_door::authentication_of(domain, certificate.is_some(), names_authorizer) {
        Authentication::Custom => {
            (names_authorizer || operation == OPERATION_OF_AUTHORIZERS).then_some(Voucher::Authorizer)
        }
        _ => certificate.map(Voucher::Certificate),
    }
}

/// Does what a device asks for. Its first request over a connection that is granted is recorded, and every one that is not.
pub(super) async fn perform(
    conversation: &Conversation,
    voucher: Voucher<'_>,
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
    let outcome = admitted(conversation, voucher, received, (operation, input), &mut record).await;
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
    voucher: Voucher<'_>,
    received: &Received,
    (operation, input): (&Operation<Handler>, Input),
    record: &mut Record,
) -> Result<Answer, ApiFault> {
    let (control, addressed) = (&conversation.control, conversation.addressed);
    front_door::check_address(addressed)?;
    let (who, clearance) = match voucher {
        Voucher::Certificate(certificate) => {
            if !OPERATIONS.contains(&operation.name) {
                return Err(not_for_devices(operation.name).into());
            }
            let clearance = certified(conversation, certificate, record).await?;
            (certificate.id().to_string(), Arc::new(clearance))
        }
        Voucher::Authorizer => {
            if operation.name != OPERATION_OF_AUTHORIZERS {
                return Err(not_for_authorizers(operation.name).into());
            }
            let clearance = authorized(conversation, received, record).await?;
            ("a custom authorizer's client".to_owned(), clearance)
        }
    };
    let incoming = Incoming {
        method: received.method.as_str(),
        path: received.uri.path(),
        query: received.uri.query().unwrap_or_default(),
        headers: &received.headers,
        body: &received.body,
    };
    let input = bind(operation.members, &incoming, input, |_| true)?;
    let who = format!("{who} from {}", received.peer.ip());
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

/// What a certificate may do.
async fn certified(
    conversation: &Conversation,
    certificate: &Certificate,
    record: &mut Record,
) -> Result<Clearance, ApiFault> {
    let (control, addressed) = (&conversation.control, conversation.addressed);
    let domain = conversation.domain.as_deref();
    front_door::admit(domain, Protocol::Https, Authentication::X509)?;
    let looked = front_door::look_up(control, certificate, addressed, record).await?;
    Ok(looked.ok_or_else(unknown)?)
}

/// What an authorizer says that the caller may do. Whom it does not know is told no more than that.
async fn authorized(
    conversation: &Conversation,
    received: &Received,
    record: &mut Record,
) -> Result<Arc<Clearance>, ApiFault> {
    let (control, tenant) = (&conversation.control, &conversation.addressed.tenant);
    let domain = conversation.domain.as_deref();
    front_door::admit(domain, Protocol::Https, Authentication::Custom)?;
    let attempt = &mut record.attempt;
    let server_name = attempt.tls.sni.clone();
    let query = received.uri.query().unwrap_or_default();
    let credentials =
        Credentials::at(domain, server_name.as_ref().map(Text::as_str)).with_http(&received.headers, query);
    let (said, trail) = (&conversation.said, &mut attempt.trail);
    let clearance = authorizer::authorize_request(control, tenant, &credentials, said, trail).await;
    let clearance = clearance.map_err(ApiFault::unauthenticated)?;
    let clearance = clearance.ok_or(Denied::Unsigned)?;
    attempt.standing = Standing::Known { ca: None };
    Ok(clearance)
}

fn not_for_authorizers(operation: &str) -> Refusal {
    let reason = format!("{operation} is not for clients of custom authorizers: they may publish");
    Refusal::new(Exception::Unauthorized, "cloud.api.authorizer", reason)
        .hint("publish (POST /topics/TOPIC), or use a client certificate or an access key")
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
        ApiFault::Refused(refusal) | ApiFault::Unauthenticated(refusal) => attempt.refuse(refusal),
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
