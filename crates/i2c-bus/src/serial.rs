//! VI2C over a serial line: frames that find their beginning again after noise, and numbers that keep a repeated request from
//! being executed twice. For firmware in an emulator whose only way out is a UART.
//!
//! A frame is `number message crc` in COBS (Cheshire and Baker, 1999), and a zero byte; the message is a request or a reply of
//! [`wire`](crate::wire), the checksum CRC-16/CCITT-FALSE over what stands before it, high byte first. What is damaged is
//! dropped without an answer. A client that gets none sends the same frame again, with the same number; the server executes a
//! number once and repeats its reply. Each new request has another number; the first one is HELLO, which is always executed.
//! The codec needs no standard library and no heap.

/// Bytes of a frame around its message, before COBS: number and checksum.
pub const FRAME_OVERHEAD_BYTES: usize = 3;

/// Ends every frame, and is nowhere in one.
const END: u8 = 0;

/// Most bytes that one code byte of COBS can announce.
const BLOCK_BYTES_MAX: usize = 254;

/// Encodes one frame and hands it over piece by piece.
pub fn encode(number: u8, message: &[&[u8]], send: impl FnMut(&[u8])) {
    let mut encoder = Encoder {
        block: [0; 1 + BLOCK_BYTES_MAX],
        length: 0,
        checksum: Checksum::NEW,
        send,
    };
    encoder.covered(number);
    for byte in message.iter().copied().flatten() {
        encoder.covered(*byte);
    }
    for byte in encoder.checksum.0.to_be_bytes() {
        encoder.push(byte);
    }
    encoder.finish_block();
    (encoder.send)(&[END]);
}

struct Encoder<S> {
    /// The code byte, and what it announces.
    block: [u8; 1 + BLOCK_BYTES_MAX],
    length: usize,
    checksum: Checksum,
    send: S,
}

impl<S: FnMut(&[u8])> Encoder<S> {
    fn covered(&mut self, byte: u8) {
        self.checksum.update(byte);
        self.push(byte);
    }

    fn push(&mut self, byte: u8) {
        if byte == 0 {
            return self.finish_block();
        }
        self.length += 1;
        if let Some(place) = self.block.get_mut(self.length) {
            *place = byte;
        }
        if self.length == BLOCK_BYTES_MAX {
            self.finish_block();
        }
    }

    fn finish_block(&mut self) {
        if let Some(code) = self.block.first_mut() {
            *code = self.length as u8 + 1;
        }
        (self.send)(self.block.get(..=self.length).unwrap_or(&[]));
        self.length = 0;
    }
}

/// A frame that has arrived whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The number of the request that it is, or answers.
    pub number: u8,
    /// The message.
    pub message: &'a [u8],
}

/// Finds frames in a stream of bytes. The buffer bounds what a frame may hold: message and [`FRAME_OVERHEAD_BYTES`].
#[derive(Clone, Debug)]
pub struct Decoder<B> {
    buffer: B,
    length: usize,
    /// Bytes that the current block still has; 0 before its code byte.
    left: u8,
    /// The current block ends with a zero unless the frame does.
    zero: bool,
    /// The frame is damaged or too long: nothing of it counts.
    spoilt: bool,
}

impl<B: AsMut<[u8]>> Decoder<B> {
    /// A decoder that has seen nothing.
    pub const fn new(buffer: B) -> Self {
        Self {
            buffer,
            length: 0,
            left: 0,
            zero: false,
            spoilt: false,
        }
    }

