//! Clients that speak MQTT 5.0: what they are offered, what they are told, and that they and clients of 3.1.1 reach each other.

use std::num::{NonZeroU16, NonZeroU32};

use broker::Outgoing;
use mqtt::v5::{Closing, Place, Properties, Property, Publish as Publish5, Reason, RetainHandling};

use super::*;

/// One packet for a client of 5.0, as a line.
pub(super) fn show(connection: u64, packet: &Outgoing) -> String {
    let mut bytes = Vec::new();
    packet.append_to(&mut bytes);
    let Ok(v5::Decoded::Packet {
        packet,
        bytes: length,
    }) = v5::decode(&bytes, usize::MAX)
    else {
        panic!("{bytes:02x?} is not a packet of MQTT 5.0")
    };
    assert_eq!(length, bytes.len());
    let line = match packet {
        v5::Packet::ConnectAnswer(answer) => {
            format!("CONNACK {}{}", answer.reason, present(answer.session_present))
        }
        v5::Packet::PublishAcknowledged(answer) => format!("PUBACK {} {}", answer.id, answer.reason),
        v5::Packet::PublishReceived(answer) => format!("PUBREC {} {}", answer.id, answer.reason),
        v5::Packet::PublishReleased(answer) => format!("PUBREL {} {}", answer.id, answer.reason),
        v5::Packet::PublishCompleted(answer) => format!("PUBCOMP {} {}", answer.id, answer.reason),
        v5::Packet::SubscribeAnswer(answer) => {
            let reasons = answer.reasons.map(|reason| reason.to_string());
            format!("SUBACK {}", reasons.collect::<Vec<_>>().join(", "))
        }
        v5::Packet::UnsubscribeAnswer(answer) => format!("UNSUBACK {:?}", answer.reasons),
        v5::Packet::PingAnswer => "PINGRESP".to_owned(),
        v5::Packet::Disconnect(goodbye) => format!("DISCONNECT {}", goodbye.reason),
        v5::Packet::Publish(publish) => {
            let words = publish
                .properties
                .map(|property| format!(" {property:?}"))
                .collect::<String>();
            let payload = String::from_utf8_lossy(publish.payload);
            let topic = publish.topic.unwrap();
            let marks = marks(publish.delivery, publish.retain);
            format!(
                "{topic} QoS {} {payload}{words}{marks}",
                publish.delivery.qos().bits()
            )
        }
        other => panic!("{other:?} is never sent"),
    };
    format!("{connection} < {line}")
}

pub(super) fn asks5(client_id: &str) -> v5::Connect<'_> {
    asks(client_id).into()
}

pub(super) fn words(properties: &[Property<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for property in properties {
        Properties::append(&mut bytes, *property).unwrap();
    }
    bytes
}

pub(super) fn of(bytes: &[u8], place: Place) -> Properties<'_> {
    Properties::new(bytes, place).unwrap()
}

impl Bench {
    pub(super) fn connect5(&mut self, id: u64, statements: &str) {
        let client_id = format!("c{id}");
        let expected = [format!("{id} attached"), format!("{id} < CONNACK success")];
        assert_eq!(
            self.attach_v5(id, &grant(statements), asks5(&client_id)),
            expected
        );
    }

    pub(super) fn send5(&mut self, id: u64, packet: v5::Packet<'_>) -> Vec<String> {
        self.step(Event::PacketV5 {
            connection: ConnectionId(id),
            packet,
        })
    }

