//! Which place of the chip a new object gets: the one that its label or `CKA_BIRTHMARK_SLOT` names, else the one that belongs
//! to it, else the first that is free. Nothing is overwritten unless the chip's owner allows it and the label is the same.

use std::vec::Vec;

use identity::certificate::Certificate;
use optiga::{KeySlot, ObjectId};

use super::directory::Flags;
use super::image::Image;
use super::layout::{FREERTOS_POINT, Role, SPOTS, Spot, point_of};
use super::view::{data_value, is_infineons};
use crate::attribute::{AttributeKind as A, Value};
use crate::attributes::Attributes;
use crate::error::Error;

/// Where an object goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) spot: Spot,
    /// Something is lost there.
    pub(super) replaces: bool,
}

/// A choice that is being made.
pub(super) struct Chooser<'a> {
    pub(super) image: &'a Image,
    pub(super) attributes: &'a Attributes,
    /// What is there with the same label may be lost.
    pub(super) overwrite: bool,
}

impl Chooser<'_> {
    /// A place for a private key and its public half.
    pub(super) fn key(&self) -> Result<(KeySlot, bool), Error> {
        let spots: Vec<Spot> = SPOTS
            .into_iter()
            .filter(|spot| matches!(spot.role, Role::PrivateKey(_)))
            .collect();
        let choice = self.choose(&spots)?;
        match choice.spot.role {
            Role::PrivateKey(slot) => Ok((slot, choice.replaces)),
            _ => Err(FULL),
        }
    }

    /// A place for a public key of its own.
    pub(super) fn public_key(&self) -> Result<Choice, Error> {
        let spots: Vec<Spot> = SPOTS
            .into_iter()
            .filter(|spot| matches!(spot.role, Role::PublicKey(_)))
            .collect();
        self.choose(&spots)
    }

    /// A place for bytes.
    pub(super) fn data(&self, bytes: usize) -> Result<Choice, Error> {
        let fits = |spot: &Spot| matches!(spot.role, Role::Data(room) if bytes <= room);
        let spots: Vec<Spot> = SPOTS.into_iter().filter(fits).collect();
        if spots.is_empty() {
            return Err(Error::AttributeValueInvalid {
                kind: A::Value,
                why: "it is longer than the largest data object of the chip, 1500 bytes",
            });
        }
        self.choose(&spots)
    }

    /// A place for a certificate: an authority is a trust anchor, a device's own lies beside its key.
    pub(super) fn certificate(&self, certificate: &Certificate) -> Result<Choice, Error> {
        let is_spot = |spot: &Spot| matches!(spot.role, Role::Certificate(_) | Role::Anchor);
        let all: Vec<Spot> = SPOTS.into_iter().filter(is_spot).collect();
        if let Some(named) = self.named(&all) {
            return self.take(named?);
        }
        let of_key = |spot: &Spot| match spot.role {
            Role::Certificate(slot) => {
                let key = self.image.key(slot).and_then(|key| key.public);
                key.as_ref() == Some(certificate.public_key())
            }
            _ => false,
        };
        if let Some(own) = all.iter().copied().find(of_key) {
            return self.take(own);
        }
        let authority = certificate.is_ca() || self.attributes.flag(A::Trusted);
        let right = |spot: &Spot| (spot.role == Role::Anchor) == authority && !is_infineons(spot.object);
        // A key that will get its certificate keeps the place for it as long as there is another.
        let (later, first): (Vec<Spot>, Vec<Spot>) = all
            .into_iter()
            .filter(right)
            .partition(|spot| self.belongs_to_a_key(*spot));
        self.first_free(&[first, later].concat())
    }

    fn belongs_to_a_key(&self, spot: Spot) -> bool {
        matches!(spot.role, Role::Certificate(slot) if self.image.key(slot).is_some())
    }

    fn choose(&self, spots: &[Spot]) -> Result<Choice, Error> {
        match self.named(spots) {
            Some(named) => self.take(named?),
            None => self.first_free(spots),
        }
    }

    fn first_free(&self, spots: &[Spot]) -> Result<Choice, Error> {
        let free = |spot: &&Spot| {
            !is_infineons(spot.object)
                && self.image.is_writable(spot.object)
                && !self.is_taken(**spot)
                && self.is_empty(**spot)
        };
        let spot = spots.iter().find(free).copied().ok_or(FULL)?;
        Ok(Choice {
            spot,
            replaces: false,
        })
    }

    /// The place that the program asks for by number or by name.
    fn named(&self, spots: &[Spot]) -> Option<Result<Spot, Error>> {
        if let Some(number) = self.attributes.number(A::BirthmarkSlot) {
            let asked = spots.iter().find(|spot| u64::from(spot.object.0) == number);
            return Some(asked.copied().ok_or(Error::AttributeValueInvalid {
                kind: A::BirthmarkSlot,
                why: "the chip has no place with this number for such an object",
            }));
        }
        let label = core::str::from_utf8(self.attributes.bytes(A::Label)?).ok()?;
        spots.iter().find(|spot| spot.is_named(label)).copied().map(Ok)
    }

    fn take(&self, spot: Spot) -> Result<Choice, Error> {
        if !self.image.is_writable(spot.object) || is_infineons(spot.object) {
            return Err(Error::ObjectProtected);
        }
        let taken = self.is_taken(spot);
        if taken && !(self.overwrite && self.has_its_label(spot)) {
            return Err(Error::Occupied { label: spot.label });
        }
        Ok(Choice {
            spot,
            replaces: taken,
        })
    }

    /// Whether what is there has the label that the new object will have.
    fn has_its_label(&self, spot: Spot) -> bool {
        let entries = self.image.entries();
        let there = entries.entry(spot.object).map(|entry| entry.label.as_str());
        let there = there.filter(|label| !label.is_empty()).unwrap_or(spot.label);
        let label = self.attributes.bytes(A::Label).unwrap_or_default();
        label.is_empty()
            || label == there.as_bytes()
            || core::str::from_utf8(label).is_ok_and(|label| spot.is_named(label))
    }

    /// Whether a program would lose an object here.
    fn is_taken(&self, spot: Spot) -> bool {
        match spot.role {
            Role::PrivateKey(slot) => self.image.key(slot).is_some() || self.foreign_point(point_of(slot)),
            Role::PublicKey(slot) => {
                self.foreign_point(spot.object) || self.image.key(slot).is_some() || self.ported(spot.object)
            }
            Role::Certificate(_) | Role::Anchor => self
                .image
                .certificates(spot.object)
                .is_ok_and(|list| !list.is_empty()),
            Role::Data(_) => data_value(self.image, spot.object).is_some(),
        }
    }

    /// Whether nothing at all is here, not even something that no program can see.
    fn is_empty(&self, spot: Spot) -> bool {
        match spot.role {
            Role::PrivateKey(_) | Role::PublicKey(_) => true,
            _ => {
                !self.image.is_hidden(spot.object) && self.image.certificates(spot.object).is_ok()
                    || matches!(spot.role, Role::Data(_)) && !self.image.is_hidden(spot.object)
            }
        }
    }

    fn foreign_point(&self, object: ObjectId) -> bool {
        let flags = self.image.flags(object).unwrap_or_default();
        flags.has(Flags::FOREIGN) && !flags.has(Flags::FREE)
    }

    /// Infineon's port has the public key of E0F1 here.
    fn ported(&self, object: ObjectId) -> bool {
        object == FREERTOS_POINT && self.image.ported_point().is_some()
    }
}

const FULL: Error = Error::ChipFull("every place of the chip for such an object is taken");

/// The flags that a new object needs in the directory.
pub(super) fn flags_of(attributes: &Attributes) -> Flags {
    let denied = |kind| attributes.value(kind) == Some(&Value::Flag(false));
    Flags::default()
        .with(Flags::PRIVATE, attributes.flag(A::Private))
        .with(Flags::FIXED, denied(A::Modifiable))
        .with(Flags::LASTING, denied(A::Destroyable))
        .with(Flags::SINGLE, denied(A::Copyable))
        .with(Flags::ASKED, attributes.flag(A::AlwaysAuthenticate))
}
