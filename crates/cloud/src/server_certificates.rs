//! The certificates of the operator's file for domains of customers.
//!
//! They stand between the configuration, where each has a name, and the domain configurations of the API, whose ARNs of
//! server certificates end in such a name. All of them are read and checked at the start: a key that does not belong to
//! its certificate keeps the server from starting, and is not found out by the first device. A certificate is used by the
//! account that it was given to, and by no other.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use fleet::domain_configuration::ServerCertificate;
use identity::Tenant;
use identity::certificate::Certificate;
use identity::extension::AlternativeName;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::config::{Plan, ServerCertificatePlan};
use crate::error::Error;
use crate::files;
use crate::limits::SERVER_CHAIN_CERTIFICATES_MAX;
use crate::tls;

/// A certificate with its key, as TLS needs it.
#[derive(Debug)]
pub(crate) struct Certified {
    account: identity::AccountId,
    /// What a decision about a domain has to know of it.
    pub(crate) facts: ServerCertificate,
    /// The chain and the key.
    pub(crate) key: Arc<CertifiedKey>,
}

/// All of them, by name.
#[derive(Debug, Default)]
pub(crate) struct ServerCertificates(BTreeMap<String, Certified>);

impl ServerCertificates {
    /// Reads every one that the configuration names.
    pub(crate) fn open(plan: &Plan) -> Result<Self, Error> {
        plan.server_certificates
            .iter()
            .map(|(name, planned)| Ok((name.clone(), open(planned)?)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The one with this name of the operator's.
    pub(crate) fn named(&self, name: &str) -> Option<&Certified> {
        self.0.get(name)
    }

    /// The one that an ARN means, if there is one for this tenant:
    /// `arn:aws:acm:<region>:<account>:certificate/<name>` with the tenant's own region and account.
    pub(crate) fn of(&self, tenant: &Tenant, arn: &str) -> Option<&Certified> {
        let mut parts = arn.splitn(6, ':');
        let mut next = || parts.next().unwrap_or_default();
        let is_ours = next() == "arn"
            && matches!(next(), "aws" | "aws-cn" | "aws-us-gov")
            && next() == "acm"
            && next() == tenant.region.as_str()
            && next() == tenant.account.as_str();
        let name = next().strip_prefix("certificate/").filter(|_| is_ours)?;
        self.0.get(name).filter(|found| found.account == tenant.account)
    }
}

fn open(planned: &ServerCertificatePlan) -> Result<Certified, Error> {
    let chain = read_chain(&planned.chain)?;
    let wrong = |path: &Path, what: String| Error::ServerCertificate {
        path: path.to_owned(),
        what,
    };
    let Some(leaf) = chain.first() else {
        return Err(wrong(&planned.chain, "there is no certificate in it".into()));
    };
    let leaf = Certificate::parse(leaf).map_err(|error| wrong(&planned.chain, error.to_string()))?;
    let facts = facts_of(&leaf);
    if facts.names.is_empty() {
        return Err(wrong(
            &planned.chain,
            "its certificate is for no name of DNS".into(),
        ));
    }
    let text = zeroize::Zeroizing::new(read(&planned.key)?);
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|error| wrong(&planned.key, format!("there is no private key in it: {error}")))?;
    let key = CertifiedKey::from_der(chain, key, &tls::provider()).map_err(|error| {
        wrong(
            &planned.key,
            format!("its key does not serve that certificate: {error}"),
        )
    })?;
    Ok(Certified {
        account: planned.account,
        facts,
        key: Arc::new(key),
    })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let wrong = |what: String| Error::ServerCertificate {
        path: path.to_owned(),
        what,
    };
    let text = read(path)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
        .take(SERVER_CHAIN_CERTIFICATES_MAX + 1)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(format!("it cannot be read: {error}")))?;
    match chain.len() {
        0..=SERVER_CHAIN_CERTIFICATES_MAX => Ok(chain),
        _ => Err(wrong(format!(
            "it holds more than {SERVER_CHAIN_CERTIFICATES_MAX} certificates"
        ))),
    }
}

fn read(path: &Path) -> Result<String, Error> {
    files::read_text(path)?.ok_or_else(|| Error::ServerCertificate {
        path: path.to_owned(),
        what: "it is not there".into(),
    })
}

/// What a decision about a domain has to know of a certificate.
pub(crate) fn facts_of(leaf: &Certificate) -> ServerCertificate {
    let names = leaf.alternative_names().iter().filter_map(|name| match name {
        AlternativeName::Dns(name) => Some(name.clone()),
        _ => None,
    });
    ServerCertificate {
        names: names.collect(),
        not_before: leaf.not_before(),
        not_after: leaf.not_after(),
    }
}
