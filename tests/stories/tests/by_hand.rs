//! One device by hand, with the commands that a person types: served, enrolled, connected, refused and explained.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]

use std::path::Path;
use std::process::Command;

use stories::registration::template;
use stories::tokens::{Backend, TOKEN};
use stories::{Cloud, Tokens, birthmark, run};

fn enroll(tokens: &Tokens, cloud: &Cloud) -> Command {
    let mut command = birthmark();
    command
        .args([
            "device", "enroll", "--json", "--thing", "lamp-1", "--policy", "lamps",
        ])
        .args(["--mqtt", &mqtt(cloud)])
        .args(which(tokens));
    reach(&mut command, cloud);
    command
}

/// Which token a device has: by the configuration that `token init` wrote.
fn which(tokens: &Tokens) -> [String; 6] {
    let path = |name: &str| tokens.path(name).to_string_lossy().into_owned();
    let words = ["--config", "--token", "--pin-file"].map(str::to_owned);
    let [config, token, pin] = words;
    [
        config,
        path("pkcs11.toml"),
        token,
        TOKEN.to_owned(),
        pin,
        path("pin"),
    ]
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

fn connect(tokens: &Tokens, cloud: &Cloud, client_id: &str) -> Command {
    let mut command = birthmark();
    command
        .args(["device", "run", "--client-id", client_id])
        .args(["--mqtt", &mqtt(cloud)])
        .args(which(tokens));
    command
}

#[test]
fn a_device_is_enrolled_by_hand_and_is_nobody_but_itself() {
    for backend in Backend::ALL {
        let tokens = Tokens::empty(backend);
        let cloud = Cloud::start(&tokens.path("cloud"), &[]);
        let enrolled = run(&mut enroll(&tokens, &cloud)).well().json();
        assert_eq!(enrolled["connected"], true, "{enrolled}");
        let _ = run(&mut connect(&tokens, &cloud, "lamp-1")).well();
        // The key in the token is not lost by a second try, and the identity is good for no other name.
        let _ = run(&mut enroll(&tokens, &cloud)).refused(&["--overwrite"]);
        let _ = run(&mut connect(&tokens, &cloud, "lamp-2")).refused(&["lamp-2"]);
        let _ = run(&mut connect(&tokens, &cloud, "lamp-1")).well();
        // One that is replaced on purpose leaves nothing of the old one behind.
        let _ = run(enroll(&tokens, &cloud).arg("--overwrite")).well();
        let _ = run(&mut connect(&tokens, &cloud, "lamp-1")).well();
    }
}

/// A command of the factory in this directory.
fn factory(name: &str, directory: &Path) -> Command {
    let mut command = birthmark();
    command.args(["factory", name, "--dir"]).arg(directory);
    command
}

#[test]
fn a_factory_of_ones_own_makes_a_device_that_the_cloud_provisions() {
    let tokens = Tokens::empty(Backend::Chip);
    let directory = tokens.path("factory");
    let cloud = Cloud::start(&tokens.path("cloud"), &["--allow-simulated"]);
    let _ = run(factory("init", &directory).args(["--customer", "Lamps", "--simulated"])).well();
    let line = || {
        let mut command = factory("run", &directory);
        command
            .args(["--json", "--chip", tokens.chip().unwrap(), "--server-root"])
            .arg(cloud.server_ca());
        run(&mut command).well().json()
    };
    assert_eq!(line()["made"], 1);
    assert_eq!(line()["already_done"], 1, "the same chip is left alone");
    let _ = run(&mut connect(&tokens, &cloud, "bm-000001")).refused(&["bm-000001"]);
    let file = tokens.path("template.json");
    std::fs::write(&file, template()).unwrap();
    let mut register = factory("register-ca", &directory);
    reach(register.arg("--template").arg(&file), &cloud);
    let _ = run(&mut register).well();
    let _ = run(&mut connect(&tokens, &cloud, "bm-000001")).well();
    let _ = run(&mut factory("verify", &directory)).well();
}
