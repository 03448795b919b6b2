//! The backend whose keys live in an OPTIGA Trust X.
//!
//! One identity in this slice: the key in E0F1, its certificate in E0E1 (TLS identity form), the server's root in E0E8 (plain
//! DER), under the labels that FreeRTOS programs look for. The names that Infineon's own port uses ("0xE0F1" and so on) find
//! the same objects.
//!
//! The chip can not compute a public key again. Its point is kept in F1D1 when the key is generated here; on a chip that a
//! factory line has filled, F1D1 is empty and the certificate says it.

use std::format;
use std::string::String;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec;
use std::vec::Vec;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use identity::certificate::Certificate;
use identity::key::{Curve, KeyKind, PublicKey};
use optiga::identity_format::{Certificates, FormatError};
use optiga::{Config, ErrorCode, KeySlot, KeyUsage, LinkError, ObjectId, Optiga, WriteMode};
use zeroize::Zeroizing;

use crate::attribute::{AttributeKind, AttributeKind as A, Class, Value};
use crate::attributes::Attributes;
use crate::backend::{
    Backend, Contents, Damage, Draft, Found, PairDraft, PinState, Place, Status, TokenDescription,
};
use crate::crypto::{HardwareKey, Key, curve_of_parameters, curve_parameters};
use crate::error::{ChipError, Error};
use crate::limits;
use crate::mechanism::{Abilities, KeyType, MechanismType};

/// How an object of the chip is called, and what else it answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Naming {
    label: &'static str,
    aliases: &'static [&'static str],
}

impl Naming {
    fn is(&self, label: &[u8]) -> bool {
        label == self.label.as_bytes() || self.aliases.iter().any(|alias| label == alias.as_bytes())
    }
}

const KEY: KeySlot = KeySlot::E0F1;
const PRIVATE_KEY: Naming = Naming {
    label: "Device Priv TLS Key",
    aliases: &["0xE0F1"],
};
const PUBLIC_KEY: Naming = Naming {
    label: "Device Pub TLS Key",
    aliases: &["0xF1D1"],
};
const POINT: ObjectId = ObjectId(0xF1D1);
const CERTIFICATE: Naming = Naming {
    label: "Device Cert",
    aliases: &["0xE0E1"],
};
const ROOT: Naming = Naming {
    label: "Root Cert",
    aliases: &["0xE0E8"],
};

/// A token in an OPTIGA Trust X.
#[derive(Debug)]
pub struct Chip<I2C, D> {
    link: Arc<Link<I2C, D>>,
    /// Changes that were made from here.
    changes: AtomicU64,
}

/// The chip as its token and its keys share it: one command at a time.
#[derive(Debug)]
struct Link<I2C, D>(Mutex<Driver<I2C, D>>);

impl<I2C, D> Link<I2C, D> {
    /// A thread that panicked in the middle of a command leaves a link that synchronizes again with the next.
    fn driver(&self) -> MutexGuard<'_, Driver<I2C, D>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Driver<I2C, D> {
    driver: Optiga<I2C, D>,
    open: bool,
}

impl<I2C: I2c, D: DelayNs> Chip<I2C, D> {
    /// A chip that has not been spoken to yet.
    pub fn new(i2c: I2C, delay: D, config: Config) -> Self {
        let driver = Driver {
            driver: Optiga::new(i2c, delay, config),
            open: false,
        };
        Self {
            link: Arc::new(Link(Mutex::new(driver))),
            changes: AtomicU64::new(0),
        }
    }

    /// Counts a change; one that touched more than one object counts twice.
    fn changed(&self, objects: u64) {
        self.changes.fetch_add(objects.min(2), Ordering::AcqRel);
    }
}

