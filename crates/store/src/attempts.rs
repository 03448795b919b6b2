//! The promise about attempts: recorded without ever blocking, read back newest first.
//!
//! Attempt records are observability, not part of keep-before-tell: a full queue drops them and counts the drops. The ring
//! is bounded in all, per CA and per source, and a storm of equal failures leaves its first, its last and its count.

use core::future::Future;
use core::net::IpAddr;

use fleet::attempt::{Attempt, TraceId};
use identity::{CertificateId, Tenant, ThingName, UnixMillis};

use crate::error::Error;

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum What {
    /// Whatever is newest.
    #[default]
    Last,
    /// Attempts with this certificate (its id is its fingerprint).
    Certificate(CertificateId),
    /// Attempts about this thing.
    Thing(ThingName),
    /// Attempts from this address.
    Address(IpAddr),
    /// One attempt.
    Trace(TraceId),
}

/// Which attempts to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// What to look for.
    pub what: What,
    /// Of this tenant only.
    pub tenant: Option<Tenant>,
    /// Leaves out what was let through.
    pub refused_only: bool,
}

/// An attempt as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its place in the ring; grows with time.
    pub place: u64,
    /// How many equal failures it stands for: 1, or on the last of a storm the number of all.
    pub count: u64,
    /// When the first of them was.
    pub first_at: UnixMillis,
    /// The attempt.
    pub attempt: Attempt,
}

/// The ring of attempts.
pub trait Attempts: Send + Sync {
    /// Records an attempt. Never blocks; if the queue is full the attempt is dropped and counted.
    fn record(&self, attempt: Attempt);

    /// How many attempts were dropped since the start.
    fn dropped(&self) -> u64;

    /// Makes everything recorded so far readable.
    fn flush(&self) -> impl Future<Output = Result<(), Error>> + Send;

    /// The newest attempts that pass the filter, newest first.
    fn newest(
        &self,
        filter: &Filter,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Recorded>, Error>> + Send;
}
