//! The backend whose keys live in an OPTIGA Trust X.
//!
//! Private keys are in E0F0 to E0F3, certificates in E0E0 to E0E3, authorities in E0E8 and E0EF, data in F1D8 to F1DF and F1E0,
//! the keys of a session in E100 to E103. The chip can not compute a public key again and knows no labels: points are in F1D0
//! to F1D3, and a directory in F1E1 has the labels and ids that are not the usual ones. Usual are the labels that FreeRTOS
//! programs look for; the names of Infineon's port for Amazon FreeRTOS ("0xE0F1") find the same objects.
//!
//! How it hangs together: [`device`] has turns at the bus; [`image`] is everything that was read; [`view`] shows it as objects,
//! without touching the bus; [`change`] changes the chip and the image; [`key`] uses a key.
//!
//! What it must never do: show an empty slot as a key, overwrite an object silently, or sign with another key than the one that
//! was asked for.

mod change;
mod choose;
mod device;
mod directory;
mod image;
mod key;
mod layout;
mod options;
mod pins;
mod point;
mod random;
mod view;

use std::fmt;
use std::format;
use std::path::Path;
use std::string::String;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use identity::key::{KeyKind, PublicKey};
use optiga::Config;
use zeroize::Zeroizing;

pub use self::options::{Ephemeral, Login, Options, Random, Verify};

use self::change::{Change, find, key_wanted};
use self::device::{Device, Talk};
use self::image::Image;
use self::key::{SessionKey, SlotKey, Verifier};
use self::layout::{Role, Spot};
use self::pins::Pins;
use self::random::{HostRandom, SEED_BYTES};
use self::view::{data_value, object_of, show};
use crate::attribute::{Attribute, AttributeKind};
use crate::backend::{
    Backend, Contents, Draft, Found, PairDraft, PinState, Place, SessionPair, Status, TokenDescription, User,
};
use crate::bus_lock::BusLock;
use crate::crypto::Key;
use crate::error::Error;
use crate::limits;
use crate::mechanism::MechanismType;

const MODEL: &str = "OPTIGA Trust X";
/// How much of the chip's identity is the serial number: the batch and the place on the wafer's X axis.
const SERIAL_BYTES: usize = 8;
/// Random bytes of one turn at the bus.
const RANDOM_TURN_BYTES: usize = 256;

/// A token in an OPTIGA Trust X.
pub struct Chip<I2C, D> {
    shared: Arc<Shared<I2C, D>>,
    pins: Option<Pins>,
    logged_in: AtomicBool,
    random: Mutex<Option<HostRandom>>,
}

/// What the token shares with its keys.
struct Shared<I2C, D> {
    device: Device<I2C, D>,
    options: Options,
    image: Mutex<Option<Arc<Image>>>,
}

impl<I2C, D> fmt::Debug for Chip<I2C, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chip")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<I2C: I2c, D: DelayNs> Shared<I2C, D> {
    fn known(&self) -> Option<Arc<Image>> {
        lock(&self.image).clone()
    }

    fn share(&self, image: Arc<Image>) {
        *lock(&self.image) = Some(image);
    }

    fn forget(&self) {
        *lock(&self.image) = None;
    }

    /// What the chip holds in this turn; read only if it has changed since it was last read.
    fn image(&self, talk: &mut Talk<'_, I2C, D>) -> Result<Arc<Image>, Error> {
        if let Some(known) = self.known()
            && known.generation == talk.turn().generation()
        {
            return Ok(known);
        }
        let mut image = Image::read(talk)?;
        // The chip may have turned out to be another one.
        image.generation = talk.turn().generation();
        let image = Arc::new(image);
        self.share(Arc::clone(&image));
        Ok(image)
    }
}

impl<I2C: I2c, D: DelayNs> Chip<I2C, D> {
    /// A chip that no other process speaks to, with the default options; it is not spoken to yet.
    pub fn new(i2c: I2C, delay: D, config: Config) -> Self {
        Self::with(i2c, delay, config, BusLock::alone(), Options::default())
    }

    /// A chip that others may speak to in turns.
    pub fn with(i2c: I2C, delay: D, config: Config, bus_lock: BusLock, options: Options) -> Self {
        let pins = match &options.login {
            Login::None => None,
            Login::HostPin(path) => Some(Pins::at(path.clone())),
        };
        Self {
            shared: Arc::new(Shared {
                device: Device::new(i2c, delay, config, bus_lock),
                options,
                image: Mutex::new(None),
            }),
            pins,
            logged_in: AtomicBool::new(false),
            random: Mutex::new(None),
        }
    }

    fn image(&self) -> Result<Arc<Image>, Error> {
        let mut talk = self.shared.device.talk()?;
        self.shared.image(&mut talk)
    }

