//! [`LocalRecords`]: the promises of [`Records`] kept by one SQLite file.

use std::sync::Arc;
use std::thread::JoinHandle;

use fleet::batch::Batch;
use fleet::manifest::{Listed, ManifestEntry};
use fleet::names::{GroupName, PolicyName, TemplateName};
use fleet::onboarding::{Facts, Needs};
use fleet::page::PageRequest;
use fleet::record::{
    CaCertificate, DeviceCertificate, Policy, PolicyAttachment, PolicyTarget, ProvisioningTemplate,
    RegionClaim, RegistrationCode, Thing, ThingGroup, ThingPrincipal, Versioned,
};
use fleet::resource::Resource;
use fleet::search::Query;
use fleet::thing;
use fleet::thing_group_members::Membership;
use identity::manifest::KeyHash;
use identity::{CertificateId, Region, Tenant, ThingName};
use rusqlite::Connection;

use super::facts::{self, Common};
use super::readers::{Idle, Readers};
use super::schema::{RECORDS, Writing, open_writer};
use super::trust::{Documents, trust};
use super::writer::{Job, Writer};
use super::{audit, lists, manifests, read, search};
use crate::directory::DataDirectory;
use crate::error::{CommitError, Error};
use crate::limits::{BATCHES_AT_ONCE_MAX, COMMIT_QUEUE_MAX};
use crate::measure::{COUNTS, Commits, Measured};
use crate::oneshot;
use crate::queue::{Queue, Refused};
use crate::records::{
    AttachedPolicy, AuditLine, Committed, GroupFilter, Holding, Indexed, Looked, Page, Records, Trust,
};

/// The records of one machine. When it is dropped, what was submitted is kept before the drop returns.
pub struct LocalRecords {
    queue: Arc<Queue<Job>>,
    readers: Readers,
    documents: Documents,
    writer: Option<JoinHandle<()>>,
    measured: Arc<Measured>,
    /// Holds the lock for as long as the records are open.
    _directory: Option<DataDirectory>,
}

impl LocalRecords {
    /// Opens the records in a data directory, makes them if there are none, and brings an older format up to date.
    pub fn open(directory: &DataDirectory) -> Result<Self, Error> {
        let path = directory.records();
        let connection = open_writer(&path, RECORDS, Writing::RECORDS)?;
        let measured = Arc::new(Measured::new(COUNTS));
        let idle = Idle::beside_writer();
        let writer = Writer::new(connection, measured.clone(), idle.clone())?;
        let queue = Arc::new(Queue::new(COMMIT_QUEUE_MAX));
        let (taken, failed) = (queue.clone(), |cause| Error::Directory {
            path: path.clone(),
            action: "start the writer of",
            cause: Arc::new(cause),
        });
        let writer = std::thread::Builder::new()
            .name("records-writer".to_owned())
            .spawn(move || writer.run(&taken))
            .map_err(failed)?;
        Ok(Self {
            queue,
            readers: Readers::new(path, idle),
            documents: Documents::default(),
            writer: Some(writer),
            measured,
            _directory: Some(directory.clone()),
        })
    }

    /// Opens the records of a data directory to look at them, also while a server runs on it; nothing can be kept.
    pub fn open_to_read(directory: &std::path::Path) -> Result<Self, Error> {
        let path = crate::directory::records_in(directory);
        path.metadata().map_err(|cause| Error::Directory {
            path: path.clone(),
            action: "read the records in",
            cause: Arc::new(cause),
        })?;
        let queue = Arc::new(Queue::new(COMMIT_QUEUE_MAX));
        queue.close();
        Ok(Self {
            queue,
            readers: Readers::new(path, Idle::beside_strangers()),
            documents: Documents::default(),
            writer: None,
            measured: Arc::new(Measured::new(COUNTS)),
            _directory: None,
        })
    }

