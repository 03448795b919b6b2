//! What goes wrong, in PKCS #11's words: every variant has its `CKR_` number, a stable code, and somebody to blame.

use core::fmt;

use embedded_hal::i2c::ErrorKind;
use identity::{Blame, Explained};
use optiga::ErrorCode;

use crate::attribute::AttributeKind;
use crate::mechanism::MechanismType;

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
    /// Nobody who may do this is logged in.
    UserNotLoggedIn,
    /// The PIN is wrong.
    PinIncorrect,
    /// The PIN was wrong too often.
    PinLocked,
    /// The token does not change.
    WriteProtected,
    /// The attribute is the token's to set.
    AttributeReadOnly,
    /// The object must not be changed or destroyed by a program.
    ObjectProtected,
    /// The signature does not belong to the data and the key.
    SignatureInvalid,

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
    /// No room on a chip, and where.
    ChipFull(&'static str),
    /// There is no session behind this handle (any more).
    SessionHandleInvalid,
    /// No room for another session.
    SessionCount,
    /// The token has open sessions.
    SessionExists,
    /// A read-only session is open, so the security officer cannot log in.
    SessionReadOnlyExists,
    /// The security officer is logged in, so no read-only session can be opened.
    SessionReadWriteSoExists,
    /// This user is logged in already.
    UserAlreadyLoggedIn,
    /// The other user is logged in.
    UserAnotherLoggedIn,
    /// There is no token there yet.
    NotInitialized,
    /// There is no user PIN yet.
    UserPinNotInitialized,
    /// An operation of this kind is running in the session.
    OperationActive,
    /// No operation of this kind is running in the session.
    OperationNotInitialized,

    // Misuse.
    /// An argument makes no sense.
    ArgumentsBad(&'static str),
    /// The token can not do this.
    MechanismInvalid(MechanismType),
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
    /// The token has no such function.
    FunctionNotSupported,
    /// There is no such mechanism, or not for this function.
    MechanismUnknown,
    /// The mechanism takes no parameter.
    MechanismParameterInvalid,
    /// There is no such kind of user here.
    UserTypeInvalid,
    /// The PIN is too short or too long.
    PinLengthRange,
    /// A signature of this key has another length.
    SignatureLengthRange,
    /// The template lacks something.
    TemplateIncomplete,
    /// The token takes no seed.
    RandomSeedNotSupported,
    /// The buffer for the answer is too small; the operation goes on.
    BufferTooSmall {
        /// How many bytes the answer has.
        needed: usize,
    },

    /// The data are not what the mechanism takes.
    DataInvalid,
    /// Encrypted data are not what the key has made.
    EncryptedDataInvalid,
    /// No encrypted data of this mechanism have that length.
    EncryptedDataLengthRange,
    /// The key is too short or too long.
    KeySizeRange,
    /// The mechanism takes another type of key.
    KeyTypeInconsistent,
    /// What was unwrapped is no key.
    WrappedKeyInvalid,
    /// No wrapped key has that length.
    WrappedKeyLengthRange,
    /// The mechanism can not wrap such a key.
    KeyNotWrappable,

    /// The key can not be hashed.
    KeyIndigestible,
    /// The key never leaves the token.
    KeyUnextractable,
    /// The object behind this handle wraps nothing.
    WrappingKeyHandleInvalid,
    /// The object behind this handle unwraps nothing.
    UnwrappingKeyHandleInvalid,
    /// What runs in the session can not be saved.
    StateUnsaveable,
    /// This was not saved here, or not lately.
    SavedStateInvalid,
    /// The library was finalized while a call waited.
    Stopped,
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
    /// Another process has the device's bus and does not give it back.
    BusTaken,
    /// A file of the token could not be used.
    #[cfg(feature = "std")]
    File {
        /// What was tried.
        what: &'static str,
        /// How it failed.
        kind: std::io::ErrorKind,
    },
    /// The library that hashes failed, or a lock was left by a thread that panicked.
    General(&'static str),
}

impl Error {
    /// The `CKR_` number.
    #[must_use]
    pub const fn number(&self) -> u64 {
        match self {
            Self::UserNotLoggedIn => 0x101,
            Self::DataInvalid => 0x020,
            Self::Stopped => 0x190,
            Self::SavedStateInvalid => 0x160,
            Self::StateUnsaveable => 0x180,
            Self::UnwrappingKeyHandleInvalid => 0x0F0,
            Self::WrappingKeyHandleInvalid => 0x113,
            Self::KeyUnextractable => 0x06A,
            Self::KeyIndigestible => 0x067,
            Self::EncryptedDataInvalid => 0x040,
            Self::EncryptedDataLengthRange => 0x041,
            Self::KeySizeRange => 0x062,
            Self::KeyTypeInconsistent => 0x063,
            Self::WrappedKeyInvalid => 0x110,
            Self::WrappedKeyLengthRange => 0x112,
            Self::KeyNotWrappable => 0x069,
            Self::PinIncorrect => 0x0A0,
            Self::PinLocked => 0x0A4,
            Self::WriteProtected => 0x0E2,
            Self::AttributeReadOnly => 0x010,
            Self::ObjectProtected => 0x01B,
            Self::SignatureInvalid => 0x0C0,
            Self::SessionHandleInvalid => 0x0B3,
            Self::SessionCount => 0x0B1,
            Self::SessionExists => 0x0B6,
            Self::SessionReadOnlyExists => 0x0B7,
            Self::SessionReadWriteSoExists => 0x0B8,
            Self::UserAlreadyLoggedIn => 0x100,
            Self::UserAnotherLoggedIn => 0x104,
            Self::UserPinNotInitialized => 0x102,
            Self::OperationActive => 0x090,
            Self::OperationNotInitialized => 0x091,
            Self::FunctionNotSupported => 0x054,
            Self::MechanismUnknown => 0x070,
            Self::MechanismParameterInvalid => 0x071,
            Self::UserTypeInvalid => 0x103,
            Self::PinLengthRange => 0x0A2,
            Self::SignatureLengthRange => 0x0C1,
            Self::TemplateIncomplete => 0x0D0,
            Self::RandomSeedNotSupported => 0x120,
            Self::BufferTooSmall { .. } => 0x150,
            Self::SlotIdInvalid(_) => 0x003,
            Self::General(_) => 0x005,
            Self::ArgumentsBad(_) => 0x007,
            Self::AttributeSensitive(_) => 0x011,
            Self::AttributeTypeInvalid(_) => 0x012,
            Self::AttributeValueInvalid { .. } => 0x013,
            Self::Occupied { .. } | Self::ActionProhibited(_) => 0x01B,
            Self::DataLengthRange { .. } => 0x021,
            Self::Device(_) | Self::DeviceContent { .. } | Self::BusTaken => 0x030,
            #[cfg(feature = "std")]
            Self::File { .. } => 0x030,
            Self::NotInitialized => 0x0E1,
            Self::DeviceMemory(_) | Self::ChipFull(_) => 0x031,
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
            Self::KeyIndigestible => f.write_str("cannot hash the key: it is no secret key"),
            Self::KeyUnextractable => f.write_str("cannot wrap the key: it must not leave the token"),
            Self::WrappingKeyHandleInvalid => {
                f.write_str("cannot wrap: the wrapping key's handle is not valid")
            }
            Self::UnwrappingKeyHandleInvalid => {
                f.write_str("cannot unwrap: the unwrapping key's handle is not valid")
            }
            Self::StateUnsaveable => f.write_str("cannot save the operations: only digests can be"),
            Self::SavedStateInvalid => {
                f.write_str("cannot go on from this: it was not saved by this program, or too long ago")
            }
            Self::Stopped => f.write_str("cannot wait any longer: the library was finalized"),
            Self::DataInvalid => f.write_str("cannot use the data: they are not what the mechanism takes"),
            Self::EncryptedDataInvalid => {
                f.write_str("cannot decrypt: the data were not made with this key, or were changed")
            }
            Self::EncryptedDataLengthRange => {
                f.write_str("cannot decrypt: no encrypted data of this mechanism have this length")
            }
            Self::KeySizeRange => {
                f.write_str("cannot use the key: it is too short or too long for the mechanism")
            }
            Self::KeyTypeInconsistent => {
                f.write_str("cannot use the key: the mechanism takes another type of key")
            }
            Self::WrappedKeyInvalid => f.write_str("cannot unwrap: what came out is no key of that type"),
            Self::WrappedKeyLengthRange => f.write_str("cannot unwrap: no wrapped key has this length"),
            Self::KeyNotWrappable => f.write_str("cannot wrap: the mechanism takes no key like this"),
            Self::UserNotLoggedIn => f.write_str("cannot do this: log in first"),
            Self::PinIncorrect => f.write_str("cannot log in: the PIN is wrong"),
            Self::PinLocked => f.write_str("cannot log in: the PIN was wrong too often and is locked"),
            Self::WriteProtected => f.write_str("cannot change the token: it is write-protected"),
            Self::AttributeReadOnly => f.write_str("cannot set the attribute: only the token itself does"),
            Self::ObjectProtected => {
                f.write_str("cannot change or destroy the object: the token does not allow it")
            }
            Self::SignatureInvalid => {
                f.write_str("cannot accept the signature: it was not made over this data with this key")
            }
            Self::SessionHandleInvalid => {
                f.write_str("cannot find the session: its handle is not valid (any more)")
            }
            Self::SessionCount => f.write_str("cannot open a session: there are too many"),
            Self::SessionExists => f.write_str("cannot initialize the token: it has open sessions"),
            Self::SessionReadOnlyExists => {
                f.write_str("cannot log in the security officer: a read-only session is open")
            }
            Self::SessionReadWriteSoExists => {
                f.write_str("cannot open a read-only session: the security officer is logged in")
            }
            Self::UserAlreadyLoggedIn => f.write_str("cannot log in: this user is logged in already"),
            Self::UserAnotherLoggedIn => f.write_str("cannot log in: the other user is logged in"),
            Self::UserPinNotInitialized => {
                f.write_str("cannot log in: the security officer has set no user PIN yet")
            }
            Self::OperationActive => {
                f.write_str("cannot begin: an operation of this kind is running in the session")
            }
            Self::OperationNotInitialized => {
                f.write_str("cannot go on: no operation of this kind is running in the session")
            }
            Self::FunctionNotSupported => f.write_str("cannot do this: the token has no such function"),
            Self::MechanismUnknown => f.write_str("cannot use this mechanism here"),
            Self::MechanismParameterInvalid => f.write_str("cannot use this parameter of the mechanism"),
            Self::UserTypeInvalid => f.write_str("cannot log in: the token knows no such user"),
            Self::PinLengthRange => f.write_str("cannot use the PIN: it is too short or too long"),
            Self::SignatureLengthRange => {
                f.write_str("cannot verify: a signature of this key has another length")
            }
            Self::TemplateIncomplete => f.write_str("cannot create the object: the template lacks something"),
            Self::RandomSeedNotSupported => {
                f.write_str("cannot seed the token's random source: it takes no seed")
            }
            Self::BufferTooSmall { needed } => write!(
                f,
                "cannot answer: the buffer is too small, {needed} bytes are needed"
            ),
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
            Self::ChipFull(why) => write!(f, "cannot store the object: {why}"),
            Self::DeviceMemory(_) => f.write_str("cannot store the object: the token is full"),
            Self::ArgumentsBad(what) => write!(f, "cannot do this: {what}"),
            Self::MechanismInvalid(mechanism) => write!(f, "cannot use mechanism {mechanism:?} here"),
            Self::DataLengthRange { found } => write!(f, "cannot sign {found} bytes with this mechanism"),
            Self::CurveNotSupported => f.write_str("cannot use this curve: the token knows P-256 and P-384"),
            Self::TemplateInconsistent(why) => write!(f, "cannot create the object: {why}"),
            Self::AttributeValueInvalid { kind, why } => write!(f, "cannot use the value of {kind:?}: {why}"),
            Self::DeviceRemoved(_) => f.write_str("cannot reach the token: nobody answers"),
            #[cfg(feature = "std")]
            Self::File { what, kind } => write!(f, "cannot {what}: {kind}"),
            Self::NotInitialized => f.write_str("cannot use the token: it is not initialized"),
            Self::BusTaken => {
                f.write_str("cannot use the token: another process has held its bus for too long; end it")
            }
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
            Self::DataInvalid => "token.data.invalid",
            Self::Stopped => "token.stopped",
            Self::SavedStateInvalid => "token.state.invalid",
            Self::StateUnsaveable => "token.state.unsaveable",
            Self::UnwrappingKeyHandleInvalid => "token.unwrapping.handle",
            Self::WrappingKeyHandleInvalid => "token.wrapping.handle",
            Self::KeyUnextractable => "token.key.unextractable",
            Self::KeyIndigestible => "token.key.indigestible",
            Self::EncryptedDataInvalid => "token.encrypted.invalid",
            Self::EncryptedDataLengthRange => "token.encrypted.length",
            Self::KeySizeRange => "token.key.size",
            Self::KeyTypeInconsistent => "token.key.type",
            Self::WrappedKeyInvalid => "token.wrapped.invalid",
            Self::WrappedKeyLengthRange => "token.wrapped.length",
            Self::KeyNotWrappable => "token.key.unwrappable",
            Self::UserNotLoggedIn => "token.login.missing",
            Self::PinIncorrect => "token.pin.incorrect",
            Self::PinLocked => "token.pin.locked",
            Self::WriteProtected => "token.write_protected",
            Self::AttributeReadOnly => "token.attribute.read_only",
            Self::ObjectProtected => "token.object.protected",
            Self::SignatureInvalid => "token.signature.invalid",
            Self::SessionHandleInvalid => "token.session.handle",
            Self::SessionCount => "token.session.count",
            Self::SessionExists => "token.session.exists",
            Self::SessionReadOnlyExists => "token.session.read_only_exists",
            Self::SessionReadWriteSoExists => "token.session.officer_exists",
            Self::UserAlreadyLoggedIn => "token.login.already",
            Self::UserAnotherLoggedIn => "token.login.another",
            Self::UserPinNotInitialized => "token.pin.missing",
            Self::OperationActive => "token.operation.active",
            Self::OperationNotInitialized => "token.operation.missing",
            Self::FunctionNotSupported => "token.function.unknown",
            Self::MechanismUnknown => "token.mechanism.unsupported",
            Self::MechanismParameterInvalid => "token.mechanism.parameter",
            Self::UserTypeInvalid => "token.login.user",
            Self::PinLengthRange => "token.pin.length",
            Self::SignatureLengthRange => "token.signature.length",
            Self::TemplateIncomplete => "token.template.incomplete",
            Self::RandomSeedNotSupported => "token.random.seed",
            Self::BufferTooSmall { .. } => "token.buffer",
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
            Self::ChipFull(_) => "token.device.full",
            Self::ArgumentsBad(_) => "token.arguments",
            Self::MechanismInvalid(_) => "token.mechanism.unknown",
            Self::DataLengthRange { .. } => "token.data.length",
            Self::CurveNotSupported => "token.curve.unknown",
            Self::TemplateInconsistent(_) => "token.template.inconsistent",
            Self::AttributeValueInvalid { .. } => "token.attribute.value",
            Self::DeviceRemoved(_) => "token.device.absent",
            Self::Device(_) => "token.device.failed",
            Self::DeviceContent { .. } => "token.device.content",
            #[cfg(feature = "std")]
            Self::File { .. } => "token.file",
            Self::NotInitialized => "token.uninitialized",
            Self::BusTaken => "token.device.taken",
            Self::General(_) => "token.general",
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::SessionReadOnly
            | Self::AttributeSensitive(_)
            | Self::KeyFunctionNotPermitted
            | Self::Occupied { .. }
            | Self::KeyUnextractable
            | Self::StateUnsaveable
            | Self::UserNotLoggedIn
            | Self::PinIncorrect
            | Self::PinLocked
            | Self::WriteProtected
            | Self::AttributeReadOnly
            | Self::ObjectProtected
            | Self::SignatureInvalid
            | Self::ActionProhibited(_) => Blame::Refused,
            Self::SlotIdInvalid(_)
            | Self::ObjectHandleInvalid
            | Self::KeyHandleInvalid
            | Self::AttributeTypeInvalid(_)
            | Self::WrappingKeyHandleInvalid
            | Self::UnwrappingKeyHandleInvalid
            | Self::SavedStateInvalid
            | Self::Stopped
            | Self::SessionHandleInvalid
            | Self::NotInitialized
            | Self::SessionCount
            | Self::SessionExists
            | Self::SessionReadOnlyExists
            | Self::SessionReadWriteSoExists
            | Self::UserAlreadyLoggedIn
            | Self::UserAnotherLoggedIn
            | Self::UserPinNotInitialized
            | Self::OperationActive
            | Self::OperationNotInitialized
            | Self::ChipFull(_)
            | Self::DeviceMemory(_) => Blame::State,
            Self::ArgumentsBad(_)
            | Self::MechanismInvalid(_)
            | Self::DataLengthRange { .. }
            | Self::CurveNotSupported
            | Self::TemplateInconsistent(_)
            | Self::FunctionNotSupported
            | Self::MechanismUnknown
            | Self::MechanismParameterInvalid
            | Self::UserTypeInvalid
            | Self::PinLengthRange
            | Self::SignatureLengthRange
            | Self::KeyIndigestible
            | Self::DataInvalid
            | Self::EncryptedDataInvalid
            | Self::EncryptedDataLengthRange
            | Self::KeySizeRange
            | Self::KeyTypeInconsistent
            | Self::WrappedKeyInvalid
            | Self::WrappedKeyLengthRange
            | Self::KeyNotWrappable
            | Self::TemplateIncomplete
            | Self::RandomSeedNotSupported
            | Self::BufferTooSmall { .. }
            | Self::AttributeValueInvalid { .. } => Blame::Misuse,
            #[cfg(feature = "std")]
            Self::File { .. } => Blame::Fault,
            Self::DeviceRemoved(_)
            | Self::Device(_)
            | Self::DeviceContent { .. }
            | Self::BusTaken
            | Self::General(_) => Blame::Fault,
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
