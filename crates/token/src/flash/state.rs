//! What a token's journal says, as far as it was read: the header and every object, by place.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::frame::MAGIC;
use super::journal::Journal;
use super::record::{self, Header, Record, Stored};
use super::seal::{Id, Keys};
use crate::backend::Place;
use crate::error::Error;

pub(super) const CHANGED: Error = Error::DeviceContent {
    what: "the token's journal was changed by somebody without its keys",
};
const HEADLESS: Error = Error::DeviceContent {
    what: "a journal that does not begin with its token",
};

/// Which object is where. An object keeps its place as long as this process lives, whatever file it stands in.
#[derive(Debug, Default)]
pub(super) struct Places {
    names: HashMap<Id, Place>,
    last: u32,
}

impl Places {
    fn of(&mut self, id: Id) -> Place {
        *self.names.entry(id).or_insert_with(|| {
            self.last += 1;
            Place(self.last)
        })
    }

    /// Another token: no object of the old one is in it.
    pub(super) fn forget(&mut self) {
        self.names.clear();
    }
}

/// An object of the token.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: Id,
    pub(super) stored: Stored,
}

/// The token, up to where the journal was read.
#[derive(Debug)]
pub(super) struct State {
    pub(super) journal: Journal,
    pub(super) header: Header,
    pub(super) objects: BTreeMap<Place, Arc<Entry>>,
    /// What the objects would take in a new file.
    live_bytes: u64,
}

impl State {
    /// Reads the header; `None` if there is no token. What a read-only token says after it needs no lock.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, Error> {
        let Some(mut journal) = Journal::open(path)? else {
            return Ok(None);
        };
        let mut header = None;
        journal.read_first(|body| match record::parse(body)?.pop() {
            Some(Record::Header(found)) => {
                header = Some(found);
                Ok(())
            }
            _ => Err(HEADLESS),
        })?;
        Ok(Some(Self {
            journal,
            header: header.ok_or(HEADLESS)?,
            objects: BTreeMap::new(),
            live_bytes: 0,
        }))
    }

    /// Reads on; how many commits there were.
    pub(super) fn read(&mut self, places: &mut Places) -> Result<u64, Error> {
        let (mut commits, mut records) = (0, Vec::new());
        self.journal.read(|body| {
            records.append(&mut record::parse(body)?);
            commits += 1;
            Ok(())
        })?;
        for record in records {
            self.apply(record, places)?;
        }
        Ok(commits)
    }

    /// Whether the last frame, and so everything before it, is what somebody with the keys wrote.
    pub(super) fn check(&self, keys: &Keys) -> Result<(), Error> {
        let holds = self.journal.proof.is_some_and(|proof| proof.holds(keys));
        if holds { Ok(()) } else { Err(CHANGED) }
    }

    /// Takes in one record.
    pub(super) fn apply(&mut self, record: Record, places: &mut Places) -> Result<Option<Place>, Error> {
        match record {
            Record::Header(header) if header.token == self.header.token => {
                self.header = header;
                Ok(None)
            }
            Record::Header(_) => Err(HEADLESS),
            Record::Put(id, stored) => {
                let place = places.of(id);
                self.live_bytes += stored.bytes();
                if let Some(old) = self.objects.insert(place, Arc::new(Entry { id, stored })) {
                    self.live_bytes -= old.stored.bytes();
                }
                Ok(Some(place))
            }
            Record::Delete(id) => {
                let place = places.of(id);
                places.names.remove(&id);
                if let Some(old) = self.objects.remove(&place) {
                    self.live_bytes -= old.stored.bytes();
                }
                Ok(Some(place))
            }
        }
    }

    /// How long the file may become before it is written anew.
    pub(super) fn bytes_max(&self, slack: u64) -> u64 {
        2 * (MAGIC.len() as u64 + self.live_bytes) + slack
    }
}
