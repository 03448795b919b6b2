//! Two and three broker nodes joined by a `Vec`: clients come and go, subscribe and publish, trust changes, and everything that
//! travels between nodes is delayed and overtakes as a seed decides.
//!
//! A model that goes through all clients one by one says after every step who must have got what; a message too many, too few,
//! twice, out of order or across a policy ends the run. It prints its seed; one command replays it:
//! `cargo xtask world --seed N`.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use broker::{
    Action, Actions, Attach, Config, ConnectionId, Departure, Event, Forward, Interests, Limits, Node,
    NodeIndex, Outgoing, SessionId, Trust,
};
use identity::{CertificateId, Tenant, UnixMillis};
use mqtt::{
    Connect, Decoded, Delivery, Matching, Packet, PacketId, Publish, QoS, Subscription, TopicFilter,
    TopicName, Will, decode, encode,
};
use policy::{CertificateFacts, Context, Grant, NamedPolicy, Policy};

/// Seeded runs of each size, and steps of each run.
const SEEDS: u64 = 60;
const STEPS: usize = 600;

const CLIENTS: usize = 12;
/// Small, so that clients that are slow to acknowledge reach it.
const INFLIGHT_MAX: usize = 3;

const TOPICS: [&str; 5] = ["dt/a", "dt/b", "dt/b/x", "secret/a", "w/will"];
const FILTERS: [&str; 6] = ["#", "dt/a", "dt/+", "dt/b/#", "secret/#", "+/+"];

/// What a certificate is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Everything,
    /// Listens to all, but gets nothing from `secret/`.
    NoSecrets,
    /// Publishes and gets nothing.
    Mute,
    /// Nothing at all: the certificate is not active.
    Revoked,
}

const ROLES: [Role; 4] = [Role::Everything, Role::NoSecrets, Role::Mute, Role::Revoked];

