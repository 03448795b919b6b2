//! A PIN for a chip that has none: a file on this machine says what the PIN is, in a form that does not tell it, and how often it
//! was wrong.
//!
//! It stands between the chip and other programs of this module, and between them only. Whoever can open the bus without asking
//! here, or can write the file, needs no PIN. A try is counted, durably, before it is made and forgiven when it was right.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::string::String;
use std::vec::Vec;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time;
use zeroize::Zeroizing;

use crate::backend::{PinState, User};
use crate::bus_lock;
use crate::checksum::crc32;
use crate::error::Error;
use crate::limits::{
    ARGON2_KIBIBYTES, ARGON2_PASSES, LABEL_BYTES_MAX, PIN_BYTES_MAX, PIN_BYTES_MIN, PIN_TRIES_MAX,
};

const MAGIC: [u8; 4] = *b"BMC1";
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
const FILE_BYTES: usize = 4 + 2 * (2 + SALT_BYTES + HASH_BYTES) + 1 + LABEL_BYTES_MAX + 4;

/// The file.
#[derive(Debug)]
pub(super) struct Pins {
    path: PathBuf,
}

/// One user's PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verifier {
    salt: [u8; SALT_BYTES],
    hash: [u8; HASH_BYTES],
}

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Record {
    officer: Option<Verifier>,
    user: Option<Verifier>,
    officer_tries: u8,
    user_tries: u8,
    label: String,
}

/// What a program may know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) label: String,
    pub(super) officer: PinState,
    pub(super) user: PinState,
}

impl Pins {
    /// The file here; it need not be there yet.
    pub(super) const fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// What a program may know of it; `None` if there is no file yet.
    pub(super) fn known(&self) -> Result<Option<Known>, Error> {
        Ok(self.read()?.map(|record| Known {
            officer: state(record.officer, record.officer_tries),
            user: state(record.user, record.user_tries),
            label: record.label,
        }))
    }

    /// Checks a PIN.
    pub(super) fn check(&self, user: User, pin: &[u8]) -> Result<(), Error> {
        let _alone = self.alone()?;
        let record = self.read()?.ok_or(Error::NotInitialized)?;
        self.check_alone(record, user, pin).map(drop)
    }

    fn check_alone(&self, mut record: Record, user: User, pin: &[u8]) -> Result<Record, Error> {
        let (verifier, tries) = record.of(user);
        let verifier = (*verifier).ok_or(match user {
            User::User => Error::UserPinNotInitialized,
            User::SecurityOfficer => Error::NotInitialized,
        })?;
        if *tries >= PIN_TRIES_MAX {
            return Err(Error::PinLocked);
        }
        *tries += 1;
        self.write(&record)?;
        verifier.check(pin)?;
        *record.of(user).1 = 0;
        self.write(&record)?;
        Ok(record)
    }

    /// Makes the file anew: a security officer, no user yet. One that is there already opens for its security officer alone.
    pub(super) fn begin(&self, officer: &[u8], label: &str) -> Result<(), Error> {
        let _alone = self.alone()?;
        match self.read()? {
            Some(record) => drop(self.check_alone(record, User::SecurityOfficer, officer)?),
            None => check_length(officer)?,
        }
        self.write(&Record {
            officer: Some(Verifier::new(officer)?),
            label: cut(label.trim_end()),
            ..Record::default()
        })
    }

    /// Gives a user a PIN, and new tries.
    pub(super) fn set(&self, user: User, pin: &[u8]) -> Result<(), Error> {
        check_length(pin)?;
        let _alone = self.alone()?;
        let mut record = self.read()?.ok_or(Error::NotInitialized)?;
        record.give(user, pin)?;
        self.write(&record)
    }

    /// Gives a user who knows the old PIN a new one.
    pub(super) fn change(&self, user: User, old: &[u8], new: &[u8]) -> Result<(), Error> {
        check_length(new)?;
        let _alone = self.alone()?;
        let record = self.read()?.ok_or(Error::NotInitialized)?;
        let mut record = self.check_alone(record, user, old)?;
        record.give(user, new)?;
        self.write(&record)
    }

    /// One process at a time counts tries.
    fn alone(&self) -> Result<File, Error> {
        bus_lock::alone_with(&suffixed(&self.path, ".lock"))
    }

