//! The node: all its clients, and one step for each thing that happens.
//!
//! What a step means is told in the files beneath this one, one for each kind of request.

mod connecting;
mod publishing;
mod subscribing;
mod trust;

use std::collections::{BTreeSet, HashMap};

use identity::{Tenant, UnixMillis};
use mqtt::server::{self, Request, Violation};
use mqtt::v5::{self, Closing};
use mqtt::{Matching, PacketType};

use crate::action::{Action, Actions, CloseReason, Outgoing};
use crate::event::{ConnectionId, Departure, Event};
use crate::index::Wanted;
use crate::limits::Limits;
use crate::message::Message;
use crate::presence;
use crate::refusal::{Attempt, Reason};
use crate::session::Session;
use crate::tenant::TenantState;

pub use connecting::client_id;

/// What a node is made for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The limits its clients are held to.
    pub limits: Limits,
    /// Whose rule for `#` applies.
    pub matching: Matching,
}

/// What a node has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Clients attached.
    pub attached: u64,
    /// Messages taken from clients.
    pub published: u64,
    /// Messages sent to clients.
    pub delivered: u64,
    /// QoS 1 messages dropped because their client reads too slowly.
    pub dropped: u64,
    /// Deliveries that a policy did not allow.
    pub not_received: u64,
    /// All other refusals, told or not.
    pub refused: u64,
}

/// One node of the data plane.
///
/// The hash tables are never walked through: the order of actions depends on nothing but the events.
#[derive(Debug, Default)]
pub struct Node {
    config: Config,
    tenants: Vec<TenantState>,
    tenant_indices: HashMap<Tenant, usize>,
    /// Boxed, so that the table stays small and cheap to grow.
    sessions: HashMap<ConnectionId, Box<Session>>,
    deadlines: BTreeSet<(UnixMillis, ConnectionId)>,
    counters: Counters,
    /// Receivers of the message at hand; kept to be filled again.
    found: Vec<(ConnectionId, Wanted)>,
}

impl Node {
    /// A node without clients.
    ///
    /// # Panics
    /// When the limit on messages on their way leaves no packet identifier free.
    #[must_use]
    pub fn new(config: Config) -> Self {
        assert!(
            config.limits.inflight_messages_max < usize::from(u16::MAX),
            "a packet identifier must stay free"
        );
        Self {
            config,
            ..Self::default()
        }
    }

    /// Takes one event and appends what is to be done.
    ///
    /// # Panics
    /// When an attach uses the number of a live connection or comes with the context of another client id: mistakes of the
    /// shell that would mix up clients.
    pub fn step(&mut self, event: Event<'_>, now: UnixMillis, actions: &mut Actions) {
        match event {
            Event::Attach(attach) => self.attach(attach, now, actions),
            Event::Packet { connection, packet } => {
                let kind = packet.kind();
                self.packet(connection, kind, server::request(packet), now, actions);
            }
            Event::PacketV5 { connection, packet } => {
                let kind = packet.kind();
                self.packet(connection, kind, server::request_v5(packet), now, actions);
            }
            Event::Closed { connection, reason } => self.closed(connection, reason, now, actions),
            Event::Forwarded(message) => self.route_of_tenant(&message, now, actions),
            Event::Publish(message) => {
                self.route_of_tenant(&message, now, actions);
                actions.push(Action::Forward(message));
            }
            Event::Trust(trust) => self.trust(&trust, now, actions),
            Event::Thing(change) => self.thing(&change, now, actions),
            Event::Tick => self.tick(now, actions),
        }
    }

