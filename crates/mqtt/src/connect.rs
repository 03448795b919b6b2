//! CONNECT and CONNACK (sections 3.1 and 3.2), and the CONNECT of other versions, of which enough is read to answer it.

use core::fmt;

use crate::fault::Fault;
use crate::frame;
use crate::packet::{Packet, QoS};
use crate::reader::Reader;
use crate::topic::TopicName;

/// Protocol level of MQTT 3.1.1 (section 3.1.2.2).
pub(crate) const LEVEL: u8 = 4;

/// A client's request to connect (section 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// Who the client says it is; may be empty together with a clean session (`[MQTT-3.1.3-7]`).
    pub client_id: &'a str,
    /// Forget what an earlier connection left behind, and leave nothing behind (section 3.1.2.4).
    pub clean_session: bool,
    /// Longest silence of the client; 0 means any (section 3.1.2.10).
    pub keep_alive_seconds: u16,
    /// What the server shall publish when the connection ends without DISCONNECT (section 3.1.2.5).
    pub will: Option<Will<'a>>,
    /// AWS SDKs put their name and version here.
    pub user_name: Option<&'a str>,
    /// Never printed.
    pub password: Option<Password<'a>>,
}

/// The message a client leaves behind (section 3.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// Where it goes.
    pub topic: TopicName<'a>,
    /// What it says.
    pub payload: &'a [u8],
    /// How it is delivered.
    pub qos: QoS,
    /// Whether it stays on its topic.
    pub retain: bool,
}

/// A password: bytes that are compared, never shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Password<'a>(pub &'a [u8]);

impl fmt::Debug for Password<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(not shown)")
    }
}

/// A CONNECT that speaks another version of MQTT than 3.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignConnect<'a> {
    /// "MQTT", or "MQIsdp" for version 3.1.
    pub protocol_name: &'a str,
    /// 5 for MQTT 5.0, 3 for MQTT 3.1.
    pub level: u8,
    /// The client identifier, where it could be read: it makes the refusal findable.
    pub client_id: Option<&'a str>,
}

impl ForeignConnect<'_> {
    /// The CONNACK that says "unsupported protocol version" in the client's own version: reason code 0x84 of MQTT 5.0
    /// (section 3.1.2.2 there), return code 1 for all others (`[MQTT-3.1.2-2]`). Close after sending it.
    #[must_use]
    pub const fn refusal(&self) -> &'static [u8] {
        match self.level {
            5 => &[0x20, 0x03, 0x00, 0x84, 0x00],
            _ => &[0x20, 0x02, 0x00, 0x01],
        }
    }
}

impl fmt::Display for ForeignConnect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            5 => f.write_str("MQTT 5.0 (protocol level 5)"),
            3 => f.write_str("MQTT 3.1 (protocol level 3)"),
            level => write!(f, "MQTT protocol level {level}"),
        }
    }
}

/// The server's answer to a CONNECT (section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectAnswer {
    /// The server still had the client's session; only with [`ConnectReturn::Accepted`] (`[MQTT-3.2.2-4]`).
    pub session_present: bool,
    /// Welcome, or why not.
    pub code: ConnectReturn,
}

/// Return codes of CONNACK (table 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ConnectReturn {
    /// 0.
    Accepted = 0,
    /// 1: the server does not speak the protocol level.
    UnacceptableVersion = 1,
    /// 2: well-formed UTF-8 that the server does not allow as client identifier.
    IdentifierRejected = 2,
    /// 3: the MQTT service is not available.
    ServerUnavailable = 3,
    /// 4: user name or password is malformed.
    BadUserNameOrPassword = 4,
    /// 5: the client may not connect.
    NotAuthorized = 5,
}

impl ConnectReturn {
    fn from_byte(byte: u8) -> Result<Self, Fault> {
        Ok(match byte {
            0 => Self::Accepted,
            1 => Self::UnacceptableVersion,
            2 => Self::IdentifierRejected,
            3 => Self::ServerUnavailable,
            4 => Self::BadUserNameOrPassword,
            5 => Self::NotAuthorized,
            _ => return Err(Fault::ReturnCode(byte)),
        })
    }
}

impl fmt::Display for ConnectReturn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accepted => "accepted",
            Self::UnacceptableVersion => "unacceptable protocol version",
            Self::IdentifierRejected => "client identifier rejected",
            Self::ServerUnavailable => "server unavailable",
            Self::BadUserNameOrPassword => "bad user name or password",
            Self::NotAuthorized => "not authorized",
        })
    }
}

