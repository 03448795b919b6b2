//! AES block by block, chained, and as a stream: data of any length, part by part.
//!
//! The library encrypts whole stretches of blocks in place; here is only what lies between two calls: bytes that do not fill a
//! block yet, the block that is chained on, the counter.

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext,
    UnboundCipherKey,
};
use zeroize::Zeroizing;

use super::{LIBRARY, Secret, fill};
use crate::error::Error;
use crate::mechanism::parameters::AES_BLOCK_BYTES;

pub(crate) type Block = [u8; AES_BLOCK_BYTES];

/// The key as the library takes it.
fn unbound(key: &Secret) -> Result<UnboundCipherKey, Error> {
    let algorithm: &'static Algorithm = match key.bytes() {
        16 => &AES_128,
        24 => &AES_192,
        32 => &AES_256,
        _ => return Err(Error::KeySizeRange),
    };
    UnboundCipherKey::new(algorithm, key.value()).map_err(|_| LIBRARY)
}

/// Single blocks, forwards.
pub(crate) struct Forwards(EncryptingKey);

impl Forwards {
    pub(crate) fn new(key: &Secret) -> Result<Self, Error> {
        EncryptingKey::ecb(unbound(key)?).map(Self).map_err(|_| LIBRARY)
    }

    pub(crate) fn apply(&self, blocks: &mut [u8]) -> Result<(), Error> {
        let done = self.0.less_safe_encrypt(blocks, EncryptionContext::None);
        done.map(|_| ()).map_err(|_| LIBRARY)
    }
}

/// Single blocks, backwards.
pub(crate) struct Backwards(DecryptingKey);

impl Backwards {
    pub(crate) fn new(key: &Secret) -> Result<Self, Error> {
        DecryptingKey::ecb(unbound(key)?).map(Self).map_err(|_| LIBRARY)
    }

    pub(crate) fn apply(&self, blocks: &mut [u8]) -> Result<(), Error> {
        let done = self.0.decrypt(blocks, DecryptionContext::None);
        done.map(|_| ()).map_err(|_| LIBRARY)
    }
}

/// What is done with each stretch of blocks.
enum Way {
    Forwards(Forwards),
    Backwards(Backwards),
    Chain(EncryptingKey, Block),
    Unchain(DecryptingKey, Block),
}

impl Way {
    const fn encrypts(&self) -> bool {
        matches!(self, Self::Forwards(_) | Self::Chain(..))
    }

    fn apply(&mut self, blocks: &mut [u8]) -> Result<(), Error> {
        match self {
            Self::Forwards(key) => key.apply(blocks),
            Self::Backwards(key) => key.apply(blocks),
            Self::Chain(key, chain) => {
                let context = EncryptionContext::Iv128((&*chain).into());
                key.less_safe_encrypt(blocks, context).map_err(|_| LIBRARY)?;
                *chain = last(blocks).unwrap_or(*chain);
                Ok(())
            }
            Self::Unchain(key, chain) => {
                let next = last(blocks).unwrap_or(*chain);
                let context = DecryptionContext::Iv128((&*chain).into());
                key.decrypt(blocks, context).map_err(|_| LIBRARY)?;
                *chain = next;
                Ok(())
            }
        }
    }
}

fn last(blocks: &[u8]) -> Option<Block> {
    blocks.last_chunk().copied()
}

/// ECB and CBC, with the padding of PKCS #7 or without.
pub(crate) struct Blocks {
    way: Way,
    held: Zeroizing<Block>,
    held_bytes: usize,
    padded: bool,
}

impl Blocks {
    pub(crate) fn ecb(key: &Secret, encrypts: bool) -> Result<Self, Error> {
        Ok(Self::of(
            if encrypts {
                Way::Forwards(Forwards::new(key)?)
            } else {
                Way::Backwards(Backwards::new(key)?)
            },
            false,
        ))
    }

    pub(crate) fn cbc(key: &Secret, encrypts: bool, iv: &Block, padded: bool) -> Result<Self, Error> {
        let key = unbound(key)?;
        Ok(Self::of(
            if encrypts {
                Way::Chain(EncryptingKey::cbc(key).map_err(|_| LIBRARY)?, *iv)
            } else {
                Way::Unchain(DecryptingKey::cbc(key).map_err(|_| LIBRARY)?, *iv)
            },
            padded,
        ))
    }

