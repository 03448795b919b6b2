//! The thread that sends spans to a collector: `POST /v1/traces`, protocol buffers over plain HTTP (OpenTelemetry protocol
//! specification, OTLP/HTTP).
//!
//! A batch that cannot be sent is counted and forgotten: traces are for people, and the attempt records have all of them.

use core::sync::atomic::{AtomicU64, Ordering};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use http::{Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, timeout, timeout_at};

use super::protobuf::Message;
use super::span::{Span, write_pair};
use crate::control::Control;
use crate::limits::{
    TELEMETRY_ANSWER_BYTES_MAX, TELEMETRY_BATCH_REST, TELEMETRY_BATCH_SPANS_MAX, TELEMETRY_DEADLINE,
};
use crate::shutdown::Shutdown;

/// What the exporter works with.
#[derive(Debug)]
pub(crate) struct Exporter {
    pub(super) spans: mpsc::Receiver<Span>,
    /// HOST:PORT.
    pub(super) collector: String,
}

/// Starts the thread.
///
/// # Errors
/// The system gives no thread or no runtime.
pub(crate) fn start(
    control: Arc<Control>,
    exporter: Exporter,
    shutdown: Shutdown,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("telemetry".into())
        .spawn(move || LocalSet::new().block_on(&runtime, run(&control, exporter, &shutdown)))
}

async fn run(control: &Control, mut exporter: Exporter, shutdown: &Shutdown) {
    let mut connection = None;
    let mut batch = Vec::with_capacity(TELEMETRY_BATCH_SPANS_MAX);
    loop {
        let ends = tokio::select! {
            taken = exporter.spans.recv_many(&mut batch, TELEMETRY_BATCH_SPANS_MAX) => taken == 0,
            () = shutdown.over() => true,
        };
        if !ends {
            gather(&mut exporter, &mut batch, shutdown).await;
        }
        while let (true, Ok(span)) = (batch.len() < TELEMETRY_BATCH_SPANS_MAX, exporter.spans.try_recv()) {
            batch.push(span);
        }
        if !batch.is_empty() {
            let sent = timeout(
                TELEMETRY_DEADLINE,
                send(&exporter.collector, &mut connection, &batch),
            )
            .await;
            let is_sent = matches!(sent, Ok(Ok(())));
            if !is_sent {
                connection = None;
            }
            count(control, is_sent, batch.len());
            batch.clear();
        }
        if ends {
            return;
        }
    }
}

/// Waits a moment for more to send together.
async fn gather(exporter: &mut Exporter, batch: &mut Vec<Span>, shutdown: &Shutdown) {
    let until = Instant::now() + TELEMETRY_BATCH_REST;
    while batch.len() < TELEMETRY_BATCH_SPANS_MAX {
        let more = TELEMETRY_BATCH_SPANS_MAX - batch.len();
        tokio::select! {
            taken = timeout_at(until, exporter.spans.recv_many(batch, more)) => match taken {
                Ok(taken) if taken > 0 => {}
                _ => return,
            },
            () = shutdown.over() => return,
        }
    }
}

fn count(control: &Control, is_sent: bool, spans: usize) {
    let counts = control.telemetry.counts();
    let count: &AtomicU64 = if is_sent { &counts.exported } else { &counts.failed };
    count.fetch_add(spans as u64, Ordering::Relaxed);
}

/// Sends a batch over the connection that there is, or a new one.
async fn send(
    collector: &str,
    connection: &mut Option<SendRequest<Full<Bytes>>>,
    batch: &[Span],
) -> Result<(), Box<dyn core::error::Error + Send + Sync>> {
    let mut sender = match connection.take().filter(|sender| !sender.is_closed()) {
        Some(sender) => sender,
        None => connect(collector).await?,
    };
    sender.ready().await?;
    let request = Request::post("/v1/traces")
        .header(header::HOST, collector)
        .header(header::CONTENT_TYPE, "application/x-protobuf")
        .body(Full::new(Bytes::from(encode(batch))))?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    Limited::new(answer.into_body(), TELEMETRY_ANSWER_BYTES_MAX)
        .collect()
        .await?;
    *connection = Some(sender);
    match status.is_success() {
        true => Ok(()),
        false => Err(format!("the collector answered {status}").into()),
    }
}

async fn connect(
    collector: &str,
) -> Result<SendRequest<Full<Bytes>>, Box<dyn core::error::Error + Send + Sync>> {
    let socket = TcpStream::connect(collector).await?;
    let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    spawn_local(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

/// An `ExportTraceServiceRequest`.
fn encode(batch: &[Span]) -> Vec<u8> {
    let mut request = Message::default();
    request.inner(1, |of_resource| {
        of_resource.inner(1, |resource| {
            resource.inner(1, |pair| write_pair(pair, "service.name", "birthmark"));
            resource.inner(1, |pair| {
                write_pair(pair, "service.version", env!("CARGO_PKG_VERSION"))
            });
        });
        of_resource.inner(2, |of_scope| {
            of_scope.inner(1, |scope| scope.text(1, "birthmark"));
            for span in batch {
                of_scope.inner(2, |message| span.write(message));
            }
        });
    });
    request.into_bytes()
}
