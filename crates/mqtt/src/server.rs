//! The server's view of what a client may send: which packet may come first, and which may come at all.
//!
//! The broker gives requests their meaning; this module only keeps the order of section 3.1 and the direction of section 2.2.1.

use core::error::Error;
use core::fmt;

use crate::connect::{Connect, ForeignConnect};
use crate::fault::Malformed;
use crate::frame::{Decoded, PacketType, decode};
use crate::packet::{Packet, PacketId, Version};
#[cfg(test)]
use crate::publish::{Delivery, Publish};
use crate::v5;

/// What the first packet of a connection was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening<'a> {
    /// A CONNECT of MQTT 3.1.1.
    Connect(Connect<'a>),
    /// A CONNECT of another version: answer [`ForeignConnect::refusal`] and close.
    Foreign(ForeignConnect<'a>),
}

/// What a connected client asks for, in the words of MQTT 5.0: those of 3.1.1 are among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Take this message.
    Publish(v5::Publish<'a>),
    /// A QoS 1 message that the server sent has arrived.
    Acknowledge(PacketId),
    /// A QoS 2 message that the server sent has arrived, or is refused.
    Received(PacketId, v5::Reason),
    /// The client knows that its QoS 2 message has arrived.
    Release(PacketId),
    /// The client has forgotten the identifier of a QoS 2 message that the server sent.
    Completed(PacketId),
    /// Start sending.
    Subscribe(v5::SubscribeRequest<'a>),
    /// Stop sending.
    Unsubscribe(v5::UnsubscribeRequest<'a>),
    /// Are you there?
    Ping,
    /// Goodbye, and forget the will (`[MQTT-3.14.4-3]`), unless the reason says otherwise.
    Disconnect(v5::Closing<'a>),
}

/// A packet that a client may not send here and now. The connection must be closed (`[MQTT-4.8.0-1]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The first packet is not a CONNECT (`[MQTT-3.1.0-1]`).
    NotConnect(PacketType),
    /// A second CONNECT on one connection (`[MQTT-3.1.0-2]`).
    SecondConnect,
    /// A packet that only servers send (table 2.1).
    ServerOnly(PacketType),
    /// A packet of QoS 2, where that is not served: AWS IoT Core does not.
    ExactlyOnce(PacketType),
    /// AUTH, though no authentication method was agreed on (MQTT 5.0 `[MQTT-4.12.0-6]`).
    Authentication,
}

impl Violation {
    /// Stable name of the violation.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotConnect(_) => "mqtt.order.connect_first",
            Self::SecondConnect => "mqtt.order.connect_twice",
            Self::ServerOnly(_) => "mqtt.direction",
            Self::ExactlyOnce(_) => "mqtt.qos2.unsupported",
            Self::Authentication => "mqtt.authentication.unsupported",
        }
    }

    /// What a client that speaks MQTT 5.0 is told.
    #[must_use]
    pub const fn reason(&self) -> v5::Reason {
        match self {
            Self::ExactlyOnce(_) => v5::Reason::QoSNotSupported,
            _ => v5::Reason::ProtocolError,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnect(kind) => {
                write!(f, "first packet is {kind}, must be CONNECT [MQTT-3.1.0-1]")
            }
            Self::SecondConnect => f.write_str("second CONNECT on one connection [MQTT-3.1.0-2]"),
            Self::ServerOnly(kind) => write!(f, "{kind} is sent by servers only (table 2.1)"),
            Self::ExactlyOnce(kind) => write!(f, "{kind} of QoS 2 is not supported, use QoS 0 or 1"),
            Self::Authentication => f.write_str("AUTH is not supported, devices prove who they are in TLS"),
        }
    }
}

impl Error for Violation {}

/// What the first bytes of a connection are, whichever version they speak.
#[derive(Clone, Debug, PartialEq)]
pub enum First<'a> {
    /// Not a whole packet yet; read on until there are at least this many bytes.
    Incomplete {
        /// Bytes the packet needs in total, as far as is known.
        bytes_needed: usize,
    },
    /// A CONNECT, in the words of MQTT 5.0.
    Connect {
        /// The version that the client speaks, and must be spoken to.
        version: Version,
        /// What it asks for.
        connect: v5::Connect<'a>,
        /// How many bytes it took.
        bytes: usize,
    },
    /// A CONNECT of a version that is not served: answer [`ForeignConnect::refusal`] and close.
    Foreign(ForeignConnect<'a>),
}

/// Why the first bytes of a connection lead nowhere. Close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFirst {
    /// They are not MQTT.
    Malformed(Malformed),
    /// They are another packet than CONNECT.
    Violation(Violation),
}

