//! The flash token behind the wall that all backends have.

use super::*;
use crate::attribute::Class;
use crate::crypto::Secret;

impl Backend for Flash {
    fn describe(&self) -> Result<TokenDescription, Error> {
        let mut store = self.store();
        store.refresh()?;
        let serial = |state: &State| {
            let digits = state.header.token.iter().take(8);
            digits.map(|byte| std::format!("{byte:02X}")).collect()
        };
        Ok(TokenDescription {
            manufacturer: "Birthmark",
            model: "Birthmark flash",
            serial: store.state.as_ref().map_or_else(|| "0".repeat(16), serial),
        })
    }

    fn status(&self) -> Result<Status, Error> {
        let mut store = self.store();
        store.refresh()?;
        let Some(state) = &store.state else {
            return Ok(Status {
                label: String::new(),
                initialized: false,
                login_required: true,
                write_protected: false,
                user_pin: PinState::Absent,
                officer_pin: PinState::Absent,
            });
        };
        let pins = Pins::read(&store.path("pins"))?;
        let user = state.header.user.as_ref().map(|_| pins.state(User::User));
        Ok(Status {
            label: state.header.label.clone(),
            initialized: true,
            login_required: true,
            write_protected: false,
            user_pin: user.unwrap_or(PinState::Absent),
            officer_pin: pins.state(User::SecurityOfficer),
        })
    }

    fn login(&self, user: User, pin: &[u8]) -> Result<(), Error> {
        let mut store = self.store();
        let _lock = store.writing()?;
        let key = store.unlock(user, pin)?;
        store.login = Some(Login { user, key });
        Ok(())
    }

    fn logout(&self) {
        self.store().forget();
    }

    fn generation(&self) -> Result<u64, Error> {
        let mut store = self.store();
        store.refresh()?;
        Ok(store.generation)
    }

    fn load(&self) -> Result<Contents, Error> {
        let mut store = self.store();
        store.refresh()?;
        let objects = store.state.iter().flat_map(|state| &state.objects);
        let objects = objects.map(|(place, stored)| found(*place, stored)).collect();
        Ok(Contents {
            objects,
            damaged: Vec::new(),
        })
    }

    fn open_key(&self, place: Place) -> Result<Key, Error> {
        let store = self.store();
        let secret = store.secret(place)?;
        let class = store
            .state()?
            .objects
            .get(&place)
            .and_then(|stored| stored.attributes.class());
        let key = match class {
            Some(Class::SecretKey) => Secret::new(&secret).map(Key::Secret),
            _ => Key::from_pkcs8(&secret),
        };
        key.map_err(|_| CHANGED)
    }

    fn open_value(&self, place: Place) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.store().secret(place)
    }

    fn keep(&self, drafts: Vec<Draft>) -> Result<Vec<Found>, Error> {
        let mut store = self.store();
        let places = store.put(drafts)?;
        let state = store.state()?;
        let kept = places.iter().map(|place| {
            let stored = state.objects.get(place).ok_or(LIBRARY)?;
            Ok(found(*place, stored))
        });
        kept.collect()
    }

    fn destroy(&self, place: Place) -> Result<(), Error> {
        let mut store = self.store();
        let (_lock, key) = store.begin()?;
        let objects = &store.state()?.objects;
        let stored = objects.get(&place).ok_or(Error::ObjectHandleInvalid)?;
        let record = Record::Delete { id: stored.id };
        store.commit(&key, [(record, Zeroizing::default())].into())
    }

    fn init_token(&self, pin: &[u8], label: &str) -> Result<(), Error> {
        check_pin(pin)?;
        if label.len() > LABEL_BYTES_MAX {
            return Err(Error::ArgumentsBad("a token's label has at most 32 bytes"));
        }
        let mut store = self.store();
        let _lock = store.writing()?;
        if store.state.is_some() {
            store.unlock(User::SecurityOfficer, pin)?;
        }
        let (token, key) = (seal::random()?, DataKey::new(seal::random()?));
        let header = Header {
            token,
            label: label.into(),
            officer: Wrap::new(&key, pin, &token, OFFICER)?,
            user: None,
        };
        let record = Record::Header(header);
        let context = record.context(&journal::START, &token, 0);
        let sealed = seal::seal(&seal::object_key(&key, &token, &record.id())?, &context, &[])?;
        let mut body = Vec::new();
        record.write(&sealed, &mut body);
        let (bytes, _) = journal::frame(&journal::START, &body)?;
        Pins::create(&store.path("pins"))?;
        journal::replace(&store.path("journal"), &bytes)?;
        store.forget();
        store.refresh_locked()?;
        Ok(())
    }

    fn init_pin(&self, pin: &[u8]) -> Result<(), Error> {
        check_pin(pin)?;
        let mut store = self.store();
        let _lock = store.writing()?;
        match &store.login {
            Some(Login {
                user: User::SecurityOfficer,
                key,
            }) => {
                let key = key.clone();
                store.wrap(User::User, &key, pin)
            }
            _ => Err(Error::UserNotLoggedIn),
        }
    }

    fn set_pin(&self, user: User, old: &[u8], new: &[u8]) -> Result<(), Error> {
        check_pin(new)?;
        let mut store = self.store();
        let _lock = store.writing()?;
        let key = store.unlock(user, old)?;
        store.wrap(user, &key, new)
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Error> {
        aws_lc_rs::rand::fill(bytes).map_err(|_| LIBRARY)
    }
}

impl Store {
    /// The lock for writing, on top of whatever others have written.
    fn writing(&mut self) -> Result<File, Error> {
        let mut folder = std::fs::DirBuilder::new();
        folder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
        folder
            .create(&self.folder)
            .map_err(failed("make the token's directory"))?;
        let lock = self.lock(true)?;
        if self.path("journal").exists() {
            self.refresh_locked()?;
        } else {
            self.forget();
            self.state = None;
        }
        Ok(lock)
    }
}

fn found(place: Place, stored: &Stored) -> Found {
    Found {
        place,
        attributes: Arc::clone(&stored.attributes),
        aliases: &[],
    }
}
