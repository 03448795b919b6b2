//! Why a device is not connected, told so that somebody can act: was it the network, the server's certificate, an alert, a
//! connection closed without a word, or a refusal in MQTT.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use identity::{Blame, Explained};
use mqtt::client::ClientError;
use mqtt::{ConnectReturn, TopicError};
use rustls::{AlertDescription, CertificateError};

use crate::key::KeyError;

/// How far a connection had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The TLS handshake was not finished.
    Handshake,
    /// CONNECT was sent, CONNACK had not come.
    Connect,
    /// The connection was established.
    Established,
}

/// Why something did not work.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    // Peer.
    /// The server's certificate is not one that this device believes; nothing was told to the server.
    ServerNotTrusted(CertificateError),
    /// The server ended the connection with a TLS alert.
    Alert {
        /// Which one.
        alert: AlertDescription,
        /// When.
        during: Moment,
    },
    /// The server does not speak TLS as it must.
    Tls(rustls::Error),
    /// The server does not speak MQTT as it must, or the session can not do what was asked.
    Mqtt(ClientError),
    /// More messages arrive than are taken.
    TooManyMessages,

    // Refused.
    /// The server answered CONNECT with a refusal.
    ConnectionRefused(ConnectReturn),

    // State.
    /// The server closed the connection without a word before it took it. It does so on a first connection, while it
    /// provisions the device: connect again.
    ClosedBeforeConnack(Moment),
    /// The server closed an established connection.
    Closed,
    /// Something did not come in time.
    Timeout {
        /// What was waited for.
        waited_for: &'static str,
    },

    // Misuse.
    /// Not a name that a server can have.
    ServerName {
        /// The text.
        name: String,
    },
    /// Not a topic name or filter.
    Topic {
        /// The text.
        text: String,
        /// What is wrong with it.
        cause: TopicError,
    },

    // Fault.
    /// The key or the token it is in.
    Key(KeyError),
    /// The root in the device can not be used as one.
    TrustAnchor,
    /// The name has no address.
    Resolve {
        /// The name.
        name: String,
        /// What the resolver said.
        cause: io::Error,
    },
    /// Nobody listens at the address, or it can not be reached.
    Unreachable {
        /// The address.
        address: SocketAddr,
        /// What the network said.
        cause: io::Error,
    },
    /// The network failed.
    Network(io::Error),
}

impl Error {
    /// Sorts out what TLS says.
    pub(crate) fn from_tls(error: rustls::Error, during: Moment) -> Self {
        match error {
            rustls::Error::InvalidCertificate(cause) => Self::ServerNotTrusted(cause),
            rustls::Error::AlertReceived(alert) => Self::Alert { alert, during },
            rustls::Error::Other(other) => match other.0.downcast_ref::<KeyError>() {
                Some(key) => Self::Key(key.clone()),
                None => Self::Tls(rustls::Error::Other(other)),
            },
            other => Self::Tls(other),
        }
    }

    /// The connection is gone and nobody said why.
    pub(crate) const fn closed(during: Moment) -> Self {
        match during {
            Moment::Handshake | Moment::Connect => Self::ClosedBeforeConnack(during),
            Moment::Established => Self::Closed,
        }
    }

    /// Whether the same may work in a moment: the server closed without a word, was not there, or was slow.
    #[must_use]
    pub const fn is_worth_retrying(&self) -> bool {
        matches!(
            self,
            Self::ClosedBeforeConnack(_)
                | Self::Unreachable { .. }
                | Self::Network(_)
                | Self::Timeout { .. }
                | Self::ConnectionRefused(ConnectReturn::ServerUnavailable)
        )
    }
}

