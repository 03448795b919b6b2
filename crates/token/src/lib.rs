//! PKCS #11 without C: what an application sees of a key that it can use but never read.
//!
//! A [`Module`] has [`Slot`]s in the order of its configuration; a slot holds one token; a [`Session`] on it finds objects,
//! reads their attributes and signs. Behind a token stands a [`Backend`]; [`chip`] is the one whose keys live in an OPTIGA
//! Trust X. Words, numbers and rules are those of the OASIS standard "PKCS #11 Cryptographic Token Interface", versions 2.40
//! and 3.0; the C functions are another crate's edge.
//! An [`Application`] is what those functions work on: sessions by number, login, and one running operation of each kind.
//!
//! What this crate must never do: let a private key's value out, show an object that is not there (an empty key slot is no
//! object), or touch the bus to answer an attribute: everything public is read once, when a token is first used.
//!
//! The core ([`Token`], [`chip`]) needs `alloc` only. The feature `std` adds modules, slots and sessions that threads can
//! share, `CKM_ECDSA_SHA256`, and `CKA_ID`, which is a hash of the public key.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing)]

extern crate alloc;

#[cfg(feature = "std")]
mod application;
mod attribute;
mod backend;
#[cfg(feature = "std")]
mod bus;
pub mod chip;
#[cfg(feature = "std")]
pub mod crypto;
mod error;
#[cfg(feature = "std")]
pub mod flash;
pub mod limits;
mod mechanism;
#[cfg(feature = "std")]
mod module;
mod object;
#[cfg(feature = "std")]
mod operation;
#[cfg(feature = "std")]
mod software;
mod token;

#[cfg(feature = "std")]
pub use application::{Application, SessionState, Setup};
pub use attribute::{Attribute, AttributeKind, Class, Shape, Value};
pub use backend::{Backend, Contents, Damage, PinState, Place, Status, TokenDescription, User};
#[cfg(feature = "std")]
pub use bus::ChipAddress;
pub use error::{ChipError, Error};
pub use mechanism::{Hash, KeyType, Mechanism, MechanismInfo, MechanismType, Purpose, Size};
#[cfg(feature = "std")]
pub use module::{Access, Module, Session, Slot};
pub use object::{Content, Handle, Naming, Object};
#[cfg(feature = "std")]
pub use operation::Kind;
pub use token::{CertificateTemplate, KeyPairTemplate, Token};
