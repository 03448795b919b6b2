//! The backend whose objects live in files: a directory with a journal, PIN counters and a lock.
//!
//! Every change is one frame of the journal and one fsync; a process that is killed leaves the old state or the new one.
//! Several processes may share the directory: writers take the lock, readers look whether the journal has grown. Private keys
//! are sealed under a key that only the user's PIN (or the security officer's) opens; what is public is readable without, and
//! is checked against the seals as soon as somebody logs in: a change anywhere in the file is found then.
//!
//! What it can not notice: that somebody put back an older copy of the whole directory.

mod backend;
mod journal;
mod pins;
mod record;
mod seal;
#[cfg(test)]
mod tests;

use std::boxed::Box;
use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::string::String;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use zeroize::Zeroizing;

use self::journal::{Chain, failed};
use self::pins::Pins;
use self::record::{Header, Record, Sealed};
use self::seal::{DataKey, Id, Wrap};
use crate::attributes::Attributes;
use crate::backend::{Backend, Contents, Draft, Found, PinState, Place, Status, TokenDescription, User};
use crate::crypto::Key;
use crate::error::Error;
use crate::limits::{LABEL_BYTES_MAX, PIN_BYTES_MAX, PIN_BYTES_MIN};

const OFFICER: u8 = 0;
const USER: u8 = 1;
const CHANGED: Error = Error::DeviceContent {
    what: "the token's journal was changed by somebody without its keys",
};

/// A token in a directory.
#[derive(Debug)]
pub struct Flash {
    store: Mutex<Store>,
}

/// The directory, and what was read from it.
struct Store {
    folder: PathBuf,
    state: Option<State>,
    login: Option<Login>,
    places: u32,
    /// Commits that were made or seen.
    generation: u64,
}

struct Login {
    user: User,
    key: DataKey,
}

/// What the journal says, up to where it was read.
struct State {
    header: Header,
    /// Where the first frame ends, and the sum there: another token has another one.
    first: (u64, Chain),
    end: u64,
    chain: Chain,
    objects: BTreeMap<Place, Stored>,
    names: HashMap<Id, Place>,
    /// The last record: its seal covers everything before it.
    last: (Id, Vec<u8>, Vec<u8>),
}

struct Stored {
    id: Id,
    attributes: Arc<Attributes>,
    context: Vec<u8>,
    sealed: Vec<u8>,
}

impl core::fmt::Debug for Store {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Store({})", self.folder.display())
    }
}

