//! Distinguished names (X.501; RFC 5280 4.1.2.4): whose certificate it is, and who issued it.
//!
//! A name read from outside keeps its exact bytes, because two names are the same only if their bytes are. The values are
//! decoded for people and policies; a byte that its string type does not allow becomes U+FFFD, never an error.

use alloc::{boxed::Box, format, string::String, vec::Vec};
use core::fmt;

use crate::{
    Error,
    der::{Element, Fault, Oid, Reader, Tag, Writer},
    limits,
};

/// Which attribute of a name a value is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of X.520")]
pub enum AttributeKind {
    CommonName,
    Country,
    Organization,
    OrganizationalUnit,
    State,
    Locality,
    SerialNumber,
    DnQualifier,
    Title,
    Surname,
    GivenName,
    Initials,
    Pseudonym,
    GenerationQualifier,
    Other(Oid),
}

/// Kind, last arc under 2.5.4, and the short name in text.
const KINDS: [(AttributeKind, &[u8], &str); 14] = [
    (AttributeKind::CommonName, &[0x55, 0x04, 3], "CN"),
    (AttributeKind::Surname, &[0x55, 0x04, 4], "SN"),
    (AttributeKind::SerialNumber, &[0x55, 0x04, 5], "serialNumber"),
    (AttributeKind::Country, &[0x55, 0x04, 6], "C"),
    (AttributeKind::Locality, &[0x55, 0x04, 7], "L"),
    (AttributeKind::State, &[0x55, 0x04, 8], "ST"),
    (AttributeKind::Organization, &[0x55, 0x04, 10], "O"),
    (AttributeKind::OrganizationalUnit, &[0x55, 0x04, 11], "OU"),
    (AttributeKind::Title, &[0x55, 0x04, 12], "title"),
    (AttributeKind::GivenName, &[0x55, 0x04, 42], "GN"),
    (AttributeKind::Initials, &[0x55, 0x04, 43], "initials"),
    (
        AttributeKind::GenerationQualifier,
        &[0x55, 0x04, 44],
        "generationQualifier",
    ),
    (AttributeKind::DnQualifier, &[0x55, 0x04, 46], "dnQualifier"),
    (AttributeKind::Pseudonym, &[0x55, 0x04, 65], "pseudonym"),
];

impl AttributeKind {
    fn of(oid: Oid) -> Self {
        let known = KINDS.iter().find(|(_, content, _)| oid.content() == *content);
        known.map_or_else(|| Self::Other(oid), |(kind, ..)| kind.clone())
    }

    fn oid(&self) -> Oid {
        match self {
            Self::Other(oid) => oid.clone(),
            known => {
                let entry = KINDS.iter().find(|(kind, ..)| kind == known);
                entry.map_or(const { Oid::from_static(&[0]) }, |(_, content, _)| {
                    Oid::from_static(content)
                })
            }
        }
    }

    /// Attributes that X.520 restricts to a PrintableString.
    const fn is_printable_only(&self) -> bool {
        matches!(self, Self::Country | Self::SerialNumber | Self::DnQualifier)
    }
}

impl fmt::Display for AttributeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match KINDS.iter().find(|(kind, ..)| kind == self) {
            Some((.., short)) => f.write_str(short),
            None => write!(f, "{}", self.oid()),
        }
    }
}

/// A distinguished name.
#[derive(Clone)]
pub struct Name {
    der: Box<[u8]>,
    attributes: Box<[(AttributeKind, String)]>,
    /// Bit n: attribute n stands in the same relative name as attribute n - 1.
    joined: u64,
}

