//! A private key in the chip, as the core's operations use it.
//!
//! It remembers which key it is. If somebody has changed the chip since, it looks whether its slot still has that key: a
//! signature by another one would be a wrong answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::vec::Vec;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use identity::key::{Curve, PublicKey};
use optiga::{ErrorCode, KeyPlace, KeySlot, ObjectId, PublicKeyBytes, SessionContext, Signature};
use zeroize::Zeroizing;

use super::Shared;
use super::device::Talk;
use super::options::Ephemeral;
use super::point::chip_curve;
use crate::bus_lock::Claim;
use crate::crypto::{HardwareKey, HardwareSecret};
use crate::error::Error;

/// A key in a slot.
pub(super) struct SlotKey<I2C, D> {
    shared: Arc<Shared<I2C, D>>,
    slot: KeySlot,
    public: Option<PublicKey>,
    /// The state of the chip in which the slot was last seen to have this key.
    seen: AtomicU64,
}

/// A key in a session context. It goes when the chip's application is opened again, and with the process.
pub(super) struct SessionKey<I2C, D> {
    shared: Arc<Shared<I2C, D>>,
    context: SessionContext,
    opening: u64,
    _claim: Claim,
}

impl<I2C: I2c, D: DelayNs> SlotKey<I2C, D> {
    pub(super) const fn new(
        shared: Arc<Shared<I2C, D>>,
        slot: KeySlot,
        public: Option<PublicKey>,
        generation: u64,
    ) -> Self {
        Self {
            shared,
            slot,
            public,
            seen: AtomicU64::new(generation),
        }
    }

    fn talk(&self) -> Result<Talk<'_, I2C, D>, Error> {
        let mut talk = self.shared.device.talk()?;
        let now = talk.turn().generation();
        if now != self.seen.load(Ordering::Acquire) {
            let image = self.shared.image(&mut talk)?;
            let there = image.key(self.slot).ok_or(Error::KeyHandleInvalid)?;
            if there.public != self.public {
                return Err(Error::KeyHandleInvalid);
            }
            self.seen.store(now, Ordering::Release);
        }
        Ok(talk)
    }
}

impl<I2C: I2c, D: DelayNs> SessionKey<I2C, D> {
    pub(super) const fn new(
        shared: Arc<Shared<I2C, D>>,
        context: SessionContext,
        opening: u64,
        claim: Claim,
    ) -> Self {
        Self {
            shared,
            context,
            opening,
            _claim: claim,
        }
    }

    fn talk(&self) -> Result<Talk<'_, I2C, D>, Error> {
        let talk = self.shared.device.talk()?;
        if talk.turn().opening() != self.opening {
            return Err(LOST);
        }
        Ok(talk)
    }
}

/// The chip was reset, or another program opened its application anew.
const LOST: Error = Error::DeviceContent {
    what: "the key of the session is lost, the chip was opened anew; make another",
};

impl<I2C: I2c + Send + 'static, D: DelayNs + Send + 'static> HardwareKey for SlotKey<I2C, D> {
    fn sign_digest(&self, curve: Curve, digest: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let (curve, padded) = padded(curve, digest)?;
        let digest = digest_of(&padded, curve);
        let signature = self.talk()?.ask(|chip| chip.sign_digest(self.slot, digest))?;
        fixed(&signature, curve, out)
    }

    fn agree(&self, curve: Curve, point: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let peer = peer(curve, point)?;
        let secret = self.talk()?.ask(|chip| chip.agree(self.slot, &peer))?;
        Ok(Zeroizing::new(secret.expose().to_vec()))
    }

    fn agree_inside(&self, curve: Curve, point: &[u8]) -> Result<Option<Arc<dyn HardwareSecret>>, Error> {
        agree_inside(&self.shared, self.slot.into(), self.talk()?, &peer(curve, point)?)
    }
}

impl<I2C: I2c + Send + 'static, D: DelayNs + Send + 'static> HardwareKey for SessionKey<I2C, D> {
    fn sign_digest(&self, curve: Curve, digest: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let (curve, padded) = padded(curve, digest)?;
        let digest = digest_of(&padded, curve);
        let signature = self.talk()?.ask(|chip| chip.sign_digest(self.context, digest))?;
        fixed(&signature, curve, out)
    }

    fn agree(&self, curve: Curve, point: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let peer = peer(curve, point)?;
        let secret = self.talk()?.ask(|chip| chip.agree(self.context, &peer))?;
        Ok(Zeroizing::new(secret.expose().to_vec()))
    }

    fn agree_inside(&self, curve: Curve, point: &[u8]) -> Result<Option<Arc<dyn HardwareSecret>>, Error> {
        agree_inside(
            &self.shared,
            self.context.into(),
            self.talk()?,
            &peer(curve, point)?,
        )
    }
}

/// A secret in a session context, from which the chip derives.
struct SessionSecret<I2C, D> {
    shared: Arc<Shared<I2C, D>>,
    context: SessionContext,
    opening: u64,
    bytes: usize,
    _claim: Claim,
}

impl<I2C: I2c + Send, D: DelayNs + Send> HardwareSecret for SessionSecret<I2C, D> {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn prf_sha256(&self, label: &[u8], seed: &[u8], out: &mut [u8]) -> Result<(), Error> {
        if !optiga::limits::DERIVED_BYTES.contains(&out.len()) {
            return Err(Error::KeySizeRange);
        }
        let mut talk = self.shared.device.talk()?;
        if talk.turn().opening() != self.opening {
            return Err(LOST);
        }
        talk.ask(|chip| chip.derive(self.context.object(), label, seed, out))
    }
}

