//! Strict DER (ITU-T X.690), as much of it as certificates need: a reader that only borrows, and a small writer.
//!
//! Every document from outside passes through the reader first. It refuses indefinite and padded lengths, tags of more than
//! one byte, padded integers and everything that is left over; it allocates nothing and recurses nowhere.

mod oid;
mod reader;
mod writer;

use core::fmt;

pub use oid::Oid;
pub use reader::{BitString, Element, Reader};
pub use writer::Writer;
#[cfg(feature = "aws-lc")]
pub(crate) use writer::push_length;

/// The identifier octet of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u8);

#[expect(missing_docs, reason = "the names are those of X.680")]
impl Tag {
    pub const BOOLEAN: Self = Self(0x01);
    pub const INTEGER: Self = Self(0x02);
    pub const BIT_STRING: Self = Self(0x03);
    pub const OCTET_STRING: Self = Self(0x04);
    pub const NULL: Self = Self(0x05);
    pub const OID: Self = Self(0x06);
    pub const UTF8_STRING: Self = Self(0x0c);
    pub const NUMERIC_STRING: Self = Self(0x12);
    pub const PRINTABLE_STRING: Self = Self(0x13);
    pub const T61_STRING: Self = Self(0x14);
    pub const IA5_STRING: Self = Self(0x16);
    pub const UTC_TIME: Self = Self(0x17);
    pub const GENERALIZED_TIME: Self = Self(0x18);
    pub const VISIBLE_STRING: Self = Self(0x1a);
    pub const UNIVERSAL_STRING: Self = Self(0x1c);
    pub const BMP_STRING: Self = Self(0x1e);
    pub const SEQUENCE: Self = Self(0x30);
    pub const SET: Self = Self(0x31);

    /// The context-specific tag `[number]` of a primitive element; `number` is below 31.
    pub const fn context(number: u8) -> Self {
        Self(0x80 | number)
    }

    /// The context-specific tag `[number]` of an element that holds others; `number` is below 31.
    pub const fn context_constructed(number: u8) -> Self {
        Self(0xa0 | number)
    }
}

/// Why the bytes are not the DER that was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The input ends inside an element.
    Truncated,
    /// Another element stands where this one was wanted.
    Tag {
        /// What was wanted.
        wanted: Tag,
        /// What stands there; `None` at the end of the input.
        found: Option<Tag>,
    },
    /// The length is indefinite, padded or too large.
    Length,
    /// Bytes are left over behind the last element.
    Trailing,
    /// The content is not a strict encoding of its type.
    Content,
    /// Something occurs twice that may occur once.
    Duplicate,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the input ends inside an element"),
            Self::Tag {
                wanted,
                found: Some(found),
            } => write!(f, "tag {:#04x} found, {:#04x} wanted", found.0, wanted.0),
            Self::Tag { wanted, found: None } => {
                write!(f, "the input ends where tag {:#04x} is wanted", wanted.0)
            }
            Self::Length => f.write_str("a length is indefinite, padded or too large"),
            Self::Trailing => f.write_str("bytes are left over behind the last element"),
            Self::Content => f.write_str("the content is not a strict encoding of its type"),
            Self::Duplicate => f.write_str("something occurs twice that may occur once"),
        }
    }
}

impl core::error::Error for Fault {}

impl Fault {
    /// This fault as an error that names the document and field.
    pub fn within(self, what: &'static str) -> crate::Error {
        crate::Error::Malformed { what, cause: self }
    }
}
