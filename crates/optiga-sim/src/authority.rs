//! The simulated root and CA above the factory certificates (object E0E0): real certificates of a world that does not exist.
//!
//! The shape is that of the production chain (P-384 root, P-256 CA, device certificates with an empty subject and a four-byte
//! serial); every name and an extension say SIMULATED, and the keys come from the tray's seed. Whoever trusts this root trusts
//! everybody who can read this file.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::EcdsaKeyPair;
use identity::UnixMillis;
use identity::certificate::Certificate;
use identity::crypto::sha256;
use identity::der::{Oid, Tag, Writer};
use identity::extension::{SIMULATED, SIMULATED_WORD};
use identity::key::{Curve as KeyCurve, PublicKey, SignatureAlgorithm};
use identity::name::{AttributeKind, Name};

use crate::Error;
use crate::ec::{self, Curve, StoredKey};
use crate::tray::journal::{Journal, Record, WHOLE_TRAY};

const KEY_USAGE: Oid = Oid::from_static(&[0x55, 0x1D, 15]);
const BASIC_CONSTRAINTS: Oid = Oid::from_static(&[0x55, 0x1D, 19]);
const SUBJECT_KEY_ID: Oid = Oid::from_static(&[0x55, 0x1D, 14]);
const AUTHORITY_KEY_ID: Oid = Oid::from_static(&[0x55, 0x1D, 35]);
const CERTIFICATE_POLICIES: Oid = Oid::from_static(&[0x55, 0x1D, 32]);

/// 2024-01-01, when this world began.
const BEGINNING: UnixMillis = UnixMillis(1_704_067_200_000);
const YEAR_MILLIS: i64 = 31_557_600_000;

/// Root, CA, and what they certify, for one seed.
#[derive(Debug)]
pub struct Authority {
    seed: u64,
    root: OnceLock<Issued>,
    ca: OnceLock<Issued>,
    making: Mutex<()>,
    journal: OnceLock<Arc<Journal>>,
}

/// A certificate, whose signature can not be made a second time, and the key below it.
struct Issued {
    der: Vec<u8>,
    signer: Signer,
}

impl core::fmt::Debug for Issued {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Issued").finish_non_exhaustive()
    }
}

/// The two certificates above a factory certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Root,
    Ca,
}

impl Level {
    pub(crate) const fn to_file(self) -> u8 {
        self as u8
    }

    pub(crate) const fn from_file(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Root),
            1 => Some(Self::Ca),
            _ => None,
        }
    }
}

