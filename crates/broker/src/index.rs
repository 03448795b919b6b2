//! Who listens to what, for one tenant: filters without wildcards in a hash table, the others in a tree by level. A shared
//! subscription stands under its filter, with its group.
//!
//! Nearly all filters of a fleet are exact (`cmd/<thing>`), so most messages are one look-up away from their receiver.

mod group;
mod leaf;
mod subscribers;
mod tree;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use identity::Tenant;
use mqtt::{Matching, TopicName};

use crate::interests::Interests;
use crate::record::{NodeIndex, SessionKey, Wanted};

pub(crate) use self::group::Choice;
use self::group::Group;
use self::leaf::Leaf;
pub(crate) use self::leaf::Matched;
use self::tree::Tree;

/// The subscriptions of one tenant's sessions. The hash table is never walked through but to join others, so its order shows
/// nowhere.
#[derive(Debug, Default)]
pub(crate) struct SubscriptionIndex {
    places: Places,
    /// Shared subscriptions by their whole text.
    groups: BTreeMap<Arc<str>, Group>,
    /// Where the other nodes look.
    told: Option<Told>,
}

/// Where the subscriptions to a filter stand.
#[derive(Debug, Default)]
struct Places {
    exact: HashMap<Arc<str>, Leaf>,
    wildcard: Tree,
}

/// How other nodes hear which filters somebody here listens to.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) interests: Arc<Interests>,
    pub(crate) node: NodeIndex,
    pub(crate) tenant: Tenant,
}

impl SubscriptionIndex {
    /// Adds a subscription or changes it (`[MQTT-3.8.4-3]`). A shared one counts its session as connected or not.
    pub(crate) fn subscribe(&mut self, filter: &Arc<str>, key: SessionKey, wanted: Wanted, present: bool) {
        let inner = shared(filter).map_or_else(|| Arc::clone(filter), Arc::from);
        let leaf = self.places.at(&inner);
        let is_new = !is_heard(leaf, &self.groups);
        if shared(filter).is_some() {
            leaf.share(filter);
            let group = self.groups.entry(Arc::clone(filter)).or_default();
            group.join(key, wanted, present);
        } else {
            leaf.subscribers.insert(key, wanted);
        }
        if let Some(told) = self.told.as_ref().filter(|_| is_new) {
            told.interests.begin(told.node, &told.tenant, &inner);
        }
    }

    /// Ends a subscription, if there is one.
    pub(crate) fn unsubscribe(&mut self, filter: &str, key: SessionKey) {
        let inner = shared(filter).unwrap_or(filter);
        let (groups, mut is_last) = (&mut self.groups, false);
        self.places.change(inner, &mut |leaf| {
            let was_heard = is_heard(leaf, groups);
            match (groups.get_mut(filter), inner == filter) {
                (Some(group), _) => group.leave(key),
                (None, true) => leaf.subscribers.remove(key),
                (None, false) => {}
            }
            is_last = was_heard && !is_heard(leaf, groups);
        });
        self.drop_if_empty(filter);
        if let Some(told) = self.told.as_ref().filter(|_| is_last) {
            told.interests.end(told.node, &told.tenant, inner);
        }
    }

    /// The other nodes hear what somebody here listens to, from now on and all that there is.
    pub(crate) fn join(&mut self, told: Told) {
        let groups = &self.groups;
        self.places.walk(&mut |filter, leaf| {
            if is_heard(leaf, groups) {
                told.interests.begin(told.node, &told.tenant, filter);
            }
        });
        self.told = Some(told);
    }

    /// A member of a shared subscription comes or goes.
    pub(crate) fn set_present(&mut self, filter: &str, key: SessionKey, present: bool) {
        if let Some(group) = self.groups.get_mut(filter) {
            group.set_present(key, present);
        }
    }

    /// How many members a shared subscription has here: connected, and not.
    pub(crate) fn counts(&self, filter: &str) -> (u32, u32) {
        self.groups.get(filter).map_or((0, 0), Group::counts)
    }

    /// How many members a shared subscription has on another node.
    pub(crate) fn note_elsewhere(&mut self, filter: &Arc<str>, node: NodeIndex, present: u32, away: u32) {
        let Some(inner) = shared(filter) else { return };
        self.places.at(&inner.into()).share(filter);
        let group = self.groups.entry(Arc::clone(filter)).or_default();
        group.note_elsewhere(node, present, away);
        self.drop_if_empty(filter);
    }

    /// Who of a shared subscription gets the next message.
    pub(crate) fn choose(&mut self, filter: &str, can_wait: bool) -> Option<Choice> {
        self.groups.get_mut(filter)?.choose(can_wait)
    }

    /// The same among the sessions of this node.
    pub(crate) fn choose_here(&mut self, filter: &str, can_wait: bool) -> Option<Choice> {
        self.groups.get_mut(filter)?.choose_here(can_wait)
    }

    /// Whether no node before this one has members of a shared subscription.
    pub(crate) fn is_first(&self, filter: &str, here: NodeIndex) -> bool {
        self.groups.get(filter).is_some_and(|group| group.is_first(here))
    }

