//! What a decision asks `store` to keep: writes and the facts they rest on, all or nothing.
//!
//! A batch belongs to one tenant. Every write says what must be there before it ([`Expect`]); every fact that was read but
//! is not written is a [`Check`]. The store evaluates all of them inside the transaction and writes nothing of the batch
//! if one does not hold; the caller then looks again and decides again. No key may be written twice in one batch.

use std::sync::Arc;

use identity::manifest::KeyHash;
use identity::{CertificateId, Tenant, ThingName};

use crate::audit;
use crate::manifest::ManifestEntry;
use crate::names::{BillingGroupName, GroupName, PolicyName, TemplateName, ThingTypeName};
use crate::record::{
    CaCertificate, DeviceCertificate, GroupMember, Policy, PolicyAttachment, PolicyTarget,
    ProvisioningTemplate, RegionClaim, RegistrationCode, Thing, ThingGroup, ThingPrincipal,
};
use crate::resource;

/// Names one record inside a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// The registration code of the tenant.
    RegistrationCode,
    /// A CA certificate.
    Ca(CertificateId),
    /// The DEFAULT-mode claim on a CA certificate; its scope is the region, not the tenant.
    RegionClaim(CertificateId),
    /// A device certificate.
    Certificate(CertificateId),
    /// A thing.
    Thing(ThingName),
    /// A policy.
    Policy(PolicyName),
    /// A named provisioning template.
    Template(TemplateName),
    /// A policy attached to a target.
    Attachment {
        /// The policy.
        policy: PolicyName,
        /// The target.
        target: PolicyTarget,
    },
    /// A thing group.
    Group(GroupName),
    /// A thing in a group.
    GroupMember {
        /// The group.
        group: GroupName,
        /// The thing.
        thing: ThingName,
    },
    /// A record that is kept whole.
    Resource {
        /// Its kind.
        kind: resource::Kind,
        /// Its name.
        name: String,
    },
    /// A certificate attached to a thing.
    ThingPrincipal {
        /// The thing.
        thing: ThingName,
        /// The certificate.
        certificate: CertificateId,
    },
    /// A device of a manifest, by the hash of its key.
    ManifestEntry(KeyHash),
}

/// A whole record to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// See [`RegistrationCode`].
    RegistrationCode(RegistrationCode),
    /// See [`CaCertificate`].
    Ca(CaCertificate),
    /// See [`RegionClaim`].
    RegionClaim(RegionClaim),
    /// See [`DeviceCertificate`].
    Certificate(DeviceCertificate),
    /// See [`Thing`].
    Thing(Thing),
    /// See [`Policy`].
    Policy(Policy),
    /// See [`ProvisioningTemplate`].
    Template(ProvisioningTemplate),
    /// See [`PolicyAttachment`].
    Attachment(PolicyAttachment),
    /// See [`ThingGroup`].
    Group(ThingGroup),
    /// See [`GroupMember`].
    GroupMember(GroupMember),
    /// See [`ThingPrincipal`].
    ThingPrincipal(ThingPrincipal),
    /// See [`resource::Kept`].
    Resource(resource::Kept),
    /// See [`ManifestEntry`].
    ManifestEntry(Box<ManifestEntry>),
}

impl Record {
    /// The key it is kept under.
    pub fn key(&self) -> Key {
        match self {
            Self::RegistrationCode(_) => Key::RegistrationCode,
            Self::Ca(ca) => Key::Ca(ca.id),
            Self::RegionClaim(claim) => Key::RegionClaim(claim.ca),
            Self::Certificate(certificate) => Key::Certificate(certificate.id),
            Self::Thing(thing) => Key::Thing(thing.name.clone()),
            Self::Policy(policy) => Key::Policy(policy.name.clone()),
            Self::Template(template) => Key::Template(template.name.clone()),
            Self::Attachment(attachment) => Key::Attachment {
                policy: attachment.policy.clone(),
                target: attachment.target.clone(),
            },
            Self::Group(group) => Key::Group(group.name.clone()),
            Self::GroupMember(member) => Key::GroupMember {
                group: member.group.clone(),
                thing: member.thing.clone(),
            },
            Self::ThingPrincipal(principal) => Key::ThingPrincipal {
                thing: principal.thing.clone(),
                certificate: principal.certificate,
            },
            Self::ManifestEntry(listed) => Key::ManifestEntry(listed.entry.key),
            Self::Resource(kept) => Key::Resource {
                kind: kept.kind,
                name: kept.name.clone(),
            },
        }
    }
}

