//! MQTT 3.1.1 and 5.0: packets, topic names and filters, and what each end must remember about a connection.
//!
//! Where it stands: between the bytes of a TLS stream and those who give them meaning, the broker on one side
//! and the device agent on the other. Bytes become a [`Packet`] that cannot be wrong, or a [`Malformed`] that
//! names the statement of the standard it breaks.
//!
//! What it must never do: touch a socket, a clock or a source of randomness, or allocate while decoding. A packet borrows
//! the bytes it was read from; time is an argument, in milliseconds.
//!
//! Statements such as `[MQTT-2.3.1-1]` are those of the OASIS standard "MQTT Version 3.1.1" (29 October 2014), in [`v5`] those of
//! "MQTT Version 5.0" (7 March 2019). A CONNECT of another version is recognised, so that it can be answered in its own words
//! ([`ForeignConnect`]); [`server::first`] takes both.
//!
//! ```
//! use mqtt::{Decoded, Packet, decode};
//!
//! let Ok(Decoded::Packet { packet, bytes }) = decode(&[0xc0, 0x00], mqtt::limits::PACKET_BYTES_AWS_MAX) else {
//!     panic!("a complete PINGREQ")
//! };
//! assert_eq!((packet, bytes), (Packet::PingRequest, 2));
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing)]

extern crate alloc;

pub mod client;
pub mod encode;
pub mod limits;
pub mod server;
pub mod v5;

mod connect;
mod fault;
mod frame;
mod keep_alive;
mod packet;
mod publish;
mod reader;
mod shared;
mod subscribe;
mod topic;
mod window;

pub use connect::{Connect, ConnectAnswer, ConnectReturn, ForeignConnect, Password, Will};
pub use fault::{Fault, Malformed};
pub use frame::{Decoded, PacketType, decode};
pub use keep_alive::KeepAlive;
pub use packet::{Packet, PacketId, QoS, Version};
pub use publish::{Delivery, Publish};
pub use shared::{Alias, Own, SharedPublish};
pub use subscribe::{
    Filters, SubscribeAnswer, SubscribeRequest, SubscribeReturn, SubscribeReturns, Subscription,
    Subscriptions, UnsubscribeRequest,
};
pub use topic::{Matching, TopicError, TopicFilter, TopicName};
pub use window::{Window, WindowFull};
