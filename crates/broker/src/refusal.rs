//! What was refused and why, in words: each becomes an attempt record that `explain` shows.
//!
//! The client sees a return code or a closed connection, as at AWS. The person who runs the fleet sees this.

use std::fmt;
use std::sync::Arc;

use identity::{Blame, CertificateId, Explained, Tenant};
use mqtt::server::Violation;
use mqtt::v5;
use mqtt::{Malformed, PacketType};
use policy::Verdict;

use crate::event::ConnectionId;
use crate::topics::EXACTLY_ONCE;

/// Something that a client asked for and did not get.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Which connection; none while the client is away.
    pub connection: Option<ConnectionId>,
    /// Whose client.
    pub tenant: Tenant,
    /// The certificate of the connection.
    pub certificate: Option<CertificateId>,
    /// The client id it connected with.
    pub client_id: Arc<str>,
    /// What was asked for.
    pub attempt: Attempt,
    /// Why it was refused.
    pub reason: Reason,
}

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// To connect under its client id.
    Connect,
    /// To leave a will on this topic.
    Will(Box<str>),
    /// To publish on this topic.
    Publish(Box<str>),
    /// To subscribe to this filter.
    Subscribe(Box<str>),
    /// To receive a message from this topic that a subscription of its own matches.
    Receive(Box<str>),
    /// To stay connected.
    Stay,
    /// To send this packet, where the rest of it does not matter.
    Packet(PacketType),
    /// To send these bytes.
    Bytes,
}

