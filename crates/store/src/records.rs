//! The promise about records: looked up by tenant and key, kept in batches, listed page by page.
//!
//! `cloud` looks through this trait and keeps through [`Records::commit`]; one machine and a cluster implement it alike.
//! Every read sees a state in which each batch is there whole or not at all. A read never blocks on a write.

use core::future::Future;

use fleet::batch::Batch;
use fleet::manifest::{Listed, ManifestEntry};
use fleet::names::{GroupName, PolicyName, PolicyVersionId, TemplateName};
use fleet::onboarding::{Facts, Needs};
use fleet::page::PageRequest;
use fleet::record::{
    CaCertificate, CertificateStatus, DeviceCertificate, Policy, PolicyAttachment, PolicyTarget,
    ProvisioningTemplate, RegionClaim, RegistrationCode, Thing, ThingGroup, ThingPrincipal, Versioned,
};
use fleet::resource::Resource;
use fleet::search::Query;
use fleet::thing;
use fleet::thing_group_members::Membership;
use identity::manifest::KeyHash;
use identity::{CertificateId, Region, Tenant, ThingName, UnixMillis};
use std::sync::Arc;

use crate::error::{CommitError, Error};

pub use fleet::page::Page;

/// What a durable batch got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The number of the commit: the version of every record it wrote.
    pub version: u64,
    /// The tenant's trust epoch after it.
    pub epoch: u64,
}

/// A policy attached to a certificate, as far as a grant needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedPolicy {
    /// Name.
    pub name: PolicyName,
    /// The version that counts.
    pub version: PolicyVersionId,
    /// The commit that wrote the policy: together with the name it identifies a compiled policy in a cache.
    pub record_version: u64,
    /// The document that counts.
    pub document: Arc<str>,
}

/// Everything that a grant for a registered certificate rests on, of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// The certificate.
    pub certificate: Versioned<DeviceCertificate>,
    /// Its policies: those attached to it, then those of the groups of its things.
    pub policies: Vec<AttachedPolicy>,
    /// The things it is attached to.
    pub things: Vec<Thing>,
    /// The tenant's trust epoch at that moment.
    pub epoch: u64,
}

/// A certificate attached to a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The attachment.
    pub principal: Versioned<ThingPrincipal>,
    /// The certificate's status.
    pub status: CertificateStatus,
}

/// One line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLine {
    /// Its place in the chain, from 1.
    pub number: u64,
    /// The commit it belongs to.
    pub version: u64,
    /// When.
    pub at: UnixMillis,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To which thing.
    pub subject: String,
    /// Particulars.
    pub detail: String,
}

/// A thing that a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexed {
    /// The thing.
    pub thing: Thing,
    /// The groups that it is directly in.
    pub groups: Vec<GroupName>,
}

/// Which thing groups a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupFilter {
    /// Those under this group.
    pub parent: Option<GroupName>,
    /// Not only directly under it; without a parent, not only those at the top.
    pub recursive: bool,
    /// Those whose name begins so.
    pub prefix: Option<String>,
}

/// What a look-up gives.
pub(crate) type Looked<T> = Result<T, Error>;

/// Records that survive.
pub trait Records: Send + Sync {
    /// Keeps a batch: all of it, durably, or nothing. Answers after it is on disk. An empty batch answers at once.
    fn commit(&self, batch: Batch) -> impl Future<Output = Result<Committed, CommitError>> + Send;

    /// Keeps batches in their order, each for itself: what one of them conflicts with stops no other. One outcome for each;
    /// answers after all of them are on disk.
    fn commit_each(
        &self,
        batches: Vec<Batch>,
    ) -> impl Future<Output = Vec<Result<Committed, CommitError>>> + Send;

    /// Every tenant that anything was ever kept for.
    fn tenants(&self) -> impl Future<Output = Looked<Vec<Tenant>>> + Send;

    /// The tenant's trust epoch; 0 until something raises it.
    fn trust_epoch(&self, tenant: &Tenant) -> impl Future<Output = Looked<u64>> + Send;

    /// Everything a grant rests on, or `None` if the certificate is not registered.
    fn trust(
        &self,
        tenant: &Tenant,
        id: &CertificateId,
    ) -> impl Future<Output = Looked<Option<Trust>>> + Send;

    /// Everything that the decision about a first connection needs, of one moment.
    fn onboarding_facts(
        &self,
        tenant: &Tenant,
        id: &CertificateId,
        needs: &Needs,
    ) -> impl Future<Output = Looked<Facts>> + Send;

    /// The same for each of many, all of one moment; of a certificate that was issued just now there is nothing to look up.
    fn onboarding_facts_of_each(
        &self,
        tenant: &Tenant,
        wanted: &[(Option<CertificateId>, Needs)],
    ) -> impl Future<Output = Looked<Vec<Facts>>> + Send;

