//! What one can ask the chip for: one type per command. A request writes itself as a command and reads its own answer, and
//! knows nothing of buses: both shells send the same requests.
//!
//! [`crate::Optiga`] has a method for each; the types are here for those who write a shell of their own.

mod authentication;
mod hash;
mod key;

use core::ops::RangeInclusive;

use crate::apdu::{Command, Draft};
use crate::error::{Malformed, Misuse};
use crate::limits;
use crate::metadata::{Metadata, MetadataChange};
use crate::object::ObjectId;

pub use authentication::{AuthenticationScheme, ChooseAuthentication, GiveChallenge, SignChallenge};
pub use hash::{Hash, HashContext, HashInput, HashStep, Hashed};
pub use key::{
    AgreeInto, AgreeOut, Algorithm, DeriveInto, DeriveOut, GenerateInto, GenerateOut, Sign, Verify, VerifyBy,
};

/// One command and the meaning of its answer.
pub trait Request {
    /// What the answer says.
    type Answer<'a>;
    /// Which command it is, for error texts.
    const COMMAND: Command;

    /// The object it is about, for error texts.
    fn object(&self) -> Option<ObjectId> {
        None
    }

    /// Writes the command to the front of `buffer` and gives its length.
    fn draft(&self, buffer: &mut [u8]) -> Result<usize, Misuse>;

    /// Reads the data of the answer.
    fn parse<'a>(&self, data: &'a [u8]) -> Result<Self::Answer<'a>, Malformed>;
}

/// Ends a draft: what does not fit is the caller's mistake.
fn finish(draft: Draft<'_>) -> Result<usize, Misuse> {
    draft.finish().ok_or(Misuse::TooLong)
}

fn within(range: &RangeInclusive<usize>, value: usize, otherwise: Misuse) -> Result<(), Misuse> {
    range.contains(&value).then_some(()).ok_or(otherwise)
}

fn nothing(data: &[u8]) -> Result<(), Malformed> {
    data.is_empty().then_some(()).ok_or(Malformed::Length)
}

/// RID D276000004 and "GenAuthAppl": the chip's only application.
const APPLICATION: &[u8; 16] = b"\xD2\x76\x00\x00\x04GenAuthAppl";

/// OpenApplication: session contexts, hashes and authentication begin anew.
#[derive(Clone, Copy, Debug)]
pub struct Open;

impl Request for Open {
    type Answer<'a> = ();
    const COMMAND: Command = Command::Open;

    fn draft(&self, buffer: &mut [u8]) -> Result<usize, Misuse> {
        finish(Draft::new(buffer, Self::COMMAND, 0).bytes(APPLICATION))
    }

    fn parse(&self, data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }
}

/// GetDataObject: content, as much as one answer carries.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// Of what.
    pub object: ObjectId,
    /// From where.
    pub offset: u16,
    /// How much; the chip gives less when the object ends before.
    pub bytes: u16,
}

impl Request for Read {
    type Answer<'a> = &'a [u8];
    const COMMAND: Command = Command::ReadObject;

    fn object(&self) -> Option<ObjectId> {
        Some(self.object)
    }

    fn draft(&self, buffer: &mut [u8]) -> Result<usize, Misuse> {
        let draft = Draft::new(buffer, Self::COMMAND, 0).number(self.object.0);
        finish(draft.number(self.offset).number(self.bytes))
    }

    fn parse<'a>(&self, data: &'a [u8]) -> Result<&'a [u8], Malformed> {
        let fits = data.len() <= usize::from(self.bytes);
        fits.then_some(data).ok_or(Malformed::Length)
    }
}

/// GetDataObject: what the chip says about an object.
#[derive(Clone, Copy, Debug)]
pub struct ReadMetadata(pub ObjectId);

impl Request for ReadMetadata {
    type Answer<'a> = Metadata;
    const COMMAND: Command = Command::ReadObject;

    fn object(&self) -> Option<ObjectId> {
        Some(self.0)
    }

    fn draft(&self, buffer: &mut [u8]) -> Result<usize, Misuse> {
        finish(Draft::new(buffer, Self::COMMAND, 1).number(self.0.0))
    }

    fn parse(&self, data: &[u8]) -> Result<Metadata, Malformed> {
        Metadata::parse(data).ok_or(Malformed::Metadata)
    }
}

/// What happens to the bytes of an object that are not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// They stay.
    Update,
    /// They go: the object is cleared first.
    Replace,
}

/// SetDataObject: content, `head` and `bytes` one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Write<'b> {
    /// Of what.
    pub object: ObjectId,
    /// What happens to the rest.
    pub mode: WriteMode,
    /// From where.
    pub offset: u16,
    /// Written first.
    pub head: &'b [u8],
    /// Written after it.
    pub bytes: &'b [u8],
}

impl Request for Write<'_> {
    type Answer<'a> = ();
    const COMMAND: Command = Command::WriteObject;

    fn object(&self) -> Option<ObjectId> {
        Some(self.object)
    }

    fn draft(&self, buffer: &mut [u8]) -> Result<usize, Misuse> {
        let parameter = match self.mode {
            WriteMode::Update => 0x00,
            WriteMode::Replace => 0x40,
        };
        let draft = Draft::new(buffer, Self::COMMAND, parameter).number(self.object.0);
        finish(draft.number(self.offset).bytes(self.head).bytes(self.bytes))
    }

    fn parse(&self, data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }
}

/// SetDataObject: what the chip says about an object.
#[derive(Clone, Copy, Debug)]
pub struct WriteMetadata<'b> {
    /// About what.
    pub object: ObjectId,
    /// All of it or nothing.
    pub change: &'b MetadataChange,
}

impl Request for WriteMetadata<'_> {
    type Answer<'a> = ();
    const COMMAND: Command = Command::WriteObject;

    fn object(&self) -> Option<ObjectId> {
        Some(self.object)
    }

    fn draft(&self, buffer: &mut [u8]) -> Result<usize, Misuse> {
        let mut container = [0; limits::METADATA_BYTES_MAX];
        let container = self.change.write(&mut container).ok_or(Misuse::TooLong)?;
        let draft = Draft::new(buffer, Self::COMMAND, 1).number(self.object.0);
        finish(draft.number(0).bytes(container))
    }

    fn parse(&self, data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }
}

/// Which random number generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RandomSource {
    /// Physical noise.
    True,
    /// A deterministic generator that noise has seeded: faster.
    Deterministic,
}

/// GetRandom.
#[derive(Clone, Copy, Debug)]
pub struct Random {
    /// From where.
    pub source: RandomSource,
    /// How many; see [`limits::RANDOM_BYTES`].
    pub bytes: u16,
}

impl Request for Random {
    type Answer<'a> = &'a [u8];
    const COMMAND: Command = Command::Random;

    fn draft(&self, buffer: &mut [u8]) -> Result<usize, Misuse> {
        let parameter = match self.source {
            RandomSource::True => 0,
            RandomSource::Deterministic => 1,
        };
        finish(Draft::new(buffer, Self::COMMAND, parameter).number(self.bytes))
    }

    fn parse<'a>(&self, data: &'a [u8]) -> Result<&'a [u8], Malformed> {
        let whole = data.len() == usize::from(self.bytes);
        whole.then_some(data).ok_or(Malformed::Length)
    }
}
