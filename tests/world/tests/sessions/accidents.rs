//! What goes wrong: connections that end, and a server that dies, at once or shard by shard, and is made of its logs.

use std::sync::Arc;

use broker::{Action, Actions, Event, Interests, Node, NodeIndex, Record, Restoring};

use crate::shard::Shard;
use crate::world::World;

impl World {
    /// A connection ends without a goodbye: its will is due, to all who listen by now.
    pub(crate) fn note_end(&mut self, index: usize) {
        let client = &self.clients[index];
        // A goodbye may still arrive.
        let is_leaving = client.up.iter().any(|bytes| **bytes == mqtt::encode::DISCONNECT);
        if client.connection.is_some() && client.will != 0 && !is_leaving {
            let listeners = self.listeners("will/a");
            self.due.push((self.clients[index].will, listeners));
        }
    }

    /// The client has no connection any more; its node will notice.
    pub(crate) fn lose(&mut self, index: usize) {
        self.note_end(index);
        self.clients[index].lose();
    }

    /// The client says goodbye.
    pub(crate) fn leave(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if client.welcome {
            client.welcome = false;
            client.up.push_back(mqtt::encode::DISCONNECT.to_vec());
        }
    }

    /// The server dies. What was durable is there again; of the rest perhaps some steps, in order.
    pub(crate) fn crash(&mut self) {
        loop {
            self.crash_with(|world| world.dice.below(3));
            // It may not live for long.
            if !self.dice.one_in(4) {
                return;
            }
            (0..self.dice.below(4)).for_each(|_| self.carry_mail());
        }
    }

    /// The log of one shard fails: it works no more, and the others hear of it one after the other.
    pub(crate) fn fall(&mut self) {
        let at = self.dice.below(self.shards.len());
        self.fall_at(at);
    }

    /// A shard that has not heard of it yet hears that another one has fallen.
    pub(crate) fn hear_of_fall(&mut self) {
        if self.shards.iter().any(|shard| shard.is_fallen) {
            let standing = self.shards.iter().position(|shard| !shard.is_fallen);
            match standing {
                Some(at) => self.fall_at(at),
                None => self.crash_with(|_| 0),
            }
        }
    }

    /// A fall that has begun comes to its end.
    pub(crate) fn all_fall(&mut self) {
        while self.shards.iter().any(|shard| shard.is_fallen) {
            self.hear_of_fall();
        }
    }

    fn fall_at(&mut self, at: usize) {
        if self.shards[at].is_fallen {
            return;
        }
        self.tally.falls += 1;
        self.shards[at].is_fallen = true;
        self.shards[at].held.clear();
        for client in self.clients.iter_mut().filter(|client| client.home == at) {
            client.lose();
            client.remains.clear();
        }
    }

    /// The same, with so many more steps of each log durable than anybody knows.
    pub(crate) fn crash_with(&mut self, lucky: impl Fn(&mut Self) -> usize) {
        self.tally.crashes += 1;
        let mut first = Vec::new();
        for index in 0..self.shards.len() {
            let lucky = lucky(self);
            self.note_dropped(index);
            let shard = &mut self.shards[index];
            if !shard.is_fallen {
                shard.write(lucky);
            }
            let mut log = shard.log();
            if self.dice.one_in(4) {
                log = self.checkpoint(index, &log);
            }
            let (node, actions) = self.restored(index, &log);
            self.shards[index] = Shard::new(node, log);
            first.push(actions);
        }
        self.mail.clear();
        self.receipts.clear();
        self.due.clear();
        self.interests = Arc::new(Interests::new());
        self.join();
        self.share_retained();
        self.introduce(&first);
        for client in &mut self.clients {
            client.lose();
            client.remains.clear();
            client.outdated = None;
        }
        for (index, actions) in first.into_iter().enumerate() {
            self.act(index, actions);
        }
    }

    /// Each node knows the members of shared subscriptions of all others before the first client is here.
    fn introduce(&mut self, first: &[Actions]) {
        for (from, actions) in first.iter().enumerate() {
            let from_index = NodeIndex(u16::try_from(from).unwrap());
            for action in actions.iter() {
                let Action::Share(share) = action else { continue };
                for other in (0..self.shards.len()).filter(|other| *other != from) {
                    let (from, share) = (from_index, share.clone());
                    self.event(other, Event::Shared { from, share });
                }
            }
        }
    }

    /// Retained messages are written down by one node and known to all.
    fn share_retained(&mut self) {
        let all: Vec<_> = self
            .shards
            .iter()
            .flat_map(|shard| shard.node.retained_messages())
            .collect();
        self.shards.iter_mut().for_each(|shard| shard.node.adopt(&all));
    }

    fn restored(&self, index: usize, log: &[Record]) -> (Node, Actions) {
        let mut restoring = Restoring::new(self.config_of(index));
        for record in log {
            restoring.take(record.clone()).unwrap();
        }
        restoring.finish(self.now)
    }

    /// The same log, as short as can be.
    fn checkpoint(&self, index: usize, log: &[Record]) -> Vec<Record> {
        let (mut node, _) = self.restored(index, log);
        snapshot(&mut node, self.now)
    }
}

/// All that a node would keep.
pub(crate) fn snapshot(node: &mut Node, now: identity::UnixMillis) -> Vec<Record> {
    let mut actions = Actions::new();
    node.snapshot(now, &mut actions);
    let records = actions.drain().filter_map(|action| match action {
        Action::Keep(record) => Some(record),
        _ => None,
    });
    records.collect()
}
