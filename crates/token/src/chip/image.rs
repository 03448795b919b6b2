//! Everything in a chip that PKCS #11 can see, read once: what objects hold, what the chip says about them, the directory.
//!
//! The objects of the token are computed from it, and attributes are answered from those: only reading and changing the chip
//! touches the bus. It holds nothing secret but private data, which is wiped with it.

use std::collections::BTreeMap;
use std::vec::Vec;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use identity::certificate::Certificate;
use identity::key::{Curve, KeyKind, PublicKey};
use optiga::identity_format::{Certificates, FormatError};
use optiga::metadata::{Access, Metadata};
use optiga::{ErrorCode, KeySlot, KeyUsage, Lifecycle, ObjectId, Uid};
use zeroize::Zeroize;

use super::device::Talk;
use super::directory::{self, Directory, Flags, Found};
use super::layout::{FREERTOS_POINT, Role, SPOTS, Spot, point_of};
use super::point::{self, Point, curve_of};
use crate::error::{ChipError, Error};
use crate::limits;

/// What is in a chip.
#[derive(Clone, Debug)]
pub(super) struct Image {
    /// Which state of the chip this is.
    pub(super) generation: u64,
    /// Who it is.
    pub(super) uid: Uid,
    /// The directory, or why there is none.
    pub(super) directory: Found,
    contents: BTreeMap<ObjectId, Content>,
    metadata: BTreeMap<ObjectId, Metadata>,
}

#[derive(Clone, Debug)]
enum Content {
    Bytes(Vec<u8>),
    /// Its owner does not let it be read.
    Hidden,
}

impl Drop for Content {
    fn drop(&mut self) {
        if let Self::Bytes(bytes) = self {
            bytes.zeroize();
        }
    }
}

/// The key in a slot.
#[derive(Clone, Debug)]
pub(super) struct SlotKey {
    pub(super) curve: Curve,
    pub(super) usage: KeyUsage,
    /// Its public half, if anything tells it.
    pub(super) public: Option<PublicKey>,
}

/// What a written object without content holds; the chip can not make it empty again.
pub(super) const ERASED: &[u8] = &[0x00];

impl Image {
    /// Reads everything.
    pub(super) fn read<I2C: I2c, D: DelayNs>(talk: &mut Talk<'_, I2C, D>) -> Result<Self, Error> {
        let uid = talk.uid()?;
        let directory = Found::parse(&talk.read(directory::OBJECT, 2 * directory::BANK_BYTES)?);
        let mut image = Self {
            generation: talk.turn().generation(),
            uid,
            directory,
            contents: BTreeMap::new(),
            metadata: BTreeMap::new(),
        };
        for spot in SPOTS {
            image.read_spot(talk, spot)?;
        }
        Ok(image)
    }

    fn read_spot<I2C: I2c, D: DelayNs>(
        &mut self,
        talk: &mut Talk<'_, I2C, D>,
        spot: Spot,
    ) -> Result<(), Error> {
        let bytes_max = match spot.role {
            Role::PrivateKey(_) => 0,
            Role::PublicKey(_) => super::layout::SMALL_BYTES,
            Role::Certificate(_) => optiga::limits::CERTIFICATE_OBJECT_BYTES_MAX,
            Role::Anchor => limits::TRUST_ANCHOR_BYTES_MAX,
            Role::Data(bytes_max) => bytes_max,
        };
        let mut there = matches!(spot.role, Role::PrivateKey(_));
        if !there {
            let content = match talk.read(spot.object, bytes_max) {
                Ok(bytes) => Content::Bytes(bytes),
                Err(error) if is_denied(&error) => Content::Hidden,
                Err(error) => return Err(error),
            };
            there = !matches!(&content, Content::Bytes(bytes) if bytes.is_empty());
            self.contents.insert(spot.object, content);
        }
        if there {
            let metadata = talk.ask(|chip| chip.read_metadata(spot.object))?;
            self.metadata.insert(spot.object, metadata);
        }
        Ok(())
    }

    /// What an object holds; nothing if it may not be read.
    pub(super) fn content(&self, object: ObjectId) -> &[u8] {
        match self.contents.get(&object) {
            Some(Content::Bytes(bytes)) => bytes,
            Some(Content::Hidden) | None => &[],
        }
    }

