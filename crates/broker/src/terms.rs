//! What was agreed on with a client that speaks MQTT 5.0: what it said in its CONNECT, what it is told in the CONNACK, and the
//! topics it replaced by numbers since.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;

use mqtt::v5::{self, Connect, Properties, Property, Publish};
use mqtt::{TopicName, v5::Reason as Told};

use crate::action::Outgoing;
use crate::limits::{ANSWER_BYTES_MAX, Limits, REASON_BYTES_MAX};
use crate::node::Config;
use crate::refusal::Reason;

/// What a client of MQTT 5.0 and this node know of each other.
#[derive(Debug)]
pub(crate) struct Terms {
    /// The longest packet the client takes.
    pub(crate) packet_bytes_max: usize,
    /// Messages it takes at once, if it said so.
    pub(crate) receive_max: Option<u16>,
    /// What it asked its session to outlive it by.
    pub(crate) session_expiry_seconds: u32,
    /// It wants to be told why something failed.
    pub(crate) wants_reasons: bool,
    /// By number, from 1. Empty until the first alias.
    aliases: Vec<Option<Arc<str>>>,
}

impl Terms {
    pub(crate) fn of(connect: &Connect<'_>) -> Self {
        let mut terms = Self {
            packet_bytes_max: usize::MAX,
            receive_max: None,
            session_expiry_seconds: 0,
            wants_reasons: true,
            aliases: Vec::new(),
        };
        for property in connect.properties {
            match property {
                Property::MaximumPacketBytes(bytes) => terms.packet_bytes_max = bytes.get() as usize,
                Property::ReceiveMaximum(messages) => terms.receive_max = Some(messages.get()),
                Property::SessionExpirySeconds(seconds) => terms.session_expiry_seconds = seconds,
                Property::RequestProblemInformation(wanted) => terms.wants_reasons = wanted,
                _ => {}
            }
        }
        terms
    }

    /// The client wants its session to outlive the connection.
    pub(crate) const fn asks_to_stay(&self) -> bool {
        self.session_expiry_seconds > 0
    }

    /// It wants to be told why something failed, and takes packets that are long enough for it (`[MQTT-3.4.2-2]` and its kin).
    pub(crate) const fn takes_words(&self) -> bool {
        self.wants_reasons && self.packet_bytes_max >= REASON_BYTES_MAX + ANSWER_BYTES_MAX
    }

    /// The session expiry that a goodbye asks for, if it does. It may not make a session live on that was to end with its
    /// connection (section 3.14.2.2.2).
    pub(crate) fn goodbye(&self, mut properties: Properties<'_>) -> Result<Option<u32>, Reason> {
        let asked = properties.find_map(|property| match property {
            Property::SessionExpirySeconds(seconds) => Some(seconds),
            _ => None,
        });
        if !self.asks_to_stay() && asked.is_some_and(|seconds| seconds > 0) {
            return Err(Reason::Rule(
                "DISCONNECT has a session expiry where CONNECT had none (MQTT 5.0 section 3.14.2.2.2)",
            ));
        }
        Ok(asked)
    }

    /// The topic of a PUBLISH, by name or by number; a name with a number is remembered (section 3.3.2.3.4).
    pub(crate) fn topic(
        &mut self,
        publish: &Publish<'_>,
        limits: &Limits,
    ) -> Result<Option<Arc<str>>, Reason> {
        let Some(alias) = publish.topic_alias() else {
            return Ok(None);
        };
        if alias > limits.topic_aliases_max {
            let (found, limit) = (usize::from(alias), usize::from(limits.topic_aliases_max));
            return Err(Reason::Limit {
                name: "TOPIC_ALIASES_MAX",
                found,
                limit,
            });
        }
        let index = usize::from(alias) - 1;
        if self.aliases.len() <= index {
            self.aliases.resize(index + 1, None);
        }
        let unknown = Reason::Rule("topic alias stands for no topic yet (MQTT 5.0 section 3.3.2.3.4)");
        match (self.aliases.get_mut(index), publish.topic) {
            (Some(known), Some(topic)) => {
                // A longer one is refused right after this, and must not be kept.
                let fits = topic.as_str().len() <= limits.topic_bytes_max;
                *known = fits.then(|| topic.as_str().into());
                Ok(None)
            }
            (Some(Some(known)), None) => Ok(Some(Arc::clone(known))),
            _ => Err(unknown),
        }
    }

