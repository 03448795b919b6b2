//! From a stream of bytes to one packet: the fixed header (section 2.2), the size limit, then the packet's own fields.
//!
//! Type, flags and length are judged as soon as their bytes are there, so a peer cannot make the receiver buffer what it
//! will refuse anyway.

use core::fmt;

use crate::connect;
use crate::fault::{Fault, Malformed};
use crate::packet::{Packet, Version};
use crate::publish::Publish;
use crate::reader::Reader;
use crate::subscribe;
use crate::v5::Flaw;

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

/// The control packet types of section 2.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the standard's own, table 2.1")]
pub enum PacketType {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    /// MQTT 5.0 alone.
    Auth = 15,
}

impl PacketType {
    fn from_first_byte(first: u8, version: Version) -> Result<Self, Fault> {
        Ok(match first >> 4 {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 if version == Version::V5 => Self::Auth,
            reserved => return Err(Fault::ReservedType(reserved)),
        })
    }

    /// The first byte of a packet of this type; PUBLISH puts its own flags in (table 2.2).
    pub(crate) const fn first_byte(self) -> u8 {
        let flags = match self {
            Self::PubRel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        };
        ((self as u8) << 4) | flags
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "CONNECT",
            Self::ConnAck => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::PubAck => "PUBACK",
            Self::PubRec => "PUBREC",
            Self::PubRel => "PUBREL",
            Self::PubComp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::SubAck => "SUBACK",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::UnsubAck => "UNSUBACK",
            Self::PingReq => "PINGREQ",
            Self::PingResp => "PINGRESP",
            Self::Disconnect => "DISCONNECT",
            Self::Auth => "AUTH",
        })
    }
}

/// Reads the first packet of `bytes`. `packet_bytes_max` counts the whole packet with its fixed header.
///
/// # Errors
/// [`Malformed`] when no more bytes could make a packet of this; the connection is then beyond use (`[MQTT-4.8.0-1]`).
pub fn decode(bytes: &[u8], packet_bytes_max: usize) -> Result<Decoded<'_>, Malformed> {
    let (kind, flags, body, total) = match split(bytes, packet_bytes_max, Version::V3)? {
        Framed::Incomplete { bytes_needed } => return Ok(Decoded::Incomplete { bytes_needed }),
        Framed::Whole {
            kind,
            flags,
            body,
            bytes,
        } => (kind, flags, body, bytes),
    };
    let packet = decode_body(kind, flags, body).map_err(|fault| Malformed {
        version: Version::V3,
        packet: Some(kind),
        fault,
    })?;
    Ok(Decoded::Packet { packet, bytes: total })
}

/// A packet whose fixed header is understood and whose body is not looked at yet.
pub(crate) enum Framed<'a> {
    Incomplete {
        bytes_needed: usize,
    },
    Whole {
        kind: PacketType,
        flags: u8,
        body: &'a [u8],
        /// With the fixed header.
        bytes: usize,
    },
}

/// The fixed header, which is the same in both versions but for AUTH and needlessly long lengths.
pub(crate) fn split(
    bytes: &[u8],
    packet_bytes_max: usize,
    version: Version,
) -> Result<Framed<'_>, Malformed> {
    let Some((&first, after_first)) = bytes.split_first() else {
        return Ok(Framed::Incomplete { bytes_needed: 2 });
    };
    let malformed = |packet, fault| Malformed {
        version,
        packet,
        fault,
    };
    let kind = PacketType::from_first_byte(first, version).map_err(|fault| malformed(None, fault))?;
    let malformed = |fault| malformed(Some(kind), fault);
    check_flags(kind, first).map_err(malformed)?;

    let Some((length, length_bytes)) = remaining_length(after_first).map_err(malformed)? else {
        return Ok(Framed::Incomplete {
            bytes_needed: bytes.len() + 1,
        });
    };
    if version == Version::V5 && length_bytes > 1 && length < 1 << (7 * (length_bytes - 1)) {
        return Err(malformed(Fault::V5(Flaw::VariableByteInteger(
            "remaining length",
        ))));
    }
    let total = 1 + length_bytes + length;
    if total > packet_bytes_max {
        return Err(malformed(Fault::TooLarge {
            bytes: total,
            bytes_max: packet_bytes_max,
        }));
    }
    Ok(match bytes.get(1 + length_bytes..total) {
        None => Framed::Incomplete { bytes_needed: total },
        Some(body) => Framed::Whole {
            kind,
            flags: first & 0x0f,
            body,
            bytes: total,
        },
    })
}

/// `[MQTT-2.2.2-2]`: the flags are fixed for every type but PUBLISH, whose flags [`Publish`] reads.
fn check_flags(kind: PacketType, first: u8) -> Result<(), Fault> {
    if kind == PacketType::Publish || first == kind.first_byte() {
        Ok(())
    } else {
        Err(Fault::Flags(first & 0x0f))
    }
}

/// Section 2.2.3: the value and how many bytes it took; `None` when the field is not complete.
pub(crate) fn remaining_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, Fault> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() < 4 {
        Ok(None)
    } else {
        Err(Fault::RemainingLength)
    }
}

fn decode_body(kind: PacketType, flags: u8, body: &[u8]) -> Result<Packet<'_>, Fault> {
    let mut reader = Reader::new(body);
    let packet = match kind {
        PacketType::Publish => return Publish::decode(flags, reader).map(Packet::Publish),
        PacketType::Connect => connect::decode_connect(&mut reader)?,
        PacketType::ConnAck => connect::decode_answer(&mut reader)?,
        PacketType::PubAck => Packet::PublishAcknowledged(reader.packet_id()?),
        PacketType::PubRec => Packet::PublishReceived(reader.packet_id()?),
        PacketType::PubRel => Packet::PublishReleased(reader.packet_id()?),
        PacketType::PubComp => Packet::PublishCompleted(reader.packet_id()?),
        PacketType::Subscribe => return subscribe::decode_subscribe(reader).map(Packet::Subscribe),
        PacketType::SubAck => return subscribe::decode_answer(reader).map(Packet::SubscribeAnswer),
        PacketType::Unsubscribe => return subscribe::decode_unsubscribe(reader).map(Packet::Unsubscribe),
        PacketType::UnsubAck => Packet::UnsubscribeAnswer(reader.packet_id()?),
        PacketType::PingReq => Packet::PingRequest,
        PacketType::PingResp => Packet::PingAnswer,
        PacketType::Disconnect => Packet::Disconnect,
        PacketType::Auth => return Err(Fault::ReservedType(15)),
    };
    reader.end()?;
    Ok(packet)
}
