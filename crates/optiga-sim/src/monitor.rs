//! The security monitor: a counter of events that rises with each use of a private key and falls with time, and the delay that
//! it imposes (Trust X Datasheet v2.70, chapter 8; Trust M Solution Reference Manual v3.50 for the credit).
//!
//! It only ever slows the chip down; it must never refuse.

/// Time without an event that takes one off the counter, and the longest delay.
const STEP_US: u64 = 5_000_000;

/// Most events that quiet time lets pass without counting.
const CREDIT_MAX: u8 = 5;

/// The counter from which on operations are delayed.
const THROTTLED_FROM: u8 = 128;

/// What is not kept over a reset; the counter itself is object E0C5.
#[derive(Debug, Default)]
pub(crate) struct Monitor {
    credit: u8,
    counted_until_us: u64,
}

impl Monitor {
    pub(crate) fn new(now_us: u64) -> Self {
        Self {
            credit: 0,
            counted_until_us: now_us,
        }
    }

    /// Lets time pass; returns the counter as it is now.
    pub(crate) fn settle(&mut self, counter: u8, now_us: u64) -> u8 {
        let steps = now_us.saturating_sub(self.counted_until_us) / STEP_US;
        self.counted_until_us += steps * STEP_US;
        let down = steps.min(u64::from(counter)) as u8;
        let rest = (steps - u64::from(down)).min(u64::from(CREDIT_MAX)) as u8;
        self.credit = (self.credit + rest).min(CREDIT_MAX);
        counter - down
    }

    /// An event happens now: the new counter, and how long the operation has to wait before it starts.
    pub(crate) fn count(&mut self, counter: u8, now_us: u64) -> (u8, u64) {
        let counter = self.settle(counter, now_us);
        self.counted_until_us = now_us;
        let delay_us = delay_us(counter);
        if self.credit > 0 {
            self.credit -= 1;
            return (counter, delay_us);
        }
        (counter.saturating_add(1), delay_us)
    }
}

/// The curve is not published; a straight line from nothing to the longest delay is our choice.
fn delay_us(counter: u8) -> u64 {
    match counter.checked_sub(THROTTLED_FROM - 1) {
        Some(over) => STEP_US * u64::from(over) / u64::from(u8::MAX - THROTTLED_FROM + 1),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_count_up_and_quiet_time_counts_down() {
        let mut monitor = Monitor::new(0);
        let mut counter = 0;
        for expected in 1..=10 {
            (counter, _) = monitor.count(counter, 1_000 * u64::from(expected));
            assert_eq!(counter, expected);
        }
        assert_eq!(monitor.settle(counter, 10_000 + STEP_US - 1), 10);
        counter = monitor.settle(counter, 10_000 + 3 * STEP_US);
        assert_eq!(counter, 7);
        // Seven more steps empty it, two are credit.
        counter = monitor.settle(counter, 10_000 + 12 * STEP_US);
        assert_eq!((counter, monitor.credit), (0, 2));
        for expected in [0, 0, 1, 2] {
            (counter, _) = monitor.count(counter, 10_000 + 12 * STEP_US);
            assert_eq!(counter, expected);
        }
    }

    #[test]
    fn credit_is_bounded() {
        let mut monitor = Monitor::new(0);
        assert_eq!(monitor.settle(0, u64::MAX), 0);
        assert_eq!(monitor.credit, CREDIT_MAX);
    }

    #[test]
    fn the_delay_begins_at_128_and_ends_at_five_seconds() {
        for (counter, expected) in [(0, 0), (127, 0), (128, STEP_US / 128), (255, STEP_US)] {
            assert_eq!(delay_us(counter), expected, "{counter}");
        }
        let mut monitor = Monitor::new(0);
        assert_eq!(monitor.count(255, 0), (255, STEP_US));
    }
}
