//! Public keys and the algorithms that go with them. A [`PublicKey`] has been read completely; whether its point lies on the
//! curve is for the cryptographic library to say, when the first signature is verified.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::fmt;

use crate::{
    Error,
    der::{Fault, Oid, Reader, Writer},
    limits,
};

const EC_PUBLIC_KEY: Oid = Oid::from_static(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]);
const RSA_ENCRYPTION: Oid = Oid::from_static(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01]);

/// A curve on which keys are made and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of FIPS 186-5")]
pub enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    /// Bytes of one coordinate, and of each half of a signature.
    pub const fn coordinate_bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    fn oid(self) -> Oid {
        Oid::from_static(match self {
            Self::P256 => &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
            Self::P384 => &[0x2b, 0x81, 0x04, 0x00, 0x22],
            Self::P521 => &[0x2b, 0x81, 0x04, 0x00, 0x23],
        })
    }
}

/// What a public key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// A point on a curve.
    Ec(Curve),
    /// An RSA modulus.
    Rsa {
        /// Bits of the modulus.
        bits: u32,
    },
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ec(curve) => write!(f, "EC {curve:?}"),
            Self::Rsa { bits } => write!(f, "RSA {bits}"),
        }
    }
}

/// A public key, kept as the SubjectPublicKeyInfo it came in (RFC 5280 4.1.2.7).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    spki: Box<[u8]>,
    kind: KeyKind,
    /// Where in `spki` the key bits begin; they reach to its end.
    bits_at: usize,
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo: an uncompressed point on one of the three curves, or an RSA key.
    pub fn from_spki_der(spki: &[u8]) -> Result<Self, Error> {
        limit(spki.len())?;
        let malformed = |fault: Fault| fault.within("public key");
        let (algorithm, curve, bits) = Reader::whole(spki, read_spki).map_err(malformed)?;
        let kind = if algorithm == EC_PUBLIC_KEY {
            ec_kind(&curve.ok_or(Error::UnsupportedKey)?, bits)?
        } else if algorithm == RSA_ENCRYPTION {
            KeyKind::Rsa {
                bits: rsa_bits(bits).map_err(malformed)?,
            }
        } else {
            return Err(Error::UnsupportedKey);
        };
        Ok(Self {
            bits_at: spki.len() - bits.len(),
            spki: spki.into(),
            kind,
        })
    }

    /// The key of a point in uncompressed form: `04`, X and Y.
    pub fn from_ec_point(curve: Curve, point: &[u8]) -> Result<Self, Error> {
        Self::from_spki_der(&Writer::build(|writer| {
            writer.sequence(|spki| {
                spki.sequence(|algorithm| {
                    algorithm.oid(&EC_PUBLIC_KEY);
                    algorithm.oid(&curve.oid());
                });
                spki.whole_bits(point);
            });
        }))
    }

    /// The key of an RSAPublicKey (RFC 8017 A.1.1).
    pub fn from_rsa_der(key: &[u8]) -> Result<Self, Error> {
        limit(key.len())?;
        Self::from_spki_der(&Writer::build(|writer| {
            writer.sequence(|spki| {
                spki.sequence(|algorithm| {
                    algorithm.oid(&RSA_ENCRYPTION);
                    algorithm.null();
                });
                spki.whole_bits(key);
            });
        }))
    }

    /// The SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// What the key is.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The uncompressed point, if this is a key on a curve.
    pub fn ec_point(&self) -> Option<&[u8]> {
        matches!(self.kind, KeyKind::Ec(_)).then(|| self.bits())
    }

    /// The key bits: the point, or the RSAPublicKey.
    pub fn bits(&self) -> &[u8] {
        self.spki.get(self.bits_at..).unwrap_or_default()
    }

    /// The key's identifier in certificates: the left 160 bits of the SHA-256 of the key bits (RFC 7093, method 1).
    #[cfg(feature = "aws-lc")]
    pub fn key_id(&self) -> [u8; 20] {
        let hash = crate::crypto::sha256(self.bits());
        hash.first_chunk().copied().unwrap_or_default()
    }

    /// The key as PEM.
    pub fn pem(&self) -> String {
        crate::pem::encode("PUBLIC KEY", &self.spki)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.kind)
    }
}

