//! QoS 1 and 2 messages for one client: those on their way first, then those that wait for room or for the client itself.
//!
//! Each has a number that never comes back, and its packet identifier follows from the number: so a message keeps its
//! identifier over connections and restarts (`[MQTT-4.4.0-1]`) without being written down again when it is sent. All of it is
//! bounded by count, bytes and age.

use std::collections::VecDeque;
use std::sync::Arc;

use identity::UnixMillis;
use mqtt::{Delivery, PacketId, QoS};

use crate::action::Outgoing;
use crate::limits::Limits;
use crate::message::Message;
use crate::record::Identifiers;
use crate::refusal::Reason;

/// How many packet identifiers there are.
const IDENTIFIERS: u64 = 65_535;

#[derive(Debug, Default)]
pub(crate) struct Outbound {
    next: u64,
    /// In the order of their numbers.
    entries: VecDeque<Entry>,
    /// So many of them, the first ones, are on their way on this connection.
    sent: usize,
    sent_bytes: usize,
    bytes: usize,
    /// Messages were dropped, and the queue was not half empty since.
    overflowing: bool,
}

/// One message until it is done.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) message: Arc<Message>,
    /// Its number in the log; 0: it is not there.
    pub(crate) kept: u64,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) identifiers: Identifiers,
    /// The shared subscription that it was chosen for.
    pub(crate) shared: Option<Arc<str>>,
    /// It was on its way on an earlier connection.
    pub(crate) again: bool,
    /// The client has it, and is to be told that it may forget the identifier.
    pub(crate) released: bool,
}

/// What a client takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Messages at once.
    pub(crate) messages: usize,
    /// Bytes of one packet; none of a client that speaks MQTT 3.1.1.
    pub(crate) packet_bytes: Option<usize>,
}

/// What became of a message when its turn came.
#[derive(Debug)]
pub(crate) enum Moved {
    /// To be sent, with so many bytes of payload.
    Send(Outgoing, QoS, usize),
    /// Nobody waits for it any more.
    Gone(Entry, Gone),
}

/// Why nobody waits for a message any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// Its own time is over.
    Expired,
    /// It has waited for as long as anything may.
    Age,
    /// The client takes no packet that long.
    TooLong,
}

/// What a client does not get, though it waited for it.
#[derive(Debug, Default)]
pub(crate) struct TakenBack {
    /// Nothing is left of these.
    pub(crate) gone: Vec<Entry>,
    /// The client is to be told that it may forget the identifiers of these.
    pub(crate) released: Vec<Entry>,
}

/// What a queue has too much of already.
#[derive(Debug)]
pub(crate) enum Full {
    Messages(Option<Reason>),
    Bytes(Option<Reason>),
}

impl Entry {
    /// Its packet identifier.
    pub(crate) fn id(&self) -> PacketId {
        let value = u16::try_from(1 + self.number % IDENTIFIERS).unwrap_or(1);
        PacketId::new(value).unwrap_or(PacketId::FIRST)
    }

    fn packet(&self) -> Outgoing {
        let (id, duplicate) = (self.id(), self.again);
        if self.released {
            return Outgoing::FourBytes(mqtt::encode::publish_released(id));
        }
        let delivery = match self.qos {
            QoS::ExactlyOnce => Delivery::ExactlyOnce { id, duplicate },
            _ => Delivery::AtLeastOnce { id, duplicate },
        };
        Outgoing::message(&self.message, delivery, self.retain, self.identifiers.clone())
    }
}

impl Room {
    /// A message longer than the client takes is not for it (MQTT 5.0 `[MQTT-3.1.2-24]`, `[MQTT-3.1.2-25]`).
    pub(crate) fn takes(&self, message: &Message, identifiers: &Identifiers) -> bool {
        let own = identifiers.as_slice().len() * 5;
        self.packet_bytes
            .is_none_or(|most| message.bytes_v5() + own <= most)
    }
}

impl Outbound {
    /// As it was before a restart.
    pub(crate) fn starting_at(next: u64) -> Self {
        Self {
            next,
            ..Self::default()
        }
    }

    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many messages there are, on their way or not.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.entries.len() - self.sent
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Whether one more message has room; if not, why, for the first of a series only.
    pub(crate) fn check_room(&mut self, bytes: usize, limits: &Limits) -> Result<(), Full> {
        let (messages, waiting) = (self.waiting(), self.bytes - self.sent_bytes);
        let full = match (
            messages >= limits.queue_messages_max,
            waiting + bytes > limits.queue_bytes_max,
        ) {
            (true, _) => Full::Messages,
            (false, true) => Full::Bytes,
            (false, false) => return Ok(()),
        };
        // One message may always be on its way, however long.
        if self.entries.is_empty() {
            return Ok(());
        }
        let first = !std::mem::replace(&mut self.overflowing, true);
        Err(full(first.then_some(Reason::QueueFull {
            messages,
            bytes: waiting,
        })))
    }

