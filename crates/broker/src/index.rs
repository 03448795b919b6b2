//! Who listens to what, for one tenant: filters without wildcards in a hash table, the others in a tree by level.
//!
//! Nearly all filters of a fleet are exact (`cmd/<thing>`), so most messages are one look-up away from their receiver.

mod subscribers;
mod tree;

use std::collections::HashMap;
use std::sync::Arc;

use mqtt::{Matching, TopicName};

use crate::event::ConnectionId;

use self::subscribers::Subscribers;
pub(crate) use self::subscribers::Wanted;
use self::tree::Tree;

/// The subscriptions of one tenant's connections. The hash table is never walked through, so its order shows nowhere.
#[derive(Debug, Default)]
pub(crate) struct SubscriptionIndex {
    exact: HashMap<Arc<str>, Subscribers>,
    wildcard: Tree,
}

impl SubscriptionIndex {
    /// Adds a subscription or changes its QoS (`[MQTT-3.8.4-3]`).
    pub(crate) fn subscribe(&mut self, filter: &Arc<str>, connection: ConnectionId, wanted: Wanted) {
        if is_exact(filter) {
            self.exact
                .entry(Arc::clone(filter))
                .or_default()
                .insert(connection, wanted);
        } else {
            self.wildcard.at(filter).insert(connection, wanted);
        }
    }

    /// Ends a subscription, if there is one.
    pub(crate) fn unsubscribe(&mut self, filter: &str, connection: ConnectionId) {
        if !is_exact(filter) {
            self.wildcard.remove(filter, connection);
        } else if let Some(subscribers) = self.exact.get_mut(filter) {
            subscribers.remove(connection);
            if subscribers.is_empty() {
                self.exact.remove(filter);
            }
        }
    }

    /// Each connection that a message on `topic` is for, once, in order, with the highest QoS of its matching subscriptions
    /// (`[MQTT-3.3.5-1]`), but not back to `from` where it wants nothing of its own (MQTT 5.0 `[MQTT-3.8.3-3]`). They are put into `found`, which is emptied first.
    pub(crate) fn matches(
        &self,
        topic: TopicName<'_>,
        matching: Matching,
        from: Option<ConnectionId>,
        found: &mut Vec<(ConnectionId, Wanted)>,
    ) {
        found.clear();
        if let Some(subscribers) = self.exact.get(topic.as_str()) {
            found.extend(subscribers.iter());
        }
        let exact = found.len();
        self.wildcard.matches(topic, matching, found);
        let has_wildcards = found.len() > exact;
        if let Some(from) = from {
            found.retain(|(connection, wanted)| !(wanted.no_local && *connection == from));
        }
        if found.len() > 1 && has_wildcards {
            found.sort_unstable();
            // Of equal connections the last has the highest QoS; keep that one.
            found.reverse();
            found.dedup_by_key(|(connection, _)| *connection);
            found.reverse();
        }
    }

    /// Nobody listens to anything.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcard.is_empty()
    }
}

fn is_exact(filter: &str) -> bool {
    !filter.contains(['+', '#'])
}

#[cfg(test)]
mod tests {
    use mqtt::{QoS, TopicFilter};
    use proptest::prelude::*;

    use super::*;

    fn filter() -> impl Strategy<Value = String> {
        let level = prop_oneof![Just("+"), Just("a"), Just("b"), Just(""), Just("$x")];
        (prop::collection::vec(level, 1..4), any::<bool>())
            .prop_map(|(levels, all)| levels.join("/") + if all { "/#" } else { "" })
            .prop_filter("not empty", |filter| !filter.is_empty())
    }

    fn topic() -> impl Strategy<Value = String> {
        let level = prop_oneof![Just("a"), Just("b"), Just("c"), Just(""), Just("$x")];
        prop::collection::vec(level, 1..5)
            .prop_map(|levels| levels.join("/"))
            .prop_filter("not empty", |topic| !topic.is_empty())
    }

    fn qos() -> impl Strategy<Value = QoS> {
        prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce)]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// The index finds what going through all filters finds, and forgets what is taken out.
        #[test]
        fn agrees_with_going_through_all_filters(
            lines in prop::collection::vec((filter(), 0..4_u64, qos()), 0..20),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
            topics in prop::collection::vec(topic(), 1..8),
            aws: bool,
        ) {
            let matching = if aws { Matching::Aws } else { Matching::Standard };
            let mut index = SubscriptionIndex::default();
            let mut plain = std::collections::BTreeMap::new();
            for (filter, connection, qos) in &lines {
                let wanted = Wanted { qos: *qos, no_local: false };
                index.subscribe(&Arc::from(filter.as_str()), ConnectionId(*connection), wanted);
                plain.insert((filter.clone(), ConnectionId(*connection)), *qos);
            }
            for line in removed.iter().filter(|_| !lines.is_empty()) {
                let (filter, connection, _) = line.get(&lines);
                index.unsubscribe(filter, ConnectionId(*connection));
                plain.remove(&(filter.clone(), ConnectionId(*connection)));
            }
            let mut found = Vec::new();
            for topic in &topics {
                let name = TopicName::new(topic).unwrap();
                index.matches(name, matching, None, &mut found);
                let found = found.iter().map(|(connection, wanted)| (*connection, wanted.qos)).collect::<Vec<_>>();
                let mut expected = std::collections::BTreeMap::new();
                for ((filter, connection), qos) in &plain {
                    if TopicFilter::new(filter).unwrap().matches(name, matching) {
                        let highest = expected.entry(*connection).or_insert(*qos);
                        *highest = (*highest).max(*qos);
                    }
                }
                prop_assert_eq!(&found, &expected.into_iter().collect::<Vec<_>>(), "{} {:?}", topic, plain);
            }
            for (filter, connection) in plain.into_keys() {
                index.unsubscribe(&filter, connection);
            }
            prop_assert!(index.is_empty(), "nothing is left behind: {index:?}");
        }
    }
}
