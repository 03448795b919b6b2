//! Requests that make keys and use them: GenKeyPair, CalcSign, VerifySign, CalcSSec, DeriveKey.
//!
//! What leaves the chip here may be secret: it goes from the answer straight to the caller, and is never printed.

use super::{Request, finish, nothing, within};
use crate::apdu::{Command, Draft, record};
use crate::error::{Malformed, Misuse};
use crate::limits;
use crate::object::{Curve, KeyPlace, KeyUsage, ObjectId, PublicKeyBytes, SessionContext};
use crate::secret::{KeyPair, Secret};
use crate::signature::Signature;

/// The parameter of each command: the chip knows one scheme for each.
#[derive(Clone, Copy, Debug)]
pub struct Algorithm;

impl Algorithm {
    /// ECDSA without hashing (FIPS 186-3).
    pub const ECDSA: u8 = 0x11;
    /// ECDH (SP 800-56A).
    pub const ECDH: u8 = 0x01;
    /// The PRF of TLS 1.2 with SHA-256.
    pub const TLS_PRF_SHA256: u8 = 0x01;
    /// SHA-256.
    pub const SHA256: u8 = 0xE2;
}

/// GenKeyPair: the private key stays in the chip.
#[derive(Clone, Copy, Debug)]
pub struct GenerateInto {
    /// Where the key goes; what was there is gone.
    pub place: KeyPlace,
    /// Which kind of key.
    pub curve: Curve,
    /// What it may be used for.
    pub usage: KeyUsage,
}

impl Request for GenerateInto {
    type Answer<'a> = PublicKeyBytes;
    const COMMAND: Command = Command::GenerateKey;

    fn object(&self) -> Option<ObjectId> {
        Some(self.place.object())
    }

    fn draft(&self, buffer: &mut [u8]) -> Result<usize, Misuse> {
        let draft = Draft::new(buffer, Self::COMMAND, self.curve.identifier());
        let draft = draft.record(0x01, &self.place.object().0.to_be_bytes());
        finish(draft.record(0x02, &[self.usage.0]))
    }

    fn parse(&self, data: &[u8]) -> Result<PublicKeyBytes, Malformed> {
        public_key(self.curve, data)
    }
}

/// GenKeyPair: both keys leave the chip, which forgets them.
#[derive(Clone, Copy, Debug)]
pub struct GenerateOut(pub Curve);

impl Request for GenerateOut {
    type Answer<'a> = KeyPair;
    const COMMAND: Command = Command::GenerateKey;

    fn draft(&self, buffer: &mut [u8]) -> Result<usize, Misuse> {
        finish(Draft::new(buffer, Self::COMMAND, self.0.identifier()).record(0x07, &[]))
    }

    fn parse(&self, data: &[u8]) -> Result<KeyPair, Malformed> {
        let public = public_key(self.0, data)?;
        let scalar_bytes = self.0.scalar_bytes();
        // OCTET STRING: 04 len bytes.
        let private = match record(data, 0x01)? {
            [0x04, length, scalar @ ..]
                if usize::from(*length) == scalar.len() && scalar.len() == scalar_bytes =>
            {
                Secret::new(scalar)
            }
            _ => None,
        };
        let private = private.ok_or(Malformed::Secret)?;
        Ok(KeyPair { private, public })
    }
}

fn public_key(curve: Curve, data: &[u8]) -> Result<PublicKeyBytes, Malformed> {
    PublicKeyBytes::from_bit_string(curve, record(data, 0x02)?).ok_or(Malformed::PublicKey)
}

/// CalcSign.
#[derive(Clone, Copy, Debug)]
pub struct Sign<'b> {
    /// With which key.
    pub place: KeyPlace,
    /// What; the chip does not hash.
    pub digest: &'b [u8],
}

