//! The end of a connection and, at once or later, of its session (MQTT 5.0 sections 3.1.2.11.2, 4.1).

use identity::UnixMillis;

use crate::absence::Absence;
use crate::action::{Actions, CloseReason};
use crate::message::Message;
use crate::presence;
use crate::record::{Record, SessionKey};

use super::Node;

impl Node {
    /// A connection is gone. Those who wanted to know are told: by the will, unless the client said goodbye or the will waits,
    /// and by the presence event.
    pub(super) fn leave(
        &mut self,
        key: SessionKey,
        reason: CloseReason,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let Some(live) = session.live.take() else { return };
        self.connections.remove(&live.connection);
        if let Some(deadline) = session.deadline.take() {
            self.deadlines.remove(&(deadline, key));
        }
        let tenant_index = session.tenant_index;
        if let Some(tenant) = self.tenants.get_mut(tenant_index) {
            tenant.leave(live.grant.certificate, key);
        }
        let event = match self.is_unheard {
            true => None,
            false => presence::disconnected(&session.client_id, &live, reason, now),
        };
        if reason.forgets_will() {
            session.will = None;
        }
        if session.is_kept() {
            let reason = Some(reason.disconnect_reason());
            self.wait_for_client(key, Absence { since: now, reason }, actions);
        } else {
            self.end_session(key, now, actions);
        }
        if let Some(event) = event {
            self.publish_event(tenant_index, event, now, actions);
        }
    }

    /// The session stays without its connection.
    fn wait_for_client(&mut self, key: SessionKey, absence: Absence, actions: &mut Actions) {
        let now = absence.since;
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        session.absence = Some(absence);
        let (messages, bytes) = (session.outbound.len(), session.outbound.bytes());
        session.outbound.connection_lost();
        self.queued_messages -= messages - session.outbound.len();
        self.queued_bytes -= bytes - session.outbound.bytes();
        let due = session.will.as_mut().map(|will| {
            let due = now.plus_millis(i64::from(will.delay_seconds) * 1_000);
            *will.due.insert(due)
        });
        let record = Record::Gone {
            key,
            absence,
            expiry_seconds: session.expiry_seconds,
            will_due: due,
        };
        self.journal.keep(record, actions);
        session.settled = self.journal.all();
        self.tell_shares(key, false, actions);
        self.publish_due_will(key, now, actions);
        self.schedule(key);
    }

    /// Publishes the will of a client that is gone, if its time has come.
    fn publish_due_will(&mut self, key: SessionKey, now: UnixMillis, actions: &mut Actions) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let is_due = |due: UnixMillis| due <= now;
        if session
            .will
            .as_ref()
            .and_then(|will| will.due)
            .is_some_and(is_due)
        {
            let record = Record::WillDone { key };
            self.journal.keep(record, actions);
            self.publish_will(key, now, actions);
        }
    }

    fn publish_will(&mut self, key: SessionKey, now: UnixMillis, actions: &mut Actions) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let tenant_index = session.tenant_index;
        if let Some(will) = session.will.take() {
            let mut message = will.message;
            let stamp = self.journal.stamp(self.config.index, now);
            Message::begin(&mut message, stamp);
            self.publish_everywhere(tenant_index, message, None, false, now, actions);
        }
    }

    /// Forgets a session and all that was kept for it. A will that still waits is published now (`[MQTT-3.1.2-8]`).
    pub(super) fn end_session(&mut self, key: SessionKey, now: UnixMillis, actions: &mut Actions) {
        self.publish_will(key, now, actions);
        let Some(session) = self.sessions.remove(&key) else {
            return;
        };
        if let Some(deadline) = session.deadline {
            self.deadlines.remove(&(deadline, key));
        }
        self.queued_bytes -= session.outbound.bytes();
        self.queued_messages -= session.outbound.len();
        self.subscriptions -= session.subscriptions.len();
        if self.kept.remove(&key) {
            self.kept_subscriptions -= session.subscriptions.len();
            self.journal.end(key, actions);
        }
        let Some(tenant) = self.tenants.get_mut(session.tenant_index) else {
            return;
        };
        tenant.clients.remove(&session.client_id);
        for (filter, _) in &session.subscriptions {
            tenant.index.unsubscribe(filter, key);
        }
        for (filter, _) in session.subscriptions {
            self.tell_share(session.tenant_index, &filter, actions);
        }
        for (filter, message) in session.outbound.for_others() {
            self.hand_over(session.tenant_index, &filter, &message, now, actions);
        }
    }

    pub(super) fn tick(&mut self, now: UnixMillis, actions: &mut Actions) {
        while let Some(&(deadline, key)) = self.deadlines.first().filter(|(deadline, _)| *deadline <= now) {
            self.deadlines.remove(&(deadline, key));
            if let Some(session) = self.sessions.get_mut(&key) {
                session.deadline = None;
                self.look_after(key, now, actions);
            }
        }
    }

    fn look_after(&mut self, key: SessionKey, now: UnixMillis, actions: &mut Actions) {
        let Some(session) = self.sessions.get(&key) else {
            return;
        };
        let is_over = |deadline: Option<UnixMillis>| deadline.is_some_and(|deadline| deadline <= now);
        if let Some(live) = &session.live {
            if is_over(live.silence_deadline()) {
                return self.close(key, CloseReason::KeepAliveTimeout, now, actions);
            }
        } else if is_over(session.expires()) {
            return self.end_session(key, now, actions);
        } else {
            self.publish_due_will(key, now, actions);
        }
        self.schedule(key);
    }

    /// Looks after a session again when its silence would end it. Packets only note when they came, so that a packet costs
    /// nothing here and a session is looked after about once per keep alive.
    pub(super) fn schedule(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if let Some(before) = session.deadline.take() {
            self.deadlines.remove(&(before, key));
        }
        session.deadline = session.next_deadline();
        self.deadlines
            .extend(session.deadline.map(|deadline| (deadline, key)));
    }
}
