//! Which nodes have somebody who listens to a topic: asked before a message is sent to other nodes, so that it goes to those
//! that may want it and to no other.
//!
//! One table for all nodes that share the clients. A node enters a filter in the step in which its first session subscribes to
//! it, before that is answered, and strikes it out when its last session is gone; whoever publishes after a SUBACK was seen finds
//! it. A filter is kept as a hash and a bit for each node. A filter with wildcards has a *shape*: how many levels, which of them
//! are words, whether it ends with `#`. A topic is looked up once as it is, and once for each shape that it fits, by the words
//! at the places of that shape.
//!
//! It may name a node in vain. It must never miss one: what cannot be told apart is never struck out, and of filters that have no
//! shape of their own one counts for every topic.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, Hash as _, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use identity::Tenant;

use crate::limits::{INTEREST_STRIPES, WILDCARD_LEVELS_MAX, WILDCARD_SHAPES_MAX};
use crate::record::NodeIndex;

/// Some of the nodes that share the clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nodes(u64);

/// Which nodes listen to what.
#[derive(Debug)]
pub struct Interests {
    hasher: RandomState,
    /// Those that filters have had, without a gap; the last place is for all others. None is ever taken out.
    shapes: [AtomicU64; WILDCARD_SHAPES_MAX],
    stripes: Box<[Mutex<Stripe>]>,
}

/// By hash, the nodes that have such a filter.
type Stripe = HashMap<u64, u64, BuildHasherDefault<Hashed>>;

/// In a stripe: one node had two filters here, so nothing is struck out any more.
const STUCK: u64 = 1 << 63;
/// Nodes from this one on share a bit, which is never struck out.
const CROWD: u16 = 62;

impl Nodes {
    /// None.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self(!STUCK);

    /// One.
    #[must_use]
    pub const fn one(node: NodeIndex) -> Self {
        Self(bit(node))
    }

    /// Both these and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// All but one. A node that shares its bit stays.
    #[must_use]
    pub const fn without(self, node: NodeIndex) -> Self {
        match node.0 < CROWD {
            true => Self(self.0 & !bit(node)),
            false => self,
        }
    }

    /// Whether a node is, or may be, among them.
    #[must_use]
    pub const fn contain(self, node: NodeIndex) -> bool {
        self.0 & bit(node) != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

const fn bit(node: NodeIndex) -> u64 {
    let place = if node.0 < CROWD { node.0 } else { CROWD };
    1 << place
}

impl Interests {
    /// Of nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            shapes: [const { AtomicU64::new(0) }; WILDCARD_SHAPES_MAX],
            stripes: (0..INTEREST_STRIPES).map(|_| Mutex::default()).collect(),
        }
    }

    /// The nodes that may have somebody who listens to a topic.
    #[must_use]
    pub fn nodes(&self, tenant: &Tenant, topic: &str) -> Nodes {
        let mut found = self.at(self.hash_exact(tenant, topic));
        let mut levels = None;
        for shape in self.shapes() {
            let levels = *levels.get_or_insert_with(|| topic.split('/').count());
            if shape.fits(topic, levels) {
                found |= self.at(self.hash_shaped(tenant, shape, topic));
            }
        }
        Nodes(found & !STUCK)
    }

    /// Those that filters have had.
    fn shapes(&self) -> impl Iterator<Item = Shape> {
        let (own, common) = self.shapes.split_at(WILDCARD_SHAPES_MAX - 1);
        let read = |place: &AtomicU64| Shape(place.load(Ordering::Acquire));
        let own = own.iter().map(read).take_while(|shape| shape.is_there());
        own.chain(common.iter().map(read).filter(|shape| shape.is_there()))
    }

    /// A node has somebody who listens to a filter since now. It says so once, until it has nobody.
    pub(crate) fn begin(&self, node: NodeIndex, tenant: &Tenant, filter: &str) {
        let hash = self.hash_of(tenant, filter);
        let mut stripe = self.stripe(hash);
        let nodes = stripe.entry(hash).or_default();
        *nodes |= match *nodes & bit(node) == 0 && node.0 < CROWD {
            true => bit(node),
            false => bit(node) | STUCK,
        };
    }

