//! Every bound of this crate, by name. What exceeds one is refused by the reader that meets it, never cut.

/// Characters of one PEM document; the largest certificate AWS IoT takes (`CertificatePem`, AWS IoT API reference).
pub const PEM_CHARACTERS_MAX: usize = 65_536;
/// Characters of a text that holds several PEM blocks (a chain, a bundle of roots).
pub const PEM_BUNDLE_CHARACTERS_MAX: usize = 1 << 20;
/// Blocks of one label in such a text.
pub const PEM_BLOCKS_MAX: usize = 1_000;
/// Bytes of one certificate; the DER of the longest accepted PEM is shorter.
pub const CERTIFICATE_BYTES_MAX: usize = 65_536;
/// Bytes (or PEM characters) of a certification request (`certificateSigningRequest`, AWS IoT API reference).
pub const REQUEST_BYTES_MAX: usize = 4_096;
/// Attributes of one distinguished name.
pub const NAME_ATTRIBUTES_MAX: usize = 64;
/// Characters of one attribute value that we write ourselves.
pub const NAME_VALUE_CHARACTERS_MAX: usize = 256;
/// Extensions of one certificate.
pub const EXTENSIONS_MAX: usize = 64;
/// Alternative names of one certificate.
pub const ALTERNATIVE_NAMES_MAX: usize = 256;
/// Purposes listed in one extended key usage.
pub const KEY_PURPOSES_MAX: usize = 64;
/// Content bytes of a serial number: 20 octets and the sign octet (RFC 5280 4.1.2.2).
pub const SERIAL_BYTES_MAX: usize = 21;
/// Content bytes of an object identifier.
pub const OID_BYTES_MAX: usize = 64;
/// Bytes of a subject public key info (RSA with 16 384 bits needs 2 086).
pub const PUBLIC_KEY_BYTES_MAX: usize = 2_200;
/// Bits of an RSA modulus that is read at all.
pub const RSA_BITS_MAX: u32 = 16_384;
/// Bytes of a signature.
pub const SIGNATURE_BYTES_MAX: usize = 2_048;
/// Characters of a thing's name (AWS IoT API reference, `thingName`).
pub const THING_NAME_CHARACTERS_MAX: usize = 128;
/// Characters of a region.
pub const REGION_CHARACTERS_MAX: usize = 32;

/// Days a server certificate may live; what browsers and most TLS stacks still accept.
pub const SERVER_DAYS_MAX: i64 = 397;
/// Days a verification certificate may live; it proves possession once and is worthless after.
pub const VERIFICATION_DAYS_MAX: i64 = 7;
/// Characters of the code a verification certificate repeats (AWS IoT API reference, `GetRegistrationCode`).
pub const REGISTRATION_CODE_CHARACTERS: usize = 64;

/// Bytes of one line of a manifest.
pub const MANIFEST_LINE_BYTES_MAX: usize = 256 * 1024;
/// Entries of one segment of a manifest.
pub const MANIFEST_ENTRIES_MAX: usize = 200;
/// Characters of the name of an order.
pub const MANIFEST_ORDER_CHARACTERS_MAX: usize = 64;
/// Parameters of one entry of a manifest.
pub const MANIFEST_PARAMETERS_MAX: usize = 16;
/// Bytes of a text in an entry of a manifest.
pub const MANIFEST_TEXT_BYTES_MAX: usize = 256;
