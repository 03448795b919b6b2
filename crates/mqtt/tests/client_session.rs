//! A client session against hand-written server bytes: order, identifiers, window, keep alive.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use mqtt::client::{ClientError, Event, Received, Session};
use mqtt::limits::{CLIENT_REQUESTS_MAX, CLIENT_UNACKNOWLEDGED_MAX, PACKET_BYTES_AWS_MAX};
use mqtt::{Connect, ConnectReturn, PacketId, PacketType, QoS, Subscription, TopicFilter, TopicName};

const ACCEPTED: &[u8] = &[0x20, 2, 0, 0];

fn connect(keep_alive_seconds: u16) -> (Session, Vec<u8>) {
    let connect = Connect {
        client_id: "c",
        clean_session: true,
        keep_alive_seconds,
        will: None,
        user_name: None,
        password: None,
    };
    let mut out = Vec::new();
    let session = Session::connect(&connect, PACKET_BYTES_AWS_MAX, 0, &mut out).unwrap();
    (session, out)
}

fn connected(keep_alive_seconds: u16) -> (Session, Vec<u8>) {
    let (mut session, mut out) = connect(keep_alive_seconds);
    assert_eq!(
        event(&mut session, ACCEPTED),
        Ok(Event::Connected {
            session_present: false
        })
    );
    out.clear();
    (session, out)
}

fn event<'a>(session: &mut Session, bytes: &'a [u8]) -> Result<Event<'a>, ClientError> {
    match session.receive(bytes)? {
        Received::Event { event, bytes: length } => {
            assert_eq!(length, bytes.len());
            Ok(event)
        }
        Received::Incomplete { .. } => panic!("{bytes:02x?} is a whole packet"),
    }
}

fn topic() -> TopicName<'static> {
    TopicName::new("t").unwrap()
}

fn id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}

#[test]
fn nothing_is_sent_before_the_server_accepts() {
    let (mut session, mut out) = connect(0);
    assert_eq!(
        out,
        [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 1, b'c']
    );
    out.clear();
    assert_eq!(
        session.publish(topic(), b"", QoS::AtMostOnce, 0, &mut out),
        Err(ClientError::NotConnected)
    );
    assert_eq!(
        event(&mut session, &[0xd0, 0]),
        Err(ClientError::Unexpected(PacketType::PingResp))
    );
    assert_eq!(
        session.receive(&ACCEPTED[..3]),
        Ok(Received::Incomplete { bytes_needed: 4 })
    );
    assert_eq!(
        event(&mut session, &[0x20, 2, 0, 5]),
        Ok(Event::Refused(ConnectReturn::NotAuthorized))
    );
    assert_eq!(
        session.publish(topic(), b"", QoS::AtMostOnce, 0, &mut out),
        Err(ClientError::NotConnected)
    );
    assert_eq!(
        event(&mut session, ACCEPTED),
        Err(ClientError::Unexpected(PacketType::ConnAck))
    );
    assert!(out.is_empty());
}

#[test]
fn qos_1_out_waits_for_its_own_acknowledgement() {
    let (mut session, mut out) = connected(0);
    assert_eq!(
        session.publish(topic(), b"m", QoS::AtMostOnce, 0, &mut out),
        Ok(None)
    );
    assert_eq!(
        session.publish(topic(), b"m", QoS::AtLeastOnce, 0, &mut out),
        Ok(Some(id(1)))
    );
    assert_eq!(out, [0x30, 4, 0, 1, b't', b'm', 0x32, 6, 0, 1, b't', 0, 1, b'm']);
    assert_eq!(session.unacknowledged(), 1);
    assert_eq!(event(&mut session, &[0x40, 2, 0, 1]), Ok(Event::Published(id(1))));
    assert_eq!(
        event(&mut session, &[0x40, 2, 0, 1]),
        Err(ClientError::UnexpectedAnswer(PacketType::PubAck, id(1)))
    );
    assert_eq!(
        session.publish(topic(), b"", QoS::ExactlyOnce, 0, &mut out),
        Err(ClientError::ExactlyOnce)
    );
}

