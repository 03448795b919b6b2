//! Messages that stay on their topics: who may put them there, who gets them, in which form, and that they outlive the node.

use mqtt::v5::{Property, RetainHandling};

use super::version_5::words;
use super::*;

impl Bench {
    fn keep(&mut self, topic: &str, payload: &[u8]) -> Vec<String> {
        let publish = Publish {
            topic: TopicName::new(topic).unwrap(),
            payload,
            delivery: Delivery::AtLeastOnce {
                id: packet_id(9),
                duplicate: false,
            },
            retain: true,
        };
        self.send(9, Packet::Publish(publish))
    }

    /// With a publisher, 9.
    fn keeping(config: Config) -> Self {
        let mut bench = Self::of(config);
        bench.connect(9, EVERYTHING);
        bench
    }

    fn subscribe_as(
        &mut self,
        id: u64,
        filter: &str,
        retain_handling: RetainHandling,
        retain_as_published: bool,
    ) -> Vec<String> {
        let line = v5::Subscription {
            filter: TopicFilter::new(filter).unwrap(),
            qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published,
            retain_handling,
        };
        let mut bytes = Vec::new();
        v5::encode::subscribe(&mut bytes, packet_id(7), v5::Properties::NONE, [line]).unwrap();
        let Ok(v5::Decoded::Packet { packet, .. }) = v5::decode(&bytes, usize::MAX) else {
            panic!("a SUBSCRIBE")
        };
        self.step(Event::PacketV5 {
            connection: ConnectionId(id),
            packet,
        })
    }
}

#[test]
fn a_new_subscription_gets_what_stays_with_the_flag_set() {
    for restarts in [false, true] {
        let mut bench = Bench::keeping(Config::AWS);
        assert_eq!(bench.keep("a/b", b"1"), ["forward a/b", "9 < PUBACK 9"]);
        bench.keep("a/b", b"2");
        bench.keep("a/c", b"3");
        assert_eq!(
            bench.keep("a/c", b""),
            ["forward a/c", "9 < PUBACK 9"],
            "an empty one clears"
        );
        if restarts {
            bench.restart();
        }
        bench.connect(1, EVERYTHING);
        let expected = ["1 < SUBACK 7 01 01", "1 < a/b QoS 1 id 1 2 RETAIN"];
        let lines = [("a/b", QoS::AtLeastOnce), ("a/c", QoS::AtLeastOnce)];
        assert_eq!(bench.subscribe(1, &lines), expected);
        let lower = bench.subscribe(1, &[("a/b", QoS::AtMostOnce)]);
        assert_eq!(
            lower[1], "1 < a/b QoS 0 2 RETAIN",
            "a repeated subscription of 3.1.1 gets it again"
        );
    }
}

#[test]
fn it_is_durable_before_it_is_acknowledged() {
    let mut bench = Bench::keeping(Config::AWS);
    bench.gates = true;
    assert_eq!(bench.keep("a", b"1"), ["forward a", "9 < PUBACK 9 (waits)"]);
}

#[test]
fn who_listens_already_gets_it_without_the_flag_unless_it_asks() {
    let mut bench = Bench::keeping(Config::AWS);
    bench.connect(1, EVERYTHING);
    bench.subscribe(1, &[("a", QoS::AtMostOnce)]);
    for (id, as_published) in [(2, false), (3, true)] {
        bench.connect5(id, EVERYTHING);
        bench.subscribe_as(id, "a", RetainHandling::DoNotSend, as_published);
    }
    let said = bench.keep("a", b"1");
    assert_eq!(
        said[..3],
        ["1 < a QoS 0 1", "2 < a QoS 1 1", "3 < a QoS 1 1 RETAIN"]
    );
}

#[test]
fn a_subscription_says_when_it_wants_what_stays() {
    let mut bench = Bench::keeping(Config::AWS);
    bench.keep("a", b"1");
    let cases = [
        (RetainHandling::Send, [1, 1]),
        (RetainHandling::SendIfNew, [1, 0]),
        (RetainHandling::DoNotSend, [0, 0]),
    ];
    for (id, (handling, expected)) in (1..).zip(cases) {
        bench.connect5(id, EVERYTHING);
        let came = [(); 2].map(|()| bench.subscribe_as(id, "a", handling, true).len() - 1);
        assert_eq!(came, expected, "{handling:?}");
    }
}