    /// How many batches wait for the writer (limit: [`COMMIT_QUEUE_MAX`]).
    pub fn queue_depth(&self) -> usize {
        self.queue.depth()
    }

    /// Gives back memory that look-ups left behind, if there were few since this was last called. To be called from time to time.
    pub fn rest(&self) {
        self.readers.rest();
    }

    /// What was kept so far: how long each transaction took, and how many batches were in it.
    pub fn commits(&self) -> Commits {
        self.measured.look()
    }

    /// The registered CAs of every tenant.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn every_ca(&self) -> Result<Vec<(Tenant, CaCertificate)>, Error> {
        self.readers.look(lists::every_ca)
    }

    /// Reads the whole audit log and checks every link; gives the number of lines and the last hash.
    pub fn verify_audit(&self) -> Result<(u64, [u8; 32]), Error> {
        self.readers.look_at_once(audit::verify)
    }

    /// A look-up inside a tenant: of nothing, if nothing was ever kept for it.
    fn look<T: Default>(
        &self,
        tenant: &Tenant,
        look: impl FnOnce(&Connection, i64) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.readers
            .look(|connection| match self.readers.tenant(connection, tenant)? {
                Some(id) => look(connection, id),
                None => Ok(T::default()),
            })
    }

    fn look_at_once<T: Default>(
        &self,
        tenant: &Tenant,
        look: impl FnOnce(&Connection, i64) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.readers
            .look_at_once(|connection| match self.readers.tenant(connection, tenant)? {
                Some(id) => look(connection, id),
                None => Ok(T::default()),
            })
    }

    fn list<T>(
        &self,
        tenant: &Tenant,
        list: impl FnOnce(&Connection, i64) -> Result<Page<T>, Error>,
    ) -> Result<Page<T>, Error> {
        let page = self.look(tenant, |connection, tenant| list(connection, tenant).map(Some))?;
        Ok(page.unwrap_or(Page {
            items: Vec::new(),
            next: None,
        }))
    }
}

/// Why the writer did not take something in.
fn refused(why: Refused) -> CommitError {
    match why {
        Refused::Full => CommitError::Overloaded,
        Refused::Closed => CommitError::Fault(Error::Stopped),
    }
}

impl Drop for LocalRecords {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.take() {
            // A panic of the writer was already seen by everyone who waited for an answer.
            let _ = writer.join();
        }
    }
}