impl Name {
    /// Reads a Name.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let malformed = |fault: Fault| fault.within("distinguished name");
        let (attributes, joined) = Reader::whole(der, read_attributes).map_err(malformed)?;
        Ok(Self {
            der: der.into(),
            attributes: attributes.into(),
            joined,
        })
    }

    /// Builds a name from its values, one relative name each, in the order given.
    pub fn build(attributes: &[(AttributeKind, &str)]) -> Result<Self, Error> {
        if attributes.len() > limits::NAME_ATTRIBUTES_MAX {
            let (found, limit) = (attributes.len(), limits::NAME_ATTRIBUTES_MAX);
            return Err(Error::TooLarge {
                what: "attributes of a distinguished name",
                found,
                limit,
            });
        }
        attributes
            .iter()
            .try_for_each(|(kind, value)| check_value(kind, value))?;
        let der = Writer::build(|writer| {
            writer.sequence(|name| {
                for (kind, value) in attributes {
                    write_attribute(name, kind, value);
                }
            });
        });
        let attributes = attributes
            .iter()
            .map(|(kind, value)| (kind.clone(), (*value).into()))
            .collect();
        Ok(Self {
            der: der.into(),
            attributes,
            joined: 0,
        })
    }

    /// The name that has a common name and nothing else.
    pub fn with_common_name(common_name: &str) -> Result<Self, Error> {
        Self::build(&[(AttributeKind::CommonName, common_name)])
    }

    /// All values with their kinds, in the order of the encoding.
    pub fn attributes(&self) -> &[(AttributeKind, String)] {
        &self.attributes
    }

    /// The first value of this kind.
    pub fn first(&self, kind: &AttributeKind) -> Option<&str> {
        self.all(kind).next()
    }

    /// Every value of this kind, in the order of the encoding.
    pub fn all(&self, kind: &AttributeKind) -> impl Iterator<Item = &str> {
        self.attributes
            .iter()
            .filter(move |(found, _)| found == kind)
            .map(|(_, value)| value.as_str())
    }

    /// The first common name.
    pub fn common_name(&self) -> Option<&str> {
        self.first(&AttributeKind::CommonName)
    }

    /// Whether the name has no attribute at all, as some chips' stock certificates have it.
    pub const fn is_empty(&self) -> bool {
        self.attributes.is_empty()
    }

    /// The exact bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Name {}

impl core::hash::Hash for Name {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.der.hash(state);
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

/// The text form of RFC 4514: last relative name first. Values of kinds without a short name are written as text, too.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut end = self.attributes.len();
        for start in (0..self.attributes.len()).rev() {
            if self.joined >> start & 1 == 1 {
                continue;
            }
            let separator = if end == self.attributes.len() { "" } else { "," };
            f.write_str(separator)?;
            for (index, (kind, value)) in self
                .attributes
                .get(start..end)
                .unwrap_or_default()
                .iter()
                .enumerate()
            {
                write!(
                    f,
                    "{}{kind}={}",
                    if index == 0 { "" } else { "+" },
                    Escaped(value)
                )?;
            }
            end = start;
        }
        Ok(())
    }
}

/// A value with the characters escaped that RFC 4514 2.4 names, and every control character besides.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.0.len().saturating_sub(1);
        for (at, character) in self.0.char_indices() {
            match character {
                '"' | '+' | ',' | ';' | '<' | '>' | '\\' => write!(f, "\\{character}")?,
                ' ' | '#' if at == 0 => write!(f, "\\{character}")?,
                ' ' if at == last => f.write_str("\\ ")?,
                _ if character.is_control() => {
                    let mut room = [0; 4];
                    character
                        .encode_utf8(&mut room)
                        .bytes()
                        .try_for_each(|byte| write!(f, "\\{byte:02X}"))?;
                }
                _ => write!(f, "{character}")?,
            }
        }
        Ok(())
    }
}

type Attributes = (Vec<(AttributeKind, String)>, u64);

fn read_attributes(reader: &mut Reader<'_>) -> Result<Attributes, Fault> {
    reader.sequence(|name| {
        let mut attributes = Vec::with_capacity(4);
        let mut joined = 0;
        while !name.is_empty() {
            name.inside(Tag::SET, |set| {
                let start = attributes.len();
                while !set.is_empty() {
                    if attributes.len() == limits::NAME_ATTRIBUTES_MAX {
                        return Err(Fault::Length);
                    }
                    joined |= u64::from(attributes.len() > start) << attributes.len();
                    attributes.push(set.sequence(read_attribute)?);
                }
                if attributes.len() == start {
                    Err(Fault::Content)
                } else {
                    Ok(())
                }
            })?;
        }
        Ok((attributes, joined))
    })
}

