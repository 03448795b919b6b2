//! What a chip can not say about its objects: labels, ids and flags, kept in its data object F1E1.
//!
//! Two banks of 750 bytes are written in turns; each has a number that rises and a CRC-32. A write that is torn leaves the
//! other bank, so the directory is always the old one or the new one. What an object's class and place say by themselves is
//! not written: a chip whose objects have their usual names has an empty directory, or none.
//!
//! ```text
//! bank   "BMD1" generation(4) length(2) entry… crc32(4)
//! entry  object(2) flags(1) label bytes(1) id bytes(1) application bytes(1) label id application
//! ```
//!
//! It must never write over something in F1E1 that is not its own.

use std::string::String;
use std::vec::Vec;

use optiga::ObjectId;

use crate::checksum::crc32;
use crate::error::Error;
use crate::limits::{APPLICATION_BYTES_MAX, CHIP_ID_BYTES_MAX, LABEL_BYTES_MAX};

/// Where it is.
pub(super) const OBJECT: ObjectId = ObjectId(0xF1E1);
/// Bytes of one bank.
pub(super) const BANK_BYTES: usize = 750;
const MAGIC: [u8; 4] = *b"BMD1";
const HEAD_BYTES: usize = 4 + 4 + 2;
const SUM_BYTES: usize = 4;
const ENTRY_HEAD_BYTES: usize = 6;

/// What is not an object's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u8);

impl Flags {
    /// The place holds nothing, whatever is in it.
    pub(super) const FREE: Self = Self(0x01);
    /// `CKA_PRIVATE`.
    pub(super) const PRIVATE: Self = Self(0x02);
    /// Not `CKA_MODIFIABLE`.
    pub(super) const FIXED: Self = Self(0x04);
    /// Not `CKA_DESTROYABLE`.
    pub(super) const LASTING: Self = Self(0x08);
    /// Not `CKA_COPYABLE`.
    pub(super) const SINGLE: Self = Self(0x10);
    /// The value has no bytes, which the chip can not hold.
    pub(super) const EMPTY: Self = Self(0x20);
    /// `CKA_ALWAYS_AUTHENTICATE`.
    pub(super) const ASKED: Self = Self(0x40);
    /// A public key that belongs to no private key of this chip.
    pub(super) const FOREIGN: Self = Self(0x80);

    /// Whether this flag is set.
    pub(super) const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    /// The same with this flag set or not.
    pub(super) const fn with(self, flag: Self, set: bool) -> Self {
        Self(if set { self.0 | flag.0 } else { self.0 & !flag.0 })
    }
}

/// What is known of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// The chip's object.
    pub(super) object: u16,
    /// Its flags.
    pub(super) flags: Flags,
    /// Its label, if not the usual one of its place.
    pub(super) label: String,
    /// Its id, if not computed from its key.
    pub(super) id: Vec<u8>,
    /// `CKA_APPLICATION` of a data object.
    pub(super) application: String,
}

/// The entries, one for each object at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Directory {
    generation: u32,
    /// The bank that it was read from.
    bank: Option<Bank>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bank {
    First,
    Second,
}

/// What F1E1 holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The directory, or nothing yet.
    Directory(Directory),
    /// Both banks are damaged: an empty directory that has lost its entries.
    Damaged(Directory),
    /// Something that is not ours.
    Foreign,
}

impl Found {
    /// Reads the whole object.
    pub(super) fn parse(content: &[u8]) -> Self {
        let (first, second) = content.split_at_checked(BANK_BYTES).unwrap_or((content, &[]));
        let banks = [(Bank::First, first), (Bank::Second, second)];
        let newest = banks
            .into_iter()
            .filter_map(|(bank, bytes)| Directory::parse(bank, bytes))
            .reduce(|a, b| if b.is_newer_than(&a) { b } else { a });
        let ours = |bytes: &[u8]| {
            let start = bytes.get(..MAGIC.len()).unwrap_or(bytes);
            let written = start
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |last| last + 1);
            written > 0
                && start
                    .get(..written)
                    .is_some_and(|written| MAGIC.starts_with(written))
        };
        match newest {
            Some(directory) => Self::Directory(directory),
            None if content.iter().all(|byte| *byte == 0) => Self::Directory(Directory::default()),
            // The first write of all was torn: there was no directory before it.
            None if ours(first) && second.iter().all(|byte| *byte == 0) => {
                Self::Directory(Directory::default())
            }
            None if ours(first) || ours(second) => Self::Damaged(Directory::default()),
            None => Self::Foreign,
        }
    }
}

