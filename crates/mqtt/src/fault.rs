//! Why bytes are not a packet: one fault per statement of the standard that can be broken.
//!
//! A server that meets one closes the connection (`[MQTT-4.8.0-1]`) and writes the reason down; nothing here is ever sent to
//! the peer. The text never holds payload, password or user name.

use core::error::Error;
use core::fmt;

use crate::frame::PacketType;
use crate::packet::Version;
use crate::topic::TopicError;
use crate::v5::{Flaw, Reason, flaw};

/// Bytes that cannot be a packet: of which version, in which packet, and what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The version that was read, whose statements are named.
    pub version: Version,
    /// The packet's type, once its first byte made sense.
    pub packet: Option<PacketType>,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a packet. The peer is always to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The first byte names type 0 or 15, which are reserved.
    ReservedType(u8),
    /// The flags in the first byte are not those that the type must have.
    Flags(u8),
    /// The Remaining Length field goes on into a fifth byte.
    RemainingLength,
    /// The packet is longer than the receiver takes.
    TooLarge {
        /// How long it says it is, with its fixed header.
        bytes: usize,
        /// How long it may be.
        bytes_max: usize,
    },
    /// A field runs past the end of the packet.
    Truncated(&'static str),
    /// Bytes are left after the last field.
    Trailing(usize),
    /// A string is not UTF-8.
    Utf8(&'static str),
    /// A string holds U+0000.
    NullCharacter(&'static str),
    /// The packet identifier is 0.
    PacketIdZero,
    /// A QoS of 3.
    QoS(&'static str),
    /// DUP is set on a QoS 0 message.
    DuplicateAtMostOnce,
    /// The topic of a PUBLISH or of a will cannot be a topic name.
    TopicName(TopicError),
    /// A topic filter breaks the rules of section 4.7.
    TopicFilter(TopicError),
    /// A SUBSCRIBE or UNSUBSCRIBE without any filter, or a SUBACK without any return code.
    Empty(&'static str),
    /// Reserved bits beside a requested QoS are set.
    ReservedBits(u8),
    /// The protocol name is not one that any version of MQTT had.
    ProtocolName,
    /// The reserved bit of the connect flags is set.
    ReservedConnectFlag,
    /// Will QoS or Will Retain without a will.
    WillFlags,
    /// A password without a user name.
    PasswordWithoutUserName,
    /// A return code that the standard does not know.
    ReturnCode(u8),
    /// The acknowledge flags of a CONNACK contradict it.
    AcknowledgeFlags(u8),
    /// Something that only MQTT 5.0 has.
    V5(Flaw),
}

impl Malformed {
    /// Stable name of the fault.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.fault.code()
    }

    /// The statement of its version that is broken; empty for the receiver's own limit.
    #[must_use]
    pub fn statement(&self) -> &'static str {
        match self.version {
            Version::V3 => self.fault.statement(),
            Version::V5 => flaw::statement(&self.fault),
        }
    }

    /// The CONNACK for a CONNECT like this: MQTT 5.0 lets a server say what is wrong (MQTT 5.0 section 3.1.4), 3.1.1 does not.
    #[must_use]
    pub fn connect_refusal(&self) -> &'static [u8] {
        match (self.version, self.packet, self.reason()) {
            (Version::V3, ..) => &[],
            (_, Some(PacketType::Connect), Reason::ProtocolError) => &[0x20, 0x03, 0x00, 0x82, 0x00],
            (_, Some(PacketType::Connect), Reason::TopicNameInvalid) => &[0x20, 0x03, 0x00, 0x90, 0x00],
            (_, Some(PacketType::Connect), Reason::PacketTooLarge) => &[0x20, 0x03, 0x00, 0x95, 0x00],
            (_, Some(PacketType::Connect), _) => &[0x20, 0x03, 0x00, 0x81, 0x00],
            _ => &[],
        }
    }

    /// What a peer that speaks MQTT 5.0 may be told (MQTT 5.0 section 4.13).
    #[must_use]
    pub fn reason(&self) -> Reason {
        flaw::reason(&self.fault)
    }
}

impl Fault {
    /// Stable name of the fault.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::ReservedType(_) => "mqtt.type.reserved",
            Self::Flags(_) => "mqtt.flags.reserved",
            Self::RemainingLength => "mqtt.length.field",
            Self::TooLarge { .. } => "mqtt.length.limit",
            Self::Truncated(_) => "mqtt.field.truncated",
            Self::Trailing(_) => "mqtt.field.trailing",
            Self::Utf8(_) => "mqtt.string.utf8",
            Self::NullCharacter(_) => "mqtt.string.null",
            Self::PacketIdZero => "mqtt.packet_id.zero",
            Self::QoS(_) => "mqtt.qos.reserved",
            Self::DuplicateAtMostOnce => "mqtt.duplicate.qos0",
            Self::TopicName(_) => "mqtt.topic.name",
            Self::TopicFilter(_) => "mqtt.topic.filter",
            Self::Empty(_) => "mqtt.list.empty",
            Self::ReservedBits(_) => "mqtt.subscribe.reserved",
            Self::ProtocolName => "mqtt.connect.protocol",
            Self::ReservedConnectFlag => "mqtt.connect.reserved",
            Self::WillFlags => "mqtt.connect.will",
            Self::PasswordWithoutUserName => "mqtt.connect.password",
            Self::ReturnCode(_) => "mqtt.return_code",
            Self::AcknowledgeFlags(_) => "mqtt.connack.flags",
            Self::V5(flaw) => flaw.code(),
        }
    }

    /// The statement of MQTT 3.1.1 that is broken; empty for the receiver's own limit.
    #[must_use]
    pub fn statement(&self) -> &'static str {
        match self {
            Self::ReservedType(_) => "section 2.2.1",
            Self::Flags(_) => "[MQTT-2.2.2-2]",
            Self::RemainingLength => "section 2.2.3",
            Self::TooLarge { .. } => "",
            Self::Truncated(_) => "section 1.5",
            Self::Trailing(_) => "section 2.2.3",
            Self::Utf8(_) => "[MQTT-1.5.3-1]",
            Self::NullCharacter(_) => "[MQTT-1.5.3-2]",
            Self::PacketIdZero => "[MQTT-2.3.1-1]",
            Self::QoS("will") => "[MQTT-3.1.2-14]",
            Self::QoS("subscription") => "[MQTT-3-8.3-4]",
            Self::QoS(_) => "[MQTT-3.3.1-4]",
            Self::DuplicateAtMostOnce => "[MQTT-3.3.1-2]",
            Self::TopicName(error) | Self::TopicFilter(error) => error.statement(),
            Self::Empty("topic filters to end") => "[MQTT-3.10.3-2]",
            Self::Empty(_) => "[MQTT-3.8.3-3]",
            Self::ReservedBits(_) => "[MQTT-3-8.3-4]",
            Self::ProtocolName => "[MQTT-3.1.2-1]",
            Self::ReservedConnectFlag => "[MQTT-3.1.2-3]",
            Self::WillFlags => "[MQTT-3.1.2-11]",
            Self::PasswordWithoutUserName => "[MQTT-3.1.2-22]",
            Self::ReturnCode(_) => "section 3.2.2.3",
            Self::AcknowledgeFlags(_) => "[MQTT-3.2.2-4]",
            Self::V5(flaw) => flaw.statement(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedType(kind) => write!(f, "packet type {kind} is reserved")?,
            Self::Flags(flags) => write!(f, "fixed header flags are {flags:#06b}")?,
            Self::RemainingLength => write!(f, "remaining length field is longer than four bytes")?,
            Self::TooLarge { bytes, bytes_max } => write!(f, "packet of {bytes} bytes, limit {bytes_max}")?,
            Self::Truncated(what) => write!(f, "{what} runs past the end of the packet")?,
            Self::Trailing(bytes) => write!(f, "{bytes} bytes left after the last field")?,
            Self::Utf8(what) => write!(f, "{what} is not UTF-8")?,
            Self::NullCharacter(what) => write!(f, "{what} holds U+0000")?,
            Self::PacketIdZero => write!(f, "packet identifier is 0")?,
            Self::QoS(what) => write!(f, "{what} QoS is 3")?,
            Self::DuplicateAtMostOnce => write!(f, "DUP is set on a QoS 0 message")?,
            Self::TopicName(error) => write!(f, "topic name {error}")?,
            Self::TopicFilter(error) => write!(f, "topic filter {error}")?,
            Self::Empty(what) => write!(f, "no {what}")?,
            Self::ReservedBits(byte) => {
                write!(f, "reserved bits beside the requested QoS are set ({byte:#04x})")?
            }
            Self::ProtocolName => write!(f, "protocol name is not MQTT")?,
            Self::ReservedConnectFlag => write!(f, "reserved connect flag is set")?,
            Self::WillFlags => write!(f, "will QoS or will retain is set without a will")?,
            Self::PasswordWithoutUserName => write!(f, "password flag is set without the user name flag")?,
            Self::ReturnCode(code) => write!(f, "return code {code:#04x} is unknown")?,
            Self::AcknowledgeFlags(flags) => {
                write!(f, "acknowledge flags {flags:#04x} are not allowed here")?
            }
            Self::V5(flaw) => flaw.fmt(f)?,
        }
        Ok(())
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.packet {
            Some(packet) => write!(f, "malformed {packet}: {}", self.fault)?,
            None => write!(f, "not an MQTT packet: {}", self.fault)?,
        }
        match self.statement() {
            "" => Ok(()),
            statement => write!(f, " {statement}"),
        }
    }
}

impl Error for Malformed {}
