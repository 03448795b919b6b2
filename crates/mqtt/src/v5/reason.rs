//! Reason codes (section 2.4): one list for all packets, and which of them each packet may carry.

use core::fmt;

use crate::fault::Fault;
use crate::frame::PacketType;

use super::flaw::Flaw;

macro_rules! reasons {
    ($($code:literal $name:ident $text:literal;)*) => {
        /// A reason code. From 0x80 on it is a failure.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "the names are the standard's own, table 2-6")]
        pub enum Reason {
            $($name = $code,)*
        }

        impl Reason {
            /// The code's meaning; `None` for a number that the standard does not know.
            #[must_use]
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for Reason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$name => $text,)*
                })
            }
        }
    };
}

reasons! {
    0x00 Success "success";
    0x01 GrantedQoS1 "granted QoS 1";
    0x02 GrantedQoS2 "granted QoS 2";
    0x04 DisconnectWithWill "disconnect with will message";
    0x10 NoMatchingSubscribers "no matching subscribers";
    0x11 NoSubscriptionExisted "no subscription existed";
    0x18 ContinueAuthentication "continue authentication";
    0x19 ReAuthenticate "re-authenticate";
    0x80 UnspecifiedError "unspecified error";
    0x81 MalformedPacket "malformed packet";
    0x82 ProtocolError "protocol error";
    0x83 ImplementationSpecificError "implementation specific error";
    0x84 UnsupportedProtocolVersion "unsupported protocol version";
    0x85 ClientIdentifierNotValid "client identifier not valid";
    0x86 BadUserNameOrPassword "bad user name or password";
    0x87 NotAuthorized "not authorized";
    0x88 ServerUnavailable "server unavailable";
    0x89 ServerBusy "server busy";
    0x8a Banned "banned";
    0x8b ServerShuttingDown "server shutting down";
    0x8c BadAuthenticationMethod "bad authentication method";
    0x8d KeepAliveTimeout "keep alive timeout";
    0x8e SessionTakenOver "session taken over";
    0x8f TopicFilterInvalid "topic filter invalid";
    0x90 TopicNameInvalid "topic name invalid";
    0x91 PacketIdentifierInUse "packet identifier in use";
    0x92 PacketIdentifierNotFound "packet identifier not found";
    0x93 ReceiveMaximumExceeded "receive maximum exceeded";
    0x94 TopicAliasInvalid "topic alias invalid";
    0x95 PacketTooLarge "packet too large";
    0x96 MessageRateTooHigh "message rate too high";
    0x97 QuotaExceeded "quota exceeded";
    0x98 AdministrativeAction "administrative action";
    0x99 PayloadFormatInvalid "payload format invalid";
    0x9a RetainNotSupported "retain not supported";
    0x9b QoSNotSupported "QoS not supported";
    0x9c UseAnotherServer "use another server";
    0x9d ServerMoved "server moved";
    0x9e SharedSubscriptionsNotSupported "shared subscriptions not supported";
    0x9f ConnectionRateExceeded "connection rate exceeded";
    0xa0 MaximumConnectTime "maximum connect time";
    0xa1 SubscriptionIdentifiersNotSupported "subscription identifiers not supported";
    0xa2 WildcardSubscriptionsNotSupported "wildcard subscriptions not supported";
}

impl Reason {
    /// The byte on the wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// From 0x80 on.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        self.byte() >= 0x80
    }

    /// Whether a packet of this type may carry it: tables 3-1, 3-4 to 3-10, 3-13 and sections 3.9.3, 3.11.3, 3.15.2.1.
    #[must_use]
    pub const fn fits(self, packet: PacketType) -> bool {
        let byte = self.byte();
        match packet {
            PacketType::ConnAck => {
                matches!(byte, 0 | 0x80..=0x8a | 0x8c | 0x90 | 0x95 | 0x97 | 0x99..=0x9d | 0x9f)
            }
            PacketType::PubAck | PacketType::PubRec => {
                matches!(byte, 0 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99)
            }
            PacketType::PubRel | PacketType::PubComp => matches!(byte, 0 | 0x92),
            PacketType::SubAck => {
                matches!(
                    byte,
                    0..=2 | 0x80 | 0x83 | 0x87 | 0x8f | 0x91 | 0x97 | 0x9e | 0xa1 | 0xa2
                )
            }
            PacketType::UnsubAck => matches!(byte, 0 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8f | 0x91),
            PacketType::Disconnect => {
                matches!(byte, 0 | 4 | 0x80..=0x83 | 0x87 | 0x89 | 0x8b | 0x8d..=0x90 | 0x93..=0xa2)
            }
            PacketType::Auth => matches!(byte, 0 | 0x18 | 0x19),
            _ => false,
        }
    }

    /// `[MQTT-3.2.2-8]`, `[MQTT-3.4.2-1]`, `[MQTT-3.9.3-2]`, `[MQTT-3.14.2-1]` and their kin: only codes of the packet's table.
    pub(crate) fn of(packet: PacketType, byte: u8) -> Result<Self, Fault> {
        Self::from_byte(byte)
            .filter(|reason| reason.fits(packet))
            .ok_or(Fault::V5(Flaw::ReasonCode(byte)))
    }
}
