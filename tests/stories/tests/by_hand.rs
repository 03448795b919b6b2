//! One chip by hand, with the commands that a person types: served, enrolled, connected, refused and explained.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use stories::{Cloud, birthmark, run};

/// A served chip; gone when dropped.
struct Chip {
    child: Child,
    address: String,
}

impl Chip {
    fn serve(folder: &Path) -> Self {
        let mut command = birthmark();
        command
            .args(["chip", "serve", "--socket"])
            .arg(folder.join("chip"));
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let address = said["chips"][0].as_str().unwrap().to_owned();
        Self { child, address }
    }
}

impl Drop for Chip {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn enroll(chip: &Chip, cloud: &Cloud) -> Command {
    let mut command = birthmark();
    let port = cloud.api().rsplit_once(':').unwrap().1;
    command
        .args([
            "device", "enroll", "--json", "--thing", "lamp-1", "--policy", "lamps",
        ])
        .args(["--chip", &chip.address, "--mqtt", &mqtt(cloud)])
        .args(["--endpoint-url", &format!("https://localhost:{port}")])
        .arg("--ca-bundle")
        .arg(cloud.server_ca())
        .arg("--credentials")
        .arg(cloud.credentials());
    command
}

fn mqtt(cloud: &Cloud) -> String {
    format!("localhost:{}", cloud.mqtt_port())
}

fn connect(chip: &Chip, cloud: &Cloud, client_id: &str) -> Command {
    let mut command = birthmark();
    command.args(["device", "run", "--client-id", client_id]).args([
        "--chip",
        &chip.address,
        "--mqtt",
        &mqtt(cloud),
    ]);
    command
}

#[test]
fn a_chip_is_enrolled_by_hand_and_is_nobody_but_itself() {
    let folder = tempfile::tempdir().unwrap();
    let chip = Chip::serve(folder.path());
    let cloud = Cloud::start(&folder.path().join("cloud"), &[]);
    let enrolled = run(&mut enroll(&chip, &cloud)).well().json();
    assert_eq!(enrolled["connected"], true, "{enrolled}");
    let _ = run(&mut connect(&chip, &cloud, "lamp-1")).well();
    // The key in the slot is not lost by a second try, and the identity is good for no other name.
    let _ = run(&mut enroll(&chip, &cloud)).refused(&["--overwrite"]);
    let _ = run(&mut connect(&chip, &cloud, "lamp-2")).refused(&["lamp-2"]);
    let _ = run(&mut connect(&chip, &cloud, "lamp-1")).well();
}