    pub(super) fn publish5(
        &mut self,
        id: u64,
        topic: &str,
        qos: QoS,
        properties: &[Property<'_>],
    ) -> Vec<String> {
        let delivery = match qos {
            QoS::AtMostOnce => Delivery::AtMostOnce,
            _ => Delivery::AtLeastOnce {
                id: packet_id(9),
                duplicate: false,
            },
        };
        self.send5(
            id,
            v5::Packet::Publish(Publish5 {
                topic: TopicName::new(topic).ok(),
                payload: b"m",
                delivery,
                retain: false,
                properties: of(&words(properties), Place::Publish),
            }),
        )
    }

    pub(super) fn subscribe5(&mut self, id: u64, filter: &str, qos: QoS, no_local: bool) -> Vec<String> {
        self.subscribe5_with(id, filter, qos, no_local, &[])
    }

    pub(super) fn subscribe5_with(
        &mut self,
        id: u64,
        filter: &str,
        qos: QoS,
        no_local: bool,
        properties: &[Property<'_>],
    ) -> Vec<String> {
        let line = v5::Subscription {
            filter: TopicFilter::new(filter).unwrap(),
            qos,
            no_local,
            retain_as_published: true,
            retain_handling: RetainHandling::DoNotSend,
        };
        let properties = words(properties);
        let mut bytes = Vec::new();
        v5::encode::subscribe(
            &mut bytes,
            packet_id(7),
            of(&properties, Place::Subscribe),
            [line],
        )
        .unwrap();
        let Ok(v5::Decoded::Packet { packet, .. }) = v5::decode(&bytes, usize::MAX) else {
            panic!("a SUBSCRIBE")
        };
        self.send5(id, packet)
    }

    fn goodbye5(&mut self, id: u64, reason: Reason, properties: &[Property<'_>]) -> Vec<String> {
        let properties = words(properties);
        let properties = of(&properties, Place::Disconnect);
        self.send5(id, v5::Packet::Disconnect(Closing { reason, properties }))
    }
}

/// The properties of the CONNACK that a CONNECT leads to.
fn welcome(connect: v5::Connect<'_>) -> Vec<String> {
    let mut bench = Bench::new();
    let mut actions = Actions::new();
    let session = SessionId([1; 16]);
    let client_id = broker::client_id(&connect, session).into_owned();
    let facts = Arc::new(CertificateFacts::new(CERTIFICATE));
    let attach = Attach {
        connection: ConnectionId(1),
        grant: grant(EVERYTHING),
        context: Context::new(&client_id, IpAddr::from([203, 0, 113, 7]), facts, None),
        session,
        version: Version::V5,
        connect,
    };
    bench.node.step(Event::Attach(attach), bench.now, &mut actions);
    let mut found = Vec::new();
    for action in actions.drain() {
        let Action::Send { packet, .. } = action else {
            continue;
        };
        let mut bytes = Vec::new();
        packet.append_to(&mut bytes);
        let Ok(v5::Decoded::Packet {
            packet: v5::Packet::ConnectAnswer(answer),
            ..
        }) = v5::decode(&bytes, usize::MAX)
        else {
            panic!("{bytes:02x?}")
        };
        assert!(!answer.session_present);
        found.extend(answer.properties.map(|property| format!("{property:?}")));
    }
    found
}

#[test]
fn the_connack_says_what_aws_says() {
    let offered = [
        "[21, 00, 64]",
        "[24, 01]",
        "[25, 01]",
        "[27, 00, 02, 48, 00]",
        "[22, 00, 08]",
        "[28, 01]",
        "[29, 00]",
        "[2a, 01]",
    ];
    let check = |connect: v5::Connect<'_>, more: &[&str]| {
        let mut expected: Vec<&str> = offered.iter().chain(more).copied().collect();
        let mut found = welcome(connect);
        found.sort();
        expected.sort_unstable();
        assert_eq!(found, expected);
    };
    check(asks5("c1"), &["[13, 00, 3c]"]);
    let silent = v5::Connect {
        keep_alive_seconds: 0,
        ..asks5("c1")
    };
    check(silent, &["[13, 04, b0]"]);
    let nameless = ["[13, 00, 3c]", "0x12(\"01010101-0101-0101-0101-010101010101\")"];
    check(asks5(""), &nameless);
    let properties = words(&[Property::SessionExpirySeconds(600_000)]);
    let staying = v5::Connect {
        clean_start: false,
        properties: of(&properties, Place::Connect),
        ..asks5("c1")
    };
    check(staying, &["[13, 00, 3c]", "[11, 00, 00, 0e, 10]"]);
}

#[test]
fn a_refused_connect_is_told_why() {
    let check = |connect: v5::Connect<'_>, statements: &str, reason: &str| {
        let said = Bench::new().attach_v5(1, &grant(statements), connect);
        let line = said.iter().find(|line| line.contains("CONNACK")).unwrap();
        assert_eq!(line, &format!("1 < CONNACK {reason}"));
        assert!(said.iter().any(|line| line.starts_with("1 closed")));
    };
    check(
        asks5("c1"),
        r#"{"Effect": "Deny", "Action": "*", "Resource": "*"}"#,
        "not authorized",
    );
    check(asks5("$c"), EVERYTHING, "client identifier not valid");
    check(asks5(&"x".repeat(129)), EVERYTHING, "client identifier not valid");
    let method = words(&[Property::AuthenticationMethod("m")]);
    let scram = v5::Connect {
        properties: of(&method, Place::Connect),
        ..asks5("c1")
    };
    check(scram, EVERYTHING, "bad authentication method");
    let with_will = |qos, retain| v5::Connect {
        will: Some(Will {
            qos,
            retain,
            ..last_words("dt/x")
        }),
        ..asks5("c1")
    };
    check(
        with_will(QoS::ExactlyOnce, false),
        EVERYTHING,
        "QoS not supported",
    );
    check(
        with_will(QoS::AtMostOnce, true),
        r#"[{"Effect": "Allow", "Action": "*", "Resource": "*"}, {"Effect": "Deny", "Action": "iot:RetainPublish", "Resource": "*"}]"#,
        "not authorized",
    );
}

#[test]
fn both_versions_reach_each_other_and_properties_reach_those_who_know_them() {
    let mut bench = Bench::connected();
    bench.connect5(2, EVERYTHING);
    bench.connect5(3, EVERYTHING);
    bench.subscribe(1, &[("t", QoS::AtLeastOnce)]);
    assert_eq!(
        bench.subscribe5(2, "t", QoS::AtLeastOnce, false),
        ["2 < SUBACK granted QoS 1"]
    );
    let said = bench.publish5(
        3,
        "t",
        QoS::AtLeastOnce,
        &[
            Property::PayloadIsText(true),
            Property::ContentType("text/plain"),
            Property::MessageExpirySeconds(60),
            Property::ResponseTopic(TopicName::new("r").unwrap()),
            Property::CorrelationData(b"77"),
            Property::UserProperty("a", "1"),
            Property::UserProperty("a", "2"),
        ],
    );
    let expected = [
        "1 < t QoS 1 id 1 m",
        "2 < t QoS 1 m [02, 00, 00, 00, 3c] [01, 01] 0x03(\"text/plain\") ResponseTopic(r) CorrelationData(2 bytes) UserProperty(\"a\", \"1\") UserProperty(\"a\", \"2\")",
        "forward t",
        "3 < PUBACK 9 success",
    ];
    assert_eq!(said, expected);
    let said = bench.publish(1, "t", QoS::AtMostOnce);
    assert_eq!(said, ["1 < t QoS 0 m", "2 < t QoS 0 m", "forward t"]);
}

#[test]
fn a_topic_alias_stands_for_the_topic_named_with_it_last() {
    let mut bench = Bench::new();
    bench.connect5(1, EVERYTHING);
    bench.subscribe5(1, "#", QoS::AtMostOnce, false);
    let alias = |number| [Property::TopicAlias(NonZeroU16::new(number).unwrap())];
    for (topic, number, expected) in [
        ("a", 1, "a"),
        ("", 1, "a"),
        ("b", 8, "b"),
        ("c", 1, "c"),
        ("", 1, "c"),
        ("", 8, "b"),
    ] {
        let said = bench.publish5(1, topic, QoS::AtMostOnce, &alias(number));
        assert_eq!(
            said,
            [format!("1 < {expected} QoS 0 m"), format!("forward {expected}")]
        );
    }
    for (number, expected) in [(2, "protocol error"), (9, "topic alias invalid")] {
        let mut bench = Bench::new();
        bench.connect5(1, EVERYTHING);
        let said = bench.publish5(1, "", QoS::AtLeastOnce, &alias(number));
        assert_eq!(
            said[1..],
            [
                format!("1 < DISCONNECT {expected}"),
                "1 closed CLIENT_ERROR".to_owned()
            ]
        );
    }
}

#[test]
fn a_message_is_not_delivered_after_its_time() {
    let limits = Limits {
        inflight_messages_max: 1,
        ..Limits::AWS
    };
    let mut bench = Bench::with(limits);
    bench.connect5(1, EVERYTHING);
    bench.connect5(2, EVERYTHING);
    bench.subscribe5(1, "t", QoS::AtLeastOnce, false);
    for seconds in [0, 5, 1_000_000] {
        bench.publish5(
            2,
            "t",
            QoS::AtLeastOnce,
            &[Property::MessageExpirySeconds(seconds)],
        );
    }
    bench.wait(6);
    let acknowledge = |id| v5::Packet::PublishAcknowledged(packet_id(id).into());
    // The first is with the client, the second waited too long, the third has what is left of seven days.
    assert_eq!(
        bench.send5(1, acknowledge(1)),
        ["1 < t QoS 1 m [02, 00, 09, 3a, 7a]"]
    );
    assert_eq!(bench.send5(1, acknowledge(2)), NOTHING);
}

#[test]
fn what_may_not_be_published_is_told_and_at_quality_1_costs_nothing_else() {
    let check = |topic: &str, qos, expected: &[&str]| {
        let mut bench = Bench::new();
        bench.connect5(1, ORDINARY);
        let said = bench.publish5(1, topic, qos, &[]);
        assert_eq!(said[1..], *expected, "{topic}");
    };
    let (zero, one) = (QoS::AtMostOnce, QoS::AtLeastOnce);
    check("dt/other/x", one, &["1 < PUBACK 9 not authorized"]);
    check(
        "dt/other/x",
        zero,
        &["1 < DISCONNECT not authorized", "1 closed AUTH_ERROR"],
    );
    check("$aws/things/x", one, &["1 < PUBACK 9 topic name invalid"]);
    check(&"x".repeat(257), one, &["1 < PUBACK 9 topic name invalid"]);
    check(
        "$aws/things/x",
        zero,
        &["1 < DISCONNECT topic name invalid", "1 closed CLIENT_ERROR"],
    );
}

#[test]
fn what_is_not_served_is_told() {
    let check = |packet: v5::Packet<'_>, expected: &str| {
        let mut bench = Bench::new();
        bench.connect5(1, EVERYTHING);
        let said = bench.send5(1, packet);
        assert_eq!(
            said[1..],
            [
                format!("1 < DISCONNECT {expected}"),
                "1 closed CLIENT_ERROR".to_owned()
            ]
        );
    };
    let publish = Publish5 {
        topic: TopicName::new("t").ok(),
        payload: b"",
        delivery: Delivery::AtLeastOnce {
            id: packet_id(1),
            duplicate: false,
        },
        retain: true,
        properties: Properties::NONE,
    };
    let exactly_once = Delivery::ExactlyOnce {
        id: packet_id(1),
        duplicate: false,
    };
    let twice = Publish5 {
        delivery: exactly_once,
        retain: false,
        ..publish
    };
    check(v5::Packet::Publish(twice), "QoS not supported");
    check(
        v5::Packet::Authenticate(Reason::ReAuthenticate.into()),
        "protocol error",
    );
    let identified = words(&[Property::SubscriptionIdentifier(NonZeroU32::MIN)]);
    let of_server = Publish5 {
        retain: false,
        properties: of(&identified, Place::Publish),
        ..publish
    };
    check(v5::Packet::Publish(of_server), "protocol error");
}

