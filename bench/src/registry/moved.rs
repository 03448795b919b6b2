//! `fleet import`: a file of lines as `fleet export` writes them, taken in through the public API by the release binary.
//!
//! Half of the lines are things, half certificates with a policy and a thing. Each certificate is as long as a real one and has
//! a fingerprint of its own; they differ in a name, so nobody could connect with them.

use std::fs;
use std::io::{BufWriter, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use identity::UnixMillis;
use identity::crypto::SoftwareKey;
use identity::issue::{Profile, Serial, Validity, prepare};
use identity::key::Curve;
use identity::name::Name;
use serde_json::{Value, json};

use super::seed::replace;
use crate::Outcome;
use crate::cloud::member_of_a_fleet;

/// The name in the certificate that the others are made of.
const PATTERN: &str = "move-00000000";

/// When everything was made.
const CREATED: i64 = 1_700_000_000_000;

/// Writes so many lines.
pub(super) fn write(file: &Path, lines: u64) -> Outcome<()> {
    let mut file = BufWriter::new(fs::File::create(file)?);
    let document = member_of_a_fleet().to_string();
    let policy = json!({
        "kind": "policy", "name": "member", "versions": [{ "id": 1, "document": document, "created": CREATED }],
        "defaultVersion": 1, "lastVersion": 1, "created": CREATED, "tags": [],
    });
    writeln!(file, "{policy}")?;
    let things = (lines - 1) / 2;
    for number in 0..things {
        let id = format!("00000000-0000-4000-8000-{number:012x}");
        let line = json!({
            "kind": "thing", "name": name(number), "id": id, "attributes": {}, "version": 1, "simulated": false,
            "created": CREATED, "groups": [],
        });
        writeln!(file, "{line}")?;
    }
    let pattern = pattern()?;
    for number in 0..lines - 1 - things {
        let der = replace(&pattern, PATTERN, &name(number))?;
        let line = json!({
            "kind": "certificate", "certificatePem": identity::pem::encode("CERTIFICATE", &der), "origin": "ISSUED",
            "status": "ACTIVE", "mode": "DEFAULT", "created": CREATED, "customerVersion": 1, "policies": ["member"],
            "things": [[name(number % things.max(1)), "NON_EXCLUSIVE_THING"]],
        });
        writeln!(file, "{line}")?;
    }
    Ok(file.flush()?)
}

fn name(number: u64) -> String {
    format!("move-{number:08}")
}

fn pattern() -> Outcome<Vec<u8>> {
    let key = SoftwareKey::generate(Curve::P256)?;
    let subject = Name::with_common_name(PATTERN)?;
    let validity = Validity::days(UnixMillis(CREATED), 9_000)?;
    let profile = Profile::root(identity::issue::Signer::public_key(&key), &subject, validity);
    let prepared = prepare(
        &profile,
        key.prove(&subject)?,
        &subject,
        &Serial::from_random([7; 16]),
    )?;
    Ok(prepared.sign(&key)?.der().to_vec())
}

/// Has the binary take the file in: seconds, and how many lines were new.
pub(super) fn run(
    binary: &Path,
    file: &Path,
    address: SocketAddr,
    root: &Path,
    credentials: &Path,
) -> Outcome<(f64, u64)> {
    let begun = Instant::now();
    let output = Command::new(binary)
        .args(["fleet", "import", "--json"])
        .arg(file)
        .args(["--endpoint-url", &format!("https://{address}")])
        .arg("--ca-bundle")
        .arg(root)
        .arg("--credentials")
        .arg(credentials)
        .stdin(Stdio::null())
        .output()?;
    let seconds = begun.elapsed().as_secs_f64();
    if !output.status.success() {
        return Err(format!("fleet import: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let told: Value = serde_json::from_slice(&output.stdout)?;
    Ok((seconds, told["made"].as_u64().unwrap_or(0)))
}
