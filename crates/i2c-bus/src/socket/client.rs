//! A controller whose bus is at the other end of a socket.
//!
//! One request, one reply, one write call and usually one read call for each transaction. After any failure of the stream the
//! client is dead and says so on each further call: it must never take the reply to one request for the reply to another.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
#[cfg(unix)]
use std::{os::unix::net::UnixStream, path::Path};

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{ErrorType, I2c, Operation};

use super::Stream;
use crate::limits::{READ_BYTES_MAX, REPLY_SECONDS_MAX};
use crate::operations::{self, Transact};
use crate::wire::{self, REPLY_HEADER_BYTES, Request, Status};
use crate::{Error, Line};

/// A client of a VI2C server.
#[derive(Debug)]
pub struct SocketClient {
    stream: BufReader<Stream>,
    request: Vec<u8>,
    dead: Option<Error>,
}

impl SocketClient {
    /// Connects over loopback TCP and says hello.
    ///
    /// # Errors
    /// [`Error::Socket`], or [`Error::Version`] and [`Error::GarbledReply`] from a server that is none of ours.
    pub fn tcp(address: SocketAddr) -> Result<Self, Error> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Self::greet(Stream::Tcp(stream))
    }

    /// Connects to a Unix socket and says hello.
    ///
    /// # Errors
    /// As [`SocketClient::tcp`].
    #[cfg(unix)]
    pub fn unix(path: &Path) -> Result<Self, Error> {
        Self::greet(Stream::Unix(UnixStream::connect(path)?))
    }

    fn greet(stream: Stream) -> Result<Self, Error> {
        stream.wait_at_most(Duration::from_secs(REPLY_SECONDS_MAX))?;
        let mut client = Self {
            stream: BufReader::new(stream),
            request: Vec::new(),
            dead: None,
        };
        let mut reply = [0; 5];
        client.call(
            Request::Hello {
                version: wire::VERSION,
            },
            &mut reply,
        )?;
        match reply {
            [magic @ .., wire::VERSION] if magic == wire::MAGIC => Ok(client),
            [magic @ .., version] if magic == wire::MAGIC => Err(Error::Version(version)),
            _ => Err(Error::GarbledReply),
        }
    }

    /// Sets a line of the target that was attached under `address`.
    ///
    /// # Errors
    /// [`Error::AddressNack`] when there is none; the stream's errors.
    pub fn line(&mut self, address: u8, line: Line, level: bool) -> Result<(), Error> {
        self.call(Request::Line { address, line, level }, &mut [])
    }

    /// Sets the bus clock.
    ///
    /// # Errors
    /// [`Error::Malformed`] outside of 1 kHz to 1 MHz; the stream's errors.
    pub fn clock(&mut self, hertz: u32) -> Result<(), Error> {
        self.call(Request::Clock { hertz }, &mut [])
    }

    /// Moves a virtual clock and says what time it is then, in microseconds.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the server runs on the machine's time; the stream's errors.
    pub fn time(&mut self, advance_us: u64) -> Result<u64, Error> {
        let mut reply = [0; 8];
        self.call(Request::Time { advance_us }, &mut reply)?;
        Ok(u64::from_be_bytes(reply))
    }

    fn call(&mut self, request: Request<'_>, answer: &mut [u8]) -> Result<(), Error> {
        if let Some(error) = self.dead {
            return Err(error);
        }
        let (head, bytes) = request.encode()?;
        self.request.clear();
        self.request.extend_from_slice(head.bytes());
        self.request.extend_from_slice(bytes);
        match self.round_trip(answer) {
            Ok(outcome) => outcome,
            Err(error) => {
                self.dead = Some(error);
                Err(error)
            }
        }
    }

    /// The outer error ends the connection, the inner one is the answer to this request.
    fn round_trip(&mut self, answer: &mut [u8]) -> Result<Result<(), Error>, Error> {
        self.stream.get_mut().write_all(&self.request)?;
        let mut header = [0; REPLY_HEADER_BYTES];
        self.stream.read_exact(&mut header)?;
        match wire::parse_reply_header(header)? {
            (Status::Done, length) if usize::from(length) == answer.len() => {
                self.stream.read_exact(answer)?;
                Ok(Ok(()))
            }
            (Status::DataNack, 2) => {
                let mut count = [0; 2];
                self.stream.read_exact(&mut count)?;
                Ok(Err(Error::DataNack(u16::from_be_bytes(count))))
            }
            (Status::AddressNack, 0) => Ok(Err(Error::AddressNack)),
            (Status::Unsupported, 0) => Ok(Err(Error::Unsupported)),
            (Status::BusFault, 0) => Ok(Err(Error::Bus)),
            (Status::Malformed, 0) => Err(Error::Malformed),
            _ => Err(Error::GarbledReply),
        }
    }
}

fn count_of(buffer: &[u8]) -> Result<u16, Error> {
    if buffer.len() > READ_BYTES_MAX {
        return Err(Error::TooLong);
    }
    Ok(buffer.len() as u16)
}

impl Transact for SocketClient {
    fn send(&mut self, address: u8, bytes: &[u8]) -> Result<(), Error> {
        self.call(Request::Write { address, bytes }, &mut [])
    }

    fn fetch(&mut self, address: u8, buffer: &mut [u8]) -> Result<(), Error> {
        self.call(
            Request::Read {
                address,
                count: count_of(buffer)?,
            },
            buffer,
        )
    }

    fn exchange(&mut self, address: u8, bytes: &[u8], buffer: &mut [u8]) -> Result<(), Error> {
        self.call(
            Request::WriteRead {
                address,
                count: count_of(buffer)?,
                bytes,
            },
            buffer,
        )
    }
}

impl ErrorType for SocketClient {
    type Error = Error;
}

impl I2c for SocketClient {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Error> {
        operations::run(self, address, operations)
    }
}

/// A delay in the machine's time, for a driver whose bus is a [`SocketClient`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SocketDelay;

impl DelayNs for SocketDelay {
    fn delay_ns(&mut self, ns: u32) {
        std::thread::sleep(Duration::from_nanos(u64::from(ns)));
    }
}
