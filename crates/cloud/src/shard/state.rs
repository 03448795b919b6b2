//! Everything that one shard owns: its node, its connections, its log, and what waits for other shards.
//!
//! All of it belongs to one thread, and no method waits: tasks borrow it for a moment and give it back. What a node wants
//! done is done in [`acting`]; bytes leave in [`State::flush`], once for all that was queued since the last time.

mod acting;
mod asking;
mod directing;
mod measuring;
mod notes;
mod peers;
mod reviving;
mod suspecting;
mod trusting;
mod withdrawing;

use core::task::{Context, Poll};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use broker::{
    Actions, Aliases, Attach, CloseReason, ConnectionId, Departure, Event, Node, RetainedMessage, SessionId,
};
use fleet::attempt::{Attempt, Verdict};
use fleet::names::PolicyName;
use identity::{CertificateId, Tenant, UnixMillis};
use mqtt::server::{First, first};
use mqtt::{Decoded, Malformed, Packet, Version, decode, v5};
use policy::Context as PolicyContext;
use tokio::sync::oneshot;

use self::peers::{Outbox, Receipt};
use super::changes::Changes;
use super::connection::Connection;
use super::footings::Footings;
use super::gates::Gates;
use super::log::{Restored, ShardLog};
use super::mail::ClientNews;
use super::{Arrival, Clearance, Lease};
use crate::authorizer::Question;
use crate::clock;
use crate::control::Control;
use crate::limits::{CONNECTIONS_PER_SHARD_MAX, PACKET_BYTES_MAX, READS_PER_TURN_MAX, TURN_BYTES_MAX};
use crate::metrics::ShardCounts;
use crate::wire::Wire;

/// The state of one shard.
pub(super) struct State {
    control: Arc<Control>,
    index: usize,
    node: Node,
    log: ShardLog,
    /// Counts how often the shards began anew from their logs, all together.
    life: u32,
    /// When a log failed.
    failed_at: Option<UnixMillis>,
    /// What the node that was made of the log wants done, until all shards have one.
    rebuilt: Option<Actions>,
    /// Boxed, so that a growing table moves only pointers.
    connections: HashMap<ConnectionId, Box<Connection>>,
    last_connection: u64,
    actions: Actions,
    departed: Vec<(ConnectionId, Departure)>,
    touched: Vec<ConnectionId>,
    /// Read buffer of all connections: only the rest of an incomplete packet stays with its connection.
    scratch: Vec<u8>,
    gates: Gates,
    /// Messages that the node has forwarded.
    forwards: u64,
    outboxes: Vec<Outbox>,
    receipts: VecDeque<Receipt>,
    /// Connections that wait until other shards have taken their mail.
    paused: Vec<ConnectionId>,
    changes: Changes,
    counts: ShardCounts,
    /// When the last event came, as far as a reading of time that was needed anyway can tell.
    now: UnixMillis,
    turn: Instant,
    /// Connections that only have to be closed.
    pub(super) closing: Vec<Wire>,
    /// When the time of a connection is up.
    leases: BTreeMap<(UnixMillis, ConnectionId), broker::Lease>,
    /// Callers that wait until a client has a message.
    confirmations: HashMap<(ConnectionId, u64), oneshot::Sender<()>>,
    /// What connections rest on.
    footings: Footings,
    /// Questions to authorizers that are to be asked now.
    pub(super) inquiring: Vec<(ConnectionId, Arc<Question>)>,
    /// Connections whose trust must be looked up again before they can be attached.
    pub(super) outdated: Vec<ConnectionId>,
}

impl State {
    pub(super) fn new(control: Arc<Control>, index: usize, restored: Restored) -> Self {
        let others = (0..control.shards.count()).filter(|shard| *shard != index);
        let outboxes = others.map(Outbox::to).collect();
        if restored.node.has_listeners() {
            control.shards.note_listener();
        }
        let mut state = Self {
            control,
            index,
            node: restored.node,
            log: restored.log,
            life: 0,
            failed_at: None,
            rebuilt: None,
            connections: HashMap::new(),
            last_connection: 0,
            actions: restored.actions,
            departed: Vec::new(),
            touched: Vec::new(),
            scratch: Vec::new(),
            gates: Gates::default(),
            forwards: 0,
            outboxes,
            receipts: VecDeque::new(),
            paused: Vec::new(),
            changes: Changes::default(),
            counts: ShardCounts::default(),
            now: clock::now(),
            turn: Instant::now(),
            closing: Vec::new(),
            leases: BTreeMap::new(),
            confirmations: HashMap::new(),
            footings: Footings::default(),
            inquiring: Vec::new(),
            outdated: Vec::new(),
        };
        state.carry_out();
        state
    }

