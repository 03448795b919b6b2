//! The seeds reach every variant of what the decoders can say, so that a fuzzer begins behind every door.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use i2c_bus::wire::{REQUEST_HEADER_BYTES, Request, RequestHeader};
use mqtt::{Decoded, decode, limits, v5};
use optiga::apdu::Answer;
use optiga::frame::Frame;

use crate::targets::arriving;

/// A target, how the variant of one seed is named, and every name there must be.
type Row = (&'static str, fn(&[u8]) -> Vec<String>, &'static [&'static str]);

const ROWS: &[Row] = &[
    (
        "mqtt-packet",
        packets,
        &[
            "Connect",
            "ForeignConnect",
            "ConnectAnswer",
            "Publish",
            "PublishAcknowledged",
            "PublishReceived",
            "PublishReleased",
            "PublishCompleted",
            "Subscribe",
            "SubscribeAnswer",
            "Unsubscribe",
            "UnsubscribeAnswer",
            "PingRequest",
            "PingAnswer",
            "Disconnect",
        ],
    ),
    (
        "mqtt-packet-v5",
        packets_v5,
        &[
            "Connect",
            "ConnectAnswer",
            "Publish",
            "PublishAcknowledged",
            "PublishReceived",
            "PublishReleased",
            "PublishCompleted",
            "Subscribe",
            "SubscribeAnswer",
            "Unsubscribe",
            "UnsubscribeAnswer",
            "PingRequest",
            "PingAnswer",
            "Disconnect",
            "Authenticate",
        ],
    ),
    (
        "import-line",
        import_lines,
        &[
            "ThingType",
            "BillingGroup",
            "Policy",
            "Template",
            "Ca",
            "Group",
            "Thing",
            "Certificate",
        ],
    ),
    ("task-line", task_lines, &["Id", "Request", "Pem"]),
    (
        "vi2c-request",
        requests,
        &["Hello", "Write", "Read", "WriteRead", "Line", "Clock", "Time"],
    ),
    ("optiga-formats", frames, &["Data", "Control", "Resync"]),
    ("optiga-answers", answers, &["Data", "Refused"]),
];

/// Every variant that no seed reaches, as `target: variant`.
pub(crate) fn missing(seeds: &Path) -> Vec<String> {
    let missing = |(target, names, wanted): &Row| {
        let reached: BTreeSet<String> = files(&seeds.join(target))
            .iter()
            .flat_map(|seed| names(seed))
            .collect();
        let lacking = wanted.iter().filter(|name| !reached.contains(**name));
        lacking
            .map(|name| format!("{target}: {name}"))
            .collect::<Vec<_>>()
    };
    ROWS.iter().flat_map(missing).collect()
}

fn files(folder: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| fs::read(entry.path()).ok()).collect()
}

fn packets(mut bytes: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    while let Ok(Decoded::Packet { packet, bytes: taken }) = decode(bytes, limits::PACKET_BYTES_AWS_MAX) {
        names.push(first_word(&packet));
        bytes = &bytes[taken..];
    }
    names
}

fn packets_v5(mut bytes: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    while let Ok(v5::Decoded::Packet { packet, bytes: taken }) =
        v5::decode(bytes, limits::PACKET_BYTES_AWS_MAX)
    {
        names.push(first_word(&packet));
        bytes = &bytes[taken..];
    }
    names
}

fn requests(bytes: &[u8]) -> Vec<String> {
    let Some((header, payload)) = bytes.split_first_chunk::<REQUEST_HEADER_BYTES>() else {
        return Vec::new();
    };
    Request::parse(RequestHeader::from_bytes(*header), payload)
        .iter()
        .map(|request| first_word(request))
        .collect()
}

fn import_lines(bytes: &[u8]) -> Vec<String> {
    let line = arriving::read_line(bytes);
    line.iter().map(|line| first_word(line)).collect()
}

/// What a line brings that is a certificate, as the template which takes it sees it.
fn task_lines(bytes: &[u8]) -> Vec<String> {
    let brought = arriving::brought(bytes).into_iter().flatten();
    brought.map(|certificate| first_word(&certificate)).collect()
}

fn frames(bytes: &[u8]) -> Vec<String> {
    Frame::parse(bytes)
        .iter()
        .map(|frame| first_word(frame))
        .collect()
}

/// The seeds' first packet holds the whole answer, or none.
fn answers(bytes: &[u8]) -> Vec<String> {
    let whole = bytes.get(3..).unwrap_or_default();
    Answer::parse(whole)
        .iter()
        .map(|answer| first_word(answer))
        .collect()
}

/// The name of a variant is the first word of its debug form.
fn first_word(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.split(|c: char| !c.is_alphanumeric())
        .next()
        .unwrap_or_default()
        .to_owned()
}
