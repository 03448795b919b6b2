//! The chip's non-volatile memory: what differs from a new chip, and nothing else.
//!
//! All changes of one command are one commit: they are on the tray's file, or gone, together. A commit that a power cut hits
//! leaves a small object old or new; a certificate or trust anchor is written page by page and may be left torn, as on silicon.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::limits::PAGE_BYTES;
use crate::objects::{self, Object, life_cycle, oid};
use crate::tray::journal::{Journal, Record};

/// What is known about an object now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) life_cycle: u8,
    /// Algorithm of the key inside; 0 without one.
    pub(crate) algorithm: u8,
    pub(crate) usage: u8,
    pub(crate) conditions: &'a [u8],
    pub(crate) content: &'a [u8],
}

/// One change of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change<'a> {
    /// Bytes from an offset; with `clear` everything else becomes zero or goes.
    Bytes {
        oid: u16,
        offset: u16,
        clear: bool,
        bytes: &'a [u8],
    },
    /// Life cycle, and what key there is.
    State {
        oid: u16,
        life_cycle: u8,
        algorithm: u8,
        usage: u8,
    },
    /// All access conditions.
    Conditions { oid: u16, conditions: &'a [u8] },
}

/// Why a commit did not happen.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The power went; the chip is dark.
    PowerCut,
    /// The tray's file could not be written.
    File,
}

#[derive(Debug)]
struct Entry {
    oid: u16,
    life_cycle: u8,
    algorithm: u8,
    usage: u8,
    conditions: Cow<'static, [u8]>,
    content: Zeroizing<Vec<u8>>,
}

impl Entry {
    fn new(object: &'static Object) -> Self {
        Self {
            oid: object.oid,
            life_cycle: object.life_cycle.unwrap_or(life_cycle::OPERATIONAL),
            algorithm: 0,
            usage: 0,
            conditions: Cow::Borrowed(object.conditions),
            content: Zeroizing::new(object.content.to_vec()),
        }
    }

    fn write(&mut self, offset: usize, clear: bool, bytes: &[u8]) {
        let end = offset + bytes.len();
        if clear {
            // A longer secret of before must not stay in the part that is not used any more.
            self.content.iter_mut().for_each(|byte| *byte = 0);
            self.content.truncate(end);
        }
        let missing = end.saturating_sub(self.content.len());
        if missing > 0 {
            self.content.reserve_exact(missing);
            self.content.resize(end, 0);
        }
        if let Some(place) = self.content.get_mut(offset..end) {
            place.copy_from_slice(bytes);
        }
    }
}

/// The memory of one chip.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Sorted by identifier; an object that nobody touched has none.
    entries: Vec<Entry>,
    chip: u32,
    journal: Option<Arc<Journal>>,
    /// Pages that can be written before the injected power cut.
    pages_left: Option<u32>,
}

impl Memory {
    pub(crate) fn new(chip: u32, journal: Option<Arc<Journal>>) -> Self {
        Self {
            entries: Vec::new(),
            chip,
            journal,
            pages_left: None,
        }
    }

    /// Keeps what happens from now on in a tray's file.
    pub(crate) fn keep_in(&mut self, journal: Arc<Journal>) {
        self.journal = Some(journal);
    }

    /// Lets the power go after so many more pages; `None` takes that back.
    pub(crate) fn cut_after(&mut self, pages: Option<u32>) {
        self.pages_left = pages;
    }

    /// Whether anything was ever written to the object.
    pub(crate) fn touched(&self, oid: u16) -> bool {
        self.position(oid).is_ok()
    }

