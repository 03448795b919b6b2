//! Packets of MQTT 5.0 into bytes, appended to the caller's buffer, which stays as it was when the packet cannot be said.

use alloc::vec::Vec;

use crate::connect::{Will, flag};
use crate::encode::{Unencodable, field, field_length, fixed_header, publish_first_byte};
use crate::frame::PacketType;
use crate::packet::PacketId;
use crate::topic::TopicFilter;

use super::acknowledge::{Acknowledgement, Closing};
use super::connect::{Connect, ConnectAnswer, LEVEL};
use super::packet::Packet;
use super::property::Properties;
use super::publish::Publish;
use super::reason::Reason;
use super::subscribe::Subscription;

/// Any packet.
///
/// # Errors
/// [`Unencodable`]; `out` is then unchanged.
pub fn packet(out: &mut Vec<u8>, packet: &Packet<'_>) -> Result<(), Unencodable> {
    let kind = packet.kind();
    match packet {
        Packet::Connect(request) => connect(out, request),
        Packet::ConnectAnswer(answer) => connect_answer(out, answer),
        Packet::Publish(message) => publish(out, message),
        Packet::PublishAcknowledged(answer)
        | Packet::PublishReceived(answer)
        | Packet::PublishReleased(answer)
        | Packet::PublishCompleted(answer) => acknowledgement(out, kind, answer),
        Packet::Subscribe(request) => subscribe(out, request.id, request.properties, request.subscriptions),
        Packet::SubscribeAnswer(answer_) | Packet::UnsubscribeAnswer(answer_) => {
            answer(out, kind, answer_.id, answer_.properties, answer_.reasons)
        }
        Packet::Unsubscribe(request) => unsubscribe(out, request.id, request.properties, request.filters),
        Packet::PingRequest | Packet::PingAnswer => fixed_header(out, kind.first_byte(), 0),
        Packet::Disconnect(goodbye) => closing(out, kind, goodbye),
        Packet::Authenticate(step) => closing(out, kind, step),
    }
}

/// CONNECT (section 3.1).
///
/// # Errors
/// [`Unencodable`]; `out` is then unchanged.
pub fn connect(out: &mut Vec<u8>, request: &Connect<'_>) -> Result<(), Unencodable> {
    let mut fields = Vec::with_capacity(5);
    fields.push(("client identifier", request.client_id.as_bytes()));
    if let Some(will) = &request.will {
        fields.push(("will topic", will.topic.as_str().as_bytes()));
        fields.push(("will payload", will.payload));
    }
    fields.extend(request.user_name.map(|name| ("user name", name.as_bytes())));
    fields.extend(request.password.map(|password| ("password", password.0)));
    let mut length = 10 + counted(request.properties);
    if request.will.is_some() {
        length += counted(request.will_properties);
    }
    for (what, bytes) in &fields {
        length += field_length(what, bytes)?;
    }
    fixed_header(out, PacketType::Connect.first_byte(), length)?;
    field(out, b"MQTT");
    out.push(LEVEL);
    out.push(connect_flags(request));
    out.extend(request.keep_alive_seconds.to_be_bytes());
    append(out, request.properties);
    for (index, (_, bytes)) in fields.iter().enumerate() {
        if index == 1 && request.will.is_some() {
            append(out, request.will_properties);
        }
        field(out, bytes);
    }
    Ok(())
}

fn connect_flags(request: &Connect<'_>) -> u8 {
    let set = |condition, flag| if condition { flag } else { 0 };
    let will = |will: &Will<'_>| {
        flag::WILL | will.qos.bits() << flag::WILL_QOS_SHIFT | set(will.retain, flag::WILL_RETAIN)
    };
    set(request.clean_start, flag::CLEAN_SESSION)
        | request.will.as_ref().map_or(0, will)
        | set(request.user_name.is_some(), flag::USER_NAME)
        | set(request.password.is_some(), flag::PASSWORD)
}

/// CONNACK (section 3.2). Session present is dropped unless the reason is success (`[MQTT-3.2.2-6]`).
///
/// # Errors
/// [`Unencodable`]; `out` is then unchanged.
pub fn connect_answer(out: &mut Vec<u8>, answer: &ConnectAnswer<'_>) -> Result<(), Unencodable> {
    fixed_header(
        out,
        PacketType::ConnAck.first_byte(),
        2 + counted(answer.properties),
    )?;
    out.push(u8::from(
        answer.session_present && answer.reason == Reason::Success,
    ));
    out.push(answer.reason.byte());
    append(out, answer.properties);
    Ok(())
}

