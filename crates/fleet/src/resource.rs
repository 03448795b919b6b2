//! Small records that are kept whole under kind and name: thing types, billing groups, settings of a tenant.
//!
//! They are few and seldom change, so one table holds them all; what `store` sees is a [`Kept`]. The refusals and the
//! writes that every kind shares are here once; what is particular to a kind is in its own module.

use crate::batch::{Key, Record};
use crate::call::{Call, Decision};
use crate::plain::{Plain, Shape};
use crate::record::Versioned;
use crate::refusal::{Exception, Refusal};

/// What kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// [`crate::thing_type::ThingType`]
    ThingType,
    /// [`crate::billing_group::BillingGroup`]
    BillingGroup,
    /// [`crate::event_switches::EventSwitches`]
    EventSwitches,
    /// [`crate::registration_task::RegistrationTask`]
    RegistrationTask,
    /// [`crate::certificate_transfer::Outgoing`]
    OutgoingTransfer,
    /// [`crate::certificate_transfer::Incoming`]
    IncomingTransfer,
    /// [`crate::domain_configuration::DomainConfiguration`]
    DomainConfiguration,
    /// [`crate::role_alias::RoleAlias`]
    RoleAlias,
    /// [`crate::manifest::ManifestSigner`]
    ManifestSigner,
    /// [`crate::manifest::ManifestOrder`]
    ManifestOrder,
    /// [`crate::manifest::ManifestProgress`]
    ManifestProgress,
    /// [`crate::authorizer::Authorizer`]
    Authorizer,
    /// [`crate::authorizer::DefaultAuthorizer`]
    DefaultAuthorizer,
    /// [`crate::claim::OwnershipToken`]
    OwnershipToken,
    /// [`crate::claim::ProvisioningClaim`]
    ProvisioningClaim,
    /// [`crate::indexing::Indexing`]
    Indexing,
    /// [`crate::dynamic_group::DynamicGroup`]
    DynamicGroup,
}

impl Kind {
    /// The word in records and refusals.
    pub fn name(self) -> &'static str {
        match self {
            Self::ThingType => "thing type",
            Self::BillingGroup => "billing group",
            Self::EventSwitches => "event configurations",
            Self::RegistrationTask => "registration task",
            Self::OutgoingTransfer => "outgoing transfer",
            Self::IncomingTransfer => "incoming transfer",
            Self::DomainConfiguration => "domain configuration",
            Self::RoleAlias => "role alias",
            Self::ManifestSigner => "manifest signer",
            Self::ManifestOrder => "manifest order",
            Self::ManifestProgress => "manifest progress",
            Self::Authorizer => "authorizer",
            Self::DefaultAuthorizer => "default authorizer",
            Self::OwnershipToken => "ownership token",
            Self::ProvisioningClaim => "provisioning claim",
            Self::Indexing => "indexing configuration",
            Self::DynamicGroup => "dynamic thing group",
        }
    }
}

/// A record as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its kind.
    pub kind: Kind,
    /// Its name, unique in its kind; empty for the settings of a tenant.
    pub name: String,
    /// All of it.
    pub body: Plain,
}

/// A type of which records are kept whole.
pub trait Resource: Shape + Clone + Send {
    /// Its kind.
    const KIND: Kind;

    /// The name it is kept under.
    fn name(&self) -> &str;

    /// As it is kept.
    fn kept(&self) -> Record {
        Record::Resource(Kept {
            kind: Self::KIND,
            name: self.name().to_owned(),
            body: self.plain(),
        })
    }
}

/// The key of a record of this kind.
pub fn key<T: Resource>(name: &str) -> Key {
    Key::Resource {
        kind: T::KIND,
        name: name.to_owned(),
    }
}

/// The first step of everything about a record that must be there.
pub fn found<'a, T: Resource>(
    name: &str,
    existing: Option<&'a Versioned<T>>,
) -> Result<&'a Versioned<T>, Refusal> {
    existing.ok_or_else(|| {
        Refusal::new(
            Exception::ResourceNotFound,
            "fleet.resource.missing",
            format!("there is no {} named {name}", T::KIND.name()),
        )
    })
}

/// Refuses a change by a caller who has seen another version.
pub(crate) fn check_version<T: Resource>(
    resource: &T,
    version: u64,
    expected: Option<u64>,
) -> Result<(), Refusal> {
    match expected {
        Some(expected) if expected != version => Err(Refusal::new(
            Exception::VersionConflict,
            "fleet.resource.version",
            format!(
                "{} {} has version {version}, not {expected}",
                T::KIND.name(),
                resource.name()
            ),
        )),
        _ => Ok(()),
    }
}

/// Refuses to make a record whose name is taken by another one.
pub(crate) fn exists<T: Resource>(resource: &T, id: &str, arn: String) -> Refusal {
    Refusal::new(
        Exception::ResourceAlreadyExists,
        "fleet.resource.exists",
        format!(
            "{} {} already exists with another configuration",
            T::KIND.name(),
            resource.name()
        ),
    )
    .existing(id, arn)
}

/// Keeps a new record.
pub(crate) fn insert<T: Resource>(call: &Call, action: &'static str, resource: T) -> Decision<T> {
    let mut batch = call.batch();
    batch.audit.push(call.entry(action, resource.name(), ""));
    batch.insert(resource.kept());
    Decision {
        batch,
        events: Vec::new(),
        reply: resource,
    }
}

/// Keeps a record in the place of the one that was read.
pub(crate) fn replace<T: Resource>(
    call: &Call,
    action: &'static str,
    resource: T,
    version: u64,
) -> Decision<T> {
    let mut batch = call.batch();
    batch.audit.push(call.entry(action, resource.name(), ""));
    batch.replace(resource.kept(), version);
    Decision {
        batch,
        events: Vec::new(),
        reply: resource,
    }
}

/// Removes the record that was read.
pub(crate) fn delete<T: Resource>(
    call: &Call,
    action: &'static str,
    existing: &Versioned<T>,
) -> Decision<()> {
    let mut batch = call.batch();
    let name = existing.record.name();
    batch.audit.push(call.entry(action, name, ""));
    batch.delete(key::<T>(name), existing.version);
    Decision {
        batch,
        events: Vec::new(),
        reply: (),
    }
}
