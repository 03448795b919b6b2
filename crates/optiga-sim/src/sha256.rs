//! SHA-256 (FIPS 180-4) with a state that can leave the chip between two commands, which no library offers.
//!
//! For CalcHash alone. The state that leaves is sealed by a key of the chip; what comes back and was not sealed is refused.

use zeroize::Zeroize;

use crate::limits::HASH_CONTEXT_BYTES;

const BLOCK_BYTES: usize = 64;
const SEAL_BYTES: usize = 16;

const INITIAL: [u32; 8] = [
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];

const ROUNDS: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// A hash that is not finished.
#[derive(Clone, Debug)]
pub(crate) struct Sha256 {
    state: [u32; 8],
    bytes: u64,
    block: [u8; BLOCK_BYTES],
}

impl Sha256 {
    pub(crate) fn new() -> Self {
        Self {
            state: INITIAL,
            bytes: 0,
            block: [0; BLOCK_BYTES],
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let at = (self.bytes % BLOCK_BYTES as u64) as usize;
            if let Some(place) = self.block.get_mut(at) {
                *place = *byte;
            }
            self.bytes = self.bytes.wrapping_add(1);
            if at + 1 == BLOCK_BYTES {
                self.compress();
            }
        }
    }

    pub(crate) fn finish(mut self) -> [u8; 32] {
        let bits = self.bytes.wrapping_mul(8);
        self.update(&[0x80]);
        while self.bytes % BLOCK_BYTES as u64 != 56 {
            self.update(&[0]);
        }
        self.update(&bits.to_be_bytes());
        let mut digest = [0; 32];
        for (place, word) in digest.chunks_mut(4).zip(self.state) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        digest
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the schedule has a fixed size and constant bounds"
    )]
    fn compress(&mut self) {
        let mut schedule = [0_u32; 64];
        for (word, bytes) in schedule.iter_mut().zip(self.block.chunks_exact(4)) {
            *word = bytes.iter().fold(0, |word, byte| (word << 8) | u32::from(*byte));
        }
        for index in 16..64 {
            let (a, b) = (schedule[index - 15], schedule[index - 2]);
            let s0 = a.rotate_right(7) ^ a.rotate_right(18) ^ (a >> 3);
            let s1 = b.rotate_right(17) ^ b.rotate_right(19) ^ (b >> 10);
            let sum = schedule[index - 16]
                .wrapping_add(s0)
                .wrapping_add(schedule[index - 7]);
            schedule[index] = sum.wrapping_add(s1);
        }
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = self.state;
        for (round, word) in ROUNDS.iter().zip(schedule) {
            let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let choice = (e & f) ^ (!e & g);
            let t1 = h
                .wrapping_add(s1)
                .wrapping_add(choice)
                .wrapping_add(*round)
                .wrapping_add(word);
            let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let majority = (a & b) ^ (a & c) ^ (b & c);
            (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
            (d, c, b, a) = (c, b, a, t1.wrapping_add(s0).wrapping_add(majority));
        }
        for (old, new) in self.state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *old = old.wrapping_add(new);
        }
    }

    /// The state as it leaves the chip: 32 bytes of state, 8 of count, 64 of block, 10 of nothing, 16 of seal.
    pub(crate) fn export(&self, seal: impl FnOnce(&[u8]) -> [u8; 32]) -> [u8; HASH_CONTEXT_BYTES] {
        let mut context = Vec::with_capacity(HASH_CONTEXT_BYTES);
        self.state
            .iter()
            .for_each(|word| context.extend_from_slice(&word.to_be_bytes()));
        context.extend_from_slice(&self.bytes.to_be_bytes());
        context.extend_from_slice(&self.block);
        context.resize(HASH_CONTEXT_BYTES - SEAL_BYTES, 0);
        let seal = seal(&context);
        context.extend(seal.iter().take(SEAL_BYTES));
        context.try_into().unwrap_or([0; HASH_CONTEXT_BYTES])
    }

    /// A state that comes back; `None` if this chip has not sealed it.
    pub(crate) fn import(context: &[u8], seal: impl FnOnce(&[u8]) -> [u8; 32]) -> Option<Self> {
        let (covered, tag) = <&[u8; HASH_CONTEXT_BYTES]>::try_from(context)
            .ok()?
            .split_last_chunk::<SEAL_BYTES>()?;
        if seal(covered).get(..SEAL_BYTES) != Some(tag) {
            return None;
        }
        let (words, rest) = covered.split_first_chunk::<32>()?;
        let (count, rest) = rest.split_first_chunk::<8>()?;
        let mut imported = Self {
            bytes: u64::from_be_bytes(*count),
            block: *rest.first_chunk()?,
            ..Self::new()
        };
        for (word, bytes) in imported.state.iter_mut().zip(words.chunks_exact(4)) {
            *word = bytes.iter().fold(0, |word, byte| (word << 8) | u32::from(*byte));
        }
        Some(imported)
    }
}

impl Drop for Sha256 {
    fn drop(&mut self) {
        self.state.zeroize();
        self.block.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_library() {
        let bytes: Vec<u8> = (0..300).map(|index| index as u8).collect();
        for length in 0..bytes.len() {
            let message = bytes.get(..length).unwrap();
            let mut hash = Sha256::new();
            hash.update(message);
            assert_eq!(hash.finish(), identity::crypto::sha256(message), "{length} bytes");
        }
    }

    #[test]
    fn a_state_comes_back_only_as_it_left() {
        let seal = |bytes: &[u8]| identity::crypto::sha256(&[bytes, b"secret"].concat());
        for length in [0, 1, 63, 64, 65] {
            let mut hash = Sha256::new();
            hash.update(&vec![7; length]);
            let context = hash.export(seal);
            let mut resumed = Sha256::import(&context, seal).unwrap();
            resumed.update(b"more");
            hash.update(b"more");
            assert_eq!(resumed.finish(), hash.finish());
            for at in 0..HASH_CONTEXT_BYTES {
                let mut forged = context;
                forged[at] ^= 1;
                assert!(Sha256::import(&forged, seal).is_none(), "byte {at}");
            }
        }
        assert!(Sha256::import(&[0; 129], seal).is_none());
    }
}
