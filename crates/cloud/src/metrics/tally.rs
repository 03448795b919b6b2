//! Counts of what happens at most once per connection or request, by whichever thread.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use core::time::Duration;
use fleet::attempt::{Attempt, Verdict};
use store::measure::{Histogram, TIMES_MICROS};

use crate::limits::REFUSAL_CODES_MAX;

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
pub(crate) struct Tally(Mutex<Counts>);

/// What was counted.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    pub(super) handshakes: BTreeMap<(Listener, Handshake), u64>,
    pub(super) handshake_times: BTreeMap<Listener, Histogram>,
    pub(super) attempts: BTreeMap<(&'static str, &'static str), u64>,
    pub(super) refusals: BTreeMap<Box<str>, u64>,
    pub(super) first_connections: BTreeMap<&'static str, u64>,
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
            requests: BTreeMap::new(),
            request_times: Histogram::new(TIMES_MICROS),
        }
    }
}

impl Tally {
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
