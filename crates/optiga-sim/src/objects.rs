//! The map of the chip's objects: what each one is, how large, and who may do what before anybody changes it
//! (OPTIGA Trust X Datasheet v2.70; the access conditions of the Trust X object map).
//!
//! Sizes are those of the Trust X: a data object of type 1 holds 100 bytes, not the 140 of its successor.

/// Creation, initialisation, operational, termination: the only values of a life cycle, and only upward.
pub(crate) mod life_cycle {
    pub(crate) const CREATION: u8 = 0x01;
    pub(crate) const INITIALIZATION: u8 = 0x03;
    pub(crate) const OPERATIONAL: u8 = 0x07;
    pub(crate) const TERMINATION: u8 = 0x0F;
}

/// Objects that the code names.
pub(crate) mod oid {
    pub(crate) const GLOBAL_LIFE_CYCLE: u16 = 0xE0C0;
    pub(crate) const GLOBAL_SECURITY_STATUS: u16 = 0xE0C1;
    pub(crate) const UID: u16 = 0xE0C2;
    pub(crate) const SLEEP_DELAY: u16 = 0xE0C3;
    pub(crate) const CURRENT_LIMIT: u16 = 0xE0C4;
    pub(crate) const EVENT_COUNTER: u16 = 0xE0C5;
    pub(crate) const BUFFER_BYTES: u16 = 0xE0C6;
    pub(crate) const FACTORY_CERTIFICATE: u16 = 0xE0E0;
    pub(crate) const TRUST_ANCHOR: u16 = 0xE0E8;
    pub(crate) const PLATFORM_ANCHOR: u16 = 0xE0EF;
    pub(crate) const FACTORY_KEY: u16 = 0xE0F0;
    pub(crate) const SESSION_FIRST: u16 = 0xE100;
    pub(crate) const APPLICATION_LIFE_CYCLE: u16 = 0xF1C0;
    pub(crate) const APPLICATION_SECURITY_STATUS: u16 = 0xF1C1;
    pub(crate) const LAST_ERROR: u16 = 0xF1C2;
    /// Not objects: what the registers BASE_ADDR and I2C_MODE keep over a reset.
    pub(crate) const KEPT_ADDRESS: u16 = 0x0083;
    pub(crate) const KEPT_MODE: u16 = 0x0089;
}

/// What an object is, which decides what commands may do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A life cycle of the device or the application: one byte, forward only.
    LifeCycle,
    /// A security status, not kept over a reset: bits can only be cleared.
    SecurityStatus,
    /// The coprocessor's UID.
    Uid,
    /// One byte in a range.
    Setting { least: u8, most: u8 },
    /// A value that the chip alone changes.
    Fixed,
    /// The code of the last error.
    LastError,
    /// A certificate or trust anchor: large, and not safe against a power cut.
    Certificate,
    /// A private key.
    Key,
    /// A session context, not kept over a reset.
    Session,
    /// Bytes for the application.
    Data,
    /// No object: a register that outlives a reset.
    Register,
}

/// One row of the map.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) oid: u16,
    pub(crate) kind: Kind,
    pub(crate) bytes_max: u16,
    /// LcsO of a new chip; an object without one is operational for ever and does not show it.
    pub(crate) life_cycle: Option<u8>,
    /// Tags D0 to D3 of a new chip, as they are shown.
    pub(crate) conditions: &'static [u8],
    /// Content of a new chip.
    pub(crate) content: &'static [u8],
}

impl Object {
    /// Whether a cut in the middle of a write leaves the old or the new content, never a mixture.
    pub(crate) const fn tearing_safe(&self) -> bool {
        !matches!(self.kind, Kind::Certificate)
    }

    /// Whether the metadata tell sizes.
    pub(crate) const fn sized(&self) -> bool {
        !matches!(self.kind, Kind::Key | Kind::Session)
    }

    /// Whether the object has metadata tag C5: a UID is always whole.
    pub(crate) const fn shows_used(&self) -> bool {
        self.sized() && !matches!(self.kind, Kind::Uid)
    }
}

const ALWAYS: &[u8] = &[0xD0, 1, 0x00, 0xD1, 1, 0x00];
const READ_ONLY: &[u8] = &[0xD0, 1, 0xFF, 0xD1, 1, 0x00];
/// Change: LcsO < operational; read: always.
const UNTIL_OPERATIONAL: &[u8] = &[0xD0, 3, 0xE1, 0xFC, 0x07, 0xD1, 1, 0x00];
/// Change: LcsO < operational; execute: always.
const KEY_UNTIL_OPERATIONAL: &[u8] = &[0xD0, 3, 0xE1, 0xFC, 0x07, 0xD3, 1, 0x00];
const EXECUTE_ONLY: &[u8] = &[0xD0, 1, 0xFF, 0xD3, 1, 0x00];

const fn object(
    oid: u16,
    kind: Kind,
    bytes_max: u16,
    life_cycle: Option<u8>,
    conditions: &'static [u8],
    content: &'static [u8],
) -> Object {
    Object {
        oid,
        kind,
        bytes_max,
        life_cycle,
        conditions,
        content,
    }
}

const fn byte(oid: u16, kind: Kind, conditions: &'static [u8], content: &'static [u8]) -> Object {
    object(
        oid,
        kind,
        content.len() as u16,
        Some(life_cycle::OPERATIONAL),
        conditions,
        content,
    )
}

