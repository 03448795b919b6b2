//! One node of the data plane: who is connected, who listens to what, and where each message goes.
//!
//! Where it stands: *decide* and *tell* between MQTT bytes and other nodes. A shell feeds a [`Node`] with [`Event`]s, one at a
//! time, and carries out the [`Action`]s it answers with. Two nodes whose `Forward` actions become each other's `Forwarded`
//! events are a cluster; joined by a `Vec` they are one in a unit test.
//!
//! Clients speak MQTT 3.1.1 or 5.0; there is one state machine, which thinks in the words of 5.0. Sessions end with their
//! connection: a client of 5.0 that asks for more is told Session Expiry Interval 0 and no session present, which 5.0 allows a
//! server to say (section 3.2.2.3.2); one of 3.1.1 is refused, since there are no words for it.
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
