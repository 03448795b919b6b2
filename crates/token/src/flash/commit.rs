//! One commit: what waits becomes one frame at the end of the journal, or a new journal when the old one is mostly history.
//!
//! Only the writer comes here (see `Store::alone`). Nothing that this process knows changes before it is durable.

use std::collections::HashMap;
use std::sync::Arc;
use std::vec::Vec;

use super::frame;
use super::journal::{self, Journal, Writer};
use super::record::{self, Header, Record, Stored};
use super::seal::{self, Id, Keys};
use super::state::State;
use super::store::{Known, Store};
use super::ticket::Ticket;
use crate::error::Error;
use crate::limits::{FRAME_BYTES_MAX, JOURNAL_SLACK_BYTES};

/// Objects of a new journal go into frames of about this size.
const SNAPSHOT_FRAME_BYTES: usize = 128 * 1024;

const LOST: Error = Error::General("a journal that was written is not there");

impl Store {
    /// Commits these changes together and answers them; returns those that must wait for the next commit.
    pub(super) fn commit(&self, waiting: &[Arc<Ticket>]) -> Result<Vec<Arc<Ticket>>, Error> {
        let (mut body, mut now, mut later) = (Vec::new(), Vec::<&Arc<Ticket>>::new(), Vec::new());
        {
            let known = self.known();
            let state = known.state()?;
            for ticket in waiting {
                if !ticket.fits(state) {
                    ticket.conflict();
                } else if now.iter().any(|other| other.meets(ticket)) {
                    later.push(Arc::clone(ticket));
                } else {
                    let before = body.len();
                    ticket.with_records(|records| records.iter().for_each(|record| record.write(&mut body)));
                    if body.len() > FRAME_BYTES_MAX as usize && before > 0 {
                        body.truncate(before);
                        later.push(Arc::clone(ticket));
                    } else {
                        now.push(ticket);
                    }
                }
            }
        }
        let Some(first) = now.first() else {
            return Ok(later);
        };
        let written = self.write(&first.keys, &body, &now);
        let mut known = self.known_mut();
        if let Err(error) = written {
            now.iter().for_each(|ticket| ticket.refuse(&error));
            return Ok(later);
        }
        for ticket in now {
            let places = known.take_in(ticket.take_records());
            known.generation += 1;
            match places {
                Ok(places) => ticket.succeed(places),
                Err(error) => ticket.refuse(&error),
            }
        }
        Ok(later)
    }

    /// Commits another header: a new PIN, the end of all changes.
    pub(super) fn commit_header(&self, keys: &Keys, header: Header) -> Result<(), Error> {
        let mut body = Vec::new();
        let record = Record::Header(header);
        record.write(&mut body);
        self.write_records(keys, &body, core::slice::from_ref(&record))?;
        let mut known = self.known_mut();
        known.generation += 1;
        known.take_in([record].into()).map(|_| ())
    }

    fn write(&self, keys: &Keys, body: &[u8], tickets: &[&Arc<Ticket>]) -> Result<(), Error> {
        if self.fits(body.len())? {
            return self.append(keys, body);
        }
        let mut records = Vec::new();
        for ticket in tickets {
            ticket.with_records(|new| records.extend_from_slice(new));
        }
        self.rewrite(keys, &records)
    }

    fn write_records(&self, keys: &Keys, body: &[u8], records: &[Record]) -> Result<(), Error> {
        if self.fits(body.len())? {
            self.append(keys, body)
        } else {
            self.rewrite(keys, records)
        }
    }

    /// Whether the journal may take one more frame.
    fn fits(&self, body: usize) -> Result<bool, Error> {
        let known = self.known();
        let state = known.state()?;
        let end = state.journal.at.end + frame::whole_bytes(body) as u64;
        Ok(!state.journal.is_torn && end <= state.bytes_max(JOURNAL_SLACK_BYTES))
    }

    fn append(&self, keys: &Keys, body: &[u8]) -> Result<(), Error> {
        let at = self.known().state()?.journal.at;
        let (bytes, after, proof) = frame::build(&at, body, keys)?;
        let written = journal::append(&self.journal(), at.end, &bytes);
        let mut known = self.known_mut();
        let state = known.state.as_mut().ok_or(Error::NotInitialized)?;
        match &written {
            Ok(()) => (state.journal.at, state.journal.proof) = (after, Some(proof)),
            // Half of it may be there, and nobody knows what of it the disk has.
            Err(_) => state.journal.is_torn = true,
        }
        written
    }

    /// Writes a new journal with everything that there is, changed by these records.
    fn rewrite(&self, keys: &Keys, records: &[Record]) -> Result<(), Error> {
        let bytes = snapshot(self.known().state()?, keys, records)?;
        journal::replace(&self.journal(), &bytes)?;
        drop(bytes);
        let mut new = Journal::open(&self.journal())?.ok_or(LOST)?;
        new.read(|_| Ok(()))?;
        let mut known = self.known_mut();
        known.state.as_mut().ok_or(Error::NotInitialized)?.journal = new;
        Ok(())
    }
}

impl Known {
    fn take_in(&mut self, records: Vec<Record>) -> Result<Vec<crate::backend::Place>, Error> {
        let state = self.state.as_mut().ok_or(Error::NotInitialized)?;
        let mut places = Vec::with_capacity(records.len());
        for record in records {
            places.extend(state.apply(record, &mut self.places)?);
        }
        Ok(places)
    }
}

/// A journal that says the same in as few bytes as possible.
fn snapshot(state: &State, keys: &Keys, records: &[Record]) -> Result<Vec<u8>, Error> {
    let (mut header, mut changed) = (state.header.clone(), HashMap::<&Id, Option<&Stored>>::new());
    for record in records {
        match record {
            Record::Header(new) => header = new.clone(),
            Record::Put(id, stored) => drop(changed.insert(id, Some(stored))),
            Record::Delete(id) => drop(changed.insert(id, None)),
        }
    }
    let mut objects = Vec::with_capacity(state.objects.len() + changed.len());
    for entry in state.objects.values() {
        match changed.remove(&entry.id) {
            None => objects.push((&entry.id, &entry.stored)),
            Some(Some(stored)) => objects.push((&entry.id, stored)),
            Some(None) => {}
        }
    }
    let added = changed.into_iter();
    objects.extend(added.filter_map(|(id, stored)| Some((id, stored?))));
    whole(header, keys, &objects)
}

/// A new journal with this header and these objects.
pub(super) fn whole(mut header: Header, keys: &Keys, objects: &[(&Id, &Stored)]) -> Result<Vec<u8>, Error> {
    header.edition = seal::random()?;
    let (mut writer, mut body) = (Writer::new(keys)?, Vec::new());
    Record::Header(header).write(&mut body);
    writer.frame(&body)?;
    body.clear();
    for (id, stored) in objects {
        record::write_object(id, stored, &mut body);
        if body.len() >= SNAPSHOT_FRAME_BYTES {
            writer.frame(&body)?;
            body.clear();
        }
    }
    if !body.is_empty() {
        writer.frame(&body)?;
    }
    Ok(writer.bytes())
}
