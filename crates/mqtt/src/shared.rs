//! One PUBLISH for many receivers: encoded once, and while it is copied into each receiver's buffer it gets that receiver's
//! packet identifier and flags.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::encode::{self, Unencodable};
use crate::packet::PacketId;
use crate::publish::{Delivery, Publish};
use crate::topic::TopicName;
use crate::v5::encode::{variable, variable_bytes};
use crate::v5::{Properties, Property};

/// An encoded message without a receiver: never a repetition, not retained.
pub struct SharedPublish {
    /// A QoS 1 PUBLISH with identifier 1.
    bytes: Box<[u8]>,
    /// Where the topic's two length bytes begin, after the fixed header.
    topic_at: usize,
    /// Where the packet identifier stands, after the topic.
    id_at: usize,
}

impl SharedPublish {
    /// Encodes a message.
    ///
    /// # Errors
    /// [`Unencodable`] when topic or payload are too long for MQTT.
    pub fn new(topic: TopicName<'_>, payload: &[u8]) -> Result<Self, Unencodable> {
        let delivery = Delivery::AtLeastOnce {
            id: PacketId::FIRST,
            duplicate: false,
        };
        let mut bytes = Vec::new();
        encode::publish(
            &mut bytes,
            &Publish {
                topic,
                payload,
                delivery,
                retain: false,
            },
        )?;
        let id_at = bytes.len() - payload.len() - 2;
        let topic_at = id_at - topic.as_str().len() - 2;
        Ok(Self {
            bytes: bytes.into_boxed_slice(),
            topic_at,
            id_at,
        })
    }

    /// Where it goes.
    #[must_use]
    pub fn topic(&self) -> &str {
        let bytes = self.bytes.get(self.topic_at + 2..self.id_at).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }

    /// What it says.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(self.id_at + 2..).unwrap_or_default()
    }

    /// How many bytes it takes on the wire at QoS 1; QoS 0 takes two or three less.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Writes it at QoS 0.
    pub fn append_at_most_once(&self, out: &mut Vec<u8>) {
        let (until_id, from_id) = self.bytes.split_at(self.id_at);
        let topic = until_id.get(self.topic_at..).unwrap_or_default();
        let payload = from_id.get(2..).unwrap_or_default();
        let first = encode::publish_first_byte(Delivery::AtMostOnce, false);
        // It fitted with two bytes more, so this cannot be refused.
        let _fits = encode::fixed_header(out, first, topic.len() + payload.len());
        out.extend_from_slice(topic);
        out.extend_from_slice(payload);
    }

    /// Writes it at QoS 1.
    pub fn append_at_least_once(&self, id: PacketId, duplicate: bool, out: &mut Vec<u8>) {
        out.reserve(self.bytes.len());
        let (until_id, from_id) = self.bytes.split_at(self.id_at);
        out.push(encode::publish_first_byte(
            Delivery::AtLeastOnce { id, duplicate },
            false,
        ));
        out.extend_from_slice(until_id.get(1..).unwrap_or_default());
        out.extend(id.to_bytes());
        out.extend_from_slice(from_id.get(2..).unwrap_or_default());
    }
}

/// The same message in MQTT 5.0.
impl SharedPublish {
    /// Writes it with properties; they are those of a PUBLISH without a message expiry, which comes beside them.
    pub fn append_v5(
        &self,
        delivery: Delivery,
        properties: Properties<'_>,
        expiry_seconds: Option<u32>,
        out: &mut Vec<u8>,
    ) {
        let (until_id, from_id) = self.bytes.split_at(self.id_at);
        let topic = until_id.get(self.topic_at..).unwrap_or_default();
        let payload = from_id.get(2..).unwrap_or_default();
        let id = delivery.packet_id().map(PacketId::to_bytes);
        let words = properties.as_bytes().len() + expiry_seconds.map_or(0, |_| 5);
        let length = topic.len() + id.map_or(0, |_| 2) + variable_bytes(words) + words + payload.len();
        let first = encode::publish_first_byte(delivery, false);
        if encode::fixed_header(out, first, length).is_err() {
            return;
        }
        out.extend_from_slice(topic);
        out.extend(id.into_iter().flatten());
        variable(out, words);
        if let Some(seconds) = expiry_seconds {
            let _fits = Properties::append(out, Property::MessageExpirySeconds(seconds));
        }
        out.extend_from_slice(properties.as_bytes());
        out.extend_from_slice(payload);
    }
}

impl fmt::Debug for SharedPublish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedPublish")
            .field("topic", &self.topic())
            .field("payload_bytes", &self.payload().len())
            .finish()
    }
}
