//! A node as a shard of the server has it: with its log, of which a part is durable, and with what waits at its gates.

use std::collections::{BTreeMap, VecDeque};

use broker::{ConnectionId, Forward, Gate, Node, Record, Share};

/// What waits at a node's gates.
pub(crate) enum Held {
    Send(ConnectionId, Vec<u8>),
    Forward(u64, Forward),
}

/// A node with its log, of which so much is durable.
pub(crate) struct Shard {
    pub(crate) node: Node,
    /// What it was made of.
    pub(crate) base: Vec<Record>,
    /// The records of each step since; a step is durable or not.
    pub(crate) steps: Vec<Vec<Record>>,
    pub(crate) durable: u64,
    pub(crate) durable_steps: usize,
    pub(crate) held: VecDeque<(Gate, Held)>,
    pub(crate) forwards: u64,
    /// The last message that each other node was sent, and has confirmed.
    pub(crate) asked: BTreeMap<usize, u64>,
    pub(crate) confirmed: BTreeMap<usize, u64>,
}

/// Between nodes.
pub(crate) enum Mail {
    Forward(u64, Forward),
    Share(Share),
    /// Confirmed when so many records of the receiver are durable.
    Receipt(u64),
}

impl Shard {
    pub(crate) fn new(node: Node, base: Vec<Record>) -> Self {
        Self {
            node,
            base,
            steps: Vec::new(),
            durable: 0,
            durable_steps: 0,
            held: VecDeque::new(),
            forwards: 0,
            asked: BTreeMap::new(),
            confirmed: BTreeMap::new(),
        }
    }

    /// Every other node has what it must of so many forwarded messages.
    pub(crate) fn forwarded(&self) -> u64 {
        let waits = self.held.iter().find_map(|(_, held)| match held {
            Held::Forward(number, _) => Some(number - 1),
            Held::Send(..) => None,
        });
        let others = self.asked.iter().map(|(other, asked)| {
            let confirmed = self.confirmed.get(other).copied().unwrap_or(0);
            if confirmed >= *asked { u64::MAX } else { confirmed }
        });
        others.chain(waits).min().unwrap_or(u64::MAX)
    }

    pub(crate) fn write(&mut self, steps: usize) {
        self.durable_steps = self.steps.len().min(self.durable_steps + steps);
        let durable = self.steps.iter().take(self.durable_steps);
        self.durable = durable.map(|step| step.len() as u64).sum();
    }
}
