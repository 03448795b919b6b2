//! What programs give for the token's randomness (`C_SeedRandom`).
//!
//! The system's generator needs no help and takes none. What a program gives is mixed in here, after it: as long as one of the two
//! can not be guessed, neither can what comes out.

use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use zeroize::Zeroizing;

use super::seal::random;
use crate::error::Error;

type Pool = Zeroizing<[u8; 32]>;

/// All seeds so far.
#[derive(Default)]
pub(super) struct Seeds(Mutex<Option<Pool>>);

impl core::fmt::Debug for Seeds {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Seeds")
    }
}

impl Seeds {
    fn pool(&self) -> MutexGuard<'_, Option<Pool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more.
    pub(super) fn add(&self, seed: &[u8]) {
        let mut pool = self.pool();
        let before = pool.take().unwrap_or_default();
        *pool = Some(hashed(&before, seed));
    }

    /// Mixes them into random bytes, and goes on to another state.
    pub(super) fn mix(&self, bytes: &mut [u8]) -> Result<(), Error> {
        let mut place = self.pool();
        let Some(pool) = place.take() else {
            return Ok(());
        };
        let fresh: [u8; 32] = random()?;
        let stream = hashed(&pool, &[&fresh[..], b"stream"].concat());
        *place = Some(hashed(&pool, &[&fresh[..], b"next"].concat()));
        for (index, chunk) in bytes.chunks_mut(32).enumerate() {
            let block = hashed(&stream, &(index as u64).to_be_bytes());
            chunk
                .iter_mut()
                .zip(block.iter())
                .for_each(|(byte, mixed)| *byte ^= mixed);
        }
        Ok(())
    }
}

fn hashed(key: &Pool, input: &[u8]) -> Pool {
    let mut output = Pool::default();
    let tag = sign(&Key::new(HMAC_SHA256, &key[..]), input);
    output
        .iter_mut()
        .zip(tag.as_ref())
        .for_each(|(place, byte)| *place = *byte);
    output
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn nothing_is_mixed_in_before_there_is_a_seed_and_never_the_same_twice() {
        let seeds = Seeds::default();
        let zeros = || std::vec![0_u8; 100];
        let mixed = || -> Vec<u8> {
            let mut bytes = zeros();
            seeds.mix(&mut bytes).unwrap();
            bytes
        };
        assert_eq!(mixed(), zeros());
        seeds.add(b"a seed");
        let (first, second) = (mixed(), mixed());
        assert!(first != zeros() && first != second && first[..32] != first[32..64]);
    }
}