impl Role {
    fn may_receive(self, topic: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::NoSecrets => !topic.starts_with("secret/"),
            Self::Mute | Self::Revoked => false,
        }
    }

    /// `None` for what nobody is granted.
    fn grant(self, certificate: CertificateId, epoch: u64) -> Option<Arc<Grant>> {
        let all = r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#;
        let deny = |resource: &str| {
            format!(r#"[{all}, {{"Effect": "Deny", "Action": "iot:Receive", "Resource": "{resource}"}}]"#)
        };
        let statements = match self {
            Self::Everything => all.to_owned(),
            Self::NoSecrets => deny("arn:aws:iot:*:*:topic/secret/*"),
            Self::Mute => deny("*"),
            Self::Revoked => return None,
        };
        let document = format!(r#"{{"Version": "2012-10-17", "Statement": {statements}}}"#);
        let policy = NamedPolicy::new("role", Policy::parse(&document).unwrap());
        Some(Arc::new(Grant::new(
            Tenant::default(),
            certificate,
            epoch,
            [policy],
        )))
    }
}

/// SplitMix64: a few lines, the same numbers everywhere.
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.throw() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// A client as the model knows it.
struct Client {
    name: String,
    certificate: CertificateId,
    /// Where it connects, always the same: nodes share out clients by name.
    node: usize,
    /// The state of trust that is written down.
    truth: Role,
    truth_epoch: u64,
    /// A grant that was read some time ago and may be used late.
    saved: (Role, u64),
    /// The newest change that each node was told.
    told_epoch: Vec<u64>,
    live: Option<Live>,
}

/// A connection as the model knows it.
struct Live {
    connection: ConnectionId,
    role: Role,
    epoch: u64,
    filters: Vec<&'static str>,
    will: u64,
    expected: Vec<(u64, String)>,
    received: Vec<(u64, String)>,
    unacknowledged: VecDeque<PacketId>,
    acknowledged: usize,
}

/// Something between nodes, or between the control plane and a node.
enum Flying {
    Message(Forward),
    Trust { client: usize, role: Role, epoch: u64 },
}

struct World {
    dice: Dice,
    now: UnixMillis,
    nodes: Vec<Node>,
    /// What is on its way, with the node it goes to, in no order that counts.
    flying: Vec<(usize, Flying)>,
    clients: Vec<Client>,
    connections: u64,
    messages: u64,
    epoch: u64,
    /// Everything that the nodes did, to compare two runs.
    transcript: Vec<String>,
    looked_again: usize,
    /// Messages that were not sent to a node that does not want them.
    kept_back: usize,
}

impl World {
    fn new(seed: u64, nodes: usize) -> Self {
        let limits = Limits {
            inflight_messages_max: INFLIGHT_MAX,
            ..Limits::AWS
        };
        let interests = Arc::new(Interests::new());
        let node = |index: usize| {
            let mut node = Node::new(Config {
                limits,
                index: NodeIndex(u16::try_from(index).unwrap()),
                nodes: u16::try_from(nodes).unwrap(),
                ..Config::AWS
            });
            node.join(&interests);
            node
        };
        let client = |index: usize| Client {
            name: format!("c{index}"),
            certificate: CertificateId([u8::try_from(index).unwrap(); 32]),
            node: index % nodes,
            truth: Role::Everything,
            truth_epoch: 0,
            saved: (Role::Everything, 0),
            told_epoch: vec![0; nodes],
            live: None,
        };
        Self {
            dice: Dice(seed),
            now: UnixMillis(1_000_000),
            nodes: (0..nodes).map(node).collect(),
            flying: Vec::new(),
            clients: (0..CLIENTS).map(client).collect(),
            connections: 0,
            messages: 0,
            epoch: 0,
            transcript: Vec::new(),
            looked_again: 0,
            kept_back: 0,
        }
    }

    /// Lets one thing happen.
    fn step(&mut self) {
        self.now = self
            .now
            .plus_millis(1 + i64::try_from(self.dice.below(200)).unwrap());
        let client = self.dice.below(CLIENTS);
        match self.dice.below(20) {
            0..=2 => self.connect(client),
            3..=5 => self.subscribe(client),
            6..=9 => self.publish(client),
            10..=13 => self.acknowledge(client),
            14..=17 => self.land_one(),
            18 => self.leave(client),
            _ => self.change_trust(client),
        }
        self.check();
    }

    fn event(&mut self, node: usize, event: Event<'_>) {
        let mut actions = Actions::new();
        self.nodes[node].step(event, self.now, &mut actions);
        for action in actions.drain() {
            self.transcript.push(format!("{node} {action:?}"));
            self.act(node, action);
        }
    }

    fn act(&mut self, node: usize, action: Action) {
        match action {
            Action::Forward(forward) => {
                let wanted = |other: &usize| forward.to.contain(NodeIndex(u16::try_from(*other).unwrap()));
                let others = (0..self.nodes.len()).filter(|other| *other != node && wanted(other));
                self.flying
                    .extend(others.map(|other| (other, Flying::Message(forward.clone()))));
            }
            Action::Send {
                connection, packet, ..
            } => self.arrive(connection, &packet),
            Action::LookAgain { .. } => self.looked_again += 1,
            Action::Close { .. }
            | Action::Attached { .. }
            | Action::Ask(_)
            | Action::Received { .. }
            | Action::Refused(_)
            | Action::Keep(_)
            | Action::Share(_) => {}
        }
    }

    /// A message was published on one node: it is on its way to every other where the model knows of somebody who listens.
    fn check_sent(&mut self, node: usize, topic: &str, message: u64) {
        let name = TopicName::new(topic).unwrap();
        let matches = |filter: &&str| TopicFilter::new(filter).unwrap().matches(name, Matching::Aws);
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            let there = self.clients.iter().filter(|client| client.node == other);
            let mut filters = there
                .filter_map(|client| client.live.as_ref())
                .flat_map(|live| &live.filters);
            let is_sent = self.flying.iter().any(|(to, flying)| match flying {
                Flying::Message(forward) => {
                    *to == other && forward.message.payload() == message.to_be_bytes()
                }
                Flying::Trust { .. } => false,
            });
            assert!(is_sent || !filters.any(matches), "node {other} misses {topic}");
            self.kept_back += usize::from(!is_sent);
        }
    }

    fn arrive(&mut self, connection: ConnectionId, packet: &Outgoing) {
        let mut bytes = Vec::new();
        packet.append_to(&mut bytes);
        let Ok(Decoded::Packet {
            packet: Packet::Publish(publish),
            ..
        }) = decode(&bytes, usize::MAX)
        else {
            return;
        };
        let live = self
            .clients
            .iter_mut()
            .filter_map(|client| client.live.as_mut())
            .find(|live| live.connection == connection);
        let live = live.unwrap_or_else(|| panic!("{connection} gets {} after its end", publish.topic));
        let Delivery::AtLeastOnce { id, duplicate: false } = publish.delivery else {
            panic!("{:?}", publish.delivery)
        };
        live.unacknowledged.push_back(id);
        live.received
            .push((number(publish.payload), publish.topic.as_str().to_owned()));
    }

    /// Connects with the state of trust as it is, or with a grant that was read earlier.
    fn connect(&mut self, index: usize) {
        self.connections += 1;
        self.messages += 1;
        let will = self.messages;
        let late = self.dice.below(4) == 0;
        let client = &mut self.clients[index];
        let current = (client.truth, client.truth_epoch);
        let (role, epoch) = if late { client.saved } else { current };
        client.saved = current;
        let Some(grant) = role.grant(client.certificate, epoch) else {
            return;
        };
        let (connection, node, name, certificate) = (
            ConnectionId(self.connections),
            client.node,
            client.name.clone(),
            client.certificate,
        );
        let outdated = epoch < client.told_epoch[node];

        // What the model expects comes first: the old connection ends, its will goes out, the new one is there.
        if !outdated {
            if let Some(before) = client.live.take() {
                self.expect(node, "w/will", before.will);
            }
            self.clients[index].live = Some(Live {
                connection,
                role,
                epoch,
                filters: Vec::new(),
                will,
                expected: Vec::new(),
                received: Vec::new(),
                unacknowledged: VecDeque::new(),
                acknowledged: 0,
            });
        }
        let payload = will.to_be_bytes();
        let topic = TopicName::new("w/will").unwrap();
        let connect = Connect {
            client_id: &name,
            clean_session: true,
            keep_alive_seconds: 1_200,
            will: Some(Will {
                topic,
                payload: &payload,
                qos: QoS::AtLeastOnce,
                retain: false,
            }),
            user_name: None,
            password: None,
        };
        let facts = Arc::new(CertificateFacts::new(certificate));
        let context = Context::new(&name, IpAddr::from([192, 0, 2, 1]), facts, None);
        let looked_again = self.looked_again;
        self.event(
            node,
            Event::Attach(Attach {
                connection,
                grant,
                context,
                session: SessionId([0; 16]),
                version: mqtt::Version::V3,
                connect: connect.into(),
            }),
        );
        assert_eq!(
            self.looked_again - looked_again,
            usize::from(outdated),
            "grant of {epoch}"
        );
    }

    fn subscribe(&mut self, index: usize) {
        let filter = self.dice.pick(&FILTERS);
        let client = &mut self.clients[index];
        let Some(live) = &mut client.live else { return };
        live.filters.push(filter);
        let mut bytes = Vec::new();
        let line = Subscription {
            filter: TopicFilter::new(filter).unwrap(),
            qos: QoS::AtLeastOnce,
        };
        encode::subscribe(&mut bytes, PacketId::FIRST, [line]).unwrap();
        let Ok(Decoded::Packet { packet, .. }) = decode(&bytes, usize::MAX) else {
            panic!("{bytes:?}")
        };
        let (node, connection) = (client.node, live.connection);
        self.event(node, Event::Packet { connection, packet });
    }

    fn publish(&mut self, index: usize) {
        let topic = self.dice.pick(&TOPICS);
        let client = &self.clients[index];
        let Some(live) = &client.live else { return };
        let (node, connection) = (client.node, live.connection);
        self.messages += 1;
        let message = self.messages;
        self.expect(node, topic, message);
        let publish = Publish {
            topic: TopicName::new(topic).unwrap(),
            payload: &message.to_be_bytes(),
            delivery: Delivery::AtLeastOnce {
                id: PacketId::FIRST,
                duplicate: false,
            },
            retain: false,
        };
        self.event(
            node,
            Event::Packet {
                connection,
                packet: Packet::Publish(publish),
            },
        );
        self.check_sent(node, topic, message);
    }

    /// The client acknowledges the oldest message it has not acknowledged.
    fn acknowledge(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let Some(live) = &mut client.live else { return };
        let Some(id) = live.unacknowledged.pop_front() else {
            return;
        };
        live.acknowledged += 1;
        let (node, connection) = (client.node, live.connection);
        self.event(
            node,
            Event::Packet {
                connection,
                packet: Packet::PublishAcknowledged(id),
            },
        );
    }

    /// With or without a goodbye.
    fn leave(&mut self, index: usize) {
        let goodbye = self.dice.below(2) == 0;
        let client = &mut self.clients[index];
        let node = client.node;
        let Some(live) = client.live.take() else { return };
        let connection = live.connection;
        if goodbye {
            return self.event(
                node,
                Event::Packet {
                    connection,
                    packet: Packet::Disconnect,
                },
            );
        }
        self.expect(node, "w/will", live.will);
        self.event(
            node,
            Event::Closed {
                connection,
                reason: Departure::ConnectionLost,
            },
        );
    }

    /// Writes a change of trust down; every node will hear of it, sooner or later and in any order.
    fn change_trust(&mut self, index: usize) {
        let role = self.dice.pick(&ROLES);
        self.epoch += 1;
        let epoch = self.epoch;
        let client = &mut self.clients[index];
        (client.truth, client.truth_epoch) = (role, epoch);
        for node in 0..self.nodes.len() {
            self.flying.push((
                node,
                Flying::Trust {
                    client: index,
                    role,
                    epoch,
                },
            ));
        }
    }

    /// Any one of the things that are on their way comes to its node.
    fn land_one(&mut self) {
        if self.flying.is_empty() {
            return;
        }
        let index = self.dice.below(self.flying.len());
        let (node, flying) = self.flying.swap_remove(index);
        match flying {
            Flying::Message(forward) => {
                let message = &forward.message;
                if !message.topic().starts_with('$') {
                    self.expect(node, message.topic(), number(message.payload()));
                }
                let flying = self.flying.len();
                let from = NodeIndex(u16::MAX);
                self.event(node, Event::Forwarded { from, forward });
                assert_eq!(self.flying.len(), flying, "a forwarded message is not sent on");
            }
            Flying::Trust { client, role, epoch } => self.land_trust(node, client, role, epoch),
        }
    }

    fn land_trust(&mut self, node: usize, index: usize, role: Role, epoch: u64) {
        let client = &mut self.clients[index];
        let certificate = client.certificate;
        client.told_epoch[node] = client.told_epoch[node].max(epoch);
        let mut will = None;
        if client.node == node
            && let Some(live) = client.live.as_mut().filter(|live| live.epoch <= epoch)
        {
            (live.role, live.epoch) = (role, epoch);
            // What waits on the node must be allowed by the new role; what was sent is sent.
            let sent = live.received.len();
            let waiting = live.expected.split_off(sent);
            live.expected
                .extend(waiting.into_iter().filter(|(_, topic)| role.may_receive(topic)));
            if role == Role::Revoked {
                will = client.live.take().map(|live| live.will);
            }
        }
        if let Some(will) = will {
            self.expect(node, "w/will", will);
        }
        let grant = role.grant(certificate, epoch);
        self.event(
            node,
            Event::Trust(Trust {
                tenant: Tenant::default(),
                certificate,
                epoch,
                grant,
            }),
        );
    }

    /// A message is at a node: everyone there who listens and may receive it must get it, once.
    fn expect(&mut self, node: usize, topic: &str, message: u64) {
        let name = TopicName::new(topic).unwrap();
        for live in self
            .clients
            .iter_mut()
            .filter(|client| client.node == node)
            .filter_map(|client| client.live.as_mut())
        {
            let listens = live
                .filters
                .iter()
                .any(|filter| TopicFilter::new(filter).unwrap().matches(name, Matching::Aws));
            if listens && live.role.may_receive(topic) {
                live.expected.push((message, topic.to_owned()));
            }
        }
    }

    /// Everyone has got what was expected, in order, as far as there is room without acknowledgements.
    fn check(&self) {
        for client in &self.clients {
            let Some(live) = &client.live else { continue };
            let sent = live.expected.len().min(live.acknowledged + INFLIGHT_MAX);
            assert_eq!(live.received, live.expected[..sent], "{}", client.name);
        }
        let live = self.clients.iter().filter(|client| client.live.is_some()).count();
        assert_eq!(self.nodes.iter().map(Node::connections).sum::<usize>(), live);
    }

    /// Everything lands and everything is acknowledged: nothing is owed to anyone.
    fn settle(&mut self) {
        while !self.flying.is_empty() {
            self.land_one();
            self.check();
        }
        for index in 0..CLIENTS {
            while self.clients[index]
                .live
                .as_ref()
                .is_some_and(|live| !live.unacknowledged.is_empty())
            {
                self.acknowledge(index);
            }
        }
        self.check();
        for client in &self.clients {
            assert!(
                client.live.as_ref().is_none_or(|live| live.role == client.truth),
                "{} is as it should be",
                client.name
            );
        }
    }
}

