//! A message on its way through nodes: made once from a PUBLISH, shared by all who get it, never changed.

use std::sync::Arc;

use identity::Tenant;
use mqtt::encode::Unencodable;
use mqtt::{QoS, SharedPublish, TopicName};

/// A message of one tenant.
#[derive(Debug)]
pub struct Message {
    tenant: Tenant,
    qos: QoS,
    publish: SharedPublish,
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
        let publish = SharedPublish::new(topic, payload)?;
        Ok(Arc::new(Self { tenant, qos, publish }))
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

    /// How many bytes it takes on the wire and, about, in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.publish.wire_bytes()
    }

    pub(crate) const fn publish(&self) -> &SharedPublish {
        &self.publish
    }
}
