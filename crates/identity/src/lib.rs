//! The documents that cross every wall of Birthmark: names, keys, certificates, requests, and how a certificate is issued.
//!
//! The factory and the cloud never call each other; they exchange what this crate can read and write. Everything here is a
//! pure function of its arguments: no clock, no files, no network, no threads. Without the feature `aws-lc` the crate only
//! reads and writes; with it, keys can sign, signatures can be verified, and a [`request::ProvenKey`] can come to exist.
//!
//! It must never panic on what a stranger sent, and never answer "this is a certificate" for bytes that strict DER forbids.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing)]

extern crate alloc;

pub mod certificate;
#[cfg(feature = "aws-lc")]
pub mod crypto;
pub mod der;
mod error;
pub mod extension;
mod ids;
pub mod issue;
pub mod key;
pub mod limits;
#[cfg(feature = "manifest")]
pub mod manifest;
pub mod name;
pub mod pem;
pub mod request;
mod time;

pub use error::{Blame, Error, Explained, PemFault};
pub use ids::{AccountId, CertificateId, Hex, Region, Tenant, ThingName};
pub use time::{Civil, UnixMillis};
