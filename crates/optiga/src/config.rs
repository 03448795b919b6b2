//! What a caller may choose about the bus and about the first contact. Every knob has its default and its reason here.

use crate::limits;

/// How the driver gets the chip into a known state before the first command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The chip has just been reset or powered: frame numbers are fresh, nothing is sent.
    AfterReset,
    /// The chip's state is not known (the host restarted, another process used it): send a re-synchronisation frame first.
    /// Without it the first frame could look like a repeated one and be answered by silence.
    Resync,
    /// Write the soft reset register, wait for the start-up time: drops session contexts as well.
    SoftReset,
}

/// How to talk to one chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Seven-bit bus address; 0x30 leaves the factory.
    pub address: u8,
    /// Longest frame to negotiate. Lower it when the bus controller limits a transfer: a write carries one byte more.
    pub frame_bytes_max: u16,
    /// Rest after each transaction. The chip asks for 50 µs; very early samples want 100.
    pub guard_us: u32,
    /// Silence after which a frame is sent again (TRANS_TIMEOUT).
    pub resend_after_us: u64,
    /// When a command is given up. The chip may delay a protected operation by 5 s.
    pub answer_within_us: u64,
    /// First contact.
    pub start: Start,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: 0x30,
            frame_bytes_max: limits::FRAME_BYTES_MAX as u16,
            guard_us: 50,
            resend_after_us: 10_000,
            answer_within_us: 6_000_000,
            start: Start::Resync,
        }
    }
}
