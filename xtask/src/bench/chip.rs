//! `cargo xtask bench chip`: is the simulated chip fast and small enough?

use serde_json::Value;

use crate::console::Ending;
use crate::failure::{Failure, Outcome, Trying};
use crate::process::{self, Run};

use super::{Row, Target};

/// Chips of a full tray: as many as a tray may have.
const TRAY: &str = "1000000";

/// `cargo xtask bench tray`: a full tray, all of it provisioned, in one file beside the program.
pub(super) fn measure_tray() -> Outcome<Vec<Row>> {
    let answer = answer(&["tray", TRAY])?;
    let row = |name: &str, key: &str, unit, target| Row {
        name: name.to_owned(),
        value: answer[key].as_f64(),
        unit,
        target,
    };
    Ok(vec![
        row(
            "chips provisioned in one file",
            "chips",
            "chips",
            Target::AtLeast(1e6),
        ),
        row("time for all of them, one thread", "seconds", "s", Target::None),
        row(
            "memory of a provisioned chip",
            "memory_bytes_per_chip",
            "bytes",
            Target::AtMost(4_096.0),
        ),
        row(
            "file of a provisioned chip",
            "disk_bytes_per_chip",
            "bytes",
            Target::AtMost(1_536.0),
        ),
        row("memory of the tray", "memory_megabytes", "MB", Target::None),
        row("the file", "disk_megabytes", "MB", Target::None),
        row("time to open it again", "open_seconds", "s", Target::None),
    ])
}

/// What the program in `bench/` measures.
fn answer(words: &[&str]) -> Outcome<Value> {
    let build = Run::cargo().args(["build", "--release", "--package", "bench"]);
    if build.shown()? != Ending::Passed {
        return Err(Failure::new("the release build failed"));
    }
    let program = process::target().join("release").join("bench");
    let answer = Run::new(program).args(words).caught_well()?;
    serde_json::from_str(&answer).trying(|| "read the answer of bench".to_owned())
}

/// Measures every row of the chip.
pub(super) fn measure() -> Outcome<Vec<Row>> {
    let answer = answer(&["chip"])?;
    let row = |name: &str, key: &str, unit, target| Row {
        name: name.to_owned(),
        value: answer[key].as_f64(),
        unit,
        target,
    };
    Ok(vec![
        row(
            "full provisioning, without timing",
            "chips_per_second",
            "chips/s/core",
            Target::AtLeast(2_000.0),
        ),
        row(
            "full provisioning, kept in a file",
            "chips_per_second_kept",
            "chips/s/core",
            Target::None,
        ),
        row("bare signature", "bare_signature_us", "us", Target::None),
        row(
            "signature through driver and chip",
            "chip_signature_us",
            "us",
            Target::None,
        ),
        row("bus and protocol alone", "bus_us", "us", Target::None),
        row(
            "signature in the chip against a bare one",
            "signature_ratio",
            "ratio",
            Target::AtMost(1.5),
        ),
        row(
            "memory of a provisioned chip",
            "memory_bytes_per_chip",
            "bytes",
            Target::AtMost(4_096.0),
        ),
        row(
            "memory of an untouched chip",
            "untouched_bytes_per_chip",
            "bytes",
            Target::None,
        ),
        row(
            "file of a provisioned chip",
            "disk_bytes_per_chip",
            "bytes",
            Target::AtMost(1_536.0),
        ),
    ])
}
