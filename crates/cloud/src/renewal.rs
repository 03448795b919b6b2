//! The server's certificates while it runs: read again when a file changed, renewed before they end.
//!
//! It stands beside the listeners. What is read here is shown to whoever connects next; connections that are up stay as they are.
//! If anything cannot be read, everything stays as it was. A root that devices carry is never changed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use rustls::sign::CertifiedKey;

use crate::clock;
use crate::config::Plan;
use crate::domains::Domains;
use crate::error::Error;
use crate::limits::CERTIFICATE_REST;
use crate::pki::Pki;
use crate::server_certificates::ServerCertificates;
use crate::tls::Shown;

/// Reads certificates again.
pub(crate) struct Renewal {
    plan: Plan,
    shown: Arc<Shown>,
    domains: Arc<Domains>,
    last: Mutex<Last>,
}

/// When they were read, and how the files were then.
struct Last {
    at: Instant,
    files: Vec<Stamp>,
}

/// What of a file tells that it changed.
type Stamp = Option<(SystemTime, u64)>;

impl Renewal {
    /// Beside certificates that have just been read.
    pub(crate) fn new(plan: Plan, shown: Arc<Shown>, domains: Arc<Domains>) -> Self {
        let last = Mutex::new(Last {
            at: Instant::now(),
            files: stamps(&plan),
        });
        Self {
            plan,
            shown,
            domains,
            last,
        }
    }

    /// Reads every certificate and key again, and makes new ones for those of the server's own that end soon.
    pub(crate) async fn renew(&self) -> Result<(), Error> {
        let files = stamps(&self.plan);
        let certificates = Arc::new(ServerCertificates::open(&self.plan)?);
        let pki = Pki::open(
            &self.plan.data_dir.join("pki"),
            &self.plan.names(),
            self.plan.tls.server_rsa,
            clock::now(),
        )?;
        self.shown.replace(own(&self.plan, &pki, &certificates)?);
        self.domains.replace_certificates(certificates).await;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Last {
            at: Instant::now(),
            files,
        };
        Ok(())
    }

    /// Whether it is time to.
    pub(crate) fn is_due(&self) -> bool {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.at.elapsed() >= CERTIFICATE_REST || last.files != stamps(&self.plan)
    }
}

/// What is shown to clients that ask for no name of a domain: what the operator chose, or the server's own.
pub(crate) fn own(
    plan: &Plan,
    pki: &Pki,
    certificates: &ServerCertificates,
) -> Result<Vec<Arc<CertifiedKey>>, Error> {
    if plan.tls.certificates.is_empty() {
        let certify = |identity: &crate::tls::ServerIdentity| identity.certify().map_err(Error::Tls);
        return pki.server.iter().map(certify).collect();
    }
    let named = plan.tls.certificates.iter();
    Ok(named
        .filter_map(|name| certificates.named(name))
        .map(|certified| certified.key.clone())
        .collect())
}

fn stamps(plan: &Plan) -> Vec<Stamp> {
    let stamp = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    let files = plan.server_certificates.values();
    files
        .flat_map(|planned| [&planned.chain, &planned.key])
        .map(stamp)
        .collect()
}
