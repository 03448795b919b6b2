//! The page of metrics: complete, true, and only for this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use cloud::{Config, Error, FirstConnect, Server};

use crate::support::{Authority, World, template, trusted_device};

/// Every metric with its kind, labels and meaning.
const TABLE: &str = include_str!("../../src/metrics/metrics.tsv");
const DASHBOARD: &str = include_str!("../../../../packaging/grafana/birthmark.json");

fn ask(world: &World, request: &str) -> String {
    let mut socket = TcpStream::connect(world.running().metrics.unwrap()).unwrap();
    let request = format!("{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

fn scrape(world: &World) -> String {
    let answer = ask(world, "GET /metrics");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// The value of a line, by its name with labels.
fn value(page: &str, name: &str) -> Option<f64> {
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

/// The names of the table with their labels.
fn table() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let lines = TABLE
        .lines()
        .skip(1)
        .map(|line| line.split('\t').collect::<Vec<_>>());
    lines
        .map(|fields| {
            let labels = fields[2].split(", ").filter(|label| !label.is_empty());
            (fields[0], labels.collect())
        })
        .collect()
}

fn start() -> World {
    World::start_with(FirstConnect::Close, |config| {
        config.listen_metrics = "127.0.0.1:0".into();
    })
}

#[test]
fn the_page_has_every_metric_of_the_table_and_no_other() {
    let world = start();
    let page = scrape(&world);
    let table = table();
    let told: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let once: BTreeSet<&str> = told.iter().copied().collect();
    assert_eq!(told.len(), once.len(), "each is there once");
    assert_eq!(once, table.keys().copied().collect());
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix).filter(|name| table.contains_key(name)))
            .unwrap_or(name);
        let labels = line
            .split_once('{')
            .map_or("", |(_, rest)| rest.split('}').next().unwrap());
        let found: BTreeSet<&str> = labels
            .split(',')
            .filter_map(|label| Some(label.split_once('=')?.0).filter(|name| *name != "le"))
            .collect();
        assert_eq!(found, table[family], "{line}");
    }
}

#[test]
fn what_happened_is_counted() {
    let world = start();
    let device = trusted_device(&world, "fleet");
    let mut listener = world.connect(&device, "listener").unwrap();
    listener.subscribe("dt/#").unwrap();
    let mut sender = world.connect(&device, "sender").unwrap();
    for _ in 0..3 {
        sender.publish("dt/x", b"12345").unwrap();
        listener.next().unwrap();
    }
    let authority = Authority::new("Acme Signer");
    world.register(&authority, Some(&template()));
    let newborn = authority.device("bm-1");
    assert!(
        world.connect(&newborn, "bm-1").is_err(),
        "AWS closes a first connection"
    );
    assert!(world.connect(&newborn, "not-my-name").is_err());
    drop(sender);
    let page = loop {
        let page = scrape(&world);
        if value(&page, "birthmark_disconnects_total{reason=\"lost\"}") == Some(1.0) {
            break page;
        }
    };
    let expected = [
        ("birthmark_connections{listener=\"mqtt\",version=\"3.1.1\"}", 1.0),
        ("birthmark_shards", 2.0),
        ("birthmark_shards_silent", 0.0),
        ("birthmark_subscriptions", 1.0),
        ("birthmark_messages_received_total{qos=\"1\"}", 3.0),
        ("birthmark_message_bytes_received_total{qos=\"1\"}", 15.0),
        ("birthmark_messages_sent_total{qos=\"1\"}", 3.0),
        ("birthmark_message_bytes_sent_total{qos=\"1\"}", 15.0),
        ("birthmark_acknowledgement_seconds_count", 3.0),
        ("birthmark_delivery_seconds_count", 3.0),
        (
            "birthmark_handshakes_total{listener=\"mqtt\",outcome=\"complete\"}",
            4.0,
        ),
        ("birthmark_first_connections_total{outcome=\"provisioned\"}", 1.0),
        ("birthmark_disconnects_total{reason=\"refused\"}", 1.0),
        (
            "birthmark_attempts_total{kind=\"connect\",verdict=\"accepted\"}",
            3.0,
        ),
        ("birthmark_refusals_total{code=\"broker.policy\"}", 1.0),
        (
            "birthmark_api_requests_total{operation=\"RegisterCACertificate\",class=\"2xx\"}",
            1.0,
        ),
        ("birthmark_queue_items{queue=\"sessions\"}", 0.0),
    ];
    for (name, count) in expected {
        assert_eq!(value(&page, name), Some(count), "{name}\n{page}");
    }
    for name in [
        "birthmark_records_commit_seconds_count",
        "process_resident_memory_bytes",
        "process_open_fds",
    ] {
        assert!(value(&page, name).unwrap() > 0.0, "{name}");
    }
}

#[test]
fn only_the_page_is_there_and_only_on_loopback() {
    let world = start();
    assert!(ask(&world, "GET /").starts_with("HTTP/1.1 404"));
    assert!(ask(&world, "POST /metrics").starts_with("HTTP/1.1 405"));
    let ready = std::fs::read_to_string(world.running().ready_file()).unwrap();
    assert!(ready.contains(&format!("\"metrics\": \"{}\"", world.running().metrics.unwrap())));
    let everywhere = Config {
        listen_metrics: "0.0.0.0:0".into(),
        ..world.config()
    };
    assert!(matches!(
        Server::start(&everywhere),
        Err(Error::Setting {
            key: "listen_metrics",
            ..
        })
    ));
}

#[test]
fn the_dashboard_shows_every_metric_and_asks_for_no_other() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut asked = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let words = target["expr"]
                .as_str()
                .unwrap()
                .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            let names = words.filter(|word| word.starts_with("birthmark_") || word.starts_with("process_"));
            asked.extend(names.map(|name| name.strip_suffix("_bucket").unwrap_or(name)));
        }
    }
    assert_eq!(asked, table().keys().copied().collect());
}
