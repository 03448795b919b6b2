//! What goes wrong: connections that end, and a server that dies and is made of its logs.

use std::sync::Arc;

use broker::{Action, Actions, Departure, Event, Interests, Node, NodeIndex, Record, Restoring};

use crate::client::Client;
use crate::shard::Shard;
use crate::world::World;

impl World {
    /// A connection ends without a goodbye: its will is due, to all who listen by now.
    pub(crate) fn note_end(&mut self, index: usize) {
        let client = &self.clients[index];
        if client.connection.is_some() && client.will != 0 {
            let listeners = self.subscribers();
            self.due.push((self.clients[index].will, listeners));
        }
    }

    pub(crate) fn lose(&mut self, index: usize) {
        self.note_end(index);
        let client = &mut self.clients[index];
        if let Some(connection) = client.connection {
            let home = client.home;
            client.lose();
            let reason = Departure::ConnectionLost;
            self.event(home, Event::Closed { connection, reason });
        }
    }

    /// The server dies. What was durable is there again; of the rest perhaps some steps, in order.
    pub(crate) fn crash(&mut self) {
        self.crashes += 1;
        let mut first = Vec::new();
        for index in 0..self.shards.len() {
            let lucky = self.dice.below(3);
            let shard = &mut self.shards[index];
            shard.write(lucky);
            let mut log = std::mem::take(&mut shard.base);
            log.extend(shard.steps.drain(..shard.durable_steps).flatten());
            if self.dice.one_in(2) {
                log = self.checkpoint(index, &log);
            }
            let (node, actions) = self.restored(index, &log);
            self.shards[index] = Shard::new(node, log);
            first.push(actions);
        }
        self.mail.clear();
        self.owed.clear();
        self.due.clear();
        self.interests = Arc::new(Interests::new());
        self.join();
        self.share_retained();
        self.introduce(&first);
        self.clients.iter_mut().for_each(Client::lose);
        for (index, actions) in first.into_iter().enumerate() {
            self.act(index, actions);
        }
    }

    /// Each node knows the members of shared subscriptions of all others before the first client is here.
    pub(crate) fn introduce(&mut self, first: &[Actions]) {
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
    pub(crate) fn share_retained(&mut self) {
        let all: Vec<_> = self
            .shards
            .iter()
            .flat_map(|shard| shard.node.retained_messages())
            .collect();
        self.shards.iter_mut().for_each(|shard| shard.node.adopt(&all));
    }

    pub(crate) fn restored(&self, index: usize, log: &[Record]) -> (Node, Actions) {
        let mut restoring = Restoring::new(self.config_of(index));
        for record in log {
            restoring.take(record.clone()).unwrap();
        }
        restoring.finish(self.now)
    }

    /// The same log, as short as can be.
    pub(crate) fn checkpoint(&self, index: usize, log: &[Record]) -> Vec<Record> {
        let (mut node, _) = self.restored(index, log);
        let mut actions = Actions::new();
        node.snapshot(self.now, &mut actions);
        let records = actions.drain().filter_map(|action| match action {
            Action::Keep(record) => Some(record),
            _ => None,
        });
        records.collect()
    }
}
