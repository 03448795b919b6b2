//! What can go wrong on the bus, for both kinds of client.

use core::fmt;

use embedded_hal::i2c::{ErrorKind, NoAcknowledgeSource};

/// Why a transaction, or what surrounds it, failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    // The target: the caller retries.
    /// Nobody acknowledged the address. A busy target does that too.
    AddressNack,
    /// The target refused a data byte, after so many were acknowledged.
    DataNack(u16),

    // The server: it broke the protocol.
    /// The reply is not VI2C.
    GarbledReply,
    /// The server speaks another version of VI2C.
    Version(u8),

    // Our own caller.
    /// The transaction has a shape that this bus cannot carry (several repeated STARTs, or an empty read).
    Shape,
    /// More bytes than one transaction can carry.
    TooLong,
    /// The address has more than 7 bits, or the clock is outside of its range.
    Malformed,
    /// The bus knows no such operation or line (a wall-clock bus cannot be told the time).
    Unsupported,

    // A fault.
    /// The bus is stuck, lost arbitration, or two targets answer to one address.
    Bus,
    /// The socket failed.
    #[cfg(feature = "std")]
    Socket(std::io::ErrorKind),
}

impl Error {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AddressNack => "i2c.nack.address",
            Self::DataNack(_) => "i2c.nack.data",
            Self::GarbledReply => "i2c.reply.garbled",
            Self::Version(_) => "i2c.version",
            Self::Shape => "i2c.shape",
            Self::TooLong => "i2c.too_long",
            Self::Malformed => "i2c.malformed",
            Self::Unsupported => "i2c.unsupported",
            Self::Bus => "i2c.bus",
            #[cfg(feature = "std")]
            Self::Socket(_) => "i2c.socket",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressNack => f.write_str("nobody acknowledged the i2c address"),
            Self::DataNack(count) => write!(f, "the i2c target refused a byte after {count} bytes"),
            Self::GarbledReply => f.write_str("the i2c server sent a reply that is not VI2C"),
            Self::Version(version) => write!(
                f,
                "the i2c server speaks VI2C version {version}, this is version 1"
            ),
            Self::Shape => f.write_str(
                "cannot do this i2c transaction: only a write, a read, or a write and then a read",
            ),
            Self::TooLong => f.write_str("cannot do this i2c transaction: more than 65535 bytes"),
            Self::Malformed => {
                f.write_str("malformed i2c request: an address has 7 bits, a clock 1 kHz to 1 MHz")
            }
            Self::Unsupported => f.write_str("the i2c bus does not know this operation or line"),
            Self::Bus => f.write_str("i2c bus fault"),
            #[cfg(feature = "std")]
            Self::Socket(kind) => write!(f, "cannot reach the i2c server: {kind}"),
        }
    }
}

impl core::error::Error for Error {}

impl embedded_hal::i2c::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::AddressNack => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address),
            Self::DataNack(_) => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data),
            Self::Bus => ErrorKind::Bus,
            _ => ErrorKind::Other,
        }
    }
}

impl From<crate::Nack> for Error {
    fn from(nack: crate::Nack) -> Self {
        match nack {
            crate::Nack::Address => Self::AddressNack,
            crate::Nack::Data(count) => Self::DataNack(count),
        }
    }
}

#[cfg(feature = "std")]
impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Socket(error.kind())
    }
}

#[cfg(test)]
mod tests {
    use embedded_hal::i2c::Error as _;

    use super::*;

    #[test]
    fn each_status_has_the_kind_that_a_driver_expects() {
        let cases = [
            (
                Error::AddressNack,
                ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address),
            ),
            (
                Error::DataNack(3),
                ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data),
            ),
            (Error::Bus, ErrorKind::Bus),
            (Error::Unsupported, ErrorKind::Other),
            (Error::GarbledReply, ErrorKind::Other),
        ];
        for (error, kind) in cases {
            assert_eq!(error.kind(), kind, "{error}");
        }
    }
}
