//! The node: all its clients, and one step for each thing that happens.
//!
//! What a step means is told in the files beneath this one, one for each kind of request.

mod acknowledging;
mod asking;
mod connecting;
mod delivering;
mod directing;
mod handing;
mod inspecting;
mod journal;
mod keeping;
mod leaving;
mod publishing;
mod restoring;
mod retaining;
mod sharing;
mod subscribing;
mod trust;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use identity::{Tenant, UnixMillis};
use mqtt::server::{self, Request, Violation};
use mqtt::v5::{self, Closing};
use mqtt::{Matching, PacketType};

use crate::action::{Action, Actions, CloseReason, Gate, Outgoing};
use crate::counters::{Counters, Holdings};
use crate::event::{ConnectionId, Departure, Event};
use crate::index::{Matched, Told};
use crate::interests::Interests;
use crate::limits::Limits;
use crate::message::Message;
use crate::record::{NodeIndex, SessionKey};
use crate::refusal::{Attempt, Reason};
use crate::session::Session;
use crate::switches::Switches;
use crate::tenant::TenantState;

use self::journal::Journal;

pub use connecting::client_id;
pub use directing::Directed;
pub use inspecting::{ClientState, ConnectionState, is_own};
pub use keeping::Checkpoint;
pub use restoring::{Restoring, Unfit};
pub use retaining::RetainedMessage;

/// What a node is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The limits its clients are held to.
    pub limits: Limits,
    /// Where it follows the standard and where AWS.
    pub switches: Switches,
    /// Which of the nodes that share the clients it is.
    pub index: NodeIndex,
    /// How many nodes share the clients.
    pub nodes: u16,
}

impl Config {
    /// As AWS IoT Core, alone.
    pub const AWS: Self = Self {
        limits: Limits::AWS,
        switches: Switches::AWS,
        index: NodeIndex(0),
        nodes: 1,
    };
    /// As the standards say, alone.
    pub const SELF_HOST: Self = Self {
        limits: Limits::SELF_HOST,
        switches: Switches::STANDARD,
        index: NodeIndex(0),
        nodes: 1,
    };

    /// Whose rule for `#` applies.
    #[must_use]
    pub const fn matching(&self) -> Matching {
        match self.switches.parent_of_wildcard {
            true => Matching::Standard,
            false => Matching::Aws,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::AWS
    }
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
    sessions: HashMap<SessionKey, Box<Session>>,
    connections: HashMap<ConnectionId, SessionKey>,
    last_key: u64,
    /// Sessions that outlive their connection, in order.
    kept: BTreeSet<SessionKey>,
    kept_subscriptions: usize,
    subscriptions: usize,
    deadlines: BTreeSet<(UnixMillis, SessionKey)>,
    journal: Journal,
    /// The last QoS 2 message that came from each other node.
    seen: BTreeMap<NodeIndex, u64>,
    queued_messages: usize,
    queued_bytes: usize,
    counters: Counters,
    /// Receivers of the message at hand; kept to be filled again.
    matched: Matched,
    /// Which nodes listen to what; none: all may listen to everything.
    interests: Option<Arc<Interests>>,
    /// Nobody anywhere hears what the server itself has to say.
    is_unheard: bool,
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

    /// From now on it sends other nodes what they listen to, and no more; what somebody listens to here is entered. All nodes
    /// that share the clients have the same table. What is in it of a node before this one in its place has to be forgotten first.
    pub fn join(&mut self, interests: &Arc<Interests>) {
        self.interests = Some(Arc::clone(interests));
        for index in 0..self.tenants.len() {
            self.tell_others(index);
        }
    }

    fn tell_others(&mut self, tenant_index: usize) {
        let node = self.config.index;
        if let (Some(interests), Some(tenant)) = (&self.interests, self.tenants.get_mut(tenant_index)) {
            let (interests, tenant_name) = (Arc::clone(interests), tenant.name);
            tenant.index.join(Told {
                interests,
                node,
                tenant: tenant_name,
            });
        }
    }

    /// Takes one event and appends what is to be done.
    ///
    /// # Panics
    /// When an attach uses the number of a live connection or comes with the context of another client id: mistakes of the
    /// shell that would mix up clients.
    pub fn step(&mut self, event: Event<'_>, now: UnixMillis, actions: &mut Actions) {
        self.journal.begin_step();
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
            Event::Forwarded { from, forward } => self.forwarded(from, &forward, now, actions),
            Event::Shared { from, share } => self.shared(from, &share),
            Event::Confirmed { forwarded } => self.journal.confirmed(forwarded, actions),
            Event::Publish(message) => self.publish_own(message, now, actions),
            Event::Answer { connection, message } => self.tell_one(connection, message, now, actions),
            Event::Trust(trust) => self.trust(&trust, now, actions),
            Event::Grant { connection, grant } => self.regrant(connection, grant, now, actions),
            Event::Thing(change) => self.thing(&change, now, actions),
            Event::Tick => self.tick(now, actions),
        }
    }

