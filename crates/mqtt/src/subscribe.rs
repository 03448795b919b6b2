//! SUBSCRIBE, SUBACK, UNSUBSCRIBE (sections 3.8 to 3.10).
//!
//! Their lists are checked once, while decoding, and then read from the packet's own bytes as often as wanted: nothing is
//! collected.

use core::fmt;

use crate::fault::Fault;
use crate::packet::{PacketId, QoS};
use crate::reader::Reader;
use crate::topic::TopicFilter;

/// A request to receive what matches any of some filters (section 3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeRequest<'a> {
    /// To be named in the SUBACK.
    pub id: PacketId,
    /// At least one (`[MQTT-3.8.3-3]`).
    pub subscriptions: Subscriptions<'a>,
}

/// A request to end some subscriptions (section 3.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsubscribeRequest<'a> {
    /// To be named in the UNSUBACK.
    pub id: PacketId,
    /// At least one (`[MQTT-3.10.3-2]`).
    pub filters: Filters<'a>,
}

/// One line of a SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// What to match.
    pub filter: TopicFilter<'a>,
    /// The highest QoS the client wants.
    pub qos: QoS,
}

/// The lines of a SUBSCRIBE, in order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Subscriptions<'a>(&'a [u8]);

/// The lines of an UNSUBSCRIBE, in order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Filters<'a>(&'a [u8]);

/// The server's answer to a SUBSCRIBE (section 3.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeAnswer<'a> {
    /// The SUBSCRIBE it answers.
    pub id: PacketId,
    /// One code per filter, in the same order.
    pub codes: SubscribeReturns<'a>,
}

/// The codes of a SUBACK, in order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SubscribeReturns<'a>(&'a [u8]);

/// One code of a SUBACK (section 3.9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeReturn {
    /// Subscribed, with the highest QoS the server will use.
    Granted(QoS),
    /// 0x80: not subscribed.
    Failure,
}

impl SubscribeReturn {
    /// The byte on the wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Granted(qos) => qos.bits(),
            Self::Failure => 0x80,
        }
    }

    fn from_byte(byte: u8) -> Result<Self, Fault> {
        match (byte, QoS::from_bits(byte)) {
            (0x80, _) => Ok(Self::Failure),
            (_, Some(qos)) => Ok(Self::Granted(qos)),
            _ => Err(Fault::ReturnCode(byte)),
        }
    }
}

impl<'a> Subscriptions<'a> {
    pub(crate) const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Iterator for Subscriptions<'a> {
    type Item = Subscription<'a>;

    fn next(&mut self) -> Option<Subscription<'a>> {
        let mut reader = Reader::new(self.0);
        let line = read_subscription(&mut reader).ok();
        self.0 = reader.rest();
        line
    }
}

impl<'a> Filters<'a> {
    /// Checks the list that takes the rest of an UNSUBSCRIBE.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let lines = reader.rest();
        if lines.is_empty() {
            return Err(Fault::Empty("topic filters to end"));
        }
        while !reader.is_empty() {
            read_filter(reader)?;
        }
        Ok(Self(lines))
    }
}

impl<'a> Iterator for Filters<'a> {
    type Item = TopicFilter<'a>;

    fn next(&mut self) -> Option<TopicFilter<'a>> {
        let mut reader = Reader::new(self.0);
        let filter = read_filter(&mut reader).ok();
        self.0 = reader.rest();
        filter
    }
}

impl Iterator for SubscribeReturns<'_> {
    type Item = SubscribeReturn;

    fn next(&mut self) -> Option<SubscribeReturn> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        SubscribeReturn::from_byte(*byte).ok()
    }
}

impl fmt::Debug for Subscriptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

impl fmt::Debug for Filters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

impl fmt::Debug for SubscribeReturns<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

fn read_filter<'a>(reader: &mut Reader<'a>) -> Result<TopicFilter<'a>, Fault> {
    reader.topic_filter("topic filter")
}

fn read_subscription<'a>(reader: &mut Reader<'a>) -> Result<Subscription<'a>, Fault> {
    let filter = read_filter(reader)?;
    let byte = reader.byte("requested QoS")?;
    if byte & 0b1111_1100 != 0 {
        return Err(Fault::ReservedBits(byte));
    }
    let qos = QoS::from_bits(byte).ok_or(Fault::QoS("subscription"))?;
    Ok(Subscription { filter, qos })
}

pub(crate) fn decode_subscribe(mut reader: Reader<'_>) -> Result<SubscribeRequest<'_>, Fault> {
    let id = reader.packet_id()?;
    let lines = reader.rest();
    if lines.is_empty() {
        return Err(Fault::Empty("topic filters"));
    }
    while !reader.is_empty() {
        read_subscription(&mut reader)?;
    }
    Ok(SubscribeRequest {
        id,
        subscriptions: Subscriptions(lines),
    })
}

pub(crate) fn decode_unsubscribe(mut reader: Reader<'_>) -> Result<UnsubscribeRequest<'_>, Fault> {
    let id = reader.packet_id()?;
    let filters = Filters::read(&mut reader)?;
    Ok(UnsubscribeRequest { id, filters })
}

pub(crate) fn decode_answer(mut reader: Reader<'_>) -> Result<SubscribeAnswer<'_>, Fault> {
    let id = reader.packet_id()?;
    let codes = reader.rest();
    if codes.is_empty() {
        return Err(Fault::Empty("return codes"));
    }
    for code in codes {
        SubscribeReturn::from_byte(*code)?;
    }
    Ok(SubscribeAnswer {
        id,
        codes: SubscribeReturns(codes),
    })
}
