//! What an operator chooses of TLS: versions, resumption, records, and which certificate is shown.

use fleet::domain_configuration::SecurityPolicy;
use rustls::HandshakeKind;
use rustls::client::Resumption;

use super::*;

/// A device with a certificate of its own.
fn device(version: &'static SupportedProtocolVersion) -> Client {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(Vec::new())
        .unwrap()
        .self_signed(&key)
        .unwrap();
    Client {
        certificate: Some(pair(&certificate, &key)),
        ..Client::of(version)
    }
}

fn settings(terms: &Terms) -> Settings {
    Settings::mqtt(&shown(&[&server()]), terms).unwrap()
}

#[tokio::test]
async fn a_policy_takes_its_versions_and_no_others() {
    let rows: [(SecurityPolicy, &SupportedProtocolVersion, bool); 10] = [
        (SecurityPolicy::Tls13, &TLS13, true),
        (SecurityPolicy::Tls13, &TLS12, false),
        (SecurityPolicy::Tls13And12, &TLS13, true),
        (SecurityPolicy::Tls13And12, &TLS12, true),
        (SecurityPolicy::Tls12, &TLS13, false),
        (SecurityPolicy::Tls12, &TLS12, true),
        (SecurityPolicy::Tls10In2016, &TLS13, false),
        (SecurityPolicy::Tls10In2016, &TLS12, true),
        (SecurityPolicy::Tls10In2015, &TLS13, false),
        (SecurityPolicy::Tls10In2015, &TLS12, true),
    ];
    for (security_policy, version, taken) in rows {
        let settings = settings(&Terms {
            security_policy,
            ..Terms::default()
        });
        let (outcome, _) = shake(&settings, &device(version)).await;
        match outcome {
            Ok(_) => assert!(taken, "{security_policy:?} {version:?}"),
            Err(failure) => {
                assert!(!taken, "{security_policy:?} {version:?} {failure:?}");
                assert_eq!((failure.alert, failure.code), (Some(70), "cloud.tls.version"));
            }
        }
    }
}

#[tokio::test]
async fn a_session_is_taken_up_again_only_where_that_was_asked_for() {
    for version in [&TLS12, &TLS13] {
        for resumption in [true, false] {
            let settings = settings(&Terms {
                resumption,
                ..Terms::default()
            });
            let device = device(version);
            let mut config = device.config();
            config.resumption = Resumption::in_memory_sessions(4);
            let config = Arc::new(config);
            let own = device.certificate.unwrap().cert[0].clone();
            for (round, resumed) in [(1, false), (2, resumption)] {
                let (outcome, seen, _) = shake_with(&settings, config.clone(), "localhost", None).await;
                let kind = outcome.unwrap().connection().handshake_kind().unwrap();
                assert_eq!(kind == HandshakeKind::Resumed, resumed, "{version:?} {round}");
                assert_eq!(seen.unwrap().der(), own.as_ref(), "{version:?} {round}");
            }
            // On another listener, or after a restart, it has to prove itself anew.
            let other = self::settings(&Terms {
                resumption,
                ..Terms::default()
            });
            let (outcome, ..) = shake_with(&other, config, "localhost", None).await;
            let kind = outcome.unwrap().connection().handshake_kind();
            assert_ne!(kind, Some(HandshakeKind::Resumed), "{version:?}");
        }
    }
}

#[tokio::test]
async fn records_are_as_small_as_a_client_asks() {
    // A record holds at most 41 bytes beside its content (RFC 5246 6.2.3, RFC 8446 5.2).
    for version in [&TLS12, &TLS13] {
        for (asked, most) in [(64, 64), (511, 64), (512, 512), (1024, 1024), (2048, 2048)] {
            let settings = settings(&Terms::default());
            let config = Arc::new(device(version).config());
            let (outcome, _, longest) = shake_with(&settings, config, "localhost", Some(asked)).await;
            outcome.unwrap();
            assert!(longest <= most + 41, "{version:?} {asked}: {longest}");
        }
    }
}

#[tokio::test]
async fn with_the_usual_chain_the_first_flight_is_one_record_of_a_small_device() {
    let settings = settings(&Terms::default());
    let config = Arc::new(device(&TLS13).config());
    let (outcome, _, longest) = shake_with(&settings, config, "localhost", None).await;
    outcome.unwrap();
    assert!(longest < 2048, "{longest}");
}

