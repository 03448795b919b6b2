//! `cargo xtask bench cloud`: first connections against a bare acceptor, a registry of a million beside one of a thousand, bulk
//! registration, import, policy decisions, and the demo with many devices.

use serde_json::Value;

use crate::failure::{Failure, Outcome, Trying};
use crate::process::Run;

use super::story::{VALID_RATIO, build_release, release};
use super::{Row, Target, usage};

/// Things of the large registry, lines of the bulk registration, and devices of the demo, unless told otherwise.
const THINGS: u64 = 1_000_000;
const LINES: u64 = 1_000_000;
const DEVICES: u64 = 100_000;

/// What can be chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Things of the large registry; 0 leaves it out.
    pub(crate) things: Option<u64>,
    /// Lines of the bulk registration and of the import; 0 leaves them out.
    pub(crate) lines: Option<u64>,
    /// Devices of the demo; 0 leaves it out.
    pub(crate) devices: Option<u64>,
}

/// A row, its place in the answer, its unit, what one of the answer's unit is in it, and its target.
type Place = (&'static str, &'static str, &'static str, f64, Target);

const PLACES: [Place; 19] = [
    (
        "bare acceptor: CPU per handshake",
        "/first/bare_us",
        "us",
        1.0,
        Target::None,
    ),
    (
        "bare acceptor: known : unknown",
        "/first/bare_ratio",
        "ratio",
        1.0,
        Target::None,
    ),
    (
        "first connection: CPU",
        "/first/first_us",
        "us",
        1.0,
        Target::None,
    ),
    (
        "first connection against the bare acceptor",
        "/first/ratio",
        "ratio",
        1.0,
        Target::AtMost(1.5),
    ),
    (
        "first connections, load on the same cores",
        "/first/per_second",
        "1/s",
        1.0,
        Target::AtLeast(1_500.0),
    ),
    ("policy decision", "/decision_ns", "us", 1e-3, Target::AtMost(0.5)),
    (
        "DescribeThing, p99, small registry",
        "/registry/describe_p99_small_us",
        "us",
        1.0,
        Target::None,
    ),
    (
        "DescribeThing, p99, large against small",
        "/registry/describe_p99_ratio",
        "ratio",
        1.0,
        Target::AtMost(1.5),
    ),
    (
        "DescribeThing, middle, large against small",
        "/registry/describe_middle_ratio",
        "ratio",
        1.0,
        Target::None,
    ),
    (
        "connect, p99, small registry",
        "/registry/connect_p99_small_us",
        "us",
        1.0,
        Target::None,
    ),
    (
        "connect, p99, large against small",
        "/registry/connect_p99_ratio",
        "ratio",
        1.0,
        Target::AtMost(1.5),
    ),
    (
        "connect, middle, large against small",
        "/registry/connect_middle_ratio",
        "ratio",
        1.0,
        Target::None,
    ),
    (
        "registry on disk, per device",
        "/registry/disk_bytes",
        "bytes",
        1.0,
        Target::AtMost(1_500.0),
    ),
    (
        "registry in memory, per device",
        "/registry/memory_bytes",
        "bytes",
        1.0,
        Target::AtMost(500.0),
    ),
    (
        "provisioned devices written",
        "/registry/seeded_per_second",
        "1/s",
        1.0,
        Target::None,
    ),
    (
        "bulk registration, CPU per line",
        "/bulk/cpu_us",
        "us",
        1.0,
        Target::None,
    ),
    (
        "bulk registration, memory of the server",
        "/bulk/megabytes",
        "MB",
        1.0,
        Target::None,
    ),
    (
        "fleet import, lines a second",
        "/import/per_second",
        "1/s",
        1.0,
        Target::None,
    ),
    (
        "fleet import, CPU of the server per line",
        "/import/cpu_us",
        "us",
        1.0,
        Target::None,
    ),
];

/// Measures every row.
pub(super) fn measure(choice: Choice) -> Outcome<Vec<Row>> {
    build_release()?;
    let (things, lines) = (choice.things.unwrap_or(THINGS), choice.lines.unwrap_or(LINES));
    let run = Run::new(release("bench")).args(["cloud".as_ref(), release("birthmark").as_os_str()]);
    let run = run.args([format!("things={things}"), format!("lines={lines}")]);
    let answer: Value =
        serde_json::from_str(&run.caught_well()?).trying(|| "read the answer of bench".to_owned())?;
    let mut rows = rows(&answer)?;
    rows.push(many_lines("bulk registration", "/bulk/seconds", &answer, lines));
    rows.push(many_lines("fleet import", "/import/seconds", &answer, lines));
    match choice.devices.unwrap_or(DEVICES) {
        0 => {}
        devices => rows.push(demo(devices)?),
    }
    Ok(rows)
}

fn rows(answer: &Value) -> Outcome<Vec<Row>> {
    let value = |place: &str| answer.pointer(place).and_then(Value::as_f64);
    if !value("/first/bare_ratio").is_some_and(|ratio| VALID_RATIO.contains(&ratio)) {
        return Err(Failure::new(format!(
            "the run is invalid: the bare acceptor's known : unknown is outside {VALID_RATIO:?}; is the machine busy? {answer}"
        )));
    }
    let rows = PLACES.into_iter().map(|(name, place, unit, scale, target)| Row {
        name: name.to_owned(),
        value: value(place).map(|value| value * scale),
        unit,
        target,
    });
    Ok(rows.collect())
}

/// A million lines may take two minutes; fewer lines accordingly less.
fn many_lines(what: &str, place: &str, answer: &Value, lines: u64) -> Row {
    Row {
        name: format!("{what} of {lines} lines"),
        value: answer.pointer(place).and_then(Value::as_f64),
        unit: "s",
        target: Target::AtMost(120.0 * lines as f64 / LINES as f64),
    }
}

/// A hundred thousand devices may take three minutes; fewer devices accordingly less.
fn demo(devices: u64) -> Outcome<Row> {
    let run = Run::new(release("birthmark")).args(["demo", "--json", "--devices", &devices.to_string()]);
    let usage = usage::measure(run)?;
    let story: Value = serde_json::from_str(&usage.stdout).trying(|| "read the answer of demo".to_owned())?;
    if story["ok"] != true {
        return Err(Failure::new("the demo is not ok; no number of it counts"));
    }
    Ok(Row {
        name: format!("demo --devices {devices}"),
        value: Some(usage.seconds),
        unit: "s",
        target: Target::AtMost(180.0 * devices as f64 / DEVICES as f64),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_are_judged_by_their_targets() {
        let answer = json!({
            "decision_ns": 600.0,
            "first": { "bare_ratio": 0.8, "ratio": 1.4 },
            "bulk": { "seconds": 13.0 },
        });
        let rows = rows(&answer).ok().unwrap();
        let verdict = |name: &str| rows.iter().find(|row| row.name == name).and_then(Row::ok);
        assert_eq!(verdict("first connection against the bare acceptor"), Some(true));
        assert_eq!(verdict("policy decision"), Some(false));
        assert_eq!(verdict("registry on disk, per device"), None);
        let judged = |lines| many_lines("bulk registration", "/bulk/seconds", &answer, lines).ok();
        assert_eq!((judged(1_000_000), judged(100_000)), (Some(true), Some(false)));
        assert_eq!(
            many_lines("fleet import", "/import/seconds", &answer, 1).ok(),
            None
        );
    }

    #[test]
    fn a_run_on_a_busy_machine_is_invalid() {
        assert!(rows(&json!({ "first": { "bare_ratio": 0.9 } })).is_err());
        assert!(rows(&json!({})).is_err());
    }
}
