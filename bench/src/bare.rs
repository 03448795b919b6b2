//! The bare acceptor: tokio and rustls, the same certificates, no session tickets, and nothing of the product.
//!
//! `chain` verifies the client's certificate against the CA, as a TLS server does that knows nobody; `possession` only that
//! the client holds the key, as one does that has looked the certificate up. Both answer the first bytes with a CONNACK.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::Outcome;

/// CONNACK, accepted (section 3.2 of MQTT 3.1.1).
const ACCEPTED: [u8; 4] = [0x20, 2, 0, 0];

/// Longest first message that is read.
const FIRST_BYTES_MAX: usize = 512;

/// Listens until it is killed. The folder holds `server.pem`, `server.key` and `clients.pem`.
pub(crate) fn run(check: &str, folder: &Path) -> Outcome<()> {
    let acceptor = TlsAcceptor::from(Arc::new(config(check, folder)?));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(one(acceptor.clone(), stream));
        }
    })
}

async fn one(acceptor: TlsAcceptor, stream: TcpStream) -> Outcome<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let mut first = [0; FIRST_BYTES_MAX];
    let _ = stream.read(&mut first).await?;
    stream.write_all(&ACCEPTED).await?;
    let _ = stream.read(&mut first).await?;
    Ok(())
}

fn config(check: &str, folder: &Path) -> Outcome<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = builder.with_client_cert_verifier(match check {
        "chain" => chain(provider, &folder.join("clients.pem"))?,
        "possession" => Arc::new(Possession(provider.signature_verification_algorithms)),
        other => return Err(format!("no such check: {other}").into()),
    });
    let certificates =
        CertificateDer::pem_file_iter(folder.join("server.pem"))?.collect::<Result<Vec<_>, _>>()?;
    let mut config = builder.with_single_cert(
        certificates,
        PrivateKeyDer::from_pem_file(folder.join("server.key"))?,
    )?;
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn chain(provider: Arc<CryptoProvider>, clients: &Path) -> Outcome<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    let text = fs::read(clients)?;
    for certificate in CertificateDer::pem_slice_iter(&text) {
        roots.add(certificate?)?;
    }
    Ok(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?)
}

/// Proves possession of the key and nothing else.
#[derive(Debug)]
struct Possession(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for Possession {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
