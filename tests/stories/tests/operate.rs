//! An operator's day: Prometheus reads the metrics and finds nothing wrong with them, two clients with one certificate raise the
//! alarm, and the end comes gently.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]

use std::fs;
use std::process::{Command, Stdio};

use stories::{Story, run, tool, wait_until};

fn metrics(story: &Story) -> String {
    format!("http://{}/metrics", story.cloud.metrics())
}

#[test]
fn prometheus_reads_what_the_server_tells() {
    let (Some(curl), Some(promtool), Some(prometheus)) = (tool("curl"), tool("promtool"), tool("prometheus"))
    else {
        return;
    };
    let Some(story) = Story::begin(&["--listen-metrics", "127.0.0.1:0"]) else {
        return;
    };
    let device = story.device("lamp-1");
    let _ = device.publish("dt/lamp-1/hello", 1, "counted").well();
    let page = run(Command::new(&curl).args(["--silent", "--fail", &metrics(&story)]))
        .well()
        .stdout;
    assert!(
        page.contains("birthmark_messages_received_total{qos=\"1\"} 1\n"),
        "{page}"
    );
    assert!(
        page.contains("birthmark_first_connections_total{outcome=\"provisioned\"} 1\n"),
        "{page}"
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page");
    fs::write(&file, &page).unwrap();
    let checked = Command::new(&promtool)
        .args(["check", "metrics"])
        .stdin(fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && said.is_empty(), "{said}");

    let config = folder.path().join("prometheus.yml");
    let target = story.cloud.metrics();
    fs::write(
        &config,
        format!("global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: birthmark\n    static_configs: [{{ targets: [\"{target}\"] }}]\n"),
    )
    .unwrap();
    let mut server = Command::new(&prometheus)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.path().join("tsdb").display()
        ))
        .arg("--web.listen-address=127.0.0.1:0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(folder.path().join("said")).unwrap())
        .spawn()
        .unwrap();
    let address = wait_until("Prometheus to listen", || {
        let said = fs::read_to_string(folder.path().join("said")).ok()?;
        let line = said
            .lines()
            .find(|line| line.contains("Listening on") && line.contains("address=127"))?;
        Some(
            line.split("address=")
                .nth(1)?
                .split_whitespace()
                .next()?
                .to_owned(),
        )
    });
    let found = wait_until("a scrape", || {
        let query = format!("http://{address}/api/v1/query?query=sum(birthmark_messages_received_total)");
        let answer = run(Command::new(&curl).args(["--silent", &query])).stdout;
        answer.contains("\"value\":[").then_some(answer)
    });
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(found.contains(",\"1\"]"), "{found}");
}

#[test]
fn one_certificate_under_two_client_ids_or_networks_raises_the_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("birthmark.toml");
    fs::write(&config, "[drain]\nconnections_per_second = 50\n").unwrap();
    let Some(story) = Story::begin(&["--config", config.to_str().unwrap()]) else {
        return;
    };
    let operator = story.operator();
    let mut watcher = operator
        .clone()
        .v5()
        .subscribe("$aws/events/birthmark/clone/suspected/#", 1, 99);
    let _bridge = operator.named("bridge").subscribe("dt/+/hello", 1, 1);
    let told = watcher.next_message();
    assert!(
        told.contains("\"cause\":\"client_ids\"") && told.contains("\"clientId\":\"bridge\""),
        "{told}"
    );

    let device = story.device("lamp-1");
    let _near = device.subscribe("cmd/lamp-1/#", 1, 1);
    let _far = device.subscribe_with("cmd/lamp-1/#", 1, 1, "%p", &["-A", "127.0.7.1"]);
    let told = watcher.next_message();
    assert!(
        told.contains("\"cause\":\"networks\"")
            && told.contains("\"ipAddress\":\"127.0.7.1\"")
            && told.contains("\"otherNetwork\":\"127.0.0.0/24\""),
        "{told}"
    );
    assert_eq!(story.cloud.stop(), Some(0));
    assert!(
        watcher.line_with("Received DISCONNECT (139)").is_some(),
        "the end is told before it comes"
    );
}
