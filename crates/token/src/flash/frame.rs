//! The frames of a token's journal: what one commit is in the file, and how a reader tells a torn one from a damaged one.
//!
//! A file begins with 64 bytes that name its form. A frame is its length and the length's complement, the body, a proof that
//! its writer had the token's keys, zeros up to a multiple of 64 bytes, and a SHA-256 over the sum before it and all of this:
//! every byte of the file counts. A frame is one commit: it is there whole, or it is not there.
//!
//! A write that was cut short leaves a frame that ends too early, or zeros at its end, or sectors of zeros in it. Everything between length and sum
//! is masked with the sum before it, so that a sector which was written is never all zeros, whatever a program keeps. So a torn
//! end is told from a changed byte, and only the end of the file can be torn. Anything else is damage and never passed over.

use std::vec::Vec;

use aws_lc_rs::digest::{self, Context, SHA256};

use super::seal::Keys;
use crate::error::Error;
use crate::limits::FRAME_BYTES_MAX;

/// A SHA-256: the sum over everything up to a place in the file, or a proof.
pub(super) type Chain = [u8; 32];

/// The first bytes of the file.
pub(super) const MAGIC: [u8; BLOCK_BYTES] =
    *b"birthmark token journal, form 2\nframes follow, each sealed whole";

/// Frames begin and end at multiples of this.
pub(super) const BLOCK_BYTES: usize = 64;
/// What a disk writes whole.
const SECTOR_BYTES: usize = 512;
/// Length and complement.
pub(super) const HEAD_BYTES: usize = 8;
const SUM_BYTES: usize = 32;
const PROOF_BYTES: usize = 32;

pub(super) const DAMAGED: Error = Error::DeviceContent {
    what: "the token's journal has bytes that nobody wrote",
};
const FIRST_FORM: Error = Error::DeviceContent {
    what: "a journal of form 1, which no release wrote: make a new token",
};
const OTHER_FORM: Error = Error::DeviceContent {
    what: "a journal of a form that this version does not know: use a newer one",
};

/// Where the next frame begins, and the sum there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) end: u64,
    pub(super) sum: Chain,
}

/// That a frame was written by somebody with the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proof {
    inner: Chain,
    proof: Chain,
}

impl Proof {
    pub(super) fn holds(&self, keys: &Keys) -> bool {
        keys.is_proven(&self.inner, &self.proof)
    }
}

/// The position after the first bytes, if they are those of this form.
pub(super) fn begin(bytes: &[u8]) -> Result<Position, Error> {
    if bytes == MAGIC {
        return Ok(Position {
            end: BLOCK_BYTES as u64,
            sum: sum(&[&MAGIC]),
        });
    }
    let form = |bytes: &[u8]| bytes.get(..30) == MAGIC.get(..30) && bytes.get(32..) == MAGIC.get(32..);
    let Some((head, _)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Err(DAMAGED);
    };
    let number = u64::from_be_bytes(*head);
    let (length, complement) = ((number >> 32) as u32, number as u32);
    Err(match bytes.get(30) {
        _ if length == !complement => FIRST_FORM,
        Some(b'3'..=b'9') if form(bytes) => OTHER_FORM,
        _ => DAMAGED,
    })
}

fn sum(parts: &[&[u8]]) -> Chain {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    chain(&context.finish())
}

fn chain(digest: &digest::Digest) -> Chain {
    digest.as_ref().try_into().unwrap_or_default()
}

/// Applies the mask, or takes it off.
fn mask(bytes: &mut [u8], sum: &Chain) {
    for chunk in bytes.chunks_mut(SUM_BYTES) {
        chunk.iter_mut().zip(sum).for_each(|(byte, mask)| *byte ^= mask);
    }
}

/// Bytes of a frame with such a body.
const fn frame_bytes(body: usize) -> usize {
    (HEAD_BYTES + body + PROOF_BYTES + SUM_BYTES).next_multiple_of(BLOCK_BYTES)
}

