//! One chip by hand, with the commands that a person types: served, enrolled, connected, refused and explained.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use stories::registration::template;
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
    command
        .args([
            "device", "enroll", "--json", "--thing", "lamp-1", "--policy", "lamps",
        ])
        .args(["--chip", &chip.address, "--mqtt", &mqtt(cloud)]);
    reach(&mut command, cloud);
    command
}

/// How a command reaches the cloud's API.
fn reach(command: &mut Command, cloud: &Cloud) {
    let port = cloud.api().rsplit_once(':').unwrap().1;
    command
        .args(["--endpoint-url", &format!("https://localhost:{port}")])
        .arg("--ca-bundle")
        .arg(cloud.server_ca())
        .arg("--credentials")
        .arg(cloud.credentials());
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

/// A command of the factory in this directory.
fn factory(name: &str, directory: &Path) -> Command {
    let mut command = birthmark();
    command.args(["factory", name, "--dir"]).arg(directory);
    command
}

#[test]
fn a_factory_of_ones_own_makes_a_device_that_the_cloud_provisions() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("factory");
    let chip = Chip::serve(folder.path());
    let cloud = Cloud::start(&folder.path().join("cloud"), &["--allow-simulated"]);
    let _ = run(factory("init", &directory).args(["--customer", "Lamps", "--simulated"])).well();
    let line = || {
        let mut command = factory("run", &directory);
        command
            .args(["--json", "--chip", &chip.address, "--server-root"])
            .arg(cloud.server_ca());
        run(&mut command).well().json()
    };
    assert_eq!(line()["made"], 1);
    assert_eq!(line()["already_done"], 1, "the same chip is left alone");
    let _ = run(&mut connect(&chip, &cloud, "bm-000001")).refused(&["bm-000001"]);
    let file = folder.path().join("template.json");
    std::fs::write(&file, template()).unwrap();
    let mut register = factory("register-ca", &directory);
    reach(register.arg("--template").arg(&file), &cloud);
    let _ = run(&mut register).well();
    let _ = run(&mut connect(&chip, &cloud, "bm-000001")).well();
    let _ = run(&mut factory("verify", &directory)).well();
}
