//! Every maximum of this crate.

/// Slots of one module.
pub const SLOTS_MAX: usize = 64;
/// How often a program that waits for a token to come or go looks for it.
pub const SLOT_LOOK_MILLIS: u64 = 500;
/// Sessions of one application.
pub const SESSIONS_MAX: usize = 65_536;
/// Bytes of a PIN, at least.
pub const PIN_BYTES_MIN: usize = 4;
/// Bytes of a PIN, at most.
pub const PIN_BYTES_MAX: usize = 64;
/// Wrong tries of a PIN until it is locked.
pub const PIN_TRIES_MAX: u8 = 10;
/// Memory that argon2id takes for one try of a PIN (RFC 9106 and OWASP's smallest advice).
pub const ARGON2_KIBIBYTES: u32 = 19 * 1024;
/// Passes of argon2id over that memory.
pub const ARGON2_PASSES: u32 = 2;
/// Memory that the file of a token may demand for one try of a PIN.
pub const ARGON2_KIBIBYTES_MAX: u32 = 1024 * 1024;
/// Passes that the file of a token may demand.
pub const ARGON2_PASSES_MAX: u32 = 64;
/// Bytes of a token's label.
pub const LABEL_BYTES_MAX: usize = 32;
/// One attribute of an object.
pub const ATTRIBUTE_BYTES_MAX: usize = 64 * 1024;
/// All attributes of an object in files together, with its secret.
pub const FLASH_OBJECT_BYTES_MAX: usize = 1024 * 1024;
/// One commit in a token's journal.
pub const FRAME_BYTES_MAX: u32 = 4 * 1024 * 1024;
/// What a token's journal may hold beside twice its objects before it is written anew.
pub const JOURNAL_SLACK_BYTES: u64 = 1024 * 1024;
/// A token's journal.
pub const JOURNAL_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// What stands for a number that nobody knows (`CK_UNAVAILABLE_INFORMATION`).
pub const UNAVAILABLE: u64 = u64::MAX;
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
/// Bits of an RSA modulus, at least.
pub const RSA_BITS_MIN: usize = 2048;
/// Bits of an RSA modulus, at most.
pub const RSA_BITS_MAX: usize = 4096;
/// Bytes of a secret key that is no AES key: all that HKDF can give (RFC 5869, 2.3).
pub const SECRET_BYTES_MAX: usize = 255 * 64;
/// Data that has to be there whole before anything is computed: Ed25519, and AES-GCM.
pub const GATHERED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// One byte string of a mechanism's parameter: a label, shared information, additional data.
pub const PARAMETER_BYTES_MAX: usize = 1024 * 1024;
/// Data that are signed or encrypted as they are, unhashed: the longest RSA modulus.
pub const RAW_BYTES_MAX: usize = RSA_BITS_MAX / 8;
/// A key, or other data, under AES key wrap.
pub const WRAPPED_BYTES_MAX: usize = 64 * 1024;
/// Each key and initialization vector of a TLS 1.2 connection.
pub const TLS_KEY_BYTES_MAX: usize = 64;
/// How long a process waits for its turn at a chip that another process has; one command of the chip takes at most 6 s.
pub const BUS_WAIT_SECONDS_MAX: u64 = 30;
/// How often the record in a chip's lock file is read again while others write it.
pub const LOCK_READS_MAX: usize = 8;
/// Bytes of an object's id in the directory of a chip.
pub const CHIP_ID_BYTES_MAX: usize = 20;
/// Bytes of an application's name in the directory of a chip.
pub const APPLICATION_BYTES_MAX: usize = 32;
