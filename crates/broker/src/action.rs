//! What a node wants done. The shell does it in order: bytes to sockets, messages to other nodes, refusals to the attempt records.

use std::fmt;
use std::sync::Arc;

use identity::{CertificateId, Tenant, UnixMillis};
use mqtt::v5::{self, Reason};
use mqtt::{Delivery, Malformed, Own, PacketType, QoS, encode};

use crate::absence::DisconnectReason;
use crate::aliases::Aliases;
use crate::event::{ConnectionId, Departure, Lease};
use crate::interests::Nodes;
use crate::limits::REASON_BYTES_MAX;
use crate::message::Message;
use crate::record::{Identifiers, NodeIndex, Record};
use crate::refusal::Refusal;

/// What must be durable before something may be said. [`Gate::NONE`] waits for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// This node's first so many records are durable.
    pub logged: u64,
    /// The other nodes have made durable what they had to of this node's first so many forwarded messages.
    pub forwarded: u64,
}

impl Gate {
    /// Nothing.
    pub const NONE: Self = Self {
        logged: 0,
        forwarded: 0,
    };

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            logged: self.logged.max(other.logged),
            forwarded: self.forwarded.max(other.forwarded),
        }
    }

    /// Whether so much is enough.
    #[must_use]
    pub const fn is_passed(self, logged: u64, forwarded: u64) -> bool {
        self.logged <= logged && self.forwarded <= forwarded
    }
}

/// What a node wants done.
#[derive(Debug)]
pub enum Action {
    /// Bytes for a client.
    Send {
        /// Which client.
        connection: ConnectionId,
        /// What.
        packet: Outgoing,
        /// When. What waits for one client stays in order; what need not wait may overtake it once the client has its CONNACK.
        after: Gate,
    },
    /// Send what is on its way, then close. The node has forgotten the connection already. What waits at a gate is not on its
    /// way, but a packet right before this in the same step that waits for nothing is.
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
    /// A record to be made durable, together with all others of this step.
    Keep(Record),
    /// A message for other nodes; their event is `Forwarded`.
    Forward(Forward),
    /// Every other node is to know who of a shared subscription is here; their event is `Shared`.
    Share(Share),
    /// A client asks the server for something; what it is told comes back as the event `Answer`.
    Ask(Ask),
    /// A client has acknowledged a message that was for its connection alone.
    Received {
        /// Which connection.
        connection: ConnectionId,
        /// The number of the message.
        number: u64,
    },
    /// Something was refused: write it down. What the client gets to see of it, if anything, is a `Send` or `Close` of its own.
    Refused(Refusal),
}

/// A request of a client to the server itself.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Who asks, and is answered.
    pub connection: ConnectionId,
    /// Its certificate.
    pub certificate: CertificateId,
    /// Its client id.
    pub client_id: Arc<str>,
    /// What it asks: topic, payload and properties.
    pub message: Arc<Message>,
}

/// Which node has a message for each shared subscription that it matches and that the node where it began knows of.
pub type Chosen = Arc<[(Arc<str>, NodeIndex)]>;

/// A message on its way to the other nodes. The [`Gate`]s of the node count these, from 1.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The message.
    pub message: Arc<Message>,
    /// Which node has it for each shared subscription that it matches.
    pub chosen: Chosen,
    /// Under this number a node takes it once only.
    pub relay: Option<u64>,
    /// When it may go.
    pub after: Gate,
    /// Which of the other nodes it goes to; the others do not want it.
    pub to: Nodes,
    /// It is for the members that were chosen and for nobody else: the one that had it cannot have it any more.
    pub is_handed: bool,
}

/// How many members of a shared subscription a node has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Whose subscription.
    pub tenant: Tenant,
    /// Which, with `$share/` and its group.
    pub filter: Arc<str>,
    /// Members whose client is connected.
    pub present: u32,
    /// Members whose client will come back.
    pub away: u32,
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
        self.send_after(connection, packet, Gate::NONE);
    }

    pub(crate) fn send_after(&mut self, connection: ConnectionId, packet: Outgoing, after: Gate) {
        self.0.push(Action::Send {
            connection,
            packet,
            after,
        });
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
    /// SUBACK, and what MQTT 5.0 says with properties or reasons.
    Bytes(Box<[u8]>),
    /// PUBLISH.
    Message {
        /// The message.
        message: Arc<Message>,
        /// How this receiver gets it.
        delivery: Delivery,
        /// Its RETAIN flag.
        retain: bool,
        /// The identifiers of the subscriptions that brought it; a client of MQTT 3.1.1 gives none.
        identifiers: Identifiers,
    },
    /// PUBLISH of MQTT 5.0.
    MessageV5 {
        /// The message.
        message: Arc<Message>,
        /// How this receiver gets it.
        delivery: Delivery,
        /// Its RETAIN flag.
        retain: bool,
        /// The identifiers of the subscriptions that brought it.
        identifiers: Identifiers,
        /// What is left of its time.
        expiry_seconds: Option<u32>,
    },
}

