//! Bytes on the wire, one line per rule: what is taken and, next to it, what is refused and for which statement.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use mqtt::encode::{self, Unencodable};
use mqtt::limits::{FIELD_BYTES_MAX, PACKET_BYTES_AWS_MAX, PACKET_BYTES_MAX, REMAINING_LENGTH_MAX};
use mqtt::{
    Connect, ConnectAnswer, ConnectReturn, Decoded, Delivery, Packet, PacketId, Publish, QoS, SharedPublish,
    SubscribeReturn, Subscription, TopicFilter, TopicName, decode,
};

const CONNECT_HEAD: &[u8] = &[0, 4, b'M', b'Q', b'T', b'T', 4];

/// A packet from its first byte and its body.
fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    assert!(body.len() < 128, "one length byte");
    [&[first, body.len() as u8][..], &body].concat()
}

fn decode_whole(bytes: &[u8]) -> Packet<'_> {
    match decode(bytes, PACKET_BYTES_AWS_MAX) {
        Ok(Decoded::Packet {
            packet,
            bytes: length,
        }) => {
            assert_eq!(length, bytes.len());
            packet
        }
        other => panic!("{bytes:02x?}: {other:?}"),
    }
}

/// Taken, and written back as the same bytes.
fn taken(bytes: &[u8]) {
    let packet = decode_whole(bytes);
    let mut out = Vec::new();
    encode::packet(&mut out, &packet).unwrap();
    assert_eq!(out, bytes, "{packet:?}");
}

fn refused(bytes: &[u8], code: &str) {
    match decode(bytes, PACKET_BYTES_AWS_MAX) {
        Err(malformed) => {
            assert_eq!(malformed.code(), code, "{malformed}");
            assert!(malformed.to_string().is_ascii());
        }
        other => panic!("{bytes:02x?}: {other:?}, expected {code}"),
    }
}

#[test]
fn fixed_headers_2_2() {
    for bytes in [
        &[0x20, 2, 0, 0][..],
        &[0x40, 2, 0, 1],
        &[0x50, 2, 1, 0],
        &[0x62, 2, 0xff, 0xff],
        &[0x70, 2, 0, 9],
        &[0x90, 3, 0, 1, 0x80],
        &[0xb0, 2, 0, 1],
        &[0xc0, 0],
        &[0xd0, 0],
        &[0xe0, 0],
    ] {
        taken(bytes);
    }
    refused(&[0x00, 0], "mqtt.type.reserved");
    refused(&[0xf0, 0], "mqtt.type.reserved");
    refused(&[0x11], "mqtt.flags.reserved");
    refused(&[0x60, 2, 0, 1], "mqtt.flags.reserved");
    refused(&[0x80, 6], "mqtt.flags.reserved");
    refused(&[0xa0, 5], "mqtt.flags.reserved");
    refused(&[0xc1, 0], "mqtt.flags.reserved");
    refused(&[0xe0, 1, 0], "mqtt.field.trailing");
    refused(&[0x40, 3, 0, 1, 0], "mqtt.field.trailing");
    refused(&[0x40, 1, 0], "mqtt.field.truncated");
    refused(&[0x40, 2, 0, 0], "mqtt.packet_id.zero");
}

#[test]
fn remaining_length_is_four_bytes_at_most() {
    let needs = |bytes: &[u8], expected| {
        assert_eq!(
            decode(bytes, PACKET_BYTES_MAX),
            Ok(Decoded::Incomplete {
                bytes_needed: expected
            })
        );
    };
    needs(&[], 2);
    needs(&[0x30], 2);
    needs(&[0x30, 0x80], 3);
    needs(&[0x30, 0x80, 0x80, 0x80], 5);
    needs(&[0x30, 0x7f], 129);
    needs(&[0x30, 0x80, 0x01], 131);
    needs(&[0x30, 0xff, 0xff, 0xff, 0x7f], PACKET_BYTES_MAX);
    refused(&[0x30, 0x80, 0x80, 0x80, 0x80], "mqtt.length.field");
    refused(&[0x30, 0xff, 0xff, 0xff, 0xff, 0x01], "mqtt.length.field");
}

#[test]
fn the_largest_packet_is_taken_and_one_byte_more_refused() {
    let body = PACKET_BYTES_AWS_MAX - 4;
    let header = |length: usize| {
        [
            0x30,
            (length & 0x7f) as u8 | 0x80,
            (length >> 7 & 0x7f) as u8 | 0x80,
            (length >> 14) as u8,
        ]
    };
    let largest = header(body);
    assert_eq!(
        decode(&largest, PACKET_BYTES_AWS_MAX),
        Ok(Decoded::Incomplete {
            bytes_needed: PACKET_BYTES_AWS_MAX
        })
    );
    refused(&header(body + 1), "mqtt.length.limit");
}

