//! From records to grants: what a certificate may do, compiled, as of one trust epoch.
//!
//! It stands between `store` and `broker`. Documents are compiled once per version and shared by every certificate that
//! they are attached to. A document that cannot be compiled refuses the connection: what it would have denied must not
//! be allowed by its absence.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    compiled: Mutex<Library>,
}

/// Compiled documents.
#[derive(Default)]
struct Library {
    shelves: HashMap<Tenant, HashMap<Box<str>, Compiled>>,
    count: usize,
}

#[derive(Clone)]
struct Compiled {
    /// The commit that wrote the policy.
    record_version: u64,
    policy: NamedPolicy,
    /// The list that has this policy alone, as most certificates have.
    alone: Arc<[NamedPolicy]>,
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
        let policies: Arc<[NamedPolicy]> = match trust.policies.as_slice() {
            [attached] => self.entry(tenant, attached)?.alone,
            several => several
                .iter()
                .map(|attached| self.compiled(tenant, attached))
                .collect::<Result<_, _>>()?,
        };
        let id = trust.certificate.record.id;
        Ok(Arc::new(Grant::new(*tenant, id, trust.epoch, policies)))
    }

    /// The policy, compiled.
    pub(crate) fn compiled(
        &self,
        tenant: &Tenant,
        attached: &AttachedPolicy,
    ) -> Result<NamedPolicy, ApiFault> {
        Ok(self.entry(tenant, attached)?.policy)
    }

    /// The list that has this policy alone, if this commit has written it and it is still so; read from the records only
    /// when it is not compiled yet.
    pub(crate) async fn alone(
        &self,
        records: &LocalRecords,
        tenant: &Tenant,
        name: &PolicyName,
        record_version: u64,
    ) -> Option<Arc<[NamedPolicy]>> {
        let known = self.library().find(tenant, name.as_str(), record_version);
        if let Some(known) = known {
            return Some(known.alone);
        }
        let found = records.policy(tenant, name).await.ok()??;
        let version = found.record.default_document()?;
        let attached = AttachedPolicy {
            name: name.clone(),
            version: version.id,
            record_version: found.version,
            document: version.document.clone(),
        };
        let compiled = self.entry(tenant, &attached).ok()?;
        (found.version == record_version).then_some(compiled.alone)
    }

    fn entry(&self, tenant: &Tenant, attached: &AttachedPolicy) -> Result<Compiled, ApiFault> {
        let (name, record_version) = (attached.name.as_str(), attached.record_version);
        if let Some(known) = self.library().find(tenant, name, record_version) {
            return Ok(known);
        }
        let policy = Policy::parse(&attached.document)
            .map_err(|error| ApiFault::failed(format_args!("policy {name} cannot be compiled: {error}")))?;
        let policy = NamedPolicy::new(name, policy);
        let compiled = Compiled {
            record_version,
            alone: Arc::new([policy.clone()]),
            policy,
        };
        self.library().keep(tenant, name, compiled.clone());
        Ok(compiled)
    }

    fn library(&self) -> MutexGuard<'_, Library> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Library {
    fn find(&self, tenant: &Tenant, name: &str, record_version: u64) -> Option<Compiled> {
        let known = self.shelves.get(tenant)?.get(name)?;
        (known.record_version == record_version).then(|| known.clone())
    }

    fn keep(&mut self, tenant: &Tenant, name: &str, compiled: Compiled) {
        if self.count >= COMPILED_POLICIES_MAX {
            *self = Self::default();
        }
        let shelf = self.shelves.entry(*tenant).or_default();
        if shelf.insert(name.into(), compiled).is_none() {
            self.count += 1;
        }
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
pub(crate) fn thing_facts(thing: Thing) -> ThingFacts {
    ThingFacts {
        name: thing.name,
        type_name: thing.type_name.map(|name| name.as_str().to_owned()),
        attributes: thing.attributes.into_iter().collect(),
        is_attached: true,
    }
}

/// The same of each of them.
pub(crate) fn facts_of_each(things: impl IntoIterator<Item = Thing>) -> Arc<[ThingFacts]> {
    things.into_iter().map(thing_facts).collect()
}
