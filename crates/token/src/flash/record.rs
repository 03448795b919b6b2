//! What a frame says: the token's header, objects that were put, objects that were destroyed. Each record has a public part and
//! a sealed one; the seal covers both, and everything before them in the file.

use std::string::String;
use std::vec::Vec;

use super::journal::Chain;
use super::seal::{ID_BYTES, Id, WRAP_BYTES, Wrap};
use crate::attribute::{Attribute, AttributeKind, Shape, Value};
use crate::attributes::Attributes;
use crate::error::Error;

const HEADER: u8 = 1;
const PUT: u8 = 2;
const DELETE: u8 = 3;

const DAMAGED: Error = Error::DeviceContent {
    what: "a record of the token's journal makes no sense",
};

/// What is public in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// The token itself.
    Header(Header),
    /// An object.
    Put { id: Id, attributes: Attributes },
    /// An object that is gone.
    Delete { id: Id },
}

/// What a token is called and who opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) token: Id,
    pub(super) label: String,
    pub(super) officer: Wrap,
    pub(super) user: Option<Wrap>,
}

/// A record with its seal, as it stands in the file.
pub(super) struct Sealed {
    pub(super) record: Record,
    /// Everything that the seal is bound to.
    pub(super) context: Vec<u8>,
    pub(super) sealed: Vec<u8>,
}

impl Record {
    /// Whose key seals it: the object's, or the token's own.
    pub(super) const fn id(&self) -> Id {
        match self {
            Self::Header(_) => [0; ID_BYTES],
            Self::Put { id, .. } | Self::Delete { id } => *id,
        }
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Header(_) => HEADER,
            Self::Put { .. } => PUT,
            Self::Delete { .. } => DELETE,
        }
    }

    fn public(&self) -> Vec<u8> {
        match self {
            Self::Header(header) => header.bytes(),
            Self::Put { id, attributes } => [&id[..], &encoded(attributes)].concat(),
            Self::Delete { id } => id.to_vec(),
        }
    }

    /// What the seal of this record is bound to, as number `index` of a frame.
    pub(super) fn context(&self, before: &Chain, token: &Id, index: u8) -> Vec<u8> {
        [&before[..], token, &[index, self.kind()], &self.public()].concat()
    }

    /// Adds the record to a frame's body.
    pub(super) fn write(&self, sealed: &[u8], body: &mut Vec<u8>) {
        let public = self.public();
        body.push(self.kind());
        for part in [&public[..], sealed] {
            body.extend_from_slice(&(part.len() as u32).to_be_bytes());
            body.extend_from_slice(part);
        }
    }
}

/// All records of a frame.
pub(super) fn parse(body: &[u8], before: &Chain, token: Option<&Id>) -> Result<Vec<Sealed>, Error> {
    let (mut reader, mut records) = (Reader(body), Vec::new());
    let mut token = token.copied();
    while !reader.0.is_empty() {
        let kind = reader.byte()?;
        let (public, sealed) = (reader.long()?, reader.long()?);
        let record = parse_one(kind, public)?;
        if let Record::Header(header) = &record {
            // A token keeps its name; the first header gives it.
            if *token.get_or_insert(header.token) != header.token {
                return Err(DAMAGED);
            }
        }
        let index = u8::try_from(records.len()).map_err(|_| DAMAGED)?;
        let context = record.context(before, &token.ok_or(DAMAGED)?, index);
        records.push(Sealed {
            record,
            context,
            sealed: sealed.to_vec(),
        });
    }
    Ok(records)
}

fn parse_one(kind: u8, public: &[u8]) -> Result<Record, Error> {
    let mut reader = Reader(public);
    let record = match kind {
        HEADER => Record::Header(Header::parse(&mut reader)?),
        PUT => Record::Put {
            id: reader.array()?,
            attributes: decoded(&mut reader)?,
        },
        DELETE => Record::Delete { id: reader.array()? },
        _ => return Err(DAMAGED),
    };
    if reader.0.is_empty() {
        Ok(record)
    } else {
        Err(DAMAGED)
    }
}

