//! Every maximum of a device's connection.

/// Longest packet that the server may send: what AWS IoT Core allows.
pub const PACKET_BYTES_MAX: usize = mqtt::limits::PACKET_BYTES_AWS_MAX;
/// Messages that may arrive while the caller waits for something else.
pub const QUEUED_MESSAGES_MAX: usize = 1024;
/// Bytes asked from the connection at once.
pub const READ_BYTES: usize = 4096;
/// Plain bytes that may wait inside TLS for the socket.
pub const TLS_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Attempts of one `connect_with_backoff`, whatever the policy says.
pub const CONNECT_ATTEMPTS_MAX: usize = 16;
/// Certificates in a device's chain.
pub const CHAIN_CERTIFICATES_MAX: usize = 4;

/// Bytes of the identifier that a new key and its certificate share in a vendor's token.
pub const KEY_ID_BYTES: u32 = 20;
