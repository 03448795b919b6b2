//! PKCS #11 without C: what an application sees of a key that it can use but never read.
//!
//! An [`Application`] has slots in the order of its configuration; a slot holds one token; sessions find objects on it, read
//! their attributes and use their keys. [`Session`] is one of them for a program in Rust. Behind a token stands a [`Backend`]:
//! [`flash`] keeps objects in files, [`chip`] in an OPTIGA Trust X; [`crypto`] computes with keys that are in memory. Words,
//! numbers and rules are those of the OASIS standard "PKCS #11 Cryptographic Token Interface", versions 2.40 to 3.1; the C
//! functions are another crate's edge.
//!
//! What this crate must never do: let a private key's value out, show an object that is not there (an empty key slot is no
//! object), or touch the bus to answer an attribute: everything public is read once, when a token is first used.
//!
//! The vocabulary (attributes, mechanisms, errors) needs `alloc` only; everything that works needs the feature `std`.
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(unsafe_code)]
#![warn(clippy::indexing_slicing)]

extern crate alloc;

#[cfg(feature = "std")]
mod application;
mod attribute;
mod attributes;
#[cfg(feature = "std")]
mod backend;
#[cfg(feature = "std")]
mod bus;
#[cfg(feature = "std")]
mod bus_lock;
#[cfg(feature = "std")]
mod checksum;
#[cfg(feature = "std")]
pub mod chip;
#[cfg(feature = "std")]
mod client;
#[cfg(feature = "std")]
pub mod crypto;
mod error;
#[cfg(feature = "std")]
pub mod flash;
#[cfg(feature = "std")]
mod index;
pub mod limits;
#[cfg(feature = "std")]
mod material;
mod mechanism;
#[cfg(feature = "std")]
mod object;
#[cfg(feature = "std")]
mod raw_rsa;
#[cfg(feature = "std")]
mod session;
#[cfg(feature = "std")]
mod table;
#[cfg(feature = "std")]
mod template;
#[cfg(feature = "std")]
mod token;

#[cfg(feature = "std")]
pub use application::{Application, DerivedKeys, SessionState, Setup};
pub use attribute::{Attribute, AttributeKind, Class, Shape, Value};
pub use attributes::Attributes;
#[cfg(feature = "std")]
pub use backend::{
    Backend, Contents, Damage, Draft, Found, PairDraft, PinState, Place, SessionPair, Status,
    TokenDescription, User,
};
#[cfg(feature = "std")]
pub use bus::{ChipAddress, ChipSetting};
#[cfg(feature = "std")]
pub use bus_lock::{BusLock, LockFile};
#[cfg(feature = "std")]
pub use client::{CertificateTemplate, KeyPairTemplate, Session};
pub use error::{ChipError, Error};
pub use mechanism::{Abilities, Hash, KeyType, Mechanism, MechanismType, Size};
#[cfg(feature = "std")]
pub use object::{Handle, Object, rules};
#[cfg(feature = "std")]
pub use session::{Access, operation::Kind};
