//! What a commit says: what the token is called and who opens it, objects that were put, objects that were destroyed.

use std::borrow::Cow;
use std::boxed::Box;
use std::string::String;
use std::sync::Arc;
use std::vec::Vec;

use super::seal::{ID_BYTES, Id, WRAP_BYTES, Work, Wrap};
use crate::attribute::{Attribute, AttributeKind, Value};
use crate::attributes::Attributes;
use crate::error::Error;
use crate::limits::{ATTRIBUTE_BYTES_MAX, FLASH_OBJECT_BYTES_MAX, LABEL_BYTES_MAX};

const HEADER: u8 = 1;
const PUT: u8 = 2;
const DELETE: u8 = 3;

const FALSE: u8 = 0;
const TRUE: u8 = 1;
const NUMBER: u8 = 2;
const BYTES: u8 = 3;
const NUMBERS: u8 = 4;
const TEMPLATE: u8 = 5;

const DAMAGED: Error = Error::DeviceContent {
    what: "a record of the token's journal makes no sense",
};

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// The token itself.
    Header(Header),
    /// An object, new or changed.
    Put(Id, Stored),
    /// An object that is gone.
    Delete(Id),
}

/// What a token is called and who opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Another one for each file that was written anew.
    pub(super) edition: Id,
    pub(super) token: Id,
    pub(super) label: String,
    /// Nothing of it changes any more.
    pub(super) read_only: bool,
    pub(super) officer: Wrap,
    pub(super) user: Option<Wrap>,
}

/// An object as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) attributes: Arc<Attributes>,
    /// Its secret, sealed; empty if it has none.
    pub(super) sealed: Box<[u8]>,
}

impl Record {
    /// Adds the record to the body of a frame.
    pub(super) fn write(&self, body: &mut Vec<u8>) {
        match self {
            Self::Header(header) => {
                body.push(HEADER);
                header.write(body);
            }
            Self::Put(id, stored) => write_object(id, stored, body),
            Self::Delete(id) => {
                body.push(DELETE);
                body.extend_from_slice(id);
            }
        }
    }
}

/// Adds an object to the body of a frame.
pub(super) fn write_object(id: &Id, stored: &Stored, body: &mut Vec<u8>) {
    body.push(PUT);
    body.extend_from_slice(id);
    // The length is known once the attributes are written.
    let start = body.len();
    body.extend_from_slice(&[0; 4]);
    write_attributes(&stored.attributes, body);
    let length = (body.len() - start - 4) as u32;
    if let Some(place) = body.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    write_long(&stored.sealed, body);
}

/// What is public about an object, as bytes.
pub(super) fn public_bytes(attributes: &Attributes) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_attributes(attributes, &mut bytes);
    bytes
}

/// All records of a frame.
pub(super) fn parse(body: &[u8]) -> Result<Vec<Record>, Error> {
    let (mut reader, mut records) = (Reader(body), Vec::new());
    while !reader.0.is_empty() {
        records.push(match reader.byte()? {
            HEADER => Record::Header(Header::parse(&mut reader)?),
            PUT => Record::Put(reader.array()?, Stored::parse(&mut reader)?),
            DELETE => Record::Delete(reader.array()?),
            _ => return Err(DAMAGED),
        });
    }
    Ok(records)
}

impl Stored {
    /// About how many bytes it takes in a journal.
    pub(super) fn bytes(&self) -> u64 {
        let attributes: usize = self.attributes.iter().map(attribute_bytes).sum();
        (1 + ID_BYTES + 8 + attributes + self.sealed.len()) as u64
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let attributes = read_attributes(&mut Reader(reader.long()?))?;
        Ok(Self {
            attributes: Arc::new(attributes.into_iter().collect()),
            sealed: reader.long()?.into(),
        })
    }
}

impl Header {
    fn write(&self, body: &mut Vec<u8>) {
        body.extend_from_slice(&self.edition);
        body.extend_from_slice(&self.token);
        write_long(self.label.as_bytes(), body);
        body.push(u8::from(self.read_only));
        self.officer.write(body);
        body.push(u8::from(self.user.is_some()));
        if let Some(user) = &self.user {
            user.write(body);
        }
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let (edition, token) = (reader.array()?, reader.array()?);
        let label = core::str::from_utf8(reader.long()?).map_err(|_| DAMAGED)?;
        if label.len() > LABEL_BYTES_MAX {
            return Err(DAMAGED);
        }
        Ok(Self {
            edition,
            token,
            label: label.into(),
            read_only: reader.flag()?,
            officer: Wrap::parse(reader)?,
            user: if reader.flag()? {
                Some(Wrap::parse(reader)?)
            } else {
                None
            },
        })
    }
}

impl Wrap {
    fn write(&self, body: &mut Vec<u8>) {
        body.extend_from_slice(&self.work.kibibytes.to_be_bytes());
        body.extend_from_slice(&self.work.passes.to_be_bytes());
        body.extend_from_slice(&self.salt);
        body.extend_from_slice(&self.sealed);
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let work = Work {
            kibibytes: u32::from_be_bytes(reader.array()?),
            passes: u32::from_be_bytes(reader.array()?),
        };
        if !work.is_bounded() {
            return Err(DAMAGED);
        }
        Ok(Self {
            work,
            salt: reader.array::<ID_BYTES>()?,
            sealed: reader.array::<WRAP_BYTES>()?,
        })
    }
}

