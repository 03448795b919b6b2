//! The registration tasks that are under way: at most one per tenant, each with a flag that stops it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use identity::Tenant;

/// A task's id, and what stops it.
type Live = (String, Arc<AtomicBool>);

/// Who runs what.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Mutex<HashMap<Tenant, Live>>);

impl Tasks {
    fn live(&self) -> MutexGuard<'_, HashMap<Tenant, Live>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the tenant's place; whether it was free.
    pub(crate) fn begin(&self, tenant: &Tenant, id: &str, stop: &Arc<AtomicBool>) -> bool {
        let mut live = self.live();
        if live.contains_key(tenant) {
            return false;
        }
        live.insert(*tenant, (id.to_owned(), stop.clone()));
        true
    }

    /// Gives the place back, if it is this task's.
    pub(crate) fn end(&self, tenant: &Tenant, id: &str) {
        let mut live = self.live();
        if live.get(tenant).is_some_and(|(known, _)| known == id) {
            live.remove(tenant);
        }
    }

    /// Whether this task is under way.
    pub(crate) fn is_live(&self, tenant: &Tenant, id: &str) -> bool {
        self.live().get(tenant).is_some_and(|(known, _)| known == id)
    }

    /// Asks this task to stop, if it is under way.
    pub(crate) fn stop(&self, tenant: &Tenant, id: &str) {
        if let Some((_, stop)) = self.live().get(tenant).filter(|(known, _)| known == id) {
            stop.store(true, Ordering::Relaxed);
        }
    }
}