impl Outgoing {
    /// Appends the packet's bytes.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        self.append_with(None, out);
    }

    /// The same for a client that may know topics by number. What is appended has to leave, in this order.
    pub fn append_with(&self, aliases: Option<&mut Aliases>, out: &mut Vec<u8>) {
        match self {
            Self::FourBytes(bytes) => out.extend_from_slice(bytes),
            Self::TwoBytes(bytes) => out.extend_from_slice(bytes),
            Self::Bytes(bytes) => out.extend_from_slice(bytes),
            Self::Message {
                message,
                delivery,
                retain,
                ..
            } => message.publish().append(*delivery, *retain, out),
            Self::MessageV5 {
                message,
                delivery,
                retain,
                identifiers,
                expiry_seconds,
            } => {
                let own = Own {
                    retain: *retain,
                    expiry_seconds: *expiry_seconds,
                    subscriptions: identifiers.as_slice(),
                    alias: aliases.and_then(|aliases| aliases.alias(message.topic(), self.bytes())),
                };
                message
                    .publish()
                    .append_v5(*delivery, message.properties(), own, out);
            }
        }
    }

    /// About how many bytes it is; never fewer than it is.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::FourBytes(bytes) => bytes.len(),
            Self::TwoBytes(bytes) => bytes.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Message { message, .. } => message.bytes(),
            Self::MessageV5 {
                message, identifiers, ..
            } => message.bytes_v5() + identifiers.as_slice().len() * 5,
        }
    }

    pub(crate) fn message(
        message: &Arc<Message>,
        delivery: Delivery,
        retain: bool,
        identifiers: Identifiers,
    ) -> Self {
        Self::Message {
            message: Arc::clone(message),
            delivery,
            retain,
            identifiers,
        }
    }

    /// A QoS 0 message: when the client's output buffer is full, this is what may be dropped.
    #[must_use]
    pub fn is_expendable(&self) -> bool {
        matches!(self, Self::Message { delivery, .. } | Self::MessageV5 { delivery, .. } if delivery.qos() == QoS::AtMostOnce)
    }

    pub(crate) const fn ping_answer() -> Self {
        Self::TwoBytes(encode::PING_ANSWER)
    }

    /// DISCONNECT of MQTT 5.0, perhaps with words.
    pub(crate) fn disconnect(reason: Reason, words: Option<&str>) -> Self {
        let properties = reason_string(words);
        let mut closing = v5::Closing::from(reason);
        closing.properties = properties_of(&properties);
        Self::written(|out| v5::encode::closing(out, PacketType::Disconnect, &closing))
    }

    /// A packet that is short enough to be written.
    pub(crate) fn written(write: impl FnOnce(&mut Vec<u8>) -> Result<(), encode::Unencodable>) -> Self {
        let mut bytes = Vec::new();
        let _short = write(&mut bytes);
        Self::Bytes(bytes.into())
    }

    /// A message in the words of MQTT 5.0; all else stays.
    pub(crate) fn into_v5(self, now: UnixMillis) -> Self {
        match self {
            Self::Message {
                message,
                delivery,
                retain,
                identifiers,
            } => Self::MessageV5 {
                expiry_seconds: message.seconds_left(now),
                message,
                delivery,
                retain,
                identifiers,
            },
            other => other,
        }
    }
}

/// A reason in words, as properties of an answer; as much of it as anybody reads.
pub(crate) fn reason_string(words: Option<&str>) -> Vec<u8> {
    let mut properties = Vec::new();
    if let Some(words) = words {
        let short = (0..=REASON_BYTES_MAX).rev().find_map(|end| words.get(..end));
        let words = short.filter(|_| words.len() > REASON_BYTES_MAX).unwrap_or(words);
        let _short = v5::Properties::append(&mut properties, v5::Property::ReasonString(words));
    }
    properties
}

/// Properties that [`reason_string`] wrote.
pub(crate) fn properties_of(bytes: &[u8]) -> v5::Properties<'_> {
    v5::Properties::new(bytes, v5::Place::Acknowledgement).unwrap_or_default()
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The CONNECT was refused: the client was never attached.
    ConnectRefused,
    /// DISCONNECT.
    ClientInitiated,
    /// DISCONNECT of MQTT 5.0 that asks for the will all the same.
    ClientInitiatedWithWill,
    /// The client broke the protocol or a limit.
    ClientError,
    /// The client sent what is not MQTT.
    Malformed(Malformed),
    /// A publish that no policy allows.
    NotAuthorized,
    /// The certificate is not trusted any more, or what else it was let in for.
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
    /// What the client was promised cannot be made durable.
    ServerFault,
    /// It was let in for so long only.
    TimeIsUp(Lease),
    /// Its certificate is in two places at once.
    CloneSuspected,
    /// The operator ended it.
    ByOperator {
        /// Whether its will is forgotten.
        forget_will: bool,
    },
}

