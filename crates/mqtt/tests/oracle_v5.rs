//! MQTT 5.0 side by side with `mqtt-protocol-core`: what we write it reads as the same packet; what we read it reads too; and
//! where it is more lenient, we refuse for one of the named faults. Then round trips of our own.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::num::{NonZeroU16, NonZeroU32};

use mqtt::limits::PACKET_BYTES_AWS_MAX;
use mqtt::v5::{
    Acknowledgement, Closing, Connect, ConnectAnswer, Decoded, Flaw, Packet, Place, Properties, Property,
    Publish, Reason, RetainHandling, Subscription, decode, encode,
};
use mqtt::{Delivery, Fault, PacketId, PacketType, Password, QoS, TopicFilter, TopicName, Will};
use mqtt_protocol_core::mqtt::Arc;
use mqtt_protocol_core::mqtt::connection::{PacketBuildResult, PacketBuilder};
use mqtt_protocol_core::mqtt::packet::v5_0;
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
        1 => raw.parse_exact(v5_0::Connect::parse)?.to_continuous_buffer(),
        2 => raw.parse_exact(v5_0::Connack::parse)?.to_continuous_buffer(),
        3 => {
            let body: Arc<[u8]> = Arc::from(raw.data_as_slice());
            v5_0::Publish::parse(raw.flags(), body)?.0.to_continuous_buffer()
        }
        4 => raw.parse_exact(v5_0::Puback::parse)?.to_continuous_buffer(),
        5 => raw.parse_exact(v5_0::Pubrec::parse)?.to_continuous_buffer(),
        6 => raw.parse_exact(v5_0::Pubrel::parse)?.to_continuous_buffer(),
        7 => raw.parse_exact(v5_0::Pubcomp::parse)?.to_continuous_buffer(),
        8 => raw.parse_exact(v5_0::Subscribe::parse)?.to_continuous_buffer(),
        9 => raw.parse_exact(v5_0::Suback::parse)?.to_continuous_buffer(),
        10 => raw.parse_exact(v5_0::Unsubscribe::parse)?.to_continuous_buffer(),
        11 => raw.parse_exact(v5_0::Unsuback::parse)?.to_continuous_buffer(),
        12 => raw.parse_exact(v5_0::Pingreq::parse)?.to_continuous_buffer(),
        13 => raw.parse_exact(v5_0::Pingresp::parse)?.to_continuous_buffer(),
        14 => raw.parse_exact(v5_0::Disconnect::parse)?.to_continuous_buffer(),
        15 => raw.parse_exact(v5_0::Auth::parse)?.to_continuous_buffer(),
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
            | Fault::V5(_)
    )
}

/// One whole packet in bytes: both agree, or we say which fault makes us stricter.
fn compare(bytes: &[u8]) -> Result<(), TestCaseError> {
    match (decode(bytes, PACKET_BYTES_AWS_MAX), oracle(bytes)) {
        (Ok(Decoded::Packet { packet, .. }), theirs) => {
            let mut out = Vec::new();
            prop_assert!(encode::packet(&mut out, &packet).is_ok());
            if stricter_than_we(&packet, theirs.as_ref().err()) {
                return Ok(());
            }
            let theirs = theirs.map_err(|error| TestCaseError::fail(format!("{packet:?}: {error:?}")))?;
            // Defaults may be written or left out: what counts is that it says the same.
            let again = decode(&theirs, PACKET_BYTES_AWS_MAX);
            let bytes = theirs.len();
            prop_assert_eq!(again, Ok(Decoded::Packet { packet, bytes }));
        }
        (Ok(Decoded::Incomplete { .. }), theirs) => prop_assert!(theirs.is_err()),
        (Err(malformed), Ok(_)) => prop_assert!(stricter_than_oracle(malformed.fault), "{malformed}"),
        (Err(_), Err(_)) => {}
    }
    Ok(())
}

