//! Records that survive: what `fleet` decides is kept here before anybody is told.
//!
//! [`Records`] and [`Attempts`] are the promises; [`LocalRecords`] and [`LocalAttempts`] keep them on one machine with
//! SQLite, and [`conformance`] is the suite that every implementation passes. All SQL of the cloud lives in this crate. It
//! decides nothing: a batch is kept whole or not at all, and a conflict is told to the caller, who looks and decides again.
//!
//! [`SessionLog`] keeps what the data plane must not forget, which comes far too fast and goes far too soon for tables: one
//! append-only log for each node of the broker.
//!
//! The traits name no runtime: their futures are woken from the engine's own threads and can be awaited anywhere
//! ([`wait`] awaits one on a plain thread).
#![forbid(unsafe_code)]

mod attempts;
pub mod conformance;
mod directory;
mod error;
pub mod limits;
pub mod measure;
mod oneshot;
pub mod plain;
mod queue;
mod records;
mod sessions;
mod sqlite;

pub use attempts::{Attempts, Filter, Recorded, What};
pub use directory::DataDirectory;
pub use error::{CommitError, Conflict, Error};
pub use oneshot::wait;
pub use records::{
    AttachedPolicy, AuditLine, Committed, GroupFilter, Holding, Indexed, Page, Records, Trust,
};
pub use sessions::{Durability, Frame, SessionLog};
pub use sqlite::{AttemptReader, LocalAttempts, LocalRecords, verify_audit};
