//! The HTTPS API: the operations of AWS IoT, as unmodified AWS tools call them.
//!
//! It stands between operators, factories and `fleet`. A request is read whole, its signature is checked, its operation is
//! found in a table, and its answer is rendered in one place. A request never runs on a shard. What must never happen:
//! an operation that runs for a caller whose signature was not checked, or an answer before the change is durable.

mod authorities;
mod authorization;
mod authorizers;
mod billing_groups;
mod bulk;
mod by_device;
mod certificates;
mod claims;
mod connections;
mod credentials;
mod direct;
mod domain_configurations;
mod dynamic_groups;
mod encoding;
mod event_configurations;
mod fault;
mod groups;
mod heads;
mod listing;
mod manifests;
mod moving;
mod operation;
mod own;
mod own_keys;
mod policies;
mod publish;
mod quotas;
mod register_thing;
mod render;
mod retained;
mod role_aliases;
mod roles;
mod search;
mod server;
pub mod sigv4;
mod table;
mod tagging;
mod tasks;
mod templates;
mod thing_types;
mod things;
mod transfers;
mod upgrade;

use std::net::SocketAddr;
use std::sync::Arc;

use fleet::attempt::{Attempt, Kind, TraceId, Verdict};
use fleet::audit::Actor;
use fleet::record::{Tag, Versioned};
use fleet::resource::Resource;
use fleet::text::Text;
use fleet::{Call, Decision, Profile};
use http::HeaderMap;
use identity::{Blame, Tenant, UnixMillis};
use serde::Deserialize;
use serde_json::{Number, Value};
use store::Records as _;

pub(crate) use encoding::{decode_text, query_pairs};
pub(crate) use fault::ApiFault;
pub use moving::{read_line, write_line};
pub(crate) use quotas::{Quotas, is_operation};
pub(crate) use render::object;
pub(crate) use server::{Ways, serve};
pub use sigv4::AccessKey;

use self::operation::{Input, bind, is_path, route};
use self::render::Answer;
use self::server::Conversation;
pub(crate) use self::sigv4::hex;
use self::sigv4::{Caller, Incoming};
use crate::clock;
use crate::control::Control;
use crate::principal;
use crate::shard::Clearance;

/// One request whose caller is known.
pub(crate) struct Request<'a> {
    pub(crate) control: &'a Arc<Control>,
    pub(crate) call: Call,
    body: &'a [u8],
    peer: SocketAddr,
    /// The device that calls, if it is one and no access key, and the name of its request.
    device: Option<(&'a Clearance, TraceId)>,
}

impl Request<'_> {
    fn store(&self) -> &store::LocalRecords {
        &self.control.records
    }

    /// The record of this kind and name in the caller's account and region.
    async fn kept<T: Resource>(&self, name: &str) -> Result<Option<Versioned<T>>, ApiFault> {
        Ok(self.store().resource(&self.call.tenant, name).await?)
    }

    /// Looks, decides and keeps until nobody else came in between, tells, and answers.
    async fn decide<R>(&self, look: impl AsyncFn() -> Result<Decision<R>, ApiFault>) -> Result<R, ApiFault> {
        let (reply, told) = self.control.keep(look).await?;
        self.control.tell(&self.call.tenant, told).await?;
        Ok(reply)
    }
}

/// A request as it came, and where from.
pub(crate) struct Received {
    pub(crate) method: http::Method,
    pub(crate) uri: http::Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: hyper::body::Bytes,
    pub(crate) peer: SocketAddr,
    pub(crate) trace: TraceId,
}

/// The name of the operation that a method and a path mean.
fn operation_of(method: &str, path: &str) -> Option<&'static str> {
    let found = route(table::TABLE, method, path).or_else(|| route(&table::OWN, method, path));
    found.map(|(operation, _)| operation.name)
}

/// Does what the request asks for. A refusal that matters for trust leaves an attempt record.
pub(crate) async fn perform(conversation: &Conversation, received: &Received) -> Result<Answer, ApiFault> {
    let control = &conversation.control;
    let now = clock::now();
    let incoming = Incoming {
        method: received.method.as_str(),
        path: received.uri.path(),
        query: received.uri.query().unwrap_or_default(),
        headers: &received.headers,
        body: &received.body,
    };
    let found = route(table::TABLE, incoming.method, incoming.path)
        .or_else(|| route(&table::OWN, incoming.method, incoming.path));
    let name = found.as_ref().map(|(operation, _)| operation.name);
    let caller = match sigv4::verify(&incoming, |id, token| control.access_key(id, token), now) {
        Ok(caller) => caller,
        Err(denied) => {
            if let (sigv4::Denied::Unsigned, Some(found)) = (&denied, found)
                && let Some(voucher) = by_device::voucher(conversation, received, found.0.name)
            {
                return by_device::perform(conversation, voucher, received, found).await;
            }
            let fault = ApiFault::from(denied);
            record(control, received, &control.plan.tenant, name, now, &fault);
            return Err(fault);
        }
    };
    control.keys.used(caller.access_key(), now);
    let tenant = Tenant {
        account: *caller.account(),
        region: *caller.region(),
    };
    let Some((operation, input)) = found else {
        return Err(unknown(&incoming, caller.service()));
    };
    if let Err(fault) = admit(control, received, &caller, (operation.name, &input)).await {
        record(control, received, &tenant, name, now, &fault);
        return Err(fault);
    }
    control
        .quotas
        .take(&tenant, operation.name, is_control(caller.service()), now)?;
    let outcome = async {
        let input = bind(operation.members, &incoming, input, |header| {
            caller.signed(header)
        })?;
        let actor = Actor::AccessKey(Text::short(format!(
            "{} from {}",
            caller.access_key(),
            received.peer.ip()
        )));
        let call = Call {
            tenant,
            now,
            actor,
            profile: Profile::Aws,
        };
        let request = Request {
            control,
            call,
            body: &received.body,
            peer: received.peer,
            device: None,
        };
        (operation.handler)(&request, input).await
    }
    .await;
    outcome.inspect_err(|fault| record(control, received, &tenant, name, now, fault))
}