impl Request for Sign<'_> {
    type Answer<'a> = Signature;
    const COMMAND: Command = Command::Sign;

    fn object(&self) -> Option<ObjectId> {
        Some(self.place.object())
    }

    fn draft(&self, buffer: &mut [u8]) -> Result<usize, Misuse> {
        within(&limits::DIGEST_BYTES, self.digest.len(), Misuse::Digest)?;
        let draft = Draft::new(buffer, Self::COMMAND, Algorithm::ECDSA).record(0x01, self.digest);
        finish(draft.record(0x03, &self.place.object().0.to_be_bytes()))
    }

    fn parse(&self, data: &[u8]) -> Result<Signature, Malformed> {
        Signature::from_integers(data).ok_or(Malformed::Signature)
    }
}

/// Whose public key verifies.
#[derive(Clone, Copy, Debug)]
pub enum VerifyBy<'b> {
    /// This one.
    Key(&'b PublicKeyBytes),
    /// The one in the certificate that this object holds, as plain DER.
    Certificate(ObjectId),
}

/// VerifySign.
#[derive(Clone, Copy, Debug)]
pub struct Verify<'b> {
    /// With which key.
    pub by: VerifyBy<'b>,
    /// Over what.
    pub digest: &'b [u8],
    /// The signature.
    pub signature: &'b Signature,
}

impl Request for Verify<'_> {
    type Answer<'a> = ();
    const COMMAND: Command = Command::Verify;

    fn object(&self) -> Option<ObjectId> {
        match self.by {
            VerifyBy::Key(_) => None,
            VerifyBy::Certificate(object) => Some(object),
        }
    }

    fn draft(&self, buffer: &mut [u8]) -> Result<usize, Misuse> {
        within(&limits::DIGEST_BYTES, self.digest.len(), Misuse::Digest)?;
        let mut der = [0; limits::SIGNATURE_DER_BYTES_MAX];
        let der = self.signature.write_der(&mut der);
        let integers = der.and_then(|der| der.get(2..)).ok_or(Misuse::TooLong)?;
        let draft = Draft::new(buffer, Self::COMMAND, Algorithm::ECDSA);
        let draft = draft.record(0x01, self.digest).record(0x02, integers);
        finish(match self.by {
            VerifyBy::Key(key) => public_key_records(draft, key)?,
            VerifyBy::Certificate(object) => draft.record(0x04, &object.0.to_be_bytes()),
        })
    }

    fn parse(&self, data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }
}

fn public_key_records<'a>(draft: Draft<'a>, key: &PublicKeyBytes) -> Result<Draft<'a>, Misuse> {
    let mut bits = [0; 100];
    let bits = key.write_bit_string(&mut bits).ok_or(Misuse::TooLong)?;
    let draft = draft.record(0x05, &[key.curve().identifier()]);
    Ok(draft.record(0x06, bits))
}

fn agreement<'a>(buffer: &'a mut [u8], place: KeyPlace, peer: &PublicKeyBytes) -> Result<Draft<'a>, Misuse> {
    let draft = Draft::new(buffer, Command::Agree, Algorithm::ECDH);
    public_key_records(draft.record(0x01, &place.object().0.to_be_bytes()), peer)
}

/// CalcSSec: the shared secret leaves the chip.
#[derive(Clone, Copy, Debug)]
pub struct AgreeOut<'b> {
    /// Our key.
    pub place: KeyPlace,
    /// The other side's.
    pub peer: &'b PublicKeyBytes,
}

impl Request for AgreeOut<'_> {
    type Answer<'a> = Secret;
    const COMMAND: Command = Command::Agree;

    fn object(&self) -> Option<ObjectId> {
        Some(self.place.object())
    }

    fn draft(&self, buffer: &mut [u8]) -> Result<usize, Misuse> {
        finish(agreement(buffer, self.place, self.peer)?.record(0x07, &[]))
    }

    fn parse(&self, data: &[u8]) -> Result<Secret, Malformed> {
        let whole = data.len() == self.peer.curve().scalar_bytes();
        Secret::new(data).filter(|_| whole).ok_or(Malformed::Secret)
    }
}