    /// The tenant's registration code.
    fn registration_code(
        &self,
        tenant: &Tenant,
    ) -> impl Future<Output = Looked<Option<Versioned<RegistrationCode>>>> + Send;

    /// A CA certificate.
    fn ca(
        &self,
        tenant: &Tenant,
        id: &CertificateId,
    ) -> impl Future<Output = Looked<Option<Versioned<CaCertificate>>>> + Send;

    /// CA certificates with this subject (DER), oldest first, at most `fleet::limits::CAS_PER_SUBJECT_MAX`.
    fn cas_by_subject(
        &self,
        tenant: &Tenant,
        subject: &[u8],
    ) -> impl Future<Output = Looked<Vec<Versioned<CaCertificate>>>> + Send;

    /// Who holds a CA certificate in DEFAULT mode in a region.
    fn region_claim(
        &self,
        region: &Region,
        id: &CertificateId,
    ) -> impl Future<Output = Looked<Option<Versioned<RegionClaim>>>> + Send;

    /// A device certificate.
    fn certificate(
        &self,
        tenant: &Tenant,
        id: &CertificateId,
    ) -> impl Future<Output = Looked<Option<Versioned<DeviceCertificate>>>> + Send;

    /// A thing.
    fn thing(
        &self,
        tenant: &Tenant,
        name: &ThingName,
    ) -> impl Future<Output = Looked<Option<Versioned<Thing>>>> + Send;

    /// A policy with all its versions.
    fn policy(
        &self,
        tenant: &Tenant,
        name: &PolicyName,
    ) -> impl Future<Output = Looked<Option<Versioned<Policy>>>> + Send;

    /// A named provisioning template with all its versions.
    fn template(
        &self,
        tenant: &Tenant,
        name: &TemplateName,
    ) -> impl Future<Output = Looked<Option<Versioned<ProvisioningTemplate>>>> + Send;

    /// How many provisioning templates the tenant has.
    fn template_count(&self, tenant: &Tenant) -> impl Future<Output = Looked<u32>> + Send;

    /// Whether a CA follows this named template.
    fn is_template_used(
        &self,
        tenant: &Tenant,
        name: &TemplateName,
    ) -> impl Future<Output = Looked<bool>> + Send;

    /// Named provisioning templates, without their versions.
    fn list_templates(
        &self,
        tenant: &Tenant,
        page: PageRequest,
    ) -> impl Future<Output = Looked<Page<ProvisioningTemplate>>> + Send;

    /// A thing group and the groups above it, itself first; empty if there is no such group.
    fn group_lineage(
        &self,
        tenant: &Tenant,
        name: &GroupName,
    ) -> impl Future<Output = Looked<Vec<Versioned<ThingGroup>>>> + Send;

    /// How many groups are directly under a group.
    fn group_children(&self, tenant: &Tenant, name: &GroupName) -> impl Future<Output = Looked<u32>> + Send;

    /// The groups that a thing is directly in (at most `fleet::limits::GROUPS_PER_THING_MAX`).
    fn groups_of(
        &self,
        tenant: &Tenant,
        thing: &ThingName,
    ) -> impl Future<Output = Looked<Vec<Membership>>> + Send;

    /// The policies of a group and of the groups above it.
    fn policies_of_group(
        &self,
        tenant: &Tenant,
        name: &GroupName,
    ) -> impl Future<Output = Looked<Vec<AttachedPolicy>>> + Send;

    /// The policies that count for a thing because of its groups.
    fn policies_of_thing(
        &self,
        tenant: &Tenant,
        thing: &ThingName,
    ) -> impl Future<Output = Looked<Vec<AttachedPolicy>>> + Send;

    /// The certificates attached to things in a group or in one under it.
    fn certificates_in_group(
        &self,
        tenant: &Tenant,
        name: &GroupName,
    ) -> impl Future<Output = Looked<Vec<CertificateId>>> + Send;

    /// Thing groups.
    fn list_groups(
        &self,
        tenant: &Tenant,
        filter: &GroupFilter,
        page: PageRequest,
    ) -> impl Future<Output = Looked<Page<ThingGroup>>> + Send;

    /// Names of the things in a group; with `recursive`, of those in groups under it as well.
    fn list_things_in_group(
        &self,
        tenant: &Tenant,
        name: &GroupName,
        recursive: bool,
        page: PageRequest,
    ) -> impl Future<Output = Looked<Page<ThingName>>> + Send;

    /// All policies attached to a target (at most `fleet::limits::POLICIES_PER_TARGET_MAX`).
    fn policies_of(
        &self,
        tenant: &Tenant,
        target: &PolicyTarget,
    ) -> impl Future<Output = Looked<Vec<Versioned<PolicyAttachment>>>> + Send;

    /// All things that a certificate is attached to (at most `fleet::limits::THINGS_PER_CERTIFICATE_MAX`).
    fn things_of(
        &self,
        tenant: &Tenant,
        id: &CertificateId,
    ) -> impl Future<Output = Looked<Vec<Versioned<ThingPrincipal>>>> + Send;

