//! MQTT 5.0 on the wire, one line per rule: what is taken and, next to it, what is refused, for which statement and reason.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use mqtt::limits::PACKET_BYTES_AWS_MAX;
use mqtt::server::{self, First, NotFirst, Violation};
use mqtt::v5::{Decoded, Packet, Place, Properties, Property, Reason, RetainHandling, decode, encode};
use mqtt::{PacketType, Version};

/// A packet from its first byte and its body.
fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    assert!(body.len() < 128, "one length byte");
    [&[first, body.len() as u8][..], &body].concat()
}

fn whole(bytes: &[u8]) -> Packet<'_> {
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
fn taken(first: u8, parts: &[&[u8]]) {
    let bytes = packet(first, parts);
    let packet = whole(&bytes);
    let mut out = Vec::new();
    encode::packet(&mut out, &packet).unwrap();
    assert_eq!(out, bytes, "{packet:?}");
}

/// Taken, though there is a shorter way to say it.
fn taken_as(first: u8, parts: &[&[u8]], shorter: &[u8]) {
    let bytes = packet(first, parts);
    let mut out = Vec::new();
    encode::packet(&mut out, &whole(&bytes)).unwrap();
    assert_eq!(out, shorter);
}

fn refused(first: u8, parts: &[&[u8]], statement: &str, reason: Reason) {
    let bytes = packet(first, parts);
    let malformed = decode(&bytes, PACKET_BYTES_AWS_MAX).unwrap_err();
    assert_eq!(
        (malformed.statement(), malformed.reason()),
        (statement, reason),
        "{bytes:02x?}: {malformed}"
    );
    assert_eq!(malformed.version, Version::V5);
    assert!(malformed.to_string().ends_with(statement));
}

use Reason::{MalformedPacket as Bad, ProtocolError as Wrong};

const HEAD: &[u8] = b"\0\x04MQTT\x05";

#[test]
fn connect() {
    taken(0x10, &[HEAD, b"\x02\0\x3c\0\0\x01c"]);
    taken(0x10, &[HEAD, b"\0\0\x3c\0\0\0"]);
    // Session expiry, receive maximum, maximum packet size, alias maximum, both requests, a user property twice, a method.
    taken(
        0x10,
        &[
            HEAD,
            b"\x02\0\x3c\x31\x11\0\0\x0e\x10\x21\0\x0a\x27\0\0\x10\0\x22\0\x05\x19\x01\x17\0",
            b"\x26\0\x01a\0\x01b\x26\0\x01a\0\x01b\x15\0\x01m\x16\0\x01d\x26\0\x01x\0\x01y",
            b"\0\x01c",
        ],
    );
    // A will with delay and content type; then a password without a user name, which 3.1.1 refuses.
    taken(
        0x10,
        &[
            HEAD,
            b"\x2e\0\x3c\0\0\x01c\x09\x18\0\0\0\x05\x03\0\x01t\0\x01w\0\x02hi",
        ],
    );
    taken(0x10, &[HEAD, b"\x42\0\x3c\0\0\x01c\0\x01p"]);
    refused(0x10, &[HEAD, b"\x03\0\x3c\0\0\x01c"], "[MQTT-3.1.2-3]", Bad);
    refused(0x10, &[HEAD, b"\x0a\0\x3c\0\0\x01c"], "[MQTT-3.1.2-11]", Bad);
    refused(
        0x10,
        &[HEAD, b"\x1e\0\x3c\0\0\x01c\0\0\x01w\0\0"],
        "[MQTT-3.1.2-12]",
        Bad,
    );
    refused(0x10, &[b"\0\x04MQTX\x05\x02\0\x3c\0\0\0"], "[MQTT-3.1.2-1]", Bad);
    refused(
        0x10,
        &[HEAD, b"\x02\0\x3c\x03\x21\0\0\0\x01c"],
        "section 3.1.2.11.3",
        Wrong,
    );
    refused(
        0x10,
        &[HEAD, b"\x02\0\x3c\x05\x27\0\0\0\0\0\x01c"],
        "section 3.1.2.11.4",
        Wrong,
    );
    refused(
        0x10,
        &[HEAD, b"\x02\0\x3c\x02\x17\x02\0\x01c"],
        "section 2.2.2.2",
        Wrong,
    );
    refused(
        0x10,
        &[HEAD, b"\x02\0\x3c\x06\x22\0\x01\x22\0\x01\0\x01c"],
        "section 2.2.2.2",
        Wrong,
    );
    refused(
        0x10,
        &[HEAD, b"\x02\0\x3c\x04\x16\0\x01d\0\x01c"],
        "section 3.15.2.2.2",
        Wrong,
    );
    refused(
        0x10,
        &[HEAD, b"\x02\0\x3c\x03\x23\0\x01\0\x01c"],
        "section 2.2.2.2",
        Bad,
    );
    refused(
        0x10,
        &[HEAD, b"\x02\0\x3c\x01\x7f\0\x01c"],
        "section 2.2.2.2",
        Bad,
    );
    refused(0x10, &[HEAD, b"\x02\0\x3c\x80\0\0\x01c"], "[MQTT-1.5.5-1]", Bad);
    refused(0x10, &[HEAD, b"\x02\0\x3c\0\0\x01\0"], "[MQTT-1.5.4-2]", Bad);
    refused(0x10, &[HEAD, b"\x02\0\x3c\0\0\x01\xff"], "[MQTT-1.5.4-1]", Bad);
    refused(0x10, &[HEAD, b"\x02\0\x3c\0\0\x01cx"], "section 2.1.4", Bad);
    refused(0x11, &[HEAD, b"\x02\0\x3c\0\0\x01c"], "[MQTT-2.1.3-1]", Bad);
}

