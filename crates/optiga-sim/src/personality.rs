//! Who a chip is: its UID, its factory settings, and how it behaves on the bus.
//!
//! A seed and a number make the same chip every time, two numbers never the same one. The batch in each UID begins with the
//! letters SIM: no real wafer has such a batch.

use std::fmt;
use std::sync::Arc;

use crate::authority::Authority;
use crate::faults::{Faults, NackPolicy};
use crate::timing::Timing;

/// Bytes of a coprocessor UID.
pub const UID_BYTES: usize = 27;

/// In which state the factory left its own certificate and key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Operational: E0E0 and E0F0 are as they are for ever.
    #[default]
    Production,
    /// An engineering sample: E0E0 and E0F0 can be written, E0E8 holds a simulated root.
    Sample,
}

impl Profile {
    pub(crate) const fn to_file(self) -> u8 {
        self as u8
    }

    pub(crate) const fn from_file(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Production),
            1 => Some(Self::Sample),
            _ => None,
        }
    }
}

/// Which build of the chip's software the UID tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Firmware {
    /// Product version 1.40.
    #[default]
    Build1118,
    /// Product version 1.2.
    Build1048,
}

impl Firmware {
    pub(crate) const fn to_file(self) -> u8 {
        self as u8
    }

    pub(crate) const fn from_file(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Build1118),
            1 => Some(Self::Build1048),
            _ => None,
        }
    }

    /// Whether trust anchors can be written: from product version 1.40 on.
    pub(crate) const fn changes_anchors(self) -> bool {
        matches!(self, Self::Build1118)
    }

    /// Whether DeriveKey takes its secret from a data object: from product version 1.30 on.
    pub(crate) const fn derives_from_objects(self) -> bool {
        matches!(self, Self::Build1118)
    }

    /// CIM, platform, model, ROM mask, chip type.
    const fn head(self) -> [u8; 11] {
        match self {
            Self::Build1118 => [0xCD, 0x16, 0x33, 0x6B, 0x01, 0x00, 0x1C, 0x00, 0x01, 0x00, 0x00],
            Self::Build1048 => [0xCD, 0x16, 0x33, 0x56, 0x01, 0x00, 0x1C, 0x00, 0x05, 0x00, 0x00],
        }
    }

    /// Firmware identifier and build, in BCD.
    const fn tail(self) -> [u8; 6] {
        match self {
            Self::Build1118 => [0x80, 0x10, 0x10, 0x71, 0x11, 0x18],
            Self::Build1048 => [0x80, 0x10, 0x10, 0x70, 0x10, 0x48],
        }
    }
}

/// How a chip behaves on the bus; nothing of it is kept in a tray's file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// How long answers take.
    pub timing: Timing,
    /// When the address is refused.
    pub nacks: NackPolicy,
    /// Whether the security monitor slows the chip down; `None` follows the timing: on with time, off without.
    pub security_monitor: Option<bool>,
    /// What goes wrong on purpose.
    pub faults: Option<Faults>,
}

impl Behaviour {
    pub(crate) fn monitors(&self) -> bool {
        self.security_monitor.unwrap_or(self.timing != Timing::None)
    }
}

/// What is decided when a chip is made, and how it behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// How the factory left it.
    pub profile: Profile,
    /// Its build.
    pub firmware: Firmware,
    /// Its behaviour.
    pub behaviour: Behaviour,
}

/// One chip's identity and settings.
#[derive(Clone)]
pub struct Personality {
    pub(crate) index: u32,
    pub(crate) uid: [u8; UID_BYTES],
    pub(crate) settings: Settings,
    pub(crate) authority: Arc<Authority>,
}

impl Personality {
    /// Chip number `index` of the tray with this seed, with the default settings and an authority of its own.
    #[must_use]
    pub fn new(seed: u64, index: u32) -> Self {
        Self::of(&Arc::new(Authority::new(seed)), index, Settings::default())
    }

    pub(crate) fn of(authority: &Arc<Authority>, index: u32, settings: Settings) -> Self {
        let uid = uid(authority.batch(), index, settings.firmware);
        Self {
            index,
            uid,
            settings,
            authority: authority.clone(),
        }
    }

    /// The same chip with other settings.
    #[must_use]
    pub fn with_settings(self, settings: Settings) -> Self {
        Self::of(&self.authority, self.index, settings)
    }

    /// The same chip with another UID, such as one that a capture has.
    #[must_use]
    pub fn with_uid(self, uid: [u8; UID_BYTES]) -> Self {
        Self { uid, ..self }
    }

    /// Its UID.
    #[must_use]
    pub fn uid(&self) -> [u8; UID_BYTES] {
        self.uid
    }
}

impl fmt::Debug for Personality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Personality");
        debug
            .field("index", &self.index)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// The unique part is the batch and the place on the wafer, bytes 11 to 20.
fn uid(batch: [u8; 3], index: u32, firmware: Firmware) -> [u8; UID_BYTES] {
    let (x, y) = ((index >> 8) as u16, (index & 0xFF) as u16);
    let mut uid = Vec::with_capacity(UID_BYTES);
    uid.extend_from_slice(&firmware.head());
    uid.extend_from_slice(b"SIM");
    uid.extend_from_slice(&batch);
    uid.extend_from_slice(&x.to_be_bytes());
    uid.extend_from_slice(&y.to_be_bytes());
    uid.extend_from_slice(&firmware.tail());
    uid.try_into().unwrap_or([0; UID_BYTES])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::limits::CHIPS_MAX;

    #[test]
    fn no_two_chips_of_a_tray_have_one_uid() {
        let sparse = (0..CHIPS_MAX).step_by(251).chain(CHIPS_MAX - 600..CHIPS_MAX);
        let indices: HashSet<u32> = sparse.chain(0..600).collect();
        let uids: HashSet<_> = indices
            .iter()
            .map(|index| uid([1, 2, 3], *index, Firmware::Build1118))
            .collect();
        assert_eq!(uids.len(), indices.len());
    }

    #[test]
    fn a_seed_and_a_number_make_one_chip() {
        assert_eq!(Personality::new(1, 2).uid(), Personality::new(1, 2).uid());
        assert_ne!(Personality::new(1, 2).uid(), Personality::new(2, 2).uid());
        assert_eq!(Personality::new(1, 2).uid()[11..14], *b"SIM");
    }
}
