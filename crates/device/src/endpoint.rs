//! Where a server is, and what its certificate must say.

use std::net::{SocketAddr, ToSocketAddrs as _};

use rustls::pki_types::ServerName;

use crate::error::Error;

/// A server: where its socket is and what it must be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub(crate) address: SocketAddr,
    pub(crate) name: ServerName<'static>,
}

impl Endpoint {
    /// A server at this address that must prove this name. A DNS name is also sent as SNI; an IP address is not.
    pub fn new(address: SocketAddr, name: &str) -> Result<Self, Error> {
        let name =
            ServerName::try_from(name.to_owned()).map_err(|_| Error::ServerName { name: name.into() })?;
        Ok(Self { address, name })
    }

    /// Looks the name up and takes the first address.
    pub fn resolve(name: &str, port: u16) -> Result<Self, Error> {
        let unknown = |cause| Error::Resolve {
            name: name.into(),
            cause,
        };
        let none = || std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
        let address = (name, port)
            .to_socket_addrs()
            .map_err(unknown)?
            .next()
            .ok_or_else(|| unknown(none()))?;
        Self::new(address, name)
    }

    /// Where its socket is.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}