const fn certificate(oid: u16, bytes_max: u16, lcs: u8) -> Object {
    object(
        oid,
        Kind::Certificate,
        bytes_max,
        Some(lcs),
        UNTIL_OPERATIONAL,
        &[],
    )
}

const fn key(oid: u16) -> Object {
    object(
        oid,
        Kind::Key,
        145,
        Some(life_cycle::CREATION),
        KEY_UNTIL_OPERATIONAL,
        &[],
    )
}

const fn session(oid: u16) -> Object {
    object(
        oid,
        Kind::Session,
        0,
        Some(life_cycle::OPERATIONAL),
        EXECUTE_ONLY,
        &[],
    )
}

const fn data(oid: u16, bytes_max: u16) -> Object {
    object(
        oid,
        Kind::Data,
        bytes_max,
        Some(life_cycle::CREATION),
        UNTIL_OPERATIONAL,
        &[],
    )
}

/// All of them, by rising identifier.
pub(crate) static OBJECTS: [Object; 44] = [
    object(oid::KEPT_ADDRESS, Kind::Register, 1, None, &[], &[]),
    object(oid::KEPT_MODE, Kind::Register, 1, None, &[], &[]),
    byte(
        oid::GLOBAL_LIFE_CYCLE,
        Kind::LifeCycle,
        ALWAYS,
        &[life_cycle::OPERATIONAL],
    ),
    byte(oid::GLOBAL_SECURITY_STATUS, Kind::SecurityStatus, ALWAYS, &[0]),
    object(oid::UID, Kind::Uid, 27, None, READ_ONLY, &[]),
    byte(
        oid::SLEEP_DELAY,
        Kind::Setting { least: 20, most: 255 },
        ALWAYS,
        &[20],
    ),
    byte(
        oid::CURRENT_LIMIT,
        Kind::Setting { least: 6, most: 15 },
        ALWAYS,
        &[6],
    ),
    byte(oid::EVENT_COUNTER, Kind::Fixed, READ_ONLY, &[0]),
    byte(oid::BUFFER_BYTES, Kind::Fixed, READ_ONLY, &[0x06, 0x15]),
    certificate(oid::FACTORY_CERTIFICATE, 1728, life_cycle::OPERATIONAL),
    certificate(0xE0E1, 1728, life_cycle::CREATION),
    certificate(0xE0E2, 1728, life_cycle::CREATION),
    certificate(0xE0E3, 1728, life_cycle::CREATION),
    certificate(oid::TRUST_ANCHOR, 1024, life_cycle::CREATION),
    certificate(oid::PLATFORM_ANCHOR, 1024, life_cycle::CREATION),
    object(
        oid::FACTORY_KEY,
        Kind::Key,
        145,
        Some(life_cycle::OPERATIONAL),
        EXECUTE_ONLY,
        &[],
    ),
    key(0xE0F1),
    key(0xE0F2),
    key(0xE0F3),
    session(oid::SESSION_FIRST),
    session(0xE101),
    session(0xE102),
    session(0xE103),
    byte(
        oid::APPLICATION_LIFE_CYCLE,
        Kind::LifeCycle,
        ALWAYS,
        &[life_cycle::CREATION],
    ),
    byte(
        oid::APPLICATION_SECURITY_STATUS,
        Kind::SecurityStatus,
        ALWAYS,
        &[0],
    ),
    byte(oid::LAST_ERROR, Kind::LastError, READ_ONLY, &[0]),
    data(0xF1D0, 100),
    data(0xF1D1, 100),
    data(0xF1D2, 100),
    data(0xF1D3, 100),
    data(0xF1D4, 100),
    data(0xF1D5, 100),
    data(0xF1D6, 100),
    data(0xF1D7, 100),
    data(0xF1D8, 100),
    data(0xF1D9, 100),
    data(0xF1DA, 100),
    data(0xF1DB, 100),
    data(0xF1DC, 100),
    data(0xF1DD, 100),
    data(0xF1DE, 100),
    data(0xF1DF, 100),
    data(0xF1E0, 1500),
    data(0xF1E1, 1500),
];

/// Anything that the memory holds, registers included.
pub(crate) fn find_stored(oid: u16) -> Option<&'static Object> {
    let index = OBJECTS.binary_search_by_key(&oid, |object| object.oid).ok()?;
    OBJECTS.get(index)
}

/// An object that a command may name.
pub(crate) fn find(oid: u16) -> Option<&'static Object> {
    find_stored(oid).filter(|object| object.kind != Kind::Register)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_is_sorted_and_has_the_sizes_of_the_trust_x() {
        assert!(OBJECTS.is_sorted_by_key(|object| object.oid));
        let arbitrary: u32 = OBJECTS
            .iter()
            .filter(|object| object.kind == Kind::Data)
            .map(|object| u32::from(object.bytes_max))
            .sum();
        assert_eq!(arbitrary, 4600);
        for (oid, bytes) in [
            (0xE0E1, 1728),
            (0xE0E8, 1024),
            (0xF1D0, 100),
            (0xF1DF, 100),
            (0xF1E1, 1500),
        ] {
            assert_eq!(find(oid).unwrap().bytes_max, bytes);
        }
        for oid in [
            0xDEAD, 0x0083, 0xE0E4, 0xE0E9, 0xE0F4, 0xE104, 0xE120, 0xE140, 0xF1E2, 0xE0C7,
        ] {
            assert!(find(oid).is_none(), "{oid:04X}");
        }
    }
}
