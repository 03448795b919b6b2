//! SUBSCRIBE and UNSUBSCRIBE: each filter is decided alone.

use std::sync::Arc;

use identity::UnixMillis;
use mqtt::server::Violation;
use mqtt::v5::{
    self, Properties, Property, Reason as Told, SubscribeRequest, Subscription, UnsubscribeRequest,
};
use mqtt::{PacketId, PacketType, QoS, SubscribeReturn, encode};
use policy::{Action as PolicyAction, Resource};

use crate::action::{Actions, Outgoing};
use crate::event::ConnectionId;
use crate::index::Wanted;
use crate::presence;
use crate::refusal::{Attempt, Reason, SUBSCRIPTION_IDENTIFIER};
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
            let attempt = Attempt::Packet(PacketType::Subscribe);
            return self.refuse_and_close(connection, attempt, reason, now, actions);
        }
        let mut codes = Vec::new();
        let mut granted = Vec::new();
        for line in request.subscriptions {
            match self.subscribe_one(connection, &line, now) {
                Ok(()) => {
                    codes.push(match line.qos {
                        QoS::AtMostOnce => Told::Success,
                        _ => Told::GrantedQoS1,
                    });
                    granted.push(line.filter.as_str());
                }
                Err(reason) => {
                    let attempt = Attempt::Subscribe(line.filter.as_str().into());
                    codes.push(reason.told(&attempt));
                    self.refuse(connection, attempt, reason, actions);
                }
            }
        }
        actions.send(connection, answer(request.id, &codes, self.speaks_v5(connection)));
        self.tell_subscriptions(connection, "subscribed", &granted, now, actions);
    }

    /// AWS answers neither QoS 2 nor too many filters: it closes.
    fn check_request(&self, request: &SubscribeRequest<'_>) -> Result<(), Reason> {
        let mut properties = request.properties;
        if properties.any(|property| matches!(property, Property::SubscriptionIdentifier(_))) {
            return Err(Reason::NotServed(SUBSCRIPTION_IDENTIFIER));
        }
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
            let wanted = Wanted {
                qos: line.qos,
                no_local: line.no_local,
            };
            tenant.index.subscribe(&filter, connection, wanted);
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
        let answer = if self.speaks_v5(connection) {
            // AWS answers success whether there was a subscription or not.
            let codes = request.filters.map(|_| Told::Success).collect::<Vec<_>>();
            answer_v5(PacketType::UnsubAck, request.id, &codes)
        } else {
            Outgoing::FourBytes(encode::unsubscribe_answer(request.id))
        };
        actions.send(connection, answer);
        self.tell_subscriptions(connection, "unsubscribed", &ended, now, actions);
    }

    fn speaks_v5(&self, connection: ConnectionId) -> bool {
        let session = self.sessions.get(&connection);
        session.is_some_and(|session| session.terms.is_some())
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
            self.publish_everywhere(tenant_index, event, None, now, actions);
        }
    }
}

fn answer(id: PacketId, codes: &[Told], is_v5: bool) -> Outgoing {
    if is_v5 {
        return answer_v5(PacketType::SubAck, id, codes);
    }
    let codes = codes.iter().map(|code| match code {
        Told::Success => SubscribeReturn::Granted(QoS::AtMostOnce),
        Told::GrantedQoS1 => SubscribeReturn::Granted(QoS::AtLeastOnce),
        _ => SubscribeReturn::Failure,
    });
    // A request has at least one filter and not too many, so the answer can be written.
    Outgoing::written(|out| encode::subscribe_answer(out, id, codes))
}

fn answer_v5(kind: PacketType, id: PacketId, codes: &[Told]) -> Outgoing {
    let codes = codes.iter().map(|code| match code.fits(kind) {
        true => *code,
        false => Told::UnspecifiedError,
    });
    Outgoing::written(|out| v5::encode::answer(out, kind, id, Properties::NONE, codes))
}