    fn read(&self) -> Result<Option<Record>, Error> {
        let mut bytes = Vec::new();
        match File::open(&self.path) {
            Ok(file) => file
                .take(FILE_BYTES as u64 + 1)
                .read_to_end(&mut bytes)
                .map_err(failed("read the file of the chip's PIN"))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open the file of the chip's PIN")(error)),
        };
        Record::parse(&bytes).map(Some).ok_or(Error::DeviceContent {
            what: "the file of the chip's PIN has bytes that nobody wrote",
        })
    }

    fn write(&self, record: &Record) -> Result<(), Error> {
        replace(&self.path, &record.bytes()).map_err(failed("write the file of the chip's PIN"))
    }
}

fn state(verifier: Option<Verifier>, tries: u8) -> PinState {
    match (verifier, tries) {
        (None, _) => PinState::Absent,
        (_, 0) => PinState::Set,
        (_, PIN_TRIES_MAX..) => PinState::Locked,
        (_, tries) if tries + 1 == PIN_TRIES_MAX => PinState::FinalTry,
        _ => PinState::CountLow,
    }
}

fn check_length(pin: &[u8]) -> Result<(), Error> {
    let fits = (PIN_BYTES_MIN..=PIN_BYTES_MAX).contains(&pin.len());
    fits.then_some(()).ok_or(Error::PinLengthRange)
}

impl Verifier {
    fn new(pin: &[u8]) -> Result<Self, Error> {
        let mut salt = [0; SALT_BYTES];
        aws_lc_rs::rand::fill(&mut salt).map_err(|_| FAILED)?;
        Ok(Self {
            salt,
            hash: *stretched(pin, &salt)?,
        })
    }

    fn check(&self, pin: &[u8]) -> Result<(), Error> {
        let found = stretched(pin, &self.salt)?;
        constant_time::verify_slices_are_equal(&*found, &self.hash).map_err(|_| Error::PinIncorrect)
    }
}

const FAILED: Error = Error::General("the cryptographic library failed");

fn stretched(pin: &[u8], salt: &[u8]) -> Result<Zeroizing<[u8; HASH_BYTES]>, Error> {
    let params = Params::new(ARGON2_KIBIBYTES, ARGON2_PASSES, 1, Some(HASH_BYTES)).map_err(|_| FAILED)?;
    let mut memory = Zeroizing::new(std::vec![Block::default(); params.block_count()]);
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut hash = Zeroizing::new([0; HASH_BYTES]);
    argon2
        .hash_password_into_with_memory(pin, salt, &mut *hash, memory.as_mut_slice())
        .map_err(|_| FAILED)?;
    Ok(hash)
}

impl Record {
    const fn of(&mut self, user: User) -> (&mut Option<Verifier>, &mut u8) {
        match user {
            User::SecurityOfficer => (&mut self.officer, &mut self.officer_tries),
            User::User => (&mut self.user, &mut self.user_tries),
        }
    }

