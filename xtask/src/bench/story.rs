//! `cargo xtask bench story`: is the whole story fast and small enough?

use serde_json::Value;

use crate::failure::{Failure, Outcome, Trying};
use crate::process::{self, Run};

use super::usage;
use super::{Row, Target};

/// Devices of the row for memory and time.
const DEVICES: u32 = 10_000;

/// What a known certificate costs the bare acceptor, against one whose chain it verifies. Outside of this something else than
/// the servers was measured.
pub(super) const VALID_RATIO: std::ops::RangeInclusive<f64> = 0.6..=0.85;

/// Measures every row of the story.
pub(super) fn measure() -> Outcome<Vec<Row>> {
    build_release()?;
    let mut rows = first_connections()?;
    rows.extend(whole_story()?);
    Ok(rows)
}

/// Builds what is measured and what measures it.
pub(super) fn build_release() -> Outcome<()> {
    let build = Run::cargo().args([
        "build",
        "--release",
        "--package",
        "birthmark",
        "--package",
        "bench",
    ]);
    // With `--json` nothing but the answer goes to the standard output.
    eprintln!("    $ {}", build.line());
    build.caught_well().map(drop)
}

/// Server CPU per first connection against a bare acceptor, from the program in `bench/`.
fn first_connections() -> Outcome<Vec<Row>> {
    let answer = Run::new(release("bench"))
        .args(["first-connection"])
        .args([release("birthmark")])
        .caught_well()?;
    let answer: Value = serde_json::from_str(&answer).trying(|| "read the answer of bench".to_owned())?;
    let value = |key: &str| answer[key].as_f64();
    if !value("bare_ratio").is_some_and(|ratio| VALID_RATIO.contains(&ratio)) {
        return Err(Failure::new(format!(
            "the run is invalid: the bare acceptor's known : unknown is outside {VALID_RATIO:?}; is the machine busy? {answer}"
        )));
    }
    let row = |name: &str, key, unit, target| Row {
        name: name.to_owned(),
        value: value(key),
        unit,
        target,
    };
    Ok(vec![
        row("bare acceptor, CPU per handshake", "bare_us", "us", Target::None),
        row(
            "bare acceptor, known : unknown",
            "bare_ratio",
            "ratio",
            Target::None,
        ),
        row("cloud, CPU per first connection", "first_us", "us", Target::None),
        row("cloud, CPU per known connection", "known_us", "us", Target::None),
        row(
            "first connection against bare accept",
            "ratio",
            "ratio",
            Target::AtMost(2.0),
        ),
    ])
}

/// The demo with many devices. Per core means per second of CPU time, whatever else the machine does.
fn whole_story() -> Outcome<Vec<Row>> {
    let demo = Run::new(release("birthmark")).args(["demo", "--json", "--devices", &DEVICES.to_string()]);
    let usage = usage::measure(demo)?;
    let story: Value = serde_json::from_str(&usage.stdout).trying(|| "read the answer of demo".to_owned())?;
    if story["ok"] != true {
        return Err(Failure::new("the demo is not ok; no number of it counts"));
    }
    let devices = f64::from(DEVICES);
    let per_core = usage.cpu_seconds_between("1. ", "2. ").map(|cpu| devices / cpu);
    let per_second = story["seconds"]["line"].as_f64().map(|seconds| devices / seconds);
    let megabytes = usage.rss_bytes_max as f64 / 1e6;
    let row = |name: &str, value, unit, target| Row {
        name: name.to_owned(),
        value,
        unit,
        target,
    };
    Ok(vec![
        row(
            "chips made through all layers, per core",
            per_core,
            "chips/s/core",
            Target::AtLeast(1000.0),
        ),
        row(
            "chips made through all layers, this machine",
            per_second,
            "chips/s",
            Target::None,
        ),
        row(
            "demo --devices 10000, time",
            Some(usage.seconds),
            "s",
            Target::AtMost(120.0),
        ),
        row(
            "demo --devices 10000, CPU",
            Some(usage.cpu_seconds),
            "s",
            Target::None,
        ),
        row(
            "demo --devices 10000, most memory",
            Some(megabytes),
            "MB",
            Target::AtMost(600.0),
        ),
    ])
}

pub(super) fn release(program: &str) -> std::path::PathBuf {
    process::target().join("release").join(program)
}
