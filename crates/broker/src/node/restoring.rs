//! A node made of its records again.
//!
//! A record of a session that is not there yet is passed over: it was written while a checkpoint was being made, and is part
//! of what the checkpoint says later. A record that names a message which is not there fits nowhere: the log is damaged.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use identity::UnixMillis;

use crate::absence::{Absence, DisconnectReason};
use crate::action::{Action, Actions, Forward, Gate};
use crate::interests::Nodes;
use crate::message::Message;
use crate::outbound::{Entry, Outbound};
use crate::record::{KeptWill, NodeIndex, Record, SessionKey};
use crate::session::{LastWill, Session};

use super::journal::Relay;
use super::{Config, Node};

/// A node in the making.
#[derive(Debug)]
pub struct Restoring {
    node: Node,
    messages: HashMap<u64, Arc<Message>>,
    relays: Vec<Relay>,
    /// Those of logs before, which are to be numbered anew.
    others: Vec<Relay>,
    /// Keys and numbers are those of another node's log.
    foreign: Option<HashMap<SessionKey, SessionKey>>,
}

/// A record that fits nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// The message it names.
    pub message: u64,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a record names message {}, which is not there", self.message)
    }
}

impl std::error::Error for Unfit {}

impl Restoring {
    /// Of nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            node: Node::new(config),
            messages: HashMap::new(),
            relays: Vec::new(),
            others: Vec::new(),
            foreign: None,
        }
    }

    /// The records that follow are of another log, which ends with this: they get keys of this node's own. Whoever does this writes
    /// a whole checkpoint before the node is used.
    pub fn begin_foreign(&mut self) {
        self.messages.clear();
        // Numbers of another log are not those of the next.
        self.others.append(&mut self.relays);
        self.foreign = Some(HashMap::new());
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn take(&mut self, record: Record) -> Result<(), Unfit> {
        match record {
            Record::Message { id, message } => {
                self.messages.insert(id, message);
                if self.foreign.is_none() {
                    self.node.journal.continue_after(id, 0);
                }
            }
            Record::Retained { message } => {
                let message = self.message(message)?;
                self.node.adopt(&[message]);
            }
            Record::Relay {
                number,
                message,
                chosen,
            } => {
                let message = self.message(message)?;
                self.relay(Relay {
                    number,
                    message,
                    chosen,
                    is_handed: false,
                });
            }
            Record::HandedOver {
                number,
                message,
                filter,
                node,
            } => {
                let message = self.message(message)?;
                self.relay(Relay {
                    number,
                    message,
                    chosen: [(filter, node)].into(),
                    is_handed: true,
                });
            }
            Record::Relayed { number } => {
                self.relays.retain(|relay| relay.number > number);
                self.node.journal.continue_after(0, number);
            }
            Record::Seen { from, number } if self.foreign.is_none() => {
                self.node.seen.insert(from, number);
            }
            Record::Seen { .. } => {}
            Record::Session { .. } => self.begin(record),
            other => self.change(other)?,
        }
        Ok(())
    }

    fn relay(&mut self, relay: Relay) {
        let number = relay.number;
        self.relays.retain(|known| known.number != number);
        self.relays.push(relay);
        self.node.journal.continue_after(0, number);
    }

    fn message(&self, id: u64) -> Result<Arc<Message>, Unfit> {
        self.messages.get(&id).cloned().ok_or(Unfit { message: id })
    }

    fn begin(&mut self, record: Record) {
        let Record::Session {
            key,
            tenant,
            client_id,
            speaks,
            expiry_seconds,
            next,
        } = record
        else {
            return;
        };
        let key = self.own_key(key);
        self.node.drop_restored(key);
        let tenant_index = self.node.tenant_index(tenant);
        if let Some(tenant) = self.node.tenants.get_mut(tenant_index) {
            tenant.clients.insert(Arc::clone(&client_id), key);
        }
        let session = Session {
            key,
            tenant_index,
            tenant,
            client_id,
            speaks,
            expiry_seconds,
            subscriptions: Vec::new(),
            outbound: Outbound::starting_at(next),
            inbound: BTreeSet::new(),
            will: None,
            live: None,
            settled: Gate::NONE,
            absence: None,
            deadline: None,
        };
        self.node.kept.insert(key);
        self.node.sessions.insert(key, Box::new(session));
    }

    fn own_key(&mut self, key: SessionKey) -> SessionKey {
        let Some(foreign) = &mut self.foreign else {
            self.node.last_key = self.node.last_key.max(key.0);
            return key;
        };
        *foreign.entry(key).or_insert_with(|| {
            self.node.last_key += 1;
            SessionKey(self.node.last_key)
        })
    }

    fn change(&mut self, record: Record) -> Result<(), Unfit> {
        let Some(key) = session_of(&record) else {
            return Ok(());
        };
        let key = match &self.foreign {
            Some(foreign) => foreign.get(&key).copied(),
            None => Some(key),
        };
        let Some(key) = key.filter(|key| self.node.sessions.contains_key(key)) else {
            return Ok(());
        };
        match record {
            Record::Queued {
                number,
                message: id,
                qos,
                retain,
                identifiers,
                ..
            } => {
                let message = self.message(id)?;
                self.node.queued_bytes += message.bytes();
                self.node.queued_messages += 1;
                let entry = Entry {
                    number,
                    message,
                    kept: id,
                    qos,
                    retain,
                    identifiers,
                    shared: None,
                    again: false,
                    released: false,
                };
                self.node.with(key, |session| session.outbound.restore(entry));
            }
            Record::Attached {
                expiry_seconds, will, ..
            } => {
                let will = will.map(|will| self.will(will)).transpose()?;
                self.node.with(key, |session| {
                    session.expiry_seconds = expiry_seconds;
                    session.absence = None;
                    session.will = will;
                });
            }
            other => self.node.change_restored(key, other),
        }
        Ok(())
    }

    fn will(&self, will: KeptWill) -> Result<Box<LastWill>, Unfit> {
        Ok(Box::new(LastWill {
            message: self.message(will.message)?,
            kept: will.message,
            delay_seconds: will.delay_seconds,
            due: None,
        }))
    }

    /// The node, and what it wants done first. Whoever was connected is gone since now.
    #[must_use]
    pub fn finish(mut self, now: UnixMillis) -> (Node, Actions) {
        let mut actions = Actions::new();
        let limits = self.node.config.limits;
        let fallen = Absence {
            since: now,
            reason: Some(DisconnectReason::ServerError),
        };
        for key in self.node.kept.clone() {
            self.node.with(key, |session| {
                session.outbound.restarted(&limits);
                session.absence.get_or_insert(fallen);
                if let Some(will) = &mut session.will {
                    let delay = i64::from(will.delay_seconds) * 1_000;
                    will.due.get_or_insert_with(|| now.plus_millis(delay));
                }
            });
            self.node.schedule(key);
            self.node.tell_shares(key, false, &mut actions);
        }
        for mut relay in std::mem::take(&mut self.others) {
            relay.number = self.node.journal.last_relay() + 1;
            self.relay(relay);
        }
        let (here, nodes) = (self.node.config.index, self.node.config.nodes);
        for mut relay in self.relays {
            let lost = relay.chosen.first().filter(|_| relay.is_handed).cloned();
            if let Some((filter, _)) = lost.filter(|(_, node)| *node == here || node.0 >= nodes) {
                // There were other nodes then.
                if nodes < 2 {
                    let index = self.node.tenant_index(*relay.message.tenant());
                    self.node
                        .hand_over(index, &filter, &relay.message, now, &mut actions);
                    continue;
                }
                relay.chosen = [(filter, NodeIndex(u16::from(here.0 == 0)))].into();
            }
            // The node that writes it down may not have it yet: it knows it from here.
            if relay.message.is_retained() {
                self.node.adopt(std::slice::from_ref(&relay.message));
            }
            actions.push(Action::Forward(Forward {
                message: Arc::clone(&relay.message),
                chosen: Arc::clone(&relay.chosen),
                relay: Some(relay.number),
                after: Gate::NONE,
                // Who wanted it, nobody knows any more; who has seen it passes it over.
                to: Nodes::ALL,
                is_handed: relay.is_handed,
            }));
            self.node.journal.relayed(relay);
            self.node.journal.forward();
        }
        (self.node, actions)
    }
}

