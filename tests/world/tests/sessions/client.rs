//! A client that keeps to MQTT: it sends again what was not acknowledged, and knows a QoS 2 message by its identifier.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use broker::ConnectionId;
use identity::{CertificateId, Tenant};
use mqtt::{
    Decoded, Delivery, Packet, PacketId, Publish, QoS, Subscription, TopicFilter, TopicName, decode, encode,
};
use policy::{Grant, NamedPolicy, Policy};

use crate::{JOBS, KEPT, TOPICS, WILLS};

/// A message that a client publishes until it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Sent,
    /// QoS 2: PUBREC came.
    Released,
}

pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) grant: Arc<Grant>,
    pub(crate) home: usize,
    pub(crate) connection: Option<ConnectionId>,
    /// Packets on their way to the node, and from it.
    pub(crate) up: VecDeque<Vec<u8>>,
    pub(crate) down: VecDeque<Vec<u8>>,
    pub(crate) welcome: bool,
    pub(crate) subscribed: bool,
    pub(crate) unanswered: BTreeMap<u16, (u64, usize, QoS, Stage)>,
    pub(crate) next_id: u16,
    /// QoS 2 identifiers that came and were not released.
    pub(crate) received: BTreeSet<u16>,
    pub(crate) got: Vec<(u64, QoS)>,
    /// The will that it left at its node, if it leaves any.
    pub(crate) will: u64,
    pub(crate) wills: BTreeSet<u64>,
}

pub(crate) fn grant(index: usize) -> Arc<Grant> {
    let all = r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#;
    let mute = r#"{"Effect": "Deny", "Action": "iot:Receive", "Resource": "arn:aws:iot:*:*:topic/secret/*"}"#;
    let statements = if index.is_multiple_of(2) {
        all.to_owned()
    } else {
        format!("[{all}, {mute}]")
    };
    let document = format!(r#"{{"Version": "2012-10-17", "Statement": {statements}}}"#);
    let policy = NamedPolicy::new("role", Policy::parse(&document).unwrap());
    let certificate = CertificateId([u8::try_from(index).unwrap(); 32]);
    Arc::new(Grant::new(Tenant::default(), certificate, 1, [policy]))
}

pub(crate) fn may_receive(client: usize, topic: usize) -> bool {
    client.is_multiple_of(2) || !TOPICS[topic].starts_with("secret/")
}

impl Client {
    /// The connection is gone with all that was on its way.
    pub(crate) fn lose(&mut self) {
        self.connection = None;
        self.up.clear();
        self.down.clear();
        self.welcome = false;
    }

    pub(crate) fn welcomed(&mut self, session_present: bool) {
        self.welcome = true;
        assert!(
            session_present || !self.subscribed,
            "{} lost its session",
            self.name
        );
        let is_member = ["c0", "c2", "c4"].contains(&&*self.name);
        let filters = ["t/#", "secret/#", "kept/#", "will/#", JOBS];
        let lines = filters.iter().take(filters.len() - usize::from(!is_member));
        let lines = lines.map(|filter| Subscription {
            filter: TopicFilter::new(filter).unwrap(),
            qos: QoS::ExactlyOnce,
        });
        if !self.subscribed && self.name != "c5" {
            let mut bytes = Vec::new();
            encode::subscribe(&mut bytes, PacketId::FIRST, lines).unwrap();
            self.up.push_back(bytes);
        }
        let mut again: Vec<_> = self
            .unanswered
            .iter()
            .map(|(id, known)| (known.0, *id, *known))
            .collect();
        again.sort_unstable_by_key(|(number, ..)| *number);
        for (number, id, (_, topic, qos, stage)) in again {
            match stage {
                Stage::Sent => self.say_publish(id, number, topic, qos, true),
                Stage::Released => {
                    let id = PacketId::new(id).unwrap();
                    self.up.push_back(encode::publish_released(id).to_vec());
                }
            }
        }
    }

    pub(crate) fn say_publish(&mut self, id: u16, number: u64, topic: usize, qos: QoS, duplicate: bool) {
        let id = PacketId::new(id).unwrap();
        let delivery = match qos {
            QoS::ExactlyOnce => Delivery::ExactlyOnce { id, duplicate },
            _ => Delivery::AtLeastOnce { id, duplicate },
        };
        let payload = number.to_string();
        let publish = Publish {
            topic: TopicName::new(TOPICS[topic]).unwrap(),
            payload: payload.as_bytes(),
            delivery,
            retain: TOPICS[topic] == KEPT,
        };
        let mut bytes = Vec::new();
        encode::publish(&mut bytes, &publish).unwrap();
        self.up.push_back(bytes);
    }

    /// Takes a message and answers; true when it is a repetition.
    pub(crate) fn take(&mut self, number: u64, delivery: Delivery, retain: bool) -> bool {
        let is_known = match delivery {
            Delivery::AtMostOnce => false,
            Delivery::AtLeastOnce { id, .. } => {
                self.up.push_back(encode::publish_acknowledged(id).to_vec());
                false
            }
            Delivery::ExactlyOnce { id, .. } => {
                self.up.push_back(encode::publish_received(id).to_vec());
                !self.received.insert(id.value())
            }
        };
        if number >= WILLS {
            self.wills.insert(number);
            return is_known;
        }
        if retain {
            // What was there before it subscribed.
            return is_known;
        }
        let repeated = is_known || self.got.iter().any(|(got, _)| *got == number);
        if !is_known {
            self.got.push((number, delivery.qos()));
        }
        repeated
    }
}

pub(crate) fn whole(bytes: &[u8]) -> Packet<'_> {
    match decode(bytes, usize::MAX) {
        Ok(Decoded::Packet { packet, .. }) => packet,
        other => panic!("{other:?}"),
    }
}
