//! Talk to an OPTIGA Trust X (SLS 32AIA020X) over I²C: the driver that is the same on a board, on Linux and against the
//! simulated chip.
//!
//! The layers are the chip's own, each in a module that does no I/O: [`register`] (what sits at which address of the bus
//! interface), [`crc`] and [`frame`] (the data link), [`chain`] (the transport: commands longer than a frame), [`apdu`]
//! (commands and answers), [`object`] and [`metadata`] (what the chip keeps and who may touch it). [`link`] is the state
//! machine that turns one command into frames and frames into one answer, with time as an argument; [`request`] has a type
//! for each command. [`Optiga`] is the thin blocking shell that moves those frames over an `embedded_hal::i2c::I2c`.
//!
//! # A chip in five minutes
//!
//! The driver wants a bus and a delay, both from `embedded-hal`. On Linux those are `I2cdev` and `Delay` of
//! `linux-embedded-hal` (see `examples/gateway.rs`), on a board the types of its HAL (see `examples/microcontroller.rs`).
//!
//! ```
//! use embedded_hal::{delay::DelayNs, i2c::I2c};
//! use optiga::{Config, Curve, Error, KeySlot, KeyUsage, Optiga, Signature};
//!
//! fn identity<I: I2c, D: DelayNs>(bus: I, delay: D, digest: &[u8; 32]) -> Result<Signature, Error<I::Error>> {
//!     let mut chip = Optiga::new(bus, delay, Config::default());
//!     chip.open()?;
//!     // The key is made in the chip and stays there; what comes out is the public half.
//!     let public = chip.generate_key(KeySlot::E0F1, Curve::P256, KeyUsage::SIGN)?;
//!     // The chip does not hash: it signs a digest.
//!     let signature = chip.sign_digest(KeySlot::E0F1, digest)?;
//!     chip.verify_digest(&public, digest, &signature)?;
//!     Ok(signature)
//! }
//! ```
//!
//! Errors say which layer failed and what to try, and have a code that scripts can rely on:
//!
//! ```
//! use optiga::{Error, LinkError};
//!
//! let error: Error<()> = LinkError::Damaged.into();
//! assert_eq!(error.code(), "chip.link.damaged");
//! assert_eq!(error.to_string(), "the chip did not answer: answers arrive damaged; lower the bus speed");
//! ```
//!
//! What an object lets happen to itself is its metadata. Locking an identity is a change of metadata that can never be
//! taken back:
//!
//! ```
//! use optiga::{Access, Lifecycle, MetadataChange};
//!
//! assert_eq!(MetadataChange::LOCK.lifecycle, Some(Lifecycle::Operational));
//! assert_eq!(MetadataChange::LOCK.change, Some(Access::NEVER));
//! assert_eq!(Access::UNTIL_OPERATIONAL.to_string(), "LcsO<op");
//! ```
//!
//! With the feature `async` there is `AsyncOptiga`, with the same methods as futures over `embedded-hal-async`. A call that
//! is dropped half way is no harm: the next one brings the link into step first.
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
