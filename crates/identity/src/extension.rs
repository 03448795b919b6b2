//! The extensions of a certificate (RFC 5280 4.2) that anybody here asks about; the rest is kept and not judged, critical or
//! not, because the cloud that we are faithful to does not judge them either.

use alloc::{string::String, vec::Vec};
use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::{
    der::{Fault, Oid, Reader, Tag},
    limits,
    name::Name,
};

pub(crate) const SUBJECT_KEY_ID: Oid = Oid::from_static(&[0x55, 0x1d, 14]);
pub(crate) const KEY_USAGE: Oid = Oid::from_static(&[0x55, 0x1d, 15]);
pub(crate) const SUBJECT_ALTERNATIVE_NAME: Oid = Oid::from_static(&[0x55, 0x1d, 17]);
pub(crate) const BASIC_CONSTRAINTS: Oid = Oid::from_static(&[0x55, 0x1d, 19]);
pub(crate) const AUTHORITY_KEY_ID: Oid = Oid::from_static(&[0x55, 0x1d, 35]);
pub(crate) const EXTENDED_KEY_USAGE: Oid = Oid::from_static(&[0x55, 0x1d, 37]);
/// The purpose of a TLS server (RFC 5280 4.2.1.12).
pub const SERVER_AUTH: Oid = Oid::from_static(&[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 1]);
/// The purpose of a TLS client (RFC 5280 4.2.1.12).
pub const CLIENT_AUTH: Oid = Oid::from_static(&[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 2]);

/// Marks what was made with a simulated chip, for ever; its value is the UTF8String [`SIMULATED_WORD`].
///
/// 1.2.840.113556.1.8000.2554.50883.47520.24334.18999.40750.867355.8017105: the UUID
/// c6c3b9a0-5f0e-4a37-9f2e-0d3c1b7a54d1, split into small arcs under the prefix that Microsoft gives away for this (OIDGen).
/// The single 128-bit arc of 2.25 (ITU-T X.667) would be shorter, but several readers of certificates keep an arc in 32 bits
/// and then refuse the whole certificate.
pub const SIMULATED: Oid = Oid::from_static(&[
    0x2a, 0x86, 0x48, 0x86, 0xf7, 0x14, 0x01, 0xbe, 0x40, 0x93, 0x7a, 0x83, 0x8d, 0x43, 0x82, 0xf3, 0x20,
    0x81, 0xbe, 0x0e, 0x81, 0x94, 0x37, 0x82, 0xbe, 0x2e, 0xb4, 0xf8, 0x1b, 0x83, 0xe9, 0xa9, 0x51,
]);
/// The word inside that extension, for people who look at a certificate with their own tools.
pub const SIMULATED_WORD: &str = "SIMULATED";

/// One extension as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Content bytes of its object identifier.
    pub oid: &'a [u8],
    /// Whether a relying party that does not know it must refuse the certificate.
    pub critical: bool,
    /// Its DER value.
    pub value: &'a [u8],
}

impl<'a> Extension<'a> {
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        reader.sequence(|extension| {
            let oid = extension.expect(Tag::OID)?.content;
            if oid.len() > limits::OID_BYTES_MAX {
                return Err(Fault::Length);
            }
            Oid::from_content(oid)?;
            Ok(Self {
                oid,
                critical: extension.boolean_or_false()?,
                value: extension.octets()?,
            })
        })
    }
}

/// Whether the subject is a CA, and how many CAs may stand below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicConstraints {
    /// The subject is a CA.
    pub ca: bool,
    /// CAs that may follow it in a chain.
    pub path_len: Option<u32>,
}

impl BasicConstraints {
    pub(crate) fn read(value: &[u8]) -> Result<Self, Fault> {
        Reader::whole(value, |reader| {
            reader.sequence(|constraints| {
                let ca = constraints.boolean_or_false()?;
                let path_len = if constraints.is_empty() {
                    None
                } else {
                    Some(constraints.small()?)
                };
                Ok(Self { ca, path_len })
            })
        })
    }
}

/// What the key may be used for (RFC 5280 4.2.1.3). Bit 0 of the RFC is the lowest bit here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyUsage(pub u16);

