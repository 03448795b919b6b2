//! MQTT over WebSocket: a request on `/mqtt` that lets its connection leave HTTP.
//!
//! It stands between HTTP and the front door. Who asks is known before the answer by the signature of the request, or by the
//! client certificate of the connection; an authorizer is asked once, when the CONNECT with a user name and a password is there
//! too, but a bad signature of a token ends it here. A refusal is an HTTP answer and an attempt record, an admission only the
//! beginning of one: CONNECT is decided like any other. It must never let a connection leave about which nobody decides.

use std::rc::Rc;

use fleet::attempt::{Standing, Verdict};
use fleet::domain_configuration::{Authentication, Protocol};
use fleet::text::Text;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming as IncomingBody};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use identity::certificate::Certificate;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::fault::ApiFault;
use super::heads::Outspoken;
use super::server::Conversation;
use super::sigv4::{self, Denied, Incoming};
use super::{render, sigv4::Caller};
use crate::arrival::Record;
use crate::authorizer::{self, Credentials};
use crate::clock;
use crate::control::Control;
use crate::front_door::{self, Bearer, Guest, Pass};
use crate::limits::{AUTHORIZER_REQUEST_BYTES_MAX, UPGRADE_DEADLINE};
use crate::principal;
use crate::shard::Clearance;
use crate::tls::Stream;
use crate::websocket::{Asked, NotAsked};
use crate::wire::Wire;

/// The path of MQTT ("AWS IoT Core developer guide, Device communication protocols").
const PATH: &str = "/mqtt";

/// Answers a request for WebSocket; if the answer is yes, the connection goes to the front door once it was read.
pub(super) async fn upgrade(
    conversation: &Rc<Conversation>,
    mut request: http::Request<IncomingBody>,
) -> Response<Full<Bytes>> {
    let mut record = conversation.record.again(&conversation.control);
    record.attempt.operation = Some(Text::short("WebSocket"));
    match admit(conversation, &request, &mut record).await {
        Ok((asked, pass)) => {
            let upgrading = hyper::upgrade::on(&mut request);
            let conversation = conversation.clone();
            spawn_local(async move { leave(&conversation, upgrading, pass, record).await });
            asked.answer()
        }
        Err(fault) => {
            let id = fleet::record::Uuid(record.attempt.trace.0).to_string();
            let response = answer(&fault, &id);
            refuse(&mut record, fault);
            record.keep(&conversation.control);
            response
        }
    }
}

/// Why there is no WebSocket.
enum Fault {
    Request(NotAsked),
    Path,
    Caller(ApiFault),
}

impl<E: Into<ApiFault>> From<E> for Fault {
    fn from(fault: E) -> Self {
        Self::Caller(fault.into())
    }
}

async fn admit(
    conversation: &Conversation,
    request: &http::Request<IncomingBody>,
    record: &mut Record,
) -> Result<(Asked, Pass), Fault> {
    if request.uri().path() != PATH {
        return Err(Fault::Path);
    }
    let asked = Asked::read(request.method(), request.headers()).map_err(Fault::Request)?;
    front_door::check_address(conversation.addressed)?;
    let incoming = Incoming {
        method: request.method().as_str(),
        path: request.uri().path(),
        query: request.uri().query().unwrap_or_default(),
        headers: request.headers(),
        body: b"",
    };
    let control = &conversation.control;
    let domain = conversation.domain.as_deref();
    let mark = control.withdrawals.mark();
    let verified =
        sigv4::verify_websocket(&incoming, |id, token| control.access_key(id, token), clock::now());
    let pass = match (verified, &conversation.certificate) {
        (Ok(caller), _) => {
            let clearance = signed(control, &caller, mark, record).await?;
            front_door::admit(domain, Protocol::WebSocket, Authentication::SigV4)?;
            clearance.by_domain(domain).into()
        }
        (Err(Denied::Unsigned), certificate) => {
            let names_authorizer = authorizer::is_asked(incoming.headers, incoming.query);
            match (
                front_door::authentication_of(domain, certificate.is_some(), names_authorizer),
                certificate,
            ) {
                (Authentication::Custom, _) => bearing(conversation, &incoming, record).await?,
                (_, Some(certificate)) => certified(conversation, certificate, record).await?,
                (_, None) => return Err(Denied::Unsigned.into()),
            }
        }
        (Err(denied), _) => return Err(denied.into()),
    };
    Ok((asked, pass))
}

