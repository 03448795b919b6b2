//! A client that keeps to MQTT: it sends again what was not acknowledged, and knows a QoS 2 message by its identifier.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use broker::ConnectionId;
use mqtt::{
    Decoded, Delivery, Packet, PacketId, Publish, QoS, Subscription, TopicFilter, TopicName, decode, encode,
};

use crate::roles::Role;
use crate::{FILTERS, KEPT, TOPICS, WILLS};

/// Packet identifiers of a client.
const IDS: u16 = 40;

/// A message that a client publishes until it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Sent,
    /// QoS 2: PUBREC came.
    Released,
}

/// What a client publishes, by packet identifier.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unanswered {
    pub(crate) number: u64,
    pub(crate) topic: usize,
    pub(crate) qos: QoS,
    pub(crate) stage: Stage,
}

/// How a client stands with one of its filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Asked,
    Granted,
    /// UNSUBSCRIBE is not answered.
    Leaving,
}

/// What a connection that its client has left still brings to the node.
pub(crate) enum Remains {
    Packet(ConnectionId, Vec<u8>),
    End(ConnectionId),
}

pub(crate) struct Client {
    pub(crate) index: usize,
    pub(crate) name: String,
    pub(crate) home: usize,
    pub(crate) role: Role,
    pub(crate) epoch: u64,
    /// What it was granted before the last change, while its node knows of that.
    pub(crate) outdated: Option<(Role, u64)>,
    pub(crate) connection: Option<ConnectionId>,
    /// Packets on their way to the node, and from it.
    pub(crate) up: VecDeque<Vec<u8>>,
    pub(crate) down: VecDeque<Vec<u8>>,
    /// Of connections that it has left.
    pub(crate) remains: VecDeque<Remains>,
    pub(crate) welcome: bool,
    /// It was told that its session is there.
    pub(crate) has_session: bool,
    /// It connects with a clean session until it is told so, and leaves at once.
    pub(crate) forgets: bool,
    pub(crate) filters: BTreeMap<&'static str, Standing>,
    pub(crate) ever_asked: BTreeSet<&'static str>,
    /// Its requests that are not answered: a filter, by packet identifier.
    pub(crate) requests: BTreeMap<u16, &'static str>,
    pub(crate) unanswered: BTreeMap<u16, Unanswered>,
    pub(crate) next_id: u16,
    /// QoS 2 identifiers that came and were not released.
    pub(crate) received: BTreeSet<u16>,
    pub(crate) got: Vec<u64>,
    pub(crate) got_once: BTreeSet<u64>,
    /// The will that it left at its node, if it leaves any.
    pub(crate) will: u64,
    pub(crate) wills: BTreeSet<u64>,
}

/// Whether a filter is for a topic.
pub(crate) fn hears(filter: &str, topic: &str) -> bool {
    match filter.strip_suffix('#') {
        Some(beneath) => topic.starts_with(beneath.rsplit("workers/").next().unwrap()),
        None => filter == topic,
    }
}

impl Client {
    pub(crate) fn new(index: usize, home: usize) -> Self {
        Self {
            index,
            name: format!("c{index}"),
            home,
            role: Role::Everything,
            epoch: 1,
            outdated: None,
            connection: None,
            up: VecDeque::new(),
            down: VecDeque::new(),
            remains: VecDeque::new(),
            welcome: false,
            has_session: false,
            forgets: false,
            filters: BTreeMap::new(),
            ever_asked: BTreeSet::new(),
            requests: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            next_id: 0,
            received: BTreeSet::new(),
            got: Vec::new(),
            got_once: BTreeSet::new(),
            will: 0,
            wills: BTreeSet::new(),
        }
    }

