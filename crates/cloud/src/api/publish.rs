//! Publish: a message into the broker, by an API caller.
//!
//! It stands between the wire and the shards. The caller's access key may publish anywhere that is not reserved. QoS 1 is
//! answered when the message is durable for every session that waits for it, and a retained one when it is durable itself.

use broker::Message;
use mqtt::{QoS, TopicName};
use serde::Deserialize;

use super::operation::Input;
use super::render::{Answer, nothing};
use super::{Request, fault::ApiFault};

#[derive(Deserialize)]
struct Publish {
    topic: String,
    qos: Option<i64>,
    #[serde(default)]
    retain: bool,
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
    if request.body.len() > broker::limits::PAYLOAD_BYTES_MAX {
        return Err(ApiFault::TooLarge {
            bytes_max: broker::limits::PAYLOAD_BYTES_MAX,
        });
    }
    let message = Message::new(request.call.tenant, topic, request.body, qos)
        .map_err(|error| wrong("cloud.api.topic", error.to_string()))?;
    let message = match input.retain {
        true => Message::retained(message),
        false => message,
    };
    request.control.shards.publish(message).await?;
    Ok(nothing())
}

/// The topic rules of AWS ("Message broker and protocol limits and quotas").
fn check_topic(text: &str) -> Result<TopicName<'_>, ApiFault> {
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