fn read_attribute(reader: &mut Reader<'_>) -> Result<(AttributeKind, String), Fault> {
    let kind = AttributeKind::of(reader.oid()?);
    Ok((kind, decode(&reader.element()?)))
}

/// The value as text. Anything that is not a string is written as `#` and its DER in hexadecimal (RFC 4514 2.4).
fn decode(value: &Element<'_>) -> String {
    match value.tag {
        Tag::UTF8_STRING
        | Tag::PRINTABLE_STRING
        | Tag::IA5_STRING
        | Tag::VISIBLE_STRING
        | Tag::NUMERIC_STRING => String::from_utf8_lossy(value.content).into_owned(),
        // T.61 is read as Latin-1: that is what those who still write it mean.
        Tag::T61_STRING => value.content.iter().map(|byte| char::from(*byte)).collect(),
        Tag::BMP_STRING => {
            let (pairs, rest) = value.content.as_chunks::<2>();
            let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
            let text = char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER));
            text.chain((!rest.is_empty()).then_some(char::REPLACEMENT_CHARACTER))
                .collect()
        }
        Tag::UNIVERSAL_STRING => {
            let (quads, rest) = value.content.as_chunks::<4>();
            let points = quads.iter().map(|quad| char::from_u32(u32::from_be_bytes(*quad)));
            let text = points.map(|point| point.unwrap_or(char::REPLACEMENT_CHARACTER));
            text.chain((!rest.is_empty()).then_some(char::REPLACEMENT_CHARACTER))
                .collect()
        }
        _ => value
            .bytes
            .iter()
            .fold(String::from("#"), |text, byte| text + &format!("{byte:02x}")),
    }
}

fn check_value(kind: &AttributeKind, value: &str) -> Result<(), Error> {
    let characters = value.chars().count();
    if characters > limits::NAME_VALUE_CHARACTERS_MAX {
        let limit = limits::NAME_VALUE_CHARACTERS_MAX;
        return Err(Error::TooLarge {
            what: "value in a distinguished name",
            found: characters,
            limit,
        });
    }
    let allowed = if value.is_empty() || value.chars().any(char::is_control) {
        "a value has at least one character and no control characters"
    } else if *kind == AttributeKind::Country && characters != 2 {
        "a country has two letters"
    } else if kind.is_printable_only() && !is_printable(value) {
        "country, serialNumber and dnQualifier hold letters, digits and ' ( ) + , - . / : = ? only"
    } else {
        return Ok(());
    };
    Err(Error::OutOfRange {
        what: "value in a distinguished name",
        allowed,
    })
}

/// The repertoire of PrintableString (X.680 41.4).
fn is_printable(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte))
}

