//! CONNECT: who may come in, under which name, and with which will (MQTT 3.1.1 section 3.1; AWS IoT developer guide, "MQTT").

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use identity::{Tenant, UnixMillis};
use mqtt::v5::{self, Connect, Property};
use mqtt::{ConnectAnswer, ConnectReturn, KeepAlive, PacketType, Version, Will, encode};
use policy::{Context, Grant, Request, Resource};

use crate::action::{Action, Actions, CloseReason, Gate, Outgoing};
use crate::event::{Attach, SessionId};
use crate::limits::Limits;
use crate::message::Message;
use crate::outbound::Outbound;
use crate::presence::{self, Subject};
use crate::record::{KeptWill, Record, SessionKey};
use crate::refusal::{AUTHENTICATION, Attempt, Reason, Refusal};
use crate::session::{LastWill, Live, Session, check};
use crate::terms::{self, Terms, Welcome};
use crate::topics::{check_limit, check_will};

use super::Node;

/// The client id that a CONNECT leads to: its own, or one made for a client that leaves it to the server (`[MQTT-3.1.3-6]`).
#[must_use]
pub fn client_id<'a>(connect: &Connect<'a>, session: SessionId) -> Cow<'a, str> {
    if connect.client_id.is_empty() {
        Cow::Owned(session.to_string())
    } else {
        Cow::Borrowed(connect.client_id)
    }
}

/// What a refused CONNECT is answered, and what is written down about it.
struct Refused(ConnectReturn, Attempt, Reason);

impl Node {
    pub(super) fn attach(&mut self, attach: Attach<'_>, now: UnixMillis, actions: &mut Actions) {
        let Attach {
            connection,
            grant,
            context,
            session: id,
            version: speaks,
            connect,
        } = attach;
        let client_id: Arc<str> = client_id(&connect, id).into();
        assert!(
            !self.connections.contains_key(&connection),
            "{connection} is attached already"
        );
        assert!(
            context.client_id() == &*client_id,
            "the context is of another client id"
        );

        let tenant_index = self.tenant_index(grant.tenant);
        if self
            .tenants
            .get(tenant_index)
            .is_some_and(|tenant| tenant.is_outdated(grant.certificate, grant.epoch))
        {
            return actions.push(Action::LookAgain { connection });
        }
        let will_topic = connect.will.map(|will| will.topic.as_str());
        let terms = (speaks == Version::V5).then(|| Box::new(Terms::of(&connect)));
        let expiry_seconds = self.expiry_seconds(&connect, terms.as_deref());
        let context = context.with_connect_attributes(expiry_seconds > 0, will_topic);
        let asking = Asking {
            speaks,
            connect: &connect,
            grant: &grant,
            context: &context,
            expiry_seconds,
        };
        let will = match self.admit(&asking, now) {
            Ok(will) => will,
            Err(refused) => {
                let refusal = Refusal {
                    connection: Some(connection),
                    tenant: grant.tenant,
                    certificate: Some(grant.certificate),
                    client_id,
                    attempt: refused.1,
                    reason: refused.2,
                };
                let event = self.refuse_connect(&asking, refused.0, refusal, id, now, actions);
                if let Some(event) = event {
                    self.publish_event(tenant_index, event, now, actions);
                }
                return;
            }
        };

        let version = self.take_over(&client_id, tenant_index, now, actions);
        let resumed = self.resumable(&asking, tenant_index, &client_id, now, actions);
        let session_present = resumed.is_some();
        // What an earlier connection of this client changed, and perhaps was never told.
        let settled = match resumed.and_then(|key| self.sessions.get(&key)) {
            Some(session) => session.settled,
            None => self.journal.ended(),
        };
        let key = match resumed {
            Some(key) => key,
            None => self.begin_session(
                tenant_index,
                grant.tenant,
                &client_id,
                speaks,
                expiry_seconds,
                actions,
            ),
        };
        let keep_alive_seconds = self.keep_alive_seconds(connect.keep_alive_seconds);
        let live = Live {
            connection,
            grant,
            context,
            id,
            version,
            keep_alive: KeepAlive::new(keep_alive_seconds),
            heard: now,
            refusals_told: 0,
            answers_after: settled,
            terms,
        };
        let event = self.event(|| presence::connected(&client_id, &live, now));
        let welcome = match &live.terms {
            Some(terms) => {
                let told = connect.keep_alive_seconds != keep_alive_seconds
                    || !self.config.switches.keep_alive_of_client;
                let welcome = Welcome {
                    session_present,
                    client_id: &client_id,
                    expiry_seconds,
                    keep_alive_seconds: told.then_some(keep_alive_seconds),
                };
                terms.welcome(&connect, &welcome, &self.config)
            }
            None => answer(ConnectReturn::Accepted, session_present),
        };
        // What ended or began with this must be durable before the client hears of it; that it is here now need not be.
        let after = self.journal.step();
        self.enter(key, live, expiry_seconds, will, actions);
        self.counters.attached += 1;
        self.counters.resumed += u64::from(session_present);
        actions.push(Action::Attached { connection });
        self.answer(key, welcome, after, actions);
        self.tell_shares(key, true, actions);
        if let Some(event) = event {
            self.publish_event(tenant_index, event, now, actions);
        }
        self.catch_up(key, now, actions);
    }

