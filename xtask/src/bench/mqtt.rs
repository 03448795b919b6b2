//! `cargo xtask bench mqtt`: our broker beside the bare acceptor and other brokers, one after the other in one run.

use serde_json::Value;

use crate::failure::{Failure, Outcome, Trying};
use crate::process::Run;

use super::story::{VALID_RATIO, build_release, release};
use super::{Row, Target, peers};

/// Memory that the message loads may leave behind and still be called flat, in megabytes.
const GROWTH_MEGABYTES_MAX: f64 = 4.0;

/// How a broker does while slow clients are connected, against without them: what a busy machine does by itself.
const SLOW_RATIO_MAX: f64 = 1.5;

/// Connections that the row about many wants at least.
const CONNECTIONS_MIN: f64 = 18_000.0;

/// What can be chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Connections of the row about many; 0 leaves it out.
    pub(crate) connections: u64,
    /// How long they stay.
    pub(crate) minutes: u64,
    /// Whether other brokers are built that take minutes to build.
    pub(crate) peers: bool,
}

/// Rows that every broker has: what, its place in the answer, unit.
const SHARED: [(&str, &str, &str); 7] = [
    ("CPU per mTLS connect", "/connect_us", "us"),
    ("memory per idle mTLS connection", "/idle/bytes", "bytes"),
    ("QoS 1 one to one, paced", "/paced/us", "us"),
    ("QoS 1 one to one, window 1", "/window_1/us", "us"),
    ("QoS 1 one to one, window 10", "/window_10/us", "us"),
    ("QoS 1 fan-out 1 to 100, per delivery", "/fan_out/us", "us"),
    (
        "p99 in a handshake storm against quiet",
        "/disturbed/storm_ratio",
        "ratio",
    ),
];

/// What ours must be, in the order of the rows; memory in bytes.
const TARGETS: [Target; 7] = [
    Target::None,
    Target::AtMost(8_000.0),
    Target::AtMost(19.0),
    Target::AtMost(14.0),
    Target::AtMost(5.0),
    Target::AtMost(3.0),
    Target::AtMost(5.0),
];

/// Targets in microseconds against what the same load cost Mosquitto 2.0.11 on the machine where they were set: on a machine whose
/// system calls cost more, both sides grow.
const AGAINST_MOSQUITTO: [(&str, &str, f64); 3] = [
    ("paced", "/paced/us", 1.0),
    ("window 1", "/window_1/us", 14.0 / 17.1),
    ("window 10", "/window_10/us", 5.0 / 17.0),
];

/// The brokers that are compared.
const PEERS: [&str; 3] = ["mosquitto", "rumqttd", "rmqtt"];

/// Measures every row.
pub(super) fn measure(choice: Choice) -> Outcome<Vec<Row>> {
    build_release()?;
    let found = peers::all(choice.peers)?;
    let run = Run::new(release("bench")).args(["mqtt".as_ref(), release("birthmark").as_os_str()]);
    let run = run
        .args(&found)
        .args([format!("connections={}", choice.connections)])
        .args([format!("minutes={}", choice.minutes)]);
    let answer: Value =
        serde_json::from_str(&run.caught_well()?).trying(|| "read the answer of bench".to_owned())?;
    rows(&answer)
}

fn rows(answer: &Value) -> Outcome<Vec<Row>> {
    let value = |place: String| answer.pointer(&place).and_then(Value::as_f64);
    let chain = value("/connects/bare_us".into());
    let ratio = value("/connects/bare_ratio".into());
    if !ratio.is_some_and(|ratio| VALID_RATIO.contains(&ratio)) {
        return Err(Failure::new(format!(
            "the run is invalid: the bare acceptor's known : unknown is outside {VALID_RATIO:?}; is the machine busy? {answer}"
        )));
    }
    let own = |place: &str| value(format!("/birthmark{place}"));
    let mut rows = vec![
        row("bare acceptor: CPU per mTLS connect", chain, "us", Target::None),
        row("bare acceptor: known : unknown", ratio, "ratio", Target::None),
        row(
            "birthmark: mTLS connect against the bare acceptor",
            value("/connects/known_ratio".into()),
            "ratio",
            Target::AtMost(0.85),
        ),
        row(
            "birthmark: the same again soon, from memory",
            value("/connects/again_ratio".into()),
            "ratio",
            Target::None,
        ),
    ];
    for ((name, place, unit), target) in SHARED.into_iter().zip(TARGETS) {
        let ours = match place {
            "/connect_us" => value("/connects/known_us".into()),
            place => own(place),
        };
        rows.push(row(&format!("birthmark: {name}"), ours, unit, target));
        for peer in PEERS {
            let there = answer.get(peer).is_some();
            let unit = if there { unit } else { "not installed" };
            let peers_value = value(format!("/{peer}{place}"));
            rows.push(row(&format!("  {peer}: {name}"), peers_value, unit, Target::None));
        }
    }
    for (name, place, ratio_max) in AGAINST_MOSQUITTO {
        let peers = value(format!("/mosquitto{place}"));
        rows.push(row(
            &format!("birthmark: QoS 1 one to one, {name}, against mosquitto"),
            own(place).zip(peers).map(|(own, peers)| own / peers),
            "ratio",
            Target::AtMost(ratio_max),
        ));
    }
    rows.extend(alone(&own));
    Ok(rows)
}

