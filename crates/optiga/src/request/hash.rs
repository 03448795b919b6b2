//! CalcHash: SHA-256 in the chip, in one command or in many, with the state in the chip or carried outside between them.

use core::fmt;

use super::{Request, finish};
use crate::apdu::{Command, Draft, record};
use crate::error::{Malformed, Misuse};
use crate::limits::HASH_CONTEXT_BYTES;
use crate::object::ObjectId;
use crate::request::Algorithm;

/// Where the next bytes of a message come from.
#[derive(Clone, Copy, Debug)]
pub enum HashInput<'b> {
    /// From here.
    Bytes(&'b [u8]),
    /// From an object of the chip that may be read.
    Object {
        /// Which.
        object: ObjectId,
        /// From where.
        offset: u16,
        /// How much.
        bytes: u16,
    },
}

/// What a command does to the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashStep {
    /// Begins one.
    Start,
    /// Begins one and ends it.
    Whole,
    /// Goes on.
    Continue,
    /// Goes on and ends it.
    Final,
    /// Drops it.
    Terminate,
    /// Goes on, tells the digest so far and keeps the state.
    Intermediate,
}

impl HashStep {
    const fn sequence(self) -> u8 {
        match self {
            Self::Start => 0,
            Self::Whole => 1,
            Self::Continue => 2,
            Self::Final => 3,
            Self::Terminate => 4,
            Self::Intermediate => 5,
        }
    }

    const fn gives_digest(self) -> bool {
        matches!(self, Self::Whole | Self::Final | Self::Intermediate)
    }
}

/// A hash in progress, as it left the chip. Only a chip can read it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashContext(pub [u8; HASH_CONTEXT_BYTES]);

impl fmt::Debug for HashContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashContext(..)")
    }
}

/// CalcHash, one command of it.
#[derive(Clone, Copy, Debug)]
pub struct Hash<'b> {
    /// What to do.
    pub step: HashStep,
    /// The next bytes of the message.
    pub input: HashInput<'b>,
    /// Go on with this instead of what the chip holds.
    pub import: Option<&'b HashContext>,
    /// Tell the state afterwards.
    pub export: bool,
}

/// What came of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// The SHA-256 digest, where the step gives one.
    pub digest: Option<[u8; 32]>,
    /// The state, where it was asked for.
    pub context: Option<HashContext>,
}

impl Request for Hash<'_> {
    type Answer<'a> = Hashed;
    const COMMAND: Command = Command::Hash;

    fn object(&self) -> Option<ObjectId> {
        match self.input {
            HashInput::Bytes(_) => None,
            HashInput::Object { object, .. } => Some(object),
        }
    }

    fn draft(&self, buffer: &mut [u8]) -> Result<usize, Misuse> {
        let draft = Draft::new(buffer, Self::COMMAND, Algorithm::SHA256);
        let sequence = self.step.sequence();
        let draft = match self.input {
            HashInput::Bytes(message) => draft.record(sequence, message),
            HashInput::Object {
                object,
                offset,
                bytes,
            } => draft
                .bytes(&[0x10 | sequence, 0, 6])
                .number(object.0)
                .number(offset)
                .number(bytes),
        };
        let draft = match self.import {
            Some(context) => draft.record(0x06, &context.0),
            None => draft,
        };
        finish(if self.export {
            draft.record(0x07, &[])
        } else {
            draft
        })
    }

    fn parse(&self, data: &[u8]) -> Result<Hashed, Malformed> {
        let digest = || fixed(data, 0x01);
        let context = || fixed(data, 0x06).map(HashContext);
        Ok(Hashed {
            digest: self.step.gives_digest().then(digest).transpose()?,
            context: self.export.then(context).transpose()?,
        })
    }
}

fn fixed<const N: usize>(data: &[u8], tag: u8) -> Result<[u8; N], Malformed> {
    record(data, tag)?.try_into().map_err(|_| Malformed::Secret)
}