fn limit(found: usize) -> Result<(), Error> {
    let limit = limits::PUBLIC_KEY_BYTES_MAX;
    if found > limit {
        Err(Error::TooLarge {
            what: "public key",
            found,
            limit,
        })
    } else {
        Ok(())
    }
}

/// Algorithm, named curve if there is one, and key bits.
fn read_spki<'a>(reader: &mut Reader<'a>) -> Result<(Oid, Option<Oid>, &'a [u8]), Fault> {
    reader.sequence(|spki| {
        let (algorithm, curve) = spki.sequence(|identifier| {
            let algorithm = identifier.oid()?;
            if algorithm == RSA_ENCRYPTION {
                identifier.null()?;
                return Ok((algorithm, None));
            }
            if algorithm == EC_PUBLIC_KEY && identifier.peek() == Some(crate::der::Tag::OID) {
                return Ok((algorithm, Some(identifier.oid()?)));
            }
            // Parameters of an algorithm that is not ours, or a curve that is not named: refused by the caller.
            while !identifier.is_empty() {
                identifier.element()?;
            }
            Ok((algorithm, None))
        })?;
        Ok((algorithm, curve, spki.whole_bits()?))
    })
}

fn ec_kind(named: &Oid, point: &[u8]) -> Result<KeyKind, Error> {
    let curve = Curve::ALL
        .into_iter()
        .find(|curve| curve.oid() == *named)
        .ok_or(Error::UnsupportedKey)?;
    let uncompressed = point.first() == Some(&4) && point.len() == 1 + 2 * curve.coordinate_bytes();
    if uncompressed {
        Ok(KeyKind::Ec(curve))
    } else {
        Err(Error::UnsupportedKey)
    }
}

/// Bits of the modulus of an RSAPublicKey, which is checked to be odd and of a size that is read at all.
fn rsa_bits(key: &[u8]) -> Result<u32, Fault> {
    Reader::whole(key, |reader| {
        reader.sequence(|key| {
            let modulus = key.unsigned()?;
            let exponent = key.unsigned()?;
            let first = modulus.first().copied().unwrap_or_default();
            let bits =
                u32::try_from(modulus.len()).unwrap_or(u32::MAX).saturating_mul(8) - first.leading_zeros();
            let odd = |magnitude: &[u8]| magnitude.last().is_some_and(|last| last & 1 == 1);
            let sound = bits <= limits::RSA_BITS_MAX && odd(modulus) && odd(exponent);
            if sound { Ok(bits) } else { Err(Fault::Content) }
        })
    })
}

/// How something is signed: the six algorithms that the cloud, the chip and the factory share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of RFC 5758 and RFC 8017")]
pub enum SignatureAlgorithm {
    EcdsaSha256,
    EcdsaSha384,
    EcdsaSha512,
    RsaPkcs1Sha256,
    RsaPkcs1Sha384,
    RsaPkcs1Sha512,
}

impl SignatureAlgorithm {
    const ALL: [Self; 6] = [
        Self::EcdsaSha256,
        Self::EcdsaSha384,
        Self::EcdsaSha512,
        Self::RsaPkcs1Sha256,
        Self::RsaPkcs1Sha384,
        Self::RsaPkcs1Sha512,
    ];

    /// The algorithm with which a key of this kind signs when nothing else is asked for.
    pub const fn of(kind: KeyKind) -> Self {
        match kind {
            KeyKind::Ec(Curve::P256) => Self::EcdsaSha256,
            KeyKind::Ec(Curve::P384) => Self::EcdsaSha384,
            KeyKind::Ec(Curve::P521) => Self::EcdsaSha512,
            KeyKind::Rsa { .. } => Self::RsaPkcs1Sha256,
        }
    }

    /// Whether a key of this kind can make such signatures.
    pub const fn fits(self, kind: KeyKind) -> bool {
        let elliptic = matches!(self, Self::EcdsaSha256 | Self::EcdsaSha384 | Self::EcdsaSha512);
        elliptic == matches!(kind, KeyKind::Ec(_))
    }

    /// The AlgorithmIdentifier (RFC 5758 3.2: ECDSA without parameters; RFC 4055 5: RSA with NULL).
    pub fn identifier_der(self) -> Vec<u8> {
        Writer::build(|writer| {
            writer.sequence(|identifier| {
                identifier.oid(&self.oid());
                if self.is_rsa() {
                    identifier.null();
                }
            });
        })
    }

