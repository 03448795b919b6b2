//! Why an API request was not done, before it is turned into an HTTP answer.
//!
//! It stands between the operations and [`super::render`], which alone knows statuses and headers.

use core::fmt;

use fleet::{Exception, Refusal};

use super::sigv4::Denied;

/// An API request that is not done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ApiFault {
    /// The signature does not admit the caller.
    Denied(Denied),
    /// A decision says no.
    Refused(Refusal),
    /// There is no such operation.
    UnknownOperation {
        /// What was asked for.
        asked: String,
    },
    /// There is an operation at this address of the data plane, but it has another method.
    WrongMethod {
        /// What was asked for.
        asked: String,
    },
    /// The account made more calls than its quota lets it.
    Throttled {
        /// The operation.
        operation: &'static str,
        /// Calls per second.
        rate: u32,
        /// Whether it is an operation of the control plane, whose status differs.
        is_control: bool,
    },
    /// Nobody vouches for the client. Why is in the attempt record, not in the answer.
    Unauthenticated(Refusal),
    /// What the client's policies do not allow. Why is in the attempt record, not in the answer.
    Forbidden {
        /// The decision in words.
        explanation: String,
    },
    /// The body is longer than any operation takes.
    TooLarge {
        /// How many bytes it may have.
        bytes_max: usize,
    },
    /// A client did not say in time that it has what it was sent.
    Unconfirmed,
    /// Too much is going on; try again.
    Busy(&'static str),
    /// Something of ours failed; the cause is in the attempt record, not in the answer.
    Failed(String),
}

impl ApiFault {
    /// Something of ours failed.
    pub(crate) fn failed(cause: impl fmt::Display) -> Self {
        Self::Failed(cause.to_string())
    }

    /// The same without the reason, which a stranger is not told.
    pub(crate) fn unauthenticated(self) -> Self {
        match self {
            Self::Refused(refusal) => Self::Unauthenticated(refusal),
            other => other,
        }
    }

    /// A request that cannot be understood.
    pub(crate) fn invalid(code: &'static str, reason: impl Into<String>) -> Self {
        Self::Refused(Refusal::new(Exception::InvalidRequest, code, reason))
    }
}

impl From<Denied> for ApiFault {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<Refusal> for ApiFault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<store::Error> for ApiFault {
    fn from(error: store::Error) -> Self {
        Self::failed(error)
    }
}

impl fmt::Display for ApiFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denied) => denied.fmt(f),
            Self::Refused(refusal) => f.write_str(&refusal.message()),
            Self::UnknownOperation { asked } => write!(f, "{asked} is not an operation of this server"),
            Self::WrongMethod { asked } => write!(f, "{asked}: this address takes another method"),
            Self::Throttled { operation, rate, .. } => write!(
                f,
                "Rate exceeded: the quota of {operation} is {rate} calls per second; call again later, or raise it in [quotas]"
            ),
            Self::Unauthenticated(_) => f.write_str("Unauthorized"),
            Self::Forbidden { .. } => f.write_str("Forbidden"),
            Self::TooLarge { bytes_max } => write!(f, "the request body is longer than {bytes_max} bytes"),
            Self::Unconfirmed => f.write_str("the client did not acknowledge the message in time"),
            Self::Busy(what) => write!(f, "{what}; try again in a moment"),
            Self::Failed(_) => {
                f.write_str("the server could not complete the request; its attempt records say why")
            }
        }
    }
}
