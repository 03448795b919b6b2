//! The TLS configurations of a listener, and which of them a client gets.
//!
//! They stand between what a client offers and its handshake. All of them are made at the start; a client gets one by the
//! security policy of the name that it asks for, by its protocols, by what ciphers are cheap to it and by the size of the
//! records that it can take. None of them decides who a client is.

use std::sync::{Arc, OnceLock};

use fleet::domain_configuration::SecurityPolicy;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache};
use rustls::{Error, ServerConfig};

use super::anchors::Anchors;
use super::possession::Possession;
use super::shown::Shown;
use super::tickets::Tickets;
use super::versions::Versions;
use super::{Hello, is_grease, provider};
use crate::limits::{RECORD_CONTENT_BYTES_MAX, SESSIONS_REMEMBERED_MAX};

/// The application protocols of the MQTT listener ("AWS IoT device SDKs, protocols, port mappings and authentication").
const MQTT_PROTOCOLS: [&[u8]; 2] = [b"x-amzn-mqtt-ca", b"mqtt"];
/// The application protocols of the API listener.
const API_PROTOCOLS: [&[u8]; 2] = [b"http/1.1", b"x-amzn-http-ca"];
/// The suites with ChaCha20: for TLS 1.3, and for ECDSA and RSA with TLS 1.2 (RFC 8446 B.4, RFC 7905).
const CHACHA20_SUITES: [u16; 3] = [0x1303, 0xcca9, 0xcca8];
/// The sizes of records that handshakes are cut into for clients that ask for small ones (RFC 6066, section 4; RFC 8449).
const SMALL_RECORDS: [usize; 5] = [4096, 2048, 1024, 512, 64];
/// A fragment as rustls counts it has its header with it.
const HEADER_BYTES: usize = 5;

/// What an operator can choose of the TLS of a listener.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// For names that have no policy of their own.
    pub security_policy: SecurityPolicy,
    /// Whether clients may take sessions up again.
    pub resumption: bool,
    /// Bytes of application data in one record; none: as many as TLS allows.
    pub record_bytes_max: Option<usize>,
    /// The CAs that a certificate must come from where one is demanded; none: any may come.
    pub anchors: Option<Arc<Anchors>>,
}

/// What a client gets.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// How its handshake goes.
    pub config: Arc<ServerConfig>,
    /// Bytes of application data in one record for it.
    pub content_bytes_max: usize,
}

/// The TLS configurations of one listener, chosen by what the client offers.
#[derive(Clone, Debug)]
pub struct Settings {
    terms: Terms,
    sets: Arc<[Set; Versions::ALL.len()]>,
}

/// The configurations for some versions of TLS.
#[derive(Debug)]
struct Set {
    /// For clients with AES in hardware, which is nearly all of them.
    aes_first: Choice,
    /// For clients that put ChaCha20 first because they have not.
    client_first: Choice,
}

/// Two configurations that differ only in whether a protocol is agreed on.
#[derive(Debug)]
struct Choice {
    negotiating: Fitting,
    silent: Fitting,
}

/// One configuration, and its like for small records.
#[derive(Debug)]
struct Fitting {
    whole: Arc<ServerConfig>,
    small: [OnceLock<Arc<ServerConfig>>; SMALL_RECORDS.len()],
}

impl Settings {
    /// The MQTT listener: nobody comes in without a certificate.
    ///
    /// # Errors
    /// The system gives no random bytes, or the library does not take the configuration.
    pub fn mqtt(shown: &Arc<Shown>, terms: &Terms) -> Result<Self, Error> {
        Self::of(shown, terms, true, &MQTT_PROTOCOLS)
    }

    /// The API listener: a certificate is asked for, and may be missing.
    ///
    /// # Errors
    /// The system gives no random bytes, or the library does not take the configuration.
    pub fn api(shown: &Arc<Shown>, terms: &Terms) -> Result<Self, Error> {
        let terms = Terms {
            record_bytes_max: None,
            ..terms.clone()
        };
        Self::of(shown, &terms, false, &API_PROTOCOLS)
    }

