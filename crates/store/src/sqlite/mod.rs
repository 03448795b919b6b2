//! The one-machine engine: SQLite with one writer thread and a few reader connections.
//!
//! Look-ups run on the thread that asks. A point look-up is a handful of microseconds, less than handing it to another
//! thread and back, and it never waits for the writer (write-ahead log). What may take longer is bounded: a page of a
//! list, or a read of a cold page from the disk. Only the control side looks; an established connection's publish never
//! comes here.

#[macro_use]
mod read;

mod apply;
mod attempt_codec;
mod attempt_reader;
mod attempt_ring;
mod attempts;
mod audit;
mod codec;
mod facts;
mod issuers;
mod lists;
mod local;
mod manifests;
mod readers;
mod remembered;
mod schema;
mod search;
mod trust;
mod writer;

pub use attempt_reader::AttemptReader;
pub use attempts::LocalAttempts;
pub use audit::verify_audit;
pub use local::LocalRecords;
