//! What the writing threads measure of themselves: how long a commit took and how much was in it.
//!
//! It stands beside the queues: a writer notes each commit after it is durable, whoever watches takes a copy. It must never
//! make a commit wait: one uncontended lock per commit, no allocation.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the classes that times fall into, in microseconds.
pub const TIMES_MICROS: &[u64] = &[
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];
/// Upper bounds of the classes that sizes in bytes fall into.
pub const SIZES_BYTES: &[u64] = &[
    256,
    1 << 10,
    4 << 10,
    16 << 10,
    64 << 10,
    256 << 10,
    1 << 20,
    4 << 20,
    16 << 20,
];
/// Upper bounds of the classes that counts fall into.
pub const COUNTS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024];

/// The most classes that a histogram has, with the one above all bounds.
const CLASSES_MAX: usize = 17;

/// How often values fell into each class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram {
    bounds: &'static [u64],
    counts: [u64; CLASSES_MAX],
    sum: u64,
}

impl Histogram {
    /// One with these bounds; of more than there is room for the last are not used.
    #[must_use]
    pub const fn new(bounds: &'static [u64]) -> Self {
        Self {
            bounds,
            counts: [0; CLASSES_MAX],
            sum: 0,
        }
    }

    /// Notes one value.
    pub fn note(&mut self, value: u64) {
        self.note_many(value, 1);
    }

    /// Notes a value that came so often.
    pub fn note_many(&mut self, value: u64, times: u64) {
        let class = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(class.min(CLASSES_MAX - 1)) {
            *count += times;
        }
        self.sum = self.sum.wrapping_add(value.wrapping_mul(times));
    }

    /// Notes a time, in microseconds.
    pub fn note_time(&mut self, time: Duration) {
        self.note(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// Takes in what another one with the same bounds has noted.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// How many values were noted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// For each bound how many values were not above it.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut below = 0;
        self.bounds.iter().zip(self.counts).map(move |(bound, count)| {
            below += count;
            (*bound, below)
        })
    }
}

/// What a writer has committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commits {
    /// How long each took, in microseconds.
    pub times: Histogram,
    /// How much was in each: bytes of a log, batches of records.
    pub sizes: Histogram,
}

/// A writer's own count, to be looked at from elsewhere.
#[derive(Debug)]
pub(crate) struct Measured(Mutex<Commits>);

impl Measured {
    pub(crate) const fn new(sizes: &'static [u64]) -> Self {
        Self(Mutex::new(Commits {
            times: Histogram::new(TIMES_MICROS),
            sizes: Histogram::new(sizes),
        }))
    }

    pub(crate) fn note(&self, time: Duration, size: u64) {
        let mut commits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        commits.times.note_time(time);
        commits.sizes.note(size);
    }

    pub(crate) fn look(&self) -> Commits {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_into_the_class_of_the_first_bound_that_is_not_below_it() {
        let mut histogram = Histogram::new(&[1, 10]);
        [0, 1, 2, 10, 11, u64::MAX]
            .into_iter()
            .for_each(|value| histogram.note(value));
        let found: Vec<_> = histogram.cumulative().collect();
        assert_eq!(found, [(1, 2), (10, 4)]);
        assert_eq!(histogram.count(), 6, "what is above all bounds counts too");
    }

    #[test]
    fn every_set_of_bounds_rises_and_has_room() {
        for bounds in [TIMES_MICROS, SIZES_BYTES, COUNTS] {
            assert!(bounds.is_sorted_by(|one, next| one < next) && bounds.len() < CLASSES_MAX);
        }
    }
}
