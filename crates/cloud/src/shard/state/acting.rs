//! What a node wants done, done: packets to clients, records to the log, messages to other shards, and all that must wait until
//! something is durable.

use std::time::Instant;

use broker::{Action, CloseReason, ConnectionId, Departure, Event, Gate, Outgoing};
use tokio::sync::oneshot;

use super::State;
use crate::clock;
use crate::shard::connection::Queued;
use crate::shard::gates::Held;

impl State {
    /// Does what the node wants done, until it wants nothing more.
    pub(super) fn carry_out(&mut self) {
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
                self.note_end(connection, reason.into());
                if reason == Departure::TooSlow {
                    self.note_slow(connection);
                }
                let listens = matches!(
                    reason,
                    Departure::Malformed(_)
                        | Departure::ServerFault
                        | Departure::ServerShutdown
                        | Departure::CloneSuspected
                        | Departure::TimeIsUp(_)
                        | Departure::TrustWithdrawn
                );
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
        self.control
            .shards
            .note_kept(self.index, self.node.kept_subscriptions());
    }

    pub(super) fn perform(&mut self, action: Action) {
        match action {
            Action::Send {
                connection,
                packet,
                after,
            } => self.send_after(connection, packet, after),
            Action::Close { connection, reason } => self.end(connection, reason),
            Action::Attached { connection } => self.attached(connection),
            Action::LookAgain { connection } => self.outdated.push(connection),
            Action::Keep(record) => self.log.keep(&record),
            Action::Forward(forward) => {
                self.forwards += 1;
                let (number, passed) = (self.forwards, self.is_passed(forward.after));
                if self.gates.must_hold_forward(passed) {
                    self.gates
                        .hold(forward.after, self.turn, Held::Forward(number, forward));
                } else {
                    self.forward(number, forward);
                }
            }
            Action::Share(share) => self.tell_share(&share),
            Action::Ask(ask) => self.ask(ask),
            Action::Received { connection, number } => self.confirm_direct(connection, number),
            Action::Refused(refusal) => self.note_refusal(&refusal),
        }
    }

    fn is_passed(&self, gate: Gate) -> bool {
        gate == Gate::NONE || gate.is_passed(self.log.durable(), self.confirmed())
    }

    fn send_after(&mut self, connection: ConnectionId, packet: Outgoing, after: Gate) {
        let passed = self.is_passed(after);
        if self.gates.must_hold(connection, passed) && self.keeps_order(connection, after) {
            self.gates.hold(after, self.turn, Held::Send(connection, packet));
        } else {
            if is_acknowledgement(&packet) {
                self.counts.acknowledgements.note(0);
            }
            self.send(connection, &packet);
        }
    }

    /// What waits for nothing may overtake, unless the client does not even have its CONNACK.
    fn keeps_order(&self, connection: ConnectionId, after: Gate) -> bool {
        let welcomed = |connection: &super::Connection| connection.welcomed;
        after != Gate::NONE
            || !self
                .connections
                .get(&connection)
                .is_some_and(|connection| welcomed(connection))
    }

    fn send(&mut self, id: ConnectionId, packet: &Outgoing) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        // Nothing is sent before the CONNACK.
        connection.welcomed = true;
        if let Outgoing::Message { message, retain, .. } | Outgoing::MessageV5 { message, retain, .. } =
            packet
            && !retain
        {
            let age_millis = u64::try_from(self.now.since(message.stamp().at)).unwrap_or(0);
            self.counts.deliveries.note(age_millis * 1_000);
        }
        match connection.queue(packet) {
            Queued::Taken if !connection.touched => {
                connection.touched = true;
                self.touched.push(id);
            }
            Queued::Taken => {}
            Queued::Dropped => self.counts.output_dropped += 1,
            Queued::Overfull => self.departed.push((id, Departure::TooSlow)),
        }
    }

    /// More is durable, here or on another shard: what waited for it goes.
    pub(in crate::shard) fn progressed(&mut self) {
        if self.log.has_failed() {
            return self.fail();
        }
        self.log.note_progress();
        self.settle_relays();
        (self.now, self.turn) = (clock::now(), Instant::now());
        while let Some((since, held)) = self.gates.release(self.log.durable(), self.confirmed()) {
            match held {
                Held::Send(connection, packet) => {
                    if is_acknowledgement(&packet) {
                        let waited = self.turn.saturating_duration_since(since);
                        self.counts.acknowledgements.note_time(waited);
                    }
                    self.send(connection, &packet);
                }
                Held::Forward(number, forward) => self.forward(number, forward),
                Held::Answer(answer) => {
                    let _ = answer.send(true);
                }
            }
        }
        self.pay_receipts();
        self.carry_out();
    }

    /// Answers when everything that was given away so far is durable.
    pub(super) fn answer_when_kept(&mut self, answer: oneshot::Sender<bool>) {
        let gate = self.node.progress();
        if self.is_passed(gate) {
            let _ = answer.send(true);
        } else {
            self.gates.hold(gate, self.turn, Held::Answer(answer));
        }
    }

    /// Notes the end of a connection, once.
    pub(super) fn note_end(&mut self, id: ConnectionId, reason: CloseReason) {
        if let Some(connection) = self.connections.get(&id) {
            self.counts.ended(reason);
            self.unwatch(id, connection, reason);
        }
    }

    /// Closes from this side: sends what is on its way first.
    fn end(&mut self, id: ConnectionId, reason: CloseReason) {
        self.note_end(id, reason);
        if reason.is_client_initiated() {
            return self.abandon(id);
        }
        self.end_opening(id, reason);
        self.close(id);
    }
}

/// PUBACK or PUBREC: the server says that it has a message.
fn is_acknowledgement(packet: &Outgoing) -> bool {
    matches!(packet, Outgoing::FourBytes([0x40 | 0x50, ..]))
}
