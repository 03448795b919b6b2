//! SUBSCRIBE and UNSUBSCRIBE: each filter, and the limits.

use super::*;

#[test]
fn each_filter_is_decided_alone() {
    let mut bench = Bench::new();
    bench.connect(1, ORDINARY);
    assert_eq!(
        bench.subscribe(
            1,
            &[
                ("dt/a", QoS::AtLeastOnce),
                ("secret/#", QoS::AtLeastOnce),
                ("$share/g", QoS::AtMostOnce),
                ("$aws/things/x/jobs/notify", QoS::AtMostOnce),
                ("cmd/+", QoS::AtMostOnce)
            ]
        ),
        [
            r#"1 may not subscribe to "secret/#": broker.policy"#,
            r#"1 may not subscribe to "$share/g": broker.rule"#,
            r#"1 may not subscribe to "$aws/things/x/jobs/notify": broker.topic.reserved"#,
            "1 < SUBACK 7 01 80 80 80 00",
        ]
    );
    assert_eq!(
        bench.publish(1, "cmd/x", QoS::AtMostOnce),
        ["1 < cmd/x QoS 0 m", "forward cmd/x"]
    );
}

#[test]
fn subscriptions_have_their_limits() {
    let mut bench = Bench::new();
    bench.connect(1, EVERYTHING);
    let filters: Vec<_> = (0..51).map(|number| format!("f/{number}")).collect();
    for filter in &filters[..50] {
        assert_eq!(
            bench.subscribe(1, &[(filter, QoS::AtMostOnce)]),
            ["1 < SUBACK 7 00"]
        );
    }
    let refused = r#"1 may not subscribe to "f/50": broker.limit"#;
    assert_eq!(
        bench.subscribe(1, &[(&filters[50], QoS::AtMostOnce)]),
        [refused, "1 < SUBACK 7 80"]
    );
    assert_eq!(
        bench.subscribe(1, &[(&filters[0], QoS::AtLeastOnce)]),
        ["1 < SUBACK 7 01"],
        "one it has already"
    );
    bench.unsubscribe(1, &[&filters[3]]);
    assert_eq!(
        bench.subscribe(1, &[(&filters[50], QoS::AtMostOnce)]),
        ["1 < SUBACK 7 00"]
    );

    let eight = [("a", QoS::AtMostOnce); 8];
    assert_eq!(
        Bench::connected().subscribe(1, &eight),
        ["1 < SUBACK 7 00 00 00 00 00 00 00 00"]
    );
    let nine = [("a", QoS::AtMostOnce); 9];
    assert_eq!(
        Bench::connected().subscribe(1, &nine),
        ["1 may not send SUBSCRIBE: broker.limit", "1 closed CLIENT_ERROR"]
    );
    let exactly_once = [("a", QoS::AtMostOnce), ("b", QoS::ExactlyOnce)];
    assert_eq!(
        Bench::connected().subscribe(1, &exactly_once),
        [
            "1 may not send SUBSCRIBE: mqtt.qos2.unsupported",
            "1 closed CLIENT_ERROR"
        ]
    );
}
