//! Random numbers that a seed repeats (SplitMix64).

use std::time::{SystemTime, UNIX_EPOCH};

/// A row of numbers that its seed determines.
#[derive(Debug)]
pub struct Random {
    /// The seed it began with, to be printed.
    pub seed: u64,
    state: u64,
}

impl Random {
    /// From `BIRTHMARK_SEED`, which replays an earlier run; else from the clock.
    #[must_use]
    pub fn from_environment() -> Self {
        let given = std::env::var("BIRTHMARK_SEED")
            .ok()
            .map(|seed| seed.parse().expect("BIRTHMARK_SEED is a number"));
        let seed = given.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::from(now.subsec_nanos()) ^ (now.as_secs() << 20)
        });
        Self { seed, state: seed }
    }

    /// The next number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }
}
