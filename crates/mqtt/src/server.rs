//! The server's view of what a client may send: which packet may come first, and which may come at all.
//!
//! The broker gives requests their meaning; this module only keeps the order of section 3.1 and the direction of section 2.2.1.

use core::error::Error;
use core::fmt;

use crate::connect::{Connect, ForeignConnect};
use crate::frame::PacketType;
use crate::packet::{Packet, PacketId};
use crate::publish::{Delivery, Publish};
use crate::subscribe::{SubscribeRequest, UnsubscribeRequest};

/// What the first packet of a connection was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening<'a> {
    /// A CONNECT of MQTT 3.1.1.
    Connect(Connect<'a>),
    /// A CONNECT of another version: answer [`ForeignConnect::refusal`] and close.
    Foreign(ForeignConnect<'a>),
}

/// What a connected client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Take this message, at QoS 0 or 1.
    Publish(Publish<'a>),
    /// A QoS 1 message that the server sent has arrived.
    Acknowledge(PacketId),
    /// Start sending.
    Subscribe(SubscribeRequest<'a>),
    /// Stop sending.
    Unsubscribe(UnsubscribeRequest<'a>),
    /// Are you there?
    Ping,
    /// Goodbye, and forget the will (`[MQTT-3.14.4-3]`).
    Disconnect,
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
    /// A packet of QoS 2, which AWS IoT Core does not support and neither do we.
    ExactlyOnce(PacketType),
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
        }
    }
}

impl Error for Violation {}

/// Reads the first packet of a connection.
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
        Packet::Publish(Publish {
            delivery: Delivery::ExactlyOnce { .. },
            ..
        })
        | Packet::PublishReceived(_)
        | Packet::PublishReleased(_)
        | Packet::PublishCompleted(_) => Err(Violation::ExactlyOnce(packet.kind())),
        Packet::Publish(publish) => Ok(Request::Publish(publish)),
        Packet::PublishAcknowledged(id) => Ok(Request::Acknowledge(id)),
        Packet::Subscribe(subscribe) => Ok(Request::Subscribe(subscribe)),
        Packet::Unsubscribe(unsubscribe) => Ok(Request::Unsubscribe(unsubscribe)),
        Packet::PingRequest => Ok(Request::Ping),
        Packet::Disconnect => Ok(Request::Disconnect),
        Packet::Connect(_) | Packet::ForeignConnect(_) => Err(Violation::SecondConnect),
        Packet::ConnectAnswer(_)
        | Packet::SubscribeAnswer(_)
        | Packet::UnsubscribeAnswer(_)
        | Packet::PingAnswer => Err(Violation::ServerOnly(packet.kind())),
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
        let exactly_once = publish(Delivery::ExactlyOnce { id, duplicate: false });
        check(exactly_once, Err(Violation::ExactlyOnce(PacketType::Publish)));
        check(
            Packet::PublishReleased(id),
            Err(Violation::ExactlyOnce(PacketType::PubRel)),
        );
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
