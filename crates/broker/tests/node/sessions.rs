//! Sessions that outlive their connection, and the node itself: what waits, what is sent again, what ends.

use mqtt::v5::{Place, Property};

use super::version_5::{of, words};
use super::*;

pub(super) fn staying(client_id: &str) -> Connect<'_> {
    Connect {
        clean_session: false,
        ..asks(client_id)
    }
}

impl Bench {
    /// A client whose session stays.
    fn come(&mut self, id: u64, client_id: &str) -> Vec<String> {
        self.attach(id, &grant(EVERYTHING), staying(client_id))
    }

    /// A client of 5.0 whose session stays so long.
    fn come5(&mut self, id: u64, client_id: &str, seconds: u32) -> Vec<String> {
        let properties = words(&[Property::SessionExpirySeconds(seconds)]);
        let connect = v5::Connect {
            clean_start: false,
            properties: of(&properties, Place::Connect),
            ..asks(client_id).into()
        };
        self.attach_v5(id, &grant(EVERYTHING), connect)
    }

    fn lose(&mut self, id: u64) -> Vec<String> {
        self.closed(id, Departure::ConnectionLost)
    }

    /// With client 1 on `t`, which went away, and client 9 that publishes.
    fn with_absent() -> Self {
        let mut bench = Self::new();
        bench.come(1, "c1");
        bench.subscribe(1, &[("t", QoS::AtLeastOnce)]);
        bench.lose(1);
        bench.connect(9, EVERYTHING);
        bench
    }
}

const FRESH: &str = "CONNACK accepted";
const PRESENT: &str = "CONNACK accepted, session present";

#[test]
fn what_comes_while_a_client_is_away_waits_for_it() {
    for restarts in [false, true] {
        let mut bench = Bench::with_absent();
        assert_eq!(
            bench.publish(9, "t", QoS::AtLeastOnce),
            ["forward t", "9 < PUBACK 9"]
        );
        assert_eq!(
            bench.publish(9, "t", QoS::AtMostOnce),
            ["forward t"],
            "QoS 0 never waits"
        );
        let mark = if restarts {
            assert_eq!(bench.restart(), NOTHING);
            " DUP"
        } else {
            ""
        };
        let expected = [
            "2 attached",
            &format!("2 < {PRESENT}"),
            &format!("2 < t QoS 1 id 1 m{mark}"),
        ];
        assert_eq!(bench.come(2, "c1"), expected);
        assert_eq!(bench.send(2, Packet::PublishAcknowledged(packet_id(1))), NOTHING);
        bench.lose(2);
        assert_eq!(bench.come(3, "c1").len(), 2, "it is done");
        assert_eq!(bench.node.queued_bytes(), 0);
    }
}

#[test]
fn what_was_on_its_way_is_sent_again_under_its_identifier() {
    let mut bench = Bench::new();
    bench.come(1, "c1");
    bench.subscribe(1, &[("t", QoS::AtLeastOnce)]);
    bench.connect(9, EVERYTHING);
    for id in 1..=3 {
        let sent = bench.publish(9, "t", QoS::AtLeastOnce);
        assert_eq!(sent[0], format!("1 < t QoS 1 id {id} m"));
    }
    bench.send(1, Packet::PublishAcknowledged(packet_id(2)));
    bench.lose(1);
    let again = ["2 < t QoS 1 id 1 m DUP", "2 < t QoS 1 id 3 m DUP"];
    assert_eq!(bench.come(2, "c1")[2..], again);
    bench.restart();
    assert_eq!(bench.come(2, "c1")[2..], again);
}

#[test]
fn an_answer_waits_for_the_log_of_every_session_that_stays() {
    let mut bench = Bench::with_absent();
    bench.gates = true;
    assert_eq!(
        bench.publish(9, "t", QoS::AtLeastOnce),
        ["forward t", "9 < PUBACK 9 (waits)"]
    );
    bench.connect(8, EVERYTHING);
    assert_eq!(
        bench.publish(8, "u", QoS::AtLeastOnce),
        ["forward u", "8 < PUBACK 9"],
        "there is nothing to write down"
    );
    assert_eq!(
        bench.publish(9, "u", QoS::AtLeastOnce),
        ["forward u", "9 < PUBACK 9 (waits)"],
        "answers stay in order"
    );
    let fresh = bench.come(3, "c3");
    assert_eq!(fresh, ["3 attached", &format!("3 < {FRESH} (waits)")]);
    assert_eq!(
        bench.subscribe(3, &[("t", QoS::AtLeastOnce)]),
        ["3 < SUBACK 7 01 (waits)"]
    );
    assert_eq!(bench.unsubscribe(3, &["t"]), ["3 < UNSUBACK 8 (waits)"]);
}

