//! PUBLISH: from a client to all who may have it, here and on other nodes.

use std::sync::Arc;

use identity::UnixMillis;
use mqtt::server::Violation;
use mqtt::v5::{self, Acknowledgement, Property, Publish};
use mqtt::{Delivery, PacketId, PacketType, QoS, TopicName, encode};
use policy::{Action as PolicyAction, Resource};

use crate::action::{Action, Actions, Chosen, Forward, Gate, Outgoing, properties_of, reason_string};
use crate::index::{Choice, Matched};
use crate::interests::Nodes;
use crate::limits::Limits;
use crate::message::Message;
use crate::record::{NodeIndex, Record, SessionKey, Wanted};
use crate::refusal::{Attempt, Reason};
use crate::requests::is_request;
use crate::session::Session;
use crate::terms;
use crate::topics::{check_limit, check_message};

use super::delivering::Offer;
use super::{Config, Node};

/// Where a message comes from.
#[derive(Clone, Copy)]
enum Origin<'a> {
    /// It begins on this node, perhaps with one of its clients.
    Here(Option<SessionKey>),
    /// Another node has chosen for shared subscriptions.
    Elsewhere(&'a [(Arc<str>, NodeIndex)]),
}

impl Node {
    /// A client publishes. What it may not publish ends its connection, as at AWS: MQTT 3.1.1 has no way to say no. MQTT 5.0 has
    /// one at QoS 1 and 2.
    pub(super) fn publish(
        &mut self,
        key: SessionKey,
        publish: &Publish<'_>,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let config = self.config;
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let known = match resolve(session, publish, &config) {
            Ok(known) => known,
            Err(reason) => {
                let attempt = Attempt::Packet(PacketType::Publish);
                return self.refuse_and_close(key, attempt, reason, now, actions);
            }
        };
        let Some(topic) = terms::name(publish, known.as_deref()) else {
            return;
        };
        if let Delivery::ExactlyOnce { id, .. } = publish.delivery
            && session.inbound.contains(&id)
        {
            // It came before: it is answered again, and goes nowhere.
            let after = self.journal.all();
            return self.answer(
                key,
                Outgoing::FourBytes(encode::publish_received(id)),
                after,
                actions,
            );
        }
        let tenant_index = session.tenant_index;
        let accepted = accept(session, topic, publish, &config, now).and_then(|message| {
            if publish.retain {
                self.check_retained(tenant_index, topic, publish.payload)?;
            }
            Ok(message)
        });
        let mut message = match accepted {
            Ok(message) => message,
            Err(reason) => {
                let attempt = Attempt::Publish(topic.as_str().into());
                return self.refuse_publish(key, publish.delivery, attempt, reason, now, actions);
            }
        };
        Message::begin(&mut message, self.journal.stamp(self.config.index, now));
        self.counters
            .published
            .note(publish.delivery.qos(), publish.payload.len());
        let is_remembered = self.remember(key, publish.delivery, actions);
        let forwarded = if is_request(message.topic()) {
            self.ask(key, message, actions);
            Gate::NONE
        } else {
            self.publish_everywhere(tenant_index, message, Some(key), is_remembered, now, actions)
        };
        let after = self.journal.step().and(forwarded);
        match publish.delivery {
            Delivery::AtMostOnce => {}
            Delivery::AtLeastOnce { id, .. } => {
                self.answer(
                    key,
                    Outgoing::FourBytes(encode::publish_acknowledged(id)),
                    after,
                    actions,
                );
            }
            Delivery::ExactlyOnce { id, .. } => {
                self.answer(
                    key,
                    Outgoing::FourBytes(encode::publish_received(id)),
                    after,
                    actions,
                );
            }
        }
    }

    /// Remembers the identifier of a QoS 2 message; true when that outlives the connection.
    fn remember(&mut self, key: SessionKey, delivery: Delivery, actions: &mut Actions) -> bool {
        let Delivery::ExactlyOnce { id, .. } = delivery else {
            return false;
        };
        if let Some(session) = self.sessions.get_mut(&key) {
            session.inbound.insert(id);
        }
        let is_kept = self.kept.contains(&key);
        if is_kept {
            self.journal.keep(Record::Received { key, id }, actions);
        }
        is_kept
    }

    fn refuse_publish(
        &mut self,
        key: SessionKey,
        delivery: Delivery,
        attempt: Attempt,
        reason: Reason,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        let is_v5 = self.sessions.get(&key).is_some_and(|session| session.is_v5());
        let told = reason.told(&attempt);
        let kind = match delivery.qos() {
            QoS::ExactlyOnce => PacketType::PubRec,
            _ => PacketType::PubAck,
        };
        let answerable = is_v5 && told.fits(kind) && !matches!(reason, Reason::Violation(_));
        let Some(id) = delivery.packet_id().filter(|_| answerable) else {
            return self.refuse_and_close(key, attempt, reason, now, actions);
        };
        let words = self.words(key, &reason);
        self.refuse(key, attempt, reason, actions);
        let packet = refusal(kind, id, told, words.as_deref());
        self.answer(key, packet, Gate::NONE, actions);
    }