#[test]
fn the_operator_and_the_client_both_limit_what_a_record_carries() {
    let settings = settings(&Terms {
        record_bytes_max: Some(1000),
        ..Terms::default()
    });
    for (asked, content, fragment) in [
        (None, 1000, None),
        (Some(512), 512, Some(517)),
        (Some(4096), 1000, Some(4101)),
        (Some(16_384), 1000, None),
    ] {
        let hello = Hello {
            record_bytes_max: asked,
            ..Hello::default()
        };
        let chosen = settings.choose(Some(&hello), None);
        assert_eq!(
            (chosen.content_bytes_max, chosen.config.max_fragment_size),
            (content, fragment),
            "{asked:?}"
        );
    }
}

#[test]
fn what_a_client_has_room_for_is_read() {
    // The extension, what follows the empty server name before it, and what is understood.
    let rows: [(&[u8], Option<u16>); 9] = [
        (&[0, 28, 0, 2, 2, 0], Some(511)),
        (&[0, 28, 0, 2, 0, 64], Some(63)),
        (&[0, 28, 0, 2, 0, 63], None),
        (&[0, 28, 0, 2, 0x40, 0x01], None),
        (&[0, 1, 0, 1, 1], Some(512)),
        (&[0, 1, 0, 1, 4], Some(4096)),
        (&[0, 1, 0, 1, 5], None),
        (&[0, 1, 0, 1, 4, 0, 28, 0, 2, 2, 0], Some(511)),
        (&[0, 28, 0, 2, 2, 0, 0, 1, 0, 1, 4], Some(511)),
    ];
    for (extensions, expected) in rows {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
        body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
        body.extend_from_slice(extensions);
        let mut bytes = vec![22, 3, 1];
        bytes.extend(u16::try_from(body.len() + 4).unwrap().to_be_bytes());
        bytes.extend([1, 0, 0, u8::try_from(body.len()).unwrap()]);
        bytes.extend(body);
        let hello = parse_hello(&bytes).unwrap().unwrap();
        assert_eq!(hello.record_bytes_max, expected, "{extensions:?}");
    }
}

#[tokio::test]
async fn who_verifies_no_ecdsa_is_shown_rsa_and_new_certificates_are_seen_at_once() {
    let rsa = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let certificate = CertificateParams::new(vec!["localhost".into()])
        .unwrap()
        .self_signed(&rsa)
        .unwrap();
    let (first, second, third) = (
        server(),
        ServerIdentity {
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::try_from(rsa.serialize_der()).unwrap(),
        },
        server(),
    );
    let shown = shown(&[&first, &second]);
    let settings = Settings::api(&shown, &Terms::default()).unwrap();
    for version in [&TLS12, &TLS13] {
        let usual = Client::of(version);
        assert_eq!(shown_to(&settings, usual.config()).await, first.chain[0]);
        let mut narrow = Client::of(version).config();
        let only_rsa = Credulous(vec![
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PKCS1_SHA256,
        ]);
        narrow.dangerous().set_certificate_verifier(Arc::new(only_rsa));
        assert_eq!(shown_to(&settings, narrow).await, second.chain[0]);
    }
    shown.replace(vec![third.certify().unwrap()]);
    assert_eq!(
        shown_to(&settings, Client::of(&TLS13).config()).await,
        third.chain[0]
    );
}

/// The certificate that a client with this configuration is shown.
async fn shown_to(settings: &Settings, config: ClientConfig) -> CertificateDer<'static> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let far = tokio::spawn(async move {
        let socket = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut socket = socket.into_std().unwrap();
        socket.set_nonblocking(false).unwrap();
        tokio::task::spawn_blocking(move || {
            tls.complete_io(&mut socket).unwrap();
            tls.peer_certificates().unwrap()[0].clone()
        })
        .await
        .unwrap()
    });
    let (socket, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    let hello = read_hello(&socket, &mut bytes).await.unwrap().unwrap();
    let mut stream = Stream::new(socket, settings.choose(Some(&hello), None)).unwrap();
    stream.handshake(&bytes).await.unwrap();
    far.await.unwrap()
}
