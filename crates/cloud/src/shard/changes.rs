//! Which policies and things changed lately, and at which trust epoch.
//!
//! A connection is looked up on one thread and attached on another, and a change may come in between. The node refuses
//! grants that are older than a change of their certificate; here the same is kept for changes of a policy or a thing,
//! which may concern a million certificates. What is forgotten counts for everything.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use identity::{Tenant, ThingName};
use policy::{Grant, ThingFacts};

use super::mail::ThingNews;
use crate::limits::CHANGES_REMEMBERED_MAX;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Changed {
    Policy(Tenant, Arc<str>),
    Thing(Tenant, ThingName),
}

/// The latest changes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    epochs: HashMap<Changed, u64>,
    order: VecDeque<(Changed, u64)>,
    /// Per tenant, the epoch of the newest change that was forgotten.
    forgotten: HashMap<Tenant, u64>,
}

impl Changes {
    pub(super) fn note_policy(&mut self, tenant: Tenant, policy: Arc<str>, epoch: u64) {
        self.note(Changed::Policy(tenant, policy), epoch);
    }

    pub(super) fn note_thing(&mut self, news: &ThingNews) {
        self.note(Changed::Thing(news.tenant, news.name.clone()), news.epoch);
    }

    fn note(&mut self, changed: Changed, epoch: u64) {
        self.epochs.insert(changed.clone(), epoch);
        self.order.push_back((changed, epoch));
        while self.order.len() > CHANGES_REMEMBERED_MAX {
            let Some((changed, epoch)) = self.order.pop_front() else {
                break;
            };
            let (Changed::Policy(tenant, _) | Changed::Thing(tenant, _)) = &changed;
            let forgotten = self.forgotten.entry(*tenant).or_default();
            *forgotten = epoch.max(*forgotten);
            if self.epochs.get(&changed) == Some(&epoch) {
                self.epochs.remove(&changed);
            }
        }
    }

    /// Whether something that this grant rests on changed after it was made.
    pub(super) fn outdate(&self, grant: &Grant, things: &[ThingFacts]) -> bool {
        if self.epochs.is_empty() && self.forgotten.is_empty() {
            return false;
        }
        let newer = |changed: &Changed| self.epochs.get(changed).is_some_and(|epoch| *epoch > grant.epoch);
        let policies = grant.policies().iter();
        self.forgotten
            .get(&grant.tenant)
            .is_some_and(|epoch| *epoch > grant.epoch)
            || policies
                .map(|held| Changed::Policy(grant.tenant, held.name().into()))
                .any(|changed| newer(&changed))
            || things
                .iter()
                .any(|thing| newer(&Changed::Thing(grant.tenant, thing.name.clone())))
    }
}

#[cfg(test)]
mod tests {
    use identity::CertificateId;
    use policy::{NamedPolicy, Policy};

    use super::*;

    fn grant(policy: &str, epoch: u64) -> Grant {
        let document =
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
        let policy = NamedPolicy::new(policy, Policy::parse(document).unwrap());
        Grant::new(Tenant::default(), CertificateId([1; 32]), epoch, [policy])
    }

    #[test]
    fn older_grants_of_a_changed_policy_are_outdated() {
        let mut changes = Changes::default();
        assert!(!changes.outdate(&grant("p", 1), &[]));
        changes.note_policy(Tenant::default(), "p".into(), 5);
        assert!(changes.outdate(&grant("p", 4), &[]));
        assert!(!changes.outdate(&grant("p", 5), &[]));
        assert!(!changes.outdate(&grant("q", 4), &[]));
    }

    #[test]
    fn what_is_forgotten_counts_for_everything() {
        let mut changes = Changes::default();
        for epoch in 1..=CHANGES_REMEMBERED_MAX as u64 + 10 {
            changes.note_policy(Tenant::default(), format!("p{epoch}").into(), epoch);
        }
        assert!(changes.outdate(&grant("q", 9), &[]));
        assert!(!changes.outdate(&grant("q", 10), &[]));
        assert!(changes.epochs.len() <= CHANGES_REMEMBERED_MAX);
    }
}
