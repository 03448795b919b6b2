//! What a connection rests on besides the records of a certificate, and what of that was withdrawn lately.
//!
//! A certificate's grant carries the trust epoch, and a change of it reaches every live connection. A domain, an access key, a
//! role alias or an authorizer has no epoch: a connection that rests on one of them says so here, the shard ends it when that is
//! withdrawn, and refuses one that was still on its way. It must never let a connection outlive what let it in.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use fleet::names::PolicyName;
use identity::{CertificateId, Tenant, UnixMillis};

use crate::authorizer::Question;
use crate::limits::WITHDRAWALS_REMEMBERED_MAX;

/// One thing that connections rest on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ground {
    /// The domain of a domain configuration, in lower case.
    Domain(Box<str>),
    /// An access key of the operator's files.
    AccessKey(Box<str>),
    /// The certificate that a temporary access key was given for.
    Certificate(Tenant, CertificateId),
    /// The role alias that it was given by.
    RoleAlias(Tenant, Box<str>),
    /// The authorizer that let the client in.
    Authorizer(Tenant, Box<str>),
}

impl Ground {
    /// What was withdrawn, in a word: attempts that ended for different reasons are not told as one.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Domain(_) => "cloud.withdrawn.domain",
            Self::AccessKey(_) => "cloud.withdrawn.access_key",
            Self::Certificate(..) => "cloud.withdrawn.certificate",
            Self::RoleAlias(..) => "cloud.withdrawn.role_alias",
            Self::Authorizer(..) => "cloud.withdrawn.authorizer",
        }
    }

    /// Why nothing rests on it any more, and what to do.
    pub(crate) fn end(&self) -> (String, &'static str) {
        match self {
            Self::Domain(name) => (
                format!("the domain configuration of {name} was disabled or deleted"),
                "enable it, or let the device use another endpoint",
            ),
            Self::AccessKey(id) => (
                format!("the access key {id} was disabled or rotated"),
                "give the client a key that counts",
            ),
            Self::Certificate(_, id) => (
                format!(
                    "the certificate {id}, which the temporary access key was given for, is not active any more"
                ),
                "activate it (UpdateCertificate --new-status ACTIVE), and let the device ask for credentials again",
            ),
            Self::RoleAlias(_, name) => (
                format!("the role alias {name}, which the temporary access key was given by, was deleted"),
                "make it again (CreateRoleAlias), and let the device ask for credentials again",
            ),
            Self::Authorizer(_, name) => (
                format!("the authorizer {name} was set to INACTIVE or deleted"),
                "activate it (UpdateAuthorizer --status ACTIVE)",
            ),
        }
    }
}

/// What a connection rests on.
#[derive(Clone, Default)]
pub(crate) struct Footing {
    /// Each with the mark of the time at which it was looked up.
    pub(crate) grounds: Vec<(Ground, u64)>,
    /// The policies that make its grant, if it is granted by their names.
    pub(crate) policies: Option<Arc<[PolicyName]>>,
    /// What its authorizer is asked again.
    pub(crate) inquiry: Option<Inquiry>,
}

/// A question to an authorizer that is asked again.
#[derive(Clone)]
pub(crate) struct Inquiry {
    pub(crate) question: Arc<Question>,
    /// When.
    pub(crate) due: UnixMillis,
}

/// The latest withdrawals.
#[derive(Debug, Default)]
pub(crate) struct Withdrawals(Mutex<Latest>);

#[derive(Debug, Default)]
struct Latest {
    /// How many there were.
    count: u64,
    by_ground: HashMap<Ground, u64>,
    order: VecDeque<(Ground, u64)>,
    /// The newest that was forgotten; it counts for everything.
    forgotten: u64,
}

impl Withdrawals {
    /// The mark of now; it is taken before a ground is looked up.
    pub(crate) fn mark(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// Nothing rests on this any more that was looked up before.
    pub(crate) fn note(&self, ground: &Ground) {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        latest.count += 1;
        let count = latest.count;
        latest.by_ground.insert(ground.clone(), count);
        latest.order.push_back((ground.clone(), count));
        if latest.order.len() > WITHDRAWALS_REMEMBERED_MAX {
            latest.forget_oldest();
        }
    }

    /// What of this was withdrawn since it was looked up.
    pub(crate) fn lost<'f>(&self, footing: &'f Footing) -> Option<&'f Ground> {
        let latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_lost = |(ground, mark): &&(Ground, u64)| {
            let withdrawn = latest.by_ground.get(ground).copied().unwrap_or(0);
            withdrawn.max(latest.forgotten) > *mark
        };
        footing.grounds.iter().find(is_lost).map(|(ground, _)| ground)
    }
}

impl Latest {
    fn forget_oldest(&mut self) {
        let Some((ground, count)) = self.order.pop_front() else {
            return;
        };
        self.forgotten = count;
        if self.by_ground.get(&ground) == Some(&count) {
            self.by_ground.remove(&ground);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Ground {
        Ground::AccessKey(name.into())
    }

    fn resting_on(name: &str, mark: u64) -> Footing {
        Footing {
            grounds: vec![(Ground::Domain("d".into()), mark), (key(name), mark)],
            ..Footing::default()
        }
    }

    #[test]
    fn only_what_was_looked_up_before_is_lost() {
        let withdrawals = Withdrawals::default();
        let before = withdrawals.mark();
        withdrawals.note(&key("a"));
        assert_eq!(withdrawals.lost(&resting_on("a", before)), Some(&key("a")));
        assert_eq!(withdrawals.lost(&resting_on("b", before)), None);
        assert_eq!(withdrawals.lost(&resting_on("a", withdrawals.mark())), None);
    }

    #[test]
    fn what_is_forgotten_counts_for_everything() {
        let withdrawals = Withdrawals::default();
        let before = withdrawals.mark();
        for number in 0..=WITHDRAWALS_REMEMBERED_MAX {
            withdrawals.note(&key(&number.to_string()));
        }
        assert!(withdrawals.lost(&resting_on("none", before)).is_some());
        assert!(
            withdrawals
                .lost(&resting_on("none", withdrawals.mark()))
                .is_none()
        );
        let latest = withdrawals.0.lock().unwrap();
        assert_eq!(latest.by_ground.len(), WITHDRAWALS_REMEMBERED_MAX);
    }
}
