//! AES key wrap (RFC 3394) and its sister with padding (RFC 5649), for keys of all three lengths.
//!
//! The library wraps with 128 and 256 bits only; its block cipher is what is used here.

use std::vec::Vec;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use super::Secret;
use super::aes::{Backwards, Block, Forwards};
use crate::error::Error;
use crate::limits::WRAPPED_BYTES_MAX;

/// Half a block: the unit of everything here.
const HALF: usize = 8;
/// What stands before the data (RFC 3394, 2.2.3.1).
const CHECK: [u8; HALF] = [0xA6; HALF];
/// The same with padding, before the length (RFC 5649, 3).
const CHECK_PADDED: [u8; 4] = [0xA6, 0x59, 0x59, 0xA6];

/// Bytes of so many bytes when they are wrapped.
pub(crate) const fn wrapped_bytes(data: usize, padded: bool) -> usize {
    let _ = padded;
    data.div_ceil(HALF) * HALF + HALF
}

/// Wraps.
pub(crate) fn wrap(key: &Secret, data: &[u8], padded: bool) -> Result<Zeroizing<Vec<u8>>, Error> {
    let found = data.len();
    let fits = if padded {
        found > 0
    } else {
        found.is_multiple_of(HALF) && found >= 2 * HALF
    };
    if !fits || found > WRAPPED_BYTES_MAX {
        return Err(Error::DataLengthRange { found });
    }
    let cipher = Forwards::new(key)?;
    let mut out = Zeroizing::new(Vec::with_capacity(wrapped_bytes(found, padded)));
    out.extend_from_slice(&check(padded, found));
    out.extend_from_slice(data);
    out.resize(wrapped_bytes(found, padded), 0);
    if out.len() == 2 * HALF {
        cipher.apply(&mut out)?;
    } else {
        rounds(&cipher, &mut out)?;
    }
    Ok(out)
}

/// Unwraps.
pub(crate) fn unwrap(key: &Secret, wrapped: &[u8], padded: bool) -> Result<Zeroizing<Vec<u8>>, Error> {
    let least = if padded { 2 * HALF } else { 3 * HALF };
    if !wrapped.len().is_multiple_of(HALF)
        || wrapped.len() < least
        || wrapped.len() > WRAPPED_BYTES_MAX + HALF
    {
        return Err(Error::EncryptedDataLengthRange);
    }
    let cipher = Backwards::new(key)?;
    let mut whole = Zeroizing::new(wrapped.to_vec());
    if whole.len() == 2 * HALF {
        cipher.apply(&mut whole)?;
    } else {
        unrounds(&cipher, &mut whole)?;
    }
    let (head, data) = whole.split_at(HALF);
    let bytes = if padded { length(head, data)? } else { data.len() };
    verify_slices_are_equal(head, &check(padded, bytes)).map_err(|_| Error::EncryptedDataInvalid)?;
    Ok(Zeroizing::new(data.get(..bytes).unwrap_or_default().to_vec()))
}

fn check(padded: bool, bytes: usize) -> [u8; HALF] {
    if !padded {
        return CHECK;
    }
    let [a, b, c, d] = CHECK_PADDED;
    let [e, f, g, h] = (bytes as u32).to_be_bytes();
    [a, b, c, d, e, f, g, h]
}

/// The length that the head says, if as much data and no more are there, and zeros behind them (RFC 5649, 3).
fn length(head: &[u8], data: &[u8]) -> Result<usize, Error> {
    let said = head
        .last_chunk()
        .map_or(0, |bytes: &[u8; 4]| u32::from_be_bytes(*bytes));
    let said = said as usize;
    let most = data.len();
    let zeros = data.get(said..).unwrap_or_default();
    let wrong = said > most || said + HALF <= most || zeros.iter().fold(0, |all, byte| all | byte) != 0;
    if wrong {
        Err(Error::EncryptedDataInvalid)
    } else {
        Ok(said)
    }
}

/// The steps of RFC 3394, 2.2.1, in place: the first half block is A, the others R.
fn rounds(cipher: &Forwards, whole: &mut [u8]) -> Result<(), Error> {
    let (a, r) = whole.split_at_mut(HALF);
    let mut step = 0_u64;
    for _ in 0..6 {
        for half in r.chunks_exact_mut(HALF) {
            step += 1;
            let mut block = joined(a, half);
            cipher.apply(&mut *block)?;
            part(&block, a, half);
            mark(a, step);
        }
    }
    Ok(())
}

/// The steps of RFC 3394, 2.2.2, backwards.
fn unrounds(cipher: &Backwards, whole: &mut [u8]) -> Result<(), Error> {
    let (a, r) = whole.split_at_mut(HALF);
    let mut step = 6 * (r.len() / HALF) as u64;
    for _ in 0..6 {
        for half in r.chunks_exact_mut(HALF).rev() {
            mark(a, step);
            let mut block = joined(a, half);
            cipher.apply(&mut *block)?;
            part(&block, a, half);
            step -= 1;
        }
    }
    Ok(())
}

fn joined(a: &[u8], half: &[u8]) -> Zeroizing<Block> {
    let mut block = Zeroizing::new([0; 2 * HALF]);
    for (place, byte) in block.iter_mut().zip(a.iter().chain(half)) {
        *place = *byte;
    }
    block
}

fn part(block: &Block, a: &mut [u8], half: &mut [u8]) {
    for (place, byte) in a.iter_mut().chain(half).zip(block) {
        *place = *byte;
    }
}

fn mark(a: &mut [u8], step: u64) {
    for (byte, count) in a.iter_mut().zip(step.to_be_bytes()) {
        *byte ^= count;
    }
}
