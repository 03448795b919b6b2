//! Requests to the server itself, and its answers: from one connection, to that connection, past every other client.

use std::sync::Arc;

use identity::UnixMillis;
use mqtt::{TopicFilter, TopicName};

use crate::action::{Action, Actions, Ask};
use crate::event::ConnectionId;
use crate::message::Message;
use crate::record::{SessionKey, Wanted};
use crate::refusal::{Attempt, Reason};

use super::Node;
use super::publishing::offer;

impl Node {
    /// A client asks the server for something. Nobody else gets the message, and nothing of it stays.
    pub(super) fn ask(&self, key: SessionKey, message: Arc<Message>, actions: &mut Actions) {
        let Some(session) = self.sessions.get(&key) else {
            return;
        };
        let Some(live) = &session.live else { return };
        actions.push(Action::Ask(Ask {
            connection: live.connection,
            certificate: live.grant.certificate,
            client_id: Arc::clone(&session.client_id),
            message,
        }));
    }

    /// An answer: to this connection if it listens and may receive it, and to nobody else, now or later.
    pub(super) fn tell_one(
        &mut self,
        connection: ConnectionId,
        mut message: Arc<Message>,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let Some(key) = self.connections.get(&connection).copied() else {
            return;
        };
        Message::begin(&mut message, self.journal.stamp(self.config.index, now));
        let wanted = self.wanted(key, message.topic());
        if wanted.is_empty() {
            let attempt = Attempt::Receive(message.topic().into());
            return self.refuse(key, attempt, Reason::NotSubscribed, actions);
        }
        let offer = offer(wanted.iter(), &message);
        self.deliver(key, &message, offer, &mut 0, now, actions);
    }

    /// What a session's own subscriptions ask for on a topic; one that is shared asks for nothing.
    fn wanted(&self, key: SessionKey, topic: &str) -> Vec<Wanted> {
        let (Some(session), Ok(topic)) = (self.sessions.get(&key), TopicName::new(topic)) else {
            return Vec::new();
        };
        let matching = self.config.matching();
        let means_it =
            |filter: &str| TopicFilter::new(filter).is_ok_and(|filter| filter.matches(topic, matching));
        let subscriptions = session.subscriptions.iter();
        let matched = subscriptions.filter(|(filter, _)| means_it(filter));
        matched.map(|(_, wanted)| *wanted).collect()
    }
}
