//! One target per decoder: mutated bytes go in, and nothing may panic, hang or grow without bound.
//!
//! All targets are in one binary, so that they are built once; `BIRTHMARK_FUZZ_TARGET` chooses one and the value `list`
//! prints their names, `seeds` the variants that no seed reaches. `cargo xtask fuzz` does all three. A target asserts more than "no panic" wherever a decoder has a
//! counterpart: what was accepted is written again and must be the same.
#![no_main]

mod targets;
mod variants;

use std::sync::OnceLock;

use libfuzzer_sys::{Corpus, fuzz_target};

use targets::{TARGETS, Target};

/// The variable that names the target.
const VARIABLE: &str = "BIRTHMARK_FUZZ_TARGET";

static CHOSEN: OnceLock<Target> = OnceLock::new();

fuzz_target!(
    init: choose(),
    |bytes: &[u8]| -> Corpus {
        if let Some(target) = CHOSEN.get() {
            target(bytes);
        }
        Corpus::Keep
    }
);

fn choose() {
    let name = std::env::var(VARIABLE).unwrap_or_default();
    match name.as_str() {
        "list" => TARGETS.iter().for_each(|(name, _)| println!("{name}")),
        "seeds" => missing_seeds(),
        _ => return choose_target(&name),
    }
    std::process::exit(0);
}

fn missing_seeds() {
    let seeds = std::env::var_os("BIRTHMARK_FUZZ_SEEDS").unwrap_or_default();
    for variant in variants::missing(seeds.as_ref()) {
        println!("no seed reaches {variant}");
    }
}

fn choose_target(name: &str) {
    match TARGETS.iter().find(|(known, _)| *known == name) {
        Some((_, target)) => CHOSEN.set(*target).unwrap_or_default(),
        None => {
            eprintln!("{VARIABLE} names no target: `{name}`; `list` prints them");
            std::process::exit(2);
        }
    }
}
