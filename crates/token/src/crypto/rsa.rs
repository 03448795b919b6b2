//! RSA keys and what is done with them: PKCS #1 version 1.5, PSS, OAEP and the bare function (RFC 8017).
//!
//! Lengths are checked here, so that a caller hears which of its inputs was wrong; padding and arithmetic are the library's.

use std::vec::Vec;

use identity::der::{Fault, Reader, Tag, Writer};
use identity::key::PublicKey;
use zeroize::Zeroizing;

use super::pkcs8::{self, secret_element};
use super::{LIBRARY, fill};
use crate::attribute::AttributeKind;
use crate::error::Error;
use crate::limits::{RAW_BYTES_MAX, RSA_BITS_MAX, RSA_BITS_MIN};
use crate::mechanism::Hash;
use crate::mechanism::parameters::{OaepParameters, PssParameters};
use crate::raw_rsa::{Oaep, Padding, Pss, RawRsa};

/// Bytes that PKCS #1 version 1.5 adds, at least.
const PKCS1_BYTES: usize = 11;

const WRONG: Error = Error::AttributeValueInvalid {
    kind: AttributeKind::Modulus,
    why: "its parts do not make an RSA key",
};

/// The numbers of an RSA private key, most significant byte first, without zeros before them.
pub struct RsaParts {
    /// `CKA_MODULUS`.
    pub modulus: Vec<u8>,
    /// `CKA_PUBLIC_EXPONENT`.
    pub public_exponent: Vec<u8>,
    /// `CKA_PRIVATE_EXPONENT`.
    pub private_exponent: Zeroizing<Vec<u8>>,
    /// `CKA_PRIME_1`.
    pub prime_1: Zeroizing<Vec<u8>>,
    /// `CKA_PRIME_2`.
    pub prime_2: Zeroizing<Vec<u8>>,
    /// `CKA_EXPONENT_1`.
    pub exponent_1: Zeroizing<Vec<u8>>,
    /// `CKA_EXPONENT_2`.
    pub exponent_2: Zeroizing<Vec<u8>>,
    /// `CKA_COEFFICIENT`.
    pub coefficient: Zeroizing<Vec<u8>>,
}

impl RsaParts {
    /// From an RSAPrivateKey (RFC 8017, A.1.2).
    fn read(der: &[u8]) -> Result<Self, Fault> {
        Reader::whole(der, |key| {
            key.sequence(|key| {
                key.small()?;
                let secret = |key: &mut Reader<'_>| key.unsigned().map(|n| Zeroizing::new(n.to_vec()));
                Ok(Self {
                    modulus: key.unsigned()?.to_vec(),
                    public_exponent: key.unsigned()?.to_vec(),
                    private_exponent: secret(key)?,
                    prime_1: secret(key)?,
                    prime_2: secret(key)?,
                    exponent_1: secret(key)?,
                    exponent_2: secret(key)?,
                    coefficient: secret(key)?,
                })
            })
        })
    }

    fn write(&self) -> Zeroizing<Vec<u8>> {
        let numbers = [
            &self.modulus,
            &self.public_exponent,
            &*self.private_exponent,
            &*self.prime_1,
            &*self.prime_2,
            &*self.exponent_1,
            &*self.exponent_2,
            &*self.coefficient,
        ];
        let mut written = Vec::with_capacity(1 + numbers.len());
        written.push(integer(&[]));
        written.extend(numbers.map(|number| integer(number)));
        let parts: Vec<&[u8]> = written.iter().map(|number| number.as_slice()).collect();
        secret_element(Tag::SEQUENCE, &parts)
    }
}

/// A DER INTEGER that is not negative.
fn integer(magnitude: &[u8]) -> Zeroizing<Vec<u8>> {
    let digits = trimmed(magnitude);
    let zero: &[u8] = match digits.first() {
        Some(first) if *first < 0x80 => &[],
        _ => &[0],
    };
    secret_element(Tag::INTEGER, &[zero, digits])
}

fn trimmed(magnitude: &[u8]) -> &[u8] {
    let start = magnitude.iter().position(|byte| *byte != 0);
    start.and_then(|start| magnitude.get(start..)).unwrap_or_default()
}

/// An RSA private key and its public half.
pub struct RsaPrivate {
    raw: RawRsa,
    modulus: Vec<u8>,
    public_exponent: Vec<u8>,
}