/// Connect flags (section 3.1.2.3).
pub(crate) mod flag {
    pub(crate) const RESERVED: u8 = 0x01;
    pub(crate) const CLEAN_SESSION: u8 = 0x02;
    pub(crate) const WILL: u8 = 0x04;
    pub(crate) const WILL_RETAIN: u8 = 0x20;
    pub(crate) const PASSWORD: u8 = 0x40;
    pub(crate) const USER_NAME: u8 = 0x80;
    pub(crate) const WILL_QOS_SHIFT: u8 = 3;
}

pub(crate) fn decode_connect<'a>(reader: &mut Reader<'a>) -> Result<Packet<'a>, Fault> {
    let protocol_name = reader.string("protocol name")?;
    let level = reader.byte("protocol level")?;
    match (protocol_name, level) {
        ("MQTT", LEVEL) => decode_fields(reader).map(Packet::Connect),
        ("MQTT" | "MQIsdp", _) => Ok(Packet::ForeignConnect(decode_foreign(
            protocol_name,
            level,
            reader,
        ))),
        _ => Err(Fault::ProtocolName),
    }
}

fn decode_fields<'a>(reader: &mut Reader<'a>) -> Result<Connect<'a>, Fault> {
    let flags = reader.byte("connect flags")?;
    check_flags(flags)?;
    if flags & flag::PASSWORD != 0 && flags & flag::USER_NAME == 0 {
        return Err(Fault::PasswordWithoutUserName);
    }
    let keep_alive_seconds = reader.two_bytes("keep alive")?;
    let client_id = reader.string("client identifier")?;
    let will = if flags & flag::WILL == 0 {
        None
    } else {
        Some(decode_will(flags, reader)?)
    };
    let user_name = if flags & flag::USER_NAME == 0 {
        None
    } else {
        Some(reader.string("user name")?)
    };
    let password = if flags & flag::PASSWORD == 0 {
        None
    } else {
        Some(Password(reader.binary("password")?))
    };
    let clean_session = flags & flag::CLEAN_SESSION != 0;
    Ok(Connect {
        client_id,
        clean_session,
        keep_alive_seconds,
        will,
        user_name,
        password,
    })
}

pub(crate) fn check_flags(flags: u8) -> Result<(), Fault> {
    if flags & flag::RESERVED != 0 {
        return Err(Fault::ReservedConnectFlag);
    }
    let will_details = flags & (flag::WILL_RETAIN | 0b11 << flag::WILL_QOS_SHIFT);
    if flags & flag::WILL == 0 && will_details != 0 {
        return Err(Fault::WillFlags);
    }
    Ok(())
}

fn decode_will<'a>(flags: u8, reader: &mut Reader<'a>) -> Result<Will<'a>, Fault> {
    let qos = QoS::from_bits(flags >> flag::WILL_QOS_SHIFT & 0b11).ok_or(Fault::QoS("will"))?;
    let topic = reader.topic_name("will topic")?;
    let payload = reader.binary("will message")?;
    Ok(Will {
        topic,
        payload,
        qos,
        retain: flags & flag::WILL_RETAIN != 0,
    })
}

/// Reads as far as the client identifier, which is where versions 3.1 and 5.0 have it too, and takes the rest unread.
fn decode_foreign<'a>(protocol_name: &'a str, level: u8, reader: &mut Reader<'a>) -> ForeignConnect<'a> {
    let client_id = foreign_client_id(level, reader).ok();
    *reader = Reader::new(&[]);
    ForeignConnect {
        protocol_name,
        level,
        client_id,
    }
}

fn foreign_client_id<'a>(level: u8, reader: &mut Reader<'a>) -> Result<&'a str, Fault> {
    reader.byte("connect flags")?;
    reader.two_bytes("keep alive")?;
    if level == 5 {
        skip_properties(reader)?;
    }
    reader.string("client identifier")
}

/// The properties of a 5.0 CONNECT stand between keep alive and client identifier (MQTT 5.0 section 3.1.2.11).
fn skip_properties(reader: &mut Reader<'_>) -> Result<(), Fault> {
    let truncated = Fault::Truncated("properties");
    let (length, length_bytes) = frame::remaining_length(reader.rest())?.ok_or(truncated)?;
    let rest = reader.rest().get(length_bytes + length..).ok_or(truncated)?;
    *reader = Reader::new(rest);
    Ok(())
}

pub(crate) fn decode_answer<'a>(reader: &mut Reader<'a>) -> Result<Packet<'a>, Fault> {
    let flags = reader.byte("acknowledge flags")?;
    let code = ConnectReturn::from_byte(reader.byte("return code")?)?;
    if flags > 1 || (flags == 1 && code != ConnectReturn::Accepted) {
        return Err(Fault::AcknowledgeFlags(flags));
    }
    Ok(Packet::ConnectAnswer(ConnectAnswer {
        session_present: flags == 1,
        code,
    }))
}
