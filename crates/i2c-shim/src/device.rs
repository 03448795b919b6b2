//! One open device file: an address, a connection of its own, and what i2c-dev does with them, in safe code.
//!
//! Errors are errno values, those of the kernel's I²C fault codes (Linux, Documentation/i2c/fault-codes).

use embedded_hal::i2c::I2c;
use i2c_bus::{Error, SocketClient};

use crate::limits::{MESSAGE_BYTES_MAX, MESSAGES_MAX};
use crate::places::Bus;

/// What I2C_FUNCS tells: plain messages, SMBus quick, SMBus read and write byte.
pub(crate) const FUNCTIONS: u64 = 0x0000_0001 | 0x0001_0000 | 0x0002_0000 | 0x0004_0000;

/// The highest address that an ioctl may set.
const ADDRESS_MAX: u64 = 0x7F;

/// An errno.
pub(crate) type Errno = i32;

/// A message of I2C_RDWR.
pub(crate) enum Message<'a> {
    Write(u8, &'a [u8]),
    Read(u8, &'a mut [u8]),
}

/// A device file that a program has opened.
pub(crate) struct Device {
    bus: &'static Bus,
    client: SocketClient,
    /// The process that made the connection: a child of it needs its own.
    process: u32,
    address: u8,
}

impl Device {
    pub(crate) fn open(bus: &'static Bus) -> Result<Self, Errno> {
        let client = bus.connect().map_err(errno)?;
        Ok(Self {
            bus,
            client,
            process: std::process::id(),
            address: 0,
        })
    }

    /// The number of the bus.
    pub(crate) const fn number(&self) -> u32 {
        self.bus.number
    }

    pub(crate) fn set_address(&mut self, address: u64) -> Result<(), Errno> {
        if address > ADDRESS_MAX {
            return Err(libc::EINVAL);
        }
        self.address = address as u8;
        Ok(())
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let length = buffer.len().min(MESSAGE_BYTES_MAX);
        let buffer = buffer.get_mut(..length).unwrap_or_default();
        self.one(&mut Message::Read(self.address, buffer))?;
        Ok(length)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let bytes = bytes.get(..MESSAGE_BYTES_MAX).unwrap_or(bytes);
        self.one(&mut Message::Write(self.address, bytes))?;
        Ok(bytes.len())
    }

    /// SMBus quick and byte; everything else is not announced and not supported.
    pub(crate) fn smbus(&mut self, read: bool, command: u8, size: u32, byte: &mut u8) -> Result<(), Errno> {
        let address = self.address;
        match (size, read) {
            (0, false) => self.one(&mut Message::Write(address, &[])),
            // The virtual bus has no read without bytes: one is read and dropped.
            (0, true) => self.one(&mut Message::Read(address, &mut [0])),
            (1, false) => self.one(&mut Message::Write(address, &[command])),
            (1, true) => self.one(&mut Message::Read(address, core::slice::from_mut(byte))),
            _ => Err(libc::EOPNOTSUPP),
        }
    }

    /// One message, or a write and a read with a repeated START; the bus has nothing longer.
    pub(crate) fn transfer(&mut self, messages: &mut [Message<'_>]) -> Result<usize, Errno> {
        let count = messages.len();
        match messages {
            [one] => self.one(one)?,
            [Message::Write(to, bytes), Message::Read(from, buffer)] if to == from => {
                let (to, bytes) = (*to, *bytes);
                self.client()?.write_read(to, bytes, buffer).map_err(errno)?;
            }
            [] => return Err(libc::EINVAL),
            _ if count > MESSAGES_MAX => return Err(libc::EINVAL),
            _ => return Err(libc::EOPNOTSUPP),
        }
        Ok(count)
    }

    fn one(&mut self, message: &mut Message<'_>) -> Result<(), Errno> {
        let client = self.client()?;
        match message {
            Message::Write(address, bytes) => client.write(*address, bytes).map_err(errno),
            Message::Read(_, []) => Err(libc::EINVAL),
            Message::Read(address, buffer) => client.read(*address, buffer).map_err(errno),
        }
    }

    /// The connection; after a fork a new one, since two processes cannot share request and reply.
    fn client(&mut self) -> Result<&mut SocketClient, Errno> {
        let process = std::process::id();
        if process != self.process {
            self.client = self.bus.connect().map_err(errno)?;
            self.process = process;
        }
        Ok(&mut self.client)
    }
}

fn errno(error: Error) -> Errno {
    match error {
        Error::AddressNack => libc::ENXIO,
        Error::DataNack(_) => libc::EREMOTEIO,
        Error::Shape | Error::TooLong | Error::Malformed => libc::EINVAL,
        Error::Unsupported => libc::EOPNOTSUPP,
        Error::Socket(std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => libc::ETIMEDOUT,
        Error::Socket(std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) => libc::ENODEV,
        _ => libc::EIO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_those_of_the_kernel() {
        for (error, expected) in [
            (Error::AddressNack, libc::ENXIO),
            (Error::DataNack(1), libc::EREMOTEIO),
            (Error::Shape, libc::EINVAL),
            (Error::Unsupported, libc::EOPNOTSUPP),
            (Error::Bus, libc::EIO),
            (Error::Socket(std::io::ErrorKind::ConnectionRefused), libc::ENODEV),
        ] {
            assert_eq!(errno(error), expected, "{error}");
        }
    }
}
