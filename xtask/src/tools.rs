//! The outside tools that the stories need, and how this machine gets them.
//!
//! As root on Debian they are installed; Python tools go into a virtual environment under `target/`. Otherwise no
//! rights are ever asked for: a missing tool is named together with the command that adds it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::console::Ending;
use crate::failure::{Outcome, Trying};
use crate::process::{self, Run, which};

/// The AWS command line that the stories are checked with.
const AWSCLI: &[&str] = &["awscli==1.45.11"];

/// What Python programs of the stories import: the cloud's API, a store that speaks S3, and three ways to PKCS #11.
const PYTHON: &[&str] = &[
    "awsiotsdk==1.31.0",
    "boto3==1.44.5",
    "cbor2==6.3.0",
    "moto[s3,server]==5.2.5",
    "opentelemetry-proto==1.45.2",
    "paho-mqtt==2.2.0",
    "PyKCS11==1.5.20",
    "python-pkcs11==0.10.1",
];

/// What JavaScript programs of the stories import.
const JAVASCRIPT: &str = "mqtt@5.16.0";

/// How a tool of this name is found.
type Find = fn(&str) -> Option<PathBuf>;

/// Debian packages, what each brings, and how that is found.
const PACKAGES: &[(&str, &str, Find)] = &[
    ("curl", "curl", program),
    ("gnutls-bin", "p11tool", program),
    ("i2c-tools", "i2cdetect", program),
    ("libengine-pkcs11-openssl", "openssl engine", engine),
    ("mosquitto-clients", "mosquitto_pub", program),
    ("nginx-light", "nginx", program),
    ("default-jdk-headless", "java", compiler),
    ("opensc", "pkcs11-tool", program),
    ("nodejs", "node", program),
    ("npm", "npm", program),
    ("openssh-client", "ssh-keygen", program),
    ("openssl", "openssl", program),
    ("p11-kit", "p11-kit", program),
    ("prometheus", "promtool", program),
    ("python3-venv", "python3", environments),
    ("softhsm2", "softhsm2-util", program),
    ("valgrind", "valgrind", program),
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
    let mut tools: Vec<_> = PACKAGES
        .iter()
        .map(|(package, name, find)| Tool {
            name,
            file: find(name),
            remedy: remedy(package),
        })
        .collect();
    let python = |name, file| Tool {
        name,
        file,
        remedy: remedy("python3-venv"),
    };
    tools.push(python(
        "aws",
        environment("aws", AWSCLI, "aws")?.or_else(|| which("aws")),
    ));
    tools.push(python("python", environment("python", PYTHON, "python")?));
    tools.push(Tool {
        name: "MQTT.js",
        file: javascript()?,
        remedy: remedy("npm"),
    });
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
    PACKAGES
        .iter()
        .filter(|(_, name, find)| find(name).is_none())
        .map(|(package, ..)| *package)
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
    // A server that a package brings is run by a story, on a port of its own; on run level 1 it does not start by itself.
    let apt = || {
        Run::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("RUNLEVEL", "1")
    };
    let packages: Vec<_> = packages_missing().collect();
    println!("    installing {}", packages.join(" "));
    // An old list of packages is no reason to stop; a package that cannot be had is reported as a missing tool.
    apt().args(["update", "--quiet=2"]).shown()?;
    let install = ["install", "--yes", "--quiet=2", "--no-install-recommends"];
    apt().args(install.iter().chain(&packages)).shown()?;
    Ok(())
}

/// A program on the PATH, or where an ordinary user's PATH does not lead.
fn program(name: &str) -> Option<PathBuf> {
    which(name).or_else(|| Some(Path::new("/usr/sbin").join(name)).filter(|file| file.is_file()))
}

/// openssl, if it finds the engine that uses PKCS #11 modules.
fn engine(_: &str) -> Option<PathBuf> {
    let openssl = which("openssl")?;
    answers(&openssl, &["engine", "pkcs11"]).then_some(openssl)
}

/// Java with its compiler, which runs a source file.
fn compiler(name: &str) -> Option<PathBuf> {
    which("javac").and_then(|_| which(name))
}

/// Python, if it can make virtual environments.
fn environments(name: &str) -> Option<PathBuf> {
    let python = which(name)?;
    answers(&python, &["-c", "import venv, ensurepip"]).then_some(python)
}

fn answers(program: &Path, args: &[&str]) -> bool {
    Run::new(program).args(args).caught().is_ok_and(|run| run.success)
}

/// The packages for JavaScript, in a folder of our own.
fn javascript() -> Outcome<Option<PathBuf>> {
    let folder = process::target().join("tools").join("javascript");
    let package = folder.join("node_modules").join("mqtt");
    let marker = folder.join("packages");
    if package.is_dir() && fs::read_to_string(&marker).is_ok_and(|there| there == JAVASCRIPT) {
        return Ok(Some(package));
    }
    if which("npm").is_none() {
        return Ok(None);
    }
    println!("    putting {JAVASCRIPT} into {}", folder.display());
    fs::create_dir_all(&folder).trying(|| format!("make {}", folder.display()))?;
    let install = [
        "install",
        "--no-audit",
        "--no-fund",
        "--no-save",
        "--silent",
        "--prefix",
    ];
    let npm = Run::new("npm").args(install).args([&folder]).args([JAVASCRIPT]);
    if npm.shown()? != Ending::Passed {
        return Ok(None);
    }
    fs::write(&marker, JAVASCRIPT).trying(|| format!("write {}", marker.display()))?;
    Ok(Some(package))
}

/// A program of a Python environment of our own, made with these packages when it is not there or has others.
fn environment(name: &str, packages: &[&str], program: &str) -> Outcome<Option<PathBuf>> {
    let folder = process::target().join("tools").join(name);
    let file = folder.join("bin").join(program);
    let (marker, list) = (folder.join("packages"), packages.join("\n"));
    if file.exists() && fs::read_to_string(&marker).is_ok_and(|there| there == list) {
        return Ok(Some(file));
    }
    if environments("python3").is_none() {
        return Ok(None);
    }
    println!("    putting {} into {}", packages.join(" "), folder.display());
    let make = ["-m", "venv", "--clear"];
    Run::new("python3").args(make).args([&folder]).caught_well()?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    let python = Run::new(folder.join("bin").join("python"));
    if python.args(pip.iter().chain(packages)).shown()? != Ending::Passed {
        return Ok(None);
    }
    fs::write(&marker, list).trying(|| format!("write {}", marker.display()))?;
    Ok(Some(file))
}
