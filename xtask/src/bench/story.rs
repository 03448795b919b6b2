//! `cargo xtask bench story`: is the whole story fast and small enough?

use serde_json::Value;

use crate::console::Ending;
use crate::failure::{Failure, Outcome, Trying};
use crate::process::{self, Run};

use super::usage::{self, Usage};
use super::{Row, Target};

/// Devices of the row for memory and time.
const DEVICES: u32 = 10_000;

/// Measures every row of the story.
pub(super) fn measure() -> Outcome<Vec<Row>> {
    let build = Run::cargo().args([
        "build",
        "--release",
        "--package",
        "birthmark",
        "--package",
        "bench",
    ]);
    if build.shown()? != Ending::Passed {
        return Err(Failure::new("the release build failed"));
    }
    let mut rows = first_connections()?;
    rows.extend(whole_story()?);
    Ok(rows)
}

/// Server CPU per first connection against a bare acceptor, from the program in `bench/`.
fn first_connections() -> Outcome<Vec<Row>> {
    let answer = Run::new(release("bench"))
        .args(["first-connection"])
        .caught_well()?;
    let answer: Value = serde_json::from_str(&answer).trying(|| "read the answer of bench".to_owned())?;
    let value = |key: &str| answer[key].as_f64();
    let row = |name, key, unit, target| Row {
        name,
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

/// The demo with many devices.
fn whole_story() -> Outcome<Vec<Row>> {
    let demo = Run::new(release("birthmark")).args(["demo", "--json", "--devices", &DEVICES.to_string()]);
    let Usage {
        seconds,
        rss_bytes_max,
        cpu_seconds,
        stdout,
    } = usage::measure(demo)?;
    let story: Value = serde_json::from_str(&stdout).trying(|| "read the answer of demo".to_owned())?;
    if story["ok"] != true {
        return Err(Failure::new("the demo is not ok; no number of it counts"));
    }
    let line_seconds = story["seconds"]["line"].as_f64();
    let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
    let rate = line_seconds.map(|line| f64::from(DEVICES) / line / cores);
    Ok(vec![
        Row {
            name: "chips made through all layers",
            value: rate,
            unit: "chips/s/core",
            target: Target::AtLeast(1000.0),
        },
        Row {
            name: "demo --devices 10000",
            value: Some(seconds),
            unit: "s",
            target: Target::AtMost(120.0),
        },
        Row {
            name: "demo --devices 10000, CPU",
            value: Some(cpu_seconds),
            unit: "s",
            target: Target::None,
        },
        Row {
            name: "demo --devices 10000, most memory",
            value: Some(rss_bytes_max as f64 / 1e6),
            unit: "MB",
            target: Target::AtMost(600.0),
        },
    ])
}

fn release(program: &str) -> std::path::PathBuf {
    process::target().join("release").join(program)
}
