//! What a policy or a change of trust does to messages and connections that are already there.

use super::*;

#[test]
fn receiving_is_decided_at_every_delivery_and_told_only_so_often() {
    let no_receive = r#"[{"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "iot:Receive", "Resource": "arn:aws:iot:*:*:topic/secret"}]"#;
    let mut bench = Bench::new();
    bench.connect(1, no_receive);
    bench.connect(2, EVERYTHING);
    assert_eq!(
        bench.subscribe(1, &[("#", QoS::AtLeastOnce)]),
        ["1 < SUBACK 7 01"]
    );
    assert_eq!(
        bench.publish(2, "open", QoS::AtMostOnce),
        ["1 < open QoS 0 m", "forward open"]
    );
    for _ in 0..16 {
        assert_eq!(
            bench.publish(2, "secret", QoS::AtMostOnce),
            [
                r#"1 may not receive from "secret": broker.policy"#,
                "forward secret"
            ]
        );
    }
    assert_eq!(bench.publish(2, "secret", QoS::AtMostOnce), ["forward secret"]);
    assert_eq!(bench.node.counters().not_received, 17);
}

#[test]
fn nothing_crosses_tenants() {
    let other = Tenant {
        account: "000000000001".parse().unwrap(),
        ..Tenant::default()
    };
    let mut bench = Bench::new();
    bench.connect(1, EVERYTHING);
    bench.attach(2, &grant_of(other, CERTIFICATE, 1, EVERYTHING), asks("c2"));
    bench.subscribe(1, &[("#", QoS::AtLeastOnce)]);
    bench.subscribe(2, &[("#", QoS::AtLeastOnce), ("a", QoS::AtLeastOnce)]);
    assert_eq!(
        bench.publish(1, "a", QoS::AtMostOnce),
        ["1 < a QoS 0 m", "forward a"]
    );
    assert_eq!(
        bench.step(forwarded(message("a", QoS::AtMostOnce))),
        ["1 < a QoS 0 m"]
    );
    let withdrawn = Trust {
        tenant: other,
        certificate: CERTIFICATE,
        epoch: 2,
        grant: None,
    };
    assert_eq!(
        bench.step(Event::Trust(withdrawn)),
        [
            "2 may not stay connected: broker.trust_withdrawn",
            "2 closed AUTH_ERROR"
        ]
    );
    assert_eq!(bench.node.connections(), 1);
}

#[test]
fn trust_acts_on_live_connections() {
    let mut bench = Bench::new();
    let other = CertificateId([0xcd; 32]);
    bench.connect(1, EVERYTHING);
    bench.connect(2, EVERYTHING);
    bench.attach(3, &grant_of(Tenant::default(), other, 1, EVERYTHING), asks("c3"));
    for id in 1..=3 {
        bench.subscribe(id, &[("t", QoS::AtMostOnce)]);
    }
    let change = |epoch, statements: Option<&str>| {
        let grant = statements.map(|statements| grant_of(Tenant::default(), CERTIFICATE, epoch, statements));
        Event::Trust(Trust {
            tenant: Tenant::default(),
            certificate: CERTIFICATE,
            epoch,
            grant,
        })
    };
    let no_receive = r#"{"Effect": "Allow", "Action": "iot:Publish", "Resource": "*"}"#;
    assert_eq!(bench.step(change(5, Some(no_receive))), NOTHING);
    assert_eq!(
        bench.publish(1, "t", QoS::AtMostOnce),
        [
            r#"1 may not receive from "t": broker.policy"#,
            r#"2 may not receive from "t": broker.policy"#,
            "3 < t QoS 0 m",
            "forward t"
        ]
    );
    assert_eq!(
        bench.step(change(4, None)),
        NOTHING,
        "overtaken by the change before"
    );
    assert_eq!(
        bench.step(change(6, None)),
        [
            "1 may not stay connected: broker.trust_withdrawn",
            "1 closed AUTH_ERROR",
            "2 may not stay connected: broker.trust_withdrawn",
            "2 closed AUTH_ERROR"
        ]
    );
    assert_eq!(bench.node.connections(), 1);

    assert_eq!(
        bench.attach(4, &grant(EVERYTHING), asks("c4")),
        ["4 look again"],
        "its grant was read before"
    );
    let newer = grant_of(Tenant::default(), CERTIFICATE, 6, EVERYTHING);
    assert_eq!(
        bench.attach(4, &newer, asks("c4")),
        ["4 attached", "4 < CONNACK accepted"]
    );
    let unchanged = grant_of(Tenant::default(), other, 1, EVERYTHING);
    assert_eq!(
        bench.attach(5, &unchanged, asks("c5")),
        ["5 attached", "5 < CONNACK accepted"],
        "another's change is not its own"
    );
}