    /// The session has a connection.
    fn enter(
        &mut self,
        key: SessionKey,
        live: Live,
        expiry_seconds: u32,
        mut will: Option<Box<LastWill>>,
        actions: &mut Actions,
    ) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if let Some(tenant) = self.tenants.get_mut(session.tenant_index) {
            tenant.enter(live.grant.certificate, key);
        }
        self.connections.insert(live.connection, key);
        session.live = Some(Box::new(live));
        session.absence = None;
        session.expiry_seconds = expiry_seconds;
        if self.kept.contains(&key) {
            if let Some(will) = &mut will {
                let message = Arc::clone(&will.message);
                self.journal.message(&message, &mut will.kept, actions);
            }
            let will = will.as_ref().map(|will| KeptWill {
                message: will.kept,
                delay_seconds: will.delay_seconds,
            });
            let record = Record::Attached {
                key,
                expiry_seconds,
                will,
            };
            self.journal.keep(record, actions);
        }
        // An earlier will that still waited is not published (`[MQTT-3.1.3-9]`).
        session.will = will;
        self.schedule(key);
    }

    fn begin_session(
        &mut self,
        tenant_index: usize,
        tenant: Tenant,
        client_id: &Arc<str>,
        speaks: Version,
        expiry_seconds: u32,
        actions: &mut Actions,
    ) -> SessionKey {
        self.last_key += 1;
        let key = SessionKey(self.last_key);
        let session = Session {
            key,
            tenant_index,
            tenant,
            client_id: Arc::clone(client_id),
            speaks,
            expiry_seconds,
            subscriptions: Vec::new(),
            outbound: Outbound::default(),
            inbound: BTreeSet::new(),
            will: None,
            live: None,
            settled: Gate::NONE,
            absence: None,
            deadline: None,
        };
        if let Some(tenant) = self.tenants.get_mut(tenant_index) {
            tenant.clients.insert(Arc::clone(client_id), key);
        }
        if session.is_kept() {
            self.kept.insert(key);
            self.journal.keep(session.record(), actions);
        }
        self.sessions.insert(key, Box::new(session));
        key
    }

    /// How long the session will outlive its connection.
    fn expiry_seconds(&self, connect: &Connect<'_>, terms: Option<&Terms>) -> u32 {
        let most = self.config.limits.session_expiry_seconds_max;
        match terms {
            Some(terms) => terms.session_expiry_seconds.min(most),
            None if connect.clean_start => 0,
            None => most,
        }
    }

    /// None and too long become the longest, too short becomes the shortest (AWS IoT Core quotas, "Keep-alive interval").
    fn keep_alive_seconds(&self, asked: u16) -> u16 {
        let limits = &self.config.limits;
        let (min, max) = (limits.keep_alive_seconds_min, limits.keep_alive_seconds_max);
        match asked {
            0 if self.config.switches.keep_alive_of_client => 0,
            0 => max,
            asked => asked.clamp(min, max),
        }
    }

    /// Everything that must hold before a client is let in; its will, ready to be published.
    fn admit(&self, asking: &Asking<'_>, now: UnixMillis) -> Result<Option<Box<LastWill>>, Refused> {
        let (limits, connect) = (&self.config.limits, asking.connect);
        check_client_id(asking.speaks, connect, limits)
            .map_err(|reason| Refused(ConnectReturn::IdentifierRejected, Attempt::Connect, reason))?;
        let resource = Resource::client(asking.context.client_id());
        asking
            .check(policy::Action::Connect, resource, now)
            .map_err(|reason| Refused(ConnectReturn::NotAuthorized, Attempt::Connect, reason))?;
        let mut properties = connect.properties;
        if properties.any(|property| matches!(property, Property::AuthenticationMethod(_))) {
            let reason = Reason::NotServed(AUTHENTICATION);
            return Err(Refused(ConnectReturn::NotAuthorized, Attempt::Connect, reason));
        }
        let kept = self.kept.len() + usize::from(asking.expiry_seconds > 0);
        check_limit(
            "CONNECTIONS_MAX",
            self.connections.len() + 1,
            limits.connections_max,
        )
        .and_then(|()| check_limit("SESSIONS_KEPT_MAX", kept, limits.sessions_kept_max))
        .map_err(|reason| Refused(ConnectReturn::ServerUnavailable, Attempt::Connect, reason))?;
        connect
            .will
            .map(|will| self.admit_will(&will, asking, now))
            .transpose()
    }

    fn admit_will(
        &self,
        will: &Will<'_>,
        asking: &Asking<'_>,
        now: UnixMillis,
    ) -> Result<Box<LastWill>, Refused> {
        let topic = will.topic.as_str();
        let refused = |code| move |reason| Refused(code, Attempt::Will(topic.into()), reason);
        check_will(will, &self.config).map_err(refused(ConnectReturn::ServerUnavailable))?;
        let resource = Resource::topic(topic);
        asking
            .check(policy::Action::Publish, resource, now)
            .map_err(refused(ConnectReturn::NotAuthorized))?;
        if will.retain {
            asking
                .check(policy::Action::RetainPublish, resource, now)
                .map_err(refused(ConnectReturn::NotAuthorized))?;
        }
        let properties = asking.connect.will_properties;
        let expiry = terms::expiry_seconds(properties, &self.config);
        let message = Message::with_properties(
            asking.grant.tenant,
            will.topic,
            will.payload,
            will.qos,
            properties,
            expiry,
        );
        let message = message.map_err(|_| {
            let (found, limit) = (topic.len(), self.config.limits.topic_bytes_max);
            let name = "TOPIC_BYTES_MAX";
            refused(ConnectReturn::ServerUnavailable)(Reason::Limit { name, found, limit })
        })?;
        Ok(Box::new(LastWill {
            message: if will.retain {
                Message::retained(message)
            } else {
                message
            },
            kept: 0,
            delay_seconds: terms::will_delay_seconds(properties),
            due: None,
        }))
    }

    /// Answers and closes; the event about it is still to be published.
    fn refuse_connect(
        &mut self,
        asking: &Asking<'_>,
        code: ConnectReturn,
        refusal: Refusal,
        session: SessionId,
        now: UnixMillis,
        actions: &mut Actions,
    ) -> Option<Arc<Message>> {
        self.counters.refused += 1;
        let context = asking.context;
        let subject = Subject {
            tenant: &refusal.tenant,
            client_id: &refusal.client_id,
            certificate: context.principal(),
            session,
        };
        let unauthorized = matches!(refusal.reason, Reason::Policy { .. });
        let event = match unauthorized {
            true => self.event(|| presence::connect_failed(subject, context.source_ip(), now)),
            false => None,
        };
        let answer = match asking.speaks {
            Version::V3 => answer(code, false),
            Version::V5 => {
                let told = self.config.switches.reasons_told && Terms::of(asking.connect).takes_words();
                let words = told.then(|| refusal.reason.to_string());
                answer_v5(refusal.reason.told(&refusal.attempt), words.as_deref())
            }
        };
        if let Some(connection) = refusal.connection {
            actions.send(connection, answer);
            actions.push(Action::Refused(refusal));
            actions.close(connection, CloseReason::ConnectRefused);
        }
        event
    }

    /// Ends the connection that has the client id now (`[MQTT-3.1.4-2]`). The version is that of the new connection: the time,
    /// so that it rises across nodes and restarts, and always above that of the one before.
    fn take_over(
        &mut self,
        client_id: &str,
        tenant_index: usize,
        now: UnixMillis,
        actions: &mut Actions,
    ) -> i64 {
        let tenant = self.tenants.get(tenant_index);
        let before = tenant.and_then(|tenant| tenant.clients.get(client_id)).copied();
        let live =
            before.and_then(|before| self.sessions.get(&before)?.live.as_ref().map(|live| live.version));
        let (Some(before), Some(version)) = (before, live) else {
            return now.0;
        };
        self.close(before, CloseReason::DuplicateClientId, now, actions);
        now.0.max(version + 1)
    }

    /// The session that the client finds; one that it does not want, or may not have, ends (`[MQTT-3.1.2-4]` to
    /// `[MQTT-3.1.2-6]`).
    fn resumable(
        &mut self,
        asking: &Asking<'_>,
        tenant_index: usize,
        client_id: &str,
        now: UnixMillis,
        actions: &mut Actions,
    ) -> Option<SessionKey> {
        let key = *self.tenants.get(tenant_index)?.clients.get(client_id)?;
        let session = self.sessions.get_mut(&key)?;
        let same = session.speaks == asking.speaks || self.config.switches.session_across_versions;
        let over = session.expires().is_some_and(|expires| expires <= now);
        // A session of 3.1.1 goes on only as one that stays: CleanSession speaks of its end too.
        if asking.connect.clean_start || !same || over {
            self.end_session(key, now, actions);
            return None;
        }
        if session.speaks != asking.speaks {
            session.speaks = asking.speaks;
        }
        Some(key)
    }
}

