//! VI2C v1, byte for byte: requests `op addr len payload`, replies `status len payload`, integers big-endian.
//!
//! The codec borrows and never allocates; whoever reads the socket hands over a header and then its payload. It must never
//! accept a request that has a second meaning: a wrong length is [`Status::Malformed`], and the server closes.

use crate::limits::{ADDRESS_MAX, CLOCK_HERTZ_MAX, CLOCK_HERTZ_MIN, PAYLOAD_BYTES_MAX};
use crate::{Error, Line};

/// The version that this crate speaks.
pub const VERSION: u8 = 1;

/// What HELLO carries before the version.
pub const MAGIC: [u8; 4] = *b"vi2c";

/// Bytes before a request's payload.
pub const REQUEST_HEADER_BYTES: usize = 4;

/// Bytes before a reply's payload.
pub const REPLY_HEADER_BYTES: usize = 3;

/// The head of a request: operation, address, length of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// The operation's code.
    pub op: u8,
    /// The 7-bit address, or 0.
    pub address: u8,
    /// Bytes of payload that follow.
    pub length: u16,
}

impl RequestHeader {
    /// Reads the four bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; REQUEST_HEADER_BYTES]) -> Self {
        let [op, address, high, low] = bytes;
        Self {
            op,
            address,
            length: u16::from_be_bytes([high, low]),
        }
    }
}

/// One request, its payload borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// 00: optional, first: which version is spoken.
    Hello {
        /// The client's version.
        version: u8,
    },
    /// 01: START, address for writing, bytes, STOP.
    Write {
        /// The target.
        address: u8,
        /// The bytes; none is an address probe.
        bytes: &'a [u8],
    },
    /// 02: START, address for reading, bytes, STOP.
    Read {
        /// The target.
        address: u8,
        /// How many bytes, at least one.
        count: u16,
    },
    /// 03: a write and a read with a repeated START between them.
    WriteRead {
        /// The target.
        address: u8,
        /// How many bytes to read, at least one.
        count: u16,
        /// The bytes to write first.
        bytes: &'a [u8],
    },
    /// 10: a line of the target changes its level.
    Line {
        /// The target, by the address it was attached under.
        address: u8,
        /// The line.
        line: Line,
        /// High or low.
        level: bool,
    },
    /// 11: the bus clock from now on.
    Clock {
        /// In Hz.
        hertz: u32,
    },
    /// 12: moves a virtual clock.
    Time {
        /// By how much; 0 only asks.
        advance_us: u64,
    },
}

/// What a reply says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 00: done.
    Done,
    /// 01: the address was not acknowledged.
    AddressNack,
    /// 02: a data byte was not acknowledged; the payload says how many were.
    DataNack,
    /// 03: unsupported operation or line.
    Unsupported,
    /// 04: arbitration lost, stuck, timeout.
    BusFault,
    /// 05: malformed; the server closes.
    Malformed,
}

impl Status {
    /// The byte on the wire.
    #[must_use]
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::AddressNack => 1,
            Self::DataNack => 2,
            Self::Unsupported => 3,
            Self::BusFault => 4,
            Self::Malformed => 5,
        }
    }

    /// The meaning of the byte on the wire.
    #[must_use]
    pub const fn from_wire(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Done,
            1 => Self::AddressNack,
            2 => Self::DataNack,
            3 => Self::Unsupported,
            4 => Self::BusFault,
            5 => Self::Malformed,
            _ => return None,
        })
    }
}

impl<'a> Request<'a> {
    /// Reads a request; the payload must be exactly as long as the header said.
    ///
    /// # Errors
    /// The status that the server has to answer: [`Status::Malformed`] (and close) or [`Status::Unsupported`].
    pub fn parse(header: RequestHeader, payload: &'a [u8]) -> Result<Self, Status> {
        let RequestHeader { op, address, length } = header;
        if payload.len() != usize::from(length) || address > ADDRESS_MAX {
            return Err(Status::Malformed);
        }
        match (op, payload) {
            (0x00, [magic @ .., version]) if *magic == MAGIC => Ok(Self::Hello { version: *version }),
            (0x01, bytes) => Ok(Self::Write { address, bytes }),
            (0x02, [high, low]) => Ok(Self::Read {
                address,
                count: read_count([*high, *low])?,
            }),
            (0x03, [high, low, bytes @ ..]) => Ok(Self::WriteRead {
                address,
                count: read_count([*high, *low])?,
                bytes,
            }),
            (0x10, [line, level @ (0 | 1)]) => {
                let line = Line::from_wire(*line).ok_or(Status::Unsupported)?;
                Ok(Self::Line {
                    address,
                    line,
                    level: *level == 1,
                })
            }
            (0x11, [a, b, c, d]) => Ok(Self::Clock {
                hertz: clock_hertz(u32::from_be_bytes([*a, *b, *c, *d]))?,
            }),
            (0x12, bytes) => {
                let bytes = <[u8; 8]>::try_from(bytes).map_err(|_| Status::Malformed)?;
                Ok(Self::Time {
                    advance_us: u64::from_be_bytes(bytes),
                })
            }
            (0x00 | 0x02 | 0x03 | 0x10 | 0x11, _) => Err(Status::Malformed),
            _ => Err(Status::Unsupported),
        }
    }