    /// Says that nobody anywhere hears what the server itself has to say: then its events are not even made.
    pub fn note_unheard(&mut self, is_unheard: bool) {
        self.is_unheard = is_unheard;
    }

    /// Makes an event, if anybody could hear it.
    fn event(&self, make: impl FnOnce() -> Option<Arc<Message>>) -> Option<Arc<Message>> {
        match self.is_unheard {
            true => None,
            false => make(),
        }
    }

    /// When a [`Event::Tick`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<UnixMillis> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// How many clients are connected.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// How many sessions outlive their connection.
    #[must_use]
    pub fn sessions_kept(&self) -> usize {
        self.kept.len()
    }

    /// How many subscriptions of such sessions there are. While there is none, a message that others forward here waits for no
    /// record.
    #[must_use]
    pub const fn kept_subscriptions(&self) -> usize {
        self.kept_subscriptions
    }

    /// How many bytes of messages wait or are on their way, all clients together.
    #[must_use]
    pub const fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// How many messages wait or are on their way, all clients together.
    #[must_use]
    pub const fn queued_messages(&self) -> usize {
        self.queued_messages
    }

    /// How many subscriptions there are, and how many messages are retained with how many bytes, all tenants together.
    #[must_use]
    pub fn holdings(&self) -> Holdings {
        let mut holdings = Holdings {
            subscriptions: self.subscriptions,
            ..Holdings::default()
        };
        for tenant in &self.tenants {
            let (messages, bytes) = tenant.retained.size();
            holdings.retained_messages += messages;
            holdings.retained_bytes += bytes;
        }
        holdings
    }

    /// All that it gave away so far, to be kept and to be forwarded.
    #[must_use]
    pub const fn progress(&self) -> Gate {
        self.journal.progress()
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
        let Some(key) = self.connections.get(&connection).copied() else {
            return;
        };
        let live = self
            .sessions
            .get_mut(&key)
            .and_then(|session| session.live.as_mut());
        let Some(live) = live else { return };
        live.heard = now;
        match request {
            Ok(Request::Publish(publish)) => self.publish(key, &publish, now, actions),
            Ok(Request::Acknowledge(id)) => self.acknowledged(key, id, now, actions),
            Ok(Request::Received(id, reason)) => self.received(key, id, reason, now, actions),
            Ok(Request::Release(id)) => self.release(key, id, actions),
            Ok(Request::Completed(id)) => self.completed(key, id, now, actions),
            Ok(Request::Subscribe(request)) => self.subscribe(key, &request, now, actions),
            Ok(Request::Unsubscribe(request)) => self.unsubscribe(key, &request, now, actions),
            Ok(Request::Ping) => actions.send(connection, Outgoing::ping_answer()),
            Ok(Request::Disconnect(goodbye)) => self.goodbye(key, &goodbye, now, actions),
            Err(violation) => {
                let reason = Reason::Violation(violation);
                self.refuse_and_close(key, Attempt::Packet(kind), reason, now, actions);
            }
        }
    }

