//! The asynchronous shell, over `embedded-hal-async`: while the chip computes, the processor does something else or sleeps.
//!
//! A call that is dropped before its end leaves nothing behind: the next one re-synchronises the link first, and an answer
//! that nobody waited for is never taken for another.

use embedded_hal::i2c::Error as _;
use embedded_hal_async::delay::DelayNs;
use embedded_hal_async::i2c::I2c;

use crate::shell::prelude::*;

crate::shell::shell! {
    /// A driver for one chip whose calls are futures. It has the methods of [`crate::Optiga`].
    AsyncOptiga, async await
}
