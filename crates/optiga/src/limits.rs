//! Every maximum of the driver, in one place: sizes are the chip's own, counts and times are how long we try.

/// Longest command or answer in bytes, header included (object E0C6 reads 0615).
pub const APDU_BYTES_MAX: usize = 1557;
/// Most data bytes in one answer: the longest answer without its header.
pub const ANSWER_DATA_BYTES_MAX: usize = APDU_BYTES_MAX - 4;
/// Most object bytes in one SetDataObject: the longest command without header, object and offset.
pub const WRITE_DATA_BYTES_MAX: usize = APDU_BYTES_MAX - 8;
/// Longest frame the chip takes (DATA_REG_LEN 0115).
pub const FRAME_BYTES_MAX: usize = 277;
/// Shortest DATA_REG_LEN that the protocol allows (IFX I2C Protocol v1.65, table 2-1).
pub const FRAME_BYTES_MIN: usize = 16;
/// Longest metadata of an object, container header included.
pub const METADATA_BYTES_MAX: usize = 28;
/// Longest access condition that still fits into one metadata container.
pub const ACCESS_BYTES_MAX: usize = METADATA_BYTES_MAX - 4;
/// Most bytes of a certificate object (E0E0 to E0E3).
pub const CERTIFICATE_OBJECT_BYTES_MAX: usize = 1728;
/// Most bytes of a trust anchor object (E0E8, E0EF).
pub const TRUST_ANCHOR_BYTES_MAX: usize = 1024;
/// Fewest and most bytes that one GetRandom gives.
pub const RANDOM_BYTES: core::ops::RangeInclusive<usize> = 8..=256;
/// Longest signature in DER: two P-384 halves that each need a leading zero.
pub const SIGNATURE_DER_BYTES_MAX: usize = 2 + 2 * (2 + 49);
/// Fewest and most bytes of a challenge (SetAuthMsg).
pub const CHALLENGE_BYTES: core::ops::RangeInclusive<usize> = 8..=256;
/// Fewest and most bytes that a key is derived from, label included (DeriveKey).
pub const DERIVATION_BYTES: core::ops::RangeInclusive<usize> = 8..=1024;
/// Fewest and most bytes that DeriveKey gives.
pub const DERIVED_BYTES: core::ops::RangeInclusive<usize> = 16..=256;
/// Fewest and most bytes that DeriveKey leaves in a session context.
pub const DERIVED_SESSION_BYTES: core::ops::RangeInclusive<usize> = 16..=48;
/// Bytes of a hash in progress, as it leaves the chip.
pub const HASH_CONTEXT_BYTES: usize = 130;
/// Most bytes of a message in one CalcHash that also carries a context in and asks for one out: the longest command
/// without header, record heads and context.
pub const HASH_PIECE_BYTES_MAX: usize = APDU_BYTES_MAX - 4 - 3 - (3 + HASH_CONTEXT_BYTES) - 3;
/// Milliseconds that the sleep delay (E0C3) may have.
pub const SLEEP_DELAY_MS: core::ops::RangeInclusive<u8> = 20..=255;
/// Milliamperes that the current limit (E0C4) may have.
pub const CURRENT_LIMIT_MA: core::ops::RangeInclusive<u8> = 6..=15;
/// Fewest and most kilohertz that the bus may have: Fm+ is the chip's fastest mode.
pub const BUS_KHZ: core::ops::RangeInclusive<u16> = 1..=1000;
/// Addresses that a target may have on the bus; the others are reserved by the I²C specification.
pub const ADDRESSES: core::ops::RangeInclusive<u8> = 0x08..=0x77;
/// Fewest and most bytes of a digest to sign: the chip's minimum and the size of a P-384 digest.
pub const DIGEST_BYTES: core::ops::RangeInclusive<usize> = 10..=48;

/// How often a transaction is tried, 1 ms apart, while the chip does not acknowledge its address. The chip's own limit is
/// 100 ms (Datasheet v2.70, appendix B); we wait more than twice as long.
pub const ADDRESS_ATTEMPTS_MAX: u32 = 250;
/// Time between two attempts at an address that is not acknowledged.
pub const ADDRESS_RETRY_US: u32 = 1_000;
/// How often a transaction is repeated after any other bus error.
pub const BUS_REPEATS_MAX: u32 = 3;
/// How often a frame is sent again when nothing comes back (TRANS_REPEAT).
pub const RESENDS_MAX: u8 = 3;
/// How often one command may re-synchronise the link.
pub const RESYNCS_MAX: u8 = 2;
/// How many frames from before a re-synchronisation may still be offered after it; each means that it was lost.
pub const STALES_MAX: u8 = 4;
/// How many damaged frames in a row are refused (NAK) before the answer is given up.
pub const REFUSALS_MAX: u8 = 8;
/// How often a command is sent again as a whole because the chip reports a chaining error.
pub const REPLAYS_MAX: u8 = 1;
/// How often one command tells the chip that its answer makes no chain (packet `07`).
pub const REPORTS_MAX: u8 = 1;
/// How many frames that belong to nothing (late, repeated) one command tolerates.
pub const STRAYS_MAX: u16 = 64;
