//! WebSocket as MQTT uses it: the frames of RFC 6455, from the server's side, without a socket.
//!
//! It stands between a stream and MQTT: [`Frames`] takes the frames off what a client sends, and [`wrap`] puts one around what
//! it is sent. What is in them is a stream of bytes (MQTT 5.0, 6: a packet may be spread over frames, and a frame may hold
//! many), so nothing is ever collected but what a control frame carries. It must never take a frame without a mask, and never
//! answer faster than it is read.

mod frames;
mod handshake;
mod head;

pub use frames::{Frames, Violation, wrap};
pub(crate) use handshake::{Asked, NotAsked, is_asked};

/// Asks the other side to end the conversation: nothing is wrong (RFC 6455, 7.4.1).
pub(crate) const GOODBYE: [u8; 4] = [0x88, 2, 0x03, 0xe8];
