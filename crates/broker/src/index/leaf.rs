//! The end of a filter: its subscribers, and the shared subscriptions to it.

use std::sync::Arc;

use crate::record::{SessionKey, Wanted};

use super::subscribers::Subscribers;

/// All that one filter leads to.
#[derive(Debug, Default)]
pub(crate) struct Leaf {
    pub(crate) subscribers: Subscribers,
    /// Most filters have none.
    shared: Option<Box<Shares>>,
}

/// Shared subscriptions by their whole text.
#[derive(Debug, Default)]
struct Shares(Vec<Arc<str>>);

/// What a topic matches. Filled again and again.
#[derive(Debug, Default)]
pub(crate) struct Matched {
    /// Sessions, one perhaps more than once.
    pub(crate) found: Vec<(SessionKey, Wanted)>,
    /// Shared subscriptions, each once.
    pub(crate) shared: Vec<Arc<str>>,
}

impl Leaf {
    pub(crate) fn is_empty(&self) -> bool {
        self.subscribers.is_empty() && self.shared.is_none()
    }

    /// Shared subscriptions by their whole text.
    pub(crate) fn shared(&self) -> &[Arc<str>] {
        self.shared.as_ref().map_or(&[], |shares| &shares.0)
    }

    pub(crate) fn collect(&self, matched: &mut Matched) {
        matched.found.extend(self.subscribers.iter());
        matched.shared.extend(self.shared().iter().cloned());
    }

    pub(crate) fn share(&mut self, filter: &Arc<str>) {
        let Shares(shared) = &mut **self.shared.get_or_insert_default();
        if !shared.contains(filter) {
            shared.push(Arc::clone(filter));
        }
    }

    pub(crate) fn unshare(&mut self, filter: &str) {
        if let Some(shares) = &mut self.shared {
            shares.0.retain(|shared| **shared != *filter);
            self.shared.take_if(|shares| shares.0.is_empty());
        }
    }
}
