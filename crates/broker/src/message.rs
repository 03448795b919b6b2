//! A message on its way through nodes: made once from a PUBLISH, shared by all who get it, never changed.

use std::sync::Arc;

use identity::{Tenant, UnixMillis};
use mqtt::encode::Unencodable;
use mqtt::v5::{Place, Properties, Property};
use mqtt::{QoS, SharedPublish, TopicName};

/// A message of one tenant.
#[derive(Debug)]
pub struct Message {
    tenant: Tenant,
    qos: QoS,
    publish: SharedPublish,
    /// The properties that receivers of MQTT 5.0 get, without the expiry. Most messages have none.
    properties: Box<[u8]>,
    expiry_seconds: Option<u32>,
    expires: Option<UnixMillis>,
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
    /// `[MQTT-3.3.2-4]`, `[MQTT-3.3.2-15]` to `[MQTT-3.3.2-20]`). Its life is counted from [`Message::begin`] on.
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
            publish,
            properties: kept.into(),
            expiry_seconds,
            expires: None,
        }))
    }

    /// It is published now; nobody else has it yet.
    pub(crate) fn begin(message: &mut Arc<Self>, now: UnixMillis) {
        if let Some(message) = Arc::get_mut(message) {
            let seconds = message.expiry_seconds.map(i64::from);
            message.expires = seconds.map(|seconds| now.plus_millis(seconds * 1_000));
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

    /// The most bytes it takes on the wire in MQTT 5.0.
    pub(crate) fn bytes_v5(&self) -> usize {
        self.publish.wire_bytes() + self.properties.len() + 9
    }

    /// Its time is over (`[MQTT-3.3.2-5]`).
    pub(crate) fn is_expired(&self, now: UnixMillis) -> bool {
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
