//! What a node wants done. The shell does it in order: bytes to sockets, messages to other nodes, refusals to the attempt records.

use std::fmt;
use std::sync::Arc;

use mqtt::{Delivery, Malformed, QoS, encode};

use crate::event::{ConnectionId, Departure};
use crate::message::Message;
use crate::refusal::Refusal;

/// What a node wants done.
#[derive(Debug)]
pub enum Action {
    /// Bytes for a client.
    Send {
        /// Which client.
        connection: ConnectionId,
        /// What.
        packet: Outgoing,
    },
    /// Send what is on its way, then close. The node has forgotten the connection already.
    Close {
        /// Which connection.
        connection: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
    /// The client is attached and its CONNACK is on its way.
    Attached {
        /// Which connection.
        connection: ConnectionId,
    },
    /// The grant of an attach is older than a change of trust in its certificate: read the state of trust again and attach
    /// again, or close. Nothing was answered to the client and the node does not know the connection.
    LookAgain {
        /// Which connection.
        connection: ConnectionId,
    },
    /// A message for every other node; their event is `Forwarded`.
    Forward(Arc<Message>),
    /// Something was refused: write it down. What the client gets to see of it, if anything, is a `Send` or `Close` of its own.
    Refused(Refusal),
}

/// The actions of one or more steps, in order. Empty it and use it again.
#[derive(Debug, Default)]
pub struct Actions(Vec<Action>);

impl Actions {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Takes all of them out, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = Action> {
        self.0.drain(..)
    }

    /// There is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Looks at them.
    pub fn iter(&self) -> impl Iterator<Item = &Action> {
        self.0.iter()
    }

    pub(crate) fn push(&mut self, action: Action) {
        self.0.push(action);
    }

    pub(crate) fn send(&mut self, connection: ConnectionId, packet: Outgoing) {
        self.0.push(Action::Send { connection, packet });
    }

    pub(crate) fn close(&mut self, connection: ConnectionId, reason: CloseReason) {
        self.0.push(Action::Close { connection, reason });
    }
}

/// A packet for one client: small ones are here, a message is shared with its other receivers.
#[derive(Clone, Debug)]
pub enum Outgoing {
    /// CONNACK, PUBACK, UNSUBACK.
    FourBytes([u8; 4]),
    /// PINGRESP.
    TwoBytes([u8; 2]),
    /// SUBACK.
    Bytes(Box<[u8]>),
    /// PUBLISH.
    Message {
        /// The message.
        message: Arc<Message>,
        /// How this receiver gets it.
        delivery: Delivery,
    },
}

impl Outgoing {
    /// Appends the packet's bytes.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::FourBytes(bytes) => out.extend_from_slice(bytes),
            Self::TwoBytes(bytes) => out.extend_from_slice(bytes),
            Self::Bytes(bytes) => out.extend_from_slice(bytes),
            Self::Message { message, delivery } => match delivery {
                Delivery::AtMostOnce => message.publish().append_at_most_once(out),
                Delivery::AtLeastOnce { id, duplicate } | Delivery::ExactlyOnce { id, duplicate } => {
                    message.publish().append_at_least_once(*id, *duplicate, out);
                }
            },
        }
    }

    /// How many bytes [`Outgoing::append_to`] appends, or a few less.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::FourBytes(_) => 4,
            Self::TwoBytes(_) => 2,
            Self::Bytes(bytes) => bytes.len(),
            Self::Message { message, .. } => message.bytes(),
        }
    }

    /// A QoS 0 message: when the client's output buffer is full, this is what may be dropped.
    #[must_use]
    pub fn is_expendable(&self) -> bool {
        matches!(self, Self::Message { delivery, .. } if delivery.qos() == QoS::AtMostOnce)
    }

    pub(crate) const fn ping_answer() -> Self {
        Self::TwoBytes(encode::PING_ANSWER)
    }
}

/// Why a connection ends. The names are those of AWS's `disconnectReason` where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The CONNECT was refused: the client was never attached.
    ConnectRefused,
    /// DISCONNECT.
    ClientInitiated,
    /// The client broke the protocol or a limit.
    ClientError,
    /// The client sent what is not MQTT.
    Malformed(Malformed),
    /// A publish that no policy allows.
    NotAuthorized,
    /// The certificate is not trusted any more.
    TrustWithdrawn,
    /// Another connection with the same client id took over.
    DuplicateClientId,
    /// Nothing came for one and a half times the keep alive.
    KeepAliveTimeout,
    /// The stream ended or failed.
    ConnectionLost,
    /// The client does not read what it is sent.
    TooSlow,
    /// The server goes down.
    ServerShutdown,
}

impl CloseReason {
    /// As it stands in presence events (AWS IoT developer guide, "Lifecycle events").
    #[must_use]
    pub const fn aws_name(self) -> &'static str {
        match self {
            Self::ConnectRefused | Self::NotAuthorized | Self::TrustWithdrawn => "AUTH_ERROR",
            Self::ClientInitiated => "CLIENT_INITIATED_DISCONNECT",
            Self::ClientError | Self::Malformed(_) => "CLIENT_ERROR",
            Self::DuplicateClientId => "DUPLICATE_CLIENTID",
            Self::KeepAliveTimeout => "MQTT_KEEP_ALIVE_TIMEOUT",
            Self::ConnectionLost => "CONNECTION_LOST",
            Self::TooSlow => "THROTTLED",
            Self::ServerShutdown => "SERVER_INITIATED_DISCONNECT",
        }
    }

    /// The client said goodbye: only then its will is forgotten (`[MQTT-3.14.4-3]`).
    #[must_use]
    pub const fn is_client_initiated(self) -> bool {
        matches!(self, Self::ClientInitiated)
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::ConnectRefused => "its CONNECT was refused",
            Self::ClientInitiated => "the client said goodbye",
            Self::ClientError => "the client broke the protocol or a limit",
            Self::Malformed(malformed) => return malformed.fmt(f),
            Self::NotAuthorized => "it published what no policy allows",
            Self::TrustWithdrawn => "its certificate is not active any more",
            Self::DuplicateClientId => "another connection with the same client id took over",
            Self::KeepAliveTimeout => "nothing came for one and a half times the keep alive",
            Self::ConnectionLost => "the connection was lost",
            Self::TooSlow => "the client does not read what it is sent",
            Self::ServerShutdown => "the server goes down",
        };
        f.write_str(words)
    }
}

impl From<Departure> for CloseReason {
    fn from(departure: Departure) -> Self {
        match departure {
            Departure::ConnectionLost => Self::ConnectionLost,
            Departure::Malformed(malformed) => Self::Malformed(malformed),
            Departure::TooSlow => Self::TooSlow,
            Departure::ServerShutdown => Self::ServerShutdown,
        }
    }
}