impl Node {
    fn with(&mut self, key: SessionKey, change: impl FnOnce(&mut Session)) {
        if let Some(session) = self.sessions.get_mut(&key) {
            change(session);
        }
    }

    /// Forgets a session without telling anybody.
    fn drop_restored(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.remove(&key) else {
            return;
        };
        self.kept.remove(&key);
        self.queued_bytes -= session.outbound.bytes();
        self.queued_messages -= session.outbound.len();
        self.kept_subscriptions -= session.subscriptions.len();
        self.subscriptions -= session.subscriptions.len();
        if let Some(tenant) = self.tenants.get_mut(session.tenant_index) {
            if tenant.clients.get(&session.client_id) == Some(&key) {
                tenant.clients.remove(&session.client_id);
            }
            for (filter, _) in &session.subscriptions {
                tenant.index.unsubscribe(filter, key);
            }
        }
    }

    fn change_restored(&mut self, key: SessionKey, record: Record) {
        match record {
            Record::Gone {
                absence,
                expiry_seconds,
                will_due,
                ..
            } => self.with(key, |session| {
                session.absence = Some(absence);
                session.expiry_seconds = expiry_seconds;
                session.will = session.will.take().filter(|_| will_due.is_some());
                if let Some(will) = &mut session.will {
                    will.due = will_due;
                }
            }),
            Record::WillDone { .. } => self.with(key, |session| session.will = None),
            Record::Subscribed { filter, wanted, .. } => {
                let Some(session) = self.sessions.get_mut(&key) else {
                    return;
                };
                let mut known = session.subscriptions.iter_mut();
                match known.find(|(known, _)| **known == *filter) {
                    Some((_, known)) => *known = wanted,
                    None => {
                        session.subscriptions.push((Arc::clone(&filter), wanted));
                        self.kept_subscriptions += 1;
                        self.subscriptions += 1;
                    }
                }
                if let Some(tenant) = self.tenants.get_mut(session.tenant_index) {
                    tenant.index.subscribe(&filter, key, wanted, false);
                }
            }
            Record::Unsubscribed { filter, .. } => {
                let Some(session) = self.sessions.get_mut(&key) else {
                    return;
                };
                let before = session.subscriptions.len();
                session.subscriptions.retain(|(known, _)| **known != *filter);
                let gone = before - session.subscriptions.len();
                self.kept_subscriptions -= gone;
                self.subscriptions -= gone;
                if let Some(tenant) = self.tenants.get_mut(session.tenant_index) {
                    tenant.index.unsubscribe(&filter, key);
                }
            }
            Record::Chosen { number, filter, .. } => self.with(key, |session| {
                if let Some(entry) = session.outbound.entry_mut(number) {
                    entry.shared = Some(filter);
                }
            }),
            Record::Released { number, .. } => self.with(key, |session| {
                if let Some(entry) = session.outbound.entry_mut(number) {
                    entry.released = true;
                }
            }),
            Record::Done { number, .. } => {
                let Some(session) = self.sessions.get_mut(&key) else {
                    return;
                };
                let (messages, bytes) = (session.outbound.len(), session.outbound.bytes());
                session.outbound.forget(number);
                self.queued_messages -= messages - session.outbound.len();
                self.queued_bytes -= bytes - session.outbound.bytes();
            }
            Record::Received { id, .. } => self.with(key, |session| {
                session.inbound.insert(id);
            }),
            Record::Completed { id, .. } => self.with(key, |session| {
                session.inbound.remove(&id);
            }),
            Record::Ended { .. } => self.drop_restored(key),
            _ => {}
        }
    }
}

/// The session that a record is about.
#[must_use]
const fn session_of(record: &Record) -> Option<SessionKey> {
    match record {
        Record::Session { key, .. }
        | Record::Attached { key, .. }
        | Record::Gone { key, .. }
        | Record::WillDone { key }
        | Record::Subscribed { key, .. }
        | Record::Unsubscribed { key, .. }
        | Record::Queued { key, .. }
        | Record::Chosen { key, .. }
        | Record::Released { key, .. }
        | Record::Done { key, .. }
        | Record::Received { key, .. }
        | Record::Completed { key, .. }
        | Record::Ended { key } => Some(*key),
        Record::Message { .. }
        | Record::Retained { .. }
        | Record::Relay { .. }
        | Record::HandedOver { .. }
        | Record::Relayed { .. }
        | Record::Seen { .. } => None,
    }
}

impl Record {
    /// The session that it is about; none for what belongs to no session.
    #[must_use]
    pub const fn session(&self) -> Option<SessionKey> {
        session_of(self)
    }
}
