//! Public keys in the chip's small data objects. The chip can not compute a public key again, so a generated key without its
//! point is useless.
//!
//! Ours: one byte of version and curve, the point, a CRC-16: exactly the 100 bytes of the object for P-384. Infineon's port for
//! Amazon FreeRTOS writes the point of E0F1 as a DER OCTET STRING, other tools the BIT STRING that the chip gives; both are
//! read, neither is written.

use std::vec::Vec;

use identity::key::{Curve, PublicKey};

/// What such an object says about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// Nobody ever wrote one: the certificate speaks for the key.
    Never,
    /// The key.
    Known(PublicKey),
    /// The key was being generated or destroyed when the power went: it is nobody's.
    Gone,
    /// Bytes that are no point.
    Other,
}

const VERSION: u8 = 0x10;
/// What is written before a key changes.
pub(super) const GONE: &[u8] = &[0x00];

impl Point {
    /// Reads an object.
    pub(super) fn parse(content: &[u8]) -> Self {
        match content {
            [] => Self::Never,
            GONE => Self::Gone,
            _ => ours(content).map_or(Self::Other, Self::Known),
        }
    }

    /// The key, if it is known.
    pub(super) fn known(self) -> Option<PublicKey> {
        match self {
            Self::Known(key) => Some(key),
            Self::Never | Self::Gone | Self::Other => None,
        }
    }
}

fn ours(content: &[u8]) -> Option<PublicKey> {
    let (body, sum) = content.split_last_chunk::<2>()?;
    let (&head, point) = body.split_first()?;
    let curve = curve_of(optiga::Curve::from_identifier(head & 0x0F)?);
    let intact = optiga::crc::checksum(body).to_be_bytes() == *sum && head & 0xF0 == VERSION;
    PublicKey::from_ec_point(curve, point).ok().filter(|_| intact)
}

/// The bytes to keep for this point.
pub(super) fn record(curve: optiga::Curve, point: &[u8]) -> Vec<u8> {
    let mut record = std::vec![VERSION | curve.identifier()];
    record.extend_from_slice(point);
    record.extend_from_slice(&optiga::crc::checksum(&record).to_be_bytes());
    record
}

/// A point as other ports leave it: `04 len 04 X Y` or `03 len 00 04 X Y`. What follows is left over from something longer.
pub(super) fn of_other_ports(content: &[u8]) -> Option<PublicKey> {
    [Curve::P256, Curve::P384].into_iter().find_map(|curve| {
        let bytes = 1 + 2 * curve.coordinate_bytes();
        let length = u8::try_from(bytes).ok()?;
        let point = content
            .strip_prefix(&[0x04, length])
            .or_else(|| content.strip_prefix(&[0x03, length + 1, 0x00]))?;
        PublicKey::from_ec_point(curve, point.get(..bytes)?).ok()
    })
}

/// The chip's curve as everybody else's.
pub(super) const fn curve_of(curve: optiga::Curve) -> Curve {
    match curve {
        optiga::Curve::P256 => Curve::P256,
        optiga::Curve::P384 => Curve::P384,
    }
}

/// The curve as the chip's, if it has it.
pub(super) const fn chip_curve(curve: Curve) -> Option<optiga::Curve> {
    match curve {
        Curve::P256 => Some(optiga::Curve::P256),
        Curve::P384 => Some(optiga::Curve::P384),
        Curve::P521 => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use identity::issue::Signer as _;

    fn key(curve: Curve) -> PublicKey {
        let key = identity::crypto::SoftwareKey::generate(curve).unwrap();
        key.public_key().clone()
    }

    #[test]
    fn a_point_survives_only_whole() {
        for (curve, bytes) in [(Curve::P256, 68), (Curve::P384, 100)] {
            let key = key(curve);
            let record = record(chip_curve(curve).unwrap(), key.ec_point().unwrap());
            assert_eq!(record.len(), bytes);
            assert_eq!(Point::parse(&record), Point::Known(key.clone()));
            assert_eq!(Point::parse(&record[..bytes - 1]), Point::Other);
            for (index, bit) in [(0, 0x20), (0, 7), (1, 1), (64, 1), (67, 1)] {
                let mut damaged = record.clone();
                damaged[index] ^= bit;
                assert_eq!(Point::parse(&damaged), Point::Other, "byte {index}");
            }
        }
        assert_eq!(Point::parse(&[]), Point::Never);
        assert_eq!(Point::parse(GONE), Point::Gone);
    }

    #[test]
    fn points_of_other_ports_are_read() {
        let key = key(Curve::P256);
        let point = key.ec_point().unwrap();
        for head in [&[0x04, 0x41][..], &[0x03, 0x42, 0x00]] {
            let content = [head, point].concat();
            assert_eq!(of_other_ports(&content), Some(key.clone()));
            assert_eq!(
                of_other_ports(&[&content[..], &[0; 9]].concat()),
                Some(key.clone())
            );
            assert_eq!(of_other_ports(&content[..content.len() - 1]), None);
            for index in 0..=head.len() {
                let mut wrong = content.clone();
                wrong[index] ^= 8;
                assert_eq!(of_other_ports(&wrong), None, "byte {index}");
            }
        }
        let ours = record(optiga::Curve::P256, point);
        assert_eq!(of_other_ports(&ours), None);
        assert_eq!(of_other_ports(&[]), None);
    }
}