impl<I2C: I2c, D: DelayNs> Driver<I2C, D> {
    /// Runs a command, after opening the chip if need be. A chip that was reset in between says so before it does anything;
    /// then it is opened again and asked once more. So is one of which nobody knows whether it did: each command here gives the
    /// same when it is carried out twice, or what counts is the last time.
    fn ask<T>(
        &mut self,
        mut command: impl FnMut(&mut Optiga<I2C, D>) -> Result<T, optiga::Error<I2C::Error>>,
    ) -> Result<T, Error> {
        if !self.open {
            self.driver.open().map_err(kind)?;
            self.open = true;
        }
        match command(&mut self.driver) {
            Err(error)
                if error.refusal() == Some(ErrorCode::UNAVAILABLE)
                    || matches!(error, optiga::Error::Link(LinkError::Uncertain | LinkError::Late)) =>
            {
                self.driver.open().map_err(kind)?;
                Ok(command(&mut self.driver).map_err(kind)?)
            }
            other => {
                self.open = !matches!(other, Err(optiga::Error::Link(_) | optiga::Error::Absent { .. }));
                Ok(other.map_err(kind)?)
            }
        }
    }

    fn read(&mut self, object: ObjectId, bytes_max: usize) -> Result<Vec<u8>, Error> {
        let mut content = vec![0; bytes_max];
        let bytes = self.ask(|chip| chip.read_object(object, 0, &mut content))?;
        content.truncate(bytes);
        Ok(content)
    }

    fn load_certificates(
        &mut self,
        naming: Naming,
        object: ObjectId,
        contents: &mut Contents,
    ) -> Result<(), Error> {
        let authority = object == ObjectId::TRUST_ANCHOR;
        let bytes_max = if authority {
            limits::TRUST_ANCHOR_BYTES_MAX
        } else {
            optiga::limits::CERTIFICATE_OBJECT_BYTES_MAX
        };
        let content = self.read(object, bytes_max)?;
        match parse_certificates(&content) {
            Ok(certificates) => contents.objects.extend(
                certificates
                    .iter()
                    .map(|certificate| found_certificate(naming, object, certificate)),
            ),
            Err(why) => contents.damaged.push(Damage {
                label: naming.label,
                why,
            }),
        }
        Ok(())
    }

    fn load_key(&mut self, contents: &mut Contents) -> Result<(), Error> {
        let metadata = self.ask(|chip| chip.read_metadata(KEY.object()))?;
        let Some(curve) = metadata.algorithm.map(curve_of) else {
            return Ok(());
        };
        let usage = metadata.usage.unwrap_or(KeyUsage(0));
        let point = self.read(POINT, optiga::limits::ANSWER_DATA_BYTES_MAX.min(100))?;
        let public = match stored_point(&point) {
            StoredPoint::Known(key) => Some(key),
            StoredPoint::Replaced => None,
            StoredPoint::Never => first_certificate_key(&contents.objects),
        };
        let public = public.filter(|key| key.kind() == KeyKind::Ec(curve));
        if let Some(key) = &public {
            contents.objects.push(found_public_key(key));
        }
        contents
            .objects
            .push(found_private_key(curve, usage, public.as_ref()));
        Ok(())
    }

    fn load(&mut self) -> Result<Contents, Error> {
        let mut contents = Contents::default();
        self.load_certificates(CERTIFICATE, KEY.certificate(), &mut contents)?;
        self.load_key(&mut contents)?;
        self.load_certificates(ROOT, ObjectId::TRUST_ANCHOR, &mut contents)?;
        Ok(contents)
    }
}

fn named(naming: Naming, class: Class) -> Attributes {
    let mut attributes = Attributes::new();
    attributes.set(A::Class, Value::Number(class.number()));
    attributes.set(A::Token, Value::Flag(true));
    attributes.set(A::Private, Value::Flag(false));
    attributes.set(A::Copyable, Value::Flag(false));
    attributes.set(A::Label, Value::text(naming.label));
    attributes
}

fn found(naming: Naming, object: ObjectId, attributes: Attributes) -> Found {
    Found {
        place: place_of(object),
        attributes: Arc::new(attributes),
        aliases: naming.aliases,
    }
}

