//! What can go wrong, by layer: the bus, the link, the chip's answer, the chip's refusal, the caller.
//!
//! Each case has a stable code, `chip.<layer>.<cause>`, and says what to try. Layers above translate the code; they never
//! parse the text.

use core::fmt;

use crate::apdu::Command;
use crate::chain::Break;
use crate::link::LinkError;
use crate::object::ObjectId;

/// Why a command did not do what was asked. `E` is the bus's own error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// Nobody acknowledges the address.
    Absent {
        /// The seven-bit address.
        address: u8,
        /// What the bus said last.
        cause: E,
    },
    /// The bus itself fails.
    Bus(E),
    /// Frames go out, but no answer comes back that can be used.
    Link(LinkError),
    /// The chip offers a frame length that it must not.
    Negotiation {
        /// Bytes that we asked for.
        wanted: u16,
        /// Bytes that the chip made of it.
        offered: u16,
    },
    /// The chip's answer is complete but makes no sense.
    Answer(Malformed),
    /// The chip understood the command and refused it.
    Refused {
        /// What was asked.
        command: Command,
        /// Of which object, if of one.
        object: Option<ObjectId>,
        /// The chip's reason.
        code: ErrorCode,
    },
    /// The caller asked for something impossible; nothing was sent.
    Misuse(Misuse),
}

/// How an answer makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The length inside is not the length outside.
    Length,
    /// A status that is neither success nor error.
    Status,
    /// A record is missing or cut off.
    Record,
    /// A public key that is no point in a BIT STRING.
    PublicKey,
    /// A signature that is not two INTEGERs.
    Signature,
    /// Metadata that does not parse.
    Metadata,
    /// A digest, a hash context or a secret that has not the length it must have.
    Secret,
    /// A life cycle state that does not exist.
    Lifecycle,
}

/// What a caller got wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// The command would be longer than the chip takes.
    TooLong,
    /// Nothing to write: the chip can not write zero bytes.
    Empty,
    /// A digest shorter or longer than the chip signs.
    Digest,
    /// An offset past the end of every object.
    Offset,
    /// Frame length outside what the protocol allows.
    FrameBytes,
    /// A challenge shorter or longer than the chip takes.
    Challenge,
    /// Label and seed together shorter or longer than the chip derives from.
    Derivation,
    /// More or fewer bytes than the chip derives.
    DerivedBytes,
    /// A value outside the range of a setting.
    Setting,
    /// A bus address that is reserved.
    Address,
    /// Bytes that a hash can not go on with: more than one command carries, or a part of an object past every end.
    HashInput,
}

/// The chip's reason for a refusal (object F1C2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode(pub u8);

impl ErrorCode {
    /// No error.
    pub const NONE: Self = Self(0x00);
    /// The object does not exist or can not be used so.
    pub const OBJECT: Self = Self(0x01);
    /// The access condition does not hold.
    pub const ACCESS: Self = Self(0x07);
    /// The command is not known, or not yet possible.
    pub const COMMAND: Self = Self(0x0A);
    /// The command has no predecessor that it needs.
    pub const SEQUENCE: Self = Self(0x0B);
    /// Beyond the object's size; while reading, the end.
    pub const BOUNDARY: Self = Self(0x08);
    /// The application is not open, as after a reset.
    pub const UNAVAILABLE: Self = Self(0x0C);
    /// There is no memory for this.
    pub const MEMORY: Self = Self(0x0D);
    /// The key's usage does not allow this.
    pub const USAGE: Self = Self(0x24);
    /// The signature does not verify.
    pub const SIGNATURE: Self = Self(0x2C);

    /// The reason in words, and the stable code.
    const fn words(self) -> (&'static str, &'static str) {
        match self.0 {
            0x00 => ("no reason given", "chip.refused.none"),
            0x01 => ("no such object, or not usable for this", "chip.refused.object"),
            0x03 => ("parameter not allowed", "chip.refused.parameter"),
            0x04 => ("length field wrong", "chip.refused.length"),
            0x05 => ("invalid value in the command's data", "chip.refused.data"),
            0x06 => ("internal process error", "chip.refused.internal"),
            0x07 => ("access condition not satisfied", "chip.refused.access"),
            0x08 => ("outside the object", "chip.refused.boundary"),
            0x09 => ("metadata too long", "chip.refused.metadata"),
            0x0A => ("command not known", "chip.refused.command"),
            0x0B => ("command out of sequence", "chip.refused.sequence"),
            0x0C => ("command not available", "chip.refused.unavailable"),
            0x0D => ("not enough memory", "chip.refused.memory"),
            0x24 => ("key usage does not allow this", "chip.refused.usage"),
            0x25 => ("parameters not supported", "chip.refused.unsupported"),
            0x29 => ("invalid certificate", "chip.refused.certificate"),
            0x2A => (
                "certificate not supported",
                "chip.refused.certificate_unsupported",
            ),
            0x2C => ("signature does not verify", "chip.refused.signature"),
            0x2D => ("integrity check failed", "chip.refused.integrity"),
            0x2E => ("decryption failed", "chip.refused.decryption"),
            _ => ("reason not known to this driver", "chip.refused.other"),
        }
    }

