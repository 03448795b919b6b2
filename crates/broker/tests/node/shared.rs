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

#[test]
fn a_message_of_quality_1_goes_to_another_member_when_its_session_ends() {
    let mut bench = two_members(QoS::AtLeastOnce);
    assert_eq!(
        bench.closed(1, Departure::ConnectionLost),
        NOTHING,
        "the session stays, and so does its message"
    );
    bench.restart();
    let back = bench.attach(4, &grant(EVERYTHING), sessions::staying("c2"));
    assert_eq!(back[2..], NOTHING);
    let said = bench.attach(3, &grant(EVERYTHING), asks("c1"));
    assert_eq!(said[0], "4 < t QoS 1 id 1 m", "as a message that is new to it");
    bench.send(4, Packet::PublishAcknowledged(packet_id(1)));
    assert_eq!((bench.node.queued_messages(), bench.node.queued_bytes()), (0, 0));
}

#[test]
fn a_member_that_leaves_no_session_leaves_its_messages_to_the_others() {
    let mut bench = Bench::of(Config::SELF_HOST);
    for id in [1, 2] {
        bench.connect(id, EVERYTHING);
        bench.subscribe(id, &[("$share/g/t", QoS::AtLeastOnce)]);
    }
    bench.connect(9, EVERYTHING);
    bench.publish(9, "t", QoS::AtLeastOnce);
    let said = bench.closed(1, Departure::ConnectionLost);
    assert_eq!(said, ["2 < t QoS 1 id 1 m"]);
    bench.send(2, Packet::PublishAcknowledged(packet_id(1)));
    bench.publish(9, "t", QoS::AtLeastOnce);
    assert_eq!(
        bench.closed(2, Departure::ConnectionLost),
        NOTHING,
        "nobody is left"
    );
    assert_eq!(bench.node.queued_messages(), 0);
}

/// Two nodes with a member of `$share/g/t` each, who know of each other.
fn two_nodes() -> [Bench; 2] {
    let mut benches = [0, 1].map(|index| {
        Bench::of(Config {
            index: NodeIndex(index),
            nodes: 2,
            ..Config::SELF_HOST
        })
    });
    for (index, bench) in benches.iter_mut().enumerate() {
        let client_id = format!("c{index}");
        bench.attach(1, &grant(EVERYTHING), sessions::staying(&client_id));
        bench.subscribe(1, &[("$share/g/t", QoS::AtLeastOnce)]);
    }
    for (index, other) in [(0, 1), (1, 0)] {
        tell_members(&mut benches[index], other, 1);
    }
    benches
}

fn tell_members(bench: &mut Bench, from: u16, present: u32) {
    let share = broker::Share {
        tenant: Tenant::default(),
        filter: "$share/g/t".into(),
        present,
        away: 0,
    };
    let from = NodeIndex(from);
    bench.step(Event::Shared { from, share });
}

/// What a step sends to other nodes.
fn forwards(bench: &mut Bench, event: Event<'_>) -> Vec<Forward> {
    let mut actions = Actions::new();
    bench.node.step(event, bench.now, &mut actions);
    let forwards = actions
        .iter()
        .filter_map(|action| match action {
            Action::Forward(forward) if forward.message.topic() == "t" => Some(forward.clone()),
            _ => None,
        })
        .collect();
    bench.show_all(&mut actions);
    forwards
}

#[test]
fn what_a_node_has_no_member_for_any_more_goes_on_to_the_node_that_has_one() {
    let [mut here, mut there] = two_nodes();
    // Here is told late that the member there has gone.
    there.unsubscribe(1, &["$share/g/t"]);
    let mut went = Vec::new();
    for _ in 0..2 {
        went.extend(forwards(
            &mut here,
            Event::Publish(message("t", QoS::AtLeastOnce)),
        ));
    }
    let chosen = went
        .into_iter()
        .find(|forward| forward.chosen[0].1 == NodeIndex(1))
        .unwrap();
    let event = |from, forward| Event::Forwarded {
        from: NodeIndex(from),
        forward,
    };
    let handed = forwards(&mut there, event(0, chosen));
    assert_eq!(
        handed
            .iter()
            .map(|one| (one.is_handed, one.chosen[0].1))
            .collect::<Vec<_>>(),
        [(true, NodeIndex(0))]
    );
    tell_members(&mut here, 1, 0);
    assert_eq!(here.step(event(1, handed[0].clone())), ["1 < t QoS 1 id 2 m"]);
    assert_eq!(
        here.step(event(1, handed[0].clone())),
        NOTHING,
        "what comes twice is taken once"
    );
}

#[test]
fn what_is_handed_over_is_in_the_log_until_the_other_node_has_it() {
    let [mut here, mut there] = two_nodes();
    here.step(Event::Publish(message("t", QoS::AtLeastOnce)));
    assert_eq!(
        here.node.queued_messages(),
        1,
        "it is the turn of the member here"
    );
    here.closed(1, Departure::ConnectionLost);
    let asks = asks("c0");
    let attach = |bench: &mut Bench| bench.attach(3, &grant(EVERYTHING), asks);
    attach(&mut here);
    let again = here.restart();
    assert_eq!(again.len(), 1, "{again:?}");
    let (_, actions) = restored(here.config, &here.log, here.now);
    let Some(Action::Forward(handed)) = actions.iter().find(|action| matches!(action, Action::Forward(_)))
    else {
        panic!("{actions:?}")
    };
    let event = Event::Forwarded {
        from: NodeIndex(0),
        forward: handed.clone(),
    };
    assert_eq!(there.step(event), ["1 < t QoS 1 id 1 m"]);
    here.step(Event::Confirmed { forwarded: 1 });
    assert!(here.restart().is_empty(), "the other node has it");
}
