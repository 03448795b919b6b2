//! Shared subscriptions across nodes: each node knows how many members the others have, and the node where a message begins
//! chooses one member, or the node that has it (MQTT 5.0 section 4.8.2).

use std::sync::Arc;

use crate::action::{Action, Actions, Share};
use crate::index::shared;
use crate::record::{NodeIndex, SessionKey};

use super::Node;

impl Node {
    /// Another node tells of its members.
    pub(super) fn shared(&mut self, from: NodeIndex, share: &Share) {
        let index = self.tenant_index(share.tenant);
        if let Some(tenant) = self.tenants.get_mut(index) {
            tenant
                .index
                .note_elsewhere(&share.filter, from, share.present, share.away);
        }
    }

    /// A client comes or goes: the others hear of it for each shared subscription it has.
    pub(super) fn tell_shares(&mut self, key: SessionKey, present: bool, actions: &mut Actions) {
        let Some(session) = self.sessions.get(&key) else {
            return;
        };
        let tenant_index = session.tenant_index;
        let filters = session.subscriptions.iter().map(|(filter, _)| filter);
        let shares: Vec<Arc<str>> = filters
            .filter(|filter| shared(filter).is_some())
            .cloned()
            .collect();
        for filter in shares {
            if let Some(tenant) = self.tenants.get_mut(tenant_index) {
                tenant.index.set_present(&filter, key, present);
            }
            self.tell_share(tenant_index, &filter, actions);
        }
    }

    /// Tells the others how many members a shared subscription has here; nothing of one that is not shared.
    pub(super) fn tell_share(&self, tenant_index: usize, filter: &Arc<str>, actions: &mut Actions) {
        if shared(filter).is_none() || self.config.nodes < 2 {
            return;
        }
        if let Some(tenant) = self.tenants.get(tenant_index) {
            let (present, away) = tenant.index.counts(filter);
            actions.push(Action::Share(Share {
                tenant: tenant.name,
                filter: Arc::clone(filter),
                present,
                away,
            }));
        }
    }
}