    /// It has nobody any more.
    pub(crate) fn end(&self, node: NodeIndex, tenant: &Tenant, filter: &str) {
        let hash = self.hash_of(tenant, filter);
        let mut stripe = self.stripe(hash);
        let Some(nodes) = stripe.get_mut(&hash).filter(|nodes| **nodes & STUCK == 0) else {
            return;
        };
        *nodes &= !bit(node);
        if *nodes == 0 {
            stripe.remove(&hash);
            shrink(&mut stripe);
        }
    }

    /// A node is gone with all its clients, and begins anew.
    pub fn forget(&self, node: NodeIndex) {
        if node.0 >= CROWD {
            return;
        }
        for stripe in &self.stripes {
            let mut stripe = stripe.lock().unwrap_or_else(PoisonError::into_inner);
            stripe.retain(|_, nodes| {
                *nodes &= !bit(node);
                *nodes & !STUCK != 0
            });
            shrink(&mut stripe);
        }
    }

    /// How many different filters there are, all nodes together.
    #[must_use]
    pub fn len(&self) -> usize {
        let stripes = self.stripes.iter();
        let stripes = stripes.map(|stripe| stripe.lock().unwrap_or_else(PoisonError::into_inner).len());
        stripes.sum()
    }

    /// Whether nobody listens to anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn at(&self, hash: u64) -> u64 {
        self.stripe(hash).get(&hash).copied().unwrap_or(0)
    }

    fn stripe(&self, hash: u64) -> MutexGuard<'_, Stripe> {
        // The table looks at the lowest and the highest bits.
        let place = usize::try_from(hash >> 32 & (INTEREST_STRIPES as u64 - 1)).unwrap_or(0);
        let stripe = self.stripes.get(place).or_else(|| self.stripes.first());
        let stripe = stripe.unwrap_or_else(|| unreachable!("there are stripes"));
        stripe.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hash_of(&self, tenant: &Tenant, filter: &str) -> u64 {
        match filter.contains(['+', '#']) {
            true => self.hash_shaped(tenant, self.shape_of(filter), filter),
            false => self.hash_exact(tenant, filter),
        }
    }

    fn hash_exact(&self, tenant: &Tenant, topic: &str) -> u64 {
        self.hasher.hash_one((tenant, topic))
    }

    /// Of the words of a filter or a topic that stand where the shape has words.
    fn hash_shaped(&self, tenant: &Tenant, shape: Shape, text: &str) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64(shape.0);
        tenant.hash(&mut hasher);
        for (_, word) in text.split('/').enumerate().filter(|(at, _)| shape.has_word(*at)) {
            word.hash(&mut hasher);
        }
        hasher.finish()
    }

    /// The shape that a filter is kept under: its own, or the common one when there are too many. It is the same at every call,
    /// since none is ever given up.
    fn shape_of(&self, filter: &str) -> Shape {
        let (own, common) = self.shapes.split_at(WILDCARD_SHAPES_MAX - 1);
        let wanted = Shape::of(filter);
        for place in own {
            let Some(wanted) = wanted else { break };
            let mut there = place.load(Ordering::Acquire);
            if there == 0 {
                let taken = place.compare_exchange(0, wanted.0, Ordering::AcqRel, Ordering::Acquire);
                there = taken.err().unwrap_or(wanted.0);
            }
            if there == wanted.0 {
                return wanted;
            }
        }
        for place in common {
            place.store(Shape::COMMON.0, Ordering::Release);
        }
        Shape::COMMON
    }
}

impl Default for Interests {
    fn default() -> Self {
        Self::new()
    }
}

/// Gives back what a storm has left empty.
fn shrink(stripe: &mut Stripe) {
    if stripe.len() < stripe.capacity() / 8 {
        stripe.shrink_to(stripe.len() * 2);
    }
}

/// What a filter looks like, in a number that is not 0: which of the first levels are words, how many levels stand before `#`, or at
/// all, and whether there is a `#`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape(u64);

impl Shape {
    const THERE: u64 = 1 << 63;
    const OPEN: u64 = 1 << 62;
    /// That of all filters which have none of their own: every topic fits it.
    const COMMON: Self = Self(Self::THERE | 1 << 61);

