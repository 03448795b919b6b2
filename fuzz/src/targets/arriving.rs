//! Lines of files that bring many things at once, and what devices ask with a claim.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use broker::Message;
use broker::mqtt::v5::Properties;
use broker::mqtt::{QoS, TopicName};
use fleet::audit::Actor;
use fleet::certificate::{Registration, examine_request};
use fleet::import::Line;
use fleet::register_thing::Asked;
use fleet::template::{CertificatePlan, Template};
use fleet::{Call, Profile};
use identity::{Tenant, UnixMillis};
use serde_json::Value;

/// A line of `fleet import`: what is taken of it, an export writes so that it is taken again.
pub(super) fn import_line(bytes: &[u8]) {
    if let Some(line) = read_line(bytes) {
        let written = cloud::api::write_line(&line).to_string();
        assert_eq!(read_line(written.as_bytes()), Some(line));
    }
}

/// The line, if it is one.
pub(crate) fn read_line(bytes: &[u8]) -> Option<Line> {
    let call = Call {
        tenant: Tenant::default(),
        now: UnixMillis::from_seconds(1_800_000_000),
        actor: Actor::Operator,
        profile: Profile::Aws,
    };
    cloud::api::read_line(&call, std::str::from_utf8(bytes).ok()?).ok()
}

/// A template that takes every kind of certificate that a line may bring.
fn template(certificate: &str) -> Arc<Template> {
    let body = format!(
        r#"{{"Parameters": {{"Name": {{"Type": "String"}}, "Room": {{"Type": "String", "Default": "hall"}}, "Bring": {{"Type": "String"}},
            "Ca": {{"Type": "String", "Default": ""}}}},
            "Resources": {{
                "thing": {{"Type": "AWS::IoT::Thing", "Properties": {{"ThingName": {{"Fn::Join": ["-", ["lamp", {{"Ref": "Name"}}]]}},
                    "AttributePayload": {{"room": {{"Ref": "Room"}}}}}}}},
                "certificate": {{"Type": "AWS::IoT::Certificate", "Properties": {{{certificate}, "Status": "ACTIVE"}}}}}}}}"#
    );
    Arc::new(Template::parse(&body).expect("a good template"))
}

static TEMPLATES: LazyLock<[Arc<Template>; 3]> = LazyLock::new(|| {
    [
        template(r#""CertificateId": {"Ref": "Bring"}"#),
        template(r#""CertificateSigningRequest": {"Ref": "Bring"}"#),
        template(r#""CertificatePem": {"Ref": "Bring"}, "CACertificatePem": {"Ref": "Ca"}"#),
    ]
});

/// A line of a registration task.
pub(super) fn task_line(bytes: &[u8]) {
    for certificate in brought(bytes).into_iter().flatten() {
        match certificate {
            CertificatePlan::Id(_) => {}
            CertificatePlan::Request(pem) => drop(examine_request(&pem)),
            CertificatePlan::Pem { certificate, ca } => {
                drop(Registration::parse(&certificate, ca.as_deref(), None, true));
            }
        }
    }
}

/// What the line brings to each template.
pub(crate) fn brought(bytes: &[u8]) -> Option<Vec<CertificatePlan>> {
    let parameters: BTreeMap<String, String> = serde_json::from_slice(bytes).ok()?;
    let fill = |template| Asked::fill(template, parameters.clone()).ok();
    let asked = TEMPLATES.iter().filter_map(fill);
    Some(asked.filter_map(|asked| asked.certificate().cloned()).collect())
}

/// What devices may ask; the first byte chooses, in JSON (even) or in CBOR.
const WISHES: [&str; 3] = [
    "$aws/certificates/create",
    "$aws/certificates/create-from-csr",
    "$aws/provisioning-templates/lamps/provision",
];

/// A request of a device without an identity of its own: refused in its own format, or read.
pub(super) fn claim(bytes: &[u8]) {
    let Some((choice, payload)) = bytes.split_first() else {
        return;
    };
    let wish = WISHES[usize::from(choice / 2) % WISHES.len()];
    let format = if choice % 2 == 0 { "json" } else { "cbor" };
    let topic = format!("{wish}/{format}");
    let topic = TopicName::new(&topic).expect("a topic");
    let properties = Properties::default();
    let asked = Message::with_properties(
        Tenant::default(),
        topic,
        payload,
        QoS::AtLeastOnce,
        properties,
        None,
    );
    let Ok(asked) = asked else { return };
    let Some(answer) = cloud::refusal_of_claim(&asked) else {
        return;
    };
    assert_eq!(answer.topic(), format!("{}/rejected", asked.topic()));
    let said: Value = match format {
        "json" => serde_json::from_slice(answer.payload()).expect("JSON"),
        _ => ciborium::from_reader(answer.payload()).expect("CBOR"),
    };
    assert_eq!(said["statusCode"], 400);
}
