//! The wall between PKCS #11's rules and the thing that keeps keys.
//!
//! Above it the core knows who may do what, what an object must have and what it looks like; below it a backend keeps objects
//! and opens keys, and locks inside as it needs: any thread may call at any time.

use std::string::String;
use std::sync::Arc;
use std::vec::Vec;

use identity::key::PublicKey;
use zeroize::Zeroizing;

use crate::attribute::Attribute;
use crate::attributes::Attributes;
use crate::crypto::Key;
use crate::error::Error;
use crate::mechanism::{Mechanism, MechanismType};

/// Where a backend keeps an object; only the backend knows what the number means. While a backend lives, a place that was given
/// up may be used again only for an object that can be told from the old one by what is public about it.
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

/// An object as a backend has it.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where.
    pub place: Place,
    /// All that is public about it, never the value of a private or secret key. The core adds what is always the same for an
    /// object of its class, so an older store need not say it.
    pub attributes: Arc<Attributes>,
    /// Labels that it also answers to in a search.
    pub aliases: &'static [&'static str],
}

/// What a token holds.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Every object that exists. An empty key slot does not.
    pub objects: Vec<Found>,
    /// What is there but can not be used.
    pub damaged: Vec<Damage>,
}

/// An object that is to be kept. The core has made it complete and has checked every rule that is not the backend's own.
#[derive(Debug)]
pub struct Draft {
    /// All that is public about it.
    pub attributes: Attributes,
    /// What must be sealed: of a key what [`Key::secret`] gives, of private data its value. `None` if nothing is secret.
    pub secret: Option<Zeroizing<Vec<u8>>>,
}

/// A key pair that is to be born in the device, if the device can. What follows from the key itself (its point, its
/// identifier) is not in the attributes yet.
#[derive(Debug)]
pub struct PairDraft {
    /// How it is made.
    pub mechanism: Mechanism,
    /// What is wanted of the public key.
    pub public: Attributes,
    /// What is wanted of the private key.
    pub private: Attributes,
    /// A key that is there already may be lost.
    pub overwrite: bool,
}

/// A key pair of a session whose private half is in the device.
#[derive(Debug)]
pub struct SessionPair {
    /// The public half.
    pub public: PublicKey,
    /// The private half; the device forgets it when this is dropped.
    pub private: Key,
}

/// A keeper of keys and certificates.
///
/// A backend does not check who may do what; it refuses only what it can not do. It opens its device when it is first asked
/// for something, so that a dead device is a token that is absent and not a module that fails.
pub trait Backend: Send + Sync {
    /// What the token says about itself.
    fn describe(&self) -> Result<TokenDescription, Error>;

    /// What guards the token. The default is a device without PIN: whoever can reach it can use it.
    fn status(&self) -> Result<Status, Error> {
        Ok(Status {
            label: String::from(self.describe()?.model),
            initialized: true,
            login_required: false,
            write_protected: false,
            user_pin: PinState::Absent,
            officer_pin: PinState::Absent,
        })
    }

    /// Lets a user in; keeps the count of wrong tries before it answers. Without PIN, any user of the device is let in. Called
    /// again while the user is in, it only checks the PIN (`CKU_CONTEXT_SPECIFIC`).
    fn login(&self, user: User, _pin: &[u8]) -> Result<(), Error> {
        match user {
            User::User => Ok(()),
            User::SecurityOfficer => Err(Error::UserTypeInvalid),
        }
    }

    /// Forgets what the login opened.
    fn logout(&self) {}

    /// Makes the token new and empty; on one that is not new, only with the security officer's PIN.
    fn init_token(&self, _pin: &[u8], _label: &str) -> Result<(), Error> {
        Err(Error::FunctionNotSupported)
    }

    /// Sets the user's PIN, as security officer.
    fn init_pin(&self, _pin: &[u8]) -> Result<(), Error> {
        Err(Error::FunctionNotSupported)
    }

    /// Gives a user who knows the old PIN a new one.
    fn set_pin(&self, _user: User, _old: &[u8], _new: &[u8]) -> Result<(), Error> {
        Err(Error::FunctionNotSupported)
    }

    /// Counts commits: one more for each change of the objects that this backend has made or seen, by this process or another.
    /// It is asked before every search, so it must be cheap. A change of this process that touched more than it was asked to
    /// counts twice: then the core reads everything again.
    fn generation(&self) -> Result<u64, Error>;

    /// Everything that exists, with all that is public about it.
    fn load(&self) -> Result<Contents, Error>;

    /// The parsed key of a private or secret object. The core keeps it until the logout, or the end of the object.
    fn open_key(&self, place: Place) -> Result<Key, Error>;

    /// A public key that the device is to verify with itself. `None` is "not in hardware": the core verifies.
    fn open_public(&self, _place: Place) -> Result<Option<Key>, Error> {
        Ok(None)
    }

    /// The sealed value of a private object that is no key.
    fn open_value(&self, _place: Place) -> Result<Zeroizing<Vec<u8>>, Error> {
        Err(Error::ObjectHandleInvalid)
    }

    /// Keeps new objects, all or none, durably before it returns, and says how they are there now.
    fn keep(&self, drafts: Vec<Draft>) -> Result<Vec<Found>, Error>;

    /// Changes attributes of an object, durably, and says how it is there now.
    fn change(&self, _place: Place, _changes: &[Attribute<'static>]) -> Result<Found, Error> {
        Err(Error::ObjectProtected)
    }

    /// Destroys an object, durably.
    fn destroy(&self, _place: Place) -> Result<(), Error> {
        Err(Error::ObjectProtected)
    }

    /// Makes a key pair in the device; public key and private key. `None` is "not in hardware": the core makes it in software
    /// and has it kept.
    fn generate_pair(&self, _draft: &PairDraft) -> Result<Option<(Found, Found)>, Error> {
        Ok(None)
    }

    /// Makes a key pair in the device that lives as long as its session. `None` is "not in hardware": the core makes it in
    /// software and holds it.
    fn session_pair(&self, _draft: &PairDraft) -> Result<Option<SessionPair>, Error> {
        Ok(None)
    }

    /// Whether the device itself runs this mechanism (`CKF_HW`).
    fn is_in_hardware(&self, _mechanism: MechanismType) -> bool {
        false
    }

    /// Fills `bytes` with the token's own randomness.
    fn random(&self, bytes: &mut [u8]) -> Result<(), Error>;

    /// Mixes `seed` into the token's randomness.
    fn seed(&self, _seed: &[u8]) -> Result<(), Error> {
        Err(Error::RandomSeedNotSupported)
    }
}
