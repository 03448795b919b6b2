//! The data link layer: frames in, frames out, each delivered once and in order (IFX I2C Protocol v1.65, chapter 3).
//!
//! The window is one frame. A frame with a wrong checksum is refused with NAK, a repeated one is acknowledged again and never
//! delivered twice, our own frame is kept until the host acknowledges it and offered again if it does not. Time is an argument.

use crate::crc::crc16;
use crate::limits::{ACKNOWLEDGE_WAIT_US, REPEATS_MAX};

/// Number of the "last frame" on both sides after a reset.
const NUMBER_AFTER_RESET: u8 = 3;

const ACKNOWLEDGE: u8 = 0x80;
const REFUSE: u8 = 0xA0;
const RESYNC: u8 = 0xC0;

/// What a frame from the host means for the layers above.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received<'a> {
    /// Nothing: it was refused, repeated or stale.
    Nothing,
    /// The host has the frame that we sent last.
    Acknowledged,
    /// A packet, for the first time.
    Packet(&'a [u8]),
    /// Both sides start from the beginning.
    Resync,
}

/// Our data frame on its way.
#[derive(Debug, PartialEq, Eq)]
enum Sending {
    Nothing,
    /// In the DATA register, not read yet.
    Offered {
        repeats: u8,
    },
    /// Read, not acknowledged. The clock starts at the first look after the read.
    Taken {
        repeats: u8,
        since_us: Option<u64>,
    },
}

/// The chip's end of the data link.
#[derive(Debug)]
pub(crate) struct Link {
    last_received: u8,
    last_sent: u8,
    control: Option<[u8; 5]>,
    sending: Sending,
    frame: Vec<u8>,
}

impl Link {
    pub(crate) fn new() -> Self {
        Self {
            last_received: NUMBER_AFTER_RESET,
            last_sent: NUMBER_AFTER_RESET,
            control: None,
            sending: Sending::Nothing,
            frame: Vec::new(),
        }
    }

    /// As after a reset or a re-synchronisation; the frame's memory is kept.
    pub(crate) fn reset(&mut self) {
        let frame = core::mem::take(&mut self.frame);
        *self = Self { frame, ..Self::new() };
    }

    /// Takes a whole frame from the host, of at most `frame_bytes_max`.
    pub(crate) fn receive<'a>(&mut self, frame: &'a [u8], frame_bytes_max: u16) -> Received<'a> {
        if frame.len() > usize::from(frame_bytes_max) {
            return self.refuse();
        }
        match (open(frame), frame) {
            // A broken control frame is not worth an answer: its sender repeats it or asks for it.
            (None, [0x80..=0xFF, ..]) => Received::Nothing,
            (None, _) => self.refuse(),
            (Some((control, [])), _) => self.control_frame(control),
            (Some((0x80..=0xFF, _)), _) => Received::Nothing,
            (Some((control @ (0x00..=0x0F | 0x20..=0x2F), packet)), _) => self.data_frame(control, packet),
            (Some(_), _) => self.refuse(),
        }
    }

    fn control_frame<'a>(&mut self, control: u8) -> Received<'a> {
        let ours = control & 3 == self.last_sent && self.sending != Sending::Nothing;
        match control & !3 {
            ACKNOWLEDGE if ours => {
                self.sending = Sending::Nothing;
                Received::Acknowledged
            }
            REFUSE if ours => {
                self.sending = Sending::Offered { repeats: 0 };
                Received::Nothing
            }
            ACKNOWLEDGE | REFUSE => Received::Nothing,
            RESYNC if control == RESYNC => {
                self.reset();
                Received::Resync
            }
            _ => self.refuse(),
        }
    }

    /// The acknowledge that a data frame carries needs no look: a new packet ends whatever we were sending.
    fn data_frame<'a>(&mut self, control: u8, packet: &'a [u8]) -> Received<'a> {
        let number = (control >> 2) & 3;
        if number != self.next_received() {
            self.acknowledge();
            // Who repeats a command has not seen its answer.
            if matches!(self.sending, Sending::Taken { .. }) {
                self.sending = Sending::Offered { repeats: 0 };
            }
            return Received::Nothing;
        }
        self.last_received = number;
        self.control = None;
        self.sending = Sending::Nothing;
        Received::Packet(packet)
    }

    fn next_received(&self) -> u8 {
        (self.last_received + 1) & 3
    }

    fn refuse<'a>(&mut self) -> Received<'a> {
        self.control = Some(control_frame(REFUSE | self.next_received()));
        Received::Nothing
    }

    /// Offers an acknowledge of the last packet as a control frame.
    pub(crate) fn acknowledge(&mut self) {
        self.control = Some(control_frame(ACKNOWLEDGE | self.last_received));
    }

    /// Offers a packet, which also acknowledges the last one from the host.
    pub(crate) fn send(&mut self, chain: u8, body: &[u8]) {
        self.last_sent = (self.last_sent + 1) & 3;
        let [high, low] = ((body.len() + 1) as u16).to_be_bytes();
        self.frame.clear();
        self.frame.reserve_exact(body.len() + 6);
        self.frame
            .extend_from_slice(&[(self.last_sent << 2) | self.last_received, high, low, chain]);
        self.frame.extend_from_slice(body);
        let checksum = crc16(&self.frame);
        self.frame.extend_from_slice(&checksum.to_be_bytes());
        self.sending = Sending::Offered { repeats: 0 };
    }

    /// The frame that the host reads next: a control frame goes before a data frame.
    pub(crate) fn offered(&self) -> Option<&[u8]> {
        match (&self.control, &self.sending) {
            (Some(control), _) => Some(control),
            (None, Sending::Offered { .. }) => Some(&self.frame),
            _ => None,
        }
    }

    /// The host has read what was offered.
    pub(crate) fn taken(&mut self) {
        if self.control.take().is_none()
            && let Sending::Offered { repeats } = self.sending
        {
            self.sending = Sending::Taken {
                repeats,
                since_us: None,
            };
        }
    }

    /// Offers a frame again that was read and not acknowledged in time.
    pub(crate) fn tick(&mut self, now_us: u64) {
        if let Sending::Taken { repeats, since_us } = &mut self.sending {
            let since_us = *since_us.get_or_insert(now_us);
            let repeats = *repeats;
            if repeats < REPEATS_MAX && now_us.saturating_sub(since_us) >= ACKNOWLEDGE_WAIT_US {
                self.sending = Sending::Offered { repeats: repeats + 1 };
            }
        }
    }
}

