//! What only a packet of MQTT 5.0 can get wrong, and where that version numbers the statements that both share.

use core::fmt;

use crate::fault::Fault;
use crate::topic::TopicError;

use super::reason::Reason;

/// What only a packet of MQTT 5.0 can get wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// A variable byte integer of more than four bytes, or longer than its value needs.
    VariableByteInteger(&'static str),
    /// A property that the standard does not know.
    PropertyUnknown(u32),
    /// A property that has no place in this packet.
    PropertyMisplaced(u8),
    /// A property that may be there once is there twice.
    PropertyTwice(u8),
    /// A value that the property may not have.
    PropertyValue(u8),
    /// A reason code that this packet may not carry.
    ReasonCode(u8),
    /// Neither a topic name nor an alias for one.
    TopicMissing,
    /// Authentication data without a method, or AUTH without one.
    AuthenticationMethodMissing,
    /// No Local on a shared subscription.
    NoLocalShared,
    /// A Retain Handling of 3.
    RetainHandling,
}

impl Flaw {
    /// Stable name of the flaw.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::VariableByteInteger(_) => "mqtt.v5.integer",
            Self::PropertyUnknown(_) => "mqtt.v5.property.unknown",
            Self::PropertyMisplaced(_) => "mqtt.v5.property.misplaced",
            Self::PropertyTwice(_) => "mqtt.v5.property.twice",
            Self::PropertyValue(_) => "mqtt.v5.property.value",
            Self::ReasonCode(_) => "mqtt.v5.reason",
            Self::TopicMissing => "mqtt.v5.topic.missing",
            Self::AuthenticationMethodMissing => "mqtt.v5.authentication.method",
            Self::NoLocalShared => "mqtt.v5.subscribe.no_local",
            Self::RetainHandling => "mqtt.v5.subscribe.retain_handling",
        }
    }

    /// The statement that is broken.
    #[must_use]
    pub const fn statement(self) -> &'static str {
        match self {
            Self::VariableByteInteger(_) => "[MQTT-1.5.5-1]",
            Self::PropertyUnknown(_) | Self::PropertyMisplaced(_) => "section 2.2.2.2",
            Self::PropertyTwice(_) => "section 2.2.2.2",
            Self::PropertyValue(id) => value_statement(id),
            Self::ReasonCode(_) => "section 2.4",
            Self::TopicMissing => "section 3.3.2.1",
            Self::AuthenticationMethodMissing => "section 3.15.2.2.2",
            Self::NoLocalShared => "[MQTT-3.8.3-4]",
            Self::RetainHandling => "section 3.8.3.1",
        }
    }

    /// A malformed packet breaks the grammar; a protocol error is grammar where it must not be (section 1.2).
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::VariableByteInteger(_)
            | Self::PropertyUnknown(_)
            | Self::PropertyMisplaced(_)
            | Self::ReasonCode(_) => Reason::MalformedPacket,
            Self::PropertyValue(0x23) => Reason::TopicAliasInvalid,
            Self::PropertyTwice(_)
            | Self::PropertyValue(_)
            | Self::TopicMissing
            | Self::AuthenticationMethodMissing
            | Self::NoLocalShared
            | Self::RetainHandling => Reason::ProtocolError,
        }
    }
}

const fn value_statement(id: u8) -> &'static str {
    match id {
        0x08 => "[MQTT-3.3.2-14]",
        0x0b => "section 3.3.2.3.8",
        0x21 => "section 3.1.2.11.3",
        0x23 => "[MQTT-3.3.2-8]",
        0x24 => "section 3.2.2.3.4",
        0x27 => "section 3.1.2.11.4",
        _ => "section 2.2.2.2",
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VariableByteInteger(what) => write!(f, "{what} is not the shortest variable byte integer"),
            Self::PropertyUnknown(id) => write!(f, "property {id:#04x} is unknown"),
            Self::PropertyMisplaced(id) => write!(f, "property {id:#04x} has no place here"),
            Self::PropertyTwice(id) => write!(f, "property {id:#04x} is there twice"),
            Self::PropertyValue(id) => write!(f, "property {id:#04x} has a value it may not have"),
            Self::ReasonCode(code) => write!(f, "reason code {code:#04x} has no place here"),
            Self::TopicMissing => f.write_str("neither topic name nor topic alias"),
            Self::AuthenticationMethodMissing => f.write_str("authentication method is missing"),
            Self::NoLocalShared => f.write_str("no local on a shared subscription"),
            Self::RetainHandling => f.write_str("retain handling is 3"),
        }
    }
}

/// The number that 5.0 gives to a statement which 3.1.1 has too.
pub(crate) fn statement(fault: &Fault) -> &'static str {
    match fault {
        Fault::ReservedType(_) => "section 2.1.2",
        Fault::Flags(_) => "[MQTT-2.1.3-1]",
        Fault::RemainingLength | Fault::Trailing(_) => "section 2.1.4",
        Fault::TooLarge { .. } => "[MQTT-3.2.2-15]",
        Fault::Truncated(_) => "section 1.5",
        Fault::Utf8(_) => "[MQTT-1.5.4-1]",
        Fault::NullCharacter(_) => "[MQTT-1.5.4-2]",
        Fault::PacketIdZero => "[MQTT-2.2.1-3]",
        Fault::QoS("subscription") => "section 3.8.3.1",
        Fault::QoS("will") => "[MQTT-3.1.2-12]",
        Fault::QoS(_) => "[MQTT-3.3.1-4]",
        Fault::DuplicateAtMostOnce => "[MQTT-3.3.1-2]",
        Fault::TopicName(error) | Fault::TopicFilter(error) => match error {
            TopicError::MultiLevel => "[MQTT-4.7.1-1]",
            TopicError::SingleLevel => "[MQTT-4.7.1-2]",
            other => other.statement(),
        },
        Fault::Empty("topic filters") => "[MQTT-3.8.3-2]",
        Fault::Empty("topic filters to end") => "[MQTT-3.10.3-2]",
        Fault::Empty(_) => "section 3.9.3",
        Fault::ReservedBits(_) => "[MQTT-3.8.3-5]",
        Fault::ProtocolName => "[MQTT-3.1.2-1]",
        Fault::ReservedConnectFlag => "[MQTT-3.1.2-3]",
        Fault::WillFlags => "[MQTT-3.1.2-11]",
        Fault::PasswordWithoutUserName => "",
        Fault::ReturnCode(_) => "section 2.4",
        Fault::AcknowledgeFlags(_) => "[MQTT-3.2.2-1]",
        Fault::V5(flaw) => flaw.statement(),
    }
}

/// What a 5.0 peer is told about a fault (section 4.13).
pub(crate) fn reason(fault: &Fault) -> Reason {
    match fault {
        Fault::TooLarge { .. } => Reason::PacketTooLarge,
        Fault::TopicName(_) => Reason::TopicNameInvalid,
        Fault::TopicFilter(_) => Reason::TopicFilterInvalid,
        Fault::Empty(_) | Fault::QoS("subscription") => Reason::ProtocolError,
        Fault::V5(flaw) => flaw.reason(),
        _ => Reason::MalformedPacket,
    }
}
