//! What must hold: at each step, and when everything has healed.

use std::collections::{BTreeMap, BTreeSet};

use broker::{ConnectionId, Record};
use identity::Tenant;
use mqtt::QoS;

use crate::accidents::snapshot;
use crate::client::{Client, Standing, number};
use crate::shard::Shard;
use crate::world::{Sent, World};
use crate::{CLIENTS, JOB, KEPT, TOPICS};

/// Most bytes that a message of these runs takes.
const MESSAGE_BYTES_MAX: usize = 64;

impl World {
    /// Nothing goes to a client that may not receive it now.
    pub(crate) fn check_authorised(&mut self, connection: ConnectionId, topic: &str) {
        if let Some(client) = self.client_of(connection) {
            let (role, name) = (client.role, &client.name);
            assert!(
                role.may_receive(topic),
                "{name} may not receive {topic} as {role:?}"
            );
        }
    }

    /// A node never holds more than its limits say.
    pub(crate) fn check_size(&self, at: usize) {
        let (node, limits) = (&self.shards[at].node, &self.config.limits);
        let each = limits.inflight_messages_max + limits.queue_messages_max + 1;
        let (messages, bytes) = (node.queued_messages(), node.queued_bytes());
        assert!(messages <= CLIENTS * each, "{messages} messages wait");
        // A client for whom nothing waits gets one message even so.
        let most = limits.node_queue_bytes_max + CLIENTS * MESSAGE_BYTES_MAX;
        assert!(bytes <= most, "{bytes} bytes wait");
    }

    /// What a node has dropped so far counts, though it dies.
    pub(crate) fn note_dropped(&mut self, at: usize) {
        let dropped = self.shards[at].node.counters().dropped.count();
        assert!(self.is_tight || dropped == 0, "{dropped} dropped");
        self.tally.dropped += dropped;
    }

    pub(crate) fn check(&mut self) {
        (0..self.shards.len()).for_each(|at| self.note_dropped(at));
        for client in &self.clients {
            let (name, waits) = (&client.name, &client.unanswered);
            assert!(waits.is_empty(), "{name} waits: {waits:?}");
            assert!(client.received.is_empty());
            assert!(client.filters.values().all(|one| *one == Standing::Granted));
        }
        let missing = self.missing();
        let (count, first) = (missing.len() as u64, missing.first());
        assert!(count <= self.tally.dropped, "{count} did not come: {first:?}");
        for (number, sent) in &self.published {
            self.check_repetitions(*number, sent);
        }
        (0..CLIENTS).for_each(|index| self.check_order(index));
        self.check_retained();
        (0..self.shards.len()).for_each(|at| self.check_nothing_is_left(at));
    }

    /// What was acknowledged and did not come.
    fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (number, sent) in &self.published {
            let is_acknowledged = self.acknowledged.contains(number);
            let is_promised = sent.qos != QoS::AtMostOnce && !sent.given_up;
            assert!(is_acknowledged || !is_promised, "{number} was never acknowledged");
            if !is_acknowledged {
                continue;
            }
            if TOPICS[sent.topic] == JOB {
                let came = self.clients.iter().any(|client| client.got_once.contains(number));
                if !came && !sent.owed.is_empty() {
                    missing.push(format!("job {number}: {sent:?}"));
                }
                continue;
            }
            for index in &sent.owed {
                if !self.clients[*index].got_once.contains(number) {
                    missing.push(format!("message {number} to c{index}: {sent:?}"));
                }
            }
        }
        for (will, listeners) in &self.due {
            let late = listeners
                .iter()
                .filter(|index| !self.clients[**index].wills.contains(will));
            missing.extend(late.map(|index| format!("will {will} to c{index}")));
        }
        missing
    }

    /// Only QoS 1 comes twice. One member of a shared subscription has a message, unless the subscription was just being founded.
    fn check_repetitions(&self, number: u64, sent: &Sent) {
        let times = |client: &Client| client.got.iter().filter(|got| **got == number).count();
        let what = |client: &Client| format!("message {number} to {}: {sent:?}", client.name);
        if sent.qos == QoS::AtLeastOnce {
            return;
        }
        for client in &self.clients {
            assert!(times(client) < 2, "{}", what(client));
        }
        if TOPICS[sent.topic] == JOB && !self.unsettled.contains(&number) {
            assert!(self.clients.iter().map(times).sum::<usize>() < 2, "job {number}");
        }
    }

    /// All nodes have the same last message, and of its publisher there is no later one.
    fn check_retained(&self) {
        let kept = |shard: &Shard| {
            let retained = shard.node.retained(&Tenant::default(), KEPT, self.now)?;
            Some(number(retained.message.payload()))
        };
        let found: Vec<Option<u64>> = self.shards.iter().map(kept).collect();
        assert!(found.iter().all(|one| *one == found[0]), "{found:?}");
        let is_kept =
            |number: &u64, sent: &Sent| TOPICS[sent.topic] == KEPT && self.acknowledged.contains(number);
        let Some(last) = found[0] else {
            let mut all = self.published.iter();
            assert!(
                !all.any(|(number, sent)| is_kept(number, sent)),
                "nothing is kept"
            );
            return;
        };
        let by = &self.published[&last];
        // A message of QoS 1 that is sent again is a new one, and may come after one of QoS 2 that is not taken twice.
        let is_later = |(number, sent): &(&u64, &Sent)| {
            let same = sent.qos == by.qos || by.qos == QoS::ExactlyOnce;
            is_kept(number, sent) && sent.publisher == by.publisher && same
        };
        let later = self.published.range(last + 1..).find(is_later);
        assert_eq!(later.map(|(number, _)| number), None, "after {last}");
    }

    /// First deliveries of each publisher, topic and QoS are in the order in which they were published. What is older than the
    /// subscription may come when its publisher sends it again; so may one of QoS 1 that was dropped.
    fn check_order(&self, index: usize) {
        let client = &self.clients[index];
        let mut last = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for number in &client.got {
            if !seen.insert(*number) {
                continue;
            }
            let sent = &self.published[number];
            let may_be_late = self.is_tight && sent.qos == QoS::AtLeastOnce;
            if !sent.owed.contains(&index) || TOPICS[sent.topic] == JOB || may_be_late {
                continue;
            }
            let before = last.insert((sent.publisher, sent.topic, sent.qos.bits()), *number);
            assert!(
                before.is_none_or(|before| before < *number),
                "{} got {number} after {before:?}",
                client.name
            );
        }
    }

    /// Of messages that everybody has, a node remembers nothing.
    fn check_nothing_is_left(&mut self, at: usize) {
        let now = self.now;
        let node = &mut self.shards[at].node;
        assert_eq!((node.queued_messages(), node.queued_bytes()), (0, 0));
        for record in snapshot(node, now) {
            let is_left = matches!(
                record,
                Record::Queued { .. }
                    | Record::Released { .. }
                    | Record::Received { .. }
                    | Record::Relay { .. }
            );
            assert!(!is_left, "{record:?}");
        }
    }
}
