//! One token: PKCS #11's rules about objects, over a backend that knows nothing of them.
//!
//! Objects are read once, at first use, and kept; what changes them goes through here. Handles are numbers that are never
//! used twice, so that a handle to a key that was replaced can not be taken for the new one.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use identity::certificate::Certificate;
use identity::key::Curve;

use crate::attribute::{Attribute, AttributeKind, Class};
use crate::backend::{Backend, Damage, Place, Status, TokenDescription, User};
use crate::error::Error;
use crate::limits;
use crate::object::{Content, Handle, Object};

/// A key pair to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPairTemplate<'a> {
    /// Label or alias of the private key: it chooses the place.
    pub label: &'a str,
    /// On which curve.
    pub curve: Curve,
    /// `CKA_SIGN`.
    pub sign: bool,
    /// `CKA_DERIVE`.
    pub derive: bool,
    /// Whether a key that is there already may be lost.
    pub overwrite: bool,
}

impl<'a> KeyPairTemplate<'a> {
    /// A P-256 key that signs, in a place that must be empty.
    #[must_use]
    pub const fn signing(label: &'a str) -> Self {
        Self {
            label,
            curve: Curve::P256,
            sign: true,
            derive: false,
            overwrite: false,
        }
    }
}

/// A certificate to store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateTemplate<'a> {
    /// Label or alias: it chooses the place. Whatever certificate was there is replaced.
    pub label: &'a str,
    /// The certificate, DER.
    pub value: &'a [u8],
}

/// A token and what is known about it.
pub struct Token {
    backend: Box<dyn Backend>,
    description: Option<TokenDescription>,
    loaded: Option<Loaded>,
    handles: u32,
}

struct Loaded {
    objects: Vec<(Handle, Arc<Object>)>,
    damaged: Vec<Damage>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("loaded", &self.loaded.is_some())
            .finish_non_exhaustive()
    }
}

impl Token {
    /// A token behind this backend. Nothing is asked of it yet.
    #[must_use]
    pub fn new(backend: Box<dyn Backend>) -> Self {
        Self {
            backend,
            description: None,
            loaded: None,
            handles: 0,
        }
    }

    /// What the token says about itself; asked once, and again after nobody answered.
    pub fn describe(&mut self) -> Result<TokenDescription, Error> {
        if let Some(known) = &self.description {
            return Ok(known.clone());
        }
        let description = self.backend.describe()?;
        self.description = Some(description.clone());
        Ok(description)
    }

    /// What guards the token.
    pub fn status(&mut self) -> Result<Status, Error> {
        let status = self.backend.status();
        self.noticed(status)
    }

    /// Lets a user in.
    pub fn login(&mut self, user: User, pin: &[u8]) -> Result<(), Error> {
        self.backend.login(user, pin)?;
        self.follow(true)
    }

    /// Forgets what the login opened.
    pub fn logout(&mut self) {
        self.backend.logout();
        // What only the login could see must go; what can not be read now is read when it is next asked for.
        if self.follow(true).is_err() {
            self.loaded = None;
        }
    }

    /// Reads the objects again if they, or what may be seen of them, may have changed.
    fn follow(&mut self, seen_differently: bool) -> Result<(), Error> {
        let changed = self.backend.changed()?;
        if changed {
            self.description = None;
        }
        if self.loaded.is_some() && (changed || (seen_differently && self.backend.is_free())) {
            self.reload()?;
        }
        Ok(())
    }