impl RsaPrivate {
    /// A new one. The size is a multiple of 8 within what the token takes; the exponent is odd and has at most 32 bits.
    pub fn generate(bits: usize, public_exponent: &[u8]) -> Result<Self, Error> {
        if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) || !bits.is_multiple_of(8) {
            return Err(Error::KeySizeRange);
        }
        let wrong = Error::AttributeValueInvalid {
            kind: AttributeKind::PublicExponent,
            why: "it must be odd, at least 3, and have at most 32 bits",
        };
        let exponent = trimmed(public_exponent);
        let odd = exponent.last().is_some_and(|last| last % 2 == 1);
        if !odd || exponent == [1] || exponent.len() > 4 {
            return Err(wrong);
        }
        let bits = u16::try_from(bits).map_err(|_| Error::KeySizeRange)?;
        Self::of(RawRsa::generate(bits, exponent).map_err(|_| wrong)?)
    }

    /// One from outside. All parts have to be there, and to belong together.
    pub fn from_parts(parts: &RsaParts) -> Result<Self, Error> {
        Self::from_der(&parts.write())
    }

    /// From an RSAPrivateKey.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, Error> {
        Self::of(RawRsa::private(der).map_err(|_| WRONG)?)
    }

    fn of(raw: RawRsa) -> Result<Self, Error> {
        sized(&raw)?;
        let der = raw.to_der().map_err(|_| LIBRARY)?;
        let RsaParts {
            modulus,
            public_exponent,
            ..
        } = RsaParts::read(&der).map_err(|_| LIBRARY)?;
        Ok(Self {
            raw,
            modulus,
            public_exponent,
        })
    }

    /// Its numbers.
    pub fn parts(&self) -> Result<RsaParts, Error> {
        let der = self.raw.to_der().map_err(|_| LIBRARY)?;
        RsaParts::read(&der).map_err(|_| LIBRARY)
    }

    /// Its public half as a document.
    pub fn public(&self) -> Result<PublicKey, Error> {
        document(&self.modulus, &self.public_exponent)
    }

    /// Its PKCS #8.
    pub fn secret(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        Ok(pkcs8::write_rsa(&self.raw.to_der().map_err(|_| LIBRARY)?))
    }

    /// `CKA_MODULUS`.
    #[must_use]
    pub fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    /// `CKA_PUBLIC_EXPONENT`.
    #[must_use]
    pub fn public_exponent(&self) -> &[u8] {
        &self.public_exponent
    }

    /// Bytes of the modulus, and of each signature.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.raw.bytes()
    }

    /// A PKCS #1 version 1.5 signature: of a digest with this hash, or of what the caller brings.
    pub(crate) fn sign_pkcs1(
        &self,
        hash: Option<Hash>,
        input: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let (message, bytes) = digest_info(hash, input, self.bytes())?;
        let message = message.get(..bytes).unwrap_or_default();
        self.raw.sign(Padding::Pkcs1, message, out).map_err(|_| LIBRARY)
    }

    /// The bare function, on a number that may have lost zeros before it.
    pub(crate) fn sign_bare(&self, input: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let (block, bytes) = filled(input, self.bytes(), &self.modulus)?;
        let block = block.get(..bytes).unwrap_or_default();
        self.raw.sign(Padding::None, block, out).map_err(|_| LIBRARY)
    }

    pub(crate) fn sign_pss(
        &self,
        pss: &PssParameters,
        digest: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let pss = fitting(pss, digest, self.raw.bits())?;
        self.raw.sign_pss(&pss, digest, out).map_err(|_| LIBRARY)
    }

    /// Decrypts PKCS #1 version 1.5.
    pub(crate) fn decrypt_pkcs1(&self, input: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        self.encrypted(input)?;
        let mut block = Zeroizing::new([0; RAW_BYTES_MAX]);
        let bytes = self.raw.decrypt(Padding::Pkcs1, input, &mut *block);
        let bytes = bytes.map_err(|_| Error::EncryptedDataInvalid)?;
        fill(out, block.get(..bytes).unwrap_or_default())
    }

    /// The bare function, backwards.
    pub(crate) fn decrypt_bare(&self, input: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        self.encrypted(input)?;
        let mut block = Zeroizing::new([0; RAW_BYTES_MAX]);
        let bytes = self.raw.decrypt(Padding::None, input, &mut *block);
        let bytes = bytes.map_err(|_| Error::EncryptedDataInvalid)?;
        fill(out, block.get(..bytes).unwrap_or_default())
    }

    pub(crate) fn decrypt_oaep(
        &self,
        oaep: &OaepParameters,
        input: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        self.encrypted(input)?;
        room_for_oaep(oaep, self.bytes())?;
        let mut block = Zeroizing::new([0; RAW_BYTES_MAX]);
        let bytes = self.raw.decrypt_oaep(&with(oaep), input, &mut *block);
        let bytes = bytes.map_err(|_| Error::EncryptedDataInvalid)?;
        fill(out, block.get(..bytes).unwrap_or_default())
    }

    fn encrypted(&self, input: &[u8]) -> Result<(), Error> {
        if input.len() != self.bytes() {
            return Err(Error::EncryptedDataLengthRange);
        }
        Ok(())
    }
}