impl Authority {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            root: OnceLock::new(),
            ca: OnceLock::new(),
            making: Mutex::new(()),
            journal: OnceLock::new(),
        }
    }

    /// Keeps what it makes from now on in a tray's file.
    pub(crate) fn keep_in(&self, journal: Arc<Journal>) {
        drop(self.journal.set(journal));
    }

    /// The simulated root's certificate.
    ///
    /// # Errors
    /// [`Error::Authority`] if the cryptographic library fails.
    pub fn root(&self) -> Result<Certificate, Error> {
        parse(&self.issued(Level::Root)?.der)
    }

    /// The certificate of the simulated CA that issues factory certificates.
    ///
    /// # Errors
    /// [`Error::Authority`] if the cryptographic library fails.
    pub fn ca(&self) -> Result<Certificate, Error> {
        parse(&self.issued(Level::Ca)?.der)
    }

    /// Takes back a certificate that was made before.
    pub(crate) fn restore(&self, level: Level, der: &[u8]) -> Option<()> {
        let signer = self.signer(level).ok()?;
        drop(self.slot(level).set(Issued {
            der: der.to_vec(),
            signer,
        }));
        Some(())
    }

    /// Three bytes that differ from seed to seed.
    pub(crate) fn batch(&self) -> [u8; 3] {
        let [a, b, c, ..] = self.derive("batch", 0, 0);
        [a, b, c]
    }

    /// A key that seals what a chip exports.
    pub(crate) fn sealing_key(&self, index: u32) -> [u8; 32] {
        self.derive("seal", index, 0)
    }

    /// The factory key of a chip (object E0F0), as it is stored.
    pub(crate) fn chip_key(&self, index: u32) -> Result<StoredKey, Error> {
        self.key(Curve::P256, "chip", index)
    }

    /// The factory certificate of a chip, as a TLS identity: nine bytes before the DER.
    pub(crate) fn chip_identity(&self, index: u32, key: &[u8]) -> Result<Vec<u8>, Error> {
        let ca = self.issued(Level::Ca)?;
        let tbs = Tbs {
            serial: &chip_serial(self.derive("serial", 0, 0), index),
            issuer: &ca.signer,
            subject: empty_name(),
            public_key: public_key(Curve::P256, key)?,
            years: 20,
        };
        let der = ca.signer.issue(&tbs.encode(write_chip_extensions))?;
        let identity = wrap(&der).ok_or(Error::Authority("wrap a certificate that long"))?;
        Ok(identity)
    }

    fn slot(&self, level: Level) -> &OnceLock<Issued> {
        match level {
            Level::Root => &self.root,
            Level::Ca => &self.ca,
        }
    }

    /// The certificate of this level, made on first use and kept before anybody sees it.
    fn issued(&self, level: Level) -> Result<&Issued, Error> {
        if level == Level::Ca {
            self.issued(Level::Root)?;
        }
        if let Some(issued) = self.slot(level).get() {
            return Ok(issued);
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(issued) = self.slot(level).get() {
            return Ok(issued);
        }
        let made = self.make(level)?;
        if let Some(journal) = self.journal.get() {
            journal
                .append(certificate_record(level, &made.der))
                .map_err(|_| Error::Authority("keep a certificate"))?;
        }
        Ok(self.slot(level).get_or_init(|| made))
    }

    /// Records of what there is, for a fresh file.
    pub(crate) fn snapshot(&self) -> Vec<Record> {
        // One that is being made is in the file before it is in its slot.
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let levels = [Level::Root, Level::Ca].into_iter();
        levels
            .filter_map(|level| Some(certificate_record(level, &self.slot(level).get()?.der)))
            .collect()
    }

    fn make(&self, level: Level) -> Result<Issued, Error> {
        let signer = self.signer(level)?;
        let root = match level {
            Level::Root => None,
            Level::Ca => self.root.get(),
        };
        let issuer = root.map_or(&signer, |root| &root.signer);
        let mut serial = self.derive("authority serial", level as u32, 0);
        if let Some(first) = serial.first_mut() {
            *first = *first & 0x7F | 0x40;
        }
        let tbs = Tbs {
            serial: serial.get(..8).unwrap_or(&[1]),
            issuer,
            subject: signer.name.der(),
            public_key: signer.public_key.clone(),
            years: 25,
        };
        let path_length = (level == Level::Ca).then_some(0);
        let der = issuer.issue(&tbs.encode(|writer, tbs| write_ca_extensions(writer, tbs, path_length)))?;
        Ok(Issued { der, signer })
    }

    fn signer(&self, level: Level) -> Result<Signer, Error> {
        let (curve, common_name) = match level {
            Level::Root => (Curve::P384, "Birthmark SIMULATED Chip Root"),
            Level::Ca => (Curve::P256, "Birthmark SIMULATED Chip CA"),
        };
        let stored = self.key(curve, "authority", level as u32)?;
        let name = Name::build(&[
            (AttributeKind::Organization, "Birthmark SIMULATED"),
            (AttributeKind::OrganizationalUnit, "No real chip, no security"),
            (AttributeKind::CommonName, common_name),
        ]);
        Ok(Signer {
            name: name.map_err(|_| Error::Authority("build a name"))?,
            public_key: public_key(curve, &stored)?,
            pair: ec::load(curve, &stored).ok_or(Error::Authority("load a key"))?,
            curve,
        })
    }

    /// A key from the seed. Almost every number is a scalar; for the others there is a next one.
    fn key(&self, curve: Curve, what: &str, index: u32) -> Result<StoredKey, Error> {
        let candidates = (0..8).filter_map(|attempt| {
            let halves = [
                self.derive(what, index, 2 * attempt),
                self.derive(what, index, 2 * attempt + 1),
            ]
            .concat();
            ec::store_scalar(curve, halves.get(..curve.bytes())?)
        });
        { candidates }.next().ok_or(Error::Authority("derive a key"))
    }

    fn derive(&self, what: &str, index: u32, part: u8) -> [u8; 32] {
        let input = [
            b"Birthmark SIMULATED chips, version 1: ",
            what.as_bytes(),
            &[0],
            &self.seed.to_be_bytes(),
            &index.to_be_bytes(),
            &[part],
        ];
        sha256(&input.concat())
    }
}