    fn goodbye(&mut self, key: SessionKey, goodbye: &Closing<'_>, now: UnixMillis, actions: &mut Actions) {
        let most = self.config.limits.session_expiry_seconds_max;
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let terms = session.live.as_ref().and_then(|live| live.terms.as_ref());
        match terms.map_or(Ok(None), |terms| terms.goodbye(goodbye.properties)) {
            Ok(Some(seconds)) => session.expiry_seconds = seconds.min(most),
            Ok(None) => {}
            Err(reason) => {
                let attempt = Attempt::Packet(PacketType::Disconnect);
                return self.refuse_and_close(key, attempt, reason, now, actions);
            }
        }
        let reason = match goodbye.reason {
            v5::Reason::Success => CloseReason::ClientInitiated,
            _ => CloseReason::ClientInitiatedWithWill,
        };
        self.close(key, reason, now, actions);
    }

    /// Writes down what a client did that costs it the connection; in MQTT 5.0 it is told.
    fn refuse_and_close(
        &mut self,
        key: SessionKey,
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
        let words = self.words(key, &reason);
        self.refuse(key, attempt, reason, actions);
        self.say_goodbye(key, Some(told), words.as_deref(), actions);
        let connection = self.sessions.get(&key).and_then(|session| session.connection());
        connection
            .into_iter()
            .for_each(|connection| actions.close(connection, close));
        self.leave(key, close, now, actions);
    }

    /// What a client is told in words about a refusal, if it is told any.
    fn words(&self, key: SessionKey, reason: &Reason) -> Option<String> {
        let session = self
            .sessions
            .get(&key)
            .filter(|_| self.config.switches.reasons_told)?;
        let terms = session.live.as_ref()?.terms.as_ref()?;
        terms.takes_words().then(|| reason.to_string())
    }

    /// A client that speaks MQTT 5.0 is told why its connection ends.
    fn say_goodbye(
        &self,
        key: SessionKey,
        told: Option<v5::Reason>,
        words: Option<&str>,
        actions: &mut Actions,
    ) {
        let session = self.sessions.get(&key).filter(|session| session.is_v5());
        let connection = session.and_then(|session| session.connection());
        if let (Some(told), Some(connection)) = (told, connection) {
            actions.send(connection, Outgoing::disconnect(told, words));
        }
    }

    fn closed(
        &mut self,
        connection: ConnectionId,
        reason: Departure,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let Some(key) = self.connections.get(&connection).copied() else {
            return;
        };
        if let Departure::Malformed(malformed) = reason {
            self.refuse(key, Attempt::Bytes, Reason::Malformed(malformed), actions);
        }
        if !matches!(reason, Departure::ConnectionLost | Departure::TooSlow) {
            self.say_goodbye(key, CloseReason::from(reason).told(), None, actions);
        }
        self.leave(key, reason.into(), now, actions);
    }

    /// Writes down that something was refused.
    fn refuse(&mut self, key: SessionKey, attempt: Attempt, reason: Reason, actions: &mut Actions) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        self.counters.refused += 1;
        if let Some(refusal) = session.refusal(attempt, reason) {
            actions.push(Action::Refused(refusal));
        }
    }

    /// Ends a connection from this side.
    fn close(&mut self, key: SessionKey, reason: CloseReason, now: UnixMillis, actions: &mut Actions) {
        self.say_goodbye(key, reason.told(), None, actions);
        let connection = self.sessions.get(&key).and_then(|session| session.connection());
        connection
            .into_iter()
            .for_each(|connection| actions.close(connection, reason));
        self.leave(key, reason, now, actions);
    }

    /// Answers a request: not before what it promises is durable, and in the order of the requests (`[MQTT-4.6.0-2]`).
    fn answer(&mut self, key: SessionKey, packet: Outgoing, after: Gate, actions: &mut Actions) {
        let live = self
            .sessions
            .get_mut(&key)
            .and_then(|session| session.live.as_mut());
        if let Some(live) = live {
            live.answers_after = live.answers_after.and(after);
            actions.send_after(live.connection, packet, live.answers_after);
        }
    }

    /// The tenant's place in the list, made if it is not there. Tenants are those of certificates that were granted something,
    /// so strangers cannot add any.
    fn tenant_index(&mut self, tenant: Tenant) -> usize {
        let next = self.tenants.len();
        let index = *self.tenant_indices.entry(tenant).or_insert(next);
        if index == next {
            self.tenants.push(TenantState::new(tenant));
            self.tell_others(index);
        }
        index
    }
}
