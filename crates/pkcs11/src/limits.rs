//! Every maximum of this crate.

/// Bytes of the configuration file.
pub const CONFIG_BYTES_MAX: u64 = 64 * 1024;
/// Bytes that an operation answers at once: a signature on the longest curve, or a digest.
pub const ANSWER_BYTES_MAX: usize = 132;
