//! Every maximum of this crate.

/// Bytes of the configuration file.
pub const CONFIG_BYTES_MAX: u64 = 64 * 1024;
/// Bytes that an operation answers at once: a signature with the longest RSA key.
pub const ANSWER_BYTES_MAX: usize = 512;
