//! A shared subscription: who takes part in it, here and on other nodes, and whose turn it is (MQTT 5.0 section 4.8.2).

use std::collections::BTreeMap;

use crate::record::{NodeIndex, SessionKey, Wanted};

/// The members of one shared subscription.
#[derive(Debug, Default)]
pub(crate) struct Group {
    members: BTreeMap<SessionKey, (Wanted, bool)>,
    elsewhere: BTreeMap<NodeIndex, (u32, u32)>,
    turn: usize,
}

/// Who gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// A session of this node.
    Here(SessionKey, Wanted),
    /// One that another node chooses among its own.
    There(NodeIndex),
}

impl Group {
    pub(crate) fn join(&mut self, key: SessionKey, wanted: Wanted, present: bool) {
        self.members.insert(key, (wanted, present));
    }

    pub(crate) fn leave(&mut self, key: SessionKey) {
        self.members.remove(&key);
    }

    pub(crate) fn set_present(&mut self, key: SessionKey, present: bool) {
        if let Some(member) = self.members.get_mut(&key) {
            member.1 = present;
        }
    }

    pub(crate) fn note_elsewhere(&mut self, node: NodeIndex, present: u32, away: u32) {
        match (present, away) {
            (0, 0) => drop(self.elsewhere.remove(&node)),
            counts => drop(self.elsewhere.insert(node, counts)),
        }
    }

    /// Whether no node before this one has members.
    pub(crate) fn is_first(&self, here: NodeIndex) -> bool {
        self.elsewhere.keys().all(|node| *node > here)
    }

    pub(crate) fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    /// How many members here are connected, and how many are not.
    pub(crate) fn counts(&self) -> (u32, u32) {
        let present = self.members.values().filter(|(_, present)| *present).count();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        (count(present), count(self.members.len() - present))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.elsewhere.is_empty()
    }

    /// Who gets the next message: in turn, one who is connected; if nobody is and the message can wait, one who comes back.
    pub(crate) fn choose(&mut self, can_wait: bool) -> Option<Choice> {
        self.choose_among(true, true)
            .or_else(|| self.choose_among(false, true).filter(|_| can_wait))
    }

    /// The same among the sessions of this node.
    pub(crate) fn choose_here(&mut self, can_wait: bool) -> Option<Choice> {
        self.choose_among(true, false)
            .or_else(|| self.choose_among(false, false).filter(|_| can_wait))
    }

    fn choose_among(&mut self, present: bool, all_nodes: bool) -> Option<Choice> {
        let here = self
            .members
            .iter()
            .filter(|(_, (_, is_present))| *is_present == present);
        let here = here.map(|(key, (wanted, _))| (Choice::Here(*key, *wanted), 1));
        let there = self.elsewhere.iter().filter(|_| all_nodes);
        let there = there.map(|(node, counts)| {
            let count = if present { counts.0 } else { counts.1 };
            (Choice::There(*node), count as usize)
        });
        let candidates: Vec<(Choice, usize)> = here.chain(there).filter(|(_, weight)| *weight > 0).collect();
        let total: usize = candidates.iter().map(|(_, weight)| weight).sum();
        let mut turn = self.turn.checked_rem(total)?;
        self.turn = self.turn.wrapping_add(1);
        for (choice, weight) in candidates {
            if turn < weight {
                return Some(choice);
            }
            turn -= weight;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use mqtt::QoS;

    use super::*;

    const WANTED: Wanted = Wanted {
        qos: QoS::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        identifier: None,
    };

    fn here(key: u64) -> Option<Choice> {
        Some(Choice::Here(SessionKey(key), WANTED))
    }

    #[test]
    fn members_take_turns_wherever_they_are() {
        let mut group = Group::default();
        group.join(SessionKey(1), WANTED, true);
        group.join(SessionKey(2), WANTED, true);
        group.note_elsewhere(NodeIndex(1), 2, 0);
        let there = Some(Choice::There(NodeIndex(1)));
        let choices: Vec<_> = (0..4).map(|_| group.choose(true)).collect();
        assert_eq!(choices, [here(1), here(2), there, there]);
        assert_eq!(group.choose_here(true), here(1));
    }

    #[test]
    fn who_is_away_gets_only_what_can_wait_and_nobody_else_takes() {
        let mut group = Group::default();
        group.join(SessionKey(1), WANTED, false);
        assert_eq!(group.choose(false), None);
        assert_eq!(group.choose(true), here(1));
        group.join(SessionKey(2), WANTED, true);
        assert!((0..3).all(|_| group.choose(true) == here(2)));
        group.set_present(SessionKey(2), false);
        assert_eq!(group.counts(), (0, 2));
        group.leave(SessionKey(1));
        group.leave(SessionKey(2));
        assert!(group.is_empty() && group.choose(true).is_none());
    }
}