    /// None of a filter with too many levels.
    fn of(filter: &str) -> Option<Self> {
        let (mut levels, mut words) = (0, 0);
        for level in filter.split('/') {
            match level {
                "#" => return Some(Self(Self::THERE | Self::OPEN | levels << 32 | words)),
                _ if levels == WILDCARD_LEVELS_MAX => return None,
                "+" => {}
                _ => words |= 1 << levels,
            }
            levels += 1;
        }
        Some(Self(Self::THERE | levels << 32 | words))
    }

    const fn is_there(self) -> bool {
        self.0 != 0
    }

    const fn has_word(self, level: usize) -> bool {
        level < WILDCARD_LEVELS_MAX as usize && self.0 & (1 << level) != 0
    }

    /// Whether a topic of so many levels can match a filter of this shape. `a/#` counts for `a`, as the standard has it. What
    /// begins with a wildcard does not match what begins with `$` (`[MQTT-4.7.2-1]`).
    fn fits(self, topic: &str, levels: usize) -> bool {
        if self == Self::COMMON {
            return true;
        }
        let before = usize::try_from(self.0 >> 32 & 0xff).unwrap_or(usize::MAX);
        let enough = match self.0 & Self::OPEN != 0 {
            true => levels >= before,
            false => levels == before,
        };
        enough && (self.has_word(0) || !topic.starts_with('$'))
    }
}

