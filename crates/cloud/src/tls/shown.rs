//! Which certificate the server shows: the one of the domain that the client names, or else its own.
//!
//! It stands inside the handshake, which asks each time; so the server's own can be replaced while connections go on, and whoever
//! comes next sees the new ones. Of several the first is shown whose key the client can verify: P-256 stands first, which costs a
//! tenth of RSA. Whether the client may come in under that name is decided after the handshake.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Certificates of names that are not the server's own.
pub trait FurtherNames: fmt::Debug + Send + Sync {
    /// The certificate of this name, if there is one.
    fn certified(&self, server_name: &str) -> Option<Arc<CertifiedKey>>;
}

/// Chooses by the name in the ClientHello, and by what the client can verify.
#[derive(Debug)]
pub struct Shown {
    own: RwLock<Vec<Arc<CertifiedKey>>>,
    further: Option<Arc<dyn FurtherNames>>,
}

impl Shown {
    /// The server's own certificates, in the order of preference, and those of further names.
    pub fn new(own: Vec<Arc<CertifiedKey>>, further: Option<Arc<dyn FurtherNames>>) -> Self {
        Self {
            own: RwLock::new(own),
            further,
        }
    }

    /// From now on these are the server's own.
    pub fn replace(&self, own: Vec<Arc<CertifiedKey>>) {
        *self.own.write().unwrap_or_else(PoisonError::into_inner) = own;
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = self.further.as_deref().zip(hello.server_name());
        if let Some(further) = named.and_then(|(further, name)| further.certified(name)) {
            return Some(further);
        }
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        let verifiable =
            |own: &&Arc<CertifiedKey>| own.key.choose_scheme(hello.signature_schemes()).is_some();
        own.iter().find(verifiable).or_else(|| own.first()).cloned()
    }
}
