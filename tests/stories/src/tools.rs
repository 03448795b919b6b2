//! Outside tools, and what happens when one is missing: a skip that is printed and counted, or an error when tools are
//! required.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The tool, or `None` after the test was counted as skipped.
#[must_use]
pub fn tool(name: &str) -> Option<PathBuf> {
    let found = told(name).or_else(|| ours(name)).or_else(|| on_the_path(name));
    if found.is_none() {
        skip(name, remedy(name));
    }
    found
}

/// Counts the running test as skipped; an error when `BIRTHMARK_REQUIRE_TOOLS` is set.
pub fn skip(tool: &str, remedy: &str) {
    let test = std::thread::current().name().unwrap_or("a story").to_owned();
    let text = format!("{test}: no {tool}; to add it: {remedy}");
    assert!(std::env::var_os("BIRTHMARK_REQUIRE_TOOLS").is_none(), "{text}");
    eprintln!("skipped {text}");
    if let Some(file) = std::env::var_os("BIRTHMARK_SKIPS") {
        let mut file = OpenOptions::new().append(true).create(true).open(file).unwrap();
        writeln!(file, "{text}").unwrap();
    }
}

fn remedy(name: &str) -> &'static str {
    match name {
        "aws" | "python" => "cargo xtask test",
        "mosquitto_pub" | "mosquitto_sub" => "apt-get install mosquitto-clients",
        "pkcs11-tool" => "apt-get install opensc",
        "p11tool" => "apt-get install gnutls-bin",
        "ssh-keygen" => "apt-get install openssh-client",
        "i2cdetect" | "i2ctransfer" => "apt-get install i2c-tools",
        _ => "apt-get install openssl",
    }
}

/// `BIRTHMARK_AWS=/where/aws/is`
fn told(name: &str) -> Option<PathBuf> {
    std::env::var_os(format!("BIRTHMARK_{}", name.to_uppercase())).map(PathBuf::from)
}

/// What `cargo xtask test` put under `target/tools`.
fn ours(name: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)?
        .join("target");
    Some(target.join("tools").join(name).join("bin").join(name)).filter(|file| file.is_file())
}

fn on_the_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
