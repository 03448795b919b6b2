//! Changes of trust, of things and of policies: they act on live connections before whoever made them hears that it is done.

use std::sync::Arc;

use broker::Event;
use identity::{CertificateId, Tenant};

use super::State;
use crate::clock;
use crate::footing::Ground;
use crate::shard::connection::Connection;
use crate::shard::mail::{Holder, ThingNews};

impl State {
    /// Acts on changes of trust; when this returns, live connections have felt them.
    pub(in crate::shard) fn change_trust(&mut self, changes: &[broker::Trust]) {
        let now = clock::now();
        for change in changes {
            self.node
                .step(Event::Trust(change.clone()), now, &mut self.actions);
            if change.grant.is_none() {
                // Temporary access keys end with the certificate that they were given for.
                self.withdraw_quietly(&Ground::Certificate(change.tenant, change.certificate));
            }
            if let Some(grant) = &change.grant {
                let held = self.connections.values_mut().filter(|connection| {
                    connection.grant.certificate == change.certificate
                        && connection.grant.tenant == change.tenant
                });
                held.for_each(|connection| connection.grant = grant.clone());
            }
        }
        self.carry_out();
        self.flush();
    }

    /// Acts on a change of a thing.
    pub(in crate::shard) fn change_thing(&mut self, news: &ThingNews) {
        self.changes.note_thing(news);
        let attached_to = self.attached_to(news);
        let change = broker::ThingChange {
            tenant: news.tenant,
            name: &news.name,
            facts: news.facts.as_ref(),
            attached_to: &attached_to,
        };
        self.node
            .step(Event::Thing(change), clock::now(), &mut self.actions);
        self.carry_out();
        self.flush();
    }

    /// The certificates that a thing is attached to, and what stands in their place where a temporary access key was given for one.
    fn attached_to(&self, news: &ThingNews) -> Vec<CertificateId> {
        let mut attached_to = news.attached_to.clone();
        for certificate in &news.attached_to {
            let ground = Ground::Certificate(news.tenant, *certificate);
            let connections = self.footings.resting_on(&ground).into_iter();
            let held = connections.filter_map(|id| self.connections.get(&id));
            attached_to.extend(held.map(|connection| connection.grant.certificate));
        }
        attached_to
    }

    /// Notes that a policy changed, and names the holders of live connections that have it.
    pub(in crate::shard) fn change_policy(
        &mut self,
        tenant: Tenant,
        policy: &Arc<str>,
        epoch: u64,
    ) -> Vec<Holder> {
        self.changes.note_policy(tenant, policy.clone(), epoch);
        let holds = |connection: &Connection| {
            let grant = &connection.grant;
            grant.tenant == tenant && grant.policies().iter().any(|held| held.name() == &**policy)
        };
        self.connections
            .values()
            .filter(|connection| holds(connection))
            .map(|connection| Holder {
                certificate: connection.grant.certificate,
                policies: connection
                    .footing
                    .as_ref()
                    .and_then(|footing| footing.policies.clone()),
            })
            .collect()
    }
}
