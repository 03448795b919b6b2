//! What the server measures of itself, and the page on which Prometheus reads it.
//!
//! It stands beside everything and is in nobody's way. Each shard counts for itself, in plain numbers that no other thread
//! touches, and gives a copy when somebody asks; what happens at most once per connection or request is counted in
//! [`Tally`], under one lock that is held for a few additions. Every metric is a line of `metrics.tsv`: the reference page is
//! made of it, and a test holds the page against it. It must never make anything wait, nor let strangers choose a label.

mod listener;
mod page;
mod process;
mod reading;
mod sum;
mod tally;

pub(crate) use listener::serve;
pub(crate) use reading::{ShardCounts, ShardReading};
pub(crate) use tally::{Handshake, Listener, Tally};