fn number(payload: &[u8]) -> u64 {
    u64::from_be_bytes(payload.try_into().unwrap())
}

/// The seeds of this run, or the one that is asked for.
fn seeds() -> Vec<u64> {
    match std::env::var("BIRTHMARK_WORLD_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..SEEDS).collect(),
    }
}

/// Tells the seed if the run ends early.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let line = format!("replay this run with: cargo xtask world --seed {}\n", self.0);
            let _written = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
        }
    }
}

fn live_through(seed: u64, nodes: usize) -> World {
    let _replay = Replay(seed);
    let mut world = World::new(seed, nodes);
    for _ in 0..STEPS {
        world.step();
    }
    world.settle();
    world
}

/// All seeds, and that they were worth something: messages arrived on other nodes, grants came too late, queues filled.
fn live_through_all(nodes: usize) {
    let mut delivered = 0;
    let mut refused = 0;
    let mut looked_again = 0;
    let mut kept_back = 0;
    let seeds = seeds();
    for seed in &seeds {
        let world = live_through(*seed, nodes);
        delivered += world
            .nodes
            .iter()
            .map(|node| node.counters().delivered.count())
            .sum::<u64>();
        refused += world
            .nodes
            .iter()
            .map(|node| node.counters().not_received)
            .sum::<u64>();
        looked_again += world.looked_again;
        kept_back += world.kept_back;
    }
    if seeds.len() > 1 {
        assert!(
            delivered > 1_000 && refused > 100 && looked_again > 10 && kept_back > 100,
            "{delivered} {refused} {looked_again} {kept_back}"
        );
    }
}