/// CalcSSec: the shared secret stays in a session context.
#[derive(Clone, Copy, Debug)]
pub struct AgreeInto<'b> {
    /// Our key.
    pub place: KeyPlace,
    /// The other side's.
    pub peer: &'b PublicKeyBytes,
    /// Where the secret goes; what was there is gone.
    pub session: SessionContext,
}

impl Request for AgreeInto<'_> {
    type Answer<'a> = ();
    const COMMAND: Command = Command::Agree;

    fn object(&self) -> Option<ObjectId> {
        Some(self.place.object())
    }

    fn draft(&self, buffer: &mut [u8]) -> Result<usize, Misuse> {
        let session = self.session.object().0.to_be_bytes();
        finish(agreement(buffer, self.place, self.peer)?.record(0x08, &session))
    }

    fn parse(&self, data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }
}

fn derivation<'a>(
    buffer: &'a mut [u8],
    secret: ObjectId,
    (label, seed): (&[u8], &[u8]),
    bytes: u16,
) -> Result<Draft<'a>, Misuse> {
    within(
        &limits::DERIVATION_BYTES,
        label.len().saturating_add(seed.len()),
        Misuse::Derivation,
    )?;
    let draft = Draft::new(buffer, Command::Derive, Algorithm::TLS_PRF_SHA256);
    let draft = draft.record(0x01, &secret.0.to_be_bytes());
    // The chip does not tell label and seed apart: the TLS PRF hashes one after the other (RFC 5246, section 5).
    Ok(draft
        .record_of_two(0x02, label, seed)
        .record(0x03, &bytes.to_be_bytes()))
}

/// DeriveKey: the key leaves the chip.
#[derive(Clone, Copy, Debug)]
pub struct DeriveOut<'b> {
    /// A session context, or a data object of up to 64 bytes.
    pub secret: ObjectId,
    /// What the key is for.
    pub label: &'b [u8],
    /// What makes it different.
    pub seed: &'b [u8],
    /// How long it is.
    pub bytes: u16,
}

impl Request for DeriveOut<'_> {
    type Answer<'a> = &'a [u8];
    const COMMAND: Command = Command::Derive;

    fn object(&self) -> Option<ObjectId> {
        Some(self.secret)
    }

    fn draft(&self, buffer: &mut [u8]) -> Result<usize, Misuse> {
        let bytes = usize::from(self.bytes);
        within(&limits::DERIVED_BYTES, bytes, Misuse::DerivedBytes)?;
        let draft = derivation(buffer, self.secret, (self.label, self.seed), self.bytes)?;
        finish(draft.record(0x07, &[]))
    }

    fn parse<'a>(&self, data: &'a [u8]) -> Result<&'a [u8], Malformed> {
        let whole = data.len() == usize::from(self.bytes);
        whole.then_some(data).ok_or(Malformed::Secret)
    }
}

/// DeriveKey: the key stays in a session context.
#[derive(Clone, Copy, Debug)]
pub struct DeriveInto<'b> {
    /// A session context, or a data object of up to 64 bytes.
    pub secret: ObjectId,
    /// What the key is for.
    pub label: &'b [u8],
    /// What makes it different.
    pub seed: &'b [u8],
    /// How long it is.
    pub bytes: u16,
    /// Where it goes; what was there is gone.
    pub session: SessionContext,
}

impl Request for DeriveInto<'_> {
    type Answer<'a> = ();
    const COMMAND: Command = Command::Derive;

    fn object(&self) -> Option<ObjectId> {
        Some(self.secret)
    }

    fn draft(&self, buffer: &mut [u8]) -> Result<usize, Misuse> {
        let bytes = usize::from(self.bytes);
        within(&limits::DERIVED_SESSION_BYTES, bytes, Misuse::DerivedBytes)?;
        let draft = derivation(buffer, self.secret, (self.label, self.seed), self.bytes)?;
        finish(draft.record(0x08, &self.session.object().0.to_be_bytes()))
    }

    fn parse(&self, data: &[u8]) -> Result<(), Malformed> {
        nothing(data)
    }
}
