//! mosquitto's own clients with MQTT 5.0: first connection, properties from end to end, reasons, and both versions together.
#![forbid(unsafe_code)]

use stories::{KeyKind, Mosquitto, Story};

#[test]
fn a_device_with_5_0_is_provisioned_by_its_first_connection_and_then_welcome() {
    let Some(story) = Story::begin(&[]) else { return };
    let device = story.newborn("lamp-1", KeyKind::P256).v5();
    let first = device.publish("dt/lamp-1/hello", 1, "first");
    assert_ne!(first.code, Some(0), "the first connection is closed: {first:?}");
    assert_eq!(story.status("lamp-1"), "ACTIVE");
    let _ = device.publish("dt/lamp-1/hello", 1, "second").well();
    let _ = device.tls13().publish("dt/lamp-1/hello", 1, "third").well();
}

#[test]
fn clients_of_both_versions_reach_each_other() {
    let Some(story) = Story::begin(&[]) else { return };
    let old = story.device("lamp-1");
    let new = story.device("lamp-2").v5();
    let operator = story.operator();
    let mut listens_old = operator.subscribe("dt/+/hello", 1, 1);
    let _ = new.publish("dt/lamp-2/hello", 1, "from 5.0").well();
    assert_eq!(listens_old.next_message(), "1 dt/lamp-2/hello from 5.0");
    drop(listens_old);
    let mut listens_new = new.subscribe("cmd/lamp-2/#", 1, 1);
    let _ = operator.publish("cmd/lamp-2/on", 1, "from 3.1.1").well();
    assert_eq!(listens_new.next_message(), "1 cmd/lamp-2/on from 3.1.1");
    let _ = old.publish("dt/lamp-1/hello", 0, "still welcome").well();
}

#[test]
fn properties_go_from_end_to_end() {
    let Some(story) = Story::begin(&[]) else { return };
    let device = story.device("lamp-1").v5();
    let format = "%p|%C|%D|%R|%P|%F|%E";
    let mut listener = story
        .operator()
        .v5()
        .subscribe_with("dt/+/hello", 1, 1, format, &[]);
    let properties = [
        ["content-type", "text/plain"],
        ["correlation-data", "77"],
        ["response-topic", "cmd/lamp-1/answer"],
        ["payload-format-indicator", "1"],
        ["message-expiry-interval", "60"],
    ];
    let mut further: Vec<&str> = properties
        .iter()
        .flat_map(|[name, value]| ["-D", "publish", name, value])
        .collect();
    further.extend(["-D", "publish", "user-property", "colour", "red"]);
    let _ = device
        .publish_with("dt/lamp-1/hello", 1, "hello", &further)
        .well();
    let message = listener.next_message();
    let (words, seconds) = message.rsplit_once('|').unwrap_or_default();
    assert_eq!(words, "hello|text/plain|77|cmd/lamp-1/answer|colour:red|1");
    let seconds = seconds.parse::<u32>().unwrap_or_default();
    assert!((1..=60).contains(&seconds), "{message}");
}

#[test]
fn a_topic_alias_may_stand_for_the_topic() {
    let Some(story) = Story::begin(&[]) else { return };
    let device = story.device("lamp-1").v5();
    let mut listener = story.operator().v5().subscribe("dt/+/hello", 0, 2);
    let alias = [
        "-D",
        "publish",
        "topic-alias",
        "8",
        "--repeat",
        "2",
        "--repeat-delay",
        "0",
    ];
    let _ = device.publish_with("dt/lamp-1/hello", 0, "again", &alias).well();
    for _ in 0..2 {
        assert_eq!(listener.next_message(), "0 dt/lamp-1/hello again");
    }
}

#[test]
fn a_refusal_says_why_and_the_connection_lives_on() {
    let Some(story) = Story::begin(&[]) else { return };
    let device = story.device("lamp-1").v5();
    let debug = ["-d"];
    let refused = device.publish_with("dt/lamp-2/hello", 1, "not mine", &debug);
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(said.contains("Not authorized"), "{said}");
    let subscribe = device.subscribe_refused("cmd/lamp-2/#");
    assert!(
        subscribe.stdout.contains("Subscribed (mid: 1): 135"),
        "{subscribe:?}"
    );
    let foreign = Mosquitto::new(&story.cloud, &story.certificates, "lamp-1", "lamp-2").v5();
    let _ = foreign
        .publish("dt/lamp-1/hello", 1, "x")
        .refused(&["Not authorized"]);
}

#[test]
fn who_is_taken_over_is_told() {
    let Some(story) = Story::begin(&[]) else { return };
    let _ = story.device("lamp-1");
    let operator = story.operator().v5();
    let mut first = operator.subscribe("dt/#", 1, 1);
    let mut second = operator.subscribe("dt/#", 1, 1);
    let told = first.line_with("DISCONNECT (142)");
    assert!(
        told.is_some(),
        "the first is told that its session was taken over"
    );
    // It would connect again, and take over in its turn.
    drop(first);
    let _ = story
        .device("lamp-2")
        .publish("dt/lamp-2/hello", 1, "here")
        .well();
    assert_eq!(second.next_message(), "1 dt/lamp-2/hello here");
}