/// Control byte and packet of a frame whose length and checksum are right.
fn open(frame: &[u8]) -> Option<(u8, &[u8])> {
    let (covered, checksum) = frame.split_last_chunk::<2>()?;
    let ([control, high, low], packet) = covered.split_first_chunk::<3>()?;
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let right = length == packet.len() && crc16(covered) == u16::from_be_bytes(*checksum);
    right.then_some((*control, packet))
}

fn control_frame(control: u8) -> [u8; 5] {
    let [high, low] = crc16(&[control, 0, 0]).to_be_bytes();
    [control, 0, 0, high, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: u16 = 0x115;

    fn frame(control: u8, packet: &[u8]) -> Vec<u8> {
        let mut frame = vec![control, 0, packet.len() as u8];
        frame.extend_from_slice(packet);
        let checksum = crc16(&frame);
        frame.extend_from_slice(&checksum.to_be_bytes());
        frame
    }

    fn offered(link: &mut Link) -> Option<u8> {
        let control = link.offered().and_then(|frame| frame.first().copied());
        link.taken();
        control
    }

    #[test]
    fn a_packet_is_delivered_once() {
        let mut link = Link::new();
        assert_eq!(
            link.receive(&frame(0x03, &[0, 1]), FULL),
            Received::Packet(&[0, 1])
        );
        assert_eq!(link.receive(&frame(0x03, &[0, 1]), FULL), Received::Nothing);
        assert_eq!(offered(&mut link), Some(0x80));
        // A frame from the future is not delivered either.
        assert_eq!(link.receive(&frame(0x0B, &[0, 1]), FULL), Received::Nothing);
        assert_eq!(offered(&mut link), Some(0x80));
        assert_eq!(link.receive(&frame(0x07, &[9]), FULL), Received::Packet(&[9]));
    }

    #[test]
    fn broken_data_frames_are_refused_and_broken_control_frames_ignored() {
        let mut wrong_checksum = frame(0x03, &[0]);
        wrong_checksum[3] ^= 1;
        let mut wrong_length = frame(0x03, &[0, 0]);
        wrong_length[2] = 3;
        let mut broken_control = frame(0x80, &[]);
        broken_control[4] ^= 1;
        let cases: [(&[u8], Option<u8>); 12] = [
            (&wrong_checksum, Some(0xA0)),
            (&wrong_length, Some(0xA0)),
            (&frame(0x03, &[]), Some(0xA0)),
            (&frame(0x13, &[0]), Some(0xA0)),
            (&frame(0x43, &[0]), Some(0xA0)),
            (&frame(0x63, &[0]), Some(0xA0)),
            (&[0x03, 0, 0], Some(0xA0)),
            (&[0x03], Some(0xA0)),
            (&frame(0xE0, &[]), Some(0xA0)),
            (&frame(0xC1, &[]), Some(0xA0)),
            (&frame(0x80, &[0]), None),
            (&broken_control, None),
        ];
        for (bytes, answer) in cases {
            let mut link = Link::new();
            assert_eq!(link.receive(bytes, FULL), Received::Nothing, "{bytes:02x?}");
            assert_eq!(offered(&mut link), answer, "{bytes:02x?}");
        }
        let mut link = Link::new();
        assert_eq!(link.receive(&frame(0x03, &[0; 12]), 16), Received::Nothing);
        assert_eq!(offered(&mut link), Some(0xA0));
        assert_eq!(
            link.receive(&frame(0x03, &[0; 11]), 16),
            Received::Packet(&[0; 11])
        );
    }

    #[test]
    fn our_frame_stays_until_it_is_acknowledged() {
        let mut link = Link::new();
        link.receive(&frame(0x03, &[0]), FULL);
        link.send(0, &[1, 2]);
        assert_eq!(link.offered().unwrap(), frame(0x00, &[0, 1, 2]));
        link.taken();
        assert_eq!(link.offered(), None);
        assert_eq!(link.receive(&frame(0xA1, &[]), FULL), Received::Nothing);
        assert_eq!(link.offered(), None, "a NAK for another frame");
        link.receive(&frame(0xA0, &[]), FULL);
        assert_eq!(offered(&mut link), Some(0x00));
        assert_eq!(link.receive(&frame(0x83, &[]), FULL), Received::Nothing);
        assert_eq!(link.receive(&frame(0x80, &[]), FULL), Received::Acknowledged);
        assert_eq!(link.receive(&frame(0x80, &[]), FULL), Received::Nothing);
        link.receive(&frame(0xA0, &[]), FULL);
        assert_eq!(link.offered(), None, "it is acknowledged");
    }

    #[test]
    fn a_repeated_command_brings_back_the_answer_and_not_the_work() {
        let mut link = Link::new();
        link.receive(&frame(0x03, &[0]), FULL);
        link.send(0, &[1]);
        link.taken();
        assert_eq!(link.receive(&frame(0x03, &[0]), FULL), Received::Nothing);
        assert_eq!(
            (offered(&mut link), offered(&mut link), offered(&mut link)),
            (Some(0x80), Some(0x00), None)
        );
    }

    #[test]
    fn an_unacknowledged_frame_comes_back_three_times() {
        let mut link = Link::new();
        link.receive(&frame(0x03, &[0]), FULL);
        link.send(0, &[1]);
        let mut now_us = 0;
        let mut offers = 0;
        for _ in 0..100 {
            offers += usize::from(offered(&mut link).is_some());
            link.tick(now_us);
            now_us += ACKNOWLEDGE_WAIT_US / 2;
        }
        assert_eq!(offers, 1 + usize::from(REPEATS_MAX));
    }

    /// `vectors/optiga/g14-other-product.trace`: what a Trust M on silicon and its host said. Its packets mean nothing to this
    /// chip, whose layers above have no presentation layer, but numbers, lengths and checksums are the same.
    #[test]
    fn a_relative_on_silicon_frames_as_this_chip_does() {
        let trace = include_str!("../../../vectors/optiga/g14-other-product.trace");
        let frames = trace.lines().filter_map(|line| line.split_at_checked(2));
        let mut link = Link::new();
        let mut seen = 0;
        for (who, hex) in frames {
            let bytes = || -> Vec<u8> {
                hex.split(' ')
                    .map(|byte| u8::from_str_radix(byte, 16).unwrap())
                    .collect()
            };
            match who {
                "H " => {
                    let frame = bytes();
                    let packet = &frame[3..frame.len() - 2];
                    assert_eq!(link.receive(&frame, FULL), Received::Packet(packet));
                }
                "C " => {
                    let frame = bytes();
                    link.send(frame[3], &frame[4..frame.len() - 2]);
                    assert_eq!(link.offered().unwrap(), frame);
                    link.taken();
                }
                _ => continue,
            }
            seen += 1;
        }
        assert_eq!(seen, 4);
    }

    #[test]
    fn resync_starts_both_sides_again() {
        let mut link = Link::new();
        link.receive(&frame(0x03, &[0]), FULL);
        link.send(0, &[1]);
        assert_eq!(link.receive(&frame(0xC0, &[]), FULL), Received::Resync);
        assert_eq!(link.offered(), None);
        assert_eq!(link.receive(&frame(0x03, &[5]), FULL), Received::Packet(&[5]));
    }
}