#[test]
fn each_filter_has_its_reason() {
    let mut bench = Bench::new();
    bench.connect5(1, ORDINARY);
    let mut check = |filter: &str, expected: &str| {
        let said = bench.subscribe5(1, filter, QoS::AtLeastOnce, false);
        assert_eq!(
            said.last().unwrap(),
            &format!("1 < SUBACK {expected}"),
            "{filter}"
        );
    };
    check("dt/#", "granted QoS 1");
    check("other", "not authorized");
    check("$aws/things/x", "topic filter invalid");
    check("$share/g/dt/x", "granted QoS 1");
    check("$share/g", "topic filter invalid");
    let said = bench.subscribe5(1, "dt/#", QoS::ExactlyOnce, false);
    assert_eq!(said[1], "1 < DISCONNECT QoS not supported");

    bench.connect5(2, ORDINARY);
    let identifier = [Property::SubscriptionIdentifier(NonZeroU32::MIN)];
    let said = bench.subscribe5_with(2, "dt/#", QoS::AtMostOnce, false, &identifier);
    assert_eq!(said[1], "2 < DISCONNECT subscription identifiers not supported");
}

#[test]
fn no_local_keeps_a_client_from_its_own_messages_only() {
    let mut bench = Bench::connected();
    bench.connect5(2, EVERYTHING);
    bench.subscribe5(2, "t", QoS::AtMostOnce, true);
    assert_eq!(bench.publish5(2, "t", QoS::AtMostOnce, &[]), ["forward t"]);
    assert_eq!(
        bench.publish(1, "t", QoS::AtMostOnce),
        ["2 < t QoS 0 m", "forward t"]
    );
    bench.subscribe5(2, "+", QoS::AtMostOnce, false);
    assert_eq!(
        bench.publish5(2, "t", QoS::AtMostOnce, &[]),
        ["2 < t QoS 0 m", "forward t"]
    );
}

