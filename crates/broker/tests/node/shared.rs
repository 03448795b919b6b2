//! Shared subscriptions: each message to one member, wherever it is.

use super::*;

#[test]
fn members_take_turns() {
    let mut bench = Bench::new();
    for id in [1, 2] {
        bench.connect(id, EVERYTHING);
        bench.subscribe(id, &[("$share/g/t", QoS::AtLeastOnce)]);
    }
    bench.connect(3, EVERYTHING);
    bench.subscribe(3, &[("t", QoS::AtMostOnce), ("$share/other/#", QoS::AtMostOnce)]);
    bench.connect(9, EVERYTHING);
    let mut turn = || bench.publish(9, "t", QoS::AtLeastOnce);
    let (first, second) = (turn(), turn());
    assert_eq!(
        first[..3],
        ["3 < t QoS 0 m", "1 < t QoS 1 id 1 m", "3 < t QoS 0 m"]
    );
    assert_eq!(second[1], "2 < t QoS 1 id 1 m");
    bench.unsubscribe(1, &["$share/g/t"]);
    assert_eq!(bench.publish(9, "t", QoS::AtLeastOnce)[1], "2 < t QoS 1 id 2 m");
}

#[test]
fn while_nobody_is_there_one_who_comes_back_gets_it() {
    let mut bench = Bench::new();
    bench.attach(1, &grant(EVERYTHING), sessions::staying("c1"));
    bench.subscribe(1, &[("$share/g/t", QoS::AtLeastOnce)]);
    bench.closed(1, Departure::ConnectionLost);
    bench.connect(9, EVERYTHING);
    bench.publish(9, "t", QoS::AtMostOnce);
    bench.publish(9, "t", QoS::AtLeastOnce);
    bench.restart();
    let back = bench.attach(2, &grant(EVERYTHING), sessions::staying("c1"));
    assert_eq!(back[2..], ["2 < t QoS 1 id 1 m DUP"]);
    bench.connect(3, EVERYTHING);
    bench.subscribe(3, &[("$share/g/t", QoS::AtLeastOnce)]);
    bench.closed(2, Departure::ConnectionLost);
    bench.connect(9, EVERYTHING);
    assert_eq!(
        bench.publish(9, "t", QoS::AtLeastOnce)[0],
        "3 < t QoS 1 id 1 m",
        "who is there comes first"
    );
}

#[test]
fn a_message_goes_to_one_member_of_all_nodes() {
    let node = |index| Config {
        index: NodeIndex(index),
        nodes: 2,
        ..Config::AWS
    };
    let (mut here, mut there) = (Bench::of(node(0)), Bench::of(node(1)));
    here.connect(1, EVERYTHING);
    there.connect(2, EVERYTHING);
    for (bench, id) in [(&mut here, 1), (&mut there, 2)] {
        let said = bench.subscribe(id, &[("$share/g/t", QoS::AtLeastOnce)]);
        assert_eq!(said[0], "share $share/g/t 1 0");
    }
    let tell = |bench: &mut Bench, from, present| {
        let share = broker::Share {
            tenant: Tenant::default(),
            filter: "$share/g/t".into(),
            present,
            away: 0,
        };
        bench.step(Event::Shared {
            from: NodeIndex(from),
            share,
        });
    };
    tell(&mut here, 1, 1);
    tell(&mut there, 0, 1);
    let mut delivered = [0, 0];
    for _ in 0..10 {
        let mut actions = Actions::new();
        let publish = Event::Publish(message("t", QoS::AtLeastOnce));
        here.node.step(publish, here.now, &mut actions);
        for action in actions.drain() {
            match action {
                Action::Send { .. } => delivered[0] += 1,
                Action::Forward(forward) => {
                    let from = NodeIndex(0);
                    delivered[1] += there.step(Event::Forwarded { from, forward }).len();
                }
                _ => {}
            }
        }
    }
    assert_eq!(delivered, [5, 5]);
    here.closed(1, Departure::ConnectionLost);
    tell(&mut there, 0, 0);
    assert_eq!(
        there.step(Event::Publish(message("t", QoS::AtMostOnce)))[0],
        "2 < t QoS 0 m"
    );
}
