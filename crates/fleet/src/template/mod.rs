//! Provisioning templates: what a first connection makes of a device certificate.
//!
//! A template is a JSON document with Parameters, Resources and, if need be, Mappings (AWS IoT developer guide,
//! "Provisioning templates" and "Just-in-time provisioning"). [`Template::parse`] reads it into a type that cannot be
//! wrong in form, [`Template::lint`] refuses what just-in-time provisioning can never do, [`Template::evaluate`] turns
//! the subject of one certificate into a [`Plan`]. There are no conditions, and nothing here looks at any record.

mod evaluate;
mod lint;
mod parse;
mod subject;

use std::collections::BTreeMap;

use identity::ThingName;

pub(crate) use subject::MANIFEST_PREFIX;
pub use subject::{CERTIFICATE_ID, PARAMETERS, Parameters};

use crate::names::{BillingGroupName, GroupName, PolicyName, ThingTypeName};

/// A template that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Declared parameters and their defaults.
    parameters: BTreeMap<String, Option<String>>,
    /// Two-level tables for `Fn::FindInMap`.
    mappings: Mappings,
    thing: Option<ThingResource>,
    certificate: Option<CertificateResource>,
    policies: Vec<PolicyResource>,
    /// What a device is told in the end.
    device_configuration: BTreeMap<String, Expression>,
}

/// Map, first key, second key.
type Mappings = BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>>;

/// An expression: text, or one of the intrinsic functions.
#[derive(Debug, Clone, PartialEq)]
enum Expression {
    Text(String),
    List(Vec<Self>),
    Ref(String),
    Join(String, Box<Self>),
    Select(Box<Self>, Box<Self>),
    Split(String, Box<Self>),
    Sub(Vec<Piece>, BTreeMap<String, Self>),
    FindInMap(Box<[Self; 3]>),
}

/// A part of the text of `Fn::Sub`.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(String),
    Variable(String),
}

#[derive(Debug, Clone, PartialEq)]
struct ThingResource {
    logical_name: String,
    name: Expression,
    attributes: BTreeMap<String, Expression>,
    attribute_override: Option<Override>,
    thing_type: Option<Expression>,
    type_override: Option<Override>,
    groups: Vec<Expression>,
    groups_override: Option<Override>,
    billing_group: Option<Expression>,
}

#[derive(Debug, Clone, PartialEq)]
struct CertificateResource {
    logical_name: String,
    source: Source,
    status: Option<Expression>,
    status_override: Option<Override>,
}

/// Where the certificate of a template comes from.
#[derive(Debug, Clone, PartialEq)]
enum Source {
    Id(Expression),
    Pem {
        certificate: Expression,
        ca: Option<Expression>,
    },
    Request(Expression),
}

#[derive(Debug, Clone, PartialEq)]
struct PolicyResource {
    logical_name: String,
    content: PolicyContent,
}

#[derive(Debug, Clone, PartialEq)]
enum PolicyContent {
    Name(Expression),
    Document(Expression),
    /// A document written as JSON, not as a string.
    Tree(Tree),
}

/// JSON whose strings are expressions.
#[derive(Debug, Clone, PartialEq)]
enum Tree {
    Plain(serde_json::Value),
    Expression(Expression),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

/// What to do with a resource that exists (`OverrideSettings`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Override {
    /// Leave it as it is.
    DoNothing,
    /// Put the template's value in its place.
    Replace,
    /// Add the template's values to it.
    Merge,
    /// Refuse.
    Fail,
}

/// What a template makes of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The thing.
    pub thing: Option<ThingPlan>,
    /// Whether the certificate becomes ACTIVE (otherwise INACTIVE).
    pub activate: bool,
    /// Where the certificate comes from; `None` if the template has none.
    pub certificate: Option<CertificatePlan>,
    /// What to do if the certificate exists with another status; `None` sets it.
    pub status_override: Option<Override>,
    /// Policies to be attached.
    pub policies: Vec<PolicyPlan>,
    /// What the device is told.
    pub device_configuration: BTreeMap<String, String>,
}

/// The certificate of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificatePlan {
    /// One that is registered.
    Id(String),
    /// One to be registered unless it is.
    Pem {
        /// The certificate.
        certificate: String,
        /// Its CA, if the template names it.
        ca: Option<String>,
    },
    /// One to be issued for this certification request.
    Request(String),
}

/// The thing of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThingPlan {
    /// Its name.
    pub name: ThingName,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// What to do if it exists with other attributes; `None` refuses.
    pub attribute_override: Option<Override>,
    /// Its type.
    pub type_name: Option<ThingTypeName>,
    /// What to do if it exists with another type; `None` refuses.
    pub type_override: Option<Override>,
    /// The groups it is in.
    pub groups: Vec<GroupName>,
    /// What to do if it exists and is not in all of them; `None` refuses.
    pub groups_override: Option<Override>,
    /// Its billing group.
    pub billing_group: Option<BillingGroupName>,
}

/// A policy of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyPlan {
    /// One that exists.
    Named(PolicyName),
    /// One that is made unless it exists; named by the hash of its document.
    Inline {
        /// Its name.
        name: PolicyName,
        /// Its document.
        document: String,
    },
}

impl PolicyPlan {
    /// The policy's name.
    pub fn name(&self) -> &PolicyName {
        match self {
            Self::Named(name) | Self::Inline { name, .. } => name,
        }
    }
}
