//! Everything that one shard owns: its node, its connections, and what waits for other shards.
//!
//! All of it belongs to one thread, and no method waits: tasks borrow it for a moment and give it back. What a node wants
//! done is done in [`State::carry_out`]; bytes leave in [`State::flush`], once for all that was queued since the last time.

use core::task::{Context, Poll, Waker};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use broker::{
    Action, Actions, Attach, CloseReason, Config, ConnectionId, Departure, Event, Message, Node, Refusal,
    SessionId,
};
use fleet::attempt::{Attempt, Kind, Verdict};
use fleet::text::Text;
use identity::{CertificateId, Explained as _, Tenant};
use mqtt::server::{First, first};
use mqtt::{Decoded, Malformed, Packet, Version, decode, v5};
use policy::Context as PolicyContext;
use tokio::sync::mpsc::error::TrySendError;

use super::changes::Changes;
use super::connection::{Connection, Queued};
use super::mail::{Mail, ThingNews};
use super::{Arrival, Clearance};
use crate::clock;
use crate::control::Control;
use crate::limits::{
    CONNECTIONS_PER_SHARD_MAX, OUTBOUND_BYTES_MAX, OUTBOX_MESSAGES_MAX, PACKET_BYTES_MAX, READS_PER_TURN_MAX,
    TURN_BYTES_MAX,
};
use crate::tls::Stream;
use crate::trust::thing_facts;

/// The state of one shard.
pub(super) struct State {
    control: Arc<Control>,
    node: Node,
    /// Boxed, so that a growing table moves only pointers.
    connections: HashMap<ConnectionId, Box<Connection>>,
    last_connection: u64,
    actions: Actions,
    departed: Vec<(ConnectionId, Departure)>,
    touched: Vec<ConnectionId>,
    flusher: Option<Waker>,
    /// Read buffer of all connections: only the rest of an incomplete packet stays with its connection.
    scratch: Vec<u8>,
    outboxes: Vec<Outbox>,
    /// Connections that wait until other shards have taken their mail.
    paused: Vec<ConnectionId>,
    changes: Changes,
    /// Streams that only have to be closed.
    pub(super) closing: Vec<Stream>,
    /// Connections whose trust must be looked up again before they can be attached.
    pub(super) outdated: Vec<ConnectionId>,
}

/// Messages for another shard.
struct Outbox {
    shard: usize,
    messages: Vec<Arc<Message>>,
}

