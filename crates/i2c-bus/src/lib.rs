//! The virtual I²C bus: what a controller and its targets say to each other, without knowing what a target is.
//!
//! A driver sees an ordinary [`embedded_hal::i2c::I2c`]; behind it stands a target in the same process ([`LocalBus`]) or one
//! at the far end of a Unix or loopback TCP socket ([`SocketClient`] and [`serve`]), which speaks VI2C v1 ([`wire`]);
//! on a serial line the same messages are framed ([`serial`], [`serve_serial`]).
//! The codec, the errors and the [`Target`] trait need no standard library and no heap.
//!
//! It must never know a chip: an address, bytes, an acknowledge or none, two lines and a clock are all there is.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing)]

mod error;
pub mod limits;
pub mod serial;
mod target;
pub mod wire;

#[cfg(feature = "std")]
mod bridge;
#[cfg(feature = "std")]
mod local;
#[cfg(feature = "std")]
mod operations;
#[cfg(feature = "std")]
mod serve;
#[cfg(feature = "std")]
mod socket;

pub use error::Error;
pub use target::{Line, Nack, Target};

#[cfg(feature = "std")]
pub use bridge::serve_serial;
#[cfg(feature = "std")]
pub use local::{BusDelay, LocalBus, LocalClient};
#[cfg(feature = "std")]
pub use serve::serve;
#[cfg(feature = "std")]
pub use socket::{Address, Listener, Serving, SocketClient, SocketDelay};
