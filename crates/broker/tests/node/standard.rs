//! Statements of the standards that no other story here tells, one by one.

use std::num::NonZeroU32;

use mqtt::v5::Property;

use super::sessions::staying;
use super::version_5::{of, words};
use super::*;

/// `[MQTT-3.12.4-1]`.
#[test]
fn a_ping_is_answered() {
    let mut bench = Bench::connected();
    assert_eq!(bench.send(1, Packet::PingRequest), ["1 < PINGRESP"]);
}

/// 3.1.1 `[MQTT-3.1.2-17]`, 5.0 `[MQTT-3.1.2-15]`.
#[test]
fn a_will_that_is_retained_stays_on_its_topic() {
    let mut bench = Bench::new();
    let will = Will {
        retain: true,
        ..last_words("w")
    };
    let connect = Connect {
        will: Some(will),
        ..asks("c1")
    };
    bench.attach(1, &grant(EVERYTHING), connect);
    bench.closed(1, Departure::ConnectionLost);
    bench.connect(2, EVERYTHING);
    let said = bench.subscribe(2, &[("w", QoS::AtLeastOnce)]);
    assert_eq!(said[1], "2 < w QoS 1 id 1 gone RETAIN");
}

/// 3.1.1 `[MQTT-1.5.3-3]`, 5.0 `[MQTT-1.5.4-3]`.
#[test]
fn a_byte_order_mark_stays_in_a_topic() {
    let mut bench = Bench::connected();
    bench.subscribe(1, &[("\u{feff}a", QoS::AtMostOnce)]);
    assert_eq!(
        bench.publish(1, "\u{feff}a", QoS::AtMostOnce)[0],
        "1 < \u{feff}a QoS 0 m"
    );
    assert_eq!(bench.publish(1, "a", QoS::AtMostOnce), ["forward a"]);
}

/// `[MQTT-3.10.4-3]`, `[MQTT-3.10.4-6]`, 5.0 `[MQTT-3.11.3-1]`.
#[test]
fn unsubscribing_ends_each_filter_and_completes_what_is_on_its_way() {
    let mut bench = Bench::new();
    bench.attach(1, &grant(EVERYTHING), staying("c1"));
    bench.subscribe(
        1,
        &[
            ("a", QoS::AtLeastOnce),
            ("b", QoS::AtLeastOnce),
            ("c", QoS::AtLeastOnce),
        ],
    );
    bench.connect(9, EVERYTHING);
    bench.publish(9, "a", QoS::AtLeastOnce);
    assert_eq!(bench.unsubscribe(1, &["a", "b"]), ["1 < UNSUBACK 8"]);
    for (topic, listeners) in [("a", 0), ("b", 0), ("c", 1)] {
        let said = bench.publish(9, topic, QoS::AtMostOnce);
        assert_eq!(said.len() - 1, listeners, "{topic}");
    }
    bench.closed(1, Departure::ConnectionLost);
    let back = bench.attach(2, &grant(EVERYTHING), staying("c1"));
    assert_eq!(back[2..], ["2 < a QoS 1 id 1 m DUP"]);

    let mut bench = Bench::of(Config::SELF_HOST);
    bench.connect5(1, EVERYTHING);
    bench.subscribe5(1, "b", QoS::AtMostOnce, false);
    let mut bytes = Vec::new();
    let filters = ["a", "b"].map(|filter| TopicFilter::new(filter).unwrap());
    v5::encode::unsubscribe(&mut bytes, packet_id(1), v5::Properties::NONE, filters).unwrap();
    let Ok(v5::Decoded::Packet { packet, .. }) = v5::decode(&bytes, 100) else {
        panic!("an UNSUBSCRIBE")
    };
    assert_eq!(
        bench.send5(1, packet),
        ["1 < UNSUBACK [NoSubscriptionExisted, Success]"]
    );
}

/// 5.0 `[MQTT-3.3.4-4]`.
#[test]
fn one_copy_has_the_identifiers_of_all_subscriptions_that_brought_it() {
    let mut bench = Bench::of(Config::SELF_HOST);
    bench.connect5(1, EVERYTHING);
    for (filter, identifier) in [("a", 1), ("+", 200), ("b", 3)] {
        let identifier = [Property::SubscriptionIdentifier(
            NonZeroU32::new(identifier).unwrap(),
        )];
        bench.subscribe5_with(1, filter, QoS::AtMostOnce, false, &identifier);
    }
    let said = bench.step(Event::Publish(message("a", QoS::AtMostOnce)));
    assert_eq!(said, ["1 < a QoS 0 m [0b, 01] [0b, c8, 01]", "forward a"]);
}

