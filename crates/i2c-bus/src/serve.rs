//! The server side of VI2C: one connection, any stream, strictly one request after the other.
//!
//! Several connections share the bus and take turns per request. It must never allocate more than one request announces, and
//! one request announces at most 64 KiB.

use std::io::{BufRead, BufReader, Error as IoError, ErrorKind, Read, Result as IoResult, Write};

use crate::wire::{self, REPLY_HEADER_BYTES, REQUEST_HEADER_BYTES, Request, RequestHeader, Status};
use crate::{Error, LocalBus};

/// Holds most requests whole, so that one read call fetches header and payload.
const READ_AHEAD_BYTES: usize = 1_024;

/// Serves one connection until the peer closes it.
///
/// # Errors
/// What the stream failed with; [`ErrorKind::InvalidData`] after a malformed request, which was answered by status 05.
pub fn serve<S: Read + Write>(stream: S, bus: &LocalBus) -> IoResult<()> {
    let mut stream = BufReader::with_capacity(READ_AHEAD_BYTES, stream);
    let (mut payload, mut reply) = (Vec::new(), Vec::new());
    while !stream.fill_buf()?.is_empty() {
        let mut header = [0; REQUEST_HEADER_BYTES];
        stream.read_exact(&mut header)?;
        let header = RequestHeader::from_bytes(header);
        payload.resize(usize::from(header.length), 0);
        stream.read_exact(&mut payload)?;
        let status = match Request::parse(header, &payload) {
            Ok(request) => answer(bus, &request, &mut reply),
            Err(status) => refuse(status, &mut reply),
        };
        stream.get_mut().write_all(&reply)?;
        if status == Status::Malformed {
            return Err(IoError::new(ErrorKind::InvalidData, "malformed VI2C request"));
        }
    }
    Ok(())
}

/// Does what is asked and leaves the whole reply in `reply`.
pub(crate) fn answer(bus: &LocalBus, request: &Request<'_>, reply: &mut Vec<u8>) -> Status {
    reply.clear();
    reply.resize(REPLY_HEADER_BYTES, 0);
    let outcome = match *request {
        Request::Hello { .. } => {
            reply.extend_from_slice(&wire::MAGIC);
            reply.push(wire::VERSION);
            Ok(())
        }
        Request::Write { address, bytes } => bus.write(address, bytes),
        Request::Read { address, count } => bus.read(address, room(reply, count)),
        Request::WriteRead {
            address,
            count,
            bytes,
        } => bus.write_read(address, bytes, room(reply, count)),
        Request::Line { address, line, level } => bus.line(address, line, level),
        Request::Clock { hertz } => bus.clock(hertz),
        Request::Time { advance_us } => bus
            .advance(advance_us)
            .map(|now_us| reply.extend_from_slice(&now_us.to_be_bytes())),
    };
    match outcome {
        Ok(()) => finish(Status::Done, reply),
        Err(Error::DataNack(count)) => {
            reply.truncate(REPLY_HEADER_BYTES);
            reply.extend_from_slice(&count.to_be_bytes());
            finish(Status::DataNack, reply)
        }
        Err(error) => refuse(status_of(error), reply),
    }
}

fn room(reply: &mut Vec<u8>, count: u16) -> &mut [u8] {
    reply.resize(REPLY_HEADER_BYTES + usize::from(count), 0);
    reply.get_mut(REPLY_HEADER_BYTES..).unwrap_or_default()
}

pub(crate) fn refuse(status: Status, reply: &mut Vec<u8>) -> Status {
    reply.clear();
    reply.resize(REPLY_HEADER_BYTES, 0);
    finish(status, reply)
}

fn finish(status: Status, reply: &mut [u8]) -> Status {
    let length = (reply.len() - REPLY_HEADER_BYTES) as u16;
    if let Some((header, _)) = reply.split_first_chunk_mut() {
        *header = wire::reply_header(status, length);
    }
    status
}

fn status_of(error: Error) -> Status {
    match error {
        Error::AddressNack => Status::AddressNack,
        Error::DataNack(_) => Status::DataNack,
        Error::Unsupported => Status::Unsupported,
        Error::Malformed | Error::TooLong | Error::Shape => Status::Malformed,
        Error::Bus | Error::GarbledReply | Error::Version(_) | Error::Socket(_) => Status::BusFault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::tests::Memory;

    /// A stream that holds all requests and collects all replies.
    struct Script<'a> {
        requests: &'a [u8],
        replies: Vec<u8>,
    }

    impl Read for Script<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
            self.requests.read(buffer)
        }
    }

    impl Write for Script<'_> {
        fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
            self.replies.write(bytes)
        }

        fn flush(&mut self) -> IoResult<()> {
            Ok(())
        }
    }

    fn check(requests: &[u8], replies: &[u8], kind: Option<ErrorKind>) {
        let bus = LocalBus::virtual_time();
        bus.attach(0x30, Memory::at(0x30)).unwrap();
        let mut script = Script {
            requests,
            replies: vec![],
        };
        let outcome = serve(&mut script, &bus);
        assert_eq!(script.replies, replies, "{requests:02x?}");
        assert_eq!(outcome.err().map(|error| error.kind()), kind, "{requests:02x?}");
    }

    #[test]
    fn replies_are_these_bytes() {
        check(&[], &[], None);
        check(b"\x00\x00\x00\x05vi2c\x09", b"\x00\x00\x05vi2c\x01", None);
        check(
            &[1, 0x30, 0, 1, 9, 2, 0x30, 0, 2, 0, 2],
            &[0, 0, 0, 0, 0, 2, 9, 0xFF],
            None,
        );
        check(&[1, 0x31, 0, 0], &[1, 0, 0], None);
        check(&[1, 0x30, 0, 1, 0xFF], &[2, 0, 2, 0, 0], None);
        check(
            &[1, 0x30, 0, 1, 0xEE, 2, 0x31, 0, 2, 0, 9],
            &[1, 0, 0, 1, 0, 0],
            None,
        );
        check(&[3, 0x30, 0, 3, 0, 1, 0x82], &[1, 0, 0], None);
        check(&[0x10, 0x30, 0, 2, 2, 0], &[3, 0, 0], None);
        check(&[0x10, 0x31, 0, 2, 1, 0], &[1, 0, 0], None);
        check(
            &[0x77, 0, 0, 0, 0x12, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5],
            &[3, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5],
            None,
        );
    }

    #[test]
    fn a_malformed_request_is_answered_and_ends_the_connection() {
        let malformed = Some(ErrorKind::InvalidData);
        check(&[2, 0x30, 0, 2, 0, 0, 1, 0x30, 0, 0], &[5, 0, 0], malformed);
        check(&[1, 0xFF, 0, 0, 1, 0x30, 0, 0], &[5, 0, 0], malformed);
        check(&[1, 0x30, 0], &[], Some(ErrorKind::UnexpectedEof));
        check(&[1, 0x30, 0, 9, 1], &[], Some(ErrorKind::UnexpectedEof));
    }
}
