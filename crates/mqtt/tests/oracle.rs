//! Side by side with `mqtt-protocol-core`, another implementation: what we write it reads as the same packet; what we read
//! it reads too; and where it is more lenient, we refuse for one of the named statements. Then round trips of our own.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use mqtt::limits::PACKET_BYTES_AWS_MAX;
use mqtt::{
    Connect, Decoded, Delivery, Fault, Packet, PacketId, Password, Publish, QoS, Subscription, TopicFilter,
    TopicName, Will, decode, encode,
};
use mqtt_protocol_core::mqtt::Arc;
use mqtt_protocol_core::mqtt::connection::{PacketBuildResult, PacketBuilder};
use mqtt_protocol_core::mqtt::packet::v3_1_1;
use mqtt_protocol_core::mqtt::result_code::MqttError;
use proptest::prelude::*;

/// The other implementation's reading of one whole packet, as the bytes it would write.
fn oracle(bytes: &[u8]) -> Result<Vec<u8>, MqttError> {
    let mut builder = PacketBuilder::new();
    let raw = match builder.feed(&mut mqtt_protocol_core::mqtt::common::Cursor::new(bytes)) {
        PacketBuildResult::Complete(raw) => raw,
        PacketBuildResult::Incomplete => return Err(MqttError::MalformedPacket),
        PacketBuildResult::Error(error) => return Err(error),
    };
    Ok(match raw.packet_type() {
        1 => raw.parse_exact(v3_1_1::Connect::parse)?.to_continuous_buffer(),
        2 => raw.parse_exact(v3_1_1::Connack::parse)?.to_continuous_buffer(),
        3 => {
            let body: Arc<[u8]> = Arc::from(raw.data_as_slice());
            v3_1_1::Publish::parse(raw.flags(), body)?
                .0
                .to_continuous_buffer()
        }
        4 => raw.parse_exact(v3_1_1::Puback::parse)?.to_continuous_buffer(),
        5 => raw.parse_exact(v3_1_1::Pubrec::parse)?.to_continuous_buffer(),
        6 => raw.parse_exact(v3_1_1::Pubrel::parse)?.to_continuous_buffer(),
        7 => raw.parse_exact(v3_1_1::Pubcomp::parse)?.to_continuous_buffer(),
        8 => raw.parse_exact(v3_1_1::Subscribe::parse)?.to_continuous_buffer(),
        9 => raw.parse_exact(v3_1_1::Suback::parse)?.to_continuous_buffer(),
        10 => raw
            .parse_exact(v3_1_1::Unsubscribe::parse)?
            .to_continuous_buffer(),
        11 => raw.parse_exact(v3_1_1::Unsuback::parse)?.to_continuous_buffer(),
        12 => raw.parse_exact(v3_1_1::Pingreq::parse)?.to_continuous_buffer(),
        13 => raw.parse_exact(v3_1_1::Pingresp::parse)?.to_continuous_buffer(),
        14 => raw.parse_exact(v3_1_1::Disconnect::parse)?.to_continuous_buffer(),
        _ => return Err(MqttError::MalformedPacket),
    })
}

/// What the oracle lets pass and the standard does not.
fn stricter_than_oracle(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::Flags(_)
            | Fault::NullCharacter(_)
            | Fault::PacketIdZero
            | Fault::QoS(_)
            | Fault::DuplicateAtMostOnce
            | Fault::TopicName(_)
            | Fault::TopicFilter(_)
            | Fault::ReservedBits(_)
            | Fault::ReservedConnectFlag
            | Fault::WillFlags
            | Fault::AcknowledgeFlags(_)
            // It takes the reason code that only MQTT 5.0 has after PUBACK and its kin.
            | Fault::Trailing(1)
    )
}

/// One whole packet in bytes: both agree, or we say which statement makes us stricter.
fn compare(bytes: &[u8]) -> Result<(), TestCaseError> {
    match (decode(bytes, PACKET_BYTES_AWS_MAX), oracle(bytes)) {
        (
            Ok(Decoded::Packet {
                packet: Packet::ForeignConnect(_),
                ..
            }),
            theirs,
        ) => prop_assert!(theirs.is_err()),
        (
            Ok(Decoded::Packet {
                packet,
                bytes: length,
            }),
            theirs,
        ) => {
            let mut out = Vec::new();
            prop_assert!(encode::packet(&mut out, &packet).is_ok());
            prop_assert_eq!(theirs.as_ref(), Ok(&out), "{:?}", packet);
            if shortest_length(bytes) {
                prop_assert_eq!(&out[..], &bytes[..length]);
            }
        }
        (Ok(Decoded::Incomplete { .. }), theirs) => prop_assert!(theirs.is_err()),
        (Err(malformed), Ok(_)) => prop_assert!(stricter_than_oracle(malformed.fault), "{malformed}"),
        (Err(_), Err(_)) => {}
    }
    Ok(())
}

/// The remaining length is not padded with needless continuation bytes, which the standard does not forbid.
fn shortest_length(bytes: &[u8]) -> bool {
    let length_bytes = bytes[1..].iter().take_while(|byte| **byte & 0x80 != 0).count();
    length_bytes == 0 || bytes[1 + length_bytes] != 0
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z/$]{0,12}", "[^\u{0}]{0,40}", "x{120,130}"]
}

fn topic_name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z/$]{1,12}", "[^\u{0}+#]{1,40}"]
}