#[expect(missing_docs, reason = "the names are those of RFC 5280 4.2.1.3")]
impl KeyUsage {
    pub const DIGITAL_SIGNATURE: Self = Self(1);
    pub const NON_REPUDIATION: Self = Self(1 << 1);
    pub const KEY_ENCIPHERMENT: Self = Self(1 << 2);
    pub const DATA_ENCIPHERMENT: Self = Self(1 << 3);
    pub const KEY_AGREEMENT: Self = Self(1 << 4);
    pub const KEY_CERT_SIGN: Self = Self(1 << 5);
    pub const CRL_SIGN: Self = Self(1 << 6);
    pub const ENCIPHER_ONLY: Self = Self(1 << 7);
    pub const DECIPHER_ONLY: Self = Self(1 << 8);

    /// Whether every use in `wanted` is allowed.
    pub const fn contains(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// Both sets together.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn read(value: &[u8]) -> Result<Self, Fault> {
        let bits = Reader::whole(value, Reader::bits)?;
        match bits.bytes {
            [] => Ok(Self(0)),
            [first] => Ok(Self(u16::from(first.reverse_bits()))),
            [first, second] => Ok(Self(
                u16::from(first.reverse_bits()) | u16::from(second.reverse_bits()) << 8,
            )),
            _ => Err(Fault::Content),
        }
    }

    /// The extension's value: a bit string without trailing zero bits (X.690 11.2.2).
    #[cfg(feature = "aws-lc")]
    pub(crate) fn value(self) -> Vec<u8> {
        let [low, high] = self.0.to_le_bytes().map(u8::reverse_bits);
        let last = if high == 0 { low } else { high };
        let unused = u8::try_from(last.trailing_zeros().min(7)).unwrap_or_default();
        if high == 0 {
            alloc::vec![3, 2, unused, low]
        } else {
            alloc::vec![3, 3, unused, low, high]
        }
    }
}

impl fmt::Debug for KeyUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyUsage({:#011b})", self.0)
    }
}

/// The purposes that a certificate is limited to (RFC 5280 4.2.1.12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendedKeyUsage(Vec<Oid>);

impl ExtendedKeyUsage {
    /// All purposes, in the order of the encoding.
    pub fn purposes(&self) -> &[Oid] {
        &self.0
    }

    /// Whether this purpose is listed.
    pub fn contains(&self, purpose: &Oid) -> bool {
        self.0.contains(purpose)
    }

    /// Whether a TLS client may use it.
    pub fn client_auth(&self) -> bool {
        self.contains(&CLIENT_AUTH)
    }

    /// Whether a TLS server may use it.
    pub fn server_auth(&self) -> bool {
        self.contains(&SERVER_AUTH)
    }

    pub(crate) fn read(value: &[u8]) -> Result<Self, Fault> {
        Reader::whole(value, |reader| {
            reader.sequence(|list| {
                let mut purposes = Vec::new();
                while !list.is_empty() {
                    if purposes.len() == limits::KEY_PURPOSES_MAX {
                        return Err(Fault::Length);
                    }
                    purposes.push(list.oid()?);
                }
                if purposes.is_empty() {
                    Err(Fault::Content)
                } else {
                    Ok(Self(purposes))
                }
            })
        })
    }
}

/// Another name of the subject (RFC 5280 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlternativeName {
    /// `rfc822Name`.
    Email(String),
    /// `dNSName`.
    Dns(String),
    /// `directoryName`.
    Directory(Name),
    /// `uniformResourceIdentifier`.
    Uri(String),
    /// `iPAddress`.
    Ip(IpAddr),
    /// Any other form, not looked into: the number of its tag.
    Other(u8),
}

impl AlternativeName {
    pub(crate) fn read_all(value: &[u8]) -> Result<Vec<Self>, Fault> {
        Reader::whole(value, |reader| {
            reader.sequence(|list| {
                let mut names = Vec::new();
                while !list.is_empty() {
                    if names.len() == limits::ALTERNATIVE_NAMES_MAX {
                        return Err(Fault::Length);
                    }
                    names.push(Self::read(list)?);
                }
                Ok(names)
            })
        })
    }

