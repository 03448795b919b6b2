//! The Birthmark command: wiring, and words for people; no rules.
//!
//! `args` (what was typed) → each command's plan (checked, nothing started) → run. What a command decides lives in the
//! crates below; this one opens files, starts threads, and prints.
#![forbid(unsafe_code)]

mod args;
mod aws;
mod commands;
mod exit;
mod words;

use std::process::ExitCode;

use clap::Parser;

/// What one thread allocates another often frees: connections change their thread. This allocator does not lock for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let typed = args::Birthmark::parse();
    match commands::run(typed.command) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.report(),
    }
}
