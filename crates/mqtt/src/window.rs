//! What was sent and waits for its answer: packet identifiers in use, in the order they were sent, never more than a maximum.
//!
//! Identifiers are given out round the whole range, so that a late answer to a forgotten packet does not hit a new one
//! (`[MQTT-2.3.1-2]`, `[MQTT-2.3.1-4]`).

use alloc::collections::VecDeque;
use core::error::Error;
use core::fmt;

use crate::packet::PacketId;

/// Packets that wait for an answer, each with what the sender wants to remember about it.
#[derive(Debug)]
pub struct Window<T> {
    next: PacketId,
    waiting: VecDeque<(PacketId, T)>,
    waiting_max: usize,
}

/// As many packets wait for an answer as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowFull {
    /// The maximum that is reached.
    pub waiting_max: usize,
}

impl fmt::Display for WindowFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} packets wait for an answer, no more may be sent before one comes",
            self.waiting_max
        )
    }
}

impl Error for WindowFull {}

impl<T> Window<T> {
    /// An empty window. It allocates with the first packet, not before.
    ///
    /// # Panics
    /// If `waiting_max` leaves no identifier free.
    #[must_use]
    pub const fn new(waiting_max: usize) -> Self {
        assert!(waiting_max < u16::MAX as usize, "an identifier must stay free");
        Self {
            next: PacketId::FIRST,
            waiting: VecDeque::new(),
            waiting_max,
        }
    }

    /// Takes an identifier for a packet about to be sent.
    ///
    /// # Errors
    /// [`WindowFull`] when the maximum is reached; nothing changed.
    pub fn open(&mut self, value: T) -> Result<PacketId, WindowFull> {
        if self.is_full() {
            return Err(WindowFull {
                waiting_max: self.waiting_max,
            });
        }
        let mut id = self.next;
        while self.waiting.iter().any(|(used, _)| *used == id) {
            id = id.next();
        }
        self.next = id.next();
        self.waiting.push_back((id, value));
        Ok(id)
    }

    /// The answer came: frees the identifier. `None` when nothing waits under it.
    pub fn close(&mut self, id: PacketId) -> Option<T> {
        let index = self.waiting.iter().position(|(used, _)| *used == id)?;
        self.waiting.remove(index).map(|(_, value)| value)
    }

    /// What waits, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (PacketId, &T)> {
        self.waiting.iter().map(|(id, value)| (*id, value))
    }

    /// How many packets wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// No further packet may be sent.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= self.waiting_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_its_maximum_and_not_one_more() {
        let mut window = Window::new(2);
        let first = window.open('a').unwrap();
        let second = window.open('b').unwrap();
        assert_eq!((first.value(), second.value()), (1, 2));
        assert_eq!(window.open('c'), Err(WindowFull { waiting_max: 2 }));
        assert_eq!(window.close(first), Some('a'));
        assert_eq!(window.close(first), None);
        assert_eq!(window.open('c').map(PacketId::value), Ok(3));
    }

    #[test]
    fn identifiers_go_round_and_skip_those_in_use() {
        let mut window = Window::new(3);
        let kept = window.open(0).unwrap();
        let mut previous = kept;
        for round in 1..=70_000_u32 {
            let id = window.open(round).unwrap();
            assert_ne!(id, kept);
            assert_ne!(id, previous);
            assert_eq!(window.close(id), Some(round));
            previous = id;
        }
        assert_eq!(
            window.iter().map(|(id, value)| (id.value(), *value)).next(),
            Some((1, 0))
        );
    }
}
