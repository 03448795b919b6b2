//! TLS: what a client offers, whether it holds its key, and the encrypted stream that remains.
//!
//! It stands between the sockets and the front door. Two listeners use it: MQTT demands a client certificate, the API
//! takes one. It must never decide who a client is; that is looked up after the handshake.

mod anchors;
mod engine;
mod failure;
mod hello;
mod outgoing;
mod possession;
mod settings;
mod shown;
mod stream;
mod tickets;
mod versions;

use std::io;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, SupportedCipherSuite};
use tokio::net::TcpStream;

pub use anchors::Anchors;
pub use failure::{Failure, explain};
pub use hello::{Hello, MalformedHello, is_grease, parse as parse_hello, version_name};
pub use possession::Possession;
pub use settings::{Chosen, Settings, Terms};
pub use shown::{FurtherNames, Shown};
pub use stream::{Detached, HandshakeError, Stream};

use crate::limits::HELLO_BYTES_MAX;

/// What the server needs to say who it is.
#[derive(Debug)]
pub struct ServerIdentity {
    /// The certificates to send, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

impl ServerIdentity {
    /// Ready to be shown.
    ///
    /// # Errors
    /// The key cannot be used, or does not belong to the certificate.
    pub fn certify(&self) -> Result<Arc<CertifiedKey>, Error> {
        CertifiedKey::from_der(self.chain.clone(), self.key.clone_key(), &provider()).map(Arc::new)
    }
}

/// The cryptography of every TLS connection. AES-128 comes first: its key schedule runs on SHA-256, which processors do in
/// hardware, and AWS's own devices speak it.
pub fn provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    let is_aes_128 = |suite: &SupportedCipherSuite| format!("{:?}", suite.suite()).contains("AES_128");
    provider
        .cipher_suites
        .sort_by_key(|suite| (suite.tls13().is_none(), !is_aes_128(suite)));
    Arc::new(provider)
}

/// Reads from `socket` into `buffer` until a whole ClientHello is there, or what is there cannot become one.
///
/// # Errors
/// The socket failed or was closed before.
pub async fn read_hello(
    socket: &TcpStream,
    buffer: &mut Vec<u8>,
) -> io::Result<Result<Hello, MalformedHello>> {
    loop {
        socket.readable().await?;
        let length = buffer.len();
        buffer.resize(HELLO_BYTES_MAX, 0);
        let outcome = socket.try_read(buffer.get_mut(length..).unwrap_or_default());
        buffer.truncate(length + outcome.as_ref().copied().unwrap_or(0));
        match outcome {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        match parse_hello(buffer) {
            Ok(None) => {}
            Ok(Some(hello)) => return Ok(Ok(hello)),
            Err(malformed) => return Ok(Err(malformed)),
        }
    }
}

#[cfg(test)]
mod tests;
