//! What clients say about messages on their way: QoS 1 in one step, QoS 2 in three, both ways (MQTT 5.0 section 4.3).

use identity::UnixMillis;
use mqtt::v5::{self, Acknowledgement, Properties};
use mqtt::{PacketId, PacketType, encode};

use crate::action::{Action, Actions, Gate, Outgoing};
use crate::record::{Record, SessionKey};

use super::Node;

impl Node {
    /// PUBACK: the client has a QoS 1 message; what waits moves up.
    pub(super) fn acknowledged(
        &mut self,
        key: SessionKey,
        id: PacketId,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let session = self.sessions.get_mut(&key);
        if let Some(entry) = session.and_then(|session| session.outbound.acknowledged(id)) {
            if entry.message.is_private()
                && let Some(connection) = self.sessions.get(&key).and_then(|session| session.connection())
            {
                let number = entry.number;
                actions.push(Action::Received { connection, number });
            }
            self.forget_entry(key, &entry, actions);
            self.pump(key, now, actions);
        }
    }

    /// PUBREC: the client has a QoS 2 message, or does not want it. It may forget the identifier as soon as that is remembered
    /// here.
    pub(super) fn received(
        &mut self,
        key: SessionKey,
        id: PacketId,
        reason: v5::Reason,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if reason.is_failure() {
            if let Some(entry) = session.outbound.completed(id, false) {
                self.forget_entry(key, &entry, actions);
                self.pump(key, now, actions);
            }
            return;
        }
        let is_v5 = session.is_v5();
        let Some(entry) = session.outbound.received(id) else {
            return self.answer(key, unknown(PacketType::PubRel, id, is_v5), Gate::NONE, actions);
        };
        let number = entry.number;
        let is_new = !std::mem::replace(&mut entry.released, true);
        if is_new && entry.kept != 0 {
            self.journal.keep(Record::Released { key, number }, actions);
        }
        let after = if self.kept.contains(&key) {
            self.journal.all()
        } else {
            Gate::NONE
        };
        self.answer(
            key,
            Outgoing::FourBytes(encode::publish_released(id)),
            after,
            actions,
        );
    }

    /// PUBCOMP: the identifier of a QoS 2 message is free.
    pub(super) fn completed(
        &mut self,
        key: SessionKey,
        id: PacketId,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let session = self.sessions.get_mut(&key);
        if let Some(entry) = session.and_then(|session| session.outbound.completed(id, true)) {
            self.forget_entry(key, &entry, actions);
            self.pump(key, now, actions);
        }
    }

    /// PUBREL: the client has forgotten the identifier of its QoS 2 message, so it is forgotten here too.
    pub(super) fn release(&mut self, key: SessionKey, id: PacketId, actions: &mut Actions) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let was_there = session.inbound.remove(&id);
        let is_v5 = session.is_v5();
        if was_there && self.kept.contains(&key) {
            self.journal.keep(Record::Completed { key, id }, actions);
        }
        let answer = match was_there {
            true => Outgoing::FourBytes(encode::publish_completed(id)),
            false => unknown(PacketType::PubComp, id, is_v5),
        };
        self.answer(key, answer, self.journal.step(), actions);
    }
}

/// The answer about an identifier that nobody knows; MQTT 3.1.1 has no words for that.
fn unknown(kind: PacketType, id: PacketId, is_v5: bool) -> Outgoing {
    if !is_v5 {
        return Outgoing::FourBytes(match kind {
            PacketType::PubRel => encode::publish_released(id),
            _ => encode::publish_completed(id),
        });
    }
    let answer = Acknowledgement {
        id,
        reason: v5::Reason::PacketIdentifierNotFound,
        properties: Properties::NONE,
    };
    Outgoing::written(|out| v5::encode::acknowledgement(out, kind, &answer))
}
