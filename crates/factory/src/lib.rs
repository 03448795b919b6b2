//! The factory: where a key that was born in a chip becomes a certificate in that chip and a line in the ledger.
//!
//! A [`Factory`] is a directory: the keys and certificates of a root CA and of the signer CA for one customer, and the
//! [`ledger`]. A [`line::Line`] takes chips through it in batches. The order of things is *keep before tell*: the complete
//! to-be-signed bytes are durable before the signature is asked for, the certificate is durable before a chip sees it.
//!
//! This crate links nothing that listens, and never holds a device's private key: the chip makes it and keeps it.
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing)]

mod ca;
mod error;
mod files;
pub mod ledger;
pub mod limits;
pub mod line;
mod manifest;
mod order;
mod workshop;

pub use ca::Plan;
pub use error::Error;
pub use manifest::{Window, Written};
pub use order::{Order, Terms};
pub use workshop::Factory;
