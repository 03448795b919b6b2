//! Who is believed, who signs, and what goes out before anybody is believed.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use device::{Alpn, Connection, DeviceKey, Error, Tls, Versions};
use identity::Explained as _;
use rcgen::KeyPair;
use support::{Authority, CONNACK, Seen, Server, Setup, Software, answer_connect, options};

const SHORT: Duration = Duration::from_secs(10);

/// One connection of this key to this server: how it ended, and what the server saw.
fn connect(
    setup: Setup,
    key: &Arc<Software>,
    versions: Versions,
    alpn: Alpn,
) -> (Result<Connection, Error>, Seen) {
    let server = Server::start(setup, vec![Box::new(|peer| answer_connect(peer, CONNACK))]);
    let tls = Tls::new(versions)
        .config(Arc::clone(key) as Arc<dyn DeviceKey>, alpn)
        .unwrap();
    let result = Connection::open(&server.endpoint(), &tls, &options(SHORT));
    (result, server.finish())
}

#[test]
fn the_key_signs_once_for_each_handshake_in_either_version() {
    let root = Authority::new("server root");
    let suites = [
        (Versions::Tls12, false, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
        (Versions::Tls13, true, "TLS13_AES_128_GCM_SHA256"),
        (Versions::Both, true, "TLS13_AES_128_GCM_SHA256"),
    ];
    for (versions, is_tls13, suite) in suites {
        let key = Arc::new(Software::new(&root));
        let (result, seen) = connect(Setup::good(&root), &key, versions, Alpn::None);
        let connection = result.unwrap();
        assert_eq!(connection.is_tls13(), is_tls13);
        assert_eq!(key.signatures.load(Ordering::Relaxed), 1, "{versions:?}");
        assert_eq!(seen.certificates, key.chain, "{versions:?}");
        assert_eq!((seen.sni.as_deref(), seen.alpn), (Some("localhost"), None));
        // The server prefers AES-256 in TLS 1.3; both are fine, the version 1.2 suite is the only one.
        let found = seen.suite.unwrap();
        assert!(
            found == suite || is_tls13 && found.starts_with("TLS13_"),
            "{found}"
        );
    }
}

#[test]
fn a_second_connection_proves_the_key_anew() {
    for versions in [Versions::Tls12, Versions::Tls13] {
        let root = Authority::new("server root");
        let key = Arc::new(Software::new(&root));
        let scripts = (0..2).map(|_| Box::new(|peer: &mut _| answer_connect(peer, CONNACK)) as _);
        let server = Server::start(Setup::good(&root), scripts.collect());
        let tls = Tls::new(versions)
            .config(Arc::clone(&key) as Arc<dyn DeviceKey>, Alpn::None)
            .unwrap();
        for _ in 0..2 {
            let mut connection = Connection::open(&server.endpoint(), &tls, &options(SHORT)).unwrap();
            // Until the server says goodbye, so that it had the time to offer a resumption.
            assert_eq!(
                connection.next_message(SHORT).unwrap_err().code(),
                "device.mqtt.closed"
            );
        }
        server.finish();
        assert_eq!(key.signatures.load(Ordering::Relaxed), 2, "{versions:?}");
    }
}

#[test]
fn the_protocol_is_named_where_the_port_is_shared() {
    let root = Authority::new("server root");
    let key = Arc::new(Software::new(&root));
    assert_eq!(
        (Alpn::for_port(443), Alpn::for_port(8883)),
        (Alpn::AmazonMqtt, Alpn::None)
    );
    let (result, seen) = connect(Setup::good(&root), &key, Versions::Both, Alpn::for_port(443));
    assert!(result.is_ok());
    assert_eq!(seen.alpn.as_deref(), Some("x-amzn-mqtt-ca"));
}

type Leaf = (Vec<u8>, KeyPair);

/// Servers that are not believed, and what the device says about them.
fn impostors(root: &Authority) -> Vec<(&'static str, Leaf, &'static str)> {
    let (twin, stranger) = (Authority::new("server root"), Authority::new("stranger"));
    vec![
        (
            "another root",
            stranger.issue(&["localhost"], (2020, 2040)),
            "does not end in the root",
        ),
        (
            "another root with the same name",
            twin.issue(&["localhost"], (2020, 2040)),
            "does not end in the root",
        ),
        (
            "another name",
            root.issue(&["elsewhere.example"], (2020, 2040)),
            "for another name",
        ),
        (
            "expired",
            root.issue(&["localhost"], (2020, 2021)),
            "check the device's clock",
        ),
        (
            "not valid yet",
            root.issue(&["localhost"], (2090, 2091)),
            "check the device's clock",
        ),
    ]
}

#[test]
fn an_impostor_is_refused_before_it_learns_who_we_are() {
    for versions in [Versions::Tls12, Versions::Tls13] {
        let root = Authority::new("server root");
        for (case, certificate, hint) in impostors(&root) {
            let key = Arc::new(Software::new(&root));
            let (result, seen) = connect(Setup::with(certificate), &key, versions, Alpn::None);
            let error = result.unwrap_err();
            assert_eq!(error.code(), "device.tls.untrusted", "{case}: {error}");
            assert!(error.to_string().contains(hint), "{case}: {error}");
            assert!(!error.is_worth_retrying(), "{case}");
            // It got an alert, and neither the certificate nor a signature.
            assert!(
                seen.certificates.is_empty(),
                "{case}: the server saw the client's certificate"
            );
            assert_eq!(key.signatures.load(Ordering::Relaxed), 0, "{case}");
            assert!(seen.failure.is_some(), "{case}");
        }
    }
}

#[test]
fn a_leaf_is_not_a_root() {
    let root = Authority::new("server root");
    let mut key = Software::new(&root);
    key.anchor = b"no certificate".to_vec();
    let error = Tls::new(Versions::Both)
        .config(Arc::new(key), Alpn::None)
        .unwrap_err();
    assert_eq!(error.code(), "device.trust_anchor");
}

#[test]
fn a_server_that_refuses_the_certificate_is_heard() {
    for versions in [Versions::Tls12, Versions::Tls13] {
        let root = Authority::new("server root");
        let key = Arc::new(Software::new(&root));
        let setup = Setup {
            refuses: true,
            ..Setup::good(&root)
        };
        let (result, seen) = connect(setup, &key, versions, Alpn::None);
        let error = result.unwrap_err();
        assert_eq!(error.code(), "device.tls.alert", "{versions:?}: {error:?}");
        assert!(error.to_string().contains("CertificateRevoked"), "{error}");
        assert_eq!(seen.certificates.len(), 1);
    }
}

#[test]
fn a_token_that_does_not_sign_is_the_reason_that_is_told() {
    for versions in [Versions::Tls12, Versions::Tls13] {
        let root = Authority::new("server root");
        let mut key = Software::new(&root);
        key.broken = true;
        let (result, _) = connect(Setup::good(&root), &Arc::new(key), versions, Alpn::None);
        let error = result.unwrap_err();
        assert_eq!(error.code(), "token.device.content", "{versions:?}: {error}");
    }
}

#[test]
fn a_certificate_without_its_key_is_refused_by_the_server() {
    let root = Authority::new("server root");
    let mut key = Software::new(&root);
    key.chain = Software::new(&root).chain;
    let (result, seen) = connect(Setup::good(&root), &Arc::new(key), Versions::Tls13, Alpn::None);
    assert_eq!(result.unwrap_err().code(), "device.tls.alert");
    assert!(seen.failure.is_some());
}

#[test]
fn one_root_is_read_once_for_a_whole_fleet() {
    let (first, second) = (Authority::new("one"), Authority::new("two"));
    let tls = Tls::new(Versions::Tls13);
    let server = Server::start(
        Setup::good(&second),
        vec![
            Box::new(|peer| answer_connect(peer, CONNACK)),
            Box::new(|peer| answer_connect(peer, CONNACK)),
        ],
    );
    let open = |root| {
        let config = tls.config(Arc::new(Software::new(root)), Alpn::None).unwrap();
        Connection::open(&server.endpoint(), &config, &options(SHORT))
    };
    // A verifier that was kept for one root must not speak for another.
    assert_eq!(open(&first).unwrap_err().code(), "device.tls.untrusted");
    assert!(open(&second).is_ok());
    server.finish();
}
