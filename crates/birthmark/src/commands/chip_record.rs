//! A bus client that remembers what crossed the bus, to be decoded, saved or counted.
//!
//! A recording holds whatever crossed the bus: an exported key is in it. It is kept in memory and written only where the
//! person who asked for it says.

use std::time::Instant;

use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, Operation, SevenBitAddress};

use super::chip_decode::Happening;

/// Most transactions that are remembered between two looks; what comes after is not.
const TRANSACTIONS_MAX: usize = 100_000;

/// One thing that happened, and when.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Recorded {
    /// Milliseconds since the recording began, where that is known.
    pub(super) ms: Option<f64>,
    pub(super) what: Happening,
}

/// A bus client that remembers.
pub(super) struct Recorder<I> {
    bus: I,
    began: Instant,
    recorded: Vec<Recorded>,
}

impl<I> Recorder<I> {
    pub(super) fn new(bus: I) -> Self {
        Self {
            bus,
            began: Instant::now(),
            recorded: Vec::new(),
        }
    }

    /// What happened since the last look.
    pub(super) fn take(&mut self) -> Vec<Recorded> {
        std::mem::take(&mut self.recorded)
    }

    fn note<E: embedded_hal::i2c::Error>(
        &mut self,
        result: Result<(), E>,
        bytes: &[u8],
        kind: fn(Option<Vec<u8>>) -> Happening,
    ) -> Result<(), E> {
        let what = match &result {
            Ok(()) => kind(Some(bytes.to_vec())),
            Err(error) if matches!(error.kind(), ErrorKind::NoAcknowledge(_)) => kind(None),
            Err(error) => Happening::Fault(format!("{:?}", error.kind())),
        };
        if self.recorded.len() < TRANSACTIONS_MAX {
            let ms = Some(self.began.elapsed().as_secs_f64() * 1000.0);
            self.recorded.push(Recorded { ms, what });
        }
        result
    }
}

impl<I: ErrorType> ErrorType for Recorder<I> {
    type Error = I::Error;
}

impl<I: I2c> I2c for Recorder<I> {
    fn write(&mut self, address: SevenBitAddress, bytes: &[u8]) -> Result<(), I::Error> {
        let result = self.bus.write(address, bytes);
        self.note(result, bytes, Happening::Write)
    }

    fn read(&mut self, address: SevenBitAddress, buffer: &mut [u8]) -> Result<(), I::Error> {
        let result = self.bus.read(address, buffer);
        self.note(result, buffer, Happening::Read)
    }

    fn transaction(
        &mut self,
        address: SevenBitAddress,
        operations: &mut [Operation<'_>],
    ) -> Result<(), I::Error> {
        // The driver never asks for these; whoever does gets them unrecorded.
        self.bus.transaction(address, operations)
    }
}
