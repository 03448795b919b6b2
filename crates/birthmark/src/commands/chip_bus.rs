//! Where a chip is: `unix:PATH` or `tcp:HOST:PORT` on the virtual I²C bus, opened for the driver or as a token.

use std::{net::SocketAddr, path::Path};

use i2c_bus::{SocketClient, SocketDelay};
use optiga::{Config, Optiga};
use token::{Access, Backend, Session};

use super::chip_record::Recorder;
use crate::exit::{Context, Failure};

/// A driver whose bus remembers what crossed it.
pub(super) type Watched = Optiga<Recorder<SocketClient>, SocketDelay>;

/// A driver for the chip at this address; the chip is not spoken to yet.
pub(crate) fn driver(address: &str) -> Result<Optiga<SocketClient, SocketDelay>, Failure> {
    Ok(Optiga::new(connect(address)?, SocketDelay, Config::default()))
}

/// The same, over a bus that remembers what crossed it.
pub(super) fn recorded(address: &str) -> Result<Watched, Failure> {
    let bus = Recorder::new(connect(address)?);
    Ok(Optiga::new(bus, SocketDelay, Config::default()))
}

/// A read-write session on the token in the chip at this address.
pub(crate) fn session(address: &str) -> Result<Session, Failure> {
    let backend: Box<dyn Backend> = Box::new(token::chip::Chip::new(
        connect(address)?,
        SocketDelay,
        Config::default(),
    ));
    Session::on(backend, Access::ReadWrite).fault(|| format!("the chip at {address} did not answer"))
}

pub(super) fn connect(address: &str) -> Result<SocketClient, Failure> {
    let what = || format!("could not reach the chip at {address} (is `birthmark chip serve` running there?)");
    if let Some(path) = address.strip_prefix("unix:") {
        return SocketClient::unix(Path::new(path)).fault(what);
    }
    if let Some(address) = address
        .strip_prefix("tcp:")
        .and_then(|address| address.parse::<SocketAddr>().ok())
    {
        return SocketClient::tcp(address).fault(what);
    }
    let real = if address.starts_with("/dev/i2c-") {
        "; a real bus is not supported yet"
    } else {
        ""
    };
    Err(Failure::usage(format!(
        "{address} is not a chip's address: it must be unix:PATH or tcp:IP:PORT{real}"
    )))
}

#[cfg(test)]
mod tests {
    use super::connect;

    #[test]
    fn an_address_says_its_kind() {
        for wrong in ["/dev/i2c-1", "tcp:nowhere", "path", ""] {
            let failure = connect(wrong).err().unwrap().to_string();
            assert!(failure.contains("unix:PATH or tcp:IP:PORT"), "{failure}");
        }
        assert!(
            connect("unix:/no/such/socket")
                .err()
                .unwrap()
                .to_string()
                .contains("chip serve")
        );
    }
}
