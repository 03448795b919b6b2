//! What must hold when everything has healed.

use std::collections::{BTreeMap, BTreeSet};

use identity::Tenant;
use mqtt::QoS;

use crate::client::{Client, may_receive};
use crate::shard::Shard;
use crate::world::World;
use crate::{CLIENTS, JOB, KEPT, TOPICS};

impl World {
    pub(crate) fn check(&self) {
        for client in &self.clients {
            assert!(
                client.unanswered.is_empty(),
                "{} waits: {:?}",
                client.name,
                client.unanswered
            );
            assert!(client.received.is_empty());
        }
        for (number, (_, topic, qos, subscribers)) in &self.published {
            assert!(
                self.acknowledged.contains(number),
                "{number} was never acknowledged"
            );
            if TOPICS[*topic] == JOB {
                self.check_job(*number, *qos, subscribers);
                continue;
            }
            for (index, client) in self.clients.iter().enumerate() {
                let times = client.got.iter().filter(|(got, _)| got == number).count();
                let what = format!("message {number} of {qos:?} came to c{index} {times} times");
                if !may_receive(index, *topic) {
                    assert_eq!(times, 0, "{what}, which may not receive it");
                    continue;
                }
                assert!(times > 0 || !subscribers.contains(&index), "{what}");
                assert!(times < 2 || *qos == QoS::AtLeastOnce, "{what}");
            }
        }
        (0..CLIENTS).for_each(|index| self.check_order(index));
        self.check_retained();
        for (will, listeners) in &self.due {
            for index in listeners {
                assert!(
                    self.clients[*index].wills.contains(will),
                    "will {will} did not come to c{index}"
                );
            }
        }
        for shard in &self.shards {
            assert_eq!(shard.node.queued_bytes(), 0);
        }
    }

    /// One member of the shared subscription has it; at QoS 2 once, unless it was just being founded.
    pub(crate) fn check_job(&self, number: u64, qos: QoS, members: &BTreeSet<usize>) {
        let times = |client: &Client| client.got.iter().filter(|(got, _)| *got == number).count();
        let total: usize = self.clients.iter().map(times).sum();
        let what = format!("job {number} of {qos:?} came {total} times");
        assert!(total > 0 || members.is_empty(), "{what}");
        let may_repeat = qos == QoS::AtLeastOnce || self.unsettled.contains(&number);
        assert!(total < 2 || may_repeat, "{what}");
        let others = self.clients.iter().skip(1).step_by(2);
        assert_eq!(others.map(times).sum::<usize>(), 0, "{what}");
    }

    /// All nodes have the same last message, and of its publisher there is no later one.
    pub(crate) fn check_retained(&self) {
        let number = |shard: &Shard| {
            let retained = shard.node.retained(&Tenant::default(), KEPT, self.now)?;
            str::from_utf8(retained.message.payload())
                .unwrap()
                .parse::<u64>()
                .ok()
        };
        let found: Vec<Option<u64>> = self.shards.iter().map(number).collect();
        assert!(found.iter().all(|one| *one == found[0]), "{found:?}");
        let kept = |number: &&u64| TOPICS[self.published[number].1] == KEPT;
        let Some(last) = found[0] else {
            assert_eq!(self.published.keys().filter(kept).count(), 0);
            return;
        };
        let (publisher, _, qos, _) = &self.published[&last];
        let later = self
            .published
            .range(last + 1..)
            .filter(|(number, _)| kept(number));
        // A message of QoS 1 that is sent again is a new one, and may come after one of QoS 2 that is not taken twice.
        let mut later =
            later.filter(|(_, (by, _, of, _))| by == publisher && (of == qos || *qos == QoS::ExactlyOnce));
        assert_eq!(later.next().map(|(number, _)| number), None, "after {last}");
    }

    /// First deliveries of each publisher, topic and QoS are in the order in which they were published. What is older than the
    /// subscription may come when its publisher sends it again.
    pub(crate) fn check_order(&self, index: usize) {
        let client = &self.clients[index];
        let mut last = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (number, _) in &client.got {
            if !seen.insert(*number) {
                continue;
            }
            let (publisher, topic, qos, subscribers) = &self.published[number];
            if !subscribers.contains(&index) || TOPICS[*topic] == JOB {
                continue;
            }
            let before = last.insert((*publisher, *topic, qos.bits()), *number);
            assert!(
                before.is_none_or(|before| before < *number),
                "{} got {number} after {before:?}",
                client.name
            );
        }
    }
}
