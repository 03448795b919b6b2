//! HTTP/1.1 over TLS: on the API listener, and for those who speak it on the port for everything.
//!
//! It stands between sockets and [`super::perform`]. Connections, heads, bodies and times are bounded; a body is read
//! whole before anything is done with it. Failed handshakes are recorded like those of devices.

use core::cell::Cell;
use core::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use fleet::attempt::TraceId;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming as IncomingBody};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use identity::certificate::Certificate;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_local;

use super::credentials;
use super::fault::ApiFault;
use super::upgrade::upgrade;
use super::{Received, heads, operation_of, perform, render};
use crate::arrival::{self, Handshaken, Record, Visitor};
use crate::authorizer::Said;
use crate::clock;
use crate::control::Control;
use crate::domains::Domain;
use crate::front_door::Guest;
use crate::limits::{
    API_BODY_BYTES_MAX, API_CONNECTIONS_MAX, API_CONNECTIONS_SERVED_MAX, API_DEADLINE, API_HEAD_BYTES_MAX,
    API_HEADERS_MAX, API_IDLE, API_TARGET_BYTES_MAX, SHUTDOWN_DEADLINE, VISITORS_MAX,
};
use crate::metrics::Listener;
use crate::shutdown::Shutdown;
use crate::tenancy::Addressed;
use crate::tls::{Hello, Settings, Stream};
use crate::websocket;

/// Where the HTTP of this server comes from, and where those go who leave it.
pub(crate) struct Ways {
    /// Connections of the port for everything whose clients speak HTTP.
    pub(crate) visitors: mpsc::Receiver<Visitor>,
    /// The way of WebSocket to the front door.
    pub(crate) guests: mpsc::Sender<Guest>,
}

/// Accepts API connections until shutdown, then lets those end that are open.
pub(crate) async fn serve(
    control: Arc<Control>,
    listener: TcpListener,
    settings: Settings,
    ways: Ways,
    shutdown: Shutdown,
) {
    let room = Arc::new(Semaphore::new(API_CONNECTIONS_MAX));
    let settings = Rc::new(settings);
    let Ways { visitors, guests } = ways;
    let receiving = spawn_local(receive_visitors(
        control.clone(),
        visitors,
        guests.clone(),
        shutdown.clone(),
    ));
    loop {
        let accepted = tokio::select! {
            accepted = arrival::accept(&listener, &room) => accepted,
            () = shutdown.begun() => break,
        };
        let Some((socket, peer, place)) = accepted else {
            break;
        };
        let (control, settings) = (control.clone(), settings.clone());
        let (guests, shutdown) = (guests.clone(), shutdown.clone());
        // The last places are for telling whoever comes that there is no other one.
        let is_crowded = room.available_permits() < API_CONNECTIONS_MAX - API_CONNECTIONS_SERVED_MAX;
        spawn_local(async move {
            let choose = |hello: Option<&Hello>, policy| settings.choose(hello, policy);
            let handshaken = arrival::handshake(&control, Listener::Api, (socket, peer), choose).await;
            if let Some(handshaken) = handshaken {
                let (stream, mut conversation) = Conversation::begin(control, handshaken, peer, guests);
                conversation.is_crowded = is_crowded;
                converse(stream, conversation, shutdown).await;
            }
            drop(place);
        });
    }
    // Whoever has a place still speaks.
    let places = u32::try_from(API_CONNECTIONS_MAX).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(SHUTDOWN_DEADLINE, room.acquire_many(places)).await;
    let _ = receiving.await;
}

/// Takes the connections that another thread has accepted.
async fn receive_visitors(
    control: Arc<Control>,
    mut visitors: mpsc::Receiver<Visitor>,
    guests: mpsc::Sender<Guest>,
    shutdown: Shutdown,
) {
    let room = Arc::new(Semaphore::new(VISITORS_MAX));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else {
            break;
        };
        let visitor = tokio::select! {
            visitor = visitors.recv() => visitor,
            () = shutdown.begun() => None,
        };
        let Some(visitor) = visitor else { break };
        let Ok(handshaken) = visitor.attach() else {
            continue;
        };
        let Some(peer) = handshaken.record.attempt.peer else {
            continue;
        };
        let (control, guests, shutdown) = (control.clone(), guests.clone(), shutdown.clone());
        spawn_local(async move {
            let (stream, conversation) = Conversation::begin(control, handshaken, peer, guests);
            converse(stream, conversation, shutdown).await;
            drop(place);
        });
    }
    let places = u32::try_from(VISITORS_MAX).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(SHUTDOWN_DEADLINE, room.acquire_many(places)).await;
}

