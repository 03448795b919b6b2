//! `cargo xtask world`: replays one run of the simulated fleet.

use std::process::ExitCode;

use crate::console::Ending;
use crate::failure::Outcome;
use crate::process::Run;

/// The variable that gives the simulated world its seed.
const SEED: &str = "BIRTHMARK_WORLD_SEED";

/// Runs the tests of `tests/world` with one seed.
pub(crate) fn run(seed: u64) -> Outcome<ExitCode> {
    let ending = Run::cargo()
        .args(["test", "--package", "world"])
        .env(SEED, seed.to_string())
        .shown()?;
    Ok(if ending == Ending::Passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
