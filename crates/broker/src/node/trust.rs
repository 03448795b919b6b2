//! Changes of trust: they act on live connections in the step that brings them, so that whoever made the change can be told
//! that it is done.

use std::sync::Arc;

use identity::UnixMillis;
use policy::{Action as PolicyAction, Grant, Resource, ThingFacts};

use crate::action::{Actions, CloseReason};
use crate::event::{ConnectionId, ThingChange, Trust};
use crate::record::{Record, SessionKey};
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
        for key in tenant.sessions_of(trust.certificate) {
            let live = self
                .sessions
                .get_mut(&key)
                .and_then(|session| session.live.as_mut());
            // A change that was overtaken by a later one takes nothing back.
            let Some(live) = live.filter(|live| live.grant.epoch <= trust.epoch) else {
                continue;
            };
            if let Some(grant) = &trust.grant {
                live.grant = Arc::clone(grant);
                self.trust_changed(key, now, actions);
            } else {
                self.refuse(key, Attempt::Stay, Reason::TrustWithdrawn, actions);
                self.close(key, CloseReason::TrustWithdrawn, now, actions);
            }
        }
    }

    /// Replaces what one connection is granted, as [`trust`](Self::trust) does for all of a certificate.
    ///
    /// # Panics
    /// When the grant is another certificate's: a mistake of the shell that would lose the connection from sight.
    pub(super) fn regrant(
        &mut self,
        connection: ConnectionId,
        grant: Arc<Grant>,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let Some(key) = self.connections.get(&connection).copied() else {
            return;
        };
        let session = self.sessions.get_mut(&key);
        let Some(live) = session.and_then(|session| session.live.as_mut()) else {
            return;
        };
        assert!(
            live.grant.certificate == grant.certificate,
            "a grant of another certificate came for {connection}"
        );
        live.grant = grant;
        self.trust_changed(key, now, actions);
    }

    /// The policy variables of a thing follow the thing.
    pub(super) fn thing(&mut self, change: &ThingChange<'_>, now: UnixMillis, actions: &mut Actions) {
        let tenant = self
            .tenant_indices
            .get(&change.tenant)
            .and_then(|index| self.tenants.get(*index));
        let key = tenant
            .and_then(|tenant| tenant.clients.get(change.name.as_str()))
            .copied();
        let Some(key) = key else { return };
        let live = self
            .sessions
            .get_mut(&key)
            .and_then(|session| session.live.as_mut());
        let Some(live) = live else { return };
        let is_attached = change.attached_to.contains(&live.grant.certificate);
        let facts = change.facts.map(|facts| ThingFacts {
            is_attached,
            ..facts.clone()
        });
        live.context.set_thing(facts.as_ref());
        self.trust_changed(key, now, actions);
    }

    /// What the client may do has changed: refusals are told from the beginning, what waits for it must still be allowed, and a
    /// will that it could not leave any more is taken back.
    fn trust_changed(&mut self, key: SessionKey, now: UnixMillis, actions: &mut Actions) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if let Some(live) = &mut session.live {
            live.refusals_told = 0;
        }
        self.take_back(key, now, actions);
        self.check_will_again(key, now, actions);
    }

    fn check_will_again(&mut self, key: SessionKey, now: UnixMillis, actions: &mut Actions) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let (Some(will), Some(live)) = (&session.will, &session.live) else {
            return;
        };
        let topic = will.message.topic();
        if let Err(reason) = live.check(PolicyAction::Publish, Resource::topic(topic), now) {
            let attempt = Attempt::Will(topic.into());
            session.will = None;
            if self.kept.contains(&key) {
                self.journal.keep(Record::WillDone { key }, actions);
            }
            self.refuse(key, attempt, reason, actions);
        }
    }
}
