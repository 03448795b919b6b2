//! One-way authentication: the chip proves that it holds a key by signing a challenge. Three commands, in this order; the
//! chip hashes the challenge itself, so what it signs here is never a digest that somebody chose.

use super::{Request, finish, nothing, within};
use crate::apdu::{Command, Draft};
use crate::error::{Malformed, Misuse};
use crate::limits;
use crate::object::{Curve, KeySlot, ObjectId, SessionContext};
use crate::signature::Signature;

/// How to authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticationScheme {
    /// ECDSA with SHA-256 and the P-256 key in this slot.
    Ecdsa(KeySlot),
    /// The DTLS client of the chip, with this key, in this session.
    DtlsClient(KeySlot, SessionContext),
}

/// SetAuthScheme.
#[derive(Clone, Copy, Debug)]
pub struct ChooseAuthentication(pub AuthenticationScheme);

impl Request for ChooseAuthentication {
    type Answer<'a> = ();
    const COMMAND: Command = Command::ChooseAuthentication;

    fn object(&self) -> Option<ObjectId> {
        match self.0 {
            AuthenticationScheme::Ecdsa(slot) | AuthenticationScheme::DtlsClient(slot, _) => {
                Some(slot.object())
            }
        }
    }

    fn draft(&self, buffer: &mut [u8]) -> Result<usize, Misuse> {
        finish(match self.0 {
            AuthenticationScheme::Ecdsa(slot) => {
                Draft::new(buffer, Self::COMMAND, 0x91).number(slot.object().0)
            }
            AuthenticationScheme::DtlsClient(slot, session) => Draft::new(buffer, Self::COMMAND, 0x99)
                .number(slot.object().0)
                .number(session.object().0),
        })
    }

    fn parse(&self, data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }
}

/// SetAuthMsg.
#[derive(Clone, Copy, Debug)]
pub struct GiveChallenge<'b>(pub &'b [u8]);

impl Request for GiveChallenge<'_> {
    type Answer<'a> = ();
    const COMMAND: Command = Command::Challenge;

    fn draft(&self, buffer: &mut [u8]) -> Result<usize, Misuse> {
        within(&limits::CHALLENGE_BYTES, self.0.len(), Misuse::Challenge)?;
        finish(Draft::new(buffer, Self::COMMAND, 1).bytes(self.0))
    }

    fn parse(&self, data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }
}

/// GetAuthMsg.
#[derive(Clone, Copy, Debug)]
pub struct SignChallenge;

impl Request for SignChallenge {
    type Answer<'a> = Signature;
    const COMMAND: Command = Command::Authenticate;

    fn draft(&self, buffer: &mut [u8]) -> Result<usize, Misuse> {
        finish(Draft::new(buffer, Self::COMMAND, 2))
    }

    /// Unlike CalcSign this command gives bare halves, always of P-256.
    fn parse(&self, data: &[u8]) -> Result<Signature, Malformed> {
        let whole = data.len() == 2 * Curve::P256.scalar_bytes();
        Signature::from_fixed(data)
            .filter(|_| whole)
            .ok_or(Malformed::Signature)
    }
}