/// Refuses what the role of the caller's access key does not allow. A device's temporary key may also do what the policies
/// of its role allow on the data plane.
async fn admit(
    control: &Control,
    received: &Received,
    caller: &Caller,
    (operation, input): (&'static str, &Input),
) -> Result<(), ApiFault> {
    let mark = control.withdrawals.mark();
    let assumed = control.assumed(caller).await?;
    if roles::allows(caller.role(), operation, received.method.as_str()) {
        return Ok(());
    }
    let denied = sigv4::Denied::Role { operation };
    let refused = match is_control(caller.service()) {
        true => ApiFault::Denied(denied),
        // The data plane says no more than that (AWS IoT Core API reference, "ForbiddenException").
        false => ApiFault::Forbidden {
            explanation: denied.to_string(),
        },
    };
    let Some(assumed) = assumed else {
        return Err(refused);
    };
    let retains = received
        .uri
        .query()
        .is_some_and(|query| query.contains("retain=true"));
    let actions = principal::actions(operation, retains);
    if actions.is_empty() {
        return Err(refused);
    }
    let clearance = principal::of_assumed(control, caller, &assumed, mark).await?;
    let topic = input.text("topic").unwrap_or_default();
    match actions
        .iter()
        .all(|action| principal::allows(&clearance, *action, topic, received.peer.ip()))
    {
        true => Ok(()),
        false => Err(refused),
    }
}

/// Whether a request signed for this service is one of the control plane.
fn is_control(service: &str) -> bool {
    service == "iot"
}

/// Why no operation was found: the data plane tells a wrong method apart.
fn unknown(incoming: &Incoming<'_>, service: &str) -> ApiFault {
    let asked = format!("{} {}", incoming.method, incoming.path);
    let has_another_method = || is_path(table::TABLE, incoming.path);
    if !is_control(service) && has_another_method() {
        return ApiFault::WrongMethod { asked };
    }
    ApiFault::UnknownOperation { asked }
}

/// Leaves an attempt record of a refusal: of every one that is a matter of trust, and of our own faults. A name that is
/// taken or missing is the caller's own business.
fn record(
    control: &Control,
    received: &Received,
    tenant: &Tenant,
    operation: Option<&'static str>,
    now: UnixMillis,
    fault: &ApiFault,
) {
    let mut attempt = Attempt::begin(received.trace, Kind::Api, *tenant, now);
    match fault {
        ApiFault::Refused(refusal) if identity::Explained::blame(refusal) != Blame::State => {
            attempt.refuse(refusal)
        }
        ApiFault::Denied(denied) => {
            let hint = "check access key, secret and clock of the caller";
            attempt.end(Verdict::Refused, "cloud.api.signature", denied.to_string(), hint);
        }
        ApiFault::Forbidden { explanation } => {
            let hint = "use an access key of a role that allows it, or let the role's policies allow it";
            attempt.end(
                Verdict::Refused,
                "cloud.api.forbidden",
                explanation.as_str(),
                hint,
            );
        }
        ApiFault::Failed(cause) => attempt.end(Verdict::Faulted, "cloud.api.fault", cause.as_str(), ""),
        _ => return,
    }
    attempt.peer = Some(received.peer);
    attempt.operation = operation.map(Text::short);
    attempt.elapsed_micros = u64::try_from(clock::now().since(now).max(0)).unwrap_or(0) * 1000;
    control.record(attempt);
}

/// What a request asks for, as far as that can be seen without anything else: the name of its operation and its members in
/// JSON, or the name of the exception that it is answered with. Nothing is checked of who sent it.
///
/// # Errors
/// The exception: there is no such operation, or the request is malformed.
pub fn read(incoming: &Incoming<'_>) -> Result<(&'static str, Value), &'static str> {
    let found = route(table::TABLE, incoming.method, incoming.path);
    found
        .ok_or_else(|| unknown(incoming, "iot"))
        .and_then(|(operation, input)| {
            let members = bind(operation.members, incoming, input, |_| true)?;
            Ok((operation.name, members.read()?))
        })
        .map_err(|fault| render::exception_of(&fault))
}

/// A member that the operation cannot do without.
fn missing(member: &str) -> ApiFault {
    ApiFault::invalid("cloud.api.member", format!("missing field `{member}`"))
}

/// A time as AWS writes it in JSON: seconds since 1970, with milliseconds behind the point.
fn timestamp(at: UnixMillis) -> Value {
    match at.0 % 1000 {
        0 => Value::from(at.0 / 1000),
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds of any date fit into 53 bits"
        )]
        _ => Number::from_f64(at.0 as f64 / 1000.0).map_or(Value::Null, Value::Number),
    }
}

/// A tag on the wire.
#[derive(Deserialize)]
struct TagInput {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "Value", default)]
    value: String,
}

impl From<TagInput> for Tag {
    fn from(input: TagInput) -> Self {
        Self {
            key: input.key,
            value: input.value,
        }
    }
}
