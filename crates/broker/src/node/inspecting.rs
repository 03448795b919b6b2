//! What the API asks of a client and does to it: how it stands, what it listens to, and the end of its connection (AWS IoT Core
//! API, GetConnection, ListSubscriptions, DeleteConnection).

use std::net::IpAddr;
use std::sync::Arc;

use identity::{Tenant, UnixMillis};
use mqtt::QoS;

use crate::absence::Absence;
use crate::action::{Actions, CloseReason};
use crate::event::ConnectionId;
use crate::record::SessionKey;
use crate::session::Session;

use super::Node;

/// How a client stands: connected, or awaited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientState {
    /// Its connection, if it has one.
    pub connection: Option<ConnectionState>,
    /// Since when it has none, and why.
    pub absence: Option<Absence>,
    /// Whether its session ends with its connection.
    pub clean: bool,
    /// How long its session outlives its connection.
    pub expiry_seconds: u32,
}

/// How a connection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionState {
    /// Its number.
    pub connection: ConnectionId,
    /// Since when it is there.
    pub since: UnixMillis,
    /// Where it comes from.
    pub source_ip: IpAddr,
    /// What silence it may keep.
    pub keep_alive_seconds: u16,
    /// The thing that it speaks for.
    pub thing: Option<Box<str>>,
}

/// Whether a filter can match topics of the server's own; no wildcard at the beginning does (`[MQTT-4.7.2-1]`).
#[must_use]
pub fn is_own(filter: &str) -> bool {
    filter.contains("$aws/")
}

impl Node {
    /// How a client stands; none if it neither is connected nor will come back.
    #[must_use]
    pub fn client(&self, tenant: &Tenant, client_id: &str) -> Option<ClientState> {
        let session = self.session_of(tenant, client_id)?;
        let connection = session.live.as_ref().map(|live| ConnectionState {
            connection: live.connection,
            since: UnixMillis(live.version),
            source_ip: live.context.source_ip(),
            keep_alive_seconds: live.keep_alive.seconds(),
            thing: live.context.thing_name().map(Into::into),
        });
        Some(ClientState {
            connection,
            absence: session.absence,
            clean: !session.is_kept(),
            expiry_seconds: session.expiry_seconds,
        })
    }

    /// Whether any client, here or away, listens to what the server itself has to say.
    #[must_use]
    pub fn has_listeners(&self) -> bool {
        let mut filters = self
            .sessions
            .values()
            .flat_map(|session| session.subscriptions.iter());
        filters.any(|(filter, _)| is_own(filter))
    }

    /// The client id of a connection.
    #[must_use]
    pub fn client_id_of(&self, connection: ConnectionId) -> Option<&str> {
        let key = self.connections.get(&connection)?;
        Some(&self.sessions.get(key)?.client_id)
    }

    /// What a client listens to, in the order of its filters.
    #[must_use]
    pub fn subscriptions(&self, tenant: &Tenant, client_id: &str) -> Option<Vec<(Arc<str>, QoS)>> {
        let session = self.session_of(tenant, client_id)?;
        let subscriptions = session.subscriptions.iter();
        let mut found: Vec<_> = subscriptions
            .map(|(filter, wanted)| (Arc::clone(filter), wanted.qos))
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Some(found)
    }

    /// Ends the connection of a client, with or without its will, and its session if that is wanted. False if there is no such
    /// client.
    pub fn disconnect(
        &mut self,
        tenant: &Tenant,
        client_id: &str,
        (clean, forget_will): (bool, bool),
        now: UnixMillis,
        actions: &mut Actions,
    ) -> bool {
        self.journal.begin_step();
        let Some(key) = self.session_of(tenant, client_id).map(|session| session.key) else {
            return false;
        };
        self.close(key, CloseReason::ByOperator { forget_will }, now, actions);
        if clean && self.sessions.contains_key(&key) {
            self.end_quietly(key, forget_will, now, actions);
        }
        true
    }

    fn end_quietly(&mut self, key: SessionKey, forget_will: bool, now: UnixMillis, actions: &mut Actions) {
        if let Some(session) = self.sessions.get_mut(&key).filter(|_| forget_will) {
            session.will = None;
        }
        self.end_session(key, now, actions);
    }

    pub(super) fn session_of(&self, tenant: &Tenant, client_id: &str) -> Option<&Session> {
        let index = self.tenant_indices.get(tenant)?;
        let key = self.tenants.get(*index)?.clients.get(client_id)?;
        self.sessions.get(key).map(|session| &**session)
    }
}
