//! QoS 2 both ways: once and only once, over lost packets, lost connections and lost nodes.

use super::sessions::staying;
use super::*;

fn bench() -> Bench {
    Bench::of(Config::SELF_HOST)
}

impl Bench {
    fn come2(&mut self, id: u64, client_id: &str) -> Vec<String> {
        self.attach(id, &grant(EVERYTHING), staying(client_id))
    }

    fn publish2(&mut self, id: u64, packet: u16, duplicate: bool) -> Vec<String> {
        let delivery = Delivery::ExactlyOnce {
            id: packet_id(packet),
            duplicate,
        };
        let publish = Publish {
            topic: TopicName::new("t").unwrap(),
            payload: b"m",
            delivery,
            retain: false,
        };
        self.send(id, Packet::Publish(publish))
    }
}

#[test]
fn a_message_that_is_sent_again_goes_on_once() {
    for restarts in [false, true] {
        let mut bench = bench();
        bench.come2(1, "c1");
        assert_eq!(bench.publish2(1, 7, false), ["forward t", "1 < PUBREC 7"]);
        assert_eq!(bench.publish2(1, 7, true), ["1 < PUBREC 7"]);
        bench.closed(1, Departure::ConnectionLost);
        if restarts {
            bench.restart();
        }
        bench.come2(2, "c1");
        assert_eq!(bench.publish2(2, 7, true), ["2 < PUBREC 7"], "over connections");
        assert_eq!(
            bench.send(2, Packet::PublishReleased(packet_id(7))),
            ["2 < PUBCOMP 7"]
        );
        assert_eq!(
            bench.send(2, Packet::PublishReleased(packet_id(7))),
            ["2 < PUBCOMP 7"],
            "again"
        );
        assert_eq!(
            bench.publish2(2, 7, false),
            ["forward t", "2 < PUBREC 7"],
            "the identifier is free"
        );
    }
}

#[test]
fn a_receiver_gets_each_step_again_until_it_answers() {
    for restarts in [false, true] {
        let mut bench = bench();
        bench.come2(1, "c1");
        bench.subscribe(1, &[("t", QoS::ExactlyOnce)]);
        bench.connect(9, EVERYTHING);
        assert_eq!(bench.publish2(9, 1, false)[0], "1 < t QoS 2 id 1 m");
        let again = |bench: &mut Bench, id| {
            bench.closed(id, Departure::ConnectionLost);
            if restarts {
                bench.restart();
            }
            bench.come2(id + 1, "c1").split_off(2)
        };
        assert_eq!(again(&mut bench, 1), ["2 < t QoS 2 id 1 m DUP"]);
        assert_eq!(
            bench.send(2, Packet::PublishReceived(packet_id(1))),
            ["2 < PUBREL 1"]
        );
        assert_eq!(again(&mut bench, 2), ["3 < PUBREL 1"], "never the message again");
        assert_eq!(
            bench.send(3, Packet::PublishReceived(packet_id(1))),
            ["3 < PUBREL 1"]
        );
        assert_eq!(
            bench.send(3, Packet::PublishAcknowledged(packet_id(1))),
            NOTHING,
            "not of QoS 2"
        );
        assert_eq!(bench.send(3, Packet::PublishCompleted(packet_id(1))), NOTHING);
        assert_eq!(again(&mut bench, 3), NOTHING);
        assert_eq!(bench.node.queued_bytes(), 0);
    }
}

#[test]
fn each_step_waits_until_the_one_before_is_durable() {
    let mut bench = bench();
    bench.come2(1, "c1");
    bench.subscribe(1, &[("t", QoS::ExactlyOnce)]);
    bench.come2(9, "c9");
    bench.gates = true;
    assert_eq!(
        bench.publish2(9, 1, false),
        ["1 < t QoS 2 id 1 m (waits)", "forward t", "9 < PUBREC 1 (waits)"]
    );
    assert_eq!(
        bench.send(1, Packet::PublishReceived(packet_id(1))),
        ["1 < PUBREL 1 (waits)"]
    );
    assert_eq!(
        bench.send(9, Packet::PublishReleased(packet_id(1))),
        ["9 < PUBCOMP 1 (waits)"]
    );
}