    fn of(way: Way, padded: bool) -> Self {
        Self {
            way,
            held: Zeroizing::new([0; AES_BLOCK_BYTES]),
            held_bytes: 0,
            padded,
        }
    }

    /// What comes out when so many bytes come in. Whoever takes padding off keeps the last block back.
    pub(crate) fn update_bytes(&self, part: usize) -> usize {
        let all = self.held_bytes.saturating_add(part);
        let back = usize::from(self.padded && !self.way.encrypts());
        all.saturating_sub(back) / AES_BLOCK_BYTES * AES_BLOCK_BYTES
    }

    /// The next part; `out` has the room that `update_bytes` says.
    pub(crate) fn update(&mut self, part: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let bytes = self.update_bytes(part.len());
        if bytes == 0 {
            self.hold(part);
            return Ok(0);
        }
        let needed = Error::BufferTooSmall { needed: bytes };
        let out = out.get_mut(..bytes).ok_or(needed)?;
        let held = self.held.get(..self.held_bytes).unwrap_or_default();
        let (begin, rest) = part.split_at(bytes - held.len());
        let at = fill(out, held)?;
        fill(out.get_mut(at..).unwrap_or_default(), begin)?;
        self.held_bytes = 0;
        self.hold(rest);
        self.way.apply(out)?;
        Ok(bytes)
    }

    fn hold(&mut self, rest: &[u8]) {
        let places = self.held.iter_mut().skip(self.held_bytes);
        for (place, byte) in places.zip(rest) {
            *place = *byte;
        }
        self.held_bytes += rest.len();
    }

    /// What comes out at the end, at most.
    pub(crate) fn finish_bytes(&self) -> usize {
        if self.padded { AES_BLOCK_BYTES } else { 0 }
    }

    /// The end. With too small a buffer nothing has happened.
    pub(crate) fn finish(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        match (self.padded, self.way.encrypts()) {
            (false, _) if self.held_bytes != 0 => Err(self.uneven(self.held_bytes)),
            (false, _) => Ok(0),
            (true, true) => self.pad(out),
            (true, false) => self.unpad(out),
        }
    }

    /// All data at once.
    pub(crate) fn whole(&mut self, data: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        if !self.padded {
            let bytes = self.update_bytes(data.len());
            if bytes != data.len() {
                return Err(self.uneven(data.len()));
            }
            return self.update(data, out);
        }
        if self.way.encrypts() {
            let needed = self.update_bytes(data.len()) + AES_BLOCK_BYTES;
            let out = out.get_mut(..needed).ok_or(Error::BufferTooSmall { needed })?;
            let at = self.update(data, out)?;
            return Ok(at + self.pad(out.get_mut(at..).unwrap_or_default())?);
        }
        self.whole_unpadded(data, out)
    }

    /// In memory of its own, since only the end says whether the buffer is large enough.
    fn whole_unpadded(&mut self, data: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        if data.is_empty() || !data.len().is_multiple_of(AES_BLOCK_BYTES) {
            return Err(Error::EncryptedDataLengthRange);
        }
        let Way::Unchain(key, chain) = &self.way else {
            return Err(LIBRARY);
        };
        let mut plain = Zeroizing::new(data.to_vec());
        let context = DecryptionContext::Iv128(chain.into());
        key.decrypt(&mut plain, context).map_err(|_| LIBRARY)?;
        let last = Zeroizing::new(last(&plain).unwrap_or_default());
        let bytes = plain.len() - AES_BLOCK_BYTES + unpadded(&last)?;
        fill(out, plain.get(..bytes).unwrap_or_default())
    }

    const fn uneven(&self, found: usize) -> Error {
        if self.way.encrypts() {
            Error::DataLengthRange { found }
        } else {
            Error::EncryptedDataLengthRange
        }
    }

    fn pad(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        let needed = Error::BufferTooSmall {
            needed: AES_BLOCK_BYTES,
        };
        let out = out.get_mut(..AES_BLOCK_BYTES).ok_or(needed)?;
        let missing = AES_BLOCK_BYTES - self.held_bytes;
        for byte in self.held.iter_mut().skip(self.held_bytes) {
            *byte = missing as u8;
        }
        fill(out, &*self.held)?;
        self.way.apply(out)?;
        Ok(AES_BLOCK_BYTES)
    }

