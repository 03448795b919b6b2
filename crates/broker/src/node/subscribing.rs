//! SUBSCRIBE and UNSUBSCRIBE: each filter is decided alone.

use std::sync::Arc;

use identity::UnixMillis;
use mqtt::server::Violation;
use mqtt::v5::{SubscribeRequest, Subscription, UnsubscribeRequest};
use mqtt::{PacketId, PacketType, QoS, SubscribeReturn, encode};
use policy::{Action as PolicyAction, Resource};

use crate::action::{Actions, CloseReason, Outgoing};
use crate::event::ConnectionId;
use crate::presence;
use crate::refusal::{Attempt, Reason};
use crate::topics::{check_filter, check_limit};

use super::Node;

impl Node {
    pub(super) fn subscribe(
        &mut self,
        connection: ConnectionId,
        request: &SubscribeRequest<'_>,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        if let Err(reason) = self.check_request(request) {
            self.refuse(
                connection,
                Attempt::Packet(PacketType::Subscribe),
                reason,
                actions,
            );
            return self.close(connection, CloseReason::ClientError, now, actions);
        }
        let mut codes = Vec::new();
        let mut granted = Vec::new();
        for line in request.subscriptions {
            match self.subscribe_one(connection, &line, now) {
                Ok(()) => {
                    codes.push(SubscribeReturn::Granted(line.qos));
                    granted.push(line.filter.as_str());
                }
                Err(reason) => {
                    codes.push(SubscribeReturn::Failure);
                    self.refuse(
                        connection,
                        Attempt::Subscribe(line.filter.as_str().into()),
                        reason,
                        actions,
                    );
                }
            }
        }
        actions.send(connection, answer(request.id, &codes));
        self.tell_subscriptions(connection, "subscribed", &granted, now, actions);
    }

    /// AWS answers neither QoS 2 nor too many filters: it closes.
    fn check_request(&self, request: &SubscribeRequest<'_>) -> Result<(), Reason> {
        if request
            .subscriptions
            .into_iter()
            .any(|line| line.qos == QoS::ExactlyOnce)
        {
            return Err(Reason::Violation(Violation::ExactlyOnce(PacketType::Subscribe)));
        }
        let filters = request.subscriptions.count();
        check_limit(
            "FILTERS_PER_SUBSCRIBE_MAX",
            filters,
            self.config.limits.filters_per_subscribe_max,
        )
    }

    fn subscribe_one(
        &mut self,
        connection: ConnectionId,
        line: &Subscription<'_>,
        now: UnixMillis,
    ) -> Result<(), Reason> {
        let limits = &self.config.limits;
        check_filter(line.filter, limits)?;
        let Some(session) = self.sessions.get_mut(&connection) else {
            return Ok(());
        };
        let text = line.filter.as_str();
        session.check(PolicyAction::Subscribe, Resource::topic_filter(text), now)?;
        let known = session
            .subscriptions
            .iter()
            .find(|known| ***known == *text)
            .cloned();
        let filter = match known {
            Some(known) => known,
            None => {
                let count = session.subscriptions.len() + 1;
                check_limit(
                    "SUBSCRIPTIONS_PER_CONNECTION_MAX",
                    count,
                    limits.subscriptions_per_connection_max,
                )?;
                let filter: Arc<str> = text.into();
                session.subscriptions.push(Arc::clone(&filter));
                filter
            }
        };
        if let Some(tenant) = self.tenants.get_mut(session.tenant_index) {
            tenant.index.subscribe(&filter, connection, line.qos);
        }
        Ok(())
    }

    pub(super) fn unsubscribe(
        &mut self,
        connection: ConnectionId,
        request: &UnsubscribeRequest<'_>,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let Some(session) = self.sessions.get_mut(&connection) else {
            return;
        };
        let mut ended = Vec::new();
        for filter in request.filters {
            let text = filter.as_str();
            let Some(at) = session.subscriptions.iter().position(|known| **known == *text) else {
                continue;
            };
            session.subscriptions.swap_remove(at);
            ended.push(text);
            if let Some(tenant) = self.tenants.get_mut(session.tenant_index) {
                tenant.index.unsubscribe(text, connection);
            }
        }
        actions.send(
            connection,
            Outgoing::FourBytes(encode::unsubscribe_answer(request.id)),
        );
        self.tell_subscriptions(connection, "unsubscribed", &ended, now, actions);
    }

    fn tell_subscriptions(
        &mut self,
        connection: ConnectionId,
        kind: &'static str,
        filters: &[&str],
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let Some(session) = self.sessions.get(&connection).filter(|_| !filters.is_empty()) else {
            return;
        };
        let tenant_index = session.tenant_index;
        if let Some(event) = presence::subscriptions(session, kind, filters, now) {
            self.publish_everywhere(tenant_index, event, now, actions);
        }
    }
}

fn answer(id: PacketId, codes: &[SubscribeReturn]) -> Outgoing {
    let mut bytes = Vec::with_capacity(4 + codes.len());
    // A request has at least one filter and not too many, so the answer can be written.
    let _written = encode::subscribe_answer(&mut bytes, id, codes.iter().copied());
    Outgoing::Bytes(bytes.into())
}
