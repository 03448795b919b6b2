//! SUBSCRIBE and UNSUBSCRIBE: each filter is decided alone.

use std::num::NonZeroU32;
use std::sync::Arc;

use identity::UnixMillis;
use mqtt::server::Violation;
use mqtt::v5::{
    self, Properties, Property, Reason as Told, RetainHandling, SubscribeRequest, Subscription,
    UnsubscribeRequest,
};
use mqtt::{PacketId, PacketType, QoS, SubscribeReturn, encode};
use policy::{Action as PolicyAction, Resource};

use crate::action::{Actions, Outgoing, properties_of, reason_string};
use crate::index::shared;
use crate::presence;
use crate::record::{Record, SessionKey, Wanted};
use crate::refusal::{Attempt, Reason, SUBSCRIPTION_IDENTIFIER};
use crate::topics::{check_filter, check_limit};

use super::Node;

impl Node {
    pub(super) fn subscribe(
        &mut self,
        key: SessionKey,
        request: &SubscribeRequest<'_>,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        if let Err(reason) = self.check_request(request) {
            let attempt = Attempt::Packet(PacketType::Subscribe);
            return self.refuse_and_close(key, attempt, reason, now, actions);
        }
        let identifier = identifier(request.properties);
        let mut codes = Vec::new();
        let mut granted = Vec::new();
        let mut words = None;
        for line in request.subscriptions {
            let wanted = Wanted {
                qos: line.qos,
                no_local: line.no_local,
                retain_as_published: line.retain_as_published,
                identifier,
            };
            match self.subscribe_one(key, &line, wanted, now, actions) {
                Ok(is_new) => {
                    codes.push(match line.qos {
                        QoS::AtMostOnce => Told::Success,
                        QoS::AtLeastOnce => Told::GrantedQoS1,
                        QoS::ExactlyOnce => Told::GrantedQoS2,
                    });
                    granted.push((line, wanted, is_new));
                }
                Err(reason) => {
                    let attempt = Attempt::Subscribe(line.filter.as_str().into());
                    codes.push(reason.told(&attempt));
                    words = words.or_else(|| self.words(key, &reason));
                    self.refuse(key, attempt, reason, actions);
                }
            }
        }
        let answer = answer(request.id, &codes, words.as_deref(), self.speaks_v5(key));
        self.answer(key, answer, self.journal.step(), actions);
        for (line, wanted, is_new) in &granted {
            if brings_retained(line, *is_new) {
                self.deliver_retained(key, line.filter, *wanted, now, actions);
            }
        }
        let filters: Vec<&str> = granted.iter().map(|(line, ..)| line.filter.as_str()).collect();
        self.tell_subscriptions(key, "subscribed", &filters, now, actions);
    }

    /// AWS answers neither QoS 2 nor too many filters: it closes.
    fn check_request(&self, request: &SubscribeRequest<'_>) -> Result<(), Reason> {
        let switches = &self.config.switches;
        if identifier(request.properties).is_some() && !switches.subscription_identifiers {
            return Err(Reason::NotServed(SUBSCRIPTION_IDENTIFIER));
        }
        let mut lines = request.subscriptions;
        if lines.any(|line| line.qos == QoS::ExactlyOnce) && !switches.exactly_once {
            return Err(Reason::Violation(Violation::ExactlyOnce(PacketType::Subscribe)));
        }
        let filters = request.subscriptions.count();
        check_limit(
            "FILTERS_PER_SUBSCRIBE_MAX",
            filters,
            self.config.limits.filters_per_subscribe_max,
        )
    }

    /// True: there was no such subscription before.
    fn subscribe_one(
        &mut self,
        key: SessionKey,
        line: &Subscription<'_>,
        wanted: Wanted,
        now: UnixMillis,
        actions: &mut Actions,
    ) -> Result<bool, Reason> {
        check_filter(line.filter, &self.config)?;
        let Some(session) = self.sessions.get_mut(&key) else {
            return Ok(false);
        };
        let text = line.filter.as_str();
        if let Some(live) = &session.live {
            live.check(PolicyAction::Subscribe, Resource::topic_filter(text), now)?;
        }
        let mut known = session.subscriptions.iter_mut();
        let (filter, is_new) = match known.find(|(filter, _)| **filter == *text) {
            Some((filter, known)) => {
                *known = wanted;
                (Arc::clone(filter), false)
            }
            None => {
                let (count, most) = (
                    session.subscriptions.len() + 1,
                    self.config.limits.subscriptions_per_connection_max,
                );
                check_limit("SUBSCRIPTIONS_PER_CONNECTION_MAX", count, most)?;
                let filter: Arc<str> = text.into();
                // Most clients have one for as long as they live.
                if session.subscriptions.is_empty() {
                    session.subscriptions.reserve_exact(1);
                }
                session.subscriptions.push((Arc::clone(&filter), wanted));
                self.subscriptions += 1;
                (filter, true)
            }
        };
        let tenant_index = session.tenant_index;
        if let Some(tenant) = self.tenants.get_mut(tenant_index) {
            tenant.index.subscribe(&filter, key, wanted, true);
        }
        self.tell_share(tenant_index, &filter, actions);
        if self.kept.contains(&key) {
            self.kept_subscriptions += usize::from(is_new);
            self.journal
                .keep(Record::Subscribed { key, filter, wanted }, actions);
        }
        Ok(is_new)
    }

    pub(super) fn unsubscribe(
        &mut self,
        key: SessionKey,
        request: &UnsubscribeRequest<'_>,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let mut ended = Vec::new();
        let mut codes = Vec::new();
        for filter in request.filters {
            let text = filter.as_str();
            let was_there = self.unsubscribe_one(key, text, actions);
            if was_there {
                ended.push(text);
            }
            // AWS answers success whether there was a subscription or not.
            codes.push(match was_there || !self.config.switches.unsubscribe_told {
                true => Told::Success,
                false => Told::NoSubscriptionExisted,
            });
        }
        let answer = match self.speaks_v5(key) {
            true => answer_v5(PacketType::UnsubAck, request.id, &codes, None),
            false => Outgoing::FourBytes(encode::unsubscribe_answer(request.id)),
        };
        self.answer(key, answer, self.journal.step(), actions);
        self.tell_subscriptions(key, "unsubscribed", &ended, now, actions);
    }

    /// Ends a subscription; false when there was none.
    fn unsubscribe_one(&mut self, key: SessionKey, text: &str, actions: &mut Actions) -> bool {
        let Some(session) = self.sessions.get_mut(&key) else {
            return false;
        };
        let mut known = session.subscriptions.iter();
        let Some(at) = known.position(|(known, _)| **known == *text) else {
            return false;
        };
        let (filter, _) = session.subscriptions.swap_remove(at);
        self.subscriptions -= 1;
        let tenant_index = session.tenant_index;
        if let Some(tenant) = self.tenants.get_mut(tenant_index) {
            tenant.index.unsubscribe(text, key);
        }
        self.tell_share(tenant_index, &filter, actions);
        if self.kept.contains(&key) {
            self.kept_subscriptions -= 1;
            self.journal.keep(Record::Unsubscribed { key, filter }, actions);
        }
        true
    }

    fn speaks_v5(&self, key: SessionKey) -> bool {
        self.sessions.get(&key).is_some_and(|session| session.is_v5())
    }

    fn tell_subscriptions(
        &mut self,
        key: SessionKey,
        kind: &'static str,
        filters: &[&str],
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let Some(session) = self.sessions.get(&key).filter(|_| !filters.is_empty()) else {
            return;
        };
        let tenant_index = session.tenant_index;
        let Some(live) = &session.live else { return };
        if let Some(event) =
            self.event(|| presence::subscriptions(&session.client_id, live, kind, filters, now))
        {
            self.publish_event(tenant_index, event, now, actions);
        }
    }
}

