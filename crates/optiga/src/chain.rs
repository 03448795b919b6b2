//! The transport layer (IFX I2C Protocol v1.65, chapter 4): one command or answer as a chain of packets.
//!
//! A packet is one byte of chain mark and up to `frame - 6` bytes of the command or answer.

/// The answer that says "your chain makes no sense" is one packet of only this byte.
pub const ERROR: u8 = 7;

const SINGLE: u8 = 0;
const FIRST: u8 = 1;
const MIDDLE: u8 = 2;
const LAST: u8 = 4;

/// Bytes of a command that one frame of this length carries.
#[must_use]
pub const fn piece_bytes(frame_bytes: usize) -> usize {
    frame_bytes - crate::frame::OVERHEAD_BYTES - 1
}

/// The piece of `whole` that starts at `offset`, with its chain mark.
#[must_use]
pub fn piece(whole: &[u8], offset: usize, piece_bytes: usize) -> (u8, &[u8]) {
    let rest = whole.get(offset..).unwrap_or_default();
    let last = rest.len() <= piece_bytes;
    let mark = match (offset == 0, last) {
        (true, true) => SINGLE,
        (true, false) => FIRST,
        (false, false) => MIDDLE,
        (false, true) => LAST,
    };
    (mark, rest.get(..piece_bytes).unwrap_or(rest))
}

/// Why a packet does not continue the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The other side reports a chaining error.
    Reported,
    /// Channel or presentation bits are set: another product than a Trust X answers.
    OtherProduct,
    /// A continuation without a start, a start inside a chain, a reserved mark or a wrong size.
    Order,
    /// More than the longest answer.
    TooLong,
}

/// Puts an answer together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assembly {
    bytes: usize,
    open: bool,
}

impl Assembly {
    /// Nothing yet.
    pub const EMPTY: Self = Self {
        bytes: 0,
        open: false,
    };

    /// True when a chain has begun and not ended.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open
    }

    /// Takes the next packet into `whole`. Gives the length of the complete answer once the last packet is in.
    pub fn push(
        &mut self,
        packet: &[u8],
        piece_bytes: usize,
        whole: &mut [u8],
    ) -> Result<Option<usize>, Break> {
        let (&mark, piece) = packet.split_first().ok_or(Break::Order)?;
        if mark & 0xF8 != 0 {
            return Err(Break::OtherProduct);
        }
        let full = piece.len() == piece_bytes;
        let fits = match mark {
            ERROR if piece.is_empty() => return Err(Break::Reported),
            SINGLE => !self.open && piece.len() <= piece_bytes,
            FIRST => !self.open && full,
            MIDDLE => self.open && full,
            LAST => self.open && !piece.is_empty() && piece.len() <= piece_bytes,
            _ => false,
        };
        if !fits {
            return Err(Break::Order);
        }
        let end = self.bytes + piece.len();
        whole
            .get_mut(self.bytes..end)
            .ok_or(Break::TooLong)?
            .copy_from_slice(piece);
        (self.bytes, self.open) = (end, matches!(mark, FIRST | MIDDLE));
        Ok((!self.open).then_some(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn refuse(packets: &[&[u8]], expected: Break) {
        let (mut assembly, mut whole) = (Assembly::EMPTY, [0; 12]);
        let (last, before) = packets.split_last().unwrap();
        for packet in before {
            assert_eq!(assembly.push(packet, 4, &mut whole), Ok(None), "{packet:02X?}");
        }
        assert_eq!(
            assembly.push(last, 4, &mut whole),
            Err(expected),
            "{packets:02X?}"
        );
    }

    #[test]
    fn chains_out_of_order_are_refused() {
        refuse(&[&[]], Break::Order);
        refuse(&[&[7]], Break::Reported);
        refuse(&[&[7, 1]], Break::Order);
        refuse(&[&[2, 1, 2, 3, 4]], Break::Order);
        refuse(&[&[4, 1]], Break::Order);
        refuse(&[&[1, 1, 2, 3]], Break::Order);
        refuse(&[&[0, 1, 2, 3, 4, 5]], Break::Order);
        refuse(&[&[1, 1, 2, 3, 4], &[1, 1, 2, 3, 4]], Break::Order);
        refuse(&[&[1, 1, 2, 3, 4], &[0, 1]], Break::Order);
        refuse(&[&[1, 1, 2, 3, 4], &[4]], Break::Order);
        refuse(&[&[3, 1]], Break::Order);
        refuse(&[&[8, 0x20]], Break::OtherProduct);
        refuse(&[&[0x10]], Break::OtherProduct);
        refuse(
            &[&[1, 1, 2, 3, 4], &[2, 1, 2, 3, 4], &[2, 1, 2, 3, 4], &[4, 1]],
            Break::TooLong,
        );
    }

    proptest! {
        #[test]
        fn what_is_cut_comes_back_whole(
            bytes in proptest::collection::vec(any::<u8>(), 0..1557),
            frame in 16usize..=277,
        ) {
            let size = piece_bytes(frame);
            let (mut assembly, mut whole, mut offset) = (Assembly::EMPTY, [0; 1557], 0);
            let complete = loop {
                let (mark, part) = piece(&bytes, offset, size);
                let mut packet = std::vec![mark];
                packet.extend_from_slice(part);
                offset += part.len();
                if let Some(n) = assembly.push(&packet, size, &mut whole).unwrap() {
                    break n;
                }
            };
            prop_assert_eq!(&whole[..complete], &bytes[..]);
        }
    }
}
