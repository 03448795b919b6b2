//! One node of the data plane: who is connected, who listens to what, and where each message goes.
//!
//! Where it stands: *decide* and *tell* between MQTT bytes and other nodes. A shell feeds a [`Node`] with [`Event`]s, one at a
//! time, and carries out the [`Action`]s it answers with. Two nodes whose `Forward` actions become each other's `Forwarded`
//! events are a cluster; joined by a `Vec` they are one in a unit test.
//!
//! Clients speak MQTT 3.1.1 or 5.0; there is one state machine, which thinks in the words of 5.0. What must outlive the process
//! is given away as [`Record`]s, which [`Restoring`] makes a node of again; an answer that promises something waits at a [`Gate`]
//! until the records behind it are durable, here and on the other nodes. Where AWS and the standard differ there is one named
//! [switch](Switches) each.
//!
//! What it must never do: read a clock, draw a random number, touch a socket. Promise what no record holds. Let a message across tenants. Publish, subscribe
//! or deliver anything that [`policy::decide`] does not allow at that moment. Send a forwarded message on. Keep anything of a
//! client without a limit from [`limits`].
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing)]

pub mod limits;

/// The words of its records and events.
pub use mqtt;

mod absence;
mod action;
mod aliases;
mod counters;
mod event;
mod index;
mod interests;
mod message;
mod node;
mod outbound;
mod presence;
mod record;
mod refusal;
mod requests;
mod retained;
mod session;
mod switches;
mod tenant;
mod terms;
mod topics;

pub use absence::{Absence, DisconnectReason};
pub use action::{Action, Actions, Ask, Chosen, CloseReason, Forward, Gate, Outgoing, Share};
pub use aliases::Aliases;
pub use counters::{Counters, Dropped, Holdings, Traffic};
pub use event::{Attach, ConnectionId, Departure, Event, Lease, SessionId, ThingChange, Trust};
pub use interests::{Interests, Nodes};
pub use limits::Limits;
pub use message::{Message, Parts, Stamp};
pub use node::{
    Checkpoint, ClientState, Config, ConnectionState, Directed, Node, Restoring, RetainedMessage, Unfit,
    client_id, is_own,
};
pub use record::{Identifiers, KeptWill, NodeIndex, Record, SessionKey, Wanted};
pub use refusal::{Attempt, Reason, Refusal};
pub use switches::{SwitchLine, Switches};
