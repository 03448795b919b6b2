//! The first lines that a stranger types are in the README, and they do what it says: this runs them as they stand there.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use stories::{Cloud, birthmark, run, tool};

const README: &str = include_str!("../../../README.md");

/// What stands between the fences of the only shell script of the README.
fn script() -> &'static str {
    let (_, rest) = README.split_once("```sh\n").unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn the_first_fifteen_lines_do_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let Some(aws) = tool("aws") else { return };
    if tool("openssl").is_none() || tool("mosquitto_pub").is_none() {
        return;
    }
    // The folder that a server without `--data-dir` takes; only its ports are others.
    let cloud = Cloud::start(&folder.path().join("birthmark-data"), &[]);
    let port = cloud.api().rsplit(':').next().unwrap();
    let said = run(Command::new("sh")
        .args(["-eu", "-c", script()])
        .current_dir(folder.path())
        .env("API", format!("https://localhost:{port}"))
        .env("MQTT", cloud.mqtt_port())
        .env("PATH", path(&aws))
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_PAGER", "")
        .env("NO_PROXY", "*")
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_PROFILE"))
    .well();
    let lines: String = format!("{}{}", said.stdout, said.stderr);
    for word in [
        "\"thingName\": \"lamp-1\"",
        "provisioned",
        "topic/dt/lamp-2/hello",
        "iot:Publish",
    ] {
        assert!(
            lines.contains(word),
            "the README's lines do not tell `{word}`:\n{lines}"
        );
    }
    let lamp = fs::read(folder.path().join("lamp-1.pem")).unwrap();
    assert!(!lamp.is_empty());
    assert_eq!(cloud.stop(), Some(0));
}

/// The binary under test and the AWS command line come before everything else.
fn path(aws: &Path) -> String {
    let binary = birthmark().get_program().to_owned();
    let folders = [Path::new(&binary), aws].map(|program| program.parent().unwrap().display().to_string());
    format!("{}:{}", folders.join(":"), env::var("PATH").unwrap_or_default())
}
