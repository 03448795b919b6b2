//! The end of a filter: its subscribers, and the shared subscriptions to it.

use std::sync::Arc;

use crate::record::{SessionKey, Wanted};

use super::subscribers::Subscribers;

/// All that one filter leads to.
#[derive(Debug, Default)]
pub(crate) struct Leaf {
    pub(crate) subscribers: Subscribers,
    /// Shared subscriptions by their whole text. Most filters have none.
    pub(crate) shared: Vec<Arc<str>>,
}

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
        self.subscribers.is_empty() && self.shared.is_empty()
    }

    pub(crate) fn collect(&self, matched: &mut Matched) {
        matched.found.extend(self.subscribers.iter());
        matched.shared.extend(self.shared.iter().cloned());
    }

    pub(crate) fn share(&mut self, filter: &Arc<str>) {
        if !self.shared.contains(filter) {
            self.shared.push(Arc::clone(filter));
        }
    }

    pub(crate) fn unshare(&mut self, filter: &str) {
        self.shared.retain(|shared| **shared != *filter);
    }
}
