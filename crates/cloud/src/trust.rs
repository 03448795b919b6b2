//! From records to grants: what a certificate may do, compiled, as of one trust epoch.
//!
//! It stands between `store` and `broker`. Documents are compiled once per version and shared by every certificate that
//! they are attached to. A document that cannot be compiled refuses the connection: what it would have denied must not
//! be allowed by its absence.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use fleet::record::{CertificateStatus, Thing};
use identity::{CertificateId, Tenant};
use policy::{Grant, NamedPolicy, Policy, ThingFacts};
use store::{AttachedPolicy, LocalRecords, Records as _, Trust};

use crate::api::ApiFault;
use crate::clock;
use crate::limits::COMPILED_POLICIES_MAX;

/// Makes grants, and remembers compiled documents.
#[derive(Default)]
pub(crate) struct Grants {
    compiled: Mutex<HashMap<(Tenant, Arc<str>), Compiled>>,
}

struct Compiled {
    /// The commit that wrote the policy.
    record_version: u64,
    policy: NamedPolicy,
}

impl Grants {
    /// What this certificate may do now; `None` if it may not connect at all.
    pub(crate) async fn current(
        &self,
        records: &LocalRecords,
        tenant: &Tenant,
        certificate: &CertificateId,
    ) -> Result<Option<Arc<Grant>>, ApiFault> {
        let Some(trust) = records.trust(tenant, certificate).await? else {
            return Ok(None);
        };
        let record = &trust.certificate.record;
        let now = clock::now();
        let valid = record.not_before <= now && now <= record.not_after;
        match record.status == CertificateStatus::Active && valid {
            true => self.grant(tenant, &trust).map(Some),
            false => Ok(None),
        }
    }

    /// The grant that follows from what was just looked up. The caller has checked that the certificate may connect.
    pub(crate) fn grant(&self, tenant: &Tenant, trust: &Trust) -> Result<Arc<Grant>, ApiFault> {
        let policies: Result<Vec<NamedPolicy>, ApiFault> = trust
            .policies
            .iter()
            .map(|attached| self.compiled(tenant, attached))
            .collect();
        Ok(Arc::new(Grant::new(
            *tenant,
            trust.certificate.record.id,
            trust.epoch,
            policies?,
        )))
    }

    /// The policy, compiled.
    pub(crate) fn compiled(
        &self,
        tenant: &Tenant,
        attached: &AttachedPolicy,
    ) -> Result<NamedPolicy, ApiFault> {
        let name: Arc<str> = Arc::from(attached.name.as_str());
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = compiled.get(&(*tenant, name.clone()))
            && known.record_version == attached.record_version
        {
            return Ok(known.policy.clone());
        }
        let policy = Policy::parse(&attached.document)
            .map_err(|error| ApiFault::failed(format_args!("policy {name} cannot be compiled: {error}")))?;
        let policy = NamedPolicy::new(name.clone(), policy);
        if compiled.len() >= COMPILED_POLICIES_MAX {
            compiled.clear();
        }
        let entry = Compiled {
            record_version: attached.record_version,
            policy: policy.clone(),
        };
        compiled.insert((*tenant, name), entry);
        Ok(policy)
    }
}

/// What policies can ask about a thing that the certificate of the connection is attached to.
pub(crate) fn thing_facts(thing: &Thing) -> ThingFacts {
    ThingFacts {
        name: thing.name.clone(),
        type_name: thing.type_name.as_ref().map(|name| name.as_str().to_owned()),
        attributes: thing
            .attributes
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        is_attached: true,
    }
}