/// What must be true of a key for the batch to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// No record there.
    Absent,
    /// The record there has exactly this version.
    Version(u64),
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Keep this record; under `Absent` it is new, under `Version` it takes the place of that one.
    Put {
        /// The record.
        record: Record,
        /// What must be there before.
        expect: Expect,
    },
    /// Remove the record that has this version.
    Delete {
        /// Which.
        key: Key,
        /// The version it must have.
        version: u64,
    },
}

/// Things that hang on other things; counted inside the transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relation {
    /// Targets that a policy is attached to.
    TargetsOf(PolicyName),
    /// Policies attached to a target.
    PoliciesOf(PolicyTarget),
    /// Things a certificate is attached to.
    ThingsOf(CertificateId),
    /// Certificates attached to a thing.
    PrincipalsOf(ThingName),
    /// Groups directly under a group.
    ChildrenOf(GroupName),
    /// Groups that a thing is directly in.
    GroupsOf(ThingName),
    /// Things of a thing type.
    ThingsOfType(ThingTypeName),
    /// Things in a billing group.
    ThingsBilledTo(BillingGroupName),
    /// Provisioning templates of the tenant.
    Templates,
    /// CA certificates whose first connections follow this named template.
    CasWithTemplate(TemplateName),
    /// CA certificates whose subject has this DER.
    CasWithSubject(Arc<[u8]>),
}

/// A fact that was read, is not written, and must still hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// The record under `key` is as expected.
    Is {
        /// Which.
        key: Key,
        /// What must be true of it.
        expect: Expect,
    },
    /// At most so many records stand in that relation.
    AtMost {
        /// Which relation.
        relation: Relation,
        /// How many may be there before this batch.
        count: u32,
    },
}

/// A counter that goes up by one with the batch, unless that would be too much: then nothing of the batch is kept.
///
/// Unlike a record it has no version, so many batches can count in one transaction without a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Its name.
    pub name: String,
    /// What it counts in, such as an hour: it begins anew when this changes.
    pub window: i64,
    /// The most that it may reach.
    pub most: u64,
}

/// Everything that one decision asks to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Whose records.
    pub tenant: Tenant,
    /// Changes.
    pub writes: Vec<Write>,
    /// Facts that must still hold.
    pub checks: Vec<Check>,
    /// Counters that go up.
    pub tallies: Vec<Tally>,
    /// Entries of the audit log, kept in the same transaction.
    pub audit: Vec<audit::Entry>,
    /// Whether live connections may have to change: the store then raises the tenant's trust epoch in the same
    /// transaction.
    pub raises_epoch: bool,
    /// Whether the tenant is to have an index of its things: one step of building it, or all of taking it away.
    pub index: Option<bool>,
    /// What is kept in another tenant in the same transaction, all of both or nothing; it has none of its own beside it.
    pub beside: Option<Box<Self>>,
}

impl Batch {
    /// Nothing to keep.
    pub fn new(tenant: &Tenant) -> Self {
        Self {
            tenant: *tenant,
            writes: Vec::new(),
            checks: Vec::new(),
            tallies: Vec::new(),
            audit: Vec::new(),
            raises_epoch: false,
            index: None,
            beside: None,
        }
    }

    /// Whether there is nothing to keep: the caller need not commit.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.audit.is_empty() && self.index.is_none()
    }

    /// Keeps a new record.
    pub fn insert(&mut self, record: Record) {
        self.writes.push(Write::Put {
            record,
            expect: Expect::Absent,
        });
    }

    /// Keeps a record in the place of the one with this version.
    pub fn replace(&mut self, record: Record, version: u64) {
        self.writes.push(Write::Put {
            record,
            expect: Expect::Version(version),
        });
    }

    /// Removes the record that has this version.
    pub fn delete(&mut self, key: Key, version: u64) {
        self.writes.push(Write::Delete { key, version });
    }

    /// Demands that the record still has this version.
    pub fn check(&mut self, key: Key, version: u64) {
        self.checks.push(Check::Is {
            key,
            expect: Expect::Version(version),
        });
    }

    /// Demands that at most `count` records stand in that relation.
    pub fn at_most(&mut self, relation: Relation, count: u32) {
        self.checks.push(Check::AtMost { relation, count });
    }
}
