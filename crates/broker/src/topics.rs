//! Which topics and filters a client may name at all, before any policy is asked: the broker's limits and its reserved topics
//! (AWS IoT developer guide, "Reserved topics").

use mqtt::{QoS, TopicFilter, TopicName, Will};

use crate::limits::Limits;
use crate::node::Config;
use crate::refusal::Reason;
use crate::requests::{is_for_answers, is_request};

pub(crate) const EXACTLY_ONCE: &str = "QoS 2 is not supported, use QoS 0 or 1";

/// Reserved topics that clients may subscribe to: this prefix and what is beneath it.
const EVENTS: &str = "$aws/events/";

pub(crate) fn check_will(will: &Will<'_>, config: &Config) -> Result<(), Reason> {
    if will.qos == QoS::ExactlyOnce && !config.switches.exactly_once {
        return Err(Reason::NotServed(EXACTLY_ONCE));
    }
    if is_request(will.topic.as_str()) {
        return Err(Reason::ReservedTopic);
    }
    check_message(will.topic, will.payload, config)
}

pub(crate) fn check_message(topic: TopicName<'_>, payload: &[u8], config: &Config) -> Result<(), Reason> {
    let limits = &config.limits;
    check_limit("PAYLOAD_BYTES_MAX", payload.len(), limits.payload_bytes_max)?;
    check_text(topic.as_str(), limits)?;
    match is_reserved(topic.as_str(), config) && !is_request(topic.as_str()) {
        true => Err(Reason::ReservedTopic),
        false => Ok(()),
    }
}

/// What a filter may be; of a shared one, group and filter are each held to their own limit (AWS IoT Core quotas, "Shared
/// Subscriptions").
pub(crate) fn check_filter(filter: TopicFilter<'_>, config: &Config) -> Result<(), Reason> {
    let limits = &config.limits;
    let mut text = filter.as_str();
    if let Some(rest) = text.strip_prefix("$share/") {
        let (group, inner) = rest.split_once('/').ok_or(Reason::Rule(GROUP))?;
        if group.is_empty() || group.contains(['+', '#']) || inner.is_empty() {
            return Err(Reason::Rule(GROUP));
        }
        check_limit("SHARE_NAME_BYTES_MAX", group.len(), limits.share_name_bytes_max)?;
        text = inner;
    }
    check_text(text, limits)?;
    // An answer has one receiver, so nobody shares it.
    let hears_answers = text.len() == filter.as_str().len() && is_for_answers(text);
    if text.starts_with(EVENTS) || hears_answers || !is_reserved(text, config) {
        Ok(())
    } else {
        Err(Reason::ReservedTopic)
    }
}

fn is_reserved(text: &str, config: &Config) -> bool {
    match config.switches.dollar_topics {
        true => ["$aws/", "$SYS/", "$share/"]
            .iter()
            .any(|own| text.starts_with(own)),
        false => text.starts_with('$'),
    }
}

/// What is wrong with a shared subscription.
const GROUP: &str =
    "a shared subscription is $share/GROUP/FILTER, its group without wildcards [MQTT-4.8.2-1] [MQTT-4.8.2-2]";

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

    const AWS: Config = Config::AWS;

    #[test]
    fn a_publish_at_each_limit_and_one_beyond() {
        let check = |topic: &str, payload_bytes: usize, config: &Config, expected: &str| {
            let topic = TopicName::new(topic).unwrap();
            let payload = vec![0; payload_bytes];
            let result = check_message(topic, &payload, config);
            assert_eq!(code(result), expected, "{topic}");
        };
        check("a", 131_072, &AWS, "");
        check("a", 131_073, &AWS, "broker.limit");
        check(&"x".repeat(256), 0, &AWS, "");
        check(&"x".repeat(257), 0, &AWS, "broker.limit");
        check("1/2/3/4/5/6/7/8", 0, &AWS, "");
        check("1/2/3/4/5/6/7/8/", 0, &AWS, "broker.limit");
        check("$aws/things/x/shadow/update", 0, &AWS, "broker.topic.reserved");
        check("$aws/certificates/create/json", 0, &AWS, "");
        check("$aws/certificates/create/json", 0, &Config::SELF_HOST, "");
        check(
            "$aws/certificates/create/json/accepted",
            0,
            &AWS,
            "broker.topic.reserved",
        );
        check("a$", 0, &AWS, "");
        check("$mine/a", 0, &AWS, "broker.topic.reserved");
        check("$mine/a", 0, &Config::SELF_HOST, "");
        check("$SYS/a", 0, &Config::SELF_HOST, "broker.topic.reserved");
    }

    #[test]
    fn a_will_has_the_limits_of_a_publish() {
        let check = |qos, config: &Config, expected: &str| {
            let will = Will {
                topic: TopicName::new("a").unwrap(),
                payload: b"",
                qos,
                retain: true,
            };
            assert_eq!(code(check_will(&will, config)), expected);
        };
        check(QoS::AtLeastOnce, &AWS, "");
        check(QoS::ExactlyOnce, &AWS, "broker.not_served");
        check(QoS::ExactlyOnce, &Config::SELF_HOST, "");
    }

    #[test]
    fn filters_keep_to_the_limits_and_off_reserved_topics() {
        let check = |filter: &str, expected: &str| {
            assert_eq!(
                code(check_filter(TopicFilter::new(filter).unwrap(), &AWS)),
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
        check("$aws/certificates/create/json/accepted", "");
        check("$aws/provisioning-templates/+/provision/json/#", "");
        check(
            "$share/g/$aws/certificates/create/json/accepted",
            "broker.topic.reserved",
        );
        check("$share/g/a", "");
        check(&format!("$share/{}/{}", "g".repeat(128), "x".repeat(256)), "");
        check(&format!("$share/{}/a", "g".repeat(129)), "broker.limit");
        check(&format!("$share/g/{}", "x".repeat(257)), "broker.limit");
        check("$share/g/$aws/#", "broker.topic.reserved");
        for not_shared in ["$share/g", "$share//a", "$share/g/", "$share/+/a"] {
            check(not_shared, "broker.rule");
        }
    }
}
