//! Which topics and filters a client may name at all, before any policy is asked: the broker's limits and its reserved topics
//! (AWS IoT developer guide, "Reserved topics").

use mqtt::{QoS, TopicFilter, TopicName, Will};

use crate::limits::Limits;
use crate::refusal::Reason;

pub(crate) const RETAIN: &str = "retained messages are not served yet, publish with RETAIN 0";
pub(crate) const EXACTLY_ONCE: &str = "QoS 2 is not supported, use QoS 0 or 1";
pub(crate) const SHARED: &str = "shared subscriptions are not served yet, subscribe without $share";

/// Reserved topics that clients may subscribe to: this prefix and what is beneath it.
const EVENTS: &str = "$aws/events/";

pub(crate) fn check_will(will: &Will<'_>, limits: &Limits) -> Result<(), Reason> {
    if will.qos == QoS::ExactlyOnce {
        return Err(Reason::NotServed(EXACTLY_ONCE));
    }
    check_message(will.topic, will.payload, will.retain, limits)
}

pub(crate) fn check_message(
    topic: TopicName<'_>,
    payload: &[u8],
    retain: bool,
    limits: &Limits,
) -> Result<(), Reason> {
    check_limit("PAYLOAD_BYTES_MAX", payload.len(), limits.payload_bytes_max)?;
    check_text(topic.as_str(), limits)?;
    if topic.is_reserved() {
        return Err(Reason::ReservedTopic);
    }
    if retain {
        Err(Reason::NotServed(RETAIN))
    } else {
        Ok(())
    }
}

pub(crate) fn check_filter(filter: TopicFilter<'_>, limits: &Limits) -> Result<(), Reason> {
    let text = filter.as_str();
    if text.starts_with("$share/") {
        return Err(Reason::NotServed(SHARED));
    }
    check_text(text, limits)?;
    if text.starts_with('$') && !text.starts_with(EVENTS) {
        Err(Reason::ReservedTopic)
    } else {
        Ok(())
    }
}

fn check_text(text: &str, limits: &Limits) -> Result<(), Reason> {
    check_limit("TOPIC_BYTES_MAX", text.len(), limits.topic_bytes_max)?;
    let slashes = text.bytes().filter(|byte| *byte == b'/').count();
    check_limit("TOPIC_SLASHES_MAX", slashes, limits.topic_slashes_max)
}

pub(crate) fn check_limit(name: &'static str, found: usize, limit: usize) -> Result<(), Reason> {
    if found > limit {
        Err(Reason::Limit { name, found, limit })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use identity::Explained;

    use super::*;

    fn code(result: Result<(), Reason>) -> &'static str {
        result.map_or_else(|reason| reason.code(), |()| "")
    }

    #[test]
    fn a_publish_at_each_limit_and_one_beyond() {
        let check = |topic: &str, payload_bytes: usize, retain, expected: &str| {
            let topic = TopicName::new(topic).unwrap();
            let payload = vec![0; payload_bytes];
            let result = check_message(topic, &payload, retain, &Limits::AWS);
            assert_eq!(code(result), expected, "{topic}");
        };
        check("a", 131_072, false, "");
        check("a", 131_073, false, "broker.limit");
        check(&"x".repeat(256), 0, false, "");
        check(&"x".repeat(257), 0, false, "broker.limit");
        check("1/2/3/4/5/6/7/8", 0, false, "");
        check("1/2/3/4/5/6/7/8/", 0, false, "broker.limit");
        check("$aws/things/x/shadow/update", 0, false, "broker.topic.reserved");
        check("a$", 0, false, "");
        check("a", 0, true, "broker.not_served");
    }

    #[test]
    fn a_will_has_the_limits_of_a_publish() {
        let check = |qos, retain, expected: &str| {
            let will = Will {
                topic: TopicName::new("a").unwrap(),
                payload: b"",
                qos,
                retain,
            };
            assert_eq!(code(check_will(&will, &Limits::AWS)), expected);
        };
        check(QoS::AtLeastOnce, false, "");
        check(QoS::ExactlyOnce, false, "broker.not_served");
        check(QoS::AtMostOnce, true, "broker.not_served");
    }

    #[test]
    fn filters_keep_to_the_limits_and_off_reserved_topics() {
        let check = |filter: &str, expected: &str| {
            assert_eq!(
                code(check_filter(TopicFilter::new(filter).unwrap(), &Limits::AWS)),
                expected,
                "{filter}"
            );
        };
        check("#", "");
        check("1/2/3/4/5/6/7/#", "");
        check("1/2/3/4/5/6/7/8/#", "broker.limit");
        check(&"x".repeat(256), "");
        check(&"x".repeat(257), "broker.limit");
        check("$aws/events/presence/connected/+", "");
        check("$aws/events/#", "");
        check("$aws/#", "broker.topic.reserved");
        check("$aws/things/x/shadow/update/delta", "broker.topic.reserved");
        check("$SYS/#", "broker.topic.reserved");
        check("$share/g/a", "broker.not_served");
    }
}
