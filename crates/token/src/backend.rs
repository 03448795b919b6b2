//! The wall between PKCS #11's rules and the thing that keeps keys.

use alloc::string::String;
use alloc::vec::Vec;

use identity::key::{Curve, PublicKey};

use crate::attribute::Attribute;
use crate::error::Error;
use crate::object::Object;

/// Where a backend keeps an object; only the backend knows what the number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u32);

/// What a token says about itself (`C_GetTokenInfo`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenDescription {
    /// Who made it, at most 32 bytes.
    pub manufacturer: &'static str,
    /// What it is, at most 16 bytes.
    pub model: &'static str,
    /// Sixteen characters that no other token of this model has.
    pub serial: String,
}

/// Who logs in (`CK_USER_TYPE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum User {
    /// The security officer, who initializes the token and sets the user's PIN.
    SecurityOfficer,
    /// The user, who uses keys.
    User,
}

/// What is known about a PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinState {
    /// There is none.
    Absent,
    /// There is one, and the last try was right.
    Set,
    /// It was wrong at least once since.
    CountLow,
    /// One more wrong try locks it.
    FinalTry,
    /// It was wrong too often.
    Locked,
}

/// What guards a token, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its label, at most 32 bytes.
    pub label: String,
    /// It can hold objects.
    pub initialized: bool,
    /// Private objects appear only after the user has logged in.
    pub login_required: bool,
    /// Nothing on it changes.
    pub write_protected: bool,
    /// The user's PIN.
    pub user_pin: PinState,
    /// The security officer's PIN.
    pub officer_pin: PinState,
}

/// Something on the token that can not be shown because it makes no sense, such as a certificate torn by a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The label of what should be there.
    pub label: &'static str,
    /// What is wrong.
    pub why: &'static str,
}

/// What a token holds.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Every object that exists. An empty key slot does not.
    pub objects: Vec<Object>,
    /// What is there but can not be used.
    pub damaged: Vec<Damage>,
}

/// A keeper of keys and certificates.
///
/// A backend does not check who may do what and holds no cache: [`crate::Token`] does both. It opens its device when it is
/// first asked for something, so that a dead device is a token that is absent and not a module that fails.
pub trait Backend: Send {
    /// What the token says about itself.
    fn describe(&mut self) -> Result<TokenDescription, Error>;

    /// What guards the token. The default is a device without PIN: whoever can reach it can use it.
    fn status(&mut self) -> Result<Status, Error> {
        Ok(Status {
            label: String::from(self.describe()?.model),
            initialized: true,
            login_required: false,
            write_protected: false,
            user_pin: PinState::Absent,
            officer_pin: PinState::Absent,
        })
    }

    /// Lets a user in; keeps the count of wrong tries before it answers. Without PIN, any user of the device is let in.
    fn login(&mut self, user: User, _pin: &[u8]) -> Result<(), Error> {
        match user {
            User::User => Ok(()),
            User::SecurityOfficer => Err(Error::UserTypeInvalid),
        }
    }

    /// Forgets what the login opened.
    fn logout(&mut self) {}

    /// Everything that exists, with all that is public about it.
    fn load(&mut self) -> Result<Contents, Error>;

    /// Signs a digest, no longer than the curve, with the private key at `place`; `r ‖ s`, both of the curve's size.
    fn sign_digest(&mut self, place: Place, curve: Curve, digest: &[u8]) -> Result<Vec<u8>, Error>;

    /// The place for a private key with this label or alias.
    fn key_place(&self, label: &str) -> Option<Place>;

    /// Generates a key pair at `place`, over whatever was there, and keeps the public half where [`Backend::load`] finds it.
    fn generate(&mut self, place: Place, curve: Curve, sign: bool, derive: bool) -> Result<PublicKey, Error>;

    /// The place for a certificate with this label or alias.
    fn certificate_place(&self, label: &str) -> Option<Place>;

    /// The private key whose certificate lies at `place`, if it is not a place for authorities.
    fn key_of_certificate(&self, place: Place) -> Option<Place>;

    /// Writes a certificate to `place`, over whatever was there, and makes sure that it can be read again.
    fn store_certificate(&mut self, place: Place, der: &[u8]) -> Result<(), Error>;

    /// Whether objects may have any label, and any number of them may be there. If not, each label names a place.
    fn is_free(&self) -> bool {
        false
    }

    /// Whether somebody else has changed the objects since they were loaded.
    fn changed(&mut self) -> Result<bool, Error> {
        Ok(false)
    }

    /// Generates a key pair as these templates want it; public key and private key.
    fn generate_pair(
        &mut self,
        _public: &[Attribute<'_>],
        _private: &[Attribute<'_>],
    ) -> Result<(Place, Place), Error> {
        Err(Error::FunctionNotSupported)
    }

    /// Makes an object as this template wants it.
    fn create(&mut self, _template: &[Attribute<'_>]) -> Result<Place, Error> {
        Err(Error::FunctionNotSupported)
    }

    /// Destroys an object.
    fn destroy(&mut self, _place: Place) -> Result<(), Error> {
        Err(Error::ObjectProtected)
    }

    /// Makes the token new and empty; on one that is not new, only with the security officer's PIN.
    fn init_token(&mut self, _pin: &[u8], _label: &str) -> Result<(), Error> {
        Err(Error::FunctionNotSupported)
    }

    /// Sets the user's PIN, as security officer.
    fn init_pin(&mut self, _pin: &[u8]) -> Result<(), Error> {
        Err(Error::FunctionNotSupported)
    }

    /// Gives a user who knows the old PIN a new one.
    fn set_pin(&mut self, _user: User, _old: &[u8], _new: &[u8]) -> Result<(), Error> {
        Err(Error::FunctionNotSupported)
    }

    /// Fills `bytes` with the token's own randomness.
    fn random(&mut self, bytes: &mut [u8]) -> Result<(), Error>;
}
