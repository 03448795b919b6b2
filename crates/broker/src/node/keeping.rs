//! All that a node keeps, as records again: a checkpoint, after which everything written before it can be thrown away.
//!
//! A checkpoint is made a few sessions at a time between other steps. It holds each session whole, in one step; what is
//! written of a session before its place in the checkpoint is in there, and what is written after follows it.

use std::collections::HashSet;
use std::ops::Bound;
use std::sync::Arc;

use identity::UnixMillis;

use crate::action::Actions;
use crate::message::Message;
use crate::outbound::Entry;
use crate::record::{KeptWill, Record, SessionKey};
use crate::session::Session;

use super::Node;
use super::journal::Relay;

/// How far a checkpoint is.
#[derive(Debug, Default)]
pub struct Checkpoint {
    after: SessionKey,
    /// Messages that this checkpoint holds already.
    messages: HashSet<u64>,
    begun: bool,
}

impl Session {
    /// The session without anything in it.
    pub(crate) fn record(&self) -> Record {
        Record::Session {
            key: self.key,
            tenant: self.tenant,
            client_id: Arc::clone(&self.client_id),
            speaks: self.speaks,
            expiry_seconds: self.expiry_seconds,
            next: self.outbound.next(),
        }
    }
}

impl Node {
    /// Writes the next so many sessions into a checkpoint; false when it is complete.
    pub fn checkpoint(
        &mut self,
        checkpoint: &mut Checkpoint,
        sessions: usize,
        now: UnixMillis,
        actions: &mut Actions,
    ) -> bool {
        self.journal.begin_step();
        if !std::mem::replace(&mut checkpoint.begun, true) {
            self.tenants
                .iter_mut()
                .for_each(|tenant| tenant.retained.sweep(now));
            self.keep_shared_state(checkpoint, actions);
        }
        let rest = (Bound::Excluded(checkpoint.after), Bound::Unbounded);
        let keys: Vec<SessionKey> = self.kept.range(rest).take(sessions).copied().collect();
        for key in &keys {
            self.keep_session(*key, checkpoint, actions);
            checkpoint.after = *key;
        }
        keys.len() == sessions
    }

    /// Everything at once.
    pub fn snapshot(&mut self, now: UnixMillis, actions: &mut Actions) {
        let mut checkpoint = Checkpoint::default();
        while self.checkpoint(&mut checkpoint, usize::MAX, now, actions) {}
    }

    /// What belongs to no session: retained messages, and what goes between nodes.
    fn keep_shared_state(&mut self, checkpoint: &mut Checkpoint, actions: &mut Actions) {
        let mut retained = Vec::new();
        for tenant in &self.tenants {
            let owned = |message: &&Arc<Message>| self.config.owns(&tenant.name, message.topic());
            let all = tenant
                .retained
                .after(None)
                .filter(|message| !message.payload().is_empty());
            retained.extend(all.filter(owned).cloned());
        }
        for message in retained {
            let message = self.journal.message(&message, &mut 0, actions);
            self.journal.keep(Record::Retained { message }, actions);
        }
        for (from, number) in &self.seen {
            let record = Record::Seen {
                from: *from,
                number: *number,
            };
            self.journal.keep(record, actions);
        }
        // Numbers go on from here, whether anything is under way or not.
        let last = self.journal.last_relay();
        let relays: Vec<Relay> = self.journal.relays().cloned().collect();
        for relay in relays {
            let message = self.keep_once(&relay.message, 0, checkpoint, actions);
            self.journal.keep(relay.record(message), actions);
        }
        if last > 0 && self.journal.relays().next().is_none() {
            self.journal.keep(Record::Relayed { number: last }, actions);
        }
    }

    fn keep_session(&mut self, key: SessionKey, checkpoint: &mut Checkpoint, actions: &mut Actions) {
        let Some(session) = self.sessions.get(&key) else {
            return;
        };
        let is_live = session.live.is_some();
        let (absence, expiry_seconds) = (session.absence, session.expiry_seconds);
        let mut records = vec![session.record()];
        let subscribed = |(filter, wanted): &(Arc<str>, _)| Record::Subscribed {
            key,
            filter: Arc::clone(filter),
            wanted: *wanted,
        };
        records.extend(session.subscriptions.iter().map(subscribed));
        records.extend(session.inbound.iter().map(|id| Record::Received { key, id: *id }));
        let entries: Vec<Entry> = session
            .outbound
            .entries()
            .filter(|entry| entry.kept != 0)
            .cloned()
            .collect();
        let will = session
            .will
            .as_ref()
            .map(|will| (Arc::clone(&will.message), will.kept, will.delay_seconds, will.due));
        records
            .into_iter()
            .for_each(|record| self.journal.keep(record, actions));
        for entry in entries {
            self.keep_entry(key, entry, checkpoint, actions);
        }
        let due = will.as_ref().and_then(|will| will.3);
        let will = will.map(|(message, kept, delay_seconds, _)| KeptWill {
            message: self.keep_once(&message, kept, checkpoint, actions),
            delay_seconds,
        });
        let attached = Record::Attached {
            key,
            expiry_seconds,
            will,
        };
        self.journal.keep(attached, actions);
        if let Some(absence) = absence.filter(|_| !is_live) {
            let gone = Record::Gone {
                key,
                absence,
                expiry_seconds,
                will_due: due,
            };
            self.journal.keep(gone, actions);
        }
    }

    fn keep_entry(
        &mut self,
        key: SessionKey,
        entry: Entry,
        checkpoint: &mut Checkpoint,
        actions: &mut Actions,
    ) {
        let message = self.keep_once(&entry.message, entry.kept, checkpoint, actions);
        let number = entry.number;
        let queued = Record::Queued {
            key,
            number,
            message,
            qos: entry.qos,
            retain: entry.retain,
            identifiers: entry.identifiers,
        };
        self.journal.keep(queued, actions);
        if let Some(filter) = entry.shared {
            self.journal.keep(Record::Chosen { key, number, filter }, actions);
        }
        if entry.released {
            self.journal.keep(Record::Released { key, number }, actions);
        }
    }

    /// Keeps a message that many sessions may wait for once in a checkpoint, under the number it has; 0: it has none.
    fn keep_once(
        &mut self,
        message: &Arc<Message>,
        id: u64,
        checkpoint: &mut Checkpoint,
        actions: &mut Actions,
    ) -> u64 {
        if id == 0 {
            return self.journal.message(message, &mut 0, actions);
        }
        if checkpoint.messages.insert(id) {
            let message = Arc::clone(message);
            self.journal.keep(Record::Message { id, message }, actions);
        }
        id
    }

    /// Every retained message, for nodes that were made of other logs.
    #[must_use]
    pub fn retained_messages(&self) -> Vec<Arc<Message>> {
        let tenants = self.tenants.iter();
        tenants
            .flat_map(|tenant| tenant.retained.after(None))
            .cloned()
            .collect()
    }

    /// Takes retained messages of another node, before any client is here. Those that it owns are written down with the next
    /// checkpoint.
    pub fn adopt(&mut self, messages: &[Arc<Message>]) {
        for message in messages {
            let index = self.tenant_index(*message.tenant());
            if let Some(tenant) = self.tenants.get_mut(index) {
                tenant.retained.keep(message);
            }
        }
    }
}
