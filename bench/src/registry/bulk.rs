//! Bulk registration: one task over a file of lines, each with a thing's name and a certification request.

use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use identity::crypto::SoftwareKey;
use identity::key::Curve;
use identity::name::Name;
use serde_json::{Value, json};

use super::api::Api;
use crate::Outcome;
use crate::cloud::member_of_a_fleet;

/// Certification requests that the lines use in turn: the server verifies and issues for each line anew.
const REQUESTS: usize = 64;

/// How often the task is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// The bucket's name in the configuration, and the file in it.
pub(super) const BUCKET: &str = "bulk";
const KEY: &str = "lines.ndjson";

/// Writes the file.
pub(super) fn write(folder: &Path, lines: u64) -> Outcome<()> {
    let requests: Vec<String> = (0..REQUESTS).map(|_| request()).collect::<Outcome<_>>()?;
    let mut file = BufWriter::new(fs::File::create(folder.join(KEY))?);
    for number in 0..lines {
        let request = requests.get(number as usize % REQUESTS).ok_or("no request")?;
        let line = json!({ "Name": format!("bulk-{number:08}"), "CSR": request });
        writeln!(file, "{line}")?;
    }
    Ok(file.flush()?)
}

fn request() -> Outcome<String> {
    let key = SoftwareKey::generate(Curve::P256)?;
    let der = key.request(&Name::with_common_name("bulk")?)?;
    Ok(identity::pem::encode("CERTIFICATE REQUEST", &der))
}

/// Runs the task to its end: seconds, and how many lines it did.
pub(super) fn run(api: &mut Api) -> Outcome<(f64, u64)> {
    let begun = Instant::now();
    let body = json!({
        "templateBody": template(),
        "inputFileBucket": BUCKET,
        "inputFileKey": KEY,
        "roleArn": "arn:aws:iam::123456789012:role/bulk",
    });
    let started = api.call("POST", "/thing-registration-tasks", &body.to_string())?;
    let task = started["taskId"].as_str().ok_or("no task")?.to_owned();
    loop {
        thread::sleep(LOOK);
        let told = api.call("GET", &format!("/thing-registration-tasks/{task}"), "")?;
        match told["status"].as_str() {
            Some("InProgress") => {}
            Some("Completed") if told["failureCount"] == 0 => {
                let seconds = begun.elapsed().as_secs_f64();
                return Ok((seconds, told["successCount"].as_u64().unwrap_or(0)));
            }
            _ => return Err(format!("the task ended badly: {told}").into()),
        }
    }
}

fn template() -> String {
    let template: Value = json!({
        "Parameters": { "Name": { "Type": "String" }, "CSR": { "Type": "String" } },
        "Resources": {
            "thing": { "Type": "AWS::IoT::Thing", "Properties": { "ThingName": { "Ref": "Name" } } },
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": { "CertificateSigningRequest": { "Ref": "CSR" }, "Status": "ACTIVE" }
            },
            "policy": {
                "Type": "AWS::IoT::Policy",
                "Properties": { "PolicyDocument": member_of_a_fleet().to_string() }
            }
        }
    });
    template.to_string()
}