    fn read(list: &mut Reader<'_>) -> Result<Self, Fault> {
        let element = list.element()?;
        let text = || {
            let text = core::str::from_utf8(element.content)
                .ok()
                .filter(|text| text.is_ascii());
            text.map(String::from).ok_or(Fault::Content)
        };
        match element.tag {
            Tag(0x81) => text().map(Self::Email),
            Tag(0x82) => text().map(Self::Dns),
            Tag(0x86) => text().map(Self::Uri),
            Tag(0x87) => ip_address(element.content).map(Self::Ip).ok_or(Fault::Content),
            Tag(0xa4) => Name::from_der(element.content)
                .map(Self::Directory)
                .map_err(|_| Fault::Content),
            Tag(0xa0 | 0xa3 | 0xa5 | 0x88) => Ok(Self::Other(element.tag.0 & 0x1f)),
            _ => Err(Fault::Content),
        }
    }
}

fn ip_address(content: &[u8]) -> Option<IpAddr> {
    match content.len() {
        4 => <[u8; 4]>::try_from(content)
            .ok()
            .map(|bytes| Ipv4Addr::from(bytes).into()),
        16 => <[u8; 16]>::try_from(content)
            .ok()
            .map(|bytes| Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

/// The key identifier of an authority key identifier, if it has one (RFC 5280 4.2.1.1).
pub(crate) fn read_authority_key_id(value: &[u8]) -> Result<Option<&[u8]>, Fault> {
    Reader::whole(value, |reader| {
        reader.sequence(|authority| {
            let key_id = authority.optional(Tag::context(0))?;
            authority.optional(Tag::context_constructed(1))?;
            authority.optional(Tag::context(2))?;
            Ok(key_id)
        })
    })
}

/// Whether the value is the word that marks simulated chips; another value under our identifier is a fault.
pub(crate) fn read_simulated(value: &[u8]) -> Result<(), Fault> {
    let word = Reader::whole(value, |reader| reader.expect(Tag::UTF8_STRING))?.content;
    if word == SIMULATED_WORD.as_bytes() {
        Ok(())
    } else {
        Err(Fault::Content)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn key_usages_read_back() {
        for bits in 1..512 {
            let usage = KeyUsage(bits);
            assert_eq!(KeyUsage::read(&usage.value()), Ok(usage), "{bits:#b}");
        }
        assert_eq!(KeyUsage::DIGITAL_SIGNATURE.value(), [3, 2, 7, 0x80]);
        let signing = KeyUsage::KEY_CERT_SIGN.and(KeyUsage::CRL_SIGN);
        assert_eq!(signing.value(), [3, 2, 1, 0x06]);
        assert!(signing.contains(KeyUsage::CRL_SIGN) && !signing.contains(KeyUsage::DIGITAL_SIGNATURE));
        assert_eq!(KeyUsage::read(&[3, 4, 0, 1, 1, 1]), Err(Fault::Content));
    }

    #[test]
    fn the_simulated_identifier_is_the_uuid_it_says() {
        let uuid = [0xc6c3, 0xb9a0, 0x5f0e, 0x4a37, 0x9f2e, 0x0d_3c1b, 0x7a_54d1];
        let arcs = uuid
            .iter()
            .fold(String::new(), |text, arc| text + "." + &arc.to_string());
        assert_eq!(
            SIMULATED.to_string(),
            String::from("1.2.840.113556.1.8000.2554") + &arcs
        );
        assert_eq!(Oid::from_content(SIMULATED.content()), Ok(SIMULATED));
    }

    #[test]
    fn constraints_purposes_and_names_are_strict() {
        assert_eq!(
            BasicConstraints::read(&[0x30, 0]),
            Ok(BasicConstraints {
                ca: false,
                path_len: None
            })
        );
        let ca = [0x30, 6, 1, 1, 0xff, 2, 1, 0];
        assert_eq!(
            BasicConstraints::read(&ca),
            Ok(BasicConstraints {
                ca: true,
                path_len: Some(0)
            })
        );
        assert!(BasicConstraints::read(&[0x30, 3, 1, 1, 1]).is_err());
        assert!(ExtendedKeyUsage::read(&[0x30, 0]).is_err());
        assert!(AlternativeName::read_all(&[0x30, 5, 0x87, 3, 1, 2, 3]).is_err());
        assert!(AlternativeName::read_all(&[0x30, 3, 0x82, 1, 0xc3]).is_err());
        assert_eq!(
            AlternativeName::read_all(&[0x30, 3, 0x82, 1, b'x']),
            Ok(alloc::vec![AlternativeName::Dns("x".into())])
        );
        assert!(read_simulated(&[0x0c, 1, b'x']).is_err());
    }
}