    /// One change, and how something is there afterwards.
    fn change<T>(
        &self,
        what: impl FnOnce(&mut Change<'_, I2C, D>) -> Result<T, Error>,
    ) -> Result<(T, Arc<Image>), Error> {
        let mut change = Change::begin(&self.shared)?;
        let done = what(&mut change)?;
        Ok((done, change.end()))
    }

    fn host_random(&self, bytes: &mut [u8]) -> Result<(), Error> {
        let mut random = lock(&self.random);
        if random.as_ref().is_none_or(HostRandom::is_worn) {
            let mut seed = Zeroizing::new([0; SEED_BYTES]);
            self.shared.device.talk()?.ask(|chip| chip.random(&mut *seed))?;
            *random = Some(HostRandom::new(&seed)?);
        }
        random.as_mut().map_or(Ok(()), |random| random.fill(bytes))
    }

    fn chip_random(&self, bytes: &mut [u8]) -> Result<(), Error> {
        let mut turns = bytes.chunks_mut(RANDOM_TURN_BYTES);
        turns.try_for_each(|part| self.shared.device.talk()?.ask(|chip| chip.random(part)))
    }

    /// The name that was given to the token when it was initialized.
    fn label(&self) -> Result<String, Error> {
        let entries = self.image()?.entries();
        let named = entries.entry(directory::OBJECT).map(|entry| entry.label.clone());
        Ok(named
            .filter(|label| !label.is_empty())
            .unwrap_or_else(|| MODEL.into()))
    }

    fn may_use_keys(&self) -> Result<(), Error> {
        let open = self.pins.is_none() || self.logged_in.load(Ordering::Acquire);
        open.then_some(()).ok_or(Error::UserNotLoggedIn)
    }
}

impl<I2C: I2c + Send + 'static, D: DelayNs + Send + 'static> Chip<I2C, D> {
    /// A pair in the first session context that nobody has.
    fn pair_in_context(&self, draft: &PairDraft) -> Result<Option<SessionPair>, Error> {
        let (curve, usage) = key_wanted(draft)?;
        let Some((context, claim)) = key::claim(&self.shared)? else {
            return Ok(None);
        };
        let mut talk = self.shared.device.talk()?;
        let public = talk.ask(|chip| chip.generate_key(context, curve, usage))?;
        let opening = talk.turn().opening();
        let curve = point::curve_of(curve);
        let public = PublicKey::from_ec_point(curve, public.point()).map_err(|_| Error::DeviceContent {
            what: "a public key that is no point",
        })?;
        let device = Arc::new(SessionKey::new(Arc::clone(&self.shared), context, opening, claim));
        Ok(Some(SessionPair {
            public,
            private: Key::Hardware { device, curve },
        }))
    }
}

impl<I2C: I2c + Send + 'static, D: DelayNs + Send + 'static> Backend for Chip<I2C, D> {
    fn describe(&self) -> Result<TokenDescription, Error> {
        let uid = self.shared.device.talk()?.uid()?;
        let serial = uid.unique().iter().take(SERIAL_BYTES);
        Ok(TokenDescription {
            manufacturer: "Infineon Technologies AG",
            model: MODEL,
            serial: serial.map(|byte| format!("{byte:02X}")).collect(),
        })
    }

    fn status(&self) -> Result<Status, Error> {
        let Some(pins) = &self.pins else {
            return Ok(Status {
                label: self.label()?,
                initialized: true,
                login_required: false,
                write_protected: false,
                user_pin: PinState::Absent,
                officer_pin: PinState::Absent,
            });
        };
        let known = pins.known()?;
        let label = self.label()?;
        Ok(Status {
            initialized: known.is_some(),
            login_required: true,
            write_protected: false,
            user_pin: known.as_ref().map_or(PinState::Absent, |known| known.user),
            officer_pin: known.as_ref().map_or(PinState::Absent, |known| known.officer),
            label: known
                .map(|known| known.label)
                .filter(|label| !label.is_empty())
                .unwrap_or(label),
        })
    }

