//! Says in words why a handshake failed, and what mends it.
//!
//! It stands between a failed handshake and its attempt record. On the wire there is only an alert; here is the sentence
//! for the person who has to find out. It must never contain a secret, and never guess without saying so.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible, PeerMisbehaved};

use super::{HandshakeError, Hello, MalformedHello};

/// One failed handshake, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The alert that was sent or received (RFC 8446, section 6).
    pub alert: Option<u8>,
    /// The stable name of this kind of failure.
    pub code: &'static str,
    /// Whether it was the client that refused.
    pub refused_by_client: bool,
    /// Why.
    pub reason: String,
    /// What mends it.
    pub hint: String,
}

impl Failure {
    fn sent(
        code: &'static str,
        alert: AlertDescription,
        reason: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            alert: Some(alert.into()),
            ..Self::silent(code, reason, hint)
        }
    }

    fn silent(code: &'static str, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            alert: None,
            code,
            refused_by_client: false,
            reason: reason.into(),
            hint: hint.into(),
        }
    }
}

impl From<MalformedHello> for Failure {
    fn from(malformed: MalformedHello) -> Self {
        let hint = match malformed {
            MalformedHello::PlainMqtt => "switch TLS on in the client (mqtts://, --cafile for mosquitto)",
            MalformedHello::PlainHttp => "use https:// and the server root as CA bundle",
            _ => "check that the client speaks TLS 1.2 or 1.3 to this port",
        };
        Self::silent("cloud.tls.hello", malformed.to_string(), hint)
    }
}

/// Why this handshake failed.
pub fn explain(error: &HandshakeError, hello: Option<&Hello>) -> Failure {
    match error {
        HandshakeError::Socket(error) => explain_socket(error),
        HandshakeError::Tls(error) => explain_tls(error, hello),
    }
}

fn explain_socket(error: &io::Error) -> Failure {
    const HINT: &str = "look at the client's own log; a client that does not trust the server often just leaves: give it \
                        the server root as its trust anchor";
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Failure::silent(
            "cloud.tls.closed",
            "the client closed the connection during the handshake",
            HINT,
        ),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Failure::silent(
            "cloud.tls.closed",
            "the client reset the connection during the handshake",
            HINT,
        ),
        _ => Failure::silent(
            "cloud.tls.socket",
            format!("the socket failed during the handshake: {error}"),
            "",
        ),
    }
}

/// Whether the client would speak HTTP and nothing else.
fn offers_http(hello: &Hello) -> bool {
    let is_http = |protocol: &Vec<u8>| matches!(protocol.as_slice(), b"h2" | b"http/1.1");
    !hello.alpn.is_empty() && hello.alpn.iter().all(is_http)
}

fn explain_tls(error: &Error, hello: Option<&Hello>) -> Failure {
    match error {
        Error::AlertReceived(alert) => explain_alert(*alert),
        Error::InvalidCertificate(certificate) => explain_certificate(certificate),
        Error::NoCertificatesPresented => Failure::sent(
            "cloud.tls.no_certificate",
            AlertDescription::CertificateRequired,
            "the client sent no certificate",
            match hello.is_some_and(offers_http) {
                true => "this is the port of MQTT; HTTPS goes to that of the API (\"api\" in ready.json)",
                false => {
                    "configure the client with its certificate and private key (--cert and --key for mosquitto)"
                }
            },
        ),
        Error::PeerIncompatible(why) => explain_incompatible(why, hello),
        Error::PeerMisbehaved(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme) => Failure::sent(
            "cloud.tls.scheme",
            AlertDescription::IllegalParameter,
            "the client signed the handshake with an algorithm that was not offered to it",
            "use an EC P-256, P-384 or P-521 key, or RSA with at least 2048 bits",
        ),
        other => Failure::silent(
            "cloud.tls.handshake",
            format!("the TLS handshake failed: {other}"),
            "check the client's TLS library",
        ),
    }
}

fn explain_certificate(error: &CertificateError) -> Failure {
    match error {
        CertificateError::BadSignature => Failure::sent(
            "cloud.tls.possession",
            AlertDescription::DecryptError,
            "the client could not prove possession of the private key",
            "the certificate may be a copy without its key, or the client was given the key of another certificate; \
             compare the public key of the certificate with that of the key file",
        ),
        CertificateError::BadEncoding => Failure::sent(
            "cloud.tls.certificate",
            AlertDescription::BadCertificate,
            "the client's certificate or its public key cannot be read",
            "use an X.509 certificate with an EC P-256, P-384, P-521 or RSA key",
        ),
        CertificateError::UnknownIssuer => Failure::sent(
            "cloud.tls.unknown_issuer",
            AlertDescription::UnknownCA,
            "the client's certificate comes from no registered CA, and the listener is strict",
            "register the CA that issued it, let the client send the certificates between, or switch `tls.strict` off",
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Failure::sent(
            "cloud.tls.expired",
            AlertDescription::CertificateExpired,
            "the client's certificate has expired, and the listener is strict",
            "give the device a new certificate; if it has not expired, look at the clock of the server",
        ),
        other => match is_possession_failure(other) {
            true => explain_certificate(&CertificateError::BadSignature),
            false => {
                let (why, hint) = unfit(other);
                Failure::sent(
                    "cloud.tls.certificate",
                    other.clone().into(),
                    format!("the client's certificate {why}"),
                    hint,
                )
            }
        },
    }
}

/// What a strict listener has against a certificate that comes from a registered CA, and what mends it.
fn unfit(error: &CertificateError) -> (String, &'static str) {
    let (why, hint) = match error {
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            "is not valid yet, and the listener is strict",
            "look at the clock of the server, and at that of whoever issued it",
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => (
            "names purposes, but not that of a TLS client, and the listener is strict",
            "issue it with the extended key usage clientAuth or with none, or switch `tls.strict` off",
        ),
        CertificateError::UnhandledCriticalExtension => (
            "has a critical extension that is not known, and the listener is strict",
            "issue it without that extension or mark it as not critical, or switch `tls.strict` off",
        ),
        other if is_of_old_version(other) => (
            "is not of X.509 version 3, and the listener is strict",
            "issue it with any extension (openssl x509 -req -extfile ...), or switch `tls.strict` off",
        ),
        other => return (format!("was not taken: {other}"), ""),
    };
    (why.into(), hint)
}

/// The library has no word of its own for it.
pub(super) fn is_of_old_version(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(cause) if format!("{cause:?}").contains("UnsupportedCertVersion"))
}

