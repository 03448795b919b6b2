//! What happens to a node. The shell turns sockets, clocks, other nodes and the control plane into these, one at a time.

use std::fmt;
use std::sync::Arc;

use identity::{CertificateId, Tenant, ThingName};
use mqtt::v5::{self, Connect};
use mqtt::{Malformed, Packet, Version};
use policy::{Context, Grant, ThingFacts};

use crate::action::{Forward, Share};
use crate::message::Message;
use crate::record::NodeIndex;

/// One connection of one node, for as long as the node lives: the shell never gives a number twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// 128 random bits by which a session is known in events (`sessionIdentifier`); written as a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(pub [u8; 16]);

/// What happens to a node.
#[derive(Debug)]
pub enum Event<'a> {
    /// A client whose certificate was granted something sent its CONNECT. Whatever the answer, it comes as actions.
    Attach(Attach<'a>),
    /// An attached client sent a packet.
    Packet {
        /// Which client.
        connection: ConnectionId,
        /// Its packet.
        packet: Packet<'a>,
    },
    /// An attached client that speaks MQTT 5.0 sent a packet.
    PacketV5 {
        /// Which client.
        connection: ConnectionId,
        /// Its packet.
        packet: v5::Packet<'a>,
    },
    /// A connection ended, or its shell gave it up. Needless, and harmless, after the node's own `Close`.
    Closed {
        /// Which connection.
        connection: ConnectionId,
        /// Why.
        reason: Departure,
    },
    /// A message from another node. It is delivered here and never sent on.
    Forwarded {
        /// Which node.
        from: NodeIndex,
        /// The message, and what that node has decided about it.
        forward: Forward,
    },
    /// Another node tells who of a shared subscription is there.
    Shared {
        /// Which node.
        from: NodeIndex,
        /// Who.
        share: Share,
    },
    /// The other nodes have made durable what they had to of this node's first so many forwarded messages.
    Confirmed {
        /// How many.
        forwarded: u64,
    },
    /// A message made by the server or its API: delivered here and sent to every other node.
    Publish(Arc<Message>),
    /// The server answers a client's request: delivered to that connection and to nobody else.
    Answer {
        /// Whose request it was.
        connection: ConnectionId,
        /// The answer.
        message: Arc<Message>,
    },
    /// What a certificate may do has changed.
    Trust(Trust),
    /// What one connection may do has changed, and nothing else of its client.
    Grant {
        /// Which connection.
        connection: ConnectionId,
        /// What it is granted from now on; of the same certificate.
        grant: Arc<Grant>,
    },
    /// What is known of a thing has changed.
    Thing(ThingChange<'a>),
    /// Time has passed; see [`crate::Node::next_deadline`].
    Tick,
}

/// A CONNECT and what was found out about its sender.
#[derive(Debug)]
pub struct Attach<'a> {
    /// Its number from now on.
    pub connection: ConnectionId,
    /// What its certificate was granted, and when that was read.
    pub grant: Arc<Grant>,
    /// What policies can ask about it. Made for [`client_id`](crate::client_id()) of this CONNECT.
    pub context: Context,
    /// Random bits for its session.
    pub session: SessionId,
    /// The version it speaks and is answered in.
    pub version: Version,
    /// What it asks for.
    pub connect: Connect<'a>,
}

/// A change of trust in one certificate, already durable.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Whose certificate.
    pub tenant: Tenant,
    /// Which.
    pub certificate: CertificateId,
    /// The tenant's trust epoch after the change.
    pub epoch: u64,
    /// What it is granted from now on; `None`: nothing, its connections end.
    pub grant: Option<Arc<Grant>>,
}

/// A change of a thing, its attributes or the certificates attached to it, already durable.
#[derive(Clone, Copy, Debug)]
pub struct ThingChange<'a> {
    /// Whose thing.
    pub tenant: Tenant,
    /// Which.
    pub name: &'a ThingName,
    /// What is known of it; `None`: it is gone. Whether it is attached is taken from `attached_to`.
    pub facts: Option<&'a ThingFacts>,
    /// The certificates it is attached to.
    pub attached_to: &'a [CertificateId],
}

/// Why a connection ended without the node wanting it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// The stream ended or failed.
    ConnectionLost,
    /// The client sent what is not MQTT.
    Malformed(Malformed),
    /// The client does not read what it is sent, and its output buffer is full.
    TooSlow,
    /// The server goes down.
    ServerShutdown,
    /// What the client was promised cannot be made durable.
    ServerFault,
    /// Its certificate is in two places at once.
    CloneSuspected,
    /// It was let in for so long only.
    TimeIsUp(Lease),
    /// What it was let in for counts no more.
    TrustWithdrawn,
}

/// Why a connection has an end from the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// A signature let it in, over WebSocket.
    WebSocket,
    /// A custom authorizer let it in.
    Authorizer,
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = u128::from_be_bytes(self.0);
        let part = |from: u32, bits: u32| number >> from & ((1 << bits) - 1);
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            part(96, 32),
            part(80, 16),
            part(64, 16),
            part(48, 16),
            part(0, 48)
        )
    }
}
