//! Which certificate the server shows: the one of the domain that the client names, or else its own.
//!
//! It stands inside the handshake. Whether the client may come in under that name is decided after it.

use std::fmt;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Certificates of names that are not the server's own.
pub trait FurtherNames: fmt::Debug + Send + Sync {
    /// The certificate of this name, if there is one.
    fn certified(&self, server_name: &str) -> Option<Arc<CertifiedKey>>;
}

/// Chooses by the name in the ClientHello.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) own: Arc<CertifiedKey>,
    pub(super) further: Option<Arc<dyn FurtherNames>>,
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = self.further.as_deref().zip(hello.server_name());
        let further = named.and_then(|(further, name)| further.certified(name));
        Some(further.unwrap_or_else(|| self.own.clone()))
    }
}