#[test]
fn a_clean_session_forgets_the_one_before() {
    for restarts in [false, true] {
        let mut bench = Bench::with_absent();
        bench.publish(9, "t", QoS::AtLeastOnce);
        assert_eq!(
            bench.attach(2, &grant(EVERYTHING), asks("c1")),
            ["2 attached", &format!("2 < {FRESH}")]
        );
        assert_eq!(
            (bench.node.sessions_kept(), bench.node.kept_subscriptions()),
            (0, 0)
        );
        if restarts {
            bench.restart();
        }
        assert_eq!(bench.come(3, "c1").last(), Some(&format!("3 < {FRESH}")));
    }
}

#[test]
fn a_session_ends_when_its_time_is_over() {
    let mut bench = Bench::with_absent();
    bench.publish(9, "t", QoS::AtLeastOnce);
    bench.wait(3_599);
    assert_eq!(bench.node.sessions_kept(), 1);
    bench.restart();
    assert_eq!(bench.node.sessions_kept(), 1, "time goes on over a restart");
    bench.wait(1);
    assert_eq!((bench.node.sessions_kept(), bench.node.queued_bytes()), (0, 0));
    bench.restart();
    assert_eq!(bench.come(2, "c1").last(), Some(&format!("2 < {FRESH}")));

    for (asked, lives) in [(10, 10), (600_000, 3_600), (u32::MAX, 3_600)] {
        let mut bench = Bench::new();
        bench.come5(1, "c1", asked);
        bench.lose(1);
        bench.wait(lives - 1);
        assert_eq!(bench.node.sessions_kept(), 1, "{asked}");
        bench.wait(1);
        assert_eq!(bench.node.sessions_kept(), 0, "{asked}");
    }
}

#[test]
fn a_goodbye_can_change_how_long_the_session_stays() {
    let goodbye = |bench: &mut Bench, seconds| {
        let properties = words(&[Property::SessionExpirySeconds(seconds)]);
        let mut closing = v5::Closing::from(v5::Reason::Success);
        closing.properties = of(&properties, Place::Disconnect);
        bench.step(Event::PacketV5 {
            connection: ConnectionId(1),
            packet: v5::Packet::Disconnect(closing),
        });
    };
    let mut bench = Bench::new();
    bench.come5(1, "c1", 100);
    goodbye(&mut bench, 0);
    assert_eq!(bench.node.sessions_kept(), 0);
    let mut bench = Bench::new();
    bench.come5(1, "c1", 10);
    goodbye(&mut bench, 100);
    bench.restart();
    bench.wait(99);
    assert_eq!(bench.node.sessions_kept(), 1);
    bench.wait(1);
    assert_eq!(bench.node.sessions_kept(), 0);
}

#[test]
fn a_session_belongs_to_its_version_at_aws_and_to_its_client_in_the_standard() {
    let check = |config: Config, expected: &str| {
        let mut bench = Bench::of(config);
        bench.come(1, "c1");
        bench.lose(1);
        let said = bench.come5(2, "c1", 100);
        assert_eq!(said[1], format!("2 < {expected}"));
    };
    check(Config::AWS, "CONNACK success");
    check(Config::SELF_HOST, "CONNACK success, session present");
}

#[test]
fn another_connection_takes_the_session_over() {
    let mut bench = Bench::new();
    bench.come(1, "c1");
    bench.subscribe(1, &[("t", QoS::AtLeastOnce)]);
    bench.connect(9, EVERYTHING);
    bench.publish(9, "t", QoS::AtLeastOnce);
    assert_eq!(
        bench.come(2, "c1"),
        [
            "1 closed DUPLICATE_CLIENTID",
            "2 attached",
            &format!("2 < {PRESENT}"),
            "2 < t QoS 1 id 1 m DUP"
        ]
    );
}