/// Bytes to write, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) offset: u16,
    pub(super) bytes: Vec<u8>,
}

impl Directory {
    fn parse(bank: Bank, bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (mut entries, rest) = rest.split_at_checked(length)?;
        let sum = rest.first_chunk()?;
        let covered = bytes.get(..HEAD_BYTES + length)?;
        if *magic != MAGIC || crc32(covered) != u32::from_be_bytes(*sum) {
            return None;
        }
        let mut directory = Self {
            generation: u32::from_be_bytes(*generation),
            bank: Some(bank),
            entries: Vec::new(),
        };
        while !entries.is_empty() {
            directory.put(Entry::parse(&mut entries)?);
        }
        Some(directory)
    }

    /// Generations are compared as on a clock, so that they may wrap.
    const fn is_newer_than(&self, other: &Self) -> bool {
        self.generation.wrapping_sub(other.generation).cast_signed() > 0
    }

    /// What is known of this object.
    pub(super) fn entry(&self, object: ObjectId) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.object == object.0)
    }

    #[cfg(test)]
    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Writes down what is known of an object, over what was.
    pub(super) fn put(&mut self, entry: Entry) {
        self.remove(ObjectId(entry.object));
        self.entries.push(entry);
    }

    /// Forgets an object.
    pub(super) fn remove(&mut self, object: ObjectId) {
        self.entries.retain(|entry| entry.object != object.0);
    }

    /// What has to be written for the next reader to find this directory. It goes into the bank that is not in use; the very
    /// first page fills its bank, so that the second one begins where the object ends.
    pub(super) fn page(&self) -> Result<Page, Error> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.generation.wrapping_add(1).to_be_bytes());
        bytes.extend_from_slice(&[0, 0]);
        for entry in &self.entries {
            entry.append(&mut bytes)?;
        }
        let length = bytes.len() - HEAD_BYTES;
        if bytes.len() + SUM_BYTES > BANK_BYTES {
            return Err(Error::ChipFull(
                "the directory in F1E1 has no room for more labels and ids",
            ));
        }
        let announced = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
        for (place, byte) in bytes.iter_mut().skip(8).zip(announced) {
            *place = byte;
        }
        bytes.extend_from_slice(&crc32(&bytes).to_be_bytes());
        if self.bank.is_none() {
            bytes.resize(BANK_BYTES, 0);
        }
        let second = self.bank == Some(Bank::First);
        Ok(Page {
            offset: if second { BANK_BYTES as u16 } else { 0 },
            bytes,
        })
    }

    /// This directory after its page was written.
    pub(super) fn written(self) -> Self {
        let bank = match self.bank {
            Some(Bank::First) => Bank::Second,
            Some(Bank::Second) | None => Bank::First,
        };
        Self {
            generation: self.generation.wrapping_add(1),
            bank: Some(bank),
            ..self
        }
    }
}

impl Entry {
    /// Takes one off the front.
    fn parse(bytes: &mut &[u8]) -> Option<Self> {
        let (&[high, low, flags, label, id, application], rest) = bytes.split_first_chunk()?;
        let (label, rest) = rest.split_at_checked(usize::from(label))?;
        let (id, rest) = rest.split_at_checked(usize::from(id))?;
        let (application, rest) = rest.split_at_checked(usize::from(application))?;
        *bytes = rest;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        Some(Self {
            object: u16::from_be_bytes([high, low]),
            flags: Flags(flags),
            label: text(label)?,
            id: id.to_vec(),
            application: text(application)?,
        })
    }

    fn append(&self, bytes: &mut Vec<u8>) -> Result<(), Error> {
        let parts = [
            (
                self.label.as_bytes(),
                LABEL_BYTES_MAX,
                "a label on the chip has at most 32 bytes",
            ),
            (
                &self.id,
                CHIP_ID_BYTES_MAX,
                "an id on the chip has at most 20 bytes",
            ),
            (
                self.application.as_bytes(),
                APPLICATION_BYTES_MAX,
                "an application's name on the chip has at most 32 bytes",
            ),
        ];
        bytes.extend_from_slice(&self.object.to_be_bytes());
        bytes.push(self.flags.0);
        for (part, most, why) in parts {
            let length = u8::try_from(part.len()).ok().filter(|_| part.len() <= most);
            bytes.push(length.ok_or(Error::ChipFull(why))?);
        }
        parts.iter().for_each(|(part, ..)| bytes.extend_from_slice(part));
        Ok(())
    }
}

