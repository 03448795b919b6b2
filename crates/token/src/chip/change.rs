//! Changing what a chip holds, in one turn at its bus.
//!
//! A place that is about to change is first marked free in the directory, so that whatever is cut short leaves no half object;
//! the last write makes the new object appear. A key has its point written last for the same reason. The chip can not make
//! anything empty again: a certificate leaves one zero byte, a key is generated over.
//!
//! Every change reads the chip first: what other programs did to it without asking at the lock must not be overwritten.

use std::string::String;
use std::sync::Arc;
use std::vec::Vec;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use identity::certificate::Certificate;
use identity::key::{KeyKind, PublicKey};
use optiga::identity_format::write_chain;
use optiga::{KeySlot, KeyUsage, ObjectId, WriteMode};

use super::choose::{Chooser, flags_of};
use super::device::Talk;
use super::directory::{self, Directory, Entry, Flags, Found as Bank};
use super::image::{ERASED, Image};
use super::layout::{Role, SPOTS, Spot, point_of};
use super::point::{self, GONE, chip_curve};
use super::view::{is_infineons, object_of, place, show};
use super::{Shared, limits};
use crate::attribute::{Attribute, AttributeKind as A, Class, Value};
use crate::attributes::Attributes;
use crate::backend::{Draft, Found, PairDraft, Place};
use crate::crypto::curve_of_parameters;
use crate::error::Error;

/// A turn in which the chip changes.
pub(super) struct Change<'a, I2C, D> {
    shared: &'a Shared<I2C, D>,
    talk: Talk<'a, I2C, D>,
    image: Image,
    touched: bool,
}

impl<'a, I2C: I2c, D: DelayNs> Change<'a, I2C, D> {
    /// Waits for a turn and looks at the chip.
    pub(super) fn begin(shared: &'a Shared<I2C, D>) -> Result<Self, Error> {
        let mut talk = shared.device.talk()?;
        let image = Image::read(&mut talk)?;
        let mut change = Self {
            shared,
            talk,
            image,
            touched: false,
        };
        if shared
            .known()
            .is_some_and(|known| !shows_the_same(&known, &change.image))
        {
            // Somebody who does not ask at the lock was here.
            change.talk.change()?;
        }
        Ok(change)
    }

    /// Shares what the chip holds now. Without it, everything is read again.
    pub(super) fn end(mut self) -> Arc<Image> {
        self.image.generation = self.talk.turn().generation();
        let image = Arc::new(self.image);
        self.shared.share(Arc::clone(&image));
        image
    }

    /// Comes before the first write: others look again, and what we knew is not to be trusted until the end.
    fn touch(&mut self) -> Result<(), Error> {
        if !self.touched {
            self.touched = true;
            self.shared.forget();
            self.talk.change()?;
        }
        Ok(())
    }

    /// More has changed than was asked for: everybody, this process too, looks at everything again.
    fn touch_more(&mut self) -> Result<(), Error> {
        self.touch()?;
        self.talk.change()
    }

    fn write(&mut self, object: ObjectId, bytes: &[u8]) -> Result<(), Error> {
        self.touch()?;
        self.talk.replace(object, bytes).map_err(protected)?;
        self.image.note(object, bytes);
        Ok(())
    }

    /// Changes the directory, if that changes anything.
    fn list(&mut self, edit: impl FnOnce(&mut Directory)) -> Result<(), Error> {
        let before = self.image.entries();
        let mut after = before.clone();
        edit(&mut after);
        if after == before {
            return Ok(());
        }
        if self.image.directory == Bank::Foreign {
            return Err(Error::ChipFull(
                "F1E1, where labels and ids belong, holds something else",
            ));
        }
        let page = after.page()?;
        self.touch()?;
        let write = |chip: &mut optiga::Optiga<I2C, D>| {
            chip.write_object(directory::OBJECT, WriteMode::Update, page.offset, &page.bytes)
        };
        self.talk.ask(write).map_err(protected)?;
        self.image.directory = Bank::Directory(after.written());
        Ok(())
    }

    fn hide(&mut self, object: ObjectId) -> Result<(), Error> {
        self.list(|directory| directory.put(free(object)))
    }

    // New objects.