    /// What is told when the log has progressed.
    pub(super) fn progress(&self) -> Arc<tokio::sync::Notify> {
        self.log.progress.clone()
    }

    /// Takes a new connection and tries to attach it; gives its number.
    pub(super) fn arrive(&mut self, arrival: Arrival) -> Option<ConnectionId> {
        if self.connections.len() >= CONNECTIONS_PER_SHARD_MAX {
            let reason = format!("the shard carries {CONNECTIONS_PER_SHARD_MAX} connections already");
            arrival.record.end(
                &self.control,
                Verdict::Faulted,
                "cloud.shard.full",
                &reason,
                "add shards",
            );
            return None;
        }
        if self.failed_at.is_some() {
            let reason = "the session log of the shard cannot be written";
            let hint = "look at the disk of the data directory";
            arrival
                .record
                .end(&self.control, Verdict::Faulted, "cloud.shard.log", reason, hint);
            return None;
        }
        let lease = arrival.clearance.lease;
        let id = ConnectionId(self.last_connection + 1);
        if let Err(ground) = self.set_foot(id, arrival.clearance.footing.as_deref()) {
            let ((reason, hint), code) = (ground.end(), ground.code());
            arrival
                .record
                .end(&self.control, Verdict::Refused, code, &reason, hint);
            return None;
        }
        let connection = Connection::new(arrival).ok()?;
        self.last_connection = id.0;
        if let Some(Lease { until, kind }) = lease {
            self.leases.insert((until, id), kind);
        }
        self.connections.insert(id, Box::new(connection));
        self.attach(id);
        Some(id)
    }

    /// Presents a client to the node.
    fn attach(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let Some(opening) = &connection.opening else {
            return;
        };
        let Ok(First::Connect { version, connect, .. }) = first(&opening.received, PACKET_BYTES_MAX) else {
            return self.close(id);
        };
        if self.changes.outdate(&connection.grant, &opening.things) {
            return self.outdated.push(id);
        }
        let Ok(session) = clock::random().map(SessionId) else {
            return self.close(id);
        };
        let client_id = broker::client_id(&connect, session);
        let thing = opening
            .things
            .iter()
            .find(|thing| thing.name.as_str() == client_id);
        let source = connection
            .client
            .peer
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
        let context = PolicyContext::new(&client_id, source, opening.facts.clone(), thing);
        drop(client_id);
        let grant = connection.grant.clone();
        let attach = Attach {
            connection: id,
            grant,
            context,
            session,
            version,
            connect,
        };
        self.node
            .step(Event::Attach(attach), clock::now(), &mut self.actions);
        self.carry_out();
    }