/// A signature that cannot be checked with this key is not a proof either.
fn is_possession_failure(error: &CertificateError) -> bool {
    let name = format!("{error:?}");
    name.contains("UnsupportedSignatureAlgorithm")
}

fn explain_alert(alert: AlertDescription) -> Failure {
    let name = alert_name(alert);
    let (reason, hint) = match alert {
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateExpired
        | AlertDescription::UnsupportedCertificate => (
            format!("the client refused the server's certificate ({name})"),
            "give the client the server root as its trust anchor, connect by one of the server's host names, and check \
             the client's clock",
        ),
        AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure => (
            format!("the client did not accept what the server chose ({name})"),
            "the server speaks TLS 1.2 and 1.3 with ECDHE and an EC P-256 certificate",
        ),
        _ => (
            format!("the client ended the handshake with the alert {name}"),
            "look at the client's own log",
        ),
    };
    Failure {
        alert: Some(alert.into()),
        code: "cloud.tls.client_refused",
        refused_by_client: true,
        reason,
        hint: hint.into(),
    }
}

fn explain_incompatible(why: &PeerIncompatible, hello: Option<&Hello>) -> Failure {
    let offered = |list: &dyn Fn(&Hello) -> String| hello.map(list).unwrap_or_else(|| "nothing".into());
    match why {
        PeerIncompatible::NoCipherSuitesInCommon => Failure::sent(
            "cloud.tls.incompatible",
            AlertDescription::HandshakeFailure,
            format!(
                "no cipher suite in common; the client offered {}",
                offered(&suites)
            ),
            "enable an ECDHE-ECDSA suite with AES-GCM or ChaCha20, or TLS 1.3, in the client",
        ),
        PeerIncompatible::NoKxGroupsInCommon | PeerIncompatible::NamedGroupsExtensionRequired => {
            Failure::sent(
                "cloud.tls.incompatible",
                AlertDescription::HandshakeFailure,
                format!(
                    "no key exchange group in common; the client offered {}",
                    offered(&groups)
                ),
                "enable P-256, P-384 or X25519 in the client",
            )
        }
        PeerIncompatible::NoSignatureSchemesInCommon => Failure::sent(
            "cloud.tls.incompatible",
            AlertDescription::HandshakeFailure,
            "no signature scheme in common",
            "enable ecdsa_secp256r1_sha256 in the client: the server's certificate has an EC P-256 key",
        ),
        PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::SupportedVersionsExtensionRequired => Failure::sent(
            "cloud.tls.version",
            AlertDescription::ProtocolVersion,
            format!(
                "no TLS version in common; the client offered {}",
                offered(&versions)
            ),
            "the server speaks TLS 1.2 and TLS 1.3",
        ),
        other => Failure::sent(
            "cloud.tls.incompatible",
            AlertDescription::HandshakeFailure,
            format!("the client's TLS does not fit: {other:?}"),
            "",
        ),
    }
}

fn versions(hello: &Hello) -> String {
    joined(
        hello
            .versions
            .iter()
            .filter(|version| !super::is_grease(**version))
            .map(|v| super::version_name(*v)),
    )
}

fn suites(hello: &Hello) -> String {
    joined(
        hello
            .suites
            .iter()
            .filter(|suite| !super::is_grease(**suite))
            .map(|suite| suite_name(*suite)),
    )
}

fn groups(hello: &Hello) -> String {
    joined(
        hello
            .groups
            .iter()
            .filter(|group| !super::is_grease(**group))
            .map(|group| format!("0x{group:04x}")),
    )
}

fn joined(names: impl Iterator<Item = String>) -> String {
    names.take(16).collect::<Vec<_>>().join(", ")
}

/// The name of a cipher suite in the IANA registry, if the TLS library knows it.
pub(crate) fn suite_name(suite: u16) -> String {
    format!("{:?}", rustls::CipherSuite::from(suite))
}

/// The name of an alert as RFC 8446, section 6 writes it: `UnknownCA` becomes `unknown_ca`.
fn alert_name(alert: AlertDescription) -> String {
    let mut name = String::new();
    let mut previous_lower = false;
    for letter in format!("{alert:?}").chars() {
        if letter.is_ascii_uppercase() && previous_lower {
            name.push('_');
        }
        previous_lower = letter.is_ascii_lowercase();
        name.push(letter.to_ascii_lowercase());
    }
    name
}
