//! The MQTT side: what is answered, what is waited for, and how each end of a connection is told from the others.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]

mod support;

use std::io::Write as _;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use device::{
    Alpn, Connection, Endpoint, Error, Moment, Options, QoS, SubscribeReturn, Tls, Versions,
    connect_with_backoff,
};
use identity::Explained as _;
use support::{Authority, CONNACK, Peer, Script, Server, Setup, Software, answer_connect, options, packet};

const LONG: Duration = Duration::from_secs(10);
const BRIEF: Duration = Duration::from_millis(60);

/// A server with these scripts, and what connects to it.
fn pair(scripts: Vec<Script>) -> (Server, impl Fn(&Options<'_>) -> Result<Connection, Error>) {
    let root = Authority::new("server root");
    let server = Server::start(Setup::good(&root), scripts);
    let tls = Tls::new(Versions::Tls13)
        .config(Arc::new(Software::new(&root)), Alpn::None)
        .unwrap();
    let endpoint = server.endpoint();
    (server, move |options: &Options<'_>| {
        Connection::open(&endpoint, &tls, options)
    })
}

fn script(run: impl FnOnce(&mut Peer) + Send + 'static) -> Script {
    Box::new(run)
}

fn send(peer: &mut Peer, bytes: &[u8]) {
    peer.write_all(bytes).unwrap();
    peer.flush().unwrap();
}

#[test]
fn publish_subscribe_receive_and_goodbye() {
    let (server, open) = pair(vec![script(|peer| {
        let connect = packet(peer);
        assert!(connect.ends_with(b"\0\x08device-1"), "{connect:02X?}");
        send(peer, CONNACK);
        assert_eq!(packet(peer), b"\x30\x05\0\x01ahi");
        assert_eq!(packet(peer), b"\x32\x07\0\x01b\0\x01hi");
        // A message that comes before the acknowledgement is kept for later.
        send(peer, b"\x32\x07\0\x01c\0\x09yo\x40\x02\0\x01");
        assert_eq!(packet(peer), b"\x82\x0a\0\x02\0\x01c\x01\0\x01d\0");
        send(peer, b"\x90\x04\0\x02\x01\x80");
        assert_eq!(packet(peer), b"\x40\x02\0\x09");
        send(peer, b"\x31\x05\0\x01dno");
        assert_eq!(packet(peer), b"\xa2\x05\0\x03\0\x01c");
        send(peer, b"\xb0\x02\0\x03");
        assert_eq!(packet(peer), b"\xe0\0");
    })]);
    let mut connection = open(&options(LONG)).unwrap();
    assert!(!connection.session_present());
    connection.publish("a", b"hi", QoS::AtMostOnce).unwrap();
    connection.publish("b", b"hi", QoS::AtLeastOnce).unwrap();
    let codes = connection
        .subscribe(&[("c", QoS::AtLeastOnce), ("d", QoS::AtMostOnce)])
        .unwrap();
    assert_eq!(
        codes,
        [
            SubscribeReturn::Granted(QoS::AtLeastOnce),
            SubscribeReturn::Failure
        ]
    );
    let first = connection.next_message(LONG).unwrap().unwrap();
    assert_eq!(
        (first.topic.as_str(), &first.payload[..], first.retained),
        ("c", &b"yo"[..], false)
    );
    let second = connection.next_message(LONG).unwrap().unwrap();
    assert_eq!(
        (second.topic.as_str(), second.delivery.qos(), second.retained),
        ("d", QoS::AtMostOnce, true)
    );
    connection.unsubscribe(&["c"]).unwrap();
    connection.disconnect().unwrap();
    server.finish();
}

#[test]
fn a_message_is_not_acknowledged_before_the_caller_comes_back() {
    let (server, open) = pair(vec![script(|peer| {
        answer_connect(peer, CONNACK);
        send(peer, b"\x32\x07\0\x01c\0\x09yo");
        // The caller drops the connection instead of coming back: there is no PUBACK.
        assert_eq!(packet(peer), b"");
    })]);
    let mut connection = open(&options(LONG)).unwrap();
    assert!(connection.next_message(LONG).unwrap().is_some());
    drop(connection);
    server.finish();
}

#[test]
fn each_refusal_has_its_own_name() {
    type Case = (&'static str, Script, &'static str, bool);
    let cases: Vec<Case> = vec![
        (
            "closed",
            script(|peer| assert!(!packet(peer).is_empty())),
            "device.mqtt.closed_before_connack",
            true,
        ),
        (
            "not authorized",
            script(|peer| answer_connect(peer, &[0x20, 2, 0, 5])),
            "device.mqtt.refused",
            false,
        ),
        (
            "unavailable",
            script(|peer| answer_connect(peer, &[0x20, 2, 0, 3])),
            "device.mqtt.refused",
            true,
        ),
        (
            "not a packet",
            script(|peer| answer_connect(peer, &[0x20, 2, 0, 9])),
            "mqtt.connack.return_code",
            false,
        ),
        (
            "out of order",
            script(|peer| answer_connect(peer, &[0xD0, 0])),
            "mqtt.client.unexpected",
            false,
        ),
    ];
    for (case, run, code, retry) in cases {
        let (server, open) = pair(vec![run]);
        let error = open(&options(LONG)).unwrap_err();
        server.finish();
        if case == "not a packet" {
            assert!(error.code().starts_with("mqtt."), "{case}: {}", error.code());
        } else {
            assert_eq!(error.code(), code, "{case}: {error}");
        }
        assert_eq!(error.is_worth_retrying(), retry, "{case}: {error}");
    }
}

