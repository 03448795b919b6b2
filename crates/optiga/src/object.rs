//! What the chip keeps: object identifiers, key slots, life cycle, and the identifiers that commands use (Datasheet v2.70,
//! tables of objects and identifiers).

use core::fmt;

/// An object of the chip, by its two-byte identifier.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(pub u16);

impl ObjectId {
    /// Life cycle of the chip (LcsG).
    pub const CHIP_LIFECYCLE: Self = Self(0xE0C0);
    /// Security status of the chip; its flags can only be cleared.
    pub const CHIP_SECURITY_STATUS: Self = Self(0xE0C1);
    /// Coprocessor UID, 27 bytes.
    pub const UID: Self = Self(0xE0C2);
    /// Milliseconds without work after which the chip sleeps.
    pub const SLEEP_DELAY: Self = Self(0xE0C3);
    /// Milliamperes that the chip may draw; more makes it faster.
    pub const CURRENT_LIMIT: Self = Self(0xE0C4);
    /// Security event counter.
    pub const SECURITY_EVENTS: Self = Self(0xE0C5);
    /// Largest command or answer.
    pub const BUFFER_BYTES: Self = Self(0xE0C6);
    /// The certificate that left the chip's factory.
    pub const CERTIFICATE_0: Self = Self(0xE0E0);
    /// The first certificate of a project: what Birthmark issues.
    pub const CERTIFICATE_1: Self = Self(0xE0E1);
    /// The second certificate of a project.
    pub const CERTIFICATE_2: Self = Self(0xE0E2);
    /// The third certificate of a project.
    pub const CERTIFICATE_3: Self = Self(0xE0E3);
    /// Trust anchor: the root that servers must have.
    pub const TRUST_ANCHOR: Self = Self(0xE0E8);
    /// Trust anchor for firmware.
    pub const FIRMWARE_TRUST_ANCHOR: Self = Self(0xE0EF);
    /// Life cycle of the application (LcsA).
    pub const APPLICATION_LIFECYCLE: Self = Self(0xF1C0);
    /// Security status of the application; its flags can only be cleared.
    pub const APPLICATION_SECURITY_STATUS: Self = Self(0xF1C1);
    /// Why the last command was refused; reading clears it.
    pub const LAST_ERROR: Self = Self(0xF1C2);

    /// Each object that a chip has and that says something of itself, in rising order; session contexts hold nothing readable.
    pub fn all() -> impl Iterator<Item = Self> {
        let ranges = [
            0xE0C0..=0xE0C6,
            0xE0E0..=0xE0E3,
            0xE0E8..=0xE0E8,
            0xE0EF..=0xE0F3,
            0xF1C0..=0xF1C2,
            0xF1D0..=0xF1DF,
            0xF1E0..=0xF1E1,
        ];
        ranges.into_iter().flatten().map(Self)
    }

    /// A data object of 100 bytes, F1D0 to F1DF; `None` past the sixteenth.
    #[must_use]
    pub const fn small(index: u8) -> Option<Self> {
        if index < 16 {
            Some(Self(0xF1D0 + index as u16))
        } else {
            None
        }
    }

    /// A data object of 1500 bytes, F1E0 and F1E1; `None` past the second.
    #[must_use]
    pub const fn large(index: u8) -> Option<Self> {
        if index < 2 {
            Some(Self(0xF1E0 + index as u16))
        } else {
            None
        }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X}", self.0)
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A place for a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeySlot {
    /// The key of the chip's factory; it can be used, not replaced.
    E0F0,
    /// The first key of a project: what Birthmark generates.
    E0F1,
    /// The second key of a project.
    E0F2,
    /// The third key of a project.
    E0F3,
}

impl KeySlot {
    /// All four, in order.
    pub const ALL: [Self; 4] = [Self::E0F0, Self::E0F1, Self::E0F2, Self::E0F3];

    /// The slot as an object.
    #[must_use]
    pub const fn object(self) -> ObjectId {
        ObjectId(0xE0F0 + self as u16)
    }

