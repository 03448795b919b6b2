//! The readings of all shards, taken together.

use std::collections::BTreeMap;

use broker::{Counters, Dropped};
use store::measure::Commits;

use super::page::Page;
use super::reading::{ShardCounts, ShardReading};

/// How quality of service is written.
const QUALITIES: [&str; 3] = ["0", "1", "2"];

/// What all shards have together.
pub(super) struct Sum {
    counts: ShardCounts,
    node: Counters,
    log: Commits,
    sessions_kept: usize,
    subscriptions: usize,
    /// Every shard has all of them.
    retained: (usize, usize),
    log_bytes: u64,
    pub(super) queued_messages: usize,
    pub(super) queued_bytes: usize,
    pub(super) gates: usize,
    pub(super) outboxes: usize,
    pub(super) log_waiting_bytes: u64,
}

impl Sum {
    pub(super) fn of<'a>(readings: impl Iterator<Item = &'a ShardReading>) -> Self {
        let counts = ShardCounts::default();
        let mut sum = Self {
            log: counts.log(None),
            counts,
            node: Counters::default(),
            sessions_kept: 0,
            subscriptions: 0,
            retained: (0, 0),
            log_bytes: 0,
            queued_messages: 0,
            queued_bytes: 0,
            gates: 0,
            outboxes: 0,
            log_waiting_bytes: 0,
        };
        readings.for_each(|reading| sum.take(reading));
        sum
    }

    fn take(&mut self, reading: &ShardReading) {
        add_all(&mut self.counts.open, &reading.counts.open);
        add_all(&mut self.counts.ended, &reading.counts.ended);
        self.counts.output_dropped += reading.counts.output_dropped;
        self.counts.acknowledgements.add(&reading.counts.acknowledgements);
        self.counts.deliveries.add(&reading.counts.deliveries);
        self.node += reading.node;
        self.log.times.add(&reading.log.times);
        self.log.sizes.add(&reading.log.sizes);
        self.sessions_kept += reading.sessions_kept;
        self.subscriptions += reading.holdings.subscriptions;
        let retained = (
            reading.holdings.retained_messages,
            reading.holdings.retained_bytes,
        );
        self.retained = self.retained.max(retained);
        self.log_bytes += reading.log_bytes;
        self.queued_messages += reading.queued_messages;
        self.queued_bytes += reading.queued_bytes;
        self.gates += reading.gates;
        self.outboxes += reading.outboxes;
        self.log_waiting_bytes += reading.log_waiting_bytes;
    }

    pub(super) fn write(&self, page: &mut Page) {
        let mut family = page.family("birthmark_connections");
        for ((listener, version), count) in &self.counts.open {
            family.value(&[("listener", listener.name()), ("version", version)], count);
        }
        let mut family = page.family("birthmark_disconnects_total");
        for (reason, count) in &self.counts.ended {
            family.value(&[("reason", reason)], count);
        }
        let traffic = [
            ("birthmark_messages_received_total", self.node.published.messages),
            (
                "birthmark_message_bytes_received_total",
                self.node.published.payload_bytes,
            ),
            ("birthmark_messages_sent_total", self.node.delivered.messages),
            (
                "birthmark_message_bytes_sent_total",
                self.node.delivered.payload_bytes,
            ),
        ];
        for (name, counts) in traffic {
            let mut family = page.family(name);
            for (qos, count) in QUALITIES.into_iter().zip(counts) {
                family.value(&[("qos", qos)], count);
            }
        }
        self.write_dropped(page);
        page.times("birthmark_acknowledgement_seconds", &self.counts.acknowledgements);
        page.times("birthmark_delivery_seconds", &self.counts.deliveries);
        page.value("birthmark_sessions_kept", self.sessions_kept);
        page.value("birthmark_subscriptions", self.subscriptions);
        page.value("birthmark_retained_messages", self.retained.0);
        page.value("birthmark_retained_bytes", self.retained.1);
        page.times("birthmark_session_log_commit_seconds", &self.log.times);
        page.sizes("birthmark_session_log_commit_bytes", &self.log.sizes);
        page.value("birthmark_session_log_bytes", self.log_bytes);
    }

    fn write_dropped(&self, page: &mut Page) {
        let Dropped {
            queue_messages,
            queue_bytes,
            node_bytes,
            age,
            expired,
            too_long,
        } = self.node.dropped;
        let mut family = page.family("birthmark_messages_dropped_total");
        let reasons = [
            ("queue_messages", queue_messages),
            ("queue_bytes", queue_bytes),
            ("shard_bytes", node_bytes),
            ("age", age),
            ("expired", expired),
            ("too_long", too_long),
            ("output_full", self.counts.output_dropped),
            ("not_authorized", self.node.not_received),
        ];
        for (reason, count) in reasons {
            family.value(&[("reason", reason)], count);
        }
    }
}

fn add_all<K: Ord + Clone>(sum: &mut BTreeMap<K, u64>, more: &BTreeMap<K, u64>) {
    for (key, count) in more {
        *sum.entry(key.clone()).or_default() += count;
    }
}
