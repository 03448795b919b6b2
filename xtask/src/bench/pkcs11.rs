//! `cargo xtask bench pkcs11`: our module against SoftHSM 2, kryoptic and bare aws-lc-rs, all in one run.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::console::Ending;
use crate::failure::{Failure, Outcome, Trying};
use crate::process::{self, Run};

use super::{Row, Target};

/// The kryoptic that is compared, from crates.io, built against the system's OpenSSL.
const KRYOPTIC: &str = "1.5.4";

/// Measures every row, with the program in `bench/`.
pub(super) fn measure() -> Outcome<Vec<Row>> {
    let build = Run::cargo().args(["build", "--release", "--package", "bench", "--package", "pkcs11"]);
    if build.shown()? != Ending::Passed {
        return Err(Failure::new("the release build failed"));
    }
    let kryoptic = kryoptic()?;
    let release = process::target().join("release");
    let run = Run::new(release.join("bench"))
        .args(["pkcs11"])
        .args([release.join("libbirthmark_pkcs11.so")])
        .args(kryoptic)
        .dir(&release);
    let answer: Value =
        serde_json::from_str(&run.caught_well()?).trying(|| "read the answer of bench".to_owned())?;
    Ok(rows(&answer))
}

/// Builds kryoptic once. Where it does not build (it wants libclang, OpenSSL's and SQLite's headers), its rows say so.
fn kryoptic() -> Outcome<Option<PathBuf>> {
    let folder = process::target().join("tools").join("kryoptic");
    let source = folder.join("src");
    fs::create_dir_all(&source).trying(|| format!("make {}", source.display()))?;
    let write =
        |path: PathBuf, text: &str| fs::write(&path, text).trying(|| format!("write {}", path.display()));
    write(source.join("lib.rs"), "")?;
    let dependency = |name: &str, features: &str| {
        format!(
            "{name} = {{ version = \"={KRYOPTIC}\", default-features = false, features = [{features}] }}\n"
        )
    };
    let manifest =
        "[package]\nname = \"peers\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n"
            .to_owned()
            + &dependency("kryoptic", "\"minimal\"")
            + &dependency("kryoptic-lib", "\"minimal\", \"dynamic\"");
    write(folder.join("Cargo.toml"), &manifest)?;
    let target = folder.join("target");
    let built = Run::cargo()
        .args(["build", "--release", "--quiet"])
        .env("CARGO_TARGET_DIR", &target)
        .dir(&folder)
        .caught()?;
    if !built.success {
        println!(
            "    kryoptic {KRYOPTIC} does not build here: apt-get install libclang-dev libssl-dev libsqlite3-dev"
        );
    }
    Ok(library(&target.join("release").join("deps")).filter(|_| built.success))
}

fn library(folder: &Path) -> Option<PathBuf> {
    let mut files = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let named = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libkryoptic_pkcs11") && name.ends_with(".so")
    };
    files.find_map(|entry| Some(entry.path()).filter(|path| named(path)))
}

fn rows(answer: &Value) -> Vec<Row> {
    let value = |key: &str| answer[key].as_f64();
    let row = |name: &str, key: &str, unit, target| Row {
        name: name.to_owned(),
        value: value(key),
        unit,
        target,
    };
    let peer = |name: &str, key: &str, unit| {
        let absent = if key.starts_with("softhsm") {
            "apt-get install softhsm2"
        } else {
            "it does not build here"
        };
        let unit = if value(key).is_some() { unit } else { absent };
        row(name, key, unit, Target::None)
    };
    let times = Row {
        name: "durable key pairs against SoftHSM 2".to_owned(),
        value: value("birthmark_pairs")
            .zip(value("softhsm_pairs"))
            .map(|(ours, theirs)| ours / theirs),
        unit: "times",
        target: Target::AtLeast(5.0),
    };
    vec![
        row(
            "bare aws-lc-rs, P-256 signature",
            "bare_sign_us",
            "us of CPU",
            Target::None,
        ),
        row(
            "C_SignInit + C_Sign, P-256, token key",
            "birthmark_sign_us",
            "us of CPU",
            Target::None,
        ),
        row(
            "  against bare aws-lc-rs",
            "birthmark_sign_ratio",
            "of its rate",
            Target::AtLeast(0.85),
        ),
        peer("  SoftHSM 2", "softhsm_sign_ratio", "of its rate"),
        peer("  kryoptic", "kryoptic_sign_ratio", "of its rate"),
        row(
            "8 threads sign, per CPU, against one",
            "birthmark_threads_ratio",
            "of its rate",
            Target::AtLeast(0.95),
        ),
        peer("  SoftHSM 2", "softhsm_threads_ratio", "of its rate"),
        peer("  kryoptic", "kryoptic_threads_ratio", "of its rate"),
        row(
            "8 threads sign, wall clock, against bare",
            "birthmark_threads_wall_ratio",
            "of its rate",
            Target::None,
        ),
        peer("  SoftHSM 2", "softhsm_threads_wall_ratio", "of its rate"),
        peer("  kryoptic", "kryoptic_threads_wall_ratio", "of its rate"),
        row(
            "find 1 of 10 000 by label",
            "birthmark_find_label",
            "a second",
            Target::AtLeast(100_000.0),
        ),
        peer("  SoftHSM 2", "softhsm_find_label", "a second"),
        peer("  kryoptic", "kryoptic_find_label", "a second"),
        row(
            "find 1 of 10 000 by class and id",
            "birthmark_find_id",
            "a second",
            Target::AtLeast(100_000.0),
        ),
        peer("  SoftHSM 2", "softhsm_find_id", "a second"),
        peer("  kryoptic", "kryoptic_find_id", "a second"),
        row(
            "durable key pair, made and destroyed",
            "birthmark_pairs",
            "a second",
            Target::None,
        ),
        peer("  SoftHSM 2", "softhsm_pairs", "a second"),
        peer("  kryoptic", "kryoptic_pairs", "a second"),
        times,
        row(
            "signing beside 10 000 objects",
            "birthmark_full_ratio",
            "of alone",
            Target::AtLeast(0.97),
        ),
        peer("  SoftHSM 2", "softhsm_full_ratio", "of alone"),
        peer("  kryoptic", "kryoptic_full_ratio", "of alone"),
        row(
            "start to first find, 10 000 objects",
            "birthmark_reopen_ms",
            "ms",
            Target::None,
        ),
        peer("  SoftHSM 2", "softhsm_reopen_ms", "ms"),
        peer("  kryoptic", "kryoptic_reopen_ms", "ms"),
        row(
            "sessions opened and closed",
            "birthmark_sessions",
            "a second",
            Target::None,
        ),
        peer("  SoftHSM 2", "softhsm_sessions", "a second"),
        peer("  kryoptic", "kryoptic_sessions", "a second"),
    ]
}
