//! A session as a program in Rust has it: it knows its application, and closes itself.
//!
//! Threads may sign through one at the same time: what is done here at once is no operation that another call could meet.

use std::boxed::Box;
use std::string::String;
use std::sync::Arc;
use std::vec::Vec;

use identity::key::Curve;

use crate::application::{Application, Setup};
use crate::attribute::{Attribute, AttributeKind, Class, Value};
use crate::backend::{Backend, Damage, TokenDescription, User};
use crate::crypto::curve_parameters;
use crate::error::Error;
use crate::mechanism::Mechanism;
use crate::object::{Handle, Object};
use crate::session::Access;

/// A key pair to generate on the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPairTemplate<'a> {
    /// Label or alias of the private key; on a secure element it chooses the place.
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

/// A certificate to store on the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateTemplate<'a> {
    /// Label or alias; on a secure element it chooses the place, and whatever certificate was there is replaced.
    pub label: &'a str,
    /// The certificate, DER.
    pub value: &'a [u8],
}

/// An open session; dropping it closes it.
#[derive(Debug)]
pub struct Session {
    application: Arc<Application>,
    handle: u64,
    slot: usize,
}

impl Drop for Session {
    fn drop(&mut self) {
        // Somebody may have closed all sessions of the slot.
        let _ = self.application.close_session(self.handle);
    }
}

impl Session {
    /// Opens a session on a slot.
    pub fn open(application: &Arc<Application>, slot: usize, access: Access) -> Result<Self, Error> {
        let handle = application.open_session(slot, access)?;
        Ok(Self {
            application: Arc::clone(application),
            handle,
            slot,
        })
    }

    /// Opens a session on a token alone, outside of any configuration.
    pub fn on(backend: Box<dyn Backend>, access: Access) -> Result<Self, Error> {
        let setup = Setup {
            backend,
            label: None,
            description: String::new(),
            hardware: false,
        };
        Self::open(&Arc::new(Application::new([setup])?), 0, access)
    }

    /// The application that it belongs to.
    #[must_use]
    pub const fn application(&self) -> &Arc<Application> {
        &self.application
    }

    /// What the token says about itself.
    pub fn describe(&self) -> Result<TokenDescription, Error> {
        Ok(self.application.token(self.slot)?.0)
    }

    /// Logs the user in, for all sessions of the application on this token.
    pub fn login(&self, pin: &[u8]) -> Result<(), Error> {
        match self.application.login(self.handle, User::User, pin) {
            Err(Error::UserAlreadyLoggedIn) => Ok(()),
            other => other,
        }
    }

    /// The objects that have every attribute of the template; with an empty one, all that may be seen.
    pub fn find(&self, template: &[Attribute<'_>]) -> Result<Vec<Handle>, Error> {
        self.application.find_at_once(self.handle, template)
    }

    /// What is on the token but can not be used.
    pub fn damaged(&self) -> Result<Vec<Damage>, Error> {
        self.application.damaged(self.handle)
    }

    /// The object behind a handle; it answers attributes without asking the token.
    pub fn object(&self, handle: Handle) -> Result<Arc<Object>, Error> {
        self.application.object(self.handle, handle.0)
    }

    /// One attribute of an object.
    pub fn attribute(&self, handle: Handle, kind: AttributeKind) -> Result<Value<'static>, Error> {
        self.application
            .attribute(self.handle, &*self.object(handle)?, kind)
    }

    /// Signs: with a key on a curve `r ‖ s`, each as long as the curve. With `Mechanism::Ecdsa(None)` `data` is the digest.
    pub fn sign(&self, key: Handle, mechanism: &Mechanism, data: &[u8]) -> Result<Vec<u8>, Error> {
        self.application.sign_at_once(self.handle, mechanism, key.0, data)
    }

    /// Generates a key pair; public key and private key.
    pub fn generate_key_pair(&self, template: &KeyPairTemplate<'_>) -> Result<(Handle, Handle), Error> {
        use AttributeKind as A;
        let flag = |kind, flag| Attribute::new(kind, Value::Flag(flag));
        let label = Attribute::label(template.label);
        let curve = Attribute::new(A::EcParams, Value::bytes(curve_parameters(template.curve)));
        let public = [
            flag(A::Token, true),
            label.clone(),
            curve,
            flag(A::Verify, template.sign),
        ];
        let private = [
            flag(A::Token, true),
            label,
            flag(A::Sign, template.sign),
            flag(A::Derive, template.derive),
        ];
        let (public, private) = self.application.generate_pair_at_once(
            self.handle,
            &Mechanism::EcKeyPairGen,
            &public,
            &private,
            template.overwrite,
        )?;
        Ok((Handle(public), Handle(private)))
    }

    /// Stores a certificate.
    pub fn create_certificate(&self, template: &CertificateTemplate<'_>) -> Result<Handle, Error> {
        match self.create_one_certificate(template) {
            Err(Error::Occupied { .. }) => {}
            done => return done,
        }
        let named = [
            Attribute::class(Class::Certificate),
            Attribute::label(template.label),
        ];
        for old in self.find(&named)? {
            self.destroy(old)?;
        }
        self.create_one_certificate(template)
    }

    fn create_one_certificate(&self, template: &CertificateTemplate<'_>) -> Result<Handle, Error> {
        let handle = self.application.create_object(
            self.handle,
            &[
                Attribute::class(Class::Certificate),
                Attribute::new(AttributeKind::Token, Value::Flag(true)),
                Attribute::label(template.label),
                Attribute::new(AttributeKind::Value, Value::bytes(template.value)),
            ],
        )?;
        Ok(Handle(handle))
    }

    /// Creates an object.
    pub fn create(&self, template: &[Attribute<'_>]) -> Result<Handle, Error> {
        self.application.create_object(self.handle, template).map(Handle)
    }

    /// Destroys an object.
    pub fn destroy(&self, handle: Handle) -> Result<(), Error> {
        self.application.destroy_object(self.handle, handle.0)
    }

    /// Fills `bytes` with the token's randomness.
    pub fn random(&self, bytes: &mut [u8]) -> Result<(), Error> {
        self.application.random(self.handle, bytes)
    }
}
