//! Which object of the chip is which object of PKCS #11, and by which names programs look for it.
//!
//! The second key slot is the device's own, under the labels of FreeRTOS. Infineon's port for Amazon FreeRTOS names objects by
//! their identifier, "0xE0F1"; those names find the same objects here but are never shown. That port keeps the public key of
//! E0F1 in F1D2, so "0xF1D2" means that one.

use optiga::{KeySlot, ObjectId};

/// What a place of the chip is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A private key.
    PrivateKey(KeySlot),
    /// The public half of the key in this slot, or any public key.
    PublicKey(KeySlot),
    /// The certificate of the key in this slot, perhaps with its issuers.
    Certificate(KeySlot),
    /// An authority.
    Anchor,
    /// Bytes, so many at most.
    Data(usize),
}

/// One place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    /// The chip's object.
    pub(super) object: ObjectId,
    /// What it is for.
    pub(super) role: Role,
    /// The label of an object here that was given none.
    pub(super) label: &'static str,
    /// The names by which Infineon's port knows an object here.
    pub(super) aliases: &'static [&'static str],
}

const fn spot(object: u16, role: Role, label: &'static str, aliases: &'static [&'static str]) -> Spot {
    Spot {
        object: ObjectId(object),
        role,
        label,
        aliases,
    }
}

/// Bytes of the small data objects.
pub(super) const SMALL_BYTES: usize = 100;
/// Bytes of the large data objects.
pub(super) const LARGE_BYTES: usize = 1500;

/// Every place, in the order in which objects are listed and places are chosen.
pub(super) const SPOTS: [Spot; 23] = [
    spot(
        0xE0F1,
        Role::PrivateKey(KeySlot::E0F1),
        "Device Priv TLS Key",
        &["0xE0F1"],
    ),
    spot(0xE0F2, Role::PrivateKey(KeySlot::E0F2), "Claim Key", &["0xE0F2"]),
    spot(0xE0F3, Role::PrivateKey(KeySlot::E0F3), "Spare Key", &["0xE0F3"]),
    spot(
        0xE0F0,
        Role::PrivateKey(KeySlot::E0F0),
        "Infineon Device Key",
        &["0xE0F0"],
    ),
    spot(
        0xF1D1,
        Role::PublicKey(KeySlot::E0F1),
        "Device Pub TLS Key",
        &["0xF1D2", "0xF1D1"],
    ),
    spot(0xF1D2, Role::PublicKey(KeySlot::E0F2), "Claim Pub Key", &[]),
    spot(
        0xF1D3,
        Role::PublicKey(KeySlot::E0F3),
        "Spare Pub Key",
        &["0xF1D3"],
    ),
    spot(
        0xF1D0,
        Role::PublicKey(KeySlot::E0F0),
        "Infineon Device Pub Key",
        &["0xF1D0"],
    ),
    spot(
        0xE0E1,
        Role::Certificate(KeySlot::E0F1),
        "Device Cert",
        &["0xE0E1"],
    ),
    spot(
        0xE0E2,
        Role::Certificate(KeySlot::E0F2),
        "Claim Cert",
        &["0xE0E2"],
    ),
    spot(0xE0E3, Role::Certificate(KeySlot::E0F3), "JITP Cert", &["0xE0E3"]),
    spot(
        0xE0E0,
        Role::Certificate(KeySlot::E0F0),
        "Infineon Device Cert",
        &["0xE0E0"],
    ),
    spot(0xE0E8, Role::Anchor, "Root Cert", &["0xE0E8"]),
    spot(0xE0EF, Role::Anchor, "Code Verify Key", &["0xE0EF"]),
    spot(0xF1D8, Role::Data(SMALL_BYTES), "Data F1D8", &["0xF1D8"]),
    spot(0xF1D9, Role::Data(SMALL_BYTES), "Data F1D9", &["0xF1D9"]),
    spot(0xF1DA, Role::Data(SMALL_BYTES), "Data F1DA", &["0xF1DA"]),
    spot(0xF1DB, Role::Data(SMALL_BYTES), "Data F1DB", &["0xF1DB"]),
    spot(0xF1DC, Role::Data(SMALL_BYTES), "Data F1DC", &["0xF1DC"]),
    spot(0xF1DD, Role::Data(SMALL_BYTES), "Data F1DD", &["0xF1DD"]),
    spot(0xF1DE, Role::Data(SMALL_BYTES), "Data F1DE", &["0xF1DE"]),
    spot(0xF1DF, Role::Data(SMALL_BYTES), "Data F1DF", &["0xF1DF"]),
    spot(0xF1E0, Role::Data(LARGE_BYTES), "Data F1E0", &["0xF1E0"]),
];

/// Where Infineon's port keeps the public key of E0F1.
pub(super) const FREERTOS_POINT: ObjectId = ObjectId(0xF1D2);
/// The anchor whose key is also shown as a public key.
pub(super) const CODE_ANCHOR: ObjectId = ObjectId(0xE0EF);

impl Spot {
    /// The place with this object.
    pub(super) fn of(object: ObjectId) -> Option<Self> {
        SPOTS.into_iter().find(|spot| spot.object == object)
    }

    /// Whether this label, asked for when an object is made, means this very place.
    pub(super) fn is_named(self, label: &str) -> bool {
        self.label == label || self.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(label))
    }
}

/// Where the point of the key in this slot is kept.
pub(super) const fn point_of(slot: KeySlot) -> ObjectId {
    match slot {
        KeySlot::E0F0 => ObjectId(0xF1D0),
        KeySlot::E0F1 => ObjectId(0xF1D1),
        KeySlot::E0F2 => ObjectId(0xF1D2),
        KeySlot::E0F3 => ObjectId(0xF1D3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_means_one_place() {
        let names: BTreeSet<_> = SPOTS
            .iter()
            .flat_map(|spot| spot.aliases.iter().copied().chain([spot.label]))
            .collect();
        assert_eq!(names.len(), 2 * SPOTS.len());
        for name in names {
            assert_eq!(
                SPOTS.iter().filter(|spot| spot.is_named(name)).count(),
                1,
                "{name}"
            );
        }
        for spot in SPOTS {
            assert_eq!(Spot::of(spot.object), Some(spot));
            if let Role::PublicKey(slot) = spot.role {
                assert_eq!(point_of(slot), spot.object);
            }
        }
    }

    #[test]
    fn the_names_of_the_ports() {
        for (name, object) in [
            ("0xE0F1", 0xE0F1),
            ("0xe0f1", 0xE0F1),
            ("0xF1D2", 0xF1D1),
            ("0xE0E1", 0xE0E1),
            ("0xE0EF", 0xE0EF),
            ("0xE0E8", 0xE0E8),
            ("Device Priv TLS Key", 0xE0F1),
            ("Device Pub TLS Key", 0xF1D1),
            ("Device Cert", 0xE0E1),
            ("JITP Cert", 0xE0E3),
            ("Root Cert", 0xE0E8),
            ("Code Verify Key", 0xE0EF),
            ("Claim Cert", 0xE0E2),
            ("Claim Key", 0xE0F2),
        ] {
            let found = SPOTS.iter().find(|spot| spot.is_named(name)).unwrap();
            assert_eq!(found.object.0, object, "{name}");
        }
        assert!(
            !SPOTS
                .iter()
                .any(|spot| spot.is_named("0xE0F4") || spot.is_named(""))
        );
    }
}