    fn drop_if_empty(&mut self, filter: &str) {
        if let (Some(inner), Some(true)) = (shared(filter), self.groups.get(filter).map(Group::is_empty)) {
            self.groups.remove(filter);
            self.places.change(inner, &mut |leaf| leaf.unshare(filter));
        }
    }

    /// All subscriptions that a message on `topic` is for, in the order of their sessions, but not back to `from` where it wants
    /// nothing of its own (MQTT 5.0 `[MQTT-3.8.3-3]`). They are put into `matched`, which is emptied first.
    pub(crate) fn matches(
        &self,
        topic: TopicName<'_>,
        matching: Matching,
        from: Option<SessionKey>,
        matched: &mut Matched,
    ) {
        matched.found.clear();
        matched.shared.clear();
        if let Some(leaf) = self.places.exact.get(topic.as_str()) {
            leaf.collect(matched);
        }
        let exact = matched.found.len();
        self.places.wildcard.matches(topic, matching, matched);
        let has_wildcards = matched.found.len() > exact;
        if let Some(from) = from {
            matched
                .found
                .retain(|(key, wanted)| !(wanted.no_local && *key == from));
        }
        if matched.found.len() > 1 && has_wildcards {
            matched.found.sort_unstable();
        }
    }

    /// Nobody listens to anything.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.places.exact.is_empty() && self.places.wildcard.is_empty() && self.groups.is_empty()
    }
}

impl Places {
    /// The place of a filter, made if it is not there.
    fn at(&mut self, filter: &Arc<str>) -> &mut Leaf {
        if is_exact(filter) {
            self.exact.entry(Arc::clone(filter)).or_default()
        } else {
            self.wildcard.at(filter)
        }
    }

    fn change(&mut self, filter: &str, change: &mut dyn FnMut(&mut Leaf)) {
        if !is_exact(filter) {
            self.wildcard.change(filter, change);
        } else if let Some(leaf) = self.exact.get_mut(filter) {
            change(leaf);
            if leaf.is_empty() {
                self.exact.remove(filter);
            }
        }
    }

    /// Shows every place with its filter, in no order.
    fn walk(&self, show: &mut dyn FnMut(&str, &Leaf)) {
        for (filter, leaf) in &self.exact {
            show(filter, leaf);
        }
        self.wildcard.walk(&mut String::new(), show);
    }
}

/// Whether a session of this node listens there, alone or as one of a group.
fn is_heard(leaf: &Leaf, groups: &BTreeMap<Arc<str>, Group>) -> bool {
    let has_members = |filter: &Arc<str>| groups.get(filter).is_some_and(Group::has_members);
    !leaf.subscribers.is_empty() || leaf.shared().iter().any(has_members)
}

/// The filter of a shared subscription, after its group.
pub(crate) fn shared(filter: &str) -> Option<&str> {
    filter
        .strip_prefix("$share/")?
        .split_once('/')
        .map(|(_, inner)| inner)
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

    #[test]
    fn a_shared_subscription_is_found_by_its_filter_and_gone_with_its_last_member() {
        let wanted = Wanted {
            qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            identifier: None,
        };
        for inner in ["a/b", "a/+", "#"] {
            let mut index = SubscriptionIndex::default();
            let filter: Arc<str> = format!("$share/g/{inner}").into();
            index.subscribe(&filter, SessionKey(1), wanted, true);
            index.note_elsewhere(&filter, NodeIndex(3), 1, 0);
            let mut matched = Matched::default();
            index.matches(TopicName::new("a/b").unwrap(), Matching::Aws, None, &mut matched);
            assert_eq!(
                (matched.found.len(), &*matched.shared),
                (0, &[Arc::clone(&filter)][..])
            );
            index.unsubscribe(&filter, SessionKey(1));
            assert_eq!(index.choose(&filter, true), Some(Choice::There(NodeIndex(3))));
            index.note_elsewhere(&filter, NodeIndex(3), 0, 0);
            assert!(index.is_empty(), "{index:?}");
        }
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
            let mut plain = BTreeMap::new();
            for (filter, connection, qos) in &lines {
                let wanted = Wanted { qos: *qos, no_local: false, retain_as_published: false, identifier: None };
                index.subscribe(&Arc::from(filter.as_str()), SessionKey(*connection), wanted, true);
                plain.insert((filter.clone(), SessionKey(*connection)), *qos);
            }
            for line in removed.iter().filter(|_| !lines.is_empty()) {
                let (filter, connection, _) = line.get(&lines);
                index.unsubscribe(filter, SessionKey(*connection));
                plain.remove(&(filter.clone(), SessionKey(*connection)));
            }
            let mut matched = Matched::default();
            for topic in &topics {
                let name = TopicName::new(topic).unwrap();
                index.matches(name, matching, None, &mut matched);
                let found = matched.found.chunk_by(|one, other| one.0 == other.0);
                let found = found.filter_map(|all| Some((all.first()?.0, all.iter().map(|(_, wanted)| wanted.qos).max()?)));
                let found = found.collect::<Vec<_>>();
                let mut expected = BTreeMap::new();
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