#[test]
fn connect_3_1() {
    taken(&packet(0x10, &[CONNECT_HEAD, &[0x02, 0, 60, 0, 1, b'x']]));
    taken(&packet(0x10, &[CONNECT_HEAD, &[0x00, 0, 0, 0, 0]]));
    let everything = packet(
        0x10,
        &[
            CONNECT_HEAD,
            &[
                0b1110_1110,
                0x12,
                0x34,
                0,
                1,
                b'c',
                0,
                1,
                b'w',
                0,
                2,
                0,
                0xff,
                0,
                1,
                b'u',
                0,
                1,
                b'p',
            ],
        ],
    );
    taken(&everything);
    let Packet::Connect(connect) = decode_whole(&everything) else {
        panic!()
    };
    let will = connect.will.unwrap();
    assert_eq!(
        (
            connect.client_id,
            connect.clean_session,
            connect.keep_alive_seconds
        ),
        ("c", true, 0x1234)
    );
    assert_eq!(
        (will.topic.as_str(), will.payload, will.qos, will.retain),
        ("w", &[0, 0xff][..], QoS::AtLeastOnce, true)
    );
    assert_eq!(
        (connect.user_name, connect.password.unwrap().0),
        (Some("u"), &b"p"[..])
    );
    assert!(
        !format!("{connect:?}").contains("112"),
        "the password is not shown"
    );

    let with_flags = |flags: u8, rest: &[u8]| packet(0x10, &[CONNECT_HEAD, &[flags, 0, 0, 0, 1, b'c'], rest]);
    refused(&with_flags(0x03, &[]), "mqtt.connect.reserved");
    refused(&with_flags(0x0a, &[]), "mqtt.connect.will");
    refused(&with_flags(0x22, &[]), "mqtt.connect.will");
    refused(&with_flags(0x42, &[0, 0]), "mqtt.connect.password");
    refused(&with_flags(0x1e, &[0, 1, b'w', 0, 0]), "mqtt.qos.reserved");
    refused(&with_flags(0x06, &[0, 1, b'#', 0, 0]), "mqtt.topic.name");
    refused(&with_flags(0x06, &[0, 0, 0, 0]), "mqtt.topic.name");
    refused(&with_flags(0x06, &[0, 1, b'w']), "mqtt.field.truncated");
    refused(&with_flags(0x02, &[0]), "mqtt.field.trailing");
    refused(
        &packet(0x10, &[CONNECT_HEAD, &[2, 0, 0, 0, 2, 0xc3, 0x28]]),
        "mqtt.string.utf8",
    );
    refused(
        &packet(0x10, &[CONNECT_HEAD, &[2, 0, 0, 0, 3, 0xed, 0xa0, 0x80]]),
        "mqtt.string.utf8",
    );
    refused(
        &packet(0x10, &[CONNECT_HEAD, &[2, 0, 0, 0, 1, 0]]),
        "mqtt.string.null",
    );
    refused(
        &packet(0x10, &[&[0, 4, b'H', b'T', b'T', b'P', 4, 2, 0, 0, 0, 0]]),
        "mqtt.connect.protocol",
    );
    refused(&packet(0x10, &[&[0, 9, b'M']]), "mqtt.field.truncated");
}

#[test]
fn connect_of_another_version_is_recognised() {
    let check = |body: &[u8], level: u8, client_id: Option<&str>, refusal: &[u8], text: &str| {
        let bytes = packet(0x10, &[body]);
        let Packet::ForeignConnect(foreign) = decode_whole(&bytes) else {
            panic!("{body:?}")
        };
        assert_eq!(
            (foreign.level, foreign.client_id, foreign.refusal()),
            (level, client_id, refusal)
        );
        assert_eq!(foreign.to_string(), text);
    };
    let name = &CONNECT_HEAD[..6];
    let five = [name, &[5, 2, 0, 60, 5, 0x11, 0, 0, 0, 10, 0, 1, b'x']].concat();
    check(
        &five,
        5,
        Some("x"),
        &[0x20, 3, 0, 0x84, 0],
        "MQTT 5.0 (protocol level 5)",
    );
    let five_cut = [name, &[5, 2, 0, 60, 0x80]].concat();
    check(
        &five_cut,
        5,
        None,
        &[0x20, 3, 0, 0x84, 0],
        "MQTT 5.0 (protocol level 5)",
    );
    let three = [&[0, 6][..], b"MQIsdp", &[3, 2, 0, 60, 0, 1, b'x']].concat();
    check(
        &three,
        3,
        Some("x"),
        &[0x20, 2, 0, 1],
        "MQTT 3.1 (protocol level 3)",
    );
    let bridge = [name, &[0x84, 2, 0, 60, 0, 1, b'x']].concat();
    check(
        &bridge,
        0x84,
        Some("x"),
        &[0x20, 2, 0, 1],
        "MQTT protocol level 132",
    );
}