#[test]
fn connect_answer() {
    taken(0x20, &[b"\0\0\0"]);
    taken(0x20, &[b"\x01\0\x03\x21\0\x64"]);
    taken(0x20, &[b"\0\x87\x05\x1f\0\x02no"]);
    refused(0x20, &[b"\x01\x87\0"], "[MQTT-3.2.2-1]", Bad);
    refused(0x20, &[b"\x02\0\0"], "[MQTT-3.2.2-1]", Bad);
    refused(0x20, &[b"\0\x8b\0"], "section 2.4", Bad);
    refused(0x20, &[b"\0\0\x02\x24\x02"], "section 3.2.2.3.4", Wrong);
    refused(0x20, &[b"\0\0"], "section 1.5", Bad);
}

#[test]
fn publish() {
    taken(0x30, &[b"\0\x03a/b\0hi"]);
    taken(0x3b, &[b"\0\x03a/b\0\x07\0hi"]);
    // All that a message may carry, two subscription identifiers included.
    taken(
        0x32,
        &[
            b"\0\x01a\0\x07\x27\x01\x01\x02\0\0\0\x3c\x23\0\x08\x08\0\x01r\x09\0\x01c\x0b\x80\x01\x0b\x01",
            b"\x03\0\x01t\x26\0\x01k\0\x01v\x26\0\0\0\0hi",
        ],
    );
    taken(0x30, &[b"\0\0\x03\x23\0\x01hi"]);
    refused(0x30, &[b"\0\0\0hi"], "section 3.3.2.1", Wrong);
    refused(
        0x30,
        &[b"\0\0\x03\x23\0\0hi"],
        "[MQTT-3.3.2-8]",
        Reason::TopicAliasInvalid,
    );
    refused(
        0x30,
        &[b"\0\x01#\0hi"],
        "[MQTT-3.3.2-2]",
        Reason::TopicNameInvalid,
    );
    refused(0x30, &[b"\0\x01a\x04\x08\0\x01+hi"], "[MQTT-3.3.2-14]", Wrong);
    refused(0x30, &[b"\0\x01a\x02\x0b\0hi"], "section 3.3.2.3.8", Wrong);
    refused(
        0x30,
        &[b"\0\x01a\x04\x01\x01\x01\x01hi"],
        "section 2.2.2.2",
        Wrong,
    );
    refused(0x30, &[b"\0\x01a\x05\x11\0\0\0\x01hi"], "section 2.2.2.2", Bad);
    refused(0x30, &[b"\0\x01a\x07hi"], "section 1.5", Bad);
    refused(0x32, &[b"\0\x01a\0\0\0hi"], "[MQTT-2.2.1-3]", Bad);
    refused(0x36, &[b"\0\x01a\0\x01\0hi"], "[MQTT-3.3.1-4]", Bad);
    refused(0x38, &[b"\0\x01a\0hi"], "[MQTT-3.3.1-2]", Bad);
}