fn found_certificate(naming: Naming, object: ObjectId, certificate: &Certificate) -> Found {
    let authority = object == ObjectId::TRUST_ANCHOR;
    let mut attributes = named(naming, Class::Certificate);
    attributes.set(A::Value, Value::from(certificate.der().to_vec()));
    attributes.set(A::Trusted, Value::Flag(authority));
    attributes.set(
        A::CertificateCategory,
        Value::Number(if authority { 2 } else { 1 }),
    );
    found(naming, object, attributes)
}

fn key_attributes(naming: Naming, class: Class, curve: Curve) -> Attributes {
    let mut attributes = named(naming, class);
    attributes.set(A::KeyType, Value::Number(KeyType::Ec.number()));
    attributes.set(A::EcParams, Value::bytes(curve_parameters(curve)));
    attributes.set(A::Local, Value::Flag(true));
    attributes.set(
        A::KeyGenMechanism,
        Value::Number(MechanismType::EcKeyPairGen.number()),
    );
    attributes
}

fn found_public_key(key: &PublicKey) -> Found {
    let curve = match key.kind() {
        KeyKind::Ec(curve) => curve,
        KeyKind::Rsa { .. } => Curve::P256,
    };
    let mut attributes = key_attributes(PUBLIC_KEY, Class::PublicKey, curve);
    attributes.set(A::PublicKeyInfo, Value::from(key.spki_der().to_vec()));
    found(PUBLIC_KEY, POINT, attributes)
}

fn found_private_key(curve: Curve, usage: KeyUsage, public: Option<&PublicKey>) -> Found {
    let mut attributes = key_attributes(PRIVATE_KEY, Class::PrivateKey, curve);
    let derive = usage.0 & KeyUsage::AGREE.0 != 0;
    for (kind, flag) in [
        (A::Sign, usage.may_sign()),
        (A::Derive, derive),
        (A::Sensitive, true),
        (A::AlwaysSensitive, true),
        (A::Extractable, false),
        (A::NeverExtractable, true),
    ] {
        attributes.set(kind, Value::Flag(flag));
    }
    if let Some(key) = public {
        attributes.set(A::PublicKeyInfo, Value::from(key.spki_der().to_vec()));
    }
    found(PRIVATE_KEY, KEY.object(), attributes)
}

/// The chip's objects have two-byte names.
fn place_of(object: ObjectId) -> Place {
    Place(u32::from(object.0))
}

fn kind<E: embedded_hal::i2c::Error>(error: optiga::Error<E>) -> ChipError {
    error.map_bus(|cause| cause.kind())
}

fn parse_certificates(content: &[u8]) -> Result<Vec<Certificate>, &'static str> {
    let list = Certificates::parse(content).map_err(|error| match error {
        FormatError::Unknown(_) => "it holds no certificate",
        FormatError::Torn | FormatError::TooLong => "it was not written completely",
    })?;
    list.map(|der| Certificate::parse(der).map_err(|_| "its certificate can not be read"))
        .collect()
}

fn first_certificate_key(objects: &[Found]) -> Option<PublicKey> {
    let certificate = objects
        .iter()
        .find(|object| object.place == place_of(KEY.certificate()))?;
    let parsed = Certificate::parse(certificate.attributes.bytes(A::Value)?).ok()?;
    Some(parsed.public_key().clone())
}

const fn curve_of(curve: optiga::Curve) -> Curve {
    match curve {
        optiga::Curve::P256 => Curve::P256,
        optiga::Curve::P384 => Curve::P384,
    }
}

const fn chip_curve(curve: Curve) -> Option<optiga::Curve> {
    match curve {
        Curve::P256 => Some(optiga::Curve::P256),
        Curve::P384 => Some(optiga::Curve::P384),
        Curve::P521 => None,
    }
}

