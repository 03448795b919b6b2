//! The bus over a Unix or loopback TCP socket: a client that is an embedded-hal I2C, and a listener that serves a bus.

mod client;
mod listener;

use std::io::{Read, Result as IoResult, Write};
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::Duration;

pub use client::{SocketClient, SocketDelay};
pub use listener::{Address, Listener, Serving};

/// Either kind of stream.
#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Stream {
    fn duplicate(&self) -> IoResult<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
            #[cfg(unix)]
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
        })
    }

    fn close(&self) {
        // A stream that is closed already is what we want.
        let _closed = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            #[cfg(unix)]
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }

    fn wait_at_most(&self, limit: Duration) -> IoResult<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(limit)),
            #[cfg(unix)]
            Self::Unix(stream) => stream.set_read_timeout(Some(limit)),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            #[cfg(unix)]
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            #[cfg(unix)]
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> IoResult<()> {
        Ok(())
    }
}
