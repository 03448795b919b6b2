//! The tagged fields of a command: tag, two bytes of length, value.
//!
//! Any order is taken; a field that is there twice, cut short or unknown to the command refuses the whole command.

use crate::code::Code;
use crate::limits::FIELDS_MAX;

/// The fields that have not been asked for yet.
pub(super) struct Fields<'a> {
    fields: [Option<(u8, &'a [u8])>; FIELDS_MAX],
}

impl<'a> Fields<'a> {
    pub(super) fn parse(mut data: &'a [u8]) -> Result<Self, Code> {
        let mut fields = [None; FIELDS_MAX];
        let mut places = fields.iter_mut();
        while let [tag, high, low, rest @ ..] = data {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let (value, rest) = rest.split_at_checked(length).ok_or(Code::InvalidField)?;
            *places.next().ok_or(Code::InvalidField)? = Some((*tag, value));
            data = rest;
        }
        if data.is_empty() {
            Ok(Self { fields })
        } else {
            Err(Code::InvalidField)
        }
    }

    /// The field with this tag, if there is one.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let place = self
            .fields
            .iter_mut()
            .find(|field| field.is_some_and(|(found, _)| found == tag))?;
        place.take().map(|(_, value)| value)
    }

    /// The first field whose tag the caller knows.
    pub(super) fn take_any(&mut self, knows: impl Fn(u8) -> bool) -> Option<(u8, &'a [u8])> {
        self.fields
            .iter_mut()
            .find(|field| field.is_some_and(|(tag, _)| knows(tag)))?
            .take()
    }

    pub(super) fn require(&mut self, tag: u8) -> Result<&'a [u8], Code> {
        self.take(tag).ok_or(Code::InvalidField)
    }

    /// A field of two bytes.
    pub(super) fn require_u16(&mut self, tag: u8) -> Result<u16, Code> {
        u16_of(self.require(tag)?)
    }

    /// A field of one byte.
    pub(super) fn require_u8(&mut self, tag: u8) -> Result<u8, Code> {
        match self.require(tag)? {
            [byte] => Ok(*byte),
            _ => Err(Code::InvalidField),
        }
    }

    /// Nothing may be left.
    pub(super) fn finish(self) -> Result<(), Code> {
        if self.fields.iter().all(Option::is_none) {
            Ok(())
        } else {
            Err(Code::InvalidField)
        }
    }
}

pub(super) fn u16_of(value: &[u8]) -> Result<u16, Code> {
    let bytes = <[u8; 2]>::try_from(value).map_err(|_| Code::InvalidField)?;
    Ok(u16::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_in_any_order_and_only_once() {
        let mut fields = Fields::parse(&[2, 0, 1, 9, 1, 0, 2, 0xE0, 0xF1]).unwrap();
        assert_eq!(fields.require_u16(1), Ok(0xE0F1));
        assert_eq!(fields.require_u16(1), Err(Code::InvalidField));
        assert_eq!(fields.require_u8(2), Ok(9));
        assert_eq!(fields.finish(), Ok(()));

        let refused: [&[u8]; 5] = [
            &[1],
            &[1, 0],
            &[1, 0, 1],
            &[1, 0, 0, 2, 0],
            &[1, 0, 0, 2, 0, 0, 3, 0, 0, 4, 0, 0, 5, 0, 0, 6, 0, 0, 7, 0, 0],
        ];
        for data in refused {
            assert!(Fields::parse(data).is_err(), "{data:02X?}");
        }
        let mut twice = Fields::parse(&[1, 0, 0, 1, 0, 0]).unwrap();
        assert_eq!(twice.take(1), Some(&[][..]));
        assert_eq!(twice.finish(), Err(Code::InvalidField));
        let mut wrong_length = Fields::parse(&[1, 0, 1, 5, 2, 0, 2, 0, 0]).unwrap();
        assert_eq!(wrong_length.require_u16(1), Err(Code::InvalidField));
        assert_eq!(wrong_length.require_u8(2), Err(Code::InvalidField));
    }
}
