//! Retained messages: taken from publishers, given to subscribers, shown to the API (MQTT 5.0 sections 3.3.1.3, 3.8.3.1).
//!
//! Every node has all of them; the one that owns the topic writes it down.

use std::sync::Arc;

use identity::{Tenant, UnixMillis};
use mqtt::{QoS, TopicFilter, TopicName};

use crate::action::Actions;
use crate::limits::RETAINED_PAGE_MAX;
use crate::message::Message;
use crate::record::{Identifiers, Record, SessionKey, Wanted};
use crate::refusal::Reason;

use super::delivering::Offer;
use super::{Config, Node};

/// A message that stays on its topic, as the API shows it.
#[derive(Clone, Debug)]
pub struct RetainedMessage {
    /// The message.
    pub message: Arc<Message>,
    /// When it was published.
    pub published: UnixMillis,
}

impl Config {
    /// Whether this node writes down what is retained on a topic. Stable over restarts and versions.
    #[must_use]
    pub fn owns(&self, tenant: &Tenant, topic: &str) -> bool {
        let parts = [tenant.account.as_str(), tenant.region.as_str(), topic];
        let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
        // FNV-1a: short, and the same everywhere.
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        hash % u64::from(self.nodes.max(1)) == u64::from(self.index.0)
    }
}

impl Node {
    /// Whether one more message may stay on its topic.
    pub(super) fn check_retained(
        &self,
        tenant_index: usize,
        topic: TopicName<'_>,
        payload: &[u8],
    ) -> Result<(), Reason> {
        let tenant = self.tenants.get(tenant_index);
        tenant.map_or(Ok(()), |tenant| {
            tenant
                .retained
                .check_room(topic.as_str(), payload, &self.config.limits)
        })
    }

    /// Keeps a message on its topic, if that is what it asks for.
    pub(super) fn retain(
        &mut self,
        tenant_index: usize,
        message: &Arc<Message>,
        kept: &mut u64,
        actions: &mut Actions,
    ) {
        let tenant = self
            .tenants
            .get_mut(tenant_index)
            .filter(|_| message.is_retained());
        let Some(tenant) = tenant else { return };
        let is_newest = tenant.retained.keep(message);
        if is_newest && self.config.owns(message.tenant(), message.topic()) {
            let message = self.journal.message(message, kept, actions);
            self.journal.keep(Record::Retained { message }, actions);
        }
    }

    /// Brings a new subscription what stays on the topics it matches. At AWS only a filter without wildcards does.
    pub(super) fn deliver_retained(
        &mut self,
        key: SessionKey,
        filter: TopicFilter<'_>,
        wanted: Wanted,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        for message in self.retained_for(key, filter) {
            let offer = Offer {
                qos: wanted.qos.min(message.qos()),
                retain: true,
                identifiers: Identifiers::from_iter(wanted.identifier),
                shared: None,
            };
            self.deliver(key, &message, offer, &mut 0, now, actions);
        }
    }

    fn retained_for(&self, key: SessionKey, filter: TopicFilter<'_>) -> Vec<Arc<Message>> {
        let tenant_index = self.sessions.get(&key).map(|session| session.tenant_index);
        let Some(tenant) = tenant_index.and_then(|index| self.tenants.get(index)) else {
            return Vec::new();
        };
        if !filter.as_str().contains(['+', '#']) {
            return tenant.retained.at(filter.as_str()).cloned().into_iter().collect();
        }
        match self.config.switches.retained_for_wildcards {
            true => tenant
                .retained
                .matching(filter, self.config.matching())
                .cloned()
                .collect(),
            false => Vec::new(),
        }
    }

    /// The message that stays on a topic.
    #[must_use]
    pub fn retained(&self, tenant: &Tenant, topic: &str, now: UnixMillis) -> Option<RetainedMessage> {
        let tenant = self.tenants.get(*self.tenant_indices.get(tenant)?)?;
        let message = tenant
            .retained
            .at(topic)
            .filter(|message| !message.is_expired(now))?;
        Some(shown(message))
    }

    /// One page of the messages that stay on topics, in the order of their topics, beginning after one. At most
    /// [`RETAINED_PAGE_MAX`].
    #[must_use]
    pub fn list_retained(
        &self,
        tenant: &Tenant,
        after: Option<&str>,
        count: usize,
        now: UnixMillis,
    ) -> Vec<RetainedMessage> {
        let tenant = self
            .tenant_indices
            .get(tenant)
            .and_then(|index| self.tenants.get(*index));
        let Some(tenant) = tenant else { return Vec::new() };
        tenant
            .retained
            .after(after)
            .filter(|message| !message.payload().is_empty() && !message.is_expired(now))
            .take(count.min(RETAINED_PAGE_MAX))
            .map(shown)
            .collect()
    }
}

impl RetainedMessage {
    /// The QoS it was published with, as the API tells it.
    #[must_use]
    pub fn qos(&self) -> QoS {
        self.message.qos()
    }
}

fn shown(message: &Arc<Message>) -> RetainedMessage {
    RetainedMessage {
        published: message.stamp().at,
        message: Arc::clone(message),
    }
}
