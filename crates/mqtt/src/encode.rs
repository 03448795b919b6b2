//! Packets into bytes. Packets of fixed size are arrays; the others are appended to the caller's buffer, which stays as it
//! was when the packet cannot be said in MQTT.

use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

use crate::connect::{self, Connect, ConnectAnswer, ForeignConnect, Will};
use crate::frame::PacketType;
use crate::limits::{FIELD_BYTES_MAX, REMAINING_LENGTH_MAX};
use crate::packet::{Packet, PacketId};
use crate::publish::{self, Delivery, Publish};
use crate::subscribe::{SubscribeReturn, Subscription};
use crate::topic::TopicFilter;

/// PINGREQ (section 3.12).
pub const PING_REQUEST: [u8; 2] = [PacketType::PingReq.first_byte(), 0];
/// PINGRESP (section 3.13).
pub const PING_ANSWER: [u8; 2] = [PacketType::PingResp.first_byte(), 0];
/// DISCONNECT (section 3.14).
pub const DISCONNECT: [u8; 2] = [PacketType::Disconnect.first_byte(), 0];

/// A packet that the wire format has no room for, or a list that may not be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unencodable {
    /// A string or binary field of more than 65535 bytes.
    FieldTooLong(&'static str),
    /// More than 268435455 bytes after the fixed header.
    PacketTooLong,
    /// A list that needs at least one element has none.
    Empty(&'static str),
    /// A password without a user name (`[MQTT-3.1.2-22]`).
    PasswordWithoutUserName,
    /// A CONNECT of another version: this codec reads it only far enough to refuse it.
    ForeignVersion,
}

impl fmt::Display for Unencodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FieldTooLong(what) => write!(f, "{what} is longer than {FIELD_BYTES_MAX} bytes"),
            Self::PacketTooLong => write!(f, "packet is longer than {REMAINING_LENGTH_MAX} bytes"),
            Self::Empty(what) => write!(f, "no {what}"),
            Self::PasswordWithoutUserName => f.write_str("a password needs a user name beside it"),
            Self::ForeignVersion => f.write_str("a CONNECT of another protocol version cannot be written"),
        }
    }
}

impl Error for Unencodable {}

/// Any packet.
///
/// # Errors
/// [`Unencodable`]; `out` is then unchanged.
pub fn packet(out: &mut Vec<u8>, packet: &Packet<'_>) -> Result<(), Unencodable> {
    match packet {
        Packet::Connect(request) => return connect(out, request),
        Packet::ForeignConnect(ForeignConnect { .. }) => return Err(Unencodable::ForeignVersion),
        Packet::Publish(message) => return publish(out, message),
        Packet::Subscribe(request) => return subscribe(out, request.id, request.subscriptions),
        Packet::SubscribeAnswer(answer) => return subscribe_answer(out, answer.id, answer.codes),
        Packet::Unsubscribe(request) => return unsubscribe(out, request.id, request.filters),
        Packet::ConnectAnswer(answer) => out.extend(connect_answer(*answer)),
        Packet::PublishAcknowledged(id) => out.extend(with_id(PacketType::PubAck, *id)),
        Packet::PublishReceived(id) => out.extend(with_id(PacketType::PubRec, *id)),
        Packet::PublishReleased(id) => out.extend(with_id(PacketType::PubRel, *id)),
        Packet::PublishCompleted(id) => out.extend(with_id(PacketType::PubComp, *id)),
        Packet::UnsubscribeAnswer(id) => out.extend(with_id(PacketType::UnsubAck, *id)),
        Packet::PingRequest => out.extend(PING_REQUEST),
        Packet::PingAnswer => out.extend(PING_ANSWER),
        Packet::Disconnect => out.extend(DISCONNECT),
    }
    Ok(())
}

/// CONNACK (section 3.2). Session present is dropped unless the code is "accepted" (`[MQTT-3.2.2-4]`).
#[must_use]
pub const fn connect_answer(answer: ConnectAnswer) -> [u8; 4] {
    let code = answer.code as u8;
    let session_present = answer.session_present && code == 0;
    [PacketType::ConnAck.first_byte(), 2, session_present as u8, code]
}

/// PUBACK (section 3.4).
#[must_use]
pub const fn publish_acknowledged(id: PacketId) -> [u8; 4] {
    with_id(PacketType::PubAck, id)
}

/// PUBREC (section 3.5).
#[must_use]
pub const fn publish_received(id: PacketId) -> [u8; 4] {
    with_id(PacketType::PubRec, id)
}

/// PUBREL (section 3.6).
#[must_use]
pub const fn publish_released(id: PacketId) -> [u8; 4] {
    with_id(PacketType::PubRel, id)
}

/// PUBCOMP (section 3.7).
#[must_use]
pub const fn publish_completed(id: PacketId) -> [u8; 4] {
    with_id(PacketType::PubComp, id)
}

/// UNSUBACK (section 3.11).
#[must_use]
pub const fn unsubscribe_answer(id: PacketId) -> [u8; 4] {
    with_id(PacketType::UnsubAck, id)
}

const fn with_id(kind: PacketType, id: PacketId) -> [u8; 4] {
    let [high, low] = id.to_bytes();
    [kind.first_byte(), 2, high, low]
}

