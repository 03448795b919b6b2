//! Every maximum of this crate.

/// Slots of one module.
pub const SLOTS_MAX: usize = 64;
/// Sessions of one application.
pub const SESSIONS_MAX: usize = 65_536;
/// Attributes in one template.
pub const TEMPLATE_ATTRIBUTES_MAX: usize = 32;
/// Certificate in a certificate object of the chip, head of the TLS identity form not counted.
pub const CERTIFICATE_BYTES_MAX: usize =
    optiga::limits::CERTIFICATE_OBJECT_BYTES_MAX - optiga::identity_format::HEAD_BYTES;
/// Certificate in a trust anchor object of the chip.
pub const TRUST_ANCHOR_BYTES_MAX: usize = optiga::limits::TRUST_ANCHOR_BYTES_MAX;
/// Random bytes in one call.
pub const RANDOM_BYTES_MAX: usize = 64 * 1024;
/// Data that one call hashes and signs.
pub const SIGN_DATA_BYTES_MAX: usize = 1024 * 1024;
/// Digest that `CKM_ECDSA` takes (SHA-512); what exceeds the curve is cut.
pub const DIGEST_BYTES_MAX: usize = 64;
