//! TLS: what a client offers, whether it holds its key, and the encrypted stream that remains.
//!
//! It stands between the sockets and the front door. Two listeners use it: MQTT demands a client certificate, the API
//! takes one. It must never decide who a client is; that is looked up after the handshake.

mod failure;
mod hello;
mod possession;
mod stream;

use std::io;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, ServerConfig};
use tokio::net::TcpStream;

pub use failure::{Failure, explain};
pub use hello::{Hello, MalformedHello, is_grease, parse as parse_hello, version_name};
pub use possession::Possession;
pub use stream::{Detached, HandshakeError, Stream};

use crate::limits::HELLO_BYTES_MAX;

/// The application protocols of the MQTT listener ("AWS IoT device SDKs, protocols, port mappings and authentication").
const MQTT_PROTOCOLS: [&[u8]; 2] = [b"x-amzn-mqtt-ca", b"mqtt"];
/// The application protocols of the API listener.
const API_PROTOCOLS: [&[u8]; 2] = [b"http/1.1", b"x-amzn-http-ca"];

/// What the server needs to say who it is.
#[derive(Debug)]
pub struct ServerIdentity {
    /// The certificates to send, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

/// The TLS configurations of one listener, chosen by what the client offers.
#[derive(Clone, Debug)]
pub struct Settings {
    negotiating: Arc<ServerConfig>,
    silent: Arc<ServerConfig>,
}

impl Settings {
    /// The MQTT listener: nobody comes in without a certificate.
    ///
    /// # Errors
    /// The server's own certificate or key cannot be used.
    pub fn mqtt(identity: &ServerIdentity) -> Result<Self, Error> {
        Self::build(identity, true, &MQTT_PROTOCOLS)
    }

    /// The API listener: a certificate is asked for, and may be missing.
    ///
    /// # Errors
    /// The server's own certificate or key cannot be used.
    pub fn api(identity: &ServerIdentity) -> Result<Self, Error> {
        Self::build(identity, false, &API_PROTOCOLS)
    }

    fn build(
        identity: &ServerIdentity,
        client_certificate: bool,
        protocols: &[&[u8]],
    ) -> Result<Self, Error> {
        let mut config = base_config(identity, client_certificate)?;
        let silent = Arc::new(config.clone());
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Self {
            negotiating: Arc::new(config),
            silent,
        })
    }

    /// The configuration for this client: one that knows a protocol of its list, else one that ignores the list, so that
    /// a client with foreign protocols is not turned away for them.
    pub fn choose(&self, hello: Option<&Hello>) -> Arc<ServerConfig> {
        let offered = hello.map(|hello| hello.alpn.as_slice()).unwrap_or_default();
        match offered
            .iter()
            .any(|name| self.negotiating.alpn_protocols.contains(name))
        {
            true => self.negotiating.clone(),
            false => self.silent.clone(),
        }
    }
}

/// No tickets and no stored sessions: every connection proves possession of its key anew.
fn base_config(identity: &ServerIdentity, client_certificate: bool) -> Result<ServerConfig, Error> {
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_client_cert_verifier(Arc::new(Possession::new(algorithms, client_certificate)))
        .with_single_cert(identity.chain.clone(), identity.key.clone_key())?;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// The cryptography of every TLS connection.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
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
