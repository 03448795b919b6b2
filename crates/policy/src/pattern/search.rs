//! Where in a subject the characters between two stars occur first, in a time that no policy and no topic can make long.
//!
//! What is one text is searched for as such, which is linear in the subject. What holds a `?` or is put together from several
//! texts is first tried where its first text occurs; when that fails too often, all places are followed at once, one bit for
//! each character of the pattern. A subject of n characters and a piece of m cost at most n (2 + m / 32) steps.

use std::collections::BTreeMap;

use crate::limits::SEARCH_CANDIDATES_MAX;

/// One character, or any.
type Wanted = Option<char>;

/// A piece of a pattern that is not one text.
pub(super) trait Piece {
    /// The text that it begins with, if it begins with one.
    fn first(&self) -> Option<&str>;
    /// What is left of a subject that begins with it.
    fn strip<'s>(&self, subject: &'s str) -> Option<&'s str>;
    /// Its characters.
    fn characters(&self) -> Vec<Wanted>;
}

/// What follows the first occurrence, and how many steps that took.
pub(super) fn after<'s>(piece: &impl Piece, subject: &'s str, steps: &mut usize) -> Option<&'s str> {
    let mut rest = subject;
    for _ in 0..SEARCH_CANDIDATES_MAX {
        let Some(first) = piece.first() else { break };
        let at = rest.find(first)?;
        *steps += at + first.len();
        rest = rest.get(at..)?;
        if let Some(after) = piece.strip(rest) {
            return Some(after);
        }
        rest = skip_one(rest)?;
    }
    Places::of(&piece.characters()).after(rest, steps)
}

fn skip_one(text: &str) -> Option<&str> {
    let mut characters = text.chars();
    characters.next()?;
    Some(characters.as_str())
}

/// For each character of the pattern, whether what was read ends with the pattern up to it: one bit each.
struct Places {
    count: usize,
    now: Vec<u64>,
    /// Places at which any character fits.
    any: Vec<u64>,
    /// Places of each character, as bits if they are many.
    of: BTreeMap<char, Fits>,
}

enum Fits {
    Few(Vec<usize>),
    Many(Vec<u64>),
}

impl Places {
    fn of(wanted: &[Wanted]) -> Self {
        let words = wanted.len().div_ceil(64);
        let mut any = vec![0; words];
        let mut few: BTreeMap<char, Vec<usize>> = BTreeMap::new();
        for (place, wanted) in wanted.iter().enumerate() {
            match wanted {
                Some(character) => few.entry(*character).or_default().push(place),
                None => set(&mut any, place),
            }
        }
        let fits = few.into_iter().map(|(character, places)| {
            let fits = match places.len() > words {
                true => {
                    let mut bits = vec![0; words];
                    places.iter().for_each(|place| set(&mut bits, *place));
                    Fits::Many(bits)
                }
                false => Fits::Few(places),
            };
            (character, fits)
        });
        Self {
            count: wanted.len(),
            now: vec![0; words],
            any,
            of: fits.collect(),
        }
    }

    fn after<'s>(&mut self, subject: &'s str, steps: &mut usize) -> Option<&'s str> {
        let mut rest = subject.chars();
        while self.count > 0 && !is_set(&self.now, self.count - 1) {
            *steps += 2 * self.now.len();
            self.read(rest.next()?);
        }
        Some(rest.as_str())
    }

    fn read(&mut self, character: char) {
        let mut carried = 1;
        for word in &mut self.now {
            let next = *word >> 63;
            *word = *word << 1 | carried;
            carried = next;
        }
        match self.of.get(&character) {
            Some(Fits::Many(bits)) => {
                let fits = self.any.iter().zip(bits).map(|(any, own)| any | own);
                self.now.iter_mut().zip(fits).for_each(|(now, fits)| *now &= fits);
            }
            Some(Fits::Few(places)) => {
                let reached: Vec<usize> = places
                    .iter()
                    .copied()
                    .filter(|place| is_set(&self.now, *place))
                    .collect();
                self.only_any();
                reached.into_iter().for_each(|place| set(&mut self.now, place));
            }
            None => self.only_any(),
        }
    }

    fn only_any(&mut self) {
        self.now
            .iter_mut()
            .zip(&self.any)
            .for_each(|(now, any)| *now &= any);
    }
}

fn set(bits: &mut [u64], place: usize) {
    if let Some(word) = bits.get_mut(place / 64) {
        *word |= 1 << (place % 64);
    }
}

fn is_set(bits: &[u64], place: usize) -> bool {
    bits.get(place / 64)
        .is_some_and(|word| word & 1 << (place % 64) != 0)
}
