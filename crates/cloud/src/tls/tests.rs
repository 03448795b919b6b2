//! The reader of ClientHellos against those of rustls, and handshakes with every kind of client certificate.

use std::sync::Arc;

use rcgen::{
    CertificateParams, CustomExtension, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_RSA_SHA256,
};
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::limits::HELLO_BYTES_MAX;

/// What a client of these tests is configured with.
#[derive(Clone)]
struct Client {
    version: &'static SupportedProtocolVersion,
    certificate: Option<Arc<CertifiedKey>>,
    alpn: Vec<Vec<u8>>,
    name: &'static str,
    trusting: bool,
}

impl Client {
    fn of(version: &'static SupportedProtocolVersion) -> Self {
        Self {
            version,
            certificate: None,
            alpn: Vec::new(),
            name: "localhost",
            trusting: true,
        }
    }

    fn config(&self) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[self.version])
            .unwrap();
        let mut config = match self.trusting {
            true => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Credulous::of_all()))
                .with_no_client_auth(),
            false => builder
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth(),
        };
        if let Some(certificate) = &self.certificate {
            config.client_auth_cert_resolver = Arc::new(Always(certificate.clone()));
        }
        config.alpn_protocols = self.alpn.clone();
        config
    }

    fn hello(&self) -> Vec<u8> {
        let name = ServerName::try_from(self.name).unwrap();
        let mut client = ClientConnection::new(Arc::new(self.config()), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }
}

/// Takes every server that signs with one of these schemes.
#[derive(Debug)]
struct Credulous(Vec<SignatureScheme>);

impl Credulous {
    fn of_all() -> Self {
        Self(provider().signature_verification_algorithms.supported_schemes())
    }
}

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

/// Shows this certificate to every server, whether or not the key is its own.
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

fn pair(certificate: &rcgen::Certificate, key: &KeyPair) -> Arc<CertifiedKey> {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let key = provider().key_provider.load_private_key(key).unwrap();
    Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key))
}

fn server() -> ServerIdentity {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".into()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    ServerIdentity {
        chain: vec![certificate.der().clone()],
        key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
    }
}

fn shown(servers: &[&ServerIdentity]) -> Arc<Shown> {
    let own = servers.iter().map(|server| server.certify().unwrap());
    Arc::new(Shown::new(own.collect(), None))
}

fn mqtt(server: &ServerIdentity) -> Settings {
    Settings::mqtt(&shown(&[server]), &Terms::default()).unwrap()
}

fn api(server: &ServerIdentity) -> Settings {
    Settings::api(&shown(&[server]), &Terms::default()).unwrap()
}

mod hello {
    use super::*;

    #[test]
    fn what_clients_offer_is_read() {
        let client = Client {
            name: "A1B2-ats.iot.us-east-1.example.com",
            alpn: vec![b"x-amzn-mqtt-ca".to_vec(), b"h2".to_vec()],
            ..Client::of(&TLS13)
        };
        let hello = parse_hello(&client.hello()).unwrap().unwrap();
        assert_eq!(
            hello.server_name.as_deref(),
            Some("a1b2-ats.iot.us-east-1.example.com")
        );
        assert_eq!(hello.alpn, client.alpn);
        assert_eq!(hello.versions, [0x0304]);
        assert!(hello.suites.contains(&0x1301) && hello.groups.contains(&0x001d));
        assert!(hello.signature_schemes.contains(&0x0403));

        let hello = parse_hello(
            &Client {
                name: "127.0.0.1",
                ..Client::of(&TLS12)
            }
            .hello(),
        )
        .unwrap()
        .unwrap();
        assert_eq!((hello.server_name, hello.versions), (None, vec![0x0303]));
        assert!(hello.suites.contains(&0xc02b));
    }

