//! Which server names mean a domain configuration, and the certificate that is shown under each.
//!
//! It stands beside the records: what is kept there is held here by name, because every handshake asks. A change is kept
//! first and held then, one after another, so that no name is given to two tenants. A disabled domain is still found: it
//! is shown its certificate, and refused with a reason after the handshake.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use fleet::domain_configuration::DomainConfiguration;
use fleet::domain_name;
use identity::Tenant;
use rustls::sign::CertifiedKey;
use store::{LocalRecords, Records as _};
use tokio::sync::{Mutex, MutexGuard};

use crate::error::Error;
use crate::limits::SERVER_NAME_BYTES_MAX;
use crate::pki::ServerIssuer;
use crate::server_certificates::ServerCertificates;
use crate::tls::FurtherNames;

/// A server name that means a domain configuration.
#[derive(Debug)]
pub(crate) struct Domain {
    /// Whose.
    pub(crate) tenant: Tenant,
    /// The record.
    pub(crate) configuration: DomainConfiguration,
    /// The mark of the withdrawals when this became what the name means.
    pub(crate) mark: u64,
    /// What is shown under the name; nothing if the operator's file has the certificate no longer.
    pub(crate) certified: Option<Arc<CertifiedKey>>,
}

/// All domains of every tenant, by their name in lower case.
#[derive(Debug)]
pub(crate) struct Domains {
    by_name: RwLock<HashMap<Box<str>, Arc<Domain>>>,
    changing: Mutex<()>,
    certificates: RwLock<Arc<ServerCertificates>>,
    issuer: ServerIssuer,
}

impl Domains {
    /// Those in the records.
    pub(crate) fn open(
        records: &LocalRecords,
        certificates: Arc<ServerCertificates>,
        issuer: ServerIssuer,
    ) -> Result<Self, Error> {
        let domains = Self {
            by_name: RwLock::default(),
            changing: Mutex::default(),
            certificates: RwLock::new(certificates),
            issuer,
        };
        let kept = store::wait(records.every_resource::<DomainConfiguration>()).map_err(Error::Store)?;
        for (tenant, configuration) in kept {
            domains.hold(tenant, configuration.record, 0);
        }
        Ok(domains)
    }

    /// The certificates that callers can name.
    pub(crate) fn certificates(&self) -> Arc<ServerCertificates> {
        self.certificates
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// From now on callers can name these, and every domain shows the one that it has among them. Certificates that this server
    /// made up for a name are made anew.
    pub(crate) async fn replace_certificates(&self, certificates: Arc<ServerCertificates>) {
        let _turn = self.change().await;
        *self.certificates.write().unwrap_or_else(PoisonError::into_inner) = certificates;
        let held: Vec<Arc<Domain>> = {
            let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
            by_name.values().cloned().collect()
        };
        for domain in held {
            self.hold(domain.tenant, domain.configuration.clone(), domain.mark);
        }
    }

    /// What a server name means, if it means a domain configuration.
    pub(crate) fn find(&self, server_name: &str) -> Option<Arc<Domain>> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        if by_name.is_empty() || server_name.len() > SERVER_NAME_BYTES_MAX {
            return None;
        }
        match server_name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => by_name.get(server_name.to_ascii_lowercase().as_str()).cloned(),
            false => by_name.get(server_name).cloned(),
        }
    }

    /// The turn to change one: whoever has it, is alone.
    pub(crate) async fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// Whether a name is the server's own or in use already.
    pub(crate) fn is_taken(&self, own: &[String], domain: &str) -> bool {
        own.iter().any(|own| domain_name::covers(own, domain)) || self.find(domain).is_some()
    }

    /// From now on its name means this domain configuration as it is; `mark` is that of the withdrawals.
    pub(crate) fn hold(&self, tenant: Tenant, configuration: DomainConfiguration, mark: u64) {
        let certified = match &configuration.server_certificate {
            Some(arn) => self
                .certificates()
                .of(&tenant, arn)
                .map(|certified| certified.key.clone()),
            None => self.issuer.certify(&configuration.domain).ok(),
        };
        let name = configuration.domain.as_str().into();
        let domain = Domain {
            tenant,
            configuration,
            mark,
            certified,
        };
        self.by_name
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, Arc::new(domain));
    }

    /// From now on this name means nobody.
    pub(crate) fn forget(&self, domain: &str) {
        self.by_name
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(domain);
    }
}

impl FurtherNames for Domains {
    fn certified(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        self.find(server_name)?.certified.clone()
    }
}
