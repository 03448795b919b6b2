//! All fifteen control packets of MQTT 5.0, and the way to them from a stream of bytes.

use crate::fault::{Fault, Malformed};
use crate::frame::{self, Framed, PacketType};
use crate::packet::Version;
use crate::reader::Reader;

use super::acknowledge::{Acknowledgement, Closing};
use super::connect::{self, Connect, ConnectAnswer};
use super::publish::Publish;
use super::subscribe::{Answer, SubscribeRequest, UnsubscribeRequest};

/// A control packet (section 3).
#[derive(Clone, Debug, PartialEq)]
pub enum Packet<'a> {
    /// CONNECT (section 3.1).
    Connect(Connect<'a>),
    /// CONNACK (section 3.2).
    ConnectAnswer(ConnectAnswer<'a>),
    /// PUBLISH (section 3.3).
    Publish(Publish<'a>),
    /// PUBACK (section 3.4).
    PublishAcknowledged(Acknowledgement<'a>),
    /// PUBREC (section 3.5).
    PublishReceived(Acknowledgement<'a>),
    /// PUBREL (section 3.6).
    PublishReleased(Acknowledgement<'a>),
    /// PUBCOMP (section 3.7).
    PublishCompleted(Acknowledgement<'a>),
    /// SUBSCRIBE (section 3.8).
    Subscribe(SubscribeRequest<'a>),
    /// SUBACK (section 3.9).
    SubscribeAnswer(Answer<'a>),
    /// UNSUBSCRIBE (section 3.10).
    Unsubscribe(UnsubscribeRequest<'a>),
    /// UNSUBACK (section 3.11).
    UnsubscribeAnswer(Answer<'a>),
    /// PINGREQ (section 3.12).
    PingRequest,
    /// PINGRESP (section 3.13).
    PingAnswer,
    /// DISCONNECT (section 3.14).
    Disconnect(Closing<'a>),
    /// AUTH (section 3.15).
    Authenticate(Closing<'a>),
}

/// What a slice of the stream turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded<'a> {
    /// Not a whole packet yet; read on until there are at least this many bytes, counted from the packet's first.
    Incomplete {
        /// Bytes the packet needs in total, as far as is known.
        bytes_needed: usize,
    },
    /// One packet; the next begins after `bytes`.
    Packet {
        /// What it says.
        packet: Packet<'a>,
        /// How many bytes of the slice it took.
        bytes: usize,
    },
}

impl Packet<'_> {
    /// The packet's type on the wire.
    #[must_use]
    pub const fn kind(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
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
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Authenticate(_) => PacketType::Auth,
        }
    }
}

/// Reads the first packet of `bytes`. `packet_bytes_max` counts the whole packet with its fixed header.
///
/// # Errors
/// [`Malformed`] when no more bytes could make a packet of this; the connection is then beyond use (section 4.13.1).
pub fn decode(bytes: &[u8], packet_bytes_max: usize) -> Result<Decoded<'_>, Malformed> {
    let (kind, flags, body, total) = match frame::split(bytes, packet_bytes_max, Version::V5)? {
        Framed::Incomplete { bytes_needed } => return Ok(Decoded::Incomplete { bytes_needed }),
        Framed::Whole {
            kind,
            flags,
            body,
            bytes,
        } => (kind, flags, body, bytes),
    };
    let packet = decode_body(kind, flags, body).map_err(|fault| Malformed {
        version: Version::V5,
        packet: Some(kind),
        fault,
    })?;
    Ok(Decoded::Packet { packet, bytes: total })
}

fn decode_body(kind: PacketType, flags: u8, body: &[u8]) -> Result<Packet<'_>, Fault> {
    let reader = &mut Reader::new(body);
    let packet = match kind {
        PacketType::Connect => decode_connect(reader).map(Packet::Connect)?,
        PacketType::ConnAck => ConnectAnswer::decode(reader).map(Packet::ConnectAnswer)?,
        PacketType::Publish => Publish::decode(flags, reader).map(Packet::Publish)?,
        PacketType::PubAck => Acknowledgement::decode(kind, reader).map(Packet::PublishAcknowledged)?,
        PacketType::PubRec => Acknowledgement::decode(kind, reader).map(Packet::PublishReceived)?,
        PacketType::PubRel => Acknowledgement::decode(kind, reader).map(Packet::PublishReleased)?,
        PacketType::PubComp => Acknowledgement::decode(kind, reader).map(Packet::PublishCompleted)?,
        PacketType::Subscribe => SubscribeRequest::decode(reader).map(Packet::Subscribe)?,
        PacketType::SubAck => Answer::decode(kind, reader).map(Packet::SubscribeAnswer)?,
        PacketType::Unsubscribe => UnsubscribeRequest::decode(reader).map(Packet::Unsubscribe)?,
        PacketType::UnsubAck => Answer::decode(kind, reader).map(Packet::UnsubscribeAnswer)?,
        PacketType::PingReq => Packet::PingRequest,
        PacketType::PingResp => Packet::PingAnswer,
        PacketType::Disconnect => Closing::decode(kind, reader).map(Packet::Disconnect)?,
        PacketType::Auth => Closing::decode(kind, reader).map(Packet::Authenticate)?,
    };
    reader.end()?;
    Ok(packet)
}

fn decode_connect<'a>(reader: &mut Reader<'a>) -> Result<Connect<'a>, Fault> {
    let name = reader.string("protocol name")?;
    match (name, reader.byte("protocol version")?) {
        ("MQTT", connect::LEVEL) => Connect::decode(reader),
        _ => Err(Fault::ProtocolName),
    }
}
