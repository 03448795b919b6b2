//! Encrypted bytes that wait for the socket.
//!
//! Nearly always the socket takes them at once, so the buffer is lent by the thread and given back: a connection that has
//! nothing to send holds none.

use core::cell::Cell;
use std::io;

use crate::limits::SPARE_BYTES_MAX;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What one connection has encrypted and not sent.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    /// How much is waiting.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Whether nothing is.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where more is added at the end.
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = SPARE.take();
        }
        &mut self.bytes
    }

    /// Writes until all is written; false when `write` takes nothing more now.
    pub(super) fn write(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<bool> {
        while let Some(rest @ [_, ..]) = self.bytes.get(self.sent..) {
            match write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.give_back();
        Ok(true)
    }

    fn give_back(&mut self) {
        let mut bytes = core::mem::take(&mut self.bytes);
        self.sent = 0;
        if (1..=SPARE_BYTES_MAX).contains(&bytes.capacity()) {
            bytes.clear();
            SPARE.set(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_taken_waits() {
        let mut outgoing = Outgoing::default();
        outgoing.bytes().extend_from_slice(b"abcdef");
        let mut socket = Vec::new();
        let mut room = 4;
        let mut take = |bytes: &[u8]| {
            let count = bytes.len().min(room);
            room -= count;
            socket.extend_from_slice(bytes.get(..count).unwrap_or_default());
            match count {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                count => Ok(count),
            }
        };
        assert!(!outgoing.write(&mut take).unwrap());
        assert_eq!(outgoing.len(), 2);
        outgoing.bytes().push(b'g');
        assert!(outgoing.write(|_| Ok(0)).is_err());
        let mut rest = Vec::new();
        let all = outgoing.write(|bytes| {
            rest.extend_from_slice(bytes);
            Ok(bytes.len())
        });
        assert!(all.unwrap() && outgoing.is_empty());
        assert_eq!((socket, rest), (b"abcd".to_vec(), b"efg".to_vec()));
        assert_eq!(outgoing.bytes.capacity(), 0, "an idle connection holds no buffer");
    }
}
