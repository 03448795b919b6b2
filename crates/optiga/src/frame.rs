//! Frames of the data link (IFX I2C Protocol v1.65, chapter 3): `FCTR(1) LEN(2) packet(LEN) FCS(2)`.
//!
//! Here bytes become a [`Frame`] that cannot be wrong, and back. Who acknowledges what, is [`crate::link`]'s business.

use crate::crc::checksum;
use crate::limits;

/// Bytes around the packet.
pub const OVERHEAD_BYTES: usize = 5;

/// A frame number: 0 to 3, counting round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number(u8);

impl Number {
    /// What "last sent" and "last received" are after a reset or a re-synchronisation.
    pub const FRESH: Self = Self(3);

    /// The number made of the two low bits.
    #[must_use]
    pub const fn new(value: u8) -> Self {
        Self(value & 3)
    }

    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self((self.0 + 1) & 3)
    }
}

/// What a frame says about the other side's last data frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The frame with this number arrived.
    Ack(Number),
    /// The frame with this number is wanted (again).
    Nak(Number),
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A piece of a command or of an answer.
    Data {
        /// Number of this frame.
        number: Number,
        /// About the last frame in the other direction.
        verdict: Verdict,
        /// At least one byte.
        packet: &'a [u8],
    },
    /// Only a verdict.
    Control(Verdict),
    /// Both sides forget their numbers.
    Resync,
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Shorter than the shortest frame, or the length field says something else than the transfer.
    Length,
    /// The checksum does not match.
    Checksum,
    /// A frame control byte with reserved bits or an impossible combination.
    Control,
}

impl<'a> Frame<'a> {
    /// Reads one frame: all of `bytes`, nothing else.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Damage> {
        let (body, sum) = bytes.split_last_chunk::<2>().ok_or(Damage::Length)?;
        let (head, packet) = body.split_first_chunk::<3>().ok_or(Damage::Length)?;
        let [control, high, low] = *head;
        if usize::from(u16::from_be_bytes([high, low])) != packet.len() {
            return Err(Damage::Length);
        }
        if checksum(body) != u16::from_be_bytes(*sum) {
            return Err(Damage::Checksum);
        }
        Self::from_parts(control, packet)
    }

    fn from_parts(control: u8, packet: &'a [u8]) -> Result<Self, Damage> {
        let number = Number::new(control);
        let verdict = match control & 0x60 {
            0x00 => Verdict::Ack(number),
            0x20 => Verdict::Nak(number),
            _ if control == 0xC0 && packet.is_empty() => return Ok(Self::Resync),
            _ => return Err(Damage::Control),
        };
        match (control & 0x80 != 0, packet.is_empty()) {
            _ if control & 0x10 != 0 => Err(Damage::Control),
            (true, true) if control & 0x0C == 0 => Ok(Self::Control(verdict)),
            (false, false) => Ok(Self::Data {
                number: Number::new(control >> 2),
                verdict,
                packet,
            }),
            (true, true) => Err(Damage::Control),
            _ => Err(Damage::Length),
        }
    }

    fn control_byte(&self) -> u8 {
        let sequence = |verdict: &Verdict| match verdict {
            Verdict::Ack(number) => number.0,
            Verdict::Nak(number) => 0x20 | number.0,
        };
        match self {
            Self::Data { number, verdict, .. } => number.0 << 2 | sequence(verdict),
            Self::Control(verdict) => 0x80 | sequence(verdict),
            Self::Resync => 0xC0,
        }
    }

    /// Writes the frame to the front of `out` and says how long it is; `None` if it does not fit.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        match *self {
            Self::Data { packet, .. } => {
                out.get_mut(3..3 + packet.len())?.copy_from_slice(packet);
                seal(self.control_byte(), packet.len(), out)
            }
            Self::Control(_) | Self::Resync => seal(self.control_byte(), 0, out),
        }
    }

    /// Writes a data frame whose packet is made of two pieces, so that nobody has to join them before.
    pub fn write_data(
        number: Number,
        received: Number,
        mark: u8,
        piece: &[u8],
        out: &mut [u8],
    ) -> Option<usize> {
        *out.get_mut(3)? = mark;
        out.get_mut(4..4 + piece.len())?.copy_from_slice(piece);
        seal(number.0 << 2 | received.0, piece.len() + 1, out)
    }
}

/// Puts head and checksum around a packet that is already in its place.
fn seal(control: u8, packet_bytes: usize, out: &mut [u8]) -> Option<usize> {
    let [high, low] = u16::try_from(packet_bytes).ok()?.to_be_bytes();
    out.get_mut(..3)?.copy_from_slice(&[control, high, low]);
    let sum = checksum(out.get(..3 + packet_bytes)?);
    out.get_mut(3 + packet_bytes..OVERHEAD_BYTES + packet_bytes)?
        .copy_from_slice(&sum.to_be_bytes());
    Some(OVERHEAD_BYTES + packet_bytes)
}

const _: () = assert!(limits::FRAME_BYTES_MIN > OVERHEAD_BYTES + 1);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_control_byte_is_either_legal_or_refused() {
        // 00-0F data+ACK, 20-2F data+NAK, 80-83 ACK, A0-A3 NAK, C0 re-sync: nothing else.
        for control in 0..=255u8 {
            for packet in [&b""[..], b"x"] {
                let mut bytes = [0; 8];
                bytes[3..3 + packet.len()].copy_from_slice(packet);
                let n = seal(control, packet.len(), &mut bytes).unwrap();
                let legal = match control {
                    0x00..=0x0F | 0x20..=0x2F => !packet.is_empty(),
                    0x80..=0x83 | 0xA0..=0xA3 | 0xC0 => packet.is_empty(),
                    _ => false,
                };
                let parsed = Frame::parse(&bytes[..n]);
                assert_eq!(parsed.is_ok(), legal, "{control:02X} with {} bytes", packet.len());
                if let Ok(frame) = parsed {
                    let mut again = [0; 8];
                    let m = frame.write(&mut again).unwrap();
                    assert_eq!(again[..m], bytes[..n]);
                }
            }
        }
    }

    #[test]
    fn damage_has_a_name() {
        let cases: [(&[u8], Damage); 5] = [
            (&[], Damage::Length),
            (&[0x80, 0, 0, 0x0C], Damage::Length),
            (&[0x80, 0, 1, 0x0C, 0xEC], Damage::Length),
            (&[0x80, 0, 0, 0x0C, 0xED], Damage::Checksum),
            (&[0x80, 0, 0, 0xEC, 0x0C], Damage::Checksum),
        ];
        for (bytes, damage) in cases {
            assert_eq!(Frame::parse(bytes), Err(damage), "{bytes:02X?}");
        }
    }

    #[test]
    fn a_frame_that_does_not_fit_is_not_written() {
        let mut out = [0; 4];
        assert_eq!(Frame::Resync.write(&mut out), None);
        assert_eq!(
            Frame::write_data(Number::FRESH, Number::FRESH, 0, b"abc", &mut [0; 8]),
            None
        );
    }

    proptest! {
        #[test]
        fn bytes_never_panic_and_survive_a_round_trip(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(frame) = Frame::parse(&bytes) {
                let mut again = [0; 300];
                let n = frame.write(&mut again).unwrap();
                prop_assert_eq!(&again[..n], &bytes[..]);
            }
        }
    }
}
