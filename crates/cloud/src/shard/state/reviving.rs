//! When a session log cannot be written: all shards give up what is not durable and begin anew, each from its own log.
//!
//! All together, since what one shard has acknowledged rests on what others have made durable: a shard that went on alone would
//! wait for confirmations that never come, or take those of an earlier life for new ones. First everybody falls: connections
//! are closed, what waited is promised to nobody. When all have fallen each is made of its log; when all are made they begin to
//! speak. Mail of an earlier life is thrown away.

use broker::{ConnectionId, Departure};

use super::State;
use super::peers::Outbox;
use crate::clock;
use crate::limits::LOG_REST;
use crate::shard::log::node_index;
use crate::shard::mail::Mail;

impl State {
    /// The log of this shard cannot be written.
    pub(super) fn fail(&mut self) {
        if self.failed_at.is_none() || self.rebuilt.is_some() {
            self.fall(self.life + 1);
        }
    }

    /// Gives up everything of earlier lives; nothing when that is done.
    pub(in crate::shard) fn fall(&mut self, life: u32) {
        if life <= self.life {
            return;
        }
        self.life = life;
        self.failed_at = Some(clock::now());
        self.rebuilt = None;
        self.gates.abandon();
        let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for connection in ids {
            self.departed.push((connection, Departure::ServerFault));
        }
        self.carry_out();
        self.forget_others();
        self.control.shards.note_fallen(self.index, life);
        for outbox in &self.outboxes {
            // Who does not hear of it sees it when time passes.
            if let Some(mailbox) = self.control.shards.mailbox(outbox.shard) {
                let _ = mailbox.try_send(Mail::Fallen { life });
            }
        }
    }

    /// Makes the node of its log again, once that can be opened and all others have fallen too.
    pub(super) fn begin_anew(&mut self) {
        if self.rebuilt.is_some() {
            return self.go_live();
        }
        let rested = |failed_at| clock::now().since(failed_at) >= LOG_REST.as_millis() as i64;
        if !self.failed_at.is_some_and(rested) || !self.control.shards.all_fallen(self.life) {
            return;
        }
        self.failed_at = Some(clock::now());
        let measured = self.log.commits();
        let Ok(restored) = self.log.open_again() else {
            return;
        };
        let retained = self.node.retained_messages();
        self.counts.begin_anew(self.node.counters(), measured.as_ref());
        self.node = restored.node;
        self.log = restored.log;
        self.rebuilt = Some(restored.actions);
        self.node.adopt(&retained);
        let interests = self.control.shards.interests();
        interests.forget(node_index(self.index));
        self.node.join(interests);
        self.actions = broker::Actions::new();
        self.gates.abandon();
        self.forget_others();
        self.control.shards.note_rebuilt(self.index, self.life);
        self.go_live();
    }

    /// Begins to speak, once all shards are made again.
    pub(super) fn go_live(&mut self) {
        if self.rebuilt.is_none() || !self.control.shards.all_rebuilt(self.life) {
            return;
        }
        self.actions = self.rebuilt.take().unwrap_or_default();
        self.failed_at = None;
        self.carry_out();
    }

    fn forget_others(&mut self) {
        self.forwards = 0;
        self.receipts.clear();
        let others: Vec<usize> = self.outboxes.iter().map(|outbox| outbox.shard).collect();
        self.outboxes = others.into_iter().map(Outbox::to).collect();
    }
}
