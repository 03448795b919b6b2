//! What was acknowledged is there: for clients that were away, over kill -9, with mosquitto's own clients.
#![forbid(unsafe_code)]

use stories::{Mosquitto, Story};

/// The operator's certificate under another client id, against the cloud as it runs now.
fn client(story: &Story, name: &str) -> Mosquitto {
    Mosquitto::new(&story.cloud, &story.certificates, "operator", "operator").named(name)
}

#[test]
fn a_message_published_while_its_subscriber_is_away_survives_kill_9() {
    let Some(mut story) = Story::begin(&[]) else {
        return;
    };
    let _ = story.operator();
    for (version, away) in [("3.1.1", "away-3"), ("5.0", "away-5")] {
        let in_version = |client: Mosquitto| if version == "5.0" { client.v5() } else { client };
        let stays: &[&str] = if version == "5.0" { &["-x", "3000"] } else { &[] };
        in_version(client(&story, away)).subscribe_and_leave("news/#", 1, stays);
        let _ = client(&story, "writer").publish("news/today", 1, version).well();
        let _ = client(&story, "writer")
            .publish("news/lost", 0, "QoS 0 waits for nobody")
            .well();
        story.kill_and_restart(&[]);
        let message = in_version(client(&story, away)).come_back("news/#", "%q %t %p", stays);
        assert_eq!(message, format!("1 news/today {version}"));
    }
}

#[test]
fn a_retained_message_survives_kill_9_and_a_cleared_one_stays_away() {
    let Some(mut story) = Story::begin(&[]) else {
        return;
    };
    let _ = story.operator();
    let writer = client(&story, "writer");
    let _ = writer.publish_with("state/lamp", 1, "on", &["-r"]).well();
    let _ = writer.publish_with("state/gone", 1, "on", &["-r"]).well();
    let _ = writer.publish_with("state/gone", 1, "", &["-r"]).well();
    story.kill_and_restart(&[]);
    let reader = client(&story, "reader");
    let filters = ["-t", "state/lamp"];
    let mut subscriber = reader.subscribe_with("state/gone", 1, 1, "%q %r %t %p", &filters);
    assert_eq!(subscriber.next_message(), "1 1 state/lamp on");
}

#[test]
fn with_more_shards_or_fewer_nobody_loses_anything() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["1", "2", "3"].map(|shards| {
        let file = folder.path().join(shards).to_str().unwrap().to_owned();
        std::fs::write(&file, format!("shards = {shards}\n")).unwrap();
        file
    });
    let [one, two, three] = &files;
    let Some(mut story) = Story::begin(&["--config", one]) else {
        return;
    };
    let _ = story.operator();
    let names: Vec<String> = (0..8).map(|number| format!("away-{number}")).collect();
    for name in &names {
        client(&story, name).subscribe_and_leave("news", 1, &[]);
    }
    let _ = client(&story, "writer").publish("news", 1, "first").well();
    let _ = client(&story, "writer")
        .publish_with("state", 1, "on", &["-r"])
        .well();
    for shards in [three, two] {
        story.kill_and_restart(&["--config", shards]);
        let mut subscriber = client(&story, "reader").subscribe_with("state", 1, 1, "%t %p", &[]);
        assert_eq!(subscriber.next_message(), "state on", "{shards}");
    }
    for name in &names {
        let message = client(&story, name).come_back("news", "%q %t %p", &[]);
        assert_eq!(message, "1 news first", "{name}");
    }
}

#[test]
fn on_a_server_of_ones_own_quality_2_arrives_once_over_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.toml");
    std::fs::write(&file, "profile = \"self-host\"\n").unwrap();
    let arguments = ["--config", file.to_str().unwrap()];
    let Some(mut story) = Story::begin(&arguments) else {
        return;
    };
    let _ = story.operator();
    client(&story, "away").subscribe_and_leave("orders/+", 2, &[]);
    let _ = client(&story, "writer").publish("orders/1", 2, "one lamp").well();
    story.kill_and_restart(&arguments);
    let format = ["-q", "2"];
    let message = client(&story, "away").come_back("orders/+", "%q %t %p", &format);
    assert_eq!(message, "2 orders/1 one lamp");
    let _ = client(&story, "writer")
        .publish("orders/2", 2, "two lamps")
        .well();
    let message = client(&story, "away").come_back("orders/+", "%q %t %p", &format);
    assert_eq!(message, "2 orders/2 two lamps", "the first one was done");
}

#[test]
fn at_aws_quality_2_costs_the_connection() {
    let Some(story) = Story::begin(&[]) else { return };
    let _ = story.operator();
    assert_ne!(client(&story, "writer").publish("a", 2, "x").code, Some(0));
}
