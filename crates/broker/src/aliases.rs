//! Topics that a client of MQTT 5.0 is told by number instead of by name (MQTT 5.0 section 3.3.2.3.4).
//!
//! It stands where packets become bytes, in the order in which they leave: a number means something only after the packet that
//! gave it, and what is thrown away before it leaves has given none. A client says how many it takes; the first so many topics
//! of a connection get one.

use std::num::NonZeroU16;

use mqtt::Alias;
use mqtt::v5::{Connect, Property};

use crate::limits::Limits;

/// What a number adds to the packet that gives it.
const GIVING_BYTES: usize = 3;

/// The topics that one client knows by number, on one connection.
#[derive(Debug)]
pub struct Aliases {
    most: usize,
    packet_bytes_max: usize,
    topics: Vec<Box<str>>,
}

impl Aliases {
    /// For a client that takes some; most take none.
    #[must_use]
    pub fn of(connect: &Connect<'_>, limits: &Limits) -> Option<Self> {
        let (mut most, mut packet_bytes_max) = (0, usize::MAX);
        for property in connect.properties {
            match property {
                Property::TopicAliasMaximum(count) => most = count.min(limits.topic_aliases_max),
                Property::MaximumPacketBytes(bytes) => packet_bytes_max = bytes.get() as usize,
                _ => {}
            }
        }
        (most > 0).then(|| Self {
            most: usize::from(most),
            packet_bytes_max,
            topics: Vec::new(),
        })
    }

    /// The number of a topic, given by a packet that is so long without.
    pub(crate) fn alias(&mut self, topic: &str, packet_bytes: usize) -> Option<Alias> {
        let number = |index: usize| NonZeroU16::new(u16::try_from(index + 1).ok()?);
        if let Some(index) = self.topics.iter().position(|known| **known == *topic) {
            // The number is shorter than the topic, or else nothing is won.
            return number(index)
                .filter(|_| topic.len() > GIVING_BYTES)
                .map(|number| Alias { number, known: true });
        }
        let has_room = packet_bytes.saturating_add(GIVING_BYTES) <= self.packet_bytes_max;
        if topic.len() <= GIVING_BYTES || self.topics.len() >= self.most || !has_room {
            return None;
        }
        self.topics.push(topic.into());
        number(self.topics.len() - 1).map(|number| Alias { number, known: false })
    }
}
