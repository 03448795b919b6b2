//! The command layer: what a command looks like and what an answer says (Datasheet v2.70, table 13).
//!
//! Command: `Cmd(1) Param(1) Length(2) data`. Answer: `Status(1) reserved(1) Length(2) data`. Inside the data, records have a
//! tag byte and a length of two bytes (metadata has lengths of one byte; that is [`crate::metadata`]).

use crate::error::Malformed;

/// The commands that this driver sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// GetDataObject 01.
    ReadObject,
    /// SetDataObject 02.
    WriteObject,
    /// GetRandom 0C.
    Random,
    /// SetAuthScheme 10.
    ChooseAuthentication,
    /// GetAuthMsg 18.
    Authenticate,
    /// SetAuthMsg 19.
    Challenge,
    /// CalcHash 30.
    Hash,
    /// CalcSign 31.
    Sign,
    /// VerifySign 32.
    Verify,
    /// CalcSSec 33.
    Agree,
    /// DeriveKey 34.
    Derive,
    /// GenKeyPair 38.
    GenerateKey,
    /// OpenApplication 70, in the form that also clears the last error (F0).
    Open,
}

impl Command {
    const fn code(self) -> u8 {
        match self {
            Self::ReadObject => 0x01,
            Self::WriteObject => 0x02,
            Self::Random => 0x0C,
            Self::ChooseAuthentication => 0x10,
            Self::Authenticate => 0x18,
            Self::Challenge => 0x19,
            Self::Hash => 0x30,
            Self::Sign => 0x31,
            Self::Verify => 0x32,
            Self::Agree => 0x33,
            Self::Derive => 0x34,
            Self::GenerateKey => 0x38,
            Self::Open => 0xF0,
        }
    }

    /// What the command does, for error texts.
    #[must_use]
    pub const fn purpose(self) -> &'static str {
        match self {
            Self::ReadObject => "read",
            Self::WriteObject => "write",
            Self::Random => "give random bytes",
            Self::ChooseAuthentication => "prepare to authenticate with",
            Self::Authenticate => "answer the challenge",
            Self::Challenge => "take a challenge",
            Self::Hash => "hash",
            Self::Sign => "sign with",
            Self::Verify => "verify a signature",
            Self::Agree => "agree on a secret with",
            Self::Derive => "derive a key from",
            Self::GenerateKey => "generate a key in",
            Self::Open => "open its application",
        }
    }
}

/// A command being written into a buffer. What does not fit is noticed at the end.
#[derive(Debug)]
pub struct Draft<'a> {
    buffer: &'a mut [u8],
    bytes: usize,
}

impl<'a> Draft<'a> {
    /// Begins a command at the front of `buffer`.
    pub fn new(buffer: &'a mut [u8], command: Command, parameter: u8) -> Self {
        Self { buffer, bytes: 0 }.bytes(&[command.code(), parameter, 0, 0])
    }

    /// Appends bytes as they are.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        let end = self.bytes.saturating_add(bytes.len());
        if let Some(room) = self.buffer.get_mut(self.bytes..end) {
            room.copy_from_slice(bytes);
        }
        self.bytes = end;
        self
    }

    /// Appends two bytes, high byte first.
    #[must_use]
    pub fn number(self, value: u16) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends a record: tag, length, value.
    #[must_use]
    pub fn record(self, tag: u8, value: &[u8]) -> Self {
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        self.bytes(&[tag]).number(length).bytes(value)
    }

    /// Appends a record whose value is made of two pieces.
    #[must_use]
    pub fn record_of_two(self, tag: u8, first: &[u8], second: &[u8]) -> Self {
        let length = u16::try_from(first.len() + second.len()).unwrap_or(u16::MAX);
        self.bytes(&[tag]).number(length).bytes(first).bytes(second)
    }

    /// Fills in the length. `None` when the command is longer than the buffer.
    #[must_use]
    pub fn finish(self) -> Option<usize> {
        let data_bytes = u16::try_from(self.bytes.checked_sub(4)?).ok()?;
        self.buffer.get(..self.bytes)?;
        self.buffer
            .get_mut(2..4)?
            .copy_from_slice(&data_bytes.to_be_bytes());
        Some(self.bytes)
    }
}

/// What the chip said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Done, with this data.
    Data(&'a [u8]),
    /// Not done; the last error object says why.
    Refused,
}

impl<'a> Answer<'a> {
    /// Reads an answer: all of `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (&[status, _, high, low], data) = bytes.split_first_chunk().ok_or(Malformed::Length)?;
        if usize::from(u16::from_be_bytes([high, low])) != data.len() {
            return Err(Malformed::Length);
        }
        match status {
            0x00 => Ok(Self::Data(data)),
            0xFF => Ok(Self::Refused),
            _ => Err(Malformed::Status),
        }
    }
}

/// The value of the record with this tag. Records may come in any order.
pub fn record(data: &[u8], tag: u8) -> Result<&[u8], Malformed> {
    let mut rest = data;
    while let Some((&[found, high, low], after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, next) = after.split_at_checked(length).ok_or(Malformed::Record)?;
        if found == tag {
            return Ok(value);
        }
        rest = next;
    }
    Err(Malformed::Record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_command_carries_its_length() {
        let mut buffer = [0; 16];
        let draft = Draft::new(&mut buffer, Command::ReadObject, 1).number(0xE0C2);
        assert_eq!(draft.finish(), Some(6));
        assert_eq!(buffer[..6], [1, 1, 0, 2, 0xE0, 0xC2]);
    }

    #[test]
    fn a_command_that_does_not_fit_is_refused_at_max_plus_one() {
        let mut buffer = [0; 16];
        assert_eq!(
            Draft::new(&mut buffer, Command::Sign, 0x11)
                .record(1, &[7; 9])
                .finish(),
            Some(16)
        );
        assert_eq!(
            Draft::new(&mut buffer, Command::Sign, 0x11)
                .record(1, &[7; 10])
                .finish(),
            None
        );
    }

    #[test]
    fn answers() {
        let cases: [(&[u8], Result<Answer<'_>, Malformed>); 7] = [
            (&[0, 0, 0, 0], Ok(Answer::Data(&[]))),
            (&[0, 9, 0, 1, 5], Ok(Answer::Data(&[5]))),
            (&[0xFF, 0, 0, 0], Ok(Answer::Refused)),
            (&[0, 0, 0], Err(Malformed::Length)),
            (&[0, 0, 0, 1], Err(Malformed::Length)),
            (&[0, 0, 0, 0, 1], Err(Malformed::Length)),
            (&[1, 0, 0, 0], Err(Malformed::Status)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Answer::parse(bytes), expected, "{bytes:02X?}");
        }
    }

    #[test]
    fn records_in_any_order() {
        let data = [2, 0, 1, 0xAA, 1, 0, 2, 0xBB, 0xCC];
        assert_eq!(record(&data, 1), Ok(&[0xBB, 0xCC][..]));
        assert_eq!(record(&data, 2), Ok(&[0xAA][..]));
        assert_eq!(record(&data, 3), Err(Malformed::Record));
        assert_eq!(record(&data[..8], 1), Err(Malformed::Record));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64), tag: u8) {
            let _ = Answer::parse(&bytes);
            let _ = record(&bytes, tag);
        }
    }
}