    fn unpad(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        if self.held_bytes != AES_BLOCK_BYTES {
            return Err(Error::EncryptedDataLengthRange);
        }
        let chain = match &self.way {
            Way::Unchain(_, chain) => *chain,
            _ => return Err(LIBRARY),
        };
        let mut block = self.held.clone();
        self.way.apply(&mut *block)?;
        let bytes = unpadded(&block)?;
        let written = fill(out, block.get(..bytes).unwrap_or_default());
        if let (Err(Error::BufferTooSmall { .. }), Way::Unchain(_, now)) = (&written, &mut self.way) {
            *now = chain;
        }
        written
    }
}

/// How much of the last block is data. Looks at every byte whatever the padding says.
fn unpadded(block: &Block) -> Result<usize, Error> {
    let pad = block.last().copied().unwrap_or(0);
    let mut wrong = u8::from(pad == 0) | u8::from(usize::from(pad) > AES_BLOCK_BYTES);
    for (at, byte) in block.iter().rev().enumerate() {
        wrong |= u8::from(at < usize::from(pad)) & u8::from(*byte != pad);
    }
    if wrong == 0 {
        Ok(AES_BLOCK_BYTES - usize::from(pad))
    } else {
        Err(Error::EncryptedDataInvalid)
    }
}

/// A stream of counted blocks.
pub(crate) struct Counter {
    key: EncryptingKey,
    counter: u128,
    /// Blocks until the counter would begin again.
    left: u128,
    stream: Zeroizing<Block>,
    used: usize,
}

impl Counter {
    /// From this block on; so many bits on its right count.
    pub(crate) fn new(key: &Secret, counter_bits: u8, block: &Block) -> Result<Self, Error> {
        if counter_bits == 0 || counter_bits > 128 {
            return Err(Error::MechanismParameterInvalid);
        }
        let counter = u128::from_be_bytes(*block);
        let mask = u128::MAX >> (128 - u32::from(counter_bits));
        Ok(Self {
            key: EncryptingKey::ctr(unbound(key)?).map_err(|_| LIBRARY)?,
            counter,
            left: (mask - (counter & mask)).saturating_add(1),
            stream: Zeroizing::new([0; AES_BLOCK_BYTES]),
            used: AES_BLOCK_BYTES,
        })
    }

    /// Mixes the stream into the data. No block of the stream is used twice: data beyond the counter's end are refused whole.
    pub(crate) fn apply(&mut self, data: &mut [u8]) -> Result<(), Error> {
        let found = data.len();
        let ready = (AES_BLOCK_BYTES - self.used).min(found);
        if ((found - ready).div_ceil(AES_BLOCK_BYTES) as u128) > self.left {
            return Err(Error::DataLengthRange { found });
        }
        let (begin, rest) = data.split_at_mut(ready);
        self.mix(begin);
        let whole = rest.len() / AES_BLOCK_BYTES * AES_BLOCK_BYTES;
        let (blocks, end) = rest.split_at_mut(whole);
        self.run(blocks)?;
        if !end.is_empty() {
            let mut stream = Zeroizing::new([0; AES_BLOCK_BYTES]);
            self.run(&mut *stream)?;
            self.stream = stream;
            self.used = 0;
            self.mix(end);
        }
        Ok(())
    }

    fn mix(&mut self, data: &mut [u8]) {
        let stream = self.stream.iter().skip(self.used);
        for (byte, mask) in data.iter_mut().zip(stream) {
            *byte ^= mask;
        }
        self.used += data.len();
    }

    fn run(&mut self, blocks: &mut [u8]) -> Result<(), Error> {
        if blocks.is_empty() {
            return Ok(());
        }
        let context = EncryptionContext::Iv128(self.counter.to_be_bytes().into());
        let done = self.key.less_safe_encrypt(blocks, context);
        done.map_err(|_| LIBRARY)?;
        let count = (blocks.len() / AES_BLOCK_BYTES) as u128;
        self.counter = self.counter.wrapping_add(count);
        self.left = self.left.saturating_sub(count);
        Ok(())
    }
}
