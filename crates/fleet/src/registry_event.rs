//! What the registry publishes of its own changes, for those who turned it on ([`crate::event_switches`]).
//!
//! The edge writes them as AWS documents them (AWS IoT developer guide, "Registry events"). Everything that a message says
//! is here, so that telling needs no further look-up.

use identity::ThingName;

use crate::names::{GroupName, ThingTypeName};
use crate::record::{Thing, ThingGroup, Uuid};
use crate::thing_type::ThingType;

/// What happened to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Made.
    Created,
    /// Changed.
    Updated,
    /// Gone.
    Deleted,
}

/// What happened to a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relating {
    /// Begun.
    Added,
    /// Ended.
    Removed,
}

/// A change of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryEvent {
    /// A thing.
    Thing(Operation, Box<Thing>),
    /// A thing type.
    ThingType(Operation, Box<ThingType>),
    /// A thing and its type.
    Association(Relating, ThingName, Uuid, ThingTypeName),
    /// A thing group, and the groups above it, the top first.
    Group(Operation, Box<ThingGroup>, Vec<(GroupName, Uuid)>),
    /// A thing in a group.
    Membership(Relating, (GroupName, Uuid), (ThingName, Uuid)),
    /// A group under another one: the parent, then the child.
    Hierarchy(Relating, (GroupName, Uuid), (GroupName, Uuid)),
}

impl RegistryEvent {
    /// The switch that turns it on.
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::Thing(..) => "THING",
            Self::ThingType(..) => "THING_TYPE",
            Self::Association(..) => "THING_TYPE_ASSOCIATION",
            Self::Group(..) => "THING_GROUP",
            Self::Membership(..) => "THING_GROUP_MEMBERSHIP",
            Self::Hierarchy(..) => "THING_GROUP_HIERARCHY",
        }
    }
}
