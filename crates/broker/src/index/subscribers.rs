//! The sessions that one filter leads to: mostly one, sometimes a whole fleet, always in order.

use std::collections::BTreeMap;

use crate::record::{SessionKey, Wanted};

#[derive(Debug, Default)]
pub(crate) enum Subscribers {
    #[default]
    None,
    One(SessionKey, Wanted),
    Many(Box<Crowd>),
}

/// In order. Apart, so that one session alone costs no more than itself.
#[derive(Debug)]
pub(crate) struct Crowd(BTreeMap<SessionKey, Wanted>);

impl Subscribers {
    pub(crate) fn insert(&mut self, key: SessionKey, wanted: Wanted) {
        match self {
            Self::None => *self = Self::One(key, wanted),
            Self::One(known, known_wanted) if *known == key => *known_wanted = wanted,
            Self::One(known, known_wanted) => {
                let both = BTreeMap::from([(*known, *known_wanted), (key, wanted)]);
                *self = Self::Many(Box::new(Crowd(both)));
            }
            Self::Many(crowd) => {
                crowd.0.insert(key, wanted);
            }
        }
    }

    pub(crate) fn remove(&mut self, key: SessionKey) {
        match self {
            Self::One(known, _) if *known == key => *self = Self::None,
            Self::None | Self::One(..) => {}
            Self::Many(crowd) => {
                crowd.0.remove(&key);
                if let (1, Some((last, wanted))) = (crowd.0.len(), crowd.0.first_key_value()) {
                    *self = Self::One(*last, *wanted);
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (SessionKey, Wanted)> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(key, wanted) => (Some((*key, *wanted)), None),
            Self::Many(crowd) => (None, Some(crowd.0.iter().map(|(key, wanted)| (*key, *wanted)))),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use mqtt::QoS;

    use super::*;

    fn at(qos: QoS) -> Wanted {
        Wanted {
            qos,
            no_local: false,
            retain_as_published: false,
            identifier: None,
        }
    }

    #[test]
    fn one_session_costs_no_more_than_itself() {
        assert_eq!(size_of::<Subscribers>(), size_of::<(SessionKey, Wanted)>());
    }

    #[test]
    fn grows_and_shrinks_and_stays_in_order() {
        let mut subscribers = Subscribers::default();
        let ids = |subscribers: &Subscribers| subscribers.iter().map(|(key, _)| key.0).collect::<Vec<_>>();
        for id in [3, 1, 2, 1] {
            subscribers.insert(SessionKey(id), at(QoS::AtMostOnce));
        }
        assert_eq!(ids(&subscribers), [1, 2, 3]);
        subscribers.insert(SessionKey(2), at(QoS::AtLeastOnce));
        assert_eq!(
            subscribers.iter().nth(1),
            Some((SessionKey(2), at(QoS::AtLeastOnce)))
        );
        for (removed, left) in [(9, &[1, 2, 3][..]), (2, &[1, 3]), (1, &[3]), (1, &[3]), (3, &[])] {
            subscribers.remove(SessionKey(removed));
            assert_eq!(ids(&subscribers), left);
        }
        assert!(subscribers.is_empty());
    }
}