/// Rows of ours alone.
fn alone(own: &dyn Fn(&str) -> Option<f64>) -> Vec<Row> {
    let mut rows = vec![
        row(
            "birthmark: memory left behind by all message loads",
            own("/grown_megabytes"),
            "MB",
            Target::AtMost(GROWTH_MEGABYTES_MAX),
        ),
        row(
            "birthmark: QoS 1 window 10, rate",
            own("/window_10/per_second"),
            "messages/s",
            Target::None,
        ),
        row(
            "birthmark: p99 of established traffic, quiet",
            own("/disturbed/quiet_p99_ms"),
            "ms",
            Target::None,
        ),
        row(
            "birthmark: p99 of established traffic, storm",
            own("/disturbed/storm_p99_ms"),
            "ms",
            Target::None,
        ),
        row(
            "birthmark: handshakes in the storm",
            own("/disturbed/storm_per_second"),
            "1/s",
            Target::None,
        ),
        row(
            "birthmark: p99 beside slow clients against quiet",
            own("/disturbed/slow_ratio"),
            "ratio",
            Target::AtMost(SLOW_RATIO_MAX),
        ),
        row(
            "birthmark: messages beside slow clients against quiet",
            own("/disturbed/slow_delivered"),
            "ratio",
            Target::AtLeast(0.98),
        ),
    ];
    if let Some(connections) = own("/many/connections_again") {
        rows.extend([
            row(
                "birthmark: connections at once",
                own("/many/connections"),
                "",
                Target::AtLeast(CONNECTIONS_MIN),
            ),
            row(
                "birthmark: back after all were dropped at once",
                Some(connections),
                "",
                Target::AtLeast(CONNECTIONS_MIN),
            ),
            row(
                "birthmark: seconds until all were there",
                own("/many/seconds_first"),
                "s",
                Target::None,
            ),
            row(
                "birthmark: seconds until all were back",
                own("/many/seconds_again"),
                "s",
                Target::None,
            ),
            row(
                "birthmark: memory of each of them",
                own("/many/bytes"),
                "bytes",
                Target::AtMost(8_000.0),
            ),
            row(
                "birthmark: memory with all of them",
                own("/many/megabytes"),
                "MB",
                Target::None,
            ),
        ]);
    }
    rows
}

fn row(name: &str, value: Option<f64>, unit: &'static str, target: Target) -> Row {
    Row {
        name: name.to_owned(),
        value,
        unit,
        target,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(possession: f64) -> Value {
        json!({
            "connects": { "bare_us": 200.0, "bare_ratio": possession / 200.0, "known_us": 170.0, "known_ratio": 0.85 },
            "birthmark": { "paced": { "us": 19.5 } },
            "mosquitto": { "paced": { "us": 20.0 } },
        })
    }

    fn verdict(rows: &[Row], name: &str) -> Option<bool> {
        rows.iter().find(|row| row.name == name).and_then(Row::ok)
    }

    #[test]
    fn rows_are_judged_by_their_targets() {
        let rows = rows(&answer(150.0)).ok().unwrap();
        let connect = "birthmark: mTLS connect against the bare acceptor";
        assert_eq!(verdict(&rows, connect), Some(true));
        assert_eq!(verdict(&rows, "birthmark: QoS 1 one to one, paced"), Some(false));
        assert_eq!(verdict(&rows, "  mosquitto: QoS 1 one to one, paced"), None);
        let against = "birthmark: QoS 1 one to one, paced, against mosquitto";
        assert_eq!(verdict(&rows, against), Some(true));
        let absent = rows.iter().find(|row| row.name.starts_with("  rmqtt:")).unwrap();
        assert_eq!((absent.value, absent.unit), (None, "not installed"));
    }

    #[test]
    fn a_run_on_a_busy_machine_is_invalid() {
        assert!(rows(&answer(100.0)).is_err());
        assert!(rows(&answer(190.0)).is_err());
        assert!(rows(&json!({})).is_err());
    }
}