#[test]
fn connack_3_2() {
    for code in 0..=5 {
        taken(&[0x20, 2, 0, code]);
    }
    taken(&[0x20, 2, 1, 0]);
    refused(&[0x20, 2, 1, 5], "mqtt.connack.flags");
    refused(&[0x20, 2, 2, 0], "mqtt.connack.flags");
    refused(&[0x20, 2, 0, 6], "mqtt.return_code");
    let answer = ConnectAnswer {
        session_present: true,
        code: ConnectReturn::NotAuthorized,
    };
    assert_eq!(encode::connect_answer(answer), [0x20, 2, 0, 5], "[MQTT-3.2.2-4]");
}

#[test]
fn publish_3_3() {
    taken(&packet(0x30, &[&[0, 1, b'a']]));
    taken(&packet(0x31, &[&[0, 1, b'a', 1, 2, 3]]));
    taken(&packet(0x32, &[&[0, 1, b'a', 0, 1]]));
    taken(&packet(0x3a, &[&[0, 1, b'a', 0, 1, 0xff]]));
    taken(&packet(0x3c, &[&[0, 1, b'a', 0, 1]]));
    refused(&packet(0x36, &[&[0, 1, b'a', 0, 1]]), "mqtt.qos.reserved");
    refused(&packet(0x38, &[&[0, 1, b'a']]), "mqtt.duplicate.qos0");
    refused(&packet(0x32, &[&[0, 1, b'a', 0, 0]]), "mqtt.packet_id.zero");
    refused(&packet(0x32, &[&[0, 1, b'a', 0]]), "mqtt.field.truncated");
    refused(&packet(0x30, &[&[0, 0]]), "mqtt.topic.name");
    refused(&packet(0x30, &[&[0, 3, b'a', b'/', b'+']]), "mqtt.topic.name");
    refused(&packet(0x30, &[&[0, 3, b'a', b'/', b'#']]), "mqtt.topic.name");
    refused(&packet(0x30, &[&[0, 2, b'a', 0]]), "mqtt.string.null");
    refused(&packet(0x30, &[&[0, 2, 0xc3, 0x28]]), "mqtt.string.utf8");
    refused(&packet(0x30, &[&[0, 2, b'a']]), "mqtt.field.truncated");
}

#[test]
fn subscribe_and_unsubscribe_3_8_to_3_10() {
    taken(&packet(0x82, &[&[0, 1, 0, 1, b'a', 0]]));
    let two = packet(0x82, &[&[0, 7, 0, 3, b'a', b'/', b'#', 1, 0, 1, b'+', 2]]);
    taken(&two);
    let Packet::Subscribe(request) = decode_whole(&two) else {
        panic!()
    };
    let lines: Vec<_> = request
        .subscriptions
        .map(|line| (line.filter.as_str(), line.qos))
        .collect();
    assert_eq!(lines, [("a/#", QoS::AtLeastOnce), ("+", QoS::ExactlyOnce)]);
    refused(&packet(0x82, &[&[0, 1]]), "mqtt.list.empty");
    refused(&packet(0x82, &[&[0, 0, 0, 1, b'a', 0]]), "mqtt.packet_id.zero");
    refused(&packet(0x82, &[&[0, 1, 0, 1, b'a', 3]]), "mqtt.qos.reserved");
    refused(
        &packet(0x82, &[&[0, 1, 0, 1, b'a', 4]]),
        "mqtt.subscribe.reserved",
    );
    refused(&packet(0x82, &[&[0, 1, 0, 1, b'a']]), "mqtt.field.truncated");
    refused(
        &packet(0x82, &[&[0, 1, 0, 2, b'a', b'#', 0]]),
        "mqtt.topic.filter",
    );
    refused(&packet(0x82, &[&[0, 1, 0, 0, 0]]), "mqtt.topic.filter");
    taken(&packet(0xa2, &[&[0, 1, 0, 1, b'a', 0, 1, b'#']]));
    refused(&packet(0xa2, &[&[0, 1]]), "mqtt.list.empty");
    refused(&packet(0xa2, &[&[0, 1, 0, 2, b'+', b'+']]), "mqtt.topic.filter");
    taken(&packet(0x90, &[&[0, 1, 0, 1, 2, 0x80]]));
    refused(&packet(0x90, &[&[0, 1]]), "mqtt.list.empty");
    refused(&packet(0x90, &[&[0, 1, 3]]), "mqtt.return_code");
}