    /// Puts a message at the end, and gives its number.
    pub(crate) fn push(
        &mut self,
        message: Arc<Message>,
        (qos, retain): (QoS, bool),
        identifiers: Identifiers,
        kept: u64,
        shared: Option<Arc<str>>,
    ) -> u64 {
        let number = self.next;
        self.next += 1;
        self.restore(Entry {
            number,
            message,
            kept,
            qos,
            retain,
            identifiers,
            shared,
            again: false,
            released: false,
        });
        number
    }

    /// Puts a message back that was queued before a restart.
    pub(crate) fn restore(&mut self, entry: Entry) {
        self.next = self.next.max(entry.number + 1);
        self.bytes += entry.message.bytes();
        self.entries.push_back(entry);
    }

    /// Sends what there is room for.
    pub(crate) fn pump(
        &mut self,
        room: Room,
        limits: &Limits,
        now: UnixMillis,
        mut moved: impl FnMut(Moved),
    ) {
        let messages = limits.inflight_messages_max.min(room.messages);
        while self.sent < messages
            && let Some(entry) = self.entries.get(self.sent)
        {
            let bytes = entry.message.bytes();
            if self.sent > 0 && self.sent_bytes + bytes > limits.inflight_bytes_max {
                break;
            }
            let first = self.entries.front().map_or(0, |first| first.number);
            if entry.number - first >= IDENTIFIERS {
                break;
            }
            if let Some(why) = entry.is_gone(room, limits, now) {
                let gone = self.remove(self.sent).into_iter();
                gone.for_each(|entry| moved(Moved::Gone(entry, why)));
                continue;
            }
            self.sent += 1;
            self.sent_bytes += bytes;
            moved(Moved::Send(
                entry.packet(),
                entry.qos,
                entry.message.payload().len(),
            ));
        }
        let waiting = self.bytes - self.sent_bytes;
        if self.waiting() <= limits.queue_messages_max / 2 && waiting <= limits.queue_bytes_max / 2 {
            self.overflowing = false;
        }
    }

    /// The client has a QoS 1 message.
    pub(crate) fn acknowledged(&mut self, id: PacketId) -> Option<Entry> {
        let at = self.position(id, |entry| entry.qos == QoS::AtLeastOnce)?;
        self.remove(at)
    }

    /// The client has a QoS 2 message.
    pub(crate) fn received(&mut self, id: PacketId) -> Option<&mut Entry> {
        let at = self.position(id, |entry| entry.qos == QoS::ExactlyOnce)?;
        self.entries.get_mut(at)
    }

    /// The client refuses a QoS 2 message, or has forgotten its identifier.
    pub(crate) fn completed(&mut self, id: PacketId, released: bool) -> Option<Entry> {
        let at = self.position(id, |entry| {
            entry.qos == QoS::ExactlyOnce && entry.released == released
        })?;
        self.remove(at)
    }

    /// The connection is gone: what was on its way will be sent again, but not what was for that connection alone.
    pub(crate) fn connection_lost(&mut self) {
        self.entries
            .iter_mut()
            .take(self.sent)
            .for_each(|entry| entry.again = true);
        self.sent = 0;
        self.sent_bytes = 0;
        self.entries.retain(|entry| !entry.message.is_private());
        self.bytes = self.entries.iter().map(|entry| entry.message.bytes()).sum();
    }

    /// After a restart nobody knows what was on its way: whatever may have been is sent as a repetition.
    pub(crate) fn restarted(&mut self, limits: &Limits) {
        let most = limits.inflight_messages_max;
        self.entries
            .iter_mut()
            .take(most)
            .for_each(|entry| entry.again = true);
    }

    /// Takes back what waits and is not wanted. A QoS 2 message that was on its way before may have come, and then its client
    /// remembers the identifier until it is released: it is not sent again, but released.
    pub(crate) fn take_back(&mut self, room: Room, mut wanted: impl FnMut(&Message) -> bool) -> TakenBack {
        let mut taken = TakenBack::default();
        let mut at = self.sent;
        while let Some(entry) = self.entries.get_mut(at) {
            let has_begun = entry.again && entry.qos == QoS::ExactlyOnce;
            let fits = !has_begun || room.takes(&entry.message, &entry.identifiers);
            if entry.released || (fits && wanted(&entry.message)) {
                at += 1;
            } else if has_begun {
                entry.released = true;
                taken.released.push(entry.clone());
                at += 1;
            } else {
                taken.gone.extend(self.remove(at));
            }
        }
        taken
    }

