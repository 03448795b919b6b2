//! `GET /metrics` over plain HTTP, on a loopback address of its own and a thread of its own.
//!
//! It stands apart from the API, so that it answers when the API does not. It asks every shard for its numbers and waits a
//! second at most; what a shard told last stands for one that is late.

use core::convert::Infallible;
use core::sync::atomic::Ordering;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use broker::limits::NODE_QUEUE_BYTES_MAX;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use store::limits::COMMIT_QUEUE_MAX;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::spawn_local;

use super::page::{CONTENT_TYPE, Page};
use super::process;
use super::reading::ShardReading;
use super::sum::Sum;
use super::tally::Counts;
use crate::control::Control;
use crate::limits::{
    ACCEPT_REST, HANDSHAKES_MAX, LOG_WAITING_BYTES_MAX, METRICS_CONNECTIONS_MAX, METRICS_IDLE,
    METRICS_PATIENCE, OUTBOX_MESSAGES_MAX, SHARD_MAILBOX_MAX,
};
use crate::shutdown::Shutdown;

/// What the shards told last.
#[derive(Default)]
struct Told {
    readings: Vec<Option<Box<ShardReading>>>,
    silent: usize,
}

/// Answers until shutdown.
pub(crate) async fn serve(control: Arc<Control>, listener: TcpListener, shutdown: Shutdown) {
    let room = Arc::new(Semaphore::new(METRICS_CONNECTIONS_MAX));
    let told = Rc::new(RefCell::new(Told::default()));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.over() => return,
        };
        let Ok((socket, _)) = accepted else {
            tokio::time::sleep(ACCEPT_REST).await;
            continue;
        };
        let (control, told) = (control.clone(), told.clone());
        spawn_local(async move {
            converse(control, told, socket).await;
            drop(place);
        });
    }
}

