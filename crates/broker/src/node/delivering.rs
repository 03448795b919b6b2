//! A message on the last part of its way: into the queue of a session, and out of it to the client.

use std::sync::Arc;

use identity::UnixMillis;
use mqtt::{Delivery, QoS};
use policy::{Action as PolicyAction, Resource};

use crate::action::{Action, Actions, Gate, Outgoing};
use crate::counters::Dropped;
use crate::message::Message;
use crate::outbound::{Entry, Full, Gone, Moved};
use crate::record::{Identifiers, Record, SessionKey};
use crate::refusal::{Attempt, Reason};
use crate::session::Session;

use super::Node;

/// How a session is to get a message.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) identifiers: Identifiers,
    /// The shared subscription that it was chosen for.
    pub(super) shared: Option<Arc<str>>,
}

impl Node {
    /// To one who listens, if its policies let it receive this now. Who is away is asked when it comes back.
    pub(super) fn deliver(
        &mut self,
        key: SessionKey,
        message: &Arc<Message>,
        offer: Offer,
        kept: &mut u64,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if message.is_expired(now) {
            return;
        }
        if session
            .live
            .as_ref()
            .is_some_and(|live| !live.may_receive(message.topic(), now))
        {
            self.counters.not_received += 1;
            return not_received(session, message.topic(), now, actions);
        }
        if let Err(reason) = fits(session, message, &offer) {
            self.counters.dropped.too_long += 1;
            return self.tell_dropped(key, message.topic(), Some(reason), actions);
        }
        if offer.qos == QoS::AtMostOnce {
            if let Some(connection) = session.connection() {
                let packet =
                    Outgoing::message(message, Delivery::AtMostOnce, offer.retain, offer.identifiers);
                self.counters.delivered.note(offer.qos, message.payload().len());
                actions.send(connection, session.said(packet, now));
            }
            return;
        }
        let limits = &self.config.limits;
        let node_full = self.queued_bytes + message.bytes() > limits.node_queue_bytes_max;
        let dropped = &mut self.counters.dropped;
        let reason = match session.outbound.check_room(message.bytes(), limits) {
            Ok(()) if node_full && session.outbound.bytes() > 0 => {
                dropped.node_bytes += 1;
                let bytes = self.queued_bytes;
                Some(Reason::NodeFull { bytes })
            }
            Ok(()) => {
                self.queue(key, message, offer, kept, actions);
                return self.pump(key, now, actions);
            }
            Err(Full::Messages(reason)) => {
                dropped.queue_messages += 1;
                reason
            }
            Err(Full::Bytes(reason)) => {
                dropped.queue_bytes += 1;
                reason
            }
        };
        self.tell_dropped(key, message.topic(), reason, actions);
    }
    /// Puts a message into the queue of a session, and into the log if the session is there.
    fn queue(
        &mut self,
        key: SessionKey,
        message: &Arc<Message>,
        offer: Offer,
        kept: &mut u64,
        actions: &mut Actions,
    ) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let Offer {
            qos,
            retain,
            identifiers,
            shared,
        } = offer;
        self.queued_bytes += message.bytes();
        self.queued_messages += 1;
        // What is for one connection alone is never written down.
        if !session.is_kept() || message.is_private() {
            session
                .outbound
                .push(Arc::clone(message), (qos, retain), identifiers, 0, shared);
            return;
        }
        let id = self.journal.message(message, kept, actions);
        let number = session.outbound.push(
            Arc::clone(message),
            (qos, retain),
            identifiers.clone(),
            id,
            shared.clone(),
        );
        let record = Record::Queued {
            key,
            number,
            message: id,
            qos,
            retain,
            identifiers,
        };
        self.journal.keep(record, actions);
        if let Some(filter) = shared {
            self.journal.keep(Record::Chosen { key, number, filter }, actions);
        }
    }

    /// Sends what a client has room for.
    pub(super) fn pump(&mut self, key: SessionKey, now: UnixMillis, actions: &mut Actions) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let Some(connection) = session.connection().filter(|_| session.outbound.waiting() > 0) else {
            return;
        };
        let (room, is_v5) = (session.room(), session.is_v5());
        // The client remembers a QoS 2 message by its identifier, so the identifier must be remembered here first.
        let remembered = match session.is_kept() {
            true => self.journal.all(),
            false => Gate::NONE,
        };
        let (journal, counters) = (&mut self.journal, &mut self.counters);
        let (queued_messages, queued_bytes) = (&mut self.queued_messages, &mut self.queued_bytes);
        session
            .outbound
            .pump(room, &self.config.limits, now, |moved| match moved {
                Moved::Send(packet, qos, payload_bytes) => {
                    counters.delivered.note(qos, payload_bytes);
                    let packet = if is_v5 { packet.into_v5(now) } else { packet };
                    let after = if qos == QoS::ExactlyOnce {
                        remembered
                    } else {
                        Gate::NONE
                    };
                    actions.send_after(connection, packet, after);
                }
                Moved::Gone(entry, why) => {
                    note_gone(&mut counters.dropped, why);
                    *queued_messages -= 1;
                    *queued_bytes -= entry.message.bytes();
                    if entry.kept != 0 {
                        let number = entry.number;
                        journal.keep(Record::Done { key, number }, actions);
                    }
                }
            });
    }

    /// A client that came back gets what waited for it, as far as it may have it now.
    pub(super) fn catch_up(&mut self, key: SessionKey, now: UnixMillis, actions: &mut Actions) {
        self.take_back(key, now, actions);
        self.pump(key, now, actions);
    }

    /// Takes back what waits for a client that may not receive it.
    pub(super) fn take_back(&mut self, key: SessionKey, now: UnixMillis, actions: &mut Actions) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let room = session.room();
        let Some(live) = &session.live else { return };
        let taken = session
            .outbound
            .take_back(room, |message| live.may_receive(message.topic(), now));
        self.counters.not_received += (taken.gone.len() + taken.released.len()) as u64;
        for entry in &taken.gone {
            self.forget_entry(key, entry, actions);
        }
        for entry in taken.released.iter().filter(|entry| entry.kept != 0) {
            let number = entry.number;
            self.journal.keep(Record::Released { key, number }, actions);
        }
        for entry in taken.gone.iter().chain(&taken.released) {
            if let Some(session) = self.sessions.get_mut(&key) {
                not_received(session, entry.message.topic(), now, actions);
            }
        }
    }

    /// A message is done with.
    pub(super) fn forget_entry(&mut self, key: SessionKey, entry: &Entry, actions: &mut Actions) {
        self.queued_bytes -= entry.message.bytes();
        self.queued_messages -= 1;
        if entry.kept != 0 {
            let number = entry.number;
            self.journal.keep(Record::Done { key, number }, actions);
        }
    }

    fn tell_dropped(&mut self, key: SessionKey, topic: &str, reason: Option<Reason>, actions: &mut Actions) {
        let session = self.sessions.get_mut(&key);
        if let (Some(session), Some(reason)) = (session, reason) {
            let refusal = session.refusal(Attempt::Receive(topic.into()), reason);
            refusal
                .into_iter()
                .for_each(|refusal| actions.push(Action::Refused(refusal)));
        }
    }
}

const fn note_gone(dropped: &mut Dropped, why: Gone) {
    match why {
        Gone::Expired => dropped.expired += 1,
        Gone::Age => dropped.age += 1,
        Gone::TooLong => dropped.too_long += 1,
    }
}

fn fits(session: &Session, message: &Message, offer: &Offer) -> Result<(), Reason> {
    match session.room().takes(message, &offer.identifiers) {
        true => Ok(()),
        false => Err(Reason::PacketTooLarge {
            bytes: message.bytes(),
        }),
    }
}

/// Says why a client does not get a message, while such things are still told.
fn not_received(session: &mut Session, topic: &str, now: UnixMillis, actions: &mut Actions) {
    let Some(live) = session.live.as_ref().filter(|live| live.tells_refusals()) else {
        return;
    };
    if let Err(reason) = live.check(PolicyAction::Receive, Resource::topic(topic), now) {
        let refusal = session.refusal(Attempt::Receive(topic.into()), reason);
        refusal
            .into_iter()
            .for_each(|refusal| actions.push(Action::Refused(refusal)));
    }
}
