//! A node as a shard of the server has it: with its log, of which a part is durable, and with what waits at its gates.

use std::collections::{BTreeMap, VecDeque};

use broker::{Checkpoint, ConnectionId, Forward, Gate, Node, Record, Share};

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
    /// Records that a checkpoint made needless.
    cut: u64,
    /// A checkpoint under way, and the step with which it begins.
    pub(crate) checkpoint: Option<(Checkpoint, usize)>,
    /// A checkpoint that is written: from which step to which.
    pub(crate) complete: Option<(usize, usize)>,
    pub(crate) held: VecDeque<(Gate, Held)>,
    pub(crate) forwards: u64,
    /// The last message that each other node was sent, and has confirmed.
    pub(crate) asked: BTreeMap<usize, u64>,
    pub(crate) confirmed: BTreeMap<usize, u64>,
    /// Its log failed, or it heard that another's did: it works no more.
    pub(crate) is_fallen: bool,
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
            cut: 0,
            checkpoint: None,
            complete: None,
            held: VecDeque::new(),
            forwards: 0,
            asked: BTreeMap::new(),
            confirmed: BTreeMap::new(),
            is_fallen: false,
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

    /// So many more steps are durable. When a whole checkpoint is, what was before it goes.
    pub(crate) fn write(&mut self, steps: usize) {
        self.durable_steps = self.steps.len().min(self.durable_steps + steps);
        let durable = self.steps.iter().take(self.durable_steps);
        self.durable = self.cut + durable.map(|step| step.len() as u64).sum::<u64>();
        if let Some((first, end)) = self.complete
            && self.durable_steps >= end
        {
            self.complete = None;
            self.base.clear();
            let gone = self.steps.drain(..first);
            self.cut += gone.map(|step| step.len() as u64).sum::<u64>();
            self.durable_steps -= first;
        }
    }

    /// What would be read if it began anew now.
    pub(crate) fn log(&mut self) -> Vec<Record> {
        let mut log = std::mem::take(&mut self.base);
        log.extend(self.steps.drain(..self.durable_steps).flatten());
        log
    }
}