#[test]
fn one_connection_is_granted_something_else_and_no_other() {
    let mut bench = Bench::new();
    bench.connect(1, EVERYTHING);
    bench.connect(2, EVERYTHING);
    for id in 1..=2 {
        bench.subscribe(id, &[("t", QoS::AtMostOnce)]);
    }
    let regrant = |id| Event::Grant {
        connection: ConnectionId(id),
        grant: grant(r#"{"Effect": "Allow", "Action": "iot:Publish", "Resource": "*"}"#),
    };
    assert_eq!(bench.step(regrant(1)), NOTHING);
    assert_eq!(bench.step(regrant(9)), NOTHING, "it is gone already");
    assert_eq!(
        bench.publish(2, "t", QoS::AtMostOnce),
        [
            r#"1 may not receive from "t": broker.policy"#,
            "2 < t QoS 0 m",
            "forward t"
        ]
    );
    assert_eq!(bench.closed(1, Departure::TrustWithdrawn), NOTHING);
    assert_eq!(bench.node.connections(), 1);
}

#[test]
fn a_will_that_may_not_be_left_any_more_is_taken_back() {
    let mut bench = Bench::new();
    bench.attach(
        1,
        &grant(EVERYTHING),
        Connect {
            will: Some(last_words("w")),
            ..asks("c1")
        },
    );
    let grant = Some(grant_of(Tenant::default(), CERTIFICATE, 2, ORDINARY));
    let change = Trust {
        tenant: Tenant::default(),
        certificate: CERTIFICATE,
        epoch: 2,
        grant,
    };
    assert_eq!(
        bench.step(Event::Trust(change)),
        [r#"1 may not leave a will on "w": broker.policy"#]
    );
    assert_eq!(bench.closed(1, Departure::ConnectionLost), NOTHING);
}

#[test]
fn messages_that_wait_are_decided_again_when_trust_changes() {
    let mut bench = Bench::with(Limits {
        inflight_messages_max: 1,
        ..Limits::AWS
    });
    bench.connect(1, EVERYTHING);
    bench.subscribe(1, &[("#", QoS::AtLeastOnce)]);
    for topic in ["a", "secret", "b"] {
        bench.step(forwarded(message(topic, QoS::AtLeastOnce)));
    }
    let no_secret = r#"[{"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "iot:Receive", "Resource": "arn:aws:iot:*:*:topic/secret"}]"#;
    let grant = Some(grant_of(Tenant::default(), CERTIFICATE, 2, no_secret));
    bench.step(Event::Trust(Trust {
        tenant: Tenant::default(),
        certificate: CERTIFICATE,
        epoch: 2,
        grant,
    }));
    assert_eq!(
        bench.send(1, Packet::PublishAcknowledged(packet_id(1))),
        ["1 < b QoS 1 id 3 m"]
    );
}

#[test]
fn a_thing_that_changes_changes_what_its_client_may() {
    let own_topic = r#"[{"Effect": "Allow", "Action": ["iot:Connect", "iot:Subscribe"], "Resource": "*"},
        {"Effect": "Allow", "Action": "iot:Receive", "Resource": "arn:aws:iot:*:*:topic/${iot:Connection.Thing.ThingName}"}]"#;
    let mut bench = Bench::new();
    bench.connect(1, own_topic);
    bench.subscribe(1, &[("c1", QoS::AtMostOnce)]);
    let deliver = |bench: &mut Bench| bench.step(forwarded(message("c1", QoS::AtMostOnce)));
    let refused = [r#"1 may not receive from "c1": broker.policy"#];
    assert_eq!(deliver(&mut bench), refused);
    let name = "c1".parse().unwrap();
    let facts = ThingFacts {
        name: "c1".parse().unwrap(),
        type_name: None,
        attributes: Vec::new(),
        is_attached: false,
    };
    let change = |facts, attached_to| {
        Event::Thing(ThingChange {
            tenant: Tenant::default(),
            name: &name,
            facts,
            attached_to,
        })
    };
    bench.step(change(Some(&facts), &[CERTIFICATE]));
    assert_eq!(deliver(&mut bench), ["1 < c1 QoS 0 m"]);
    bench.step(change(Some(&facts), &[CertificateId([0; 32])]));
    assert_eq!(deliver(&mut bench), refused);
    bench.step(change(None, &[]));
    assert_eq!(deliver(&mut bench), refused);
}