    /// What another member of its shared subscription may have instead: at QoS 2 only what was never on its way.
    pub(crate) fn for_others(&self) -> Vec<(Arc<str>, Arc<Message>)> {
        let entries = self.entries.iter().enumerate();
        let free =
            entries.filter(|(at, entry)| entry.qos == QoS::AtLeastOnce || (*at >= self.sent && !entry.again));
        free.filter_map(|(_, entry)| Some((entry.shared.clone()?, Arc::clone(&entry.message))))
            .collect()
    }

    /// Forgets a message that is done, by number.
    pub(crate) fn forget(&mut self, number: u64) {
        if let Ok(at) = self.entries.binary_search_by_key(&number, |entry| entry.number) {
            self.remove(at);
        }
    }

    /// A message by number.
    pub(crate) fn entry_mut(&mut self, number: u64) -> Option<&mut Entry> {
        let at = self
            .entries
            .binary_search_by_key(&number, |entry| entry.number)
            .ok()?;
        self.entries.get_mut(at)
    }

    fn position(&self, id: PacketId, is: impl Fn(&Entry) -> bool) -> Option<usize> {
        let mut sent = self.entries.iter().take(self.sent);
        sent.position(|entry| is(entry) && entry.id() == id)
    }

    fn remove(&mut self, at: usize) -> Option<Entry> {
        let entry = self.entries.remove(at)?;
        let bytes = entry.message.bytes();
        self.bytes -= bytes;
        if at < self.sent {
            self.sent -= 1;
            self.sent_bytes -= bytes;
        }
        if self.entries.is_empty() {
            // An idle client costs no memory.
            self.entries = VecDeque::new();
        }
        Some(entry)
    }
}

impl Entry {
    /// Its own time, or the longest that anything waits, is over.
    pub(crate) fn is_over(&self, limits: &Limits, now: UnixMillis) -> Option<Gone> {
        let age_max = i64::from(limits.queue_age_seconds_max) * 1_000;
        if self.message.is_expired(now) {
            return Some(Gone::Expired);
        }
        // A retained message may be as old as it is.
        let too_old = !self.retain && now.since(self.message.stamp().at) > age_max;
        too_old.then_some(Gone::Age)
    }

    /// Whether nobody waits for it any more, now that its turn has come.
    fn is_gone(&self, room: Room, limits: &Limits, now: UnixMillis) -> Option<Gone> {
        let over = match self.again {
            true => None,
            false => self.is_over(limits, now),
        };
        let too_long = || !self.released && !room.takes(&self.message, &self.identifiers);
        over.or_else(|| too_long().then_some(Gone::TooLong))
    }
}

#[cfg(test)]
mod tests {
    use identity::Tenant;
    use mqtt::TopicName;

    use super::*;

    const ROOM: Room = Room {
        messages: usize::MAX,
        packet_bytes: None,
    };

    fn message(payload_bytes: usize) -> Arc<Message> {
        let topic = TopicName::new("t").unwrap();
        let payload = vec![0; payload_bytes];
        Message::new(Tenant::default(), topic, &payload, QoS::AtLeastOnce).unwrap()
    }

