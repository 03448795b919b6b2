//! The node's count of what it gave away to be kept and to be forwarded: the numbers that gates are made of.

use std::collections::VecDeque;
use std::sync::Arc;

use identity::UnixMillis;

use crate::action::{Action, Actions, Chosen, Gate};
use crate::message::{Message, Stamp};
use crate::record::{NodeIndex, Record, SessionKey};

#[derive(Debug, Default)]
pub(crate) struct Journal {
    logged: u64,
    logged_before: u64,
    /// So many records are there since a session ended last.
    ended: u64,
    forwarded: u64,
    published: u64,
    last_message: u64,
    last_relay: u64,
    /// Relayed messages that not every other node has: as which forwarded message each went.
    relays: VecDeque<(u64, Relay)>,
}

/// A message that goes to other nodes until all have it: at QoS 2, or to another member of a shared subscription.
#[derive(Clone, Debug)]
pub(crate) struct Relay {
    pub(crate) number: u64,
    pub(crate) message: Arc<Message>,
    pub(crate) chosen: Chosen,
    /// It is for the chosen one only.
    pub(crate) is_handed: bool,
}

impl Journal {
    pub(crate) const fn begin_step(&mut self) {
        self.logged_before = self.logged;
    }

    pub(crate) fn keep(&mut self, record: Record, actions: &mut Actions) {
        self.logged += 1;
        actions.push(Action::Keep(record));
    }

    /// A session is over.
    pub(crate) fn end(&mut self, key: SessionKey, actions: &mut Actions) {
        self.keep(Record::Ended { key }, actions);
        self.ended = self.logged;
    }

    /// No session that ended so far comes back.
    pub(crate) const fn ended(&self) -> Gate {
        Gate {
            logged: self.ended,
            forwarded: 0,
        }
    }

    /// Keeps a message once per step, and gives its number.
    pub(crate) fn message(&mut self, message: &Arc<Message>, kept: &mut u64, actions: &mut Actions) -> u64 {
        if *kept == 0 {
            self.last_message += 1;
            *kept = self.last_message;
            let message = Arc::clone(message);
            self.keep(Record::Message { id: *kept, message }, actions);
        }
        *kept
    }

    /// What this step has written is durable. Nothing, if it has written nothing.
    pub(crate) const fn step(&self) -> Gate {
        let logged = if self.logged > self.logged_before {
            self.logged
        } else {
            0
        };
        Gate { logged, forwarded: 0 }
    }

    /// All that was written so far is durable.
    pub(crate) const fn all(&self) -> Gate {
        Gate {
            logged: self.logged,
            forwarded: 0,
        }
    }

    /// All that was given away so far.
    pub(crate) const fn progress(&self) -> Gate {
        Gate {
            logged: self.logged,
            forwarded: self.forwarded,
        }
    }

    /// One more message goes to the other nodes; they have it when this is passed.
    pub(crate) const fn forward(&mut self) -> Gate {
        self.forwarded += 1;
        Gate {
            logged: 0,
            forwarded: self.forwarded,
        }
    }

    /// The stamp of a message that is published now.
    pub(crate) const fn stamp(&mut self, node: NodeIndex, at: UnixMillis) -> Stamp {
        self.published += 1;
        Stamp {
            at,
            node,
            count: self.published,
        }
    }

    /// A message goes to other nodes: it is kept until they have it, and gets a number by which they know it again.
    pub(crate) fn relay(
        &mut self,
        message: &Arc<Message>,
        chosen: &Chosen,
        is_handed: bool,
        kept: &mut u64,
        actions: &mut Actions,
    ) -> u64 {
        let id = self.message(message, kept, actions);
        let relay = Relay {
            number: self.last_relay + 1,
            message: Arc::clone(message),
            chosen: Arc::clone(chosen),
            is_handed,
        };
        self.keep(relay.record(id), actions);
        self.relayed(relay);
        self.last_relay
    }

    /// It will be the next forwarded message.
    pub(crate) fn relayed(&mut self, relay: Relay) {
        self.last_relay = self.last_relay.max(relay.number);
        self.relays.push_back((self.forwarded + 1, relay));
    }

    /// The other nodes have so many forwarded messages.
    pub(crate) fn confirmed(&mut self, forwarded: u64, actions: &mut Actions) {
        let mut done = None;
        while let Some((at, relay)) = self.relays.front() {
            if *at > forwarded {
                break;
            }
            done = Some(relay.number);
            self.relays.pop_front();
        }
        if let Some(number) = done {
            self.keep(Record::Relayed { number }, actions);
        }
    }

    /// What is still to be relayed.
    pub(crate) fn relays(&self) -> impl Iterator<Item = &Relay> {
        self.relays.iter().map(|(_, relay)| relay)
    }

    /// Numbers that a restart must not give again.
    pub(crate) fn continue_after(&mut self, message: u64, relay: u64) {
        self.last_message = self.last_message.max(message);
        self.last_relay = self.last_relay.max(relay);
    }

    pub(crate) const fn last_relay(&self) -> u64 {
        self.last_relay
    }
}

impl Relay {
    /// What is kept of it.
    pub(crate) fn record(&self, message: u64) -> Record {
        let number = self.number;
        match self.chosen.first().filter(|_| self.is_handed) {
            Some((filter, node)) => Record::HandedOver {
                number,
                message,
                filter: Arc::clone(filter),
                node: *node,
            },
            None => Record::Relay {
                number,
                message,
                chosen: Arc::clone(&self.chosen),
            },
        }
    }
}
