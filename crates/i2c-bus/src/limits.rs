//! Every limit of the virtual bus, with its reason.

/// Most bytes that one request or reply carries after its header: the length field has 16 bits.
pub const PAYLOAD_BYTES_MAX: usize = 65_535;

/// Most bytes of one READ or WRITE_READ answer: the count has 16 bits.
pub const READ_BYTES_MAX: usize = 65_535;

/// Most connections that one [`Listener`](crate::Listener) serves at the same time; a further one is closed at once.
pub const CONNECTIONS_MAX: usize = 256;

/// How long a [`SocketClient`](crate::SocketClient) waits for one reply, in seconds. A chip answers a transaction at once
/// or refuses it; only a dead server is silent.
pub const REPLY_SECONDS_MAX: u64 = 30;

/// The highest 7-bit address.
pub const ADDRESS_MAX: u8 = 0x7F;

/// The slowest clock that a CLOCK request may set, in Hz.
pub const CLOCK_HERTZ_MIN: u32 = 1_000;

/// The fastest clock that a CLOCK request may set, in Hz (Fast-mode Plus).
pub const CLOCK_HERTZ_MAX: u32 = 1_000_000;

/// The clock of a new bus, in Hz (Standard-mode).
pub const CLOCK_HERTZ_DEFAULT: u32 = 100_000;

/// Most targets on one bus: as many as there are 7-bit addresses.
pub const TARGETS_MAX: usize = 128;
