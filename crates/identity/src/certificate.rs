//! Certificates (RFC 5280 4.1): read once, completely and strictly, with their exact bytes kept.
//!
//! A certificate here says what stands in it. Whether it is believed is decided elsewhere: who signed it with
//! [`Certificate::is_signed_by`], whether it is registered and active by the cloud. Unknown extensions are kept and not
//! refused even when critical, because AWS IoT Core accepts them.

use alloc::{string::String, sync::Arc, vec::Vec};
use core::{fmt, ops::Range};

#[cfg(feature = "aws-lc")]
use crate::CertificateId;
use crate::{
    Error, UnixMillis,
    der::{Fault, Reader, Tag},
    extension::{self, AlternativeName, BasicConstraints, ExtendedKeyUsage, Extension, KeyUsage},
    key::{PublicKey, SignatureAlgorithm},
    limits,
    name::Name,
    pem,
};

/// The label of a certificate in PEM.
pub const PEM_LABEL: &str = "CERTIFICATE";

/// A certificate. Cloning it copies a pointer.
#[derive(Clone)]
pub struct Certificate(Arc<Parsed>);

struct Parsed {
    der: Vec<u8>,
    tbs: Range<usize>,
    serial: Range<usize>,
    signature: Range<usize>,
    extensions: Range<usize>,
    version: u8,
    algorithm: Option<SignatureAlgorithm>,
    issuer: Name,
    subject: Name,
    not_before: UnixMillis,
    not_after: UnixMillis,
    public_key: PublicKey,
    known: Known,
}

/// The extensions that have accessors.
#[derive(Default)]
struct Known {
    basic_constraints: Option<BasicConstraints>,
    key_usage: Option<KeyUsage>,
    extended_key_usage: Option<ExtendedKeyUsage>,
    alternative_names: Vec<AlternativeName>,
    subject_key_id: Option<Vec<u8>>,
    authority_key_id: Option<Vec<u8>>,
    simulated: bool,
}

impl Certificate {
    /// Reads a certificate from DER, all of it or nothing.
    pub fn parse(der: &[u8]) -> Result<Self, Error> {
        limit("certificate", der.len(), limits::CERTIFICATE_BYTES_MAX)?;
        Parsed::read(der).map(|parsed| Self(Arc::new(parsed)))
    }

    /// Reads the one certificate in a PEM text.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        Self::parse(&pem::decode_one(PEM_LABEL, text)?)
    }

    /// The exact bytes.
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// The certificate as PEM.
    pub fn pem(&self) -> String {
        pem::encode(PEM_LABEL, &self.0.der)
    }

    /// The SHA-256 of the exact bytes.
    #[cfg(feature = "aws-lc")]
    pub fn id(&self) -> CertificateId {
        CertificateId::of(&self.0.der)
    }

    /// 1, 2 or 3.
    pub fn version(&self) -> u8 {
        self.0.version
    }

    /// The content bytes of the serial number: two's complement, as they came.
    pub fn serial(&self) -> &[u8] {
        self.slice(&self.0.serial)
    }

    /// Who issued it, by its own account.
    pub fn issuer(&self) -> &Name {
        &self.0.issuer
    }

    /// Whose certificate it is.
    pub fn subject(&self) -> &Name {
        &self.0.subject
    }

    /// The first moment of its validity.
    pub fn not_before(&self) -> UnixMillis {
        self.0.not_before
    }

    /// The last moment of its validity.
    pub fn not_after(&self) -> UnixMillis {
        self.0.not_after
    }

    /// Whether `now` lies in its validity, both ends included (RFC 5280 4.1.2.5).
    pub fn is_valid_at(&self, now: UnixMillis) -> bool {
        // The last second counts to its end: the encoding has no parts of seconds.
        (self.0.not_before.seconds()..=self.0.not_after.seconds()).contains(&now.seconds())
    }

    /// The subject's key.
    pub fn public_key(&self) -> &PublicKey {
        &self.0.public_key
    }

    /// The bytes that are signed.
    pub fn tbs(&self) -> &[u8] {
        self.slice(&self.0.tbs)
    }

    /// How it is signed; `None` if the algorithm is not one of the six in [`SignatureAlgorithm`].
    pub fn signature_algorithm(&self) -> Option<SignatureAlgorithm> {
        self.0.algorithm
    }

    /// The signature.
    pub fn signature(&self) -> &[u8] {
        self.slice(&self.0.signature)
    }

    /// Every extension, in order.
    pub fn extensions(&self) -> impl Iterator<Item = Extension<'_>> {
        let mut reader = Reader::new(self.slice(&self.0.extensions));
        core::iter::from_fn(move || Extension::read(&mut reader).ok())
    }

    /// Whether the subject is a CA.
    pub fn basic_constraints(&self) -> Option<BasicConstraints> {
        self.0.known.basic_constraints
    }

    /// Whether its basic constraints say that it is a CA.
    pub fn is_ca(&self) -> bool {
        self.basic_constraints().is_some_and(|constraints| constraints.ca)
    }

    /// What the key may be used for.
    pub fn key_usage(&self) -> Option<KeyUsage> {
        self.0.known.key_usage
    }

    /// The purposes that it is limited to.
    pub fn extended_key_usage(&self) -> Option<&ExtendedKeyUsage> {
        self.0.known.extended_key_usage.as_ref()
    }

    /// Other names of the subject.
    pub fn alternative_names(&self) -> &[AlternativeName] {
        &self.0.known.alternative_names
    }

    /// The identifier of the subject's key.
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.0.known.subject_key_id.as_deref()
    }

    /// The identifier of the issuer's key.
    pub fn authority_key_id(&self) -> Option<&[u8]> {
        self.0.known.authority_key_id.as_deref()
    }

    /// Whether it was made for, or under the root of, a simulated chip (see [`extension::SIMULATED`]).
    pub fn is_simulated(&self) -> bool {
        self.0.known.simulated
    }

    /// Whether issuer and subject are the same name. It says nothing about who signed.
    pub fn is_self_issued(&self) -> bool {
        self.0.issuer == self.0.subject
    }

    /// Verifies its signature with this key. Names, validity and purposes are not looked at.
    #[cfg(feature = "aws-lc")]
    pub fn is_signed_by(&self, issuer: &PublicKey) -> Result<(), Error> {
        let algorithm = self.0.algorithm.ok_or(Error::UnsupportedAlgorithm)?;
        crate::crypto::verify(issuer, algorithm, self.tbs(), self.signature()).map_err(|error| match error {
            Error::BadSignature { .. } => Error::BadSignature { what: "certificate" },
            other => other,
        })
    }

    fn slice(&self, range: &Range<usize>) -> &[u8] {
        self.0.der.get(range.clone()).unwrap_or_default()
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.0.der == other.0.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({}, issued by {})", self.0.subject, self.0.issuer)
    }
}