/// An RSA public key.
pub struct RsaPublic {
    raw: RawRsa,
    modulus: Vec<u8>,
    public_exponent: Vec<u8>,
}

impl RsaPublic {
    /// From its two numbers.
    pub fn new(modulus: &[u8], public_exponent: &[u8]) -> Result<Self, Error> {
        let (modulus, public_exponent) = (trimmed(modulus), trimmed(public_exponent));
        let raw = RawRsa::public(&public_der(modulus, public_exponent)).map_err(|_| WRONG)?;
        sized(&raw)?;
        Ok(Self {
            raw,
            modulus: modulus.to_vec(),
            public_exponent: public_exponent.to_vec(),
        })
    }

    /// From an RSAPublicKey (RFC 8017, A.1.1), which is what a SubjectPublicKeyInfo holds.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, Error> {
        let numbers = |key: &mut Reader<'_>| Ok((key.unsigned()?.to_vec(), key.unsigned()?.to_vec()));
        let read = Reader::whole(der, |key| key.sequence(numbers));
        let (modulus, exponent) = read.map_err(|_| WRONG)?;
        Self::new(&modulus, &exponent)
    }

    /// The key as a document.
    pub fn public(&self) -> Result<PublicKey, Error> {
        document(&self.modulus, &self.public_exponent)
    }

    /// `CKA_MODULUS`.
    #[must_use]
    pub fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    /// `CKA_PUBLIC_EXPONENT`.
    #[must_use]
    pub fn public_exponent(&self) -> &[u8] {
        &self.public_exponent
    }

    /// Bytes of the modulus.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.raw.bytes()
    }

    /// Verifies a PKCS #1 version 1.5 signature: of a digest with this hash, or of what the caller brings. The one encoding
    /// that is right is compared; none is parsed.
    pub(crate) fn verify_pkcs1(
        &self,
        hash: Option<Hash>,
        input: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        let (message, bytes) = digest_info(hash, input, self.bytes())?;
        self.recovers(
            Padding::Pkcs1,
            signature,
            message.get(..bytes).unwrap_or_default(),
        )
    }

    pub(crate) fn verify_bare(&self, input: &[u8], signature: &[u8]) -> Result<(), Error> {
        let (block, bytes) = filled(input, self.bytes(), &self.modulus)?;
        self.recovers(Padding::None, signature, block.get(..bytes).unwrap_or_default())
    }

    fn recovers(&self, padding: Padding, signature: &[u8], wanted: &[u8]) -> Result<(), Error> {
        let mut block = [0; RAW_BYTES_MAX];
        let bytes = self.raw.recover(padding, signature, &mut block);
        let bytes = bytes.map_err(|_| Error::SignatureInvalid)?;
        if block.get(..bytes) != Some(wanted) {
            return Err(Error::SignatureInvalid);
        }
        Ok(())
    }

    pub(crate) fn verify_pss(
        &self,
        pss: &PssParameters,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        let pss = fitting(pss, digest, self.raw.bits())?;
        let verified = self.raw.verify_pss(&pss, digest, signature);
        verified.map_err(|_| Error::SignatureInvalid)
    }

    /// Encrypts with PKCS #1 version 1.5.
    pub(crate) fn encrypt_pkcs1(&self, input: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        fits(input, self.bytes() - PKCS1_BYTES)?;
        self.raw.encrypt(Padding::Pkcs1, input, out).map_err(|_| LIBRARY)
    }

    /// The bare function.
    pub(crate) fn encrypt_bare(&self, input: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let (block, bytes) = filled(input, self.bytes(), &self.modulus)?;
        let block = block.get(..bytes).unwrap_or_default();
        self.raw.encrypt(Padding::None, block, out).map_err(|_| LIBRARY)
    }

    pub(crate) fn encrypt_oaep(
        &self,
        oaep: &OaepParameters,
        input: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        fits(input, room_for_oaep(oaep, self.bytes())?)?;
        let sealed = self.raw.encrypt_oaep(&with(oaep), input, out);
        sealed.map_err(|_| LIBRARY)
    }
}

fn sized(raw: &RawRsa) -> Result<(), Error> {
    if (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&raw.bits()) {
        Ok(())
    } else {
        Err(Error::KeySizeRange)
    }
}

