//! A device program with Amazon's SDK makes its first connection with a key that a factory made in a chip.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]

use std::path::Path;
use std::process::Command;

use stories::callers::Caller;
use stories::registration::template;
use stories::tokens::{Backend, CERTIFICATE, KEY, TOKEN, module};
use stories::{Cloud, Tokens, birthmark, run, tool};

/// The thing that the factory's line names the first chip.
const THING: &str = "bm-000001";

/// The chip goes through a production line, and the cloud learns of its CA.
fn manufacture(tokens: &Tokens, cloud: &Cloud) {
    let factory = |name: &str| {
        let mut command = birthmark();
        command
            .args(["factory", name, "--dir"])
            .arg(tokens.path("factory"));
        command
    };
    run(factory("init").args(["--customer", "Lamps", "--simulated"])).well();
    let mut line = factory("run");
    line.args(["--chip", tokens.chip().unwrap(), "--server-root"]);
    run(line.arg(cloud.server_ca())).well();
    let provisioning = tokens.path("template.json");
    std::fs::write(&provisioning, template()).unwrap();
    let port = cloud.api().rsplit_once(':').unwrap().1;
    let mut register = factory("register-ca");
    register.args(["--endpoint-url", &format!("https://localhost:{port}")]);
    register.arg("--ca-bundle").arg(cloud.server_ca());
    register.arg("--credentials").arg(cloud.credentials());
    run(register.arg("--template").arg(provisioning)).well();
}

/// The certificate that the line wrote into the chip, as a file for the SDK.
fn export_certificate(tokens: &Tokens) {
    let read = ["--read-object", "--type", "cert", "--label", CERTIFICATE];
    tokens
        .pkcs11_tool(&[&read[..], &["-o", "chip.der"]].concat())
        .well();
    let mut convert = tokens.command(&tool("openssl").unwrap());
    convert.args(["x509", "-inform", "DER", "-in", "chip.der", "-out", "chip.pem"]);
    run(&mut convert).well();
}

#[test]
fn the_aws_sdk_makes_a_first_connection_with_the_key_in_a_chip() {
    let tools = (tool("python"), tool("pkcs11-tool"), tool("openssl"));
    let (Some(python), Some(_), Some(_)) = tools else {
        return;
    };
    let tokens = Tokens::empty(Backend::Chip);
    let cloud = Cloud::start(&tokens.path("cloud"), &["--allow-simulated"]);
    manufacture(&tokens, &cloud);
    export_certificate(&tokens);
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/token_awsiotsdk.py");
    let device = |attempts: &str| {
        let mut command = tokens.command(&python);
        command
            .arg(&program)
            .arg(module())
            .args([TOKEN, "0000", KEY, "chip.pem"]);
        command.arg(cloud.mqtt_port()).arg(cloud.server_ca()).arg(THING);
        let ended = run(&mut command).well();
        assert_eq!(ended.stdout.trim(), attempts, "{}", ended.stderr);
    };
    device("attempts: 2");
    device("attempts: 1");
    let mut explain = birthmark();
    explain.arg("explain").arg("--data-dir").arg(tokens.path("cloud"));
    let explained = run(explain.args([THING, "--count", "3"])).stderr;
    assert!(
        explained.contains("provisioned by this first connection"),
        "{explained}"
    );
    let ask = "import importlib.metadata as m; print(m.version('awsiotsdk'))";
    Caller::new("awsiotsdk", Command::new(&python).args(["-c", ask])).did(
        &tokens,
        &[
            "`mtls_with_pkcs11`: a first connection to `birthmark serve`, provisioned just in time",
            "the second one is taken at once, and a message acknowledged",
        ],
    );
}
