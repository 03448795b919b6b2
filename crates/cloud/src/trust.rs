//! From records to grants: what a certificate may do, compiled, as of one trust epoch.
//!
//! It stands between `store` and `broker`. Documents are compiled once per version and shared by every certificate that
//! they are attached to. A document that cannot be compiled refuses the connection: what it would have denied must not
//! be allowed by its absence.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use fleet::names::PolicyName;
use fleet::record::{CertificateStatus, Thing};
use fleet::{Exception, Refusal};
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

    /// What the policies with these names allow whoever has no certificate; the id stands in its place.
    ///
    /// # Errors
    /// One of them is not there.
    pub(crate) async fn of_names(
        &self,
        records: &LocalRecords,
        tenant: &Tenant,
        stand_in: CertificateId,
        names: &[PolicyName],
    ) -> Result<Arc<Grant>, ApiFault> {
        // Read first, so that what changes meanwhile is newer than the grant.
        let epoch = records.trust_epoch(tenant).await?;
        let mut policies = Vec::with_capacity(names.len());
        for name in names {
            let Some(policy) = records.policy(tenant, name).await? else {
                return Err(no_policy(name).into());
            };
            let Some(version) = policy.record.default_document() else {
                continue;
            };
            let attached = AttachedPolicy {
                name: name.clone(),
                version: version.id,
                record_version: policy.version,
                document: version.document.clone(),
            };
            policies.push(self.compiled(tenant, &attached)?);
        }
        let grant = Grant::new(*tenant, stand_in, epoch, policies);
        Ok(Arc::new(grant.without_certificate()))
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

fn no_policy(name: &PolicyName) -> Refusal {
    Refusal::new(
        Exception::Unauthorized,
        "cloud.principal.policy",
        format!("there is no policy {name}, which clients of this listener are granted"),
    )
    .hint("make the policy that the setting names (CreatePolicy), or name another one")
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
