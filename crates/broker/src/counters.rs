//! What a node has done, in numbers: plain counters of one thread, for whoever watches.

use core::ops::AddAssign;

use mqtt::QoS;

/// What a node has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Clients attached.
    pub attached: u64,
    /// Sessions taken up again.
    pub resumed: u64,
    /// Messages taken from clients.
    pub published: Traffic,
    /// Messages sent to clients.
    pub delivered: Traffic,
    /// Messages that were to go to a client and did not.
    pub dropped: Dropped,
    /// Deliveries that a policy did not allow.
    pub not_received: u64,
    /// All other refusals, told or not.
    pub refused: u64,
}

/// Messages by the quality of service at which they passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many, at QoS 0, 1 and 2.
    pub messages: [u64; 3],
    /// The bytes of their payloads.
    pub payload_bytes: [u64; 3],
}

/// Messages that their client did not get, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Too many waited for the client.
    pub queue_messages: u64,
    /// Too many bytes waited for the client.
    pub queue_bytes: u64,
    /// Too many bytes waited on the node.
    pub node_bytes: u64,
    /// They waited for too long.
    pub age: u64,
    /// Their own time was over.
    pub expired: u64,
    /// The client takes no packet that long.
    pub too_long: u64,
}

/// What a node holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Subscriptions of all sessions.
    pub subscriptions: usize,
    /// Retained messages.
    pub retained_messages: usize,
    /// Their bytes.
    pub retained_bytes: usize,
}

impl Traffic {
    pub(crate) fn note(&mut self, qos: QoS, payload_bytes: usize) {
        let at = qos as usize;
        if let (Some(messages), Some(bytes)) = (self.messages.get_mut(at), self.payload_bytes.get_mut(at)) {
            *messages += 1;
            *bytes += payload_bytes as u64;
        }
    }

    /// Messages at every quality of service.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.messages[0] + self.messages[1] + self.messages[2]
    }
}

impl Dropped {
    /// All of them.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.queue_messages + self.queue_bytes + self.node_bytes + self.age + self.expired + self.too_long
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, more: Self) {
        self.attached += more.attached;
        self.resumed += more.resumed;
        self.published += more.published;
        self.delivered += more.delivered;
        self.dropped += more.dropped;
        self.not_received += more.not_received;
        self.refused += more.refused;
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, more: Self) {
        let add = |sums: &mut [u64; 3], more: [u64; 3]| {
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        };
        add(&mut self.messages, more.messages);
        add(&mut self.payload_bytes, more.payload_bytes);
    }
}

impl AddAssign for Dropped {
    fn add_assign(&mut self, more: Self) {
        self.queue_messages += more.queue_messages;
        self.queue_bytes += more.queue_bytes;
        self.node_bytes += more.node_bytes;
        self.age += more.age;
        self.expired += more.expired;
        self.too_long += more.too_long;
    }
}