fn limit(what: &'static str, found: usize, limit: usize) -> Result<(), Error> {
    if found > limit {
        Err(Error::TooLarge { what, found, limit })
    } else {
        Ok(())
    }
}

/// The fields of a TBSCertificate, borrowed, before any of them is looked into.
pub(crate) struct Fields<'a> {
    pub(crate) version: u8,
    pub(crate) serial: &'a [u8],
    pub(crate) algorithm: &'a [u8],
    pub(crate) issuer: &'a [u8],
    pub(crate) not_before: UnixMillis,
    pub(crate) not_after: UnixMillis,
    pub(crate) subject: &'a [u8],
    pub(crate) spki: &'a [u8],
    /// The extensions, one behind the other; empty if there are none.
    pub(crate) extensions: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Reads a complete TBSCertificate.
    pub(crate) fn read(tbs: &'a [u8]) -> Result<Self, Error> {
        let outer =
            Reader::whole(tbs, |reader| reader.expect(Tag::SEQUENCE)).map_err(|f| f.within("certificate"))?;
        let mut reader = Reader::new(outer.content);
        let tbs = &mut reader;
        let version = read_version(tbs).map_err(|f| f.within("certificate version"))?;
        let serial = tbs.integer().map_err(|f| f.within("certificate serial number"))?;
        let algorithm = tbs
            .expect(Tag::SEQUENCE)
            .map_err(|f| f.within("certificate signature algorithm"))?
            .bytes;
        let issuer = tbs
            .expect(Tag::SEQUENCE)
            .map_err(|f| f.within("certificate issuer"))?
            .bytes;
        let (not_before, not_after) = tbs
            .sequence(|validity| Ok((validity.time()?, validity.time()?)))
            .map_err(|f| f.within("certificate validity"))?;
        let subject = tbs
            .expect(Tag::SEQUENCE)
            .map_err(|f| f.within("certificate subject"))?
            .bytes;
        let spki = tbs
            .expect(Tag::SEQUENCE)
            .map_err(|f| f.within("certificate public key"))?
            .bytes;
        let extensions = read_tail(tbs, version).map_err(|f| f.within("certificate extensions"))?;
        limit(
            "certificate serial number",
            serial.len(),
            limits::SERIAL_BYTES_MAX,
        )?;
        Ok(Self {
            version,
            serial,
            algorithm,
            issuer,
            not_before,
            not_after,
            subject,
            spki,
            extensions,
        })
    }
}