fn topic_filter() -> impl Strategy<Value = String> {
    let level = prop_oneof![Just("+".to_owned()), "[a-z$]{0,3}"];
    (prop::collection::vec(level, 1..5), any::<bool>())
        .prop_map(|(levels, all)| levels.join("/") + if all { "/#" } else { "" })
        .prop_filter("not empty", |filter| !filter.is_empty())
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![
        Just(QoS::AtMostOnce),
        Just(QoS::AtLeastOnce),
        Just(QoS::ExactlyOnce)
    ]
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    (1..=u16::MAX).prop_map(|value| PacketId::new(value).unwrap())
}

fn delivery() -> impl Strategy<Value = Delivery> {
    (qos(), packet_id(), any::<bool>()).prop_map(|(qos, id, duplicate)| match qos {
        QoS::AtMostOnce => Delivery::AtMostOnce,
        QoS::AtLeastOnce => Delivery::AtLeastOnce { id, duplicate },
        QoS::ExactlyOnce => Delivery::ExactlyOnce { id, duplicate },
    })
}

/// Written, read by both, and the same packet again.
fn round_trip(packet: &Packet<'_>) -> Result<(), TestCaseError> {
    let mut bytes = Vec::new();
    prop_assert!(encode::packet(&mut bytes, packet).is_ok());
    let decoded = decode(&bytes, usize::MAX);
    prop_assert_eq!(
        &decoded,
        &Ok(Decoded::Packet {
            packet: packet.clone(),
            bytes: bytes.len()
        })
    );
    compare(&bytes)?;
    for cut in [1, bytes.len() / 2, bytes.len() - 1] {
        let partial = decode(&bytes[..cut], usize::MAX);
        let Ok(Decoded::Incomplete { bytes_needed }) = partial else {
            return Err(TestCaseError::fail("a part is not a packet"));
        };
        prop_assert!(bytes_needed > cut && bytes_needed <= bytes.len());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn connect_round_trips(
        client_id in text(),
        clean_session: bool,
        keep_alive_seconds: u16,
        will in prop::option::of((topic_name(), prop::collection::vec(any::<u8>(), 0..40), qos(), any::<bool>())),
        user_name in prop::option::of(text()),
        password in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
    ) {
        let will = will.as_ref().map(|(topic, payload, qos, retain)| {
            Will { topic: TopicName::new(topic).unwrap(), payload, qos: *qos, retain: *retain }
        });
        let password = user_name.as_ref().and(password.as_deref()).map(Password);
        let user_name = user_name.as_deref();
        round_trip(&Packet::Connect(Connect { client_id: &client_id, clean_session, keep_alive_seconds, will, user_name, password }))?;
    }

    #[test]
    fn publish_round_trips(
        topic in topic_name(),
        payload in prop::collection::vec(any::<u8>(), 0..300),
        delivery in delivery(),
        retain: bool,
    ) {
        let topic = TopicName::new(&topic).unwrap();
        round_trip(&Packet::Publish(Publish { topic, payload: &payload, delivery, retain }))?;
    }

    #[test]
    fn subscribe_round_trips(id in packet_id(), lines in prop::collection::vec((topic_filter(), qos()), 1..6)) {
        let lines = lines.iter().map(|(filter, qos)| Subscription { filter: TopicFilter::new(filter).unwrap(), qos: *qos });
        let mut bytes = Vec::new();
        encode::subscribe(&mut bytes, id, lines.clone()).unwrap();
        let Ok(Decoded::Packet { packet: packet @ Packet::Subscribe(request), .. }) = decode(&bytes, usize::MAX) else {
            return Err(TestCaseError::fail("not a SUBSCRIBE"));
        };
        prop_assert_eq!(request.subscriptions.collect::<Vec<_>>(), lines.collect::<Vec<_>>());
        round_trip(&packet)?;
    }

    #[test]
    fn random_bytes_are_read_alike(
        first: u8,
        body in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let bytes = [&[first, body.len() as u8][..], &body].concat();
        compare(&bytes)?;
    }

    #[test]
    fn damaged_packets_are_read_alike(
        kind in 0..8_usize,
        at in any::<prop::sample::Index>(),
        value: u8,
        cut in 0..3_usize,
    ) {
        let samples: [&[u8]; 8] = [
            b"\x10\x1c\x00\x04MQTT\x04\xee\x00\x3c\x00\x01c\x00\x01w\x00\x01m\x00\x01u\x00\x02pw",
            b"\x32\x0b\x00\x05a/b/c\x00\x01hi",
            b"\x82\x0e\x00\x01\x00\x03a/#\x01\x00\x03b/+\x00",
            b"\xa2\x0c\x00\x01\x00\x03a/#\x00\x03b/+",
            b"\x90\x05\x00\x01\x00\x01\x80",
            b"\x20\x02\x00\x00",
            b"\x40\x02\x12\x34",
            b"\x62\x02\x12\x34",
        ];
        let mut bytes = samples[kind].to_vec();
        let index = at.index(bytes.len());
        bytes[index] = value;
        bytes.truncate(bytes.len() - cut);
        if cut > 0 {
            bytes[1] = bytes[1].wrapping_sub(cut as u8);
        }
        compare(&bytes)?;
    }

    #[test]
    fn no_bytes_panic_and_the_same_text_is_a_name_and_an_exact_filter(bytes in prop::collection::vec(any::<u8>(), 0..64), topic in topic_name()) {
        let _any = decode(&bytes, PACKET_BYTES_AWS_MAX);
        let name = TopicName::new(&topic).unwrap();
        let filter = TopicFilter::new(&topic).unwrap();
        prop_assert!(filter.is_exact());
        prop_assert!(filter.matches(name, mqtt::Matching::Aws));
    }
}
