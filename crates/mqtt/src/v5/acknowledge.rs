//! PUBACK, PUBREC, PUBREL, PUBCOMP (sections 3.4 to 3.7), DISCONNECT and AUTH (sections 3.14, 3.15): a reason and properties,
//! of which those that say nothing are left out.

use crate::fault::Fault;
use crate::frame::PacketType;
use crate::packet::PacketId;
use crate::reader::Reader;

use super::flaw::Flaw;
use super::property::{Place, Properties, Property};
use super::reason::Reason;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement<'a> {
    /// Which message.
    pub id: PacketId,
    /// Success, or why not.
    pub reason: Reason,
    /// More about it.
    pub properties: Properties<'a>,
}

/// DISCONNECT or AUTH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing<'a> {
    /// Why, or how the authentication goes on.
    pub reason: Reason,
    /// More about it.
    pub properties: Properties<'a>,
}

impl From<PacketId> for Acknowledgement<'_> {
    fn from(id: PacketId) -> Self {
        Self {
            id,
            reason: Reason::Success,
            properties: Properties::NONE,
        }
    }
}

impl From<Reason> for Closing<'_> {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            properties: Properties::NONE,
        }
    }
}

impl<'a> Acknowledgement<'a> {
    pub(crate) fn decode(kind: PacketType, reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let id = reader.packet_id()?;
        let (reason, properties) = read_tail(kind, Place::Acknowledgement, reader)?;
        Ok(Self {
            id,
            reason,
            properties,
        })
    }
}

impl<'a> Closing<'a> {
    pub(crate) fn decode(kind: PacketType, reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let place = match kind {
            PacketType::Auth => Place::Authenticate,
            _ => Place::Disconnect,
        };
        let said_nothing = reader.is_empty();
        let (reason, properties) = read_tail(kind, place, reader)?;
        let mut listed = properties;
        let has_method = listed.any(|property| matches!(property, Property::AuthenticationMethod(_)));
        // Section 3.15.2.2.2; with remaining length 0 everything may be left out (section 3.15.2.1).
        if kind == PacketType::Auth && !said_nothing && !has_method {
            return Err(Fault::V5(Flaw::AuthenticationMethodMissing));
        }
        Ok(Self { reason, properties })
    }
}

/// Nothing at all is success without properties, a reason alone has no properties (sections 3.4.2.1, 3.14.2.1).
fn read_tail<'a>(
    kind: PacketType,
    place: Place,
    reader: &mut Reader<'a>,
) -> Result<(Reason, Properties<'a>), Fault> {
    if reader.is_empty() {
        return Ok((Reason::Success, Properties::NONE));
    }
    let reason = Reason::of(kind, reader.byte("reason code")?)?;
    if reader.is_empty() {
        return Ok((reason, Properties::NONE));
    }
    Ok((reason, Properties::read(reader, place)?))
}