    #[test]
    fn every_beginning_is_incomplete_and_nothing_panics() {
        let bytes = Client::of(&TLS13).hello();
        for length in 0..bytes.len() {
            assert_eq!(parse_hello(&bytes[..length]), Ok(None), "{length}");
        }
        for index in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff, bytes[index] ^ 1] {
                let mut changed = bytes.clone();
                changed[index] = value;
                let _ = parse_hello(&changed);
            }
        }
    }

    #[test]
    fn a_hello_in_many_records_is_joined() {
        let bytes = Client::of(&TLS12).hello();
        let mut split = Vec::new();
        for chunk in bytes[5..].chunks(7) {
            split.extend([22, 3, 1, 0, u8::try_from(chunk.len()).unwrap()]);
            split.extend(chunk);
        }
        assert_eq!(parse_hello(&split), parse_hello(&bytes));
    }

    #[test]
    fn what_is_no_hello_is_named() {
        let mut alert = vec![22, 3, 1, 0, 4, 2, 0, 0, 0];
        let cases: [(&[u8], MalformedHello); 7] = [
            (b"\x10\x0c\x00\x04MQTT", MalformedHello::PlainMqtt),
            (b"GET / HTTP/1.1", MalformedHello::PlainHttp),
            (b"\x00\x01", MalformedHello::NotTls),
            (b"\x16\x02\x00\x00\x01\x01", MalformedHello::NotTls),
            (b"\x16\x03\x01\x00\x00", MalformedHello::Torn),
            (b"\x16\x03\x01\x00\x04\x01\x00\xff\xff", MalformedHello::TooLong),
            (
                b"\x16\x03\x01\x00\x06\x01\x00\x00\x02\x03\x03",
                MalformedHello::Torn,
            ),
        ];
        for (bytes, expected) in cases {
            assert_eq!(parse_hello(bytes), Err(expected), "{bytes:?}");
        }
        assert_eq!(parse_hello(&alert), Err(MalformedHello::NotHello));
        alert[5] = 1;
        alert.resize(HELLO_BYTES_MAX, 0);
        assert!(parse_hello(&alert).is_err());
    }
}

/// Runs one handshake on loopback; on success four bytes go there and back.
async fn shake(
    settings: &Settings,
    client: &Client,
) -> (
    Result<Stream, Failure>,
    Option<identity::certificate::Certificate>,
) {
    let (outcome, seen, _) = shake_with(settings, Arc::new(client.config()), client.name, None).await;
    (outcome, seen)
}

/// The same with a client that is configured already, and that has room for records of so many bytes; also says how long the
/// longest record was that it got.
async fn shake_with(
    settings: &Settings,
    config: Arc<ClientConfig>,
    name: &'static str,
    record_bytes_max: Option<u16>,
) -> (
    Result<Stream, Failure>,
    Option<identity::certificate::Certificate>,
    usize,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let far = tokio::spawn(async move {
        let socket = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(name).unwrap();
        run_client(socket, ClientConnection::new(config, name).unwrap()).await
    });
    let (socket, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    let mut hello = read_hello(&socket, &mut bytes).await.unwrap().unwrap();
    hello.record_bytes_max = record_bytes_max;
    let mut stream = Stream::new(socket, settings.choose(Some(&hello), None)).unwrap();
    let outcome = stream.handshake(&bytes).await;
    let seen = stream.take_seen();
    if let Err(error) = outcome {
        return (Err(explain(&error, Some(&hello))), seen, 0);
    }
    let mut word = [0; 4];
    stream.read_exact(&mut word).await.unwrap();
    stream.write_all(&word).await.unwrap();
    stream.flush().await.unwrap();
    let (answer, longest) = far.await.unwrap().unwrap();
    assert_eq!(answer, b"ping");
    (Ok(stream), seen, longest)
}

/// The length of the longest whole record in these bytes.
fn longest_record(mut bytes: &[u8]) -> usize {
    let mut longest = 0;
    while let [_, _, _, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        longest = longest.max(length);
        bytes = rest.get(length..).unwrap_or_default();
    }
    longest
}

/// Sends four bytes and waits for four; also says how long the longest record was.
async fn run_client(mut socket: TcpStream, mut tls: ClientConnection) -> Option<(Vec<u8>, usize)> {
    use std::io::{Read as _, Write as _};
    tls.writer().write_all(b"ping").unwrap();
    let (mut answer, mut heard) = ([0; 4], Vec::new());
    loop {
        let mut out = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut out).unwrap();
        }
        socket.write_all(&out).await.ok()?;
        if tls.reader().read_exact(&mut answer).is_ok() {
            return Some((answer.to_vec(), longest_record(&heard)));
        }
        let mut bytes = [0; 4096];
        let count = socket.read(&mut bytes).await.ok().filter(|count| *count > 0)?;
        let mut slice = &bytes[..count];
        heard.extend_from_slice(slice);
        while !slice.is_empty() {
            tls.read_tls(&mut slice).unwrap();
            if tls.process_new_packets().is_err() {
                let mut alert = Vec::new();
                let _ = tls.write_tls(&mut alert);
                let _ = socket.write_all(&alert).await;
                return None;
            }
        }
    }
}

