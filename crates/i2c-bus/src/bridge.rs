//! The server's side of a serial line: one client, frames of [`serial`](crate::serial), the bus behind them.
//!
//! It must never execute a request twice because its reply was lost on the line: a number that comes again gets the reply of
//! before. HELLO alone is always executed: a client that starts anew counts from anywhere.

use std::io::{ErrorKind, Read, Result as IoResult, Write};

use crate::LocalBus;
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::serial::{self, Decoder, FRAME_OVERHEAD_BYTES, Frame};
use crate::serve::{answer, refuse};
use crate::wire::{REQUEST_HEADER_BYTES, Request, RequestHeader, Status};

/// Bytes of one read call.
const READ_BYTES: usize = 1_024;

/// Serves a serial line until it ends.
///
/// # Errors
/// What the line failed with.
pub fn serve_serial<S: Read + Write>(mut line: S, bus: &LocalBus) -> IoResult<()> {
    let room = vec![0; PAYLOAD_BYTES_MAX + REQUEST_HEADER_BYTES + FRAME_OVERHEAD_BYTES];
    let (mut decoder, mut replies) = (Decoder::new(room), Replies::default());
    let (mut bytes, mut out) = ([0; READ_BYTES], Vec::new());
    loop {
        let count = match line.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        for byte in bytes.get(..count).unwrap_or_default() {
            if let Some(frame) = decoder.push(*byte) {
                let reply = replies.reply(bus, frame);
                serial::encode(frame.number, &[reply], |part| out.extend_from_slice(part));
            }
        }
        line.write_all(&out)?;
        out.clear();
    }
}

/// The reply that was sent last, and to which number.
#[derive(Default)]
struct Replies {
    number: Option<u8>,
    reply: Vec<u8>,
}

impl Replies {
    fn reply(&mut self, bus: &LocalBus, frame: Frame<'_>) -> &[u8] {
        let hello = frame.message.first() == Some(&0);
        if hello || self.number != Some(frame.number) {
            self.number = Some(frame.number);
            match parse(frame.message) {
                Ok(request) => answer(bus, &request, &mut self.reply),
                Err(status) => refuse(status, &mut self.reply),
            };
        }
        &self.reply
    }
}

fn parse(message: &[u8]) -> Result<Request<'_>, Status> {
    let (header, payload) = message.split_first_chunk().ok_or(Status::Malformed)?;
    Request::parse(RequestHeader::from_bytes(*header), payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::tests::Memory;

    /// A line that holds all that the client sends, and collects what it gets.
    struct Script<'a>(&'a [u8], Vec<u8>);

    impl Read for Script<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
            let room = buffer.len().min(7);
            self.0.read(&mut buffer[..room])
        }
    }

    impl Write for Script<'_> {
        fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
            self.1.write(bytes)
        }

        fn flush(&mut self) -> IoResult<()> {
            Ok(())
        }
    }

    fn check(requests: &[(u8, &[u8])], noise: &[u8], expected: &[(u8, &[u8])], transactions: u64) {
        let bus = LocalBus::virtual_time();
        bus.attach(0x30, Memory::at(0x30)).unwrap();
        let mut stream = noise.to_vec();
        for (number, message) in requests {
            serial::encode(*number, &[message], |part| stream.extend_from_slice(part));
        }
        let mut script = Script(&stream, vec![]);
        serve_serial(&mut script, &bus).unwrap();
        let mut decoder = Decoder::new([0; 600]);
        let mut seen = vec![];
        for byte in script.1 {
            if let Some(frame) = decoder.push(byte) {
                seen.push((frame.number, frame.message.to_vec()));
            }
        }
        let expected: Vec<_> = expected
            .iter()
            .map(|(number, reply)| (*number, reply.to_vec()))
            .collect();
        assert_eq!(seen, expected);
        assert_eq!(bus.transactions(), transactions);
    }

    #[test]
    fn a_line_carries_requests_and_replies() {
        check(
            &[
                (1, b"\x00\x00\x00\x05vi2c\x01"),
                (2, &[1, 0x30, 0, 1, 9]),
                (3, &[2, 0x30, 0, 2, 0, 2]),
            ],
            b"boot messages\r\n\0",
            &[
                (1, b"\x00\x00\x05vi2c\x01"),
                (2, &[0, 0, 0]),
                (3, &[0, 0, 2, 9, 0xFF]),
            ],
            2,
        );
    }

    #[test]
    fn a_repeated_number_is_answered_and_not_executed_again() {
        let write: (u8, &[u8]) = (2, &[1, 0x30, 0, 1, 9]);
        let done: (u8, &[u8]) = (2, &[0, 0, 0]);
        check(&[write, write, write], &[], &[done, done, done], 1);
    }

    #[test]
    fn a_malformed_request_is_answered_and_the_line_goes_on() {
        check(
            &[(1, &[1, 0x30, 0, 9, 1]), (2, &[1]), (3, &[1, 0x30, 0, 0])],
            &[],
            &[(1, &[5, 0, 0]), (2, &[5, 0, 0]), (3, &[0, 0, 0])],
            1,
        );
    }
}
