//! The chip's bus at the other end of a serial line: VI2C messages in the frames of `i2c_bus::serial`.
//!
//! One request, one reply. A reply that does not come is asked for again under the same number; the bridge executes a number
//! once, so no transaction ever happens twice.

use embedded_hal::i2c::{ErrorType, I2c, Operation};
use i2c_bus::Error;
use i2c_bus::serial::{Decoder, FRAME_OVERHEAD_BYTES, encode};
use i2c_bus::wire::{MAGIC, REPLY_HEADER_BYTES, Request, Status, VERSION, parse_reply_header};

use crate::clock::Alarm;
use crate::uart;

/// The longest reply: a frame of the chip.
const REPLY_BYTES_MAX: usize = REPLY_HEADER_BYTES + 277 + FRAME_OVERHEAD_BYTES;
/// How long one reply is waited for.
const REPLY_US: u32 = 500_000;
/// How often a request is sent before the line counts as broken.
const SENDS_MAX: u8 = 8;

/// The bus.
pub struct Line {
    decoder: Decoder<[u8; REPLY_BYTES_MAX]>,
    number: u8,
}

impl Line {
    /// Switches the line on and says hello to the bridge.
    ///
    /// # Errors
    /// [`Error::Bus`] when nobody answers, [`Error::Version`] and [`Error::GarbledReply`] from a bridge that is none of ours.
    pub fn open() -> Result<Self, Error> {
        uart::switch_on();
        let mut line = Self {
            decoder: Decoder::new([0; REPLY_BYTES_MAX]),
            number: 0,
        };
        let mut reply = [0; 5];
        line.call(Request::Hello { version: VERSION }, &mut reply)?;
        match reply {
            [magic @ .., VERSION] if magic == MAGIC => Ok(line),
            [magic @ .., version] if magic == MAGIC => Err(Error::Version(version)),
            _ => Err(Error::GarbledReply),
        }
    }

    fn call(&mut self, request: Request<'_>, answer: &mut [u8]) -> Result<(), Error> {
        self.number = self.number.wrapping_add(1);
        let (head, bytes) = request.encode()?;
        for _ in 0..SENDS_MAX {
            encode(self.number, &[head.bytes(), bytes], |part| {
                part.iter().for_each(|byte| uart::send(*byte));
            });
            if let Some(outcome) = self.reply(answer) {
                return outcome;
            }
        }
        Err(Error::Bus)
    }

    /// The reply to the request that was just sent; `None` when none comes.
    fn reply(&mut self, answer: &mut [u8]) -> Option<Result<(), Error>> {
        let alarm = Alarm::after_us(REPLY_US);
        while !alarm.rings() {
            let Some(byte) = uart::received() else { continue };
            match self.decoder.push(byte) {
                Some(frame) if frame.number == self.number => return Some(read(frame.message, answer)),
                Some(_) | None => {}
            }
        }
        None
    }
}

fn read(message: &[u8], answer: &mut [u8]) -> Result<(), Error> {
    let (header, payload) = message
        .split_first_chunk::<REPLY_HEADER_BYTES>()
        .ok_or(Error::GarbledReply)?;
    match (parse_reply_header(*header)?.0, payload) {
        (Status::Done, bytes) if bytes.len() == answer.len() => {
            answer.copy_from_slice(bytes);
            Ok(())
        }
        (Status::AddressNack, []) => Err(Error::AddressNack),
        (Status::DataNack, &[high, low]) => Err(Error::DataNack(u16::from_be_bytes([high, low]))),
        (Status::Unsupported, []) => Err(Error::Unsupported),
        (Status::BusFault, []) => Err(Error::Bus),
        (Status::Malformed, []) => Err(Error::Malformed),
        _ => Err(Error::GarbledReply),
    }
}

impl ErrorType for Line {
    type Error = Error;
}

impl I2c for Line {
    fn write(&mut self, address: u8, bytes: &[u8]) -> Result<(), Error> {
        self.call(Request::Write { address, bytes }, &mut [])
    }

    fn read(&mut self, address: u8, buffer: &mut [u8]) -> Result<(), Error> {
        let count = u16::try_from(buffer.len()).map_err(|_| Error::TooLong)?;
        self.call(Request::Read { address, count }, buffer)
    }

    fn transaction(&mut self, _: u8, _: &mut [Operation<'_>]) -> Result<(), Error> {
        // The chip knows no repeated start, and the driver asks for none.
        Err(Error::Shape)
    }
}

impl embedded_hal_async::i2c::I2c for Line {
    async fn write(&mut self, address: u8, bytes: &[u8]) -> Result<(), Error> {
        I2c::write(self, address, bytes)
    }

    async fn read(&mut self, address: u8, buffer: &mut [u8]) -> Result<(), Error> {
        I2c::read(self, address, buffer)
    }

    async fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Error> {
        I2c::transaction(self, address, operations)
    }
}
