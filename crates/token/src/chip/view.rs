//! What a chip's content looks like as objects of PKCS #11. Pure: the same image shows the same objects.
//!
//! An empty slot is no object, and neither is a key whose making was cut short. What the chip can not say is in the directory;
//! what the directory does not say has its place's usual name.

use std::format;
use std::string::String;
use std::sync::Arc;
use std::vec::Vec;

use aws_lc_rs::digest::{SHA256, digest};
use identity::certificate::Certificate;
use identity::key::PublicKey;
use optiga::{KeySlot, ObjectId};

use super::directory::{Entry, Flags};
use super::image::{ERASED, Image, SlotKey};
use super::layout::{CODE_ANCHOR, Role, SPOTS, Spot, point_of};
use super::point::Point;
use crate::attribute::{AttributeKind as A, Class, Value};
use crate::attributes::Attributes;
use crate::backend::{Contents, Damage, Found, Place};
use crate::crypto::curve_parameters;
use crate::mechanism::{KeyType, MechanismType};
use crate::object::computed::complete;

const TRUSTED_AUTHORITY: u64 = 2;
/// Marks the public key that a trust anchor's certificate says.
const KEY_OF_ANCHOR: u32 = 0xFF;

/// Where an object is: the chip's object and, of a chain, which certificate.
pub(super) const fn place(object: ObjectId, index: u32) -> Place {
    Place(object.0 as u32 | index << 16)
}

/// The chip's object behind a place, and which of a chain.
pub(super) fn object_of(place: Place) -> (ObjectId, u32) {
    let [_, index, high, low] = place.0.to_be_bytes();
    (ObjectId(u16::from_be_bytes([high, low])), u32::from(index))
}

/// All objects that a program may see.
pub(super) fn show(image: &Image) -> Contents {
    let mut contents = Contents::default();
    for spot in SPOTS {
        let view = View { image, spot };
        match view.show() {
            Ok(objects) => contents.objects.extend(objects),
            Err(why) => contents.damaged.push(Damage {
                label: spot.label,
                why,
            }),
        }
    }
    if matches!(image.directory, super::directory::Found::Damaged(_)) {
        contents.damaged.push(Damage {
            label: "directory",
            why: "its labels and ids are lost",
        });
    }
    contents
}

/// Whether a certificate says whose it is (RFC 5280, 4.1.2.6). Infineon's own does not, and Java refuses a whole token that
/// shows it one which does not: it stays with `birthmark chip inspect`.
fn names_somebody(certificate: &Certificate) -> bool {
    !certificate.subject().is_empty() || !certificate.alternative_names().is_empty()
}

struct View<'a> {
    image: &'a Image,
    spot: Spot,
}