    fn put(outbound: &mut Outbound, payload_bytes: usize, limits: &Limits) -> &'static str {
        let message = message(payload_bytes);
        match outbound.check_room(message.bytes(), limits) {
            Ok(()) => {}
            Err(Full::Messages(Some(_)) | Full::Bytes(Some(_))) => return "drop, told",
            Err(_) => return "drop",
        }
        outbound.push(message, (QoS::AtLeastOnce, false), Identifiers::None, 0, None);
        match pump(outbound, limits) {
            0 => "wait",
            _ => "send",
        }
    }

    fn pump(outbound: &mut Outbound, limits: &Limits) -> usize {
        let mut sent = 0;
        outbound.pump(ROOM, limits, UnixMillis(0), |_| sent += 1);
        sent
    }

    fn acknowledge(outbound: &mut Outbound, id: u16, limits: &Limits) -> usize {
        outbound.acknowledged(PacketId::new(id).unwrap());
        pump(outbound, limits)
    }

    #[test]
    fn messages_go_wait_and_are_dropped_at_each_limit() {
        let limits = Limits {
            inflight_messages_max: 2,
            queue_messages_max: 2,
            ..Limits::AWS
        };
        let mut outbound = Outbound::default();
        let expected = ["send", "send", "wait", "wait", "drop, told", "drop"];
        for (number, expected) in expected.into_iter().enumerate() {
            assert_eq!(put(&mut outbound, 1, &limits), expected, "message {number}");
        }
        assert_eq!(
            acknowledge(&mut outbound, 9, &limits),
            0,
            "nothing waits for this answer"
        );
        assert_eq!(acknowledge(&mut outbound, 1, &limits), 1);
        assert_eq!(put(&mut outbound, 1, &limits), "wait");
        assert_eq!(
            put(&mut outbound, 1, &limits),
            "drop, told",
            "half empty in between: another series"
        );
    }

    #[test]
    fn bytes_count_too_but_one_message_always_goes() {
        let limits = Limits {
            inflight_bytes_max: 50,
            queue_bytes_max: 100,
            ..Limits::AWS
        };
        let mut outbound = Outbound::default();
        let cases = [(1_000, "send"), (1, "wait"), (1_000, "drop, told")];
        for (payload_bytes, expected) in cases {
            assert_eq!(put(&mut outbound, payload_bytes, &limits), expected);
        }
        assert_eq!(acknowledge(&mut outbound, 1, &limits), 1);
    }

    #[test]
    fn a_short_message_does_not_overtake_a_long_one() {
        let limits = Limits {
            inflight_bytes_max: 100,
            ..Limits::AWS
        };
        let mut outbound = Outbound::default();
        for (payload_bytes, expected) in [(50, "send"), (80, "wait"), (1, "wait")] {
            assert_eq!(put(&mut outbound, payload_bytes, &limits), expected);
        }
    }

    #[test]
    fn what_waits_can_be_taken_back() {
        let limits = Limits {
            inflight_messages_max: 1,
            ..Limits::AWS
        };
        let mut outbound = Outbound::default();
        for payload_bytes in [0, 1, 2, 3] {
            put(&mut outbound, payload_bytes, &limits);
        }
        let taken = outbound.take_back(ROOM, |message| message.payload().len() != 2);
        assert_eq!((taken.gone.len(), outbound.waiting()), (1, 2));
        assert_eq!(
            outbound.bytes(),
            [0, 1, 3]
                .map(|bytes| message(bytes).bytes())
                .iter()
                .sum::<usize>()
        );
    }

    #[test]
    fn a_message_of_quality_2_that_may_have_come_is_released_and_not_taken_back() {
        let limits = Limits {
            inflight_messages_max: 1,
            ..Limits::AWS
        };
        let mut outbound = Outbound::default();
        for _ in 0..2 {
            outbound.push(message(1), (QoS::ExactlyOnce, false), Identifiers::None, 0, None);
        }
        assert_eq!(pump(&mut outbound, &limits), 1);
        outbound.connection_lost();
        let taken = outbound.take_back(ROOM, |_| false);
        let numbers = |entries: &[Entry]| entries.iter().map(|entry| entry.number).collect::<Vec<_>>();
        assert_eq!(
            (numbers(&taken.released), numbers(&taken.gone)),
            (vec![0], vec![1])
        );
        assert_eq!(pump(&mut outbound, &limits), 1, "PUBREL");
        let completed = outbound.completed(PacketId::FIRST, true);
        assert!(completed.is_some() && outbound.entries.is_empty());
    }

    #[test]
    fn an_identifier_in_use_is_never_given_again() {
        let limits = Limits {
            inflight_messages_max: 3,
            queue_messages_max: 10,
            ..Limits::AWS
        };
        let mut outbound = Outbound::default();
        put(&mut outbound, 0, &limits);
        for number in 1..IDENTIFIERS {
            assert_eq!(put(&mut outbound, 0, &limits), "send");
            let id = u16::try_from(number + 1).unwrap();
            acknowledge(&mut outbound, id, &limits);
        }
        assert_eq!(put(&mut outbound, 0, &limits), "wait", "identifier 1 is in use");
        assert_eq!(acknowledge(&mut outbound, 1, &limits), 1);
    }

    #[test]
    fn a_lost_connection_repeats_what_was_on_its_way() {
        let limits = Limits {
            inflight_messages_max: 2,
            ..Limits::AWS
        };
        let mut outbound = Outbound::default();
        for _ in 0..3 {
            put(&mut outbound, 0, &limits);
        }
        outbound.connection_lost();
        let mut sent = Vec::new();
        outbound.pump(ROOM, &limits, UnixMillis(0), |moved| {
            sent.push(format!("{moved:?}"))
        });
        assert_eq!(sent.len(), 2);
        assert!(
            sent.iter().all(|line| line.contains("duplicate: true")),
            "{sent:?}"
        );
        sent.clear();
        outbound.acknowledged(PacketId::FIRST);
        outbound.pump(ROOM, &limits, UnixMillis(0), |moved| {
            sent.push(format!("{moved:?}"))
        });
        assert!(
            sent.iter().all(|line| line.contains("duplicate: false")),
            "{sent:?}"
        );
    }
}