/// PUBLISH (section 3.3).
///
/// # Errors
/// [`Unencodable`]; `out` is then unchanged.
pub fn publish(out: &mut Vec<u8>, message: &Publish<'_>) -> Result<(), Unencodable> {
    let topic = message.topic.map_or("", |topic| topic.as_str()).as_bytes();
    let id = message.delivery.packet_id();
    let length = field_length("topic name", topic)?
        + id.map_or(0, |_| 2)
        + counted(message.properties)
        + message.payload.len();
    fixed_header(out, publish_first_byte(message.delivery, message.retain), length)?;
    field(out, topic);
    out.extend(id.map(PacketId::to_bytes).into_iter().flatten());
    append(out, message.properties);
    out.extend_from_slice(message.payload);
    Ok(())
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP (sections 3.4 to 3.7), as short as can be.
///
/// # Errors
/// [`Unencodable`]; `out` is then unchanged.
pub fn acknowledgement(
    out: &mut Vec<u8>,
    kind: PacketType,
    answer: &Acknowledgement<'_>,
) -> Result<(), Unencodable> {
    let tail = tail_length(answer.reason, answer.properties);
    fixed_header(out, kind.first_byte(), 2 + tail)?;
    out.extend(answer.id.to_bytes());
    append_tail(out, answer.reason, answer.properties);
    Ok(())
}

/// DISCONNECT or AUTH (sections 3.14, 3.15), as short as can be.
///
/// # Errors
/// [`Unencodable`]; `out` is then unchanged.
pub fn closing(out: &mut Vec<u8>, kind: PacketType, closing: &Closing<'_>) -> Result<(), Unencodable> {
    let length = tail_length(closing.reason, closing.properties);
    fixed_header(out, kind.first_byte(), length)?;
    append_tail(out, closing.reason, closing.properties);
    Ok(())
}

/// SUBSCRIBE (section 3.8).
///
/// # Errors
/// [`Unencodable`]; `out` is then unchanged.
pub fn subscribe<'a>(
    out: &mut Vec<u8>,
    id: PacketId,
    properties: Properties<'_>,
    subscriptions: impl IntoIterator<Item = Subscription<'a>> + Clone,
) -> Result<(), Unencodable> {
    let mut lines = 0;
    for line in subscriptions.clone() {
        lines += 1 + field_length("topic filter", line.filter.as_str().as_bytes())?;
    }
    let length = list_length(properties, lines, "topic filters")?;
    fixed_header(out, PacketType::Subscribe.first_byte(), length)?;
    out.extend(id.to_bytes());
    append(out, properties);
    for line in subscriptions {
        field(out, line.filter.as_str().as_bytes());
        out.push(line.options());
    }
    Ok(())
}

/// UNSUBSCRIBE (section 3.10).
///
/// # Errors
/// [`Unencodable`]; `out` is then unchanged.
pub fn unsubscribe<'a>(
    out: &mut Vec<u8>,
    id: PacketId,
    properties: Properties<'_>,
    filters: impl IntoIterator<Item = TopicFilter<'a>> + Clone,
) -> Result<(), Unencodable> {
    let mut lines = 0;
    for filter in filters.clone() {
        lines += field_length("topic filter", filter.as_str().as_bytes())?;
    }
    let length = list_length(properties, lines, "topic filters")?;
    fixed_header(out, PacketType::Unsubscribe.first_byte(), length)?;
    out.extend(id.to_bytes());
    append(out, properties);
    for filter in filters {
        field(out, filter.as_str().as_bytes());
    }
    Ok(())
}

/// SUBACK or UNSUBACK (sections 3.9, 3.11).
///
/// # Errors
/// [`Unencodable`]; `out` is then unchanged.
pub fn answer(
    out: &mut Vec<u8>,
    kind: PacketType,
    id: PacketId,
    properties: Properties<'_>,
    reasons: impl IntoIterator<Item = Reason> + Clone,
) -> Result<(), Unencodable> {
    let count = reasons.clone().into_iter().count();
    let length = list_length(properties, count, "reason codes")?;
    fixed_header(out, kind.first_byte(), length)?;
    out.extend(id.to_bytes());
    append(out, properties);
    out.extend(reasons.into_iter().map(Reason::byte));
    Ok(())
}

fn list_length(properties: Properties<'_>, list: usize, what: &'static str) -> Result<usize, Unencodable> {
    match list {
        0 => Err(Unencodable::Empty(what)),
        _ => Ok(2 + counted(properties) + list),
    }
}

fn tail_length(reason: Reason, properties: Properties<'_>) -> usize {
    match (reason, properties.is_empty()) {
        (Reason::Success, true) => 0,
        (_, true) => 1,
        _ => 1 + counted(properties),
    }
}

fn append_tail(out: &mut Vec<u8>, reason: Reason, properties: Properties<'_>) {
    if properties.is_empty() {
        out.extend((reason != Reason::Success).then_some(reason.byte()));
    } else {
        out.push(reason.byte());
        append(out, properties);
    }
}

fn counted(properties: Properties<'_>) -> usize {
    let bytes = properties.as_bytes().len();
    variable_bytes(bytes) + bytes
}

fn append(out: &mut Vec<u8>, properties: Properties<'_>) {
    variable(out, properties.as_bytes().len());
    out.extend_from_slice(properties.as_bytes());
}

/// How many bytes a variable byte integer takes (section 1.5.5).
pub(crate) const fn variable_bytes(value: usize) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}

/// A variable byte integer (section 1.5.5); what is too long for one is refused with the packet it is part of.
pub(crate) fn variable(out: &mut Vec<u8>, value: usize) {
    let mut rest = value;
    while rest > 0x7f {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