    /// Filters that it may listen to.
    pub(crate) fn choice(&self) -> &'static [&'static str] {
        let all = FILTERS.len() - usize::from(!self.index.is_multiple_of(2));
        &FILTERS[..all]
    }

    /// It was told that it gets what is published on this topic, and has not asked for an end of that.
    pub(crate) fn listens(&self, topic: &str) -> bool {
        self.filters
            .iter()
            .any(|(filter, standing)| *standing == Standing::Granted && hears(filter, topic))
    }

    /// The connection is gone for the client; of what was on its way up, something may still arrive.
    pub(crate) fn lose(&mut self) {
        if let Some(connection) = self.connection.take() {
            let packets = self.up.drain(..).map(|bytes| Remains::Packet(connection, bytes));
            self.remains.extend(packets);
            self.remains.push_back(Remains::End(connection));
        }
        self.up.clear();
        self.down.clear();
        self.requests.clear();
        self.welcome = false;
    }

    /// It wants none of what was: neither what it published nor what it was to get.
    pub(crate) fn forget(&mut self) {
        self.lose();
        self.forgets = true;
        self.filters.clear();
        self.unanswered.clear();
        self.received.clear();
    }

    /// The next identifier that is free; there are so few that each is soon used again.
    fn id(&mut self) -> PacketId {
        loop {
            self.next_id = self.next_id % IDS + 1;
            let id = self.next_id;
            if !self.unanswered.contains_key(&id) && !self.requests.contains_key(&id) {
                return PacketId::new(id).unwrap();
            }
        }
    }

    pub(crate) fn welcomed(&mut self, session_present: bool) {
        if self.forgets {
            assert!(!session_present, "{} wanted no session", self.name);
            (self.forgets, self.has_session) = (false, false);
            self.up.push_back(encode::DISCONNECT.to_vec());
            return;
        }
        assert!(
            session_present || !self.has_session,
            "{} lost its session",
            self.name
        );
        (self.welcome, self.has_session) = (true, true);
        let standings: Vec<_> = self
            .filters
            .iter()
            .map(|(filter, standing)| (*filter, *standing))
            .collect();
        for (filter, standing) in standings {
            match standing {
                Standing::Asked => self.subscribe(filter),
                Standing::Leaving => self.unsubscribe(filter),
                Standing::Granted => {}
            }
        }
        let mut again: Vec<_> = self.unanswered.iter().map(|(id, known)| (*id, *known)).collect();
        again.sort_unstable_by_key(|(_, known)| known.number);
        again
            .into_iter()
            .for_each(|(id, known)| self.say_again(id, known));
    }

    pub(crate) fn subscribe(&mut self, filter: &'static str) {
        let id = self.id();
        let line = Subscription {
            filter: TopicFilter::new(filter).unwrap(),
            qos: QoS::ExactlyOnce,
        };
        let mut bytes = Vec::new();
        encode::subscribe(&mut bytes, id, [line]).unwrap();
        self.up.push_back(bytes);
        self.filters.insert(filter, Standing::Asked);
        self.ever_asked.insert(filter);
        self.requests.insert(id.value(), filter);
    }

    pub(crate) fn unsubscribe(&mut self, filter: &'static str) {
        let id = self.id();
        let mut bytes = Vec::new();
        encode::unsubscribe(&mut bytes, id, [TopicFilter::new(filter).unwrap()]).unwrap();
        self.up.push_back(bytes);
        self.filters.insert(filter, Standing::Leaving);
        self.requests.insert(id.value(), filter);
    }

    /// SUBACK or UNSUBACK.
    pub(crate) fn answered(&mut self, id: PacketId) {
        let Some(filter) = self.requests.remove(&id.value()) else {
            return;
        };
        match self.filters.get_mut(filter) {
            Some(standing) if *standing == Standing::Asked => *standing = Standing::Granted,
            _ => drop(self.filters.remove(filter)),
        }
    }

    /// PUBCOMP; a second one for an identifier that is used again is about the message before.
    pub(crate) fn completed(&mut self, id: PacketId) {
        if self
            .unanswered
            .get(&id.value())
            .is_some_and(|known| known.stage == Stage::Released)
        {
            self.unanswered.remove(&id.value());
        }
    }

    /// Publishes; without a packet identifier at QoS 0.
    pub(crate) fn publish(&mut self, number: u64, topic: usize, qos: QoS) {
        let id = self.id();
        if qos != QoS::AtMostOnce {
            let stage = Stage::Sent;
            let known = Unanswered {
                number,
                topic,
                qos,
                stage,
            };
            self.unanswered.insert(id.value(), known);
        }
        self.say_publish(id, number, topic, qos, false);
    }

    /// Says again what is not answered.
    pub(crate) fn say_again(&mut self, id: u16, known: Unanswered) {
        let id = PacketId::new(id).unwrap();
        match known.stage {
            Stage::Sent => self.say_publish(id, known.number, known.topic, known.qos, true),
            Stage::Released => self.up.push_back(encode::publish_released(id).to_vec()),
        }
    }

    fn say_publish(&mut self, id: PacketId, number: u64, topic: usize, qos: QoS, duplicate: bool) {
        let delivery = match qos {
            QoS::ExactlyOnce => Delivery::ExactlyOnce { id, duplicate },
            QoS::AtLeastOnce => Delivery::AtLeastOnce { id, duplicate },
            QoS::AtMostOnce => Delivery::AtMostOnce,
        };
        let payload = number.to_string();
        let publish = Publish {
            topic: TopicName::new(TOPICS[topic]).unwrap(),
            payload: payload.as_bytes(),
            delivery,
            retain: TOPICS[topic] == KEPT,
        };
        let mut bytes = Vec::new();
        encode::publish(&mut bytes, &publish).unwrap();
        self.up.push_back(bytes);
    }

    /// Takes a message and answers, perhaps twice; true when it is a repetition.
    pub(crate) fn take(&mut self, publish: &Publish<'_>, answers: usize) -> bool {
        let number = number(publish.payload);
        let topic = publish.topic.as_str();
        assert!(
            self.ever_asked.iter().any(|filter| hears(filter, topic)),
            "{} never asked for {topic}",
            self.name
        );
        let is_known = match publish.delivery {
            Delivery::AtMostOnce => false,
            Delivery::AtLeastOnce { id, .. } => {
                (0..answers).for_each(|_| self.up.push_back(encode::publish_acknowledged(id).to_vec()));
                false
            }
            Delivery::ExactlyOnce { id, .. } => {
                (0..answers).for_each(|_| self.up.push_back(encode::publish_received(id).to_vec()));
                !self.received.insert(id.value())
            }
        };
        if number >= WILLS {
            self.wills.insert(number);
            return is_known;
        }
        if publish.retain {
            // What was there before it subscribed.
            return is_known;
        }
        let repeated = !self.got_once.insert(number);
        if !is_known {
            self.got.push(number);
        }
        repeated
    }
}

pub(crate) fn number(payload: &[u8]) -> u64 {
    str::from_utf8(payload).unwrap().parse().unwrap()
}

pub(crate) fn whole(bytes: &[u8]) -> Packet<'_> {
    match decode(bytes, usize::MAX) {
        Ok(Decoded::Packet { packet, .. }) => packet,
        other => panic!("{other:?}"),
    }
}