impl State {
    pub(super) fn new(control: Arc<Control>, index: usize) -> Self {
        let others = (0..control.shards.count()).filter(|shard| *shard != index);
        let outboxes = others
            .map(|shard| Outbox {
                shard,
                messages: Vec::new(),
            })
            .collect();
        Self {
            control,
            node: Node::new(Config::default()),
            connections: HashMap::new(),
            last_connection: 0,
            actions: Actions::new(),
            departed: Vec::new(),
            touched: Vec::new(),
            flusher: None,
            scratch: Vec::new(),
            outboxes,
            paused: Vec::new(),
            changes: Changes::default(),
            closing: Vec::new(),
            outdated: Vec::new(),
        }
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
        let connection = Connection::new(arrival).ok()?;
        self.last_connection += 1;
        let id = ConnectionId(self.last_connection);
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
            .find(|thing| thing.name.as_str() == client_id)
            .map(thing_facts);
        let source = connection
            .client
            .peer
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
        let context = PolicyContext::new(&client_id, source, opening.facts.clone(), thing.as_ref());
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

    /// One turn of a connection's task: send what is stuck, read what has come. Ready when the connection is gone.
    pub(super) fn turn(&mut self, id: ConnectionId, context: &mut Context<'_>) -> Poll<()> {
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
            match connection.stream.poll_fill(context, &mut input, TURN_BYTES_MAX) {
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
        let version = self
            .connections
            .get(&id)
            .map_or_else(Version::default, |connection| connection.version);
        let mut taken = 0;
        loop {
            let rest = input.get(taken..).unwrap_or_default();
            match event(version, id, rest) {
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

    /// Does what the node wants done, until it wants nothing more.
    fn carry_out(&mut self) {
        let mut actions = core::mem::take(&mut self.actions);
        loop {
            for action in actions.drain() {
                self.perform(action);
            }
            let departed = core::mem::take(&mut self.departed);
            if departed.is_empty() {
                break;
            }
            for (connection, reason) in departed {
                if reason == Departure::TooSlow {
                    self.note_slow(connection);
                }
                let listens = matches!(reason, Departure::Malformed(_));
                self.node
                    .step(Event::Closed { connection, reason }, clock::now(), &mut actions);
                if !listens {
                    self.abandon(connection);
                    continue;
                }
                // Who sends nonsense may still be told so, which MQTT 5.0 has words for.
                for action in actions.drain() {
                    self.perform(action);
                }
                self.close(connection);
            }
        }
        self.actions = actions;
        self.call_flusher();
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Send {
                connection: id,
                packet,
            } => {
                let Some(connection) = self.connections.get_mut(&id) else {
                    return;
                };
                match connection.queue(&packet) {
                    Queued::Taken if !connection.touched => {
                        connection.touched = true;
                        self.touched.push(id);
                    }
                    Queued::Taken | Queued::Dropped => {}
                    Queued::Overfull => self.departed.push((id, Departure::TooSlow)),
                }
            }
            Action::Close { connection, reason } => self.end(connection, reason),
            Action::Attached { connection } => self.attached(connection),
            Action::LookAgain { connection } => self.outdated.push(connection),
            // Each connection is announced; other shards need not hear of it while nobody listens anywhere.
            Action::Forward(message)
                if message.topic().starts_with("$aws/") && !self.control.shards.has_listeners() => {}
            Action::Forward(message) => {
                for outbox in &mut self.outboxes {
                    outbox.messages.push(message.clone());
                }
            }
            Action::Refused(refusal) => self.note_refusal(&refusal),
        }
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
        if let Ok(First::Connect { version, bytes, .. }) = first(&received, PACKET_BYTES_MAX) {
            connection.version = version;
            keep_rest(&mut connection.input, &mut received, bytes);
        }
        connection.unread = !connection.input.is_empty();
        connection.wake();
        record.attempt.trail.passed("mqtt.connect", "");
        record.attempt.accept();
        record.keep(&self.control);
    }

    /// Closes from this side: sends what is on its way first.
    fn end(&mut self, id: ConnectionId, reason: CloseReason) {
        if reason.is_client_initiated() {
            return self.abandon(id);
        }
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if let Some(mut opening) = connection.opening.take() {
            let said = opening.record.attempt.verdict == Verdict::Refused;
            if !said {
                let reason = format!("the connection ended with {}", reason.aws_name());
                opening
                    .record
                    .attempt
                    .end(Verdict::Refused, "cloud.shard.closed", reason, "");
            }
            opening.record.keep(&self.control);
        }
        self.close(id);
    }

    fn close(&mut self, id: ConnectionId) {
        if let Some(mut connection) = self.connections.remove(&id) {
            let _ = connection.flush();
            connection.wake();
            self.closing.push(connection.stream);
            self.call_flusher();
        }
    }

    /// The other side is gone, does not read, or said goodbye: nothing more has to be said to it.
    fn abandon(&mut self, id: ConnectionId) {
        if let Some(mut connection) = self.connections.remove(&id) {
            if let Some(opening) = connection.opening.take() {
                let reason = "the connection was lost before its CONNECT was answered";
                opening
                    .record
                    .end(&self.control, Verdict::Abandoned, "cloud.mqtt.gone", reason, "");
            }
            connection.wake();
        }
    }

    /// Sends everything that was queued, and hands over what other shards take.
    pub(super) fn flush(&mut self) {
        for id in core::mem::take(&mut self.touched) {
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

    fn send_mail(&mut self) {
        for outbox in self
            .outboxes
            .iter_mut()
            .filter(|outbox| !outbox.messages.is_empty())
        {
            let Some(mailbox) = self.control.shards.mailbox(outbox.shard) else {
                continue;
            };
            let mail = Mail::Forwarded(core::mem::take(&mut outbox.messages));
            if let Err(TrySendError::Full(Mail::Forwarded(messages))) = mailbox.try_send(mail) {
                outbox.messages = messages;
            }
        }
        if !self.is_congested() {
            for id in core::mem::take(&mut self.paused) {
                if let Some(connection) = self.connections.get(&id) {
                    connection.wake();
                }
            }
        }
    }

    /// Whether another shard is so far behind that publishers here must wait.
    pub(super) fn is_congested(&self) -> bool {
        self.outboxes
            .iter()
            .any(|outbox| outbox.messages.len() >= OUTBOX_MESSAGES_MAX)
    }

    /// Whether there is something to flush; if not, whoever asks is woken when there is.
    pub(super) fn poll_work(&mut self, context: &Context<'_>) -> Poll<()> {
        match self.has_work() {
            true => Poll::Ready(()),
            false => {
                self.flusher = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn has_work(&self) -> bool {
        let mail = self.outboxes.iter().any(|outbox| !outbox.messages.is_empty()) && !self.is_congested();
        mail || !self.touched.is_empty() || !self.closing.is_empty() || !self.outdated.is_empty()
    }

    fn call_flusher(&mut self) {
        if self.has_work()
            && let Some(flusher) = self.flusher.take()
        {
            flusher.wake();
        }
    }

    /// Messages of another shard's clients.
    pub(super) fn forwarded(&mut self, messages: Vec<Arc<Message>>) {
        let now = clock::now();
        for message in messages {
            self.node.step(Event::Forwarded(message), now, &mut self.actions);
        }
        self.carry_out();
    }

    /// A message of the server or its API.
    pub(super) fn publish(&mut self, message: Arc<Message>) {
        self.node
            .step(Event::Publish(message), clock::now(), &mut self.actions);
        self.carry_out();
    }

    /// Acts on changes of trust; when this returns, live connections have felt them.
    pub(super) fn change_trust(&mut self, changes: &[broker::Trust]) {
        let now = clock::now();
        for change in changes {
            self.node
                .step(Event::Trust(change.clone()), now, &mut self.actions);
            if let Some(grant) = &change.grant {
                let held = self.connections.values_mut().filter(|connection| {
                    connection.grant.certificate == change.certificate
                        && connection.grant.tenant == change.tenant
                });
                held.for_each(|connection| connection.grant = grant.clone());
            }
        }
        self.carry_out();
        self.flush();
    }

    /// Acts on a change of a thing.
    pub(super) fn change_thing(&mut self, news: &ThingNews) {
        self.changes.note_thing(news);
        let change = broker::ThingChange {
            tenant: news.tenant,
            name: &news.name,
            facts: news.facts.as_ref(),
            attached_to: &news.attached_to,
        };
        self.node
            .step(Event::Thing(change), clock::now(), &mut self.actions);
        self.carry_out();
        self.flush();
    }

    /// Notes that a policy changed, and names the certificates of live connections that have it.
    pub(super) fn change_policy(
        &mut self,
        tenant: Tenant,
        policy: &Arc<str>,
        epoch: u64,
    ) -> Vec<CertificateId> {
        self.changes.note_policy(tenant, policy.clone(), epoch);
        let holds = |connection: &Connection| {
            let grant = &connection.grant;
            grant.tenant == tenant && grant.policies().iter().any(|held| held.name() == &**policy)
        };
        self.connections
            .values()
            .filter(|connection| holds(connection))
            .map(|connection| connection.grant.certificate)
            .collect()
    }

    /// Time has passed.
    pub(super) fn tick(&mut self) {
        self.node.step(Event::Tick, clock::now(), &mut self.actions);
        self.carry_out();
        self.send_mail();
    }

    /// When time matters next.
    pub(super) fn next_deadline(&self) -> Option<identity::UnixMillis> {
        self.node.next_deadline()
    }

    /// Ends every connection, as politely as there is time for.
    pub(super) fn stop(&mut self) {
        let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for id in ids {
            let reason = Departure::ServerShutdown;
            self.node.step(
                Event::Closed {
                    connection: id,
                    reason,
                },
                clock::now(),
                &mut self.actions,
            );
        }
        self.carry_out();
        self.flush();
        let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        ids.into_iter().for_each(|id| self.close(id));
    }

    /// Writes down that a client is closed because it does not read.
    fn note_slow(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let mut attempt = self.attempt_of(connection, Kind::Subscribe, connection.grant.tenant);
        let reason = format!("the client does not read: more than {OUTBOUND_BYTES_MAX} bytes wait for it");
        attempt.end(
            Verdict::Refused,
            "cloud.shard.slow",
            reason,
            "let the client read faster, or subscribe to less",
        );
        store::Attempts::record(&self.control.attempts, attempt);
    }

    /// The beginning of a record about a live connection.
    fn attempt_of(&self, connection: &Connection, kind: Kind, tenant: Tenant) -> Attempt {
        let mut attempt = Attempt::begin(self.control.traces.next(), kind, tenant, clock::now());
        let client = &connection.client;
        attempt.peer = client.peer;
        attempt.certificate.clone_from(&client.certificate);
        attempt.thing.clone_from(&client.thing);
        attempt.standing = client.standing;
        attempt
    }

    /// Writes down what was refused: in the record of the connection itself while it is being decided, else in one of its own.
    fn note_refusal(&mut self, refusal: &Refusal) {
        let connection = self.connections.get_mut(&refusal.connection);
        let opening = connection.and_then(|connection| connection.opening.as_mut());
        if let Some(opening) = opening {
            describe(&mut opening.record.attempt, refusal);
            return;
        }
        let kind = kind_of(&refusal.attempt);
        let mut attempt = match self.connections.get(&refusal.connection) {
            Some(connection) => self.attempt_of(connection, kind, refusal.tenant),
            None => Attempt::begin(self.control.traces.next(), kind, refusal.tenant, clock::now()),
        };
        describe(&mut attempt, refusal);
        store::Attempts::record(&self.control.attempts, attempt);
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
) -> Result<Option<(Event<'_>, usize)>, Malformed> {
    Ok(match version {
        Version::V3 => match decode(input, PACKET_BYTES_MAX)? {
            Decoded::Incomplete { .. } => None,
            Decoded::Packet { packet, bytes } => Some((Event::Packet { connection, packet }, bytes)),
        },
        Version::V5 => match v5::decode(input, PACKET_BYTES_MAX)? {
            v5::Decoded::Incomplete { .. } => None,
            v5::Decoded::Packet { packet, bytes } => Some((Event::PacketV5 { connection, packet }, bytes)),
        },
    })
}

/// Messages of the server's own are only made if anybody ever asked for any.
fn note_listener(control: &Control, event: &Event<'_>) {
    let names_them = |filter: mqtt::TopicFilter<'_>| filter.as_str().contains("$aws/");
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

fn kind_of(attempt: &broker::Attempt) -> Kind {
    match attempt {
        broker::Attempt::Publish(_) => Kind::Publish,
        broker::Attempt::Subscribe(_) | broker::Attempt::Receive(_) => Kind::Subscribe,
        _ => Kind::Connect,
    }
}

fn describe(attempt: &mut Attempt, refusal: &Refusal) {
    attempt.client_id = Some(Text::short(&*refusal.client_id));
    attempt.operation = match &refusal.attempt {
        broker::Attempt::Publish(name)
        | broker::Attempt::Subscribe(name)
        | broker::Attempt::Receive(name)
        | broker::Attempt::Will(name) => Some(Text::short(&**name)),
        _ => None,
    };
    let reason = refusal.reason.to_string();
    attempt.trail.failed("broker.decide", reason.as_str());
    attempt.end(
        Verdict::Refused,
        refusal.reason.code(),
        reason,
        hint_of(&refusal.reason),
    );
}

fn hint_of(reason: &broker::Reason) -> &'static str {
    match reason {
        broker::Reason::Policy { .. } => {
            "add the statement to a policy of the certificate (CreatePolicyVersion), or correct what the device asks for"
        }
        broker::Reason::Limit { .. } => "stay within the limit; it is that of AWS IoT Core",
        broker::Reason::QueueFull { .. } => "let the client read faster, or subscribe to less",
        _ => "",
    }
}