/// What a person can do about a server certificate that is not believed.
fn trust_hint(cause: &CertificateError) -> &'static str {
    match cause {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            "check the device's clock and the server certificate's dates"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the certificate is for another name than the one asked for"
        }
        // A stranger that calls itself like our root is only found out by the signature.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its chain does not end in the root that this device was given"
        }
        _ => "the certificate can not be used",
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServerNotTrusted(cause) => write!(
                f,
                "refused the server's certificate before telling it anything: {cause}; {}",
                trust_hint(cause)
            ),
            Self::Alert { alert, during: Moment::Established } => {
                write!(f, "the server ended the connection with the tls alert {alert:?}")
            }
            Self::Alert { alert, .. } => {
                write!(f, "the server refused the connection with the tls alert {alert:?}; ask it for its attempt record")
            }
            Self::Tls(cause) => write!(f, "cannot speak tls with this server: {cause}"),
            Self::Mqtt(cause) => write!(f, "cannot go on with mqtt: {cause}"),
            Self::TooManyMessages => f.write_str("cannot wait any longer: more messages arrived than are taken"),
            Self::ConnectionRefused(code) => {
                write!(f, "the server refused the mqtt connection: {code} ({}); ask it for its attempt record", *code as u8)
            }
            Self::ClosedBeforeConnack(Moment::Handshake) => {
                f.write_str("the server closed the connection in the tls handshake without an alert; connect again")
            }
            Self::ClosedBeforeConnack(_) => f.write_str(
                "the server closed the connection before CONNACK: if this is the device's first connection it is being provisioned, connect again; else ask the server for its attempt record",
            ),
            Self::Closed => f.write_str("the server closed the connection; connect again"),
            Self::Timeout { waited_for } => write!(f, "waited for {waited_for} and it did not come in time"),
            Self::ServerName { name } => write!(f, "cannot connect to {name:?}: neither a host name nor an address"),
            Self::Topic { text, cause } => write!(f, "cannot use topic {text:?}: it {cause}"),
            Self::Key(cause) => cause.fmt(f),
            Self::TrustAnchor => {
                f.write_str("cannot use the root certificate in the device's token: it is no certificate that can sign others")
            }
            Self::Resolve { name, .. } => write!(f, "cannot find an address for {name:?}"),
            Self::Unreachable { address, .. } => write!(f, "cannot reach the server at {address}"),
            Self::Network(_) => f.write_str("the network failed in the middle of the connection"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Key(cause) => cause.source(),
            Self::Resolve { cause, .. } | Self::Unreachable { cause, .. } | Self::Network(cause) => {
                Some(cause)
            }
            _ => None,
        }
    }
}

impl Explained for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::ServerNotTrusted(_) => "device.tls.untrusted",
            Self::Alert { .. } => "device.tls.alert",
            Self::Tls(_) => "device.tls.protocol",
            Self::Mqtt(cause) => cause.code(),
            Self::TooManyMessages => "device.mqtt.overrun",
            Self::ConnectionRefused(_) => "device.mqtt.refused",
            Self::ClosedBeforeConnack(_) => "device.mqtt.closed_before_connack",
            Self::Closed => "device.mqtt.closed",
            Self::Timeout { .. } => "device.timeout",
            Self::ServerName { .. } => "device.server_name",
            Self::Topic { .. } => "device.topic",
            Self::Key(cause) => cause.code(),
            Self::TrustAnchor => "device.trust_anchor",
            Self::Resolve { .. } => "device.network.resolve",
            Self::Unreachable { .. } => "device.network.unreachable",
            Self::Network(_) => "device.network.failed",
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::ServerNotTrusted(_)
            | Self::Alert { .. }
            | Self::Tls(_)
            | Self::Mqtt(_)
            | Self::TooManyMessages => Blame::Peer,
            Self::ConnectionRefused(_) => Blame::Refused,
            Self::ClosedBeforeConnack(_) | Self::Closed | Self::Timeout { .. } => Blame::State,
            Self::ServerName { .. } | Self::Topic { .. } => Blame::Misuse,
            Self::Key(_)
            | Self::TrustAnchor
            | Self::Resolve { .. }
            | Self::Unreachable { .. }
            | Self::Network(_) => Blame::Fault,
        }
    }
}

impl From<ClientError> for Error {
    fn from(error: ClientError) -> Self {
        Self::Mqtt(error)
    }
}

impl From<KeyError> for Error {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}