/// 5.0 `[MQTT-4.3.2-5]`.
#[test]
fn after_its_puback_an_identifier_is_a_new_message() {
    let mut bench = Bench::connected();
    for _ in 0..2 {
        assert_eq!(
            bench.publish(1, "a", QoS::AtLeastOnce),
            ["forward a", "1 < PUBACK 9"]
        );
    }
}

/// 5.0 `[MQTT-4.3.3-7]`, `[MQTT-4.3.3-13]`.
#[test]
fn what_was_sent_does_not_expire() {
    let mut bench = Bench::of(Config::SELF_HOST);
    bench.attach(1, &grant(EVERYTHING), staying("c1"));
    bench.subscribe(1, &[("a", QoS::ExactlyOnce)]);
    bench.connect5(9, EVERYTHING);
    let properties = words(&[Property::MessageExpirySeconds(5)]);
    let publish = v5::Publish {
        topic: TopicName::new("a").ok(),
        payload: b"m",
        delivery: Delivery::ExactlyOnce {
            id: packet_id(4),
            duplicate: false,
        },
        retain: false,
        properties: of(&properties, v5::Place::Publish),
    };
    bench.send5(9, v5::Packet::Publish(publish));
    bench.closed(1, Departure::ConnectionLost);
    bench.wait(10);
    let back = bench.attach(2, &grant(EVERYTHING), staying("c1"));
    assert_eq!(back[2..], ["2 < a QoS 2 id 1 m DUP"]);
    let again = v5::Publish {
        delivery: Delivery::ExactlyOnce {
            id: packet_id(4),
            duplicate: true,
        },
        ..publish
    };
    assert_eq!(
        bench.send5(9, v5::Packet::Publish(again)),
        ["9 < PUBREC 4 success"]
    );
}

/// 5.0 `[MQTT-3.2.2-19]`, `[MQTT-3.4.2-2]`, `[MQTT-3.5.2-2]`, `[MQTT-3.9.2-1]`, `[MQTT-3.14.2-3]`.
#[test]
fn words_are_left_out_where_the_client_takes_no_packet_that_long() {
    let longest = |statements: &str, packet_bytes| {
        let mut bench = Bench::of(Config::SELF_HOST);
        let properties = words(&[Property::MaximumPacketBytes(
            NonZeroU32::new(packet_bytes).unwrap(),
        )]);
        let connect = v5::Connect {
            properties: of(&properties, v5::Place::Connect),
            ..asks("c1").into()
        };
        bench.attach_v5(1, &grant(statements), connect.clone());
        let session = SessionId([1; 16]);
        let publish = |delivery| Publish {
            topic: TopicName::new("secret").unwrap(),
            payload: b"",
            delivery,
            retain: false,
        };
        let id = packet_id(1);
        let mut actions = Actions::new();
        for delivery in [
            Delivery::AtLeastOnce { id, duplicate: false },
            Delivery::ExactlyOnce { id, duplicate: false },
            Delivery::AtMostOnce,
        ] {
            let packet = v5::Packet::Publish(publish(delivery).into());
            let connection = ConnectionId(1);
            bench
                .node
                .step(Event::PacketV5 { connection, packet }, bench.now, &mut actions);
        }
        let facts = Arc::new(CertificateFacts::new(CERTIFICATE));
        let attach = Attach {
            connection: ConnectionId(2),
            grant: grant(r#"{"Effect": "Deny", "Action": "*", "Resource": "*"}"#),
            context: Context::new("c1", IpAddr::from([203, 0, 113, 7]), facts, None),
            session,
            version: Version::V5,
            connect,
        };
        bench.node.step(Event::Attach(attach), bench.now, &mut actions);
        let lengths = actions.iter().filter_map(|action| match action {
            Action::Send { packet, .. } => {
                let mut bytes = Vec::new();
                packet.append_to(&mut bytes);
                Some(bytes.len())
            }
            _ => None,
        });
        let lengths: Vec<usize> = lengths.collect();
        assert!(lengths.len() >= 4, "{lengths:?}");
        lengths.into_iter().max()
    };
    assert!(longest(ORDINARY, 20) <= Some(20));
    assert!(longest(ORDINARY, 100_000) > Some(60));
}