#[test]
fn what_waited_is_delivered_only_if_it_may_be_received_now() {
    let mut bench = Bench::with_absent();
    bench.publish(9, "t", QoS::AtLeastOnce);
    let no_receive = r#"[{"Effect": "Allow", "Action": "*", "Resource": "*"}, {"Effect": "Deny", "Action": "iot:Receive", "Resource": "*"}]"#;
    let said = bench.attach(2, &grant(no_receive), staying("c1"));
    assert_eq!(said[2..], [r#"2 may not receive from "t": broker.policy"#]);
    bench.lose(2);
    bench.restart();
    assert_eq!(bench.come(3, "c1").len(), 2, "it was taken back for good");
}

#[test]
fn a_queue_has_its_limits_and_says_so_once() {
    let mut bench = Bench::with(Limits {
        queue_messages_max: 2,
        node_queue_bytes_max: 100,
        ..Limits::AWS
    });
    bench.come(1, "c1");
    bench.subscribe(1, &[("t", QoS::AtLeastOnce), ("u", QoS::AtLeastOnce)]);
    bench.lose(1);
    bench.connect(9, EVERYTHING);
    let told: Vec<bool> = (0..4)
        .map(|_| {
            bench
                .publish(9, "t", QoS::AtLeastOnce)
                .iter()
                .any(|line| line.contains("broker.queue.full"))
        })
        .collect();
    assert_eq!(told, [false, false, true, false]);
    assert_eq!(bench.node.counters().dropped.queue_messages, 2);
    let large = bench.publish_payload(9, "u", &[b'x'; 200], QoS::AtLeastOnce);
    assert_eq!(large.len(), 2, "{large:?}");

    bench.come(2, "c2");
    bench.subscribe(2, &[("v", QoS::AtLeastOnce)]);
    bench.lose(2);
    bench.publish_payload(9, "v", &[b'x'; 200], QoS::AtLeastOnce);
    let full = bench.publish_payload(9, "v", &[b'x'; 200], QoS::AtLeastOnce);
    assert!(full[0].contains("broker.queue.node_full"), "{full:?}");
}

#[test]
fn what_is_too_old_is_not_delivered() {
    let mut bench = Bench::with(Limits {
        queue_age_seconds_max: 60,
        ..Limits::AWS
    });
    bench.come(1, "c1");
    bench.subscribe(1, &[("t", QoS::AtLeastOnce)]);
    bench.lose(1);
    bench.connect(9, EVERYTHING);
    bench.publish(9, "t", QoS::AtLeastOnce);
    bench.wait(61);
    bench.connect(8, EVERYTHING);
    bench.publish(8, "t", QoS::AtLeastOnce);
    assert_eq!(bench.come(2, "c1")[2..], ["2 < t QoS 1 id 2 m"]);
    assert_eq!(bench.node.counters().dropped.age, 1);
}

fn with_will(client_id: &str, delay_seconds: u32, stays: u32) -> (Vec<u8>, Vec<u8>, &str) {
    let properties = words(&[Property::SessionExpirySeconds(stays)]);
    (
        properties,
        words(&[Property::WillDelaySeconds(delay_seconds)]),
        client_id,
    )
}

impl Bench {
    fn come_with_will(
        &mut self,
        id: u64,
        (properties, will, client_id): &(Vec<u8>, Vec<u8>, &str),
    ) -> Vec<String> {
        let connect = v5::Connect {
            clean_start: false,
            properties: of(properties, Place::Connect),
            will: Some(last_words("w")),
            will_properties: of(will, Place::Will),
            ..asks(client_id).into()
        };
        self.attach_v5(id, &grant(EVERYTHING), connect)
    }
}

#[test]
fn a_will_waits_for_its_delay_or_the_end_of_the_session() {
    for (delay, stays, published_after) in [(0, 100, 0), (10, 100, 10), (100, 10, 10), (10, 0, 0)] {
        for restarts in [false, true] {
            let mut bench = Bench::new();
            bench.come_with_will(1, &with_will("c1", delay, stays));
            let mut said = bench.lose(1);
            if restarts {
                bench.restart();
            }
            if published_after > 0 {
                assert_eq!(said, NOTHING, "{delay} {stays}");
                bench.wait(published_after - 1);
                said = bench.wait(1);
            }
            assert_eq!(said, ["forward w"], "{delay} {stays} {restarts}");
            assert_eq!(bench.wait(200), NOTHING);
        }
    }
}

#[test]
fn a_client_that_is_back_in_time_leaves_no_will() {
    let mut bench = Bench::new();
    bench.come_with_will(1, &with_will("c1", 10, 100));
    bench.lose(1);
    bench.wait(9);
    let back = bench.come5(2, "c1", 100);
    assert_eq!(back, ["2 attached", "2 < CONNACK success, session present"]);
    assert_eq!(bench.lose(2), NOTHING);
    assert_eq!(bench.wait(200), NOTHING);
}

#[test]
fn a_node_that_dies_leaves_the_wills_of_its_clients_for_its_next_life() {
    let mut bench = Bench::new();
    bench.come_with_will(1, &with_will("c1", 0, 100));
    bench.restart();
    assert_eq!(bench.wait(0), ["forward w"]);
    bench.restart();
    assert_eq!(bench.wait(200), NOTHING, "once");
}

#[test]
fn sessions_that_stay_have_a_limit() {
    let mut bench = Bench::with(Limits {
        sessions_kept_max: 1,
        ..Limits::AWS
    });
    bench.come(1, "c1");
    assert_eq!(bench.come(2, "c2")[0], "2 < CONNACK server unavailable");
    bench.connect(3, EVERYTHING);
}

#[test]
fn why_and_since_when_a_client_is_away_is_known_over_a_restart() {
    let away = |bench: &Bench| {
        let client = bench.node.client(&Tenant::default(), "c1");
        client.and_then(|client| client.absence)
    };
    let mut bench = Bench::new();
    bench.come(1, "c1");
    assert_eq!(away(&bench), None);
    bench.wait(5);
    bench.send(1, Packet::Disconnect);
    let goodbye = Absence {
        since: bench.now,
        reason: Some(DisconnectReason::ClientInitiated),
    };
    assert_eq!(away(&bench), Some(goodbye));
    bench.wait(5);
    bench.restart();
    assert_eq!(away(&bench), Some(goodbye));
    bench.come(2, "c1");
    assert_eq!(away(&bench), None);
    bench.restart();
    let fallen = Absence {
        since: bench.now,
        reason: Some(DisconnectReason::ServerError),
    };
    assert_eq!(away(&bench), Some(fallen));
}