fn certificate_record(level: Level, der: &[u8]) -> Record {
    let mut record = Record::new(WHOLE_TRAY);
    record.push(&[level.to_file()]);
    record.push(der);
    record
}

/// A key that signs certificates, and the name on them.
struct Signer {
    name: Name,
    public_key: PublicKey,
    pair: EcdsaKeyPair,
    curve: Curve,
}

impl Signer {
    fn algorithm(&self) -> SignatureAlgorithm {
        match self.curve {
            Curve::P256 => SignatureAlgorithm::EcdsaSha256,
            Curve::P384 => SignatureAlgorithm::EcdsaSha384,
        }
    }

    fn issue(&self, tbs: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self
            .pair
            .sign(&SystemRandom::new(), tbs)
            .map_err(|_| Error::Authority("sign"))?;
        Ok(Writer::build(|writer| {
            writer.sequence(|certificate| {
                certificate.raw(tbs);
                certificate.raw(&self.algorithm().identifier_der());
                certificate.whole_bits(signature.as_ref());
            });
        }))
    }
}

/// What a certificate says (RFC 5280 4.1.2).
struct Tbs<'a> {
    serial: &'a [u8],
    issuer: &'a Signer,
    subject: &'a [u8],
    public_key: PublicKey,
    years: i64,
}

impl Tbs<'_> {
    fn encode(&self, extensions: impl FnOnce(&mut Writer, &Self)) -> Vec<u8> {
        Writer::build(|writer| {
            writer.sequence(|tbs| {
                tbs.nested(Tag::context_constructed(0), |version| version.unsigned(&[2]));
                tbs.unsigned(self.serial);
                tbs.raw(&self.issuer.algorithm().identifier_der());
                tbs.raw(self.issuer.name.der());
                tbs.sequence(|validity| {
                    validity.time(BEGINNING);
                    validity.time(UnixMillis(BEGINNING.0 + self.years * YEAR_MILLIS));
                });
                tbs.raw(self.subject);
                tbs.raw(self.public_key.spki_der());
                tbs.nested(Tag::context_constructed(3), |outer| {
                    outer.sequence(|list| extensions(list, self))
                });
            });
        })
    }
}

fn write_chip_extensions(list: &mut Writer, tbs: &Tbs<'_>) {
    // Digital signature, with the padding bits that the production certificates have.
    extension(list, &KEY_USAGE, true, |value| {
        value.element(Tag::BIT_STRING, &[0x00, 0x80])
    });
    extension(list, &BASIC_CONSTRAINTS, true, |value| value.sequence(|_| {}));
    extension(list, &CERTIFICATE_POLICIES, false, |value| {
        value.sequence(|policies| policies.sequence(|policy| policy.oid(&SIMULATED)));
    });
    write_authority_key_id(list, tbs);
    write_mark(list);
}

fn write_ca_extensions(list: &mut Writer, tbs: &Tbs<'_>, path_length: Option<u8>) {
    // Certificates and revocation lists.
    extension(list, &KEY_USAGE, true, |value| {
        value.element(Tag::BIT_STRING, &[0x01, 0x06])
    });
    extension(list, &BASIC_CONSTRAINTS, true, |value| {
        value.sequence(|constraints| {
            constraints.boolean(true);
            if let Some(length) = path_length {
                constraints.unsigned(&[length]);
            }
        });
    });
    extension(list, &SUBJECT_KEY_ID, false, |value| {
        value.element(Tag::OCTET_STRING, &tbs.public_key.key_id())
    });
    write_authority_key_id(list, tbs);
    write_mark(list);
}

fn write_authority_key_id(list: &mut Writer, tbs: &Tbs<'_>) {
    let key_id = tbs.issuer.public_key.key_id();
    extension(list, &AUTHORITY_KEY_ID, false, |value| {
        value.sequence(|identifier| identifier.element(Tag::context(0), &key_id));
    });
}

fn write_mark(list: &mut Writer) {
    extension(list, &SIMULATED, false, |value| {
        value.element(Tag::UTF8_STRING, SIMULATED_WORD.as_bytes())
    });
}