    /// Keeps one object.
    pub(super) fn keep(&mut self, draft: &Draft) -> Result<Place, Error> {
        match draft.attributes.class() {
            Some(Class::Certificate) => self.keep_certificate(&draft.attributes),
            Some(Class::PublicKey) => self.keep_public_key(&draft.attributes),
            Some(Class::Data) => self.keep_data(draft),
            Some(Class::PrivateKey) => Err(Error::AttributeValueInvalid {
                kind: A::Token,
                why: "a private key can not be put into the chip: generate it there",
            }),
            Some(Class::SecretKey) => Err(Error::AttributeValueInvalid {
                kind: A::Token,
                why: "the chip keeps no secret keys: make it an object of the session",
            }),
            _ => Err(Error::TemplateInconsistent(
                "the chip keeps no objects of this class",
            )),
        }
    }

    fn chooser<'b>(&'b self, attributes: &'b Attributes, overwrite: bool) -> Chooser<'b> {
        Chooser {
            image: &self.image,
            attributes,
            overwrite: overwrite || self.shared.options.overwrite,
        }
    }

    fn keep_certificate(&mut self, attributes: &Attributes) -> Result<Place, Error> {
        let der = attributes.bytes(A::Value).unwrap_or_default();
        let unreadable = Error::AttributeValueInvalid {
            kind: A::Value,
            why: "it is no certificate that can be read",
        };
        let certificate = Certificate::parse(der).map_err(|_| unreadable)?;
        let choice = self.chooser(attributes, false).certificate(&certificate)?;
        let content = content_of(choice.spot, &[der])?;
        let entry = entry_of(choice.spot, attributes, Some(certificate.public_key()));
        // Something that was damaged is gone, too.
        if choice.replaces || self.image.certificates(choice.spot.object).is_err() {
            self.touch_more()?;
        }
        self.rescue_certified_point(choice.spot, certificate.public_key())?;
        self.settle(choice.spot, &content, entry)?;
        Ok(place(choice.spot.object, 0))
    }

    fn keep_public_key(&mut self, attributes: &Attributes) -> Result<Place, Error> {
        let info = attributes.bytes(A::PublicKeyInfo).unwrap_or_default();
        let public = PublicKey::from_spki_der(info).ok();
        let known = public.as_ref().and_then(|public| match public.kind() {
            KeyKind::Ec(curve) => Some((chip_curve(curve)?, public.ec_point()?)),
            _ => None,
        });
        let (curve, bytes) = known.ok_or(Error::CurveNotSupported)?;
        let record = point::record(curve, bytes);
        let choice = self.chooser(attributes, false).public_key()?;
        let mut entry =
            entry_of(choice.spot, attributes, public.as_ref()).unwrap_or_else(|| plain(choice.spot));
        entry.flags = entry.flags.with(Flags::FOREIGN, true);
        if choice.replaces {
            self.touch_more()?;
        }
        self.settle(choice.spot, &record, Some(entry))?;
        Ok(place(choice.spot.object, 0))
    }

    fn keep_data(&mut self, draft: &Draft) -> Result<Place, Error> {
        let open = draft.attributes.bytes(A::Value).unwrap_or_default();
        let value = draft.secret.as_ref().map_or(open, |secret| secret.as_slice());
        if draft
            .attributes
            .bytes(A::ObjectId)
            .is_some_and(|id| !id.is_empty())
        {
            return Err(Error::AttributeValueInvalid {
                kind: A::ObjectId,
                why: "the chip keeps a label and an application for data, nothing else",
            });
        }
        let choice = self.chooser(&draft.attributes, false).data(value.len())?;
        let mut entry = entry_of(choice.spot, &draft.attributes, None).unwrap_or_else(|| plain(choice.spot));
        entry.application = text(draft.attributes.bytes(A::Application));
        entry.flags = entry.flags.with(Flags::EMPTY, value.is_empty());
        if choice.replaces {
            self.touch_more()?;
        }
        let content = if value.is_empty() { ERASED } else { value };
        self.settle(choice.spot, content, Some(entry))?;
        Ok(place(choice.spot.object, 0))
    }

    /// Hides what is there, writes, looks whether it is there, and shows it.
    fn settle(&mut self, spot: Spot, content: &[u8], entry: Option<Entry>) -> Result<(), Error> {
        // The labels must fit before anything is lost.
        let mut last = self.image.entries();
        last.put(entry.clone().unwrap_or_else(|| free(spot.object)));
        last.page()?;
        self.hide(spot.object)?;
        self.write(spot.object, content)?;
        if self.talk.read(spot.object, content.len())? != content {
            return Err(Error::DeviceContent {
                what: "an object reads differently than it was written",
            });
        }
        self.list(|directory| match entry {
            Some(entry) => directory.put(entry),
            None => directory.remove(spot.object),
        })
    }

