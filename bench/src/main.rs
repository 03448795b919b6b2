//! Side-by-side load: what a first connection costs the cloud, against a bare TLS server with the same certificates; what
//! connections and messages cost, against other brokers; and what a simulated chip costs, against bare signatures.
//!
//! It stands outside the product and measures the real binary: each server is a process of its own, the same client drives
//! them one after the other, and what counts is the CPU time that the kernel charged to each server. `cargo xtask bench`
//! builds and runs it. It must never judge: it prints numbers, and targets stand in xtask.
#![deny(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that talks to xtask and to people"
)]

mod bare;
mod chip;
mod client;
mod cloud;
mod cpu;
mod devices;
mod first_connection;
mod hand_over;
mod in_turns;
mod load;
mod memory;
mod mqtt;
mod pkcs11;
mod registry;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Everything that can go wrong ends the bench; there is nobody to handle it.
type Outcome<T> = Result<T, Fault>;

/// What went wrong, in words.
type Fault = Box<dyn Error + Send + Sync>;

const HELP: &str = "\
bench first-connection BIRTHMARK     compare; prints one JSON object
bench cloud BIRTHMARK [things=N] [lines=N]
                                     the registry: small beside large, in bulk; prints one JSON object
bench mqtt BIRTHMARK [PEER=PROGRAM..] [connections=N] [minutes=M] [seconds=S] [only=NAME] [part=NAME]
                                     compare brokers; prints one JSON object
bench load HOST:PORT ROOT.pem CA.pem CA.key.pem [pid=N] [connections=N] [seconds=S] [acl=none]
                                     load any broker that knows this CA; prints one JSON object
bench hand-over                      a connection that changes its runtime; prints one JSON object
bench chip                           the simulated chip: speed and room; prints one JSON object
bench tray CHIPS                     a file full of provisioned chips; prints one JSON object
bench pkcs11 MODULE [KRYOPTIC]       PKCS #11 modules side by side; prints one JSON object
bench bare chain|possession DIR      a bare acceptor with the files of DIR; prints its address";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["first-connection", binary] => first_connection::run(&PathBuf::from(binary)),
        ["hand-over"] => hand_over::run(),
        ["hand-over-server", how] => hand_over::serve(how),
        ["chip"] => chip::run(),
        ["tray", chips] => chips.parse().map_err(Into::into).and_then(chip::fill),
        ["cloud", binary, rest @ ..] => registry::run(Path::new(binary), rest),
        ["mqtt", binary, rest @ ..] => mqtt::run(Path::new(binary), rest),
        ["load", address, root, authority, key, rest @ ..] => {
            mqtt::load_any(address, [root, authority, key].map(Path::new), rest)
        }
        ["pkcs11", module] => pkcs11::run(Path::new(module), None),
        ["pkcs11", module, kryoptic] => pkcs11::run(Path::new(module), Some(Path::new(kryoptic))),
        ["pkcs11-part", what, modules @ ..] => pkcs11::part(what, modules),
        ["bare", check, folder] => bare::run(check, &PathBuf::from(folder)),
        _ => Err(HELP.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
