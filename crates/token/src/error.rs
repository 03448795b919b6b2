//! What goes wrong, in PKCS #11's words: every variant has its `CKR_` number, a stable code, and somebody to blame.

use core::fmt;

use embedded_hal::i2c::ErrorKind;
use identity::{Blame, Explained};
use optiga::ErrorCode;

use crate::attribute::AttributeKind;
use crate::mechanism::Mechanism;

/// What the chip's driver says, with the bus's own error reduced to its kind.
pub type ChipError = optiga::Error<ErrorKind>;

/// Why a call did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    // Refused: the rules of the token say no.
    /// A session that was opened read-only would change the token.
    SessionReadOnly,
    /// The value of a private key was asked for.
    AttributeSensitive(AttributeKind),
    /// The key must not be used like this.
    KeyFunctionNotPermitted,
    /// There is an object with this label already, and overwriting was not asked for.
    Occupied {
        /// The label.
        label: &'static str,
    },
    /// The chip does not allow the object to be changed: it is locked.
    ActionProhibited(ChipError),

    // State.
    /// There is no slot with this number.
    SlotIdInvalid(usize),
    /// There is no object behind this handle (any more).
    ObjectHandleInvalid,
    /// The object behind this handle is not a private key.
    KeyHandleInvalid,
    /// The object has no such attribute.
    AttributeTypeInvalid(AttributeKind),
    /// No room on the token.
    DeviceMemory(ChipError),

    // Misuse.
    /// An argument makes no sense.
    ArgumentsBad(&'static str),
    /// The token can not do this.
    MechanismInvalid(Mechanism),
    /// Too much or too little data for the mechanism.
    DataLengthRange {
        /// How many bytes there were.
        found: usize,
    },
    /// No such curve on this token.
    CurveNotSupported,
    /// The template names no place on this token.
    TemplateInconsistent(&'static str),
    /// A value in a template is not what it must be.
    AttributeValueInvalid {
        /// Which one.
        kind: AttributeKind,
        /// What is wrong with it.
        why: &'static str,
    },

    // Fault.
    /// Nobody answers at the device's address.
    DeviceRemoved(ChipError),
    /// The device failed.
    Device(ChipError),
    /// The device gave something that can not be what it is said to be.
    DeviceContent {
        /// What was read.
        what: &'static str,
    },
    /// The library that hashes failed, or a lock was left by a thread that panicked.
    General(&'static str),
}

impl Error {
    /// The `CKR_` number.
    #[must_use]
    pub const fn number(&self) -> u64 {
        match self {
            Self::SlotIdInvalid(_) => 0x003,
            Self::General(_) => 0x005,
            Self::ArgumentsBad(_) => 0x007,
            Self::AttributeSensitive(_) => 0x011,
            Self::AttributeTypeInvalid(_) => 0x012,
            Self::AttributeValueInvalid { .. } => 0x013,
            Self::Occupied { .. } | Self::ActionProhibited(_) => 0x01B,
            Self::DataLengthRange { .. } => 0x021,
            Self::Device(_) | Self::DeviceContent { .. } => 0x030,
            Self::DeviceMemory(_) => 0x031,
            Self::DeviceRemoved(_) => 0x032,
            Self::KeyHandleInvalid => 0x060,
            Self::KeyFunctionNotPermitted => 0x068,
            Self::MechanismInvalid(_) => 0x070,
            Self::ObjectHandleInvalid => 0x082,
            Self::SessionReadOnly => 0x0B5,
            Self::TemplateInconsistent(_) => 0x0D1,
            Self::CurveNotSupported => 0x140,
        }
    }

    const fn chip(&self) -> Option<&ChipError> {
        match self {
            Self::ActionProhibited(error)
            | Self::DeviceMemory(error)
            | Self::DeviceRemoved(error)
            | Self::Device(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ChipError> for Error {
    fn from(error: ChipError) -> Self {
        match (&error, error.refusal()) {
            (_, Some(ErrorCode::ACCESS)) => Self::ActionProhibited(error),
            (_, Some(ErrorCode::MEMORY)) => Self::DeviceMemory(error),
            (_, Some(ErrorCode::USAGE)) => Self::KeyFunctionNotPermitted,
            (optiga::Error::Absent { .. }, _) => Self::DeviceRemoved(error),
            _ => Self::Device(error),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SessionReadOnly => {
                f.write_str("cannot change the token in a read-only session: open a read-write one")
            }
            Self::AttributeSensitive(kind) => write!(
                f,
                "cannot read {kind:?} of a private key: it never leaves the token"
            ),
            Self::KeyFunctionNotPermitted => {
                f.write_str("cannot use the key like this: generate it with the usage that is needed")
            }
            Self::Occupied { label } => {
                write!(
                    f,
                    "cannot generate {label:?}: there is one already, and it would be lost; say so if it may be"
                )
            }
            Self::ActionProhibited(_) => {
                f.write_str("cannot change the object: the chip does not allow it, it may be locked")
            }
            Self::SlotIdInvalid(slot) => {
                write!(f, "cannot open slot {slot}: the module has none with that number")
            }
            Self::ObjectHandleInvalid => {
                f.write_str("cannot find the object: its handle is not valid (any more)")
            }
            Self::KeyHandleInvalid => f.write_str("cannot sign: the object is not a private key"),
            Self::AttributeTypeInvalid(kind) => {
                write!(f, "cannot read {kind:?}: the object has no such attribute")
            }
            Self::DeviceMemory(_) => f.write_str("cannot store the object: the token is full"),
            Self::ArgumentsBad(what) => write!(f, "cannot do this: {what}"),
            Self::MechanismInvalid(mechanism) => write!(f, "cannot use mechanism {mechanism:?} here"),
            Self::DataLengthRange { found } => write!(f, "cannot sign {found} bytes with this mechanism"),
            Self::CurveNotSupported => f.write_str("cannot use this curve: the token knows P-256 and P-384"),
            Self::TemplateInconsistent(why) => write!(f, "cannot create the object: {why}"),
            Self::AttributeValueInvalid { kind, why } => write!(f, "cannot use the value of {kind:?}: {why}"),
            Self::DeviceRemoved(_) => f.write_str("cannot reach the token: nobody answers"),
            Self::Device(_) => f.write_str("cannot use the token: the device failed"),
            Self::DeviceContent { what } => write!(f, "cannot use what the token holds: {what}"),
            Self::General(what) => write!(f, "cannot go on: {what}"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.chip().map(|error| error as _)
    }
}

impl Explained for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::SessionReadOnly => "token.session.read_only",
            Self::AttributeSensitive(_) => "token.attribute.sensitive",
            Self::KeyFunctionNotPermitted => "token.key.function",
            Self::Occupied { .. } => "token.object.occupied",
            Self::ActionProhibited(_) => "token.object.locked",
            Self::SlotIdInvalid(_) => "token.slot.unknown",
            Self::ObjectHandleInvalid => "token.object.handle",
            Self::KeyHandleInvalid => "token.key.handle",
            Self::AttributeTypeInvalid(_) => "token.attribute.unknown",
            Self::DeviceMemory(_) => "token.device.memory",
            Self::ArgumentsBad(_) => "token.arguments",
            Self::MechanismInvalid(_) => "token.mechanism.unknown",
            Self::DataLengthRange { .. } => "token.data.length",
            Self::CurveNotSupported => "token.curve.unknown",
            Self::TemplateInconsistent(_) => "token.template.inconsistent",
            Self::AttributeValueInvalid { .. } => "token.attribute.value",
            Self::DeviceRemoved(_) => "token.device.absent",
            Self::Device(_) => "token.device.failed",
            Self::DeviceContent { .. } => "token.device.content",
            Self::General(_) => "token.general",
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::SessionReadOnly
            | Self::AttributeSensitive(_)
            | Self::KeyFunctionNotPermitted
            | Self::Occupied { .. }
            | Self::ActionProhibited(_) => Blame::Refused,
            Self::SlotIdInvalid(_)
            | Self::ObjectHandleInvalid
            | Self::KeyHandleInvalid
            | Self::AttributeTypeInvalid(_)
            | Self::DeviceMemory(_) => Blame::State,
            Self::ArgumentsBad(_)
            | Self::MechanismInvalid(_)
            | Self::DataLengthRange { .. }
            | Self::CurveNotSupported
            | Self::TemplateInconsistent(_)
            | Self::AttributeValueInvalid { .. } => Blame::Misuse,
            Self::DeviceRemoved(_) | Self::Device(_) | Self::DeviceContent { .. } | Self::General(_) => {
                Blame::Fault
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use optiga::{Error as Driver, LinkError, apdu::Command};

    #[test]
    fn the_chip_in_the_words_of_pkcs11() {
        let refused = |code| Driver::Refused {
            command: Command::WriteObject,
            object: None,
            code: ErrorCode(code),
        };
        let cases = [
            (
                Driver::Absent {
                    address: 0x30,
                    cause: ErrorKind::Other,
                },
                0x032,
                "token.device.absent",
            ),
            (Driver::Bus(ErrorKind::Bus), 0x030, "token.device.failed"),
            (Driver::Link(LinkError::Late), 0x030, "token.device.failed"),
            (refused(0x07), 0x01B, "token.object.locked"),
            (refused(0x0D), 0x031, "token.device.memory"),
            (refused(0x24), 0x068, "token.key.function"),
            (refused(0x05), 0x030, "token.device.failed"),
        ];
        for (chip, number, code) in cases {
            let error = Error::from(chip);
            assert_eq!((error.number(), error.code()), (number, code), "{chip}");
        }
    }
}
