//! The connections that one filter leads to: mostly one, sometimes a whole fleet, always in order.

use std::collections::BTreeMap;

use mqtt::QoS;

use crate::event::ConnectionId;

/// What one subscription asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wanted {
    /// The highest QoS.
    pub(crate) qos: QoS,
    /// Not what the connection publishes itself.
    pub(crate) no_local: bool,
}

#[derive(Debug, Default)]
pub(crate) enum Subscribers {
    #[default]
    None,
    One(ConnectionId, Wanted),
    Many(BTreeMap<ConnectionId, Wanted>),
}

impl Subscribers {
    pub(crate) fn insert(&mut self, connection: ConnectionId, wanted: Wanted) {
        match self {
            Self::None => *self = Self::One(connection, wanted),
            Self::One(known, known_wanted) if *known == connection => *known_wanted = wanted,
            Self::One(known, known_wanted) => {
                *self = Self::Many(BTreeMap::from([(*known, *known_wanted), (connection, wanted)]))
            }
            Self::Many(all) => {
                all.insert(connection, wanted);
            }
        }
    }

    pub(crate) fn remove(&mut self, connection: ConnectionId) {
        match self {
            Self::One(known, _) if *known == connection => *self = Self::None,
            Self::None | Self::One(..) => {}
            Self::Many(all) => {
                all.remove(&connection);
                if let (1, Some((last, wanted))) = (all.len(), all.first_key_value()) {
                    *self = Self::One(*last, *wanted);
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnectionId, Wanted)> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(connection, wanted) => (Some((*connection, *wanted)), None),
            Self::Many(all) => (
                None,
                Some(all.iter().map(|(connection, wanted)| (*connection, *wanted))),
            ),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(qos: QoS) -> Wanted {
        Wanted { qos, no_local: false }
    }

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
            subscribers.insert(ConnectionId(id), at(QoS::AtMostOnce));
        }
        assert_eq!(ids(&subscribers), [1, 2, 3]);
        subscribers.insert(ConnectionId(2), at(QoS::AtLeastOnce));
        assert_eq!(
            subscribers.iter().nth(1),
            Some((ConnectionId(2), at(QoS::AtLeastOnce)))
        );
        for (removed, left) in [(9, &[1, 2, 3][..]), (2, &[1, 3]), (1, &[3]), (1, &[3]), (3, &[])] {
            subscribers.remove(ConnectionId(removed));
            assert_eq!(ids(&subscribers), left);
        }
        assert!(subscribers.is_empty());
    }
}