    // Keys.

    /// Generates a pair in a slot; public key and private key.
    pub(super) fn generate_pair(&mut self, draft: &PairDraft) -> Result<(Place, Place), Error> {
        let (curve, usage) = key_wanted(draft)?;
        let (slot, replaces) = self.chooser(&draft.private, draft.overwrite).key()?;
        if replaces {
            self.touch_more()?;
        }
        if slot == KeySlot::E0F2 {
            self.rescue_ported_point()?;
        }
        let (key_spot, point_spot) = (spot_of(slot.object())?, spot_of(point_of(slot))?);
        let (mut private, mut public) = (draft.private.clone(), draft.public.clone());
        private.set_default(A::Private, Value::Flag(true));
        if key_spot.is_named(&text(public.bytes(A::Label))) {
            // One usual name for both halves.
            public.remove(A::Label);
        }
        let entries = [
            (key_spot, entry_of(key_spot, &private, None)),
            (point_spot, entry_of(point_spot, &public, None)),
        ];
        self.write(point_spot.object, GONE)?;
        let key = self
            .talk
            .ask(|chip| chip.generate_key(slot, curve, usage))
            .map_err(protected)?;
        self.image.note_key(slot, curve, usage);
        let record = point::record(curve, key.point());
        // While the directory hides the slot, the point may be there before the names are; else it must not.
        let hidden = self.image.is_free(key_spot.object);
        if hidden {
            self.write(point_spot.object, &record)?;
        }
        self.list(|directory| {
            for (spot, entry) in entries {
                match entry {
                    Some(entry) => directory.put(entry),
                    None => directory.remove(spot.object),
                }
            }
        })?;
        if !hidden {
            self.write(point_spot.object, &record)?;
        }
        Ok((place(point_spot.object, 0), place(key_spot.object, 0)))
    }

    /// Infineon's port keeps the public key of E0F1 where that of E0F2 belongs.
    fn rescue_ported_point(&mut self) -> Result<(), Error> {
        let own = point_of(KeySlot::E0F1);
        let missing = self.image.content(own).is_empty() && self.image.key(KeySlot::E0F1).is_some();
        match self.image.ported_point().filter(|_| missing) {
            Some(ported) => self.write_point(own, &ported),
            None => Ok(()),
        }
    }

    /// A factory leaves the point of a key in its certificate alone; one for another key must not hide it.
    fn rescue_certified_point(&mut self, spot: Spot, next: &PublicKey) -> Result<(), Error> {
        let Role::Certificate(slot) = spot.role else {
            return Ok(());
        };
        let known = self.image.key(slot).and_then(|key| key.public);
        match known.filter(|known| known != next && self.image.content(point_of(slot)).is_empty()) {
            Some(known) => self.write_point(point_of(slot), &known),
            None => Ok(()),
        }
    }

    fn write_point(&mut self, object: ObjectId, public: &PublicKey) -> Result<(), Error> {
        let KeyKind::Ec(curve) = public.kind() else {
            return Ok(());
        };
        match chip_curve(curve).zip(public.ec_point()) {
            Some((curve, point)) => self.write(object, &point::record(curve, point)),
            None => Ok(()),
        }
    }

    // What goes, and what is called differently.

    /// Destroys an object. A private key takes its public half along.
    pub(super) fn destroy(&mut self, at: Place) -> Result<(), Error> {
        let (object, index) = object_of(at);
        let spot = spot_of(object)?;
        if is_infineons(object) || !self.image.is_writable(object) {
            return Err(Error::ObjectProtected);
        }
        match spot.role {
            Role::PrivateKey(slot) => self.destroy_key(slot),
            Role::PublicKey(_) => self.hide(object),
            Role::Certificate(_) => self.destroy_certificate(spot, index),
            Role::Anchor if index == 0 => self.destroy_certificate(spot, index),
            Role::Anchor => Err(Error::ObjectProtected),
            Role::Data(_) => {
                self.hide(object)?;
                self.write(object, ERASED)
            }
        }
    }

