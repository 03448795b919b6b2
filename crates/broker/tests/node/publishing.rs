//! PUBLISH: who gets a message, who is refused, and what happens to those who read slowly.

use super::*;

#[test]
fn a_message_reaches_those_who_listen_once_and_then_its_publisher_is_told() {
    let mut bench = Bench::new();
    for id in 1..=4 {
        bench.connect(id, ORDINARY);
    }
    assert_eq!(
        bench.subscribe(2, &[("dt/#", QoS::AtLeastOnce)]),
        ["2 < SUBACK 7 01"]
    );
    assert_eq!(
        bench.subscribe(3, &[("dt/c1/t", QoS::AtMostOnce), ("dt/+/t", QoS::AtLeastOnce)]),
        ["3 < SUBACK 7 00 01"]
    );
    assert_eq!(
        bench.subscribe(4, &[("dt/c2/#", QoS::AtLeastOnce)]),
        ["4 < SUBACK 7 01"]
    );
    assert_eq!(
        bench.publish(1, "dt/c1/t", QoS::AtLeastOnce),
        [
            "2 < dt/c1/t QoS 1 id 1 m",
            "3 < dt/c1/t QoS 1 id 1 m",
            "forward dt/c1/t",
            "1 < PUBACK 9"
        ]
    );
    assert_eq!(
        bench.publish(1, "dt/c1/t", QoS::AtMostOnce),
        ["2 < dt/c1/t QoS 0 m", "3 < dt/c1/t QoS 0 m", "forward dt/c1/t"]
    );
    assert_eq!(bench.unsubscribe(3, &["dt/+/t", "never/had"]), ["3 < UNSUBACK 8"]);
    assert_eq!(
        bench.publish(1, "dt/c1/t", QoS::AtLeastOnce),
        [
            "2 < dt/c1/t QoS 1 id 2 m",
            "3 < dt/c1/t QoS 0 m",
            "forward dt/c1/t",
            "1 < PUBACK 9"
        ]
    );
    let counters = bench.node.counters();
    assert_eq!(
        (
            counters.attached,
            counters.published.count(),
            counters.delivered.count(),
            counters.refused
        ),
        (4, 3, 6, 0)
    );
}

#[test]
fn a_publisher_hears_itself_and_dollar_events_stay_out_of_wildcards() {
    let mut bench = Bench::new();
    bench.events = true;
    bench.attach(1, &grant(EVERYTHING), asks("c1"));
    bench.subscribe(1, &[("#", QoS::AtMostOnce)]);
    assert_eq!(
        bench.publish(1, "a", QoS::AtMostOnce),
        ["1 < a QoS 0 m", "forward a"]
    );
    let attached = bench.attach(2, &grant(EVERYTHING), asks("c2"));
    assert_eq!(
        attached,
        [
            "2 attached",
            "2 < CONNACK accepted",
            "forward $aws/events/presence/connected/c2"
        ]
    );
}

#[test]
fn a_publish_outside_the_policy_ends_the_connection() {
    let mut bench = Bench::new();
    bench.connect(1, ORDINARY);
    bench.connect(2, ORDINARY);
    bench.subscribe(2, &[("dt/#", QoS::AtLeastOnce)]);
    let refused = r#"1 may not publish on "dt/c2/t": broker.policy"#;
    assert_eq!(
        bench.publish(1, "dt/c2/t", QoS::AtLeastOnce),
        [refused, "1 closed AUTH_ERROR"]
    );
    assert_eq!(
        bench.publish(1, "dt/c1/t", QoS::AtLeastOnce),
        NOTHING,
        "the connection is forgotten"
    );
    assert_eq!(bench.closed(1, Departure::ConnectionLost), NOTHING);
    assert_eq!(bench.node.connections(), 1);
}

#[test]
fn publishes_beyond_what_the_broker_takes_end_the_connection() {
    let check = |publish: &Publish<'_>, code: &str| {
        let mut bench = Bench::new();
        bench.connect(1, EVERYTHING);
        let expected = [
            format!("1 may not publish on {:?}: {code}", publish.topic.as_str()),
            "1 closed CLIENT_ERROR".to_owned(),
        ];
        assert_eq!(bench.send(1, Packet::Publish(*publish)), expected);
    };
    let publish = |topic| Publish {
        topic: TopicName::new(topic).unwrap(),
        payload: b"",
        delivery: Delivery::AtMostOnce,
        retain: false,
    };
    check(&publish("$aws/things/x/shadow/update"), "broker.topic.reserved");
    check(&publish("1/2/3/4/5/6/7/8/9"), "broker.limit");
    check(
        &Publish {
            payload: &vec![0; 131_073],
            ..publish("a")
        },
        "broker.limit",
    );
    let mut bench = Bench::new();
    bench.connect(1, EVERYTHING);
    assert_eq!(
        bench.publish(1, "a", QoS::ExactlyOnce),
        [
            "1 may not send PUBLISH: mqtt.qos2.unsupported",
            "1 closed CLIENT_ERROR"
        ]
    );
}

