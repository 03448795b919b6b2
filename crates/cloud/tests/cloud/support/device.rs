//! Authorities that sign, devices that hold a key, and an MQTT client with every way to do wrong.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use cloud::Running;
use identity::CertificateId;
use mqtt::{
    Connect, Decoded, Delivery, Packet, PacketId, Publish, QoS, TopicFilter, TopicName, decode, encode,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SignatureScheme, StreamOwned};

/// A certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A certificate that proves possession of this authority's key to whoever gave out the code.
    pub(crate) fn verification(&self, code: &str) -> String {
        self.sign(named(code)).0.pem()
    }

    pub(crate) fn device(&self, name: &str) -> Device {
        self.device_of(named(name))
    }

    pub(crate) fn device_of(&self, params: CertificateParams) -> Device {
        let (certificate, key) = self.sign(params);
        Device {
            certificate: certificate.der().clone(),
            key: key.serialize_der(),
        }
    }

    fn sign(&self, params: CertificateParams) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }
}

/// Parameters of a certificate with this name.
pub(crate) fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// What a device holds.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: Vec<u8>,
}

impl Device {
    pub(crate) fn self_signed(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = named(name).self_signed(&key).unwrap();
        Self {
            certificate: certificate.der().clone(),
            key: key.serialize_der(),
        }
    }

    /// From what CreateCertificateFromCsr and CreateKeysAndCertificate answer.
    pub(crate) fn from_pem(certificate: &str, key: &str) -> Self {
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        Self {
            certificate: CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap(),
            key: key.secret_der().to_vec(),
        }
    }

    pub(crate) fn id(&self) -> CertificateId {
        CertificateId::of(&self.certificate)
    }

    pub(crate) fn pem(&self) -> String {
        identity::pem::encode("CERTIFICATE", &self.certificate)
    }
}

/// Which TLS a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Tls12,
    Tls13,
}

/// How a connection ended before it was one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// In the handshake.
    Handshake,
    /// After the handshake, without an answer to CONNECT.
    Closed,
    /// With this CONNACK.
    Answered(Vec<u8>),
}

/// A connected MQTT client.
pub(crate) struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
    received: Vec<u8>,
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesClientCert for Always {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The TLS configuration of this device; whether its key is that of its certificate is its own business.
pub(crate) fn tls(running: &Running, device: Option<&Device>, version: Version) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(&running.server_ca).unwrap())
        .unwrap();
    let provider = cloud::tls::provider();
    let versions = if version == Version::Tls12 {
        [&TLS12]
    } else {
        [&TLS13]
    };
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    if let Some(device) = device {
        let key = PrivateKeyDer::try_from(device.key.clone()).unwrap();
        let key = provider.key_provider.load_private_key(key).unwrap();
        let certified = CertifiedKey::new(vec![device.certificate.clone()], key);
        config.client_auth_cert_resolver = Arc::new(Always(Arc::new(certified)));
    }
    config
}

impl Client {
    pub(crate) fn connect(
        running: &Running,
        device: &Device,
        client_id: &str,
        version: Version,
    ) -> Result<Self, Left> {
        let config = tls(running, Some(device), version);
        let mut client = Self::handshake(running, config)?;
        let connect = Connect {
            client_id,
            clean_session: true,
            keep_alive_seconds: 60,
            will: None,
            user_name: None,
            password: None,
        };
        let mut bytes = Vec::new();
        encode::connect(&mut bytes, &connect).unwrap();
        client.open(&bytes)?;
        Ok(client)
    }

    pub(crate) fn handshake(running: &Running, config: ClientConfig) -> Result<Self, Left> {
        let socket = TcpStream::connect(running.mqtt).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(tls, socket);
        while stream.conn.is_handshaking() {
            stream
                .conn
                .complete_io(&mut stream.sock)
                .map_err(|_| Left::Handshake)?;
        }
        Ok(Self {
            stream,
            received: Vec::new(),
        })
    }

