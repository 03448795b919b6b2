//! TLS with a key that only signs: which versions and suites, whom to believe, and who makes the signature.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{
    ClientConfig, OtherError, RootCertStore, SignatureAlgorithm, SignatureScheme, SupportedProtocolVersion,
    version,
};

use crate::error::Error;
use crate::key::DeviceKey;

/// Which versions of TLS a device speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// 1.3, or 1.2 if the server knows no other.
    #[default]
    Both,
    /// 1.3 alone.
    Tls13,
    /// 1.2 alone, with the suite that small devices have: ECDHE-ECDSA, AES-128-GCM, SHA-256.
    Tls12,
}

static TLS13_AND_12: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
static TLS13: [&SupportedProtocolVersion; 1] = [&version::TLS13];
static TLS12: [&SupportedProtocolVersion; 1] = [&version::TLS12];

impl Versions {
    fn protocol(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Both => &TLS13_AND_12,
            Self::Tls13 => &TLS13,
            Self::Tls12 => &TLS12,
        }
    }
}

/// What the ClientHello says about the protocol inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alpn {
    /// Nothing, as on port 8883.
    #[default]
    None,
    /// `x-amzn-mqtt-ca`: MQTT with a client certificate on a port that also serves HTTPS.
    AmazonMqtt,
}

impl Alpn {
    /// What AWS IoT Core expects on this port.
    #[must_use]
    pub const fn for_port(port: u16) -> Self {
        if port == 443 { Self::AmazonMqtt } else { Self::None }
    }
}

/// The TLS side that devices of one kind share: suites, and the verifier for the root that they have in common.
pub struct Tls {
    versions: Versions,
    provider: Arc<CryptoProvider>,
    /// The last root and its verifier: a fleet has one root, and a verifier is bigger than a connection.
    verifier: Mutex<Option<(Vec<u8>, Arc<WebPkiServerVerifier>)>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("versions", &self.versions)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// For devices that speak these versions.
    #[must_use]
    pub fn new(versions: Versions) -> Self {
        use aws_lc_rs::cipher_suite as suite;
        let provider = CryptoProvider {
            cipher_suites: vec![
                suite::TLS13_AES_128_GCM_SHA256,
                suite::TLS13_AES_256_GCM_SHA384,
                suite::TLS13_CHACHA20_POLY1305_SHA256,
                suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            ],
            kx_groups: vec![aws_lc_rs::kx_group::SECP256R1, aws_lc_rs::kx_group::X25519],
            ..aws_lc_rs::default_provider()
        };
        Self {
            versions,
            provider: Arc::new(provider),
            verifier: Mutex::new(None),
        }
    }

    /// What one device needs for its connections; make it once and share it between them.
    ///
    /// There is no session resumption: every connection proves the key anew.
    pub fn config(&self, key: Arc<dyn DeviceKey>, alpn: Alpn) -> Result<Arc<ClientConfig>, Error> {
        let verifier = self.verifier(key.trust_anchor())?;
        let chain = key
            .certificate_chain()
            .into_iter()
            .map(CertificateDer::from)
            .collect();
        let certified = CertifiedKey::new(chain, Arc::new(Holder(key)));
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(self.versions.protocol())
            .map_err(Error::Tls)?
            .with_webpki_verifier(verifier)
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.resumption = Resumption::disabled();
        if alpn == Alpn::AmazonMqtt {
            config.alpn_protocols = vec![b"x-amzn-mqtt-ca".to_vec()];
        }
        Ok(Arc::new(config))
    }

    fn verifier(&self, anchor: Vec<u8>) -> Result<Arc<WebPkiServerVerifier>, Error> {
        let mut last = self.verifier.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, verifier)) = last.as_ref().filter(|(known, _)| *known == anchor) {
            return Ok(Arc::clone(verifier));
        }
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from(anchor.as_slice()))
            .map_err(|_| Error::TrustAnchor)?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
                .build()
                .map_err(|_| Error::TrustAnchor)?;
        *last = Some((anchor, Arc::clone(&verifier)));
        Ok(verifier)
    }
}

/// The device's key as rustls wants it. It signs one way only.
struct Holder(Arc<dyn DeviceKey>);

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKey")
    }
}

impl SigningKey for Holder {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
        offered
            .contains(&scheme)
            .then(|| Box::new(Self(Arc::clone(&self.0))) as _)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Holder {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.0
            .sign(message)
            .map_err(|error| rustls::Error::Other(OtherError(Arc::new(error))))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}
