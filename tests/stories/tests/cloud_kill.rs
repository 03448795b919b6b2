//! The cloud is killed at random moments while callers of its API and new devices work: what was answered is there after the
//! restart, what was not answered is there whole or not at all.
//!
//! The moments are random and their seed is printed; `BIRTHMARK_SEED` brings them back. `cargo xtask kills --cloud` does the
//! same more often.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "the seed must be seen")]

use stories::{Python, Random, birthmark, tool};

/// Kills when nobody says otherwise.
const KILLS: &str = "10";

#[test]
fn whatever_was_answered_is_there_after_a_kill() {
    let random = Random::from_environment();
    let Some(python) = Python::alone() else { return };
    if tool("openssl").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let kills = std::env::var("BIRTHMARK_KILLS").unwrap_or_else(|_| KILLS.to_owned());
    println!("seed {}", random.seed);
    let said = python
        .with("KILLS", &kills)
        .with("SEED", &random.seed.to_string())
        .with("FOLDER", &folder.path().display().to_string())
        .with("BIRTHMARK", &birthmark().get_program().display().to_string())
        .runs("kills");
    println!("{said}");
}
