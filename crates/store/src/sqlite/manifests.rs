//! Devices of manifests and counters: rows become records.

use fleet::manifest::{Listed, ManifestEntry, ManifestOrder};
use fleet::record::Versioned;
use identity::manifest::{Entry, KeyHash};
use rusqlite::{Connection, Row, params};

use super::codec::{bytes, read_attributes};
use super::read::{self, blob, column, one, optional_id, text};
use crate::error::Error;

type Read<T> = Result<T, Error>;

/// The entry of a key.
pub(super) fn entry(
    connection: &Connection,
    tenant: i64,
    key: &KeyHash,
) -> Read<Option<Versioned<ManifestEntry>>> {
    let sql = "SELECT key, manifest_order, certificate, unit, thing, parameters, admitted, version
               FROM manifest_entry WHERE tenant = ?1 AND key = ?2";
    one(connection, sql, params![tenant, key.0], entry_row)
}

fn entry_row(row: &Row<'_>) -> Read<Versioned<ManifestEntry>> {
    let thing: Option<String> = column(row, 4)?;
    let thing = thing.map(|name| {
        name.parse()
            .map_err(|_| Error::corrupt("manifest_entry.thing", "not a thing name"))
    });
    let record = ManifestEntry {
        entry: Entry {
            key: KeyHash(bytes("manifest_entry.key", blob(row, 0)?)?),
            certificate: optional_id(row, 2)?,
            unit: column(row, 3)?,
            thing: thing.transpose()?,
            parameters: read_attributes(text(row, 5)?)?,
        },
        order: column(row, 1)?,
        admitted: optional_id(row, 6)?,
    };
    Ok(Versioned {
        version: column(row, 7)?,
        record,
    })
}

/// How far a counter has come in this window.
pub(super) fn tally(connection: &Connection, tenant: i64, name: &str, window: i64) -> Read<u64> {
    let sql = "SELECT count FROM tally WHERE tenant = ?1 AND name = ?2 AND window = ?3";
    let found = one(connection, sql, params![tenant, name, window], |row| {
        column(row, 0)
    })?;
    Ok(found.unwrap_or(0))
}

/// What the manifests say of a key.
pub(super) fn listed(connection: &Connection, tenant: i64, key: &KeyHash, hour: i64) -> Read<Option<Listed>> {
    let Some(entry) = entry(connection, tenant, key)? else {
        return Ok(None);
    };
    let order: Option<Versioned<ManifestOrder>> = read::resource(connection, tenant, &entry.record.order)?;
    let (mut signer, mut admitted, mut admitted_this_hour) = (None, 0, 0);
    if let Some(order) = order.as_ref().map(|order| &order.record) {
        signer = read::resource(connection, tenant, &order.signer)?;
        admitted = tally(connection, tenant, &order.admitted_tally(), 0)?;
        admitted_this_hour = tally(connection, tenant, &order.hourly_tally(), hour)?;
    }
    Ok(Some(Listed {
        entry,
        order,
        signer,
        admitted,
        admitted_this_hour,
    }))
}
