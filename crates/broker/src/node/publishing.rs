//! PUBLISH: from a client to all who may have it, here and on other nodes.

use std::sync::Arc;

use identity::UnixMillis;
use mqtt::v5::{self, Acknowledgement, Properties, Property, Publish};
use mqtt::{PacketId, PacketType, QoS, TopicName, encode};
use policy::{Action as PolicyAction, Resource};

use crate::action::{Action, Actions, Outgoing};
use crate::event::ConnectionId;
use crate::limits::Limits;
use crate::message::Message;
use crate::outbound::Queued;
use crate::refusal::{Attempt, Reason};
use crate::session::Session;
use crate::terms;
use crate::topics::check_message;

use super::Node;

impl Node {
    /// A client publishes. What it may not publish ends its connection, as at AWS: MQTT 3.1.1 has no way to say no. MQTT 5.0 has
    /// one at QoS 1.
    pub(super) fn publish(
        &mut self,
        connection: ConnectionId,
        publish: &Publish<'_>,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let limits = self.config.limits;
        let Some(session) = self.sessions.get_mut(&connection) else {
            return;
        };
        let known = match resolve(session, publish, &limits) {
            Ok(known) => known,
            Err(reason) => {
                let attempt = Attempt::Packet(PacketType::Publish);
                return self.refuse_and_close(connection, attempt, reason, now, actions);
            }
        };
        let Some(topic) = terms::name(publish, known.as_deref()) else {
            return;
        };
        let tenant_index = session.tenant_index;
        let mut message = match accept(session, topic, publish, &limits, now) {
            Ok(message) => message,
            Err(reason) => {
                let attempt = Attempt::Publish(topic.as_str().into());
                let id = publish.delivery.packet_id();
                return self.refuse_publish(connection, id, attempt, reason, now, actions);
            }
        };
        Message::begin(&mut message, now);
        self.counters.published += 1;
        self.publish_everywhere(tenant_index, message, Some(connection), now, actions);
        // Last, so that a shell which works in order has passed the message on before it is acknowledged.
        if let Some(id) = publish.delivery.packet_id() {
            actions.send(connection, Outgoing::FourBytes(encode::publish_acknowledged(id)));
        }
    }

    fn refuse_publish(
        &mut self,
        connection: ConnectionId,
        id: Option<PacketId>,
        attempt: Attempt,
        reason: Reason,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let is_v5 = self
            .sessions
            .get(&connection)
            .is_some_and(|session| session.terms.is_some());
        let told = reason.told(&attempt);
        match id {
            Some(id) if is_v5 && told.fits(PacketType::PubAck) => {
                self.refuse(connection, attempt, reason, actions);
                let answer = Acknowledgement {
                    id,
                    reason: told,
                    properties: Properties::NONE,
                };
                let packet =
                    Outgoing::written(|out| v5::encode::acknowledgement(out, PacketType::PubAck, &answer));
                actions.send(connection, packet);
            }
            _ => self.refuse_and_close(connection, attempt, reason, now, actions),
        }
    }

    /// A message that begins here: to those here who listen, and to every other node.
    pub(super) fn publish_everywhere(
        &mut self,
        tenant_index: usize,
        message: Arc<Message>,
        from: Option<ConnectionId>,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        self.route(tenant_index, &message, from, now, actions);
        actions.push(Action::Forward(message));
    }

    /// A message that did not come from a client of this node.
    pub(super) fn route_of_tenant(&mut self, message: &Arc<Message>, now: UnixMillis, actions: &mut Actions) {
        if let Some(tenant_index) = self.tenant_indices.get(message.tenant()) {
            self.route(*tenant_index, message, None, now, actions);
        }
    }

    /// To those of this node who listen. The index is that of the message's own tenant.
    pub(super) fn route(
        &mut self,
        tenant_index: usize,
        message: &Arc<Message>,
        from: Option<ConnectionId>,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let tenant = self.tenants.get(tenant_index);
        let (Some(tenant), Ok(topic)) = (tenant, TopicName::new(message.topic())) else {
            return;
        };
        let mut found = std::mem::take(&mut self.found);
        tenant
            .index
            .matches(topic, self.config.matching, from, &mut found);
        for (connection, wanted) in found.drain(..) {
            self.deliver(connection, message, wanted.qos.min(message.qos()), now, actions);
        }
        self.found = found;
    }

    /// To one who listens, if its policies let it receive this now.
    fn deliver(
        &mut self,
        connection: ConnectionId,
        message: &Arc<Message>,
        qos: QoS,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let Some(session) = self.sessions.get_mut(&connection) else {
            return;
        };
        let topic = message.topic();
        if !session.may_receive(topic, now) {
            self.counters.not_received += 1;
            if !session.tells_refusals() {
                return;
            }
            if let Err(reason) = session.check(PolicyAction::Receive, Resource::topic(topic), now) {
                let refusal = session.refusal(Attempt::Receive(topic.into()), reason);
                refusal
                    .into_iter()
                    .for_each(|refusal| actions.push(Action::Refused(refusal)));
            }
            return;
        }
        match session.deliver(message, qos, &self.config.limits, now) {
            Queued::Send(packet) => {
                self.counters.delivered += 1;
                actions.send(connection, packet);
            }
            Queued::Waiting => {}
            Queued::Dropped(reason) => {
                self.counters.dropped += 1;
                let refusal =
                    reason.and_then(|reason| session.refusal(Attempt::Receive(topic.into()), reason));
                refusal
                    .into_iter()
                    .for_each(|refusal| actions.push(Action::Refused(refusal)));
            }
        }
    }
}

/// The topic that an alias stands for. Only servers put identifiers of subscriptions into a PUBLISH.
fn resolve(
    session: &mut Session,
    publish: &Publish<'_>,
    limits: &Limits,
) -> Result<Option<Arc<str>>, Reason> {
    let Some(terms) = &mut session.terms else {
        return Ok(None);
    };
    let mut properties = publish.properties;
    if properties.any(|property| matches!(property, Property::SubscriptionIdentifier(_))) {
        return Err(Reason::Rule(
            "a client's PUBLISH has a subscription identifier [MQTT-3.3.4-6]",
        ));
    }
    terms.topic(publish, limits)
}

/// What a client publishes, as a message of its tenant.
fn accept(
    session: &Session,
    topic: TopicName<'_>,
    publish: &Publish<'_>,
    limits: &Limits,
    now: UnixMillis,
) -> Result<Arc<Message>, Reason> {
    check_message(topic, publish.payload, publish.retain, limits)?;
    session.check(PolicyAction::Publish, Resource::topic(topic.as_str()), now)?;
    let (payload, qos) = (publish.payload, publish.delivery.qos());
    let expiry = terms::expiry_seconds(publish.properties, limits);
    Message::with_properties(*session.tenant(), topic, payload, qos, publish.properties, expiry).map_err(
        |_| {
            let (found, limit) = (payload.len(), limits.payload_bytes_max);
            Reason::Limit {
                name: "PAYLOAD_BYTES_MAX",
                found,
                limit,
            }
        },
    )
}