    /// Attaches a client whose trust was looked up again, or closes it.
    pub(super) fn attach_again(&mut self, id: ConnectionId, looked: Result<Clearance, Attempted>) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        match (looked, connection.opening.as_mut()) {
            (Ok(clearance), Some(opening)) => {
                opening.things = clearance.things;
                connection.grant = clearance.grant;
                self.attach(id);
            }
            (Err(attempted), _) => {
                if let Some(mut opening) = connection.opening.take() {
                    attempted(&mut opening.record.attempt);
                    opening.record.keep(&self.control);
                }
                self.close(id);
            }
            (Ok(_), None) => {}
        }
    }

    /// What is known of a connection that is to be looked up again.
    pub(super) fn opening_of(
        &mut self,
        id: ConnectionId,
    ) -> Option<(Tenant, CertificateId, &mut super::connection::Opening)> {
        let connection = self.connections.get_mut(&id)?;
        let (tenant, certificate) = (connection.grant.tenant, connection.grant.certificate);
        Some((tenant, certificate, connection.opening.as_deref_mut()?))
    }

    /// Whether the client showed a certificate; also of one that is gone.
    pub(super) fn is_by_certificate(&self, id: ConnectionId) -> bool {
        let connection = self.connections.get(&id);
        connection.is_none_or(|connection| connection.grant.by_certificate)
    }

    /// The policies that a client is granted by their names, if it is.
    pub(super) fn policies_of(&self, id: ConnectionId) -> Option<Arc<[PolicyName]>> {
        let footing = self.connections.get(&id)?.footing.as_ref()?;
        footing.policies.clone()
    }

    /// Before anything is done: events of the server's own are only made if somebody listens by now.
    pub(super) fn begin(&mut self) {
        self.node.note_unheard(!self.control.shards.has_listeners());
    }

    /// One turn of a connection's task: send what is stuck, read what has come. Ready when the connection is gone.
    pub(super) fn turn(&mut self, id: ConnectionId, context: &mut Context<'_>) -> Poll<()> {
        self.begin();
        for _ in 0..READS_PER_TURN_MAX {
            let congested = self.is_congested();
            let Some(connection) = self.connections.get_mut(&id) else {
                return Poll::Ready(());
            };
            connection.note_waker(context);
            if let Poll::Ready(Err(_)) = connection.poll_unblock(context) {
                self.depart(id, Departure::ConnectionLost);
                continue;
            }
            if connection.opening.is_some() {
                return Poll::Pending;
            }
            if congested {
                self.paused.push(id);
                return Poll::Pending;
            }
            if core::mem::take(&mut connection.unread) {
                let input = core::mem::take(&mut connection.input);
                self.take_packets(id, input);
                continue;
            }
            let mut input = core::mem::take(&mut self.scratch);
            input.append(&mut connection.input);
            let filled = connection.wire.poll_fill(context, &mut input, TURN_BYTES_MAX);
            let replied = connection.reply();
            match filled {
                _ if replied.is_err() => self.depart(id, Departure::ConnectionLost),
                Poll::Ready(Ok(count)) if count > 0 => self.take_packets(id, input),
                Poll::Ready(_) => self.depart(id, Departure::ConnectionLost),
                Poll::Pending => {
                    keep_rest(&mut connection.input, &mut input, 0);
                    self.scratch = input;
                    return Poll::Pending;
                }
            }
        }
        // The others of this shard come first now.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Gives every complete packet to the node.
    fn take_packets(&mut self, id: ConnectionId, mut input: Vec<u8>) {
        let now = clock::now();
        (self.now, self.turn) = (now, Instant::now());
        let version = self
            .connections
            .get(&id)
            .map_or_else(Version::default, |connection| connection.version);
        let packet_bytes_max = self.control.plan.broker.limits.packet_bytes_max as usize;
        let mut taken = 0;
        loop {
            let rest = input.get(taken..).unwrap_or_default();
            match event(version, id, rest, packet_bytes_max) {
                Ok(None) => break,
                Ok(Some((event, bytes))) => {
                    note_listener(&self.control, &event);
                    self.node.step(event, now, &mut self.actions);
                    taken += bytes;
                }
                Err(malformed) => {
                    self.departed.push((id, Departure::Malformed(malformed)));
                    taken = input.len();
                    break;
                }
            }
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            keep_rest(&mut connection.input, &mut input, taken);
        }
        input.clear();
        self.scratch = input;
        self.carry_out();
    }

    /// The node's own view of a connection that ended by itself.
    fn depart(&mut self, id: ConnectionId, departure: Departure) {
        self.departed.push((id, departure));
        self.carry_out();
    }

    /// The client is in: its attempt was a success, and what it sent after its CONNECT counts now.
    fn attached(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let Some(opening) = connection.opening.take() else {
            return;
        };
        let super::connection::Opening {
            mut received,
            mut record,
            ..
        } = *opening;
        if let Ok(First::Connect {
            version,
            connect,
            bytes,
        }) = first(&received, PACKET_BYTES_MAX)
        {
            connection.version = version;
            let limits = &self.control.plan.broker.limits;
            connection.aliases = Aliases::of(&connect, limits).map(Box::new);
            keep_rest(&mut connection.input, &mut received, bytes);
        }
        self.counts.opened(connection.client.listener, connection.version);
        connection.unread = !connection.input.is_empty();
        connection.wake();
        record.attempt.trail.passed("mqtt.connect", "");
        let suspicion = self.watch(id, &mut record);
        record.attempt.accept();
        record.keep(&self.control);
        if let Some((suspect, suspicion)) = suspicion {
            self.suspect(id, suspect, &suspicion);
        }
    }

    /// Ends the record of a connection that was not let in.
    fn end_opening(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if let Some(mut opening) = connection.opening.take() {
            let said = opening.record.attempt.verdict == Verdict::Refused;
            if !said {
                let reason = format!("the connection ended with {}", reason.disconnect_reason().name());
                opening
                    .record
                    .attempt
                    .end(Verdict::Refused, "cloud.shard.closed", reason, "");
            }
            opening.record.keep(&self.control);
        }
    }

    fn close(&mut self, id: ConnectionId) {
        if let Some(mut connection) = self.remove(id) {
            let _ = connection.flush();
            connection.wake();
            self.closing.push(connection.wire);
        }
    }

    fn remove(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        let connection = self.connections.remove(&id)?;
        if let Some(footing) = &connection.footing {
            self.footings.leave(id, footing);
        }
        self.give_up_direct(id);
        if connection.opening.is_none() {
            self.counts.closed(connection.client.listener, connection.version);
        }
        Some(connection)
    }

    /// The other side is gone, does not read, or said goodbye: nothing more has to be said to it.
    fn abandon(&mut self, id: ConnectionId) {
        if let Some(mut connection) = self.remove(id) {
            if let Some(opening) = connection.opening.take() {
                let reason = "the connection was lost before its CONNECT was answered";
                opening
                    .record
                    .end(&self.control, Verdict::Abandoned, "cloud.mqtt.gone", reason, "");
            }
            connection.wake();
            if connection.wire.is_framed() {
                self.closing.push(connection.wire);
            }
        }
    }

    /// Sends everything that was queued, and hands over what other shards take.
    pub(super) fn flush(&mut self) {
        if !self.log.submit() && self.log.has_failed() {
            self.progressed();
        }
        for id in self.touched.drain(..) {
            let Some(connection) = self.connections.get_mut(&id) else {
                continue;
            };
            connection.touched = false;
            if connection.flush().is_err() {
                self.departed.push((id, Departure::ConnectionLost));
            }
        }
        if !self.departed.is_empty() {
            self.carry_out();
        }
        self.send_mail();
    }

    /// Whether something waits to be sent, written, closed or looked up.
    pub(super) fn has_work(&self) -> bool {
        let speaks = self.failed_at.is_none();
        let mail =
            speaks && self.outboxes.iter().any(|outbox| !outbox.parcels.is_empty()) && !self.is_congested();
        let records = speaks && self.log.can_submit();
        let looks = !self.outdated.is_empty() || !self.inquiring.is_empty();
        mail || records || looks || !self.touched.is_empty() || !self.closing.is_empty()
    }

    /// Time has passed.
    pub(super) fn tick(&mut self) {
        self.begin();
        (self.now, self.turn) = (clock::now(), Instant::now());
        self.end_leases(self.now);
        self.begin_inquiries(self.now);
        self.node.step(Event::Tick, self.now, &mut self.actions);
        self.carry_out();
        let latest = self.control.shards.latest_life();
        self.fall(latest);
        if self.failed_at.is_none() {
            self.log.tidy(&mut self.node, &mut self.actions);
        } else {
            self.begin_anew();
        }
        self.send_mail();
    }

    /// Ends the connections whose time is up.
    fn end_leases(&mut self, now: UnixMillis) {
        if self.leases.len() > 2 * self.connections.len() {
            let connections = &self.connections;
            self.leases.retain(|(_, id), _| connections.contains_key(id));
        }
        while let Some(entry) = self.leases.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, id), lease) = entry.remove_entry();
            if self.connections.contains_key(&id) {
                self.departed.push((id, Departure::TimeIsUp(lease)));
            }
        }
    }

    /// Whether it has work for its next tick already.
    pub(super) const fn is_tidying(&self) -> bool {
        self.log.is_tidying()
    }

    /// The message that stays on a topic.
    pub(super) fn retained(&self, tenant: &Tenant, topic: &str) -> Option<RetainedMessage> {
        self.node.retained(tenant, topic, clock::now())
    }

    /// One page of the messages that stay on topics.
    pub(super) fn list_retained(
        &self,
        tenant: &Tenant,
        after: Option<&str>,
        count: usize,
    ) -> Vec<RetainedMessage> {
        self.node.list_retained(tenant, after, count, clock::now())
    }

    /// How a client stands, and what it listens to.
    pub(super) fn client(&self, tenant: &Tenant, client_id: &str) -> Option<ClientNews> {
        let state = self.node.client(tenant, client_id)?;
        let id = state.connection.as_ref().map(|connection| connection.connection);
        let connection = id.and_then(|id| self.connections.get(&id));
        let peer = connection.and_then(|connection| connection.client.peer);
        Some(ClientNews {
            state,
            peer,
            reached: connection.and_then(|connection| connection.wire.reached()),
            subscriptions: self.node.subscriptions(tenant, client_id).unwrap_or_default(),
        })
    }

    /// Ends a client's connection; the answer waits until that is kept.
    pub(super) fn disconnect(
        &mut self,
        tenant: &Tenant,
        client_id: &str,
        how: (bool, bool),
        answer: oneshot::Sender<bool>,
    ) {
        let (node, actions) = (&mut self.node, &mut self.actions);
        let found = node.disconnect(tenant, client_id, how, clock::now(), actions);
        self.carry_out();
        match found {
            true => self.answer_when_kept(answer),
            false => drop(answer.send(false)),
        }
    }

    /// When time matters next.
    pub(super) fn next_deadline(&self) -> Option<UnixMillis> {
        self.node.next_deadline()
    }

    /// Ends so many connections politely; gives how many are left.
    pub(super) fn drain_some(&mut self, count: u64) -> usize {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let ids: Vec<ConnectionId> = self.connections.keys().copied().take(count).collect();
        for id in ids {
            self.departed.push((id, Departure::ServerShutdown));
        }
        self.carry_out();
        self.connections.len()
    }

    /// Ends every connection, as politely as there is time for.
    pub(super) fn stop(&mut self) {
        self.drain_some(u64::MAX);
        self.flush();
    }
}