    /// When a [`Event::Tick`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<UnixMillis> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// How many clients are attached.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.sessions.len()
    }

    /// What it has done so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    fn packet(
        &mut self,
        connection: ConnectionId,
        kind: PacketType,
        request: Result<Request<'_>, Violation>,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        // What comes after the node's own close is for nobody.
        let Some(session) = self.sessions.get_mut(&connection) else {
            return;
        };
        session.heard = now;
        match request {
            Ok(Request::Publish(publish)) => self.publish(connection, &publish, now, actions),
            Ok(Request::Acknowledge(id)) => {
                let delivered = &mut self.counters.delivered;
                let is_v5 = session.terms.is_some();
                session
                    .outbound
                    .acknowledged(id, &self.config.limits, now, |packet| {
                        *delivered += 1;
                        let packet = if is_v5 { packet.into_v5(now) } else { packet };
                        actions.send(connection, packet);
                    });
            }
            Ok(Request::Subscribe(request)) => self.subscribe(connection, &request, now, actions),
            Ok(Request::Unsubscribe(request)) => self.unsubscribe(connection, &request, now, actions),
            Ok(Request::Ping) => actions.send(connection, Outgoing::ping_answer()),
            Ok(Request::Disconnect(goodbye)) => self.goodbye(connection, &goodbye, now, actions),
            Err(violation) => {
                let reason = Reason::Violation(violation);
                self.refuse_and_close(connection, Attempt::Packet(kind), reason, now, actions);
            }
        }
    }

    fn goodbye(
        &mut self,
        connection: ConnectionId,
        goodbye: &Closing<'_>,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let terms = self
            .sessions
            .get(&connection)
            .and_then(|session| session.terms.as_ref());
        if let Some(Err(reason)) = terms.map(|terms| terms.check_goodbye(goodbye.properties)) {
            let attempt = Attempt::Packet(PacketType::Disconnect);
            return self.refuse_and_close(connection, attempt, reason, now, actions);
        }
        let reason = match goodbye.reason {
            v5::Reason::Success => CloseReason::ClientInitiated,
            _ => CloseReason::ClientInitiatedWithWill,
        };
        self.close(connection, reason, now, actions);
    }

    /// Writes down what a client did that costs it the connection; in MQTT 5.0 it is told.
    fn refuse_and_close(
        &mut self,
        connection: ConnectionId,
        attempt: Attempt,
        reason: Reason,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let told = reason.told(&attempt);
        let close = match reason {
            Reason::Policy { .. } => CloseReason::NotAuthorized,
            _ => CloseReason::ClientError,
        };
        self.refuse(connection, attempt, reason, actions);
        self.say_goodbye(connection, Some(told), actions);
        actions.close(connection, close);
        self.forget(connection, close, now, actions);
    }

    /// A client that speaks MQTT 5.0 is told why its connection ends.
    fn say_goodbye(&self, connection: ConnectionId, told: Option<v5::Reason>, actions: &mut Actions) {
        let is_v5 = self
            .sessions
            .get(&connection)
            .is_some_and(|session| session.terms.is_some());
        if let Some(told) = told.filter(|_| is_v5) {
            actions.send(connection, Outgoing::disconnect(told));
        }
    }

    fn closed(
        &mut self,
        connection: ConnectionId,
        reason: Departure,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        if let Departure::Malformed(malformed) = reason {
            self.refuse(connection, Attempt::Bytes, Reason::Malformed(malformed), actions);
        }
        if matches!(reason, Departure::Malformed(_) | Departure::ServerShutdown) {
            self.say_goodbye(connection, CloseReason::from(reason).told(), actions);
        }
        self.forget(connection, reason.into(), now, actions);
    }

    fn tick(&mut self, now: UnixMillis, actions: &mut Actions) {
        while let Some(&(deadline, connection)) =
            self.deadlines.first().filter(|(deadline, _)| *deadline <= now)
        {
            self.deadlines.remove(&(deadline, connection));
            let Some(session) = self.sessions.get_mut(&connection) else {
                continue;
            };
            session.deadline = None;
            if session.silence_deadline().is_some_and(|deadline| deadline <= now) {
                self.close(connection, CloseReason::KeepAliveTimeout, now, actions);
            } else {
                self.schedule(connection);
            }
        }
    }

    /// Looks after a session again when its silence would end it. Packets only note when they came, so that a packet costs
    /// nothing here and a session is looked after about once per keep alive.
    fn schedule(&mut self, connection: ConnectionId) {
        let Some(session) = self.sessions.get_mut(&connection) else {
            return;
        };
        session.deadline = session.silence_deadline();
        self.deadlines
            .extend(session.deadline.map(|deadline| (deadline, connection)));
    }

    /// Writes down that something was refused.
    fn refuse(&mut self, connection: ConnectionId, attempt: Attempt, reason: Reason, actions: &mut Actions) {
        let Some(session) = self.sessions.get_mut(&connection) else {
            return;
        };
        self.counters.refused += 1;
        if let Some(refusal) = session.refusal(attempt, reason) {
            actions.push(Action::Refused(refusal));
        }
    }

    /// Ends a connection from this side.
    fn close(
        &mut self,
        connection: ConnectionId,
        reason: CloseReason,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        self.say_goodbye(connection, reason.told(), actions);
        actions.close(connection, reason);
        self.forget(connection, reason, now, actions);
    }

    /// Forgets a client, and tells those who wanted to know: by its will, unless it said goodbye, and by the presence event.
    fn forget(
        &mut self,
        connection: ConnectionId,
        reason: CloseReason,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let Some(mut session) = self.sessions.remove(&connection) else {
            return;
        };
        if let Some(deadline) = session.deadline {
            self.deadlines.remove(&(deadline, connection));
        }
        if let Some(tenant) = self.tenants.get_mut(session.tenant_index) {
            for filter in &session.subscriptions {
                tenant.index.unsubscribe(filter, connection);
            }
            tenant.leave(&session.client_id, session.grant.certificate, connection);
        }
        let mut will = session.will.take().filter(|_| !reason.forgets_will());
        if let Some(will) = &mut will {
            Message::begin(will, now);
        }
        let event = presence::disconnected(&session, reason, now);
        for message in [will, event].into_iter().flatten() {
            self.publish_everywhere(session.tenant_index, message, None, now, actions);
        }
    }

    /// The tenant's place in the list, made if it is not there. Tenants are those of certificates that were granted something,
    /// so strangers cannot add any.
    fn tenant_index(&mut self, tenant: Tenant) -> usize {
        let next = self.tenants.len();
        let index = *self.tenant_indices.entry(tenant).or_insert(next);
        if index == next {
            self.tenants.push(TenantState::default());
        }
        index
    }
}