#[test]
fn whoever_is_ended_is_told_why() {
    let malformed = v5::decode(&[0x31], 100).err();
    assert_eq!(malformed, None);
    let malformed = v5::decode(&[0xc1, 0], 100).unwrap_err();
    let check = |act: &mut dyn FnMut(&mut Bench) -> Vec<String>, expected: &str| {
        let mut bench = Bench::new();
        bench.connect5(1, EVERYTHING);
        let said = act(&mut bench);
        assert!(
            said.contains(&format!("1 < DISCONNECT {expected}")),
            "{expected}: {said:?}"
        );
    };
    check(&mut |bench| bench.wait(91), "keep alive timeout");
    check(&mut |bench| bench.attach_v5_as(2, "c1"), "session taken over");
    check(
        &mut |bench| bench.closed(1, Departure::ServerShutdown),
        "server shutting down",
    );
    check(
        &mut |bench| bench.closed(1, Departure::Malformed(malformed)),
        "malformed packet",
    );
    check(&mut |bench| bench.revoke(), "not authorized");
    check(
        &mut |bench| bench.goodbye5(1, Reason::Success, &[Property::SessionExpirySeconds(1)]),
        "protocol error",
    );
}

impl Bench {
    fn attach_v5_as(&mut self, id: u64, client_id: &str) -> Vec<String> {
        self.attach_v5(id, &grant(EVERYTHING), asks5(client_id))
    }

