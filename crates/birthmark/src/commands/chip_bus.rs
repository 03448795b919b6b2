//! Where a chip is: `unix:PATH` or `tcp:HOST:PORT` on the virtual I²C bus, or `/dev/i2c-N`, the bus of a Linux machine; opened
//! for the driver.

use std::{net::SocketAddr, path::Path};

use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, Operation};
use i2c_bus::{SocketClient, SocketDelay};
#[cfg(target_os = "linux")]
use linux_embedded_hal::{I2CError, I2cdev};
use optiga::{Config, Optiga};

use super::chip_record::Recorder;
use crate::exit::{Context, Failure};

/// A bus that a chip may be on. Both kinds run in the machine's time.
pub(crate) enum Bus {
    Virtual(SocketClient),
    #[cfg(target_os = "linux")]
    Linux(I2cdev),
}

/// What either bus failed with.
#[derive(Debug)]
pub(crate) enum BusError {
    Virtual(i2c_bus::Error),
    #[cfg(target_os = "linux")]
    Linux(I2CError),
}

impl embedded_hal::i2c::Error for BusError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Virtual(error) => error.kind(),
            #[cfg(target_os = "linux")]
            Self::Linux(error) => error.kind(),
        }
    }
}

impl ErrorType for Bus {
    type Error = BusError;
}

impl I2c for Bus {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        match self {
            Self::Virtual(bus) => bus.transaction(address, operations).map_err(BusError::Virtual),
            #[cfg(target_os = "linux")]
            Self::Linux(bus) => bus.transaction(address, operations).map_err(BusError::Linux),
        }
    }
}

/// A driver over such a bus.
pub(crate) type Driver = Optiga<Bus, SocketDelay>;

/// A driver whose bus remembers what crossed it.
pub(super) type Watched = Optiga<Recorder<Bus>, SocketDelay>;

/// A driver for the chip at this address; the chip is not spoken to yet.
pub(crate) fn driver(address: &str) -> Result<Driver, Failure> {
    Ok(Optiga::new(connect(address)?, SocketDelay, Config::default()))
}

/// The same, over a bus that remembers what crossed it.
pub(super) fn recorded(address: &str) -> Result<Watched, Failure> {
    let bus = Recorder::new(connect(address)?);
    Ok(Optiga::new(bus, SocketDelay, Config::default()))
}

pub(super) fn connect(address: &str) -> Result<Bus, Failure> {
    let what = || format!("could not reach the chip at {address} (is `birthmark chip serve` running there?)");
    if let Some(path) = address.strip_prefix("unix:") {
        return SocketClient::unix(Path::new(path)).map(Bus::Virtual).fault(what);
    }
    if let Some(address) = address
        .strip_prefix("tcp:")
        .and_then(|address| address.parse::<SocketAddr>().ok())
    {
        return SocketClient::tcp(address).map(Bus::Virtual).fault(what);
    }
    if address.starts_with("/dev/i2c") {
        return linux(address);
    }
    Err(Failure::usage(format!(
        "{address} is not a chip's address: it must be unix:PATH, tcp:IP:PORT or /dev/i2c-N"
    )))
}

#[cfg(target_os = "linux")]
fn linux(path: &str) -> Result<Bus, Failure> {
    I2cdev::new(path).map(Bus::Linux).fault(|| {
        format!(
            "could not open the bus {path} (is the kernel module i2c-dev loaded, and may this user open it?)"
        )
    })
}

#[cfg(not(target_os = "linux"))]
fn linux(path: &str) -> Result<Bus, Failure> {
    Err(Failure::usage(format!(
        "{path} is a bus of Linux, and this is none"
    )))
}

#[cfg(test)]
mod tests {
    use super::connect;

    #[test]
    fn an_address_says_its_kind() {
        for wrong in ["i2c-1", "/dev/ttyUSB0", "tcp:nowhere", "path", ""] {
            let failure = connect(wrong).err().unwrap().to_string();
            assert!(
                failure.contains("unix:PATH, tcp:IP:PORT or /dev/i2c-N"),
                "{failure}"
            );
        }
        for (absent, word) in [
            ("unix:/no/such/socket", "chip serve"),
            (
                "/dev/i2c-99999",
                if cfg!(target_os = "linux") {
                    "i2c-dev"
                } else {
                    "Linux"
                },
            ),
        ] {
            let failure = connect(absent).err().unwrap().to_string();
            assert!(failure.contains(word), "{failure}");
        }
    }
}
