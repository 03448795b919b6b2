//! The load: light MQTT clients over TLS with a certificate each, many to a thread, that can be pointed at any broker.
//!
//! It knows nothing of the servers that it loads. What it costs itself is nobody's number: servers are processes of their own,
//! and only their CPU time and memory count.

mod client;
mod hostile;
mod idle;
mod traffic;
mod wire;

pub(crate) use client::Road;
pub(crate) use hostile::{Sluggards, Storm};
pub(crate) use idle::Crowd;
pub(crate) use traffic::{Latency, Pace, Plan, Traffic};