/// The first session context that nobody has.
pub(super) fn claim<I2C: I2c, D: DelayNs>(
    shared: &Shared<I2C, D>,
) -> Result<Option<(SessionContext, Claim)>, Error> {
    for context in SessionContext::ALL {
        let name = std::format!("{}", context.object());
        if let Some(claim) = shared.device.bus_lock().claim(&name)? {
            return Ok(Some((context, claim)));
        }
    }
    Ok(None)
}

fn agree_inside<I2C, D>(
    shared: &Arc<Shared<I2C, D>>,
    place: KeyPlace,
    mut talk: Talk<'_, I2C, D>,
    peer: &PublicKeyBytes,
) -> Result<Option<Arc<dyn HardwareSecret>>, Error>
where
    I2C: I2c + Send + 'static,
    D: DelayNs + Send + 'static,
{
    let place_for_it = match shared.options.ephemeral {
        Ephemeral::Host => None,
        _ => claim(shared)?,
    };
    let Some((context, claim)) = place_for_it else {
        return match shared.options.ephemeral {
            Ephemeral::ChipOnly => Err(FULL),
            _ => Ok(None),
        };
    };
    talk.ask(|chip| chip.agree_into(place, peer, context))?;
    Ok(Some(Arc::new(SessionSecret {
        shared: Arc::clone(shared),
        context,
        opening: talk.turn().opening(),
        bytes: peer.curve().scalar_bytes(),
        _claim: claim,
    })))
}

/// What four keys and secrets leave.
pub(super) const FULL: Error = Error::ChipFull("all four session keys of the chip are in use");

/// A public key with which the chip verifies: one that it is given, or that of the certificate in a trust anchor.
pub(super) struct Verifier<I2C, D> {
    pub(super) shared: Arc<Shared<I2C, D>>,
    pub(super) public: PublicKey,
    pub(super) anchor: Option<ObjectId>,
}

impl<I2C: I2c, D: DelayNs> Verifier<I2C, D> {
    /// The trust anchor, if it still has this key.
    fn check_anchor(&self, talk: &mut Talk<'_, I2C, D>, anchor: ObjectId) -> Result<(), Error> {
        let image = self.shared.image(talk)?;
        let there = image.certificates(anchor).unwrap_or_default();
        let same = there
            .first()
            .is_some_and(|first| *first.public_key() == self.public);
        same.then_some(()).ok_or(Error::KeyHandleInvalid)
    }
}

impl<I2C: I2c + Send, D: DelayNs + Send> HardwareKey for Verifier<I2C, D> {
    fn sign_digest(&self, _: Curve, _: &[u8], _: &mut [u8]) -> Result<usize, Error> {
        Err(Error::KeyFunctionNotPermitted)
    }

    fn agree(&self, _: Curve, _: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        Err(Error::KeyFunctionNotPermitted)
    }

    fn verify_digest(&self, curve: Curve, digest: &[u8], signature: &[u8]) -> Result<(), Error> {
        let point = peer(curve, self.public.ec_point().unwrap_or_default())?;
        let (curve, padded) = padded(curve, digest)?;
        let digest = digest_of(&padded, curve);
        let signature = Signature::from_fixed(signature).ok_or(Error::SignatureLengthRange)?;
        let mut talk = self.shared.device.talk()?;
        let checked = match self.anchor {
            Some(anchor) => {
                self.check_anchor(&mut talk, anchor)?;
                talk.ask(|chip| chip.verify_digest_by(anchor, digest, &signature))
            }
            None => talk.ask(|chip| chip.verify_digest(&point, digest, &signature)),
        };
        checked.map_err(|error| match &error {
            Error::Device(chip) if chip.refusal() == Some(ErrorCode::SIGNATURE) => Error::SignatureInvalid,
            // A number out of range is no signature of anything.
            Error::Device(chip) if chip.refusal() == Some(ErrorCode(0x05)) => Error::SignatureInvalid,
            _ => error,
        })
    }
}

/// The chip takes no digest below 10 bytes; zeros on the left do not change the number that is signed.
fn padded(curve: Curve, digest: &[u8]) -> Result<(optiga::Curve, [u8; 48]), Error> {
    let curve = chip_curve(curve).ok_or(Error::CurveNotSupported)?;
    // What exceeds the curve is cut on the right (FIPS 186-5, 6.4.1).
    let digest = digest.get(..curve.scalar_bytes()).unwrap_or(digest);
    let mut padded = [0; 48];
    let start = curve.scalar_bytes() - digest.len();
    if let Some(room) = padded.get_mut(start..curve.scalar_bytes()) {
        room.copy_from_slice(digest);
    }
    Ok((curve, padded))
}

fn digest_of(padded: &[u8; 48], curve: optiga::Curve) -> &[u8] {
    padded.get(..curve.scalar_bytes()).unwrap_or_default()
}

fn fixed(signature: &Signature, curve: optiga::Curve, out: &mut [u8]) -> Result<usize, Error> {
    let needed = 2 * curve.scalar_bytes();
    let out = out.get_mut(..needed).ok_or(Error::BufferTooSmall { needed })?;
    let wrong = Error::DeviceContent {
        what: "a signature of another curve",
    };
    signature.write_fixed(curve, out).ok_or(wrong)?;
    Ok(needed)
}

fn peer(curve: Curve, point: &[u8]) -> Result<PublicKeyBytes, Error> {
    let curve = chip_curve(curve).ok_or(Error::CurveNotSupported)?;
    PublicKeyBytes::from_point(curve, point).ok_or(Error::MechanismParameterInvalid)
}