/// Takes what is a hash already.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only numbers are looked up.
        self.0 = bytes
            .iter()
            .fold(self.0, |hash, byte| hash << 8 | u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use mqtt::{Matching, TopicFilter, TopicName};
    use proptest::prelude::*;

    use super::*;

    const A: NodeIndex = NodeIndex(0);
    const B: NodeIndex = NodeIndex(1);

    fn tenant() -> Tenant {
        Tenant::default()
    }

    fn levels(choices: &'static [&'static str], count: usize) -> impl Strategy<Value = String> {
        let level = prop::sample::select(choices);
        prop::collection::vec(level, 1..count)
            .prop_map(|levels| levels.join("/"))
            .prop_filter("not empty", |text| !text.is_empty())
    }

    fn filter() -> impl Strategy<Value = String> {
        (levels(&["+", "a", "b", "", "$x"], 6), any::<bool>())
            .prop_map(|(filter, all)| filter + if all { "/#" } else { "" })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// No node is missed, whatever came and went before, and while there are few shapes none is named in vain.
        #[test]
        fn nodes_are_those_of_all_filters_that_match(
            lines in prop::collection::btree_set((filter(), 0..4_u16), 0..40),
            ended in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            topics in prop::collection::vec(levels(&["a", "b", "c", "", "$x"], 7), 1..8),
            forgotten in prop::option::of(0..4_u16),
        ) {
            let interests = Interests::new();
            let mut left = lines.clone();
            lines.iter().for_each(|(filter, node)| interests.begin(NodeIndex(*node), &tenant(), filter));
            for line in ended.iter().filter(|_| !lines.is_empty()) {
                let all: Vec<_> = lines.iter().collect();
                let line = line.get(&all);
                if left.remove(*line) {
                    interests.end(NodeIndex(line.1), &tenant(), &line.0);
                }
            }
            if let Some(node) = forgotten {
                interests.forget(NodeIndex(node));
                left.retain(|(_, other)| *other != node);
            }
            let shapes: BTreeSet<_> = lines.iter().filter_map(|(filter, _)| Shape::of(filter)).map(|shape| shape.0).collect();
            for topic in &topics {
                let name = TopicName::new(topic).unwrap();
                let found = interests.nodes(&tenant(), topic);
                for node in 0..4 {
                    let mut own = left.iter().filter(|(_, of)| *of == node);
                    let listens = own.any(|(filter, _)| TopicFilter::new(filter).unwrap().matches(name, Matching::Standard));
                    let named = found.contain(NodeIndex(node));
                    prop_assert!(named || !listens, "{topic} misses node {node}: {left:?}");
                    prop_assert!(!named || listens || shapes.len() >= WILDCARD_SHAPES_MAX, "{topic} names {node}: {left:?}");
                }
            }
            for (filter, node) in left {
                interests.end(NodeIndex(node), &tenant(), &filter);
            }
            prop_assert!(interests.is_empty() || shapes.len() >= WILDCARD_SHAPES_MAX);
        }
    }

    #[test]
    fn tenants_do_not_meet() {
        let interests = Interests::new();
        let other = Tenant {
            account: "000000000001".parse().unwrap(),
            ..tenant()
        };
        interests.begin(B, &other, "a/#");
        assert!(interests.nodes(&tenant(), "a/b").is_empty());
        assert!(interests.nodes(&other, "a/b").contain(B));
    }

    #[test]
    fn what_cannot_be_told_apart_is_never_struck_out() {
        let interests = Interests::new();
        // As if two filters of one node had one hash.
        interests.begin(B, &tenant(), "a");
        interests.begin(B, &tenant(), "a");
        interests.begin(A, &tenant(), "a");
        interests.end(B, &tenant(), "a");
        interests.end(A, &tenant(), "a");
        assert!(interests.nodes(&tenant(), "a").contain(B));
        interests.forget(B);
        assert!(!interests.nodes(&tenant(), "a").contain(B));
    }

    /// As many shapes as have a place of their own, each found by its topic, and one more, which every topic finds.
    #[test]
    fn filters_of_too_many_shapes_count_for_every_topic() {
        let interests = Interests::new();
        let places = WILDCARD_SHAPES_MAX - 1;
        let filter = |levels: usize| vec!["+"; levels].join("/");
        for levels in 1..=places {
            interests.begin(A, &tenant(), &filter(levels));
        }
        let topic = vec!["t"; places + 1].join("/");
        assert!(interests.nodes(&tenant(), &topic).is_empty());
        let last = filter(places + 1);
        interests.begin(B, &tenant(), &last);
        for topic in [&*topic, "t", "$x/y", "a/b/c"] {
            assert!(interests.nodes(&tenant(), topic).contain(B), "{topic}");
        }
        interests.end(B, &tenant(), &last);
        assert!(!interests.nodes(&tenant(), &topic).contain(B));
    }

    #[test]
    fn a_filter_of_too_many_levels_counts_for_every_topic() {
        for (levels, has_own) in [(WILDCARD_LEVELS_MAX, true), (WILDCARD_LEVELS_MAX + 1, false)] {
            let interests = Interests::new();
            let levels = usize::try_from(levels).unwrap();
            interests.begin(B, &tenant(), &vec!["+"; levels].join("/"));
            assert!(
                interests
                    .nodes(&tenant(), &vec!["t"; levels].join("/"))
                    .contain(B)
            );
            assert_eq!(interests.nodes(&tenant(), "t").is_empty(), has_own, "{levels}");
        }
    }

    #[test]
    fn nodes_beyond_the_last_bit_share_it_and_are_never_missed() {
        let interests = Interests::new();
        let (last, beyond) = (NodeIndex(CROWD), NodeIndex(CROWD + 40));
        interests.begin(last, &tenant(), "a");
        interests.begin(beyond, &tenant(), "a");
        interests.end(last, &tenant(), "a");
        interests.forget(last);
        let found = interests.nodes(&tenant(), "a");
        assert!(found.contain(beyond) && found.without(last).contain(beyond));
        assert!(!found.contain(A));
        assert!(Nodes::ALL.without(A).contain(B) && !Nodes::ALL.without(A).contain(A));
    }

    #[test]
    fn an_entry_costs_no_more_than_a_hash_and_a_word() {
        assert_eq!(size_of::<(u64, u64)>(), 16);
        let interests = Interests::new();
        let filters: Vec<String> = (0..10_000).map(|number| format!("cmd/device-{number}")).collect();
        filters
            .iter()
            .for_each(|filter| interests.begin(A, &tenant(), filter));
        assert_eq!(interests.len(), filters.len());
        filters
            .iter()
            .for_each(|filter| interests.end(A, &tenant(), filter));
        let capacity = |stripe: &Mutex<Stripe>| stripe.lock().unwrap().capacity();
        let capacity: usize = interests.stripes.iter().map(capacity).sum();
        assert!(capacity < filters.len() / 8, "{capacity}");
    }
}
