//! CONNECT: who gets in, who takes over, how it ends, and what others are told of it.

use super::*;

#[test]
fn connect_is_refused_with_the_right_code_and_reason() {
    let check = |statements: &str, connect: Connect<'_>, code: &str, attempt: &str, reason: &str| {
        let mut bench = Bench::new();
        let expected = [
            format!("1 < CONNACK {code}"),
            format!("1 may not {attempt}: {reason}"),
            "1 closed AUTH_ERROR".to_owned(),
        ];
        assert_eq!(bench.attach(1, &grant(statements), connect), expected);
        assert_eq!((bench.node.connections(), bench.node.next_deadline()), (0, None));
    };
    let longest = "x".repeat(128);
    let too_long = "x".repeat(129);
    let only_c1 = r#"{"Effect": "Allow", "Action": "iot:*", "Resource": "arn:aws:iot:*:*:client/c1"}"#;
    check(only_c1, asks("c2"), "not authorized", "connect", "broker.policy");
    check(
        EVERYTHING,
        asks(&too_long),
        "client identifier rejected",
        "connect",
        "broker.limit",
    );
    check(
        EVERYTHING,
        asks("$x"),
        "client identifier rejected",
        "connect",
        "broker.client_id",
    );
    let persistent = |client_id| Connect {
        clean_session: false,
        ..asks(client_id)
    };
    check(
        EVERYTHING,
        persistent(""),
        "client identifier rejected",
        "connect",
        "broker.client_id",
    );
    let will = |will| Connect {
        will: Some(will),
        ..asks("c1")
    };
    check(
        only_c1,
        will(last_words("w")),
        "not authorized",
        r#"leave a will on "w""#,
        "broker.policy",
    );
    check(
        EVERYTHING,
        will(last_words("$aws/w")),
        "server unavailable",
        r#"leave a will on "$aws/w""#,
        "broker.topic.reserved",
    );
    let retained = Will {
        retain: true,
        ..last_words("w")
    };
    let no_retain = r#"[{"Effect": "Allow", "Action": "*", "Resource": "*"}, {"Effect": "Deny", "Action": "iot:RetainPublish", "Resource": "*"}]"#;
    check(
        no_retain,
        will(retained),
        "not authorized",
        r#"leave a will on "w""#,
        "broker.policy",
    );
    let exactly_once = Will {
        qos: QoS::ExactlyOnce,
        ..last_words("w")
    };
    check(
        EVERYTHING,
        will(exactly_once),
        "server unavailable",
        r#"leave a will on "w""#,
        "broker.not_served",
    );

    let mut bench = Bench::new();
    assert_eq!(
        bench.attach(1, &grant(EVERYTHING), asks(&longest)),
        ["1 attached", "1 < CONNACK accepted"]
    );
    assert_eq!(
        bench.attach(2, &grant(EVERYTHING), asks("")),
        ["2 attached", "2 < CONNACK accepted"],
        "it gets an id"
    );
    let mut full = Bench::with(Limits {
        connections_max: 1,
        ..Limits::AWS
    });
    full.connect(1, EVERYTHING);
    let refused = [
        "2 < CONNACK server unavailable",
        "2 may not connect: broker.limit",
        "2 closed AUTH_ERROR",
    ];
    assert_eq!(full.attach(2, &grant(EVERYTHING), asks("c2")), refused);
}

