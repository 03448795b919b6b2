//! HTTP/1.1 over TLS on the API listener.
//!
//! It stands between sockets and [`super::perform`]. Connections, heads, bodies and times are bounded; a body is read
//! whole before anything is done with it. Failed handshakes are recorded like those of devices.

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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::spawn_local;

use super::fault::ApiFault;
use super::{Received, operation_of, perform, render};
use crate::arrival::{self, Handshaken};
use crate::control::Control;
use crate::limits::{
    API_BODY_BYTES_MAX, API_CONNECTIONS_MAX, API_CONNECTIONS_SERVED_MAX, API_DEADLINE, API_HEAD_BYTES_MAX,
    API_HEADERS_MAX, API_IDLE, API_TARGET_BYTES_MAX,
};
use crate::metrics::Listener;
use crate::shutdown::Shutdown;
use crate::tls::Settings;

/// Accepts API connections until shutdown, then lets those end that are open.
pub(crate) async fn serve(
    control: Arc<Control>,
    listener: TcpListener,
    settings: Settings,
    shutdown: Shutdown,
) {
    let room = Arc::new(Semaphore::new(API_CONNECTIONS_MAX));
    let settings = Rc::new(settings);
    loop {
        let accepted = tokio::select! {
            accepted = arrival::accept(&listener, &room) => accepted,
            () = shutdown.begun() => break,
        };
        let Some((socket, peer, place)) = accepted else {
            break;
        };
        let (control, settings, shutdown) = (control.clone(), settings.clone(), shutdown.clone());
        // The last places are for telling whoever comes that there is no other one.
        let is_crowded = room.available_permits() < API_CONNECTIONS_MAX - API_CONNECTIONS_SERVED_MAX;
        spawn_local(async move {
            converse(control, socket, peer, &settings, shutdown, is_crowded).await;
            drop(place);
        });
    }
    // Whoever has a place still speaks.
    let places = u32::try_from(API_CONNECTIONS_MAX).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(crate::limits::SHUTDOWN_DEADLINE, room.acquire_many(places)).await;
}

async fn converse(
    control: Arc<Control>,
    socket: TcpStream,
    peer: SocketAddr,
    settings: &Settings,
    shutdown: Shutdown,
    is_crowded: bool,
) {
    let Some(Handshaken { stream, .. }) =
        arrival::handshake(&control, Listener::Api, (socket, peer), settings).await
    else {
        return;
    };
    let service = service_fn(move |request| {
        let (control, trace) = (control.clone(), control.traces.next());
        async move { Ok::<_, Infallible>(respond(&control, request, peer, trace, is_crowded).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(API_IDLE)
        .max_headers(API_HEADERS_MAX);
    builder.max_buf_size(API_HEAD_BYTES_MAX);
    let mut connection = core::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = connection.as_mut() => {}
        () = shutdown.begun() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

async fn respond(
    control: &Arc<Control>,
    request: http::Request<IncomingBody>,
    peer: SocketAddr,
    trace: TraceId,
    is_crowded: bool,
) -> Response<Full<Bytes>> {
    let id = fleet::record::Uuid(trace.0).to_string();
    let begun = Instant::now();
    let operation = operation_of(request.method().as_str(), request.uri().path());
    let outcome = tokio::time::timeout(API_DEADLINE, async {
        if is_crowded {
            return Err(ApiFault::Busy("every connection of the API is in use"));
        }
        let received = receive(request, peer, trace).await?;
        perform(control, &received).await
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
    control.tally.request(operation, status, begun.elapsed());
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
