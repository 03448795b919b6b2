//! A simulated OPTIGA Trust X: what the silicon does, on a virtual I²C bus, byte for byte where it is known.
//!
//! A [`Chip`] is a [`Target`](i2c_bus::Target): it answers to an address, to registers, to frames with checksums, to chains of
//! fragments and to commands, and keeps its objects like a chip that can lose its power at any moment. A [`Tray`] holds many.
//! The decoder is its own on purpose: one that it shared with the driver would hide a shared mistake.
//!
//! All commands of the chip are there but two: the on-chip DTLS client (ProcUpLinkMsg, ProcDownLinkMsg) is refused with error
//! 0A, invalid command. TLS with the chip's keys goes through CalcSign, CalcSSec, DeriveKey and GetRandom.
//!
//! It must never be taken for a secure element. Its keys lie in a file that says SIMULATED, its certificates say so too, and
//! it claims no resistance against anything.
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing)]

mod access;
mod applet;
mod authority;
mod chip;
mod code;
mod counters;
mod crc;
mod ec;
mod error;
mod faults;
pub mod limits;
mod link;
mod memory;
mod metadata;
mod monitor;
mod objects;
mod personality;
mod port;
mod sha256;
mod timing;
mod transport;
mod tray;

pub use authority::Authority;
pub use chip::Chip;
pub use counters::Counters;
pub use error::Error;
pub use faults::{Faults, NackPolicy};
pub use personality::{Behaviour, Firmware, Personality, Profile, Settings, UID_BYTES};
pub use timing::Timing;
pub use tray::Tray;
