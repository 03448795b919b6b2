//! A backend in memory, whose key is a software key: what the rules of the token are tested over.
#![allow(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]
#![allow(unreachable_pub, dead_code, reason = "a module of test files has no outside")]

use std::sync::{Arc, Mutex};

use identity::UnixMillis;
use identity::certificate::Certificate;
use identity::crypto::SoftwareKey;
use identity::der::Reader;
use identity::issue::{Profile, Serial, Signer as _, Validity, prepare};
use identity::key::{Curve, PublicKey};
use identity::name::Name;
use token::{Backend, Content, Contents, Error, Naming, Object, Place, TokenDescription};

/// What the "device" holds, and how often it was asked.
#[derive(Default)]
pub struct Device {
    pub key: Option<SoftwareKey>,
    pub certificate: Option<Vec<u8>>,
    pub root: Option<Vec<u8>>,
    pub loads: usize,
    pub signatures: usize,
    pub fails: Option<Error>,
}

/// The backend, and what the test looks at.
#[derive(Clone, Default)]
pub struct Memory(pub Arc<Mutex<Device>>);

const KEY: Naming = Naming {
    label: "Device Priv TLS Key",
    alias: "0xE0F1",
};
const PUBLIC: Naming = Naming {
    label: "Device Pub TLS Key",
    alias: "0xF1D1",
};
const CERTIFICATE: Naming = Naming {
    label: "Device Cert",
    alias: "0xE0E1",
};
const ROOT: Naming = Naming {
    label: "Root Cert",
    alias: "0xE0E8",
};

impl Backend for Memory {
    fn describe(&mut self) -> Result<TokenDescription, Error> {
        Ok(TokenDescription {
            manufacturer: "nobody",
            model: "memory",
            serial: "0000000000000001".into(),
        })
    }

    fn load(&mut self) -> Result<Contents, Error> {
        let mut device = self.0.lock().unwrap();
        device.loads += 1;
        if let Some(error) = device.fails.clone() {
            return Err(error);
        }
        let mut contents = Contents::default();
        let mut push = |naming, place, content| {
            contents.objects.push(Object {
                naming,
                place: Place(place),
                content,
                attributes: Vec::new(),
            })
        };
        if let Some(key) = &device.key {
            let public = Some(key.public_key().clone());
            push(
                KEY,
                1,
                Content::PrivateKey {
                    curve: Curve::P256,
                    sign: true,
                    derive: false,
                    public,
                },
            );
            push(PUBLIC, 2, Content::PublicKey(key.public_key().clone()));
        }
        for (naming, place, der) in [(CERTIFICATE, 3, &device.certificate), (ROOT, 4, &device.root)] {
            if let Some(der) = der {
                let certificate = Certificate::parse(der).unwrap();
                push(
                    naming,
                    place,
                    Content::Certificate {
                        certificate,
                        authority: place == 4,
                    },
                );
            }
        }
        Ok(contents)
    }

    fn sign_digest(&mut self, place: Place, curve: Curve, digest: &[u8]) -> Result<Vec<u8>, Error> {
        assert_eq!((place, curve), (Place(1), Curve::P256));
        let mut device = self.0.lock().unwrap();
        device.signatures += 1;
        let der = device.key.as_ref().unwrap().sign_digest(digest).unwrap();
        let halves = Reader::whole(&der, |reader| {
            reader.sequence(|s| Ok((s.unsigned()?, s.unsigned()?)))
        })
        .unwrap();
        Ok([halves.0, halves.1]
            .into_iter()
            .flat_map(|half| [&[0; 32][half.len()..], half].concat())
            .collect())
    }

    fn key_place(&self, label: &str) -> Option<Place> {
        (label == KEY.label || label == KEY.alias).then_some(Place(1))
    }

    fn generate(&mut self, _: Place, curve: Curve, _: bool, _: bool) -> Result<PublicKey, Error> {
        let key = SoftwareKey::generate(curve).unwrap();
        let public = key.public_key().clone();
        self.0.lock().unwrap().key = Some(key);
        Ok(public)
    }

    fn certificate_place(&self, label: &str) -> Option<Place> {
        match label {
            "Device Cert" => Some(Place(3)),
            "Root Cert" => Some(Place(4)),
            _ => None,
        }
    }

    fn key_of_certificate(&self, place: Place) -> Option<Place> {
        (place == Place(3)).then_some(Place(1))
    }

    fn store_certificate(&mut self, place: Place, der: &[u8]) -> Result<(), Error> {
        let mut device = self.0.lock().unwrap();
        let room = if place == Place(3) {
            &mut device.certificate
        } else {
            &mut device.root
        };
        *room = Some(der.to_vec());
        Ok(())
    }

    fn random(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
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