fn extension(list: &mut Writer, oid: &Oid, critical: bool, write: impl FnOnce(&mut Writer)) {
    list.sequence(|extension| {
        extension.oid(oid);
        if critical {
            extension.boolean(true);
        }
        extension.element(Tag::OCTET_STRING, &Writer::build(write));
    });
}

fn public_key(curve: Curve, stored: &[u8]) -> Result<PublicKey, Error> {
    let key_curve = match curve {
        Curve::P256 => KeyCurve::P256,
        Curve::P384 => KeyCurve::P384,
    };
    PublicKey::from_ec_point(key_curve, ec::point(curve, stored))
        .map_err(|_| Error::Authority("read its own key"))
}

fn parse(der: &[u8]) -> Result<Certificate, Error> {
    Certificate::parse(der).map_err(|_| Error::Authority("read its own certificate"))
}

const fn empty_name() -> &'static [u8] {
    &[0x30, 0]
}

/// Four bytes that no other chip of the tray has: the number, moved by the seed, under a fixed top.
fn chip_serial(seed: [u8; 32], index: u32) -> [u8; 4] {
    let [a, b, c, d, ..] = seed;
    let moved = u32::from_be_bytes([a, b, c, d]).wrapping_add(index) & 0x0FFF_FFFF;
    (0x1000_0000 | moved).to_be_bytes()
}

/// One certificate as the body of a TLS 1.2 Certificate message, with the chip's tag and length before it.
fn wrap(der: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(der.len() + 6).ok()?;
    let [a1, a0] = length.to_be_bytes();
    let [b1, b0] = (length - 3).to_be_bytes();
    let [c1, c0] = (length - 6).to_be_bytes();
    Some([&[0xC0, a1, a0, 0, b1, b0, 0, c1, c0], der].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chip_is_certified_by_the_ca_and_the_ca_by_the_root() {
        let authority = Authority::new(7);
        let (root, ca) = (authority.root().unwrap(), authority.ca().unwrap());
        root.is_signed_by(root.public_key()).unwrap();
        ca.is_signed_by(root.public_key()).unwrap();
        let key = authority.chip_key(5).unwrap();
        let identity = authority.chip_identity(5, &key).unwrap();
        assert_eq!(identity[0], 0xC0);
        assert_eq!(
            usize::from(u16::from_be_bytes([identity[7], identity[8]])),
            identity.len() - 9
        );
        let chip = Certificate::parse(&identity[9..]).unwrap();
        chip.is_signed_by(ca.public_key()).unwrap();
        assert!(chip.is_signed_by(root.public_key()).is_err());
        assert_eq!(
            chip.public_key().ec_point().unwrap(),
            ec::point(Curve::P256, &key)
        );
        assert_eq!(chip.authority_key_id(), ca.subject_key_id());
        assert_eq!(chip.subject().attributes(), []);
        assert_eq!(chip.serial().len(), 4);
        for certificate in [&root, &ca, &chip] {
            assert!(certificate.is_simulated());
            assert!(certificate.issuer().to_string().contains("SIMULATED"));
            assert!(!certificate.issuer().to_string().contains("Infineon"));
        }
        assert!(identity.len() <= 1300, "the chip itself could not parse it");
    }

    #[test]
    fn keys_come_from_the_seed_and_certificates_are_kept() {
        let (one, same, other) = (Authority::new(1), Authority::new(1), Authority::new(2));
        assert_eq!(*one.chip_key(3).unwrap(), *same.chip_key(3).unwrap());
        assert_ne!(*one.chip_key(3).unwrap(), *one.chip_key(4).unwrap());
        assert_ne!(*one.chip_key(3).unwrap(), *other.chip_key(3).unwrap());
        assert_eq!(one.ca().unwrap().id(), one.ca().unwrap().id());
        same.restore(Level::Root, one.root().unwrap().der()).unwrap();
        same.restore(Level::Ca, one.ca().unwrap().der()).unwrap();
        assert_eq!(one.root().unwrap().id(), same.root().unwrap().id());
        assert_eq!(one.ca().unwrap().id(), same.ca().unwrap().id());
    }

    #[test]
    fn serials_of_neighbours_differ() {
        let seed = [0xFF; 32];
        assert_ne!(chip_serial(seed, 0), chip_serial(seed, 1));
        assert!(chip_serial(seed, 1) >= [0x10, 0, 0, 0]);
    }
}
