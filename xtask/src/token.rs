//! What takes too long to be in every run: `cargo xtask kills` and `cargo xtask valgrind`, stories at full length.

use std::process::ExitCode;

use crate::console::Ending;
use crate::failure::{Failure, Outcome};
use crate::process::Run;
use crate::tools;

/// Kills whoever changes a token, so often for each kind of change.
pub(crate) fn kills(count: u64, seed: Option<u64>) -> Outcome<ExitCode> {
    killing("pkcs11_kill", count, seed)
}

/// Kills the server, so often in all.
pub(crate) fn cloud_kills(count: u64, seed: Option<u64>) -> Outcome<ExitCode> {
    let _ = tools::prepare()?;
    killing("cloud_kill", count, seed)
}

fn killing(name: &str, count: u64, seed: Option<u64>) -> Outcome<ExitCode> {
    let mut run = story(name)?.env("BIRTHMARK_KILLS", count.to_string());
    if let Some(seed) = seed {
        run = run.env("BIRTHMARK_SEED", seed.to_string());
    }
    code(run)
}

/// Runs every program of the story under valgrind.
pub(crate) fn valgrind() -> Outcome<ExitCode> {
    let run = story("pkcs11_valgrind")?
        .env("BIRTHMARK_EVERY_CALLER", "1")
        .env("BIRTHMARK_REQUIRE_TOOLS", "1");
    code(run)
}

/// One file of stories, with what they need built before.
fn story(name: &str) -> Outcome<Run> {
    let build = [
        "build",
        "--profile",
        "test",
        "--package",
        "birthmark",
        "--package",
        "pkcs11",
    ];
    if Run::cargo().args(build).shown()? != Ending::Passed {
        return Err(Failure::new("the build failed"));
    }
    let test = [
        "test",
        "--package",
        "stories",
        "--test",
        name,
        "--",
        "--nocapture",
    ];
    Ok(Run::cargo().args(test))
}

fn code(run: Run) -> Outcome<ExitCode> {
    Ok(match run.shown()? {
        Ending::Passed => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
