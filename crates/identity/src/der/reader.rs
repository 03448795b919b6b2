//! The reader: a position in borrowed bytes that moves element by element. It is the first thing hostile input meets.

use crate::{
    UnixMillis,
    der::{Fault, Oid, Tag},
    limits,
    time::Civil,
};

/// A position in borrowed DER.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

/// One element: its tag, its content, and all of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// The identifier octet.
    pub tag: Tag,
    /// The bytes inside.
    pub content: &'a [u8],
    /// Tag, length and content as they came.
    pub bytes: &'a [u8],
}

/// A bit string: whole bytes, and how many bits of the last one do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitString<'a> {
    /// The bits, first bit highest.
    pub bytes: &'a [u8],
    /// Bits of the last byte that do not count (they are zero).
    pub unused_bits: u8,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Reads `bytes` completely with `read`; what `read` leaves over is a fault.
    pub fn whole<T>(bytes: &'a [u8], read: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut reader = Self::new(bytes);
        let value = read(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }

    /// Whether everything has been read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What has not been read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Ends the reading; anything left over is a fault.
    pub const fn finish(&self) -> Result<(), Fault> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Fault::Trailing)
        }
    }

    /// The tag of the next element, if there is one.
    pub fn peek(&self) -> Option<Tag> {
        self.rest.first().map(|byte| Tag(*byte))
    }

    /// The next element, whatever it is.
    pub fn element(&mut self) -> Result<Element<'a>, Fault> {
        let (tag, length, head) = header(self.rest)?;
        let all = head.checked_add(length).ok_or(Fault::Length)?;
        let (bytes, rest) = self.rest.split_at_checked(all).ok_or(Fault::Truncated)?;
        let content = bytes.get(head..).ok_or(Fault::Truncated)?;
        self.rest = rest;
        Ok(Element { tag, content, bytes })
    }

    /// The next element, which must have this tag.
    pub fn expect(&mut self, wanted: Tag) -> Result<Element<'a>, Fault> {
        match self.peek() {
            Some(found) if found == wanted => self.element(),
            found => Err(Fault::Tag { wanted, found }),
        }
    }

    /// The content of the next element if it has this tag; `None`, and nothing is read, if it has another.
    pub fn optional(&mut self, tag: Tag) -> Result<Option<&'a [u8]>, Fault> {
        if self.peek() == Some(tag) {
            self.element().map(|element| Some(element.content))
        } else {
            Ok(None)
        }
    }

    /// The inside of the next element, which must have this tag, read completely with `read`.
    pub fn inside<T>(
        &mut self,
        tag: Tag,
        read: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        Self::whole(self.expect(tag)?.content, read)
    }

    /// A sequence, read completely with `read`.
    pub fn sequence<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.inside(Tag::SEQUENCE, read)
    }

    /// A boolean: in DER only 00 and FF.
    pub fn boolean(&mut self) -> Result<bool, Fault> {
        match self.expect(Tag::BOOLEAN)?.content {
            [0x00] => Ok(false),
            [0xff] => Ok(true),
            _ => Err(Fault::Content),
        }
    }

    /// An optional boolean whose default is false. A `FALSE` that is written out is not DER, but it is what many tools write.
    pub fn boolean_or_false(&mut self) -> Result<bool, Fault> {
        if self.peek() == Some(Tag::BOOLEAN) {
            self.boolean()
        } else {
            Ok(false)
        }
    }

    /// The content of an integer, which is minimal; its first bit is the sign.
    pub fn integer(&mut self) -> Result<&'a [u8], Fault> {
        let content = self.expect(Tag::INTEGER)?.content;
        match content {
            [] | [0x00, 0x00..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => Err(Fault::Content),
            _ => Ok(content),
        }
    }

    /// The magnitude of an integer that must not be negative, without the sign octet.
    pub fn unsigned(&mut self) -> Result<&'a [u8], Fault> {
        match self.integer()? {
            [0x80..=0xff, ..] => Err(Fault::Content),
            [0x00, magnitude @ ..] if !magnitude.is_empty() => Ok(magnitude),
            content => Ok(content),
        }
    }

    /// A small integer that is not negative.
    pub fn small(&mut self) -> Result<u32, Fault> {
        let magnitude = self.unsigned()?;
        if magnitude.len() > 4 {
            return Err(Fault::Content);
        }
        Ok(magnitude
            .iter()
            .fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    /// An object identifier.
    pub fn oid(&mut self) -> Result<Oid, Fault> {
        let content = self.expect(Tag::OID)?.content;
        if content.len() > limits::OID_BYTES_MAX {
            Err(Fault::Length)
        } else {
            Oid::from_content(content)
        }
    }

    /// A NULL.
    pub fn null(&mut self) -> Result<(), Fault> {
        if self.expect(Tag::NULL)?.content.is_empty() {
            Ok(())
        } else {
            Err(Fault::Content)
        }
    }

    /// An octet string.
    pub fn octets(&mut self) -> Result<&'a [u8], Fault> {
        self.expect(Tag::OCTET_STRING).map(|element| element.content)
    }

    /// A bit string.
    pub fn bits(&mut self) -> Result<BitString<'a>, Fault> {
        let (unused_bits, bytes) = self
            .expect(Tag::BIT_STRING)?
            .content
            .split_first()
            .ok_or(Fault::Content)?;
        let spare = match (*unused_bits, bytes.last()) {
            (0, _) => 0,
            (count @ 1..=7, Some(last)) => last & ((1 << count) - 1),
            _ => return Err(Fault::Content),
        };
        if spare == 0 {
            Ok(BitString {
                bytes,
                unused_bits: *unused_bits,
            })
        } else {
            Err(Fault::Content)
        }
    }

    /// A bit string of whole bytes, as keys and signatures are.
    pub fn whole_bits(&mut self) -> Result<&'a [u8], Fault> {
        let bits = self.bits()?;
        if bits.unused_bits == 0 {
            Ok(bits.bytes)
        } else {
            Err(Fault::Content)
        }
    }

    /// A time: `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` and nothing else (RFC 5280 4.1.2.5).
    pub fn time(&mut self) -> Result<UnixMillis, Fault> {
        let element = self.element()?;
        let (year, rest) = match element.tag {
            Tag::UTC_TIME => {
                let (year, rest) = digits::<2>(element.content)?;
                (if year >= 50 { 1900 + year } else { 2000 + year }, rest)
            }
            Tag::GENERALIZED_TIME => digits::<4>(element.content)?,
            found => {
                return Err(Fault::Tag {
                    wanted: Tag::UTC_TIME,
                    found: Some(found),
                });
            }
        };
        civil(year, rest)
            .and_then(UnixMillis::from_civil)
            .ok_or(Fault::Content)
    }
}