/// A CONNECT that is being decided.
struct Asking<'a> {
    speaks: Version,
    connect: &'a Connect<'a>,
    grant: &'a Grant,
    context: &'a Context,
    expiry_seconds: u32,
}

impl Asking<'_> {
    fn check(&self, action: policy::Action, resource: Resource<'_>, now: UnixMillis) -> Result<(), Reason> {
        check(
            self.grant,
            &Request {
                action,
                resource,
                context: self.context,
                now,
            },
        )
    }
}

fn check_client_id(speaks: Version, connect: &Connect<'_>, limits: &Limits) -> Result<(), Reason> {
    if speaks == Version::V3 && connect.client_id.is_empty() && !connect.clean_start {
        return Err(Reason::ClientId(
            "is empty, which needs CleanSession 1 [MQTT-3.1.3-8]",
        ));
    }
    if connect.client_id.starts_with('$') {
        return Err(Reason::ClientId("begins with $, which is reserved"));
    }
    check_limit(
        "CLIENT_ID_BYTES_MAX",
        connect.client_id.len(),
        limits.client_id_bytes_max,
    )
}

/// Codes that a CONNACK may not carry become the one that says least.
fn answer_v5(told: v5::Reason, words: Option<&str>) -> Outgoing {
    let told = match told.fits(PacketType::ConnAck) {
        true => told,
        false => v5::Reason::UnspecifiedError,
    };
    terms::answer(told, false, words.map(Property::ReasonString))
}

fn answer(code: ConnectReturn, session_present: bool) -> Outgoing {
    Outgoing::FourBytes(encode::connect_answer(ConnectAnswer {
        session_present,
        code,
    }))
}
