//! The other side: a TLS server on a loopback port that says what it saw, and a device key in software.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says by a panic what is wrong"
)]
#![allow(unreachable_pub, dead_code, reason = "a module of test files has no outside")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use device::{DeviceKey, Endpoint, KeyError, Options, Timeouts};
use identity::crypto::SoftwareKey;
use identity::issue::Signer as _;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, ServerConfig, ServerConnection,
    SignatureScheme, StreamOwned,
};

/// A certificate authority of the test.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub der: Vec<u8>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self {
            issuer: Issuer::new(params, key),
            der,
        }
    }

    /// A certificate for `names`, valid in these years.
    pub fn issue(&self, names: &[&str], years: (i32, i32)) -> (Vec<u8>, KeyPair) {
        let mut params =
            CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "test");
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().der().to_vec(), key)
    }
}

/// A device key in software that counts its signatures, or refuses to make them.
pub struct Software {
    key: SoftwareKey,
    pub chain: Vec<Vec<u8>>,
    pub anchor: Vec<u8>,
    pub signatures: AtomicUsize,
    pub broken: bool,
}

impl Software {
    pub fn new(anchor: &Authority) -> Self {
        let (certificate, key) = Authority::new("device ca").issue(&["device"], (2020, 2040));
        Self {
            key: SoftwareKey::from_pkcs8_der(&key.serialize_der()).unwrap(),
            chain: vec![certificate],
            anchor: anchor.der.clone(),
            signatures: AtomicUsize::new(0),
            broken: false,
        }
    }
}

impl DeviceKey for Software {
    fn certificate_chain(&self) -> Vec<Vec<u8>> {
        self.chain.clone()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        if self.broken {
            return Err(KeyError::Token(token::Error::DeviceContent {
                what: "nothing that signs",
            }));
        }
        self.signatures.fetch_add(1, Ordering::Relaxed);
        self.key
            .sign(message)
            .map_err(|_| KeyError::Malformed("software key"))
    }

    fn trust_anchor(&self) -> Vec<u8> {
        self.anchor.clone()
    }
}

/// What the server saw of its clients.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    pub certificates: Vec<Vec<u8>>,
    pub sni: Option<String>,
    pub alpn: Option<String>,
    pub suite: Option<String>,
    pub failure: Option<String>,
}

/// Takes any client certificate whose key the client has, or none at all.
#[derive(Debug)]
struct Witness {
    seen: Arc<Mutex<Seen>>,
    refuses: bool,
}

impl ClientCertVerifier for Witness {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.seen.lock().unwrap().certificates.push(certificate.to_vec());
        if self.refuses {
            return Err(rustls::Error::InvalidCertificate(CertificateError::Revoked));
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

pub type Peer = StreamOwned<ServerConnection, TcpStream>;

/// A server that takes as many connections as it has scripts, one after the other.
pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    thread: JoinHandle<()>,
}

/// What a server does with one connection after the handshake.
pub type Script = Box<dyn FnOnce(&mut Peer) + Send>;

pub struct Setup {
    pub chain: Vec<Vec<u8>>,
    pub key: KeyPair,
    pub refuses: bool,
}

impl Setup {
    /// What a good server has.
    pub fn good(root: &Authority) -> Self {
        Self::with(root.issue(&["localhost"], (2020, 2040)))
    }

    pub fn with((certificate, key): (Vec<u8>, KeyPair)) -> Self {
        Self {
            chain: vec![certificate],
            key,
            refuses: false,
        }
    }
}

impl Server {
    pub fn start(setup: Setup, scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let witness = Arc::new(Witness {
            seen: Arc::clone(&seen),
            refuses: setup.refuses,
        });
        let chain = setup.chain.into_iter().map(CertificateDer::from).collect();
        let key = PrivatePkcs8KeyDer::from(setup.key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .unwrap()
            .with_client_cert_verifier(witness)
            .with_single_cert(chain, key.into())
            .unwrap();
        config.alpn_protocols = vec![b"x-amzn-mqtt-ca".to_vec()];
        let config = Arc::new(config);
        let shared = Arc::clone(&seen);
        let thread = thread::spawn(move || {
            for script in scripts {
                let (tcp, _) = listener.accept().unwrap();
                serve(tcp, Arc::clone(&config), &shared, script);
            }
        });
        Self {
            address,
            seen,
            thread,
        }
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.address, "localhost").unwrap()
    }

    /// Waits for the end of all scripts.
    pub fn finish(self) -> Seen {
        self.thread.join().unwrap();
        self.seen.lock().unwrap().clone()
    }
}

fn serve(mut tcp: TcpStream, config: Arc<ServerConfig>, seen: &Mutex<Seen>, script: Script) {
    tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut tls = ServerConnection::new(config).unwrap();
    while tls.is_handshaking() {
        if let Err(error) = tls.complete_io(&mut tcp) {
            seen.lock().unwrap().failure = Some(error.to_string());
            return;
        }
    }
    {
        let mut seen = seen.lock().unwrap();
        seen.sni = tls.server_name().map(Into::into);
        seen.alpn = tls
            .alpn_protocol()
            .map(|name| String::from_utf8_lossy(name).into_owned());
        seen.suite = tls
            .negotiated_cipher_suite()
            .map(|suite| format!("{:?}", suite.suite()));
    }
    let mut peer = StreamOwned::new(tls, tcp);
    script(&mut peer);
    peer.conn.send_close_notify();
    let _ = peer.flush();
}

/// Reads one MQTT packet, all bytes of it. Empty when the client has gone.
pub fn packet(peer: &mut Peer) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let mut one = [0];
        match peer.read(&mut one) {
            Ok(1) => bytes.push(one[0]),
            _ => return bytes,
        }
        if let Ok(mqtt::Decoded::Packet { bytes: n, .. }) = mqtt::decode(&bytes, 200_000) {
            assert_eq!(n, bytes.len());
            return bytes;
        }
    }
}

/// Reads the CONNECT and sends these bytes.
pub fn answer_connect(peer: &mut Peer, bytes: &[u8]) {
    assert_eq!(packet(peer).first(), Some(&0x10));
    peer.write_all(bytes).unwrap();
    peer.flush().unwrap();
}

pub const CONNACK: &[u8] = &[0x20, 2, 0, 0];

pub fn options(answer: Duration) -> Options<'static> {
    let timeouts = Timeouts {
        answer,
        ..Timeouts::default()
    };
    Options {
        timeouts,
        ..Options::new("device-1")
    }
}