    /// Takes the next byte of the stream; a frame, if it was the last one of a good frame.
    pub fn push(&mut self, byte: u8) -> Option<Frame<'_>> {
        if byte == END {
            return self.finish();
        }
        if self.left > 0 {
            self.left -= 1;
            self.keep(byte);
            return None;
        }
        if core::mem::replace(&mut self.zero, byte != u8::MAX) {
            self.keep(0);
        }
        self.left = byte - 1;
        None
    }

    fn keep(&mut self, byte: u8) {
        match self.buffer.as_mut().get_mut(self.length) {
            Some(place) => *place = byte,
            None => self.spoilt = true,
        }
        self.length = self.length.saturating_add(1);
    }

    fn finish(&mut self) -> Option<Frame<'_>> {
        let whole = self.left == 0 && !self.spoilt;
        let length = core::mem::replace(&mut self.length, 0);
        (self.left, self.zero, self.spoilt) = (0, false, false);
        if !whole {
            return None;
        }
        let (covered, checksum) = self.buffer.as_mut().get(..length)?.split_last_chunk()?;
        if Checksum::of(covered) != u16::from_be_bytes(*checksum) {
            return None;
        }
        let (number, message) = covered.split_first()?;
        Some(Frame {
            number: *number,
            message,
        })
    }
}

/// CRC-16/CCITT-FALSE.
struct Checksum(u16);

impl Checksum {
    const NEW: Self = Self(0xFFFF);

    fn of(bytes: &[u8]) -> u16 {
        let mut checksum = Self::NEW;
        bytes.iter().for_each(|byte| checksum.update(*byte));
        checksum.0
    }

    fn update(&mut self, byte: u8) {
        let turned = (0..8).fold(self.0 ^ (u16::from(byte) << 8), |crc, _| {
            (crc << 1) ^ ((crc >> 15) * 0x1021)
        });
        self.0 = turned;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;
    use std::vec;
    use std::vec::Vec;

    fn encoded(number: u8, message: &[u8]) -> Vec<u8> {
        let mut out = vec![];
        encode(number, &[message], |bytes| out.extend_from_slice(bytes));
        out
    }

    fn frames(stream: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut decoder = Decoder::new([0; 600]);
        let mut found = vec![];
        for byte in stream {
            if let Some(frame) = decoder.push(*byte) {
                found.push((frame.number, frame.message.to_vec()));
            }
        }
        found
    }

    #[test]
    fn the_checksum_is_the_known_one() {
        assert_eq!(Checksum::of(b"123456789"), 0x29B1);
    }

    #[test]
    fn frames_are_these_bytes() {
        assert_eq!(
            encoded(1, &[1, 0x30, 0, 1, 0x82]),
            [
                &[4, 1, 1, 0x30, 5, 1, 0x82][..],
                &Checksum::of(&[1, 1, 0x30, 0, 1, 0x82]).to_be_bytes(),
                &[0]
            ]
            .concat()
        );
    }

    #[test]
    fn every_length_and_every_place_of_a_zero_comes_back() {
        for length in (0..520).chain([594, 597]) {
            for period in [1, 2, 7, 253, 254, 255, 1_000] {
                let message: Vec<u8> = (1..=length)
                    .map(|at| if at % period == 0 { 0 } else { 0xA5 })
                    .collect();
                let stream = encoded(9, &message);
                assert_eq!(stream.iter().position(|byte| *byte == 0), Some(stream.len() - 1));
                assert_eq!(frames(&stream), [(9, message)], "{length} {period}");
            }
        }
    }

    #[test]
    fn what_is_damaged_is_dropped_and_the_next_frame_is_found() {
        let good = encoded(3, &[1, 2, 0, 4]);
        for at in 0..good.len() - 1 {
            for bit in 0..8 {
                let mut stream = good.clone();
                stream[at] ^= 1 << bit;
                stream.extend_from_slice(&encoded(4, &[7]));
                assert_eq!(frames(&stream).last(), Some(&(4, vec![7])), "{at} {bit}");
                assert!(frames(&stream).iter().all(|frame| frame.0 == 4), "{at} {bit}");
            }
        }
        let noise = [&[0x55; 700][..], &[0, 0, 0], &good].concat();
        assert_eq!(frames(&noise), [(3, vec![1, 2, 0, 4])]);
        assert_eq!(frames(&encoded(1, &[1; 598])), []);
    }

    proptest::proptest! {
        #[test]
        fn no_stream_panics(stream: Vec<u8>) {
            frames(&stream);
        }
    }
}
