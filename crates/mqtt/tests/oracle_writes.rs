//! The other way round: `mqtt-protocol-core` makes packets of values of its own, and we read the same values out of its bytes,
//! for both versions; what we write of them it reads as its own packet again.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::num::{NonZeroU16, NonZeroU32};

use mqtt::v5::Property;
use mqtt::{
    Decoded, Delivery, Packet, PacketId, Password, QoS, SubscribeReturn, TopicFilter, decode, encode, v5,
};
use mqtt_protocol_core::mqtt::packet::{self as theirs, Qos, SubEntry, SubOpts, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReturnCode, DisconnectReasonCode, PubackReasonCode, PubrecReasonCode, SubackReasonCode,
    SubackReturnCode,
};
use proptest::prelude::*;

/// What we read of one whole packet, which is written again as it came.
fn read(bytes: &[u8]) -> Packet<'_> {
    let Ok(Decoded::Packet { packet, bytes: read }) = decode(bytes, usize::MAX) else {
        panic!("{bytes:02x?}: {:?}", decode(bytes, usize::MAX))
    };
    assert_eq!(read, bytes.len());
    let mut again = Vec::new();
    encode::packet(&mut again, &packet).unwrap();
    assert_eq!(again, bytes);
    packet
}

/// The same in MQTT 5.0, where defaults may be written or left out: what we write is read as the same.
fn read_v5(bytes: &[u8]) -> v5::Packet<'_> {
    let Ok(v5::Decoded::Packet { packet, bytes: read }) = v5::decode(bytes, usize::MAX) else {
        panic!("{bytes:02x?}: {:?}", v5::decode(bytes, usize::MAX))
    };
    assert_eq!(read, bytes.len());
    let mut again = Vec::new();
    v5::encode::packet(&mut again, &packet).unwrap();
    let bytes = again.len();
    let packet_again = v5::decode(&again, usize::MAX).unwrap();
    let packet = packet.clone();
    assert_eq!(
        packet_again,
        v5::Decoded::Packet {
            packet: packet.clone(),
            bytes
        }
    );
    packet
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z/$]{1,12}", "[^\u{0}+#\u{1}-\u{1f}\u{7f}-\u{9f}]{1,30}"]
}

fn qos() -> impl Strategy<Value = (Qos, QoS)> {
    prop::sample::select(vec![
        (Qos::AtMostOnce, QoS::AtMostOnce),
        (Qos::AtLeastOnce, QoS::AtLeastOnce),
        (Qos::ExactlyOnce, QoS::ExactlyOnce),
    ])
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..60)
}