    /// Whether an object's owner does not let it be read.
    pub(super) fn is_hidden(&self, object: ObjectId) -> bool {
        matches!(self.contents.get(&object), Some(Content::Hidden))
    }

    /// Notes what was written to an object.
    pub(super) fn note(&mut self, object: ObjectId, bytes: &[u8]) {
        self.contents.insert(object, Content::Bytes(bytes.to_vec()));
    }

    /// Notes that a key was generated.
    pub(super) fn note_key(&mut self, slot: KeySlot, curve: optiga::Curve, usage: KeyUsage) {
        let metadata = self.metadata.entry(slot.object()).or_default();
        metadata.algorithm = Some(curve);
        metadata.usage = Some(usage);
    }

    /// The directory, empty if there is none.
    pub(super) fn entries(&self) -> Directory {
        match &self.directory {
            Found::Directory(directory) | Found::Damaged(directory) => directory.clone(),
            Found::Foreign => Directory::default(),
        }
    }

    /// The flags of an object; `None` if the directory does not know it.
    pub(super) fn flags(&self, object: ObjectId) -> Option<Flags> {
        match &self.directory {
            Found::Directory(directory) | Found::Damaged(directory) => {
                directory.entry(object).map(|entry| entry.flags)
            }
            Found::Foreign => None,
        }
    }

    /// Whether the directory says that a place holds nothing.
    pub(super) fn is_free(&self, object: ObjectId) -> bool {
        self.flags(object).is_some_and(|flags| flags.has(Flags::FREE))
    }

    /// Whether the chip lets an object be written. What is not known is tried.
    pub(super) fn is_writable(&self, object: ObjectId) -> bool {
        let Some(metadata) = self.metadata.get(&object) else {
            return true;
        };
        let operational = metadata
            .lifecycle
            .is_none_or(|state| state >= Lifecycle::Operational);
        match metadata.change {
            None | Some(Access::NEVER) => false,
            Some(Access::UNTIL_OPERATIONAL) => !operational,
            Some(_) => true,
        }
    }

    /// The key in a slot, if there is one that a program may see.
    pub(super) fn key(&self, slot: KeySlot) -> Option<SlotKey> {
        let gone = self.content(point_of(slot)) == point::GONE;
        if gone || self.is_free(slot.object()) {
            return None;
        }
        let metadata = self.metadata.get(&slot.object())?;
        let curve = metadata.algorithm.map(curve_of)?;
        Some(SlotKey {
            curve,
            usage: metadata.usage.unwrap_or(KeyUsage(0)),
            public: self.public_half(slot, curve),
        })
    }

    /// The record that was kept with the key, else its certificate, else what Infineon's port kept.
    fn public_half(&self, slot: KeySlot, curve: Curve) -> Option<PublicKey> {
        let kept = || Point::parse(self.content(point_of(slot))).known();
        let certified = || {
            let first = self.certificates(slot.certificate()).ok()?.into_iter().next()?;
            Some(first.public_key().clone())
        };
        let ported = || (slot == KeySlot::E0F1).then(|| self.ported_point()).flatten();
        let fits = |key: &PublicKey| key.kind() == KeyKind::Ec(curve);
        kept()
            .filter(fits)
            .or_else(|| certified().filter(fits))
            .or_else(|| ported().filter(fits))
    }

    /// The public key of E0F1 as Infineon's port keeps it.
    pub(super) fn ported_point(&self) -> Option<PublicKey> {
        point::of_other_ports(self.content(FREERTOS_POINT))
    }

    /// The certificates in an object, if a program may see them.
    pub(super) fn certificates(&self, object: ObjectId) -> Result<Vec<Certificate>, &'static str> {
        let content = self.content(object);
        if self.is_free(object) || content == ERASED {
            return Ok(Vec::new());
        }
        let list = Certificates::parse(content).map_err(|error| match error {
            FormatError::Unknown(_) => "it holds no certificate",
            FormatError::Torn | FormatError::TooLong => "it was not written completely",
        })?;
        list.map(|der| Certificate::parse(der).map_err(|_| "its certificate can not be read"))
            .collect()
    }
}

fn is_denied(error: &Error) -> bool {
    let Error::ActionProhibited(chip) = error else {
        return false;
    };
    ChipError::refusal(chip) == Some(ErrorCode::ACCESS)
}