#[test]
fn the_later_connection_of_a_client_id_takes_over() {
    let mut bench = Bench::new();
    bench.connect(9, EVERYTHING);
    bench.subscribe(9, &[("w", QoS::AtLeastOnce)]);
    bench.attach(
        1,
        &grant(EVERYTHING),
        Connect {
            will: Some(last_words("w")),
            ..asks("same")
        },
    );
    bench.subscribe(1, &[("x", QoS::AtMostOnce)]);
    assert_eq!(
        bench.attach(2, &grant(EVERYTHING), asks("same")),
        [
            "1 closed DUPLICATE_CLIENTID",
            "9 < w QoS 1 id 1 gone",
            "forward w",
            "2 attached",
            "2 < CONNACK accepted"
        ]
    );
    assert_eq!(
        bench.publish(9, "x", QoS::AtMostOnce),
        ["forward x"],
        "a clean session has no subscriptions"
    );
    assert_eq!(
        bench.closed(1, Departure::ConnectionLost),
        NOTHING,
        "the late end of the old one does no harm"
    );
    assert_eq!(bench.send(2, Packet::PingRequest), ["2 < PINGRESP"]);

    let other = Tenant {
        account: "000000000001".parse().unwrap(),
        ..Tenant::default()
    };
    let foreign = grant_of(other, CERTIFICATE, 1, EVERYTHING);
    assert_eq!(
        bench.attach(3, &foreign, asks("same")),
        ["3 attached", "3 < CONNACK accepted"],
        "another tenant's is another"
    );
}

#[test]
fn a_will_follows_every_end_but_goodbye() {
    let check = |end: &mut dyn FnMut(&mut Bench) -> Vec<String>, expected: &[&str]| {
        let mut bench = Bench::new();
        bench.connect(9, EVERYTHING);
        bench.subscribe(9, &[("w", QoS::AtMostOnce)]);
        bench.attach(
            1,
            &grant(EVERYTHING),
            Connect {
                will: Some(last_words("w")),
                ..asks("c1")
            },
        );
        bench.send(9, Packet::PingRequest);
        assert_eq!(end(&mut bench), expected);
    };
    let will = ["9 < w QoS 0 gone", "forward w"];
    check(
        &mut |bench| bench.send(1, Packet::Disconnect),
        &["1 closed CLIENT_INITIATED_DISCONNECT"],
    );
    check(&mut |bench| bench.closed(1, Departure::ConnectionLost), &will);
    check(&mut |bench| bench.closed(1, Departure::ServerShutdown), &will);
    check(&mut |bench| bench.closed(1, Departure::TooSlow), &will);
    check(
        &mut |bench| bench.send(1, Packet::Connect(asks("c1"))),
        &[
            "1 may not send CONNECT: mqtt.order.connect_twice",
            "1 closed CLIENT_ERROR",
            will[0],
            will[1],
        ],
    );
    check(
        &mut |bench| {
            let malformed = decode(&[0xf0, 0], 100).unwrap_err();
            bench.closed(1, Departure::Malformed(malformed))
        },
        &["1 may not send bytes: mqtt.type.reserved", will[0], will[1]],
    );
    check(
        &mut |bench| {
            bench.now = bench.now.plus_millis(80_000);
            bench.send(9, Packet::PingRequest);
            bench.wait(10)
        },
        &["1 closed MQTT_KEEP_ALIVE_TIMEOUT", will[0], will[1]],
    );
}

#[test]
fn keep_alive_is_held_between_the_limits() {
    let check = |asked: u16, seconds: i64| {
        let mut bench = Bench::new();
        bench.attach(
            1,
            &grant(EVERYTHING),
            Connect {
                keep_alive_seconds: asked,
                ..asks("c1")
            },
        );
        assert_eq!(
            bench.node.next_deadline(),
            Some(bench.now.plus_millis(seconds * 1_500))
        );
        bench.now = bench.now.plus_millis(seconds * 1_000);
        bench.send(1, Packet::PingRequest);
        bench.now = bench.now.plus_millis(seconds * 500);
        assert_eq!(bench.step(Event::Tick), NOTHING, "it was heard meanwhile");
        bench.now = bench.now.plus_millis(seconds * 1_000 - 1);
        assert_eq!(bench.step(Event::Tick), NOTHING);
        bench.now = bench.now.plus_millis(1);
        assert_eq!(bench.step(Event::Tick), ["1 closed MQTT_KEEP_ALIVE_TIMEOUT"]);
        assert_eq!(bench.node.next_deadline(), None);
    };
    check(0, 1_200);
    check(1, 30);
    check(30, 30);
    check(31, 31);
    check(1_200, 1_200);
    check(1_201, 1_200);
}