#[test]
fn what_mqtt_cannot_say_is_not_written() {
    let long = "x".repeat(FIELD_BYTES_MAX + 1);
    let connect = |client_id, user_name, password| Connect {
        client_id,
        clean_session: true,
        keep_alive_seconds: 0,
        will: None,
        user_name,
        password,
    };
    let check = |connect: &Connect<'_>, expected| {
        let mut out = vec![7];
        assert_eq!(encode::connect(&mut out, connect), expected);
        assert_eq!(out == [7], expected.is_err());
    };
    check(&connect(&long[1..], None, None), Ok(()));
    check(
        &connect(&long, None, None),
        Err(Unencodable::FieldTooLong("client identifier")),
    );
    check(
        &connect("", Some(&long), None),
        Err(Unencodable::FieldTooLong("user name")),
    );
    check(
        &connect("", None, Some(mqtt::Password(b"p"))),
        Err(Unencodable::PasswordWithoutUserName),
    );

    let mut out = Vec::new();
    assert_eq!(
        encode::subscribe(&mut out, PacketId::FIRST, []),
        Err(Unencodable::Empty("topic filters"))
    );
    assert_eq!(
        encode::unsubscribe(&mut out, PacketId::FIRST, []),
        Err(Unencodable::Empty("topic filters"))
    );
    assert_eq!(
        encode::subscribe_answer(&mut out, PacketId::FIRST, []),
        Err(Unencodable::Empty("return codes"))
    );

    let topic = TopicName::new("t").unwrap();
    let payload = vec![0; REMAINING_LENGTH_MAX - 2];
    let message = Publish {
        topic,
        payload: &payload,
        delivery: Delivery::AtMostOnce,
        retain: false,
    };
    assert_eq!(
        encode::publish(&mut out, &message),
        Err(Unencodable::PacketTooLong)
    );
    assert!(out.is_empty());
}

#[test]
fn subscribe_lines_are_written_as_they_are_read() {
    let line = |filter, qos| Subscription {
        filter: TopicFilter::new(filter).unwrap(),
        qos,
    };
    let mut out = Vec::new();
    encode::subscribe(
        &mut out,
        PacketId::FIRST,
        [line("a", QoS::AtMostOnce), line("b/#", QoS::AtLeastOnce)],
    )
    .unwrap();
    assert_eq!(
        out,
        packet(0x82, &[&[0, 1, 0, 1, b'a', 0, 0, 3, b'b', b'/', b'#', 1]])
    );
    out.clear();
    let codes = [
        SubscribeReturn::Granted(QoS::AtLeastOnce),
        SubscribeReturn::Failure,
    ];
    encode::subscribe_answer(&mut out, PacketId::FIRST, codes).unwrap();
    assert_eq!(out, [0x90, 4, 0, 1, 1, 0x80]);
}

#[test]
fn one_shared_message_reaches_each_receiver_in_its_own_form() {
    for payload_bytes in [0, 1, 119, 120, 121, 122, 123, 124, 125, 16_380, 20_000] {
        let topic = TopicName::new("a/b").unwrap();
        let payload = vec![0x5a; payload_bytes];
        let shared = SharedPublish::new(topic, &payload).unwrap();
        assert_eq!((shared.topic(), shared.payload()), ("a/b", &payload[..]));
        let check = |delivery, retain| {
            let publish = Publish {
                topic,
                payload: &payload,
                delivery,
                retain,
            };
            let (mut expected, mut written) = (Vec::new(), Vec::new());
            encode::publish(&mut expected, &publish).unwrap();
            shared.append(delivery, retain, &mut written);
            assert!(written == expected, "{payload_bytes} bytes, {delivery:?}");
            if delivery != Delivery::AtMostOnce {
                assert_eq!(written.len(), shared.wire_bytes());
            }
        };
        let id = PacketId::new(0xabcd).unwrap();
        for retain in [false, true] {
            check(Delivery::AtMostOnce, retain);
            for duplicate in [false, true] {
                check(Delivery::AtLeastOnce { id, duplicate }, retain);
                check(Delivery::ExactlyOnce { id, duplicate }, retain);
            }
        }
    }
}
