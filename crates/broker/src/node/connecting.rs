//! CONNECT: who may come in, under which name, and with which will (MQTT 3.1.1 section 3.1; AWS IoT developer guide, "MQTT").

use std::borrow::Cow;
use std::sync::Arc;

use identity::UnixMillis;
use mqtt::v5::{self, Connect, Property};
use mqtt::{ConnectAnswer, ConnectReturn, KeepAlive, PacketType, Version, Will, encode};
use policy::{Context, Grant, Request, Resource};

use crate::action::{Action, Actions, CloseReason, Outgoing};
use crate::event::{Attach, SessionId};
use crate::limits::Limits;
use crate::message::Message;
use crate::outbound::Outbound;
use crate::presence::{self, Subject};
use crate::refusal::{AUTHENTICATION, Attempt, Reason, Refusal};
use crate::session::{Session, check};
use crate::terms::{self, Terms};
use crate::topics::{check_limit, check_will};

use super::Node;

const PERSISTENT: &str = "persistent sessions are not served yet, connect with CleanSession 1";

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
            !self.sessions.contains_key(&connection),
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
        let stays = terms
            .as_ref()
            .map_or(!connect.clean_start, |terms| terms.asks_to_stay());
        let context = context.with_connect_attributes(stays, will_topic);
        let will = match self.admit(speaks, &connect, &grant, &context, now) {
            Ok(will) => will,
            Err(refused) => {
                let refusal = Refusal {
                    connection,
                    tenant: grant.tenant,
                    certificate: grant.certificate,
                    client_id,
                    attempt: refused.1,
                    reason: refused.2,
                };
                let event = self.refuse_connect(speaks, refused.0, refusal, &context, id, now, actions);
                if let Some(event) = event {
                    self.publish_everywhere(tenant_index, event, None, now, actions);
                }
                return;
            }
        };

        let version = self.take_over(&client_id, tenant_index, now, actions);
        let keep_alive = KeepAlive::new(keep_alive_seconds(
            connect.keep_alive_seconds,
            &self.config.limits,
        ));
        if let Some(tenant) = self.tenants.get_mut(tenant_index) {
            tenant.enter(&client_id, grant.certificate, connection);
        }
        let session = Session {
            connection,
            tenant_index,
            client_id,
            grant,
            context,
            id,
            version,
            keep_alive,
            heard: now,
            deadline: None,
            will,
            subscriptions: Vec::new(),
            outbound: Outbound::new(
                &self.config.limits,
                terms.as_ref().and_then(|terms| terms.receive_max),
            ),
            refusals_told: 0,
            terms,
        };
        let event = presence::connected(&session, now);
        let welcome = match &session.terms {
            Some(terms) => terms.welcome(
                &connect,
                &session.client_id,
                keep_alive.seconds(),
                &self.config.limits,
            ),
            None => answer(ConnectReturn::Accepted),
        };
        self.sessions.insert(connection, Box::new(session));
        self.schedule(connection);
        self.counters.attached += 1;
        actions.push(Action::Attached { connection });
        actions.send(connection, welcome);
        if let Some(event) = event {
            self.publish_everywhere(tenant_index, event, None, now, actions);
        }
    }

    /// Everything that must hold before a client is let in; its will, ready to be published.
    fn admit(
        &self,
        speaks: Version,
        connect: &Connect<'_>,
        grant: &Grant,
        context: &Context,
        now: UnixMillis,
    ) -> Result<Option<Arc<Message>>, Refused> {
        let limits = &self.config.limits;
        check_client_id(speaks, connect, limits)
            .map_err(|reason| Refused(ConnectReturn::IdentifierRejected, Attempt::Connect, reason))?;
        let resource = Resource::client(context.client_id());
        check(
            grant,
            &Request {
                action: policy::Action::Connect,
                resource,
                context,
                now,
            },
        )
        .map_err(|reason| Refused(ConnectReturn::NotAuthorized, Attempt::Connect, reason))?;
        let mut properties = connect.properties;
        if properties.any(|property| matches!(property, Property::AuthenticationMethod(_))) {
            let reason = Reason::NotServed(AUTHENTICATION);
            return Err(Refused(ConnectReturn::NotAuthorized, Attempt::Connect, reason));
        }
        // MQTT 5.0 lets the server say that the session ends with its connection, 3.1.1 does not.
        if speaks == Version::V3 && !connect.clean_start {
            let reason = Reason::NotServed(PERSISTENT);
            return Err(Refused(
                ConnectReturn::ServerUnavailable,
                Attempt::Connect,
                reason,
            ));
        }
        check_limit("CONNECTIONS_MAX", self.sessions.len() + 1, limits.connections_max)
            .map_err(|reason| Refused(ConnectReturn::ServerUnavailable, Attempt::Connect, reason))?;
        connect
            .will
            .map(|will| admit_will(&will, connect.will_properties, grant, context, limits, now))
            .transpose()
    }

    /// Answers and closes; the event about it is still to be published.
    #[expect(clippy::too_many_arguments, reason = "all of a CONNECT that came to nothing")]
    fn refuse_connect(
        &mut self,
        speaks: Version,
        code: ConnectReturn,
        refusal: Refusal,
        context: &Context,
        session: SessionId,
        now: UnixMillis,
        actions: &mut Actions,
    ) -> Option<Arc<Message>> {
        self.counters.refused += 1;
        let subject = Subject {
            tenant: &refusal.tenant,
            client_id: &refusal.client_id,
            certificate: context.certificate_id(),
            session,
        };
        let unauthorized = matches!(refusal.reason, Reason::Policy { .. });
        let event = unauthorized
            .then(|| presence::connect_failed(subject, context.source_ip(), now))
            .flatten();
        let connection = refusal.connection;
        let answer = match speaks {
            Version::V3 => answer(code),
            Version::V5 => answer_v5(refusal.reason.told(&refusal.attempt)),
        };
        actions.send(connection, answer);
        actions.push(Action::Refused(refusal));
        actions.close(connection, CloseReason::ConnectRefused);
        event
    }

    /// Ends the connection that has the client id now (`[MQTT-3.1.4-2]`). The version is that of the new session: the time, so
    /// that it rises across nodes and restarts, and always above that of the one before.
    fn take_over(
        &mut self,
        client_id: &str,
        tenant_index: usize,
        now: UnixMillis,
        actions: &mut Actions,
    ) -> i64 {
        let tenant = self.tenants.get(tenant_index);
        let before = tenant.and_then(|tenant| tenant.clients.get(client_id)).copied();
        let Some(before) = before else { return now.0 };
        let version = self.sessions.get(&before).map_or(0, |session| session.version);
        self.close(before, CloseReason::DuplicateClientId, now, actions);
        now.0.max(version + 1)
    }
}

