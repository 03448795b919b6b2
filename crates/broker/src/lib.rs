//! One node of the data plane: who is connected, who listens to what, and where each message goes.
//!
//! Where it stands: *decide* and *tell* between MQTT bytes and other nodes. A shell feeds a [`Node`] with [`Event`]s, one at a
//! time, and carries out the [`Action`]s it answers with. Two nodes whose `Forward` actions become each other's `Forwarded`
//! events are a cluster; joined by a `Vec` they are one in a unit test.
//!
//! What it must never do: read a clock, draw a random number, touch a socket. Let a message across tenants. Publish, subscribe
//! or deliver anything that [`policy::decide`] does not allow at that moment. Send a forwarded message on. Keep anything of a
//! client without a limit from [`limits`].
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing)]

pub mod limits;

mod action;
mod event;
mod index;
mod message;
mod node;
mod outbound;
mod presence;
mod refusal;
mod session;
mod tenant;
mod terms;
mod topics;

pub use action::{Action, Actions, CloseReason, Outgoing};
pub use event::{Attach, ConnectionId, Departure, Event, SessionId, ThingChange, Trust};
pub use limits::Limits;
pub use message::Message;
pub use node::{Config, Counters, Node, client_id};
pub use refusal::{Attempt, Reason, Refusal};
