//! A Rust program uses a token through the crate `cryptoki`, from two threads.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]

use std::path::Path;

use stories::callers::Caller;
use stories::tokens::{Backend, KEY, PIN, TOKEN, module};
use stories::{Tokens, run};

/// The crate's version in the lock file.
fn version() -> String {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    let lock = std::fs::read_to_string(lock).unwrap();
    let of_crate = lock.split("name = \"cryptoki\"\nversion = \"").nth(1).unwrap();
    of_crate.split('"').next().unwrap().to_owned()
}

#[test]
fn a_rust_program_uses_a_token_from_two_threads() {
    for backend in Backend::ALL {
        let Some(tokens) = Tokens::with_certificate(backend) else {
            return;
        };
        let mut program = tokens.command(Path::new(env!("CARGO_BIN_EXE_cryptoki-caller")));
        let ended = run(program.arg(module()).args([TOKEN, PIN, KEY])).well();
        assert_eq!(ended.stdout.trim(), "done");
        Caller::of_version("cryptoki", &version()).did(
            &tokens,
            &[
                "finds by label and id; leaves a search unfinished",
                "signs and verifies from two threads with a session each",
            ],
        );
    }
}
