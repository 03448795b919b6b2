//! Requests to the server itself: nobody else hears them, and an answer goes to the one who asked.

use super::*;

const CREATE: &str = "$aws/certificates/create/json";
const ACCEPTED: &str = "$aws/certificates/create/json/accepted";
const HEAR: &str = "$aws/certificates/create/json/+";

/// What a claim certificate may do.
const CLAIM: &str = r#"[
    {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
    {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": "arn:aws:iot:*:*:topic/$aws/certificates/create/*"},
    {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "arn:aws:iot:*:*:topicfilter/$aws/certificates/create/*"}]"#;

fn answer(id: u64, topic: &str) -> Event<'static> {
    let message = Message::new(
        Tenant::default(),
        TopicName::new(topic).unwrap(),
        b"key",
        QoS::AtLeastOnce,
    );
    Event::Answer {
        connection: ConnectionId(id),
        message: Message::private(message.unwrap()),
    }
}

fn kept(bench: &Bench) -> usize {
    let log = bench.log.iter();
    log.filter(|record| matches!(record, Record::Message { .. } | Record::Queued { .. }))
        .count()
}

#[test]
fn a_request_goes_to_the_server_and_its_answer_to_who_asked() {
    let mut bench = Bench::new();
    bench.connect(1, CLAIM);
    bench.connect(2, EVERYTHING);
    for id in [1, 2] {
        assert_eq!(
            bench.subscribe(id, &[(HEAR, QoS::AtLeastOnce)]),
            [format!("{id} < SUBACK 7 01")]
        );
    }
    bench.subscribe(
        2,
        &[("#", QoS::AtLeastOnce), ("$aws/certificates/#", QoS::AtLeastOnce)],
    );
    assert_eq!(
        bench.publish_payload(1, CREATE, b"{}", QoS::AtLeastOnce),
        [format!("1 asks {CREATE} {{}}"), "1 < PUBACK 9".to_owned()]
    );
    assert_eq!(
        bench.publish_payload(1, CREATE, b"", QoS::AtMostOnce),
        [format!("1 asks {CREATE} ")]
    );
    assert_eq!(
        bench.step(answer(1, ACCEPTED)),
        [format!("1 < {ACCEPTED} QoS 1 id 1 key")]
    );
    assert_eq!(bench.step(answer(9, ACCEPTED)), NOTHING, "nobody is there");
}

#[test]
fn who_may_not_ask_or_answer() {
    let mut bench = Bench::new();
    bench.connect(1, CLAIM);
    bench.connect(2, ORDINARY);
    bench.connect(3, EVERYTHING);
    assert_eq!(
        bench.publish(2, CREATE, QoS::AtLeastOnce),
        [
            format!("2 may not publish on {CREATE:?}: broker.policy"),
            "2 closed AUTH_ERROR".to_owned()
        ]
    );
    // Even who may do everything does not speak for the server.
    assert_eq!(
        bench.publish(3, ACCEPTED, QoS::AtLeastOnce),
        [
            format!("3 may not publish on {ACCEPTED:?}: broker.topic.reserved"),
            "3 closed CLIENT_ERROR".to_owned()
        ]
    );
    assert_eq!(
        bench.publish(1, "$aws/provisioning-templates/t/provision/json", QoS::AtMostOnce)[1..],
        ["1 closed AUTH_ERROR".to_owned()]
    );
}

#[test]
fn without_a_subscription_or_the_right_to_receive_there_is_no_answer() {
    let mut bench = Bench::new();
    bench.connect(1, EVERYTHING);
    let not_subscribed = format!("1 may not receive from {ACCEPTED:?}: broker.answer.not_subscribed");
    assert_eq!(bench.step(answer(1, ACCEPTED)), [not_subscribed]);
    let deaf = r#"[{"Effect": "Allow", "Action": ["iot:Connect", "iot:Publish", "iot:Subscribe"], "Resource": "*"}]"#;
    bench.connect(2, deaf);
    bench.subscribe(2, &[(HEAR, QoS::AtLeastOnce)]);
    let not_allowed = format!("2 may not receive from {ACCEPTED:?}: broker.policy");
    assert_eq!(bench.step(answer(2, ACCEPTED)), [not_allowed]);
}

#[test]
fn an_answer_is_never_written_down_and_does_not_outlive_its_connection() {
    let mut bench = Bench::new();
    let stays = |id| Connect {
        clean_session: false,
        ..asks(id)
    };
    bench.attach(1, &grant(EVERYTHING), stays("c1"));
    bench.subscribe(1, &[(HEAR, QoS::AtLeastOnce)]);
    assert_eq!(
        bench.step(answer(1, ACCEPTED)),
        [format!("1 < {ACCEPTED} QoS 1 id 1 key")]
    );
    assert_eq!(kept(&bench), 0);
    let snapshot = snapshot(&mut bench.node, bench.now);
    assert!(
        !snapshot
            .iter()
            .any(|record| matches!(record, Record::Queued { .. }))
    );
    bench.closed(1, Departure::ConnectionLost);
    assert_eq!(bench.node.queued_bytes(), 0);
    let again = bench.attach(2, &grant(EVERYTHING), stays("c1"));
    assert_eq!(
        again,
        ["2 attached", "2 < CONNACK accepted, session present"],
        "the answer is not repeated"
    );
    bench.step(answer(2, ACCEPTED));
    bench.restart();
    let again = bench.attach(3, &grant(EVERYTHING), stays("c1"));
    assert_eq!(again, ["3 attached", "3 < CONNACK accepted, session present"]);
}

#[test]
fn a_will_is_no_request() {
    let mut bench = Bench::new();
    let connect = Connect {
        will: Some(last_words(CREATE)),
        ..asks("c1")
    };
    let refused = bench.attach(1, &grant(EVERYTHING), connect);
    assert!(refused[1].contains("broker.topic.reserved"), "{refused:?}");
}

/// Sends to one client; what came of it, and what was done.
fn direct(bench: &mut Bench, client_id: &str, topic: &str, qos: QoS) -> (broker::Directed, Vec<String>) {
    let message = Message::new(Tenant::default(), TopicName::new(topic).unwrap(), b"m", qos).unwrap();
    let mut actions = Actions::new();
    let directed = bench.node.direct(client_id, message, bench.now, &mut actions);
    (directed, bench.show_all(&mut actions))
}

#[test]
fn a_message_to_one_client_needs_no_subscription() {
    use broker::Directed;
    let narrow = r#"[{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
        {"Effect": "Allow", "Action": "iot:Receive", "Resource": "arn:aws:iot:*:*:topic/to/me"}]"#;
    let mut bench = Bench::new();
    bench.connect(1, narrow);
    bench.connect(2, EVERYTHING);
    bench.subscribe(2, &[("#", QoS::AtLeastOnce)]);
    let (sent, done) = direct(&mut bench, "c1", "to/me", QoS::AtMostOnce);
    assert_eq!(
        (sent, done),
        (Directed::Sent, vec!["1 < to/me QoS 0 m".to_owned()])
    );
    let (awaited, done) = direct(&mut bench, "c1", "to/me", QoS::AtLeastOnce);
    let Directed::Awaited(ConnectionId(1), number) = awaited else {
        panic!("{awaited:?}");
    };
    assert_eq!(done, ["1 < to/me QoS 1 id 1 m"]);
    assert_eq!(kept(&bench), 0, "it is for this connection alone");
    assert_eq!(
        bench.send(1, Packet::PublishAcknowledged(packet_id(1))),
        [format!("1 has {number}")]
    );
    assert_eq!(bench.send(1, Packet::PublishAcknowledged(packet_id(1))), NOTHING);
    let (forbidden, done) = direct(&mut bench, "c1", "to/other", QoS::AtMostOnce);
    assert!(
        matches!(forbidden, Directed::Forbidden(_)) && done.is_empty(),
        "{forbidden:?}"
    );
    assert_eq!(
        direct(&mut bench, "c9", "to/me", QoS::AtMostOnce).0,
        Directed::Absent
    );
    bench.closed(1, Departure::ConnectionLost);
    assert_eq!(
        direct(&mut bench, "c1", "to/me", QoS::AtMostOnce).0,
        Directed::Absent
    );
}

#[test]
fn a_client_that_acknowledges_nothing_is_sent_no_more_than_it_takes() {
    let mut bench = Bench::new();
    bench.connect(1, EVERYTHING);
    let full =
        (0..100_000).find(|_| direct(&mut bench, "c1", "t", QoS::AtLeastOnce).0 == broker::Directed::Full);
    assert!(full.is_some(), "its queue has an end");
}
