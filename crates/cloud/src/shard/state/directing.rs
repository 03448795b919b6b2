//! Messages of API callers to single clients, and the callers that wait until a client has one.

use std::sync::Arc;

use broker::{ConnectionId, Directed, Message};
use tokio::sync::oneshot;

use super::State;
use crate::clock;
use crate::limits::CONFIRMATIONS_MAX;
use crate::shard::mail::Direct;

impl State {
    /// Sends a message to one client, if it is connected.
    pub(in crate::shard) fn direct(&mut self, client_id: &str, message: Arc<Message>) -> Direct {
        if self.confirmations.len() >= CONFIRMATIONS_MAX {
            self.confirmations.retain(|_, waiting| !waiting.is_closed());
        }
        if self.confirmations.len() >= CONFIRMATIONS_MAX {
            return Direct::Full;
        }
        let (node, actions) = (&mut self.node, &mut self.actions);
        let directed = node.direct(client_id, message, clock::now(), actions);
        let told = match directed {
            Directed::Sent => Direct::Sent,
            Directed::Awaited(connection, number) => {
                let (sender, receiver) = oneshot::channel();
                self.confirmations.insert((connection, number), sender);
                Direct::Awaited(receiver)
            }
            Directed::Absent => Direct::Absent,
            Directed::Forbidden(reason) => Direct::Forbidden(reason.to_string()),
            Directed::TooLong => Direct::TooLong,
            Directed::Full => Direct::Full,
        };
        self.carry_out();
        told
    }

    /// A client has acknowledged a message that was for it alone.
    pub(super) fn confirm_direct(&mut self, connection: ConnectionId, number: u64) {
        if let Some(waiting) = self.confirmations.remove(&(connection, number)) {
            let _ = waiting.send(());
        }
    }

    /// A connection is gone: who waits for what it was sent, waits no more.
    pub(super) fn give_up_direct(&mut self, connection: ConnectionId) {
        if !self.confirmations.is_empty() {
            self.confirmations.retain(|(of, _), _| *of != connection);
        }
    }
}
