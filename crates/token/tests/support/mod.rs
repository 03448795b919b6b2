//! A backend in memory, whose key is a software key: what the rules of the token are tested over.
#![allow(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]
#![allow(unreachable_pub, dead_code, reason = "a module of test files has no outside")]

use std::sync::{Arc, Mutex};

use identity::UnixMillis;
use identity::certificate::Certificate;
use identity::crypto::SoftwareKey;
use identity::der::Reader;
use identity::issue::{Profile, Serial, Signer as _, Validity, prepare};
use identity::key::Curve;
use identity::name::Name;
use token::crypto::{HardwareKey, Key};
use token::{
    Attribute, AttributeKind as A, Backend, Class, Contents, Draft, Error, Found, PairDraft, Place,
    TokenDescription, Value,
};
use zeroize::Zeroizing;

/// What the "device" holds, and how often it was asked.
#[derive(Default)]
pub struct Device {
    pub key: Option<SoftwareKey>,
    pub certificate: Option<Vec<u8>>,
    pub root: Option<Vec<u8>>,
    pub loads: usize,
    pub signatures: usize,
    pub fails: Option<Error>,
    pub changes: u64,
}

/// The backend, and what the test looks at.
#[derive(Clone, Default)]
pub struct Memory(pub Arc<Mutex<Device>>);

const KEY: (&str, &[&str]) = ("Device Priv TLS Key", &["0xE0F1"]);
const PUBLIC: (&str, &[&str]) = ("Device Pub TLS Key", &["0xF1D1"]);
const CERTIFICATE: (&str, &[&str]) = ("Device Cert", &["0xE0E1"]);
const ROOT: (&str, &[&str]) = ("Root Cert", &["0xE0E8"]);

