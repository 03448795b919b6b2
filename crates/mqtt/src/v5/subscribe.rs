//! SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK (sections 3.8 to 3.11).

use core::fmt;

use crate::fault::Fault;
use crate::frame::PacketType;
use crate::packet::{PacketId, QoS};
use crate::reader::Reader;
use crate::subscribe::Filters;
use crate::topic::TopicFilter;

use super::flaw::Flaw;
use super::property::{Place, Properties};
use super::reason::Reason;

/// A request to receive what matches any of some filters (section 3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeRequest<'a> {
    /// To be named in the SUBACK.
    pub id: PacketId,
    /// Perhaps an identifier for the subscriptions.
    pub properties: Properties<'a>,
    /// At least one (`[MQTT-3.8.3-2]`).
    pub subscriptions: Subscriptions<'a>,
}

/// A request to end some subscriptions (section 3.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsubscribeRequest<'a> {
    /// To be named in the UNSUBACK.
    pub id: PacketId,
    /// User properties.
    pub properties: Properties<'a>,
    /// At least one (`[MQTT-3.10.3-2]`).
    pub filters: Filters<'a>,
}

/// One line of a SUBSCRIBE (section 3.8.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// What to match.
    pub filter: TopicFilter<'a>,
    /// The highest QoS the client wants.
    pub qos: QoS,
    /// Not what the client itself publishes.
    pub no_local: bool,
    /// Messages keep the RETAIN flag they were published with.
    pub retain_as_published: bool,
    /// Whether what is kept on the topics comes at once.
    pub retain_handling: RetainHandling,
}

/// When a subscription brings retained messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetainHandling {
    /// 0: with each SUBSCRIBE.
    #[default]
    Send,
    /// 1: only if the subscription is new.
    SendIfNew,
    /// 2: never.
    DoNotSend,
}

impl<'a> From<crate::SubscribeRequest<'a>> for SubscribeRequest<'a> {
    fn from(request: crate::SubscribeRequest<'a>) -> Self {
        Self {
            id: request.id,
            properties: Properties::NONE,
            // A requested QoS of 3.1.1 is the options byte with nothing but the QoS in it.
            subscriptions: Subscriptions(request.subscriptions.as_bytes()),
        }
    }
}

impl<'a> From<crate::UnsubscribeRequest<'a>> for UnsubscribeRequest<'a> {
    fn from(request: crate::UnsubscribeRequest<'a>) -> Self {
        Self {
            id: request.id,
            properties: Properties::NONE,
            filters: request.filters,
        }
    }
}

impl Subscription<'_> {
    /// The byte of subscription options.
    pub(crate) const fn options(&self) -> u8 {
        self.qos.bits()
            | (self.no_local as u8) << 2
            | (self.retain_as_published as u8) << 3
            | (self.retain_handling as u8) << 4
    }
}

/// The lines of a SUBSCRIBE, in order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Subscriptions<'a>(&'a [u8]);

impl<'a> Iterator for Subscriptions<'a> {
    type Item = Subscription<'a>;

    fn next(&mut self) -> Option<Subscription<'a>> {
        let mut reader = Reader::new(self.0);
        let line = read_subscription(&mut reader).ok();
        self.0 = reader.rest();
        line
    }
}

impl fmt::Debug for Subscriptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

/// SUBACK or UNSUBACK (sections 3.9, 3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The request it answers.
    pub id: PacketId,
    /// More about it.
    pub properties: Properties<'a>,
    /// One reason per filter, in the same order.
    pub reasons: Reasons<'a>,
}

/// The reasons of a SUBACK or UNSUBACK, in order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Reasons<'a>(&'a [u8]);

impl Iterator for Reasons<'_> {
    type Item = Reason;

    fn next(&mut self) -> Option<Reason> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Reason::from_byte(*byte)
    }
}

impl fmt::Debug for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

fn read_subscription<'a>(reader: &mut Reader<'a>) -> Result<Subscription<'a>, Fault> {
    let filter = reader.topic_filter("topic filter")?;
    let options = reader.byte("subscription options")?;
    if options & 0b1100_0000 != 0 {
        return Err(Fault::ReservedBits(options));
    }
    let retain_handling = match options >> 4 {
        0 => RetainHandling::Send,
        1 => RetainHandling::SendIfNew,
        2 => RetainHandling::DoNotSend,
        _ => return Err(Fault::V5(Flaw::RetainHandling)),
    };
    let no_local = options & 0b0100 != 0;
    if no_local && filter.as_str().starts_with("$share/") {
        return Err(Fault::V5(Flaw::NoLocalShared));
    }
    Ok(Subscription {
        filter,
        qos: QoS::from_bits(options & 0b11).ok_or(Fault::QoS("subscription"))?,
        no_local,
        retain_as_published: options & 0b1000 != 0,
        retain_handling,
    })
}

impl<'a> SubscribeRequest<'a> {
    pub(crate) fn decode(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let id = reader.packet_id()?;
        let properties = Properties::read(reader, Place::Subscribe)?;
        let lines = reader.rest();
        if lines.is_empty() {
            return Err(Fault::Empty("topic filters"));
        }
        while !reader.is_empty() {
            read_subscription(reader)?;
        }
        Ok(Self {
            id,
            properties,
            subscriptions: Subscriptions(lines),
        })
    }
}

impl<'a> UnsubscribeRequest<'a> {
    pub(crate) fn decode(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let id = reader.packet_id()?;
        let properties = Properties::read(reader, Place::Unsubscribe)?;
        let filters = Filters::read(reader)?;
        Ok(Self {
            id,
            properties,
            filters,
        })
    }
}

impl<'a> Answer<'a> {
    pub(crate) fn decode(kind: PacketType, reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let id = reader.packet_id()?;
        let properties = Properties::read(reader, Place::Acknowledgement)?;
        let reasons = reader.take_rest();
        if reasons.is_empty() {
            return Err(Fault::Empty("reason codes"));
        }
        for byte in reasons {
            Reason::of(kind, *byte)?;
        }
        Ok(Self {
            id,
            properties,
            reasons: Reasons(reasons),
        })
    }
}
