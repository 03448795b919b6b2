//! MQTT 5.0: its packets, properties and reason codes, read and written like those of 3.1.1.
//!
//! Where it stands: beside the 3.1.1 packets of this crate, which every packet here can also say ([`From`]): a server that
//! thinks in these types serves both versions with one state machine.
//!
//! What it must never do: allocate while decoding. The properties of a packet are checked once and stay the bytes they were;
//! [`Properties`] reads them as often as wanted.
//!
//! Statements such as `[MQTT-3.1.2-3]` are here those of the OASIS standard "MQTT Version 5.0" (7 March 2019).
//!
//! ```
//! use mqtt::v5::{Packet, Reason, decode};
//!
//! let Ok(mqtt::v5::Decoded::Packet { packet: Packet::Disconnect(goodbye), .. }) = decode(&[0xe0, 1, 0x04], 100) else {
//!     panic!("a complete DISCONNECT")
//! };
//! assert_eq!(goodbye.reason, Reason::DisconnectWithWill);
//! ```

pub mod encode;

mod acknowledge;
mod connect;
pub(crate) mod flaw;
mod packet;
mod property;
mod publish;
mod reason;
mod subscribe;

pub use acknowledge::{Acknowledgement, Closing};
pub use connect::{Connect, ConnectAnswer};
pub use flaw::Flaw;
pub use packet::{Decoded, Packet, decode};
pub use property::{Place, Properties, Property};
pub use publish::Publish;
pub use reason::Reason;
pub use subscribe::{
    Answer, Reasons, RetainHandling, SubscribeRequest, Subscription, Subscriptions, UnsubscribeRequest,
};
