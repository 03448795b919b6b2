//! How often each PIN was wrong: two numbers in a file of their own, durable before any answer.
//!
//! A try is counted before it is made and forgiven when it was right, so that pulling the plug wins nothing. Whoever can write
//! the file can turn it back; it protects against those who can not.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::Path;

use super::journal::{failed, replace};
use crate::backend::{PinState, User};
use crate::error::Error;
use crate::limits::PIN_TRIES_MAX;

/// Wrong tries since the last right one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pins {
    officer: u8,
    user: u8,
}

const MAGIC: [u8; 4] = *b"BMP1";

impl Pins {
    /// What the file says.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let mut bytes = [0; 9];
        let mut file = std::fs::File::open(path).map_err(failed("read the PIN counters"))?;
        let mut length = 0;
        while let Some(free) = bytes.get_mut(length..).filter(|free| !free.is_empty()) {
            match file.read(free).map_err(failed("read the PIN counters"))? {
                0 => break,
                read => length += read,
            }
        }
        let damaged = Error::DeviceContent {
            what: "the PIN counters have bytes that nobody wrote",
        };
        match bytes {
            [b'B', b'M', b'P', b'1', officer, user, a, b, 0]
                if length == 8 && a == !officer && b == !user =>
            {
                Ok(Self { officer, user })
            }
            _ => Err(damaged),
        }
    }

    fn bytes(self) -> [u8; 8] {
        let [b, m, p, one] = MAGIC;
        [b, m, p, one, self.officer, self.user, !self.officer, !self.user]
    }

    /// Makes the file.
    pub(super) fn create(path: &Path) -> Result<(), Error> {
        replace(path, &Self::default().bytes())
    }

    /// Eight bytes in place: one sector, so there is no half of it.
    pub(super) fn write(self, path: &Path) -> Result<(), Error> {
        let file = OpenOptions::new().write(true).open(path);
        let written = file.and_then(|mut file| {
            file.write_all(&self.bytes())?;
            file.sync_data()
        });
        written.map_err(failed("write the PIN counters"))
    }

    const fn count(&mut self, user: User) -> &mut u8 {
        match user {
            User::SecurityOfficer => &mut self.officer,
            User::User => &mut self.user,
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

    #[test]
    fn every_byte_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pins");
        Pins::create(&path).unwrap();
        let tried = Pins::read(&path).unwrap().tried(User::User).unwrap();
        tried.write(&path).unwrap();
        assert_eq!(Pins::read(&path), Ok(tried));
        let whole = std::fs::read(&path).unwrap();
        for index in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[index] ^= 1;
            std::fs::write(&path, damaged).unwrap();
            assert!(Pins::read(&path).is_err(), "byte {index}");
        }
        for wrong in [&whole[..7], &[&whole[..], &[0]].concat()] {
            std::fs::write(&path, wrong).unwrap();
            assert!(Pins::read(&path).is_err());
        }
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
