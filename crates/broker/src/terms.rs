//! What was agreed on with a client that speaks MQTT 5.0: what it said in its CONNECT, what it is told in the CONNACK, and the
//! topics it replaced by numbers since.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;

use mqtt::v5::{self, Connect, Properties, Property, Publish};
use mqtt::{TopicName, v5::Reason as Told};

use crate::action::Outgoing;
use crate::limits::Limits;
use crate::refusal::Reason;

/// What a client of MQTT 5.0 and this node know of each other.
#[derive(Debug)]
pub(crate) struct Terms {
    /// The longest packet the client takes.
    pub(crate) packet_bytes_max: usize,
    /// Messages it takes at once, if it said so.
    pub(crate) receive_max: Option<u16>,
    /// What it asked its session to outlive it by.
    session_expiry_seconds: u32,
    /// By number, from 1. Empty until the first alias.
    aliases: Vec<Option<Arc<str>>>,
}

impl Terms {
    pub(crate) fn of(connect: &Connect<'_>) -> Self {
        let mut terms = Self {
            packet_bytes_max: usize::MAX,
            receive_max: None,
            session_expiry_seconds: 0,
            aliases: Vec::new(),
        };
        for property in connect.properties {
            match property {
                Property::MaximumPacketBytes(bytes) => terms.packet_bytes_max = bytes.get() as usize,
                Property::ReceiveMaximum(messages) => terms.receive_max = Some(messages.get()),
                Property::SessionExpirySeconds(seconds) => terms.session_expiry_seconds = seconds,
                _ => {}
            }
        }
        terms
    }

    /// The client wants its session to outlive the connection.
    pub(crate) const fn asks_to_stay(&self) -> bool {
        self.session_expiry_seconds > 0
    }

    /// A goodbye may not make a session live on that was to end with its connection (section 3.14.2.2.2).
    pub(crate) fn check_goodbye(&self, mut properties: Properties<'_>) -> Result<(), Reason> {
        let outlives = |property| matches!(property, Property::SessionExpirySeconds(seconds) if seconds > 0);
        if !self.asks_to_stay() && properties.any(outlives) {
            return Err(Reason::Rule(
                "DISCONNECT has a session expiry where CONNECT had none [MQTT-3.14.2-2]",
            ));
        }
        Ok(())
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

    /// The CONNACK of a client that is let in: what this server offers (AWS IoT developer guide, "MQTT 5 supported features"), less
    /// what it does not serve yet, which MQTT 5.0 lets a server say. Sessions do not outlive their connection.
    pub(crate) fn welcome(
        &self,
        connect: &Connect<'_>,
        client_id: &str,
        keep_alive_seconds: u16,
        limits: &Limits,
    ) -> Outgoing {
        let assigned = connect.client_id.is_empty().then_some(client_id);
        let properties = [
            self.asks_to_stay().then_some(Property::SessionExpirySeconds(0)),
            NonZeroU16::new(limits.receive_max).map(Property::ReceiveMaximum),
            Some(Property::MaximumQoSIs1(true)),
            Some(Property::RetainAvailable(false)),
            NonZeroU32::new(limits.packet_bytes_max).map(Property::MaximumPacketBytes),
            assigned.map(Property::AssignedClientIdentifier),
            Some(Property::TopicAliasMaximum(limits.topic_aliases_max)),
            Some(Property::WildcardSubscriptionAvailable(true)),
            Some(Property::SubscriptionIdentifiersAvailable(false)),
            Some(Property::SharedSubscriptionAvailable(false)),
            Some(Property::ServerKeepAliveSeconds(keep_alive_seconds)),
        ];
        answer(Told::Success, properties.into_iter().flatten())
    }
}

/// A CONNACK of MQTT 5.0.
pub(crate) fn answer<'a>(reason: Told, properties: impl IntoIterator<Item = Property<'a>>) -> Outgoing {
    let mut bytes = Vec::new();
    for property in properties {
        let _short = Properties::append(&mut bytes, property);
    }
    let properties = Properties::new(&bytes, v5::Place::ConnectAnswer).unwrap_or_default();
    Outgoing::written(|out| {
        v5::encode::connect_answer(
            out,
            &v5::ConnectAnswer {
                session_present: false,
                reason,
                properties,
            },
        )
    })
}

/// How long a message lives: at least a second, at most the limit (AWS IoT developer guide, "Message expiry").
pub(crate) fn expiry_seconds(properties: Properties<'_>, limits: &Limits) -> Option<u32> {
    let mut properties = properties;
    properties.find_map(|property| match property {
        Property::MessageExpirySeconds(seconds) => Some(seconds.clamp(1, limits.message_expiry_seconds_max)),
        _ => None,
    })
}

/// A topic that was a name all along, or is one again.
pub(crate) fn name<'a>(publish: &Publish<'a>, known: Option<&'a str>) -> Option<TopicName<'a>> {
    match known {
        Some(known) => TopicName::new(known).ok(),
        None => publish.topic,
    }
}
