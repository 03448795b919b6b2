//! The frames that a client sends, taken off in place, and those it is sent.

use core::fmt;

use super::head::{self, HEAD_BYTES_MAX, Head, Kind};

/// Closing because the other side breaks the rules (RFC 6455, 7.4.1).
const PROTOCOL_ERROR: u16 = 1002;
/// Closing because the other side sends text.
const UNSUPPORTED: u16 = 1003;

/// What a client did that RFC 6455, or MQTT over it, does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A frame without a mask (RFC 6455, 5.1).
    Unmasked,
    /// A bit or a kind of frame that has no meaning.
    Reserved,
    /// A text frame (MQTT 5.0, `[MQTT-6.0.0-1]`).
    Text,
    /// A ping, pong or close in pieces, or longer than 125 bytes.
    Control,
    /// A length of more than 63 bits.
    Length,
    /// A continuation of nothing, or a new message in the middle of one.
    Order,
    /// A close frame with half a code, or with one that may not be sent.
    CloseCode,
}

impl Violation {
    /// The code of the close frame that tells it.
    const fn close_code(self) -> u16 {
        match self {
            Self::Text => UNSUPPORTED,
            _ => PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unmasked => "a frame of the client has no mask (RFC 6455, 5.1)",
            Self::Reserved => "a frame has a bit or a kind that has no meaning (RFC 6455, 5.2)",
            Self::Text => "a text frame came where MQTT sends binary ones [MQTT-6.0.0-1]",
            Self::Control => "a control frame is in pieces or longer than 125 bytes (RFC 6455, 5.5)",
            Self::Length => "a frame has a length of more than 63 bits (RFC 6455, 5.2)",
            Self::Order => "a frame continues nothing, or begins a message inside another (RFC 6455, 5.4)",
            Self::CloseCode => "a close frame has a code that may not be sent (RFC 6455, 7.4)",
        })
    }
}

impl core::error::Error for Violation {}

/// How the frames of a client came to their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It said goodbye.
    Closed,
    /// It broke a rule.
    Violated(Violation),
}

#[derive(Clone, Copy, Debug)]
enum Reading {
    Head {
        bytes: [u8; HEAD_BYTES_MAX],
        count: usize,
    },
    Payload {
        kind: Kind,
        left: u64,
        mask: [u8; 4],
    },
}

impl Reading {
    const START: Self = Self::Head {
        bytes: [0; HEAD_BYTES_MAX],
        count: 0,
    };
}

/// Where a connection stands in the frames that its client sends.
#[derive(Debug)]
pub struct Frames {
    reading: Reading,
    /// Whether a message has begun that has not ended.
    inside: bool,
    /// What the control frame at hand carries.
    control: Vec<u8>,
    /// The control frame that the client is to be sent.
    reply: Vec<u8>,
    end: Option<End>,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            reading: Reading::START,
            inside: false,
            control: Vec::new(),
            reply: Vec::new(),
            end: None,
        }
    }
}

impl Frames {
    /// Turns what a client sent, which is what follows the first `from` bytes of `buffer`, into what it meant, in place.
    ///
    /// After the end of its frames everything is thrown away; [`Frames::end`] tells of it.
    pub fn decode(&mut self, buffer: &mut Vec<u8>, from: usize) {
        let (mut read, mut written) = (from, from);
        while read < buffer.len() && self.end.is_none() {
            match self.reading {
                Reading::Head { .. } => read += self.take_head(buffer.get(read..).unwrap_or_default()),
                Reading::Payload { kind, left, mask } => {
                    let rest = buffer.get_mut(read..).unwrap_or_default();
                    let count = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                    let payload = rest.get_mut(..count).unwrap_or_default();
                    unmask(payload, mask);
                    if kind.carries() {
                        buffer.copy_within(read..read + count, written);
                        written += count;
                    } else {
                        self.control.extend_from_slice(payload);
                    }
                    read += count;
                    self.took(kind, left - count as u64, turned(mask, count));
                }
            }
        }
        buffer.truncate(written);
    }

    /// The proper end of what the client sends, or the rule that it broke; none while it goes on.
    pub fn end(&self) -> Option<Result<(), Violation>> {
        self.end.map(|end| match end {
            End::Closed => Ok(()),
            End::Violated(violation) => Err(violation),
        })
    }

    /// The control frame that the client is to be sent, once. Of many pings only the last is answered (RFC 6455, 5.5.3).
    pub fn take_reply(&mut self) -> Option<Vec<u8>> {
        (!self.reply.is_empty()).then(|| core::mem::take(&mut self.reply))
    }