    /// A message that begins here: to those here who listen, and to the other nodes that have some. The gate is passed when all of them have
    /// it. `exactly_once`: the others must know it again should it come twice.
    pub(super) fn publish_everywhere(
        &mut self,
        tenant_index: usize,
        message: Arc<Message>,
        from: Option<SessionKey>,
        exactly_once: bool,
        now: UnixMillis,
        actions: &mut Actions,
    ) -> Gate {
        let mut kept = 0;
        self.retain(tenant_index, &message, &mut kept, actions);
        let chosen = self.route(
            tenant_index,
            &message,
            Origin::Here(from),
            &mut kept,
            now,
            actions,
        );
        let to = self.wanted_by(&message, &chosen);
        if to.is_empty() {
            return Gate::NONE;
        }
        let chosen: Chosen = chosen.into();
        let is_alone = self.config.nodes < 2;
        let relay = (exactly_once && !is_alone)
            .then(|| self.journal.relay(&message, &chosen, false, &mut kept, actions));
        let after = match relay {
            Some(_) => self.journal.step(),
            None => Gate::NONE,
        };
        let gate = self.journal.forward();
        actions.push(Action::Forward(Forward {
            message,
            chosen,
            relay,
            after,
            to,
            is_handed: false,
        }));
        if is_alone { Gate::NONE } else { gate }
    }

    /// The other nodes that may have somebody who listens, or that were chosen. What stays on its topic is for all.
    fn wanted_by(&self, message: &Message, chosen: &[(Arc<str>, NodeIndex)]) -> Nodes {
        let interests = self.interests.as_ref().filter(|_| !message.is_retained());
        let listening = interests.map_or(Nodes::ALL, |interests| {
            interests.nodes(message.tenant(), message.topic())
        });
        let chosen = chosen.iter().map(|(_, node)| Nodes::one(*node));
        chosen.fold(listening, Nodes::and).without(self.config.index)
    }

    /// An event about a client: as a message of the server's own.
    pub(super) fn publish_event(
        &mut self,
        tenant_index: usize,
        mut event: Arc<Message>,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        Message::begin(&mut event, self.journal.stamp(self.config.index, now));
        self.publish_everywhere(tenant_index, event, None, false, now, actions);
    }

    /// A message of the server or its API.
    pub(super) fn publish_own(&mut self, mut message: Arc<Message>, now: UnixMillis, actions: &mut Actions) {
        Message::begin(&mut message, self.journal.stamp(self.config.index, now));
        let tenant_index = self.tenant_index(*message.tenant());
        self.publish_everywhere(tenant_index, message, None, false, now, actions);
    }

    /// A message that began on another node.
    pub(super) fn forwarded(
        &mut self,
        from: NodeIndex,
        forward: &Forward,
        now: UnixMillis,
        actions: &mut Actions,
    ) {
        if let Some(number) = forward.relay {
            let seen = self.seen.entry(from).or_default();
            if number <= *seen {
                return;
            }
            *seen = number;
            self.journal.keep(Record::Seen { from, number }, actions);
        }
        let message = &forward.message;
        let here = self.config.index;
        let ours = forward
            .chosen
            .iter()
            .filter(|(_, node)| *node == here && message.qos() != QoS::AtMostOnce);
        let tenant_index = match self.tenant_indices.get(message.tenant()) {
            Some(index) => *index,
            None if message.is_retained() || ours.clone().next().is_some() => {
                self.tenant_index(*message.tenant())
            }
            None => return,
        };
        if forward.is_handed {
            return ours.for_each(|(filter, _)| self.handed(tenant_index, filter, message, now, actions));
        }
        let mut kept = 0;
        self.retain(tenant_index, message, &mut kept, actions);
        let origin = Origin::Elsewhere(&forward.chosen);
        let served = self.route(tenant_index, message, origin, &mut kept, now, actions);
        // The member that the other node knew of is gone.
        for (filter, _) in ours.filter(|(filter, _)| served.iter().all(|(one, _)| one != filter)) {
            self.hand_over(tenant_index, filter, message, now, actions);
        }
    }

    /// To those of this node who listen. The index is that of the message's own tenant.
    fn route(
        &mut self,
        tenant_index: usize,
        message: &Arc<Message>,
        origin: Origin<'_>,
        kept: &mut u64,
        now: UnixMillis,
        actions: &mut Actions,
    ) -> Vec<(Arc<str>, NodeIndex)> {
        let tenant = self.tenants.get(tenant_index);
        let (Some(tenant), Ok(topic)) = (tenant, TopicName::new(message.topic())) else {
            return Vec::new();
        };
        let mut matched = std::mem::take(&mut self.matched);
        let from = match origin {
            Origin::Here(from) => from,
            Origin::Elsewhere(_) => None,
        };
        tenant
            .index
            .matches(topic, self.config.matching(), from, &mut matched);
        for all in matched.found.chunk_by(|one, other| one.0 == other.0) {
            if let Some((key, _)) = all.first() {
                let offer = offer(all.iter().map(|(_, wanted)| wanted), message);
                self.deliver(*key, message, offer, kept, now, actions);
            }
        }
        let chosen = self.choose(tenant_index, &matched, message, origin);
        let mut nodes = Vec::with_capacity(chosen.len());
        for (filter, choice) in chosen {
            let node = match choice {
                Choice::Here(key, wanted) => {
                    self.give(key, &wanted, &filter, message, kept, now, actions);
                    self.config.index
                }
                Choice::There(node) => node,
            };
            nodes.push((filter, node));
        }
        self.matched = matched;
        nodes
    }