    /// The CONNACK of a client that is let in: what this server offers (AWS IoT developer guide, "MQTT 5 supported features").
    pub(crate) fn welcome(&self, connect: &Connect<'_>, welcome: &Welcome<'_>, config: &Config) -> Outgoing {
        let (limits, switches) = (&config.limits, &config.switches);
        let assigned = connect.client_id.is_empty().then_some(welcome.client_id);
        let changed = welcome.expiry_seconds != self.session_expiry_seconds;
        let keep_alive = welcome.keep_alive_seconds;
        let properties = [
            changed.then_some(Property::SessionExpirySeconds(welcome.expiry_seconds)),
            NonZeroU16::new(limits.receive_max).map(Property::ReceiveMaximum),
            (!switches.exactly_once).then_some(Property::MaximumQoSIs1(true)),
            Some(Property::RetainAvailable(true)),
            NonZeroU32::new(limits.packet_bytes_max).map(Property::MaximumPacketBytes),
            assigned.map(Property::AssignedClientIdentifier),
            Some(Property::TopicAliasMaximum(limits.topic_aliases_max)),
            Some(Property::WildcardSubscriptionAvailable(true)),
            Some(Property::SubscriptionIdentifiersAvailable(
                switches.subscription_identifiers,
            )),
            Some(Property::SharedSubscriptionAvailable(true)),
            keep_alive.map(Property::ServerKeepAliveSeconds),
        ];
        answer(
            Told::Success,
            welcome.session_present,
            properties.into_iter().flatten(),
        )
    }
}

/// What a client that is let in is told.
pub(crate) struct Welcome<'a> {
    pub(crate) session_present: bool,
    pub(crate) client_id: &'a str,
    pub(crate) expiry_seconds: u32,
    /// None: the client's own.
    pub(crate) keep_alive_seconds: Option<u16>,
}

/// A CONNACK of MQTT 5.0.
pub(crate) fn answer<'a>(
    reason: Told,
    session_present: bool,
    properties: impl IntoIterator<Item = Property<'a>>,
) -> Outgoing {
    let mut bytes = Vec::new();
    for property in properties {
        let _short = Properties::append(&mut bytes, property);
    }
    let properties = Properties::new(&bytes, v5::Place::ConnectAnswer).unwrap_or_default();
    let answer = v5::ConnectAnswer {
        session_present,
        reason,
        properties,
    };
    Outgoing::written(|out| v5::encode::connect_answer(out, &answer))
}

/// How long a message lives: at least a second, at most the limit (AWS IoT developer guide, "Message expiry").
pub(crate) fn expiry_seconds(mut properties: Properties<'_>, config: &Config) -> Option<u32> {
    let least = u32::from(!config.switches.expiry_of_zero);
    let most = config.limits.message_expiry_seconds_max;
    properties.find_map(|property| match property {
        Property::MessageExpirySeconds(seconds) => Some(seconds.clamp(least, most)),
        _ => None,
    })
}

/// How long after the connection a will is published (section 3.1.3.2.2).
pub(crate) fn will_delay_seconds(mut properties: Properties<'_>) -> u32 {
    properties
        .find_map(|property| match property {
            Property::WillDelaySeconds(seconds) => Some(seconds),
            _ => None,
        })
        .unwrap_or(0)
}

/// A topic that was a name all along, or is one again.
pub(crate) fn name<'a>(publish: &Publish<'a>, known: Option<&'a str>) -> Option<TopicName<'a>> {
    match known {
        Some(known) => TopicName::new(known).ok(),
        None => publish.topic,
    }
}
