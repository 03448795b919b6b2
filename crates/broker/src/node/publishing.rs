//! PUBLISH: from a client to all who may have it, here and on other nodes.

use std::sync::Arc;

use identity::UnixMillis;
use mqtt::v5::Publish;
use mqtt::{QoS, TopicName, encode};
use policy::{Action as PolicyAction, Resource};

use crate::action::{Action, Actions, CloseReason, Outgoing};
use crate::event::ConnectionId;
use crate::limits::Limits;
use crate::message::Message;
use crate::outbound::Queued;
use crate::refusal::{Attempt, Reason};
use crate::session::Session;
use crate::topics::check_message;

use super::Node;

impl Node {
    /// A client publishes. What it may not publish ends its connection, as at AWS: MQTT 3.1.1 has no way to say no.
    pub(super) fn publish(
        &mut self,
        connection: ConnectionId,
        publish: &Publish<'_>,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let Some(session) = self.sessions.get(&connection) else {
            return;
        };
        let tenant_index = session.tenant_index;
        let Some(topic) = publish.topic else { return };
        let message = match accept(session, topic, publish, &self.config.limits, now) {
            Ok(message) => message,
            Err(reason) => {
                let unauthorized = matches!(reason, Reason::Policy { .. });
                let close = if unauthorized {
                    CloseReason::NotAuthorized
                } else {
                    CloseReason::ClientError
                };
                self.refuse(
                    connection,
                    Attempt::Publish(topic.as_str().into()),
                    reason,
                    actions,
                );
                return self.close(connection, close, now, actions);
            }
        };
        self.counters.published += 1;
        self.publish_everywhere(tenant_index, message, now, actions);
        // Last, so that a shell which works in order has passed the message on before it is acknowledged.
        if let Some(id) = publish.delivery.packet_id() {
            actions.send(connection, Outgoing::FourBytes(encode::publish_acknowledged(id)));
        }
    }

    /// A message that begins here: to those here who listen, and to every other node.
    pub(super) fn publish_everywhere(
        &mut self,
        tenant_index: usize,
        message: Arc<Message>,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        self.route(tenant_index, &message, now, actions);
        actions.push(Action::Forward(message));
    }

    /// A message that did not come from a client of this node.
    pub(super) fn route_of_tenant(&mut self, message: &Arc<Message>, now: UnixMillis, actions: &mut Actions) {
        if let Some(tenant_index) = self.tenant_indices.get(message.tenant()) {
            self.route(*tenant_index, message, now, actions);
        }
    }

    /// To those of this node who listen. The index is that of the message's own tenant.
    pub(super) fn route(
        &mut self,
        tenant_index: usize,
        message: &Arc<Message>,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let tenant = self.tenants.get(tenant_index);
        let (Some(tenant), Ok(topic)) = (tenant, TopicName::new(message.topic())) else {
            return;
        };
        let mut found = std::mem::take(&mut self.found);
        tenant.index.matches(topic, self.config.matching, &mut found);
        for (connection, qos) in found.drain(..) {
            self.deliver(connection, message, qos.min(message.qos()), now, actions);
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
        match session.deliver(message, qos, &self.config.limits) {
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
    Message::new(*session.tenant(), topic, payload, qos).map_err(|_| {
        let (found, limit) = (payload.len(), limits.payload_bytes_max);
        Reason::Limit {
            name: "PAYLOAD_BYTES_MAX",
            found,
            limit,
        }
    })
}
