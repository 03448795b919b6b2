//! The entries of the audit log: one for each change of the state of trust.
//!
//! An entry says who did what to which thing and when. `store` chains them by hash inside the transaction of the change
//! itself, so there is no change without its entry and no entry without its change. Entries hold no secret.

use core::fmt;

use identity::UnixMillis;

use crate::text::Text;

/// Who asked for a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The holder of an access key of the API.
    AccessKey(Text),
    /// A device that connected, by its certificate id and address.
    Device(Text),
    /// The operator of this machine, outside the API.
    Operator,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AccessKey(key) => write!(f, "key:{key}"),
            Self::Device(device) => write!(f, "device:{device}"),
            Self::Operator => f.write_str("operator"),
        }
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: UnixMillis,
    /// Who.
    pub actor: Actor,
    /// What, a stable word such as `certificate.status` or `security.sni_only_registration`.
    pub action: &'static str,
    /// To which thing: a certificate id, a policy name, …
    pub subject: Text,
    /// Particulars, for people.
    pub detail: Text,
}