/// The identifier of a SUBSCRIBE's subscriptions (section 3.8.2.1.2).
fn identifier(mut properties: Properties<'_>) -> Option<NonZeroU32> {
    properties.find_map(|property| match property {
        Property::SubscriptionIdentifier(identifier) => Some(identifier),
        _ => None,
    })
}

/// `[MQTT-3.3.1-9]` to `[MQTT-3.3.1-11]`; a shared subscription brings none (section 4.8.2).
fn brings_retained(line: &Subscription<'_>, is_new: bool) -> bool {
    let wanted = match line.retain_handling {
        RetainHandling::Send => true,
        RetainHandling::SendIfNew => is_new,
        RetainHandling::DoNotSend => false,
    };
    wanted && shared(line.filter.as_str()).is_none()
}

fn answer(id: PacketId, codes: &[Told], words: Option<&str>, is_v5: bool) -> Outgoing {
    if is_v5 {
        return answer_v5(PacketType::SubAck, id, codes, words);
    }
    let codes = codes.iter().map(|code| match code {
        Told::Success => SubscribeReturn::Granted(QoS::AtMostOnce),
        Told::GrantedQoS1 => SubscribeReturn::Granted(QoS::AtLeastOnce),
        Told::GrantedQoS2 => SubscribeReturn::Granted(QoS::ExactlyOnce),
        _ => SubscribeReturn::Failure,
    });
    // A request has at least one filter and not too many, so the answer can be written.
    Outgoing::written(|out| encode::subscribe_answer(out, id, codes))
}

fn answer_v5(kind: PacketType, id: PacketId, codes: &[Told], words: Option<&str>) -> Outgoing {
    let codes = codes.iter().map(|code| match code.fits(kind) {
        true => *code,
        false => Told::UnspecifiedError,
    });
    let properties = reason_string(words);
    Outgoing::written(|out| v5::encode::answer(out, kind, id, properties_of(&properties), codes))
}
