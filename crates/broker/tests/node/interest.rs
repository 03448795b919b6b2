//! Messages go only to nodes that want them: two nodes that share a table of who listens to what.

use broker::Interests;

use super::*;

/// Two nodes and their table. Whatever one forwards is taken by the other, if it is for it.
struct Pair {
    benches: [Bench; 2],
    interests: Arc<Interests>,
}

impl Pair {
    fn new() -> Self {
        let interests = Arc::new(Interests::new());
        let bench = |index| {
            let mut bench = Bench::of(config(index));
            bench.node.join(&interests);
            bench.connect(u64::from(index) + 1, EVERYTHING);
            bench
        };
        Self {
            benches: [bench(0), bench(1)],
            interests,
        }
    }

    /// A message begins at the first node: what the second does with it; none if it does not hear of it.
    fn forward(&mut self, message: Arc<Message>) -> Option<Vec<String>> {
        let mut actions = Actions::new();
        let [here, there] = &mut self.benches;
        here.node.step(Event::Publish(message), here.now, &mut actions);
        let mut forwards = actions.drain().filter_map(|action| match action {
            Action::Forward(forward) => Some(forward),
            _ => None,
        });
        let forward = forwards.next()?;
        assert!(forward.to.contain(NodeIndex(1)), "it goes to nobody");
        let from = NodeIndex(0);
        Some(there.step(Event::Forwarded { from, forward }))
    }

    fn hears(&mut self, topic: &str) -> bool {
        let taken = self.forward(message(topic, QoS::AtLeastOnce));
        taken.is_some()
    }
}

fn config(index: u16) -> Config {
    Config {
        index: NodeIndex(index),
        nodes: 2,
        ..Config::SELF_HOST
    }
}

#[test]
fn a_message_goes_where_somebody_listens_and_as_long_as_somebody_does() {
    for (filter, topic, other) in [
        ("a/b", "a/b", "a/c"),
        ("a/+", "a/b", "b/b"),
        ("a/#", "a", "b"),
        ("+/b", "a/b", "$x/b"),
        ("#", "a", "$a"),
        ("$share/g/a/+", "a/b", "b"),
    ] {
        let mut pair = Pair::new();
        assert!(!pair.hears(topic), "nobody asked for {topic}");
        pair.benches[1].connect(3, EVERYTHING);
        pair.benches[1].subscribe(2, &[(filter, QoS::AtLeastOnce)]);
        pair.benches[1].subscribe(3, &[(filter, QoS::AtLeastOnce)]);
        pair.benches[1].subscribe(3, &[(filter, QoS::AtMostOnce)]);
        assert!(pair.hears(topic) && !pair.hears(other), "{filter}");
        pair.benches[1].unsubscribe(2, &[filter]);
        pair.benches[1].unsubscribe(2, &[filter]);
        assert!(pair.hears(topic), "the other one listens to {filter}");
        pair.benches[1].closed(3, Departure::ConnectionLost);
        assert!(!pair.hears(topic), "nobody is left of {filter}");
        assert!(pair.interests.is_empty());
    }
}

#[test]
fn a_filter_and_a_shared_subscription_to_it_are_one_interest() {
    let mut pair = Pair::new();
    let lines = [
        ("a/b", QoS::AtLeastOnce),
        ("$share/g/a/b", QoS::AtLeastOnce),
        ("$share/h/a/b", QoS::AtLeastOnce),
    ];
    pair.benches[1].subscribe(2, &lines);
    for (filter, _) in lines {
        assert!(pair.hears("a/b"));
        pair.benches[1].unsubscribe(2, &[filter]);
    }
    assert!(!pair.hears("a/b") && pair.interests.is_empty());
    // Members on another node are not ours to tell of.
    let share = broker::Share {
        tenant: Tenant::default(),
        filter: "$share/g/a/b".into(),
        present: 1,
        away: 0,
    };
    let from = NodeIndex(1);
    pair.benches[0].step(Event::Shared { from, share });
    assert!(pair.interests.is_empty());
    assert!(pair.hears("a/b"), "it was chosen");
}

#[test]
fn nothing_waits_for_nodes_that_want_nothing() {
    let mut pair = Pair::new();
    pair.benches[0].gates = true;
    assert_eq!(
        pair.benches[0].publish(1, "a", QoS::ExactlyOnce),
        ["1 < PUBREC 9"]
    );
    pair.benches[1].subscribe(2, &[("a", QoS::ExactlyOnce)]);
    let published = pair.benches[0].publish(1, "b", QoS::AtLeastOnce);
    assert_eq!(published, ["1 < PUBACK 9"]);
    let published = pair.benches[0].publish(1, "a", QoS::AtLeastOnce);
    assert_eq!(published, ["forward a", "1 < PUBACK 9 (waits)"]);
}

#[test]
fn what_stays_on_its_topic_goes_to_all() {
    let mut pair = Pair::new();
    let retained = Message::retained(message("a", QoS::AtLeastOnce));
    assert!(pair.forward(retained).is_some());
    assert!(!pair.hears("a"));
    let said = pair.benches[1].subscribe(2, &[("a", QoS::AtLeastOnce)]);
    assert_eq!(said[1], "2 < a QoS 1 id 1 m RETAIN");
}

#[test]
fn sessions_that_stay_keep_their_node_interested_through_a_restart() {
    let mut pair = Pair::new();
    let there = &mut pair.benches[1];
    there.attach(4, &grant(EVERYTHING), sessions::staying("c4"));
    there.subscribe(4, &[("a/+", QoS::AtLeastOnce), ("b", QoS::AtLeastOnce)]);
    there.subscribe(2, &[("c", QoS::AtLeastOnce)]);
    there.closed(4, Departure::ConnectionLost);
    assert!(pair.hears("a/b") && pair.hears("b") && pair.hears("c"));

    pair.benches[1].restart();
    pair.interests.forget(NodeIndex(1));
    assert!(pair.interests.is_empty(), "a node that is gone wants nothing");
    pair.benches[1].node.join(&pair.interests);
    assert!(pair.hears("a/b") && pair.hears("b"));
    assert!(!pair.hears("c"), "its session is over");

    let there = &mut pair.benches[1];
    there.attach(5, &grant(EVERYTHING), asks("c4"));
    assert!(!pair.hears("a/b") && pair.interests.is_empty());
}
