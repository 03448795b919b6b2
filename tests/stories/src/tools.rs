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

/// The folder of the packages that JavaScript programs of the stories use, or `None` after the test was counted as skipped.
#[must_use]
pub fn node_packages() -> Option<PathBuf> {
    let folder = target()?.join("tools/javascript/node_modules");
    let found = Some(folder).filter(|folder| folder.join("mqtt").is_dir());
    if found.is_none() {
        skip("MQTT.js", "apt-get install nodejs npm && cargo xtask test");
    }
    found
}

/// An image for the emulated board and the emulator, or `None` after the test was counted as skipped. Both come with the
/// compiler for that board, the one tool that may be missing everywhere.
#[must_use]
pub fn board(image: &str) -> Option<(PathBuf, PathBuf)> {
    let folder = target()?.join("firmware/thumbv7em-none-eabihf/release");
    let image = Some(folder.join(image)).filter(|file| file.is_file());
    let emulator = ours("qemu-system-arm");
    let found = image.zip(emulator);
    if found.is_none() {
        count(&skipped("image or emulator of the board", "cargo xtask firmware"));
    }
    found
}

/// Counts the running test as skipped; an error when `BIRTHMARK_REQUIRE_TOOLS` is set.
pub fn skip(tool: &str, remedy: &str) {
    let text = skipped(tool, remedy);
    assert!(std::env::var_os("BIRTHMARK_REQUIRE_TOOLS").is_none(), "{text}");
    count(&text);
}

fn skipped(tool: &str, remedy: &str) -> String {
    let test = std::thread::current().name().unwrap_or("a story").to_owned();
    format!("{test}: no {tool}; to add it: {remedy}")
}

fn count(text: &str) {
    eprintln!("skipped {text}");
    if let Some(file) = std::env::var_os("BIRTHMARK_SKIPS") {
        let mut file = OpenOptions::new().append(true).create(true).open(file).unwrap();
        writeln!(file, "{text}").unwrap();
    }
}

fn remedy(name: &str) -> &'static str {
    match name {
        "aws" | "python" => "cargo xtask test",
        "curl" => "apt-get install curl",
        "prometheus" | "promtool" => "apt-get install prometheus",
        "java" | "javac" | "keytool" => "apt-get install default-jdk-headless",
        "node" => "apt-get install nodejs",
        "nginx" => "apt-get install nginx-light",
        "openssl engine" => "apt-get install libengine-pkcs11-openssl",
        "p11-kit" => "apt-get install p11-kit",
        "softhsm2-util" => "apt-get install softhsm2",
        "valgrind" => "apt-get install valgrind",
        "prlimit" => "apt-get install util-linux",
        "mosquitto_pub" | "mosquitto_sub" => "apt-get install mosquitto-clients",
        "pkcs11-tool" => "apt-get install opensc",
        "p11tool" => "apt-get install gnutls-bin",
        "ssh-agent" | "ssh-add" | "ssh-keygen" => "apt-get install openssh-client",
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
    Some(target()?.join("tools").join(name).join("bin").join(name)).filter(|file| file.is_file())
}

fn target() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    Some(std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder)))
}

/// Python with the packages of the stories is never any other.
fn on_the_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").filter(|_| name != "python")?;
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