#[test]
fn an_unknown_identifier_is_told_in_5_0() {
    let mut bench = bench();
    bench.v5.insert(1);
    bench.attach_v5(1, &grant(EVERYTHING), asks("c1").into());
    let send = |bench: &mut Bench, bytes: &[u8]| {
        let Ok(v5::Decoded::Packet { packet, .. }) = v5::decode(bytes, 100) else {
            panic!("a packet")
        };
        bench.step(Event::PacketV5 {
            connection: ConnectionId(1),
            packet,
        })
    };
    assert_eq!(
        send(&mut bench, &[0x50, 2, 0, 5]),
        ["1 < PUBREL 5 packet identifier not found"]
    );
    assert_eq!(
        send(&mut bench, &[0x62, 2, 0, 5]),
        ["1 < PUBCOMP 5 packet identifier not found"]
    );
}

#[test]
fn a_refused_message_is_done_with_and_frees_its_place() {
    let mut bench = Bench::of(Config {
        limits: Limits {
            inflight_messages_max: 1,
            ..Limits::SELF_HOST
        },
        ..Config::SELF_HOST
    });
    bench.v5.insert(1);
    bench.attach_v5(1, &grant(EVERYTHING), asks("c1").into());
    bench.subscribe5(1, "t", QoS::ExactlyOnce, false);
    bench.connect(9, EVERYTHING);
    bench.publish2(9, 1, false);
    bench.publish2(9, 2, false);
    let Ok(v5::Decoded::Packet { packet, .. }) = v5::decode(&[0x50, 3, 0, 1, 0x97], 100) else {
        panic!("a PUBREC that says no")
    };
    let said = bench.step(Event::PacketV5 {
        connection: ConnectionId(1),
        packet,
    });
    assert_eq!(said, ["1 < t QoS 2 m"]);
}

#[test]
fn more_at_once_than_agreed_ends_the_connection() {
    let mut bench = Bench::of(Config {
        limits: Limits {
            receive_max: 2,
            ..Limits::SELF_HOST
        },
        ..Config::SELF_HOST
    });
    bench.connect(1, EVERYTHING);
    for id in 1..=2 {
        assert_eq!(bench.publish2(1, id, false).len(), 2);
    }
    let said = bench.publish2(1, 3, false);
    assert_eq!(
        said,
        ["1 may not send PUBLISH: broker.limit", "1 closed CLIENT_ERROR"]
    );
}

#[test]
fn another_node_takes_a_message_once_however_often_it_comes() {
    let config = Config {
        nodes: 2,
        ..Config::SELF_HOST
    };
    let mut bench = Bench::of(config);
    bench.come2(1, "c1");
    let mut actions = Actions::new();
    let publish = |id| {
        Packet::Publish(Publish {
            topic: TopicName::new("t").unwrap(),
            payload: b"m",
            delivery: Delivery::ExactlyOnce {
                id: packet_id(id),
                duplicate: false,
            },
            retain: false,
        })
    };
    let (connection, packet) = (ConnectionId(1), publish(1));
    bench
        .node
        .step(Event::Packet { connection, packet }, bench.now, &mut actions);
    let sent = actions.iter().find_map(|action| match action {
        Action::Forward(forward) if forward.relay.is_some() => Some(forward.clone()),
        _ => None,
    });
    let sent = sent.unwrap();
    assert_ne!(sent.after, Gate::NONE, "not before it is durable where it begins");
    bench.show_all(&mut actions);
    // This node dies before the other one has confirmed: it sends the message again.
    let (_, mut again) = restored(config, &bench.log, bench.now);
    let again = again.drain().find_map(|action| match action {
        Action::Forward(forward) => Some(forward),
        _ => None,
    });
    assert_eq!(again.as_ref().and_then(|forward| forward.relay), sent.relay);

    let mut other = Bench::of(Config {
        index: NodeIndex(1),
        ..config
    });
    other.connect(2, EVERYTHING);
    other.subscribe(2, &[("t", QoS::ExactlyOnce)]);
    let from = NodeIndex(0);
    let take = |other: &mut Bench, forward| other.step(Event::Forwarded { from, forward }).len();
    assert_eq!(take(&mut other, sent), 1);
    assert_eq!(take(&mut other, again.unwrap()), 0, "it knows it again");
    // Confirmed, nothing is sent again.
    bench.step(Event::Confirmed { forwarded: u64::MAX });
    let (_, mut again) = restored(config, &bench.log, bench.now);
    assert!(!again.drain().any(|action| matches!(action, Action::Forward(_))));
}