#[test]
fn presence_and_subscriptions_are_told() {
    let mut bench = Bench::new();
    bench.events = true;
    bench.attach(9, &grant(EVERYTHING), asks("watch"));
    bench.subscribe(9, &[("$aws/events/#", QoS::AtMostOnce)]);
    let to_watch = |lines: Vec<String>| -> Vec<String> {
        let heard = lines
            .into_iter()
            .filter_map(|line| line.strip_prefix("9 < $aws/events/").map(str::to_owned));
        heard.collect()
    };
    let id = "ab".repeat(32);
    let common = |name: &str, kind: &str| {
        format!(
            r#"{name}/{kind}/c1 QoS 0 {{"clientId":"c1","timestamp":1000000,"eventType":"{kind}","sessionIdentifier":"01010101-0101-0101-0101-010101010101","principalIdentifier":"{id}""#
        )
    };
    assert_eq!(
        to_watch(bench.attach(1, &grant(EVERYTHING), asks("c1"))),
        [common("presence", "connected") + r#","ipAddress":"203.0.113.7","versionNumber":1000000}"#]
    );
    assert_eq!(
        to_watch(bench.subscribe(1, &[("a", QoS::AtMostOnce), ("b/#", QoS::AtMostOnce)])),
        [common("subscriptions", "subscribed") + r#","topics":["a","b/#"]}"#]
    );
    assert_eq!(
        to_watch(bench.unsubscribe(1, &["a", "x"])),
        [common("subscriptions", "unsubscribed") + r#","topics":["a"]}"#]
    );
    assert_eq!(
        to_watch(bench.send(1, Packet::Disconnect)),
        [common("presence", "disconnected")
            + r#","clientInitiatedDisconnect":true,"disconnectReason":"CLIENT_INITIATED_DISCONNECT","versionNumber":1000000}"#]
    );
    let nobody = grant(r#"{"Effect": "Deny", "Action": "*", "Resource": "*"}"#);
    assert_eq!(
        to_watch(bench.attach(1, &nobody, asks("c1"))),
        [common("presence", "connect_failed")
            + r#","ipAddress":"203.0.113.7","connectFailureReason":"AUTHORIZATION_FAILED"}"#]
    );
}

#[test]
fn versions_rise_with_each_connection_of_a_client_id() {
    let mut bench = Bench::new();
    bench.events = true;
    bench.attach(9, &grant(EVERYTHING), asks("watch"));
    bench.subscribe(9, &[("$aws/events/presence/#", QoS::AtMostOnce)]);
    let mut versions = Vec::new();
    for id in 1..=3 {
        let lines = bench.attach(id, &grant(EVERYTHING), asks("same"));
        let last = lines
            .iter()
            .rfind(|line| line.contains("presence/connected/same QoS"))
            .unwrap();
        versions.push(last.rsplit(':').next().unwrap().trim_end_matches('}').to_owned());
    }
    assert_eq!(versions, ["1000000", "1000001", "1000002"]);
}

#[test]
fn a_client_that_is_gone_leaves_nothing_behind() {
    let mut bench = Bench::new();
    for end in [Packet::Disconnect, Packet::PingAnswer] {
        bench.connect(1, EVERYTHING);
        bench.subscribe(
            1,
            &[("remains", QoS::AtLeastOnce), ("leftover/#", QoS::AtLeastOnce)],
        );
        bench.send(1, end);
        let node = format!("{:?}", bench.node);
        assert!(
            !["c1", "remains", "leftover"]
                .iter()
                .any(|left| node.contains(left)),
            "{node}"
        );
        assert_eq!((bench.node.connections(), bench.node.next_deadline()), (0, None));
        assert_eq!(bench.step(forwarded(message("a", QoS::AtLeastOnce))), NOTHING);
    }
}
