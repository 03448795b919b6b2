//! Requests and answers of the provisioning messages, in JSON and in CBOR.
//!
//! They are those of the AWS IoT developer guide ("Device provisioning MQTT API"). An answer may hold a private key, so it
//! is written into memory that is wiped, and sent as a message that is.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker::Message;
use broker::mqtt::v5::{Place, Properties, Property};
use broker::mqtt::{QoS, TopicName};
use fleet::{Exception, Refusal};
use identity::{CertificateId, Explained as _, ThingName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::api::ApiFault;
use crate::limits::{CBOR_DEPTH_MAX, CLAIM_ANSWER_BYTES};

/// The topic of a request, taken apart.
pub(super) struct Topic<'a> {
    request: &'a Message,
    wish: Wish<'a>,
    format: Format,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish<'a> {
    /// CreateKeysAndCertificate
    Create,
    /// CreateCertificateFromCsr
    CreateFromRequest,
    /// RegisterThing, by this template
    Provision(&'a str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Cbor,
}

/// What a device is told.
pub(super) enum Answer {
    /// A certificate.
    Created(Created),
    /// What became of it.
    Provisioned(Provisioned),
}

/// A certificate that awaits its device, and what belongs to it.
pub(super) struct Created {
    pub(super) id: CertificateId,
    pub(super) pem: String,
    pub(super) private_key: Option<Zeroizing<String>>,
    pub(super) token: Zeroizing<String>,
}

/// What a template made.
pub(super) struct Provisioned {
    pub(super) thing: Option<ThingName>,
    pub(super) device_configuration: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreatedAnswer<'a> {
    certificate_id: String,
    certificate_pem: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<&'a str>,
    certificate_ownership_token: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProvisionedAnswer<'a> {
    device_configuration: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thing_name: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rejected<'a> {
    status_code: u16,
    error_code: &'a str,
    error_message: String,
}

/// CreateKeysAndCertificate: nothing is asked beyond the topic.
#[derive(Default, Deserialize)]
pub(super) struct CreateRequest {}

/// CreateCertificateFromCsr.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct FromRequest {
    pub(super) certificate_signing_request: String,
}

/// RegisterThing.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RegisterThing {
    pub(super) certificate_ownership_token: String,
    pub(super) parameters: Option<BTreeMap<String, String>>,
}

impl<'a> Topic<'a> {
    /// The topic of a request; the broker lets nothing else come here.
    pub(super) fn of(request: &'a Message) -> Option<Self> {
        let (rest, format) = request.topic().rsplit_once('/')?;
        let wish = match rest.strip_prefix("$aws/")? {
            "certificates/create" => Wish::Create,
            "certificates/create-from-csr" => Wish::CreateFromRequest,
            other => Wish::Provision(
                other
                    .strip_prefix("provisioning-templates/")?
                    .strip_suffix("/provision")?,
            ),
        };
        let format = match format {
            "json" => Format::Json,
            "cbor" => Format::Cbor,
            _ => return None,
        };
        Some(Self {
            request,
            wish,
            format,
        })
    }