#[test]
fn the_window_holds_its_maximum_and_not_one_more() {
    let (mut session, mut out) = connected(0);
    for _ in 0..CLIENT_UNACKNOWLEDGED_MAX {
        session
            .publish(topic(), b"", QoS::AtLeastOnce, 0, &mut out)
            .unwrap();
    }
    let full = session.publish(topic(), b"", QoS::AtLeastOnce, 0, &mut out);
    assert!(matches!(full, Err(ClientError::Full(_))), "{full:?}");
    let filters = [TopicFilter::new("a").unwrap()];
    for _ in 0..CLIENT_REQUESTS_MAX {
        session.unsubscribe(filters, 0, &mut out).unwrap();
    }
    let full = session.unsubscribe(filters, 0, &mut out);
    assert!(matches!(full, Err(ClientError::Full(_))), "{full:?}");
}

#[test]
fn answers_must_fit_the_question() {
    let line = |filter| Subscription {
        filter: TopicFilter::new(filter).unwrap(),
        qos: QoS::AtLeastOnce,
    };
    let (mut session, mut out) = connected(0);
    let asked = session.subscribe([line("a"), line("b")], 0, &mut out).unwrap();
    let Ok(Event::Subscribed(answered, codes)) = event(&mut session, &[0x90, 4, 0, 1, 1, 0x80]) else {
        panic!()
    };
    assert_eq!((answered, codes.count()), (asked, 2));

    session.subscribe([line("a"), line("b")], 0, &mut out).unwrap();
    let short = event(&mut session, &[0x90, 3, 0, 2, 1]);
    assert_eq!(
        short,
        Err(ClientError::UnexpectedAnswer(PacketType::SubAck, id(2)))
    );

    let (mut session, mut out) = connected(0);
    session
        .unsubscribe([TopicFilter::new("a").unwrap()], 0, &mut out)
        .unwrap();
    let wrong = event(&mut session, &[0x40, 2, 0, 1]);
    assert_eq!(
        wrong,
        Err(ClientError::UnexpectedAnswer(PacketType::PubAck, id(1)))
    );
}

#[test]
fn messages_are_acknowledged_when_the_caller_says_so() {
    let (mut session, mut out) = connected(0);
    let message = event(&mut session, &[0x32, 6, 0, 1, b't', 0, 9, b'm']).unwrap();
    let Event::Message(publish) = message else {
        panic!("{message:?}")
    };
    assert!(out.is_empty());
    session.acknowledge(publish.delivery.packet_id().unwrap(), 0, &mut out);
    assert_eq!(out, [0x40, 2, 0, 9]);
    let exactly_once = event(&mut session, &[0x34, 5, 0, 1, b't', 0, 9]);
    assert_eq!(exactly_once, Err(ClientError::Unexpected(PacketType::Publish)));
}

#[test]
fn keep_alive_pings_and_notices_silence() {
    let (mut session, mut out) = connected(30);
    assert_eq!(session.due_millis(), Some(27_000));
    session.keep_alive(26_999, &mut out).unwrap();
    assert!(out.is_empty());
    session
        .publish(topic(), b"", QoS::AtMostOnce, 10_000, &mut out)
        .unwrap();
    out.clear();
    assert_eq!(session.due_millis(), Some(37_000));
    session.keep_alive(37_000, &mut out).unwrap();
    assert_eq!(out, [0xc0, 0]);
    assert_eq!(event(&mut session, &[0xd0, 0]), Ok(Event::Pong));
    session.keep_alive(64_000, &mut out).unwrap();
    session
        .publish(topic(), b"", QoS::AtMostOnce, 90_000, &mut out)
        .unwrap();
    assert_eq!(
        session.keep_alive(91_000, &mut out),
        Err(ClientError::Silent),
        "talking does not hide a dead server"
    );
    let (session, _) = connected(0);
    assert_eq!(session.due_millis(), None);
}

#[test]
fn disconnect_ends_it() {
    let (mut session, mut out) = connected(30);
    session.disconnect(&mut out);
    assert_eq!(out, [0xe0, 0]);
    assert_eq!(session.due_millis(), None);
    assert_eq!(
        session.publish(topic(), b"", QoS::AtMostOnce, 0, &mut out),
        Err(ClientError::NotConnected)
    );
}
