//! Tests that could not run because an outside tool is missing.
//!
//! The test runner knows no skips, so a test writes one line into a file that it was told of; here they are counted.

use std::fs;
use std::path::PathBuf;

use crate::failure::{Outcome, Trying};
use crate::process;

/// The variable that names the file to the tests.
pub(crate) const VARIABLE: &str = "BIRTHMARK_SKIPS";

/// The file that tests append to, emptied.
pub(crate) fn fresh_file() -> Outcome<PathBuf> {
    let file = process::target().join("skips.txt");
    fs::create_dir_all(process::target()).trying(|| format!("create {}", process::target().display()))?;
    fs::write(&file, "").trying(|| format!("write {}", file.display()))?;
    Ok(file)
}

/// What was skipped, one line each: the test, the tool, the command that adds it.
pub(crate) fn read() -> Vec<String> {
    let text = fs::read_to_string(process::target().join("skips.txt")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}