    /// Whether objects may have any label.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.backend.is_free()
    }

    /// Generates a key pair as these templates want it, on a token whose objects have no fixed places.
    #[cfg(feature = "std")]
    pub fn generate_pair(
        &mut self,
        public: &[Attribute<'_>],
        private: &[Attribute<'_>],
    ) -> Result<(Handle, Handle), Error> {
        let places = self.backend.generate_pair(public, private)?;
        self.reload()?;
        Ok((self.handle_at(places.0)?, self.handle_at(places.1)?))
    }

    /// Makes an object as this template wants it, on a token whose objects have no fixed places.
    pub fn create(&mut self, template: &[Attribute<'_>]) -> Result<Handle, Error> {
        let place = self.backend.create(template)?;
        self.reload()?;
        self.handle_at(place)
    }

    /// Destroys an object; its handle means nothing from now on.
    pub fn destroy(&mut self, handle: Handle) -> Result<(), Error> {
        let place = self.object(handle)?.place;
        self.backend.destroy(place)?;
        self.reload()
    }

    /// Makes the token new and empty.
    pub fn init_token(&mut self, pin: &[u8], label: &str) -> Result<(), Error> {
        self.description = None;
        self.loaded = None;
        self.backend.init_token(pin, label)
    }

    /// Sets the user's PIN, as security officer.
    pub fn init_pin(&mut self, pin: &[u8]) -> Result<(), Error> {
        self.backend.init_pin(pin)
    }

    /// Gives a user who knows the old PIN a new one.
    pub fn set_pin(&mut self, user: User, old: &[u8], new: &[u8]) -> Result<(), Error> {
        self.backend.set_pin(user, old, new)
    }

    fn handle_at(&self, place: Place) -> Result<Handle, Error> {
        let mut objects = self.loaded.iter().flat_map(|loaded| &loaded.objects);
        let found = objects.find(|(_, object)| object.place == place);
        found.map(|(handle, _)| *handle).ok_or(Error::DeviceContent {
            what: "an object that was made is not there",
        })
    }

    /// A device that does not answer any more may be another one when it does.
    fn noticed<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if matches!(result, Err(Error::DeviceRemoved(_))) {
            self.description = None;
        }
        result
    }

    fn loaded(&mut self) -> Result<&Loaded, Error> {
        if self.loaded.is_none() {
            self.reload()?;
        }
        self.loaded
            .as_ref()
            .ok_or(Error::General("the token's objects are not loaded"))
    }

    /// Reads all objects again. Objects that are still the same keep their handle.
    fn reload(&mut self) -> Result<(), Error> {
        let old = self
            .loaded
            .take()
            .map(|loaded| loaded.objects)
            .unwrap_or_default();
        let contents = self.backend.load()?;
        let mut objects = Vec::with_capacity(contents.objects.len());
        let mut places: BTreeMap<Place, Vec<&(Handle, Arc<Object>)>> = BTreeMap::new();
        for known in &old {
            places.entry(known.1.place).or_default().push(known);
        }
        for object in contents.objects {
            let known = places.get(&object.place).into_iter().flatten();
            let same = known
                .copied()
                .find(|(_, before)| before.is_same_as(&object))
                .map(|(handle, _)| *handle);
            let handle = same.unwrap_or_else(|| self.next_handle());
            objects.push((handle, Arc::new(object)));
        }
        self.loaded = Some(Loaded {
            objects,
            damaged: contents.damaged,
        });
        Ok(())
    }

    const fn next_handle(&mut self) -> Handle {
        self.handles += 1;
        Handle(self.handles)
    }

    /// The objects that have every attribute of the template, in the token's order. None is an answer, not an error.
    pub fn find(&mut self, template: &[Attribute<'_>]) -> Result<Vec<Handle>, Error> {
        if template.len() > limits::TEMPLATE_ATTRIBUTES_MAX {
            return Err(Error::ArgumentsBad("too many attributes in one template"));
        }
        self.follow(false)?;
        let objects = &self.loaded()?.objects;
        Ok(objects
            .iter()
            .filter(|(_, object)| object.matches(template))
            .map(|(handle, _)| *handle)
            .collect())
    }

    /// What is on the token but can not be used.
    pub fn damaged(&mut self) -> Result<Vec<Damage>, Error> {
        Ok(self.loaded()?.damaged.clone())
    }

    /// The object behind a handle.
    pub fn object(&mut self, handle: Handle) -> Result<Arc<Object>, Error> {
        let found = self.loaded()?.objects.iter().find(|(known, _)| *known == handle);
        found
            .map(|(_, object)| Arc::clone(object))
            .ok_or(Error::ObjectHandleInvalid)
    }

    /// Signs a digest with `CKM_ECDSA`: `r ‖ s`. A digest longer than the curve is cut on the right (FIPS 186-4, 6.4).
    pub fn sign_digest(&mut self, key: Handle, digest: &[u8]) -> Result<Vec<u8>, Error> {
        let object = self.object(key).map_err(|_| Error::KeyHandleInvalid)?;
        let Content::PrivateKey { curve, sign, .. } = object.content else {
            return Err(Error::KeyHandleInvalid);
        };
        if !sign {
            return Err(Error::KeyFunctionNotPermitted);
        }
        if digest.is_empty() || digest.len() > limits::DIGEST_BYTES_MAX {
            return Err(Error::DataLengthRange { found: digest.len() });
        }
        let used = digest.get(..curve.coordinate_bytes()).unwrap_or(digest);
        let signature = self.backend.sign_digest(object.place, curve, used);
        self.noticed(signature)
    }

    /// Generates a key pair in the token (`CKM_EC_KEY_PAIR_GEN`); public key and private key.
    pub fn generate_key_pair(&mut self, template: &KeyPairTemplate<'_>) -> Result<(Handle, Handle), Error> {
        let no_place =
            Error::TemplateInconsistent("the token has no place for a private key with this label");
        let place = self.backend.key_place(template.label).ok_or(no_place)?;
        let objects = &self.loaded()?.objects;
        let occupant = objects
            .iter()
            .find(|(_, o)| o.place == place && o.class() == Class::PrivateKey);
        if let Some((_, occupant)) = occupant.filter(|_| !template.overwrite) {
            return Err(Error::Occupied {
                label: occupant.naming.label,
            });
        }
        // Even a generation that fails may have cost the old key: nothing with its handle may be used again.
        if let Some(loaded) = &mut self.loaded {
            loaded.objects.retain(|(_, object)| object.place != place);
        }
        let generated = self
            .backend
            .generate(place, template.curve, template.sign, template.derive);
        self.reload()?;
        let key = generated?;
        let find = |class: Class| {
            let objects = &self.loaded.as_ref()?.objects;
            let same = |o: &Object| o.class() == class && o.public_key() == Some(&key);
            objects
                .iter()
                .find(|(_, object)| same(object))
                .map(|(handle, _)| *handle)
        };
        let missing = Error::DeviceContent {
            what: "the key that it generated is not there",
        };
        find(Class::PublicKey).zip(find(Class::PrivateKey)).ok_or(missing)
    }

    /// Stores a certificate (`C_CreateObject`). A device certificate must be for the key in the slot that it belongs to.
    pub fn create_certificate(&mut self, template: &CertificateTemplate<'_>) -> Result<Handle, Error> {
        let no_place =
            Error::TemplateInconsistent("the token has no place for a certificate with this label");
        let place = self.backend.certificate_place(template.label).ok_or(no_place)?;
        let certificate = Certificate::parse(template.value).map_err(|_| Error::AttributeValueInvalid {
            kind: AttributeKind::Value,
            why: "it is not a certificate in DER",
        })?;
        if let Some(key_place) = self.backend.key_of_certificate(place) {
            let objects = &self.loaded()?.objects;
            let key = objects
                .iter()
                .find(|(_, o)| o.place == key_place && o.class() == Class::PrivateKey);
            let known = key.and_then(|(_, object)| object.public_key());
            if known.is_some_and(|known| known != certificate.public_key()) {
                return Err(Error::TemplateInconsistent(
                    "the certificate is for another key than the one in its slot",
                ));
            }
        }
        self.backend.store_certificate(place, template.value)?;
        self.reload()?;
        let objects = &self.loaded()?.objects;
        let stored = objects.iter().find(|(_, object)| {
            object.place == place && object.certificate().is_some_and(|c| c.der() == template.value)
        });
        stored.map(|(handle, _)| *handle).ok_or(Error::DeviceContent {
            what: "the certificate that was stored is not there",
        })
    }

    /// Fills `bytes` with the token's randomness.
    pub fn random(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        if bytes.len() > limits::RANDOM_BYTES_MAX {
            return Err(Error::ArgumentsBad("too many random bytes at once"));
        }
        let drawn = self.backend.random(bytes);
        self.noticed(drawn)
    }
}