#[test]
fn two_nodes_deliver_exactly_what_policies_allow() {
    live_through_all(2);
}

#[test]
fn three_nodes_deliver_exactly_what_policies_allow() {
    live_through_all(3);
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..3 {
        assert_eq!(live_through(seed, 3).transcript, live_through(seed, 3).transcript);
    }
}

#[test]
fn a_message_reaches_the_other_node_and_comes_back_to_none() {
    let mut world = World::new(0, 2);
    world.connect(0);
    world.connect(1);
    world.clients[1].live.as_mut().unwrap().filters.push("dt/+");
    let mut bytes = Vec::new();
    let line = Subscription {
        filter: TopicFilter::new("dt/+").unwrap(),
        qos: QoS::AtLeastOnce,
    };
    encode::subscribe(&mut bytes, PacketId::FIRST, [line]).unwrap();
    let Ok(Decoded::Packet { packet, .. }) = decode(&bytes, usize::MAX) else {
        panic!("{bytes:?}")
    };
    let connection = world.clients[1].live.as_ref().unwrap().connection;
    world.event(1, Event::Packet { connection, packet });
    world.settle();
    while world.messages < 100 {
        world.publish(0);
    }
    let published = world.flying.len();
    world.settle();
    assert_eq!(world.flying.len(), 0);
    assert!(
        (20..=60).contains(&published),
        "those that the other node wants, two of five, were on their way once: {published}"
    );
    let got = &world.clients[1].live.as_ref().unwrap().received;
    assert!(!got.is_empty() && got.iter().all(|(_, topic)| topic == "dt/a" || topic == "dt/b"));
}
