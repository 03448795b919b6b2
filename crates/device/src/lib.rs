//! A device as the cloud sees it: mutual TLS with a key that never leaves its token, and MQTT 3.1.1 over it.
//!
//! [`DeviceKey`] is all that is known of the key: it has a certificate, it signs, and it says which root the server must come
//! from. [`TokenKey`] is that over a [`DeviceToken`]: a token of this process (`token::Session`), or one behind any vendor's PKCS #11
//! module ([`VendorToken`]). [`Tls`] makes the TLS side of it, [`Connection`] is one blocking MQTT connection,
//! [`connect_with_backoff`] goes through a first connection that the server closes. [`enrolment`] is how a key and its
//! certificate come into a token one device at a time.
//!
//! What this crate must never do: name a chip, trust a server whose chain does not end in the device's own root, send its
//! certificate to such a server, or wait for anything without an end.
#![forbid(unsafe_code)]

mod backoff;
mod connection;
mod device_token;
mod endpoint;
pub mod enrolment;
mod error;
mod key;
pub mod limits;
mod stream;
mod tls;
mod token_key;
mod vendor;

pub use backoff::connect_with_backoff;
pub use connection::{Connection, Message, Options, Timeouts};
pub use device_token::DeviceToken;
pub use endpoint::Endpoint;
pub use error::{Error, Moment};
pub use key::{DeviceKey, KeyError};
pub use mqtt::{ConnectReturn, QoS, SubscribeReturn};
pub use tls::{Alpn, Tls, Versions};
pub use token_key::{Labels, TokenKey};
pub use vendor::{TokenChoice, VendorToken};
