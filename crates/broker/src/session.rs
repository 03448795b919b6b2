//! What a node remembers of one attached client.

use std::sync::Arc;

use identity::{Tenant, UnixMillis};
use mqtt::{Delivery, KeepAlive, QoS};
use policy::{Action, Context, Grant, Request, Resource, Verdict, decide};

use crate::action::Outgoing;
use crate::event::{ConnectionId, SessionId};
use crate::limits::{Limits, REFUSALS_TOLD_MAX};
use crate::message::Message;
use crate::outbound::{Outbound, Queued};
use crate::refusal::{Attempt, Reason, Refusal};
use crate::terms::Terms;

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) connection: ConnectionId,
    /// Where the tenant stands in the node's list.
    pub(crate) tenant_index: usize,
    pub(crate) client_id: Arc<str>,
    pub(crate) grant: Arc<Grant>,
    pub(crate) context: Context,
    pub(crate) id: SessionId,
    /// `versionNumber` of presence events: higher for each later connection of a client id.
    pub(crate) version: i64,
    pub(crate) keep_alive: KeepAlive,
    pub(crate) heard: UnixMillis,
    /// When the node looks after this session next; its place in the node's list of deadlines.
    pub(crate) deadline: Option<UnixMillis>,
    pub(crate) will: Option<Arc<Message>>,
    pub(crate) subscriptions: Vec<Arc<str>>,
    pub(crate) outbound: Outbound,
    pub(crate) refusals_told: u8,
    /// With a client that speaks MQTT 5.0.
    pub(crate) terms: Option<Box<Terms>>,
}

impl Session {
    pub(crate) fn tenant(&self) -> &Tenant {
        &self.grant.tenant
    }

    /// When silence ends the session.
    pub(crate) fn silence_deadline(&self) -> Option<UnixMillis> {
        self.keep_alive
            .server_deadline_millis(self.heard.0)
            .map(UnixMillis)
    }

    /// Whether the client may do something, and why not.
    pub(crate) fn check(
        &self,
        action: Action,
        resource: Resource<'_>,
        now: UnixMillis,
    ) -> Result<(), Reason> {
        check(
            &self.grant,
            &Request {
                action,
                resource,
                context: &self.context,
                now,
            },
        )
    }

    /// Whether a message on this topic may come to the client. Asked for every delivery, so no words are made.
    pub(crate) fn may_receive(&self, topic: &str, now: UnixMillis) -> bool {
        decide(&self.grant, &self.receiving(topic, now)).is_allowed()
    }

    fn receiving<'a>(&'a self, topic: &'a str, now: UnixMillis) -> Request<'a> {
        Request {
            action: Action::Receive,
            resource: Resource::topic(topic),
            context: &self.context,
            now,
        }
    }

    /// A refusal of this client; none once so many were told that further ones are only counted.
    pub(crate) fn refusal(&mut self, attempt: Attempt, reason: Reason) -> Option<Refusal> {
        if !self.tells_refusals() {
            return None;
        }
        self.refusals_told += 1;
        Some(Refusal {
            connection: self.connection,
            tenant: *self.tenant(),
            certificate: self.grant.certificate,
            client_id: Arc::clone(&self.client_id),
            attempt,
            reason,
        })
    }

    pub(crate) const fn tells_refusals(&self) -> bool {
        self.refusals_told < REFUSALS_TOLD_MAX
    }

    /// What the client may do has changed: refusals are told from the beginning, and what waits for it must still be allowed.
    pub(crate) fn trust_changed(&mut self, now: UnixMillis) {
        self.refusals_told = 0;
        let (grant, context) = (&self.grant, &self.context);
        self.outbound.retain_waiting(|message| {
            let resource = Resource::topic(message.topic());
            decide(
                grant,
                &Request {
                    action: Action::Receive,
                    resource,
                    context,
                    now,
                },
            )
            .is_allowed()
        });
    }

    /// Hands over a message that the client may receive.
    pub(crate) fn deliver(
        &mut self,
        message: &Arc<Message>,
        qos: QoS,
        limits: &Limits,
        now: UnixMillis,
    ) -> Queued {
        if !self.can_take(message) || message.is_expired(now) {
            return Queued::Dropped(None);
        }
        match self.hand_over(message, qos, limits) {
            Queued::Send(packet) => Queued::Send(self.said(packet, now)),
            other => other,
        }
    }

    /// A message longer than the client takes is not for it (MQTT 5.0 `[MQTT-3.1.2-25]`).
    fn can_take(&self, message: &Message) -> bool {
        match &self.terms {
            Some(terms) => message.bytes_v5() <= terms.packet_bytes_max,
            None => true,
        }
    }

    /// A packet in the version of the client.
    pub(crate) fn said(&self, packet: Outgoing, now: UnixMillis) -> Outgoing {
        match self.terms {
            Some(_) => packet.into_v5(now),
            None => packet,
        }
    }

    fn hand_over(&mut self, message: &Arc<Message>, qos: QoS, limits: &Limits) -> Queued {
        if qos == QoS::AtMostOnce {
            let message = Arc::clone(message);
            return Queued::Send(Outgoing::Message {
                message,
                delivery: Delivery::AtMostOnce,
            });
        }
        self.outbound.push(message, limits)
    }
}

/// Decides, and says why when the answer is no.
pub(crate) fn check(grant: &Grant, request: &Request<'_>) -> Result<(), Reason> {
    let verdict: Verdict = decide(grant, request);
    if verdict.is_allowed() {
        return Ok(());
    }
    Err(Reason::Policy {
        verdict,
        explanation: verdict.explain(grant, request),
    })
}