/// Tag, content length and header length of the element that begins here.
fn header(bytes: &[u8]) -> Result<(Tag, usize, usize), Fault> {
    let (tag, rest) = bytes.split_first().ok_or(Fault::Truncated)?;
    if tag & 0x1f == 0x1f {
        return Err(Fault::Content); // a tag of several bytes: no document of ours has one
    }
    let (first, rest) = rest.split_first().ok_or(Fault::Truncated)?;
    let (length, head) = match *first {
        short @ 0..=0x7f => (usize::from(short), 2),
        long @ 0x81..=0x83 => {
            let count = usize::from(long & 0x7f);
            (
                long_length(rest.get(..count).ok_or(Fault::Truncated)?)?,
                2 + count,
            )
        }
        _ => return Err(Fault::Length),
    };
    Ok((Tag(*tag), length, head))
}

/// A length of one to three bytes; minimal, or it is not DER.
fn long_length(bytes: &[u8]) -> Result<usize, Fault> {
    let length = bytes
        .iter()
        .fold(0, |length, byte| length << 8 | usize::from(*byte));
    let shortest = 1_usize << (8 * (bytes.len() - 1));
    if length < shortest.max(0x80) {
        Err(Fault::Length)
    } else {
        Ok(length)
    }
}

/// The first `N` bytes as a decimal number.
fn digits<const N: usize>(bytes: &[u8]) -> Result<(i32, &[u8]), Fault> {
    let (digits, rest) = bytes.split_first_chunk::<N>().ok_or(Fault::Content)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(Fault::Content);
    }
    Ok((
        digits
            .iter()
            .fold(0, |value, digit| value * 10 + i32::from(digit - b'0')),
        rest,
    ))
}

