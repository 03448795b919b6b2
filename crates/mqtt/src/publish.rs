//! PUBLISH (section 3.3): the one packet that carries what people came for, and the one whose flags mean something.

use crate::fault::Fault;
use crate::packet::{PacketId, QoS};
use crate::reader::Reader;
use crate::topic::TopicName;

/// A message on its way (section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Where it goes.
    pub topic: TopicName<'a>,
    /// What it says.
    pub payload: &'a [u8],
    /// How it is handed over.
    pub delivery: Delivery,
    /// From a client: keep it on the topic. From a server: it was kept there (section 3.3.1.3).
    pub retain: bool,
}

/// Quality of service together with what each level needs: QoS 0 has no identifier and is never a repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// QoS 0.
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce {
        /// To be named in the PUBACK.
        id: PacketId,
        /// It may have been sent before (section 3.3.1.1).
        duplicate: bool,
    },
    /// QoS 2.
    ExactlyOnce {
        /// To be named in PUBREC, PUBREL and PUBCOMP.
        id: PacketId,
        /// It may have been sent before (section 3.3.1.1).
        duplicate: bool,
    },
}

/// Flags of the fixed header (section 3.3.1).
pub(crate) mod flag {
    pub(crate) const RETAIN: u8 = 0b0001;
    pub(crate) const QOS_SHIFT: u8 = 1;
    pub(crate) const DUPLICATE: u8 = 0b1000;
}

impl Delivery {
    /// The level alone.
    #[must_use]
    pub const fn qos(self) -> QoS {
        match self {
            Self::AtMostOnce => QoS::AtMostOnce,
            Self::AtLeastOnce { .. } => QoS::AtLeastOnce,
            Self::ExactlyOnce { .. } => QoS::ExactlyOnce,
        }
    }

    /// The identifier, for the levels that have one.
    #[must_use]
    pub const fn packet_id(self) -> Option<PacketId> {
        match self {
            Self::AtMostOnce => None,
            Self::AtLeastOnce { id, .. } | Self::ExactlyOnce { id, .. } => Some(id),
        }
    }

    pub(crate) const fn flags(self) -> u8 {
        let duplicate = match self {
            Self::AtLeastOnce { duplicate: true, .. } | Self::ExactlyOnce { duplicate: true, .. } => {
                flag::DUPLICATE
            }
            _ => 0,
        };
        self.qos().bits() << flag::QOS_SHIFT | duplicate
    }
}

impl<'a> Publish<'a> {
    pub(crate) fn decode(flags: u8, mut reader: Reader<'a>) -> Result<Self, Fault> {
        let duplicate = flags & flag::DUPLICATE != 0;
        let qos = QoS::from_bits(flags >> flag::QOS_SHIFT & 0b11).ok_or(Fault::QoS("publish"))?;
        if qos == QoS::AtMostOnce && duplicate {
            return Err(Fault::DuplicateAtMostOnce);
        }
        let topic = reader.topic_name("topic name")?;
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
        Ok(Self {
            topic,
            payload: reader.rest(),
            delivery,
            retain: flags & flag::RETAIN != 0,
        })
    }
}
