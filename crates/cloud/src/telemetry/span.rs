//! One span, and its form on the wire (OpenTelemetry protocol 1.x, `opentelemetry/proto/trace/v1/trace.proto`).

use fleet::attempt::{Attempt, Kind, TraceId, Verdict};
use identity::UnixMillis;

use super::protobuf::Message;

/// SPAN_KIND_INTERNAL and SPAN_KIND_SERVER.
const KIND_INTERNAL: u64 = 1;
const KIND_SERVER: u64 = 2;
/// STATUS_CODE_ERROR.
const STATUS_ERROR: u64 = 2;

/// What happened, from when to when.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    trace: TraceId,
    /// It is part of the attempt with that trace.
    is_part: bool,
    name: String,
    begun: UnixMillis,
    micros: u64,
    attributes: Vec<(&'static str, String)>,
    /// Steps on the way, with how they went.
    steps: Vec<(String, &'static str, String)>,
    /// Why it did not go well.
    error: Option<String>,
}

impl Span {
    pub(super) fn of(attempt: &Attempt) -> Self {
        let operation = attempt.operation.as_ref().map(|text| text.as_str().to_owned());
        let name = match (attempt.kind, &operation) {
            (Kind::Api, Some(operation)) => format!("api {operation}"),
            (kind, _) => format!("mqtt {}", kind.name()),
        };
        let known = [
            ("birthmark.verdict", Some(attempt.verdict.name().to_owned())),
            ("birthmark.code", Some(attempt.code.as_str().to_owned())),
            ("birthmark.hint", Some(attempt.hint.as_str().to_owned())),
            ("cloud.account.id", Some(attempt.tenant.account.to_string())),
            ("cloud.region", Some(attempt.tenant.region.to_string())),
            ("client.address", attempt.peer.map(|peer| peer.ip().to_string())),
            (
                "tls.client.server_name",
                attempt.tls.sni.as_ref().map(|sni| sni.as_str().to_owned()),
            ),
            (
                "birthmark.certificate",
                attempt
                    .certificate
                    .as_ref()
                    .map(|certificate| certificate.id.to_string()),
            ),
            (
                "birthmark.client_id",
                attempt.client_id.as_ref().map(|id| id.as_str().to_owned()),
            ),
            (
                "birthmark.thing",
                attempt.thing.as_ref().map(|thing| thing.as_str().to_owned()),
            ),
            ("birthmark.operation", operation),
        ];
        let steps = attempt.trail.steps().iter();
        Self {
            trace: attempt.trace,
            is_part: false,
            name,
            begun: attempt.at,
            micros: attempt.elapsed_micros,
            attributes: known
                .into_iter()
                .filter_map(|(key, value)| Some((key, value.filter(|value| !value.is_empty())?)))
                .collect(),
            steps: steps
                .map(|step| {
                    (
                        step.name.to_string(),
                        step.verdict.name(),
                        step.detail.as_str().to_owned(),
                    )
                })
                .collect(),
            error: (attempt.verdict != Verdict::Accepted).then(|| attempt.reason.as_str().to_owned()),
        }
    }

    pub(super) fn request(
        trace: TraceId,
        begun: UnixMillis,
        micros: u64,
        operation: &str,
        status: u16,
    ) -> Self {
        Self {
            trace,
            is_part: false,
            name: format!("api {operation}"),
            begun,
            micros,
            attributes: vec![
                ("birthmark.operation", operation.to_owned()),
                ("http.response.status_code", status.to_string()),
            ],
            steps: Vec::new(),
            error: (status >= 400).then(|| format!("status {status}")),
        }
    }

    pub(super) fn first_connection(trace: TraceId, begun: UnixMillis, micros: u64, outcome: &str) -> Self {
        Self {
            trace,
            is_part: true,
            name: "first connection".to_owned(),
            begun,
            micros,
            attributes: vec![("birthmark.outcome", outcome.to_owned())],
            steps: Vec::new(),
            error: None,
        }
    }

    /// Writes it as a `Span`.
    pub(super) fn write(&self, message: &mut Message) {
        let whole = span_id(self.trace);
        message.bytes(1, &self.trace.0);
        if self.is_part {
            message.bytes(2, &whole.map(|byte| !byte));
            message.bytes(4, &whole);
        } else {
            message.bytes(2, &whole);
        }
        message.text(5, &self.name);
        message.number(6, if self.is_part { KIND_INTERNAL } else { KIND_SERVER });
        let begun_nanos = u64::try_from(self.begun.0).unwrap_or(0).saturating_mul(1_000_000);
        message.fixed(7, begun_nanos);
        message.fixed(8, begun_nanos.saturating_add(self.micros.saturating_mul(1_000)));
        for (key, value) in &self.attributes {
            message.inner(9, |pair| write_pair(pair, key, value));
        }
        for (name, verdict, detail) in &self.steps {
            message.inner(11, |event| {
                event.fixed(1, begun_nanos);
                event.text(2, name);
                event.inner(3, |pair| write_pair(pair, "birthmark.verdict", verdict));
                if !detail.is_empty() {
                    event.inner(3, |pair| write_pair(pair, "birthmark.detail", detail));
                }
            });
        }
        if let Some(error) = &self.error {
            message.inner(15, |status| {
                if !error.is_empty() {
                    status.text(2, error);
                }
                status.number(3, STATUS_ERROR);
            });
        }
    }
}

/// A `KeyValue` with a text.
pub(super) fn write_pair(pair: &mut Message, key: &str, value: &str) {
    pair.text(1, key);
    pair.inner(2, |any| any.text(1, value));
}

/// The span of a whole attempt: not zero, and another one for each attempt of one run of the server.
fn span_id(trace: TraceId) -> [u8; 8] {
    let mut id = [0; 8];
    let (start, count) = trace.0.split_at(8);
    for (byte, (start, count)) in id.iter_mut().zip(start.iter().zip(count)) {
        *byte = start ^ count;
    }
    match id {
        [0, 0, 0, 0, 0, 0, 0, 0] => [1; 8],
        id => id,
    }
}