    pub(super) fn wish(&self) -> Wish<'a> {
        self.wish
    }

    /// What the request says. An empty one says nothing.
    pub(super) fn read<T: DeserializeOwned + Default>(&self) -> Result<T, ApiFault> {
        let payload = self.request.payload();
        if payload.is_empty() {
            return Ok(T::default());
        }
        let wrong = |why: String| {
            ApiFault::invalid(
                "cloud.claim.payload",
                format!("the payload cannot be read: {why}"),
            )
        };
        match self.format {
            Format::Json => serde_json::from_slice(payload).map_err(|error| wrong(error.to_string())),
            Format::Cbor => read_cbor(payload).map_err(wrong),
        }
    }

    /// The answer to a request that was done.
    pub(super) fn accepted(&self, answer: &Answer) -> Option<Arc<Message>> {
        match answer {
            Answer::Created(created) => self.message("accepted", &created.answer()),
            Answer::Provisioned(provisioned) => self.message(
                "accepted",
                &ProvisionedAnswer {
                    device_configuration: &provisioned.device_configuration,
                    thing_name: provisioned.thing.as_ref().map(ThingName::as_str),
                },
            ),
        }
    }

    /// The answer to a request that was not done.
    pub(super) fn rejected(&self, fault: &ApiFault) -> Option<Arc<Message>> {
        let (status_code, error_code) = rendered(fault);
        let error_message = fault.to_string();
        self.message(
            "rejected",
            &Rejected {
                status_code,
                error_code,
                error_message,
            },
        )
    }

    /// A message to who asked. Correlation data is the asker's own and goes back as it came (MQTT 5.0, 4.10).
    fn message(&self, kind: &str, answer: &impl Serialize) -> Option<Arc<Message>> {
        let topic = format!("{}/{kind}", self.request.topic());
        let payload = self.write(answer)?;
        let mut properties = Vec::new();
        for property in self.request.properties() {
            if matches!(property, Property::CorrelationData(_)) {
                Properties::append(&mut properties, property).ok()?;
            }
        }
        let properties = Properties::new(&properties, Place::Publish).ok()?;
        let (tenant, topic) = (*self.request.tenant(), TopicName::new(&topic).ok()?);
        Message::with_properties(tenant, topic, &payload, QoS::AtLeastOnce, properties, None)
            .ok()
            .map(Message::private)
    }

    fn write(&self, answer: &impl Serialize) -> Option<Zeroizing<Vec<u8>>> {
        let mut payload = Zeroizing::new(Vec::with_capacity(CLAIM_ANSWER_BYTES));
        match self.format {
            Format::Json => serde_json::to_writer(&mut *payload, answer).ok()?,
            Format::Cbor => ciborium::into_writer(answer, &mut *payload).ok()?,
        }
        Some(payload)
    }
}

impl Created {
    fn answer(&self) -> CreatedAnswer<'_> {
        CreatedAnswer {
            certificate_id: self.id.to_string(),
            certificate_pem: &self.pem,
            private_key: self.private_key.as_ref().map(|key| key.as_str()),
            certificate_ownership_token: &self.token,
        }
    }
}

fn read_cbor<T: DeserializeOwned>(payload: &[u8]) -> Result<T, String> {
    let mut rest = payload;
    let read = ciborium::de::from_reader_with_recursion_limit(&mut rest, CBOR_DEPTH_MAX);
    let read = read.map_err(|error: ciborium::de::Error<_>| error.to_string())?;
    match rest.is_empty() {
        true => Ok(read),
        false => Err("something follows the CBOR value".to_owned()),
    }
}

/// Status and word of a fault: the one table of this edge.
fn rendered(fault: &ApiFault) -> (u16, &'static str) {
    match fault {
        ApiFault::Refused(refusal) => refused(refusal),
        ApiFault::Busy(_) | ApiFault::Throttled { .. } => (429, "Throttled"),
        ApiFault::Denied(_) | ApiFault::Unauthenticated(_) | ApiFault::Forbidden { .. } => {
            (403, "AccessDenied")
        }
        ApiFault::UnknownOperation { .. } | ApiFault::WrongMethod { .. } | ApiFault::TooLarge { .. } => {
            (400, "InvalidRequest")
        }
        ApiFault::Failed(_) | ApiFault::Unconfirmed => (500, "InternalError"),
    }
}

fn refused(refusal: &Refusal) -> (u16, &'static str) {
    match refusal.code() {
        code if code.starts_with("fleet.claim.token") => return (400, "InvalidCertificateOwnershipToken"),
        "fleet.claim.outstanding" => return (429, "Throttled"),
        "fleet.request" => return (400, "InvalidCSR"),
        "cloud.claim.payload" => return (400, "InvalidPayload"),
        "fleet.template.parameter" | "fleet.register_thing.parameters" => return (400, "InvalidParameters"),
        _ => {}
    }
    match refusal.exception() {
        Exception::Unauthorized => (403, "AccessDenied"),
        Exception::ResourceNotFound => (404, "ResourceNotFound"),
        Exception::ConflictingResourceUpdate => (409, "ConflictingResourceUpdate"),
        Exception::LimitExceeded => (410, "LimitExceeded"),
        Exception::ResourceRegistrationFailure => (400, "ResourceRegistrationFailure"),
        _ => (400, "InvalidRequest"),
    }
}

#[cfg(test)]
mod tests {
    use identity::Tenant;

    use super::*;