fn write_long(bytes: &[u8], body: &mut Vec<u8>) {
    body.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    body.extend_from_slice(bytes);
}

fn write_attributes(attributes: &Attributes, body: &mut Vec<u8>) {
    attributes
        .iter()
        .for_each(|attribute| write_attribute(attribute, body));
}

fn write_attribute(attribute: &Attribute<'_>, body: &mut Vec<u8>) {
    body.extend_from_slice(&(attribute.kind.number() as u32).to_be_bytes());
    match &attribute.value {
        Value::Flag(flag) => body.push(if *flag { TRUE } else { FALSE }),
        Value::Number(number) => {
            body.push(NUMBER);
            body.extend_from_slice(&number.to_be_bytes());
        }
        Value::Bytes(bytes) => {
            body.push(BYTES);
            write_long(bytes, body);
        }
        Value::Numbers(numbers) => {
            body.push(NUMBERS);
            body.extend_from_slice(&(8 * numbers.len() as u32).to_be_bytes());
            numbers
                .iter()
                .for_each(|number| body.extend_from_slice(&number.to_be_bytes()));
        }
        Value::Template(lines) => {
            let mut inner = Vec::new();
            lines.iter().for_each(|line| write_attribute(line, &mut inner));
            body.push(TEMPLATE);
            write_long(&inner, body);
        }
    }
}

fn attribute_bytes(attribute: &Attribute<'_>) -> usize {
    5 + match &attribute.value {
        Value::Flag(_) => 0,
        Value::Number(_) => 8,
        Value::Bytes(bytes) => 4 + bytes.len(),
        Value::Numbers(numbers) => 4 + 8 * numbers.len(),
        Value::Template(lines) => 4 + lines.iter().map(attribute_bytes).sum::<usize>(),
    }
}

fn read_attributes(reader: &mut Reader<'_>) -> Result<Vec<Attribute<'static>>, Error> {
    let mut attributes = Vec::with_capacity(24);
    while !reader.0.is_empty() {
        let attribute = read_attribute(reader, true)?;
        attributes.push(attribute);
    }
    Ok(attributes)
}

/// An array of attributes in an attribute is one level deep.
fn read_attribute(reader: &mut Reader<'_>, may_nest: bool) -> Result<Attribute<'static>, Error> {
    let number = u32::from_be_bytes(reader.array()?);
    let kind = AttributeKind::from_number(number.into()).ok_or(DAMAGED)?;
    let value = match reader.byte()? {
        FALSE => Value::Flag(false),
        TRUE => Value::Flag(true),
        NUMBER => Value::Number(u64::from_be_bytes(reader.array()?)),
        BYTES => Value::from(reader.long()?.to_vec()),
        NUMBERS => Value::Numbers(Cow::Owned(read_numbers(reader.long()?)?)),
        TEMPLATE if may_nest => {
            let mut inner = Reader(reader.long()?);
            let mut lines = Vec::new();
            while !inner.0.is_empty() {
                lines.push(read_attribute(&mut inner, false)?);
            }
            Value::Template(lines)
        }
        _ => return Err(DAMAGED),
    };
    if value.shape() != kind.shape() {
        return Err(DAMAGED);
    }
    Ok(Attribute::new(kind, value))
}

fn read_numbers(bytes: &[u8]) -> Result<Vec<u64>, Error> {
    let (numbers, rest) = bytes.as_chunks::<8>();
    if rest.is_empty() {
        Ok(numbers.iter().map(|number| u64::from_be_bytes(*number)).collect())
    } else {
        Err(DAMAGED)
    }
}

/// Whether an object can be kept.
pub(super) fn check_lengths(attributes: &Attributes, secret: usize) -> Result<(), Error> {
    let whole = secret + attributes.iter().map(attribute_bytes).sum::<usize>();
    if whole > FLASH_OBJECT_BYTES_MAX {
        return Err(Error::DataLengthRange { found: whole });
    }
    for attribute in attributes.iter() {
        let length = attribute.value.as_bytes().map_or(0, <[u8]>::len);
        if length > ATTRIBUTE_BYTES_MAX {
            return Err(Error::AttributeValueInvalid {
                kind: attribute.kind,
                why: "it is too long",
            });
        }
    }
    Ok(())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, Error> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Result<bool, Error> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DAMAGED),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (first, rest) = self.0.split_first_chunk().ok_or(DAMAGED)?;
        self.0 = rest;
        Ok(*first)
    }

    /// Bytes with their length before them.
    fn long(&mut self) -> Result<&'a [u8], Error> {
        let length = u32::from_be_bytes(self.array()?) as usize;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(DAMAGED)?;
        self.0 = rest;
        Ok(bytes)
    }
}