/// What F1D1 says: version and curve in one byte, the point, a checksum.
#[derive(Debug, PartialEq, Eq)]
enum StoredPoint {
    /// Nobody ever wrote one: the certificate speaks for the key.
    Never,
    /// The key in the slot.
    Known(PublicKey),
    /// A key was being generated when the power went: neither an older point nor the certificate belongs to it for sure.
    Replaced,
}

const POINT_VERSION: u8 = 0x10;
const POINT_REPLACED: &[u8] = &[0x00];

fn stored_point(content: &[u8]) -> StoredPoint {
    let known = || {
        let (body, sum) = content.split_last_chunk::<2>()?;
        let (&head, point) = body.split_first()?;
        let curve = optiga::Curve::from_identifier(head & 0x0F).map(curve_of)?;
        let intact = optiga::crc::checksum(body).to_be_bytes() == *sum && head & 0xF0 == POINT_VERSION;
        PublicKey::from_ec_point(curve, point).ok().filter(|_| intact)
    };
    match content {
        [] => StoredPoint::Never,
        _ => known().map_or(StoredPoint::Replaced, StoredPoint::Known),
    }
}

fn point_record(curve: optiga::Curve, point: &[u8]) -> Vec<u8> {
    let mut record = vec![POINT_VERSION | curve.identifier()];
    record.extend_from_slice(point);
    record.extend_from_slice(&optiga::crc::checksum(&record).to_be_bytes());
    record
}

/// One key slot of the chip.
struct ChipKey<I2C, D> {
    link: Arc<Link<I2C, D>>,
    slot: KeySlot,
}

impl<I2C: I2c + Send, D: DelayNs + Send> HardwareKey for ChipKey<I2C, D> {
    fn sign_digest(&self, curve: Curve, digest: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let curve = chip_curve(curve).ok_or(Error::CurveNotSupported)?;
        // The chip takes no digest below 10 bytes; zeros on the left do not change the number that is signed.
        let mut padded = [0; 48];
        let padded = padded.get_mut(..curve.scalar_bytes()).unwrap_or_default();
        let start = padded
            .len()
            .checked_sub(digest.len())
            .ok_or(Error::DataLengthRange { found: digest.len() })?;
        padded
            .get_mut(start..)
            .unwrap_or_default()
            .copy_from_slice(digest);
        let signature = self
            .link
            .driver()
            .ask(|chip| chip.sign_digest(self.slot, padded))?;
        let wrong = Error::DeviceContent {
            what: "a signature of another curve",
        };
        let mut fixed = [0; 96];
        let fixed = signature.write_fixed(curve, &mut fixed).ok_or(wrong)?;
        let needed = fixed.len();
        let out = out.get_mut(..needed).ok_or(Error::BufferTooSmall { needed })?;
        out.copy_from_slice(fixed);
        Ok(needed)
    }

    fn agree(&self, _: Curve, _: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        Err(Error::FunctionNotSupported)
    }
}

impl<I2C: I2c + Send, D: DelayNs + Send> Driver<I2C, D> {
    fn generate(&mut self, curve: Curve, usage: KeyUsage) -> Result<PublicKey, Error> {
        let chip_curve = chip_curve(curve).ok_or(Error::CurveNotSupported)?;
        self.ask(|chip| chip.write_object(POINT, WriteMode::Replace, 0, POINT_REPLACED))?;
        let key = self.ask(|chip| chip.generate_key(KEY, chip_curve, usage))?;
        let record = point_record(chip_curve, key.point());
        self.ask(|chip| chip.write_object(POINT, WriteMode::Replace, 0, &record))?;
        PublicKey::from_ec_point(curve, key.point()).map_err(|_| Error::DeviceContent {
            what: "a public key that is no point",
        })
    }

