//! Folders that a program reads entry by entry: what is really there, and then our buses.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::places;

/// Folders that are being read, by the address of libc's own object for them.
static LISTINGS: Mutex<Option<HashMap<usize, Listing>>> = Mutex::new(None);

/// What of a folder has not been told yet.
struct Listing {
    /// Whether the folder behind it is the one that the program named.
    real: bool,
    names: std::vec::IntoIter<String>,
}

/// What comes next in a folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Whatever the real folder has.
    Real,
    /// One of our buses.
    Ours(String),
    End,
}

/// Adds our buses to a folder. Without `real` nothing else is in it.
pub(crate) fn begin(folder: usize, real: bool) {
    let names: Vec<String> = places::buses()
        .iter()
        .map(|bus| format!("i2c-{}", bus.number))
        .collect();
    let names = names.into_iter();
    table()
        .get_or_insert_default()
        .insert(folder, Listing { real, names });
}

/// The next entry; `None` for a folder that is none of ours. Call again with `real_ended` when the real one has no more.
pub(crate) fn next(folder: usize, real_ended: bool) -> Option<Next> {
    let mut table = table();
    let listing = table.as_mut()?.get_mut(&folder)?;
    listing.real &= !real_ended;
    if listing.real {
        return Some(Next::Real);
    }
    Some(listing.names.next().map_or(Next::End, Next::Ours))
}

pub(crate) fn end(folder: usize) {
    if let Some(table) = table().as_mut() {
        table.remove(&folder);
    }
}

fn table() -> MutexGuard<'static, Option<HashMap<usize, Listing>>> {
    LISTINGS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_entries_come_first() {
        assert_eq!(next(1, false), None);
        begin(1, true);
        assert_eq!(next(1, false), Some(Next::Real));
        assert_eq!(next(1, true), Some(Next::End));
        end(1);
        assert_eq!(next(1, false), None);
        begin(2, false);
        assert_eq!(next(2, false), Some(Next::End));
        end(2);
    }
}
