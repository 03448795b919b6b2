//! `cargo xtask`: one command for everything a developer of Birthmark does.
//!
//! It stands outside the story: nothing here is shipped. It only runs other programs (cargo, the outside tools, the
//! binary itself) and reads their answers, so it must never hold a rule of the product.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool speaks to a person"
)]

mod api_errors;
mod args;
mod bench;
mod callers;
mod conformance;
mod console;
mod coverage;
mod debian;
mod docs;
mod failure;
mod fuzz;
mod metadata;
mod process;
mod requests;
mod skips;
mod test;
mod thumb;
mod tidy;
mod token;
mod tools;
mod tree;
mod world;

use std::process::ExitCode;

use args::Command;
use console::Ending;
use failure::{Failure, Outcome};

fn main() -> ExitCode {
    match args::parse(std::env::args().skip(1)).and_then(run) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Outcome<ExitCode> {
    match command {
        Command::Help => {
            println!("{}", args::HELP);
            Ok(ExitCode::SUCCESS)
        }
        Command::Test { require_tools, seed } => test::run(require_tools, seed),
        Command::Tidy => tidy::run(),
        Command::Callers => callers::run(),
        Command::Kills { count, seed } => token::kills(count, seed),
        Command::CloudKills { count, seed } => token::cloud_kills(count, seed),
        Command::Valgrind => token::valgrind(),
        Command::Bench { name, choice, json } => bench::run(&name, choice, json),
        Command::Fuzz { name, seconds } => fuzz::run(name.as_deref(), seconds),
        Command::Firmware => firmware(),
        Command::Requests { count, seed } => requests::run(count, seed),
        Command::World { seed } => world::run(seed),
        Command::Docs => docs::run(),
    }
}

fn firmware() -> Outcome<ExitCode> {
    match thumb::check()? {
        Ending::Passed => Ok(ExitCode::SUCCESS),
        Ending::Failed => Ok(ExitCode::FAILURE),
        Ending::Skipped(how) => Err(Failure::new(format!(
            "no compiler for the platform; to add it: {how}"
        ))),
    }
}
