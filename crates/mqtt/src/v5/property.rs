//! Properties (section 2.2.2): what each may be, in which packet, how often, checked once while decoding and then read from
//! the packet's own bytes.

use alloc::vec::Vec;
use core::fmt;
use core::num::{NonZeroU16, NonZeroU32};

use crate::encode::{Unencodable, field, field_length};
use crate::fault::Fault;
use crate::reader::Reader;
use crate::topic::TopicName;

use super::flaw::Flaw;

/// One property (table 2-4).
#[derive(Clone, Copy, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the names are the standard's own, table 2-4; units and types say the rest"
)]
pub enum Property<'a> {
    PayloadIsText(bool),
    MessageExpirySeconds(u32),
    ContentType(&'a str),
    ResponseTopic(TopicName<'a>),
    CorrelationData(&'a [u8]),
    SubscriptionIdentifier(NonZeroU32),
    SessionExpirySeconds(u32),
    AssignedClientIdentifier(&'a str),
    ServerKeepAliveSeconds(u16),
    AuthenticationMethod(&'a str),
    /// Never printed.
    AuthenticationData(&'a [u8]),
    RequestProblemInformation(bool),
    WillDelaySeconds(u32),
    RequestResponseInformation(bool),
    ResponseInformation(&'a str),
    ServerReference(&'a str),
    ReasonString(&'a str),
    ReceiveMaximum(NonZeroU16),
    TopicAliasMaximum(u16),
    TopicAlias(NonZeroU16),
    /// QoS 1 when set, else QoS 0.
    MaximumQoSIs1(bool),
    RetainAvailable(bool),
    UserProperty(&'a str, &'a str),
    MaximumPacketBytes(NonZeroU32),
    WildcardSubscriptionAvailable(bool),
    SubscriptionIdentifiersAvailable(bool),
    SharedSubscriptionAvailable(bool),
}

/// Which part of which packet the properties are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the packets")]
pub enum Place {
    Connect,
    Will,
    ConnectAnswer,
    Publish,
    /// PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK.
    Acknowledgement,
    Subscribe,
    Unsubscribe,
    Disconnect,
    Authenticate,
}

impl Place {
    /// Table 2-4, last column, as identifiers.
    const fn holds(self, id: u8) -> bool {
        match self {
            Self::Connect => matches!(id, 0x11 | 0x15 | 0x16 | 0x17 | 0x19 | 0x21 | 0x22 | 0x26 | 0x27),
            Self::Will => matches!(id, 0x01 | 0x02 | 0x03 | 0x08 | 0x09 | 0x18 | 0x26),
            Self::ConnectAnswer => {
                matches!(
                    id,
                    0x11 | 0x12 | 0x13 | 0x15 | 0x16 | 0x1a | 0x1c | 0x1f | 0x21 | 0x22 | 0x24..=0x2a
                )
            }
            Self::Publish => matches!(id, 0x01 | 0x02 | 0x03 | 0x08 | 0x09 | 0x0b | 0x23 | 0x26),
            Self::Acknowledgement => matches!(id, 0x1f | 0x26),
            Self::Subscribe => matches!(id, 0x0b | 0x26),
            Self::Unsubscribe => id == 0x26,
            Self::Disconnect => matches!(id, 0x11 | 0x1c | 0x1f | 0x26),
            Self::Authenticate => matches!(id, 0x15 | 0x16 | 0x1f | 0x26),
        }
    }

    /// User properties may come again everywhere, a message may match several subscriptions with identifiers.
    const fn repeats(self, id: u8) -> bool {
        id == 0x26 || (id == 0x0b && matches!(self, Self::Publish))
    }
}

/// The properties of one packet, in order: an iterator over the bytes they are on the wire, without the length before them.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Properties<'a>(&'a [u8]);

impl<'a> Properties<'a> {
    /// None.
    pub const NONE: Self = Self(&[]);

    /// Bytes that [`Properties::append`] wrote, or that were properties of this place before.
    ///
    /// # Errors
    /// [`Fault`] when they are not properties that this place may have.
    pub fn new(bytes: &'a [u8], place: Place) -> Result<Self, Fault> {
        let mut seen = 0_u64;
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let id = read_id(&mut reader)?;
            if !place.holds(id) {
                return Err(Fault::V5(Flaw::PropertyMisplaced(id)));
            }
            let bit = 1 << id;
            if seen & bit != 0 && !place.repeats(id) {
                return Err(Fault::V5(Flaw::PropertyTwice(id)));
            }
            seen |= bit;
            read_value(id, &mut reader)?;
        }
        // Section 3.1.2.11.10: authentication data needs a method.
        if seen & (1 << 0x16) != 0 && seen & (1 << 0x15) == 0 {
            return Err(Fault::V5(Flaw::AuthenticationMethodMissing));
        }
        Ok(Self(bytes))
    }

    /// The length and what follows it.
    pub(crate) fn read(reader: &mut Reader<'a>, place: Place) -> Result<Self, Fault> {
        Self::new(reader.counted("property length")?, place)
    }

    /// Appends one property to bytes that become [`Properties`].
    ///
    /// # Errors
    /// [`Unencodable::FieldTooLong`]; `out` is then unchanged.
    pub fn append(out: &mut Vec<u8>, property: Property<'_>) -> Result<(), Unencodable> {
        property.append(out)
    }

    /// As they are on the wire.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// There is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> Iterator for Properties<'a> {
    type Item = Property<'a>;

    fn next(&mut self) -> Option<Property<'a>> {
        if self.0.is_empty() {
            return None;
        }
        let mut reader = Reader::new(self.0);
        let property = read_id(&mut reader).and_then(|id| read_value(id, &mut reader));
        self.0 = reader.rest();
        property.ok()
    }
}

fn read_id(reader: &mut Reader<'_>) -> Result<u8, Fault> {
    let id = reader.variable("property identifier")?;
    match u8::try_from(id) {
        Ok(
            id @ (0x01..=0x03 | 0x08 | 0x09 | 0x0b | 0x11..=0x13 | 0x15..=0x1a | 0x1c | 0x1f | 0x21..=0x2a),
        ) => Ok(id),
        _ => Err(Fault::V5(Flaw::PropertyUnknown(id))),
    }
}

fn read_value<'a>(id: u8, reader: &mut Reader<'a>) -> Result<Property<'a>, Fault> {
    use Property as P;
    const WHAT: &str = "property";
    let bad = Fault::V5(Flaw::PropertyValue(id));
    let flag = |reader: &mut Reader<'a>| match reader.byte(WHAT)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(bad),
    };
    let not_zero = |value: u16| NonZeroU16::new(value).ok_or(bad);
    Ok(match id {
        0x01 => P::PayloadIsText(flag(reader)?),
        0x02 => P::MessageExpirySeconds(reader.four_bytes(WHAT)?),
        0x03 => P::ContentType(reader.string("content type")?),
        0x08 => P::ResponseTopic(response_topic(reader)?),
        0x09 => P::CorrelationData(reader.binary("correlation data")?),
        0x0b => P::SubscriptionIdentifier(NonZeroU32::new(reader.variable(WHAT)?).ok_or(bad)?),
        0x11 => P::SessionExpirySeconds(reader.four_bytes(WHAT)?),
        0x12 => P::AssignedClientIdentifier(reader.string("assigned client identifier")?),
        0x13 => P::ServerKeepAliveSeconds(reader.two_bytes(WHAT)?),
        0x15 => P::AuthenticationMethod(reader.string("authentication method")?),
        0x16 => P::AuthenticationData(reader.binary("authentication data")?),
        0x17 => P::RequestProblemInformation(flag(reader)?),
        0x18 => P::WillDelaySeconds(reader.four_bytes(WHAT)?),
        0x19 => P::RequestResponseInformation(flag(reader)?),
        0x1a => P::ResponseInformation(reader.string("response information")?),
        0x1c => P::ServerReference(reader.string("server reference")?),
        0x1f => P::ReasonString(reader.string("reason string")?),
        0x21 => P::ReceiveMaximum(not_zero(reader.two_bytes(WHAT)?)?),
        0x22 => P::TopicAliasMaximum(reader.two_bytes(WHAT)?),
        0x23 => P::TopicAlias(not_zero(reader.two_bytes(WHAT)?)?),
        0x24 => P::MaximumQoSIs1(flag(reader)?),
        0x25 => P::RetainAvailable(flag(reader)?),
        0x26 => P::UserProperty(
            reader.string("user property name")?,
            reader.string("user property value")?,
        ),
        0x27 => P::MaximumPacketBytes(NonZeroU32::new(reader.four_bytes(WHAT)?).ok_or(bad)?),
        0x28 => P::WildcardSubscriptionAvailable(flag(reader)?),
        0x29 => P::SubscriptionIdentifiersAvailable(flag(reader)?),
        0x2a => P::SharedSubscriptionAvailable(flag(reader)?),
        _ => return Err(Fault::V5(Flaw::PropertyUnknown(u32::from(id)))),
    })
}

/// `[MQTT-3.3.2-13]`, `[MQTT-3.3.2-14]`: a string without wildcards.
fn response_topic<'a>(reader: &mut Reader<'a>) -> Result<TopicName<'a>, Fault> {
    TopicName::new(reader.string("response topic")?).map_err(|_| Fault::V5(Flaw::PropertyValue(0x08)))
}

impl Property<'_> {
    /// Its identifier (table 2-4).
    #[must_use]
    pub const fn id(&self) -> u8 {
        match self {
            Self::PayloadIsText(_) => 0x01,
            Self::MessageExpirySeconds(_) => 0x02,
            Self::ContentType(_) => 0x03,
            Self::ResponseTopic(_) => 0x08,
            Self::CorrelationData(_) => 0x09,
            Self::SubscriptionIdentifier(_) => 0x0b,
            Self::SessionExpirySeconds(_) => 0x11,
            Self::AssignedClientIdentifier(_) => 0x12,
            Self::ServerKeepAliveSeconds(_) => 0x13,
            Self::AuthenticationMethod(_) => 0x15,
            Self::AuthenticationData(_) => 0x16,
            Self::RequestProblemInformation(_) => 0x17,
            Self::WillDelaySeconds(_) => 0x18,
            Self::RequestResponseInformation(_) => 0x19,
            Self::ResponseInformation(_) => 0x1a,
            Self::ServerReference(_) => 0x1c,
            Self::ReasonString(_) => 0x1f,
            Self::ReceiveMaximum(_) => 0x21,
            Self::TopicAliasMaximum(_) => 0x22,
            Self::TopicAlias(_) => 0x23,
            Self::MaximumQoSIs1(_) => 0x24,
            Self::RetainAvailable(_) => 0x25,
            Self::UserProperty(..) => 0x26,
            Self::MaximumPacketBytes(_) => 0x27,
            Self::WildcardSubscriptionAvailable(_) => 0x28,
            Self::SubscriptionIdentifiersAvailable(_) => 0x29,
            Self::SharedSubscriptionAvailable(_) => 0x2a,
        }
    }

    fn append(self, out: &mut Vec<u8>) -> Result<(), Unencodable> {
        let mut put = |bytes: &[u8]| {
            out.push(self.id());
            out.extend_from_slice(bytes);
        };
        match self {
            Self::PayloadIsText(flag)
            | Self::RequestProblemInformation(flag)
            | Self::RequestResponseInformation(flag)
            | Self::MaximumQoSIs1(flag)
            | Self::RetainAvailable(flag)
            | Self::WildcardSubscriptionAvailable(flag)
            | Self::SubscriptionIdentifiersAvailable(flag)
            | Self::SharedSubscriptionAvailable(flag) => put(&[u8::from(flag)]),
            Self::ServerKeepAliveSeconds(value) | Self::TopicAliasMaximum(value) => put(&value.to_be_bytes()),
            Self::ReceiveMaximum(value) | Self::TopicAlias(value) => put(&value.get().to_be_bytes()),
            Self::MessageExpirySeconds(value)
            | Self::SessionExpirySeconds(value)
            | Self::WillDelaySeconds(value) => put(&value.to_be_bytes()),
            Self::MaximumPacketBytes(value) => put(&value.get().to_be_bytes()),
            Self::SubscriptionIdentifier(value) => {
                put(&[]);
                super::encode::variable(out, value.get() as usize);
            }
            Self::ContentType(text)
            | Self::AssignedClientIdentifier(text)
            | Self::AuthenticationMethod(text)
            | Self::ResponseInformation(text)
            | Self::ServerReference(text)
            | Self::ReasonString(text) => return self.fields(out, [text.as_bytes()]),
            Self::ResponseTopic(topic) => return self.fields(out, [topic.as_str().as_bytes()]),
            Self::CorrelationData(bytes) | Self::AuthenticationData(bytes) => {
                return self.fields(out, [bytes]);
            }
            Self::UserProperty(name, value) => return self.fields(out, [name.as_bytes(), value.as_bytes()]),
        }
        Ok(())
    }

    fn fields<const N: usize>(self, out: &mut Vec<u8>, fields: [&[u8]; N]) -> Result<(), Unencodable> {
        for bytes in fields {
            field_length("property", bytes)?;
        }
        out.push(self.id());
        fields.into_iter().for_each(|bytes| field(out, bytes));
        Ok(())
    }
}

impl fmt::Debug for Property<'_> {
    /// Name and value; of secrets and of what only the ends understand, the name alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AuthenticationData(_) => f.write_str("AuthenticationData(not shown)"),
            Self::CorrelationData(bytes) => write!(f, "CorrelationData({} bytes)", bytes.len()),
            Self::UserProperty(name, value) => write!(f, "UserProperty({name:?}, {value:?})"),
            Self::ContentType(text)
            | Self::AssignedClientIdentifier(text)
            | Self::AuthenticationMethod(text)
            | Self::ResponseInformation(text)
            | Self::ServerReference(text)
            | Self::ReasonString(text) => write!(f, "{:#04x}({text:?})", self.id()),
            Self::ResponseTopic(topic) => write!(f, "ResponseTopic({topic})"),
            other => {
                let mut bytes = Vec::new();
                let _fits = other.append(&mut bytes);
                write!(f, "{bytes:02x?}")
            }
        }
    }
}

impl fmt::Debug for Properties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}