const _: () = assert!(ENTRY_HEAD_BYTES + LABEL_BYTES_MAX + CHIP_ID_BYTES_MAX < BANK_BYTES);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(object: u16, label: &str) -> Entry {
        Entry {
            object,
            flags: Flags::PRIVATE,
            label: label.into(),
            id: vec![1, 2, 3],
            application: String::new(),
        }
    }

    /// What F1E1 holds after this page was written to it.
    fn write(object: &mut Vec<u8>, page: &Page, bytes: usize) {
        let offset = usize::from(page.offset);
        let end = offset + bytes.min(page.bytes.len());
        if object.len() < end {
            object.resize(end, 0);
        }
        object[offset..end].copy_from_slice(&page.bytes[..end - offset]);
    }

    fn read(object: &[u8]) -> Directory {
        match Found::parse(object) {
            Found::Directory(directory) => directory,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn banks_take_turns() {
        let mut object = Vec::new();
        let mut directory = read(&object);
        for round in 0..5_u16 {
            directory.put(entry(0xE0F1 + round, "label"));
            let page = directory.page().unwrap();
            let expected = if round % 2 == 0 { 0 } else { BANK_BYTES };
            assert_eq!(usize::from(page.offset), expected);
            write(&mut object, &page, BANK_BYTES);
            directory = directory.written();
            assert_eq!(read(&object), directory);
        }
        assert_eq!(directory.entries().len(), 5);
        assert_eq!(directory.entry(ObjectId(0xE0F2)).unwrap().id, [1, 2, 3]);
        directory.remove(ObjectId(0xE0F2));
        assert_eq!(directory.entry(ObjectId(0xE0F2)), None);
    }

    #[test]
    fn a_torn_page_leaves_what_was_there() {
        let mut object = Vec::new();
        let mut directory = Directory::default();
        for round in 0..4_u16 {
            let old = directory.clone();
            directory.put(entry(0xE0F0 + round, "some label"));
            let page = directory.page().unwrap();
            directory = directory.written();
            for bytes in 0..page.bytes.len() {
                let mut torn = object.clone();
                write(&mut torn, &page, bytes);
                let found = read(&torn);
                // A first page ends in filling that says nothing.
                assert!(
                    found.entries() == old.entries() || found.entries() == directory.entries(),
                    "round {round}, {bytes} bytes: {found:?}"
                );
            }
            write(&mut object, &page, BANK_BYTES);
        }
    }

    #[test]
    fn what_is_not_ours_is_not_touched() {
        assert_eq!(Found::parse(&[]), Found::Directory(Directory::default()));
        assert_eq!(Found::parse(&[0; 40]), Found::Directory(Directory::default()));
        assert_eq!(Found::parse(b"someone else's"), Found::Foreign);
        let mut object = Vec::new();
        let mut directory = Directory::default();
        for _ in 0..2 {
            write(&mut object, &directory.page().unwrap(), BANK_BYTES);
            directory = directory.written();
        }
        object[5] ^= 1;
        assert_eq!(read(&object).generation, 2);
        object[BANK_BYTES + 5] ^= 1;
        assert!(matches!(Found::parse(&object), Found::Damaged(_)));
    }

    #[test]
    fn there_is_an_end_to_it() {
        let full = |entry: Entry| {
            let mut directory = Directory::default();
            directory.put(entry);
            directory.page()
        };
        assert!(full(entry(1, &"x".repeat(32))).is_ok());
        assert!(full(entry(1, &"x".repeat(33))).is_err());
        assert!(
            full(Entry {
                id: vec![0; 20],
                ..entry(1, "")
            })
            .is_ok()
        );
        assert!(
            full(Entry {
                id: vec![0; 21],
                ..entry(1, "")
            })
            .is_err()
        );
        let mut directory = Directory::default();
        let fitting = (BANK_BYTES - HEAD_BYTES - SUM_BYTES) / (ENTRY_HEAD_BYTES + 3 + 32);
        for object in 0..=fitting as u16 {
            assert!(directory.page().is_ok());
            directory.put(entry(object, &"x".repeat(32)));
        }
        assert!(directory.page().is_err());
    }

    #[test]
    fn generations_wrap() {
        let at = |generation| Directory {
            generation,
            ..Directory::default()
        };
        assert!(at(0).is_newer_than(&at(u32::MAX)));
        assert!(!at(u32::MAX).is_newer_than(&at(0)));
        assert!(!at(7).is_newer_than(&at(7)));
    }

    proptest! {
        #[test]
        fn nothing_panics(content in proptest::collection::vec(any::<u8>(), 0..1600)) {
            let _ = Found::parse(&content);
        }
    }
}
