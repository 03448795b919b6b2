//! The blocking shell, over `embedded-hal`: each call returns when the chip has answered.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{Error as _, I2c};

use crate::shell::prelude::*;

crate::shell::shell! {
    /// A driver for one chip.
    Optiga
}
