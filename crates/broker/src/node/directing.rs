//! A message of the API to one client, past every subscription (AWS IoT Core API, SendDirectMessage).
//!
//! It stands beside the answers to requests of clients. What is sent so is for the connection that is there now: it is never
//! written down, and never sent again to a later one.

use std::sync::Arc;

use identity::UnixMillis;
use mqtt::QoS;
use policy::{Action as PolicyAction, Resource};

use crate::action::Actions;
use crate::event::ConnectionId;
use crate::message::Message;
use crate::record::Identifiers;
use crate::refusal::Reason;

use super::Node;
use super::delivering::Offer;

/// What became of a message to one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Directed {
    /// At QoS 0: it is on its way.
    Sent,
    /// At QoS 1: it is on its way, or waits for room. [`Action::Received`](crate::Action::Received) with this connection and
    /// this number tells that the client has it.
    Awaited(ConnectionId, u64),
    /// The client is not connected.
    Absent,
    /// Its policies do not let it receive this.
    Forbidden(Reason),
    /// It takes no packet that long.
    TooLong,
    /// Too much waits for it already.
    Full,
}

impl Node {
    /// Sends a message that nobody else has to one client, if it is connected and may receive it.
    pub fn direct(
        &mut self,
        client_id: &str,
        message: Arc<Message>,
        now: UnixMillis,
        actions: &mut Actions,
    ) -> Directed {
        self.journal.begin_step();
        let mut message = Message::private(message);
        let Some(session) = self.session_of(message.tenant(), client_id) else {
            return Directed::Absent;
        };
        let (key, next) = (session.key, session.outbound.next());
        let Some(live) = &session.live else {
            return Directed::Absent;
        };
        let connection = live.connection;
        let resource = Resource::topic(message.topic());
        if let Err(reason) = live.check(PolicyAction::Receive, resource, now) {
            return Directed::Forbidden(reason);
        }
        if !session.room().takes(&message, &Identifiers::None) {
            return Directed::TooLong;
        }
        Message::begin(&mut message, self.journal.stamp(self.config.index, now));
        let offer = Offer {
            qos: message.qos(),
            retain: false,
            identifiers: Identifiers::None,
            shared: None,
        };
        self.deliver(key, &message, offer, &mut 0, now, actions);
        let queued = self.sessions.get(&key).map(|session| session.outbound.next());
        match message.qos() {
            QoS::AtMostOnce => Directed::Sent,
            _ if queued > Some(next) => Directed::Awaited(connection, next),
            _ => Directed::Full,
        }
    }
}
