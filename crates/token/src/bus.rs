//! A chip's address on the virtual bus, and a bus that is connected when it is first used.
//!
//! A configuration names `unix:PATH` or `tcp:HOST:PORT`. Nobody may be there yet, and whoever is there may be gone and come
//! back: that is a token that is absent for a while, not a module that fails.

use std::boxed::Box;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use embedded_hal::i2c::{ErrorType, I2c, Operation};
use i2c_bus::{Error as BusError, SocketClient, SocketDelay};
use optiga::Config;

use crate::backend::Backend;
use crate::chip::Chip;
use crate::error::Error;

/// Where a chip is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChipAddress {
    /// A Unix socket.
    #[cfg(unix)]
    Unix(PathBuf),
    /// Loopback TCP.
    Tcp(SocketAddr),
}

impl ChipAddress {
    /// From `unix:PATH` or `tcp:HOST:PORT`, the host as a number.
    pub fn parse(text: &str) -> Result<Self, Error> {
        #[cfg(unix)]
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let tcp = text.strip_prefix("tcp:").and_then(|address| address.parse().ok());
        tcp.map(Self::Tcp).ok_or(Error::ArgumentsBad(
            "a chip's address must be unix:PATH or tcp:IP:PORT; a real bus is not supported yet",
        ))
    }

    fn connect(&self) -> Result<SocketClient, BusError> {
        match self {
            #[cfg(unix)]
            Self::Unix(path) => SocketClient::unix(path),
            Self::Tcp(address) => SocketClient::tcp(*address),
        }
    }

    /// The chip there as a backend; it is not spoken to yet.
    #[must_use]
    pub fn backend(self) -> Box<dyn Backend> {
        let bus = Reconnecting {
            address: self,
            client: None,
        };
        Box::new(Chip::new(bus, SocketDelay, Config::default()))
    }
}

struct Reconnecting {
    address: ChipAddress,
    client: Option<SocketClient>,
}

impl fmt::Debug for Reconnecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reconnecting({:?})", self.address)
    }
}

impl ErrorType for Reconnecting {
    type Error = BusError;
}

impl I2c for Reconnecting {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        // Nobody at the socket is nobody at the address.
        let client = match &mut self.client {
            Some(client) => client,
            empty => empty.insert(self.address.connect().map_err(|_| BusError::AddressNack)?),
        };
        let done = client.transaction(address, operations);
        if matches!(
            done,
            Err(BusError::Socket(_) | BusError::GarbledReply | BusError::Version(_) | BusError::Malformed)
        ) {
            self.client = None;
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_its_kind() {
        assert!(ChipAddress::parse("tcp:127.0.0.1:4000").is_ok());
        #[cfg(unix)]
        assert!(ChipAddress::parse("unix:/run/chip").is_ok());
        for wrong in ["", "unix:", "tcp:localhost:1", "/dev/i2c-1", "tcp:127.0.0.1"] {
            assert!(ChipAddress::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nobody_there_is_a_token_that_is_absent() {
        let backend = ChipAddress::Unix("/no/such/socket".into()).backend();
        let error = backend.describe().unwrap_err();
        assert!(matches!(error, Error::DeviceRemoved(_)), "{error:?}");
    }
}
