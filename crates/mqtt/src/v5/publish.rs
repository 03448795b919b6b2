//! PUBLISH (section 3.3), whose topic may be a number that stands for one named before.

use crate::fault::Fault;
use crate::packet::QoS;
use crate::publish::{Delivery, flag};
use crate::reader::Reader;
use crate::topic::TopicName;

use super::flaw::Flaw;
use super::property::{Place, Properties, Property};

/// A message on its way (section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Where it goes; `None`: where the topic alias among the properties says.
    pub topic: Option<TopicName<'a>>,
    /// What it says.
    pub payload: &'a [u8],
    /// How it is handed over.
    pub delivery: Delivery,
    /// From a client: keep it on the topic. From a server: it was kept there (section 3.3.1.3).
    pub retain: bool,
    /// What is said about it.
    pub properties: Properties<'a>,
}

impl<'a> From<crate::Publish<'a>> for Publish<'a> {
    fn from(publish: crate::Publish<'a>) -> Self {
        Self {
            topic: Some(publish.topic),
            payload: publish.payload,
            delivery: publish.delivery,
            retain: publish.retain,
            properties: Properties::NONE,
        }
    }
}

impl<'a> Publish<'a> {
    /// The topic alias, if there is one; never 0 (`[MQTT-3.3.2-8]`).
    #[must_use]
    pub fn topic_alias(&self) -> Option<u16> {
        let mut properties = self.properties;
        properties.find_map(|property| match property {
            Property::TopicAlias(alias) => Some(alias.get()),
            _ => None,
        })
    }

    pub(crate) fn decode(flags: u8, reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let duplicate = flags & flag::DUPLICATE != 0;
        let qos = QoS::from_bits(flags >> flag::QOS_SHIFT & 0b11).ok_or(Fault::QoS("publish"))?;
        if qos == QoS::AtMostOnce && duplicate {
            return Err(Fault::DuplicateAtMostOnce);
        }
        let topic = match reader.string("topic name")? {
            "" => None,
            text => Some(TopicName::new(text).map_err(Fault::TopicName)?),
        };
        let delivery = match qos {
            QoS::AtMostOnce => Delivery::AtMostOnce,
            QoS::AtLeastOnce => Delivery::AtLeastOnce {
                id: reader.packet_id()?,
                duplicate,
            },
            QoS::ExactlyOnce => Delivery::ExactlyOnce {
                id: reader.packet_id()?,
                duplicate,
            },
        };
        let properties = Properties::read(reader, Place::Publish)?;
        let publish = Self {
            topic,
            payload: reader.take_rest(),
            delivery,
            retain: flags & flag::RETAIN != 0,
            properties,
        };
        if topic.is_none() && publish.topic_alias().is_none() {
            return Err(Fault::V5(Flaw::TopicMissing));
        }
        Ok(publish)
    }
}