    /// The request as it goes on the wire: a head, and the bytes that follow it.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Malformed`] (address, clock) or [`Error::Shape`] (an empty read).
    pub fn encode(&self) -> Result<(Head, &'a [u8]), Error> {
        let (op, address, fixed, bytes) = self.parts()?;
        if address > ADDRESS_MAX {
            return Err(Error::Malformed);
        }
        let length = fixed.bytes().len() + bytes.len();
        if length > PAYLOAD_BYTES_MAX {
            return Err(Error::TooLong);
        }
        let [high, low] = (length as u16).to_be_bytes();
        let mut head = Head::default();
        head.push(&[op, address, high, low]);
        head.push(fixed.bytes());
        Ok((head, bytes))
    }

    fn parts(&self) -> Result<(u8, u8, Head, &'a [u8]), Error> {
        let mut fixed = Head::default();
        Ok(match *self {
            Self::Hello { version } => {
                fixed.push(&MAGIC);
                fixed.push(&[version]);
                (0x00, 0, fixed, &[])
            }
            Self::Write { address, bytes } => (0x01, address, fixed, bytes),
            Self::Read { address, count } => {
                fixed.push(&nonzero(count)?);
                (0x02, address, fixed, &[])
            }
            Self::WriteRead {
                address,
                count,
                bytes,
            } => {
                fixed.push(&nonzero(count)?);
                (0x03, address, fixed, bytes)
            }
            Self::Line { address, line, level } => {
                fixed.push(&[line.to_wire(), u8::from(level)]);
                (0x10, address, fixed, &[])
            }
            Self::Clock { hertz } => {
                fixed.push(&clock_hertz(hertz).map_err(|_| Error::Malformed)?.to_be_bytes());
                (0x11, 0, fixed, &[])
            }
            Self::Time { advance_us } => {
                fixed.push(&advance_us.to_be_bytes());
                (0x12, 0, fixed, &[])
            }
        })
    }
}

fn nonzero(count: u16) -> Result<[u8; 2], Error> {
    if count == 0 {
        Err(Error::Shape)
    } else {
        Ok(count.to_be_bytes())
    }
}

fn read_count(bytes: [u8; 2]) -> Result<u16, Status> {
    match u16::from_be_bytes(bytes) {
        0 => Err(Status::Malformed),
        count => Ok(count),
    }
}

fn clock_hertz(hertz: u32) -> Result<u32, Status> {
    if (CLOCK_HERTZ_MIN..=CLOCK_HERTZ_MAX).contains(&hertz) {
        Ok(hertz)
    } else {
        Err(Status::Malformed)
    }
}

/// The first bytes of a request: header and fixed fields.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head {
    bytes: [u8; 12],
    length: usize,
}

impl Head {
    /// The bytes to send.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }

    fn push(&mut self, more: &[u8]) {
        for byte in more {
            if let Some(slot) = self.bytes.get_mut(self.length) {
                *slot = *byte;
                self.length += 1;
            }
        }
    }
}

/// The head of a reply.
#[must_use]
pub const fn reply_header(status: Status, length: u16) -> [u8; REPLY_HEADER_BYTES] {
    let [high, low] = length.to_be_bytes();
    [status.to_wire(), high, low]
}