#[test]
fn acknowledgements() {
    for first in [0x40, 0x50, 0x62, 0x70] {
        taken(first, &[b"\0\x07"]);
        taken_as(first, &[b"\0\x07\0"], &packet(first, &[b"\0\x07"]));
        taken_as(first, &[b"\0\x07\0\0"], &packet(first, &[b"\0\x07"]));
        taken(first, &[b"\0\x07\0\x05\x1f\0\x02no"]);
        refused(first, &[b"\0\0"], "[MQTT-2.2.1-3]", Bad);
        refused(first, &[b"\0\x07\x01"], "section 2.4", Bad);
        refused(first, &[b"\0\x07\0\x02\x01\x01"], "section 2.2.2.2", Bad);
    }
    taken(0x40, &[b"\0\x07\x87"]);
    taken(0x62, &[b"\0\x07\x92"]);
    refused(0x40, &[b"\0\x07\x92"], "section 2.4", Bad);
    refused(0x62, &[b"\0\x07\x87"], "section 2.4", Bad);
    refused(0x60, &[b"\0\x07"], "[MQTT-2.1.3-1]", Bad);
}

#[test]
fn subscribe_and_unsubscribe() {
    taken(0x82, &[b"\0\x01\0\0\x03a/#\x2d\0\x01b\0"]);
    taken(0x82, &[b"\0\x01\x02\x0b\x05\0\x01b\0"]);
    taken(0xa2, &[b"\0\x01\0\0\x03a/#\0\x01b"]);
    taken(0x90, &[b"\0\x01\0\0\x01\x87\x97"]);
    taken(0xb0, &[b"\0\x01\0\0\x11\x87"]);
    let bytes = packet(0x82, &[b"\0\x01\0\0\x03a/#\x2d"]);
    let Packet::Subscribe(request) = whole(&bytes) else {
        panic!("not a SUBSCRIBE")
    };
    let line = request.subscriptions.clone().next().unwrap();
    assert!(line.no_local && line.retain_as_published);
    assert_eq!(line.retain_handling, RetainHandling::DoNotSend);
    refused(0x82, &[b"\0\x01\0"], "[MQTT-3.8.3-2]", Wrong);
    refused(0xa2, &[b"\0\x01\0"], "[MQTT-3.10.3-2]", Wrong);
    refused(0x82, &[b"\0\x01\0\0\x01b\x40"], "[MQTT-3.8.3-5]", Bad);
    refused(0x82, &[b"\0\x01\0\0\x01b\x30"], "section 3.8.3.1", Wrong);
    refused(0x82, &[b"\0\x01\0\0\x01b\x03"], "section 3.8.3.1", Wrong);
    refused(0x82, &[b"\0\x01\0\0\x0a$share/g/a\x04"], "[MQTT-3.8.3-4]", Wrong);
    refused(
        0x82,
        &[b"\0\x01\0\0\x02b#\0"],
        "[MQTT-4.7.1-1]",
        Reason::TopicFilterInvalid,
    );
    refused(
        0x82,
        &[b"\0\x01\0\0\x02b+\0"],
        "[MQTT-4.7.1-2]",
        Reason::TopicFilterInvalid,
    );
    refused(0x82, &[b"\0\x01\x02\x0b\0\0\x01b\0"], "section 3.3.2.3.8", Wrong);
    refused(
        0x82,
        &[b"\0\x01\x04\x0b\x01\x0b\x02\0\x01b\0"],
        "section 2.2.2.2",
        Wrong,
    );
    refused(0xa2, &[b"\0\x01\x02\x0b\x05\0\x01b"], "section 2.2.2.2", Bad);
    refused(0x90, &[b"\0\x01\0"], "section 3.9.3", Wrong);
    refused(0x90, &[b"\0\x01\0\x11"], "section 2.4", Bad);
    refused(0xb0, &[b"\0\x01\0\x01"], "section 2.4", Bad);
}

#[test]
fn the_end_and_authentication() {
    taken(0xe0, &[]);
    taken(0xe0, &[b"\x04"]);
    taken_as(0xe0, &[b"\0"], b"\xe0\0");
    taken_as(0xe0, &[b"\x8e\0"], b"\xe0\x01\x8e");
    taken(0xe0, &[b"\0\x05\x11\0\0\0\x05"]);
    taken(0xf0, &[]);
    taken(0xf0, &[b"\x18\x08\x15\0\x01m\x16\0\x01d"]);
    taken(0xc0, &[]);
    taken(0xd0, &[]);
    refused(0xe0, &[b"\x01"], "section 2.4", Bad);
    refused(0xe0, &[b"\0\x02\x01\x01"], "section 2.2.2.2", Bad);
    refused(0xf0, &[b"\x18\0"], "section 3.15.2.2.2", Wrong);
    refused(0xf0, &[b"\x87\x04\x15\0\x01m"], "section 2.4", Bad);
    refused(0xf1, &[], "[MQTT-2.1.3-1]", Bad);
    refused(0xc0, &[b"\0"], "section 2.1.4", Bad);
    refused(0x00, &[], "section 2.1.2", Bad);
}

