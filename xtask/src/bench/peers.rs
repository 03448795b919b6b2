//! Other brokers to compare with: Mosquitto as Debian packages it, rumqttd and RMQTT from crates.io.
//!
//! All of them go below `target/tools`. Two take minutes to build, so they are only built when that is asked for.

use std::path::PathBuf;

use crate::debian::Unpacked;
use crate::failure::Outcome;
use crate::process::{self, Run};

/// Brokers from crates.io: name, package and program, version.
const CRATES: [(&str, &str, &str); 2] = [("rumqttd", "rumqttd", "0.20.0"), ("rmqtt", "rmqttd", "0.24.0")];

/// What RMQTT is built with.
const TOOLS: (&str, [&str; 2]) = ("rmqtt-tools", ["protobuf-compiler", "cmake"]);

/// Where Debian's CMake has its modules.
const CMAKE_MODULES: &str = "usr/share/cmake-3.25";

/// Every peer that is there, as `NAME=PROGRAM`; with `build`, those from crates.io are built first.
pub(super) fn all(build: bool) -> Outcome<Vec<String>> {
    let mut found = Vec::new();
    match Unpacked::of("mosquitto", &["mosquitto"])? {
        Ok(unpacked) => {
            let program = unpacked.folder().join("usr/sbin/mosquitto");
            found.push(format!("mosquitto={}", program.display()));
        }
        Err(reason) => eprintln!("    no mosquitto: {reason}"),
    }
    for (name, package, version) in CRATES {
        let program = folder(name).join("bin").join(package);
        if build && !program.is_file() {
            install(name, package, version)?;
        }
        if program.is_file() {
            found.push(format!("{name}={}", program.display()));
        }
    }
    Ok(found)
}

fn folder(name: &str) -> PathBuf {
    process::target().join("tools").join(name)
}

fn install(name: &str, package: &str, version: &str) -> Outcome<()> {
    eprintln!("    building {package} {version}");
    let mut build = Run::cargo()
        .args(["install", "--quiet", package, "--version", version, "--root"])
        .args([folder(name)])
        .env("CARGO_TARGET_DIR", folder(name).join("build"));
    if let Ok(tools) = Unpacked::of(TOOLS.0, &TOOLS.1)? {
        build = build
            .env("PROTOC", tools.program("protoc"))
            .env("CMAKE", tools.program("cmake"))
            .env("CMAKE_ROOT", tools.folder().join(CMAKE_MODULES))
            .env("LD_LIBRARY_PATH", tools.libraries());
    }
    let caught = build.caught()?;
    if !caught.success {
        eprintln!(
            "    {package} does not build here: {}",
            crate::debian::first_line(&caught.stderr)
        );
    }
    Ok(())
}
