//! Whole register accesses over the I²C bus: the only place that touches it.
//!
//! The chip leaves its own address unacknowledged while it is busy or asleep; that is not an error until it has lasted far
//! longer than the chip may. A read is two transactions with a STOP between (the chip knows no repeated start), and after
//! each transaction the chip gets its rest.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{Error as _, ErrorKind, I2c, NoAcknowledgeSource};

use crate::error::Error;
use crate::limits;

#[derive(Debug)]
pub(crate) struct Bus<I2C, D> {
    pub(crate) i2c: I2C,
    pub(crate) delay: D,
    address: u8,
    guard_us: u32,
    /// Sum of all the delays we asked for: the only time this driver knows.
    pub(crate) now_us: u64,
}

impl<I2C: I2c, D: DelayNs> Bus<I2C, D> {
    pub(crate) const fn new(i2c: I2C, delay: D, address: u8, guard_us: u32) -> Self {
        Self {
            i2c,
            delay,
            address,
            guard_us,
            now_us: 0,
        }
    }

    pub(crate) fn pause(&mut self, us: u32) {
        if us > 0 {
            self.delay.delay_us(us);
            self.now_us = self.now_us.saturating_add(u64::from(us));
        }
    }

    /// Writes `register ‖ bytes`, which is what `bytes` must already be.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error<I2C::Error>> {
        self.transact(|i2c, address| i2c.write(address, bytes))
    }

    pub(crate) fn read(&mut self, register: u8, buffer: &mut [u8]) -> Result<(), Error<I2C::Error>> {
        self.write(&[register])?;
        self.transact(|i2c, address| i2c.read(address, buffer))
    }

    fn transact(
        &mut self,
        mut once: impl FnMut(&mut I2C, u8) -> Result<(), I2C::Error>,
    ) -> Result<(), Error<I2C::Error>> {
        let (mut silent, mut failed) = (0, 0);
        loop {
            let Err(cause) = once(&mut self.i2c, self.address) else {
                self.pause(self.guard_us);
                return Ok(());
            };
            let counter = if asleep(cause.kind()) {
                &mut silent
            } else {
                &mut failed
            };
            *counter += 1;
            if silent >= limits::ADDRESS_ATTEMPTS_MAX {
                return Err(Error::Absent {
                    address: self.address,
                    cause,
                });
            }
            if failed > limits::BUS_REPEATS_MAX {
                return Err(Error::Bus(cause));
            }
            self.pause(limits::ADDRESS_RETRY_US);
        }
    }
}

/// Some buses can not say which byte was not acknowledged; the chip never does that to a data byte.
const fn asleep(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address | NoAcknowledgeSource::Unknown)
    )
}