/// What the standard allows and the oracle does not take: AUTH without words (section 3.15.2.1), and a password without a user
/// name (section 3.1.2.9).
fn stricter_than_we(packet: &Packet<'_>, error: Option<&MqttError>) -> bool {
    error.is_some()
        && match packet {
            Packet::Authenticate(_) => true,
            Packet::Connect(connect) => connect.password.is_some() && connect.user_name.is_none(),
            _ => false,
        }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z/$]{0,12}", "[^\u{0}]{0,40}", "x{120,130}"]
}

fn topic_name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z/$]{1,12}", "[^\u{0}+#]{1,40}"]
}

fn topic_filter() -> impl Strategy<Value = String> {
    let level = prop_oneof![Just("+".to_owned()), "[a-z]{1,3}"];
    (prop::collection::vec(level, 1..5), any::<bool>())
        .prop_map(|(levels, all)| levels.join("/") + if all { "/#" } else { "" })
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

/// Any selection of the properties that a place may have, as their bytes.
fn properties(place: Place) -> impl Strategy<Value = Vec<u8>> {
    (
        (
            any::<u32>(),
            any::<u16>(),
            any::<bool>(),
            text(),
            topic_name(),
            any::<u32>(),
        ),
        prop::collection::vec((text(), text()), 0..3),
    )
        .prop_map(move |((number, short, flag, text, topic, chosen), users)| {
            let short_1 = NonZeroU16::new(short).unwrap_or(NonZeroU16::MIN);
            let number_1 = NonZeroU32::new(number % 268_435_456).unwrap_or(NonZeroU32::MIN);
            let all = [
                Property::PayloadIsText(flag),
                Property::MessageExpirySeconds(number),
                Property::ContentType(&text),
                Property::ResponseTopic(TopicName::new(&topic).unwrap()),
                Property::CorrelationData(text.as_bytes()),
                Property::SubscriptionIdentifier(number_1),
                Property::SessionExpirySeconds(number),
                Property::AssignedClientIdentifier(&text),
                Property::ServerKeepAliveSeconds(short),
                Property::AuthenticationMethod(&text),
                Property::AuthenticationData(text.as_bytes()),
                Property::RequestProblemInformation(flag),
                Property::WillDelaySeconds(number),
                Property::RequestResponseInformation(flag),
                Property::ResponseInformation(&text),
                Property::ServerReference(&text),
                Property::ReasonString(&text),
                Property::ReceiveMaximum(short_1),
                Property::TopicAliasMaximum(short),
                Property::TopicAlias(short_1),
                Property::MaximumQoSIs1(flag),
                Property::RetainAvailable(flag),
                Property::MaximumPacketBytes(number_1),
                Property::WildcardSubscriptionAvailable(flag),
                Property::SubscriptionIdentifiersAvailable(flag),
                Property::SharedSubscriptionAvailable(flag),
            ];
            let chosen = |index: usize| chosen & 1 << index != 0;
            let users = users
                .iter()
                .map(|(name, value)| Property::UserProperty(name, value));
            let wanted = all.into_iter().enumerate().filter(|(index, _)| chosen(*index));
            let mut bytes = Vec::new();
            for property in wanted.map(|(_, property)| property).chain(users) {
                let length = bytes.len();
                Properties::append(&mut bytes, property).unwrap();
                if Properties::new(&bytes, place).is_err() {
                    bytes.truncate(length);
                }
            }
            bytes
        })
}

fn reason(kind: PacketType) -> impl Strategy<Value = Reason> {
    let all: Vec<Reason> = (0..=0xff)
        .filter_map(Reason::from_byte)
        .filter(|reason| reason.fits(kind))
        .collect();
    prop::sample::select(all)
}

/// Written, read by both, and the same packet again.
fn round_trip(packet: &Packet<'_>) -> Result<(), TestCaseError> {
    let mut bytes = Vec::new();
    prop_assert!(encode::packet(&mut bytes, packet).is_ok());
    let whole = Decoded::Packet {
        packet: packet.clone(),
        bytes: bytes.len(),
    };
    prop_assert_eq!(&decode(&bytes, usize::MAX), &Ok(whole));
    compare(&bytes)?;
    for cut in [1, bytes.len() / 2, bytes.len() - 1] {
        let Ok(Decoded::Incomplete { bytes_needed }) = decode(&bytes[..cut], usize::MAX) else {
            return Err(TestCaseError::fail("a part is not a packet"));
        };
        prop_assert!(bytes_needed > cut && bytes_needed <= bytes.len());
    }
    Ok(())
}

fn of(bytes: &[u8], place: Place) -> Properties<'_> {
    Properties::new(bytes, place).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn connect_round_trips(
        client_id in text(),
        clean_start: bool,
        keep_alive_seconds: u16,
        words in properties(Place::Connect),
        will in prop::option::of((topic_name(), prop::collection::vec(any::<u8>(), 0..40), qos(), any::<bool>())),
        will_words in properties(Place::Will),
        user_name in prop::option::of(text()),
        password in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
    ) {
        let will = will.as_ref().map(|(topic, payload, qos, retain)| {
            Will { topic: TopicName::new(topic).unwrap(), payload, qos: *qos, retain: *retain }
        });
        let will_properties = match will {
            Some(_) => of(&will_words, Place::Will),
            None => Properties::NONE,
        };
        round_trip(&Packet::Connect(Connect {
            client_id: &client_id,
            clean_start,
            keep_alive_seconds,
            properties: of(&words, Place::Connect),
            will,
            will_properties,
            user_name: user_name.as_deref(),
            password: password.as_deref().map(Password),
        }))?;
    }

    #[test]
    fn connect_answer_round_trips(present: bool, reason in reason(PacketType::ConnAck), words in properties(Place::ConnectAnswer)) {
        let session_present = present && reason == Reason::Success;
        round_trip(&Packet::ConnectAnswer(ConnectAnswer { session_present, reason, properties: of(&words, Place::ConnectAnswer) }))?;
    }

    #[test]
    fn publish_round_trips(
        topic in topic_name(),
        payload in prop::collection::vec(any::<u8>(), 0..300),
        qos in qos(),
        id in packet_id(),
        duplicate: bool,
        retain: bool,
        words in properties(Place::Publish),
    ) {
        let delivery = match qos {
            QoS::AtMostOnce => Delivery::AtMostOnce,
            QoS::AtLeastOnce => Delivery::AtLeastOnce { id, duplicate },
            QoS::ExactlyOnce => Delivery::ExactlyOnce { id, duplicate },
        };
        let topic = Some(TopicName::new(&topic).unwrap());
        let properties = of(&words, Place::Publish);
        let publish = Publish { topic, payload: &payload, delivery, retain, properties };
        round_trip(&Packet::Publish(publish))?;
        if publish.topic_alias().is_some() {
            round_trip(&Packet::Publish(Publish { topic: None, ..publish }))?;
        }
    }

    #[test]
    fn acknowledgements_round_trip(
        id in packet_id(),
        publish in reason(PacketType::PubAck),
        release in reason(PacketType::PubRel),
        end in reason(PacketType::Disconnect),
        words in properties(Place::Acknowledgement),
        end_words in properties(Place::Disconnect),
    ) {
        let properties = of(&words, Place::Acknowledgement);
        let first = Acknowledgement { id, reason: publish, properties };
        let second = Acknowledgement { id, reason: release, properties };
        round_trip(&Packet::PublishAcknowledged(first))?;
        round_trip(&Packet::PublishReceived(first))?;
        round_trip(&Packet::PublishReleased(second))?;
        round_trip(&Packet::PublishCompleted(second))?;
        round_trip(&Packet::Disconnect(Closing { reason: end, properties: of(&end_words, Place::Disconnect) }))?;
    }

    #[test]
    fn subscribe_round_trips(
        id in packet_id(),
        words in properties(Place::Subscribe),
        lines in prop::collection::vec((topic_filter(), qos(), any::<bool>(), any::<bool>(), 0..3_u8), 1..6),
    ) {
        let lines = lines.iter().map(|(filter, qos, no_local, retain_as_published, handling)| Subscription {
            filter: TopicFilter::new(filter).unwrap(),
            qos: *qos,
            no_local: *no_local,
            retain_as_published: *retain_as_published,
            retain_handling: [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend][usize::from(*handling)],
        });
        let mut bytes = Vec::new();
        encode::subscribe(&mut bytes, id, of(&words, Place::Subscribe), lines.clone()).unwrap();
        let Ok(Decoded::Packet { packet: packet @ Packet::Subscribe(request), .. }) = decode(&bytes, usize::MAX) else {
            return Err(TestCaseError::fail("not a SUBSCRIBE"));
        };
        prop_assert_eq!(request.subscriptions.collect::<Vec<_>>(), lines.collect::<Vec<_>>());
        round_trip(&packet)?;
    }

    #[test]
    fn answers_round_trip(
        id in packet_id(),
        words in properties(Place::Acknowledgement),
        granted in prop::collection::vec(reason(PacketType::SubAck), 1..6),
        ended in prop::collection::vec(reason(PacketType::UnsubAck), 1..6),
    ) {
        for (kind, reasons) in [(PacketType::SubAck, granted), (PacketType::UnsubAck, ended)] {
            let mut bytes = Vec::new();
            encode::answer(&mut bytes, kind, id, of(&words, Place::Acknowledgement), reasons.iter().copied()).unwrap();
            let Ok(Decoded::Packet { packet, .. }) = decode(&bytes, usize::MAX) else {
                return Err(TestCaseError::fail("not an answer"));
            };
            round_trip(&packet)?;
        }
    }

    #[test]
    fn random_bytes_are_read_alike(first: u8, body in prop::collection::vec(any::<u8>(), 0..100)) {
        compare(&[&[first, body.len() as u8][..], &body].concat())?;
    }

    #[test]
    fn damaged_packets_are_read_alike(
        kind in 0..10_usize,
        at in any::<prop::sample::Index>(),
        value: u8,
        cut in 0..3_usize,
    ) {
        let samples: [&[u8]; 10] = [
            b"\x10\x2a\x00\x04MQTT\x05\xee\x00\x3c\x08\x11\x00\x00\x00\x05\x21\x00\x05\x00\x01c\x02\x01\x01\x00\x01w\x00\x01m\x00\x01u\x00\x02pw",
            b"\x32\x14\x00\x05a/b/c\x00\x01\x07\x03\x00\x01t\x23\x00\x01hi",
            b"\x82\x11\x00\x01\x02\x0b\x05\x00\x03a/#\x01\x00\x03b/+\x2c",
            b"\xa2\x0d\x00\x01\x00\x00\x03a/#\x00\x03b/+",
            b"\x90\x06\x00\x01\x00\x00\x01\x80",
            b"\x20\x0b\x00\x00\x08\x21\x00\x64\x27\x00\x02\x48\x00",
            b"\x40\x09\x12\x34\x10\x05\x1f\x00\x02ok",
            b"\x62\x03\x12\x34\x92",
            b"\xe0\x07\x04\x05\x11\x00\x00\x00\x05",
            b"\xf0\x0a\x18\x08\x15\x00\x01m\x16\x00\x01d",
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
    fn each_property_has_its_places(bytes in properties(Place::ConnectAnswer)) {
        let properties = of(&bytes, Place::ConnectAnswer);
        if let Some(first) = properties.into_iter().find(|property| property.id() == 0x12) {
            let mut one = Vec::new();
            Properties::append(&mut one, first).unwrap();
            let flaw = Fault::V5(Flaw::PropertyMisplaced(0x12));
            prop_assert_eq!(Properties::new(&one, Place::Connect), Err(flaw));
        }
    }
}