    /// Who gets the message for each shared subscription that it matches.
    fn choose(
        &mut self,
        tenant_index: usize,
        matched: &Matched,
        message: &Message,
        origin: Origin<'_>,
    ) -> Vec<(Arc<str>, Choice)> {
        let (can_wait, here) = (message.qos() != QoS::AtMostOnce, self.config.index);
        let Some(tenant) = self.tenants.get_mut(tenant_index) else {
            return Vec::new();
        };
        let mut chosen = Vec::new();
        for filter in &matched.shared {
            let choice = match origin {
                Origin::Here(_) => tenant.index.choose(filter, can_wait),
                Origin::Elsewhere(nodes) => {
                    // What the other node has not heard of yet, it has not chosen for: the first that has members does.
                    let is_ours = match nodes.iter().find(|(one, _)| one == filter) {
                        Some((_, node)) => *node == here,
                        None => tenant.index.is_first(filter, here),
                    };
                    is_ours
                        .then(|| tenant.index.choose_here(filter, can_wait))
                        .flatten()
                }
            };
            chosen.extend(choice.map(|choice| (Arc::clone(filter), choice)));
        }
        chosen
    }
}

/// What all matching subscriptions of one session ask for together: one copy, with the highest QoS (`[MQTT-3.3.4-2]`) and the
/// identifiers of all (`[MQTT-3.3.4-4]`).
pub(super) fn offer<'a>(wanted: impl Iterator<Item = &'a Wanted> + Clone, message: &Message) -> Offer {
    let qos = wanted.clone().map(|wanted| wanted.qos).max().unwrap_or_default();
    let as_published = wanted.clone().any(|wanted| wanted.retain_as_published);
    Offer {
        qos: qos.min(message.qos()),
        retain: message.is_retained() && as_published,
        identifiers: wanted.filter_map(|wanted| wanted.identifier).collect(),
        shared: None,
    }
}

fn refusal(kind: PacketType, id: PacketId, reason: v5::Reason, words: Option<&str>) -> Outgoing {
    let properties = reason_string(words);
    let properties = properties_of(&properties);
    let answer = Acknowledgement {
        id,
        reason,
        properties,
    };
    Outgoing::written(|out| v5::encode::acknowledgement(out, kind, &answer))
}

/// The topic that an alias stands for. Only servers put identifiers of subscriptions into a PUBLISH. What is wrong here costs the
/// connection.
fn resolve(
    session: &mut Session,
    publish: &Publish<'_>,
    config: &Config,
) -> Result<Option<Arc<str>>, Reason> {
    if publish.delivery.qos() == QoS::ExactlyOnce {
        if !config.switches.exactly_once {
            return Err(Reason::Violation(Violation::ExactlyOnce(PacketType::Publish)));
        }
        let (found, limit) = (session.inbound.len() + 1, usize::from(config.limits.receive_max));
        check_limit("RECEIVE_MAX", found, limit)?;
    }
    let Some(terms) = session.live.as_mut().and_then(|live| live.terms.as_mut()) else {
        return Ok(None);
    };
    let mut properties = publish.properties;
    if properties.any(|property| matches!(property, Property::SubscriptionIdentifier(_))) {
        return Err(Reason::Rule(
            "a client's PUBLISH has a subscription identifier [MQTT-3.3.4-6]",
        ));
    }
    terms.topic(publish, &config.limits)
}

/// What a client publishes, as a message of its tenant.
fn accept(
    session: &Session,
    topic: TopicName<'_>,
    publish: &Publish<'_>,
    config: &Config,
    now: UnixMillis,
) -> Result<Arc<Message>, Reason> {
    check_message(topic, publish.payload, config)?;
    let live = session.live.as_ref().ok_or(Reason::TrustWithdrawn)?;
    live.check(PolicyAction::Publish, Resource::topic(topic.as_str()), now)?;
    if publish.retain {
        live.check(PolicyAction::RetainPublish, Resource::topic(topic.as_str()), now)?;
    }
    let (payload, qos) = (publish.payload, publish.delivery.qos());
    let expiry = terms::expiry_seconds(publish.properties, config);
    let message = Message::with_properties(session.tenant, topic, payload, qos, publish.properties, expiry);
    let message = message.map_err(|_| too_long(payload, &config.limits))?;
    Ok(if publish.retain {
        Message::retained(message)
    } else {
        message
    })
}

const fn too_long(payload: &[u8], limits: &Limits) -> Reason {
    Reason::Limit {
        name: "PAYLOAD_BYTES_MAX",
        found: payload.len(),
        limit: limits.payload_bytes_max,
    }
}