#[test]
fn a_refusal_says_everything_a_person_needs() {
    let mut bench = Bench::new();
    let mut actions = Actions::new();
    bench.connect(1, ORDINARY);
    let publish = Publish {
        topic: TopicName::new("dt/c2/t").unwrap(),
        payload: b"",
        delivery: Delivery::AtMostOnce,
        retain: false,
    };
    bench.node.step(
        Event::Packet {
            connection: ConnectionId(1),
            packet: Packet::Publish(publish),
        },
        bench.now,
        &mut actions,
    );
    let Some(Action::Refused(refusal)) = actions.drain().next() else {
        panic!("the first action is the refusal")
    };
    let expected = format!(
        r#"client "c1" with certificate {CERTIFICATE} may not publish on "dt/c2/t": iot:Publish on arn:aws:iot:us-east-1:123456789012:topic/dt/c2/t is not allowed: policy "fleet", statement 2, allows it on arn:aws:iot:*:*:topic/dt/${{iot:ClientId}}/* (here arn:aws:iot:*:*:topic/dt/c1/*), arn:aws:iot:*:*:topic/cmd/* only. This statement would allow it: {{"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:us-east-1:123456789012:topic/dt/c2/t"}}"#
    );
    assert_eq!(refusal.to_string(), expected);
}

#[test]
fn a_slow_client_has_a_window_and_a_queue() {
    let limits = Limits {
        inflight_messages_max: 2,
        queue_messages_max: 2,
        ..Limits::AWS
    };
    let mut bench = Bench::with(limits);
    bench.connect(1, EVERYTHING);
    bench.subscribe(1, &[("t", QoS::AtLeastOnce)]);
    let deliver = |bench: &mut Bench| bench.step(forwarded(message("t", QoS::AtLeastOnce)));
    assert_eq!(deliver(&mut bench), ["1 < t QoS 1 id 1 m"]);
    assert_eq!(deliver(&mut bench), ["1 < t QoS 1 id 2 m"]);
    assert_eq!(deliver(&mut bench), NOTHING);
    assert_eq!(deliver(&mut bench), NOTHING);
    assert_eq!(
        deliver(&mut bench),
        [r#"1 may not receive from "t": broker.queue.full"#]
    );
    assert_eq!(deliver(&mut bench), NOTHING);
    assert_eq!(bench.node.counters().dropped.queue_messages, 2);
    assert_eq!(
        bench.send(1, Packet::PublishAcknowledged(packet_id(2))),
        ["1 < t QoS 1 id 3 m"]
    );
    assert_eq!(
        bench.send(1, Packet::PublishAcknowledged(packet_id(2))),
        NOTHING,
        "acknowledged twice"
    );
    assert_eq!(
        bench.step(forwarded(message("t", QoS::AtMostOnce))),
        ["1 < t QoS 0 m"],
        "QoS 0 does not wait"
    );
    assert_eq!(
        bench.send(1, Packet::PublishAcknowledged(packet_id(1))),
        ["1 < t QoS 1 id 4 m"]
    );
    for id in [3, 4] {
        assert_eq!(bench.send(1, Packet::PublishAcknowledged(packet_id(id))), NOTHING);
    }
}

#[test]
fn server_messages_go_everywhere_and_forwarded_ones_nowhere() {
    let mut bench = Bench::new();
    bench.connect(1, EVERYTHING);
    bench.subscribe(1, &[("a", QoS::AtLeastOnce)]);
    assert_eq!(
        bench.step(Event::Publish(message("a", QoS::AtLeastOnce))),
        ["1 < a QoS 1 id 1 m", "forward a"]
    );
    assert_eq!(
        bench.step(forwarded(message("a", QoS::AtLeastOnce))),
        ["1 < a QoS 1 id 2 m"]
    );
}
