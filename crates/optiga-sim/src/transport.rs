//! The transport layer: a command or response longer than a packet travels as a chain (IFX I2C Protocol v1.65, chapter 5).
//!
//! A chain that is broken is dropped whole and answered by the one-byte packet 07; a command that was not complete must never
//! reach the layer above.

use crate::limits::APDU_BYTES_MAX;

/// The one packet of something short.
const SINGLE: u8 = 0;
const FIRST: u8 = 1;
const MIDDLE: u8 = 2;
const LAST: u8 = 4;
/// The receiver could not put the chain together.
pub(crate) const BROKEN: u8 = 7;

/// What a packet means for the layers around.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Accepted<'a> {
    /// More has to come.
    Partial,
    /// A command in one packet.
    Single(&'a [u8]),
    /// A command in several packets is complete: [`Transport::assembled`] has it.
    Assembled,
    /// The chain is broken: answer with [`BROKEN`].
    Broken,
    /// The host could not put our response together: send it again.
    Repeat,
}

/// Both directions of the chip's transport layer.
#[derive(Debug, Default)]
pub(crate) struct Transport {
    incoming: Vec<u8>,
    receiving: bool,
    /// The response that is being sent, or was last.
    pub(crate) outgoing: Vec<u8>,
    sent: usize,
}

impl Transport {
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Takes a packet (at least its control byte) of at most `packet_bytes_max`.
    pub(crate) fn accept<'a>(&mut self, packet: &'a [u8], packet_bytes_max: usize) -> Accepted<'a> {
        let (Some(chain), body) = (packet.first().copied(), packet.get(1..).unwrap_or_default()) else {
            return self.broken();
        };
        let full = packet.len() == packet_bytes_max;
        match (chain, self.receiving) {
            (SINGLE, false) => Accepted::Single(body),
            (FIRST, false) if full => {
                self.receiving = true;
                self.incoming.clear();
                self.collect(body)
            }
            (MIDDLE, true) if full => self.collect(body),
            (LAST, true) if !body.is_empty() => {
                self.collect(body);
                self.receiving = false;
                Accepted::Assembled
            }
            (BROKEN, _) if body.is_empty() => {
                self.drop_chain();
                Accepted::Repeat
            }
            _ => self.broken(),
        }
    }

    /// Keeps one byte more than the longest command at most: enough to see that it is too long.
    fn collect<'a>(&mut self, body: &[u8]) -> Accepted<'a> {
        let room = (APDU_BYTES_MAX + 1).saturating_sub(self.incoming.len());
        self.incoming.extend_from_slice(body.get(..room).unwrap_or(body));
        Accepted::Partial
    }

    fn broken<'a>(&mut self) -> Accepted<'a> {
        self.drop_chain();
        Accepted::Broken
    }

    fn drop_chain(&mut self) {
        self.receiving = false;
        self.incoming = Vec::new();
    }

    /// The command that is complete; its memory goes with it.
    pub(crate) fn assembled(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.incoming)
    }

    /// Sends the response from its beginning.
    pub(crate) fn rewind(&mut self) {
        self.sent = 0;
    }

    /// Nothing to send any more.
    pub(crate) fn forget_response(&mut self) {
        self.outgoing.clear();
        self.sent = 0;
    }

    /// Control byte and body of the next packet of the response.
    pub(crate) fn next_packet(&mut self, packet_bytes_max: usize) -> Option<(u8, &[u8])> {
        let rest = self.outgoing.get(self.sent..).filter(|rest| !rest.is_empty())?;
        let room = packet_bytes_max.saturating_sub(1).max(1);
        let chain = match (self.sent == 0, rest.len() <= room) {
            (true, true) => SINGLE,
            (true, false) => FIRST,
            (false, false) => MIDDLE,
            (false, true) => LAST,
        };
        let body = rest.get(..room).unwrap_or(rest);
        self.sent += body.len();
        Some((chain, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 5;

    fn check(packets: &[&[u8]], expected: &[Accepted<'_>]) {
        let mut transport = Transport::default();
        let seen: Vec<_> = packets
            .iter()
            .map(|packet| transport.accept(packet, MAX))
            .collect();
        assert_eq!(seen, expected, "{packets:?}");
    }

    #[test]
    fn chains_that_hold_and_chains_that_break() {
        use Accepted::{Assembled, Broken, Partial, Repeat, Single};
        check(&[&[0, 1]], &[Single(&[1])]);
        check(&[&[0]], &[Single(&[])]);
        check(
            &[&[1, 1, 2, 3, 4], &[2, 1, 2, 3, 4], &[4, 1]],
            &[Partial, Partial, Assembled],
        );
        check(&[&[1, 1, 2, 3, 4], &[4, 1, 2, 3, 4]], &[Partial, Assembled]);
        check(&[&[1, 1, 2, 3]], &[Broken]);
        check(&[&[2, 1, 2, 3, 4]], &[Broken]);
        check(&[&[4, 1]], &[Broken]);
        check(&[&[1, 1, 2, 3, 4], &[2, 1], &[4, 1]], &[Partial, Broken, Broken]);
        check(&[&[1, 1, 2, 3, 4], &[4]], &[Partial, Broken]);
        check(
            &[&[1, 1, 2, 3, 4], &[0, 1], &[0, 1]],
            &[Partial, Broken, Single(&[1])],
        );
        check(&[&[1, 1, 2, 3, 4], &[1, 1, 2, 3, 4]], &[Partial, Broken]);
        check(&[&[7]], &[Repeat]);
        check(&[&[7, 0]], &[Broken]);
        check(&[&[3, 0]], &[Broken]);
        check(&[&[8, 0]], &[Broken]);
        check(&[&[0x10, 0]], &[Broken]);
        check(&[&[]], &[Broken]);
    }

    #[test]
    fn a_response_is_cut_where_a_packet_ends() {
        for (length, expected) in [
            (0, vec![]),
            (1, vec![(0, 1)]),
            (4, vec![(0, 4)]),
            (5, vec![(1, 4), (4, 1)]),
            (8, vec![(1, 4), (4, 4)]),
            (9, vec![(1, 4), (2, 4), (4, 1)]),
        ] {
            let mut transport = Transport {
                outgoing: vec![0; length],
                ..Transport::default()
            };
            for _ in 0..2 {
                let mut seen = vec![];
                while let Some((chain, body)) = transport.next_packet(MAX) {
                    seen.push((chain, body.len()));
                }
                assert_eq!(seen, expected, "{length} bytes");
                transport.rewind();
            }
        }
    }

    #[test]
    fn a_chain_that_never_ends_is_not_kept() {
        let mut transport = Transport::default();
        transport.accept(&[1, 1, 2, 3, 4], MAX);
        for _ in 0..10_000 {
            assert_eq!(transport.accept(&[2, 1, 2, 3, 4], MAX), Accepted::Partial);
        }
        transport.accept(&[4, 1], MAX);
        assert_eq!(transport.assembled().len(), APDU_BYTES_MAX + 1);
    }
}