/// Who showed a certificate.
async fn certified(
    conversation: &Conversation,
    certificate: &Certificate,
    record: &mut Record,
) -> Result<Pass, ApiFault> {
    let (control, addressed) = (&conversation.control, conversation.addressed);
    front_door::admit(
        conversation.domain.as_deref(),
        Protocol::WebSocket,
        Authentication::X509,
    )?;
    Ok(
        match front_door::look_up(control, certificate, addressed, record).await? {
            Some(clearance) => clearance.by_domain(conversation.domain.as_deref()).into(),
            None => Pass::Certificate(
                Box::new(certificate.clone()),
                addressed,
                conversation.domain.clone(),
            ),
        },
    )
}

/// Whom an authorizer decides about.
async fn bearing(
    conversation: &Conversation,
    incoming: &Incoming<'_>,
    record: &mut Record,
) -> Result<Pass, ApiFault> {
    let (control, addressed) = (&conversation.control, conversation.addressed);
    let domain = conversation.domain.as_deref();
    front_door::admit(domain, Protocol::WebSocket, Authentication::Custom)?;
    check_length(incoming)?;
    let attempt = &mut record.attempt;
    let server_name = attempt.tls.sni.clone();
    let credentials = Credentials::at(domain, server_name.as_ref().map(Text::as_str))
        .with_http(incoming.headers, incoming.query);
    let tenant = &addressed.tenant;
    let previewed = authorizer::preview(control, tenant, &credentials, &mut attempt.trail).await;
    let decides = previewed.map_err(ApiFault::unauthenticated)?;
    // It may name one in its CONNECT, if there is one to be named.
    if !decides && !authorizer::has_any(control, tenant).await? {
        return Err(Denied::Unsigned.into());
    }
    Ok(Pass::Authorizer(Box::new(Bearer {
        addressed,
        domain: conversation.domain.clone(),
        http: Some((incoming.headers.clone(), incoming.query.to_owned())),
    })))
}

/// The request stays in memory with its connection.
fn check_length(incoming: &Incoming<'_>) -> Result<(), ApiFault> {
    let headers = incoming.headers.iter();
    let headers: usize = headers
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    match headers + incoming.query.len() > AUTHORIZER_REQUEST_BYTES_MAX {
        true => Err(ApiFault::invalid(
            "cloud.websocket.long",
            format!("headers and query are longer than {AUTHORIZER_REQUEST_BYTES_MAX} bytes"),
        )),
        false => Ok(()),
    }
}

/// Who signed, may do what his key's role allows.
async fn signed(
    control: &Control,
    caller: &Caller,
    mark: u64,
    record: &mut Record,
) -> Result<Clearance, ApiFault> {
    let attempt = &mut record.attempt;
    attempt.standing = Standing::Known { ca: None };
    attempt.tenant.account = *caller.account();
    attempt.tenant.region = *caller.region();
    let who = format!(
        "access key {}, for {} in {}",
        caller.access_key(),
        caller.service(),
        caller.region()
    );
    attempt.trail.passed("websocket.signature", who);
    let clearance = principal::of_caller(control, caller, mark).await;
    match &clearance {
        Ok(clearance) => {
            let names = clearance.grant.policies().iter().map(|policy| policy.name());
            let granted = names.collect::<Vec<_>>().join(", ");
            attempt.trail.passed("websocket.role", granted);
        }
        Err(fault) => attempt.trail.failed("websocket.role", fault.to_string()),
    }
    clearance
}

/// Hands the connection over as soon as the client was told that it may speak.
async fn leave(conversation: &Conversation, upgrading: OnUpgrade, pass: Pass, record: Record) {
    let control = &conversation.control;
    let upgraded = timeout(UPGRADE_DEADLINE, upgrading).await;
    let Some((stream, early)) = upgraded.ok().and_then(Result::ok).and_then(into_parts) else {
        let reason = "the connection was lost before the client was told that it may speak WebSocket";
        return record.end(control, Verdict::Abandoned, "cloud.websocket.gone", reason, "");
    };
    let (wire, received) = Wire::from(stream).framed(early.to_vec());
    let guest = match wire.detach() {
        Ok(wire) => Guest {
            wire,
            received,
            pass,
            record,
        },
        Err(error) => {
            let reason = format!("the connection could not be handed over: {error}");
            return record.end(control, Verdict::Faulted, "cloud.front_door.fault", &reason, "");
        }
    };
    // If nobody takes it, the server is shutting down.
    let _ = conversation.guests.send(guest).await;
}