    /// A listener that agrees on one of these protocols, and takes or demands a client certificate.
    ///
    /// # Errors
    /// The system gives no random bytes, or the library does not take the configuration.
    pub(crate) fn of(
        shown: &Arc<Shown>,
        terms: &Terms,
        client_certificate: bool,
        protocols: &[&[u8]],
    ) -> Result<Self, Error> {
        let set = |versions| -> Result<Set, Error> {
            let config = base_config(shown, versions, client_certificate, terms)?;
            Ok(Set {
                aes_first: Choice::new(&config, true, protocols),
                client_first: Choice::new(&config, false, protocols),
            })
        };
        let [only_13, both, only_12] = Versions::ALL.map(set);
        Ok(Self {
            terms: terms.clone(),
            sets: Arc::new([only_13?, both?, only_12?]),
        })
    }

    /// The configuration for this client. Without a policy of its name that of the listener counts. The server's order of
    /// cipher suites counts, unless the client shows that AES is dear to it. Of protocols one that both know is agreed on; a
    /// client with foreign ones only is not turned away for them.
    pub fn choose(&self, hello: Option<&Hello>, policy: Option<SecurityPolicy>) -> Chosen {
        let [only_13, both, only_12] = &*self.sets;
        let set = match Versions::of(policy.unwrap_or(self.terms.security_policy)) {
            Versions::Only13 => only_13,
            Versions::Both => both,
            Versions::Only12 => only_12,
        };
        let suites = hello.map(|hello| hello.suites.as_slice()).unwrap_or_default();
        let choice = match suites.iter().find(|suite| !is_grease(**suite)) {
            Some(first) if CHACHA20_SUITES.contains(first) => &set.client_first,
            _ => &set.aes_first,
        };
        let offered = hello.map(|hello| hello.alpn.as_slice()).unwrap_or_default();
        let known = &choice.negotiating.whole.alpn_protocols;
        let fitting = match offered.iter().any(|name| known.contains(name)) {
            true => &choice.negotiating,
            false => &choice.silent,
        };
        let asked = hello.and_then(|hello| hello.record_bytes_max).map(usize::from);
        let content = asked
            .into_iter()
            .chain(self.terms.record_bytes_max)
            .fold(RECORD_CONTENT_BYTES_MAX, usize::min);
        Chosen {
            config: fitting.config(asked),
            content_bytes_max: content.max(1),
        }
    }
}

impl Choice {
    fn new(config: &ServerConfig, ignore_client_order: bool, protocols: &[&[u8]]) -> Self {
        let mut silent = config.clone();
        silent.ignore_client_order = ignore_client_order;
        let mut negotiating = silent.clone();
        negotiating.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Self {
            negotiating: Fitting::new(negotiating),
            silent: Fitting::new(silent),
        }
    }
}

impl Fitting {
    fn new(config: ServerConfig) -> Self {
        Self {
            whole: Arc::new(config),
            small: Default::default(),
        }
    }

    /// The configuration whose handshake comes in records of at most so many bytes.
    fn config(&self, record_bytes_max: Option<usize>) -> Arc<ServerConfig> {
        let Some(most) = record_bytes_max.filter(|most| *most < RECORD_CONTENT_BYTES_MAX) else {
            return self.whole.clone();
        };
        let sizes = SMALL_RECORDS.iter().zip(&self.small);
        let fits = sizes.rev().take_while(|(size, _)| **size <= most).last();
        let Some((size, slot)) = fits else {
            return self.whole.clone();
        };
        slot.get_or_init(|| {
            let mut config = ServerConfig::clone(&self.whole);
            config.max_fragment_size = Some(size + HEADER_BYTES);
            Arc::new(config)
        })
        .clone()
    }
}

/// Unless resumption is asked for, every connection proves possession of its key anew.
fn base_config(
    shown: &Arc<Shown>,
    versions: Versions,
    client_certificate: bool,
    terms: &Terms,
) -> Result<ServerConfig, Error> {
    let mut provider = provider();
    Arc::make_mut(&mut provider)
        .cipher_suites
        .retain(|suite| versions.has(suite));
    let algorithms = provider.signature_verification_algorithms;
    let anchors = terms.anchors.clone().filter(|_| client_certificate);
    let possession = Possession::new(algorithms, client_certificate).of(anchors);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions.spoken())?
        .with_client_cert_verifier(Arc::new(possession))
        .with_cert_resolver(shown.clone());
    match terms.resumption {
        true => {
            config.send_tls13_tickets = 1;
            config.ticketer = Arc::new(Tickets::new()?);
            config.session_storage = ServerSessionMemoryCache::new(SESSIONS_REMEMBERED_MAX);
        }
        false => {
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(NoServerSessionStorage {});
        }
    }
    Ok(config)
}
