//! A device program with Amazon's SDK makes its first connection with a key that a factory made in a chip, or with one in sealed files.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]

use std::path::Path;
use std::process::Command;

use stories::callers::Caller;
use stories::registration::{register, template};
use stories::tokens::{Backend, CERTIFICATE, KEY, PIN, TOKEN, module};
use stories::{Cloud, KeyKind, Tokens, birthmark, run, tool};

/// The thing that the factory's line names the first chip; the other device is called so, too.
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

/// Connects twice: the first time the device is provisioned meanwhile, the second time it is known.
fn connects(tokens: &Tokens, python: &Path, cloud: &Cloud, certificate: &str) {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/token_awsiotsdk.py");
    for attempts in ["attempts: 2", "attempts: 1"] {
        let mut command = tokens.command(python);
        command.arg(&program).arg(module());
        command.args([TOKEN, PIN, KEY, certificate]);
        command.arg(cloud.mqtt_port()).arg(cloud.server_ca()).arg(THING);
        let ended = run(&mut command).well();
        assert_eq!(ended.stdout.trim(), attempts, "{}", ended.stderr);
    }
    let mut explain = birthmark();
    explain.arg("explain").arg("--data-dir").arg(tokens.path("cloud"));
    let explained = run(explain.args([THING, "--count", "3"])).stderr;
    assert!(
        explained.contains("provisioned by this first connection"),
        "{explained}"
    );
    let ask = "import importlib.metadata as m; print(m.version('awsiotsdk'))";
    Caller::new("awsiotsdk", Command::new(python).args(["-c", ask])).did(
        tokens,
        &[
            "`mtls_with_pkcs11`: a first connection to `birthmark serve`, provisioned just in time",
            "the second one is taken at once, and a message acknowledged",
        ],
    );
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
    connects(&tokens, &python, &cloud, "chip.pem");
}

#[test]
fn the_aws_sdk_makes_a_first_connection_with_a_key_in_sealed_files() {
    let (Some(python), Some(tokens)) = (tool("python"), Tokens::with_key(Backend::Flash)) else {
        return;
    };
    let cloud = Cloud::start(&tokens.path("cloud"), &[]);
    let (Some(aws), Some(certificates)) = (cloud.aws(), tokens.certificates()) else {
        return;
    };
    certificates.authority("signer", KeyKind::P256);
    let _ = register(&aws, &certificates, "signer", &template());
    let (subject, public) = (format!("/CN={THING}"), tokens.public_key_pem());
    certificates.signed_for_key("device", &subject, "signer", &public);
    let _ = certificates.chain("device", "signer");
    connects(&tokens, &python, &cloud, "device-chain.pem");
}
