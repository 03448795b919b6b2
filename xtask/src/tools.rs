//! The outside tools that the stories need, and how this machine gets them.
//!
//! As root on Debian they are installed; Python tools go into a virtual environment under `target/`. Otherwise no
//! rights are ever asked for: a missing tool is named together with the command that adds it.

use std::path::{Path, PathBuf};

use crate::console::Ending;
use crate::failure::Outcome;
use crate::process::{self, Run, which};

/// The AWS command line that the stories are checked with.
const AWSCLI: &str = "awscli==1.45.11";

/// What the stories in Python import.
const PYTHON: &[&str] = &["boto3==1.44.5", "awsiotsdk==1.31.0", "cbor2==6.3.0"];

/// Debian packages and a program that each brings.
const PACKAGES: &[(&str, &str)] = &[
    ("gnutls-bin", "p11tool"),
    ("libengine-pkcs11-openssl", "openssl"),
    ("mosquitto-clients", "mosquitto_pub"),
    ("opensc", "pkcs11-tool"),
    ("openssh-client", "ssh-keygen"),
    ("openssl", "openssl"),
    ("i2c-tools", "i2cdetect"),
    ("python3-venv", "python3"),
];

/// What one tool is and how it can be had.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) file: Option<PathBuf>,
    /// The command that adds it.
    pub(crate) remedy: String,
}

/// Brings this machine as far as it may be brought, and says what is there.
pub(crate) fn prepare() -> Outcome<Vec<Tool>> {
    if packages_missing().next().is_some() && may_install() {
        install()?;
    }
    let aws = environment("aws", "aws", &[AWSCLI])?.or_else(|| which("aws"));
    let python = environment("python", "python", PYTHON)?;
    let tools = vec![
        Tool {
            name: "aws",
            file: aws,
            remedy: remedy("python3-venv"),
        },
        Tool {
            name: "python",
            file: python,
            remedy: remedy("python3-venv"),
        },
        Tool {
            name: "mosquitto_pub",
            file: which("mosquitto_pub"),
            remedy: remedy("mosquitto-clients"),
        },
        Tool {
            name: "pkcs11-tool",
            file: which("pkcs11-tool"),
            remedy: remedy("opensc"),
        },
        Tool {
            name: "p11tool",
            file: which("p11tool"),
            remedy: remedy("gnutls-bin"),
        },
        Tool {
            name: "ssh-keygen",
            file: which("ssh-keygen"),
            remedy: remedy("openssh-client"),
        },
        Tool {
            name: "openssl engine",
            file: which("openssl").filter(|_| has_engine()),
            remedy: remedy("libengine-pkcs11-openssl"),
        },
        Tool {
            name: "openssl",
            file: which("openssl"),
            remedy: remedy("openssl"),
        },
        Tool {
            name: "i2cdetect",
            file: which("i2cdetect"),
            remedy: remedy("i2c-tools"),
        },
    ];
    for tool in &tools {
        match &tool.file {
            Some(file) => println!("    {:<14} {}", tool.name, file.display()),
            None => println!("    {:<14} missing; to add it: {}", tool.name, tool.remedy),
        }
    }
    Ok(tools)
}

/// The tools as a step: missing ones fail it only when they are required.
pub(crate) fn judge(tools: &[Tool], required: bool) -> Ending {
    match tools.iter().find(|tool| tool.file.is_none()) {
        None => Ending::Passed,
        Some(_) if required => Ending::Failed,
        Some(tool) => Ending::Skipped(tool.remedy.clone()),
    }
}

fn remedy(package: &str) -> String {
    format!("apt-get install {package} && cargo xtask test (as root, or with sudo)")
}

fn packages_missing() -> impl Iterator<Item = &'static str> {
    let there = |package: &str, program: &str| match package {
        "libengine-pkcs11-openssl" => has_engine(),
        "python3-venv" => can_make_environments(),
        _ => which(program).is_some(),
    };
    PACKAGES
        .iter()
        .filter(move |(package, program)| !there(package, program))
        .map(|(package, _)| *package)
}

/// Root on Debian or something made from it.
fn may_install() -> bool {
    let root = Run::new("id")
        .args(["-u"])
        .caught_well()
        .is_ok_and(|id| id.trim() == "0");
    root && Path::new("/etc/debian_version").exists() && which("apt-get").is_some()
}

fn install() -> Outcome<()> {
    let apt = || Run::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive");
    let packages: Vec<_> = packages_missing().collect();
    println!("    installing {}", packages.join(" "));
    // An old list of packages is no reason to stop; a package that cannot be had is reported as a missing tool.
    apt().args(["update", "--quiet=2"]).shown()?;
    let install = ["install", "--yes", "--quiet=2", "--no-install-recommends"];
    apt().args(install.iter().chain(&packages)).shown()?;
    Ok(())
}

/// Whether openssl finds the engine that uses PKCS #11 modules.
fn has_engine() -> bool {
    which("openssl").is_some()
        && Run::new("openssl")
            .args(["engine", "pkcs11"])
            .caught()
            .is_ok_and(|run| run.success)
}

fn can_make_environments() -> bool {
    which("python3").is_some()
        && Run::new("python3")
            .args(["-c", "import venv, ensurepip"])
            .caught()
            .is_ok_and(|run| run.success)
}

/// A program of a virtual environment of our own that holds these packages; none if it cannot be made here.
fn environment(name: &str, program: &str, packages: &[&str]) -> Outcome<Option<PathBuf>> {
    let folder = process::target().join("tools").join(name);
    let (program, marker) = (folder.join("bin").join(program), folder.join(packages.join("+")));
    if marker.exists() && program.exists() {
        return Ok(Some(program));
    }
    if !can_make_environments() {
        return Ok(None);
    }
    println!("    putting {} into {}", packages.join(", "), folder.display());
    Run::new("python3")
        .args(["-m", "venv", "--clear"])
        .args([&folder])
        .caught_well()?;
    let pip = Run::new(folder.join("bin").join("python"));
    let install = pip
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(packages)
        .shown()?;
    if install != Ending::Passed {
        return Ok(None);
    }
    std::fs::write(&marker, "")
        .map_err(|error| crate::failure::Failure::new(format!("write {}: {error}", marker.display())))?;
    Ok(Some(program))
}
