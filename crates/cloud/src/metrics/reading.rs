//! What one shard counts, and the copy that it gives of it.

use std::collections::BTreeMap;

use broker::{CloseReason, Counters, Holdings};
use mqtt::Version;
use store::measure::{Commits, Histogram, SIZES_BYTES, TIMES_MICROS};

use super::tally::Listener;

/// Upper bounds of the classes of delivery times. Messages carry the millisecond in which they were published.
const DELIVERY_MICROS: &[u64] = &[
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    10_000_000,
    60_000_000,
    3_600_000_000,
];

/// What a shard counts beside its node. It belongs to the shard's thread alone.
#[derive(Clone, Debug)]
pub(crate) struct ShardCounts {
    /// Connections that are open.
    pub(crate) open: BTreeMap<(Listener, &'static str), u64>,
    /// Connections that ended, by reason.
    pub(crate) ended: BTreeMap<&'static str, u64>,
    /// QoS 0 messages dropped because their client does not read.
    pub(crate) output_dropped: u64,
    /// How long answers waited, in microseconds.
    pub(crate) acknowledgements: Histogram,
    /// How old messages were when they were given to a connection, in microseconds.
    pub(crate) deliveries: Histogram,
    /// What earlier nodes of this shard counted, before their log failed.
    node_before: Counters,
    log_before: Commits,
}

impl Default for ShardCounts {
    fn default() -> Self {
        Self {
            open: BTreeMap::new(),
            ended: BTreeMap::new(),
            output_dropped: 0,
            acknowledgements: Histogram::new(TIMES_MICROS),
            deliveries: Histogram::new(DELIVERY_MICROS),
            node_before: Counters::default(),
            log_before: Commits {
                times: Histogram::new(TIMES_MICROS),
                sizes: Histogram::new(SIZES_BYTES),
            },
        }
    }
}

impl ShardCounts {
    pub(crate) fn opened(&mut self, listener: Listener, version: Version) {
        *self.open.entry((listener, version_name(version))).or_default() += 1;
    }

    pub(crate) fn closed(&mut self, listener: Listener, version: Version) {
        if let Some(count) = self.open.get_mut(&(listener, version_name(version))) {
            *count = count.saturating_sub(1);
        }
    }

    pub(crate) fn ended(&mut self, reason: CloseReason) {
        *self.ended.entry(reason.name()).or_default() += 1;
    }

    /// Keeps what a node and its log counted that begin anew.
    pub(crate) fn begin_anew(&mut self, node: Counters, log: Option<&Commits>) {
        self.node_before += node;
        self.log_before = self.log(log);
    }

    /// All that this shard's nodes have counted.
    pub(crate) fn node(&self, node: Counters) -> Counters {
        let mut sum = self.node_before;
        sum += node;
        sum
    }

    /// All that this shard's logs have measured.
    pub(crate) fn log(&self, log: Option<&Commits>) -> Commits {
        let mut sum = self.log_before;
        if let Some(log) = log {
            sum.times.add(&log.times);
            sum.sizes.add(&log.sizes);
        }
        sum
    }
}

/// What one shard tells of itself.
#[derive(Clone, Debug)]
pub(crate) struct ShardReading {
    pub(crate) counts: ShardCounts,
    pub(crate) node: Counters,
    pub(crate) holdings: Holdings,
    pub(crate) connections: usize,
    pub(crate) sessions_kept: usize,
    pub(crate) queued_messages: usize,
    pub(crate) queued_bytes: usize,
    pub(crate) gates: usize,
    pub(crate) outboxes: usize,
    pub(crate) log: Commits,
    pub(crate) log_bytes: u64,
    pub(crate) log_waiting_bytes: u64,
}

const fn version_name(version: Version) -> &'static str {
    match version {
        Version::V3 => "3.1.1",
        Version::V5 => "5.0",
    }
}
