//! Certification requests (PKCS #10, RFC 2986): how a key asks for a certificate and proves that it is alive.
//!
//! The signature inside the request is the proof: only [`Request::verify`] makes a [`ProvenKey`], and only a proven key can
//! be issued for. What else a request asks for (extensions, a name) is looked at by whoever issues, never copied blindly.

use alloc::{string::String, vec::Vec};

use crate::{
    Error,
    der::{Fault, Oid, Reader, Tag, Writer},
    extension::Extension,
    key::{PublicKey, SignatureAlgorithm},
    limits::REQUEST_BYTES_MAX,
    name::Name,
    pem,
};

/// The label of a request in PEM (RFC 7468 7).
pub const PEM_LABEL: &str = "CERTIFICATE REQUEST";
/// The older label, which some tools still write.
pub const PEM_LABEL_OLD: &str = "NEW CERTIFICATE REQUEST";

const EXTENSION_REQUEST: Oid = Oid::from_static(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e]);

/// The CertificationRequestInfo for this subject and key: the bytes that the key's holder signs.
pub fn to_be_signed(subject: &Name, key: &PublicKey) -> Vec<u8> {
    Writer::build(|writer| {
        writer.sequence(|info| {
            info.unsigned(&[0]);
            info.raw(subject.der());
            info.raw(key.spki_der());
            info.element(Tag::context_constructed(0), &[]);
        });
    })
}

/// Puts a signature behind the bytes that were signed: the complete request.
pub fn assemble(tbs: &[u8], algorithm: SignatureAlgorithm, signature_der: &[u8]) -> Vec<u8> {
    Writer::build(|writer| {
        writer.sequence(|request| {
            request.raw(tbs);
            request.raw(&algorithm.identifier_der());
            request.whole_bits(signature_der);
        });
    })
}

/// A request that was read, and not believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    tbs: Vec<u8>,
    subject: Name,
    public_key: PublicKey,
    algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
}

impl Request {
    /// Reads a request from DER.
    pub fn parse(der: &[u8]) -> Result<Self, Error> {
        limit(der.len())?;
        let within = |fault: Fault| fault.within("certification request");
        let (tbs, identifier, signature) = Reader::whole(der, |reader| {
            reader.sequence(|request| {
                let tbs = request.expect(Tag::SEQUENCE)?.bytes;
                Ok((tbs, request.expect(Tag::SEQUENCE)?.bytes, request.whole_bits()?))
            })
        })
        .map_err(within)?;
        let (subject, spki) = Reader::whole(tbs, |reader| reader.sequence(read_info)).map_err(within)?;
        let public_key = PublicKey::from_spki_der(spki)?;
        let algorithm = SignatureAlgorithm::from_identifier(identifier)
            .map_err(within)?
            .filter(|algorithm| algorithm.fits(public_key.kind()))
            .ok_or(Error::UnsupportedAlgorithm)?;
        let subject = Name::from_der(subject)?;
        Ok(Self {
            tbs: tbs.into(),
            subject,
            public_key,
            algorithm,
            signature: signature.into(),
        })
    }

    /// Reads the one request in a PEM text, under its current or its older label.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        limit(text.len())?;
        let label = if text.contains("BEGIN NEW CERTIFICATE REQUEST") {
            PEM_LABEL_OLD
        } else {
            PEM_LABEL
        };
        Self::parse(&pem::decode_one(label, text)?)
    }

    /// Who asks, by its own account.
    pub const fn subject(&self) -> &Name {
        &self.subject
    }

    /// The key that a certificate is asked for; not proven before [`verify`](Self::verify).
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// How the request is signed.
    pub const fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// The bytes that are signed.
    pub fn tbs(&self) -> &[u8] {
        &self.tbs
    }

    /// The signature.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Verifies that the holder of the key signed this request.
    #[cfg(feature = "aws-lc")]
    pub fn verify(self) -> Result<ProvenKey, Error> {
        crate::crypto::verify(&self.public_key, self.algorithm, &self.tbs, &self.signature).map_err(
            |error| match error {
                Error::BadSignature { .. } => Error::BadSignature {
                    what: "certification request",
                },
                other => other,
            },
        )?;
        Ok(ProvenKey {
            public_key: self.public_key,
            subject: self.subject,
        })
    }
}

/// A key whose holder has proven that it can sign. Only [`Request::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenKey {
    public_key: PublicKey,
    subject: Name,
}

impl ProvenKey {
    /// The key.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The name that its holder signed along with it.
    pub const fn subject(&self) -> &Name {
        &self.subject
    }

    #[cfg(feature = "aws-lc")]
    pub(crate) fn into_public_key(self) -> PublicKey {
        self.public_key
    }
}

/// A request as PEM.
pub fn encode_pem(der: &[u8]) -> String {
    pem::encode(PEM_LABEL, der)
}

fn limit(found: usize) -> Result<(), Error> {
    let limit = REQUEST_BYTES_MAX;
    if found > limit {
        Err(Error::TooLarge {
            what: "certification request",
            found,
            limit,
        })
    } else {
        Ok(())
    }
}

/// Subject and SubjectPublicKeyInfo.
fn read_info<'a>(info: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8]), Fault> {
    if info.small()? != 0 {
        return Err(Fault::Content);
    }
    let subject = info.expect(Tag::SEQUENCE)?.bytes;
    let spki = info.expect(Tag::SEQUENCE)?.bytes;
    // Some tools leave the attributes out, though RFC 2986 4.1 does not.
    if let Some(attributes) = info.optional(Tag::context_constructed(0))? {
        Reader::whole(attributes, check_attributes)?;
    }
    Ok((subject, spki))
}

/// What else is asked for must at least be well-formed; nothing of it is granted.
fn check_attributes(attributes: &mut Reader<'_>) -> Result<(), Fault> {
    while !attributes.is_empty() {
        attributes.sequence(|attribute| {
            let kind = attribute.oid()?;
            attribute.inside(Tag::SET, |values| {
                while !values.is_empty() {
                    let value = values.element()?;
                    if kind == EXTENSION_REQUEST {
                        Reader::whole(value.bytes, |list| list.sequence(check_extensions))?;
                    }
                }
                Ok(())
            })
        })?;
    }
    Ok(())
}

fn check_extensions(list: &mut Reader<'_>) -> Result<(), Fault> {
    while !list.is_empty() {
        Extension::read(list)?;
    }
    Ok(())
}
