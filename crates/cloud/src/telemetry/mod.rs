//! Traces for OpenTelemetry, by choice: spans of connection attempts, first connections and API calls.
//!
//! It stands behind the attempt records, which say all that a span says: what was refused or failed is always told, of what
//! went well one in so many. Spans wait in a bounded queue and are dropped when it is full; nothing ever waits for them. Off
//! by default, and then it costs one look.

mod export;
mod protobuf;
mod span;

use core::sync::atomic::{AtomicU64, Ordering};

use fleet::attempt::{Attempt, TraceId, Verdict};
use identity::UnixMillis;
use tokio::sync::mpsc;

use crate::config::TelemetryPlan;
use crate::limits::TELEMETRY_SPANS_WAITING_MAX;

pub(crate) use export::{Exporter, start};
pub(crate) use span::Span;

/// Takes spans from every thread.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    queue: Option<mpsc::Sender<Span>>,
    accepted_one_in: u64,
    accepted: AtomicU64,
    counts: Counts,
}

/// What became of spans.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) exported: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) failed: AtomicU64,
}

impl Telemetry {
    /// With what the exporter takes out; none when nobody wants any.
    pub(crate) fn new(plan: Option<&TelemetryPlan>) -> (Self, Option<Exporter>) {
        let Some(plan) = plan else {
            return (Self::default(), None);
        };
        let (queue, spans) = mpsc::channel(TELEMETRY_SPANS_WAITING_MAX);
        let telemetry = Self {
            queue: Some(queue),
            accepted_one_in: plan.accepted_one_in.max(1),
            ..Self::default()
        };
        let exporter = Exporter {
            spans,
            collector: plan.collector.clone(),
        };
        (telemetry, Some(exporter))
    }

    /// An attempt that ended now.
    pub(crate) fn attempt(&self, attempt: &Attempt) {
        let went_well = attempt.verdict == Verdict::Accepted;
        if self.wants(went_well) {
            self.offer(Span::of(attempt));
        }
    }

    /// An API call that was answered now, and of which there is no attempt record.
    pub(crate) fn request(
        &self,
        trace: TraceId,
        begun: UnixMillis,
        micros: u64,
        operation: Option<&'static str>,
        status: u16,
    ) {
        if self.wants(status < 400) {
            self.offer(Span::request(
                trace,
                begun,
                micros,
                operation.unwrap_or("none"),
                status,
            ));
        }
    }

    /// A first connection that was decided now, within an attempt.
    pub(crate) fn first_connection(
        &self,
        trace: TraceId,
        begun: UnixMillis,
        micros: u64,
        outcome: &'static str,
    ) {
        if self.wants(matches!(outcome, "provisioned" | "registered")) {
            self.offer(Span::first_connection(trace, begun, micros, outcome));
        }
    }

    /// What became of spans so far.
    pub(crate) const fn counts(&self) -> &Counts {
        &self.counts
    }

    fn wants(&self, went_well: bool) -> bool {
        self.queue.is_some()
            && (!went_well
                || self
                    .accepted
                    .fetch_add(1, Ordering::Relaxed)
                    .is_multiple_of(self.accepted_one_in))
    }

    fn offer(&self, span: Span) {
        if let Some(queue) = &self.queue
            && queue.try_send(span).is_err()
        {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