    /// The certificate object that belongs to the key by convention: E0F1 and E0E1, and so on.
    #[must_use]
    pub const fn certificate(self) -> ObjectId {
        ObjectId(0xE0E0 + self as u16)
    }
}

/// A place for one private key or one secret that is lost with the next opening or reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SessionContext {
    /// The first.
    E100,
    /// The second.
    E101,
    /// The third.
    E102,
    /// The fourth.
    E103,
}

impl SessionContext {
    /// All four, in order.
    pub const ALL: [Self; 4] = [Self::E100, Self::E101, Self::E102, Self::E103];

    /// The context as an object.
    #[must_use]
    pub const fn object(self) -> ObjectId {
        ObjectId(0xE100 + self as u16)
    }
}

/// Where a private key is: in a slot that lasts, or in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyPlace {
    /// It lasts.
    Slot(KeySlot),
    /// It is lost with the session.
    Session(SessionContext),
}

impl KeyPlace {
    /// The place as an object.
    #[must_use]
    pub const fn object(self) -> ObjectId {
        match self {
            Self::Slot(slot) => slot.object(),
            Self::Session(session) => session.object(),
        }
    }
}

impl From<KeySlot> for KeyPlace {
    fn from(slot: KeySlot) -> Self {
        Self::Slot(slot)
    }
}

impl From<SessionContext> for KeyPlace {
    fn from(session: SessionContext) -> Self {
        Self::Session(session)
    }
}

/// Whose life cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LifecycleOf {
    /// The chip's (LcsG, E0C0).
    Chip,
    /// The application's (LcsA, F1C0).
    Application,
}

impl LifecycleOf {
    /// The object that holds it.
    #[must_use]
    pub const fn object(self) -> ObjectId {
        match self {
            Self::Chip => ObjectId::CHIP_LIFECYCLE,
            Self::Application => ObjectId::APPLICATION_LIFECYCLE,
        }
    }
}

/// Elliptic curves of the chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Curve {
    /// NIST P-256, identifier 03.
    P256,
    /// NIST P-384, identifier 04.
    P384,
}

impl Curve {
    /// The chip's identifier.
    #[must_use]
    pub const fn identifier(self) -> u8 {
        match self {
            Self::P256 => 3,
            Self::P384 => 4,
        }
    }

    /// From the chip's identifier.
    #[must_use]
    pub const fn from_identifier(identifier: u8) -> Option<Self> {
        match identifier {
            3 => Some(Self::P256),
            4 => Some(Self::P384),
            _ => None,
        }
    }

    /// Bytes of one coordinate, and of each half of a signature.
    #[must_use]
    pub const fn scalar_bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

/// What a key may do, as bits that can be joined with [`KeyUsage::and`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage(pub u8);

impl KeyUsage {
    /// Authenticate.
    pub const AUTHENTICATE: Self = Self(0x01);
    /// Update the host's firmware.
    pub const UPDATE_HOST: Self = Self(0x04);
    /// Manage the device.
    pub const MANAGE_DEVICE: Self = Self(0x08);
    /// Encrypt.
    pub const ENCRYPT: Self = Self(0x02);
    /// Sign.
    pub const SIGN: Self = Self(0x10);
    /// Agree on a shared secret.
    pub const AGREE: Self = Self(0x20);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True if a key with this usage agrees on secrets.
    #[must_use]
    pub const fn may_agree(self) -> bool {
        self.0 & Self::AGREE.0 != 0
    }

    /// True if a key with this usage signs digests.
    #[must_use]
    pub const fn may_sign(self) -> bool {
        self.0 & (Self::SIGN.0 | Self::AUTHENTICATE.0) != 0
    }
}

/// Life cycle of an object, of the application or of the chip. It only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lifecycle {
    /// Being created: everything may change.
    Creation,
    /// Being initialised.
    Initialisation,
    /// In use: what the access conditions say holds, and they can no longer change.
    Operational,
    /// At its end.
    Termination,
}

impl Lifecycle {
    /// The byte the chip uses.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Creation => 0x01,
            Self::Initialisation => 0x03,
            Self::Operational => 0x07,
            Self::Termination => 0x0F,
        }
    }

    /// From the byte the chip uses.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0x01 => Some(Self::Creation),
            0x03 => Some(Self::Initialisation),
            0x07 => Some(Self::Operational),
            0x0F => Some(Self::Termination),
            _ => None,
        }
    }
}

