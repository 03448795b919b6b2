//! How many calls of each operation an account may make in each second, where the operator wants AWS's quotas.
//!
//! It stands between the signature check and the operations. Off, it costs one branch. On, every account has a budget of
//! its own for each region and operation: it fills at the rate of the quota and holds one second of it. It must never hold a
//! call back: what is beyond the quota is refused at once, with the exception that clients know how to wait for.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use identity::{Tenant, UnixMillis};

use super::fault::ApiFault;
use super::table;
use crate::limits::QUOTA_COUNTS_MAX;

/// Calls per second of every operation that is not named below (AWS General Reference, "AWS IoT Core endpoints and quotas").
const DEFAULT_RATE: u32 = 10;

/// The operations whose quota differs, in calls per second (the same page).
const RATES: [(&str, u32); 13] = [
    ("AddThingToBillingGroup", 60),
    ("AddThingToThingGroup", 60),
    ("AttachPolicy", 15),
    ("AttachPrincipalPolicy", 15),
    ("AttachThingPrincipal", 15),
    ("CreateCertificateFromCsr", 15),
    ("CreateThing", 15),
    ("DescribeThing", 350),
    ("DetachThingPrincipal", 15),
    ("GetEffectivePolicies", 50),
    ("Publish", 20_000),
    ("SearchIndex", 15),
    ("UpdateIndexingConfiguration", 1),
];

/// The key under which the operator sets the rate of all operations that are not named.
const EVERY_OTHER: &str = "default";

/// One call, in the unit in which budgets are counted: a rate of calls per second is as many of these per millisecond.
const CALL: u64 = 1000;

/// Whether a quota can be set for this name.
pub(crate) fn is_operation(name: &str) -> bool {
    name == EVERY_OTHER || table::TABLE.iter().any(|row| row.name == name)
}

/// What is left of the budget of one operation in one tenant.
#[derive(Clone, Copy, Debug)]
struct Budget {
    left: u64,
    at: UnixMillis,
}

impl Budget {
    /// What is left by now.
    fn filled(self, rate: u32, now: UnixMillis) -> Self {
        let elapsed = u64::try_from(now.since(self.at)).unwrap_or(0);
        let left = self.left.saturating_add(elapsed.saturating_mul(rate.into()));
        Self {
            left: left.min(full(rate)),
            at: self.at.max(now),
        }
    }
}

/// One second of calls.
fn full(rate: u32) -> u64 {
    u64::from(rate) * CALL
}

/// The quotas, and what every tenant has left of them.
#[derive(Debug)]
pub(crate) struct Quotas {
    /// `None`: there are no quotas.
    budgets: Option<Mutex<HashMap<(Tenant, &'static str), Budget>>>,
    set: BTreeMap<String, u32>,
}

impl Quotas {
    /// Quotas as AWS has them, but for those that are set.
    pub(crate) fn new(is_on: bool, set: &BTreeMap<String, u32>) -> Self {
        Self {
            budgets: is_on.then(Mutex::default),
            set: set.clone(),
        }
    }

    /// Takes one call of this operation from its budget.
    ///
    /// # Errors
    /// There is nothing left of it.
    pub(super) fn take(
        &self,
        tenant: &Tenant,
        operation: &'static str,
        is_control: bool,
        now: UnixMillis,
    ) -> Result<(), ApiFault> {
        let Some(budgets) = &self.budgets else {
            return Ok(());
        };
        let rate = self.rate(operation);
        let throttled = ApiFault::Throttled {
            operation,
            rate,
            is_control,
        };
        let mut budgets = budgets.lock().unwrap_or_else(PoisonError::into_inner);
        if budgets.len() >= QUOTA_COUNTS_MAX {
            // A full budget is the same as one that was never touched.
            budgets.retain(|(_, operation), budget| {
                let rate = self.rate(operation);
                budget.filled(rate, now).left < full(rate)
            });
        }
        let is_known = budgets.contains_key(&(*tenant, operation));
        if !is_known && budgets.len() >= QUOTA_COUNTS_MAX {
            return Err(throttled);
        }
        let budget = budgets.entry((*tenant, operation)).or_insert_with(|| Budget {
            left: full(rate),
            at: now,
        });
        *budget = budget.filled(rate, now);
        budget.left = budget.left.checked_sub(CALL).ok_or(throttled)?;
        Ok(())
    }