    fn revoke(&mut self) -> Vec<String> {
        self.step(Event::Trust(Trust {
            tenant: Tenant::default(),
            certificate: CERTIFICATE,
            epoch: 2,
            grant: None,
        }))
    }
}

#[test]
fn a_goodbye_forgets_the_will_unless_it_asks_for_it() {
    let check = |reason, expected: &[&str]| {
        let mut bench = Bench::connected();
        bench.subscribe(1, &[("dt/x", QoS::AtMostOnce)]);
        let properties = words(&[Property::MessageExpirySeconds(5), Property::WillDelaySeconds(60)]);
        let connect = v5::Connect {
            will: Some(last_words("dt/x")),
            will_properties: of(&properties, Place::Will),
            ..asks5("c2")
        };
        bench.attach_v5(2, &grant(EVERYTHING), connect);
        assert_eq!(bench.goodbye5(2, reason, &[]), expected);
    };
    check(Reason::Success, &["2 closed CLIENT_INITIATED_DISCONNECT"]);
    // Its session ends with the connection, and so does the delay (section 3.1.3.2.2).
    let with_will = [
        "2 closed CLIENT_INITIATED_DISCONNECT",
        "1 < dt/x QoS 0 gone",
        "forward dt/x",
    ];
    check(Reason::DisconnectWithWill, &with_will);
}

