//! A CA of a stranger, registered as the AWS IoT developer guide shows ("Register your CA certificate").

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::{Aws, Certificates, KeyKind};

/// The account that a cloud without configuration serves.
const ACCOUNT: &str = "123456789012";

/// What devices of a template may do: connect as themselves, speak under `dt/` and hear under `cmd/`.
#[must_use]
pub fn device_policy() -> String {
    let arn = |kind: &str, rest: &str| format!("arn:aws:iot:us-east-1:{ACCOUNT}:{kind}/{rest}");
    let own = "${iot:Connection.Thing.ThingName}";
    json!({
        "Version": "2012-10-17",
        "Statement": [
            { "Effect": "Allow", "Action": "iot:Connect", "Resource": arn("client", own) },
            { "Effect": "Allow", "Action": "iot:Publish", "Resource": arn("topic", &format!("dt/{own}/*")) },
            { "Effect": "Allow", "Action": "iot:Subscribe", "Resource": arn("topicfilter", &format!("cmd/{own}/*")) },
            { "Effect": "Allow", "Action": "iot:Receive", "Resource": arn("topic", &format!("cmd/{own}/*")) },
        ]
    })
    .to_string()
}

/// What one who may do everything may do.
#[must_use]
pub fn open_policy() -> String {
    json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Action": "iot:*", "Resource": "*" }]
    })
    .to_string()
}

/// A just-in-time provisioning template: thing, certificate and policy from the subject's common name.
#[must_use]
pub fn template() -> String {
    json!({
        "Parameters": {
            "AWS::IoT::Certificate::CommonName": { "Type": "String" },
            "AWS::IoT::Certificate::Id": { "Type": "String" }
        },
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "Properties": { "ThingName": { "Ref": "AWS::IoT::Certificate::CommonName" } }
            },
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": { "CertificateId": { "Ref": "AWS::IoT::Certificate::Id" }, "Status": "ACTIVE" }
            },
            "policy": {
                "Type": "AWS::IoT::Policy",
                "Properties": { "PolicyDocument": device_policy() }
            }
        }
    })
    .to_string()
}

/// Writes what `--registration-config file://...` reads.
#[track_caller]
#[must_use]
pub fn registration_config(certificates: &Certificates, template: &str) -> String {
    let config =
        json!({ "templateBody": template, "roleArn": format!("arn:aws:iam::{ACCOUNT}:role/JITPRole") });
    let file: PathBuf = certificates.path("registration-config", "json");
    fs::write(&file, config.to_string()).unwrap();
    format!("file://{}", file.display())
}

/// Makes the verification certificate `verification.pem` for an authority of the folder.
#[track_caller]
pub fn verification(aws: &Aws, certificates: &Certificates, authority: &str) {
    let code = aws.iot(&["get-registration-code"]);
    let subject = format!("/CN={}", code["registrationCode"].as_str().unwrap_or_default());
    certificates.signed("verification", &subject, authority, KeyKind::P256);
}

/// Registers an authority with this template; returns the id of its certificate.
#[track_caller]
#[must_use]
pub fn register(aws: &Aws, certificates: &Certificates, authority: &str, template: &str) -> String {
    verification(aws, certificates, authority);
    let config = registration_config(certificates, template);
    let answer = aws.iot(&[
        "register-ca-certificate",
        "--ca-certificate",
        &certificates.url(authority, "pem"),
        "--verification-certificate",
        &certificates.url("verification", "pem"),
        "--set-as-active",
        "--allow-auto-registration",
        "--registration-config",
        &config,
    ]);
    answer["certificateId"].as_str().expect("an id").to_owned()
}
