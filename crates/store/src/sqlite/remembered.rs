//! What the writer remembers of what it wrote or read: many batches name the same few records.
//!
//! Only the writer changes records, so what it remembers is right until it writes it anew or takes a transaction back. It must
//! never remember that something is not there.

use std::collections::HashMap;

use fleet::batch::Key;

use super::apply::Row;
use super::issuers::Issuers;
use crate::limits::REMEMBERED_ROWS_MAX;

/// Everything that is remembered between batches. Forgotten when a transaction is rolled back.
#[derive(Default)]
pub(super) struct Remembered {
    pub(super) issuers: Issuers,
    /// Whether the things of a tenant are in an index.
    indexed: HashMap<i64, bool>,
    /// Rows of policies, groups and records that are kept whole.
    rows: HashMap<i64, HashMap<Key, Row>>,
    count: usize,
}

impl Remembered {
    pub(super) fn is_indexed(&self, tenant: i64) -> Option<bool> {
        self.indexed.get(&tenant).copied()
    }

    pub(super) fn note_indexed(&mut self, tenant: i64, is_indexed: bool) {
        self.indexed.insert(tenant, is_indexed);
    }

    pub(super) fn forget_indexed(&mut self, tenant: i64) {
        self.indexed.remove(&tenant);
    }

    pub(super) fn row(&self, tenant: i64, key: &Key) -> Option<Row> {
        self.rows.get(&tenant)?.get(key).copied()
    }

    pub(super) fn note_row(&mut self, tenant: i64, key: Key, row: Row) {
        if self.count >= REMEMBERED_ROWS_MAX {
            self.rows.clear();
            self.count = 0;
        }
        if self.rows.entry(tenant).or_default().insert(key, row).is_none() {
            self.count += 1;
        }
    }

    pub(super) fn forget_row(&mut self, tenant: i64, key: &Key) {
        if self
            .rows
            .get_mut(&tenant)
            .and_then(|rows| rows.remove(key))
            .is_some()
        {
            self.count -= 1;
        }
    }

    pub(super) fn forget(&mut self) {
        self.issuers.forget();
        self.indexed.clear();
        self.rows.clear();
        self.count = 0;
    }
}