fn civil(year: i32, rest: &[u8]) -> Option<Civil> {
    let mut rest = rest;
    let mut part = || {
        let (value, behind) = digits::<2>(rest).ok()?;
        rest = behind;
        u8::try_from(value).ok()
    };
    let civil = Civil {
        year,
        month: part()?,
        day: part()?,
        hour: part()?,
        minute: part()?,
        second: part()?,
    };
    (rest == b"Z").then_some(civil)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: PartialEq + core::fmt::Debug>(
        read: fn(&mut Reader<'_>) -> Result<T, Fault>,
        accepted: &[(&[u8], T)],
        refused: &[(&[u8], Fault)],
    ) {
        for (bytes, value) in accepted {
            assert_eq!(Reader::whole(bytes, read).as_ref(), Ok(value), "{bytes:02x?}");
        }
        for (bytes, fault) in refused {
            assert_eq!(Reader::whole(bytes, read), Err(*fault), "{bytes:02x?}");
        }
    }

    #[test]
    fn lengths_must_be_definite_and_minimal() {
        let long = [&[0x04, 0x81, 0x80][..], &[7; 128]].concat();
        let longer = [&[0x04, 0x82, 0x01, 0x00][..], &[7; 256]].concat();
        check(
            |reader| reader.octets().map(<[u8]>::len),
            &[
                (&[0x04, 0x00], 0),
                (&[0x04, 0x01, 0xff], 1),
                (&long, 128),
                (&longer, 256),
            ],
            &[
                (
                    &[],
                    Fault::Tag {
                        wanted: Tag::OCTET_STRING,
                        found: None,
                    },
                ),
                (&[0x04], Fault::Truncated),
                (&[0x04, 0x01], Fault::Truncated),
                (&[0x04, 0x80, 0x00, 0x00], Fault::Length),
                (&[0x04, 0x81, 0x01, 0x00], Fault::Length),
                (&[0x04, 0x81, 0x7f], Fault::Length),
                (&[0x04, 0x82, 0x00, 0xff], Fault::Length),
                (&[0x04, 0x84, 0x01, 0x00, 0x00, 0x00], Fault::Length),
                (&[0x04, 0xff], Fault::Length),
                (&[0x04, 0x00, 0x00], Fault::Trailing),
            ],
        );
    }

    #[test]
    fn integers_are_minimal() {
        check(
            |reader| reader.small(),
            &[
                (&[2, 1, 0], 0),
                (&[2, 1, 0x7f], 127),
                (&[2, 2, 0, 0x80], 128),
                (&[2, 5, 0, 255, 255, 255, 255], u32::MAX),
            ],
            &[
                (&[2, 0], Fault::Content),
                (&[2, 2, 0, 0x7f], Fault::Content),
                (&[2, 1, 0x80], Fault::Content),
                (&[2, 2, 0xff, 0x80], Fault::Content),
                (&[2, 5, 1, 0, 0, 0, 0], Fault::Content),
            ],
        );
    }

    #[test]
    fn booleans_and_bits_are_strict() {
        check(
            |reader| reader.boolean(),
            &[(&[1, 1, 0], false), (&[1, 1, 255], true)],
            &[(&[1, 1, 1], Fault::Content)],
        );
        check(
            |reader| reader.bits().map(|bits| (bits.bytes.len(), bits.unused_bits)),
            &[(&[3, 2, 7, 0x80], (1, 7)), (&[3, 1, 0], (0, 0))],
            &[
                (&[3, 2, 8, 0], Fault::Content),
                (&[3, 2, 7, 0x81], Fault::Content),
                (&[3, 1, 1], Fault::Content),
                (&[3, 0], Fault::Content),
            ],
        );
    }

    #[test]
    fn times_are_utc_with_seconds_and_nothing_else() {
        fn element(tag: u8, text: &str) -> Vec<u8> {
            [&[tag, text.len() as u8], text.as_bytes()].concat()
        }
        for (tag, text, printed) in [
            (0x17, "491231235959Z", "2049-12-31T23:59:59.000Z"),
            (0x17, "500101000000Z", "1950-01-01T00:00:00.000Z"),
            (0x18, "20500101000000Z", "2050-01-01T00:00:00.000Z"),
            (0x18, "99991231235959Z", "9999-12-31T23:59:59.000Z"),
        ] {
            let bytes = element(tag, text);
            assert_eq!(
                Reader::whole(&bytes, Reader::time)
                    .map(UnixMillis::to_rfc3339)
                    .as_deref(),
                Ok(printed)
            );
        }
        for (tag, text) in [
            (0x17, "4912312359Z"),
            (0x17, "491231235959+0000"),
            (0x17, "490229000000Z"),
            (0x17, "491231235960Z"),
            (0x17, "20491231235959Z"),
            (0x18, "491231235959Z"),
            (0x18, "20500101000000.5Z"),
            (0x18, "20500101000000"),
            (0x18, "2050010100000-Z"),
            (0x04, "491231235959Z"),
        ] {
            assert!(
                Reader::whole(&element(tag, text), Reader::time).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn tags_of_several_bytes_are_refused() {
        check(
            |reader| reader.element().map(|_| ()),
            &[],
            &[
                (&[0x1f, 0x81, 0x00], Fault::Content),
                (&[0xbf, 0x21, 0x00], Fault::Content),
            ],
        );
    }
}