/// A frame as it is written, with the position after it.
pub(super) fn build(at: &Position, body: &[u8], keys: &Keys) -> Result<(Vec<u8>, Position, Proof), Error> {
    let length = u32::try_from(body.len())
        .ok()
        .filter(|length| *length <= FRAME_BYTES_MAX);
    let length = length.ok_or(Error::DataLengthRange { found: body.len() })?;
    let head = [length.to_be_bytes(), (!length).to_be_bytes()].concat();
    let inner = sum(&[&at.sum, &head, body]);
    let proof = Proof {
        inner,
        proof: keys.prove(&inner),
    };
    let whole = frame_bytes(body.len());
    let mut frame = Vec::with_capacity(whole);
    for part in [&head, body, &proof.proof] {
        frame.extend_from_slice(part);
    }
    frame.resize(whole - SUM_BYTES, 0);
    let padding = frame
        .get(HEAD_BYTES + body.len() + PROOF_BYTES..)
        .unwrap_or_default();
    let after = sum(&[&inner, &proof.proof, padding]);
    mask(frame.get_mut(HEAD_BYTES..).unwrap_or_default(), &at.sum);
    frame.extend_from_slice(&after);
    let end = at.end + whole as u64;
    Ok((frame, Position { end, sum: after }, proof))
}

/// How long a frame is, from its first bytes; `None` if nothing was written there.
pub(super) fn length(head: [u8; HEAD_BYTES]) -> Result<Option<usize>, Error> {
    let number = u64::from_be_bytes(head);
    if number == 0 {
        return Ok(None);
    }
    let (length, complement) = ((number >> 32) as u32, number as u32);
    if length != !complement || length > FRAME_BYTES_MAX {
        return Err(DAMAGED);
    }
    Ok(Some(length as usize))
}

/// What is in the place of a frame.
pub(super) enum Found<'a> {
    /// A commit.
    Whole {
        body: &'a [u8],
        after: Position,
        proof: Proof,
    },
    /// A commit that never was.
    Torn,
}

/// Reads the frame in `bytes`: the head says how many there must be. `is_last`: the file ends with it.
pub(super) fn open<'a>(
    at: &Position,
    bytes: &'a mut [u8],
    body: usize,
    is_last: bool,
) -> Result<Found<'a>, Error> {
    let torn = is_last && (bytes.ends_with(&[0; SUM_BYTES]) || has_empty_sector(at.end, bytes));
    mask(
        bytes
            .get_mut(HEAD_BYTES..)
            .and_then(|rest| rest.split_last_chunk_mut::<SUM_BYTES>())
            .ok_or(DAMAGED)?
            .0,
        &at.sum,
    );
    let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(DAMAGED)?;
    let (content, found) = rest.split_last_chunk::<SUM_BYTES>().ok_or(DAMAGED)?;
    let (body, rest) = content.split_at_checked(body).ok_or(DAMAGED)?;
    let (proof, padding) = rest.split_first_chunk::<PROOF_BYTES>().ok_or(DAMAGED)?;
    let inner = sum(&[&at.sum, head, body]);
    let after = sum(&[&inner, proof, padding]);
    if after == *found {
        let proof = Proof { inner, proof: *proof };
        let end = at.end + bytes.len() as u64;
        let after = Position { end, sum: after };
        return Ok(Found::Whole { body, after, proof });
    }
    if torn { Ok(Found::Torn) } else { Err(DAMAGED) }
}

/// How many bytes the frame with such a body has in the file.
pub(super) const fn whole_bytes(body: usize) -> usize {
    frame_bytes(body)
}

