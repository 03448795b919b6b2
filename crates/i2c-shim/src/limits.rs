//! Every limit of the shim, with its reason.

/// Descriptors at or above this number are never ours: one bit for each below it says which are.
pub(crate) const DESCRIPTORS_MAX: usize = 4_096;

/// Most messages of one I2C_RDWR (Linux, `I2C_RDWR_IOCTL_MAX_MSGS`).
pub(crate) const MESSAGES_MAX: usize = 42;

/// Most bytes of one message, and of one read or write (Linux, i2c-dev).
pub(crate) const MESSAGE_BYTES_MAX: usize = 8_192;

/// Most buses that the variable may name.
pub(crate) const BUSES_MAX: usize = 64;