impl Records for LocalRecords {
    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        if batch.is_empty() {
            let epoch = self
                .trust_epoch(&batch.tenant)
                .await
                .map_err(CommitError::Fault)?;
            return Ok(Committed { version: 0, epoch });
        }
        let (answer, awaited) = oneshot::channel();
        self.queue.put(Job::One(batch, answer)).map_err(refused)?;
        awaited.await.unwrap_or(Err(CommitError::Fault(Error::Stopped)))
    }

    async fn commit_each(&self, batches: Vec<Batch>) -> Vec<Result<Committed, CommitError>> {
        let mut outcomes = Vec::with_capacity(batches.len());
        let mut batches = batches.into_iter().peekable();
        while batches.peek().is_some() {
            let some: Vec<Batch> = batches.by_ref().take(BATCHES_AT_ONCE_MAX).collect();
            let count = some.len();
            let (answer, awaited) = oneshot::channel();
            match self.queue.put(Job::Many(some, answer)) {
                Ok(()) => {
                    let answered = awaited.await.unwrap_or_default();
                    let lost = core::iter::repeat_with(|| Err(CommitError::Fault(Error::Stopped)));
                    outcomes.extend(answered.into_iter().chain(lost).take(count));
                }
                Err(why) => outcomes.extend(core::iter::repeat_n(Err(refused(why)), count)),
            }
        }
        outcomes
    }

    async fn trust_epoch(&self, tenant: &Tenant) -> Looked<u64> {
        self.look(tenant, read::epoch)
    }

    async fn trust(&self, tenant: &Tenant, id: &CertificateId) -> Looked<Option<Trust>> {
        self.look_at_once(tenant, |connection, tenant| {
            trust(connection, &self.documents, tenant, id)
        })
    }

    async fn onboarding_facts(&self, tenant: &Tenant, id: &CertificateId, needs: &Needs) -> Looked<Facts> {
        self.look_at_once(tenant, |connection, tenant| {
            facts::of(connection, tenant, Some(id), needs, &mut Common::default())
        })
    }

    async fn onboarding_facts_of_each(
        &self,
        tenant: &Tenant,
        wanted: &[(Option<CertificateId>, Needs)],
    ) -> Looked<Vec<Facts>> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.look_at_once(tenant, |connection, tenant| {
            let mut common = Common::default();
            let facts = wanted
                .iter()
                .map(|(id, needs)| facts::of(connection, tenant, id.as_ref(), needs, &mut common));
            facts.collect::<Result<Vec<_>, _>>().map(Some)
        })?;
        Ok(found.unwrap_or_else(|| vec![Facts::default(); wanted.len()]))
    }

    async fn registration_code(&self, tenant: &Tenant) -> Looked<Option<Versioned<RegistrationCode>>> {
        self.look(tenant, read::registration_code)
    }

    async fn ca(&self, tenant: &Tenant, id: &CertificateId) -> Looked<Option<Versioned<CaCertificate>>> {
        self.look(tenant, |connection, tenant| read::ca(connection, tenant, id))
    }

    async fn cas_by_subject(&self, tenant: &Tenant, subject: &[u8]) -> Looked<Vec<Versioned<CaCertificate>>> {
        self.look(tenant, |connection, tenant| {
            read::cas_by_subject(connection, tenant, subject)
        })
    }

    async fn tenants(&self) -> Looked<Vec<Tenant>> {
        self.readers.look(read::tenants)
    }

    async fn region_claim(
        &self,
        region: &Region,
        id: &CertificateId,
    ) -> Looked<Option<Versioned<RegionClaim>>> {
        self.readers
            .look(|connection| read::region_claim(connection, region, id))
    }

    async fn certificate(
        &self,
        tenant: &Tenant,
        id: &CertificateId,
    ) -> Looked<Option<Versioned<DeviceCertificate>>> {
        let found = self.look(tenant, |connection, tenant| {
            read::certificate(connection, tenant, id)
        })?;
        Ok(found.map(|(_, certificate)| certificate))
    }

    async fn thing(&self, tenant: &Tenant, name: &ThingName) -> Looked<Option<Versioned<Thing>>> {
        let found = self.look(tenant, |connection, tenant| read::thing(connection, tenant, name))?;
        Ok(found.map(|(_, thing)| thing))
    }

    async fn policy(&self, tenant: &Tenant, name: &PolicyName) -> Looked<Option<Versioned<Policy>>> {
        self.look_at_once(tenant, |connection, tenant| {
            read::policy(connection, tenant, name)
        })
    }

    async fn template(
        &self,
        tenant: &Tenant,
        name: &TemplateName,
    ) -> Looked<Option<Versioned<ProvisioningTemplate>>> {
        self.look_at_once(tenant, |connection, tenant| {
            read::template(connection, tenant, name)
        })
    }

    async fn template_count(&self, tenant: &Tenant) -> Looked<u32> {
        self.look(tenant, read::template_count)
    }

    async fn is_template_used(&self, tenant: &Tenant, name: &TemplateName) -> Looked<bool> {
        self.look(tenant, |connection, tenant| {
            read::is_template_used(connection, tenant, name)
        })
    }

    async fn list_templates(&self, tenant: &Tenant, page: PageRequest) -> Looked<Page<ProvisioningTemplate>> {
        self.list(tenant, |connection, tenant| {
            lists::templates(connection, tenant, page)
        })
    }

    async fn group_lineage(&self, tenant: &Tenant, name: &GroupName) -> Looked<Vec<Versioned<ThingGroup>>> {
        self.look_at_once(tenant, |connection, tenant| {
            read::lineage(connection, tenant, name)
        })
    }

    async fn group_children(&self, tenant: &Tenant, name: &GroupName) -> Looked<u32> {
        self.look(tenant, |connection, tenant| {
            read::children_of(connection, tenant, name)
        })
    }

    async fn groups_of(&self, tenant: &Tenant, thing: &ThingName) -> Looked<Vec<Membership>> {
        self.look_at_once(tenant, |connection, tenant| {
            read::groups_of(connection, tenant, thing)
        })
    }

    async fn policies_of_group(&self, tenant: &Tenant, name: &GroupName) -> Looked<Vec<AttachedPolicy>> {
        self.look(tenant, |connection, tenant| {
            read::policies_of_group(connection, tenant, name)
        })
    }

    async fn policies_of_thing(&self, tenant: &Tenant, thing: &ThingName) -> Looked<Vec<AttachedPolicy>> {
        self.look(tenant, |connection, tenant| {
            read::policies_of_thing(connection, tenant, thing)
        })
    }

    async fn certificates_in_group(&self, tenant: &Tenant, name: &GroupName) -> Looked<Vec<CertificateId>> {
        self.look(tenant, |connection, tenant| {
            read::certificates_in_group(connection, tenant, name)
        })
    }

    async fn list_groups(
        &self,
        tenant: &Tenant,
        filter: &GroupFilter,
        page: PageRequest,
    ) -> Looked<Page<ThingGroup>> {
        self.list(tenant, |connection, tenant| {
            lists::groups(connection, tenant, filter, page)
        })
    }

    async fn list_things_in_group(
        &self,
        tenant: &Tenant,
        name: &GroupName,
        recursive: bool,
        page: PageRequest,
    ) -> Looked<Page<ThingName>> {
        self.list(tenant, |connection, tenant| {
            lists::things_in_group(connection, tenant, name, recursive, page)
        })
    }

    async fn policies_of(
        &self,
        tenant: &Tenant,
        target: &PolicyTarget,
    ) -> Looked<Vec<Versioned<PolicyAttachment>>> {
        self.look(tenant, |connection, tenant| {
            read::policies_of(connection, tenant, target)
        })
    }

    async fn things_of(&self, tenant: &Tenant, id: &CertificateId) -> Looked<Vec<Versioned<ThingPrincipal>>> {
        self.look(tenant, |connection, tenant| {
            read::things_of(connection, tenant, id)
        })
    }

    async fn principals_of(&self, tenant: &Tenant, thing: &ThingName) -> Looked<Vec<Holding>> {
        self.look(tenant, |connection, tenant| {
            read::principals_of(connection, tenant, thing)
        })
    }

    async fn list_cas(&self, tenant: &Tenant, page: PageRequest) -> Looked<Page<CaCertificate>> {
        self.list(tenant, |connection, tenant| lists::cas(connection, tenant, page))
    }

    async fn list_certificates(&self, tenant: &Tenant, page: PageRequest) -> Looked<Page<DeviceCertificate>> {
        self.list(tenant, |connection, tenant| {
            lists::certificates(connection, tenant, page)
        })
    }

    async fn list_certificates_by_ca(
        &self,
        tenant: &Tenant,
        ca: &CertificateId,
        page: PageRequest,
    ) -> Looked<Page<DeviceCertificate>> {
        self.list(tenant, |connection, tenant| {
            lists::certificates_by_ca(connection, tenant, ca, page)
        })
    }

    async fn list_things(
        &self,
        tenant: &Tenant,
        filter: &thing::Filter,
        page: PageRequest,
    ) -> Looked<Page<Thing>> {
        self.list(tenant, |connection, tenant| {
            lists::things(connection, tenant, filter, page)
        })
    }

    async fn list_policies(&self, tenant: &Tenant, page: PageRequest) -> Looked<Page<PolicyName>> {
        self.list(tenant, |connection, tenant| {
            lists::policies(connection, tenant, page)
        })
    }

    async fn list_attached_policies(
        &self,
        tenant: &Tenant,
        target: &PolicyTarget,
        page: PageRequest,
    ) -> Looked<Page<PolicyName>> {
        self.list(tenant, |connection, tenant| {
            lists::attached_policies(connection, tenant, target, page)
        })
    }

    async fn list_targets(
        &self,
        tenant: &Tenant,
        policy: &PolicyName,
        page: PageRequest,
    ) -> Looked<Page<PolicyTarget>> {
        self.list(tenant, |connection, tenant| {
            lists::targets(connection, tenant, policy, page)
        })
    }

    async fn list_thing_principals(
        &self,
        tenant: &Tenant,
        thing: &ThingName,
        page: PageRequest,
    ) -> Looked<Page<ThingPrincipal>> {
        self.list(tenant, |connection, tenant| {
            lists::thing_principals(connection, tenant, thing, page)
        })
    }

    async fn list_principal_things(
        &self,
        tenant: &Tenant,
        id: &CertificateId,
        page: PageRequest,
    ) -> Looked<Page<ThingPrincipal>> {
        self.list(tenant, |connection, tenant| {
            lists::principal_things(connection, tenant, id, page)
        })
    }

    async fn resource<T: Resource>(&self, tenant: &Tenant, name: &str) -> Looked<Option<Versioned<T>>> {
        self.look(tenant, |connection, tenant| {
            read::resource(connection, tenant, name)
        })
    }

    async fn list_resources<T: Resource>(
        &self,
        tenant: &Tenant,
        prefix: &str,
        page: PageRequest,
    ) -> Looked<Page<T>> {
        self.list(tenant, |connection, tenant| {
            lists::resources(connection, tenant, prefix, page)
        })
    }

    async fn resource_count<T: Resource>(&self, tenant: &Tenant, most: u32) -> Looked<u32> {
        self.look(tenant, |connection, tenant| {
            read::resource_count::<T>(connection, tenant, most)
        })
    }

    async fn every_resource<T: Resource>(&self) -> Looked<Vec<(Tenant, Versioned<T>)>> {
        self.readers.look(lists::every_resource)
    }

    async fn manifest_entries(
        &self,
        tenant: &Tenant,
        keys: &[KeyHash],
    ) -> Looked<Vec<Versioned<ManifestEntry>>> {
        self.look_at_once(tenant, |connection, tenant| {
            let mut found = Vec::new();
            for key in keys {
                found.extend(manifests::entry(connection, tenant, key)?);
            }
            Ok(found)
        })
    }

    async fn listed(&self, tenant: &Tenant, key: &KeyHash, hour: i64) -> Looked<Option<Listed>> {
        self.look_at_once(tenant, |connection, tenant| {
            manifests::listed(connection, tenant, key, hour)
        })
    }

    async fn tally(&self, tenant: &Tenant, name: &str, window: i64) -> Looked<u64> {
        self.look(tenant, |connection, tenant| {
            manifests::tally(connection, tenant, name, window)
        })
    }

    async fn index_state(&self, tenant: &Tenant) -> Looked<Option<bool>> {
        self.look(tenant, search::state)
    }

    async fn search_things(
        &self,
        tenant: &Tenant,
        query: &Query,
        page: PageRequest,
    ) -> Looked<Page<Indexed>> {
        self.list(tenant, |connection, tenant| {
            search::search(connection, tenant, query, page)
        })
    }

    async fn list_audit(&self, tenant: &Tenant, page: PageRequest) -> Looked<Page<AuditLine>> {
        self.list(tenant, |connection, tenant| {
            lists::audit(connection, tenant, page)
        })
    }
}