impl Parsed {
    fn read(der: &[u8]) -> Result<Self, Error> {
        let (tbs, identifier, signature) =
            Reader::whole(der, |reader| reader.sequence(read_outer)).map_err(|f| f.within("certificate"))?;
        limit(
            "certificate signature",
            signature.len(),
            limits::SIGNATURE_BYTES_MAX,
        )?;
        let fields = Fields::read(tbs)?;
        if fields.algorithm != identifier {
            return Err(Fault::Content.within("certificate signature algorithm")); // RFC 5280 4.1.1.2: both are the same
        }
        let within = |f: Fault| f.within("certificate signature algorithm");
        Ok(Self {
            tbs: range_of(der, tbs),
            serial: range_of(der, fields.serial),
            signature: range_of(der, signature),
            extensions: range_of(der, fields.extensions),
            version: fields.version,
            algorithm: SignatureAlgorithm::from_identifier(identifier).map_err(within)?,
            issuer: Name::from_der(fields.issuer)?,
            subject: Name::from_der(fields.subject)?,
            not_before: fields.not_before,
            not_after: fields.not_after,
            public_key: PublicKey::from_spki_der(fields.spki)?,
            known: Known::read(fields.extensions)?,
            der: der.into(),
        })
    }
}

/// To-be-signed part, algorithm and signature.
type Outer<'a> = (&'a [u8], &'a [u8], &'a [u8]);

fn read_outer<'a>(certificate: &mut Reader<'a>) -> Result<Outer<'a>, Fault> {
    let tbs = certificate.expect(Tag::SEQUENCE)?.bytes;
    let identifier = certificate.expect(Tag::SEQUENCE)?.bytes;
    Ok((tbs, identifier, certificate.whole_bits()?))
}

fn read_version(tbs: &mut Reader<'_>) -> Result<u8, Fault> {
    match tbs.optional(Tag::context_constructed(0))? {
        None => Ok(1),
        Some(content) => match Reader::whole(content, Reader::small)? {
            number @ 0..=2 => Ok(u8::try_from(number).unwrap_or_default() + 1),
            _ => Err(Fault::Content),
        },
    }
}

/// What stands behind the key: the two unique identifiers of version 2, and the extensions of version 3.
fn read_tail<'a>(tbs: &mut Reader<'a>, version: u8) -> Result<&'a [u8], Fault> {
    for number in [1, 2] {
        let present = tbs.optional(Tag::context(number))?.is_some();
        if present && version < 2 {
            return Err(Fault::Content);
        }
    }
    let Some(content) = tbs.optional(Tag::context_constructed(3))? else {
        tbs.finish()?;
        return Ok(&[]);
    };
    tbs.finish()?;
    let list = Reader::whole(content, |reader| reader.expect(Tag::SEQUENCE))?.content;
    if version == 3 && !list.is_empty() {
        Ok(list)
    } else {
        Err(Fault::Content)
    }
}

/// Where `part`, which was borrowed from `whole`, lies in it.
fn range_of(whole: &[u8], part: &[u8]) -> Range<usize> {
    if part.is_empty() {
        return 0..0;
    }
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}

impl Known {
    fn read(extensions: &[u8]) -> Result<Self, Error> {
        let mut known = Self::default();
        let mut seen = Vec::<&[u8]>::new();
        let mut reader = Reader::new(extensions);
        while !reader.is_empty() {
            let extension = Extension::read(&mut reader).map_err(|f| f.within("certificate extension"))?;
            limit("certificate extensions", seen.len() + 1, limits::EXTENSIONS_MAX)?;
            if seen.contains(&extension.oid) {
                return Err(Fault::Duplicate.within("certificate extension")); // RFC 5280 4.2
            }
            seen.push(extension.oid);
            known.take(extension)?;
        }
        Ok(known)
    }

    fn take(&mut self, extension: Extension<'_>) -> Result<(), Error> {
        let (oid, value) = (extension.oid, extension.value);
        if oid == extension::BASIC_CONSTRAINTS.content() {
            self.basic_constraints =
                Some(BasicConstraints::read(value).map_err(|f| f.within("basic constraints"))?);
        } else if oid == extension::KEY_USAGE.content() {
            self.key_usage = Some(KeyUsage::read(value).map_err(|f| f.within("key usage"))?);
        } else if oid == extension::EXTENDED_KEY_USAGE.content() {
            self.extended_key_usage =
                Some(ExtendedKeyUsage::read(value).map_err(|f| f.within("extended key usage"))?);
        } else if oid == extension::SUBJECT_ALTERNATIVE_NAME.content() {
            self.alternative_names =
                AlternativeName::read_all(value).map_err(|f| f.within("subject alternative names"))?;
        } else if oid == extension::SUBJECT_KEY_ID.content() {
            let id = Reader::whole(value, Reader::octets).map_err(|f| f.within("subject key identifier"))?;
            self.subject_key_id = Some(id.into());
        } else if oid == extension::AUTHORITY_KEY_ID.content() {
            let id =
                extension::read_authority_key_id(value).map_err(|f| f.within("authority key identifier"))?;
            self.authority_key_id = id.map(Into::into);
        } else if oid == extension::SIMULATED.content() {
            extension::read_simulated(value).map_err(|f| f.within("mark of simulated chips"))?;
            self.simulated = true;
        }
        Ok(())
    }
}