#[test]
fn a_client_gets_no_more_and_nothing_longer_than_it_takes() {
    let mut bench = Bench::connected();
    let properties = words(&[
        Property::ReceiveMaximum(NonZeroU16::MIN),
        Property::MaximumPacketBytes(NonZeroU32::new(40).unwrap()),
    ]);
    let connect = v5::Connect {
        properties: of(&properties, Place::Connect),
        ..asks5("c2")
    };
    bench.attach_v5(2, &grant(EVERYTHING), connect);
    bench.subscribe5(2, "t", QoS::AtLeastOnce, false);
    let mut publish = |payload: &[u8]| {
        let said = bench.publish_payload(1, "t", payload, QoS::AtLeastOnce);
        said.iter().any(|line| line.starts_with("2 <"))
    };
    assert!(!publish(&[b'x'; 40]), "too long");
    assert!(publish(b"first"));
    assert!(!publish(b"second"), "waits for the PUBACK of the first");
    let acknowledged = bench.send5(2, v5::Packet::PublishAcknowledged(packet_id(1).into()));
    assert_eq!(acknowledged, ["2 < t QoS 1 second"]);
}

#[test]
fn a_client_that_takes_them_is_told_topics_by_number() {
    let (max, packet_bytes) = (2, NonZeroU32::new(40).unwrap());
    let asked = words(&[
        Property::TopicAliasMaximum(max),
        Property::MaximumPacketBytes(packet_bytes),
    ]);
    let mut connect = asks5("c1");
    connect.properties = Properties::new(&asked, Place::Connect).unwrap();
    let mut aliases = broker::Aliases::of(&connect, &Limits::AWS).unwrap();
    let mut told = |topic: &str, payload: &[u8]| {
        let message = Message::new(
            Tenant::default(),
            TopicName::new(topic).unwrap(),
            payload,
            QoS::AtMostOnce,
        );
        let packet = Outgoing::MessageV5 {
            message: message.unwrap(),
            delivery: Delivery::AtMostOnce,
            retain: false,
            identifiers: [].into_iter().collect(),
            expiry_seconds: None,
        };
        let mut bytes = Vec::new();
        packet.append_with(Some(&mut aliases), &mut bytes);
        match v5::decode(&bytes, usize::MAX) {
            Ok(v5::Decoded::Packet {
                packet: v5::Packet::Publish(publish),
                bytes: length,
            }) if length == bytes.len() => {
                assert_eq!(publish.payload, payload);
                (
                    publish.topic.map(|topic| topic.to_string()),
                    publish.topic_alias(),
                )
            }
            other => panic!("{other:?}"),
        }
    };
    let rows = [
        ("dt/a/long", &b"m"[..], Some("dt/a/long"), Some(1)),
        ("dt/a/long", b"m", None, Some(1)),
        ("t", b"m", Some("t"), None),
        ("dt/b/long", &[b'x'; 27], Some("dt/b/long"), None),
        ("dt/b/long", b"m", Some("dt/b/long"), Some(2)),
        ("dt/b/long", b"m", None, Some(2)),
        ("dt/c/long", b"m", Some("dt/c/long"), None),
        ("dt/a/long", b"m", None, Some(1)),
    ];
    for (number, (topic, payload, name, alias)) in rows.into_iter().enumerate() {
        assert_eq!(
            told(topic, payload),
            (name.map(str::to_owned), alias),
            "row {number}: {topic}"
        );
    }
    assert!(
        broker::Aliases::of(&asks5("c1"), &Limits::AWS).is_none(),
        "most take none"
    );
    let many = words(&[Property::TopicAliasMaximum(u16::MAX)]);
    connect.properties = Properties::new(&many, Place::Connect).unwrap();
    let mut aliases = broker::Aliases::of(&connect, &Limits::AWS).unwrap();
    let mut given = 0;
    for number in 0..100 {
        let topic = format!("dt/{number}/long");
        let message = Message::new(
            Tenant::default(),
            TopicName::new(&topic).unwrap(),
            b"m",
            QoS::AtMostOnce,
        );
        let packet = Outgoing::MessageV5 {
            message: message.unwrap(),
            delivery: Delivery::AtMostOnce,
            retain: false,
            identifiers: [].into_iter().collect(),
            expiry_seconds: None,
        };
        let (mut with, mut without) = (Vec::new(), Vec::new());
        packet.append_with(Some(&mut aliases), &mut with);
        packet.append_to(&mut without);
        given += usize::from(with.len() > without.len());
    }
    assert_eq!(
        given,
        usize::from(Limits::AWS.topic_aliases_max),
        "no more than the limit"
    );
}