    /// All certificates attached to a thing (at most `fleet::limits::CERTIFICATES_PER_THING_MAX`).
    fn principals_of(
        &self,
        tenant: &Tenant,
        thing: &ThingName,
    ) -> impl Future<Output = Looked<Vec<Holding>>> + Send;

    /// CA certificates.
    fn list_cas(
        &self,
        tenant: &Tenant,
        page: PageRequest,
    ) -> impl Future<Output = Looked<Page<CaCertificate>>> + Send;

    /// Device certificates.
    fn list_certificates(
        &self,
        tenant: &Tenant,
        page: PageRequest,
    ) -> impl Future<Output = Looked<Page<DeviceCertificate>>> + Send;

    /// Device certificates that a CA signed.
    fn list_certificates_by_ca(
        &self,
        tenant: &Tenant,
        ca: &CertificateId,
        page: PageRequest,
    ) -> impl Future<Output = Looked<Page<DeviceCertificate>>> + Send;

    /// Things that pass the filter. With a filter a page may hold fewer items than asked, and still have a next one.
    fn list_things(
        &self,
        tenant: &Tenant,
        filter: &thing::Filter,
        page: PageRequest,
    ) -> impl Future<Output = Looked<Page<Thing>>> + Send;

    /// Names of policies.
    fn list_policies(
        &self,
        tenant: &Tenant,
        page: PageRequest,
    ) -> impl Future<Output = Looked<Page<PolicyName>>> + Send;

    /// Names of the policies attached to a target.
    fn list_attached_policies(
        &self,
        tenant: &Tenant,
        target: &PolicyTarget,
        page: PageRequest,
    ) -> impl Future<Output = Looked<Page<PolicyName>>> + Send;

    /// What a policy is attached to.
    fn list_targets(
        &self,
        tenant: &Tenant,
        policy: &PolicyName,
        page: PageRequest,
    ) -> impl Future<Output = Looked<Page<PolicyTarget>>> + Send;

    /// Certificates attached to a thing.
    fn list_thing_principals(
        &self,
        tenant: &Tenant,
        thing: &ThingName,
        page: PageRequest,
    ) -> impl Future<Output = Looked<Page<ThingPrincipal>>> + Send;

    /// Things that a certificate is attached to.
    fn list_principal_things(
        &self,
        tenant: &Tenant,
        id: &CertificateId,
        page: PageRequest,
    ) -> impl Future<Output = Looked<Page<ThingPrincipal>>> + Send;

    /// A record that is kept whole.
    fn resource<T: Resource>(
        &self,
        tenant: &Tenant,
        name: &str,
    ) -> impl Future<Output = Looked<Option<Versioned<T>>>> + Send;

    /// Records that are kept whole, of one kind, whose names begin with `prefix`.
    fn list_resources<T: Resource>(
        &self,
        tenant: &Tenant,
        prefix: &str,
        page: PageRequest,
    ) -> impl Future<Output = Looked<Page<T>>> + Send;

    /// How many records of one kind are kept whole, counted no further than `most`.
    fn resource_count<T: Resource>(
        &self,
        tenant: &Tenant,
        most: u32,
    ) -> impl Future<Output = Looked<u32>> + Send;

    /// Every record of one kind that is kept whole, of every tenant: of kinds of which there are few.
    fn every_resource<T: Resource>(&self)
    -> impl Future<Output = Looked<Vec<(Tenant, Versioned<T>)>>> + Send;
    /// Those of these keys that stand in a manifest.
    fn manifest_entries(
        &self,
        tenant: &Tenant,
        keys: &[KeyHash],
    ) -> impl Future<Output = Looked<Vec<Versioned<ManifestEntry>>>> + Send;

    /// What the manifests say of a key, of one moment; `hour` is the window of hourly counters.
    fn listed(
        &self,
        tenant: &Tenant,
        key: &KeyHash,
        hour: i64,
    ) -> impl Future<Output = Looked<Option<Listed>>> + Send;

    /// How far a counter has come in this window.
    fn tally(&self, tenant: &Tenant, name: &str, window: i64) -> impl Future<Output = Looked<u64>> + Send;

    /// Whether a tenant has an index of its things, and then whether it is whole. A batch with `index` takes a step.
    fn index_state(&self, tenant: &Tenant) -> impl Future<Output = Looked<Option<bool>>> + Send;

    /// Things that a query finds, oldest first; the index must be whole. A page may hold fewer items than asked, and still
    /// have a next one.
    fn search_things(
        &self,
        tenant: &Tenant,
        query: &Query,
        page: PageRequest,
    ) -> impl Future<Output = Looked<Page<Indexed>>> + Send;

    /// The audit log of a tenant.
    fn list_audit(
        &self,
        tenant: &Tenant,
        page: PageRequest,
    ) -> impl Future<Output = Looked<Page<AuditLine>>> + Send;
}
