//! What a node keeps for one tenant: nothing in here is ever looked up for another one.

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
    certificates: HashMap<CertificateId, BTreeSet<SessionKey>>,
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
        self.certificates.entry(certificate).or_default().insert(key);
    }

    /// It has none any more.
    pub(crate) fn leave(&mut self, certificate: CertificateId, key: SessionKey) {
        if let Some(sessions) = self.certificates.get_mut(&certificate) {
            sessions.remove(&key);
            if sessions.is_empty() {
                self.certificates.remove(&certificate);
            }
        }
    }

    /// The connected sessions of a certificate, in order.
    pub(crate) fn sessions_of(&self, certificate: CertificateId) -> Vec<SessionKey> {
        let sessions = self.certificates.get(&certificate);
        sessions.into_iter().flatten().copied().collect()
    }

    pub(crate) fn trust_changed(&mut self, certificate: CertificateId, epoch: u64) {
        self.changes.record(certificate, epoch, TRUST_CHANGES_MAX);
    }

    /// A grant read before the last change of its certificate must be read again.
    pub(crate) fn is_outdated(&self, certificate: CertificateId, epoch: u64) -> bool {
        epoch < self.changes.oldest_epoch_allowed(certificate)
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