impl Flash {
    /// The token in this directory, or the place for one. Nothing is read yet.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            store: Mutex::new(Store::new(folder)),
        }
    }

    /// The same as something that a slot takes.
    #[must_use]
    pub fn backend(folder: &Path) -> Box<dyn Backend> {
        Box::new(Self::new(folder))
    }

    /// A thread that panicked leaves a store that reads the files again.
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    fn new(folder: &Path) -> Self {
        Self {
            folder: folder.into(),
            state: None,
            login: None,
            places: 0,
            generation: 0,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The lock of the directory, until it is dropped.
    fn lock(&self, alone: bool) -> Result<File, Error> {
        let cannot = failed("lock the token's directory");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(self.path("lock")).map_err(&cannot)?;
        if alone { file.lock() } else { file.lock_shared() }.map_err(&cannot)?;
        Ok(file)
    }

    // Reading.

    /// Reads what other processes have written since; says whether there was anything.
    fn refresh(&mut self) -> Result<bool, Error> {
        if !self.path("journal").exists() {
            self.forget();
            let news = self.state.take().is_some();
            self.generation += u64::from(news);
            return Ok(news);
        }
        let _lock = self.lock(false)?;
        self.refresh_locked()
    }

    fn refresh_locked(&mut self) -> Result<bool, Error> {
        let mut file = File::open(self.path("journal")).map_err(failed("open the token's journal"))?;
        let length = file.metadata().map_err(failed("open the token's journal"))?.len();
        let same = match &self.state {
            Some(state) => length >= state.end && sum_at(&mut file, state.first.0)? == Some(state.first.1),
            None => false,
        };
        if !same {
            self.forget();
            self.state = None;
        }
        let (from, chain) = self
            .state
            .as_ref()
            .map_or((0, journal::START), |state| (state.end, state.chain));
        if same && length == from {
            return Ok(false);
        }
        let frames = journal::scan(&mut file, from, chain)?;
        let news = !frames.is_empty() || !same;
        for frame in frames {
            self.take_in(frame)?;
        }
        if news {
            self.generation += 1;
            self.check()?;
        }
        Ok(news)
    }

    fn take_in(&mut self, frame: journal::Frame) -> Result<(), Error> {
        let token = self.state.as_ref().map(|state| state.header.token);
        for sealed in record::parse(&frame.body, &frame.before, token.as_ref())? {
            self.apply(sealed, &frame)?;
        }
        if let Some(state) = &mut self.state {
            (state.end, state.chain) = (frame.end, frame.after);
        }
        Ok(())
    }

    fn apply(&mut self, sealed: Sealed, frame: &journal::Frame) -> Result<(), Error> {
        let Sealed {
            record,
            context,
            sealed,
        } = sealed;
        let last = (record.id(), context.clone(), sealed.clone());
        let begins = Error::DeviceContent {
            what: "a journal that does not begin with its token",
        };
        match (record, &mut self.state) {
            (Record::Header(header), Some(state)) => state.header = header,
            (Record::Header(header), state) => {
                *state = Some(State {
                    header,
                    first: (frame.end, frame.after),
                    end: frame.end,
                    chain: frame.after,
                    objects: BTreeMap::new(),
                    names: HashMap::new(),
                    last: last.clone(),
                });
            }
            (Record::Put { id, attributes }, Some(state)) => {
                self.places += 1;
                let place = Place(self.places);
                state.names.insert(id, place);
                state.objects.insert(
                    place,
                    Stored {
                        id,
                        attributes: Arc::new(attributes),
                        context,
                        sealed,
                    },
                );
            }
            (Record::Delete { id }, Some(state)) => {
                if let Some(place) = state.names.remove(&id) {
                    state.objects.remove(&place);
                }
            }
            (_, None) => return Err(begins),
        }
        if let Some(state) = &mut self.state {
            state.last = last;
        }
        Ok(())
    }

    /// With the keys at hand: is the last record, and so everything before it, what the token wrote?
    fn check(&self) -> Result<(), Error> {
        match (&self.state, &self.login) {
            (Some(state), Some(login)) => state.check(&login.key),
            _ => Ok(()),
        }
    }

    fn state(&self) -> Result<&State, Error> {
        self.state.as_ref().ok_or(Error::NotInitialized)
    }

    fn forget(&mut self) {
        self.login = None;
    }

    // Writing.

    /// Writes records as one commit. `secrets` are their sealed parts.
    fn commit(&mut self, key: &DataKey, records: Vec<(Record, Zeroizing<Vec<u8>>)>) -> Result<(), Error> {
        let state = self.state()?;
        let mut body = Vec::new();
        for (index, (record, secret)) in records.iter().enumerate() {
            let index = u8::try_from(index).map_err(|_| Error::General("too many records in one commit"))?;
            let context = record.context(&state.chain, &state.header.token, index);
            let object = seal::object_key(key, &state.header.token, &record.id())?;
            record.write(&seal::seal(&object, &context, secret)?, &mut body);
        }
        let (bytes, _) = journal::frame(&state.chain, &body)?;
        journal::append(&self.path("journal"), state.end, &bytes)?;
        self.refresh_locked()?;
        Ok(())
    }

    /// The lock for writing and the user's key, on top of whatever others have written.
    fn begin(&mut self) -> Result<(File, DataKey), Error> {
        let lock = self.lock(true)?;
        self.refresh_locked()?;
        match &self.login {
            Some(Login {
                user: User::User,
                key,
            }) => Ok((lock, key.clone())),
            _ => Err(Error::UserNotLoggedIn),
        }
    }

    fn put(&mut self, drafts: Vec<Draft>) -> Result<Vec<Place>, Error> {
        let (_lock, key) = self.begin()?;
        let mut records = Vec::new();
        let mut ids = Vec::new();
        for draft in drafts {
            let id = seal::random()?;
            ids.push(id);
            records.push((
                Record::Put {
                    id,
                    attributes: draft.attributes,
                },
                draft.secret.unwrap_or_default(),
            ));
        }
        self.commit(&key, records)?;
        let state = self.state()?;
        let lost = Error::General("an object that was written is not there");
        ids.iter()
            .map(|id| state.names.get(id).copied().ok_or_else(|| lost.clone()))
            .collect()
    }

    /// What is sealed of an object.
    fn secret(&self, place: Place) -> Result<Zeroizing<Vec<u8>>, Error> {
        let login = self.login.as_ref().filter(|login| login.user == User::User);
        let key = &login.ok_or(Error::UserNotLoggedIn)?.key;
        let state = self.state()?;
        let stored = state.objects.get(&place).ok_or(Error::ObjectHandleInvalid)?;
        state.secret(stored, key)
    }

    // PINs.

    /// The data key if the PIN is right; each try is counted before it is made.
    fn unlock(&mut self, user: User, pin: &[u8]) -> Result<DataKey, Error> {
        let state = self.state()?;
        let (wrap, role) = match user {
            User::SecurityOfficer => (Some(&state.header.officer), OFFICER),
            User::User => (state.header.user.as_ref(), USER),
        };
        let wrap = wrap.ok_or(Error::UserPinNotInitialized)?;
        let path = self.path("pins");
        let tried = Pins::read(&path)?.tried(user)?;
        tried.write(&path)?;
        let key = wrap.open(pin, &state.header.token, role)?;
        tried.forgiven(user).write(&path)?;
        state.check(&key)?;
        Ok(key)
    }

    /// Gives a user another PIN.
    fn wrap(&mut self, user: User, key: &DataKey, pin: &[u8]) -> Result<(), Error> {
        check_pin(pin)?;
        let mut header = self.state()?.header.clone();
        match user {
            User::SecurityOfficer => header.officer = Wrap::new(key, pin, &header.token, OFFICER)?,
            User::User => header.user = Some(Wrap::new(key, pin, &header.token, USER)?),
        }
        self.commit(key, [(Record::Header(header), Zeroizing::default())].into())?;
        let path = self.path("pins");
        Pins::read(&path)?.forgiven(user).write(&path)
    }
}

impl State {
    fn check(&self, key: &DataKey) -> Result<(), Error> {
        let (id, context, sealed) = &self.last;
        let object = seal::object_key(key, &self.header.token, id)?;
        seal::open(&object, context, sealed).map(|_| ()).ok_or(CHANGED)
    }

    fn secret(&self, stored: &Stored, key: &DataKey) -> Result<Zeroizing<Vec<u8>>, Error> {
        let object = seal::object_key(key, &self.header.token, &stored.id)?;
        seal::open(&object, &stored.context, &stored.sealed).ok_or(CHANGED)
    }
}

fn sum_at(file: &mut File, end: u64) -> Result<Option<Chain>, Error> {
    let mut sum = Chain::default();
    let read = file.seek(SeekFrom::Start(end.saturating_sub(sum.len() as u64)));
    Ok(read.and_then(|_| file.read_exact(&mut sum)).ok().map(|()| sum))
}

const fn check_pin(pin: &[u8]) -> Result<(), Error> {
    if pin.len() < PIN_BYTES_MIN || pin.len() > PIN_BYTES_MAX {
        return Err(Error::PinLengthRange);
    }
    Ok(())
}

const LIBRARY: Error = Error::General("the cryptographic library failed");
