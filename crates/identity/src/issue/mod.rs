//! Issuing: a proven key, a profile and a serial number become the bytes to be signed, and those become a certificate.
//!
//! The two steps are apart on purpose. Between [`prepare`] and [`Prepared::sign`] the caller writes the complete
//! to-be-signed bytes into its ledger (*keep before tell*); after a crash exactly those bytes may be signed again, through
//! [`Prepared::resume`]. Factory and cloud both issue through here, each with a [`Signer`] of its own.

#[cfg(feature = "aws-lc")]
mod prepared;
#[cfg(feature = "aws-lc")]
mod profile;
mod signer;

#[cfg(feature = "aws-lc")]
pub use prepared::{Prepared, Serial, prepare};
#[cfg(feature = "aws-lc")]
pub use profile::{AWS_ISSUED_COMMON_NAME, Profile, Validity};
pub use signer::{SignError, Signer};