impl View<'_> {
    fn show(&self) -> Result<Vec<Found>, &'static str> {
        let object = self.spot.object;
        if self.image.is_hidden(object) {
            return Err("its owner does not let it be read");
        }
        match self.spot.role {
            Role::PrivateKey(slot) => Ok(self
                .image
                .key(slot)
                .map(|key| self.private_key(slot, key))
                .into_iter()
                .collect()),
            Role::PublicKey(slot) => Ok(self.public_key(slot).into_iter().collect()),
            Role::Certificate(_) => self.chain(),
            Role::Anchor => self.anchor(),
            Role::Data(_) => Ok(self.data().into_iter().collect()),
        }
    }

    fn entry(&self) -> Entry {
        let directory = self.image.entries();
        directory.entry(self.spot.object).cloned().unwrap_or_default()
    }

    /// What every object has. `what` is its value, by which it can be told from a later one in the same place.
    fn object(&self, class: Class, index: u32, what: &[u8]) -> Attributes {
        let entry = self.entry();
        let mut all = Attributes::new();
        all.set(A::Class, Value::Number(class.number()));
        all.set(A::Token, Value::Flag(true));
        let label = if entry.label.is_empty() {
            self.spot.label
        } else {
            &entry.label
        };
        let label = match index {
            0 | KEY_OF_ANCHOR => String::from(label),
            issuer => format!("{label} issuer {issuer}"),
        };
        all.set(A::Label, Value::from(label.into_bytes()));
        let changeable = !entry.flags.has(Flags::FIXED) && !is_infineons(self.spot.object) && index == 0;
        let destroyable = !entry.flags.has(Flags::LASTING)
            && self.image.is_writable(self.spot.object)
            && !is_infineons(self.spot.object)
            && index != KEY_OF_ANCHOR;
        all.set(A::Private, Value::Flag(entry.flags.has(Flags::PRIVATE)));
        all.set(A::Modifiable, Value::Flag(changeable));
        all.set(A::Destroyable, Value::Flag(destroyable));
        all.set(A::Copyable, Value::Flag(!entry.flags.has(Flags::SINGLE)));
        all.set(A::UniqueId, Value::from(self.unique_id(class, index, what)));
        all
    }

    /// An identifier that a program gave, for the objects that have one.
    fn identify(&self, all: &mut Attributes) {
        let entry = self.entry();
        if !entry.id.is_empty() {
            all.set(A::Id, Value::from(entry.id));
        }
    }

    fn unique_id(&self, class: Class, index: u32, what: &[u8]) -> Vec<u8> {
        let mut bytes = self.image.uid.0.to_vec();
        bytes.extend_from_slice(&class.number().to_be_bytes());
        bytes.extend_from_slice(&place(self.spot.object, index).0.to_be_bytes());
        bytes.extend_from_slice(what);
        let hash = digest(&SHA256, &bytes);
        let hex: String = hash
            .as_ref()
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        hex.into_bytes()
    }

    fn found(&self, mut all: Attributes, index: u32) -> Found {
        complete(&mut all);
        self.whole(all, index)
    }

    /// An object that has everything already.
    fn whole(&self, all: Attributes, index: u32) -> Found {
        let alias = index == 0 || index == KEY_OF_ANCHOR;
        Found {
            place: place(self.spot.object, index),
            attributes: Arc::new(all),
            aliases: if alias { self.spot.aliases } else { &[] },
        }
    }

    fn private_key(&self, slot: KeySlot, key: SlotKey) -> Found {
        let info = key.public.as_ref().map(|public| public.spki_der().to_vec());
        let mut all = self.object(Class::PrivateKey, 0, info.as_deref().unwrap_or_default());
        if self.image.flags(self.spot.object).is_none() {
            all.set(A::Private, Value::Flag(true));
        }
        describe_key(&mut all, info, true);
        all.set(A::EcParams, Value::bytes(curve_parameters(key.curve)));
        self.identify(&mut all);
        if let Some(subject) = self.subject(slot, key.public.as_ref()) {
            all.set(A::Subject, Value::from(subject));
        }
        let flags = [
            (A::Sensitive, true),
            (A::AlwaysSensitive, true),
            (A::Extractable, false),
            (A::NeverExtractable, true),
            (A::Sign, key.usage.may_sign()),
            (A::Derive, key.usage.may_agree()),
            (A::AlwaysAuthenticate, self.entry().flags.has(Flags::ASKED)),
        ];
        for (kind, flag) in flags {
            all.set(kind, Value::Flag(flag));
        }
        self.found(all, 0)
    }

    /// The name in the certificate of this key, if there is one.
    fn subject(&self, slot: KeySlot, public: Option<&PublicKey>) -> Option<Vec<u8>> {
        let certificates = self.image.certificates(slot.certificate()).ok()?;
        let certificate = certificates.first()?;
        let name = certificate.subject().der();
        (Some(certificate.public_key()) == public).then(|| name.to_vec())
    }

    fn public_key(&self, slot: KeySlot) -> Option<Found> {
        if self.image.is_free(self.spot.object) {
            return None;
        }
        let foreign = self
            .image
            .flags(self.spot.object)
            .is_some_and(|flags| flags.has(Flags::FOREIGN));
        let (public, local) = if foreign {
            (Point::parse(self.image.content(point_of(slot))).known()?, false)
        } else {
            (self.image.key(slot)?.public?, true)
        };
        let mut all = self.object(Class::PublicKey, 0, public.spki_der());
        describe_key(&mut all, Some(public.spki_der().to_vec()), local);
        let usage = self.image.key(slot).map(|key| key.usage);
        all.set(
            A::Verify,
            Value::Flag(foreign || usage.is_some_and(|usage| usage.may_sign())),
        );
        all.set(
            A::Derive,
            Value::Flag(foreign || usage.is_some_and(|usage| usage.may_agree())),
        );
        self.identify(&mut all);
        Some(self.found(all, 0))
    }

    fn certificate(&self, certificate: &Certificate, index: u32) -> Attributes {
        let mut all = self.object(Class::Certificate, index, certificate.der());
        all.set(A::CertificateType, Value::Number(0));
        all.set(A::Value, Value::from(certificate.der().to_vec()));
        if index == 0 {
            self.identify(&mut all);
        }
        all
    }

    fn chain(&self) -> Result<Vec<Found>, &'static str> {
        let certificates = self.image.certificates(self.spot.object)?;
        let numbered = (0..).zip(&certificates);
        Ok(numbered
            .filter(|(_, certificate)| names_somebody(certificate))
            .map(|(index, certificate)| self.found(self.certificate(certificate, index), index))
            .collect())
    }

    fn anchor(&self) -> Result<Vec<Found>, &'static str> {
        let certificates = self.image.certificates(self.spot.object)?;
        let Some(certificate) = certificates.first() else {
            return Ok(Vec::new());
        };
        let mut all = self.certificate(certificate, 0);
        all.set(A::Trusted, Value::Flag(true));
        all.set(A::CertificateCategory, Value::Number(TRUSTED_AUTHORITY));
        let mut found: Vec<_> = [self.found(all, 0)].into();
        if self.spot.object == CODE_ANCHOR {
            found.push(self.key_of_anchor(certificate.public_key()));
        }
        Ok(found)
    }

    fn key_of_anchor(&self, public: &PublicKey) -> Found {
        let mut all = self.object(Class::PublicKey, KEY_OF_ANCHOR, public.spki_der());
        describe_key(&mut all, Some(public.spki_der().to_vec()), false);
        all.set(A::Verify, Value::Flag(true));
        all.set(A::Trusted, Value::Flag(true));
        self.identify(&mut all);
        self.found(all, KEY_OF_ANCHOR)
    }

    fn data(&self) -> Option<Found> {
        let value = self.data_value()?;
        let entry = self.entry();
        let mut all = self.object(Class::Data, 0, value);
        all.set(A::Application, Value::from(entry.application.into_bytes()));
        complete(&mut all);
        if entry.flags.has(Flags::PRIVATE) {
            all.remove(A::Value);
        } else {
            all.set(A::Value, Value::from(value.to_vec()));
        }
        Some(self.whole(all, 0))
    }

    fn data_value(&self) -> Option<&[u8]> {
        data_value(self.image, self.spot.object)
    }
}

/// The bytes of a data object, if there is one here.
pub(super) fn data_value(image: &Image, object: ObjectId) -> Option<&[u8]> {
    let content = image.content(object);
    match image.flags(object) {
        Some(flags) if flags.has(Flags::FREE) => None,
        Some(flags) if flags.has(Flags::EMPTY) => Some(&[]),
        Some(_) => Some(content),
        None => Some(content).filter(|content| !content.is_empty() && *content != ERASED),
    }
}

/// What left Infineon's factory is not for programs to change.
pub(super) fn is_infineons(object: ObjectId) -> bool {
    object == KeySlot::E0F0.object() || object == KeySlot::E0F0.certificate()
}

fn describe_key(all: &mut Attributes, info: Option<Vec<u8>>, local: bool) {
    all.set(A::KeyType, Value::Number(KeyType::Ec.number()));
    if let Some(info) = info {
        all.set(A::PublicKeyInfo, Value::from(info));
    }
    all.set(A::Local, Value::Flag(local));
    let mechanism = if local {
        MechanismType::EcKeyPairGen.number()
    } else {
        crate::limits::UNAVAILABLE
    };
    all.set(A::KeyGenMechanism, Value::Number(mechanism));
}
