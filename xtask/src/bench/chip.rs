//! `cargo xtask bench chip`: is the simulated chip fast and small enough?

use serde_json::Value;

use crate::console::Ending;
use crate::failure::{Failure, Outcome, Trying};
use crate::process::{self, Run};

use super::{Row, Target};

/// Measures every row of the chip, with the program in `bench/`.
pub(super) fn measure() -> Outcome<Vec<Row>> {
    let build = Run::cargo().args(["build", "--release", "--package", "bench"]);
    if build.shown()? != Ending::Passed {
        return Err(Failure::new("the release build failed"));
    }
    let program = process::target().join("release").join("bench");
    let answer = Run::new(program).args(["chip"]).caught_well()?;
    let answer: Value = serde_json::from_str(&answer).trying(|| "read the answer of bench".to_owned())?;
    let row = |name, key: &str, unit, target| Row {
        name,
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
