//! A message on its way through nodes: made once from a PUBLISH, shared by all who get it, never changed.

use std::sync::Arc;

use identity::{Tenant, UnixMillis};
use mqtt::encode::Unencodable;
use mqtt::v5::{Place, Properties, Property};
use mqtt::{QoS, SharedPublish, TopicName};

use crate::record::NodeIndex;

/// A message of one tenant.
#[derive(Debug)]
pub struct Message {
    tenant: Tenant,
    qos: QoS,
    retain: bool,
    private: bool,
    publish: SharedPublish,
    /// The properties that receivers of MQTT 5.0 get, without the expiry. Most messages have none.
    properties: Box<[u8]>,
    expiry_seconds: Option<u32>,
    expires: Option<UnixMillis>,
    stamp: Stamp,
}

/// When and where a message was published. Of two messages retained on one topic the one with the greater stamp stays, on every
/// node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// When.
    pub at: UnixMillis,
    /// On which node.
    pub node: NodeIndex,
    /// As that node's how many-th.
    pub count: u64,
}

/// All of a message, to write it down and read it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is told at the message's own function of that name"
)]
pub struct Parts<'a> {
    pub tenant: Tenant,
    pub topic: TopicName<'a>,
    pub payload: &'a [u8],
    pub qos: QoS,
    pub retain: bool,
    pub properties: Properties<'a>,
    /// The end of its life.
    pub expires: Option<UnixMillis>,
    pub stamp: Stamp,
}

impl Message {
    /// A message as a publisher gave it; who publishes was decided before. The server's own messages are made like this too.
    ///
    /// # Errors
    /// [`Unencodable`] when MQTT has no room for topic or payload.
    pub fn new(
        tenant: Tenant,
        topic: TopicName<'_>,
        payload: &[u8],
        qos: QoS,
    ) -> Result<Arc<Self>, Unencodable> {
        Self::with_properties(tenant, topic, payload, qos, Properties::NONE, None)
    }

    /// The same with the properties of a PUBLISH or a will: those that are for receivers go along unchanged and in order (MQTT 5.0
    /// `[MQTT-3.3.2-4]`, `[MQTT-3.3.2-15]` to `[MQTT-3.3.2-20]`). Its life is counted from the moment it is published.
    ///
    /// # Errors
    /// [`Unencodable`] when MQTT has no room for topic or payload.
    pub fn with_properties(
        tenant: Tenant,
        topic: TopicName<'_>,
        payload: &[u8],
        qos: QoS,
        properties: Properties<'_>,
        expiry_seconds: Option<u32>,
    ) -> Result<Arc<Self>, Unencodable> {
        let publish = SharedPublish::new(topic, payload)?;
        let mut kept = Vec::new();
        for property in properties.filter(is_for_receivers) {
            Properties::append(&mut kept, property)?;
        }
        Ok(Arc::new(Self {
            tenant,
            qos,
            retain: false,
            private: false,
            publish,
            properties: kept.into(),
            expiry_seconds,
            expires: None,
            stamp: Stamp::default(),
        }))
    }

    /// The same message, to be kept on its topic.
    ///
    /// # Panics
    /// When somebody else has it already.
    #[must_use]
    pub fn retained(mut message: Arc<Self>) -> Arc<Self> {
        let alone = Arc::get_mut(&mut message);
        assert!(alone.is_some(), "a message is changed before anybody else has it");
        alone.into_iter().for_each(|message| message.retain = true);
        message
    }

    /// The same message, for one connection alone: it is never written down, and it is wiped from memory when it is done.
    ///
    /// # Panics
    /// When somebody else has it already.
    #[must_use]
    pub fn private(mut message: Arc<Self>) -> Arc<Self> {
        let alone = Arc::get_mut(&mut message);
        assert!(alone.is_some(), "a message is changed before anybody else has it");
        alone.into_iter().for_each(|message| message.private = true);
        message
    }

    /// Whether it is for one connection alone.
    #[must_use]
    pub const fn is_private(&self) -> bool {
        self.private
    }

    /// A message that was written down.
    ///
    /// # Errors
    /// [`Unencodable`] when MQTT has no room for topic or payload.
    pub fn from_parts(parts: &Parts<'_>) -> Result<Arc<Self>, Unencodable> {
        Ok(Arc::new(Self {
            tenant: parts.tenant,
            qos: parts.qos,
            retain: parts.retain,
            private: false,
            publish: SharedPublish::new(parts.topic, parts.payload)?,
            properties: parts.properties.as_bytes().into(),
            expiry_seconds: None,
            expires: parts.expires,
            stamp: parts.stamp,
        }))
    }

    /// All of it; none of a message whose topic is none, which none has.
    #[must_use]
    pub fn parts(&self) -> Option<Parts<'_>> {
        Some(Parts {
            tenant: self.tenant,
            topic: TopicName::new(self.topic()).ok()?,
            payload: self.payload(),
            qos: self.qos,
            retain: self.retain,
            properties: self.properties(),
            expires: self.expires,
            stamp: self.stamp,
        })
    }

    /// It is published now; nobody else has it yet.
    pub(crate) fn begin(message: &mut Arc<Self>, stamp: Stamp) {
        if let Some(message) = Arc::get_mut(message) {
            let seconds = message.expiry_seconds.map(i64::from);
            message.expires = seconds.map(|seconds| stamp.at.plus_millis(seconds * 1_000));
            message.stamp = stamp;
        }
    }

    /// Whose message.
    #[must_use]
    pub const fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The QoS it was published with; a receiver gets at most this.
    #[must_use]
    pub const fn qos(&self) -> QoS {
        self.qos
    }

    /// Whether it stays on its topic.
    #[must_use]
    pub const fn is_retained(&self) -> bool {
        self.retain
    }

    /// When and where it was published.
    #[must_use]
    pub const fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Where it goes.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.publish.topic()
    }

    /// What it says.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.publish.payload()
    }

    /// What is said about it to receivers of MQTT 5.0, without its expiry.
    #[must_use]
    pub fn properties(&self) -> Properties<'_> {
        Properties::new(&self.properties, Place::Publish).unwrap_or_default()
    }

    /// How many bytes it takes on the wire and, about, in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.publish.wire_bytes() + self.properties.len()
    }

    /// The most bytes it takes on the wire in MQTT 5.0, without identifiers of subscriptions.
    pub(crate) fn bytes_v5(&self) -> usize {
        self.publish.wire_bytes() + self.properties.len() + 9
    }

    /// Its time is over (`[MQTT-3.3.2-5]`).
    #[must_use]
    pub fn is_expired(&self, now: UnixMillis) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// What is left of its time, in whole seconds, at least one (`[MQTT-3.3.2-6]`).
    pub(crate) fn seconds_left(&self, now: UnixMillis) -> Option<u32> {
        let left = self.expires?.0.saturating_sub(now.0).max(1);
        u32::try_from((left + 999) / 1_000).ok()
    }

    pub(crate) const fn publish(&self) -> &SharedPublish {
        &self.publish
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        if self.private {
            self.publish.wipe();
        }
    }
}

const fn is_for_receivers(property: &Property<'_>) -> bool {
    matches!(
        property,
        Property::PayloadIsText(_)
            | Property::ContentType(_)
            | Property::ResponseTopic(_)
            | Property::CorrelationData(_)
            | Property::UserProperty(..)
    )
}