fn found(
    (label, aliases): (&'static str, &'static [&'static str]),
    place: u32,
    class: Class,
    more: &[(A, Value<'static>)],
) -> Found {
    let own = [
        Attribute::class(class),
        Attribute::label(label),
        Attribute::new(A::Token, Value::Flag(true)),
        Attribute::new(A::Private, Value::Flag(false)),
    ];
    let more = more
        .iter()
        .map(|(kind, value)| Attribute::new(*kind, value.clone()));
    Found {
        place: Place(place),
        attributes: Arc::new(own.into_iter().chain(more).collect()),
        aliases,
    }
}

fn found_pair(key: &SoftwareKey) -> (Found, Found) {
    let info = Value::from(key.public_key().spki_der().to_vec());
    let public = found(PUBLIC, 2, Class::PublicKey, &[(A::PublicKeyInfo, info.clone())]);
    let more = [
        (A::PublicKeyInfo, info),
        (A::Local, Value::Flag(true)),
        (A::NeverExtractable, Value::Flag(true)),
    ];
    (public, found(KEY, 1, Class::PrivateKey, &more))
}

fn found_certificate(place: u32, der: &[u8]) -> Found {
    let root = place == 4;
    let more = [
        (A::Value, Value::from(der.to_vec())),
        (A::Trusted, Value::Flag(root)),
        (A::CertificateCategory, Value::Number(if root { 2 } else { 1 })),
    ];
    let naming = if root { ROOT } else { CERTIFICATE };
    found(naming, place, Class::Certificate, &more)
}

impl Memory {
    fn keep_one(&self, draft: &Draft) -> Result<Found, Error> {
        let mut device = self.0.lock().unwrap();
        let der = draft.attributes.bytes(A::Value).unwrap_or_default().to_vec();
        let certificate = Certificate::parse(&der).unwrap();
        let place = match draft.attributes.bytes(A::Label) {
            Some(b"Device Cert") => 3,
            Some(b"Root Cert") => 4,
            _ => return Err(Error::TemplateInconsistent("no place")),
        };
        let own = device.key.as_ref().map(|key| key.public_key().clone());
        if place == 3 && own.is_some_and(|own| own != *certificate.public_key()) {
            return Err(Error::TemplateInconsistent("another key"));
        }
        let kept = found_certificate(place, &der);
        let room = if place == 3 {
            &mut device.certificate
        } else {
            &mut device.root
        };
        *room = Some(der);
        device.changes += 2;
        Ok(kept)
    }
}

/// The key of a memory, used as hardware is.
struct MemoryKey(Memory);

impl HardwareKey for MemoryKey {
    fn sign_digest(&self, curve: Curve, digest: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        assert_eq!(curve, Curve::P256);
        let mut device = self.0.0.lock().unwrap();
        device.signatures += 1;
        let der = device.key.as_ref().unwrap().sign_digest(digest).unwrap();
        let halves = Reader::whole(&der, |reader| {
            reader.sequence(|s| Ok((s.unsigned()?, s.unsigned()?)))
        })
        .unwrap();
        let fixed = [halves.0, halves.1].into_iter();
        let fixed: Vec<u8> = fixed
            .flat_map(|half| [&[0; 32][half.len()..], half].concat())
            .collect();
        out[..64].copy_from_slice(&fixed);
        Ok(64)
    }

    fn agree(&self, _: Curve, _: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        Err(Error::FunctionNotSupported)
    }
}

impl Backend for Memory {
    fn describe(&self) -> Result<TokenDescription, Error> {
        Ok(TokenDescription {
            manufacturer: "nobody",
            model: "memory",
            serial: "0000000000000001".into(),
        })
    }

    fn generation(&self) -> Result<u64, Error> {
        Ok(self.0.lock().unwrap().changes)
    }

    fn load(&self) -> Result<Contents, Error> {
        let mut device = self.0.lock().unwrap();
        device.loads += 1;
        if let Some(error) = device.fails.clone() {
            return Err(error);
        }
        let mut contents = Contents::default();
        if let Some(key) = &device.key {
            let (public, private) = found_pair(key);
            contents.objects.extend([private, public]);
        }
        for (place, der) in [(3, &device.certificate), (4, &device.root)] {
            contents
                .objects
                .extend(der.iter().map(|der| found_certificate(place, der)));
        }
        Ok(contents)
    }

    fn open_key(&self, place: Place) -> Result<Key, Error> {
        assert_eq!(place, Place(1));
        Ok(Key::Hardware {
            device: Arc::new(MemoryKey(self.clone())),
            curve: Curve::P256,
        })
    }

    fn keep(&self, drafts: Vec<Draft>) -> Result<Vec<Found>, Error> {
        drafts.iter().map(|draft| self.keep_one(draft)).collect()
    }

    fn generate_pair(&self, draft: &PairDraft) -> Result<Option<(Found, Found)>, Error> {
        let mut device = self.0.lock().unwrap();
        let label = draft.private.bytes(A::Label).unwrap_or_default();
        if label != KEY.0.as_bytes() && label != b"0xE0F1" {
            return Err(Error::TemplateInconsistent("no place"));
        }
        if device.key.is_some() && !draft.overwrite {
            return Err(Error::Occupied { label: KEY.0 });
        }
        let key = SoftwareKey::generate(Curve::P256).unwrap();
        let pair = found_pair(&key);
        device.key = Some(key);
        device.changes += 2;
        Ok(Some(pair))
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Error> {
        bytes.fill(4);
        Ok(())
    }
}

/// A self-signed certificate for a key.
pub fn certificate(key: &SoftwareKey) -> Vec<u8> {
    let subject = Name::with_common_name("token test").unwrap();
    let validity = Validity::days(UnixMillis(1_800_000_000_000), 365).unwrap();
    let profile = Profile::root(key.public_key(), &subject, validity);
    let proven = key.prove(&subject).unwrap();
    let serial = Serial::new([1; 16]).unwrap();
    prepare(&profile, proven, &subject, &serial)
        .unwrap()
        .sign(key)
        .unwrap()
        .der()
        .to_vec()
}
