//! What a shard tells of itself to whoever watches.

use super::State;
use crate::metrics::ShardReading;

impl State {
    /// All of its numbers, as they are now.
    pub(in crate::shard) fn reading(&self) -> ShardReading {
        ShardReading {
            counts: self.counts.clone(),
            node: self.counts.node(self.node.counters()),
            holdings: self.node.holdings(),
            connections: self.node.connections(),
            sessions_kept: self.node.sessions_kept(),
            queued_messages: self.node.queued_messages(),
            queued_bytes: self.node.queued_bytes(),
            gates: self.gates.depth(),
            outboxes: self.outboxes.iter().map(|outbox| outbox.parcels.len()).sum(),
            log: self.counts.log(self.log.commits().as_ref()),
            log_bytes: self.log.bytes(),
            log_waiting_bytes: self.log.waiting_bytes(),
        }
    }
}
