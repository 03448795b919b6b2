//! What a node keeps for one tenant: nothing in here is ever looked up for another one.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use identity::{CertificateId, Tenant};

use crate::index::SubscriptionIndex;
use crate::limits::TRUST_CHANGES_MAX;
use crate::record::SessionKey;
use crate::retained::Retained;

/// One tenant on one node. The hash tables are never walked through, so their order shows nowhere.
#[derive(Debug, Default)]
pub(crate) struct TenantState {
    pub(crate) name: Tenant,
    /// Sessions, connected or not.
    pub(crate) clients: HashMap<Arc<str>, SessionKey>,
    certificates: HashMap<CertificateId, Holders>,
    pub(crate) index: SubscriptionIndex,
    pub(crate) retained: Retained,
    changes: TrustChanges,
}

impl TenantState {
    pub(crate) fn new(name: Tenant) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    /// A session has a connection with this certificate.
    pub(crate) fn enter(&mut self, certificate: CertificateId, key: SessionKey) {
        match self.certificates.entry(certificate) {
            Entry::Vacant(vacant) => drop(vacant.insert(Holders::One(key))),
            Entry::Occupied(mut held) => held.get_mut().insert(key),
        }
    }

    /// It has none any more.
    pub(crate) fn leave(&mut self, certificate: CertificateId, key: SessionKey) {
        if let Entry::Occupied(mut held) = self.certificates.entry(certificate)
            && held.get_mut().remove(key)
        {
            held.remove();
        }
    }

    /// The connected sessions of a certificate, in order.
    pub(crate) fn sessions_of(&self, certificate: CertificateId) -> Vec<SessionKey> {
        match self.certificates.get(&certificate) {
            None => Vec::new(),
            Some(Holders::One(key)) => vec![*key],
            Some(Holders::Many(keys)) => keys.iter().copied().collect(),
        }
    }

    pub(crate) fn trust_changed(&mut self, certificate: CertificateId, epoch: u64) {
        self.changes.record(certificate, epoch, TRUST_CHANGES_MAX);
    }

    /// A grant read before the last change of its certificate must be read again.
    pub(crate) fn is_outdated(&self, certificate: CertificateId, epoch: u64) -> bool {
        epoch < self.changes.oldest_epoch_allowed(certificate)
    }
}

/// The connected sessions of one certificate: nearly always one.
#[derive(Debug)]
enum Holders {
    One(SessionKey),
    Many(BTreeSet<SessionKey>),
}

impl Holders {
    fn insert(&mut self, key: SessionKey) {
        match self {
            Self::One(known) => *self = Self::Many(BTreeSet::from([*known, key])),
            Self::Many(keys) => drop(keys.insert(key)),
        }
    }

    /// True when nobody is left.
    fn remove(&mut self, key: SessionKey) -> bool {
        match self {
            Self::One(known) => *known == key,
            Self::Many(keys) => {
                keys.remove(&key);
                keys.is_empty()
            }
        }
    }
}

/// The latest change of trust of each certificate, for as many changes as are remembered. What was forgotten counts for all: then
/// a grant must be at least as new as that.
#[derive(Debug, Default)]
struct TrustChanges {
    by_certificate: HashMap<CertificateId, u64>,
    in_order: VecDeque<(CertificateId, u64)>,
    forgotten_epoch: u64,
}

impl TrustChanges {
    fn record(&mut self, certificate: CertificateId, epoch: u64, changes_max: usize) {
        let latest = self.by_certificate.entry(certificate).or_insert(0);
        *latest = epoch.max(*latest);
        self.in_order.push_back((certificate, epoch));
        while self.in_order.len() > changes_max {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((certificate, epoch)) = self.in_order.pop_front() else {
            return;
        };
        self.forgotten_epoch = self.forgotten_epoch.max(epoch);
        if self.by_certificate.get(&certificate) == Some(&epoch) {
            self.by_certificate.remove(&certificate);
        }
    }

    fn oldest_epoch_allowed(&self, certificate: CertificateId) -> u64 {
        let own = self.by_certificate.get(&certificate).copied().unwrap_or(0);
        own.max(self.forgotten_epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: CertificateId = CertificateId([1; 32]);
    const B: CertificateId = CertificateId([2; 32]);
    const C: CertificateId = CertificateId([3; 32]);

    #[test]
    fn a_certificate_has_as_many_sessions_as_entered_and_did_not_leave() {
        let mut tenant = TenantState::default();
        let (one, two) = (SessionKey(1), SessionKey(2));
        tenant.leave(A, one);
        for (key, entered) in [(two, &[two][..]), (one, &[one, two]), (one, &[one, two])] {
            tenant.enter(A, key);
            assert_eq!(tenant.sessions_of(A), entered);
        }
        assert_eq!(tenant.sessions_of(B), []);
        for (key, left) in [(two, &[one][..]), (two, &[one]), (one, &[])] {
            tenant.leave(A, key);
            assert_eq!(tenant.sessions_of(A), left);
        }
        tenant.enter(A, one);
        tenant.leave(A, two);
        assert_eq!(tenant.sessions_of(A), [one]);
        tenant.leave(A, one);
        assert!(tenant.certificates.is_empty());
    }

    #[test]
    fn a_change_outdates_its_own_certificate_only() {
        let mut changes = TrustChanges::default();
        changes.record(A, 5, 10);
        changes.record(A, 4, 10);
        assert_eq!(
            changes.oldest_epoch_allowed(A),
            5,
            "a late, older change takes nothing back"
        );
        assert_eq!(changes.oldest_epoch_allowed(B), 0);
    }

    #[test]
    fn what_is_forgotten_counts_for_all() {
        let mut changes = TrustChanges::default();
        for (certificate, epoch) in [(A, 1), (B, 2), (A, 3)] {
            changes.record(certificate, epoch, 2);
        }
        assert_eq!(changes.oldest_epoch_allowed(C), 1);
        assert_eq!(changes.oldest_epoch_allowed(A), 3);
        changes.record(C, 4, 2);
        assert_eq!(changes.oldest_epoch_allowed(B), 2);
        assert_eq!((changes.in_order.len(), changes.by_certificate.len()), (2, 2));
    }
}
