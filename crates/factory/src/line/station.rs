//! One chip at its station: everything that is said to it. What it answers decides about this chip and no other.

use core::fmt::Debug;

use embedded_hal::{delay::DelayNs, i2c::I2c};
use identity::{
    certificate::Certificate,
    crypto,
    key::{self, PublicKey, SignatureAlgorithm},
    name::Name,
    request::{self, ProvenKey, Request},
};
use optiga::{
    Curve, Error, KeySlot, KeyUsage, Lifecycle, MetadataChange, ObjectId, Optiga, Signature, Uid, WriteMode,
    identity_format, limits,
};

use super::report::Reason;

/// Why this chip does not go on.
pub(super) enum Trouble {
    /// The contact, not the chip: it may be put in again.
    Contact(Reason),
    /// The chip itself.
    Chip(Reason),
}

/// The key slot that belongs to the device's identity.
const SLOT: KeySlot = KeySlot::E0F1;
/// What is locked when a chip is complete.
const LOCKED: [ObjectId; 3] = [ObjectId::CERTIFICATE_1, ObjectId::TRUST_ANCHOR, SLOT.object()];

/// A chip and what talks to it.
pub(super) struct Station<I2C, D> {
    chip: Optiga<I2C, D>,
}

impl<I2C: I2c<Error: Debug>, D: DelayNs> Station<I2C, D> {
    pub(super) const fn new(chip: Optiga<I2C, D>) -> Self {
        Self { chip }
    }

    /// First contact.
    pub(super) fn open(&mut self) -> Result<Uid, Trouble> {
        self.chip.open().map_err(trouble)?;
        self.chip.read_uid().map_err(trouble)
    }

    /// Has the chip make its key and sign a request with it; the subject of the request is the chip's own identifier.
    pub(super) fn make_key(&mut self, uid: &Uid) -> Result<ProvenKey, Trouble> {
        let usage = KeyUsage::SIGN.and(KeyUsage::AUTHENTICATE);
        let point = self
            .chip
            .generate_key(SLOT, Curve::P256, usage)
            .map_err(trouble)?;
        let key = PublicKey::from_ec_point(key::Curve::P256, point.point()).map_err(refused)?;
        let subject = Name::with_common_name(&uid.to_string()).map_err(refused)?;
        let tbs = request::to_be_signed(&subject, &key);
        let signature = self
            .chip
            .sign_digest(SLOT, &crypto::sha256(&tbs))
            .map_err(trouble)?;
        let request = request::assemble(&tbs, SignatureAlgorithm::EcdsaSha256, &der(&signature));
        Request::parse(&request)
            .and_then(Request::verify)
            .map_err(refused)
    }

    /// Whether the key that was certified is the one in the chip, by a signature over something new.
    pub(super) fn check_key(&mut self, uid: &Uid, key: &PublicKey) -> Result<(), Trouble> {
        let mut challenge = [0; 32 + 27];
        let (random, place) = challenge.split_at_mut(32);
        crypto::random(random).map_err(refused)?;
        place.copy_from_slice(&uid.0);
        let signature = self
            .chip
            .sign_digest(SLOT, &crypto::sha256(&challenge))
            .map_err(trouble)?;
        crypto::verify(key, SignatureAlgorithm::EcdsaSha256, &challenge, &der(&signature)).map_err(|_| {
            let text = "the key in the chip is not the one that was certified for it";
            Trouble::Chip(Reason::new("factory.chip.other_key", text))
        })
    }

    /// Writes certificate and trust anchor, reads both back, and locks what a device must never change.
    pub(super) fn finish(&mut self, certificate: &Certificate, anchor: &Certificate) -> Result<(), Trouble> {
        let [certificate_locked, anchor_locked, key_locked] = self.locks()?;
        if !certificate_locked {
            self.chip
                .write_certificate(ObjectId::CERTIFICATE_1, certificate.der())
                .map_err(trouble)?;
        }
        if !anchor_locked {
            let write = self
                .chip
                .write_object(ObjectId::TRUST_ANCHOR, WriteMode::Replace, 0, anchor.der());
            write.map_err(trouble)?;
        }
        let head = identity_format::head(certificate.der().len()).unwrap_or_default();
        self.compare(ObjectId::CERTIFICATE_1, &[&head, certificate.der()])?;
        self.compare(ObjectId::TRUST_ANCHOR, &[anchor.der()])?;
        for (object, locked) in LOCKED.iter().zip([certificate_locked, anchor_locked, key_locked]) {
            if !locked {
                self.chip
                    .write_metadata(*object, &MetadataChange::LOCK)
                    .map_err(trouble)?;
            }
        }
        Ok(())
    }

    /// Which of the three objects cannot be changed any more: after a crash some may be locked and some not.
    fn locks(&mut self) -> Result<[bool; 3], Trouble> {
        let mut locks = [false; 3];
        for (locked, object) in locks.iter_mut().zip(LOCKED) {
            let metadata = self.chip.read_metadata(object).map_err(trouble)?;
            // Without a life cycle the object counts as operational (Solution Reference Manual, metadata).
            *locked = metadata
                .lifecycle
                .is_none_or(|state| state >= Lifecycle::Operational);
        }
        Ok(locks)
    }

    /// Reads an object and compares it with what it must hold.
    fn compare(&mut self, object: ObjectId, wanted: &[&[u8]]) -> Result<(), Trouble> {
        let mut content = [0; limits::CERTIFICATE_OBJECT_BYTES_MAX + 1];
        let bytes = self.chip.read_object(object, 0, &mut content).map_err(trouble)?;
        let found = content.get(..bytes).unwrap_or_default();
        if wanted.concat() == found {
            return Ok(());
        }
        let text = format!("object {object} does not hold what was written into it");
        Err(Trouble::Chip(Reason::new("factory.chip.read_back", text)))
    }
}

fn der(signature: &Signature) -> Vec<u8> {
    let mut room = [0; limits::SIGNATURE_DER_BYTES_MAX];
    signature.write_der(&mut room).unwrap_or_default().into()
}

/// A chip that does not answer may have a bad contact; one that answers wrongly is to blame itself.
fn trouble<E: Debug>(error: Error<E>) -> Trouble {
    let reason = Reason::new(error.code(), error.to_string());
    match error {
        Error::Absent { .. } | Error::Bus(_) | Error::Link(_) | Error::Negotiation { .. } => {
            Trouble::Contact(reason)
        }
        Error::Answer(_) | Error::Refused { .. } | Error::Misuse(_) => Trouble::Chip(reason),
    }
}

/// The chip's key or signature is not what it must be.
fn refused(error: identity::Error) -> Trouble {
    use identity::Explained as _;
    Trouble::Chip(Reason::new(error.code(), error.to_string()))
}
