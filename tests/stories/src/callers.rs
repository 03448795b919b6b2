//! Programs that use the PKCS #11 module, and the record of what each of them could do.
//!
//! A story that went well tells [`Caller::did`]; `cargo xtask callers` collects what was told and writes
//! `docs/reference/pkcs11-callers.md` from it. Nothing is told before it was checked.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::Command;

use serde_json::json;

use crate::{Tokens, run};

/// The variable that names the file to which successes are appended.
const VARIABLE: &str = "BIRTHMARK_CALLERS";

/// All of them, as the page calls them and in its order.
pub const CALLERS: &[&str] = &[
    "pkcs11-tool",
    "p11tool",
    "p11-kit",
    "openssl",
    "curl",
    "nginx",
    "ssh",
    "java",
    "python-pkcs11",
    "PyKCS11",
    "cryptoki",
    "awsiotsdk",
];

/// One of them, with its version.
#[derive(Clone, Debug)]
pub struct Caller {
    name: &'static str,
    version: String,
}

impl Caller {
    /// A caller that answers this command with its version somewhere.
    ///
    /// # Panics
    /// If the page would not know it.
    #[track_caller]
    #[must_use]
    pub fn new(name: &'static str, ask: &mut Command) -> Self {
        let said = run(ask);
        Self::of_version(name, &version_in(&format!("{} {}", said.stdout, said.stderr)))
    }

    /// A caller whose version is known.
    ///
    /// # Panics
    /// If the page would not know it.
    #[track_caller]
    #[must_use]
    pub fn of_version(name: &'static str, version: &str) -> Self {
        assert!(CALLERS.contains(&name), "{name} is not among the callers");
        let version = version.to_owned();
        Self { name, version }
    }

    /// Tells that it did these things with these tokens.
    pub fn did(&self, tokens: &Tokens, things: &[&str]) {
        let Some(file) = std::env::var_os(VARIABLE) else {
            return;
        };
        let line = json!({ "caller": self.name, "version": self.version, "backend": tokens.backend().name(), "did": things });
        let mut file = OpenOptions::new().append(true).create(true).open(file).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}

/// The first word that looks like a version.
fn version_in(said: &str) -> String {
    let words = said.split(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+')));
    let is_version = |word: &&str| word.contains('.') && word.contains(|c: char| c.is_ascii_digit());
    let found = words.into_iter().find(is_version);
    let version = |word: &str| word.trim_start_matches(|c: char| !c.is_ascii_digit()).to_owned();
    found.map_or_else(|| "unknown".to_owned(), version)
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn a_version_is_found_in_what_programs_say() {
        for (said, version) in [
            ("nginx version: nginx/1.22.1", "1.22.1"),
            ("OpenSSH_9.2p1 Debian-2+deb12u5, OpenSSL 3.0.15", "9.2p1"),
            ("openjdk version \"17.0.15\" 2025-04-15", "17.0.15"),
            ("nothing", "unknown"),
        ] {
            assert_eq!(version_in(said), version);
        }
    }
}