fn delivery(qos: QoS, id: u16, duplicate: bool) -> Delivery {
    let id = PacketId::new(id).unwrap();
    match qos {
        QoS::AtMostOnce => Delivery::AtMostOnce,
        QoS::AtLeastOnce => Delivery::AtLeastOnce { id, duplicate },
        QoS::ExactlyOnce => Delivery::ExactlyOnce { id, duplicate },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn connect(
        client_id in name(), clean: bool, keep_alive: u16, topic in name(), payload in bytes(), qos in qos(), retain: bool,
        user in name(), password in bytes(), expiry: u32, receive in 1..=u16::MAX,
    ) {
        let three = v3_1_1::Connect::builder().client_id(&*client_id).unwrap().clean_session(clean).keep_alive(keep_alive)
            .will_message(&*topic, payload.clone(), qos.0, retain).unwrap()
            .user_name(&*user).unwrap().password(password.clone()).unwrap().build().unwrap();
        let three = three.to_continuous_buffer();
        let Packet::Connect(read) = read(&three) else { panic!("{three:02x?}") };
        prop_assert_eq!((read.client_id, read.clean_session, read.keep_alive_seconds), (&*client_id, clean, keep_alive));
        let will = read.will.unwrap();
        prop_assert_eq!((will.topic.as_str(), will.payload, will.qos, will.retain), (&*topic, &*payload, qos.1, retain));
        prop_assert_eq!((read.user_name, read.password), (Some(&*user), Some(Password(&password))));

        let words = vec![
            theirs::Property::SessionExpiryInterval(theirs::SessionExpiryInterval::new(expiry).unwrap()),
            theirs::Property::ReceiveMaximum(theirs::ReceiveMaximum::new(receive).unwrap()),
        ];
        let five = v5_0::Connect::builder().client_id(&*client_id).unwrap().clean_start(clean).keep_alive(keep_alive)
            .will_message(&*topic, payload.clone(), qos.0, retain).unwrap()
            .user_name(&*user).unwrap().password(password.clone()).unwrap().props(words).build().unwrap();
        let five = five.to_continuous_buffer();
        let v5::Packet::Connect(read) = read_v5(&five) else { panic!("{five:02x?}") };
        prop_assert_eq!((read.client_id, read.clean_start, read.keep_alive_seconds), (&*client_id, clean, keep_alive));
        let will = read.will.unwrap();
        prop_assert_eq!((will.topic.as_str(), will.payload, will.qos, will.retain), (&*topic, &*payload, qos.1, retain));
        let words: Vec<_> = read.properties.collect();
        let receive = NonZeroU16::new(receive).unwrap();
        prop_assert_eq!(words, [Property::SessionExpirySeconds(expiry), Property::ReceiveMaximum(receive)]);
    }

    #[test]
    fn publish(
        topic in name(), payload in bytes(), qos in qos(), id in 1..=u16::MAX, again: bool, retain: bool,
        expiry: u32, alias in 1..=u16::MAX, key in name(), value in name(), answer in name(), correlation in bytes(),
    ) {
        let again = again && qos.1 != QoS::AtMostOnce;
        let mut builder = v3_1_1::Publish::builder().topic_name(&*topic).unwrap().qos(qos.0).dup(again).retain(retain)
            .payload(payload.clone());
        if qos.1 != QoS::AtMostOnce {
            builder = builder.packet_id(id);
        }
        let three = builder.build().unwrap().to_continuous_buffer();
        let Packet::Publish(read) = read(&three) else { panic!("{three:02x?}") };
        let delivery = delivery(qos.1, id, again);
        prop_assert_eq!((read.topic.as_str(), read.payload, read.delivery, read.retain), (&*topic, &*payload, delivery, retain));

        let words = vec![
            theirs::Property::MessageExpiryInterval(theirs::MessageExpiryInterval::new(expiry).unwrap()),
            theirs::Property::TopicAlias(theirs::TopicAlias::new(alias).unwrap()),
            theirs::Property::ResponseTopic(theirs::ResponseTopic::new(&*answer).unwrap()),
            theirs::Property::CorrelationData(theirs::CorrelationData::new(correlation.clone()).unwrap()),
            theirs::Property::UserProperty(theirs::UserProperty::new(&*key, &*value).unwrap()),
        ];
        let mut builder = v5_0::Publish::builder().topic_name(&*topic).unwrap().qos(qos.0).dup(again).retain(retain)
            .payload(payload.clone()).props(words);
        if qos.1 != QoS::AtMostOnce {
            builder = builder.packet_id(id);
        }
        let five = builder.build().unwrap().to_continuous_buffer();
        let v5::Packet::Publish(read) = read_v5(&five) else { panic!("{five:02x?}") };
        prop_assert_eq!(read.topic.map(|topic| topic.as_str()), Some(&*topic));
        prop_assert_eq!((read.payload, read.delivery, read.retain), (&*payload, delivery, retain));
        let words: Vec<_> = read.properties.collect();
        prop_assert_eq!(words, [
            Property::MessageExpirySeconds(expiry),
            Property::TopicAlias(NonZeroU16::new(alias).unwrap()),
            Property::ResponseTopic(mqtt::TopicName::new(&answer).unwrap()),
            Property::CorrelationData(&correlation),
            Property::UserProperty(&key, &value),
        ]);
    }

    #[test]
    fn subscribe_and_unsubscribe(
        id in 1..=u16::MAX, number in 1..268_435_456_u32,
        lines in prop::collection::vec((name(), qos(), any::<bool>(), any::<bool>(), 0..3_usize), 1..5),
    ) {
        let handlings = [
            (theirs::RetainHandling::SendRetained, v5::RetainHandling::Send),
            (theirs::RetainHandling::SendRetainedIfNotExists, v5::RetainHandling::SendIfNew),
            (theirs::RetainHandling::DoNotSendRetained, v5::RetainHandling::DoNotSend),
        ];
        let entries = |with_options: bool| lines.iter().map(|(filter, qos, local, kept, handling)| {
            let plain = SubOpts::new().set_qos(qos.0);
            let options = plain.set_nl(*local).set_rap(*kept).set_rh(handlings[*handling].0);
            SubEntry::new(&**filter, if with_options { options } else { plain }).unwrap()
        }).collect::<Vec<_>>();
        let three = v3_1_1::Subscribe::builder().packet_id(id).entries(entries(false)).build().unwrap().to_continuous_buffer();
        let Packet::Subscribe(read_3) = read(&three) else { panic!("{three:02x?}") };
        let expected: Vec<_> = lines.iter().map(|(filter, qos, ..)| (filter.as_str(), qos.1)).collect();
        let found: Vec<_> = read_3.subscriptions.map(|line| (line.filter.as_str(), line.qos)).collect();
        prop_assert_eq!((read_3.id.value(), found), (id, expected));

        let words = vec![theirs::Property::SubscriptionIdentifier(theirs::SubscriptionIdentifier::new(number).unwrap())];
        let five = v5_0::Subscribe::builder().packet_id(id).entries(entries(true)).props(words).build().unwrap();
        let five = five.to_continuous_buffer();
        let v5::Packet::Subscribe(read_5) = read_v5(&five) else { panic!("{five:02x?}") };
        let expected: Vec<_> = lines.iter().map(|(filter, qos, local, kept, handling)| v5::Subscription {
            filter: TopicFilter::new(filter).unwrap(),
            qos: qos.1,
            no_local: *local,
            retain_as_published: *kept,
            retain_handling: handlings[*handling].1,
        }).collect();
        prop_assert_eq!((read_5.id.value(), read_5.subscriptions.collect::<Vec<_>>()), (id, expected));
        let words: Vec<_> = read_5.properties.collect();
        prop_assert_eq!(words, [Property::SubscriptionIdentifier(NonZeroU32::new(number).unwrap())]);

        let filters: Vec<&str> = lines.iter().map(|(filter, ..)| filter.as_str()).collect();
        let three = v3_1_1::Unsubscribe::builder().packet_id(id).entries(filters.clone()).unwrap().build().unwrap();
        let three = three.to_continuous_buffer();
        let Packet::Unsubscribe(read_3) = read(&three) else { panic!("{three:02x?}") };
        prop_assert_eq!(read_3.filters.map(|filter| filter.as_str()).collect::<Vec<_>>(), filters.clone());
        let five = v5_0::Unsubscribe::builder().packet_id(id).entries(filters.clone()).unwrap().build().unwrap();
        let five = five.to_continuous_buffer();
        let v5::Packet::Unsubscribe(read_5) = read_v5(&five) else { panic!("{five:02x?}") };
        prop_assert_eq!(read_5.filters.map(|filter| filter.as_str()).collect::<Vec<_>>(), filters);
    }

    #[test]
    fn answers(id in 1..=u16::MAX, present: bool) {
        let three = v3_1_1::Connack::builder().session_present(present).return_code(ConnectReturnCode::Accepted);
        let three = three.build().unwrap().to_continuous_buffer();
        let Packet::ConnectAnswer(read_3) = read(&three) else { panic!("{three:02x?}") };
        prop_assert_eq!(read_3.session_present, present);
        let codes = vec![SubackReturnCode::SuccessMaximumQos1, SubackReturnCode::Failure];
        let three = v3_1_1::Suback::builder().packet_id(id).return_codes(codes).build().unwrap().to_continuous_buffer();
        let Packet::SubscribeAnswer(read_3) = read(&three) else { panic!("{three:02x?}") };
        let codes = [SubscribeReturn::Granted(QoS::AtLeastOnce), SubscribeReturn::Failure];
        prop_assert_eq!(read_3.codes.collect::<Vec<_>>(), codes);

        let codes = vec![SubackReasonCode::GrantedQos2, SubackReasonCode::NotAuthorized];
        let five = v5_0::Suback::builder().packet_id(id).reason_codes(codes).build().unwrap().to_continuous_buffer();
        let v5::Packet::SubscribeAnswer(read_5) = read_v5(&five) else { panic!("{five:02x?}") };
        prop_assert_eq!(read_5.id.value(), id);
        let five = v5_0::Puback::builder().packet_id(id).reason_code(PubackReasonCode::NoMatchingSubscribers).build().unwrap();
        let five = five.to_continuous_buffer();
        let v5::Packet::PublishAcknowledged(read_5) = read_v5(&five) else { panic!("{five:02x?}") };
        prop_assert_eq!((read_5.id.value(), read_5.reason), (id, v5::Reason::NoMatchingSubscribers));
        let five = v5_0::Pubrec::builder().packet_id(id).reason_code(PubrecReasonCode::QuotaExceeded).build().unwrap();
        let five = five.to_continuous_buffer();
        let v5::Packet::PublishReceived(read_5) = read_v5(&five) else { panic!("{five:02x?}") };
        prop_assert_eq!((read_5.id.value(), read_5.reason), (id, v5::Reason::QuotaExceeded));
        let five = v5_0::Disconnect::builder().reason_code(DisconnectReasonCode::DisconnectWithWillMessage).build().unwrap();
        let five = five.to_continuous_buffer();
        let v5::Packet::Disconnect(read_5) = read_v5(&five) else { panic!("{five:02x?}") };
        prop_assert_eq!(read_5.reason, v5::Reason::DisconnectWithWill);
    }
}