    /// The algorithm of an AlgorithmIdentifier; `None` if it is not one of the six.
    pub(crate) fn from_identifier(identifier: &[u8]) -> Result<Option<Self>, Fault> {
        Reader::whole(identifier, |reader| {
            reader.sequence(|reader| {
                let oid = reader.oid()?;
                let parameters = reader.rest();
                while !reader.is_empty() {
                    reader.element()?;
                }
                let known = Self::ALL.into_iter().find(|algorithm| algorithm.oid() == oid);
                // Some tools write NULL behind ECDSA, some leave it out behind RSA; both say the same.
                Ok(known.filter(|_| parameters.is_empty() || parameters == [0x05, 0x00]))
            })
        })
    }

    const fn is_rsa(self) -> bool {
        matches!(
            self,
            Self::RsaPkcs1Sha256 | Self::RsaPkcs1Sha384 | Self::RsaPkcs1Sha512
        )
    }

    fn oid(self) -> Oid {
        Oid::from_static(match self {
            Self::EcdsaSha256 => &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
            Self::EcdsaSha384 => &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03],
            Self::EcdsaSha512 => &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04],
            Self::RsaPkcs1Sha256 => &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b],
            Self::RsaPkcs1Sha384 => &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c],
            Self::RsaPkcs1Sha512 => &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(curve: Curve) -> Vec<u8> {
        [&[4][..], &alloc::vec![7; 2 * curve.coordinate_bytes()]].concat()
    }

    #[test]
    fn points_become_keys_and_come_back() {
        for curve in Curve::ALL {
            let key = PublicKey::from_ec_point(curve, &point(curve)).unwrap();
            assert_eq!(key.kind(), KeyKind::Ec(curve));
            assert_eq!(key.ec_point(), Some(&point(curve)[..]));
            assert_eq!(PublicKey::from_spki_der(key.spki_der()), Ok(key));
        }
    }

    #[test]
    fn compressed_short_and_foreign_points_are_refused() {
        let good = point(Curve::P256);
        let compressed = [&[2][..], &[7; 32]].concat();
        for bad in [
            &[][..],
            &[4],
            &good[..64],
            &[&good[..], &[0]].concat(),
            &compressed,
        ] {
            assert_eq!(
                PublicKey::from_ec_point(Curve::P256, bad),
                Err(Error::UnsupportedKey)
            );
        }
        assert_eq!(
            PublicKey::from_ec_point(Curve::P384, &good),
            Err(Error::UnsupportedKey)
        );
    }

    #[test]
    fn rsa_keys_say_how_long_they_are() {
        let rsa = |modulus: &[u8], exponent: &[u8]| {
            PublicKey::from_rsa_der(&Writer::build(|writer| {
                writer.sequence(|key| {
                    key.unsigned(modulus);
                    key.unsigned(exponent);
                });
            }))
        };
        let mut modulus = alloc::vec![0xff; 256];
        assert_eq!(
            rsa(&modulus, &[1, 0, 1]).unwrap().kind(),
            KeyKind::Rsa { bits: 2048 }
        );
        modulus[0] = 0x01;
        assert_eq!(rsa(&modulus, &[3]).unwrap().kind(), KeyKind::Rsa { bits: 2041 });
        assert!(rsa(&modulus, &[2]).is_err());
        assert!(rsa(&alloc::vec![0xff; 2_049], &[3]).is_err());
        assert!(rsa(&[], &[3]).is_err());
    }

    #[test]
    fn algorithms_read_back_from_their_identifiers() {
        for algorithm in SignatureAlgorithm::ALL {
            assert_eq!(
                SignatureAlgorithm::from_identifier(&algorithm.identifier_der()),
                Ok(Some(algorithm))
            );
        }
        let foreign = Writer::build(|writer| writer.sequence(|inner| inner.oid(&EC_PUBLIC_KEY)));
        assert_eq!(SignatureAlgorithm::from_identifier(&foreign), Ok(None));
        assert!(SignatureAlgorithm::EcdsaSha384.fits(KeyKind::Ec(Curve::P256)));
        assert!(!SignatureAlgorithm::EcdsaSha256.fits(KeyKind::Rsa { bits: 2048 }));
    }
}