    fn destroy_key(&mut self, slot: KeySlot) -> Result<(), Error> {
        let key = self.image.key(slot).ok_or(Error::ObjectHandleInvalid)?;
        let curve = chip_curve(key.curve).ok_or(Error::CurveNotSupported)?;
        self.touch_more()?;
        self.list(|directory| {
            directory.put(free(slot.object()));
            directory.put(free(point_of(slot)));
        })?;
        // Nobody knows the new one's point, and it may do as little as the chip allows.
        let usage = KeyUsage::AUTHENTICATE;
        self.talk
            .ask(|chip| chip.generate_key(slot, curve, usage))
            .map_err(protected)?;
        self.image.note_key(slot, curve, usage);
        self.write(point_of(slot), GONE)
    }

    /// The others of a chain stay.
    fn destroy_certificate(&mut self, spot: Spot, index: u32) -> Result<(), Error> {
        let mut chain = self
            .image
            .certificates(spot.object)
            .map_err(|_| Error::ObjectHandleInvalid)?;
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        if index >= chain.len() {
            return Err(Error::ObjectHandleInvalid);
        }
        chain.remove(index);
        if chain.is_empty() {
            self.write(spot.object, ERASED)?;
            return self.list(|directory| directory.remove(spot.object));
        }
        self.touch_more()?;
        let ders: Vec<&[u8]> = chain.iter().map(Certificate::der).collect();
        let content = content_of(spot, &ders)?;
        let entry = self.image.entries().entry(spot.object).cloned();
        self.settle(spot, &content, entry)
    }