/// Writes the outcome of a look-up into an attempt that ends with it.
pub(super) type Attempted = Box<dyn FnOnce(&mut Attempt)>;

/// Keeps what follows the first `taken` bytes of `input` in `rest`, and leaves `input` empty.
fn keep_rest(rest: &mut Vec<u8>, input: &mut Vec<u8>, taken: usize) {
    rest.clear();
    rest.extend_from_slice(input.get(taken..).unwrap_or_default());
    if rest.is_empty() {
        *rest = Vec::new();
    }
    input.clear();
}

/// The first packet of what came, as an event, and its length; none when it is not complete.
fn event(
    version: Version,
    connection: ConnectionId,
    input: &[u8],
    packet_bytes_max: usize,
) -> Result<Option<(Event<'_>, usize)>, Malformed> {
    Ok(match version {
        Version::V3 => match decode(input, packet_bytes_max)? {
            Decoded::Incomplete { .. } => None,
            Decoded::Packet { packet, bytes } => Some((Event::Packet { connection, packet }, bytes)),
        },
        Version::V5 => match v5::decode(input, packet_bytes_max)? {
            v5::Decoded::Incomplete { .. } => None,
            v5::Decoded::Packet { packet, bytes } => Some((Event::PacketV5 { connection, packet }, bytes)),
        },
    })
}

/// Messages of the server's own are only made if anybody ever asked for any.
fn note_listener(control: &Control, event: &Event<'_>) {
    let names_them = |filter: mqtt::TopicFilter<'_>| broker::is_own(filter.as_str());
    let asked = match event {
        Event::Packet {
            packet: Packet::Subscribe(request),
            ..
        } => request.subscriptions.clone().any(|line| names_them(line.filter)),
        Event::PacketV5 {
            packet: v5::Packet::Subscribe(request),
            ..
        } => request.subscriptions.clone().any(|line| names_them(line.filter)),
        _ => false,
    };
    if asked {
        control.shards.note_listener();
    }
}
