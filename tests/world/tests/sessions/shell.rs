//! What a shell does for its node: it writes, waits at gates, and carries what goes between nodes.

use std::collections::VecDeque;

use broker::{Action, Actions, Checkpoint, Event, Gate, NodeIndex};
use mqtt::{Packet, QoS};

use crate::client::whole;
use crate::shard::{Held, Mail};
use crate::world::World;

impl World {
    pub(crate) fn event(&mut self, shard: usize, event: Event<'_>) {
        if self.shards[shard].is_fallen {
            return;
        }
        let mut actions = Actions::new();
        self.shards[shard].node.step(event, self.now, &mut actions);
        self.check_size(shard);
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
                    if let Packet::Publish(publish) = whole(&bytes) {
                        self.check_authorised(connection, publish.topic.as_str());
                    }
                    self.hold(at, after, Held::Send(connection, bytes));
                }
                Action::Forward(forward) => {
                    let shard = &mut self.shards[at];
                    shard.forwards += 1;
                    let number = shard.forwards;
                    self.hold(at, forward.after, Held::Forward(number, forward));
                }
                Action::Close { connection, .. } => {
                    // What waits at a gate is not on its way.
                    self.shards[at].held.retain(
                        |(_, held)| !matches!(held, Held::Send(waiting, _) if *waiting == connection),
                    );
                    if let Some(client) = self.client_of(connection) {
                        client.lose();
                    }
                }
                Action::LookAgain { connection } => {
                    if let Some(client) = self.client_of(connection) {
                        client.lose();
                    }
                }
                Action::Share(share) => {
                    for other in (0..self.shards.len()).filter(|other| *other != at) {
                        let mail = Mail::Share(share.clone());
                        self.mail.entry((at, other)).or_default().push_back(mail);
                    }
                }
                Action::Attached { .. } | Action::Ask(_) | Action::Received { .. } | Action::Refused(_) => {}
            }
        }
        if !step.is_empty() {
            self.shards[at].steps.push(step);
        }
        self.release(at);
    }

    /// Whatever waits for nothing goes at once, unless something of its own kind waits before it: a shell's rule.
    fn hold(&mut self, at: usize, gate: Gate, held: Held) {
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

    fn release(&mut self, at: usize) {
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

    fn go(&mut self, at: usize, held: Held) {
        match held {
            Held::Send(connection, bytes) => {
                if let Some(client) = self.client_of(connection) {
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

    pub(crate) fn write(&mut self) {
        let at = self.dice.below(self.shards.len());
        if self.shards[at].is_fallen {
            return;
        }
        let steps = 1 + self.dice.below(6);
        self.shards[at].write(steps);
        self.progressed(at);
    }

    /// Goes on with a checkpoint, a session or two at a time.
    pub(crate) fn tidy(&mut self) {
        let at = self.dice.below(self.shards.len());
        let sessions = 1 + self.dice.below(2);
        let shard = &mut self.shards[at];
        if shard.is_fallen || shard.complete.is_some() {
            return;
        }
        let (mut checkpoint, first) = shard
            .checkpoint
            .take()
            .unwrap_or_else(|| (Checkpoint::default(), shard.steps.len()));
        let mut actions = Actions::new();
        let more = shard
            .node
            .checkpoint(&mut checkpoint, sessions, self.now, &mut actions);
        self.act(at, actions);
        let shard = &mut self.shards[at];
        match more {
            true => shard.checkpoint = Some((checkpoint, first)),
            false => {
                shard.complete = Some((first, shard.steps.len()));
                self.tally.checkpoints += 1;
            }
        }
    }

    pub(crate) fn progressed(&mut self, at: usize) {
        if self.shards[at].is_fallen {
            return;
        }
        let durable = self.shards[at].durable;
        let (paid, owed) = std::mem::take(&mut self.receipts)
            .into_iter()
            .partition::<Vec<_>, _>(|(from, _, logged, _)| *from == at && *logged <= durable);
        self.receipts = owed;
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
        let mail = self.mail.get_mut(&(from, to)).and_then(VecDeque::pop_front);
        if let Some(mail) = mail.filter(|_| !self.shards[to].is_fallen) {
            self.deliver(from, to, mail);
        }
    }

    fn deliver(&mut self, from: usize, to: usize, mail: Mail) {
        let from_index = NodeIndex(u16::try_from(from).unwrap());
        match mail {
            Mail::Forward(number, forward) => {
                let event = Event::Forwarded {
                    from: from_index,
                    forward,
                };
                self.event(to, event);
                let logged = self.shards[to].node.progress().logged;
                self.receipts.push((to, from, logged, number));
                self.progressed(to);
            }
            Mail::Share(share) => self.event(
                to,
                Event::Shared {
                    from: from_index,
                    share,
                },
            ),
            Mail::Receipt(number) => {
                let confirmed = self.shards[to].confirmed.entry(from).or_default();
                *confirmed = number.max(*confirmed);
                self.progressed(to);
            }
        }
    }
}