impl Header {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.token.to_vec();
        bytes.extend_from_slice(&(self.label.len() as u32).to_be_bytes());
        bytes.extend_from_slice(self.label.as_bytes());
        bytes.push(u8::from(self.user.is_some()));
        for wrap in [Some(&self.officer), self.user.as_ref()].into_iter().flatten() {
            bytes.extend_from_slice(&wrap.salt);
            bytes.extend_from_slice(&wrap.sealed);
        }
        bytes
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let token = reader.array()?;
        let label = core::str::from_utf8(reader.long()?).map_err(|_| DAMAGED)?.into();
        let has_user = match reader.byte()? {
            0 => false,
            1 => true,
            _ => return Err(DAMAGED),
        };
        Ok(Self {
            token,
            label,
            officer: reader.wrap()?,
            user: if has_user { Some(reader.wrap()?) } else { None },
        })
    }
}

fn encoded(attributes: &Attributes) -> Vec<u8> {
    let mut bytes = Vec::new();
    attributes
        .iter()
        .for_each(|attribute| encode(attribute, &mut bytes));
    bytes
}

fn encode(Attribute { kind, value }: &Attribute<'_>, bytes: &mut Vec<u8>) {
    let value = match value {
        Value::Flag(flag) => [u8::from(*flag)].to_vec(),
        Value::Number(number) => number.to_be_bytes().to_vec(),
        Value::Bytes(bytes) => bytes.to_vec(),
        Value::Numbers(numbers) => numbers.iter().copied().flat_map(u64::to_be_bytes).collect(),
        Value::Template(lines) => {
            let mut inner = Vec::new();
            lines.iter().for_each(|line| encode(line, &mut inner));
            inner
        }
    };
    bytes.extend_from_slice(&kind.number().to_be_bytes());
    bytes.extend_from_slice(&(value.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&value);
}

fn decoded(reader: &mut Reader<'_>) -> Result<Attributes, Error> {
    Ok(lines(reader, false)?.into_iter().collect())
}

/// Attributes one after another; templates are not in templates.
fn lines(reader: &mut Reader<'_>, inner: bool) -> Result<Vec<Attribute<'static>>, Error> {
    let mut lines_read = Vec::new();
    while !reader.0.is_empty() {
        let kind = AttributeKind::from_number(u64::from_be_bytes(reader.array()?)).ok_or(DAMAGED)?;
        let bytes = reader.long()?;
        let value = match (kind.shape(), bytes) {
            (Shape::Flag, [0]) => Value::Flag(false),
            (Shape::Flag, [1]) => Value::Flag(true),
            (Shape::Number, bytes) => {
                Value::Number(u64::from_be_bytes(bytes.try_into().map_err(|_| DAMAGED)?))
            }
            (Shape::Bytes, bytes) => Value::from(bytes.to_vec()),
            (Shape::Numbers, bytes) => Value::Numbers(numbers(bytes)?.into()),
            (Shape::Template, bytes) if !inner => Value::Template(lines(&mut Reader(bytes), true)?),
            (Shape::Flag | Shape::Template, _) => return Err(DAMAGED),
        };
        lines_read.push(Attribute { kind, value });
    }
    Ok(lines_read)
}

fn numbers(bytes: &[u8]) -> Result<Vec<u64>, Error> {
    let (numbers, []) = bytes.as_chunks::<8>() else {
        return Err(DAMAGED);
    };
    Ok(numbers.iter().copied().map(u64::from_be_bytes).collect())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, Error> {
        self.array::<1>().map(|[byte]| byte)
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

    fn wrap(&mut self) -> Result<Wrap, Error> {
        Ok(Wrap {
            salt: self.array()?,
            sealed: self.array::<WRAP_BYTES>()?,
        })
    }
}
