//! `libbirthmark_pkcs11.so`: the tokens of this machine, for every program that speaks PKCS #11.
//!
//! The library offers the interfaces 2.40, 3.0 and 3.1; no table has an empty entry. Which slots there are, a TOML file says
//! ([`config`]); without one there are none. What the functions do, the crate `token` decides in safe Rust; here is only the
//! edge: [`ffi`] turns pointers into slices once and catches panics, `library` knows whether this process has initialized.
//!
//! It must never follow a pointer that it has not checked for NULL, let a panic out into C, start a thread, or touch in a
//! forked child what belongs to its parent.
#![deny(unsafe_code)]
#![warn(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]
#![warn(clippy::indexing_slicing)]
#![allow(
    clippy::useless_conversion,
    clippy::unnecessary_cast,
    clippy::unnecessary_fallible_conversions,
    reason = "CK_ULONG has 32 bits on some platforms and 64 on others"
)]

pub mod chip_slot;
pub mod config;
mod copies;
mod describe;
#[expect(unsafe_code, reason = "C passes pointers")]
pub mod ffi;
mod library;
pub mod limits;
mod sync;
mod template;