    fn store_certificate(&mut self, object: ObjectId, der: &[u8]) -> Result<(), Error> {
        let authority = object == ObjectId::TRUST_ANCHOR;
        let room = if authority {
            limits::TRUST_ANCHOR_BYTES_MAX
        } else {
            limits::CERTIFICATE_BYTES_MAX
        };
        if der.len() > room {
            let why = "the certificate is longer than the chip's object for it";
            return Err(Error::AttributeValueInvalid {
                kind: AttributeKind::Value,
                why,
            });
        }
        if authority {
            self.ask(|chip| chip.write_object(object, WriteMode::Replace, 0, der))?;
        } else {
            self.ask(|chip| chip.write_certificate(object, der))?;
        }
        let content = self.read(object, optiga::limits::CERTIFICATE_OBJECT_BYTES_MAX)?;
        let stored = Certificates::parse(&content)
            .ok()
            .and_then(|mut list| list.next());
        if stored == Some(der) {
            Ok(())
        } else {
            Err(Error::DeviceContent {
                what: "the certificate reads differently than it was written",
            })
        }
    }

    /// A device certificate must be for the key in the slot that it belongs to.
    fn check_certificate(&mut self, certificate: &Certificate) -> Result<(), Error> {
        let contents = self.load()?;
        let key = contents
            .objects
            .iter()
            .find(|found| found.place == place_of(KEY.object()));
        let known = key.and_then(|found| found.attributes.bytes(A::PublicKeyInfo));
        if known.is_some_and(|known| known != certificate.public_key().spki_der()) {
            return Err(Error::TemplateInconsistent(
                "the certificate is for another key than the one in its slot",
            ));
        }
        Ok(())
    }

    fn keep(&mut self, draft: &Draft) -> Result<Found, Error> {
        match draft.attributes.class() {
            Some(Class::Certificate) => {}
            Some(Class::PrivateKey) => {
                return Err(Error::AttributeValueInvalid {
                    kind: A::Class,
                    why: "a private key never comes from outside: generate it on the token",
                });
            }
            _ => {
                return Err(Error::TemplateInconsistent(
                    "the token stores certificates, nothing else",
                ));
            }
        }
        let label = draft.attributes.bytes(A::Label).unwrap_or_default();
        let places = [(CERTIFICATE, KEY.certificate()), (ROOT, ObjectId::TRUST_ANCHOR)];
        let place = places.into_iter().find(|(naming, _)| naming.is(label));
        let (naming, object) = place.ok_or(Error::TemplateInconsistent(
            "the token has no place for a certificate with this label",
        ))?;
        let der = draft.attributes.bytes(A::Value).unwrap_or_default();
        let certificate = Certificate::parse(der).map_err(|_| Error::TemplateIncomplete)?;
        if object == KEY.certificate() {
            self.check_certificate(&certificate)?;
        }
        self.store_certificate(object, der)?;
        Ok(found_certificate(naming, object, &certificate))
    }

    fn check_free(&mut self) -> Result<(), Error> {
        let metadata = self.ask(|chip| chip.read_metadata(KEY.object()))?;
        match metadata.algorithm {
            None => Ok(()),
            Some(_) => Err(Error::Occupied {
                label: PRIVATE_KEY.label,
            }),
        }
    }
}

