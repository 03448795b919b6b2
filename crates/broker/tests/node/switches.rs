//! Each difference between AWS and the standard: the same story with the switch off and on.

use std::num::NonZeroU32;

use broker::Switches;
use mqtt::v5::Property;

use super::sessions::staying;
use super::version_5::asks5;
use super::*;

/// One switch, what is done, and what is said when it is off and when it is on.
type Case = (&'static str, fn(&mut Bench) -> String, &'static str, &'static str);

const CASES: &[Case] = &[
    (
        "exactly_once",
        exactly_once,
        "1 closed CLIENT_ERROR",
        "1 < PUBREC 9",
    ),
    (
        "parent_of_wildcard",
        parent_of_wildcard,
        "forward a",
        "1 < a QoS 0 m",
    ),
    (
        "retained_for_wildcards",
        retained_for_wildcards,
        "1 < SUBACK 7 00",
        "1 < a/b QoS 0 m RETAIN",
    ),
    (
        "subscription_identifiers",
        subscription_identifiers,
        "1 < DISCONNECT subscription identifiers not supported",
        "1 < a QoS 0 m [0b, 07]",
    ),
    (
        "session_across_versions",
        session_across_versions,
        "2 < CONNACK success",
        "2 < CONNACK success, session present",
    ),
    (
        "keep_alive_of_client",
        keep_alive_of_client,
        "1 closed MQTT_KEEP_ALIVE_TIMEOUT",
        "",
    ),
    (
        "unsubscribe_told",
        unsubscribe_told,
        "1 < UNSUBACK [Success]",
        "1 < UNSUBACK [NoSubscriptionExisted]",
    ),
    (
        "dollar_topics",
        dollar_topics,
        "1 closed CLIENT_ERROR",
        "forward $mine/a",
    ),
    (
        "expiry_of_zero",
        expiry_of_zero,
        "1 < a QoS 0 m [02, 00, 00, 00, 01]",
        "forward a",
    ),
    ("reasons_told", reasons_told, "words: false", "words: true"),
];

fn exactly_once(bench: &mut Bench) -> String {
    bench.connect(1, EVERYTHING);
    bench.publish(1, "a", QoS::ExactlyOnce).pop().unwrap()
}

fn parent_of_wildcard(bench: &mut Bench) -> String {
    bench.connect(1, EVERYTHING);
    bench.subscribe(1, &[("a/#", QoS::AtMostOnce)]);
    bench.publish(1, "a", QoS::AtMostOnce).remove(0)
}

fn retained_for_wildcards(bench: &mut Bench) -> String {
    bench.connect(1, EVERYTHING);
    bench.step(Event::Publish(Message::retained(message("a/b", QoS::AtMostOnce))));
    bench.subscribe(1, &[("a/+", QoS::AtMostOnce)]).pop().unwrap()
}

fn subscription_identifiers(bench: &mut Bench) -> String {
    bench.connect5(1, EVERYTHING);
    let identifier = [Property::SubscriptionIdentifier(NonZeroU32::new(7).unwrap())];
    let said = bench.subscribe5_with(1, "a", QoS::AtMostOnce, false, &identifier);
    match said.len() {
        1 => bench
            .step(Event::Publish(message("a", QoS::AtMostOnce)))
            .remove(0),
        _ => said[1].clone(),
    }
}

fn session_across_versions(bench: &mut Bench) -> String {
    bench.attach(1, &grant(EVERYTHING), staying("c1"));
    bench.closed(1, Departure::ConnectionLost);
    let connect = v5::Connect {
        clean_start: false,
        ..asks5("c1")
    };
    bench.attach_v5(2, &grant(EVERYTHING), connect)[1].clone()
}

fn keep_alive_of_client(bench: &mut Bench) -> String {
    let silent = Connect {
        keep_alive_seconds: 0,
        ..asks("c1")
    };
    bench.attach(1, &grant(EVERYTHING), silent);
    let mut said = bench.wait(1_801);
    said.retain(|line| line.contains("closed"));
    said.pop().unwrap_or_default()
}

fn unsubscribe_told(bench: &mut Bench) -> String {
    bench.connect5(1, EVERYTHING);
    let mut bytes = Vec::new();
    let filter = TopicFilter::new("a").unwrap();
    v5::encode::unsubscribe(&mut bytes, packet_id(1), v5::Properties::NONE, [filter]).unwrap();
    let Ok(v5::Decoded::Packet { packet, .. }) = v5::decode(&bytes, 100) else {
        panic!("an UNSUBSCRIBE")
    };
    bench.send5(1, packet).remove(0)
}

fn dollar_topics(bench: &mut Bench) -> String {
    bench.connect(1, EVERYTHING);
    bench.publish(1, "$mine/a", QoS::AtMostOnce).pop().unwrap()
}

fn expiry_of_zero(bench: &mut Bench) -> String {
    bench.connect5(1, EVERYTHING);
    bench.subscribe5(1, "a", QoS::AtMostOnce, false);
    bench
        .publish5(1, "a", QoS::AtMostOnce, &[Property::MessageExpirySeconds(0)])
        .remove(0)
}

fn reasons_told(bench: &mut Bench) -> String {
    bench.connect5(1, ORDINARY);
    let mut actions = Actions::new();
    let publish = v5::Publish {
        topic: TopicName::new("secret").ok(),
        payload: b"",
        delivery: Delivery::AtLeastOnce {
            id: packet_id(1),
            duplicate: false,
        },
        retain: false,
        properties: v5::Properties::NONE,
    };
    let (connection, packet) = (ConnectionId(1), v5::Packet::Publish(publish));
    bench
        .node
        .step(Event::PacketV5 { connection, packet }, bench.now, &mut actions);
    let told = actions.iter().any(|action| match action {
        Action::Send { packet, .. } => {
            let mut bytes = Vec::new();
            packet.append_to(&mut bytes);
            String::from_utf8_lossy(&bytes).contains("iot:Publish")
        }
        _ => false,
    });
    format!("words: {told}")
}

#[test]
fn each_switch_changes_what_it_says() {
    for (name, story, aws, standard) in CASES {
        for (on, expected) in [(false, aws), (true, standard)] {
            let mut switches = Switches::AWS;
            assert!(switches.turn(name, on), "{name}");
            let mut bench = Bench::of(Config {
                switches,
                ..Config::AWS
            });
            assert_eq!(story(&mut bench), *expected, "{name} {on}");
        }
    }
    let told: BTreeSet<&str> = CASES.iter().map(|case| case.0).collect();
    let all: BTreeSet<&str> = Switches::TABLE.iter().map(|line| line.name).collect();
    assert_eq!(told, all, "every switch has its story");
}
