//! Messages that stay on their topics, for one tenant (MQTT 5.0 section 3.3.1.3).
//!
//! Every node has all of them, so that a subscription finds them where it is made; the payloads are shared. Of two messages on
//! one topic the one with the greater [`Stamp`](crate::message::Stamp) stays, so that nodes agree in whatever order they hear of
//! them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use identity::UnixMillis;
use mqtt::{Matching, TopicFilter, TopicName};

use crate::limits::{CLEARED_REMEMBERED_MILLIS, Limits};
use crate::message::Message;
use crate::refusal::Reason;

#[derive(Debug, Default)]
pub(crate) struct Retained {
    /// By topic, in order. An empty message marks a topic that was cleared, so that an older one does not come back.
    by_topic: BTreeMap<Arc<str>, Arc<Message>>,
    messages: usize,
    bytes: usize,
}

impl Retained {
    /// How many messages there are, and their bytes.
    pub(crate) const fn size(&self) -> (usize, usize) {
        (self.messages, self.bytes)
    }

    /// Whether there is room for one more.
    pub(crate) fn check_room(&self, topic: &str, payload: &[u8], limits: &Limits) -> Result<(), Reason> {
        let limit = |name, found, limit| match found > limit {
            true => Err(Reason::Limit { name, found, limit }),
            false => Ok(()),
        };
        if payload.is_empty() || self.at(topic).is_some() {
            return Ok(());
        }
        limit(
            "RETAINED_MESSAGES_MAX",
            self.messages + 1,
            limits.retained_messages_max,
        )?;
        limit(
            "RETAINED_BYTES_MAX",
            self.bytes + payload.len(),
            limits.retained_bytes_max,
        )
    }

    /// Puts a message on its topic, or clears it; false when a later one is there.
    pub(crate) fn keep(&mut self, message: &Arc<Message>) -> bool {
        let topic = message.topic();
        let before = self.by_topic.get(topic);
        if before.is_some_and(|before| before.stamp() >= message.stamp()) {
            return false;
        }
        if let Some(before) = before.filter(|before| !before.payload().is_empty()) {
            self.messages -= 1;
            self.bytes -= before.bytes();
        }
        if !message.payload().is_empty() {
            self.messages += 1;
            self.bytes += message.bytes();
        }
        self.by_topic.insert(topic.into(), Arc::clone(message));
        true
    }

    /// Forgets what was cleared so long ago that nothing older can still come, and what has outlived its own time.
    pub(crate) fn sweep(&mut self, now: UnixMillis) {
        let cleared_before = now.plus_millis(-CLEARED_REMEMBERED_MILLIS);
        let (messages, bytes) = (&mut self.messages, &mut self.bytes);
        self.by_topic.retain(|_, message| {
            if message.payload().is_empty() {
                return message.stamp().at >= cleared_before;
            }
            let over = message.is_expired(now);
            if over {
                *messages -= 1;
                *bytes -= message.bytes();
            }
            !over
        });
    }

    /// The message on a topic.
    pub(crate) fn at(&self, topic: &str) -> Option<&Arc<Message>> {
        self.by_topic
            .get(topic)
            .filter(|message| !message.payload().is_empty())
    }

    /// All messages that a filter matches, in the order of their topics.
    pub(crate) fn matching<'a>(
        &'a self,
        filter: TopicFilter<'a>,
        matching: Matching,
    ) -> impl Iterator<Item = &'a Arc<Message>> {
        let text = filter.as_str();
        let literal = text
            .find(['+', '#'])
            .map_or(text, |at| text.get(..at).unwrap_or_default());
        // `a/#` may match `a`, which sorts before `a/`.
        let begin = literal.strip_suffix('/').unwrap_or(literal);
        self.by_topic
            .range::<str, _>((Bound::Included(begin), Bound::Unbounded))
            .take_while(move |(topic, _)| topic.starts_with(begin))
            .filter(move |(topic, message)| {
                let topic = TopicName::new(topic);
                !message.payload().is_empty() && topic.is_ok_and(|topic| filter.matches(topic, matching))
            })
            .map(|(_, message)| message)
    }

    /// All messages after a topic, in order.
    pub(crate) fn after(&self, topic: Option<&str>) -> impl Iterator<Item = &Arc<Message>> {
        let begin = topic.map_or(Bound::Unbounded, Bound::Excluded);
        let all = self.by_topic.range::<str, _>((begin, Bound::Unbounded));
        all.map(|(_, message)| message)
    }
}

#[cfg(test)]
mod tests {
    use identity::Tenant;
    use mqtt::QoS;

    use super::*;
    use crate::message::Stamp;
    use crate::record::NodeIndex;

    fn message(topic: &str, payload: &str, at: i64) -> Arc<Message> {
        let topic = TopicName::new(topic).unwrap();
        let mut message =
            Message::new(Tenant::default(), topic, payload.as_bytes(), QoS::AtLeastOnce).unwrap();
        let stamp = Stamp {
            at: UnixMillis(at),
            node: NodeIndex(0),
            count: 0,
        };
        Message::begin(&mut message, stamp);
        message
    }

    fn topics(retained: &Retained, filter: &str) -> Vec<String> {
        let filter = TopicFilter::new(filter).unwrap();
        let found = retained.matching(filter, Matching::Standard);
        found.map(|message| message.topic().to_owned()).collect()
    }

    #[test]
    fn the_later_message_stays_in_whatever_order_they_come() {
        for order in [[1, 2], [2, 1]] {
            let mut retained = Retained::default();
            for at in order {
                retained.keep(&message("t", &at.to_string(), at));
            }
            assert_eq!(retained.at("t").unwrap().payload(), b"2", "{order:?}");
        }
        let mut retained = Retained::default();
        assert!(retained.keep(&message("t", "", 2)));
        assert!(
            !retained.keep(&message("t", "late", 1)),
            "what was cleared does not come back"
        );
        assert!(retained.at("t").is_none());
        retained.sweep(UnixMillis(CLEARED_REMEMBERED_MILLIS + 3));
        assert!(retained.by_topic.is_empty());
    }

    #[test]
    fn a_filter_finds_what_it_matches() {
        let mut retained = Retained::default();
        for topic in ["a", "a/b", "a/b/c", "ab", "b/b", "$x/b"] {
            retained.keep(&message(topic, "x", 1));
        }
        assert_eq!(topics(&retained, "a/b"), ["a/b"]);
        assert_eq!(topics(&retained, "a/#"), ["a", "a/b", "a/b/c"]);
        assert_eq!(topics(&retained, "+/b"), ["a/b", "b/b"]);
        assert_eq!(topics(&retained, "#").len(), 5);
        assert_eq!(topics(&retained, "$x/#"), ["$x/b"]);
        assert_eq!(retained.after(Some("a/b")).count(), 3);
    }

    #[test]
    fn both_limits_hold_and_a_topic_can_always_be_replaced_or_cleared() {
        let limits = Limits {
            retained_messages_max: 1,
            retained_bytes_max: 100,
            ..Limits::AWS
        };
        let mut retained = Retained::default();
        assert!(retained.check_room("a", &[0; 101], &limits).is_err());
        assert!(retained.check_room("a", &[0; 100], &limits).is_ok());
        retained.keep(&message("a", "x", 1));
        assert!(retained.check_room("b", b"x", &limits).is_err());
        assert!(retained.check_room("a", b"y", &limits).is_ok());
        assert!(retained.check_room("b", b"", &limits).is_ok());
        retained.keep(&message("a", "", 2));
        assert_eq!((retained.messages, retained.bytes), (0, 0));
    }
}
