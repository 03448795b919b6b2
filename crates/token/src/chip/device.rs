//! The chip behind its bus: whoever wants something of it waits for a turn, and speaks for as long as the turn lasts.
//!
//! Threads wait for each other here, processes at the bus lock. A turn brings the link into step if somebody else has spoken,
//! opens the application if the chip has lost it, and repeats a command of which nobody knows whether it was carried out: each
//! command used here gives the same when it is carried out twice, or what counts is the last time.
//!
//! It must never open an application that is open: what is volatile in the chip may be another process's.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{ErrorKind, I2c};
use optiga::{Config, ErrorCode, LinkError, ObjectId, Optiga, Uid, WriteMode};

use crate::bus_lock::{BusLock, Turn};
use crate::error::{ChipError, Error};

/// One chip.
pub(super) struct Device<I2C, D> {
    /// Whoever is next; without it a thread that signs in a loop would take each next turn itself.
    queue: Mutex<()>,
    driver: Mutex<Driver<I2C, D>>,
    lock: BusLock,
}

struct Driver<I2C, D> {
    chip: Optiga<I2C, D>,
    joined: bool,
    uid: Option<Uid>,
}

impl<I2C, D> fmt::Debug for Device<I2C, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Device")
    }
}

/// A turn at the chip.
pub(super) struct Talk<'a, I2C, D> {
    driver: MutexGuard<'a, Driver<I2C, D>>,
    turn: Turn<'a>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<I2C: I2c, D: DelayNs> Device<I2C, D> {
    /// A chip that has not been spoken to yet.
    pub(super) const fn new(i2c: I2C, delay: D, config: Config, lock: BusLock) -> Self {
        Self {
            queue: Mutex::new(()),
            driver: Mutex::new(Driver {
                chip: Optiga::new(i2c, delay, config),
                joined: false,
                uid: None,
            }),
            lock,
        }
    }

    /// Waits for a turn.
    pub(super) fn talk(&self) -> Result<Talk<'_, I2C, D>, Error> {
        let next = lock(&self.queue);
        let mut driver = lock(&self.driver);
        drop(next);
        let mut turn = self.lock.take()?;
        if turn.others_spoke() {
            driver.joined = false;
            turn.begin()?;
        }
        Ok(Talk { driver, turn })
    }

    /// Where processes wait for each other.
    pub(super) const fn bus_lock(&self) -> &BusLock {
        &self.lock
    }
}

impl<I2C: I2c, D: DelayNs> Talk<'_, I2C, D> {
    /// What is written down about this turn.
    pub(super) const fn turn(&self) -> &Turn<'_> {
        &self.turn
    }

    /// The chip's objects are about to change; says the number that the change has.
    pub(super) fn change(&mut self) -> Result<(), Error> {
        self.turn.change()
    }

    /// Runs a command.
    pub(super) fn ask<T>(
        &mut self,
        command: impl FnMut(&mut Optiga<I2C, D>) -> Result<T, optiga::Error<I2C::Error>>,
    ) -> Result<T, Error> {
        let done = self.attempt(command);
        let lost = matches!(
            done,
            Err(ChipError::Link(_)
                | ChipError::Absent { .. }
                | ChipError::Bus(_)
                | ChipError::Negotiation { .. })
        );
        if lost {
            self.driver.joined = false;
        }
        Ok(done?)
    }

    fn attempt<T>(
        &mut self,
        mut command: impl FnMut(&mut Optiga<I2C, D>) -> Result<T, optiga::Error<I2C::Error>>,
    ) -> Result<T, ChipError> {
        self.join()?;
        let first = command(&mut self.driver.chip);
        match first {
            Err(error) if error.refusal() == Some(ErrorCode::UNAVAILABLE) => self.open()?,
            Err(optiga::Error::Link(
                LinkError::Uncertain | LinkError::Restarted | LinkError::Late | LinkError::Strays,
            )) => {
                self.driver.joined = false;
                self.join()?;
            }
            done => return done.map_err(kind),
        }
        match command(&mut self.driver.chip) {
            // It was reset while it worked.
            Err(error) if error.refusal() == Some(ErrorCode::UNAVAILABLE) => {
                self.open()?;
                command(&mut self.driver.chip).map_err(kind)
            }
            done => done.map_err(kind),
        }
    }

    fn join(&mut self) -> Result<(), ChipError> {
        if !self.driver.joined {
            self.driver.chip.rejoin().map_err(kind)?;
            self.driver.joined = true;
        }
        Ok(())
    }

    /// The chip was reset, or is another one.
    fn open(&mut self) -> Result<(), ChipError> {
        // The opening is written down first; a lock file that can not be written was written a moment ago.
        let _noted = self.turn.open_anew();
        self.driver.chip.open().map_err(kind)?;
        if let Some(known) = self.driver.uid {
            let uid = self.driver.chip.read_uid().map_err(kind)?;
            if uid != known {
                self.driver.uid = Some(uid);
                let _noted = self.turn.change();
            }
        }
        Ok(())
    }

    /// Who it is.
    pub(super) fn uid(&mut self) -> Result<Uid, Error> {
        if let Some(uid) = self.driver.uid {
            return Ok(uid);
        }
        let uid = self.ask(Optiga::read_uid)?;
        self.driver.uid = Some(uid);
        Ok(uid)
    }

    /// What an object holds, at most so much.
    pub(super) fn read(&mut self, object: ObjectId, bytes_max: usize) -> Result<Vec<u8>, Error> {
        let mut content = std::vec![0; bytes_max];
        let bytes = self.ask(|chip| chip.read_object(object, 0, &mut content))?;
        content.truncate(bytes);
        Ok(content)
    }

    /// Writes an object from its beginning, over whatever it held.
    pub(super) fn replace(&mut self, object: ObjectId, bytes: &[u8]) -> Result<(), Error> {
        self.ask(|chip| chip.write_object(object, WriteMode::Replace, 0, bytes))
    }
}

/// A bus that is not there at all is a chip that is not there.
fn kind<E: embedded_hal::i2c::Error>(error: optiga::Error<E>) -> ChipError {
    match error.map_bus(|cause| cause.kind()) {
        ChipError::Bus(cause @ ErrorKind::Other) => ChipError::Absent { address: 0, cause },
        other => other,
    }
}