    /// Takes bytes of a head, and says how many.
    fn take_head(&mut self, input: &[u8]) -> usize {
        let Reading::Head { mut bytes, mut count } = self.reading else {
            return 0;
        };
        let mut taken = 0;
        loop {
            let wanted = head::bytes_of(bytes.get(..count).unwrap_or_default());
            if count >= wanted {
                break;
            }
            let (Some(byte), Some(place)) = (input.get(taken), bytes.get_mut(count)) else {
                self.reading = Reading::Head { bytes, count };
                return taken;
            };
            *place = *byte;
            (taken, count) = (taken + 1, count + 1);
            if count == 2
                && let Err(violation) = head::check(&bytes)
            {
                self.violated(violation);
                return taken;
            }
        }
        match head::read(bytes.get(..count).unwrap_or_default()) {
            Ok(head) => self.begin(head),
            Err(violation) => self.violated(violation),
        }
        taken
    }

    fn begin(&mut self, head: Head) {
        match (head.kind, self.inside) {
            (Kind::Binary, true) | (Kind::Continuation, false) => return self.violated(Violation::Order),
            (Kind::Binary | Kind::Continuation, _) => self.inside = !head.last,
            _ => {}
        }
        self.took(head.kind, head.bytes, head.mask);
    }

    /// So much of a frame is left.
    fn took(&mut self, kind: Kind, left: u64, mask: [u8; 4]) {
        if left > 0 {
            self.reading = Reading::Payload { kind, left, mask };
            return;
        }
        self.reading = Reading::START;
        let carried = core::mem::take(&mut self.control);
        match kind {
            Kind::Ping => self.reply = control(0x8a, &carried),
            Kind::Close => self.closed(&carried),
            Kind::Binary | Kind::Continuation | Kind::Pong => {}
        }
    }

    fn closed(&mut self, carried: &[u8]) {
        let code = match carried {
            [] => &[],
            [high, low, ..] if may_be_sent(u16::from_be_bytes([*high, *low])) => {
                carried.get(..2).unwrap_or_default()
            }
            _ => return self.violated(Violation::CloseCode),
        };
        self.reply = control(0x88, code);
        self.end = Some(End::Closed);
    }

    fn violated(&mut self, violation: Violation) {
        self.reply = control(0x88, &violation.close_code().to_be_bytes());
        self.end = Some(End::Violated(violation));
    }
}

impl Kind {
    /// Whether what is in it belongs to the stream.
    const fn carries(self) -> bool {
        matches!(self, Self::Binary | Self::Continuation)
    }
}

/// Puts the head of one whole binary frame before everything that follows the first `from` bytes.
pub fn wrap(out: &mut Vec<u8>, from: usize) {
    let bytes = out.len().saturating_sub(from) as u64;
    let length = bytes.to_be_bytes();
    let (mut head, mut count) = ([0x82, 0, 0, 0, 0, 0, 0, 0, 0, 0], 2);
    let [_, second, rest @ ..] = &mut head;
    match bytes {
        0..=125 => *second = length[7],
        126..=0xffff => {
            *second = 126;
            rest[..2].copy_from_slice(&length[6..]);
            count = 4;
        }
        _ => {
            *second = 127;
            rest.copy_from_slice(&length);
            count = 10;
        }
    }
    out.splice(from..from, head.into_iter().take(count));
}

/// A control frame; what it carries came in one and is no longer than may be.
fn control(first: u8, carried: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(2 + carried.len());
    frame.push(first);
    frame.push(u8::try_from(carried.len()).unwrap_or(0));
    frame.extend_from_slice(carried);
    frame
}

