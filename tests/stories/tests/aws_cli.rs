//! The AWS command line works against `birthmark serve` as it does against AWS, with certificates made by openssl.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a surprise ends the test")]

use serde_json::Value;
use stories::registration::{self, device_policy, register, registration_config, template, verification};
use stories::{Aws, Certificates, Cloud, KeyKind};
use tempfile::TempDir;

/// A cloud, the command line and a folder for certificates; `None` when a tool is missing.
struct Story {
    cloud: Cloud,
    aws: Aws,
    certificates: Certificates,
    folder: TempDir,
}

impl Story {
    fn begin() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let certificates = Certificates::in_folder(folder.path())?;
        let cloud = Cloud::start(&folder.path().join("cloud"), &[]);
        Some(Self {
            aws: cloud.aws()?,
            cloud,
            certificates,
            folder,
        })
    }
}

fn text<'a>(answer: &'a Value, key: &str) -> &'a str {
    answer[key]
        .as_str()
        .unwrap_or_else(|| panic!("no {key} in {answer}"))
}

fn length(answer: &Value, key: &str) -> usize {
    answer[key]
        .as_array()
        .unwrap_or_else(|| panic!("no {key} in {answer}"))
        .len()
}

#[test]
fn a_registration_code_is_64_hex_digits_and_stays() {
    let Some(story) = Story::begin() else { return };
    let aws = &story.aws;
    let first = aws.iot(&["get-registration-code"]);
    let code = text(&first, "registrationCode");
    assert_eq!(code.len(), 64);
    assert!(code.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(aws.iot(&["get-registration-code"]), first);
}

#[test]
fn an_endpoint_is_told_for_each_type() {
    let Some(story) = Story::begin() else { return };
    let aws = &story.aws;
    assert!(!text(&aws.iot(&["describe-endpoint"]), "endpointAddress").is_empty());
    let data = aws.iot(&["describe-endpoint", "--endpoint-type", "iot:Data-ATS"]);
    assert!(!text(&data, "endpointAddress").is_empty());
    aws.refused(
        &["describe-endpoint", "--endpoint-type", "iot:Nonsense"],
        &["InvalidRequestException"],
    );
}

#[test]
fn a_ca_is_registered_with_proof_of_possession_and_described() {
    let Some(story) = Story::begin() else { return };
    let (aws, certificates) = (&story.aws, &story.certificates);
    certificates.authority("signer", KeyKind::Rsa2048);
    let id = register(aws, certificates, "signer", &template());
    assert_eq!(id, certificates.id("signer"));
    let described = aws.iot(&["describe-ca-certificate", "--certificate-id", &id]);
    let description = &described["certificateDescription"];
    assert_eq!(text(description, "status"), "ACTIVE");
    assert_eq!(text(description, "autoRegistrationStatus"), "ENABLE");
    assert_eq!(
        text(description, "certificatePem").trim(),
        certificates.text("signer", "pem").trim()
    );
    let body = text(&described["registrationConfig"], "templateBody");
    assert_eq!(
        serde_json::from_str::<Value>(body).unwrap(),
        serde_json::from_str::<Value>(&template()).unwrap()
    );
    let listed = aws.iot(&["list-ca-certificates"]);
    assert_eq!(length(&listed, "certificates"), 1);
    assert_eq!(text(&listed["certificates"][0], "certificateId"), id);
}

#[test]
fn a_ca_is_refused_without_a_right_proof() {
    let Some(story) = Story::begin() else { return };
    let (aws, certificates) = (&story.aws, &story.certificates);
    certificates.authority("signer", KeyKind::P256);
    certificates.authority("stranger", KeyKind::P256);
    let register = |proof: &str, words: &[&str]| {
        let (ca, proof) = (certificates.url("signer", "pem"), certificates.url(proof, "pem"));
        let call = [
            "register-ca-certificate",
            "--ca-certificate",
            &ca,
            "--verification-certificate",
            &proof,
        ];
        aws.refused(&call, words);
    };
    certificates.signed(
        "wrong-code",
        &format!("/CN={}", "0".repeat(64)),
        "signer",
        KeyKind::P256,
    );
    register("wrong-code", &["RegistrationCodeValidationException"]);
    verification(aws, certificates, "stranger");
    register("verification", &["CertificateValidationException"]);
    let without = [
        "register-ca-certificate",
        "--ca-certificate",
        &certificates.url("signer", "pem"),
    ];
    aws.refused(&without, &["InvalidRequestException"]);
    assert_eq!(length(&aws.iot(&["list-ca-certificates"]), "certificates"), 0);
}

#[test]
fn a_ca_is_registered_once() {
    let Some(story) = Story::begin() else { return };
    let (aws, certificates) = (&story.aws, &story.certificates);
    certificates.authority("signer", KeyKind::P256);
    let _ = register(aws, certificates, "signer", &template());
    let (ca, proof) = (
        certificates.url("signer", "pem"),
        certificates.url("verification", "pem"),
    );
    let again = [
        "register-ca-certificate",
        "--ca-certificate",
        &ca,
        "--verification-certificate",
        &proof,
    ];
    aws.refused(&again, &["ResourceAlreadyExistsException"]);
}

#[test]
fn a_template_that_names_no_known_parameter_is_refused_and_nothing_is_kept() {
    let Some(story) = Story::begin() else { return };
    let (aws, certificates) = (&story.aws, &story.certificates);
    certificates.authority("signer", KeyKind::P256);
    verification(aws, certificates, "signer");
    let wrong = template().replace(
        "AWS::IoT::Certificate::CommonName",
        "AWS::IoT::Certificate::Colour",
    );
    let config = registration_config(certificates, &wrong);
    let (ca, proof) = (
        certificates.url("signer", "pem"),
        certificates.url("verification", "pem"),
    );
    let call = [
        "register-ca-certificate",
        "--ca-certificate",
        &ca,
        "--verification-certificate",
        &proof,
    ];
    aws.refused(
        &[&call[..], &["--registration-config", &config]].concat(),
        &["Colour"],
    );
    assert_eq!(length(&aws.iot(&["list-ca-certificates"]), "certificates"), 0);
}

#[test]
fn things_are_made_described_and_listed_in_pages() {
    let Some(story) = Story::begin() else { return };
    let aws = &story.aws;
    let made = aws.iot(&[
        "create-thing",
        "--thing-name",
        "lamp-1",
        "--attribute-payload",
        "attributes={room=kitchen}",
    ]);
    assert_eq!(
        text(&made, "thingArn"),
        "arn:aws:iot:us-east-1:123456789012:thing/lamp-1"
    );
    assert_eq!(
        aws.iot(&[
            "create-thing",
            "--thing-name",
            "lamp-1",
            "--attribute-payload",
            "attributes={room=kitchen}"
        ]),
        made
    );
    aws.refused(
        &["create-thing", "--thing-name", "lamp-1"],
        &["ResourceAlreadyExistsException"],
    );
    let _ = aws.iot(&["create-thing", "--thing-name", "lamp-2"]);
    let described = aws.iot(&["describe-thing", "--thing-name", "lamp-1"]);
    assert_eq!(described["attributes"]["room"], "kitchen");
    assert_eq!(described["version"], 1);
    // The command line walks through the pages by itself.
    assert_eq!(
        length(&aws.iot(&["list-things", "--page-size", "1"]), "things"),
        2
    );
    aws.refused(
        &["describe-thing", "--thing-name", "lamp-9"],
        &["ResourceNotFoundException"],
    );
    aws.refused(
        &["create-thing", "--thing-name", "a b"],
        &["InvalidRequestException"],
    );
}

#[test]
fn things_are_put_into_groups() {
    let Some(story) = Story::begin() else { return };
    let aws = &story.aws;
    let _ = aws.iot(&["create-thing-group", "--thing-group-name", "hall"]);
    let nested = ["--thing-group-name", "line", "--parent-group-name", "hall"];
    let made = aws.iot(&[&["create-thing-group"][..], &nested].concat());
    assert_eq!(
        text(&made, "thingGroupArn"),
        "arn:aws:iot:us-east-1:123456789012:thinggroup/line"
    );
    let _ = aws.iot(&["create-thing", "--thing-name", "lamp-1"]);
    let both = ["--thing-group-name", "line", "--thing-name", "lamp-1"];
    let _ = aws.iot(&[&["add-thing-to-thing-group"][..], &both].concat());
    let below = [
        "list-things-in-thing-group",
        "--thing-group-name",
        "hall",
        "--recursive",
    ];
    assert_eq!(aws.iot(&below)["things"], serde_json::json!(["lamp-1"]));
    let hall = ["delete-thing-group", "--thing-group-name", "hall"];
    aws.refused(&hall, &["InvalidRequestException", "groups under it"]);
    let _ = aws.iot(&[&["remove-thing-from-thing-group"][..], &both].concat());
    assert_eq!(length(&aws.iot(&below), "things"), 0);
}

#[test]
fn a_policy_is_kept_as_it_came_and_a_wrong_one_is_refused() {
    let Some(story) = Story::begin() else { return };
    let aws = &story.aws;
    let made = aws.iot(&[
        "create-policy",
        "--policy-name",
        "devices",
        "--policy-document",
        &device_policy(),
    ]);
    assert_eq!(text(&made, "policyDocument"), device_policy());
    assert_eq!(text(&made, "policyVersionId"), "1");
    let again = [
        "create-policy",
        "--policy-name",
        "devices",
        "--policy-document",
        &device_policy(),
    ];
    aws.refused(&again, &["ResourceAlreadyExistsException"]);
    aws.refused(
        &["create-policy", "--policy-name", "p", "--policy-document", "{"],
        &["MalformedPolicyException"],
    );
}

#[test]
fn keys_are_made_and_a_certificate_is_attached_to_policy_and_thing() {
    let Some(story) = Story::begin() else { return };
    let aws = &story.aws;
    let made = aws.iot(&["create-keys-and-certificate", "--set-as-active"]);
    let (id, arn) = (text(&made, "certificateId"), text(&made, "certificateArn"));
    assert!(text(&made["keyPair"], "PrivateKey").contains("PRIVATE KEY"));
    let _ = aws.iot(&[
        "create-policy",
        "--policy-name",
        "devices",
        "--policy-document",
        &device_policy(),
    ]);
    let _ = aws.iot(&["create-thing", "--thing-name", "lamp-1"]);
    let _ = aws.iot(&["attach-policy", "--policy-name", "devices", "--target", arn]);
    let _ = aws.iot(&[
        "attach-thing-principal",
        "--thing-name",
        "lamp-1",
        "--principal",
        arn,
    ]);
    let principals = aws.iot(&["list-thing-principals", "--thing-name", "lamp-1"]);
    assert_eq!(principals["principals"], serde_json::json!([arn]));
    let described = aws.iot(&["describe-certificate", "--certificate-id", id]);
    assert_eq!(text(&described["certificateDescription"], "status"), "ACTIVE");
    assert_eq!(length(&aws.iot(&["list-certificates"]), "certificates"), 1);
    let away = [
        "transfer-certificate",
        "--certificate-id",
        id,
        "--target-aws-account",
    ];
    aws.refused(
        &[&away[..], &["999999999999"]].concat(),
        &["InvalidRequestException"],
    );
    let outgoing = aws.iot(&["list-outgoing-certificates"]);
    assert_eq!(length(&outgoing, "outgoingCertificates"), 0);
    let _ = aws.iot(&[
        "update-certificate",
        "--certificate-id",
        id,
        "--new-status",
        "REVOKED",
    ]);
    let described = aws.iot(&["describe-certificate", "--certificate-id", id]);
    assert_eq!(text(&described["certificateDescription"], "status"), "REVOKED");
    aws.refused(
        &["attach-policy", "--policy-name", "none", "--target", arn],
        &["ResourceNotFoundException"],
    );
    let nonsense = [
        "update-certificate",
        "--certificate-id",
        id,
        "--new-status",
        "PENDING_ACTIVATION",
    ];
    aws.refused(&nonsense, &["InvalidRequestException"]);
}

#[test]
fn a_request_of_openssl_becomes_a_certificate() {
    let Some(story) = Story::begin() else { return };
    let (aws, certificates) = (&story.aws, &story.certificates);
    for (name, kind) in [("small", KeyKind::P256), ("large", KeyKind::Rsa2048)] {
        certificates.key(name, kind);
        certificates.request(name, &format!("/CN={name}"));
        let csr = certificates.url(name, "csr");
        let made = aws.iot(&[
            "create-certificate-from-csr",
            "--certificate-signing-request",
            &csr,
            "--set-as-active",
        ]);
        std::fs::write(certificates.path(name, "pem"), text(&made, "certificatePem")).unwrap();
        assert_eq!(certificates.id(name), text(&made, "certificateId"));
    }
    let spoilt = certificates.text("small", "csr").replace("MI", "MJ");
    aws.refused(
        &[
            "create-certificate-from-csr",
            "--certificate-signing-request",
            &spoilt,
        ],
        &["InvalidRequestException"],
    );
}

#[test]
fn what_is_not_there_is_named() {
    let Some(story) = Story::begin() else { return };
    let aws = &story.aws;
    let unknown = aws.try_iot(&["list-jobs"]).refused(&[]);
    assert!(
        unknown.stderr.contains("ListJobs") || unknown.stderr.contains("/jobs"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn a_wrong_access_key_is_refused() {
    let Some(Story {
        cloud,
        folder,
        aws: _aws,
        certificates: _certificates,
    }) = Story::begin()
    else {
        return;
    };
    let credentials = std::fs::read_to_string(cloud.credentials()).unwrap();
    let spoilt: Vec<String> = credentials
        .lines()
        .map(|line| match line.split_once('=') {
            Some((key, secret)) if key.trim() == "aws_secret_access_key" => {
                format!("{key}={}", secret.to_uppercase())
            }
            _ => line.to_owned(),
        })
        .collect();
    let file = folder.path().join("spoilt");
    std::fs::write(&file, spoilt.join("\n")).unwrap();
    let Some(aws) = cloud.aws() else { return };
    aws.with_credentials(&file)
        .refused(&["list-things"], &["SignatureDoesNotMatch"]);
}

#[test]
fn everything_survives_a_restart() {
    let Some(Story {
        cloud,
        aws,
        certificates,
        folder,
    }) = Story::begin()
    else {
        return;
    };
    certificates.authority("signer", KeyKind::P256);
    let id = register(&aws, &certificates, "signer", &template());
    let _ = aws.iot(&["create-thing", "--thing-name", "lamp-1"]);
    let _ = aws.iot(&[
        "create-policy",
        "--policy-name",
        "devices",
        "--policy-document",
        &registration::open_policy(),
    ]);
    let code = aws.iot(&["get-registration-code"]);
    let key = std::fs::read_to_string(cloud.credentials()).unwrap();
    let root = std::fs::read_to_string(cloud.server_ca()).unwrap();
    assert_eq!(cloud.stop(), Some(0));
    let cloud = Cloud::start(&folder.path().join("cloud"), &[]);
    assert_eq!(std::fs::read_to_string(cloud.credentials()).unwrap(), key);
    assert_eq!(std::fs::read_to_string(cloud.server_ca()).unwrap(), root);
    let Some(aws) = cloud.aws() else { return };
    let described = aws.iot(&["describe-ca-certificate", "--certificate-id", &id]);
    assert_eq!(text(&described["certificateDescription"], "status"), "ACTIVE");
    assert_eq!(length(&aws.iot(&["list-things"]), "things"), 1);
    assert_eq!(length(&aws.iot(&["list-policies"]), "policies"), 1);
    assert_eq!(aws.iot(&["get-registration-code"]), code);
}
