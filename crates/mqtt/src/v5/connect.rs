//! CONNECT and CONNACK (sections 3.1 and 3.2).

use crate::connect::{Password, Will, check_flags, flag};
use crate::fault::Fault;
use crate::frame::PacketType;
use crate::packet::QoS;
use crate::reader::Reader;

use super::property::{Place, Properties};
use super::reason::Reason;

/// Protocol version 5 (section 3.1.2.2).
pub(crate) const LEVEL: u8 = 5;

/// A client's request to connect (section 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// Who the client says it is; empty: the server gives it a name (`[MQTT-3.1.3-6]`).
    pub client_id: &'a str,
    /// Forget what an earlier connection left behind (`[MQTT-3.1.2-4]`).
    pub clean_start: bool,
    /// Longest silence of the client; 0 means any (section 3.1.2.10).
    pub keep_alive_seconds: u16,
    /// What else it asks for.
    pub properties: Properties<'a>,
    /// What the server shall publish when the connection ends without goodbye.
    pub will: Option<Will<'a>>,
    /// Those of the will; none without a will.
    pub will_properties: Properties<'a>,
    /// AWS SDKs put their name and version here.
    pub user_name: Option<&'a str>,
    /// Never printed. In this version it may come without a user name.
    pub password: Option<Password<'a>>,
}

/// The server's answer to a CONNECT (section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectAnswer<'a> {
    /// The server still had the client's session; only with success (`[MQTT-3.2.2-6]`).
    pub session_present: bool,
    /// Welcome, or why not.
    pub reason: Reason,
    /// What the server offers and demands.
    pub properties: Properties<'a>,
}

impl<'a> From<crate::Connect<'a>> for Connect<'a> {
    fn from(connect: crate::Connect<'a>) -> Self {
        Self {
            client_id: connect.client_id,
            clean_start: connect.clean_session,
            keep_alive_seconds: connect.keep_alive_seconds,
            properties: Properties::NONE,
            will: connect.will,
            will_properties: Properties::NONE,
            user_name: connect.user_name,
            password: connect.password,
        }
    }
}

impl<'a> Connect<'a> {
    pub(crate) fn decode(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let flags = reader.byte("connect flags")?;
        check_flags(flags)?;
        let keep_alive_seconds = reader.two_bytes("keep alive")?;
        let properties = Properties::read(reader, Place::Connect)?;
        let client_id = reader.string("client identifier")?;
        let mut will = None;
        let mut will_properties = Properties::NONE;
        if flags & flag::WILL != 0 {
            will_properties = Properties::read(reader, Place::Will)?;
            will = Some(read_will(flags, reader)?);
        }
        let user_name = match flags & flag::USER_NAME {
            0 => None,
            _ => Some(reader.string("user name")?),
        };
        let password = match flags & flag::PASSWORD {
            0 => None,
            _ => Some(Password(reader.binary("password")?)),
        };
        Ok(Self {
            client_id,
            clean_start: flags & flag::CLEAN_SESSION != 0,
            keep_alive_seconds,
            properties,
            will,
            will_properties,
            user_name,
            password,
        })
    }
}

fn read_will<'a>(flags: u8, reader: &mut Reader<'a>) -> Result<Will<'a>, Fault> {
    let qos = QoS::from_bits(flags >> flag::WILL_QOS_SHIFT & 0b11).ok_or(Fault::QoS("will"))?;
    Ok(Will {
        topic: reader.topic_name("will topic")?,
        payload: reader.binary("will payload")?,
        qos,
        retain: flags & flag::WILL_RETAIN != 0,
    })
}

impl<'a> ConnectAnswer<'a> {
    pub(crate) fn decode(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let flags = reader.byte("acknowledge flags")?;
        let reason = Reason::of(PacketType::ConnAck, reader.byte("reason code")?)?;
        if flags > 1 || (flags == 1 && reason != Reason::Success) {
            return Err(Fault::AcknowledgeFlags(flags));
        }
        Ok(Self {
            session_present: flags == 1,
            reason,
            properties: Properties::read(reader, Place::ConnectAnswer)?,
        })
    }
}
