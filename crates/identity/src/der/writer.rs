//! The writer: elements appended to a vector. It writes what we issue, so it cannot fail.

use alloc::vec::Vec;

use crate::{
    UnixMillis,
    der::{Oid, Tag},
};

/// DER that grows at its end.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty writer.
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// The DER that `write` writes.
    pub fn build(write: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut writer = Self::new();
        write(&mut writer);
        writer.bytes
    }

    /// What was written so far.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// How many bytes were written so far.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written yet.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends DER that exists already.
    pub fn raw(&mut self, der: &[u8]) {
        self.bytes.extend_from_slice(der);
    }

    /// An element with this content.
    pub fn element(&mut self, tag: Tag, content: &[u8]) {
        self.bytes.push(tag.0);
        push_length(&mut self.bytes, content.len());
        self.raw(content);
    }

    /// An element whose content `write` writes.
    pub fn nested(&mut self, tag: Tag, write: impl FnOnce(&mut Self)) {
        self.bytes.push(tag.0);
        let start = self.bytes.len();
        write(self);
        let end = self.bytes.len();
        push_length(&mut self.bytes, end - start);
        // The length was written behind the content; it belongs before it.
        let head = self.bytes.len() - end;
        if let Some(element) = self.bytes.get_mut(start..) {
            element.rotate_right(head);
        }
    }

    /// A sequence whose content `write` writes.
    pub fn sequence(&mut self, write: impl FnOnce(&mut Self)) {
        self.nested(Tag::SEQUENCE, write);
    }

    /// An object identifier.
    pub fn oid(&mut self, oid: &Oid) {
        self.element(Tag::OID, oid.content());
    }

    /// A boolean.
    pub fn boolean(&mut self, value: bool) {
        self.element(Tag::BOOLEAN, &[if value { 0xff } else { 0x00 }]);
    }

    /// A NULL.
    pub fn null(&mut self) {
        self.element(Tag::NULL, &[]);
    }

    /// The integer with this magnitude: leading zeros go, a sign octet comes if the first bit is set.
    pub fn unsigned(&mut self, magnitude: &[u8]) {
        let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
        let minimal = magnitude.get(zeros..).unwrap_or_default();
        self.nested(Tag::INTEGER, |inner| {
            if minimal.first().is_none_or(|first| first & 0x80 != 0) {
                inner.bytes.push(0);
            }
            inner.raw(minimal);
        });
    }

    /// A bit string of whole bytes.
    pub fn whole_bits(&mut self, bytes: &[u8]) {
        self.nested(Tag::BIT_STRING, |inner| {
            inner.bytes.push(0);
            inner.raw(bytes);
        });
    }

    /// A time, in the form that RFC 5280 4.1.2.5 wants for its year; milliseconds are dropped.
    ///
    /// Years outside of 1950 to 9999 have no such form; callers check with [`writable_time`](Self::writable_time) first.
    pub fn time(&mut self, moment: UnixMillis) {
        let civil = moment.civil();
        let tail = alloc::format!(
            "{:02}{:02}{:02}{:02}{:02}Z",
            civil.month,
            civil.day,
            civil.hour,
            civil.minute,
            civil.second
        );
        if (1950..2050).contains(&civil.year) {
            self.element(
                Tag::UTC_TIME,
                alloc::format!("{:02}{tail}", civil.year % 100).as_bytes(),
            );
        } else {
            self.element(
                Tag::GENERALIZED_TIME,
                alloc::format!("{:04}{tail}", civil.year).as_bytes(),
            );
        }
    }

    /// Whether [`time`](Self::time) has a form for this moment.
    pub fn writable_time(moment: UnixMillis) -> bool {
        (1950..=9999).contains(&moment.civil().year)
    }
}

/// Appends the length octets of a content of this size.
pub(crate) fn push_length(bytes: &mut Vec<u8>, size: usize) {
    match u8::try_from(size) {
        Ok(short @ 0..=0x7f) => bytes.push(short),
        _ => {
            let all = size.to_be_bytes();
            let zeros = size.leading_zeros() as usize / 8;
            let significant = all.get(zeros..).unwrap_or_default();
            bytes.push(0x80 | u8::try_from(significant.len()).unwrap_or_default());
            bytes.extend_from_slice(significant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der::Reader;

    #[test]
    fn what_is_written_reads_back() {
        for size in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let content = alloc::vec![7; size];
            let plain = Writer::build(|writer| writer.element(Tag::OCTET_STRING, &content));
            let nested =
                Writer::build(|writer| writer.nested(Tag::OCTET_STRING, |inner| inner.raw(&content)));
            assert_eq!(plain, nested);
            assert_eq!(Reader::whole(&plain, Reader::octets), Ok(&content[..]));
        }
    }

    #[test]
    fn integers_are_written_minimal() {
        for (magnitude, der) in [
            (&[][..], &[2, 1, 0][..]),
            (&[0, 0], &[2, 1, 0]),
            (&[0, 5], &[2, 1, 5]),
            (&[0x80], &[2, 2, 0, 0x80]),
        ] {
            assert_eq!(Writer::build(|writer| writer.unsigned(magnitude)), der);
        }
    }

    #[test]
    fn times_read_back_in_the_form_of_their_year() {
        for (seconds, tag) in [
            (0, 0x17),
            (2_524_607_999, 0x17),
            (2_524_608_000, 0x18),
            (253_402_300_799, 0x18),
        ] {
            let moment = UnixMillis::from_seconds(seconds);
            let der = Writer::build(|writer| writer.time(moment));
            assert_eq!(der[0], tag);
            assert_eq!(Reader::whole(&der, Reader::time), Ok(moment));
        }
        assert!(!Writer::writable_time(UnixMillis(i64::MIN)) && !Writer::writable_time(UnixMillis(i64::MAX)));
    }
}