    /// Changes attributes of an object.
    pub(super) fn change(&mut self, at: Place, changes: &[Attribute<'static>]) -> Result<(), Error> {
        let (object, index) = object_of(at);
        let spot = spot_of(object)?;
        let found = find(&self.image, at).ok_or(Error::ObjectHandleInvalid)?;
        if index != 0 || is_infineons(object) {
            return Err(Error::ObjectProtected);
        }
        let mut attributes = Attributes::clone(&found.attributes);
        for Attribute { kind, value } in changes {
            match kind {
                A::Label
                | A::Id
                | A::Application
                | A::Copyable
                | A::Private
                | A::Modifiable
                | A::Destroyable => {
                    attributes.set(*kind, value.clone());
                }
                _ if attributes.value(*kind) == Some(value) => {}
                _ => return Err(Error::AttributeReadOnly),
            }
        }
        let old = self.image.entries().entry(object).cloned().unwrap_or_default();
        let public = public_of(&attributes);
        let kept = [Flags::FOREIGN, Flags::EMPTY].into_iter();
        let mut entry = entry_of(spot, &attributes, public.as_ref()).unwrap_or_else(|| Entry {
            flags: flags_of(&attributes),
            ..plain(spot)
        });
        entry.flags = kept.fold(entry.flags, |flags, flag| flags.with(flag, old.flags.has(flag)));
        if matches!(spot.role, Role::Data(_)) {
            entry.application = text(attributes.bytes(A::Application));
        }
        // What the chip itself forbids is not the directory's to say.
        if !self.image.is_writable(object) {
            entry.flags = entry.flags.with(Flags::LASTING, old.flags.has(Flags::LASTING));
        }
        self.list(|directory| directory.put(entry))
    }

    /// Destroys everything that may be destroyed and gives the token a name.
    pub(super) fn clear(&mut self, label: &str) -> Result<(), Error> {
        self.touch_more()?;
        for found in show(&self.image).objects.into_iter().rev() {
            let there = find(&self.image, found.place).is_some();
            if there && found.attributes.flag(A::Destroyable) {
                self.destroy(found.place)?;
            }
        }
        if self.image.directory == Bank::Foreign {
            self.write(directory::OBJECT, ERASED)?;
            self.image.directory = Bank::parse(ERASED);
        }
        let label = label.trim_end();
        self.list(|directory| {
            if !label.is_empty() {
                directory.put(Entry {
                    object: directory::OBJECT.0,
                    label: label.into(),
                    ..Entry::default()
                });
            }
        })
    }
}

fn shows_the_same(old: &Image, new: &Image) -> bool {
    let seen = |image: &Image| -> Vec<_> {
        let objects = show(image).objects.into_iter();
        objects.map(|found| (found.place, found.attributes)).collect()
    };
    seen(old) == seen(new)
}

/// The object at a place, as a program sees it.
pub(super) fn find(image: &Image, at: Place) -> Option<Found> {
    show(image).objects.into_iter().find(|found| found.place == at)
}

fn spot_of(object: ObjectId) -> Result<Spot, Error> {
    SPOTS
        .into_iter()
        .find(|spot| spot.object == object)
        .ok_or(Error::ObjectHandleInvalid)
}

fn plain(spot: Spot) -> Entry {
    Entry {
        object: spot.object.0,
        ..Entry::default()
    }
}

fn free(object: ObjectId) -> Entry {
    Entry {
        object: object.0,
        flags: Flags::FREE,
        ..Entry::default()
    }
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// What the directory must say about an object; `None` if its place says it all.
fn entry_of(spot: Spot, attributes: &Attributes, public: Option<&PublicKey>) -> Option<Entry> {
    let label = text(attributes.bytes(A::Label));
    let id = attributes.bytes(A::Id).unwrap_or_default();
    let computed = public.map(PublicKey::key_id);
    let id = if computed.is_some_and(|computed| computed == *id) {
        &[]
    } else {
        id
    };
    let entry = Entry {
        object: spot.object.0,
        flags: flags_of(attributes),
        label: if spot.is_named(&label) {
            String::new()
        } else {
            label
        },
        id: id.to_vec(),
        application: String::new(),
    };
    let usual = match spot.role {
        Role::PrivateKey(_) => Flags::PRIVATE,
        _ => Flags::default(),
    };
    let says_nothing = entry.flags == usual && entry.label.is_empty() && entry.id.is_empty();
    (!says_nothing).then_some(entry)
}

fn public_of(attributes: &Attributes) -> Option<PublicKey> {
    match attributes.class() {
        Some(Class::Certificate) => {
            let certificate = Certificate::parse(attributes.bytes(A::Value)?).ok()?;
            Some(certificate.public_key().clone())
        }
        _ => PublicKey::from_spki_der(attributes.bytes(A::PublicKeyInfo)?).ok(),
    }
}

/// Certificates as the place wants them: an authority plain, a device's own in the form that TLS stacks expect.
fn content_of(spot: Spot, chain: &[&[u8]]) -> Result<Vec<u8>, Error> {
    let too_long = Error::AttributeValueInvalid {
        kind: A::Value,
        why: "the certificate is longer than the chip's object for it",
    };
    match (spot.role, chain) {
        (Role::Anchor, [der]) if der.len() <= limits::TRUST_ANCHOR_BYTES_MAX => Ok(der.to_vec()),
        (Role::Certificate(_), chain) => {
            let mut content = std::vec![0; optiga::limits::CERTIFICATE_OBJECT_BYTES_MAX];
            let bytes = write_chain(chain, &mut content).map_err(|_| too_long)?;
            content.truncate(bytes);
            Ok(content)
        }
        _ => Err(too_long),
    }
}

/// The curve and the usage of the key that a template wants.
pub(super) fn key_wanted(draft: &PairDraft) -> Result<(optiga::Curve, KeyUsage), Error> {
    let private = &draft.private;
    if private.flag(A::Extractable) || private.value(A::Sensitive) == Some(&Value::Flag(false)) {
        return Err(Error::TemplateInconsistent(
            "a key that is born in the chip never leaves it",
        ));
    }
    let parameters = draft.public.bytes(A::EcParams).ok_or(Error::TemplateIncomplete)?;
    let curve = curve_of_parameters(parameters).and_then(chip_curve);
    let sign = private.value(A::Sign) != Some(&Value::Flag(false));
    let usages = [(sign, KeyUsage::SIGN), (private.flag(A::Derive), KeyUsage::AGREE)];
    let wanted = usages
        .into_iter()
        .filter(|(wanted, _)| *wanted)
        .map(|(_, usage)| usage);
    let usage = wanted.reduce(KeyUsage::and);
    let usage = usage.ok_or(Error::TemplateInconsistent(
        "a key in the chip must sign or derive",
    ))?;
    Ok((curve.ok_or(Error::CurveNotSupported)?, usage))
}

/// What the chip does not let anybody change.
fn protected(error: Error) -> Error {
    match error {
        Error::ActionProhibited(_) => Error::ObjectProtected,
        other => other,
    }
}
