//! One device by hand: a key born in its token becomes an identity at the cloud, by the AWS API alone.
//!
//! key in the token → request signed by the token → CreateCertificateFromCsr → certificate to the key
//! → thing, policy, attachments. Used by `device enroll` and by the demo; works against any endpoint that speaks the API.

use device::{DeviceToken, Labels, enrolment};
use identity::{certificate::Certificate, name::Name, request};
use serde_json::json;

use super::registration::text;
use crate::{
    aws::{CallError, Client, percent_encoded},
    exit::{Context, Failure},
};

/// What is to be enrolled, and as what.
pub(crate) struct Enrolment<'a> {
    /// The thing to make and attach.
    pub(crate) thing: &'a str,
    /// The policy to attach; made with least rights if it does not exist.
    pub(crate) policy: &'a str,
    /// What the objects are called in the token.
    pub(crate) labels: &'a Labels,
    /// The root that servers must have, DER: becomes the device's trust anchor.
    pub(crate) server_root: &'a [u8],
    /// Replace an identity that the token already holds.
    pub(crate) overwrite: bool,
}

/// What came of it.
pub(crate) struct Enrolled {
    /// The certificate's id at the cloud.
    pub(crate) certificate_id: String,
    /// Its ARN.
    pub(crate) certificate_arn: String,
}

/// Enrols the device with this token. The certificate is in the token before anything at the cloud refers to it.
pub(crate) fn enrol<T: DeviceToken>(
    token: &T,
    client: &mut Client,
    enrolment: &Enrolment<'_>,
) -> Result<Enrolled, Failure> {
    let subject = Name::with_common_name(enrolment.thing)
        .refused(|| format!("{} cannot be a common name", enrolment.thing))?;
    let labels = enrolment.labels;
    let csr = enrolment::request(token, labels, &subject, enrolment.overwrite).fault(|| {
        "the token did not give a certification request (--overwrite replaces an identity)".to_owned()
    })?;
    let answer = client
        .call(
            "POST",
            "/certificates?setAsActive=true",
            &[],
            Some(&json!({ "certificateSigningRequest": request::encode_pem(&csr) })),
        )
        .refused(|| "the cloud did not certify the device's key".to_owned())?;
    let certificate = Certificate::from_pem(&text(&answer, "certificatePem"))
        .refused(|| "the cloud's answer holds no certificate that can be read".to_owned())?;
    enrolment::store(token, labels, certificate.der(), enrolment.server_root)
        .fault(|| "the token did not take the certificate".to_owned())?;
    let enrolled = Enrolled {
        certificate_id: text(&answer, "certificateId"),
        certificate_arn: text(&answer, "certificateArn"),
    };
    attach(client, enrolment, &enrolled)
        .refused(|| format!("could not attach {} and {}", enrolment.thing, enrolment.policy))?;
    Ok(enrolled)
}

fn attach(client: &mut Client, enrolment: &Enrolment<'_>, enrolled: &Enrolled) -> Result<(), CallError> {
    let (thing, policy) = (
        percent_encoded(enrolment.thing),
        percent_encoded(enrolment.policy),
    );
    client.call("POST", &format!("/things/{thing}"), &[], Some(&json!({})))?;
    let document = json!({ "policyDocument": least_rights() });
    match client.call("POST", &format!("/policies/{policy}"), &[], Some(&document)) {
        Err(error) if error.exception() != Some("ResourceAlreadyExistsException") => return Err(error),
        _ => {}
    }
    let target = json!({ "target": enrolled.certificate_arn });
    client.call("PUT", &format!("/target-policies/{policy}"), &[], Some(&target))?;
    let principal = [("x-amzn-principal", enrolled.certificate_arn.as_str())];
    client.call("PUT", &format!("/things/{thing}/principals"), &principal, None)?;
    Ok(())
}

/// The policy of a device that may be itself, say what it measured, and hear its commands; nothing else.
pub(crate) fn least_rights() -> String {
    let arn = |resource: &str| format!("arn:aws:iot:*:*:{resource}");
    let thing = "${iot:Connection.Thing.ThingName}";
    json!({
        "Version": "2012-10-17",
        "Statement": [
            { "Effect": "Allow", "Action": "iot:Connect", "Resource": arn(&format!("client/{thing}")) },
            { "Effect": "Allow", "Action": "iot:Publish", "Resource": arn(&format!("topic/dt/{thing}/*")) },
            { "Effect": "Allow", "Action": "iot:Subscribe", "Resource": arn(&format!("topicfilter/cmd/{thing}/*")) },
            { "Effect": "Allow", "Action": "iot:Receive", "Resource": arn(&format!("topic/cmd/{thing}/*")) },
        ],
    })
    .to_string()
}

/// The template by which the demo's devices are provisioned: thing named by the certificate's common name, least rights.
pub(crate) fn template() -> String {
    json!({
        "Parameters": {
            "AWS::IoT::Certificate::CommonName": { "Type": "String" },
            "AWS::IoT::Certificate::Id": { "Type": "String" },
        },
        "Resources": {
            "thing": { "Type": "AWS::IoT::Thing", "Properties": { "ThingName": { "Ref": "AWS::IoT::Certificate::CommonName" } } },
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": { "CertificateId": { "Ref": "AWS::IoT::Certificate::Id" }, "Status": "ACTIVE" },
            },
            "policy": { "Type": "AWS::IoT::Policy", "Properties": { "PolicyDocument": least_rights() } },
        },
    })
    .to_string()
}