    const fn advice(self) -> &'static str {
        match self.0 {
            0x01 => "check the object identifier",
            0x07 => "read the object's metadata: it may be locked, or the key slot may not be replaceable",
            0x08 => "write less, or at a lower offset",
            0x0B | 0x0C => "open the application again; the chip may have been reset",
            0x24 => "generate the key with the usage that this needs",
            _ => "see the chip's error code",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:02X})", self.words().0, self.0)
    }
}

impl LinkError {
    const fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Silent => (
                "no acknowledgement",
                "chip.link.silent",
                "check wiring and supply, then reset the chip",
            ),
            Self::Uncertain => (
                "nobody knows whether it was carried out",
                "chip.link.uncertain",
                "look at what it changes before asking again",
            ),
            Self::Refused => (
                "our frames arrive damaged",
                "chip.link.refused",
                "lower the bus speed",
            ),
            Self::Late => (
                "no answer in time",
                "chip.link.late",
                "ask again; reset the chip if it stays so",
            ),
            Self::Damaged => (
                "answers arrive damaged",
                "chip.link.damaged",
                "lower the bus speed",
            ),
            Self::Strays => (
                "frames that belong to nothing",
                "chip.link.strays",
                "make sure that nobody else talks to it",
            ),
            Self::Restarted => (
                "it restarted during the command",
                "chip.link.restarted",
                "open again; check the supply",
            ),
            Self::Buffer => (
                "frame buffer too small",
                "chip.link.buffer",
                "give a buffer as long as the frame",
            ),
            Self::Chain(Break::Reported) => (
                "it can not follow our packets",
                "chip.chain.reported",
                "open again",
            ),
            Self::Chain(Break::OtherProduct) => (
                "packets of another product",
                "chip.chain.product",
                "this driver speaks to an OPTIGA Trust X",
            ),
            Self::Chain(Break::Order) => ("its packets are out of order", "chip.chain.order", "ask again"),
            Self::Chain(Break::TooLong) => (
                "its answer is too long",
                "chip.chain.long",
                "ask for less at once",
            ),
        }
    }
}

impl Malformed {
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Length => ("length does not match", "chip.answer.length"),
            Self::Status => ("unknown status", "chip.answer.status"),
            Self::Record => ("a record is missing", "chip.answer.record"),
            Self::PublicKey => ("not a public key", "chip.answer.public_key"),
            Self::Signature => ("not a signature", "chip.answer.signature"),
            Self::Metadata => ("metadata does not parse", "chip.answer.metadata"),
            Self::Secret => ("a secret or digest of the wrong length", "chip.answer.secret"),
            Self::Lifecycle => ("no such life cycle state", "chip.answer.lifecycle"),
        }
    }
}

impl Misuse {
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::TooLong => ("command longer than the chip takes", "chip.misuse.long"),
            Self::Empty => ("nothing to write", "chip.misuse.empty"),
            Self::Digest => ("a digest must have 10 to 48 bytes", "chip.misuse.digest"),
            Self::Offset => ("offset past the end of every object", "chip.misuse.offset"),
            Self::FrameBytes => ("a frame must have 16 to 277 bytes", "chip.misuse.frame_bytes"),
            Self::Challenge => ("a challenge must have 8 to 256 bytes", "chip.misuse.challenge"),
            Self::Derivation => (
                "label and seed must have 8 to 1024 bytes together",
                "chip.misuse.derivation",
            ),
            Self::DerivedBytes => (
                "a derived key has 16 to 256 bytes, in a session context 16 to 48",
                "chip.misuse.derived_bytes",
            ),
            Self::Setting => ("the setting does not go that far", "chip.misuse.setting"),
            Self::Address => ("an i2c address must be 0x08 to 0x77", "chip.misuse.address"),
            Self::HashInput => ("one command can not hash that", "chip.misuse.hash_input"),
        }
    }
}

