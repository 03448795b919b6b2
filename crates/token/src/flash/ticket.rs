//! A change that waits for its commit, and how it went.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use super::record::Record;
use super::seal::Keys;
use super::state::{Entry, State};
use crate::backend::Place;
use crate::error::Error;

/// A change of one caller: all of it or nothing.
#[derive(Debug)]
pub(super) struct Ticket {
    /// Of the token that it was made for.
    pub(super) keys: Arc<Keys>,
    /// Objects that must still be there, as they were when the records were made.
    expected: Vec<(Place, Arc<Entry>)>,
    stage: Mutex<Stage>,
}

#[derive(Debug)]
enum Stage {
    Waiting(Vec<Record>),
    Answered(Result<Vec<Place>, Refused>),
    Taken,
}

/// Why a change was not made.
#[derive(Clone, Debug)]
pub(super) enum Refused {
    /// Somebody else has changed the object meanwhile: look again.
    Conflict,
    Failed(Error),
}

impl Ticket {
    pub(super) const fn new(
        keys: Arc<Keys>,
        records: Vec<Record>,
        expected: Vec<(Place, Arc<Entry>)>,
    ) -> Self {
        Self {
            keys,
            expected,
            stage: Mutex::new(Stage::Waiting(records)),
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(*self.stage(), Stage::Waiting(_))
    }

    /// Whether what the change expects is still so.
    pub(super) fn fits(&self, state: &State) -> bool {
        let same = |(place, entry): &(Place, Arc<Entry>)| {
            state
                .objects
                .get(place)
                .is_some_and(|now| Arc::ptr_eq(now, entry))
        };
        state.header.token == self.keys.token && self.expected.iter().all(same)
    }

    /// Whether two changes are about the same object.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let places = |ticket: &Self| {
            ticket
                .expected
                .iter()
                .map(|(place, _)| *place)
                .collect::<Vec<_>>()
        };
        let theirs = places(other);
        places(self).iter().any(|place| theirs.contains(place))
    }

    /// A look at the records of a change that waits.
    pub(super) fn with_records<T>(&self, look: impl FnOnce(&[Record]) -> T) -> T {
        match &*self.stage() {
            Stage::Waiting(records) => look(records),
            _ => look(&[]),
        }
    }

    /// The records of a change that is durable now.
    pub(super) fn take_records(&self) -> Vec<Record> {
        match core::mem::replace(&mut *self.stage(), Stage::Taken) {
            Stage::Waiting(records) => records,
            _ => Vec::new(),
        }
    }

    pub(super) fn succeed(&self, places: Vec<Place>) {
        *self.stage() = Stage::Answered(Ok(places));
    }

    pub(super) fn conflict(&self) {
        *self.stage() = Stage::Answered(Err(Refused::Conflict));
    }

    pub(super) fn refuse(&self, error: &Error) {
        *self.stage() = Stage::Answered(Err(Refused::Failed(error.clone())));
    }

    pub(super) fn answer(&self) -> Result<Vec<Place>, Refused> {
        match core::mem::replace(&mut *self.stage(), Stage::Taken) {
            Stage::Answered(answer) => answer,
            _ => Err(Refused::Failed(Error::General("a change that nobody answered"))),
        }
    }
}