fn admit_will(
    will: &Will<'_>,
    properties: v5::Properties<'_>,
    grant: &Grant,
    context: &Context,
    limits: &Limits,
    now: UnixMillis,
) -> Result<Arc<Message>, Refused> {
    let attempt = || Attempt::Will(will.topic.as_str().into());
    check_will(will, limits)
        .map_err(|reason| Refused(ConnectReturn::ServerUnavailable, attempt(), reason))?;
    let resource = Resource::topic(will.topic.as_str());
    check(
        grant,
        &Request {
            action: policy::Action::Publish,
            resource,
            context,
            now,
        },
    )
    .map_err(|reason| Refused(ConnectReturn::NotAuthorized, attempt(), reason))?;
    let expiry = terms::expiry_seconds(properties, limits);
    let (topic, payload) = (will.topic, will.payload);
    Message::with_properties(grant.tenant, topic, payload, will.qos, properties, expiry).map_err(|_| {
        let reason = Reason::Limit {
            name: "TOPIC_BYTES_MAX",
            found: will.topic.as_str().len(),
            limit: limits.topic_bytes_max,
        };
        Refused(ConnectReturn::ServerUnavailable, attempt(), reason)
    })
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

/// None and too long become the longest, too short becomes the shortest (AWS IoT Core quotas, "Keep-alive interval").
fn keep_alive_seconds(asked: u16, limits: &Limits) -> u16 {
    let (min, max) = (limits.keep_alive_seconds_min, limits.keep_alive_seconds_max);
    if asked == 0 { max } else { asked.clamp(min, max) }
}

/// Codes that a CONNACK may not carry become the one that says least.
fn answer_v5(told: v5::Reason) -> Outgoing {
    let told = match told.fits(PacketType::ConnAck) {
        true => told,
        false => v5::Reason::UnspecifiedError,
    };
    terms::answer(told, [])
}

fn answer(code: ConnectReturn) -> Outgoing {
    Outgoing::FourBytes(encode::connect_answer(ConnectAnswer {
        session_present: false,
        code,
    }))
}
