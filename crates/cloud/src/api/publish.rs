//! Publish: a message into the broker, by an API caller.
//!
//! It stands between the wire and the shards. An access key may publish anywhere that is not reserved, a device where its
//! policies say so. QoS 1 is
//! answered when the message is durable for every session that waits for it, and a retained one when it is durable itself.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use broker::{Limits, Message};
use fleet::record::Uuid;
use mqtt::v5::{Place, Properties, Property};
use mqtt::{QoS, TopicName};
use policy::{Action, Resource};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::operation::Input;
use super::render::{Answer, nothing};
use super::{Request, fault::ApiFault};
use crate::limits::PROPERTIES_BYTES_MAX;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Publish {
    topic: String,
    qos: Option<i64>,
    #[serde(default)]
    retain: bool,
    message_expiry: Option<i64>,
    #[serde(flatten)]
    about: About,
}

/// What is said about a message to receivers of MQTT 5.0.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct About {
    content_type: Option<String>,
    response_topic: Option<String>,
    /// JSON in Base64: a list of objects with one member each.
    user_properties: Option<String>,
    payload_format_indicator: Option<String>,
    /// In Base64.
    correlation_data: Option<String>,
}

/// Publish.
pub(super) async fn publish(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: Publish = input.read()?;
    let wrong = |code, reason: String| ApiFault::invalid(code, reason);
    let qos = match input.qos {
        None | Some(0) => QoS::AtMostOnce,
        Some(1) => QoS::AtLeastOnce,
        Some(other) => {
            return Err(wrong(
                "cloud.api.qos",
                format!("a message cannot be published at QoS {other}: use 0 or 1"),
            ));
        }
    };
    let topic = check_topic(&input.topic)?;
    check_payload(request)?;
    request.authorize(Action::Publish, Resource::topic(&input.topic))?;
    if input.retain {
        request.authorize(Action::RetainPublish, Resource::topic(&input.topic))?;
    }
    let expiry = input.expiry_seconds(&request.control.plan.broker.limits)?;
    let message = compose(request, topic, qos, &input.about, expiry)?;
    let message = match input.retain {
        true => Message::retained(message),
        false => message,
    };
    request.control.shards.publish(message).await?;
    Ok(match request.device {
        None => nothing(),
        Some((_, trace)) => json!({ "message": "OK", "traceId": Uuid(trace.0).to_string() }),
    })
}

/// A message with the body of the request.
pub(super) fn compose(
    request: &Request<'_>,
    topic: TopicName<'_>,
    qos: QoS,
    about: &About,
    expiry_seconds: Option<u32>,
) -> Result<Arc<Message>, ApiFault> {
    let (tenant, body) = (request.call.tenant, request.body);
    let properties = about.properties()?;
    let properties =
        Properties::new(&properties, Place::Publish).map_err(|error| wrong(error.to_string()))?;
    Message::with_properties(tenant, topic, body, qos, properties, expiry_seconds)
        .map_err(|error| ApiFault::invalid("cloud.api.topic", error.to_string()))
}

/// The payload rule of AWS.
pub(super) fn check_payload(request: &Request<'_>) -> Result<(), ApiFault> {
    match request.body.len() > broker::limits::PAYLOAD_BYTES_MAX {
        true => Err(ApiFault::TooLarge {
            bytes_max: broker::limits::PAYLOAD_BYTES_MAX,
        }),
        false => Ok(()),
    }
}

impl Publish {
    /// How long the message lives, within what the broker allows.
    fn expiry_seconds(&self, limits: &Limits) -> Result<Option<u32>, ApiFault> {
        let Some(seconds) = self.message_expiry else {
            return Ok(None);
        };
        if seconds < 1 {
            return Err(wrong("messageExpiry is at least 1 second"));
        }
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        Ok(Some(seconds.min(limits.message_expiry_seconds_max)))
    }
}

