//! What the promises about records share: keeping, conflicting, one of everything, whole lists.

use fleet::batch::{Batch, Record};
use fleet::page::{Page, PageRequest};
use identity::Tenant;

use super::made::{attachment, batch, ca, certificate, claim, code, policy, principal, thing};
use crate::{CommitError, Committed, Conflict, Records, wait};

pub(super) fn tenant() -> Tenant {
    Tenant::default()
}

#[track_caller]
pub(super) fn keep(records: &impl Records, batch: Batch) -> Committed {
    wait(records.commit(batch)).unwrap()
}

#[track_caller]
pub(super) fn conflict(records: &impl Records, batch: Batch) -> Conflict {
    match wait(records.commit(batch)) {
        Err(CommitError::Conflict(conflict)) => conflict,
        other => panic!("expected a conflict, got {other:?}"),
    }
}

/// One of everything, all connected.
pub(super) fn everything() -> Batch {
    batch([
        Record::RegistrationCode(code()),
        Record::Ca(ca(1, b"subject")),
        Record::RegionClaim(claim(1, &tenant())),
        Record::ThingPrincipal(principal(2, 2)),
        Record::Attachment(attachment(3, 2)),
        Record::Certificate(certificate(2, Some(1))),
        Record::Thing(thing(2)),
        Record::Policy(policy(3)),
    ])
}

/// Reads a whole list page by page.
pub(super) fn pages<T>(size: u16, ascending: bool, mut list: impl FnMut(PageRequest) -> Page<T>) -> Vec<T> {
    let mut request = PageRequest {
        size,
        after: None,
        ascending,
    };
    let mut items = Vec::new();
    loop {
        let page = list(request);
        assert!(page.items.len() <= usize::from(size));
        items.extend(page.items);
        match page.next {
            None => return items,
            next => request.after = next,
        }
    }
}