/// The stream underneath, and what was read of it already.
fn into_parts(upgraded: Upgraded) -> Option<(Stream, Bytes)> {
    let parts = upgraded.downcast::<TokioIo<Outspoken<Stream>>>().ok()?;
    Some((parts.io.into_inner().into_inner(), parts.read_buf))
}

fn answer(fault: &Fault, id: &str) -> Response<Full<Bytes>> {
    match fault {
        Fault::Caller(fault) => render::fault(fault, id),
        Fault::Path => render::fault(
            &ApiFault::UnknownOperation {
                asked: format!("WebSocket on another path than {PATH}"),
            },
            id,
        ),
        Fault::Request(not_asked) => {
            let invalid = ApiFault::invalid("cloud.websocket.request", not_asked.to_string());
            let mut response = render::fault(&invalid, id);
            if *not_asked == NotAsked::Version {
                *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
                let version = HeaderValue::from_static("13");
                response
                    .headers_mut()
                    .insert(header::SEC_WEBSOCKET_VERSION, version);
            }
            response
        }
    }
}

/// Writes down why.
fn refuse(record: &mut Record, fault: Fault) {
    let attempt = &mut record.attempt;
    let mut end = |code: &str, reason: String, hint: &str| {
        attempt.trail.failed("websocket.request", reason.as_str());
        attempt.end(Verdict::Refused, code, reason, hint);
    };
    match fault {
        Fault::Path => end(
            "cloud.websocket.path",
            format!("WebSocket was asked for on another path than {PATH}"),
            "let the client connect to wss://HOST:PORT/mqtt",
        ),
        Fault::Request(not_asked) => end(
            "cloud.websocket.request",
            not_asked.to_string(),
            "check the client's WebSocket library",
        ),
        Fault::Caller(ApiFault::Denied(denied)) => {
            end(code_of(&denied), denied.to_string(), hint_of(&denied));
        }
        Fault::Caller(ApiFault::Refused(refusal) | ApiFault::Unauthenticated(refusal)) => {
            attempt.refuse(&refusal);
        }
        Fault::Caller(fault) => {
            let cause = match &fault {
                ApiFault::Failed(cause) => cause.clone(),
                other => other.to_string(),
            };
            attempt.end(
                Verdict::Faulted,
                "cloud.front_door.fault",
                cause,
                "look at the server's disk and log",
            );
        }
    }
}

/// What is wrong with a signature, in a word: attempts that were refused for different reasons are not told as one.
fn code_of(denied: &Denied) -> &'static str {
    match denied {
        Denied::Unsigned => "cloud.websocket.unsigned",
        Denied::Incomplete(_) => "cloud.websocket.incomplete",
        Denied::UnknownKey => "cloud.websocket.key",
        Denied::Expired => "cloud.websocket.expired",
        Denied::Withdrawn(_) => "cloud.websocket.withdrawn",
        Denied::Scope(_) => "cloud.websocket.scope",
        Denied::Time { .. } => "cloud.websocket.time",
        Denied::Mismatch => "cloud.websocket.signature",
        Denied::Role { .. } => "cloud.websocket.role",
        Denied::Region { .. } => "cloud.websocket.region",
    }
}

/// What mends a signature.
fn hint_of(denied: &Denied) -> &'static str {
    match denied {
        Denied::Unsigned => {
            "sign the request (Signature Version 4, service iotdevicegateway), connect with a client certificate, or make a custom authorizer"
        }
        Denied::Time { .. } => "set the client's clock, or presign the address anew before each connection",
        Denied::Expired => "let the device ask for new credentials before the old ones end",
        Denied::Withdrawn(_) => {
            "look at the device's certificate, its role alias and the role in the operator's file"
        }
        Denied::UnknownKey => "use an access key of this server's credentials file",
        Denied::Role { .. } => "use an access key of the role admin, or of read to listen only",
        Denied::Mismatch => {
            "sign GET /mqtt with the secret of this access key; the header Host must be signed as it is sent"
        }
        Denied::Region { .. } => "sign for a region that this access key may be used in",
        Denied::Scope(_) | Denied::Incomplete(_) => "look at how the client presigns its address",
    }
}