/// Whether a sector of the file holds nothing of these bytes.
fn has_empty_sector(start: u64, mut bytes: &[u8]) -> bool {
    let mut room = SECTOR_BYTES - (start % SECTOR_BYTES as u64) as usize;
    while !bytes.is_empty() {
        let (sector, rest) = bytes.split_at(room.min(bytes.len()));
        if sector.iter().all(|byte| *byte == 0) {
            return true;
        }
        (bytes, room) = (rest, SECTOR_BYTES);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flash::seal::random_key;

    fn keys() -> Keys {
        Keys::new([1; 16], random_key().unwrap()).unwrap()
    }

    /// What a reader makes of these bytes at this position: a body, torn, or damage.
    fn check(at: &Position, bytes: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let mut bytes = bytes.to_vec();
        let head = bytes[..HEAD_BYTES].try_into().unwrap();
        let Some(body) = length(head)? else {
            return Ok(None);
        };
        assert_eq!(whole_bytes(body), bytes.len());
        match open(at, &mut bytes, body, true)? {
            Found::Whole { body, .. } => Ok(Some(body.to_vec())),
            Found::Torn => Ok(None),
        }
    }

    #[test]
    fn every_changed_bit_is_damage_and_every_empty_sector_is_a_torn_end() {
        let keys = keys();
        for (start, body) in [
            (1, std::vec![0; 2000]),
            (7, std::vec![0xA5; 100]),
            (3, Vec::new()),
        ] {
            let at = Position {
                end: start * BLOCK_BYTES as u64,
                sum: begin(&MAGIC).unwrap().sum,
            };
            let body_bytes = body.len();
            let (frame, after, proof) = build(&at, &body, &keys).unwrap();
            assert_eq!(check(&at, &frame), Ok(Some(body)));
            assert!(proof.holds(&keys) && !proof.holds(&self::keys()));
            assert_eq!(after.end % BLOCK_BYTES as u64, 0);
            for index in 0..frame.len() {
                for bit in (0..8).filter(|bit| body_bytes < 1000 || bit % 4 == index % 4) {
                    let mut changed = frame.clone();
                    changed[index] ^= 1 << bit;
                    assert_eq!(check(&at, &changed), Err(DAMAGED), "byte {index}");
                }
                let mut zeroed = frame.clone();
                zeroed[index] = 0;
                assert!(zeroed == frame || check(&at, &zeroed) == Err(DAMAGED));
            }
            let mut sector = 0;
            while sector < frame.len() {
                let next = (sector + 1 + at.end as usize).next_multiple_of(SECTOR_BYTES) - at.end as usize;
                let mut torn = frame.clone();
                torn[sector..next.min(frame.len())].fill(0);
                assert_eq!(check(&at, &torn), Ok(None), "sector at {sector}");
                sector = next;
            }
        }
    }

    #[test]
    fn other_forms_are_named() {
        assert!(begin(&MAGIC).is_ok());
        let mut newer = MAGIC;
        newer[30] = b'3';
        assert_eq!(begin(&newer), Err(OTHER_FORM));
        let mut first = [0; BLOCK_BYTES];
        first[4..8].fill(0xFF);
        assert_eq!(begin(&first), Err(FIRST_FORM));
        for index in (0..BLOCK_BYTES).filter(|index| *index != 30) {
            let mut changed = MAGIC;
            changed[index] ^= 1;
            assert_eq!(begin(&changed), Err(DAMAGED), "byte {index}");
        }
        assert_eq!(begin(&[]), Err(DAMAGED));
    }

    #[test]
    fn a_frame_has_a_largest_size() {
        let at = begin(&MAGIC).unwrap();
        let keys = keys();
        let largest = std::vec![1; FRAME_BYTES_MAX as usize];
        assert!(build(&at, &largest, &keys).is_ok());
        assert!(build(&at, &[&largest[..], &[1]].concat(), &keys).is_err());
        assert!(length([0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFE]).is_ok());
        let [a, b, c, d] = (FRAME_BYTES_MAX + 1).to_be_bytes();
        assert_eq!(length([a, b, c, d, !a, !b, !c, !d]), Err(DAMAGED));
    }
}
