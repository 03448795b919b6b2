//! QoS 1 messages for one client: some on their way until the client acknowledges them, the others waiting for room.
//!
//! Both are bounded by count and by bytes. A clean session never repeats a message (`[MQTT-4.4.0-1]`), so of one on its way only
//! the length is kept.

use std::collections::VecDeque;
use std::sync::Arc;

use identity::UnixMillis;
use mqtt::{Delivery, PacketId, Window};

use crate::action::Outgoing;
use crate::limits::Limits;
use crate::message::Message;
use crate::refusal::Reason;

#[derive(Debug)]
pub(crate) struct Outbound {
    /// The length of each message on its way.
    inflight: Window<usize>,
    inflight_bytes: usize,
    waiting: VecDeque<Arc<Message>>,
    waiting_bytes: usize,
    /// Messages were dropped, and the queue was not half empty since.
    overflowing: bool,
}

/// What became of a message.
#[derive(Debug)]
pub(crate) enum Queued {
    /// To be sent now.
    Send(Outgoing),
    /// It waits for room.
    Waiting,
    /// There is no room to wait either. The reason comes with the first of a series only.
    Dropped(Option<Reason>),
}

impl Outbound {
    /// `receive_max` is how many the client takes at once, if it said so (MQTT 5.0 section 3.1.2.11.3).
    pub(crate) fn new(limits: &Limits, receive_max: Option<u16>) -> Self {
        let receive_max = receive_max.map_or(usize::MAX, usize::from);
        Self {
            inflight: Window::new(limits.inflight_messages_max.min(receive_max)),
            inflight_bytes: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            overflowing: false,
        }
    }

    /// Sends a message, or lets it wait behind those that wait already.
    pub(crate) fn push(&mut self, message: &Arc<Message>, limits: &Limits) -> Queued {
        if self.waiting.is_empty()
            && let Some(packet) = self.send(message, limits)
        {
            return Queued::Send(packet);
        }
        let (messages, bytes) = (self.waiting.len(), self.waiting_bytes);
        if messages >= limits.queue_messages_max || bytes + message.bytes() > limits.queue_bytes_max {
            let first = !std::mem::replace(&mut self.overflowing, true);
            return Queued::Dropped(first.then_some(Reason::QueueFull { messages, bytes }));
        }
        self.waiting.push_back(Arc::clone(message));
        self.waiting_bytes += message.bytes();
        Queued::Waiting
    }

    /// The client has a message; what waits moves up.
    pub(crate) fn acknowledged(
        &mut self,
        id: PacketId,
        limits: &Limits,
        now: UnixMillis,
        mut send: impl FnMut(Outgoing),
    ) {
        let Some(bytes) = self.inflight.close(id) else {
            return;
        };
        self.inflight_bytes -= bytes;
        while let Some(message) = self.waiting.pop_front() {
            if message.is_expired(now) {
                self.waiting_bytes -= message.bytes();
                continue;
            }
            let Some(packet) = self.send(&message, limits) else {
                self.waiting.push_front(message);
                break;
            };
            self.waiting_bytes -= message.bytes();
            send(packet);
        }
        if self.waiting.len() <= limits.queue_messages_max / 2
            && self.waiting_bytes <= limits.queue_bytes_max / 2
        {
            self.overflowing = false;
        }
    }

    /// Keeps of what waits only what the client may still receive.
    pub(crate) fn retain_waiting(&mut self, mut keep: impl FnMut(&Message) -> bool) {
        self.waiting.retain(|message| keep(message));
        self.waiting_bytes = self.waiting.iter().map(|message| message.bytes()).sum();
    }

    /// One message may always be on its way, however long.
    fn send(&mut self, message: &Arc<Message>, limits: &Limits) -> Option<Outgoing> {
        let bytes = message.bytes();
        if !self.inflight.is_empty() && self.inflight_bytes + bytes > limits.inflight_bytes_max {
            return None;
        }
        let id = self.inflight.open(bytes).ok()?;
        self.inflight_bytes += bytes;
        let delivery = Delivery::AtLeastOnce { id, duplicate: false };
        Some(Outgoing::Message {
            message: Arc::clone(message),
            delivery,
        })
    }
}

#[cfg(test)]
mod tests {
    use identity::Tenant;
    use mqtt::{QoS, TopicName};

    use super::*;

    fn message(payload_bytes: usize) -> Arc<Message> {
        let topic = TopicName::new("t").unwrap();
        Message::new(
            Tenant::default(),
            topic,
            &vec![0; payload_bytes],
            QoS::AtLeastOnce,
        )
        .unwrap()
    }

    fn word(queued: &Queued) -> &'static str {
        match queued {
            Queued::Send(_) => "send",
            Queued::Waiting => "wait",
            Queued::Dropped(Some(_)) => "drop, told",
            Queued::Dropped(None) => "drop",
        }
    }

    fn acknowledge(outbound: &mut Outbound, id: u16, limits: &Limits) -> usize {
        let mut sent = 0;
        outbound.acknowledged(PacketId::new(id).unwrap(), limits, UnixMillis(0), |_| sent += 1);
        sent
    }

    #[test]
    fn messages_go_wait_and_are_dropped_at_each_limit() {
        let limits = Limits {
            inflight_messages_max: 2,
            queue_messages_max: 2,
            ..Limits::AWS
        };
        let mut outbound = Outbound::new(&limits, None);
        let expected = ["send", "send", "wait", "wait", "drop, told", "drop"];
        for (number, expected) in expected.into_iter().enumerate() {
            assert_eq!(
                word(&outbound.push(&message(1), &limits)),
                expected,
                "message {number}"
            );
        }
        assert_eq!(
            acknowledge(&mut outbound, 9, &limits),
            0,
            "nothing waits for this answer"
        );
        assert_eq!(acknowledge(&mut outbound, 1, &limits), 1);
        assert_eq!(word(&outbound.push(&message(1), &limits)), "wait");
        assert_eq!(
            word(&outbound.push(&message(1), &limits)),
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
        let mut outbound = Outbound::new(&limits, None);
        assert_eq!(word(&outbound.push(&message(1_000), &limits)), "send");
        assert_eq!(word(&outbound.push(&message(1), &limits)), "wait");
        assert_eq!(word(&outbound.push(&message(1_000), &limits)), "drop, told");
        assert_eq!(acknowledge(&mut outbound, 1, &limits), 1);
    }

    #[test]
    fn a_short_message_does_not_overtake_a_long_one() {
        let limits = Limits {
            inflight_bytes_max: 100,
            ..Limits::AWS
        };
        let mut outbound = Outbound::new(&limits, None);
        for (payload_bytes, expected) in [(50, "send"), (80, "wait"), (1, "wait")] {
            assert_eq!(word(&outbound.push(&message(payload_bytes), &limits)), expected);
        }
    }

    #[test]
    fn what_waits_can_be_taken_back() {
        let limits = Limits {
            inflight_messages_max: 1,
            ..Limits::AWS
        };
        let mut outbound = Outbound::new(&limits, None);
        for payload_bytes in [0, 1, 2, 3] {
            let _queued = outbound.push(&message(payload_bytes), &limits);
        }
        outbound.retain_waiting(|message| message.payload().len() != 2);
        assert_eq!(
            (outbound.waiting.len(), outbound.waiting_bytes),
            (2, message(1).bytes() + message(3).bytes())
        );
    }
}