fn document(modulus: &[u8], exponent: &[u8]) -> Result<PublicKey, Error> {
    PublicKey::from_rsa_der(&public_der(modulus, exponent)).map_err(|_| LIBRARY)
}

fn public_der(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    Writer::build(|writer| {
        writer.sequence(|key| {
            key.unsigned(modulus);
            key.unsigned(exponent);
        });
    })
}

const fn fits(input: &[u8], most: usize) -> Result<(), Error> {
    if input.len() > most {
        return Err(Error::DataLengthRange { found: input.len() });
    }
    Ok(())
}

/// A DigestInfo (RFC 8017, 9.2) around a digest; without a hash, what the caller brings is one already.
fn digest_info(
    hash: Option<Hash>,
    input: &[u8],
    bytes: usize,
) -> Result<([u8; RAW_BYTES_MAX], usize), Error> {
    let head = hash.map_or(&[][..], prefix);
    if hash.is_some_and(|hash| hash.bytes() != input.len()) {
        return Err(Error::DataLengthRange { found: input.len() });
    }
    fits(input, bytes.saturating_sub(PKCS1_BYTES + head.len()))?;
    let mut message = [0; RAW_BYTES_MAX];
    fill(&mut message, head)?;
    fill(message.get_mut(head.len()..).unwrap_or_default(), input)?;
    Ok((message, head.len() + input.len()))
}

/// The DER of a DigestInfo up to the digest (RFC 8017, 9.2, note 1; SHA-3 with the identifiers of NIST).
const fn prefix(hash: Hash) -> &'static [u8] {
    macro_rules! info {
        ($arc:literal, $last:literal, $bytes:literal) => {
            &[
                0x30,
                17 + $bytes,
                0x30,
                13,
                0x06,
                9,
                0x60,
                0x86,
                0x48,
                0x01,
                0x65,
                0x03,
                0x04,
                $arc,
                $last,
                0x05,
                0,
                0x04,
                $bytes,
            ]
        };
    }
    match hash {
        Hash::Sha1 => &[
            0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2B, 0x0E, 0x03, 0x02, 0x1A, 0x05, 0x00, 0x04, 0x14,
        ],
        Hash::Sha256 => info!(0x02, 0x01, 32),
        Hash::Sha384 => info!(0x02, 0x02, 48),
        Hash::Sha512 => info!(0x02, 0x03, 64),
        Hash::Sha224 => info!(0x02, 0x04, 28),
        Hash::Sha3_224 => info!(0x02, 0x07, 28),
        Hash::Sha3_256 => info!(0x02, 0x08, 32),
        Hash::Sha3_384 => info!(0x02, 0x09, 48),
        Hash::Sha3_512 => info!(0x02, 0x0A, 64),
    }
}

/// Room for a number as long as any modulus.
type Block = Zeroizing<[u8; RAW_BYTES_MAX]>;

/// A number as long as the modulus, with zeros before it; it must be smaller than the modulus.
fn filled(input: &[u8], bytes: usize, modulus: &[u8]) -> Result<(Block, usize), Error> {
    fits(input, bytes)?;
    let mut block = Zeroizing::new([0; RAW_BYTES_MAX]);
    fill(block.get_mut(bytes - input.len()..).unwrap_or_default(), input)?;
    if block.get(..bytes).unwrap_or_default() >= modulus {
        return Err(Error::DataInvalid);
    }
    Ok((block, bytes))
}

/// The parameters in the library's terms, if digest, salt and key go together (RFC 8017, 9.1.1).
fn fitting(pss: &PssParameters, digest: &[u8], bits: usize) -> Result<Pss, Error> {
    if digest.len() != pss.hash.bytes() {
        return Err(Error::DataLengthRange { found: digest.len() });
    }
    let room = (bits - 1).div_ceil(8);
    if pss.salt_bytes > room.saturating_sub(digest.len() + 2) {
        return Err(Error::MechanismParameterInvalid);
    }
    Ok(Pss {
        hash: pss.hash,
        mask: pss.mask,
        salt_bytes: u16::try_from(pss.salt_bytes).map_err(|_| Error::MechanismParameterInvalid)?,
    })
}

fn with(oaep: &OaepParameters) -> Oaep<'_> {
    Oaep {
        hash: oaep.hash,
        mask: oaep.mask,
        label: &oaep.label,
    }
}

/// Bytes of a message under OAEP, at most (RFC 8017, 7.1.1).
fn room_for_oaep(oaep: &OaepParameters, bytes: usize) -> Result<usize, Error> {
    bytes
        .checked_sub(2 * oaep.hash.bytes() + 2)
        .ok_or(Error::MechanismParameterInvalid)
}