    /// Sends a CONNECT and waits for what comes back.
    pub(crate) fn open(&mut self, connect: &[u8]) -> Result<(), Left> {
        let _ = self.stream.write_all(connect);
        while self.received.len() < 4 {
            if let Err(error) = self.fill() {
                return Err(self.left(Some(&error)));
            }
        }
        match self.received.get(..4) {
            Some([0x20, 2, 0, 0]) => {
                self.received.drain(..4);
                Ok(())
            }
            _ => Err(self.left(None)),
        }
    }

    /// With TLS 1.3 a client learns only after its own handshake that the server refused its certificate.
    fn left(&self, error: Option<&io::Error>) -> Left {
        match (self.received.is_empty(), error.map(io::Error::kind)) {
            (false, _) => Left::Answered(self.received.clone()),
            (true, Some(io::ErrorKind::InvalidData)) => Left::Handshake,
            (true, Some(io::ErrorKind::UnexpectedEof)) => Left::Closed,
            (true, other) => panic!("the server neither answered nor closed: {other:?}"),
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.received.extend_from_slice(&bytes[..count]);
                Ok(())
            }
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Publishes at QoS 0.
    pub(crate) fn tell(&mut self, topic: &str, payload: &[u8]) -> io::Result<()> {
        let publish = Publish {
            topic: TopicName::new(topic).unwrap(),
            payload,
            delivery: Delivery::AtMostOnce,
            retain: false,
        };
        let mut bytes = Vec::new();
        encode::publish(&mut bytes, &publish).unwrap();
        self.send(&bytes)
    }

    /// Publishes at QoS 1 and waits for the PUBACK.
    pub(crate) fn publish(&mut self, topic: &str, payload: &[u8]) -> io::Result<()> {
        let delivery = Delivery::AtLeastOnce {
            id: PacketId::FIRST,
            duplicate: false,
        };
        let publish = Publish {
            topic: TopicName::new(topic).unwrap(),
            payload,
            delivery,
            retain: false,
        };
        let mut bytes = Vec::new();
        encode::publish(&mut bytes, &publish).unwrap();
        self.send(&bytes)?;
        self.wait(|packet| matches!(packet, Packet::PublishAcknowledged(_)).then_some(()))
    }

    /// Subscribes at QoS 1 and gives the code of the SUBACK.
    pub(crate) fn subscribe(&mut self, filter: &str) -> io::Result<u8> {
        let subscription = mqtt::Subscription {
            filter: TopicFilter::new(filter).unwrap(),
            qos: QoS::AtLeastOnce,
        };
        let mut bytes = Vec::new();
        encode::subscribe(&mut bytes, PacketId::FIRST, [subscription]).unwrap();
        self.send(&bytes)?;
        self.wait(|packet| match packet {
            Packet::SubscribeAnswer(answer) => answer.codes.clone().next().map(|code| code.byte()),
            _ => None,
        })
    }

    /// The next message, acknowledged: its topic and payload.
    pub(crate) fn next(&mut self) -> io::Result<(String, Vec<u8>)> {
        let (id, message) = self.wait(|packet| match packet {
            Packet::Publish(publish) => {
                let id = match publish.delivery {
                    Delivery::AtLeastOnce { id, .. } => Some(id),
                    _ => None,
                };
                Some((id, (publish.topic.as_str().to_owned(), publish.payload.to_vec())))
            }
            _ => None,
        })?;
        if let Some(id) = id {
            let mut bytes = Vec::new();
            encode::packet(&mut bytes, &Packet::PublishAcknowledged(id)).unwrap();
            self.send(&bytes)?;
        }
        Ok(message)
    }

    /// Waits until the server closes.
    pub(crate) fn wait_for_end(&mut self) {
        while self.fill().is_ok() {}
    }

    /// A round trip that the server answers at once.
    pub(crate) fn ping(&mut self) -> io::Result<()> {
        self.send(&[0xc0, 0])?;
        self.wait(|packet| matches!(packet, Packet::PingAnswer).then_some(()))
    }

    fn wait<T>(&mut self, wanted: impl Fn(&Packet<'_>) -> Option<T>) -> io::Result<T> {
        loop {
            while let Ok(Decoded::Packet { packet, bytes }) = decode(&self.received, 1 << 20) {
                let found = wanted(&packet);
                self.received.drain(..bytes);
                if let Some(found) = found {
                    return Ok(found);
                }
            }
            self.fill()?;
        }
    }
}