impl<I2C: I2c + Send + 'static, D: DelayNs + Send + 'static> Backend for Chip<I2C, D> {
    fn describe(&self) -> Result<TokenDescription, Error> {
        let uid = self.link.driver().ask(Optiga::read_uid)?;
        let serial: String = uid
            .unique()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02X}"))
            .collect();
        Ok(TokenDescription {
            manufacturer: "Infineon Technologies AG",
            model: "OPTIGA Trust X",
            serial,
        })
    }

    fn status(&self) -> Result<Status, Error> {
        Ok(Status {
            label: String::from("OPTIGA Trust X"),
            initialized: true,
            login_required: false,
            write_protected: false,
            user_pin: PinState::Absent,
            officer_pin: PinState::Absent,
        })
    }

    fn generation(&self) -> Result<u64, Error> {
        Ok(self.changes.load(Ordering::Acquire))
    }

    fn load(&self) -> Result<Contents, Error> {
        self.link.driver().load()
    }

    fn open_key(&self, place: Place) -> Result<Key, Error> {
        let mut driver = self.link.driver();
        let mut slots = KeySlot::ALL.into_iter();
        let slot = slots.find(|slot| place_of(slot.object()) == place);
        let slot = slot.ok_or(Error::KeyHandleInvalid)?;
        let metadata = driver.ask(|chip| chip.read_metadata(slot.object()))?;
        Ok(Key::Hardware {
            device: Arc::new(ChipKey {
                link: Arc::clone(&self.link),
                slot,
            }),
            curve: metadata.algorithm.map(curve_of).ok_or(Error::KeyHandleInvalid)?,
        })
    }

    fn keep(&self, drafts: Vec<Draft>) -> Result<Vec<Found>, Error> {
        let mut driver = self.link.driver();
        let kept = drafts.iter().map(|draft| driver.keep(draft)).collect();
        // Another certificate was there, or the key has learnt its public half.
        self.changed(2);
        kept
    }

    fn generate_pair(&self, draft: &PairDraft) -> Result<Option<(Found, Found)>, Error> {
        let label = draft.private.bytes(A::Label).unwrap_or_default();
        if !PRIVATE_KEY.is(label) {
            return Err(Error::TemplateInconsistent(
                "the token has no place for a private key with this label",
            ));
        }
        let lets_out = draft.private.flag(A::Extractable)
            || draft.private.value(A::Sensitive) == Some(&Value::Flag(false));
        if lets_out {
            return Err(Error::TemplateInconsistent(
                "a key born on this token never leaves it",
            ));
        }
        let parameters = draft.public.bytes(A::EcParams).ok_or(Error::TemplateIncomplete)?;
        let curve = curve_of_parameters(parameters).filter(|curve| *curve != Curve::P521);
        let curve = curve.ok_or(Error::CurveNotSupported)?;
        let sign = draft.private.value(A::Sign) != Some(&Value::Flag(false));
        let sign = if sign { KeyUsage::SIGN } else { KeyUsage(0) };
        let derive = draft.private.flag(A::Derive);
        let usage = sign.and(if derive { KeyUsage::AGREE } else { KeyUsage(0) });
        let mut driver = self.link.driver();
        if !draft.overwrite {
            driver.check_free()?;
        }
        self.changed(2);
        let key = driver.generate(curve, usage)?;
        Ok(Some((
            found_public_key(&key),
            found_private_key(curve, usage, Some(&key)),
        )))
    }

    fn is_in_hardware(&self, mechanism: MechanismType) -> bool {
        let ecdsa = mechanism.key_types() == [KeyType::Ec] && mechanism.abilities().does(Abilities::SIGN);
        ecdsa || mechanism == MechanismType::EcKeyPairGen
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Error> {
        self.link.driver().ask(|chip| chip.random(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_survives_only_whole() {
        let key = identity::crypto::SoftwareKey::generate(Curve::P256).unwrap();
        let key = identity::issue::Signer::public_key(&key);
        let record = point_record(optiga::Curve::P256, key.ec_point().unwrap());
        assert_eq!(record.len(), 68);
        assert_eq!(stored_point(&record), StoredPoint::Known(key.clone()));
        assert_eq!(stored_point(&[]), StoredPoint::Never);
        assert_eq!(stored_point(POINT_REPLACED), StoredPoint::Replaced);
        assert_eq!(stored_point(&record[..67]), StoredPoint::Replaced);
        for (index, bit) in [(0, 0x20), (0, 7), (1, 1), (64, 1), (67, 1)] {
            let mut damaged = record.clone();
            damaged[index] ^= bit;
            assert_eq!(stored_point(&damaged), StoredPoint::Replaced, "byte {index}");
        }
    }
}