    fn rate(&self, operation: &str) -> u32 {
        let documented = || RATES.iter().find(|(name, _)| *name == operation).map(|row| row.1);
        let every_other = || self.set.get(EVERY_OTHER).copied();
        self.set
            .get(operation)
            .copied()
            .or_else(every_other)
            .or_else(documented)
            .unwrap_or(DEFAULT_RATE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotas(set: &[(&str, u32)]) -> Quotas {
        let set = set.iter().map(|(name, rate)| ((*name).to_owned(), *rate));
        Quotas::new(true, &set.collect())
    }

    fn tenant(account: &str) -> Tenant {
        Tenant {
            account: account.parse().unwrap(),
            ..Tenant::default()
        }
    }

    /// How many of `calls` calls at this moment are let through.
    fn passed(quotas: &Quotas, operation: &'static str, calls: u32, at: i64) -> u32 {
        let tenant = Tenant::default();
        let take = |_: &u32| quotas.take(&tenant, operation, true, UnixMillis(at)).is_ok();
        u32::try_from((0..calls).filter(take).count()).unwrap()
    }

    #[test]
    fn a_second_of_calls_passes_and_then_as_many_as_the_rate_lets_in() {
        let quotas = quotas(&[]);
        assert_eq!(passed(&quotas, "ListThings", 50, 1_000), 10);
        assert_eq!(passed(&quotas, "ListThings", 50, 1_099), 0);
        assert_eq!(passed(&quotas, "ListThings", 50, 1_100), 1);
        assert_eq!(passed(&quotas, "ListThings", 50, 1_350), 2);
        assert_eq!(passed(&quotas, "ListThings", 50, 99_000), 10);
        assert_eq!(passed(&quotas, "DescribeThing", 1_000, 99_000), 350);
        // A clock that is set back gives nothing and takes nothing.
        assert_eq!(passed(&quotas, "ListThings", 50, 98_000), 0);
    }

    #[test]
    fn each_account_has_a_budget_of_its_own() {
        let quotas = quotas(&[("ListThings", 1)]);
        let take = |account| quotas.take(&tenant(account), "ListThings", true, UnixMillis(0));
        assert!(take("111111111111").is_ok());
        assert!(take("222222222222").is_ok());
        assert!(take("111111111111").is_err());
    }

    #[test]
    fn what_the_operator_sets_counts_before_what_aws_has() {
        let quotas = quotas(&[("default", 2), ("DescribeThing", 3)]);
        assert_eq!(passed(&quotas, "DescribeThing", 9, 0), 3);
        assert_eq!(passed(&quotas, "AttachPolicy", 9, 0), 2);
        assert_eq!(passed(&quotas, "ListThings", 9, 0), 2);
    }

    #[test]
    fn without_quotas_everything_passes() {
        let quotas = Quotas::new(false, &BTreeMap::from([("default".to_owned(), 1)]));
        assert_eq!(passed(&quotas, "ListThings", 1_000, 0), 1_000);
    }

    #[test]
    fn budgets_are_bounded_and_forgotten_when_they_are_full_again() {
        let quotas = quotas(&[]);
        let account = |number: usize| tenant(&format!("{number:012}"));
        for number in 0..QUOTA_COUNTS_MAX {
            assert!(
                quotas
                    .take(&account(number), "ListThings", true, UnixMillis(0))
                    .is_ok()
            );
        }
        let one_more = |at| quotas.take(&account(QUOTA_COUNTS_MAX), "ListThings", true, UnixMillis(at));
        assert!(one_more(1).is_err());
        assert!(
            quotas
                .take(&account(0), "ListThings", true, UnixMillis(999))
                .is_ok()
        );
        assert!(one_more(1_000).is_ok());
        assert_eq!(quotas.budgets.unwrap().lock().unwrap().len(), 2);
    }

    #[test]
    fn quotas_are_of_operations() {
        assert!(is_operation("ListThings") && is_operation("default"));
        assert!(!is_operation("listThings") && !is_operation("BirthmarkAttempts"));
    }
}
