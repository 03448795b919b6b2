//! Who may come in, with the commands that a person types: a manifest of the line, one of a table, a gate, and a fleet that
//! moves to another cloud by a file and by the API alone.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use stories::registration::{register, template};
use stories::tokens::{Backend, TOKEN};
use stories::{Certificates, Cloud, Ended, KeyKind, Mosquitto, Tokens, birthmark, run};

/// `birthmark` with these words, pointed at a cloud.
fn at(cloud: &Cloud, words: &[&str]) -> Command {
    let mut command = birthmark();
    let port = cloud.api().rsplit_once(':').unwrap().1;
    command
        .args(words)
        .args(["--endpoint-url", &format!("https://localhost:{port}")])
        .arg("--ca-bundle")
        .arg(cloud.server_ca())
        .arg("--credentials")
        .arg(cloud.credentials());
    command
}

fn well(cloud: &Cloud, words: &[&str]) -> Ended {
    run(&mut at(cloud, words)).well()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_device_of_the_line_comes_in_once_its_manifest_is_there() {
    let tokens = Tokens::empty(Backend::Chip);
    let (directory, data) = (tokens.path("factory"), tokens.path("cloud"));
    let cloud = Cloud::start(&data, &["--allow-simulated"]);
    let factory = |words: &[&str]| {
        let mut command = birthmark();
        command.arg("factory").args(words).arg("--dir").arg(&directory);
        command
    };
    let _ = run(&mut factory(&["init", "--customer", "Lamps", "--simulated"])).well();
    let mut line = factory(&["run", "--chip", tokens.chip().unwrap()]);
    let _ = run(line.arg("--server-root").arg(cloud.server_ca())).well();
    let manifest = || run(&mut factory(&["manifest", "--json"])).well().json();
    let written = manifest();
    assert_eq!((&written["added"], &written["segments"]), (&json!(1), &json!(1)));
    assert_eq!(manifest()["added"], json!(0), "nothing was made since");
    let file = written["manifest"].as_str().unwrap();
    let key = written["public_key"].as_str().unwrap();
    let _ =
        run(&mut at(&cloud, &["fleet", "manifest", "import", file])).refused(&["not one that is trusted"]);
    let enrolled = well(
        &cloud,
        &["fleet", "manifest", "signers", "enroll", key, "--label", "line 1"],
    );
    assert_eq!(enrolled.stdout.trim(), written["signer"].as_str().unwrap());
    let template_file = tokens.path("template.json");
    fs::write(&template_file, template()).unwrap();
    let words = [
        "factory",
        "register-ca",
        "--dir",
        text(&directory),
        "--template",
        text(&template_file),
    ];
    assert!(well(&cloud, &words).stderr.contains("its gate is closed"));

    let connect = || {
        let mut command = birthmark();
        command
            .args(["device", "run", "--client-id", "bm-000001", "--token", TOKEN])
            .args(["--mqtt", &format!("localhost:{}", cloud.mqtt_port())])
            .arg("--config")
            .arg(tokens.path("pkcs11.toml"))
            .arg("--pin-file")
            .arg(tokens.path("pin"));
        run(&mut command)
    };
    let _ = connect().refused(&[]);
    let explained = run(birthmark().args(["explain", "--refused", "--data-dir", text(&data)])).well();
    assert!(
        explained.stderr.contains("fleet.admission.unlisted"),
        "{}",
        explained.stderr
    );
    let imported = || well(&cloud, &["fleet", "manifest", "import", file, "--json"]).json();
    assert_eq!(imported(), json!({ "new": 1, "known": 0 }));
    assert_eq!(imported(), json!({ "new": 0, "known": 1 }));
    let _ = connect(); // the first connection is closed, as at AWS
    let _ = connect().well();
    let orders = well(&cloud, &["fleet", "manifest", "orders"]).stdout;
    assert!(orders.contains("1 listed, 1 came in"), "{orders}");
    let keys = well(&cloud, &["key", "list", "--json"]).json();
    assert!(keys["keys"][0]["lastUsed"].is_number(), "{keys}");
    let check = run(birthmark().args(["check", "--data-dir", text(&data)])).well();
    assert!(!check.stderr.contains("the gate of the CA"), "{}", check.stderr);
}

#[test]
fn a_table_is_signed_and_a_fleet_moves_to_another_cloud() {
    let folder = tempfile::tempdir().unwrap();
    let Some(certificates) = Certificates::in_folder(folder.path()) else {
        return;
    };
    let data = folder.path().join("old");
    let old = Cloud::start(&data, &[]);
    let Some(aws) = old.aws() else { return };
    certificates.authority("authority", KeyKind::P256);
    let ca = register(&aws, &certificates, "authority", &template());
    for name in ["lamp-1", "lamp-2"] {
        certificates.signed(name, &format!("/CN={name}"), "authority", KeyKind::P256);
    }
    assert_eq!(
        well(&old, &["fleet", "manifest", "gate", &ca]).stdout.trim(),
        "open"
    );
    let check = run(birthmark().args(["check", "--data-dir", text(&data)])).well();
    assert!(
        check.stderr.contains(&format!("the gate of the CA {ca} is open")),
        "{}",
        check.stderr
    );
    assert_eq!(
        well(&old, &["fleet", "manifest", "gate", &ca, "closed"])
            .stdout
            .trim(),
        "closed"
    );

    let rehearse = |name: &str| {
        let file = certificates.path(name, "pem");
        run(birthmark().args([
            "explain",
            "--json",
            "--data-dir",
            text(&data),
            "--dry-run",
            text(&file),
        ]))
    };
    let code = |ended: Ended| ended.json()["code"].as_str().unwrap().to_owned();
    assert_eq!(code(rehearse("lamp-1").refused(&[])), "fleet.admission.unlisted");
    // Signed with a key of openssl's, never with the CA's.
    certificates.key("signer", KeyKind::P256);
    let (key, public) = (
        certificates.path("signer", "key"),
        certificates.path("signer", "pub"),
    );
    let _ = run(Command::new("openssl").args(["pkey", "-pubout", "-in", text(&key), "-out", text(&public)]))
        .well();
    let table = folder.path().join("lamps.csv");
    let pem = fs::read_to_string(certificates.path("lamp-1", "pem")).unwrap();
    fs::write(
        &table,
        format!("unit,certificate,reel\r\n\"0011, 22\",\"{pem}\",R7\r\n"),
    )
    .unwrap();
    let manifest = folder.path().join("lamps.ndjson");
    let words = [
        "--order",
        "spring",
        "--ca",
        &ca,
        "--count",
        "1",
        "--key",
        text(&key),
        "--out",
        text(&manifest),
    ];
    let sign = |words: &[&str]| {
        run(birthmark()
            .args(["fleet", "manifest", "sign", text(&table)])
            .args(words))
    };
    let _ = sign(&words).well();
    let own = certificates.path("authority", "pem");
    let _ = run(&mut at(
        &old,
        &["fleet", "manifest", "signers", "enroll", text(&own)],
    ))
    .refused(&["registered CA"]);
    let _ = well(&old, &["fleet", "manifest", "signers", "enroll", text(&public)]);
    let _ = well(&old, &["fleet", "manifest", "import", text(&manifest)]);
    assert_eq!(
        code(rehearse("lamp-1").well()),
        "cloud.first_connection.provisioned"
    );
    assert_eq!(code(rehearse("lamp-2").refused(&[])), "fleet.admission.unlisted");
    let lamp = Mosquitto::new(&old, &certificates, "lamp-1", "lamp-1");
    let _ = lamp.publish("dt/lamp-1/a", 1, "x");
    let _ = lamp.publish("dt/lamp-1/a", 1, "x").well();

    let new = Cloud::start(&folder.path().join("new"), &[]);
    let other = Cloud::start(&folder.path().join("other"), &[]);
    let (by_file, by_api) = (
        folder.path().join("old.ndjson"),
        folder.path().join("other.ndjson"),
    );
    let _ = well(&old, &["fleet", "export", text(&by_file)]);
    let first = well(&new, &["fleet", "import", text(&by_file), "--json"]).json();
    assert_eq!(
        (&first["made"], &first["refused"]),
        (&json!(4), &json!(0)),
        "{first}"
    );
    assert_eq!(
        well(&new, &["fleet", "import", text(&by_file), "--json"]).json()["known"],
        json!(4)
    );
    let port = old.api().rsplit_once(':').unwrap().1;
    let source = format!("https://localhost:{port}");
    let words = [
        "fleet",
        "import",
        "--from-aws",
        "--json",
        "--source-url",
        &source,
        "--source-ca-bundle",
        text(old.server_ca()),
        "--source-credentials",
        text(old.credentials()),
    ];
    let taken = well(&other, &words).json();
    assert_eq!(
        (&taken["made"], &taken["refused"]),
        (&json!(4), &json!(0)),
        "{taken}"
    );
    let amazon = [
        "fleet",
        "import",
        "--from-aws",
        "--source-url",
        "https://iot.us-east-1.amazonaws.com",
    ];
    let further = [
        "--source-ca-bundle",
        text(old.server_ca()),
        "--source-credentials",
        text(old.credentials()),
    ];
    let _ = run(at(&other, &amazon).args(further)).refused(&["--real-aws"]);
    let _ = well(&other, &["fleet", "export", text(&by_api)]);
    let lines = |path: &Path| -> Vec<Value> {
        let text = fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let (there, here) = (lines(&by_file), lines(&by_api));
    assert_eq!(there.len(), here.len());
    for (there, here) in there.iter().zip(&here) {
        for member in [
            "kind",
            "name",
            "certificatePem",
            "policies",
            "things",
            "status",
            "templateBody",
            "attributes",
            "id",
        ] {
            assert_eq!(there.get(member), here.get(member), "{member} of {there}");
        }
    }
    // The device does not notice.
    for cloud in [&new, &other] {
        let _ = Mosquitto::new(cloud, &certificates, "lamp-1", "lamp-1")
            .publish("dt/lamp-1/a", 1, "x")
            .well();
    }
}
