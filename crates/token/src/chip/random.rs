//! Randomness on the host that began in the chip: the chip's own source gives a few kilobytes a second at most, this one as
//! much as one wants.
//!
//! The chip's and the machine's randomness are mixed, so that either alone is enough. Each request ends with a new key, so that
//! what was given can not be found from what is kept (Barak and Halevi, "A model and architecture for pseudo-random
//! generation", 2005).

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use zeroize::Zeroizing;

use crate::error::Error;

/// Bytes that the chip gives for a seed.
pub(super) const SEED_BYTES: usize = 32;
/// Bytes that one expansion gives (RFC 5869 2.3 allows 255 times the hash).
const PART_BYTES: usize = 4096;
/// Requests after which the chip is asked again.
const REQUESTS_MAX: u32 = 10_000;

/// The generator.
pub(super) struct HostRandom {
    key: Zeroizing<[u8; SEED_BYTES]>,
    requests: u32,
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

const FAILED: Error = Error::General("the random source failed");

impl HostRandom {
    /// A generator from the chip's bytes and the machine's.
    pub(super) fn new(seed: &[u8; SEED_BYTES]) -> Result<Self, Error> {
        let mut machine = Zeroizing::new([0; SEED_BYTES]);
        aws_lc_rs::rand::fill(&mut *machine).map_err(|_| FAILED)?;
        let mut key = Zeroizing::new([0; SEED_BYTES]);
        let mixed = Salt::new(HKDF_SHA256, &*machine).extract(seed);
        expand(&mixed, b"birthmark random seed", &mut *key)?;
        Ok(Self { key, requests: 0 })
    }

    /// Whether it is time for a new seed.
    pub(super) const fn is_worn(&self) -> bool {
        self.requests >= REQUESTS_MAX
    }

    /// Fills `bytes`.
    pub(super) fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        for part in bytes.chunks_mut(PART_BYTES) {
            let secret = Prk::new_less_safe(HKDF_SHA256, &*self.key);
            expand(&secret, b"birthmark random output", part)?;
            expand(&secret, b"birthmark random key", &mut *self.key)?;
        }
        self.requests += 1;
        Ok(())
    }
}

fn expand(secret: &Prk, purpose: &[u8], out: &mut [u8]) -> Result<(), Error> {
    let purpose = [purpose];
    let expanded = secret.expand(&purpose, Length(out.len())).map_err(|_| FAILED)?;
    expanded.fill(out).map_err(|_| FAILED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn nothing_comes_twice_and_everything_is_filled() {
        let mut random = HostRandom::new(&[7; SEED_BYTES]).unwrap();
        let mut seen = BTreeSet::new();
        for length in [
            16,
            17,
            PART_BYTES - 1,
            PART_BYTES,
            PART_BYTES + 20,
            3 * PART_BYTES,
        ] {
            let mut bytes = std::vec![0; length];
            random.fill(&mut bytes).unwrap();
            for block in bytes.chunks_exact(16) {
                assert!(seen.insert(block.to_vec()));
            }
        }
        let mut other = HostRandom::new(&[7; SEED_BYTES]).unwrap();
        let mut bytes = [0; 16];
        other.fill(&mut bytes).unwrap();
        assert!(!seen.contains(&bytes[..]), "the machine's randomness counts too");
        assert!(!random.is_worn());
    }
}
