//! Requests of clients to the server itself: brought to the desk, and its answers to the connection that asked.

use std::sync::Arc;

use broker::{Ask, ConnectionId, Event, Message};
use fleet::attempt::Kind;
use fleet::text::Text;

use super::State;
use crate::clock;
use crate::desk::{Asked, Errand, turned_away};
use crate::limits::ASKS_PER_CONNECTION_MAX;
use crate::shard::mail::Mail;

impl State {
    /// Brings a request to the desk. Who asks too much at once, or finds no room there, is told to come back.
    pub(super) fn ask(&mut self, ask: Ask) {
        let Some(connection) = self.connections.get(&ask.connection) else {
            return;
        };
        let mut attempt = self.attempt_of(connection, Kind::Provision, *ask.message.tenant());
        attempt.client_id = Some(Text::short(&*ask.client_id));
        attempt.operation = Some(Text::short(ask.message.topic()));
        let has_room = connection.asks < ASKS_PER_CONNECTION_MAX;
        if let Some(connection) = self.connections.get_mut(&ask.connection) {
            connection.asks = connection.asks.saturating_add(1);
        }
        let asked = Errand::Ask(Box::new(Asked {
            shard: self.index,
            ask: ask.clone(),
            attempt,
        }));
        if !has_room || self.control.desk.try_send(asked).is_err() {
            self.turn_away(&ask);
        }
    }

    /// The answer comes back by mail, as any other: this is in the middle of a step.
    fn turn_away(&mut self, ask: &Ask) {
        let message = turned_away(ask);
        let connection = ask.connection;
        if let Some(mailbox) = self.control.shards.mailbox(self.index) {
            let _ = mailbox.try_send(Mail::Answer { connection, message });
        }
    }

    /// Tells a client the answer to its request.
    pub(in crate::shard) fn answer(&mut self, id: ConnectionId, message: Option<Arc<Message>>) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.asks = connection.asks.saturating_sub(1);
        if let Some(message) = message {
            connection.secret = true;
            let answer = Event::Answer {
                connection: id,
                message,
            };
            self.node.step(answer, clock::now(), &mut self.actions);
            self.carry_out();
        }
    }
}