fn write_attribute(name: &mut Writer, kind: &AttributeKind, value: &str) {
    let tag = if kind.is_printable_only() {
        Tag::PRINTABLE_STRING
    } else {
        Tag::UTF8_STRING
    };
    name.nested(Tag::SET, |set| {
        set.sequence(|attribute| {
            attribute.oid(&kind.oid());
            attribute.element(tag, value.as_bytes());
        });
    });
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString, vec};

    use super::*;

    fn value(tag: u8, content: &[u8]) -> String {
        let bytes = Writer::build(|writer| writer.element(Tag(tag), content));
        decode(&Reader::new(&bytes).element().unwrap())
    }

    #[test]
    fn built_names_read_back_equal() {
        let name = Name::build(&[
            (AttributeKind::Country, "DE"),
            (AttributeKind::Organization, "Bäcker & Söhne"),
            (AttributeKind::OrganizationalUnit, "a"),
            (AttributeKind::OrganizationalUnit, "b"),
            (AttributeKind::CommonName, "bm-000001"),
        ])
        .unwrap();
        let again = Name::from_der(name.der()).unwrap();
        assert_eq!(again, name);
        assert_eq!(again.attributes(), name.attributes());
        assert_eq!(again.common_name(), Some("bm-000001"));
        assert_eq!(again.first(&AttributeKind::OrganizationalUnit), Some("a"));
        assert_eq!(
            again.all(&AttributeKind::OrganizationalUnit).collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert_eq!(again.to_string(), "CN=bm-000001,OU=b,OU=a,O=Bäcker & Söhne,C=DE");
    }

    #[test]
    fn every_string_type_is_decoded() {
        for (tag, content, text) in [
            (0x0c, "ä".as_bytes(), "ä"),
            (0x0c, &[b'a', 0xff, b'b'], "a\u{fffd}b"),
            (0x13, b"x", "x"),
            (0x16, b"x@y", "x@y"),
            (0x14, &[b'M', 0xfc], "Mü"),
            (0x1e, &[0x00, b'A', 0x20, 0xac], "A€"),
            (0x1e, &[0xd8, 0x00, 0x00, b'A', 0x00], "\u{fffd}A\u{fffd}"),
            (0x1c, &[0, 1, 0xf6, 0x00], "😀"),
            (0x1c, &[0xff, 0, 0, 0, 1], "\u{fffd}\u{fffd}"),
            (0x03, &[0, 1], "#03020001"),
        ] {
            assert_eq!(value(tag, content), text);
        }
    }

    #[test]
    fn multi_valued_relative_names_stay_together_in_text() {
        let der = Writer::build(|writer| {
            writer.sequence(|name| {
                write_attribute(name, &AttributeKind::Country, "DE");
                name.nested(Tag::SET, |set| {
                    for (kind, text) in [
                        (AttributeKind::CommonName, "a,b"),
                        (AttributeKind::SerialNumber, "7"),
                    ] {
                        set.sequence(|attribute| {
                            attribute.oid(&kind.oid());
                            attribute.element(Tag::PRINTABLE_STRING, text.as_bytes());
                        });
                    }
                });
            });
        });
        assert_eq!(
            Name::from_der(&der).unwrap().to_string(),
            "CN=a\\,b+serialNumber=7,C=DE"
        );
    }

    #[test]
    fn text_is_escaped() {
        let escaped = |text| Escaped(text).to_string();
        assert_eq!(escaped(" #a "), "\\ #a\\ ");
        assert_eq!(escaped("#"), "\\#");
        assert_eq!(escaped("a\u{1b}[2J\u{85}"), "a\\1B[2J\\C2\\85");
        assert_eq!(escaped("<\\>"), "\\<\\\\\\>");
    }

    #[test]
    fn values_that_cannot_be_written_are_refused() {
        for (kind, text) in [
            (AttributeKind::CommonName, ""),
            (AttributeKind::CommonName, "a\n"),
            (AttributeKind::CommonName, &"x".repeat(257)),
            (AttributeKind::Country, "DEU"),
            (AttributeKind::Country, "Dü"),
            (AttributeKind::SerialNumber, "a*b"),
        ] {
            assert!(Name::build(&[(kind, text)]).is_err(), "{text}");
        }
        assert!(Name::with_common_name(&"x".repeat(256)).is_ok());
    }

    #[test]
    fn attributes_are_counted_and_empty_sets_refused() {
        let many = vec![(AttributeKind::CommonName, "x"); 64];
        let most = Name::build(&many).unwrap();
        assert_eq!(Name::from_der(most.der()).unwrap().attributes().len(), 64);
        let der = Writer::build(|writer| {
            writer.sequence(|name| {
                (0..65).for_each(|_| write_attribute(name, &AttributeKind::CommonName, "x"))
            });
        });
        assert!(Name::from_der(&der).is_err());
        assert!(Name::build(&vec![(AttributeKind::CommonName, "x"); 65]).is_err());
        assert!(Name::from_der(&[0x30, 0x02, 0x31, 0x00]).is_err());
        assert!(Name::from_der(&[0x30, 0x00]).unwrap().is_empty());
    }
}
