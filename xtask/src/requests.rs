//! `cargo xtask requests`: random requests to a running server, many more than the tests make.

use std::process::ExitCode;

use crate::console::Ending;
use crate::failure::Outcome;
use crate::process::Run;
use crate::tools;

/// How many requests when nothing else is said.
pub(crate) const COUNT: u64 = 100_000;

/// Builds the server and sends it so many requests; the seed repeats them.
pub(crate) fn run(count: u64, seed: u64) -> Outcome<ExitCode> {
    let _ = tools::prepare()?;
    let built = Run::cargo().args(["build", "--package", "birthmark"]).shown()?;
    if built != Ending::Passed {
        return Ok(ExitCode::FAILURE);
    }
    let ending = Run::cargo()
        .args(["test", "--package", "stories", "--test", "boto3"])
        .args(["whatever_is_asked", "--", "--nocapture"])
        .env("BIRTHMARK_REQUESTS", count.to_string())
        .env("BIRTHMARK_SEED", seed.to_string())
        .shown()?;
    Ok(if ending == Ending::Passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