async fn converse(control: Arc<Control>, told: Rc<RefCell<Told>>, socket: TcpStream) {
    let service = service_fn(move |request| {
        let (control, told) = (control.clone(), told.clone());
        async move { Ok::<_, Infallible>(respond(&control, &told, &request).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(METRICS_IDLE);
    let _ = builder.serve_connection(TokioIo::new(socket), service).await;
}

async fn respond(
    control: &Control,
    told: &RefCell<Told>,
    request: &Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (status, kind, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => {
            ask(control, told).await;
            (StatusCode::OK, CONTENT_TYPE, write(control, &told.borrow()))
        }
        (_, "/metrics") => (
            StatusCode::METHOD_NOT_ALLOWED,
            "text/plain",
            "ask with GET\n".to_owned(),
        ),
        _ => (
            StatusCode::NOT_FOUND,
            "text/plain",
            "there is only /metrics here\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

/// Asks every shard at once.
async fn ask(control: &Control, told: &RefCell<Told>) {
    let asked = control.shards.measure();
    let deadline = tokio::time::Instant::now() + METRICS_PATIENCE;
    let mut silent = 0;
    for (index, answer) in asked.into_iter().enumerate() {
        let answer = match answer {
            Some(answer) => tokio::time::timeout_at(deadline, answer)
                .await
                .ok()
                .and_then(Result::ok),
            None => None,
        };
        silent += usize::from(answer.is_none());
        let mut told = told.borrow_mut();
        if told.readings.len() <= index {
            told.readings.resize(index + 1, None);
        }
        if let (Some(answer), Some(reading)) = (answer, told.readings.get_mut(index)) {
            *reading = Some(answer);
        }
    }
    told.borrow_mut().silent = silent;
}

fn write(control: &Control, told: &Told) -> String {
    let mut page = Page::default();
    page.family("birthmark_build_info")
        .value(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.value("birthmark_shards", control.shards.count());
    page.value("birthmark_shards_silent", told.silent);
    let sum = Sum::of(told.readings.iter().flatten().map(Box::as_ref));
    let mut family = page.family("birthmark_shard_connections");
    for (index, reading) in told.readings.iter().enumerate() {
        let connections = reading.as_ref().map_or(0, |reading| reading.connections);
        family.value(&[("shard", &index.to_string())], connections);
    }
    sum.write(&mut page);
    write_queues(&mut page, control, &sum);
    write_counts(&mut page, &control.tally.look());
    page.value("birthmark_attempts_dropped_total", control.attempts_dropped());
    let commits = control.records.commits();
    page.times("birthmark_records_commit_seconds", &commits.times);
    page.sizes("birthmark_records_commit_batches", &commits.sizes);
    let spans = control.telemetry.counts();
    let mut family = page.family("birthmark_spans_total");
    let outcomes = [
        ("exported", &spans.exported),
        ("dropped", &spans.dropped),
        ("failed", &spans.failed),
    ];
    for (outcome, count) in outcomes {
        family.value(&[("outcome", outcome)], count.load(Ordering::Relaxed));
    }
    process::write(&mut page);
    page.into_text()
}

fn write_queues(page: &mut Page, control: &Control, sum: &Sum) {
    let shards = control.shards.count();
    let items = [
        ("sessions", sum.queued_messages, None),
        ("gates", sum.gates, Some(shards * OUTBOX_MESSAGES_MAX)),
        (
            "outboxes",
            sum.outboxes,
            Some(shards * shards.saturating_sub(1) * OUTBOX_MESSAGES_MAX),
        ),
        (
            "mailboxes",
            control.shards.mail_waiting(),
            Some(shards * SHARD_MAILBOX_MAX),
        ),
        ("records", control.records.queue_depth(), Some(COMMIT_QUEUE_MAX)),
        ("handshakes", control.tally.handshaking(), Some(HANDSHAKES_MAX)),
    ];
    let mut family = page.family("birthmark_queue_items");
    for (queue, depth, _) in items {
        family.value(&[("queue", queue)], depth);
    }
    let mut family = page.family("birthmark_queue_items_max");
    for (queue, _, most) in items {
        most.into_iter()
            .for_each(|most| family.value(&[("queue", queue)], most));
    }
    let bytes = [
        ("sessions", sum.queued_bytes as u64, NODE_QUEUE_BYTES_MAX as u64),
        ("session_log", sum.log_waiting_bytes, LOG_WAITING_BYTES_MAX),
    ];
    let mut family = page.family("birthmark_queue_bytes");
    for (queue, depth, _) in bytes {
        family.value(&[("queue", queue)], depth);
    }
    let mut family = page.family("birthmark_queue_bytes_max");
    for (queue, _, most) in bytes {
        family.value(&[("queue", queue)], most * shards as u64);
    }
}

fn write_counts(page: &mut Page, counts: &Counts) {
    let mut family = page.family("birthmark_handshakes_total");
    for ((listener, outcome), count) in &counts.handshakes {
        family.value(
            &[("listener", listener.name()), ("outcome", outcome.name())],
            count,
        );
    }
    let mut family = page.family("birthmark_handshake_seconds");
    for (listener, times) in &counts.handshake_times {
        family.times(&[("listener", listener.name())], times);
    }
    let mut family = page.family("birthmark_attempts_total");
    for ((kind, verdict), count) in &counts.attempts {
        family.value(&[("kind", kind), ("verdict", verdict)], count);
    }
    let mut family = page.family("birthmark_refusals_total");
    for (code, count) in &counts.refusals {
        family.value(&[("code", code)], count);
    }
    let mut family = page.family("birthmark_first_connections_total");
    for (outcome, count) in &counts.first_connections {
        family.value(&[("outcome", outcome)], count);
    }
    let mut family = page.family("birthmark_clones_suspected_total");
    for ((cause, action), count) in &counts.clones {
        family.value(&[("cause", cause), ("action", action)], count);
    }
    let mut family = page.family("birthmark_api_requests_total");
    for ((operation, class), count) in &counts.requests {
        family.value(&[("operation", operation), ("class", class)], count);
    }
    page.times("birthmark_api_request_seconds", &counts.request_times);
}
