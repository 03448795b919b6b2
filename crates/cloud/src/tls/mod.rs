//! TLS: what a client offers, whether it holds its key, and the encrypted stream that remains.
//!
//! It stands between the sockets and the front door. Two listeners use it: MQTT demands a client certificate, the API
//! takes one. It must never decide who a client is; that is looked up after the handshake.

mod engine;
mod failure;
mod hello;
mod outgoing;
mod possession;
mod shown;
mod stream;

use std::io;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, ServerConfig, SupportedCipherSuite};
use tokio::net::TcpStream;

pub use failure::{Failure, explain};
pub use hello::{Hello, MalformedHello, is_grease, parse as parse_hello, version_name};
pub use possession::Possession;
pub use shown::FurtherNames;
pub use stream::{Detached, HandshakeError, Stream};

use crate::limits::HELLO_BYTES_MAX;

/// The application protocols of the MQTT listener ("AWS IoT device SDKs, protocols, port mappings and authentication").
const MQTT_PROTOCOLS: [&[u8]; 2] = [b"x-amzn-mqtt-ca", b"mqtt"];
/// The suites with ChaCha20: for TLS 1.3, and for ECDSA and RSA with TLS 1.2 (RFC 8446 B.4, RFC 7905).
const CHACHA20_SUITES: [u16; 3] = [0x1303, 0xcca9, 0xcca8];
/// The application protocols of the API listener.
const API_PROTOCOLS: [&[u8]; 2] = [b"http/1.1", b"x-amzn-http-ca"];

/// What the server needs to say who it is.
#[derive(Debug)]
pub struct ServerIdentity {
    /// The certificates to send, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
    /// Certificates of further names, which are shown to clients that ask for those.
    pub further: Option<Arc<dyn FurtherNames>>,
}

/// The TLS configurations of one listener, chosen by what the client offers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For clients with AES in hardware, which is nearly all of them.
    aes_first: Choice,
    /// For clients that put ChaCha20 first because they have not.
    client_first: Choice,
}

/// Two configurations that differ only in whether a protocol is agreed on.
#[derive(Clone, Debug)]
struct Choice {
    negotiating: Arc<ServerConfig>,
    silent: Arc<ServerConfig>,
}

impl Settings {
    /// The MQTT listener: nobody comes in without a certificate.
    ///
    /// # Errors
    /// The server's own certificate or key cannot be used.
    pub fn mqtt(identity: &ServerIdentity) -> Result<Self, Error> {
        Self::of(identity, true, &MQTT_PROTOCOLS)
    }

    /// The API listener: a certificate is asked for, and may be missing.
    ///
    /// # Errors
    /// The server's own certificate or key cannot be used.
    pub fn api(identity: &ServerIdentity) -> Result<Self, Error> {
        Self::of(identity, false, &API_PROTOCOLS)
    }

    /// A listener that agrees on one of these protocols, and takes or demands a client certificate.
    ///
    /// # Errors
    /// The server's own certificate or key cannot be used.
    pub(crate) fn of(
        identity: &ServerIdentity,
        client_certificate: bool,
        protocols: &[&[u8]],
    ) -> Result<Self, Error> {
        let config = base_config(identity, client_certificate)?;
        let choice = |ignore_client_order| {
            let mut silent = config.clone();
            silent.ignore_client_order = ignore_client_order;
            let mut negotiating = silent.clone();
            negotiating.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Choice {
                negotiating: Arc::new(negotiating),
                silent: Arc::new(silent),
            }
        };
        Ok(Self {
            aes_first: choice(true),
            client_first: choice(false),
        })
    }

    /// The configuration for this client. The server's order of cipher suites counts, unless the client shows that AES is
    /// dear to it. Of protocols one that both know is agreed on; a client with foreign ones only is not turned away for
    /// them.
    pub fn choose(&self, hello: Option<&Hello>) -> Arc<ServerConfig> {
        let suites = hello.map(|hello| hello.suites.as_slice()).unwrap_or_default();
        let choice = match suites.iter().find(|suite| !is_grease(**suite)) {
            Some(first) if CHACHA20_SUITES.contains(first) => &self.client_first,
            _ => &self.aes_first,
        };
        let offered = hello.map(|hello| hello.alpn.as_slice()).unwrap_or_default();
        match offered
            .iter()
            .any(|name| choice.negotiating.alpn_protocols.contains(name))
        {
            true => choice.negotiating.clone(),
            false => choice.silent.clone(),
        }
    }
}

/// No tickets and no stored sessions: every connection proves possession of its key anew.
fn base_config(identity: &ServerIdentity, client_certificate: bool) -> Result<ServerConfig, Error> {
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let own = CertifiedKey::from_der(identity.chain.clone(), identity.key.clone_key(), &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_client_cert_verifier(Arc::new(Possession::new(algorithms, client_certificate)))
        .with_cert_resolver(Arc::new(shown::Shown {
            own: Arc::new(own),
            further: identity.further.clone(),
        }));
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
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