/// The codes that a close frame may carry (RFC 6455, 7.4).
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Takes the mask off, eight bytes at a time.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// The mask for what follows so many bytes.
fn turned(mut mask: [u8; 4], count: usize) -> [u8; 4] {
    mask.rotate_left(count % 4);
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = payload.to_vec();
        wrap(&mut out, 0);
        out[0] = first;
        out[1] |= 0x80;
        let head = out.len() - payload.len();
        unmask(&mut out[head..], MASK);
        out.splice(head..head, MASK);
        out
    }

    fn decode(frames: &mut Frames, sent: &[u8], piece: usize) -> Vec<u8> {
        let mut buffer = b"before".to_vec();
        for piece in sent.chunks(piece) {
            let from = buffer.len();
            buffer.extend_from_slice(piece);
            frames.decode(&mut buffer, from);
        }
        assert!(buffer.starts_with(b"before"));
        buffer.split_off(6)
    }

    #[test]
    fn what_was_sent_comes_out_however_it_is_cut() {
        let long = vec![7; 70_000];
        let middle = vec![9; 300];
        let mut sent = frame(0x82, b"Hello");
        sent.extend(frame(0x02, b"a"));
        sent.extend(frame(0x89, b"are you there"));
        sent.extend(frame(0x00, &middle));
        sent.extend(frame(0x8a, b""));
        sent.extend(frame(0x80, b""));
        sent.extend(frame(0x82, &long));
        let meant = [b"Hello", b"a".as_slice(), &middle, &long].concat();
        for piece in [1, 2, 3, 5, 7, 126, 4096, sent.len()] {
            let mut frames = Frames::default();
            assert_eq!(decode(&mut frames, &sent, piece), meant, "{piece}");
            assert_eq!(
                frames.take_reply().as_deref(),
                Some(&b"\x8a\x0dare you there"[..])
            );
            assert_eq!((frames.take_reply(), frames.end()), (None, None));
        }
    }

    /// RFC 6455, 5.7: "A single-frame masked text message", as binary.
    #[test]
    fn the_example_of_the_standard_is_read() {
        let sent = [0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(decode(&mut Frames::default(), &sent, 3), b"Hello");
        let mut answer = b"xHello".to_vec();
        wrap(&mut answer, 1);
        assert_eq!(answer, b"x\x82\x05Hello");
    }

    #[test]
    fn heads_are_as_long_as_they_must_be() {
        for (bytes, head) in [
            (0, &[0x82, 0][..]),
            (125, &[0x82, 125]),
            (126, &[0x82, 126, 0, 126]),
            (65_535, &[0x82, 126, 0xff, 0xff]),
            (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = vec![1; bytes];
            wrap(&mut out, 0);
            assert_eq!((&out[..head.len()], out.len()), (head, head.len() + bytes));
        }
    }

    #[test]
    fn a_goodbye_is_answered_and_ends_everything() {
        for (carried, answer) in [
            (&b""[..], &b"\x88\x00"[..]),
            (b"\x03\xe8bye", b"\x88\x02\x03\xe8"),
            (b"\x0f\xa0", b"\x88\x02\x0f\xa0"),
        ] {
            let mut frames = Frames::default();
            let sent = [
                frame(0x82, b"last"),
                frame(0x88, carried),
                frame(0x82, b"too late"),
            ]
            .concat();
            assert_eq!(decode(&mut frames, &sent, 4), b"last");
            assert_eq!(frames.end(), Some(Ok(())));
            assert_eq!(frames.take_reply().as_deref(), Some(answer));
        }
    }

    #[test]
    fn each_rule_that_is_broken_has_its_name() {
        let mut unmasked = frame(0x82, b"x");
        unmasked[1] &= 0x7f;
        let mut huge = frame(0x82, &[0; 70_000]);
        huge[2] = 0x80;
        let mut long_ping = frame(0x82, &[0; 126]);
        long_ping[0] = 0x89;
        let rows = [
            (unmasked, Violation::Unmasked, 1002),
            (frame(0xc2, b"x"), Violation::Reserved, 1002),
            (frame(0x83, b"x"), Violation::Reserved, 1002),
            (frame(0x81, b"x"), Violation::Text, 1003),
            (frame(0x09, b""), Violation::Control, 1002),
            (long_ping, Violation::Control, 1002),
            (huge, Violation::Length, 1002),
            (frame(0x80, b"x"), Violation::Order, 1002),
            (
                [frame(0x02, b""), frame(0x82, b"x")].concat(),
                Violation::Order,
                1002,
            ),
            (frame(0x88, b"\x03"), Violation::CloseCode, 1002),
            (frame(0x88, b"\x03\xed"), Violation::CloseCode, 1002),
        ];
        for (sent, violation, code) in rows {
            for piece in [1, sent.len()] {
                let mut frames = Frames::default();
                assert_eq!(decode(&mut frames, &sent, piece), b"", "{violation}");
                assert_eq!(frames.end(), Some(Err(violation)));
                let reply = frames.take_reply().unwrap();
                assert_eq!(reply[..2], [0x88, 2], "{violation}");
                assert_eq!(u16::from_be_bytes([reply[2], reply[3]]), code, "{violation}");
            }
        }
    }

    #[test]
    fn nothing_is_kept_between_frames() {
        let mut frames = Frames::default();
        let _ = decode(&mut frames, &frame(0x89, &[1; 125]), 1);
        let _ = frames.take_reply();
        assert_eq!((frames.control.capacity(), frames.reply.capacity()), (0, 0));
        assert!(size_of::<Frames>() <= 128);
    }
}
