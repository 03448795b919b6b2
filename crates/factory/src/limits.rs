//! Every bound of the factory, by name.

/// Bytes of one record in the ledger.
pub const RECORD_BYTES_MAX: usize = 16_384;
/// Bytes behind the last good record that can be the remains of a write that a crash cut: more than the largest batch.
pub const TORN_BYTES_MAX: u64 = 64 << 20;
/// Bytes of a chip's unique identifier.
pub const UID_BYTES_MAX: usize = 64;
/// Characters of the reason why a chip was scrapped; a longer one is cut.
pub const REASON_CHARACTERS_MAX: usize = 500;
/// Characters of a customer's name.
pub const CUSTOMER_CHARACTERS_MAX: usize = 64;
/// Characters of an order's name.
pub const ORDER_NAME_CHARACTERS_MAX: usize = 64;
/// Characters of the beginning of the thing names of an order; the counter follows it.
pub const PREFIX_CHARACTERS_MAX: usize = 100;
/// Certificates of one order.
pub const ORDER_COUNT_MAX: u64 = 1_000_000_000;
/// Orders of one factory.
pub const ORDERS_MAX: u32 = 100_000;
/// Digits of the counter in a thing name; an order with more things has more.
pub const NUMBER_DIGITS_MIN: usize = 6;
/// Chips that the line takes together when nothing else is said: one write to the disk for each step of all of them.
pub const BATCH_CHIPS_DEFAULT: usize = 64;
/// Chips that the line takes together at most.
pub const BATCH_CHIPS_MAX: usize = 4_096;
/// Chips that the line speaks to at the same time at most.
pub const STATIONS_MAX: usize = 256;
/// Units in one page of a listing.
pub const PAGE_UNITS_MAX: usize = 10_000;
/// Years that root and signer are valid.
pub const CA_YEARS: i32 = 45;
/// Years that a device certificate is valid when the order says nothing else.
pub const DEVICE_YEARS: i32 = 20;
/// Days that a verification certificate is valid, a day back included.
pub const VERIFICATION_DAYS: i64 = 5;
