//! What a node keeps of sessions and retained messages, as records in the order in which it happened.
//!
//! Where it stands: *keep* of the data plane. A step that changes something durable gives [`Action::Keep`](crate::Action::Keep)
//! for each change; the shell writes all records of a step together, or none, and [`Restoring`](crate::Restoring) makes a node
//! of them again. A record names a session by its key and a message by its number, both of this node only.
//!
//! What it must never do: name a message that was not itself kept in the same step or, in a checkpoint, earlier in that
//! checkpoint; then the log can be cut at the beginning of any checkpoint.

use std::num::NonZeroU32;
use std::sync::Arc;

use identity::{Tenant, UnixMillis};
use mqtt::{PacketId, QoS, Version};

use crate::absence::Absence;
use crate::action::Chosen;
use crate::message::Message;

/// A session of one node, as records name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub u64);

/// One node among those that share the clients, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeIndex(pub u16);

/// What one subscription asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// The highest QoS.
    pub qos: QoS,
    /// Not what the client publishes itself.
    pub no_local: bool,
    /// The RETAIN flag stays as it was published.
    pub retain_as_published: bool,
    /// The identifier that the client gave it.
    pub identifier: Option<NonZeroU32>,
}

/// The identifiers of the subscriptions that brought a message; mostly none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Identifiers {
    /// None.
    #[default]
    None,
    /// One.
    One(NonZeroU32),
    /// Several.
    Many(Box<[NonZeroU32]>),
}

impl Identifiers {
    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[NonZeroU32] {
        match self {
            Self::None => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl FromIterator<NonZeroU32> for Identifiers {
    fn from_iter<T: IntoIterator<Item = NonZeroU32>>(identifiers: T) -> Self {
        let mut identifiers = identifiers.into_iter();
        match (identifiers.next(), identifiers.next()) {
            (None, _) => Self::None,
            (Some(one), None) => Self::One(one),
            (Some(one), Some(other)) => Self::Many([one, other].into_iter().chain(identifiers).collect()),
        }
    }
}

/// What is kept of a will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptWill {
    /// Its message.
    pub message: u64,
    /// How long after the connection it is published (MQTT 5.0 section 3.1.3.2.2).
    pub delay_seconds: u32,
}

/// One change.
#[derive(Clone, Debug)]
#[expect(
    missing_docs,
    reason = "key, message and number are told above, the rest by type and name"
)]
pub enum Record {
    /// A message that later records of the same step name.
    Message {
        id: u64,
        message: Arc<Message>,
    },
    /// A session begins; what was kept under its key is forgotten.
    Session {
        key: SessionKey,
        tenant: Tenant,
        client_id: Arc<str>,
        speaks: Version,
        expiry_seconds: u32,
        /// The number of the next message that is queued.
        next: u64,
    },
    /// Its client is connected.
    Attached {
        key: SessionKey,
        expiry_seconds: u32,
        will: Option<KeptWill>,
    },
    /// Its client is gone; with `will_due`, the will is still to be published.
    Gone {
        key: SessionKey,
        absence: Absence,
        expiry_seconds: u32,
        will_due: Option<UnixMillis>,
    },
    /// Its will was published, or is not to be.
    WillDone {
        key: SessionKey,
    },
    Subscribed {
        key: SessionKey,
        filter: Arc<str>,
        wanted: Wanted,
    },
    Unsubscribed {
        key: SessionKey,
        filter: Arc<str>,
    },
    /// A message waits for the session until it is done.
    Queued {
        key: SessionKey,
        number: u64,
        message: u64,
        qos: QoS,
        retain: bool,
        identifiers: Identifiers,
    },
    /// It waits for the session as a member of a shared subscription.
    Chosen {
        key: SessionKey,
        number: u64,
        filter: Arc<str>,
    },
    /// The client has a QoS 2 message and was told, or will be, that it may forget it.
    Released {
        key: SessionKey,
        number: u64,
    },
    /// A message waits no more: acknowledged, or dropped.
    Done {
        key: SessionKey,
        number: u64,
    },
    /// A QoS 2 message came from the client under this identifier.
    Received {
        key: SessionKey,
        id: PacketId,
    },
    /// The client has released that identifier.
    Completed {
        key: SessionKey,
        id: PacketId,
    },
    /// The session is over.
    Ended {
        key: SessionKey,
    },
    /// The message stays on its topic; an empty one clears it.
    Retained {
        message: u64,
    },
    /// A QoS 2 message goes to the other nodes under this number, until they have it.
    Relay {
        number: u64,
        message: u64,
        chosen: Chosen,
    },
    /// A message of a shared subscription goes to a member on another node, and to nobody else; numbered as those above.
    HandedOver {
        number: u64,
        message: u64,
        filter: Arc<str>,
        node: NodeIndex,
    },
    /// The other nodes have everything up to this number.
    Relayed {
        number: u64,
    },
    /// This node has everything that the other one relayed up to this number.
    Seen {
        from: NodeIndex,
        number: u64,
    },
}
