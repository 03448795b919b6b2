//! `cargo xtask bench`: measures side by side in one run and prints a table with targets.

mod chip;
pub(crate) mod cloud;
pub(crate) mod mqtt;
mod peers;
mod pkcs11;
mod story;
mod usage;

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::failure::{Failure, Outcome};

/// One measured number.
pub(crate) struct Row {
    name: String,
    /// `None`: what it is compared with is not there, and `unit` says so.
    value: Option<f64>,
    unit: &'static str,
    target: Target,
}

/// What a number must be.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// Shown, not judged.
    None,
}

impl Row {
    /// Whether the target holds; `None` where there is nothing to judge.
    fn ok(&self) -> Option<bool> {
        match (self.value?, self.target) {
            (value, Target::AtMost(limit)) => Some(value <= limit),
            (value, Target::AtLeast(limit)) => Some(value >= limit),
            (_, Target::None) => None,
        }
    }

    fn json(&self) -> Value {
        json!({ "name": self.name, "value": self.value, "unit": self.unit, "target": self.target.text(), "ok": self.ok() })
    }
}

impl Target {
    fn text(self) -> String {
        match self {
            Self::AtMost(limit) => format!("<= {limit}"),
            Self::AtLeast(limit) => format!(">= {limit}"),
            Self::None => String::new(),
        }
    }
}

/// What can be chosen of those benches that let one choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) cloud: cloud::Choice,
    pub(crate) mqtt: mqtt::Choice,
}

/// Runs one bench; exit code 1 when a target is missed.
pub(crate) fn run(name: &str, choice: Choice, json: bool) -> Outcome<ExitCode> {
    let rows = match name {
        "chip" => chip::measure()?,
        "cloud" => cloud::measure(choice.cloud)?,
        "mqtt" => mqtt::measure(choice.mqtt)?,
        "pkcs11" => pkcs11::measure()?,
        "story" => story::measure()?,
        "tray" => chip::measure_tray()?,
        other => {
            return Err(Failure::new(format!(
                "no bench `{other}`; known: chip, cloud, mqtt, pkcs11, story, tray"
            )));
        }
    };
    if json {
        let rows: Vec<Value> = rows.iter().map(Row::json).collect();
        println!("{}", json!({ "bench": name, "rows": rows }));
    } else {
        print(&rows);
    }
    let missed = rows.iter().any(|row| row.ok() == Some(false));
    Ok(if missed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn print(rows: &[Row]) {
    println!(
        "{:<58} {:>12} {:<18} {:>10}  holds",
        "row", "value", "unit", "target"
    );
    for row in rows {
        let value = row
            .value
            .map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
        let holds = row.ok().map_or("-", |ok| if ok { "yes" } else { "NO" });
        println!(
            "{:<58} {value:>12} {:<18} {:>10}  {holds}",
            row.name,
            row.unit,
            row.target.text()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: Option<f64>, target: Target, expected: Option<bool>) {
        assert_eq!(
            Row {
                name: "x".to_owned(),
                value,
                unit: "s",
                target
            }
            .ok(),
            expected
        );
    }

    #[test]
    fn targets_are_judged_at_their_edge() {
        check(Some(2.0), Target::AtMost(2.0), Some(true));
        check(Some(2.1), Target::AtMost(2.0), Some(false));
        check(Some(2.0), Target::AtLeast(2.0), Some(true));
        check(Some(1.9), Target::AtLeast(2.0), Some(false));
        check(None, Target::AtLeast(2.0), None);
        check(Some(1.0), Target::None, None);
    }
}
