//! Changes of trust: they act on live connections in the step that brings them, so that whoever made the change can be told
//! that it is done.

use std::sync::Arc;

use identity::UnixMillis;
use policy::{Action as PolicyAction, Resource, ThingFacts};

use crate::action::{Actions, CloseReason};
use crate::event::{ConnectionId, ThingChange, Trust};
use crate::refusal::{Attempt, Reason};

use super::Node;

impl Node {
    /// Replaces what the certificate's connections are granted, or ends them. Subscriptions stay: what may be received is decided
    /// at every delivery (AWS IoT developer guide, "Publish/Subscribe policy examples").
    pub(super) fn trust(&mut self, trust: &Trust, now: UnixMillis, actions: &mut Actions) {
        let index = self.tenant_index(trust.tenant);
        let Some(tenant) = self.tenants.get_mut(index) else {
            return;
        };
        tenant.trust_changed(trust.certificate, trust.epoch);
        for connection in tenant.connections_of(trust.certificate) {
            let Some(session) = self.sessions.get_mut(&connection) else {
                continue;
            };
            // A change that was overtaken by a later one takes nothing back.
            if session.grant.epoch > trust.epoch {
                continue;
            }
            if let Some(grant) = &trust.grant {
                session.grant = Arc::clone(grant);
                session.trust_changed(now);
                self.check_will_again(connection, now, actions);
            } else {
                self.refuse(connection, Attempt::Stay, Reason::TrustWithdrawn, actions);
                self.close(connection, CloseReason::TrustWithdrawn, now, actions);
            }
        }
    }

    /// The policy variables of a thing follow the thing.
    pub(super) fn thing(&mut self, change: &ThingChange<'_>, now: UnixMillis, actions: &mut Actions) {
        let tenant = self
            .tenant_indices
            .get(&change.tenant)
            .and_then(|index| self.tenants.get(*index));
        let connection = tenant
            .and_then(|tenant| tenant.clients.get(change.name.as_str()))
            .copied();
        let Some(connection) = connection else { return };
        let Some(session) = self.sessions.get_mut(&connection) else {
            return;
        };
        let is_attached = change.attached_to.contains(&session.grant.certificate);
        let facts = change.facts.map(|facts| ThingFacts {
            is_attached,
            ..facts.clone()
        });
        session.context.set_thing(facts.as_ref());
        session.trust_changed(now);
        self.check_will_again(connection, now, actions);
    }

    /// A will that the client could not leave any more is taken back.
    fn check_will_again(&mut self, connection: ConnectionId, now: UnixMillis, actions: &mut Actions) {
        let Some(session) = self.sessions.get_mut(&connection) else {
            return;
        };
        let Some(will) = session.will.clone() else { return };
        if let Err(reason) = session.check(PolicyAction::Publish, Resource::topic(will.topic()), now) {
            session.will = None;
            self.refuse(connection, Attempt::Will(will.topic().into()), reason, actions);
        }
    }
}