    fn login(&self, user: User, pin: &[u8]) -> Result<(), Error> {
        match (&self.pins, user) {
            (Some(pins), _) => pins.check(user, pin)?,
            (None, User::User) => {}
            (None, User::SecurityOfficer) => return Err(Error::UserTypeInvalid),
        }
        if user == User::User {
            self.logged_in.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn logout(&self) {
        self.logged_in.store(false, Ordering::Release);
    }

    fn init_token(&self, pin: &[u8], label: &str) -> Result<(), Error> {
        if !self.shared.options.allow_init {
            return Err(Error::WriteProtected);
        }
        if let Some(pins) = &self.pins {
            pins.begin(pin, label)?;
        }
        self.change(|change| change.clear(label)).map(drop)
    }

    fn init_pin(&self, pin: &[u8]) -> Result<(), Error> {
        let pins = self.pins.as_ref().ok_or(Error::FunctionNotSupported)?;
        pins.set(User::User, pin)
    }

    fn set_pin(&self, user: User, old: &[u8], new: &[u8]) -> Result<(), Error> {
        let pins = self.pins.as_ref().ok_or(Error::FunctionNotSupported)?;
        pins.change(user, old, new)
    }

    fn generation(&self) -> Result<u64, Error> {
        self.shared.device.bus_lock().generation()
    }

    fn load(&self) -> Result<Contents, Error> {
        Ok(show(&*self.image()?))
    }

    fn open_key(&self, place: Place) -> Result<Key, Error> {
        self.may_use_keys()?;
        let role = Spot::of(object_of(place).0).map(|spot| spot.role);
        let Some(Role::PrivateKey(slot)) = role else {
            return Err(Error::KeyHandleInvalid);
        };
        let image = self.image()?;
        let key = image.key(slot).ok_or(Error::KeyHandleInvalid)?;
        let shared = Arc::clone(&self.shared);
        Ok(Key::Hardware {
            curve: key.curve,
            device: Arc::new(SlotKey::new(shared, slot, key.public, image.generation)),
        })
    }

    fn open_public(&self, place: Place) -> Result<Option<Key>, Error> {
        if self.shared.options.verify == Verify::Host {
            return Ok(None);
        }
        let found = find(&*self.image()?, place).ok_or(Error::ObjectHandleInvalid)?;
        let info = found.attributes.bytes(AttributeKind::PublicKeyInfo);
        let public =
            PublicKey::from_spki_der(info.unwrap_or_default()).map_err(|_| Error::KeyHandleInvalid)?;
        let KeyKind::Ec(curve) = public.kind() else {
            return Ok(None);
        };
        if point::chip_curve(curve).is_none() {
            return Ok(None);
        }
        let (object, index) = object_of(place);
        let device = Arc::new(Verifier {
            shared: Arc::clone(&self.shared),
            public,
            anchor: (index != 0).then_some(object),
        });
        Ok(Some(Key::Hardware { device, curve }))
    }

    fn open_value(&self, place: Place) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.may_use_keys()?;
        let image = self.shared.known().map_or_else(|| self.image(), Ok)?;
        let value = data_value(&image, object_of(place).0).ok_or(Error::ObjectHandleInvalid)?;
        Ok(Zeroizing::new(value.to_vec()))
    }

    fn keep(&self, drafts: Vec<Draft>) -> Result<Vec<Found>, Error> {
        let [draft] = &drafts[..] else {
            return Err(Error::TemplateInconsistent("the chip keeps one object at a time"));
        };
        let (at, image) = self.change(|change| change.keep(draft))?;
        Ok(find(&image, at).into_iter().collect())
    }

    fn change(&self, place: Place, changes: &[Attribute<'static>]) -> Result<Found, Error> {
        let ((), image) = Self::change(self, |change| change.change(place, changes))?;
        find(&image, place).ok_or(Error::ObjectHandleInvalid)
    }

    fn destroy(&self, place: Place) -> Result<(), Error> {
        Self::change(self, |change| change.destroy(place)).map(drop)
    }

    fn generate_pair(&self, draft: &PairDraft) -> Result<Option<(Found, Found)>, Error> {
        only_curves(draft)?;
        let ((public, private), image) = Self::change(self, |change| change.generate_pair(draft))?;
        Ok(find(&image, public).zip(find(&image, private)))
    }

    fn session_pair(&self, draft: &PairDraft) -> Result<Option<SessionPair>, Error> {
        let only = match self.shared.options.ephemeral {
            Ephemeral::Host => return Ok(None),
            Ephemeral::Chip => false,
            Ephemeral::ChipOnly => true,
        };
        // What the chip can not do, the host does; unless the owner wants no key outside of the chip.
        match only_curves(draft).and_then(|()| self.pair_in_context(draft)) {
            Ok(None)
            | Err(Error::CurveNotSupported | Error::TemplateInconsistent(_) | Error::MechanismInvalid(_))
                if !only =>
            {
                Ok(None)
            }
            Ok(None) => Err(key::FULL),
            other => other,
        }
    }

    fn is_in_hardware(&self, mechanism: MechanismType) -> bool {
        matches!(
            mechanism,
            MechanismType::EcKeyPairGen | MechanismType::Ecdsa | MechanismType::Ecdh1Derive
        )
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Error> {
        match self.shared.options.random {
            Random::Chip => self.chip_random(bytes),
            Random::HostSeededFromChip => self.host_random(bytes),
        }
    }
}

fn only_curves(draft: &PairDraft) -> Result<(), Error> {
    match draft.mechanism.kind() {
        MechanismType::EcKeyPairGen => Ok(()),
        other => Err(Error::MechanismInvalid(other)),
    }
}

/// Makes the file in which a host keeps the PIN of a chip: what `token init` calls for a chip. One that is there already opens
/// for its security officer's PIN alone.
pub fn init_host_pin(path: &Path, label: &str, officer: &[u8], user: &[u8]) -> Result<(), Error> {
    let pins = Pins::at(path.to_owned());
    pins.begin(officer, label)?;
    pins.set(User::User, user)
}
