//! Registered CAs as trust anchors of the handshake, where the operator wants strangers refused in it.
//!
//! It stands inside the handshake of listeners that demand a certificate, if `tls.strict` is on: a certificate that no registered CA
//! and not this server has issued, by itself or by intermediates that the client sends, is refused before anything is looked up, as
//! one that is not valid now. Who the client is, in which tenant and whether it may come in is decided after the handshake as ever.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use identity::{CertificateId, Tenant};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, Error, RootCertStore};

use super::failure::is_of_old_version;
use super::provider;

/// A registered CA: two tenants may have the same.
type Registered = (Option<(String, String)>, CertificateId);

/// The CAs that certificates of clients must come from.
#[derive(Debug, Default)]
pub struct Anchors(RwLock<Held>);

#[derive(Debug, Default)]
struct Held {
    all: BTreeMap<Registered, Arc<[u8]>>,
    /// Made of all; none while there is none.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl Anchors {
    /// From now on certificates of these CAs are taken; of no tenant are the server's own.
    pub(crate) fn hold(&self, cas: impl IntoIterator<Item = (Option<Tenant>, CertificateId, Arc<[u8]>)>) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (tenant, id, der) in cas {
            held.all.insert((tenant.as_ref().map(words), id), der);
        }
        held.make();
    }

    /// This CA is registered no more.
    pub(crate) fn forget(&self, tenant: &Tenant, id: CertificateId) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        held.all.remove(&(Some(words(tenant)), id));
        held.make();
    }

    /// Whether a certificate comes from one of them and is valid.
    pub(super) fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let verifier = held.verifier.clone();
        drop(held);
        verifier
            .ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?
            .verify_client_cert(end_entity, intermediates, now)
            .map(drop)
            .map_err(told)
    }
}

impl Held {
    /// A CA that the library cannot read is no anchor: its devices are refused.
    fn make(&mut self) {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.all.values().map(|der| CertificateDer::from(der.to_vec())));
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        self.verifier = builder.build().ok();
    }
}

/// A signature that is not that of the CA with the name is as good as none; it says nothing of the client's own key.
fn told(error: Error) -> Error {
    use CertificateError as Why;
    match error {
        Error::InvalidCertificate(
            Why::Expired
            | Why::ExpiredContext { .. }
            | Why::NotValidYet
            | Why::NotValidYetContext { .. }
            | Why::UnhandledCriticalExtension
            | Why::InvalidPurpose
            | Why::InvalidPurposeContext { .. },
        ) => error,
        Error::InvalidCertificate(ref why) if is_of_old_version(why) => error,
        _ => Error::InvalidCertificate(Why::UnknownIssuer),
    }
}

fn words(tenant: &Tenant) -> (String, String) {
    (
        tenant.account.as_str().to_owned(),
        tenant.region.as_str().to_owned(),
    )
}
