//! Runs a program to its end and keeps what it said.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

/// A program that has ended.
#[derive(Debug)]
pub struct Ended {
    /// What was run.
    pub line: String,
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it printed for machines.
    pub stdout: String,
    /// What it printed for people.
    pub stderr: String,
}

impl Ended {
    /// Demands exit code 0.
    #[track_caller]
    pub fn well(self) -> Self {
        assert_eq!(
            self.code,
            Some(0),
            "{}\n{}{}",
            self.line,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Demands an exit code other than 0 and that every word is somewhere in the output.
    #[track_caller]
    pub fn refused(self, words: &[&str]) -> Self {
        assert!(
            self.code.is_some_and(|code| code != 0),
            "{} was not refused\n{}{}",
            self.line,
            self.stdout,
            self.stderr
        );
        let said = format!("{}{}", self.stdout, self.stderr);
        for word in words {
            assert!(
                said.contains(word),
                "{} does not say `{word}`:\n{said}",
                self.line
            );
        }
        assert!(!said.contains("panicked"), "{} panicked:\n{said}", self.line);
        self
    }

    /// The standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!(
                "{} printed no JSON ({error}):\n{}\n{}",
                self.line, self.stdout, self.stderr
            )
        })
    }
}

/// Runs a command with its input closed.
#[track_caller]
pub fn run(command: &mut Command) -> Ended {
    let line = format!("{command:?}");
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{line}: {error}"));
    Ended {
        line,
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The `birthmark` binary that was built with these tests.
#[track_caller]
pub fn birthmark() -> Command {
    let binary = std::env::var_os("BIRTHMARK_BIN").map_or_else(beside_the_tests, PathBuf::from);
    assert!(
        binary.exists(),
        "no {}: run `cargo build --profile test` first",
        binary.display()
    );
    Command::new(binary)
}

/// `target/debug/deps/story-0123` stands two folders below `target/debug/birthmark`.
fn beside_the_tests() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent()
        .and_then(|deps| deps.parent())
        .expect("tests lie in target/*/deps")
        .join("birthmark")
}
