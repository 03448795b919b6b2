//! An operator's day: Prometheus reads the metrics and finds nothing wrong with them, two clients with one certificate raise the
//! alarm, and the end comes gently.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use stories::{Cloud, Story, run, tool, wait_until};

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

/// Messages while the disk fills up, each of so many bytes; and how long a file may be meanwhile.
const MESSAGES: usize = 60;
const MESSAGE_BYTES: usize = 100_000;
const FILE_BYTES_MAX: &str = "1200000";

#[test]
fn a_log_that_cannot_grow_acknowledges_nothing_and_goes_on_by_itself() {
    let (Some(prlimit), Some(curl)) = (tool("prlimit"), tool("curl")) else {
        return;
    };
    let arguments = ["--listen-metrics", "127.0.0.1:0"];
    // A write beyond the limit is to fail, and not to end the program.
    let begun = Story::begin_as(|data_dir| {
        let serve = Cloud::command(data_dir, &arguments);
        let mut command = Command::new("env");
        command.arg("--ignore-signal=XFSZ").arg(serve.get_program());
        command.args(serve.get_args());
        command
    });
    let Some(story) = begun else { return };
    let limit = |bytes: &str| {
        let set = [
            format!("--pid={}", story.cloud.pid()),
            format!("--fsize={bytes}:"),
        ];
        let _ = run(Command::new(&prlimit).args(set)).well();
    };
    let operator = story.operator();
    let _listener = operator
        .clone()
        .named("listener")
        .subscribe_with("dt/big", 1, MESSAGES, "%p", &["-c"]);
    limit(FILE_BYTES_MAX);
    let message = "x".repeat(MESSAGE_BYTES);
    let mut is_acknowledged = (0..MESSAGES).map(|_| operator.publish("dt/big", 1, &message).code == Some(0));
    assert!(
        is_acknowledged.any(|is| !is),
        "what cannot be kept is not acknowledged"
    );
    let page = run(Command::new(&curl).args(["--silent", &metrics(&story)])).stdout;
    assert!(
        page.contains("birthmark_disconnects_total{reason=\"fault\"}"),
        "{page}"
    );
    limit("unlimited");
    wait_until("the server to go on by itself", || {
        (operator.publish("dt/big", 1, "small").code == Some(0)).then_some(())
    });
}

#[test]
fn a_collector_of_opentelemetry_understands_what_it_is_sent() {
    let Some(python) = tool("python") else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/spans.py");
    let mut collector = Command::new(python)
        .arg("-B")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(collector.stdout.take().unwrap()).lines();
    let mut next = || lines.next().expect("the collector ended").unwrap();
    let port = next();
    let port = port.strip_prefix("port ").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("birthmark.toml");
    let telemetry = format!("[telemetry]\notlp = \"http://127.0.0.1:{port}\"\naccepted_one_in = 1\n");
    fs::write(&config, telemetry).unwrap();
    let Some(story) = Story::begin(&["--config", config.to_str().unwrap()]) else {
        drop(collector.stdin.take());
        collector.wait().unwrap();
        return;
    };
    let device = story.device("lamp-1");
    let _ = device.publish("dt/lamp-1/hello", 1, "x").well();
    let _ = device.publish("dt/lamp-2/hello", 1, "not mine").refused(&[]);
    let mut spans: Vec<Vec<String>> = Vec::new();
    let wanted = [
        ["api RegisterCACertificate", "whole", "-", "well"],
        ["first connection", "part", "provisioned", "well"],
        [
            "mqtt connect",
            "whole",
            "cloud.first_connection.provisioned",
            "well",
        ],
        ["mqtt publish", "whole", "broker.policy", "failed"],
    ];
    let is = |span: &Vec<String>, row: &[&str; 4]| span[2..6].iter().eq(row.iter());
    while !wanted.iter().all(|row| spans.iter().any(|span| is(span, row))) {
        spans.push(next().split('\t').map(str::to_owned).collect());
    }
    let of = |row: &[&str; 4]| spans.iter().find(|span| is(span, row)).unwrap();
    assert_eq!(
        of(&wanted[1])[1],
        of(&wanted[2])[1],
        "the part has the trace of the whole"
    );
    assert!(
        of(&wanted[2])[6].contains("tls.possession"),
        "{:?}",
        of(&wanted[2])
    );
    drop(story);
    drop(collector.stdin.take());
    collector.wait().unwrap();
}
