//! The nodes, the clients and all that is on its way between them: what one step of a run does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::AddAssign;
use std::sync::Arc;

use broker::{Config, ConnectionId, Interests, Limits, Node, NodeIndex};
use identity::UnixMillis;
use mqtt::QoS;

use crate::CLIENTS;
use crate::client::{Client, Standing};
use crate::dice::Dice;
use crate::shard::{Mail, Shard};

/// One message that a client published.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) publisher: usize,
    pub(crate) topic: usize,
    pub(crate) qos: QoS,
    /// Who had been told by then that it gets such messages, and has not asked for an end of it before it came.
    pub(crate) owed: BTreeSet<usize>,
    /// Its publisher has forgotten it.
    pub(crate) given_up: bool,
}

/// What happened, so that a world in which nothing happens is noticed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) published: usize,
    pub(crate) crashes: usize,
    pub(crate) falls: usize,
    pub(crate) repeated: usize,
    pub(crate) checkpoints: usize,
    pub(crate) changes: usize,
    pub(crate) forgotten: usize,
    pub(crate) outdated: usize,
    pub(crate) dropped: u64,
}

pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) now: UnixMillis,
    pub(crate) config: Config,
    /// Queues are so short that messages are dropped.
    pub(crate) is_tight: bool,
    pub(crate) shards: Vec<Shard>,
    /// Which of them listen to what.
    pub(crate) interests: Arc<Interests>,
    pub(crate) mail: BTreeMap<(usize, usize), VecDeque<Mail>>,
    /// What a node confirms to another when so much of its log is durable.
    pub(crate) receipts: Vec<(usize, usize, u64, u64)>,
    pub(crate) clients: Vec<Client>,
    pub(crate) connections: u64,
    pub(crate) messages: u64,
    pub(crate) epoch: u64,
    pub(crate) published: BTreeMap<u64, Sent>,
    pub(crate) acknowledged: BTreeSet<u64>,
    /// Jobs that came while a node had not heard yet who takes part.
    pub(crate) unsettled: BTreeSet<u64>,
    /// Wills of connections that ended since the last crash, and who had subscribed by then.
    pub(crate) due: Vec<(u64, BTreeSet<usize>)>,
    pub(crate) tally: Tally,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let nodes = 1 + dice.below(3);
        let is_tight = dice.one_in(4);
        let mut limits = Limits {
            inflight_messages_max: 1 + dice.below(5),
            ..Limits::SELF_HOST
        };
        if is_tight {
            limits.queue_messages_max = 2 + dice.below(6);
            limits.queue_bytes_max = 100 + dice.below(200);
            limits.node_queue_bytes_max = 200 + dice.below(400);
        }
        let config = Config {
            nodes: u16::try_from(nodes).unwrap(),
            limits,
            ..Config::SELF_HOST
        };
        let mut world = Self {
            dice,
            now: UnixMillis(1_000_000),
            config,
            is_tight,
            shards: Vec::new(),
            interests: Arc::new(Interests::new()),
            mail: BTreeMap::new(),
            receipts: Vec::new(),
            clients: (0..CLIENTS)
                .map(|index| Client::new(index, index % nodes))
                .collect(),
            connections: 0,
            messages: 0,
            epoch: 1,
            published: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            unsettled: BTreeSet::new(),
            due: Vec::new(),
            tally: Tally::default(),
        };
        world.shards = (0..nodes)
            .map(|index| Shard::new(Node::new(world.config_of(index)), Vec::new()))
            .collect();
        world.join();
        for index in 0..CLIENTS {
            world.connect(index);
            // The last one listens to nothing at first.
            let first = if index == CLIENTS - 1 { 0 } else { usize::MAX };
            let filters = world.clients[index].choice().iter().take(first);
            let filters = filters.map(|filter| (*filter, Standing::Asked));
            world.clients[index].filters = filters.collect();
        }
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

    pub(crate) fn client_of(&mut self, connection: ConnectionId) -> Option<&mut Client> {
        self.clients
            .iter_mut()
            .find(|client| client.connection == Some(connection))
    }

    /// Lets one thing happen.
    pub(crate) fn step(&mut self) {
        self.now = self.now.plus_millis(10);
        let client = self.dice.below(CLIENTS);
        match self.dice.below(128) {
            0..=5 if self.clients[client].connection.is_none() || self.dice.one_in(10) => {
                self.connect(client)
            }
            6..=23 => (0..2).for_each(|_| self.publish(client)),
            24..=49 => (0..4).for_each(|_| self.carry_up(client)),
            50..=74 => (0..4).for_each(|_| self.carry_down(client)),
            75..=89 => self.carry_mail(),
            90..=95 => self.write(),
            96 => self.lose(client),
            97 if self.dice.one_in(4) => self.crash(),
            98 if self.dice.one_in(4) => self.fall(),
            99..=102 => self.hear_of_fall(),
            103..=106 => self.carry_remains(client),
            107..=111 => self.tidy(),
            112..=114 => self.turn_to_another_filter(client),
            115..=117 => self.say_again(client),
            118 => self.change_role(client),
            119 if self.dice.one_in(3) => self.forget(client),
            120 => self.leave(client),
            _ => {}
        }
    }

    /// Everything heals, and all that is still to be done is done.
    pub(crate) fn heal(&mut self) {
        self.all_fall();
        for _ in 0..20_000 {
            for index in 0..CLIENTS {
                self.restore_role(index);
                while !self.clients[index].remains.is_empty() {
                    self.carry_remains(index);
                }
                if self.clients[index].connection.is_none() {
                    self.connect(index);
                }
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

    fn is_quiet(&self) -> bool {
        let clients = self
            .clients
            .iter()
            .all(|client| client.up.is_empty() && client.down.is_empty() && client.welcome);
        let mail = self.mail.values().all(VecDeque::is_empty);
        clients && mail && self.receipts.is_empty() && self.shards.iter().all(|shard| shard.held.is_empty())
    }
}

impl Tally {
    pub(crate) const fn is_eventful(&self) -> bool {
        self.published > 5_000
            && self.crashes > 100
            && self.falls > 50
            && self.repeated > 1_000
            && self.checkpoints > 500
            && self.changes > 500
            && self.forgotten > 100
            && self.outdated > 10
            && self.dropped > 100
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.published += more.published;
        self.crashes += more.crashes;
        self.falls += more.falls;
        self.repeated += more.repeated;
        self.checkpoints += more.checkpoints;
        self.changes += more.changes;
        self.forgotten += more.forgotten;
        self.outdated += more.outdated;
        self.dropped += more.dropped;
    }
}
