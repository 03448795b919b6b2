//! Runs other programs: with their output shown, caught, or measured.
//!
//! Standard input is always closed, so that nothing can wait for an answer that no one will type.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::console::Ending;
use crate::failure::{Failure, Outcome, Trying};

/// A program to run in the root of the repository.
pub(crate) struct Run(Command);

/// What a program left behind.
pub(crate) struct Caught {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.current_dir(root()).stdin(Stdio::null());
        Self(command)
    }

    /// The cargo that runs us.
    pub(crate) fn cargo() -> Self {
        Self::cargo_at(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    /// Another cargo, which is told nothing of ours.
    pub(crate) fn cargo_at(program: impl AsRef<OsStr>) -> Self {
        let mut run = Self::new(program);
        // What `cargo run` sets for xtask itself would make build scripts of the product look changed.
        let ours = std::env::vars_os().map(|(key, _)| key);
        for key in ours.filter(|key| key.to_string_lossy().starts_with("CARGO_PKG_")) {
            run.0.env_remove(key);
        }
        run.0
            .env_remove("CARGO_MANIFEST_DIR")
            .env_remove("CARGO_MANIFEST_PATH");
        run
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.0.args(args);
        self
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(key, value);
        self
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.0.current_dir(dir);
        self
    }

    /// Runs with the output shown; a step that passes or fails by the exit code.
    pub(crate) fn shown(mut self) -> Outcome<Ending> {
        println!("    $ {}", self.line());
        let status = self.0.status().trying(|| self.line())?;
        Ok(if status.success() {
            Ending::Passed
        } else {
            Ending::Failed
        })
    }

    /// Runs with the output caught.
    pub(crate) fn caught(mut self) -> Outcome<Caught> {
        let output = self.0.output().trying(|| self.line())?;
        Ok(Caught {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs with the output shown and also handed over line by line.
    pub(crate) fn watched(mut self, mut each: impl FnMut(&str)) -> Outcome<Ending> {
        println!("    $ {}", self.line());
        // Both streams into one pipe keeps their order.
        let (reader, writer) = std::io::pipe().trying(|| "open a pipe".to_owned())?;
        let second = writer.try_clone().trying(|| "open a pipe".to_owned())?;
        self.0.stdout(writer).stderr(second);
        let line = self.line();
        let mut child = self.0.spawn().trying(|| line.clone())?;
        drop(self);
        for text in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
            let text = String::from_utf8_lossy(&text);
            println!("{text}");
            each(&text);
        }
        let _ = std::io::stdout().flush();
        let status = child.wait().trying(|| line)?;
        Ok(if status.success() {
            Ending::Passed
        } else {
            Ending::Failed
        })
    }

    /// Runs with the output caught; an exit code other than 0 is an error that shows what the program said.
    pub(crate) fn caught_well(self) -> Outcome<String> {
        let line = self.line();
        let caught = self.caught()?;
        if caught.success {
            return Ok(caught.stdout);
        }
        Err(Failure::new(format!(
            "{line} failed:\n{}{}",
            caught.stdout, caught.stderr
        )))
    }

    /// The command as a person would type it.
    pub(crate) fn line(&self) -> String {
        let program = Path::new(self.0.get_program()).file_name().unwrap_or_default();
        let words = std::iter::once(program).chain(self.0.get_args());
        words
            .map(|word| word.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The command itself, for those who want more than these ways.
    pub(crate) fn into_command(self) -> Command {
        self.0
    }
}

/// The root of the repository: where xtask's own folder lies.
pub(crate) fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.parent().map_or_else(|| own.clone(), Path::to_path_buf)
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The platform of the compiler itself.
pub(crate) fn host() -> Outcome<String> {
    let version = Run::new("rustc").args(["-vV"]).caught_well()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| Failure::new("rustc -vV names no host"))
}

/// Finds a program on the PATH.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}
