//! Registration tasks over a file: whatever threads prepare its lines, each is carried out as if those before it were done.

use std::path::PathBuf;

use cloud::{BucketConfig, Config, FirstConnect};
use serde_json::{Value, json};

use crate::support::{ALLOW_ALL, Api, Device, World};

const ROLE: &str = "arn:aws:iam::123456789012:role/any";

fn bucket(config: &Config) -> PathBuf {
    config.data_dir.with_file_name("bucket")
}

/// A server with a directory for files of tasks.
fn world() -> World {
    World::start_with(FirstConnect::Close, |config| {
        let folder = bucket(config);
        std::fs::create_dir_all(&folder).unwrap();
        let folder = BucketConfig::Directory(folder);
        config.buckets.insert("fleet".to_owned(), folder);
    })
}

/// Runs a task over these lines: how it ended, and its two reports.
fn run(world: &World, api: &mut Api, template: &Value, lines: &[Value]) -> (Value, Vec<Value>, Vec<Value>) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(bucket(&world.config()).join("lines.ndjson"), text).unwrap();
    let body = json!({
        "templateBody": template.to_string(), "inputFileBucket": "fleet", "inputFileKey": "lines.ndjson", "roleArn": ROLE,
    });
    let task = api.ok("POST", "/thing-registration-tasks", body)["taskId"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/thing-registration-tasks/{task}");
    let ended = loop {
        let told = api.ok("GET", &path, Value::Null);
        if told["status"] != "InProgress" {
            break told;
        }
    };
    let mut report = |kind: &str| -> Vec<Value> {
        let links = api.ok("GET", &format!("{path}/reports?reportType={kind}"), Value::Null);
        let link = links["resourceLinks"][0].as_str().unwrap().to_owned();
        let text = std::fs::read_to_string(link.strip_prefix("file://").unwrap()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let (results, errors) = (report("RESULTS"), report("ERRORS"));
    (ended, results, errors)
}

fn numbers(report: &[Value]) -> Vec<u64> {
    report
        .iter()
        .map(|line| line["lineNumber"].as_u64().unwrap())
        .collect()
}

#[test]
fn lines_about_one_thing_are_carried_out_in_their_order() {
    let world = world();
    let mut api = world.api();
    let template = json!({
        "Parameters": { "Name": { "Type": "String" }, "Room": { "Type": "String" } },
        "Resources": { "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": { "ThingName": { "Ref": "Name" }, "AttributePayload": { "room": { "Ref": "Room" } } },
            "OverrideSettings": { "AttributePayload": "REPLACE" },
        } },
    });
    let line = |name: String, room: u32| json!({ "Name": name, "Room": room.to_string() });
    // Several groups; the last ones say something else of things of the first, and thirty in a row speak of one thing.
    let mut lines: Vec<Value> = (0..900).map(|n| line(format!("unit-{}", n % 700), n)).collect();
    lines.splice(300..300, (0..30).map(|n| line("hot".to_owned(), n)));
    lines.insert(10, json!({ "Name": "a b", "Room": "1" }));
    lines.insert(600, json!({ "Name": 1 }));
    let (ended, results, errors) = run(&world, &mut api, &template, &lines);
    assert_eq!(
        (&ended["status"], &ended["successCount"], &ended["failureCount"]),
        (&json!("Completed"), &json!(930), &json!(2)),
        "{errors:?}"
    );
    assert!(numbers(&results).is_sorted() && results.len() == 930);
    assert_eq!(numbers(&errors), [11, 601]);
    let mut thing = |name: &str| {
        let told = api.ok("GET", &format!("/things/{name}"), Value::Null);
        (
            told["attributes"]["room"].as_str().unwrap().to_owned(),
            told["version"].as_u64().unwrap(),
        )
    };
    assert_eq!(thing("hot"), ("29".to_owned(), 30));
    for (name, room, version) in [
        ("unit-0", "700", 2),
        ("unit-199", "899", 2),
        ("unit-200", "200", 1),
    ] {
        assert_eq!(thing(name), (room.to_owned(), version), "{name}");
    }
}

#[test]
fn certificates_are_issued_once_for_each_line_and_refusals_rest_on_the_lines_before() {
    let world = world();
    let mut api = world.api();
    let key = rcgen::KeyPair::generate().unwrap();
    let csr = rcgen::CertificateParams::default().serialize_request(&key);
    let csr = csr.unwrap().pem().unwrap();
    let template = json!({
        "Parameters": { "Name": { "Type": "String" }, "Request": { "Type": "String" } },
        "Resources": {
            "thing": { "Type": "AWS::IoT::Thing", "Properties": { "ThingName": { "Ref": "Name" } } },
            "cert": {
                "Type": "AWS::IoT::Certificate",
                "Properties": { "CertificateSigningRequest": { "Ref": "Request" }, "Status": "ACTIVE" },
            },
            "policy": { "Type": "AWS::IoT::Policy", "Properties": { "PolicyDocument": ALLOW_ALL } },
        },
    });
    let mut lines: Vec<Value> = (0..300)
        .map(|n| json!({ "Name": format!("bm-{n}"), "Request": csr }))
        .collect();
    lines.push(json!({ "Name": "bm-none", "Request": csr.replace('M', "N") }));
    let (ended, results, errors) = run(&world, &mut api, &template, &lines);
    assert_eq!(
        (&ended["successCount"], &ended["failureCount"]),
        (&json!(300), &json!(1))
    );
    assert_eq!(
        (
            errors.len(),
            &errors[0]["lineNumber"],
            &errors[0]["response"]["exception"]
        ),
        (1, &json!(301), &json!("InvalidRequestException"))
    );
    let ids: std::collections::BTreeSet<&str> = results
        .iter()
        .map(|line| line["response"]["resourceArns"]["cert"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 300);
    let policies = api.ok("GET", "/policies", Value::Null);
    assert_eq!(policies["policies"].as_array().unwrap().len(), 1);
    let last = &results[299]["response"];
    let device = Device::from_pem(last["certificatePem"].as_str().unwrap(), &key.serialize_pem());
    world.connect(&device, "bm-299").unwrap();
    let unknown = api.call("GET", "/things/bm-none", Value::Null);
    assert!(unknown.is_err());
}