impl About {
    /// As it stands in a packet.
    fn properties(&self) -> Result<Vec<u8>, ApiFault> {
        let mut out = Vec::new();
        let mut add = |property: Property<'_>| {
            Properties::append(&mut out, property)
                .map_err(|error| wrong(format!("a property is too long: {error}")))
        };
        match self.payload_format_indicator.as_deref() {
            None => {}
            Some("UTF8_DATA") => add(Property::PayloadIsText(true))?,
            Some("UNSPECIFIED_BYTES") => add(Property::PayloadIsText(false))?,
            Some(_) => {
                return Err(wrong("payloadFormatIndicator is UTF8_DATA or UNSPECIFIED_BYTES"));
            }
        }
        if let Some(content_type) = &self.content_type {
            add(Property::ContentType(content_type))?;
        }
        if let Some(topic) = &self.response_topic {
            add(Property::ResponseTopic(check_topic(topic)?))?;
        }
        if let Some(text) = &self.correlation_data {
            let bytes = STANDARD.decode(text);
            let bytes = bytes.map_err(|_| wrong("correlationData is not Base64"))?;
            add(Property::CorrelationData(&bytes))?;
        }
        for (name, value) in self.user_properties()? {
            add(Property::UserProperty(&name, &value))?;
        }
        match out.len() {
            0..=PROPERTIES_BYTES_MAX => Ok(out),
            _ => Err(wrong(format!(
                "the properties are longer than {PROPERTIES_BYTES_MAX} bytes"
            ))),
        }
    }

    fn user_properties(&self) -> Result<Vec<(String, String)>, ApiFault> {
        let malformed =
            || wrong("userProperties is not a JSON list of objects with one text each, in Base64");
        let Some(text) = &self.user_properties else {
            return Ok(Vec::new());
        };
        let json = STANDARD.decode(text).map_err(|_| malformed())?;
        // Who hands an SDK a text of JSON instead of the list has it encoded as JSON once more.
        let list = match serde_json::from_slice(&json).map_err(|_| malformed())? {
            Value::String(text) => serde_json::from_str(&text).map_err(|_| malformed())?,
            list => list,
        };
        let list: Vec<Map<String, Value>> = serde_json::from_value(list).map_err(|_| malformed())?;
        let pairs = list.into_iter().flatten().map(|(name, value)| match value {
            Value::String(value) => Ok((name, value)),
            _ => Err(malformed()),
        });
        pairs.collect()
    }
}

fn wrong(reason: impl Into<String>) -> ApiFault {
    ApiFault::invalid("cloud.api.properties", reason)
}

/// The topic rules of AWS ("Message broker and protocol limits and quotas").
pub(super) fn check_topic(text: &str) -> Result<TopicName<'_>, ApiFault> {
    use broker::limits::{TOPIC_BYTES_MAX, TOPIC_SLASHES_MAX};
    let wrong = |reason: String| ApiFault::invalid("cloud.api.topic", reason);
    let topic =
        TopicName::new(text).map_err(|error| wrong(format!("the topic cannot be published to: {error}")))?;
    if text.len() > TOPIC_BYTES_MAX {
        return Err(wrong(format!("the topic is longer than {TOPIC_BYTES_MAX} bytes")));
    }
    if text.matches('/').count() > TOPIC_SLASHES_MAX {
        return Err(wrong(format!(
            "the topic has more than {TOPIC_SLASHES_MAX} slashes"
        )));
    }
    if text.starts_with('$') {
        return Err(wrong("topics that begin with $ are reserved".into()));
    }
    Ok(topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_held_to_the_rules_of_aws() {
        for good in ["a", "a/b/c/d/e/f/g/h", &"x".repeat(256)] {
            assert!(check_topic(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a/#",
            "+",
            "$aws/things",
            "a/b/c/d/e/f/g/h/i",
            &"x".repeat(257),
        ] {
            assert!(check_topic(bad).is_err(), "{bad}");
        }
    }
}
