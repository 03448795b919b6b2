//! Counts of what happens at most once per connection or request, by whichever thread.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use fleet::attempt::{Attempt, Verdict};
use store::measure::{Histogram, TIMES_MICROS};

use crate::limits::{HANDSHAKE_DEADLINE, HANDSHAKE_DEADLINE_CROWDED, HANDSHAKES_CROWDED, REFUSAL_CODES_MAX};

/// Where connections come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Listener {
    /// MQTT over TLS.
    Mqtt,
    /// The HTTPS API.
    Api,
    /// One port for everything.
    Mux,
    /// MQTT without TLS.
    Plain,
}

impl Listener {
    /// As labels name it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Api => "api",
            Self::Mux => "mux",
            Self::Plain => "plain",
        }
    }
}

/// How a handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Handshake {
    /// Both sides agreed.
    Complete,
    /// One side did not like what the other offered.
    Refused,
    /// The client left, or was too slow.
    Abandoned,
}

impl Handshake {
    /// As labels name it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Refused => "refused",
            Self::Abandoned => "abandoned",
        }
    }
}

/// The counts of all threads.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: Mutex<Counts>,
    handshaking: AtomicUsize,
}

/// A handshake that is counted as long as it lasts.
#[derive(Debug)]
pub(crate) struct Handshaking<'a> {
    count: &'a AtomicUsize,
    crowded: bool,
}

impl Handshaking<'_> {
    /// How long it may last: less where others wait.
    pub(crate) const fn patience(&self) -> Duration {
        match self.crowded {
            true => HANDSHAKE_DEADLINE_CROWDED,
            false => HANDSHAKE_DEADLINE,
        }
    }
}

impl Drop for Handshaking<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What was counted.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    pub(super) handshakes: BTreeMap<(Listener, Handshake), u64>,
    pub(super) handshake_times: BTreeMap<Listener, Histogram>,
    pub(super) attempts: BTreeMap<(&'static str, &'static str), u64>,
    pub(super) refusals: BTreeMap<Box<str>, u64>,
    pub(super) first_connections: BTreeMap<&'static str, u64>,
    pub(super) clones: BTreeMap<(&'static str, &'static str), u64>,
    pub(super) requests: BTreeMap<(&'static str, &'static str), u64>,
    pub(super) request_times: Histogram,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            handshakes: BTreeMap::new(),
            handshake_times: BTreeMap::new(),
            attempts: BTreeMap::new(),
            refusals: BTreeMap::new(),
            first_connections: BTreeMap::new(),
            clones: BTreeMap::new(),
            requests: BTreeMap::new(),
            request_times: Histogram::new(TIMES_MICROS),
        }
    }
}

impl Tally {
    /// A handshake begins.
    pub(crate) fn begin_handshake(&self) -> Handshaking<'_> {
        let before = self.handshaking.fetch_add(1, Ordering::Relaxed);
        Handshaking {
            count: &self.handshaking,
            crowded: before >= HANDSHAKES_CROWDED,
        }
    }

    /// Handshakes in flight.
    pub(super) fn handshaking(&self) -> usize {
        self.handshaking.load(Ordering::Relaxed)
    }

    /// A handshake ended, so long after its connection was accepted.
    pub(crate) fn handshake(&self, listener: Listener, outcome: Handshake, time: Duration) {
        let mut counts = self.lock();
        *counts.handshakes.entry((listener, outcome)).or_default() += 1;
        if outcome == Handshake::Complete {
            let times = counts.handshake_times.entry(listener);
            times
                .or_insert_with(|| Histogram::new(TIMES_MICROS))
                .note_time(time);
        }
    }

    /// An attempt ended.
    pub(crate) fn attempt(&self, attempt: &Attempt) {
        let mut counts = self.lock();
        let (kind, verdict) = (attempt.kind.name(), attempt.verdict.name());
        *counts.attempts.entry((kind, verdict)).or_default() += 1;
        if matches!(attempt.verdict, Verdict::Refused | Verdict::Faulted) {
            counts.refusal(attempt.code.as_str());
        }
    }

    /// A first connection was decided.
    pub(crate) fn first_connection(&self, outcome: &'static str) {
        *self.lock().first_connections.entry(outcome).or_default() += 1;
    }

    /// A certificate was in two places at once.
    pub(crate) fn clone_suspected(&self, cause: &'static str, dropped: bool) {
        let action = if dropped { "drop" } else { "alarm" };
        *self.lock().clones.entry((cause, action)).or_default() += 1;
    }

    /// An API request was answered.
    pub(crate) fn request(&self, operation: Option<&'static str>, status: u16, time: Duration) {
        let class = match status {
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        let mut counts = self.lock();
        *counts
            .requests
            .entry((operation.unwrap_or("none"), class))
            .or_default() += 1;
        counts.request_times.note_time(time);
    }

    /// A copy of all counts.
    pub(super) fn look(&self) -> Counts {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Codes are our own words, but how many there can be must not depend on that.
    fn refusal(&mut self, code: &str) {
        if let Some(count) = self.refusals.get_mut(code) {
            *count += 1;
            return;
        }
        let code = match self.refusals.len() < REFUSAL_CODES_MAX {
            true if !code.is_empty() => code,
            _ => "other",
        };
        *self.refusals.entry(code.into()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_codes_is_bounded() {
        let mut counts = Counts::default();
        for number in 0..REFUSAL_CODES_MAX + 7 {
            counts.refusal(&format!("code.{number}"));
        }
        counts.refusal("code.0");
        assert_eq!(counts.refusals.len(), REFUSAL_CODES_MAX + 1);
        assert_eq!((counts.refusals["other"], counts.refusals["code.0"]), (7, 2));
    }

    #[test]
    fn who_comes_to_a_crowded_door_has_less_time() {
        let tally = Tally::default();
        let before: Vec<_> = (0..HANDSHAKES_CROWDED).map(|_| tally.begin_handshake()).collect();
        assert!(before.iter().all(|one| one.patience() == HANDSHAKE_DEADLINE));
        assert_eq!(tally.begin_handshake().patience(), HANDSHAKE_DEADLINE_CROWDED);
        drop(before);
        assert_eq!(tally.handshaking(), 0);
    }

    #[test]
    fn requests_are_counted_by_class_of_status() {
        let tally = Tally::default();
        for (status, class) in [(200, "2xx"), (301, "3xx"), (404, "4xx"), (503, "5xx"), (0, "5xx")] {
            tally.request(Some("ListThings"), status, Duration::ZERO);
            assert!(
                tally.look().requests.contains_key(&("ListThings", class)),
                "{status}"
            );
        }
        tally.request(None, 404, Duration::ZERO);
        assert_eq!(tally.look().requests[&("none", "4xx")], 1);
    }
}
