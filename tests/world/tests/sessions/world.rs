//! The nodes, the clients and all that is on its way between them: what one step of a run does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use broker::{
    Action, Actions, Attach, Config, ConnectionId, Event, Gate, Interests, Node, NodeIndex, SessionId,
};
use identity::UnixMillis;
use mqtt::{Connect, Packet, QoS, TopicName, Version, Will, encode};
use policy::{CertificateFacts, Context};

use crate::client::{Client, Stage, grant, whole};
use crate::dice::Dice;
use crate::shard::{Held, Mail, Shard};
use crate::{CLIENTS, JOB, TOPICS, WILLS};

pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) now: UnixMillis,
    pub(crate) config: Config,
    pub(crate) shards: Vec<Shard>,
    /// Which of them listen to what.
    pub(crate) interests: Arc<Interests>,
    pub(crate) mail: BTreeMap<(usize, usize), VecDeque<Mail>>,
    pub(crate) owed: Vec<(usize, usize, u64, u64)>,
    pub(crate) clients: Vec<Client>,
    pub(crate) connections: u64,
    pub(crate) messages: u64,
    /// Each message: publisher, topic, QoS, and who had subscribed by then.
    pub(crate) published: BTreeMap<u64, (usize, usize, QoS, BTreeSet<usize>)>,
    pub(crate) acknowledged: BTreeSet<u64>,
    /// Jobs that came while a node had not heard yet who takes part.
    pub(crate) unsettled: BTreeSet<u64>,
    /// Wills of connections that ended since the last crash, and who had subscribed by then.
    pub(crate) due: Vec<(u64, BTreeSet<usize>)>,
    pub(crate) crashes: usize,
    pub(crate) repeated: usize,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let nodes = 1 + dice.below(3);
        let config = Config {
            nodes: u16::try_from(nodes).unwrap(),
            ..Config::SELF_HOST
        };
        let mut limits = config.limits;
        limits.inflight_messages_max = 1 + dice.below(5);
        let config = Config { limits, ..config };
        let client = |index: usize| Client {
            name: format!("c{index}"),
            grant: grant(index),
            home: index % nodes,
            connection: None,
            up: VecDeque::new(),
            down: VecDeque::new(),
            welcome: false,
            subscribed: false,
            unanswered: BTreeMap::new(),
            next_id: 0,
            received: BTreeSet::new(),
            got: Vec::new(),
            will: 0,
            wills: BTreeSet::new(),
        };
        let mut world = Self {
            dice,
            now: UnixMillis(1_000_000),
            config,
            shards: Vec::new(),
            interests: Arc::new(Interests::new()),
            mail: BTreeMap::new(),
            owed: Vec::new(),
            clients: (0..CLIENTS).map(client).collect(),
            connections: 0,
            messages: 0,
            published: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            unsettled: BTreeSet::new(),
            due: Vec::new(),
            crashes: 0,
            repeated: 0,
        };
        world.shards = (0..nodes)
            .map(|index| Shard::new(Node::new(world.config_of(index)), Vec::new()))
            .collect();
        world.join();
        world
    }

    /// Each node tells the others what its clients listen to.
    pub(crate) fn join(&mut self) {
        let interests = &self.interests;
        self.shards
            .iter_mut()
            .for_each(|shard| shard.node.join(interests));
    }

    pub(crate) fn config_of(&self, index: usize) -> Config {
        Config {
            index: NodeIndex(u16::try_from(index).unwrap()),
            ..self.config
        }
    }

    pub(crate) fn event(&mut self, shard: usize, event: Event<'_>) {
        let mut actions = Actions::new();
        self.shards[shard].node.step(event, self.now, &mut actions);
        self.act(shard, actions);
    }

    pub(crate) fn act(&mut self, at: usize, mut actions: Actions) {
        let mut step = Vec::new();
        for action in actions.drain() {
            match action {
                Action::Keep(record) => step.push(record),
                Action::Send {
                    connection,
                    packet,
                    after,
                } => {
                    let mut bytes = Vec::new();
                    packet.append_to(&mut bytes);
                    self.hold(at, after, Held::Send(connection, bytes));
                }
                Action::Forward(forward) => {
                    let shard = &mut self.shards[at];
                    shard.forwards += 1;
                    let number = shard.forwards;
                    self.hold(at, forward.after, Held::Forward(number, forward));
                }
                Action::Close { connection, .. } => {
                    let client = self
                        .clients
                        .iter_mut()
                        .find(|client| client.connection == Some(connection));
                    if let Some(client) = client {
                        client.lose();
                    }
                }
                Action::Share(share) => {
                    for other in (0..self.shards.len()).filter(|other| *other != at) {
                        let mail = Mail::Share(share.clone());
                        self.mail.entry((at, other)).or_default().push_back(mail);
                    }
                }
                Action::Attached { .. } | Action::LookAgain { .. } | Action::Ask(_) | Action::Refused(_) => {}
            }
        }
        if !step.is_empty() {
            self.shards[at].steps.push(step);
        }
        self.release(at);
    }

    /// Whatever waits for nothing goes at once, unless something of its own kind waits before it: a shell's rule.
    pub(crate) fn hold(&mut self, at: usize, gate: Gate, held: Held) {
        let shard = &self.shards[at];
        let waits = match &held {
            Held::Forward(..) => shard
                .held
                .iter()
                .any(|(_, held)| matches!(held, Held::Forward(..))),
            Held::Send(connection, _) => {
                let own = |held: &Held| matches!(held, Held::Send(other, _) if other == connection);
                shard.held.iter().any(|(_, held)| own(held))
            }
        };
        if gate == Gate::NONE && !waits {
            self.go(at, held);
        } else {
            self.shards[at].held.push_back((gate, held));
        }
    }

    pub(crate) fn release(&mut self, at: usize) {
        loop {
            let shard = &mut self.shards[at];
            let (durable, forwarded) = (shard.durable, shard.forwarded());
            match shard.held.front() {
                Some((gate, _)) if gate.is_passed(durable, forwarded) => {}
                _ => return,
            }
            let (_, held) = shard.held.pop_front().unwrap();
            self.go(at, held);
        }
    }

    pub(crate) fn go(&mut self, at: usize, held: Held) {
        match held {
            Held::Send(connection, bytes) => {
                let mut clients = self.clients.iter_mut();
                if let Some(client) = clients.find(|client| client.connection == Some(connection)) {
                    client.down.push_back(bytes);
                }
            }
            Held::Forward(number, forward) => {
                let wanted = |other: &usize| forward.to.contain(NodeIndex(u16::try_from(*other).unwrap()));
                for other in (0..self.shards.len()).filter(|other| *other != at && wanted(other)) {
                    if forward.message.qos() != QoS::AtMostOnce {
                        self.shards[at].asked.insert(other, number);
                    }
                    let mail = Mail::Forward(number, forward.clone());
                    self.mail.entry((at, other)).or_default().push_back(mail);
                }
            }
        }
    }

    pub(crate) fn step(&mut self) {
        self.now = self.now.plus_millis(10);
        let client = self.dice.below(CLIENTS);
        match self.dice.below(100) {
            0..=5 if self.clients[client].connection.is_none() || self.dice.one_in(10) => {
                self.connect(client)
            }
            6..=23 => self.publish(client),
            24..=49 => (0..4).for_each(|_| self.carry_up(client)),
            50..=74 => (0..4).for_each(|_| self.carry_down(client)),
            75..=89 => self.carry_mail(),
            90..=95 => self.write(),
            96 => self.lose(client),
            97 if self.dice.one_in(4) => self.crash(),
            _ => {}
        }
    }

    pub(crate) fn write(&mut self) {
        let at = self.dice.below(self.shards.len());
        let steps = 1 + self.dice.below(6);
        self.shards[at].write(steps);
        self.progressed(at);
    }

    pub(crate) fn progressed(&mut self, at: usize) {
        let durable = self.shards[at].durable;
        let (paid, owed) = std::mem::take(&mut self.owed)
            .into_iter()
            .partition::<Vec<_>, _>(|(from, _, logged, _)| *from == at && *logged <= durable);
        self.owed = owed;
        for (from, to, _, number) in paid {
            self.mail
                .entry((from, to))
                .or_default()
                .push_back(Mail::Receipt(number));
        }
        let forwarded = self.shards[at].forwarded();
        self.event(at, Event::Confirmed { forwarded });
        self.release(at);
    }

    pub(crate) fn carry_mail(&mut self) {
        let lines: Vec<(usize, usize)> = self
            .mail
            .iter()
            .filter(|(_, mail)| !mail.is_empty())
            .map(|(line, _)| *line)
            .collect();
        if lines.is_empty() {
            return;
        }
        let (from, to) = lines[self.dice.below(lines.len())];
        match self.mail.get_mut(&(from, to)).unwrap().pop_front().unwrap() {
            Mail::Forward(number, forward) => {
                let from_index = NodeIndex(u16::try_from(from).unwrap());
                let event = Event::Forwarded {
                    from: from_index,
                    forward,
                };
                self.event(to, event);
                let logged = self.shards[to].node.progress().logged;
                self.owed.push((to, from, logged, number));
                self.progressed(to);
            }
            Mail::Share(share) => {
                let from = NodeIndex(u16::try_from(from).unwrap());
                self.event(to, Event::Shared { from, share });
            }
            Mail::Receipt(number) => {
                let confirmed = self.shards[to].confirmed.entry(from).or_default();
                *confirmed = number.max(*confirmed);
                self.progressed(to);
            }
        }
    }

    pub(crate) fn connect(&mut self, index: usize) {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        self.note_end(index);
        let will = WILLS + self.connections;
        let client = &mut self.clients[index];
        // A new connection takes over; what was on its way on the old one is lost.
        client.lose();
        client.will = if index.is_multiple_of(2) { 0 } else { will };
        let (last_words, leaves) = (will.to_string(), client.will != 0);
        client.connection = Some(connection);
        let (grant, home, name) = (Arc::clone(&client.grant), client.home, client.name.clone());
        let facts = Arc::new(CertificateFacts::new(grant.certificate));
        let context = Context::new(&name, IpAddr::from([192, 0, 2, 1]), facts, None);
        let connect = Connect {
            client_id: &name,
            clean_session: false,
            keep_alive_seconds: 0,
            will: leaves.then(|| Will {
                topic: TopicName::new("will/a").unwrap(),
                payload: last_words.as_bytes(),
                qos: QoS::AtLeastOnce,
                retain: false,
            }),
            user_name: None,
            password: None,
        };
        let attach = Attach {
            connection,
            grant,
            context,
            session: SessionId([7; 16]),
            version: Version::V3,
            connect: connect.into(),
        };
        self.event(home, Event::Attach(attach));
    }

    pub(crate) fn subscribers(&self) -> BTreeSet<usize> {
        let clients = self.clients.iter().enumerate();
        let subscribed = clients.filter(|(_, client)| client.subscribed);
        subscribed.map(|(index, _)| index).collect()
    }

    pub(crate) fn publish(&mut self, index: usize) {
        let topic = self.dice.below(TOPICS.len());
        let qos = if self.dice.one_in(2) {
            QoS::AtLeastOnce
        } else {
            QoS::ExactlyOnce
        };
        if !self.clients[index].welcome || self.clients[index].unanswered.len() > 20 {
            return;
        }
        self.messages += 1;
        let number = self.messages;
        let mut subscribers = self.subscribers();
        subscribers.retain(|index| TOPICS[topic] != JOB || index.is_multiple_of(2));
        self.published.insert(number, (index, topic, qos, subscribers));
        let client = &mut self.clients[index];
        client.next_id = client.next_id % 60_000 + 1;
        let id = client.next_id;
        client.unanswered.insert(id, (number, topic, qos, Stage::Sent));
        client.say_publish(id, number, topic, qos, false);
    }

    pub(crate) fn carry_up(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let (Some(connection), Some(bytes)) = (client.connection, client.up.pop_front()) else {
            return;
        };
        let (home, packet) = (client.home, whole(&bytes));
        if let Packet::Publish(publish) = &packet
            && publish.topic.as_str() == JOB
            && self
                .mail
                .values()
                .flatten()
                .any(|mail| matches!(mail, Mail::Share(_)))
        {
            let number = str::from_utf8(publish.payload).unwrap().parse().unwrap();
            self.unsettled.insert(number);
        }
        self.event(home, Event::Packet { connection, packet });
    }

    pub(crate) fn carry_down(&mut self, index: usize) {
        let Some(bytes) = self.clients[index].down.pop_front() else {
            return;
        };
        let client = &mut self.clients[index];
        match whole(&bytes) {
            Packet::ConnectAnswer(answer) => client.welcomed(answer.session_present),
            Packet::SubscribeAnswer(_) => client.subscribed = true,
            Packet::PublishAcknowledged(id) => {
                let known = client.unanswered.remove(&id.value());
                self.acknowledged.extend(known.map(|known| known.0));
            }
            Packet::PublishReceived(id) => {
                if let Some(known) = client.unanswered.get_mut(&id.value()) {
                    known.3 = Stage::Released;
                    self.acknowledged.insert(known.0);
                }
                client.up.push_back(encode::publish_released(id).to_vec());
            }
            Packet::PublishCompleted(id) => drop(client.unanswered.remove(&id.value())),
            Packet::PublishReleased(id) => {
                client.received.remove(&id.value());
                client.up.push_back(encode::publish_completed(id).to_vec());
            }
            Packet::Publish(publish) => {
                let number = str::from_utf8(publish.payload).unwrap().parse().unwrap();
                self.repeated += usize::from(client.take(number, publish.delivery, publish.retain));
            }
            other => panic!("{other:?}"),
        }
    }

    /// Everything heals, and all that is still to be done is done.
    pub(crate) fn heal(&mut self) {
        for index in 0..CLIENTS {
            if self.clients[index].connection.is_none() {
                self.connect(index);
            }
        }
        for _ in 0..20_000 {
            for index in 0..CLIENTS {
                self.carry_up(index);
                self.carry_down(index);
            }
            self.carry_mail();
            for at in 0..self.shards.len() {
                self.shards[at].write(1_000);
                self.progressed(at);
            }
            if self.is_quiet() {
                return;
            }
        }
        panic!("it never ends");
    }

    pub(crate) fn is_quiet(&self) -> bool {
        let clients = self
            .clients
            .iter()
            .all(|client| client.up.is_empty() && client.down.is_empty());
        let mail = self.mail.values().all(VecDeque::is_empty);
        clients && mail && self.owed.is_empty() && self.shards.iter().all(|shard| shard.held.is_empty())
    }
}
