//! `cargo xtask world`: replays one run of the simulated fleet.

use std::process::ExitCode;

use crate::console::Ending;
use crate::failure::Outcome;
use crate::process::Run;

/// The variable that gives the simulated world its seed.
const SEED: &str = "BIRTHMARK_WORLD_SEED";

/// The variable that gives it the number of its seeds.
const SEEDS: &str = "BIRTHMARK_WORLD_SEEDS";

/// How many seeds a person who starts it gets; `cargo xtask test` takes 100.
const MANY: u64 = 10_000;

/// Runs the tests of `tests/world` with one seed, or with many.
pub(crate) fn run(seed: Option<u64>) -> Outcome<ExitCode> {
    let (variable, value) = match seed {
        Some(seed) => (SEED, seed),
        None => (SEEDS, MANY),
    };
    let ending = Run::cargo()
        .args(["test", "--package", "world"])
        .env(variable, value.to_string())
        .shown()?;
    Ok(if ending == Ending::Passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
