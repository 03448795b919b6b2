//! Tickets by which a client takes a session up again: sealed by the server, kept by the client.
//!
//! They stand beside the handshake, where resumption was asked for. The certificate of the session stands in the ticket, so who
//! comes back is looked up like everybody else. A ticket lives as long as its key: at most an hour, never past a restart, and
//! never on another listener. What a client sends as a ticket may be anything.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::Error;
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

use crate::limits::TICKET_KEY_LIFE;

const NAME_LEN: usize = 16;

/// Seals and opens tickets; the two newest keys are known.
pub(super) struct Tickets(Mutex<Keys>);

struct Keys {
    newest: Key,
    previous: Option<Key>,
}

struct Key {
    name: [u8; NAME_LEN],
    key: LessSafeKey,
    made: Instant,
}

impl Tickets {
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Self(Mutex::new(Keys {
            newest: Key::new(Instant::now()).ok_or_else(no_random)?,
            previous: None,
        })))
    }

    fn seal(&self, plain: &[u8], now: Instant) -> Option<Vec<u8>> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.turn(now)?;
        keys.newest.seal(plain)
    }

    fn open(&self, ticket: &[u8], now: Instant) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME_LEN>()?;
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.turn(now)?;
        let lives = |key: &&Key| now.saturating_duration_since(key.made) < 2 * TICKET_KEY_LIFE;
        core::iter::once(&keys.newest)
            .chain(&keys.previous)
            .filter(lives)
            .find(|key| key.name == *name)?
            .open(name, rest)
    }
}

fn no_random() -> Error {
    Error::FailedToGetRandomBytes
}

impl Keys {
    /// Makes a new key when the newest has served, and forgets those whose tickets have ended.
    fn turn(&mut self, now: Instant) -> Option<()> {
        if now.saturating_duration_since(self.newest.made) < TICKET_KEY_LIFE {
            return Some(());
        }
        let served = core::mem::replace(&mut self.newest, Key::new(now)?);
        let fresh = now.saturating_duration_since(served.made) < 2 * TICKET_KEY_LIFE;
        self.previous = fresh.then_some(served);
        Some(())
    }
}

impl Key {
    fn new(made: Instant) -> Option<Self> {
        let mut name = [0; NAME_LEN];
        let mut secret = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut name).ok()?;
        aws_lc_rs::rand::fill(secret.as_mut_slice()).ok()?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, secret.as_slice()).ok()?);
        Some(Self { name, key, made })
    }

    /// The name of the key, a nonce, and the sealed session.
    fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).ok()?;
        let mut sealed = plain.to_vec();
        let aad = Aad::from(self.name);
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
            .ok()?;
        Some([&self.name[..], &nonce[..], &sealed[..]].concat())
    }

    fn open(&self, name: &[u8; NAME_LEN], rest: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self
            .key
            .open_in_place(nonce, Aad::from(*name), &mut sealed)
            .ok()?
            .len();
        sealed.truncate(length);
        Some(sealed)
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from((2 * TICKET_KEY_LIFE).as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, Instant::now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, Instant::now())
    }
}

impl core::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Tickets")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_ticket_opens_while_its_key_lives_and_only_whole() {
        let tickets = Tickets::new().unwrap();
        let start = Instant::now();
        let ticket = tickets.seal(b"session", start).unwrap();
        let opened = |after| tickets.open(&ticket, start + after);
        assert_eq!(opened(Duration::ZERO).as_deref(), Some(&b"session"[..]));
        for index in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[index] ^= 1;
            assert_eq!(tickets.open(&changed, start), None, "{index}");
            assert_eq!(tickets.open(&ticket[..index], start), None, "{index}");
        }
        assert!(opened(TICKET_KEY_LIFE).is_some());
        assert!(opened(2 * TICKET_KEY_LIFE).is_none());
    }

    #[test]
    fn a_ticket_of_another_listener_or_of_long_ago_is_nothing() {
        let (ours, theirs) = (Tickets::new().unwrap(), Tickets::new().unwrap());
        let start = Instant::now();
        let ticket = theirs.seal(b"session", start).unwrap();
        assert_eq!(ours.open(&ticket, start), None);
        assert_eq!(theirs.open(&ticket, start + 3 * TICKET_KEY_LIFE), None);
        assert!(ours.lifetime() <= 3600);
    }
}
