//! One PUBLISH for many receivers: encoded once, and while it is copied into each receiver's buffer it gets that receiver's
//! packet identifier and flags.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::num::{NonZeroU16, NonZeroU32};

use zeroize::Zeroize as _;

use crate::encode::{self, Unencodable};
use crate::packet::PacketId;
use crate::publish::{Delivery, Publish};
use crate::topic::TopicName;
use crate::v5::encode::{variable, variable_bytes};
use crate::v5::{Properties, Property};

/// First byte, remaining length, length of the topic, packet identifier.
const HEAD_BYTES_MAX: usize = 9;

/// An encoded message without a receiver.
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
        // At once, so that no part of what may be a secret stays behind where it grew.
        let mut bytes = Vec::with_capacity(payload.len() + topic.as_str().len() + HEAD_BYTES_MAX);
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

    /// Overwrites topic and payload: there was a secret in it.
    pub fn wipe(&mut self) {
        self.bytes.zeroize();
    }

    /// How many bytes it takes on the wire at QoS 1; QoS 0 takes two or three less.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Writes it for a receiver that speaks MQTT 3.1.1.
    pub fn append(&self, delivery: Delivery, retain: bool, out: &mut Vec<u8>) {
        let first = encode::publish_first_byte(delivery, retain);
        let (topic, payload) = self.parts();
        let Some(id) = delivery.packet_id() else {
            // It fitted with two bytes more, so this cannot be refused.
            let _fits = encode::fixed_header(out, first, topic.len() + payload.len());
            out.extend_from_slice(topic);
            return out.extend_from_slice(payload);
        };
        out.reserve(self.bytes.len());
        out.push(first);
        out.extend_from_slice(self.bytes.get(1..self.id_at).unwrap_or_default());
        out.extend(id.to_bytes());
        out.extend_from_slice(payload);
    }

    /// Writes it for a receiver that speaks MQTT 5.0. The properties are those of a PUBLISH without what each receiver has of its
    /// own, which comes beside them.
    pub fn append_v5(&self, delivery: Delivery, properties: Properties<'_>, own: Own<'_>, out: &mut Vec<u8>) {
        let (topic, payload) = self.parts();
        let topic: &[u8] = match own.alias {
            Some(Alias { known: true, .. }) => &[0, 0],
            _ => topic,
        };
        let id = delivery.packet_id().map(PacketId::to_bytes);
        let words = properties.as_bytes().len() + own.bytes();
        let length = topic.len() + id.map_or(0, |_| 2) + variable_bytes(words) + words + payload.len();
        let first = encode::publish_first_byte(delivery, own.retain);
        if encode::fixed_header(out, first, length).is_err() {
            return;
        }
        out.extend_from_slice(topic);
        out.extend(id.into_iter().flatten());
        variable(out, words);
        own.append(out);
        out.extend_from_slice(properties.as_bytes());
        out.extend_from_slice(payload);
    }

    /// The topic with its length, and the payload.
    fn parts(&self) -> (&[u8], &[u8]) {
        let topic = self.bytes.get(self.topic_at..self.id_at).unwrap_or_default();
        (topic, self.bytes.get(self.id_at + 2..).unwrap_or_default())
    }
}

/// What one receiver's copy has of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own<'a> {
    /// The RETAIN flag (section 3.3.1.3 of MQTT 5.0).
    pub retain: bool,
    /// What is left of the message's time.
    pub expiry_seconds: Option<u32>,
    /// The identifiers of the subscriptions that brought it.
    pub subscriptions: &'a [NonZeroU32],
    /// The number that stands for its topic.
    pub alias: Option<Alias>,
}

/// The number of a topic (section 3.3.2.3.4 of MQTT 5.0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alias {
    /// Which.
    pub number: NonZeroU16,
    /// The receiver knows it already, and is not told the topic.
    pub known: bool,
}

impl Own<'_> {
    /// How many bytes the properties of it take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let identifiers = self
            .subscriptions
            .iter()
            .map(|id| 1 + variable_bytes(id.get() as usize));
        self.expiry_seconds.map_or(0, |_| 5) + self.alias.map_or(0, |_| 3) + identifiers.sum::<usize>()
    }

    fn append(&self, out: &mut Vec<u8>) {
        if let Some(seconds) = self.expiry_seconds {
            let _fits = Properties::append(out, Property::MessageExpirySeconds(seconds));
        }
        if let Some(alias) = self.alias {
            let _fits = Properties::append(out, Property::TopicAlias(alias.number));
        }
        for id in self.subscriptions {
            let _fits = Properties::append(out, Property::SubscriptionIdentifier(*id));
        }
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
