//! One type for all fourteen control packets, borrowed from the bytes they came in.
//!
//! The packets of QoS 2 are here so that a server which does not offer it can say what it refuses.

use core::fmt;
use core::num::NonZeroU16;

use crate::connect::{Connect, ConnectAnswer, ForeignConnect};
use crate::frame::PacketType;
use crate::publish::Publish;
use crate::subscribe::{SubscribeAnswer, SubscribeRequest, UnsubscribeRequest};

/// A control packet (section 3).
#[derive(Clone, Debug, PartialEq)]
pub enum Packet<'a> {
    /// CONNECT of MQTT 3.1.1 (section 3.1).
    Connect(Connect<'a>),
    /// CONNECT of another version of MQTT.
    ForeignConnect(ForeignConnect<'a>),
    /// CONNACK (section 3.2).
    ConnectAnswer(ConnectAnswer),
    /// PUBLISH (section 3.3).
    Publish(Publish<'a>),
    /// PUBACK, the answer to QoS 1 (section 3.4).
    PublishAcknowledged(PacketId),
    /// PUBREC, QoS 2 part 1 (section 3.5).
    PublishReceived(PacketId),
    /// PUBREL, QoS 2 part 2 (section 3.6).
    PublishReleased(PacketId),
    /// PUBCOMP, QoS 2 part 3 (section 3.7).
    PublishCompleted(PacketId),
    /// SUBSCRIBE (section 3.8).
    Subscribe(SubscribeRequest<'a>),
    /// SUBACK (section 3.9).
    SubscribeAnswer(SubscribeAnswer<'a>),
    /// UNSUBSCRIBE (section 3.10).
    Unsubscribe(UnsubscribeRequest<'a>),
    /// UNSUBACK (section 3.11).
    UnsubscribeAnswer(PacketId),
    /// PINGREQ (section 3.12).
    PingRequest,
    /// PINGRESP (section 3.13).
    PingAnswer,
    /// DISCONNECT (section 3.14).
    Disconnect,
}

impl Packet<'_> {
    /// The packet's type on the wire.
    #[must_use]
    pub fn kind(&self) -> PacketType {
        match self {
            Self::Connect(_) | Self::ForeignConnect(_) => PacketType::Connect,
            Self::ConnectAnswer(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PublishAcknowledged(_) => PacketType::PubAck,
            Self::PublishReceived(_) => PacketType::PubRec,
            Self::PublishReleased(_) => PacketType::PubRel,
            Self::PublishCompleted(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubscribeAnswer(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubscribeAnswer(_) => PacketType::UnsubAck,
            Self::PingRequest => PacketType::PingReq,
            Self::PingAnswer => PacketType::PingResp,
            Self::Disconnect => PacketType::Disconnect,
        }
    }
}

/// The versions of MQTT that are spoken here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Version {
    /// 3.1.1, protocol level 4.
    #[default]
    V3,
    /// 5.0, protocol level 5.
    V5,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V3 => "MQTT 3.1.1",
            Self::V5 => "MQTT 5.0",
        })
    }
}

/// A packet identifier: any two-byte number but 0 (section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// The first identifier a session uses.
    pub const FIRST: Self = Self(NonZeroU16::MIN);

    /// `None` for 0.
    #[must_use]
    pub const fn new(value: u16) -> Option<Self> {
        match NonZeroU16::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn value(self) -> u16 {
        self.0.get()
    }

    /// The two bytes on the wire.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 2] {
        self.0.get().to_be_bytes()
    }

    /// The identifier after this one; 1 follows 65535.
    #[must_use]
    pub const fn next(self) -> Self {
        match self.0.checked_add(1) {
            Some(next) => Self(next),
            None => Self::FIRST,
        }
    }
}

impl fmt::Display for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Quality of service (section 4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum QoS {
    /// 0: sent once, never acknowledged.
    #[default]
    AtMostOnce = 0,
    /// 1: sent until acknowledged.
    AtLeastOnce = 1,
    /// 2: handed over in four packets.
    ExactlyOnce = 2,
}

impl QoS {
    /// `None` for 3, which is reserved.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }

    /// The two bits on the wire.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self as u8
    }
}