    fn give(&mut self, user: User, pin: &[u8]) -> Result<(), Error> {
        let (verifier, tries) = self.of(user);
        *verifier = Some(Verifier::new(pin)?);
        *tries = 0;
        Ok(())
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for (verifier, tries) in [(&self.officer, self.officer_tries), (&self.user, self.user_tries)] {
            bytes.extend_from_slice(&[u8::from(verifier.is_some()), tries]);
            let blank = ([0; SALT_BYTES], [0; HASH_BYTES]);
            let (salt, hash) = verifier.map_or(blank, |verifier| (verifier.salt, verifier.hash));
            bytes.extend_from_slice(&salt);
            bytes.extend_from_slice(&hash);
        }
        let label = self.label.as_bytes();
        bytes.push(u8::try_from(label.len()).unwrap_or(0));
        bytes.extend_from_slice(label);
        bytes.resize(FILE_BYTES - 4, 0);
        bytes.extend_from_slice(&crc32(&bytes).to_be_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<4>()?;
        let (magic, mut rest) = body.split_first_chunk::<4>()?;
        let whole = bytes.len() == FILE_BYTES && crc32(body) == u32::from_be_bytes(*sum);
        let mut one = || {
            let (&[set, tries], after) = rest.split_first_chunk()?;
            let (salt, after) = after.split_first_chunk()?;
            let (hash, after) = after.split_first_chunk()?;
            rest = after;
            let verifier = Verifier {
                salt: *salt,
                hash: *hash,
            };
            Some(((set != 0).then_some(verifier), tries))
        };
        let ((officer, officer_tries), (user, user_tries)) = (one()?, one()?);
        let (&length, label) = rest.split_first()?;
        let label = String::from_utf8(label.get(..usize::from(length))?.to_vec()).ok()?;
        (*magic == MAGIC && whole).then_some(Self {
            officer,
            user,
            officer_tries,
            user_tries,
            label,
        })
    }
}

/// As much of a label as fits.
fn cut(label: &str) -> String {
    let fits = |(at, letter): &(usize, char)| at + letter.len_utf8() <= LABEL_BYTES_MAX;
    label
        .char_indices()
        .take_while(fits)
        .map(|(_, letter)| letter)
        .collect()
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The old content or the new one, durable before it returns.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let fresh = suffixed(path, ".new");
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn failed(what: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::File {
        what,
        kind: error.kind(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pins() -> (tempfile::TempDir, Pins) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pin");
        (folder, Pins::at(path))
    }

    #[test]
    fn a_pin_opens_and_another_does_not() {
        let (_folder, pins) = pins();
        assert_eq!(pins.known(), Ok(None));
        assert_eq!(pins.check(User::User, b"0000"), Err(Error::NotInitialized));
        assert_eq!(pins.begin(b"abc", "x"), Err(Error::PinLengthRange));
        pins.begin(b"officer", "gateway ").unwrap();
        assert_eq!(pins.check(User::User, b"0000"), Err(Error::UserPinNotInitialized));
        pins.set(User::User, b"0000").unwrap();
        assert_eq!(pins.check(User::User, b"0000"), Ok(()));
        assert_eq!(pins.check(User::User, b"0001"), Err(Error::PinIncorrect));
        let known = pins.known().unwrap().unwrap();
        assert_eq!(
            (known.label.as_str(), known.user),
            ("gateway", PinState::CountLow)
        );
        assert_eq!(
            pins.change(User::User, b"0001", b"1111"),
            Err(Error::PinIncorrect)
        );
        pins.change(User::User, b"0000", b"1111").unwrap();
        assert_eq!(pins.check(User::User, b"1111"), Ok(()));
        assert_eq!(pins.begin(b"0fficer", "x"), Err(Error::PinIncorrect));
        pins.begin(b"officer", "anew").unwrap();
        assert_eq!(pins.check(User::User, b"1111"), Err(Error::UserPinNotInitialized));
    }

    #[test]
    fn tries_end_and_are_counted_for_everybody() {
        let (folder, pins) = pins();
        pins.begin(b"officer", "x").unwrap();
        pins.set(User::User, b"right").unwrap();
        let path = folder.path().join("pin");
        for try_number in 1..=PIN_TRIES_MAX {
            // Each try is another process.
            let other = Pins::at(path.clone());
            assert_eq!(other.check(User::User, b"wrong"), Err(Error::PinIncorrect));
            let expected = match PIN_TRIES_MAX - try_number {
                0 => PinState::Locked,
                1 => PinState::FinalTry,
                _ => PinState::CountLow,
            };
            assert_eq!(pins.known().unwrap().unwrap().user, expected);
        }
        assert_eq!(pins.check(User::User, b"right"), Err(Error::PinLocked));
        assert_eq!(pins.check(User::SecurityOfficer, b"officer"), Ok(()));
        pins.set(User::User, b"right").unwrap();
        assert_eq!(pins.check(User::User, b"right"), Ok(()));
    }

    #[test]
    fn the_file_tells_no_pin_and_every_byte_counts() {
        let (folder, pins) = pins();
        pins.begin(b"officer-pin", "x").unwrap();
        pins.set(User::User, b"user-pin").unwrap();
        let path = folder.path().join("pin");
        let whole = std::fs::read(&path).unwrap();
        for pin in [&b"officer-pin"[..], b"user-pin"] {
            assert!(!whole.windows(pin.len()).any(|window| window == pin));
        }
        for index in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[index] ^= 1;
            std::fs::write(&path, damaged).unwrap();
            assert!(pins.known().is_err(), "byte {index}");
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            pins_mode(&std::fs::metadata(&path).unwrap().permissions());
            fn pins_mode(permissions: &std::fs::Permissions) {
                assert_eq!(permissions.mode() & 0o777, 0o600);
            }
        }
    }
}
