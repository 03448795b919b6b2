//! What waits: packets until what they promise is durable, messages until they may go to other shards, callers until theirs are
//! kept; and how far each other shard is with what it was sent.
//!
//! All of it leaves in the order in which it came, so that answers keep theirs.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use broker::{ConnectionId, Forward, Gate, Outgoing};
use tokio::sync::oneshot;

/// Something that waits.
pub(super) enum Held {
    Send(ConnectionId, Outgoing),
    /// Under this number.
    Forward(u64, Forward),
    /// A caller who wants to know that it is kept.
    Answer(oneshot::Sender<bool>),
}

/// What waits at gates, in order.
#[derive(Default)]
pub(super) struct Gates {
    waiting: VecDeque<(Gate, Instant, Held)>,
    /// How many packets wait for each client that has any.
    sends: HashMap<ConnectionId, usize>,
    /// The numbers of messages for other shards that wait.
    forwards: VecDeque<u64>,
}

impl Gates {
    /// Whether a packet must wait: for its own gate, or for what waits for its client before it.
    pub(super) fn must_hold(&self, connection: ConnectionId, is_passed: bool) -> bool {
        !is_passed || (!self.sends.is_empty() && self.sends.contains_key(&connection))
    }

    /// Whether a message for other shards must wait: they count them in order.
    pub(super) fn must_hold_forward(&self, is_passed: bool) -> bool {
        !is_passed || !self.forwards.is_empty()
    }

    /// Holds something since a moment until its gate is passed.
    pub(super) fn hold(&mut self, gate: Gate, since: Instant, held: Held) {
        match &held {
            Held::Send(connection, _) => *self.sends.entry(*connection).or_default() += 1,
            Held::Forward(number, _) => self.forwards.push_back(*number),
            Held::Answer(_) => {}
        }
        self.waiting.push_back((gate, since, held));
    }

    /// The first that may go, if it may, and since when it was held.
    pub(super) fn release(&mut self, logged: u64, forwarded: u64) -> Option<(Instant, Held)> {
        let (gate, ..) = self.waiting.front()?;
        if !gate.is_passed(logged, forwarded) {
            return None;
        }
        let (_, since, held) = self.waiting.pop_front()?;
        match &held {
            Held::Send(connection, _) => {
                if let Some(count) = self.sends.get_mut(connection) {
                    *count -= 1;
                    if *count == 0 {
                        self.sends.remove(connection);
                    }
                }
            }
            Held::Forward(..) => {
                self.forwards.pop_front();
            }
            Held::Answer(_) => {}
        }
        Some((since, held))
    }

    /// Throws away everything, and names the clients that waited.
    pub(super) fn abandon(&mut self) -> Vec<ConnectionId> {
        self.waiting.clear();
        self.forwards.clear();
        self.sends.drain().map(|(connection, _)| connection).collect()
    }

    /// The first message for other shards that still waits.
    pub(super) fn first_forward(&self) -> Option<u64> {
        self.forwards.front().copied()
    }

    pub(super) fn depth(&self) -> usize {
        self.waiting.len()
    }
}

/// How far one other shard is with what this one sent it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Confirmation {
    /// The last message that it must confirm.
    asked: u64,
    confirmed: u64,
}

impl Confirmation {
    pub(super) fn ask(&mut self, number: u64) {
        self.asked = number;
    }

    pub(super) fn confirm(&mut self, number: u64) {
        self.confirmed = self.confirmed.max(number);
    }

    /// It has every message up to this one, as far as it must.
    pub(super) const fn number(self) -> u64 {
        if self.confirmed >= self.asked {
            u64::MAX
        } else {
            self.confirmed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn gate(logged: u64, forwarded: u64) -> Gate {
        Gate { logged, forwarded }
    }

    fn packet() -> Outgoing {
        Outgoing::TwoBytes([0; 2])
    }

    #[test]
    fn what_waits_leaves_in_order_when_its_gate_is_passed() {
        let (one, two) = (ConnectionId(1), ConnectionId(2));
        let mut gates = Gates::default();
        assert!(!gates.must_hold(one, true) && gates.must_hold(one, false));
        let since = Instant::now();
        gates.hold(gate(5, 0), since, Held::Send(one, packet()));
        gates.hold(gate(4, 1), since, Held::Send(two, packet()));
        assert!(gates.must_hold(one, true), "it must not overtake");
        assert!(!gates.must_hold(ConnectionId(3), true));
        assert!(gates.release(4, 9).is_none());
        assert!(matches!(gates.release(5, 0), Some((_, Held::Send(first, _))) if first == one));
        assert!(!gates.must_hold(one, true));
        assert!(gates.release(5, 0).is_none());
        assert!(gates.release(5, 1).is_some());
        assert_eq!(gates.depth(), 0);
    }

    #[test]
    fn a_shard_confirms_what_it_was_asked_to() {
        let mut confirmation = Confirmation::default();
        assert_eq!(confirmation.number(), u64::MAX, "nothing was asked");
        confirmation.ask(7);
        assert_eq!(confirmation.number(), 0);
        confirmation.confirm(6);
        assert_eq!(confirmation.number(), 6);
        confirmation.confirm(7);
        assert_eq!(confirmation.number(), u64::MAX);
    }
}