impl<E> Error<E> {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Absent { .. } => "chip.bus.absent",
            Self::Bus(_) => "chip.bus.fault",
            Self::Link(error) => error.words().1,
            Self::Negotiation { .. } => "chip.bus.negotiation",
            Self::Answer(malformed) => malformed.words().1,
            Self::Refused { code, .. } => code.words().1,
            Self::Misuse(misuse) => misuse.words().1,
        }
    }

    /// What to try.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Absent { .. } => "check that the chip is powered and that the address is right",
            Self::Bus(_) => "check the bus",
            Self::Link(error) => error.words().2,
            Self::Negotiation { .. } => "ask for a shorter frame",
            Self::Answer(_) => "ask again; if it stays so, this is another chip or a broken one",
            Self::Refused { code, .. } => code.advice(),
            Self::Misuse(_) => "correct the call",
        }
    }

    /// The same error with the bus's own error turned into another type.
    pub fn map_bus<F>(self, turn: impl FnOnce(E) -> F) -> Error<F> {
        match self {
            Self::Absent { address, cause } => Error::Absent {
                address,
                cause: turn(cause),
            },
            Self::Bus(cause) => Error::Bus(turn(cause)),
            Self::Link(error) => Error::Link(error),
            Self::Negotiation { wanted, offered } => Error::Negotiation { wanted, offered },
            Self::Answer(malformed) => Error::Answer(malformed),
            Self::Refused {
                command,
                object,
                code,
            } => Error::Refused {
                command,
                object,
                code,
            },
            Self::Misuse(misuse) => Error::Misuse(misuse),
        }
    }

    /// The chip's reason, if the chip refused.
    pub const fn refusal(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

impl<E: fmt::Debug> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent { address, .. } => write!(f, "no chip answers at i2c address {address:#04x}")?,
            Self::Bus(cause) => write!(f, "the i2c bus failed: {cause:?}")?,
            Self::Link(error) => write!(f, "the chip did not answer: {}", error.words().0)?,
            Self::Negotiation { wanted, offered } => {
                write!(
                    f,
                    "asked the chip for frames of {wanted} bytes, it offers {offered}"
                )?;
            }
            Self::Answer(malformed) => {
                write!(f, "the chip's answer makes no sense: {}", malformed.words().0)?
            }
            Self::Refused {
                command,
                object: Some(object),
                code,
            } => {
                write!(
                    f,
                    "the chip refused to {} object {object}: {code}",
                    command.purpose()
                )?;
            }
            Self::Refused {
                command,
                object: None,
                code,
            } => {
                write!(f, "the chip refused to {}: {code}", command.purpose())?;
            }
            Self::Misuse(misuse) => write!(f, "the chip was not asked: {}", misuse.words().0)?,
        }
        write!(f, "; {}", self.advice())
    }
}

impl<E: fmt::Debug> core::error::Error for Error<E> {}

impl<E> From<LinkError> for Error<E> {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

impl<E> From<Malformed> for Error<E> {
    fn from(malformed: Malformed) -> Self {
        Self::Answer(malformed)
    }
}

impl<E> From<Misuse> for Error<E> {
    fn from(misuse: Misuse) -> Self {
        Self::Misuse(misuse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::string::ToString;
    use std::vec::Vec;

    fn every_error() -> Vec<Error<u8>> {
        let mut all = std::vec![
            Error::Absent {
                address: 0x30,
                cause: 0
            },
            Error::Bus(1),
            Error::Negotiation {
                wanted: 277,
                offered: 300
            },
        ];
        let breaks = [Break::Reported, Break::OtherProduct, Break::Order, Break::TooLong];
        let links = [
            LinkError::Silent,
            LinkError::Uncertain,
            LinkError::Refused,
            LinkError::Late,
            LinkError::Damaged,
            LinkError::Strays,
            LinkError::Restarted,
            LinkError::Buffer,
        ];
        all.extend(
            links
                .into_iter()
                .chain(breaks.map(LinkError::Chain))
                .map(Error::Link),
        );
        let malformed = [
            Malformed::Length,
            Malformed::Status,
            Malformed::Record,
            Malformed::PublicKey,
            Malformed::Signature,
            Malformed::Metadata,
            Malformed::Secret,
            Malformed::Lifecycle,
        ];
        all.extend(malformed.map(Error::Answer));
        let misuse = [
            Misuse::TooLong,
            Misuse::Empty,
            Misuse::Digest,
            Misuse::Offset,
            Misuse::FrameBytes,
            Misuse::Challenge,
            Misuse::Derivation,
            Misuse::DerivedBytes,
            Misuse::Setting,
            Misuse::Address,
            Misuse::HashInput,
        ];
        all.extend(misuse.map(Error::Misuse));
        let codes = (0..=0x2E)
            .filter(|code| ErrorCode(*code).words().1 != "chip.refused.other")
            .chain([0xEE]);
        all.extend(codes.map(|code| Error::Refused {
            command: Command::Open,
            object: None,
            code: ErrorCode(code),
        }));
        all
    }

    #[test]
    fn codes_are_unique_and_errors_speak_to_people() {
        let all = every_error();
        let codes: BTreeSet<_> = all.iter().map(Error::code).collect();
        assert_eq!(codes.len(), all.len());
        for error in all {
            let text = error.to_string();
            assert!(error.code().starts_with("chip."), "{text}");
            assert!(
                text.contains("; ") && !text.ends_with('.') && text.starts_with(char::is_lowercase),
                "{text}"
            );
        }
    }

    #[test]
    fn a_refusal_names_command_object_and_reason() {
        let error: Error<u8> = Error::Refused {
            command: Command::WriteObject,
            object: Some(ObjectId::CERTIFICATE_1),
            code: ErrorCode::ACCESS,
        };
        let text = error.to_string();
        assert!(
            text.starts_with("the chip refused to write object E0E1: access condition not satisfied (07);"),
            "{text}"
        );
    }
}
