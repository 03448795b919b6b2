//! Which connections of a shard rest on what, and about which an authorizer is to be asked again.
//!
//! It stands beside the connections, most of which rest on nothing but their certificate and cost nothing here. So many
//! questions are under way at a time that an authorizer's program is not flooded; whoever waits keeps what it may do.

use std::collections::{BTreeSet, HashMap};

use broker::ConnectionId;
use identity::UnixMillis;

use crate::footing::{Footing, Ground};
use crate::limits::INQUIRIES_UNDER_WAY_MAX;

/// The footings of one shard's connections.
#[derive(Debug, Default)]
pub(super) struct Footings {
    by_ground: HashMap<Ground, BTreeSet<ConnectionId>>,
    inquiries: BTreeSet<(UnixMillis, ConnectionId)>,
    under_way: usize,
}

impl Footings {
    /// A connection comes.
    pub(super) fn enter(&mut self, id: ConnectionId, footing: &Footing) {
        for (ground, _) in &footing.grounds {
            self.by_ground.entry(ground.clone()).or_default().insert(id);
        }
        if let Some(inquiry) = &footing.inquiry {
            self.inquiries.insert((inquiry.due, id));
        }
    }

    /// A connection is gone.
    pub(super) fn leave(&mut self, id: ConnectionId, footing: &Footing) {
        for (ground, _) in &footing.grounds {
            if let Some(connections) = self.by_ground.get_mut(ground) {
                connections.remove(&id);
                if connections.is_empty() {
                    self.by_ground.remove(ground);
                }
            }
        }
        if let Some(inquiry) = &footing.inquiry {
            self.inquiries.remove(&(inquiry.due, id));
        }
    }

    /// The connections that rest on this, in order.
    pub(super) fn resting_on(&self, ground: &Ground) -> Vec<ConnectionId> {
        self.by_ground
            .get(ground)
            .into_iter()
            .flatten()
            .copied()
            .collect()
    }

    /// An authorizer is to be asked about this connection at another time.
    pub(super) fn schedule(&mut self, id: ConnectionId, before: UnixMillis, due: UnixMillis) {
        self.inquiries.remove(&(before, id));
        self.inquiries.insert((due, id));
    }

    /// The next connection that an authorizer is to be asked about now; the question is under way from here on.
    pub(super) fn next_due(&mut self, now: UnixMillis) -> Option<ConnectionId> {
        if self.under_way >= INQUIRIES_UNDER_WAY_MAX {
            return None;
        }
        let first = self.inquiries.first().filter(|(due, _)| *due <= now).copied()?;
        self.inquiries.remove(&first);
        self.under_way += 1;
        Some(first.1)
    }

    /// A question was answered, or nobody waits for its answer.
    pub(super) fn answered(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fleet::authorizer::Authorizer;
    use identity::Tenant;

    use super::*;
    use crate::authorizer::{Question, Shown};
    use crate::footing::Inquiry;

    fn authorizer() -> Authorizer {
        Authorizer {
            name: "gate".to_owned(),
            function_arn: String::new(),
            token_key_name: String::new(),
            keys: Default::default(),
            status: "ACTIVE".to_owned(),
            signing_disabled: true,
            caching: false,
            created: UnixMillis(0),
            modified: UnixMillis(0),
            tags: Vec::new(),
        }
    }

    fn asked_at(due: i64) -> Footing {
        let question = Question::new(&Tenant::default(), &authorizer(), Shown::default()).unwrap();
        Footing {
            grounds: vec![(Ground::AccessKey("a".into()), 0)],
            inquiry: Some(Inquiry {
                question: Arc::new(question),
                due: UnixMillis(due),
            }),
            ..Footing::default()
        }
    }

    #[test]
    fn those_are_found_who_rest_on_it_and_are_there() {
        let (mut footings, ground) = (Footings::default(), Ground::AccessKey("a".into()));
        for id in [2, 1] {
            footings.enter(ConnectionId(id), &asked_at(5));
        }
        assert_eq!(footings.resting_on(&ground), [ConnectionId(1), ConnectionId(2)]);
        assert_eq!(footings.resting_on(&Ground::AccessKey("b".into())), []);
        footings.leave(ConnectionId(1), &asked_at(5));
        footings.leave(ConnectionId(2), &asked_at(5));
        assert_eq!(footings.resting_on(&ground), []);
        assert_eq!(footings.next_due(UnixMillis(9)), None);
        assert!(footings.by_ground.is_empty());
    }

    #[test]
    fn authorizers_are_asked_when_it_is_due_and_not_flooded() {
        let mut footings = Footings::default();
        let count = INQUIRIES_UNDER_WAY_MAX as u64 + 1;
        for id in 1..=count {
            footings.enter(ConnectionId(id), &asked_at(10));
        }
        assert_eq!(footings.next_due(UnixMillis(9)), None, "not before its time");
        for id in 1..count {
            assert_eq!(footings.next_due(UnixMillis(10)), Some(ConnectionId(id)));
        }
        assert_eq!(footings.next_due(UnixMillis(10)), None, "as many as may be");
        footings.answered();
        assert_eq!(footings.next_due(UnixMillis(10)), Some(ConnectionId(count)));
        footings.answered();
        footings.schedule(ConnectionId(1), UnixMillis(10), UnixMillis(20));
        assert_eq!(footings.next_due(UnixMillis(19)), None);
        assert_eq!(footings.next_due(UnixMillis(20)), Some(ConnectionId(1)));
    }
}