/// What all requests of one connection have in common.
pub(crate) struct Conversation {
    pub(super) control: Arc<Control>,
    pub(super) peer: SocketAddr,
    /// The certificate whose key the client holds, if it showed one.
    pub(super) certificate: Option<Certificate>,
    pub(super) addressed: Addressed,
    /// The domain configuration that the client asked for by name.
    pub(super) domain: Option<Arc<Domain>>,
    /// What is known of the connection, for the records of what is asked over it.
    pub(super) record: Record,
    pub(super) guests: mpsc::Sender<Guest>,
    /// Whether it may only be told that there is no room.
    is_crowded: bool,
    /// Whether a device was granted something over it already.
    pub(super) granted: Cell<bool>,
    /// What a custom authorizer said of those who ask over it.
    pub(super) said: Said,
}

impl Conversation {
    /// What a connection begins with that has completed its handshake.
    fn begin(
        control: Arc<Control>,
        handshaken: Handshaken,
        peer: SocketAddr,
        guests: mpsc::Sender<Guest>,
    ) -> (Stream, Self) {
        let Handshaken {
            stream,
            certificate,
            addressed,
            domain,
            record,
        } = handshaken;
        let conversation = Self {
            control,
            peer,
            certificate,
            addressed,
            domain,
            record,
            guests,
            is_crowded: false,
            granted: Cell::new(false),
            said: Said::default(),
        };
        (stream, conversation)
    }
}

async fn converse(stream: Stream, conversation: Conversation, shutdown: Shutdown) {
    let conversation = Rc::new(conversation);
    let stream = heads::around(stream, &conversation);
    let speaker = conversation.clone();
    let service = service_fn(move |request: http::Request<IncomingBody>| {
        let conversation = speaker.clone();
        async move {
            Ok::<_, Infallible>(match websocket::is_asked(request.headers()) {
                true => upgrade(&conversation, request).await,
                false => respond(&conversation, request).await,
            })
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(API_IDLE)
        .max_headers(API_HEADERS_MAX);
    builder.max_buf_size(API_HEAD_BYTES_MAX);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = core::pin::pin!(connection.with_upgrades());
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                heads::note(&conversation, &error);
            }
        }
        () = shutdown.begun() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

async fn respond(conversation: &Conversation, request: http::Request<IncomingBody>) -> Response<Full<Bytes>> {
    if let Some(alias) = credentials::alias_in(request.method(), request.uri().path())
        && !conversation.is_crowded
    {
        return credentials::answer(conversation, alias, request.headers()).await;
    }
    let (control, peer, is_crowded) = (&conversation.control, conversation.peer, conversation.is_crowded);
    let trace = control.traces.next();
    let id = fleet::record::Uuid(trace.0).to_string();
    let (at, begun) = (clock::now(), Instant::now());
    let operation = operation_of(request.method().as_str(), request.uri().path());
    let outcome = tokio::time::timeout(API_DEADLINE, async {
        if is_crowded {
            return Err(ApiFault::Busy("every connection of the API is in use"));
        }
        let received = receive(request, peer, trace).await?;
        perform(conversation, &received).await
    });
    let outcome = outcome
        .await
        .unwrap_or(Err(ApiFault::Busy("the request took too long")));
    let response = match outcome {
        Ok(answer) => render::answer(&answer, &id),
        Err(fault) => {
            let mut response = render::fault(&fault, &id);
            if is_crowded || response.status() == StatusCode::PAYLOAD_TOO_LARGE {
                // What is left of the body is not read, and the place is for the next.
                response
                    .headers_mut()
                    .insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
            }
            response
        }
    };
    let status = response.status().as_u16();
    let time = begun.elapsed();
    control.tally.request(operation, status, time);
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    control.telemetry.request(trace, at, micros, operation, status);
    response
}

async fn receive(
    request: http::Request<IncomingBody>,
    peer: SocketAddr,
    trace: TraceId,
) -> Result<Received, ApiFault> {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path().len() + parts.uri.query().map_or(0, str::len);
    if target > API_TARGET_BYTES_MAX {
        return Err(ApiFault::TooLarge {
            bytes_max: API_TARGET_BYTES_MAX,
        });
    }
    let body = Limited::new(body, API_BODY_BYTES_MAX)
        .collect()
        .await
        .map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => ApiFault::TooLarge {
                bytes_max: API_BODY_BYTES_MAX,
            },
            None => ApiFault::invalid("cloud.api.body", "the request body ended early"),
        })?;
    Ok(Received {
        method: parts.method,
        uri: parts.uri,
        headers: parts.headers,
        body: body.to_bytes(),
        peer,
        trace,
    })
}
