//! Shared subscriptions: each message to one member, wherever it is.

use mqtt::PacketType;

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

/// Two members, both of MQTT 5.0, with sessions that stay; the first gets the message.
fn two_members(qos: QoS) -> Bench {
    let mut bench = Bench::of(Config::SELF_HOST);
    for id in [1, 2] {
        let client_id = format!("c{id}");
        bench.attach(id, &grant(EVERYTHING), sessions::staying(&client_id));
        bench.subscribe(id, &[("$share/g/t", qos)]);
    }
    bench.connect(9, EVERYTHING);
    let said = bench.publish(9, "t", qos);
    let expected = format!("1 < t QoS {} id 1 m", qos.bits());
    assert_eq!(said[0], expected);
    bench
}

#[test]
fn a_message_of_quality_2_stays_with_the_member_that_began_it() {
    for received in [false, true] {
        let mut bench = two_members(QoS::ExactlyOnce);
        if received {
            bench.send(1, Packet::PublishReceived(packet_id(1)));
        }
        assert_eq!(
            bench.closed(1, Departure::ConnectionLost),
            NOTHING,
            "nobody else gets it"
        );
        let back = bench.attach(3, &grant(EVERYTHING), sessions::staying("c1"));
        let expected = if received {
            "3 < PUBREL 1"
        } else {
            "3 < t QoS 2 id 1 m DUP"
        };
        assert_eq!(back[2..], [expected]);
    }
}

#[test]
fn a_message_of_quality_2_ends_with_the_session_that_began_it() {
    for received in [false, true] {
        let mut bench = two_members(QoS::ExactlyOnce);
        if received {
            bench.send(1, Packet::PublishReceived(packet_id(1)));
        }
        bench.closed(1, Departure::ConnectionLost);
        let said = bench.attach(3, &grant(EVERYTHING), asks("c1"));
        assert_eq!(
            said[..],
            ["3 attached", "3 < CONNACK accepted"],
            "a new session, and nobody has the message"
        );
        assert_eq!((bench.node.queued_messages(), bench.node.queued_bytes()), (0, 0));
    }
}

#[test]
fn a_message_that_a_member_refuses_goes_to_nobody_else() {
    for (qos, kind) in [
        (QoS::AtLeastOnce, PacketType::PubAck),
        (QoS::ExactlyOnce, PacketType::PubRec),
    ] {
        let mut bench = Bench::of(Config::SELF_HOST);
        for id in [1, 2] {
            let client_id = format!("c{id}");
            bench.attach_v5(id, &grant(EVERYTHING), version_5::asks5(&client_id));
            let subscribed = bench.subscribe5(id, "$share/g/t", qos, false);
            assert!(subscribed[0].contains("SUBACK"), "{subscribed:?}");
        }
        bench.connect(9, EVERYTHING);
        assert!(bench.publish(9, "t", qos)[0].starts_with("1 < t"));
        let refusal = v5::Acknowledgement {
            id: packet_id(1),
            reason: v5::Reason::ImplementationSpecificError,
            properties: v5::Properties::NONE,
        };
        let packet = match kind {
            PacketType::PubAck => v5::Packet::PublishAcknowledged(refusal),
            _ => v5::Packet::PublishReceived(refusal),
        };
        let event = Event::PacketV5 {
            connection: ConnectionId(1),
            packet,
        };
        assert_eq!(bench.step(event), NOTHING, "{qos:?}");
        assert_eq!(bench.node.queued_messages(), 0, "it is done with");
    }
}
