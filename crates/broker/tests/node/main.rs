//! One node, step by step: each action is a line of text, so that a test reads like a transcript.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod asking;
mod connecting;
mod exactly_once;
mod interest;
mod publishing;
mod retained;
mod sessions;
mod shared;
mod standard;
mod subscribing;
mod switches;
mod trust;
mod version_5;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use broker::{
    Absence, Action, Actions, Attach, Config, ConnectionId, Departure, DisconnectReason, Event, Forward,
    Gate, Limits, Message, Node, NodeIndex, Nodes, Record, Restoring, SessionId, ThingChange, Trust,
};
use identity::{CertificateId, Explained, Tenant, UnixMillis};
use mqtt::{
    Connect, Decoded, Delivery, Packet, PacketId, Publish, QoS, Subscription, TopicFilter, TopicName,
    Version, Will, decode, encode, v5,
};
use policy::{CertificateFacts, Context, Grant, NamedPolicy, Policy, ThingFacts};

const CERTIFICATE: CertificateId = CertificateId([0xab; 32]);

/// What a client with the ordinary policy may do: everything beneath `dt/<its id>/` and `cmd/`, and listen to `dt/`.
const ORDINARY: &str = r#"[
    {"Effect": "Allow", "Action": "iot:Connect", "Resource": "arn:aws:iot:*:*:client/${iot:ClientId}"},
    {"Effect": "Allow", "Action": "iot:Publish", "Resource": ["arn:aws:iot:*:*:topic/dt/${iot:ClientId}/*", "arn:aws:iot:*:*:topic/cmd/*"]},
    {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": ["arn:aws:iot:*:*:topicfilter/dt/*", "arn:aws:iot:*:*:topicfilter/cmd/*", "arn:aws:iot:*:*:topicfilter/$aws/events/*", "arn:aws:iot:*:*:topicfilter/$share/*"]},
    {"Effect": "Allow", "Action": "iot:Receive", "Resource": ["arn:aws:iot:*:*:topic/dt/*", "arn:aws:iot:*:*:topic/cmd/*", "arn:aws:iot:*:*:topic/$aws/events/*"]}]"#;

const EVERYTHING: &str = r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#;

fn grant_of(tenant: Tenant, certificate: CertificateId, epoch: u64, statements: &str) -> Arc<Grant> {
    let document = format!(r#"{{"Version": "2012-10-17", "Statement": {statements}}}"#);
    let policy = NamedPolicy::new("fleet", Policy::parse(&document).unwrap());
    Arc::new(Grant::new(tenant, certificate, epoch, [policy]))
}

fn grant(statements: &str) -> Arc<Grant> {
    grant_of(Tenant::default(), CERTIFICATE, 1, statements)
}

fn message(topic: &str, qos: QoS) -> Arc<Message> {
    Message::new(Tenant::default(), TopicName::new(topic).unwrap(), b"m", qos).unwrap()
}

/// A message that another node forwards.
fn forwarded(message: Arc<Message>) -> Event<'static> {
    Event::Forwarded {
        from: NodeIndex(1),
        forward: Forward {
            message,
            chosen: Arc::new([]),
            relay: None,
            after: Gate::NONE,
            to: Nodes::ALL,
            is_handed: false,
        },
    }
}

fn asks<'a>(client_id: &'a str) -> Connect<'a> {
    Connect {
        client_id,
        clean_session: true,
        keep_alive_seconds: 60,
        will: None,
        user_name: None,
        password: None,
    }
}

fn last_words(topic: &str) -> Will<'_> {
    Will {
        topic: TopicName::new(topic).unwrap(),
        payload: b"gone",
        qos: QoS::AtLeastOnce,
        retain: false,
    }
}

struct Bench {
    node: Node,
    now: UnixMillis,
    /// Presence and subscription events are left out of transcripts unless a test is about them.
    events: bool,
    /// Those who speak MQTT 5.0.
    v5: BTreeSet<u64>,
    config: Config,
    /// All that was kept.
    log: Vec<Record>,
    /// What waits at a gate says so.
    gates: bool,
}

impl Bench {
    fn new() -> Self {
        Self::with(Limits::AWS)
    }

    /// With one client that may do everything.
    fn connected() -> Self {
        let mut bench = Self::new();
        bench.connect(1, EVERYTHING);
        bench
    }

    fn with(limits: Limits) -> Self {
        Self::of(Config {
            limits,
            ..Config::default()
        })
    }

    fn of(config: Config) -> Self {
        Self {
            node: Node::new(config),
            config,
            log: Vec::new(),
            gates: false,
            now: UnixMillis(1_000_000),
            events: false,
            v5: BTreeSet::new(),
        }
    }

    fn step(&mut self, event: Event<'_>) -> Vec<String> {
        let mut actions = Actions::new();
        self.node.step(event, self.now, &mut actions);
        self.show_all(&mut actions)
    }

    fn show_all(&mut self, actions: &mut Actions) -> Vec<String> {
        let kept = actions.iter().filter_map(|action| match action {
            Action::Keep(record) => Some(record.clone()),
            _ => None,
        });
        self.log.extend(kept);
        actions
            .drain()
            .map(|action| self.show(&action))
            .filter(|line| self.events || !line.contains("$aws/events/"))
            .filter(|line| !line.starts_with("keep "))
            .collect()
    }

    fn show(&self, action: &Action) -> String {
        let line = match action {
            Action::Send {
                connection, packet, ..
            } if self.v5.contains(&connection.0) => version_5::show(connection.0, packet),
            other => show(other),
        };
        match action {
            Action::Send { after, .. } if self.gates && *after != Gate::NONE => format!("{line} (waits)"),
            _ => line,
        }
    }

    /// Everything is lost but what was kept. A node made of it is what this one was, and so is one made of its checkpoint.
    fn restart(&mut self) -> Vec<String> {
        let log = std::mem::take(&mut self.log);
        let (mut node, mut actions) = restored(self.config, &log, self.now);
        self.log = snapshot(&mut node, self.now);
        let (mut again, _) = restored(self.config, &self.log, self.now);
        let again = snapshot(&mut again, self.now);
        assert_eq!(
            format!("{:?}", renumbered(&self.log)),
            format!("{:?}", renumbered(&again))
        );
        self.node = restored(self.config, &self.log, self.now).0;
        self.show_all(&mut actions)
    }

    fn attach(&mut self, id: u64, grant: &Arc<Grant>, connect: Connect<'_>) -> Vec<String> {
        self.attach_from(id, grant, connect, None)
    }

    fn attach_v5(&mut self, id: u64, grant: &Arc<Grant>, connect: v5::Connect<'_>) -> Vec<String> {
        self.v5.insert(id);
        self.attach_as(Version::V5, id, grant, connect, None)
    }

    fn attach_from(
        &mut self,
        id: u64,
        grant: &Arc<Grant>,
        connect: Connect<'_>,
        thing: Option<&ThingFacts>,
    ) -> Vec<String> {
        self.v5.remove(&id);
        self.attach_as(Version::V3, id, grant, connect.into(), thing)
    }

    fn attach_as(
        &mut self,
        version: Version,
        id: u64,
        grant: &Arc<Grant>,
        connect: v5::Connect<'_>,
        thing: Option<&ThingFacts>,
    ) -> Vec<String> {
        let session = SessionId([u8::try_from(id).unwrap(); 16]);
        let facts = Arc::new(CertificateFacts::new(grant.certificate));
        let client_id = broker::client_id(&connect, session);
        let context = Context::new(&client_id, IpAddr::from([203, 0, 113, 7]), facts, thing);
        self.step(Event::Attach(Attach {
            connection: ConnectionId(id),
            grant: Arc::clone(grant),
            context,
            session,
            version,
            connect,
        }))
    }

    /// A client `c<id>` with this policy.
    fn connect(&mut self, id: u64, statements: &str) {
        let client_id = format!("c{id}");
        let expected = [format!("{id} attached"), format!("{id} < CONNACK accepted")];
        assert_eq!(self.attach(id, &grant(statements), asks(&client_id)), expected);
    }

    fn send(&mut self, id: u64, packet: Packet<'_>) -> Vec<String> {
        self.step(Event::Packet {
            connection: ConnectionId(id),
            packet,
        })
    }

    fn publish(&mut self, id: u64, topic: &str, qos: QoS) -> Vec<String> {
        self.publish_payload(id, topic, b"m", qos)
    }

    fn publish_payload(&mut self, id: u64, topic: &str, payload: &[u8], qos: QoS) -> Vec<String> {
        let delivery = match qos {
            QoS::AtMostOnce => Delivery::AtMostOnce,
            QoS::AtLeastOnce => Delivery::AtLeastOnce {
                id: packet_id(9),
                duplicate: false,
            },
            QoS::ExactlyOnce => Delivery::ExactlyOnce {
                id: packet_id(9),
                duplicate: false,
            },
        };
        let topic = TopicName::new(topic).unwrap();
        self.send(
            id,
            Packet::Publish(Publish {
                topic,
                payload,
                delivery,
                retain: false,
            }),
        )
    }

    fn subscribe(&mut self, id: u64, lines: &[(&str, QoS)]) -> Vec<String> {
        let lines = lines.iter().map(|(filter, qos)| Subscription {
            filter: TopicFilter::new(filter).unwrap(),
            qos: *qos,
        });
        let mut bytes = Vec::new();
        encode::subscribe(&mut bytes, packet_id(7), lines).unwrap();
        self.send(id, whole(&bytes))
    }

    fn unsubscribe(&mut self, id: u64, filters: &[&str]) -> Vec<String> {
        let filters = filters.iter().map(|filter| TopicFilter::new(filter).unwrap());
        let mut bytes = Vec::new();
        encode::unsubscribe(&mut bytes, packet_id(8), filters).unwrap();
        self.send(id, whole(&bytes))
    }

    fn closed(&mut self, id: u64, reason: Departure) -> Vec<String> {
        self.step(Event::Closed {
            connection: ConnectionId(id),
            reason,
        })
    }

    fn wait(&mut self, seconds: i64) -> Vec<String> {
        self.now = self.now.plus_millis(seconds * 1_000);
        self.step(Event::Tick)
    }
}

fn restored(config: Config, log: &[Record], now: UnixMillis) -> (Node, Actions) {
    let mut restoring = Restoring::new(config);
    for record in log {
        restoring.take(record.clone()).unwrap();
    }
    restoring.finish(now)
}

/// The same records with messages counted from 1: which numbers they have is of no interest.
fn renumbered(log: &[Record]) -> Vec<Record> {
    let mut numbers = std::collections::BTreeMap::new();
    let mut renumber = |id: &mut u64| {
        let next = numbers.len() as u64 + 1;
        *id = *numbers.entry(*id).or_insert(next);
    };
    let mut log = log.to_vec();
    for record in &mut log {
        match record {
            Record::Message { id, .. } => renumber(id),
            Record::Queued { message, .. }
            | Record::Retained { message }
            | Record::Relay { message, .. }
            | Record::HandedOver { message, .. } => {
                renumber(message);
            }
            Record::Attached { will: Some(will), .. } => renumber(&mut will.message),
            _ => {}
        }
    }
    log
}

fn snapshot(node: &mut Node, now: UnixMillis) -> Vec<Record> {
    let mut actions = Actions::new();
    node.snapshot(now, &mut actions);
    let records = actions.drain().map(|action| match action {
        Action::Keep(record) => record,
        other => panic!("{other:?}"),
    });
    records.collect()
}

fn packet_id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}

fn whole(bytes: &[u8]) -> Packet<'_> {
    match decode(bytes, usize::MAX) {
        Ok(Decoded::Packet {
            packet,
            bytes: length,
        }) if length == bytes.len() => packet,
        other => panic!("{other:?}"),
    }
}

fn show(action: &Action) -> String {
    match action {
        Action::Send {
            connection, packet, ..
        } => {
            let mut bytes = Vec::new();
            packet.append_to(&mut bytes);
            format!("{} < {}", connection.0, show_packet(&whole(&bytes)))
        }
        Action::Close { connection, reason } => {
            format!("{} closed {}", connection.0, reason.disconnect_reason().name())
        }
        Action::Attached { connection } => format!("{} attached", connection.0),
        Action::LookAgain { connection } => format!("{} look again", connection.0),
        Action::Forward(forward) => format!("forward {}", forward.message.topic()),
        Action::Share(share) => format!("share {} {} {}", share.filter, share.present, share.away),
        Action::Keep(record) => format!("keep {record:?}"),
        Action::Received { connection, number } => format!("{} has {number}", connection.0),
        Action::Ask(ask) => format!(
            "{} asks {} {}",
            ask.connection.0,
            ask.message.topic(),
            String::from_utf8_lossy(ask.message.payload())
        ),
        Action::Refused(refusal) => format!(
            "{} may not {}: {}",
            refusal.connection.map_or(0, |connection| connection.0),
            refusal.attempt,
            refusal.reason.code()
        ),
    }
}

fn show_packet(packet: &Packet<'_>) -> String {
    match packet {
        Packet::ConnectAnswer(answer) => {
            format!("CONNACK {}{}", answer.code, present(answer.session_present))
        }
        Packet::PublishAcknowledged(id) => format!("PUBACK {id}"),
        Packet::PublishReceived(id) => format!("PUBREC {id}"),
        Packet::PublishReleased(id) => format!("PUBREL {id}"),
        Packet::PublishCompleted(id) => format!("PUBCOMP {id}"),
        Packet::SubscribeAnswer(answer) => {
            let codes = answer
                .codes
                .map(|code| format!("{:02x}", code.byte()))
                .collect::<Vec<_>>();
            format!("SUBACK {} {}", answer.id, codes.join(" "))
        }
        Packet::UnsubscribeAnswer(id) => format!("UNSUBACK {id}"),
        Packet::PingAnswer => "PINGRESP".to_owned(),
        Packet::Publish(publish) => {
            let id = publish
                .delivery
                .packet_id()
                .map(|id| format!(" id {id}"))
                .unwrap_or_default();
            let payload = String::from_utf8_lossy(publish.payload);
            let marks = marks(publish.delivery, publish.retain);
            format!(
                "{} QoS {}{id} {payload}{marks}",
                publish.topic,
                publish.delivery.qos().bits()
            )
        }
        other => panic!("{other:?} is never sent"),
    }
}

fn present(session_present: bool) -> &'static str {
    if session_present { ", session present" } else { "" }
}

/// What is unusual about a message.
fn marks(delivery: Delivery, retain: bool) -> String {
    let repeated = matches!(
        delivery,
        Delivery::AtLeastOnce { duplicate: true, .. } | Delivery::ExactlyOnce { duplicate: true, .. }
    );
    let mark = |is: bool, mark: &'static str| if is { mark } else { "" };
    format!("{}{}", mark(repeated, " DUP"), mark(retain, " RETAIN"))
}

const NOTHING: [&str; 0] = [];
