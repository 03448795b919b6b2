//! The bytes to be signed, and the one step that signs them.

use alloc::vec::Vec;
use core::fmt;

use crate::{Error, key::PublicKey};
use crate::{
    certificate::{Certificate, Fields},
    crypto::SoftwareKey,
    der::push_length,
    issue::{Profile, Signer},
    key::SignatureAlgorithm,
    name::Name,
    request::{self, ProvenKey},
};

/// A serial number: 16 bytes, positive, its first byte never zero, so that each is encoded in the same length.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial([u8; 16]);

impl Serial {
    /// The serial number with these bytes; the first is between 01 and 7f.
    pub const fn new(bytes: [u8; 16]) -> Result<Self, Error> {
        match bytes {
            [0x01..=0x7f, ..] => Ok(Self(bytes)),
            _ => Err(Error::OutOfRange {
                what: "serial number",
                allowed: "16 bytes, the first between 01 and 7f",
            }),
        }
    }

    /// A serial number from 16 random bytes, of which 126 bits remain.
    pub const fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[0] = bytes[0] & 0x7f | 0x40;
        Self(bytes)
    }

    /// The 16 bytes.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

/// A certificate that needs only a signature. Signing consumes it: there is at most one signature per preparation.
#[derive(Debug)]
pub struct Prepared {
    tbs: Vec<u8>,
    #[cfg_attr(
        not(feature = "aws-lc"),
        expect(dead_code, reason = "read only where signatures can be made")
    )]
    issuer_key: PublicKey,
}

impl Prepared {
    /// The complete to-be-signed bytes, for the ledger.
    pub fn to_be_signed(&self) -> &[u8] {
        &self.tbs
    }

    /// The key that is to be certified.
    pub fn public_key(&self) -> Result<PublicKey, Error> {
        PublicKey::from_spki_der(Fields::read(&self.tbs)?.spki)
    }
}

/// Lays out the certificate of `profile` for this key and subject.
pub fn prepare(
    profile: &Profile,
    key: ProvenKey,
    subject: &Name,
    serial: &Serial,
) -> Result<Prepared, Error> {
    profile.check_subject(subject)?;
    let key = key.into_public_key();
    if profile.is_root() && key != *profile.issuer_key() {
        return Err(Error::Profile {
            rule: "the key of a root is the key that signs it",
        });
    }
    if !profile.is_root() && key == *profile.issuer_key() {
        return Err(Error::Profile {
            rule: "a CA does not issue a certificate for its own key",
        });
    }
    let tbs = lay_out(profile, &key, subject, serial);
    Ok(Prepared {
        tbs,
        issuer_key: profile.issuer_key().clone(),
    })
}

/// Version 3 as it stands before the serial number, and the header of a serial number of 16 bytes.
const HEAD: [u8; 7] = [0xa0, 0x03, 0x02, 0x01, 0x02, 0x02, 0x10];

fn lay_out(profile: &Profile, key: &PublicKey, subject: &Name, serial: &Serial) -> Vec<u8> {
    let (before, after) = profile.tail();
    let key_id = key.key_id();
    let parts = [
        &HEAD[..],
        serial.bytes(),
        profile.middle(),
        subject.der(),
        key.spki_der(),
        before,
        &key_id,
        after,
    ];
    let size = parts.iter().map(|part| part.len()).sum();
    let mut tbs = Vec::with_capacity(size + 8);
    tbs.push(0x30);
    push_length(&mut tbs, size);
    parts.iter().for_each(|part| tbs.extend_from_slice(part));
    tbs
}

impl Prepared {
    /// Takes up a preparation again whose to-be-signed bytes come from the ledger; they must name this issuer.
    pub fn resume(tbs: &[u8], issuer: &Certificate) -> Result<Self, Error> {
        let fields = Fields::read(tbs)?;
        if fields.issuer != issuer.subject().der() {
            return Err(Error::Profile {
                rule: "the prepared certificate names another issuer",
            });
        }
        let wanted = SignatureAlgorithm::of(issuer.public_key().kind()).identifier_der();
        if fields.algorithm != wanted {
            return Err(Error::UnsupportedAlgorithm);
        }
        Ok(Self {
            tbs: tbs.into(),
            issuer_key: issuer.public_key().clone(),
        })
    }

    /// Has it signed, verifies the signature that came back, and returns the certificate.
    pub fn sign(self, signer: &dyn Signer) -> Result<Certificate, Error> {
        let algorithm = SignatureAlgorithm::of(self.issuer_key.kind());
        if *signer.public_key() != self.issuer_key || signer.algorithm() != algorithm {
            return Err(Error::WrongSigner);
        }
        let signature = signer.sign(&self.tbs).map_err(Error::Sign)?;
        let certificate = self.assemble(algorithm, &signature)?;
        certificate.is_signed_by(&self.issuer_key)?;
        Ok(certificate)
    }

    /// Signs it with a key of this process and returns the certificate. The signature is not verified, which would cost more
    /// than twice as much as making it: nothing came back from elsewhere, and the library itself has checked that the halves
    /// of the key belong together.
    pub fn sign_here(self, key: &SoftwareKey) -> Result<Certificate, Error> {
        if *key.public_key() != self.issuer_key {
            return Err(Error::WrongSigner);
        }
        let signature = key.sign(&self.tbs).map_err(Error::Sign)?;
        self.assemble(key.algorithm(), &signature)
    }

    /// A certificate and a request are wrapped alike: what was signed, how, and the signature.
    fn assemble(&self, algorithm: SignatureAlgorithm, signature: &[u8]) -> Result<Certificate, Error> {
        Certificate::parse(&request::assemble(&self.tbs, algorithm, signature))
    }
}