impl CloseReason {
    /// As AWS tells it.
    #[must_use]
    pub const fn disconnect_reason(self) -> DisconnectReason {
        match self {
            Self::ConnectRefused | Self::NotAuthorized | Self::TrustWithdrawn | Self::CloneSuspected => {
                DisconnectReason::AuthError
            }
            Self::ClientInitiated | Self::ClientInitiatedWithWill => DisconnectReason::ClientInitiated,
            Self::ClientError | Self::Malformed(_) => DisconnectReason::ClientError,
            Self::DuplicateClientId => DisconnectReason::DuplicateClientId,
            Self::KeepAliveTimeout => DisconnectReason::KeepAliveTimeout,
            Self::ConnectionLost => DisconnectReason::ConnectionLost,
            Self::TooSlow => DisconnectReason::Throttled,
            Self::ServerShutdown => DisconnectReason::ServerInitiated,
            Self::ServerFault => DisconnectReason::ServerError,
            Self::TimeIsUp(Lease::WebSocket) => DisconnectReason::WebSocketExpired,
            Self::TimeIsUp(Lease::Authorizer) => DisconnectReason::CustomAuthExpired,
            Self::ByOperator { .. } => DisconnectReason::ApiInitiated,
        }
    }

    /// In one word, as logs and metrics name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConnectRefused => "refused",
            Self::ClientInitiated => "goodbye",
            Self::ClientInitiatedWithWill => "goodbye_with_will",
            Self::ClientError => "client_error",
            Self::Malformed(_) => "malformed",
            Self::NotAuthorized => "not_authorized",
            Self::TrustWithdrawn => "trust_withdrawn",
            Self::DuplicateClientId => "taken_over",
            Self::KeepAliveTimeout => "keep_alive",
            Self::ConnectionLost => "lost",
            Self::TooSlow => "slow",
            Self::ServerShutdown => "shutdown",
            Self::ServerFault => "fault",
            Self::TimeIsUp(_) => "time_is_up",
            Self::CloneSuspected => "clone",
            Self::ByOperator { .. } => "by_operator",
        }
    }

    /// The client said goodbye.
    #[must_use]
    pub const fn is_client_initiated(self) -> bool {
        matches!(self, Self::ClientInitiated | Self::ClientInitiatedWithWill)
    }

    /// Only an ordinary goodbye makes the will forgotten (`[MQTT-3.14.4-3]`).
    #[must_use]
    pub const fn forgets_will(self) -> bool {
        matches!(
            self,
            Self::ClientInitiated | Self::ByOperator { forget_will: true }
        )
    }

    /// What a client that speaks MQTT 5.0 is told; `None`: it knows, or cannot be told (AWS IoT developer guide, "MQTT 5 reason
    /// codes").
    pub(crate) fn told(self) -> Option<Reason> {
        match self {
            Self::ConnectRefused
            | Self::ClientInitiated
            | Self::ClientInitiatedWithWill
            | Self::ConnectionLost => None,
            Self::ClientError => Some(Reason::ProtocolError),
            Self::Malformed(malformed) => Some(malformed.reason()),
            Self::NotAuthorized | Self::TrustWithdrawn | Self::CloneSuspected => Some(Reason::NotAuthorized),
            Self::DuplicateClientId => Some(Reason::SessionTakenOver),
            Self::KeepAliveTimeout => Some(Reason::KeepAliveTimeout),
            Self::TooSlow => Some(Reason::QuotaExceeded),
            Self::ServerShutdown => Some(Reason::ServerShuttingDown),
            Self::ServerFault => Some(Reason::UnspecifiedError),
            Self::TimeIsUp(_) => Some(Reason::MaximumConnectTime),
            Self::ByOperator { .. } => Some(Reason::AdministrativeAction),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::ConnectRefused => "its CONNECT was refused",
            Self::ClientInitiated => "the client said goodbye",
            Self::ClientInitiatedWithWill => "the client said goodbye and asked for its will",
            Self::ClientError => "the client broke the protocol or a limit",
            Self::Malformed(malformed) => return malformed.fmt(f),
            Self::NotAuthorized => "it published what no policy allows",
            Self::TrustWithdrawn => "its certificate, or what else it was let in for, counts no more",
            Self::DuplicateClientId => "another connection with the same client id took over",
            Self::KeepAliveTimeout => "nothing came for one and a half times the keep alive",
            Self::ConnectionLost => "the connection was lost",
            Self::TooSlow => "the client does not read what it is sent",
            Self::ServerShutdown => "the server goes down",
            Self::ServerFault => "what the client was promised cannot be made durable",
            Self::TimeIsUp(_) => "the time is up for which it was let in",
            Self::CloneSuspected => "its certificate is in two places at once",
            Self::ByOperator { .. } => "the operator ended it",
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
            Departure::ServerFault => Self::ServerFault,
            Departure::TimeIsUp(lease) => Self::TimeIsUp(lease),
            Departure::CloneSuspected => Self::CloneSuspected,
            Departure::TrustWithdrawn => Self::TrustWithdrawn,
        }
    }
}