#[test]
fn the_end_of_an_established_connection_is_another_error() {
    let (server, open) = pair(vec![script(|peer| answer_connect(peer, CONNACK))]);
    let mut connection = open(&options(LONG)).unwrap();
    let error = connection.next_message(LONG).unwrap_err();
    assert_eq!(error.code(), "device.mqtt.closed");
    server.finish();
}

#[test]
fn a_first_connection_that_is_closed_leads_to_a_second() {
    let closes = || script(|peer| assert!(!packet(peer).is_empty()));
    let (server, open) = pair(vec![
        closes(),
        closes(),
        script(|peer| answer_connect(peer, CONNACK)),
    ]);
    let delays = [Duration::ZERO; 5];
    let (connection, tries) = connect_with_backoff(|| open(&options(LONG)), delays).unwrap();
    assert_eq!(tries, 3);
    drop(connection);
    server.finish();
}

#[test]
fn tries_end_with_the_policy_and_at_a_final_word() {
    let mut tries = 0;
    let closed = || Error::ClosedBeforeConnack(Moment::Connect);
    let mut never = |error: fn() -> Error, delays: usize| {
        tries = 0;
        let attempt = || {
            tries += 1;
            Err(error())
        };
        connect_with_backoff(attempt, vec![Duration::ZERO; delays]).unwrap_err();
        tries
    };
    assert_eq!(never(closed, 0), 1);
    assert_eq!(never(closed, 3), 4);
    assert_eq!(never(closed, 1000), 16);
    assert_eq!(never(|| Error::TrustAnchor, 3), 1);
}

#[test]
fn silence_ends_every_wait() {
    // Never a CONNACK.
    let (server, open) = pair(vec![script(|peer| {
        packet(peer);
        assert_eq!(packet(peer), b"");
    })]);
    let error = open(&options(BRIEF)).unwrap_err();
    assert!(error.to_string().contains("CONNACK"), "{error}");
    server.finish();

    // Never a PUBACK, a SUBACK or a message.
    let (server, open) = pair(vec![script(|peer| {
        answer_connect(peer, CONNACK);
        while !packet(peer).is_empty() {}
    })]);
    let mut connection = open(&options(BRIEF)).unwrap();
    let error = connection.publish("t", b"", QoS::AtLeastOnce).unwrap_err();
    assert!(
        matches!(error, Error::Timeout { waited_for: "PUBACK" }),
        "{error}"
    );
    let error = connection.subscribe(&[("t", QoS::AtMostOnce)]).unwrap_err();
    assert!(
        matches!(error, Error::Timeout { waited_for: "SUBACK" }),
        "{error}"
    );
    assert_eq!(connection.next_message(BRIEF).unwrap(), None);
    drop(connection);
    server.finish();

    // A socket that takes the connection and never speaks TLS.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::new(listener.local_addr().unwrap(), "localhost").unwrap();
    let root = Authority::new("server root");
    let tls = Tls::new(Versions::Both)
        .config(Arc::new(Software::new(&root)), Alpn::None)
        .unwrap();
    let mut options = options(BRIEF);
    options.timeouts.handshake = BRIEF;
    let error = Connection::open(&endpoint, &tls, &options).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Timeout {
                waited_for: "the tls handshake"
            }
        ),
        "{error}"
    );
    // And one where nobody listens any more.
    drop(listener);
    assert_eq!(
        Connection::open(&endpoint, &tls, &options).unwrap_err().code(),
        "device.network.unreachable"
    );
}

#[test]
fn keep_alive_pings_while_waiting_and_notices_silence() {
    let (server, open) = pair(vec![script(|peer| {
        answer_connect(peer, CONNACK);
        assert_eq!(packet(peer), b"\xc0\0");
        send(peer, b"\xd0\0");
        assert_eq!(packet(peer), b"\xc0\0");
        assert_eq!(packet(peer), b"");
    })]);
    let options = Options {
        keep_alive_seconds: 1,
        ..options(LONG)
    };
    let mut connection = open(&options).unwrap();
    let error = connection.next_message(LONG).unwrap_err();
    assert_eq!(error.code(), "mqtt.client.silent");
    drop(connection);
    server.finish();
}

#[test]
fn impossible_requests_are_refused_here() {
    let (server, open) = pair(vec![script(|peer| {
        answer_connect(peer, CONNACK);
        assert_eq!(packet(peer), b"");
    })]);
    let mut connection = open(&options(LONG)).unwrap();
    assert_eq!(
        connection
            .publish("a/+", b"", QoS::AtMostOnce)
            .unwrap_err()
            .code(),
        "device.topic"
    );
    assert_eq!(
        connection.publish("", b"", QoS::AtMostOnce).unwrap_err().code(),
        "device.topic"
    );
    assert_eq!(
        connection
            .subscribe(&[("a/#/b", QoS::AtMostOnce)])
            .unwrap_err()
            .code(),
        "device.topic"
    );
    assert_eq!(
        connection.publish("a", b"", QoS::ExactlyOnce).unwrap_err().code(),
        "mqtt.client.qos2"
    );
    assert_eq!(
        Endpoint::new(server.address, "not a name").unwrap_err().code(),
        "device.server_name"
    );
    drop(connection);
    server.finish();
}

#[test]
fn messages_that_nobody_takes_are_bounded() {
    let (server, open) = pair(vec![script(|peer| {
        answer_connect(peer, CONNACK);
        packet(peer);
        let many = b"\x30\x03\0\x01c".repeat(1025);
        let _ = peer.write_all(&many);
        let _ = peer.flush();
        packet(peer);
    })]);
    let mut connection = open(&options(LONG)).unwrap();
    let error = connection.publish("t", b"", QoS::AtLeastOnce).unwrap_err();
    assert_eq!(error.code(), "device.mqtt.overrun");
    drop(connection);
    server.finish();
}