#[tokio::test]
async fn whoever_holds_the_key_comes_through() {
    let settings = mqtt(&server());
    for version in [&TLS12, &TLS13] {
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_RSA_SHA256] {
            let Ok(key) = KeyPair::generate_for(algorithm) else {
                continue;
            };
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            // Expired, and with a critical extension that nobody knows: both are decided after the handshake, or never.
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
            params.not_before = rcgen::date_time_ymd(2000, 1, 1);
            let mut unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 55555, 1], vec![5, 0]);
            unknown.set_criticality(true);
            params.custom_extensions = vec![unknown];
            let certificate = params.self_signed(&key).unwrap();
            let client = Client {
                certificate: Some(pair(&certificate, &key)),
                ..Client::of(version)
            };
            let (outcome, seen) = shake(&settings, &client).await;
            assert!(outcome.is_ok(), "{version:?} {algorithm:?} {outcome:?}");
            assert_eq!(seen.unwrap().der(), certificate.der().as_ref());
        }
    }
}

#[tokio::test]
async fn a_copied_certificate_is_not_enough() {
    let settings = mqtt(&server());
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let certificate = CertificateParams::new(Vec::new())
        .unwrap()
        .self_signed(&key)
        .unwrap();
    for version in [&TLS12, &TLS13] {
        let client = Client {
            certificate: Some(pair(&certificate, &other)),
            ..Client::of(version)
        };
        let (outcome, seen) = shake(&settings, &client).await;
        let failure = outcome.unwrap_err();
        assert_eq!(
            failure.reason, "the client could not prove possession of the private key",
            "{version:?}"
        );
        assert_eq!(failure.alert, Some(51), "{version:?}");
        assert_eq!(seen.unwrap().der(), certificate.der().as_ref());
    }
}

#[tokio::test]
async fn without_a_certificate_only_the_api_is_open() {
    let server = server();
    for version in [&TLS12, &TLS13] {
        let (outcome, _) = shake(&api(&server), &Client::of(version)).await;
        assert!(outcome.is_ok(), "{version:?} {outcome:?}");
        let (outcome, _) = shake(&mqtt(&server), &Client::of(version)).await;
        assert_eq!(
            outcome.unwrap_err().reason,
            "the client sent no certificate",
            "{version:?}"
        );
    }
}

#[tokio::test]
async fn an_impostor_is_told_apart_from_a_stranger() {
    let settings = mqtt(&server());
    let client = Client {
        trusting: false,
        ..Client::of(&TLS13)
    };
    let (outcome, seen) = shake(&settings, &client).await;
    let failure = outcome.unwrap_err();
    assert!(
        failure.refused_by_client && failure.reason.contains("unknown_ca"),
        "{failure:?}"
    );
    assert!(seen.is_none());
}

#[test]
fn the_order_of_suites_is_ours_unless_aes_is_dear_to_the_client() {
    let settings = mqtt(&server());
    for (suites, ours) in [
        (vec![0x1302, 0x1301], true),
        (vec![0x0a0a, 0x1301], true),
        (vec![0x1303, 0x1301], false),
        (vec![0x0a0a, 0xcca9], false),
        (vec![], true),
    ] {
        let hello = Hello {
            suites,
            ..Hello::default()
        };
        assert_eq!(
            settings.choose(Some(&hello), None).config.ignore_client_order,
            ours,
            "{hello:?}"
        );
    }
    let first = provider().cipher_suites.first().map(|suite| suite.suite());
    assert_eq!(first, Some(rustls::CipherSuite::TLS13_AES_128_GCM_SHA256));
}

#[tokio::test]
async fn protocols_are_agreed_on_or_ignored() {
    let settings = mqtt(&server());
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(Vec::new())
        .unwrap()
        .self_signed(&key)
        .unwrap();
    for (offered, agreed) in [
        (&b"x-amzn-mqtt-ca"[..], Some(&b"x-amzn-mqtt-ca"[..])),
        (b"something/9", None),
    ] {
        let client = Client {
            certificate: Some(pair(&certificate, &key)),
            alpn: vec![offered.to_vec()],
            ..Client::of(&TLS13)
        };
        let (outcome, _) = shake(&settings, &client).await;
        assert_eq!(outcome.unwrap().connection().alpn_protocol(), agreed);
    }
}

mod engine;
mod strict;
mod terms;