    pub(crate) fn view(&self, object: &'static Object) -> View<'_> {
        match self
            .position(object.oid)
            .ok()
            .and_then(|index| self.entries.get(index))
        {
            Some(entry) => View {
                life_cycle: entry.life_cycle,
                algorithm: entry.algorithm,
                usage: entry.usage,
                conditions: &entry.conditions,
                content: &entry.content,
            },
            None => View {
                life_cycle: object.life_cycle.unwrap_or(life_cycle::OPERATIONAL),
                algorithm: 0,
                usage: 0,
                conditions: object.conditions,
                content: object.content,
            },
        }
    }

    /// The one byte of an object that has one.
    pub(crate) fn byte(&self, oid: u16) -> u8 {
        let content = objects::find_stored(oid).map(|object| self.view(object).content);
        content.and_then(|content| content.first().copied()).unwrap_or(0)
    }

    /// What a register keeps over a reset, if it keeps anything.
    pub(crate) fn register(&self, oid: u16) -> Option<u8> {
        self.touched(oid).then(|| self.byte(oid))
    }

    /// Makes the changes, all of them or (see the head of this file) what a power cut leaves.
    pub(crate) fn commit(&mut self, changes: &[Change<'_>]) -> Result<(), Failure> {
        let Some(pages_left) = self.pages_left else {
            return self.write(changes).map_err(|_| Failure::File);
        };
        let pages: usize = changes.iter().map(Change::pages).sum();
        if let Ok(pages) = u32::try_from(pages)
            && pages <= pages_left
        {
            self.pages_left = Some(pages_left - pages);
            return self.write(changes).map_err(|_| Failure::File);
        }
        self.pages_left = None;
        if let [
            Change::Bytes {
                oid,
                offset,
                clear,
                bytes,
            },
        ] = *changes
            && objects::find_stored(oid).is_some_and(|object| !object.tearing_safe())
        {
            let bytes = bytes.get(..pages_left as usize * PAGE_BYTES).unwrap_or_default();
            self.write(&[Change::Bytes {
                oid,
                offset,
                clear,
                bytes,
            }])
            .map_err(|_| Failure::File)?;
        }
        Err(Failure::PowerCut)
    }

    /// On the file first: what the chip does not remember later must not be seen now.
    fn write(&mut self, changes: &[Change<'_>]) -> io::Result<()> {
        if let Some(journal) = &self.journal {
            let mut record = Record::new(self.chip);
            changes.iter().for_each(|change| change.encode(&mut record));
            journal.append(record)?;
        }
        for change in changes {
            self.apply(change);
        }
        Ok(())
    }

    /// Makes a change in memory alone; `None` if it names no object or does not fit into it.
    pub(crate) fn apply(&mut self, change: &Change<'_>) -> Option<()> {
        let object = objects::find_stored(change.oid())?;
        if !change.fits(object) {
            return None;
        }
        let entry = self.entry(object)?;
        match *change {
            Change::Bytes {
                offset, clear, bytes, ..
            } => entry.write(usize::from(offset), clear, bytes),
            Change::State {
                life_cycle,
                algorithm,
                usage,
                ..
            } => {
                (entry.life_cycle, entry.algorithm, entry.usage) = (life_cycle, algorithm, usage);
            }
            Change::Conditions { conditions, .. } if conditions == object.conditions => {
                entry.conditions = Cow::Borrowed(object.conditions);
            }
            Change::Conditions { conditions, .. } => entry.conditions = Cow::Owned(conditions.to_vec()),
        }
        Some(())
    }

    /// Changes that make a new chip into this one.
    pub(crate) fn snapshot(&self, mut tell: impl FnMut(Change<'_>)) {
        for entry in &self.entries {
            let Entry {
                oid,
                life_cycle,
                algorithm,
                usage,
                ref conditions,
                ref content,
            } = *entry;
            tell(Change::State {
                oid,
                life_cycle,
                algorithm,
                usage,
            });
            if let Cow::Owned(conditions) = conditions {
                tell(Change::Conditions { oid, conditions });
            }
            tell(Change::Bytes {
                oid,
                offset: 0,
                clear: true,
                bytes: content,
            });
        }
    }

    fn position(&self, oid: u16) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&oid, |entry| entry.oid)
    }

    fn entry(&mut self, object: &'static Object) -> Option<&mut Entry> {
        let index = match self.position(object.oid) {
            Ok(index) => index,
            Err(index) => {
                self.entries.reserve_exact(1);
                self.entries.insert(index, Entry::new(object));
                index
            }
        };
        self.entries.get_mut(index)
    }
}

const WRITE: u8 = 1;
const CLEAR_AND_WRITE: u8 = 2;
const STATE: u8 = 3;
const CONDITIONS: u8 = 4;

impl<'a> Change<'a> {
    fn oid(&self) -> u16 {
        match *self {
            Self::Bytes { oid, .. } | Self::State { oid, .. } | Self::Conditions { oid, .. } => oid,
        }
    }

    fn fits(&self, object: &Object) -> bool {
        match self {
            Self::Bytes { offset, bytes, .. } => {
                usize::from(*offset) + bytes.len() <= usize::from(object.bytes_max)
            }
            Self::State { life_cycle, .. } => matches!(life_cycle, 0x01 | 0x03 | 0x07 | 0x0F),
            Self::Conditions { conditions, .. } => conditions.len() <= crate::limits::METADATA_BYTES_MAX,
        }
    }

    /// Pages of memory that the change takes: a tearing-safe one needs one more, which makes it valid.
    fn pages(&self) -> usize {
        match self {
            Self::Bytes { oid, bytes, .. } => {
                let safe = objects::find_stored(*oid).is_some_and(Object::tearing_safe);
                bytes.len().div_ceil(PAGE_BYTES) + usize::from(safe)
            }
            Self::State { .. } | Self::Conditions { .. } => 1,
        }
    }

    pub(crate) fn encode(&self, record: &mut Record) {
        match *self {
            Self::Bytes {
                oid,
                offset,
                clear,
                bytes,
            } => {
                record.push(&[if clear { CLEAR_AND_WRITE } else { WRITE }]);
                record.push(&oid.to_be_bytes());
                record.push(&offset.to_be_bytes());
                record.push(&(bytes.len() as u16).to_be_bytes());
                record.push(bytes);
            }
            Self::State {
                oid,
                life_cycle,
                algorithm,
                usage,
            } => {
                record.push(&[STATE]);
                record.push(&oid.to_be_bytes());
                record.push(&[life_cycle, algorithm, usage]);
            }
            Self::Conditions { oid, conditions } => {
                record.push(&[CONDITIONS]);
                record.push(&oid.to_be_bytes());
                record.push(&[conditions.len() as u8]);
                record.push(conditions);
            }
        }
    }

    /// Reads one change from the front of a record.
    pub(crate) fn decode(record: &mut &'a [u8]) -> Option<Self> {
        let [kind, high, low, rest @ ..] = *record else {
            return None;
        };
        let oid = u16::from_be_bytes([*high, *low]);
        let (change, rest) = match (*kind, rest) {
            (WRITE | CLEAR_AND_WRITE, [o1, o0, l1, l0, rest @ ..]) => {
                let (bytes, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([*l1, *l0])))?;
                let offset = u16::from_be_bytes([*o1, *o0]);
                (
                    Self::Bytes {
                        oid,
                        offset,
                        clear: *kind == CLEAR_AND_WRITE,
                        bytes,
                    },
                    rest,
                )
            }
            (STATE, [life_cycle, algorithm, usage, rest @ ..]) => {
                let (life_cycle, algorithm, usage) = (*life_cycle, *algorithm, *usage);
                (
                    Self::State {
                        oid,
                        life_cycle,
                        algorithm,
                        usage,
                    },
                    rest,
                )
            }
            (CONDITIONS, [length, rest @ ..]) => {
                let (conditions, rest) = rest.split_at_checked(usize::from(*length))?;
                (Self::Conditions { oid, conditions }, rest)
            }
            _ => return None,
        };
        *record = rest;
        Some(change)
    }
}

/// The life cycles that every access condition may ask for.
impl Memory {
    pub(crate) fn states(&self, object_life_cycle: u8) -> crate::access::States {
        crate::access::States {
            global: self.byte(oid::GLOBAL_LIFE_CYCLE),
            application: self.byte(oid::APPLICATION_LIFE_CYCLE),
            object: object_life_cycle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::find;

    fn content(memory: &Memory, oid: u16) -> Vec<u8> {
        memory.view(find(oid).unwrap()).content.to_vec()
    }

    fn bytes(oid: u16, offset: u16, clear: bool, bytes: &[u8]) -> Change<'_> {
        Change::Bytes {
            oid,
            offset,
            clear,
            bytes,
        }
    }

    #[test]
    fn writes_grow_an_object_and_clearing_starts_it_again() {
        let mut memory = Memory::new(0, None);
        memory.commit(&[bytes(0xF1D0, 0, false, &[1, 2, 3])]).unwrap();
        memory.commit(&[bytes(0xF1D0, 1, false, &[9])]).unwrap();
        assert_eq!(content(&memory, 0xF1D0), [1, 9, 3]);
        memory.commit(&[bytes(0xF1D0, 4, false, &[5])]).unwrap();
        assert_eq!(content(&memory, 0xF1D0), [1, 9, 3, 0, 5]);
        memory.commit(&[bytes(0xF1D0, 1, true, &[7])]).unwrap();
        assert_eq!(content(&memory, 0xF1D0), [0, 7]);
        assert_eq!(memory.byte(0xE0C3), 20);
    }

    #[test]
    fn changes_survive_their_encoding() {
        let changes = [
            bytes(0xE0E1, 300, false, &[1; 300]),
            bytes(0xF1D0, 0, true, &[]),
            Change::State {
                oid: 0xE0F1,
                life_cycle: 7,
                algorithm: 3,
                usage: 0x10,
            },
            Change::Conditions {
                oid: 0xE0F1,
                conditions: &[0xD0, 1, 0xFF],
            },
        ];
        let mut record = Record::new(5);
        changes.iter().for_each(|change| change.encode(&mut record));
        let mut payload = record.payload();
        for change in changes {
            assert_eq!(Change::decode(&mut payload), Some(change));
        }
        assert_eq!(payload, [] as [u8; 0]);
        for broken in [
            &[1][..],
            &[1, 0xF1, 0xD0, 0, 0, 0, 2, 0],
            &[3, 0xF1, 0xD0, 1, 1],
            &[4, 0, 0, 1],
            &[9, 0, 0, 0],
        ] {
            assert_eq!(Change::decode(&mut &*broken), None, "{broken:?}");
        }
    }

    #[test]
    fn a_change_that_does_not_fit_is_not_applied() {
        let mut memory = Memory::new(0, None);
        assert_eq!(memory.apply(&bytes(0xF1D0, 99, false, &[1, 2])), None);
        assert_eq!(memory.apply(&bytes(0xDEAD, 0, false, &[1])), None);
        assert_eq!(
            memory.apply(&Change::State {
                oid: 0xE0F1,
                life_cycle: 2,
                algorithm: 0,
                usage: 0
            }),
            None
        );
        assert_eq!(memory.apply(&bytes(0xF1D0, 99, false, &[1])), Some(()));
    }

    #[test]
    fn a_power_cut_tears_a_certificate_and_nothing_small() {
        for pages in 0..12 {
            let mut memory = Memory::new(0, None);
            memory
                .commit(&[
                    bytes(0xE0E1, 0, true, &[1; 500]),
                    bytes(0xF1D0, 0, true, &[1; 100]),
                ])
                .unwrap();
            memory.cut_after(Some(pages));
            let outcome = memory.commit(&[bytes(0xE0E1, 0, false, &[2; 500])]);
            let torn = content(&memory, 0xE0E1).iter().filter(|byte| **byte == 2).count();
            assert_eq!(torn, (pages as usize * PAGE_BYTES).min(500));
            assert_eq!(outcome.is_ok(), pages >= 8);

            memory.cut_after(Some(pages));
            let outcome = memory.commit(&[bytes(0xF1D0, 0, false, &[2; 100])]);
            let expected = if outcome.is_ok() { 2 } else { 1 };
            assert_eq!(content(&memory, 0xF1D0), [expected; 100]);
            assert_eq!(outcome.is_ok(), pages >= 3);
        }
    }

    #[test]
    fn a_snapshot_makes_the_same_memory() {
        let mut memory = Memory::new(0, None);
        memory
            .commit(&[
                bytes(0xF1D0, 3, true, &[1]),
                Change::State {
                    oid: 0xE0F1,
                    life_cycle: 7,
                    algorithm: 3,
                    usage: 0x10,
                },
                Change::Conditions {
                    oid: 0xF1D0,
                    conditions: &[0xD0, 1, 0xFF],
                },
            ])
            .unwrap();
        let mut copy = Memory::new(0, None);
        memory.snapshot(|change| copy.apply(&change).unwrap());
        for oid in [0xF1D0, 0xE0F1, 0xE0E1] {
            let object = find(oid).unwrap();
            assert_eq!(
                format!("{:?}", memory.view(object)),
                format!("{:?}", copy.view(object))
            );
        }
    }
}
