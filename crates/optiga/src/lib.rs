//! Talk to an OPTIGA Trust X (SLS 32AIA020X) over I²C: the driver that is the same on a board, on Linux and against the
//! simulated chip.
//!
//! The layers are the chip's own, each in a module that does no I/O: [`register`] (what sits at which address of the bus
//! interface), [`crc`] and [`frame`] (the data link), [`chain`] (the transport: commands longer than a frame), [`apdu`]
//! (commands and answers), [`object`] and [`metadata`] (what the chip keeps and who may touch it). [`link`] is the state
//! machine that turns one command into frames and frames into one answer, with time as an argument. [`Optiga`] is the thin
//! blocking shell that moves those frames over an `embedded_hal::i2c::I2c`.
//!
//! What this crate must never do: use a repeated start (the chip does not know it), read a clock (time is the sum of the
//! delays that it asked for), allocate, panic on what the chip sends, or let a private key be read: the chip has no command
//! for that either.
//!
//! Public sources: OPTIGA Trust X Datasheet v2.70; IFX I2C Protocol v1.65; Infineon's host library for what neither says.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod apdu;
#[cfg(feature = "async")]
mod asynchronous;
mod blocking;
pub mod chain;
mod config;
pub mod crc;
mod engine;
mod error;
pub mod frame;
pub mod identity_format;
pub mod limits;
pub mod link;
pub mod metadata;
pub mod object;
pub mod register;
pub mod request;
mod secret;
mod shell;
mod signature;

#[cfg(feature = "async")]
pub use asynchronous::AsyncOptiga;
pub use blocking::Optiga;
pub use config::{Config, Start};
pub use error::{Error, ErrorCode, Malformed, Misuse};
pub use link::LinkError;
pub use metadata::{Access, Metadata, MetadataChange};
pub use object::{
    Curve, KeyPlace, KeySlot, KeyUsage, Lifecycle, LifecycleOf, ObjectId, PublicKeyBytes, SessionContext, Uid,
};
pub use request::{AuthenticationScheme, HashContext, HashInput, HashStep, Hashed, RandomSource, WriteMode};
pub use secret::{KeyPair, Secret};
pub use signature::Signature;
