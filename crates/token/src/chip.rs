//! The backend whose keys live in an OPTIGA Trust X.
//!
//! One identity in this slice: the key in E0F1, its certificate in E0E1 (TLS identity form), the server's root in E0E8 (plain
//! DER), under the labels that FreeRTOS programs look for. The names that Infineon's own port uses ("0xE0F1" and so on) find
//! the same objects.
//!
//! The chip can not compute a public key again. Its point is kept in F1D1 when the key is generated here; on a chip that a
//! factory line has filled, F1D1 is empty and the certificate says it.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use identity::certificate::Certificate;
use identity::key::{Curve, KeyKind, PublicKey};
use optiga::identity_format::{Certificates, FormatError};
use optiga::{Config, ErrorCode, KeySlot, KeyUsage, LinkError, ObjectId, Optiga, WriteMode};

use crate::attribute::AttributeKind;
use crate::backend::{Backend, Contents, Damage, Place, TokenDescription};
use crate::error::{ChipError, Error};
use crate::limits;
use crate::object::{Content, Naming, Object};

const KEY: KeySlot = KeySlot::E0F1;
const PRIVATE_KEY: Naming = Naming {
    label: "Device Priv TLS Key",
    alias: "0xE0F1",
};
const PUBLIC_KEY: Naming = Naming {
    label: "Device Pub TLS Key",
    alias: "0xF1D1",
};
const POINT: ObjectId = ObjectId(0xF1D1);
const CERTIFICATE: Naming = Naming {
    label: "Device Cert",
    alias: "0xE0E1",
};
const ROOT: Naming = Naming {
    label: "Root Cert",
    alias: "0xE0E8",
};

/// A token in an OPTIGA Trust X.
#[derive(Debug)]
pub struct Chip<I2C, D> {
    driver: Optiga<I2C, D>,
    open: bool,
}

impl<I2C: I2c, D: DelayNs> Chip<I2C, D> {
    /// A chip that has not been spoken to yet.
    pub const fn new(i2c: I2C, delay: D, config: Config) -> Self {
        Self {
            driver: Optiga::new(i2c, delay, config),
            open: false,
        }
    }

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
                    || matches!(error, optiga::Error::Link(LinkError::Uncertain)) =>
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
            Ok(certificates) => contents
                .objects
                .extend(certificates.into_iter().map(|certificate| Object {
                    naming,
                    place: place_of(object),
                    content: Content::Certificate {
                        certificate,
                        authority,
                    },
                    attributes: Vec::new(),
                })),
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
        contents.objects.extend(public.clone().map(|key| Object {
            naming: PUBLIC_KEY,
            place: place_of(POINT),
            content: Content::PublicKey(key),
            attributes: Vec::new(),
        }));
        let derive = usage.0 & KeyUsage::AGREE.0 != 0;
        contents.objects.push(Object {
            naming: PRIVATE_KEY,
            place: place_of(KEY.object()),
            content: Content::PrivateKey {
                curve,
                sign: usage.may_sign(),
                derive,
                public,
            },
            attributes: Vec::new(),
        });
        Ok(())
    }
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

fn first_certificate_key(objects: &[Object]) -> Option<PublicKey> {
    let certificate = objects
        .iter()
        .find(|object| object.place == place_of(KEY.certificate()))?;
    certificate.public_key().cloned()
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

impl<I2C: I2c + Send, D: DelayNs + Send> Backend for Chip<I2C, D> {
    fn describe(&mut self) -> Result<TokenDescription, Error> {
        let uid = self.ask(Optiga::read_uid)?;
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

    fn load(&mut self) -> Result<Contents, Error> {
        let mut contents = Contents::default();
        self.load_certificates(CERTIFICATE, KEY.certificate(), &mut contents)?;
        self.load_key(&mut contents)?;
        self.load_certificates(ROOT, ObjectId::TRUST_ANCHOR, &mut contents)?;
        Ok(contents)
    }

    fn sign_digest(&mut self, place: Place, curve: Curve, digest: &[u8]) -> Result<Vec<u8>, Error> {
        let slot = KeySlot::ALL
            .into_iter()
            .find(|slot| place_of(slot.object()) == place)
            .ok_or(Error::KeyHandleInvalid)?;
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
        let signature = self.ask(|chip| chip.sign_digest(slot, padded))?;
        let mut fixed = [0; 96];
        let wrong = Error::DeviceContent {
            what: "a signature of another curve",
        };
        signature
            .write_fixed(curve, &mut fixed)
            .map(<[u8]>::to_vec)
            .ok_or(wrong)
    }

    fn key_place(&self, label: &str) -> Option<Place> {
        PRIVATE_KEY.is(label.as_bytes()).then_some(place_of(KEY.object()))
    }

    fn generate(&mut self, place: Place, curve: Curve, sign: bool, derive: bool) -> Result<PublicKey, Error> {
        if place != place_of(KEY.object()) {
            return Err(Error::ArgumentsBad(
                "the chip has no such key slot in this configuration",
            ));
        }
        let chip_curve = chip_curve(curve).ok_or(Error::CurveNotSupported)?;
        let sign = if sign { KeyUsage::SIGN } else { KeyUsage(0) };
        let usage = sign.and(if derive { KeyUsage::AGREE } else { KeyUsage(0) });
        self.ask(|chip| chip.write_object(POINT, WriteMode::Replace, 0, POINT_REPLACED))?;
        let key = self.ask(|chip| chip.generate_key(KEY, chip_curve, usage))?;
        let record = point_record(chip_curve, key.point());
        self.ask(|chip| chip.write_object(POINT, WriteMode::Replace, 0, &record))?;
        PublicKey::from_ec_point(curve, key.point()).map_err(|_| Error::DeviceContent {
            what: "a public key that is no point",
        })
    }

    fn certificate_place(&self, label: &str) -> Option<Place> {
        let places = [(CERTIFICATE, KEY.certificate()), (ROOT, ObjectId::TRUST_ANCHOR)];
        places
            .into_iter()
            .find(|(naming, _)| naming.is(label.as_bytes()))
            .map(|(_, object)| place_of(object))
    }

    fn key_of_certificate(&self, place: Place) -> Option<Place> {
        (place == place_of(KEY.certificate())).then_some(place_of(KEY.object()))
    }

    fn store_certificate(&mut self, place: Place, der: &[u8]) -> Result<(), Error> {
        let object = u16::try_from(place.0)
            .map(ObjectId)
            .map_err(|_| Error::ObjectHandleInvalid)?;
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

    fn random(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.ask(|chip| chip.random(bytes))
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
