//! A cursor over the fields of one packet. It borrows, it never copies, and it cannot run past the end.

use crate::fault::Fault;
use crate::packet::PacketId;
use crate::topic::{TopicError, TopicFilter, TopicName};
use crate::v5::Flaw;

#[derive(Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Everything that is left; then there is nothing left.
    pub(crate) fn take_rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self, what: &'static str) -> Result<u8, Fault> {
        let (byte, rest) = self.rest.split_first().ok_or(Fault::Truncated(what))?;
        self.rest = rest;
        Ok(*byte)
    }

    pub(crate) fn two_bytes(&mut self, what: &'static str) -> Result<u16, Fault> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Fault::Truncated(what))?;
        self.rest = rest;
        Ok(u16::from_be_bytes(*bytes))
    }

    pub(crate) fn four_bytes(&mut self, what: &'static str) -> Result<u32, Fault> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Fault::Truncated(what))?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*bytes))
    }

    /// A variable byte integer of MQTT 5.0, as short as its value allows (MQTT 5.0 section 1.5.5).
    pub(crate) fn variable(&mut self, what: &'static str) -> Result<u32, Fault> {
        let mut value = 0;
        for index in 0..4 {
            let byte = self.byte(what)?;
            value |= u32::from(byte & 0x7f) << (7 * index);
            match byte {
                0 if index > 0 => break,
                0..=0x7f => return Ok(value),
                _ => {}
            }
        }
        Err(Fault::V5(Flaw::VariableByteInteger(what)))
    }

    /// As many bytes as the variable byte integer before them says.
    pub(crate) fn counted(&mut self, what: &'static str) -> Result<&'a [u8], Fault> {
        let length = self.variable(what)? as usize;
        let (bytes, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Fault::Truncated("properties"))?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Binary with a two-byte length before it (section 1.5.3 without the UTF-8).
    pub(crate) fn binary(&mut self, what: &'static str) -> Result<&'a [u8], Fault> {
        let length = usize::from(self.two_bytes(what)?);
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Fault::Truncated(what))?;
        self.rest = rest;
        Ok(bytes)
    }

    /// A UTF-8 encoded string (section 1.5.3): well formed, without U+0000. Surrogates are not well formed in UTF-8.
    pub(crate) fn string(&mut self, what: &'static str) -> Result<&'a str, Fault> {
        let text = self.text(what)?;
        if text.contains('\0') {
            Err(Fault::NullCharacter(what))
        } else {
            Ok(text)
        }
    }

    /// A string that is a topic name.
    pub(crate) fn topic_name(&mut self, what: &'static str) -> Result<TopicName<'a>, Fault> {
        TopicName::new(self.text(what)?).map_err(|error| match error {
            TopicError::NullCharacter => Fault::NullCharacter(what),
            error => Fault::TopicName(error),
        })
    }

    /// A string that is a topic filter.
    pub(crate) fn topic_filter(&mut self, what: &'static str) -> Result<TopicFilter<'a>, Fault> {
        TopicFilter::new(self.text(what)?).map_err(|error| match error {
            TopicError::NullCharacter => Fault::NullCharacter(what),
            error => Fault::TopicFilter(error),
        })
    }

    fn text(&mut self, what: &'static str) -> Result<&'a str, Fault> {
        core::str::from_utf8(self.binary(what)?).map_err(|_| Fault::Utf8(what))
    }

    /// A packet identifier, which is never 0 (`[MQTT-2.3.1-1]`).
    pub(crate) fn packet_id(&mut self) -> Result<PacketId, Fault> {
        PacketId::new(self.two_bytes("packet identifier")?).ok_or(Fault::PacketIdZero)
    }

    /// The packet must end here.
    pub(crate) fn end(&self) -> Result<(), Fault> {
        match self.rest.len() {
            0 => Ok(()),
            bytes => Err(Fault::Trailing(bytes)),
        }
    }
}
