//! The registered CAs that the front door has seen lately, with their templates read.
//!
//! A million devices come from a handful of CAs; reading a CA and its template from the records for each would cost more
//! than its signature. What is remembered may be too old, so it is thrown away whenever any CA changes, and what is
//! decided with it is kept only if the CA in the records is still the same.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use fleet::onboarding::Authority;
use identity::Tenant;

use crate::control::Control;
use crate::deciding::{self, ShownOut};
use crate::limits::AUTHORITIES_REMEMBERED_MAX;

/// Whose CAs, and the DER of their subject.
type Key = (Tenant, Arc<[u8]>);
type Authorities = Rc<Vec<Authority>>;

/// CAs by tenant and subject.
#[derive(Default)]
pub(super) struct Remembered(RefCell<Known>);

#[derive(Default)]
struct Known {
    generation: u64,
    by_subject: HashMap<Key, Authorities>,
}

impl Remembered {
    /// The CAs with this subject. A subject without any is not remembered: strangers can make up as many as they like.
    pub(super) async fn with_subject(
        &self,
        control: &Control,
        tenant: &Tenant,
        subject: &[u8],
    ) -> Result<Authorities, ShownOut> {
        let generation = control.authorities_generation();
        let key = (*tenant, Arc::from(subject));
        if let Some(known) = self.recall(generation, &key) {
            return Ok(known);
        }
        let authorities = deciding::authorities(&control.records, tenant, subject).await?;
        let authorities = Rc::new(authorities);
        if !authorities.is_empty() {
            self.remember(generation, key, authorities.clone());
        }
        Ok(authorities)
    }

    /// Forgets everything: what was decided with it turned out to be too old.
    pub(super) fn forget(&self) {
        self.0.borrow_mut().by_subject.clear();
    }

    fn recall(&self, generation: u64, key: &Key) -> Option<Authorities> {
        let mut known = self.0.borrow_mut();
        if known.generation != generation {
            known.by_subject.clear();
            known.generation = generation;
        }
        known.by_subject.get(key).cloned()
    }

    fn remember(&self, generation: u64, key: Key, authorities: Authorities) {
        let mut known = self.0.borrow_mut();
        // Read before a change that came meanwhile: true perhaps, but not worth remembering.
        if known.generation != generation {
            return;
        }
        if known.by_subject.len() >= AUTHORITIES_REMEMBERED_MAX {
            known.by_subject.clear();
        }
        known.by_subject.insert(key, authorities);
    }
}