/// Why something was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    // Refused: by policy.
    /// No policy allows it, or one denies it.
    Policy {
        /// The verdict.
        verdict: Verdict,
        /// The verdict in words, with the statement that decided or the one that is missing.
        explanation: String,
    },
    /// The certificate is not trusted any more.
    TrustWithdrawn,

    // Peer: the client broke a rule.
    /// A limit of the message broker.
    Limit {
        /// The limit's name in [`crate::limits`].
        name: &'static str,
        /// How much or many there was.
        found: usize,
        /// How much or many there may be.
        limit: usize,
    },
    /// A client id that is empty without a clean session, or begins with a dollar sign.
    ClientId(&'static str),
    /// A topic that begins with a dollar sign and is not the client's to use.
    ReservedTopic,
    /// A packet that has no place here.
    Violation(Violation),
    /// Bytes that are not MQTT.
    Malformed(Malformed),
    /// A rule of MQTT 5.0 that only the state of the connection can break.
    Rule(&'static str),

    // State: the server does not offer it.
    /// A part of MQTT that this server does not serve yet; what instead.
    NotServed(&'static str),
    /// The client reads more slowly than messages come for it; this and further messages were dropped.
    QueueFull {
        /// How many messages wait.
        messages: usize,
        /// How many bytes they are.
        bytes: usize,
    },
    /// The node holds as much for clients that are away as it may; this and further messages were dropped.
    NodeFull {
        /// How many bytes wait, all clients together.
        bytes: usize,
    },
    /// The answer to its request has nowhere to go: the client has no subscription that matches.
    NotSubscribed,
    /// The message waited until its time, or the longest time that any may wait, was over.
    Expired,
    /// The client takes no packet that long.
    PacketTooLarge {
        /// How many bytes it has.
        bytes: usize,
    },
}

impl Explained for Reason {
    fn code(&self) -> &'static str {
        match self {
            Self::Policy { .. } => "broker.policy",
            Self::TrustWithdrawn => "broker.trust_withdrawn",
            Self::Limit { .. } => "broker.limit",
            Self::ClientId(_) => "broker.client_id",
            Self::ReservedTopic => "broker.topic.reserved",
            Self::Violation(violation) => violation.code(),
            Self::Malformed(malformed) => malformed.code(),
            Self::Rule(_) => "broker.rule",
            Self::NotServed(_) => "broker.not_served",
            Self::QueueFull { .. } => "broker.queue.full",
            Self::NodeFull { .. } => "broker.queue.node_full",
            Self::NotSubscribed => "broker.answer.not_subscribed",
            Self::Expired => "broker.queue.expired",
            Self::PacketTooLarge { .. } => "broker.queue.packet_too_large",
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::Policy { .. } | Self::TrustWithdrawn => Blame::Refused,
            Self::NotServed(_)
            | Self::QueueFull { .. }
            | Self::NodeFull { .. }
            | Self::NotSubscribed
            | Self::Expired
            | Self::PacketTooLarge { .. } => Blame::State,
            _ => Blame::Peer,
        }
    }
}

impl Reason {
    /// What a client that speaks MQTT 5.0 is told, in the packet that answers its attempt or in DISCONNECT (AWS IoT developer
    /// guide, "MQTT 5 reason codes"). The words of the refusal are for those who run the fleet.
    pub(crate) fn told(&self, attempt: &Attempt) -> v5::Reason {
        match self {
            Self::Policy { .. } | Self::TrustWithdrawn => v5::Reason::NotAuthorized,
            Self::ClientId(_)
            | Self::Limit {
                name: "CLIENT_ID_BYTES_MAX",
                ..
            } => v5::Reason::ClientIdentifierNotValid,
            Self::ReservedTopic
            | Self::Limit {
                name: "TOPIC_BYTES_MAX" | "TOPIC_SLASHES_MAX",
                ..
            } => match attempt {
                Attempt::Subscribe(_) => v5::Reason::TopicFilterInvalid,
                _ => v5::Reason::TopicNameInvalid,
            },
            Self::Limit {
                name: "TOPIC_ALIASES_MAX",
                ..
            } => v5::Reason::TopicAliasInvalid,
            Self::Rule(_) if matches!(attempt, Attempt::Subscribe(_)) => v5::Reason::TopicFilterInvalid,
            Self::Limit {
                name: "RECEIVE_MAX", ..
            } => v5::Reason::ReceiveMaximumExceeded,
            Self::Limit { .. } | Self::QueueFull { .. } | Self::NodeFull { .. } => v5::Reason::QuotaExceeded,
            Self::NotSubscribed | Self::Expired => v5::Reason::UnspecifiedError,
            Self::PacketTooLarge { .. } => v5::Reason::PacketTooLarge,
            Self::Violation(violation) => violation.reason(),
            Self::Malformed(malformed) => malformed.reason(),
            Self::NotServed(EXACTLY_ONCE) => v5::Reason::QoSNotSupported,
            Self::NotServed(AUTHENTICATION) => v5::Reason::BadAuthenticationMethod,
            Self::NotServed(SUBSCRIPTION_IDENTIFIER) => v5::Reason::SubscriptionIdentifiersNotSupported,
            Self::NotServed(_) => v5::Reason::ImplementationSpecificError,
            Self::Rule(_) => v5::Reason::ProtocolError,
        }
    }
}

/// Enhanced authentication, which AWS does not have either.
pub(crate) const AUTHENTICATION: &str =
    "enhanced authentication is not supported, devices prove who they are in TLS";
/// An identifier on a subscription, which AWS does not have either.
pub(crate) const SUBSCRIPTION_IDENTIFIER: &str =
    "subscription identifiers are not supported, subscribe without one";

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::Will(topic) => write!(f, "leave a will on {topic:?}"),
            Self::Publish(topic) => write!(f, "publish on {topic:?}"),
            Self::Subscribe(filter) => write!(f, "subscribe to {filter:?}"),
            Self::Receive(topic) => write!(f, "receive from {topic:?}"),
            Self::Stay => f.write_str("stay connected"),
            Self::Packet(kind) => write!(f, "send {kind}"),
            Self::Bytes => f.write_str("send bytes"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy { explanation, .. } => f.write_str(explanation),
            Self::TrustWithdrawn => f.write_str("the certificate is not active any more"),
            Self::Limit { name, found, limit } => write!(f, "{found} is more than the limit of {limit} ({name})"),
            Self::ClientId(rule) => write!(f, "client id {rule}"),
            Self::ReservedTopic => {
                f.write_str("topics that begin with $ are reserved: clients may subscribe to $aws/events/... and to the answers of provisioning, and publish its requests")
            }
            Self::Violation(violation) => violation.fmt(f),
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::Rule(rule) => f.write_str(rule),
            Self::NotServed(what) => f.write_str(what),
            Self::QueueFull { messages, bytes } => {
                write!(f, "client reads too slowly or stays away too long: {messages} messages of {bytes} bytes wait for it, further ones are dropped")
            }
            Self::NodeFull { bytes } => {
                write!(f, "{bytes} bytes wait on this node for clients that are away, further messages are dropped")
            }
            Self::NotSubscribed => f.write_str("the client asked, and has no subscription to the topic of the answer"),
            Self::Expired => f.write_str("the message waited until its time was over"),
            Self::PacketTooLarge { bytes } => {
                write!(f, "the message takes {bytes} bytes, more than the client's Maximum Packet Size")
            }
        }
    }
}

impl std::error::Error for Reason {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            client_id,
            attempt,
            reason,
            ..
        } = self;
        write!(f, "client {client_id:?}")?;
        if let Some(certificate) = self.certificate {
            write!(f, " with certificate {certificate}")?;
        }
        write!(f, " may not {attempt}: {reason}")
    }
}
