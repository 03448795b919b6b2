//! Waits for something that another program does, with an end.

use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for anything that a healthy program does at once; a loaded machine may be slow.
const SECONDS_MAX: u64 = 60;

/// Time between two looks.
const LOOK_MILLISECONDS: u64 = 10;

/// Looks until there is something, or ends the test.
#[track_caller]
pub fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(SECONDS_MAX);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "waited {SECONDS_MAX} s in vain for {what}"
        );
        thread::sleep(Duration::from_millis(LOOK_MILLISECONDS));
    }
}