/// CONNECT (section 3.1).
///
/// # Errors
/// [`Unencodable`]; `out` is then unchanged.
pub fn connect(out: &mut Vec<u8>, request: &Connect<'_>) -> Result<(), Unencodable> {
    if request.password.is_some() && request.user_name.is_none() {
        return Err(Unencodable::PasswordWithoutUserName);
    }
    let user_name = request.user_name.map(str::as_bytes);
    let password = request.password.map(|password| password.0);
    let mut length = 10 + field_length("client identifier", request.client_id.as_bytes())?;
    if let Some(will) = &request.will {
        length += field_length("will topic", will.topic.as_str().as_bytes())?;
        length += field_length("will message", will.payload)?;
    }
    length += user_name.map_or(Ok(0), |name| field_length("user name", name))?;
    length += password.map_or(Ok(0), |password| field_length("password", password))?;

    fixed_header(out, PacketType::Connect.first_byte(), length)?;
    field(out, b"MQTT");
    out.push(connect::LEVEL);
    out.push(connect_flags(request));
    out.extend(request.keep_alive_seconds.to_be_bytes());
    field(out, request.client_id.as_bytes());
    if let Some(will) = &request.will {
        field(out, will.topic.as_str().as_bytes());
        field(out, will.payload);
    }
    for bytes in [user_name, password].into_iter().flatten() {
        field(out, bytes);
    }
    Ok(())
}

fn connect_flags(request: &Connect<'_>) -> u8 {
    use connect::flag;
    let set = |condition, flag| if condition { flag } else { 0 };
    let will = |will: &Will<'_>| {
        flag::WILL | will.qos.bits() << flag::WILL_QOS_SHIFT | set(will.retain, flag::WILL_RETAIN)
    };
    set(request.clean_session, flag::CLEAN_SESSION)
        | request.will.as_ref().map_or(0, will)
        | set(request.user_name.is_some(), flag::USER_NAME)
        | set(request.password.is_some(), flag::PASSWORD)
}

/// PUBLISH (section 3.3).
///
/// # Errors
/// [`Unencodable`]; `out` is then unchanged.
pub fn publish(out: &mut Vec<u8>, message: &Publish<'_>) -> Result<(), Unencodable> {
    let topic = message.topic.as_str().as_bytes();
    let id = message.delivery.packet_id();
    let length = field_length("topic name", topic)? + id.map_or(0, |_| 2) + message.payload.len();
    fixed_header(out, publish_first_byte(message.delivery, message.retain), length)?;
    field(out, topic);
    out.extend(id.map(PacketId::to_bytes).into_iter().flatten());
    out.extend_from_slice(message.payload);
    Ok(())
}

pub(crate) const fn publish_first_byte(delivery: Delivery, retain: bool) -> u8 {
    let retain = if retain { publish::flag::RETAIN } else { 0 };
    PacketType::Publish.first_byte() | delivery.flags() | retain
}

/// SUBSCRIBE (section 3.8).
///
/// # Errors
/// [`Unencodable`]; `out` is then unchanged.
pub fn subscribe<'a>(
    out: &mut Vec<u8>,
    id: PacketId,
    subscriptions: impl IntoIterator<Item = Subscription<'a>> + Clone,
) -> Result<(), Unencodable> {
    let mut length = 2;
    for line in subscriptions.clone() {
        length += 1 + field_length("topic filter", line.filter.as_str().as_bytes())?;
    }
    not_empty(length, "topic filters")?;
    fixed_header(out, PacketType::Subscribe.first_byte(), length)?;
    out.extend(id.to_bytes());
    for line in subscriptions {
        field(out, line.filter.as_str().as_bytes());
        out.push(line.qos.bits());
    }
    Ok(())
}

/// SUBACK (section 3.9).
///
/// # Errors
/// [`Unencodable`]; `out` is then unchanged.
pub fn subscribe_answer(
    out: &mut Vec<u8>,
    id: PacketId,
    codes: impl IntoIterator<Item = SubscribeReturn> + Clone,
) -> Result<(), Unencodable> {
    let length = 2 + codes.clone().into_iter().count();
    not_empty(length, "return codes")?;
    fixed_header(out, PacketType::SubAck.first_byte(), length)?;
    out.extend(id.to_bytes());
    out.extend(codes.into_iter().map(SubscribeReturn::byte));
    Ok(())
}

/// UNSUBSCRIBE (section 3.10).
///
/// # Errors
/// [`Unencodable`]; `out` is then unchanged.
pub fn unsubscribe<'a>(
    out: &mut Vec<u8>,
    id: PacketId,
    filters: impl IntoIterator<Item = TopicFilter<'a>> + Clone,
) -> Result<(), Unencodable> {
    let mut length = 2;
    for filter in filters.clone() {
        length += field_length("topic filter", filter.as_str().as_bytes())?;
    }
    not_empty(length, "topic filters")?;
    fixed_header(out, PacketType::Unsubscribe.first_byte(), length)?;
    out.extend(id.to_bytes());
    for filter in filters {
        field(out, filter.as_str().as_bytes());
    }
    Ok(())
}

/// Only the packet identifier means that the list after it was empty.
fn not_empty(length: usize, what: &'static str) -> Result<(), Unencodable> {
    if length == 2 {
        Err(Unencodable::Empty(what))
    } else {
        Ok(())
    }
}

/// The first byte and the remaining length (section 2.2.3), and room for what follows.
pub(crate) fn fixed_header(out: &mut Vec<u8>, first: u8, length: usize) -> Result<(), Unencodable> {
    if length > REMAINING_LENGTH_MAX {
        return Err(Unencodable::PacketTooLong);
    }
    out.reserve(5 + length);
    out.push(first);
    let mut rest = length;
    while rest > 0x7f {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
    Ok(())
}

pub(crate) fn field_length(what: &'static str, bytes: &[u8]) -> Result<usize, Unencodable> {
    if bytes.len() > FIELD_BYTES_MAX {
        Err(Unencodable::FieldTooLong(what))
    } else {
        Ok(2 + bytes.len())
    }
}

/// A field whose length was checked before.
pub(crate) fn field(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}
