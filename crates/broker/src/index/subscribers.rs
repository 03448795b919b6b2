//! The connections that one filter leads to: mostly one, sometimes a whole fleet, always in order.

use std::collections::BTreeMap;

use mqtt::QoS;

use crate::event::ConnectionId;

#[derive(Debug, Default)]
pub(crate) enum Subscribers {
    #[default]
    None,
    One(ConnectionId, QoS),
    Many(BTreeMap<ConnectionId, QoS>),
}

impl Subscribers {
    pub(crate) fn insert(&mut self, connection: ConnectionId, qos: QoS) {
        match self {
            Self::None => *self = Self::One(connection, qos),
            Self::One(known, known_qos) if *known == connection => *known_qos = qos,
            Self::One(known, known_qos) => {
                *self = Self::Many(BTreeMap::from([(*known, *known_qos), (connection, qos)]))
            }
            Self::Many(all) => {
                all.insert(connection, qos);
            }
        }
    }

    pub(crate) fn remove(&mut self, connection: ConnectionId) {
        match self {
            Self::One(known, _) if *known == connection => *self = Self::None,
            Self::None | Self::One(..) => {}
            Self::Many(all) => {
                all.remove(&connection);
                if let (1, Some((last, qos))) = (all.len(), all.first_key_value()) {
                    *self = Self::One(*last, *qos);
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnectionId, QoS)> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(connection, qos) => (Some((*connection, *qos)), None),
            Self::Many(all) => (
                None,
                Some(all.iter().map(|(connection, qos)| (*connection, *qos))),
            ),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_and_shrinks_and_stays_in_order() {
        let mut subscribers = Subscribers::default();
        let ids = |subscribers: &Subscribers| {
            subscribers
                .iter()
                .map(|(connection, _)| connection.0)
                .collect::<Vec<_>>()
        };
        for id in [3, 1, 2, 1] {
            subscribers.insert(ConnectionId(id), QoS::AtMostOnce);
        }
        assert_eq!(ids(&subscribers), [1, 2, 3]);
        subscribers.insert(ConnectionId(2), QoS::AtLeastOnce);
        assert_eq!(
            subscribers.iter().nth(1),
            Some((ConnectionId(2), QoS::AtLeastOnce))
        );
        for (removed, left) in [(9, &[1, 2, 3][..]), (2, &[1, 3]), (1, &[3]), (1, &[3]), (3, &[])] {
            subscribers.remove(ConnectionId(removed));
            assert_eq!(ids(&subscribers), left);
        }
        assert!(subscribers.is_empty());
    }
}
