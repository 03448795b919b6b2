//! What a node remembers of one client: for as long as it is connected, and for as long after as was agreed.

use std::collections::BTreeSet;
use std::sync::Arc;

use identity::{Tenant, UnixMillis};
use mqtt::{KeepAlive, PacketId, Version};
use policy::{Action, Context, Grant, Request, Resource, Verdict, decide};

use crate::absence::Absence;
use crate::action::{Gate, Outgoing};
use crate::event::{ConnectionId, SessionId};
use crate::limits::REFUSALS_TOLD_MAX;
use crate::message::Message;
use crate::outbound::{Outbound, Room};
use crate::record::{SessionKey, Wanted};
use crate::refusal::{Attempt, Reason, Refusal};
use crate::terms::Terms;

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) key: SessionKey,
    /// Where the tenant stands in the node's list.
    pub(crate) tenant_index: usize,
    pub(crate) tenant: Tenant,
    pub(crate) client_id: Arc<str>,
    pub(crate) speaks: Version,
    /// How long it outlives its connection; 0: it ends with it, and nothing of it is written down.
    pub(crate) expiry_seconds: u32,
    pub(crate) subscriptions: Vec<(Arc<str>, Wanted)>,
    pub(crate) outbound: Outbound,
    /// Identifiers of QoS 2 messages that came and were not released.
    pub(crate) inbound: BTreeSet<PacketId>,
    pub(crate) will: Option<Box<LastWill>>,
    /// Its connection.
    pub(crate) live: Option<Box<Live>>,
    /// What was written of it by the end of its last connection: its client hears nothing before that is durable, since it may
    /// not be told twice, and differently, what a restart would take back.
    pub(crate) settled: Gate,
    /// Since when it has none, and why.
    pub(crate) absence: Option<Absence>,
    /// When the node looks after this session next; its place in the node's list of deadlines.
    pub(crate) deadline: Option<UnixMillis>,
}

/// What a client leaves behind.
#[derive(Debug)]
pub(crate) struct LastWill {
    pub(crate) message: Arc<Message>,
    /// Its number in the log; 0: it is not there.
    pub(crate) kept: u64,
    pub(crate) delay_seconds: u32,
    /// When it is published, once the client is gone.
    pub(crate) due: Option<UnixMillis>,
}

/// One connection of a session.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) connection: ConnectionId,
    pub(crate) grant: Arc<Grant>,
    pub(crate) context: Context,
    pub(crate) id: SessionId,
    /// `versionNumber` of presence events: higher for each later connection of a client id.
    pub(crate) version: i64,
    pub(crate) keep_alive: KeepAlive,
    pub(crate) heard: UnixMillis,
    pub(crate) refusals_told: u8,
    /// Answers keep the order of what they answer (`[MQTT-4.6.0-2]`): none goes before this.
    pub(crate) answers_after: Gate,
    /// With a client that speaks MQTT 5.0.
    pub(crate) terms: Option<Box<Terms>>,
}

impl Session {
    /// It outlives its connection.
    pub(crate) const fn is_kept(&self) -> bool {
        self.expiry_seconds > 0
    }

    pub(crate) fn is_v5(&self) -> bool {
        self.speaks == Version::V5
    }

    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        self.live.as_ref().map(|live| live.connection)
    }

    /// When the session ends for want of its client; never, if that was agreed.
    pub(crate) fn expires(&self) -> Option<UnixMillis> {
        let gone = self.absence?.since;
        (self.expiry_seconds != u32::MAX).then(|| gone.plus_millis(i64::from(self.expiry_seconds) * 1_000))
    }

    /// When the node has to look after it.
    pub(crate) fn next_deadline(&self) -> Option<UnixMillis> {
        match &self.live {
            Some(live) => live.silence_deadline(),
            None => {
                let will = self.will.as_ref().and_then(|will| will.due);
                will.into_iter().chain(self.expires()).min()
            }
        }
    }

    /// What its client takes at once.
    pub(crate) fn room(&self) -> Room {
        let terms = self.live.as_ref().and_then(|live| live.terms.as_ref());
        Room {
            messages: terms
                .and_then(|terms| terms.receive_max)
                .map_or(usize::MAX, usize::from),
            packet_bytes: terms.map(|terms| terms.packet_bytes_max),
        }
    }

    /// A refusal of this client; none once so many were told that further ones are only counted.
    pub(crate) fn refusal(&mut self, attempt: Attempt, reason: Reason) -> Option<Refusal> {
        let (mut connection, mut certificate) = (None, None);
        if let Some(live) = &mut self.live {
            if !live.tells_refusals() {
                return None;
            }
            live.refusals_told += 1;
            connection = Some(live.connection);
            certificate = Some(live.grant.certificate);
        }
        Some(Refusal {
            connection,
            tenant: self.tenant,
            certificate,
            client_id: Arc::clone(&self.client_id),
            attempt,
            reason,
        })
    }

    /// A packet in the version of the client.
    pub(crate) fn said(&self, packet: Outgoing, now: UnixMillis) -> Outgoing {
        match self.is_v5() {
            true => packet.into_v5(now),
            false => packet,
        }
    }
}

impl Live {
    /// When silence ends the connection.
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
        check(&self.grant, &self.request(action, resource, now))
    }

    /// Whether a message on this topic may come to the client. Asked for every delivery, so no words are made.
    pub(crate) fn may_receive(&self, topic: &str, now: UnixMillis) -> bool {
        let request = self.request(Action::Receive, Resource::topic(topic), now);
        decide(&self.grant, &request).is_allowed()
    }

    fn request<'a>(&'a self, action: Action, resource: Resource<'a>, now: UnixMillis) -> Request<'a> {
        Request {
            action,
            resource,
            context: &self.context,
            now,
        }
    }

    pub(crate) const fn tells_refusals(&self) -> bool {
        self.refusals_told < REFUSALS_TOLD_MAX
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