/// Reads the head of a reply: status and bytes of payload.
///
/// # Errors
/// [`Error::GarbledReply`] for an unknown status.
pub fn parse_reply_header(bytes: [u8; REPLY_HEADER_BYTES]) -> Result<(Status, u16), Error> {
    let [status, high, low] = bytes;
    let status = Status::from_wire(status).ok_or(Error::GarbledReply)?;
    Ok((status, u16::from_be_bytes([high, low])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(request: Request<'_>, wire: &[u8]) {
        let (head, bytes) = request.encode().unwrap();
        let encoded = [head.bytes(), bytes].concat();
        assert_eq!(encoded, wire, "{request:?}");
        let (header, payload) = wire.split_at(REQUEST_HEADER_BYTES);
        let header = RequestHeader::from_bytes(header.try_into().unwrap());
        assert_eq!(Request::parse(header, payload), Ok(request));
    }

    fn refuse(wire: &[u8], status: Status) {
        let (header, payload) = wire.split_at(REQUEST_HEADER_BYTES);
        let header = RequestHeader::from_bytes(header.try_into().unwrap());
        assert_eq!(Request::parse(header, payload), Err(status), "{wire:02x?}");
    }

    #[test]
    fn requests_are_these_bytes() {
        check(Request::Hello { version: 1 }, b"\x00\x00\x00\x05vi2c\x01");
        check(
            Request::Write {
                address: 0x30,
                bytes: &[0x82],
            },
            &[1, 0x30, 0, 1, 0x82],
        );
        check(
            Request::Write {
                address: 0x30,
                bytes: &[],
            },
            &[1, 0x30, 0, 0],
        );
        check(
            Request::Read {
                address: 0x30,
                count: 4,
            },
            &[2, 0x30, 0, 2, 0, 4],
        );
        check(
            Request::WriteRead {
                address: 0x7F,
                count: 0x115,
                bytes: &[0x80],
            },
            &[3, 0x7F, 0, 3, 1, 0x15, 0x80],
        );
        check(
            Request::Line {
                address: 0x30,
                line: Line::Rst,
                level: false,
            },
            &[0x10, 0x30, 0, 2, 1, 0],
        );
        check(
            Request::Line {
                address: 0x30,
                line: Line::Vdd,
                level: true,
            },
            &[0x10, 0x30, 0, 2, 0, 1],
        );
        check(
            Request::Clock { hertz: 400_000 },
            &[0x11, 0, 0, 4, 0, 6, 0x1A, 0x80],
        );
        check(
            Request::Time { advance_us: 0x0102 },
            &[0x12, 0, 0, 8, 0, 0, 0, 0, 0, 0, 1, 2],
        );
    }

    #[test]
    fn requests_that_are_refused() {
        refuse(b"\x00\x00\x00\x05vi3c\x01", Status::Malformed);
        refuse(b"\x00\x00\x00\x04vi2c", Status::Malformed);
        refuse(&[1, 0x80, 0, 0], Status::Malformed);
        refuse(&[1, 0x30, 0, 2, 0x82], Status::Malformed);
        refuse(&[2, 0x30, 0, 2, 0, 0], Status::Malformed);
        refuse(&[2, 0x30, 0, 1, 1], Status::Malformed);
        refuse(&[3, 0x30, 0, 2, 0, 0], Status::Malformed);
        refuse(&[3, 0x30, 0, 1, 4], Status::Malformed);
        refuse(&[0x10, 0x30, 0, 2, 2, 1], Status::Unsupported);
        refuse(&[0x10, 0x30, 0, 2, 0, 2], Status::Malformed);
        refuse(&[0x10, 0x30, 0, 1, 0], Status::Malformed);
        refuse(&[0x11, 0, 0, 4, 0, 0, 0, 1], Status::Malformed);
        refuse(&[0x11, 0, 0, 3, 0, 0, 0], Status::Malformed);
        refuse(&[0x12, 0, 0, 1, 0], Status::Malformed);
        refuse(&[0x04, 0x30, 0, 0], Status::Unsupported);
        refuse(&[0xFF, 0x30, 0, 0], Status::Unsupported);
    }

    #[test]
    fn a_request_that_does_not_fit_is_not_encoded() {
        let long = [0; PAYLOAD_BYTES_MAX];
        assert!(
            Request::Write {
                address: 1,
                bytes: &long
            }
            .encode()
            .is_ok()
        );
        let cases = [
            (
                Request::WriteRead {
                    address: 1,
                    count: 1,
                    bytes: &long,
                },
                Error::TooLong,
            ),
            (Request::Read { address: 1, count: 0 }, Error::Shape),
            (
                Request::Read {
                    address: 0x80,
                    count: 1,
                },
                Error::Malformed,
            ),
            (Request::Clock { hertz: 1 }, Error::Malformed),
            (
                Request::Clock {
                    hertz: CLOCK_HERTZ_MAX + 1,
                },
                Error::Malformed,
            ),
        ];
        for (request, error) in cases {
            assert_eq!(request.encode().unwrap_err(), error);
        }
    }

    #[test]
    fn replies_round_trip_and_an_unknown_status_is_garbled() {
        for code in 0..=5 {
            let status = Status::from_wire(code).unwrap();
            assert_eq!(
                parse_reply_header(reply_header(status, 0x1234)),
                Ok((status, 0x1234))
            );
        }
        assert_eq!(parse_reply_header([6, 0, 0]), Err(Error::GarbledReply));
    }

    proptest::proptest! {
        #[test]
        fn no_request_panics(op: u8, address: u8, payload: Vec<u8>) {
            let header = RequestHeader { op, address, length: payload.len() as u16 };
            if let Ok(request) = Request::parse(header, &payload) {
                let (head, bytes) = request.encode().unwrap();
                proptest::prop_assert_eq!(&head.bytes()[4..], &payload[..payload.len() - bytes.len()]);
                proptest::prop_assert_eq!(bytes, &payload[payload.len() - bytes.len()..]);
            }
        }
    }
}
