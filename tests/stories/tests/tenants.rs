//! Two accounts live on one server and are kept apart; what both did is in one log whose chain can be checked.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use stories::{Cloud, Python, birthmark, run};

const CONFIG: &str = r#"
endpoint = "{account}-ats.iot.{region}.cloud.test"

[[access_keys]]
file = "other.credentials"
account = "210987654321"

[[access_keys]]
file = "reader.credentials"
account = "210987654321"
role = "read"
regions = ["us-east-1"]
"#;

#[test]
fn two_accounts_are_kept_apart() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("birthmark.toml");
    fs::write(&config, CONFIG).unwrap();
    let data_dir = folder.path().join("cloud");
    let cloud = Cloud::start(&data_dir, &["--config", config.to_str().unwrap()]);
    let key = |name: &str| data_dir.join(name).display().to_string();
    let Some(python) = Python::of(&cloud) else { return };
    let _ = python
        .with("OTHER_KEY", &key("other.credentials"))
        .with("READER_KEY", &key("reader.credentials"))
        .runs("tenants");

    let check = || {
        let mut command = birthmark();
        command.args(["check", "--audit", "--data-dir"]).arg(&data_dir);
        run(&mut command)
    };
    let said = check().well();
    let lines: u32 = said.stdout.split(' ').next().unwrap().parse().unwrap();
    assert!(lines > 20, "{}", said.stdout);
    assert_eq!(cloud.stop(), Some(0));
    assert_eq!(check().well().stdout, said.stdout, "reading changes nothing");
    let records = rusqlite::Connection::open(data_dir.join("records.sqlite")).unwrap();
    let changed = records.execute("UPDATE audit SET subject = 'nothing' WHERE number = 7", []);
    assert_eq!(changed.unwrap(), 1);
    drop(records);
    let _ = check().refused(&["7"]);
}

#[test]
fn attempts_are_followed_as_they_come() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("cloud");
    let cloud = Cloud::start(&data_dir, &[]);
    let Some(python) = Python::of(&cloud) else { return };
    let mut command = birthmark();
    command
        .args(["explain", "--follow", "--json", "--refused", "--data-dir"])
        .arg(&data_dir);
    let mut follower = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let _ = python.runs("attempts");
    let line = lines.next().unwrap().unwrap();
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(told["verdict"], "refused", "{line}");
    follower.kill().unwrap();
    follower.wait().unwrap();
}