#[test]
fn lengths_are_as_short_as_can_be() {
    let malformed = decode(&[0xc0, 0x80, 0x00], 100).unwrap_err();
    assert_eq!(malformed.statement(), "[MQTT-1.5.5-1]");
    let malformed = decode(&[0x30, 0xe4, 0x01], 229).unwrap_err();
    assert_eq!(
        (malformed.statement(), malformed.reason()),
        ("[MQTT-3.2.2-15]", Reason::PacketTooLarge)
    );
    assert_eq!(
        decode(&[0x30, 0xe4, 0x01], 231),
        Ok(Decoded::Incomplete { bytes_needed: 231 })
    );
}

#[test]
fn the_first_packet_chooses_the_version() {
    let check = |bytes: &[u8], expected: &str| {
        let said = match server::first(bytes, 1_000) {
            Ok(First::Connect {
                version,
                connect,
                bytes,
            }) => format!("{version} {} {bytes}", connect.client_id),
            Ok(First::Foreign(foreign)) => foreign.to_string(),
            Ok(First::Incomplete { bytes_needed }) => format!("{bytes_needed} bytes"),
            Err(NotFirst::Malformed(malformed)) => malformed.to_string(),
            Err(NotFirst::Violation(violation)) => violation.to_string(),
        };
        assert_eq!(said, expected);
    };
    check(
        &packet(0x10, &[b"\0\x04MQTT\x04\x02\0\x3c\0\x01c"]),
        "MQTT 3.1.1 c 15",
    );
    check(&packet(0x10, &[HEAD, b"\x02\0\x3c\0\0\x01c"]), "MQTT 5.0 c 16");
    check(
        &packet(0x10, &[b"\0\x04MQTT\x06\x02\0\x3c\0\x01c"]),
        "MQTT protocol level 6",
    );
    check(
        &packet(0x10, &[b"\0\x06MQIsdp\x03\x02\0\x3c\0\x01c"]),
        "MQTT 3.1 (protocol level 3)",
    );
    check(&[0x10], "2 bytes");
    check(
        &packet(0x10, &[HEAD, b"\x03\0\x3c\0\0\x01c"]),
        "malformed CONNECT: reserved connect flag is set [MQTT-3.1.2-3]",
    );
    check(
        &[0xc0, 0],
        "first packet is PINGREQ, must be CONNECT [MQTT-3.1.0-1]",
    );
}

#[test]
fn a_client_keeps_to_its_direction() {
    let check = |first: u8, parts: &[&[u8]], expected: Result<(), Violation>| {
        let bytes = packet(first, parts);
        assert_eq!(server::request_v5(whole(&bytes)).map(|_| ()), expected);
    };
    check(0x30, &[b"\0\x01a\0"], Ok(()));
    check(0x40, &[b"\0\x01"], Ok(()));
    check(0xe0, &[b"\x04"], Ok(()));
    check(0x34, &[b"\0\x01a\0\x01\0"], Ok(()));
    check(0x50, &[b"\0\x01"], Ok(()));
    check(0x62, &[b"\0\x01"], Ok(()));
    check(0x70, &[b"\0\x01"], Ok(()));
    check(0xf0, &[], Err(Violation::Authentication));
    check(0xd0, &[], Err(Violation::ServerOnly(PacketType::PingResp)));
    check(
        0x10,
        &[HEAD, b"\x02\0\x3c\0\0\x01c"],
        Err(Violation::SecondConnect),
    );
    assert_eq!(
        Violation::ExactlyOnce(PacketType::Publish).reason(),
        Reason::QoSNotSupported
    );
}

#[test]
fn properties_are_written_as_they_are_read() {
    let mut bytes = Vec::new();
    for property in [
        Property::ContentType("text/plain"),
        Property::UserProperty("k", "v"),
        Property::MessageExpirySeconds(7),
    ] {
        Properties::append(&mut bytes, property).unwrap();
    }
    let properties = Properties::new(&bytes, Place::Publish).unwrap();
    assert_eq!(properties.count(), 3);
    assert!(Properties::new(&bytes, Place::Disconnect).is_err());
    let long = "x".repeat(65_536);
    let before = bytes.clone();
    assert!(Properties::append(&mut bytes, Property::UserProperty("k", &long)).is_err());
    assert_eq!(bytes, before);
}
