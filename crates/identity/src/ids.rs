//! The identifiers that every layer passes around: types, so that no bare string travels past *parse*.
//!
//! Each is small, ordered and hashable, and can be built only from a text that is allowed.

use alloc::sync::Arc;
use core::{fmt, str::FromStr};

use crate::{Error, limits};

/// A certificate's identity everywhere: the SHA-256 of its DER. Written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateId(pub [u8; 32]);

impl CertificateId {
    /// The id of the certificate with these exact bytes.
    #[cfg(feature = "aws-lc")]
    pub fn of(der: &[u8]) -> Self {
        Self(crate::crypto::sha256(der))
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

/// Bytes as they are written everywhere: two lower-case digits each, nothing between them.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |value: u8| {
            if value < 10 {
                b'0' + value
            } else {
                b'a' + value - 10
            }
        };
        let mut text = [0; 64];
        for bytes in self.0.chunks(text.len() / 2) {
            for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
                pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
            }
            let written = text.get(..2 * bytes.len()).unwrap_or_default();
            f.write_str(core::str::from_utf8(written).map_err(|_| fmt::Error)?)?;
        }
        Ok(())
    }
}

impl fmt::Debug for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateId({self})")
    }
}

impl FromStr for CertificateId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = Error::Identifier {
            kind: "certificate id",
            allowed: "64 hexadecimal digits",
        };
        let digits = text
            .strip_prefix("0x")
            .or_else(|| text.strip_prefix("0X"))
            .unwrap_or(text)
            .as_bytes();
        let mut bytes = [0; 32];
        let (pairs, rest) = digits.as_chunks::<2>();
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return Err(refused);
        }
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            let [high, low] = pair.map(hex_value);
            *byte = high
                .zip(low)
                .map(|(high, low)| high << 4 | low)
                .ok_or_else(|| refused.clone())?;
        }
        Ok(Self(bytes))
    }
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// An account: exactly twelve digits. The default is the account of a machine that has only one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId([u8; 12]);

impl AccountId {
    /// The twelve digits.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Default for AccountId {
    fn default() -> Self {
        Self(*b"123456789012")
    }
}

impl FromStr for AccountId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = Error::Identifier {
            kind: "account id",
            allowed: "exactly 12 digits",
        };
        let digits: [u8; 12] = text.as_bytes().try_into().map_err(|_| refused.clone())?;
        if digits.iter().all(u8::is_ascii_digit) {
            Ok(Self(digits))
        } else {
            Err(refused)
        }
    }
}

/// A region such as `us-east-1`: 1 to 32 characters of `a-z`, `0-9` and `-`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region {
    // Zero-padded, so that the derived order is that of the text.
    bytes: [u8; limits::REGION_CHARACTERS_MAX],
    length: u8,
}

impl Region {
    /// The region's name.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl Default for Region {
    fn default() -> Self {
        let mut bytes = [0; limits::REGION_CHARACTERS_MAX];
        for (byte, letter) in bytes.iter_mut().zip(b"us-east-1") {
            *byte = *letter;
        }
        Self { bytes, length: 9 }
    }
}

impl FromStr for Region {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let allowed = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let mut bytes = [0; limits::REGION_CHARACTERS_MAX];
        match bytes.get_mut(..text.len()) {
            Some(room) if !text.is_empty() && text.bytes().all(|byte| allowed(&byte)) => {
                room.copy_from_slice(text.as_bytes());
                Ok(Self {
                    bytes,
                    length: u8::try_from(text.len()).unwrap_or_default(),
                })
            }
            _ => Err(Error::Identifier {
                kind: "region",
                allowed: "1 to 32 characters of a-z, 0-9 and -",
            }),
        }
    }
}

/// Whose records: one account in one region. Every look-up begins with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant {
    /// The account.
    pub account: AccountId,
    /// The region.
    pub region: Region,
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.region)
    }
}

/// The name of a thing: 1 to 128 characters of letters, digits, `:`, `_` and `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThingName(Arc<str>);

impl ThingName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ThingName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-');
        if (1..=limits::THING_NAME_CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(Error::Identifier {
                kind: "thing name",
                allowed: "1 to 128 characters of letters, digits, colon, underscore and hyphen",
            })
        }
    }
}

/// What every identifier that is a text has: it prints as itself, and can be tried from a `&str`.
macro_rules! textual {
    ($($identifier:ident),*) => {$(
        impl fmt::Display for $identifier {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $identifier {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($identifier), "({})"), self.as_str())
            }
        }

        impl TryFrom<&str> for $identifier {
            type Error = Error;

            fn try_from(text: &str) -> Result<Self, Error> {
                text.parse()
            }
        }

        impl AsRef<str> for $identifier {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }
    )*};
}

textual!(AccountId, Region, ThingName);

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn check<T: FromStr + ToString>(accepted: &[&str], refused: &[&str]) {
        for text in accepted {
            let parsed = text.parse::<T>().ok().expect(text);
            assert_eq!(parsed.to_string(), *text);
        }
        for text in refused {
            assert!(text.parse::<T>().is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn identifiers_accept_what_is_allowed_and_nothing_else() {
        let longest = "r".repeat(32);
        check::<AccountId>(
            &["123456789012", "000000000000"],
            &["", "12345678901", "1234567890123", "12345678901a"],
        );
        check::<Region>(
            &["us-east-1", "x", &longest],
            &["", "US-EAST-1", "us_east", &(longest.clone() + "r"), "ü"],
        );
        let name = "n".repeat(128);
        check::<ThingName>(
            &["bm-000001", "a:b_C-9", &name],
            &["", "a b", "a/b", "a+b", "ä", &(name.clone() + "n")],
        );
        let id = "0123456789abcdef".repeat(4);
        check::<CertificateId>(
            &[&id],
            &["", "0x", &id[1..], &(id.clone() + "0"), &id.replace('f', "g")],
        );
    }

    #[test]
    fn a_certificate_id_is_read_in_any_case_and_with_a_prefix() {
        let id: CertificateId = "ab".repeat(32).parse().unwrap();
        assert_eq!(("0x".to_string() + &"AB".repeat(32)).parse(), Ok(id));
        assert_eq!(id.0, [0xab; 32]);
    }

    #[test]
    fn regions_sort_as_their_text() {
        let [a, b, c] = ["us", "us-east-1", "us-east-2"].map(|text| text.parse::<Region>().unwrap());
        assert!(a < b && b < c);
        assert_eq!(Region::default(), b);
        assert_eq!(Tenant::default().to_string(), "123456789012/us-east-1");
    }
}