#[test]
fn wildcards_bring_it_in_the_standard_only_and_shared_subscriptions_never() {
    let check = |config: Config, filter: &str, expected: usize| {
        let mut bench = Bench::keeping(config);
        bench.keep("a/b", b"1");
        bench.keep("a/c", b"1");
        bench.keep("b", b"1");
        bench.connect(1, EVERYTHING);
        let said = bench.subscribe(1, &[(filter, QoS::AtLeastOnce)]);
        assert_eq!(said.len() - 1, expected, "{filter} {said:?}");
    };
    check(Config::AWS, "a/+", 0);
    check(Config::AWS, "#", 0);
    check(Config::AWS, "a/b", 1);
    check(Config::SELF_HOST, "a/+", 2);
    check(Config::SELF_HOST, "#", 3);
    check(Config::SELF_HOST, "$share/g/a/b", 0);
}

#[test]
fn to_put_it_there_and_to_get_it_needs_permission() {
    let deny = |action: &str| {
        format!(
            r#"[{EVERYTHING}, {{"Effect": "Deny", "Action": "{action}", "Resource": "arn:aws:iot:*:*:topic/a"}}]"#
        )
    };
    let mut bench = Bench::new();
    bench.connect(9, &deny("iot:RetainPublish"));
    assert_eq!(
        bench.keep("a", b"1"),
        [
            r#"9 may not publish on "a": broker.policy"#,
            "9 closed AUTH_ERROR"
        ]
    );
    let mut bench = Bench::keeping(Config::AWS);
    bench.keep("a", b"1");
    bench.connect(1, &deny("iot:Receive"));
    let said = bench.subscribe(1, &[("a", QoS::AtLeastOnce)]);
    assert_eq!(
        said,
        ["1 < SUBACK 7 01", r#"1 may not receive from "a": broker.policy"#]
    );
}

#[test]
fn there_is_a_limit_on_how_many_stay() {
    let mut bench = Bench::keeping(Config {
        limits: Limits {
            retained_messages_max: 1,
            ..Limits::AWS
        },
        ..Config::AWS
    });
    bench.keep("a", b"1");
    bench.keep("a", b"2");
    assert_eq!(
        bench.keep("b", b"1")[0],
        r#"9 may not publish on "b": broker.limit"#
    );
}

#[test]
fn the_api_sees_them_in_order_page_by_page() {
    let mut bench = Bench::keeping(Config::AWS);
    for topic in ["c", "a", "b"] {
        bench.keep(topic, b"1");
    }
    let tenant = Tenant::default();
    let page = |after, count| {
        let page = bench.node.list_retained(&tenant, after, count, bench.now);
        page.iter()
            .map(|one| one.message.topic().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(page(None, 2), ["a", "b"]);
    assert_eq!(page(Some("b"), 2), ["c"]);
    let one = bench.node.retained(&tenant, "a", bench.now).unwrap();
    assert_eq!(
        (one.message.payload(), one.published, one.qos()),
        (&b"1"[..], bench.now, QoS::AtLeastOnce)
    );
    assert!(bench.node.retained(&tenant, "x", bench.now).is_none());
}

#[test]
fn it_goes_when_its_time_is_over() {
    let mut bench = Bench::keeping(Config::AWS);
    bench.connect5(5, EVERYTHING);
    let properties = words(&[Property::MessageExpirySeconds(10)]);
    let publish = v5::Publish {
        topic: TopicName::new("a").ok(),
        payload: b"1",
        delivery: Delivery::AtMostOnce,
        retain: true,
        properties: version_5::of(&properties, v5::Place::Publish),
    };
    bench.send5(5, v5::Packet::Publish(publish));
    bench.wait(9);
    let came = bench.subscribe_as(5, "a", RetainHandling::Send, true);
    assert_eq!(came[1], "5 < a QoS 0 1 [02, 00, 00, 00, 01] RETAIN");
    bench.wait(1);
    assert_eq!(bench.subscribe_as(5, "a", RetainHandling::Send, true).len(), 1);
    assert!(bench.node.retained(&Tenant::default(), "a", bench.now).is_none());
}

#[test]
fn nodes_agree_on_the_later_one_and_its_owner_alone_writes_it_down() {
    let bench_of = |index| {
        Bench::of(Config {
            index: NodeIndex(index),
            nodes: 2,
            ..Config::AWS
        })
    };
    let mut benches = [bench_of(0), bench_of(1)];
    let mut stays = message("t", QoS::AtLeastOnce);
    stays = Message::retained(stays);
    for bench in &mut benches {
        bench.step(forwarded(Arc::clone(&stays)));
    }
    let written = benches.iter().filter(|bench| !bench.log.is_empty()).count();
    assert_eq!(written, 1);
    assert!(
        benches
            .iter()
            .all(|bench| bench.node.retained(&Tenant::default(), "t", bench.now).is_some())
    );
}