/// Reads the first packet of a connection, which chooses the version of all that follow.
///
/// # Errors
/// [`NotFirst`].
pub fn first(bytes: &[u8], packet_bytes_max: usize) -> Result<First<'_>, NotFirst> {
    match decode(bytes, packet_bytes_max).map_err(NotFirst::Malformed)? {
        Decoded::Incomplete { bytes_needed } => Ok(First::Incomplete { bytes_needed }),
        Decoded::Packet {
            packet,
            bytes: length,
        } => match opening(packet).map_err(NotFirst::Violation)? {
            Opening::Connect(connect) => Ok(First::Connect {
                version: Version::V3,
                connect: connect.into(),
                bytes: length,
            }),
            Opening::Foreign(ForeignConnect {
                protocol_name: "MQTT",
                level: 5,
                ..
            }) => first_v5(bytes, packet_bytes_max),
            Opening::Foreign(foreign) => Ok(First::Foreign(foreign)),
        },
    }
}

fn first_v5(bytes: &[u8], packet_bytes_max: usize) -> Result<First<'_>, NotFirst> {
    match v5::decode(bytes, packet_bytes_max).map_err(NotFirst::Malformed)? {
        v5::Decoded::Incomplete { bytes_needed } => Ok(First::Incomplete { bytes_needed }),
        v5::Decoded::Packet {
            packet: v5::Packet::Connect(connect),
            bytes,
        } => Ok(First::Connect {
            version: Version::V5,
            connect,
            bytes,
        }),
        v5::Decoded::Packet { packet, .. } => Err(NotFirst::Violation(Violation::NotConnect(packet.kind()))),
    }
}