    fn request(topic: &str, payload: &[u8]) -> Arc<Message> {
        let mut properties = Vec::new();
        for property in [
            Property::CorrelationData(b"c"),
            Property::ResponseTopic(TopicName::new("elsewhere").unwrap()),
            Property::ContentType("t"),
        ] {
            Properties::append(&mut properties, property).unwrap();
        }
        let properties = Properties::new(&properties, Place::Publish).unwrap();
        let topic = TopicName::new(topic).unwrap();
        Message::with_properties(
            Tenant::default(),
            topic,
            payload,
            QoS::AtMostOnce,
            properties,
            None,
        )
        .unwrap()
    }

    #[test]
    fn topics_are_taken_apart() {
        let check = |topic: &str, expected: Option<(Wish<'_>, Format)>| {
            let message = request(topic, b"");
            let found = Topic::of(&message).map(|topic| (topic.wish, topic.format));
            assert_eq!(found, expected, "{topic}");
        };
        check(
            "$aws/certificates/create/json",
            Some((Wish::Create, Format::Json)),
        );
        check(
            "$aws/certificates/create-from-csr/cbor",
            Some((Wish::CreateFromRequest, Format::Cbor)),
        );
        check(
            "$aws/provisioning-templates/a-b_1/provision/json",
            Some((Wish::Provision("a-b_1"), Format::Json)),
        );
        check("$aws/certificates/create/xml", None);
        check("dt/x/json", None);
    }

    #[test]
    fn both_formats_say_the_same() {
        let body = r#"{"certificateOwnershipToken":"t","parameters":{"Serial":"1"},"more":[1]}"#;
        let value: serde_json::Value = serde_json::from_str(body).unwrap();
        let mut cbor = Vec::new();
        ciborium::into_writer(&value, &mut cbor).unwrap();
        for (format, payload) in [("json", body.as_bytes()), ("cbor", &cbor)] {
            let message = request(
                &format!("$aws/provisioning-templates/t/provision/{format}"),
                payload,
            );
            let read: RegisterThing = Topic::of(&message).unwrap().read().unwrap();
            assert_eq!(read.certificate_ownership_token, "t");
            assert_eq!(read.parameters.unwrap()["Serial"], "1");
        }
    }

    #[test]
    fn what_is_not_of_its_format_is_refused() {
        let deep = vec![0x81; 4096];
        let rows: [(&str, &[u8]); 6] = [
            ("json", b"{"),
            ("json", b"{\"parameters\":{\"a\":1}}"),
            ("json", b"[]x"),
            ("cbor", b"{}"),
            ("cbor", b"\xa0\xa0"),
            ("cbor", &deep),
        ];
        for (format, payload) in rows {
            let message = request(
                &format!("$aws/provisioning-templates/t/provision/{format}"),
                payload,
            );
            let fault = Topic::of(&message)
                .unwrap()
                .read::<RegisterThing>()
                .err()
                .unwrap();
            assert_eq!(rendered(&fault), (400, "InvalidPayload"), "{format} {fault}");
        }
    }

    #[test]
    fn answers_go_back_with_the_askers_correlation_data_alone() {
        let message = request("$aws/certificates/create/json", b"{}");
        let topic = Topic::of(&message).unwrap();
        let answer = topic.rejected(&ApiFault::Busy("b")).unwrap();
        assert_eq!(answer.topic(), "$aws/certificates/create/json/rejected");
        let said: serde_json::Value = serde_json::from_slice(answer.payload()).unwrap();
        let expected = serde_json::json!({"statusCode": 429, "errorCode": "Throttled", "errorMessage": "b; try again in a moment"});
        assert_eq!(said, expected);
        assert_eq!(answer.properties().count(), 1);
        assert!(answer.is_private());
    }

    #[test]
    fn refusals_have_the_words_of_the_device() {
        let check = |exception, code, expected| {
            assert_eq!(
                rendered(&Refusal::new(exception, code, "r").into()),
                expected,
                "{code}"
            );
        };
        check(
            Exception::Unauthorized,
            "fleet.claim.token_unknown",
            (400, "InvalidCertificateOwnershipToken"),
        );
        check(
            Exception::Unauthorized,
            "fleet.hook.denied",
            (403, "AccessDenied"),
        );
        check(Exception::InvalidRequest, "fleet.request", (400, "InvalidCSR"));
        check(
            Exception::LimitExceeded,
            "fleet.claim.outstanding",
            (429, "Throttled"),
        );
        check(
            Exception::ResourceNotFound,
            "fleet.template.missing",
            (404, "ResourceNotFound"),
        );
        assert_eq!(
            rendered(&ApiFault::Failed("secret".into())),
            (500, "InternalError")
        );
    }
}
