//! Why a document is not a policy, and where in it. AWS calls all of these `MalformedPolicyException`.

use std::fmt;

use identity::{Blame, Explained};

use crate::limits;

/// A document that is not a policy: what is wrong and at which element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedPolicy {
    /// What is wrong.
    pub what: Fault,
    /// Where, as a path such as `Statement[0].Action`; empty for the whole document.
    pub at: String,
}

/// What is wrong with a document or one of its elements. The author of the document is always to blame.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It is not JSON.
    Json(String),
    /// It is longer than a policy may be.
    TooLong {
        /// Characters without white space, or bytes when even those are too many.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// An element that must be there is not.
    Missing(&'static str),
    /// An element that policies do not have.
    UnknownElement(String),
    /// Two elements of which only one may be there.
    Both(&'static str, &'static str),
    /// An element of the wrong JSON type.
    Type {
        /// What it must be.
        expected: &'static str,
    },
    /// A list that needs at least one element.
    Empty,
    /// A version other than the one this language has.
    Version(String),
    /// An effect that is neither Allow nor Deny.
    Effect(String),
    /// An action that is not `service:Name` or `*`.
    Action(String),
    /// A resource that is neither an ARN nor `*`.
    Resource(String),
    /// A `${` without its `}`, or nothing between them.
    Variable(String),
    /// A condition operator that this language does not have.
    Operator(String),
    /// A condition value that its operator cannot compare with.
    Value {
        /// The value as written.
        found: String,
        /// What it must be.
        expected: &'static str,
    },
}

impl MalformedPolicy {
    /// The same fault, one element further in.
    pub(crate) fn within(mut self, element: &str) -> Self {
        let separator = if self.at.is_empty() || self.at.starts_with('[') {
            ""
        } else {
            "."
        };
        self.at = format!("{element}{separator}{}", self.at);
        self
    }
}

impl From<Fault> for MalformedPolicy {
    fn from(what: Fault) -> Self {
        Self {
            what,
            at: String::new(),
        }
    }
}

impl Explained for MalformedPolicy {
    fn code(&self) -> &'static str {
        self.what.code()
    }

    fn blame(&self) -> Blame {
        Blame::Peer
    }
}

impl Fault {
    fn code(&self) -> &'static str {
        match self {
            Self::Json(_) => "policy.json",
            Self::TooLong { .. } => "policy.too_long",
            Self::Missing(_) => "policy.element.missing",
            Self::UnknownElement(_) => "policy.element.unknown",
            Self::Both(..) => "policy.element.both",
            Self::Type { .. } => "policy.element.type",
            Self::Empty => "policy.element.empty",
            Self::Version(_) => "policy.version",
            Self::Effect(_) => "policy.effect",
            Self::Action(_) => "policy.action",
            Self::Resource(_) => "policy.resource",
            Self::Variable(_) => "policy.variable",
            Self::Operator(_) => "policy.condition.operator",
            Self::Value { .. } => "policy.condition.value",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "not JSON: {error}"),
            Self::TooLong {
                found,
                limit: limits::DOCUMENT_CHARACTERS_MAX,
            } => {
                let limit = limits::DOCUMENT_CHARACTERS_MAX;
                write!(f, "{found} characters without white space, limit {limit}")
            }
            Self::TooLong { found, limit } => write!(f, "{found} bytes, limit {limit}"),
            Self::Missing(element) => write!(f, "{element} is missing"),
            Self::UnknownElement(name) if name == "Principal" || name == "NotPrincipal" => {
                write!(
                    f,
                    "{name} is not used in AWS IoT policies: the principal is what the policy is attached to"
                )
            }
            Self::UnknownElement(name) => write!(f, "{name:?} is not an element of an AWS IoT policy"),
            Self::Both(one, other) => write!(f, "{one} and {other} exclude each other"),
            Self::Type { expected } => write!(f, "must be {expected}"),
            Self::Empty => f.write_str("must not be empty"),
            Self::Version(found) => write!(f, "version {found:?} is unknown, must be \"2012-10-17\""),
            Self::Effect(found) => write!(f, "{found:?} is no effect, must be \"Allow\" or \"Deny\""),
            Self::Action(found) => write!(
                f,
                "{found:?} is no action, must be like \"iot:Publish\", \"iot:*\" or \"*\""
            ),
            Self::Resource(found) => {
                write!(
                    f,
                    "{found:?} is no resource, must be \"*\" or like \"arn:aws:iot:us-east-1:123456789012:topic/a/b\""
                )
            }
            Self::Variable(found) => {
                write!(
                    f,
                    "{found:?} begins a policy variable without ending it, write ${{$}} for a dollar sign"
                )
            }
            Self::Operator(found) => write!(f, "{found:?} is no condition operator"),
            Self::Value { found, expected } => write!(f, "{found:?} must be {expected}"),
        }
    }
}

impl fmt::Display for MalformedPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at.as_str() {
            "" => write!(f, "malformed policy: {}", self.what),
            at => write!(f, "malformed policy at {at}: {}", self.what),
        }
    }
}

impl std::error::Error for MalformedPolicy {}