/// Reads the first packet of a connection of MQTT 3.1.1.
///
/// # Errors
/// [`Violation::NotConnect`]; close without an answer (section 3.1).
pub fn opening(packet: Packet<'_>) -> Result<Opening<'_>, Violation> {
    match packet {
        Packet::Connect(connect) => Ok(Opening::Connect(connect)),
        Packet::ForeignConnect(connect) => Ok(Opening::Foreign(connect)),
        other => Err(Violation::NotConnect(other.kind())),
    }
}

/// Reads any later packet.
///
/// # Errors
/// [`Violation`]; close.
pub fn request(packet: Packet<'_>) -> Result<Request<'_>, Violation> {
    match packet {
        Packet::Publish(publish) => Ok(Request::Publish(publish.into())),
        Packet::PublishAcknowledged(id) => Ok(Request::Acknowledge(id)),
        Packet::PublishReceived(id) => Ok(Request::Received(id, v5::Reason::Success)),
        Packet::PublishReleased(id) => Ok(Request::Release(id)),
        Packet::PublishCompleted(id) => Ok(Request::Completed(id)),
        Packet::Subscribe(subscribe) => Ok(Request::Subscribe(subscribe.into())),
        Packet::Unsubscribe(unsubscribe) => Ok(Request::Unsubscribe(unsubscribe.into())),
        Packet::PingRequest => Ok(Request::Ping),
        Packet::Disconnect => Ok(Request::Disconnect(v5::Reason::Success.into())),
        Packet::Connect(_) | Packet::ForeignConnect(_) => Err(Violation::SecondConnect),
        Packet::ConnectAnswer(_)
        | Packet::SubscribeAnswer(_)
        | Packet::UnsubscribeAnswer(_)
        | Packet::PingAnswer => Err(Violation::ServerOnly(packet.kind())),
    }
}

/// Reads any later packet of a client that speaks MQTT 5.0.
///
/// # Errors
/// [`Violation`]; tell its [reason](Violation::reason) and close.
pub fn request_v5(packet: v5::Packet<'_>) -> Result<Request<'_>, Violation> {
    use v5::Packet as P;
    match packet {
        P::Publish(publish) => Ok(Request::Publish(publish)),
        P::PublishAcknowledged(answer) => Ok(Request::Acknowledge(answer.id)),
        P::PublishReceived(answer) => Ok(Request::Received(answer.id, answer.reason)),
        P::PublishReleased(answer) => Ok(Request::Release(answer.id)),
        P::PublishCompleted(answer) => Ok(Request::Completed(answer.id)),
        P::Subscribe(subscribe) => Ok(Request::Subscribe(subscribe)),
        P::Unsubscribe(unsubscribe) => Ok(Request::Unsubscribe(unsubscribe)),
        P::PingRequest => Ok(Request::Ping),
        P::Disconnect(goodbye) => Ok(Request::Disconnect(goodbye)),
        P::Authenticate(_) => Err(Violation::Authentication),
        P::Connect(_) => Err(Violation::SecondConnect),
        P::ConnectAnswer(_) | P::SubscribeAnswer(_) | P::UnsubscribeAnswer(_) | P::PingAnswer => {
            Err(Violation::ServerOnly(packet.kind()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::{ConnectAnswer, ConnectReturn};
    use crate::topic::TopicName;

    fn publish(delivery: Delivery) -> Packet<'static> {
        Packet::Publish(Publish {
            topic: TopicName::new("a").unwrap(),
            payload: b"",
            delivery,
            retain: false,
        })
    }

    #[test]
    fn only_connect_opens() {
        let foreign = ForeignConnect {
            protocol_name: "MQTT",
            level: 5,
            client_id: None,
        };
        assert_eq!(
            opening(Packet::ForeignConnect(foreign)),
            Ok(Opening::Foreign(foreign))
        );
        assert_eq!(
            opening(Packet::PingRequest),
            Err(Violation::NotConnect(PacketType::PingReq))
        );
    }

    #[test]
    fn requests_keep_order_and_direction() {
        let id = PacketId::FIRST;
        let check = |packet: Packet<'_>, expected: Result<(), Violation>| {
            assert_eq!(request(packet.clone()).map(|_| ()), expected, "{packet:?}");
        };
        check(publish(Delivery::AtMostOnce), Ok(()));
        check(publish(Delivery::AtLeastOnce { id, duplicate: true }), Ok(()));
        check(Packet::PublishAcknowledged(id), Ok(()));
        check(Packet::PingRequest, Ok(()));
        check(Packet::Disconnect, Ok(()));
        check(publish(Delivery::ExactlyOnce { id, duplicate: false }), Ok(()));
        check(Packet::PublishReceived(id), Ok(()));
        check(Packet::PublishReleased(id), Ok(()));
        check(Packet::PublishCompleted(id), Ok(()));
        check(
            Packet::PingAnswer,
            Err(Violation::ServerOnly(PacketType::PingResp)),
        );
        let answer = ConnectAnswer {
            session_present: false,
            code: ConnectReturn::Accepted,
        };
        check(
            Packet::ConnectAnswer(answer),
            Err(Violation::ServerOnly(PacketType::ConnAck)),
        );
        let foreign = ForeignConnect {
            protocol_name: "MQTT",
            level: 5,
            client_id: None,
        };
        check(Packet::ForeignConnect(foreign), Err(Violation::SecondConnect));
    }
}
