//! How often each PIN was wrong: a small file of its own, durable before any answer.
//!
//! A try is counted before it is made and forgiven when it was right, so that pulling the plug wins nothing. A count belongs to
//! one PIN, named by its salt: with a new PIN it begins at nought, in the same instant in which the new PIN becomes valid.
//! Whoever can write the file can turn it back; it protects against those who can not.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::vec::Vec;

use aws_lc_rs::digest::{SHA256, digest};

use super::journal::{failed, replace};
use super::record::Header;
use super::seal::Id;
use crate::backend::{PinState, User};
use crate::error::Error;
use crate::limits::PIN_TRIES_MAX;

const MAGIC: [u8; 8] = *b"bmpins 2";
/// Magic, two counts, zeros, two salts.
const CONTENT_BYTES: usize = 48;
const BYTES: usize = 64;

const DAMAGED: Error = Error::DeviceContent {
    what: "the PIN counters have bytes that nobody wrote",
};

/// Wrong tries since the last right one, of each PIN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pins {
    officer: (u8, Id),
    user: (u8, Id),
}

/// The file, locked for as long as this lives.
#[derive(Debug)]
pub(super) struct Counters {
    file: File,
    pub(super) pins: Pins,
}

const READING: &str = "read the PIN counters";
const WRITING: &str = "write the PIN counters";

impl Counters {
    /// What the file says about the PINs of this token, with nobody else between this look and the next [`Counters::keep`].
    pub(super) fn open(path: &Path, header: &Header) -> Result<Self, Error> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(failed("open the PIN counters"))?;
        file.lock().map_err(failed("lock the PIN counters"))?;
        let pins = Pins::parse(&read(&file)?)?.of(header);
        Ok(Self { file, pins })
    }

    /// 64 bytes in place: in one sector, so there is no half of it.
    pub(super) fn keep(&mut self, pins: Pins) -> Result<(), Error> {
        self.pins = pins;
        let mut file = &self.file;
        let written = file
            .seek(SeekFrom::Start(0))
            .and_then(|_| file.write_all(&pins.bytes()))
            .and_then(|()| file.sync_data());
        written.map_err(failed(WRITING))
    }
}

impl Drop for Counters {
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

fn read(file: &File) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::with_capacity(BYTES + 1);
    let read = file.take(BYTES as u64 + 1).read_to_end(&mut bytes);
    read.map_err(failed(READING))?;
    Ok(bytes)
}

impl Pins {
    /// What the file says about the PINs of this token.
    pub(super) fn read(path: &Path, header: &Header) -> Result<Self, Error> {
        let file = File::open(path).map_err(failed(READING))?;
        file.lock_shared().map_err(failed("lock the PIN counters"))?;
        let pins = Self::parse(&read(&file)?)?.of(header);
        let _ = file.unlock();
        Ok(pins)
    }

    fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let (content, sum) = bytes.split_first_chunk::<CONTENT_BYTES>().ok_or(DAMAGED)?;
        let right = digest(&SHA256, content);
        if sum.len() != BYTES - CONTENT_BYTES || !right.as_ref().starts_with(sum) {
            return Err(DAMAGED);
        }
        let (magic, rest) = content.split_first_chunk::<8>().ok_or(DAMAGED)?;
        let ([officer, user, 0, 0, 0, 0, 0, 0], salts) = rest.split_first_chunk::<8>().ok_or(DAMAGED)? else {
            return Err(DAMAGED);
        };
        let (of_officer, of_user) = salts.split_first_chunk().ok_or(DAMAGED)?;
        if *magic != MAGIC {
            return Err(DAMAGED);
        }
        Ok(Self {
            officer: (*officer, *of_officer),
            user: (*user, of_user.try_into().map_err(|_| DAMAGED)?),
        })
    }

    /// Counts of PINs that are no more count for nothing.
    fn of(self, header: &Header) -> Self {
        let count = |(count, salt): (u8, Id), now: Id| (if salt == now { count } else { 0 }, now);
        let user = header.user.as_ref().map_or_else(Id::default, |wrap| wrap.salt);
        Self {
            officer: count(self.officer, header.officer.salt),
            user: count(self.user, user),
        }
    }

    fn bytes(self) -> [u8; BYTES] {
        let counts = [self.officer.0, self.user.0, 0, 0, 0, 0, 0, 0];
        let content = [&MAGIC[..], &counts, &self.officer.1, &self.user.1].concat();
        let sum = digest(&SHA256, &content);
        let mut bytes = [0; BYTES];
        let all = content.iter().chain(sum.as_ref());
        bytes.iter_mut().zip(all).for_each(|(to, from)| *to = *from);
        bytes
    }

    /// Makes the file, with no try counted.
    pub(super) fn create(path: &Path) -> Result<(), Error> {
        replace(path, &Self::default().bytes())
    }

    const fn count(&mut self, user: User) -> &mut u8 {
        match user {
            User::SecurityOfficer => &mut self.officer.0,
            User::User => &mut self.user.0,
        }
    }

    /// The same after one more try; an error if there is none left.
    pub(super) fn tried(mut self, user: User) -> Result<Self, Error> {
        let count = self.count(user);
        if *count >= PIN_TRIES_MAX {
            return Err(Error::PinLocked);
        }
        *count += 1;
        Ok(self)
    }

    /// The same with this user's tries forgiven.
    pub(super) const fn forgiven(mut self, user: User) -> Self {
        *self.count(user) = 0;
        self
    }

    /// What a program may know about a PIN that is set.
    pub(super) fn state(mut self, user: User) -> PinState {
        match *self.count(user) {
            0 => PinState::Set,
            count if count >= PIN_TRIES_MAX => PinState::Locked,
            count if count == PIN_TRIES_MAX - 1 => PinState::FinalTry,
            _ => PinState::CountLow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flash::seal::{WRAP_BYTES, Work, Wrap};

    fn wrap(salt: u8) -> Wrap {
        Wrap {
            work: Work::NEW,
            salt: [salt; 16],
            sealed: [0; WRAP_BYTES],
        }
    }

    fn header(officer: u8, user: u8) -> Header {
        Header {
            edition: [0; 16],
            token: [0; 16],
            label: "".into(),
            read_only: false,
            officer: wrap(officer),
            user: Some(wrap(user)),
        }
    }

    #[test]
    fn every_byte_counts_and_every_try_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pins");
        Pins::create(&path).unwrap();
        let mut counters = Counters::open(&path, &header(1, 2)).unwrap();
        let tried = counters.pins.tried(User::User).unwrap();
        counters.keep(tried).unwrap();
        drop(counters);
        assert_eq!(Pins::read(&path, &header(1, 2)), Ok(tried));
        let whole = std::fs::read(&path).unwrap();
        for index in 0..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[index] ^= 1 << bit;
                std::fs::write(&path, damaged).unwrap();
                assert_eq!(Pins::read(&path, &header(1, 2)), Err(DAMAGED), "byte {index}");
                assert!(Counters::open(&path, &header(1, 2)).is_err());
            }
        }
        for wrong in [&whole[..63], &[&whole[..], &[0]].concat(), &[]] {
            std::fs::write(&path, wrong).unwrap();
            assert!(Pins::read(&path, &header(1, 2)).is_err());
        }
    }

    #[test]
    fn a_new_pin_begins_at_nought_and_the_other_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pins");
        Pins::create(&path).unwrap();
        let mut counters = Counters::open(&path, &header(1, 2)).unwrap();
        for user in [User::User, User::SecurityOfficer] {
            let tried = counters.pins.tried(user).unwrap();
            counters.keep(tried).unwrap();
        }
        drop(counters);
        let now = Pins::read(&path, &header(1, 3)).unwrap();
        assert_eq!(now.state(User::User), PinState::Set);
        assert_eq!(now.state(User::SecurityOfficer), PinState::CountLow);
    }

    #[test]
    fn tries_end() {
        let mut pins = Pins::default();
        let mut states = Vec::new();
        while let Ok(next) = pins.tried(User::User) {
            pins = next;
            states.push(pins.state(User::User));
        }
        assert_eq!(states.len(), usize::from(PIN_TRIES_MAX));
        assert_eq!(states.last(), Some(&PinState::Locked));
        assert_eq!(states[states.len() - 2], PinState::FinalTry);
        assert_eq!(states[0], PinState::CountLow);
        assert_eq!(pins.state(User::SecurityOfficer), PinState::Set);
        assert_eq!(pins.forgiven(User::User), Pins::default());
    }
}