/// The coprocessor UID: 27 bytes that name this one chip.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(pub [u8; 27]);

impl Uid {
    /// The ten bytes that differ from chip to chip: batch and place on the wafer.
    #[must_use]
    pub fn unique(&self) -> &[u8] {
        self.0.get(11..21).unwrap_or_default()
    }

    /// The firmware build as the four digits that documents use, 0x1118 for build 1118.
    #[must_use]
    pub const fn firmware_build(&self) -> u16 {
        let [.., high, low] = self.0;
        u16::from_be_bytes([high, low])
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A public key: the uncompressed point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKeyBytes {
    curve: Curve,
    bytes: [u8; 97],
}

impl PublicKeyBytes {
    /// From the chip's BIT STRING: `03 len 00 04 X Y`.
    pub(crate) fn from_bit_string(curve: Curve, bits: &[u8]) -> Option<Self> {
        let length = curve.scalar_bytes() * 2 + 1;
        let (&[tag, announced, unused], point) = bits.split_first_chunk()?;
        let well_formed = tag == 0x03 && unused == 0 && usize::from(announced) == length + 1;
        Self::from_point(curve, point).filter(|_| well_formed)
    }

    /// From `04 X Y`. Whether the point is on the curve is not looked at.
    #[must_use]
    pub fn from_point(curve: Curve, point: &[u8]) -> Option<Self> {
        let length = curve.scalar_bytes() * 2 + 1;
        let mut bytes = [0; 97];
        bytes.get_mut(..point.len())?.copy_from_slice(point);
        (point.len() == length && point.first() == Some(&0x04)).then_some(Self { curve, bytes })
    }

    pub(crate) fn write_bit_string<'a>(&self, out: &'a mut [u8; 100]) -> Option<&'a [u8]> {
        let point = self.point();
        let (head, body) = out.split_at_mut_checked(3)?;
        head.copy_from_slice(&[0x03, u8::try_from(point.len() + 1).ok()?, 0]);
        body.get_mut(..point.len())?.copy_from_slice(point);
        out.get(..3 + point.len())
    }

    /// The curve the point is on.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        self.curve
    }

    /// `04 X Y`.
    #[must_use]
    pub fn point(&self) -> &[u8] {
        self.bytes
            .get(..self.curve.scalar_bytes() * 2 + 1)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn slots_and_their_certificates() {
        let objects = KeySlot::ALL.map(|slot| (slot.object().0, slot.certificate().0));
        assert_eq!(
            objects,
            [
                (0xE0F0, 0xE0E0),
                (0xE0F1, 0xE0E1),
                (0xE0F2, 0xE0E2),
                (0xE0F3, 0xE0E3)
            ]
        );
        assert_eq!(ObjectId::LAST_ERROR.to_string(), "F1C2");
    }

    #[test]
    fn identifiers_round_trip() {
        for byte in 0..=255 {
            assert!(Lifecycle::from_byte(byte).is_none_or(|state| state.byte() == byte));
            assert!(Curve::from_identifier(byte).is_none_or(|curve| curve.identifier() == byte));
        }
    }

    #[test]
    fn a_point_is_exactly_one_bit_string() {
        let mut good = [0; 68];
        good[..4].copy_from_slice(&[3, 0x42, 0, 4]);
        assert_eq!(
            PublicKeyBytes::from_bit_string(Curve::P256, &good)
                .unwrap()
                .point()
                .len(),
            65
        );
        assert_eq!(PublicKeyBytes::from_bit_string(Curve::P384, &good), None);
        for (index, value) in [(0, 4), (1, 0x41), (2, 1), (3, 2)] {
            let mut bad = good;
            bad[index] = value;
            assert_eq!(PublicKeyBytes::from_bit_string(Curve::P256, &bad), None);
        }
        assert_eq!(PublicKeyBytes::from_bit_string(Curve::P256, &good[..67]), None);
    }
}
