//! Waiting, and counting ticks, by the processor's own timer.

use embedded_hal::delay::DelayNs;

use crate::registers::{TICK_CONTROL, TICK_CURRENT, TICK_RELOAD};

/// Ticks of the processor clock in a microsecond: the board runs at 25 MHz.
pub const TICKS_PER_US: u32 = 25;
/// The timer has 24 bits.
const TICKS_MAX: u32 = 0x00FF_FFFF;
const RUN: u32 = 0b101;
const ENDED: u32 = 1 << 16;

/// Starts counting down from `ticks`.
fn start(ticks: u32) {
    TICK_CONTROL.write(0);
    TICK_RELOAD.write(ticks.min(TICKS_MAX));
    TICK_CURRENT.write(0);
    TICK_CONTROL.write(RUN);
}

/// Microseconds that pass, at most 600 000.
pub struct Alarm;

impl Alarm {
    /// Starts one; there is one timer.
    #[must_use]
    pub fn after_us(us: u32) -> Self {
        start(us.saturating_mul(TICKS_PER_US));
        Self
    }

    /// Whether it has passed; true once.
    #[must_use]
    pub fn rings(&self) -> bool {
        TICK_CONTROL.read() & ENDED != 0
    }
}

/// Ticks that some work took, at most 16.7 million.
pub fn ticks_of(work: impl FnOnce()) -> u32 {
    start(TICKS_MAX);
    let before = TICK_CURRENT.read();
    work();
    let after = TICK_CURRENT.read();
    before.wrapping_sub(after) & TICKS_MAX
}

/// The delay that the driver wants.
#[derive(Clone, Copy, Debug)]
pub struct Delay;

impl DelayNs for Delay {
    fn delay_ns(&mut self, ns: u32) {
        let mut left_us = ns.div_ceil(1_000);
        while left_us > 0 {
            let now_us = left_us.min(100_000);
            let alarm = Alarm::after_us(now_us);
            while !alarm.rings() {}
            left_us -= now_us;
        }
    }
}

impl embedded_hal_async::delay::DelayNs for Delay {
    async fn delay_ns(&mut self, ns: u32) {
        DelayNs::delay_ns(self, ns);
    }
}
