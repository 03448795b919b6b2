//! Every limit of the chip and of the tray, with where it comes from.

/// The address of a chip that nobody has re-addressed (Trust X Datasheet v2.70, app. B).
pub const ADDRESS_DEFAULT: u8 = 0x30;

/// Longest frame, and the value of DATA_REG_LEN after a reset (Trust X Datasheet v2.70, app. B: MAX_PACKET_SIZE 0x110 + 5).
pub const FRAME_BYTES_MAX: u16 = 0x115;

/// Shortest value of DATA_REG_LEN (IFX I2C Protocol v1.65, table 2-1).
pub const FRAME_BYTES_MIN: u16 = 0x10;

/// Bytes of a frame around its packet: control byte, length, checksum.
pub const FRAME_OVERHEAD_BYTES: u16 = 5;

/// Longest command or response with its head; object E0C6 says so.
pub const APDU_BYTES_MAX: usize = 0x615;

/// Head of a command or response.
pub const APDU_HEAD_BYTES: usize = 4;

/// Longest metadata of an object, container included.
pub const METADATA_BYTES_MAX: usize = 28;

/// Most tagged fields in one command's data; the longest command has four.
pub const FIELDS_MAX: usize = 6;

/// Shortest digest that CalcSign and VerifySign take.
pub const DIGEST_BYTES_MIN: usize = 10;

/// Length of a challenge for GetAuthMsg.
pub const CHALLENGE_BYTES: core::ops::RangeInclusive<usize> = 8..=256;

/// Fewest random bytes that one GetRandom gives.
pub const RANDOM_BYTES_MIN: u16 = 8;

/// Most random bytes that one GetRandom gives.
pub const RANDOM_BYTES_MAX: u16 = 256;

/// Longest secret that DeriveKey takes from a data object.
pub const SECRET_BYTES_MAX: usize = 64;

/// Length of the derivation data of DeriveKey.
pub const DERIVATION_BYTES: core::ops::RangeInclusive<usize> = 8..=1024;

/// Length of a derived key that stays in a session context.
pub const DERIVED_STORED_BYTES: core::ops::RangeInclusive<u16> = 16..=48;

/// Length of a derived key that leaves the chip.
pub const DERIVED_EXPORTED_BYTES: core::ops::RangeInclusive<u16> = 16..=256;

/// An exported hash context, to the byte.
pub const HASH_CONTEXT_BYTES: usize = 130;

/// Largest certificate that the chip parses for VerifySign.
pub const CERTIFICATE_BYTES_MAX: usize = 1300;

/// How long a frame that was read may stay without acknowledge before it is offered again (IFX I2C Protocol v1.65, TRANS_TIMEOUT).
pub const ACKNOWLEDGE_WAIT_US: u64 = 10_000;

/// How often it is offered again (IFX I2C Protocol v1.65, TRANS_REPEAT).
pub const REPEATS_MAX: u8 = 3;

/// Bytes of one page of the chip's memory, for injected power cuts.
pub const PAGE_BYTES: usize = 64;

/// Longest time that the chip may refuse its address (Trust X Datasheet v2.70, app. B 11.1).
pub const NACK_US_MAX: u64 = 100_000;

/// Most chips in a tray.
pub const CHIPS_MAX: u32 = 1_000_000;

/// Longest record in a tray's file: the largest write of one command and its key and state changes.
pub const RECORD_BYTES_MAX: usize = 4_096;

/// A tray's file that wastes more than this beyond its live content is rewritten when it is opened.
pub const WASTE_BYTES_MAX: u64 = 1 << 20;
