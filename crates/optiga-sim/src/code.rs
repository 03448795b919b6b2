//! Why the chip refuses a command: the value of object F1C2 (OPTIGA Trust M Solution Reference Manual v3.50, table of error
//! codes; the Trust X ones are a subset).

/// A code of object F1C2. Of several errors the chip remembers the highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Code {
    /// No such object, or not for this command, or no key in it.
    InvalidOid = 0x01,
    /// The command has no such parameter.
    InvalidParam = 0x03,
    /// A length that is not what arrived, or not what the command takes.
    InvalidLength = 0x04,
    /// A field of the command's data.
    InvalidField = 0x05,
    /// The memory failed.
    Internal = 0x06,
    /// An access condition, or a life cycle that would go back.
    AccessDenied = 0x07,
    /// Before the first or beyond the last byte of the object.
    OutOfBounds = 0x08,
    /// Metadata shorter than announced, or too long.
    Metadata = 0x09,
    /// No such command.
    InvalidCommand = 0x0A,
    /// A command that needs another one before it.
    OutOfSequence = 0x0B,
    /// The application is not open.
    NotAvailable = 0x0C,
    /// The response would not fit.
    InsufficientMemory = 0x0D,
    /// The key may not be used for this.
    Usage = 0x24,
    /// The certificate can not be read.
    CertificateFormat = 0x29,
    /// The certificate can be read and is not for this chip.
    CertificateUnsupported = 0x2A,
    /// The signature is not of this digest and key.
    BadSignature = 0x2C,
}
