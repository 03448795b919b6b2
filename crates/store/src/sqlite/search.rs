//! The index of things: kept with every write of a thing, built step by step for those that were there before, and read
//! along the plan of a query.
//!
//! What a query finds is decided by `fleet`, thing by thing; here is only known where to look. A page costs a bounded number
//! of rows, however many things there are: rare values are found in the index, frequent ones by going through the things.

use fleet::names::GroupName;
use fleet::page::{Marker, PageRequest};
use fleet::record::Thing;
use fleet::search::{Document, Plan, Query, ThingRef, index_rows};
use rusqlite::{Connection, Params, params};

use super::read::{self, column};
use crate::error::Error;
use crate::limits::{FILTER_SCAN_ROWS_MAX, INDEX_STEP_THINGS, SEARCH_CANDIDATES_MAX};
use crate::records::{Indexed, Page};

type Read<T> = Result<T, Error>;

/// Whether this tenant has an index, and whether it is whole.
pub(super) fn state(connection: &Connection, tenant: i64) -> Read<Option<bool>> {
    let sql = "SELECT is_built FROM search_index WHERE tenant = ?1";
    read::one(connection, sql, [tenant], |row| column(row, 0))
}

fn execute(connection: &Connection, sql: &str, params: impl Params) -> Read<usize> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(params))
        .map_err(Error::database("write the index of things"))
}

/// Takes one step to having an index, or to having none. The first step changes what later writes keep.
pub(super) fn step(connection: &Connection, tenant: i64, wanted: bool) -> Read<()> {
    match (wanted, state(connection, tenant)?) {
        (true, None) => {
            // What an earlier index left behind is not of this one.
            execute(connection, "DELETE FROM search_row WHERE tenant = ?1", [tenant])?;
            execute(connection, "INSERT INTO search_index VALUES (?1, 0, 0)", [tenant])?;
            build(connection, tenant)
        }
        (true, Some(false)) => build(connection, tenant),
        (true, Some(true)) | (false, None) => Ok(()),
        (false, Some(_)) => {
            execute(connection, "DELETE FROM search_index WHERE tenant = ?1", [tenant])?;
            execute(connection, "DELETE FROM search_row WHERE tenant = ?1", [tenant]).map(drop)
        }
    }
}

/// Indexes the next things in the order of their making.
fn build(connection: &Connection, tenant: i64) -> Read<()> {
    let sql = concat!(
        "SELECT ",
        thing_columns!(),
        " WHERE t.tenant = ?1 AND t.id > (SELECT built_to FROM search_index WHERE tenant = ?1) ORDER BY t.id LIMIT ?2"
    );
    let things = read::all(
        connection,
        sql,
        params![tenant, INDEX_STEP_THINGS],
        read::thing_row,
    )?;
    for (id, thing) in &things {
        insert(connection, tenant, *id, &thing.record)?;
    }
    let is_built = things.len() < INDEX_STEP_THINGS;
    let last = things.last().map(|(id, _)| *id);
    let sql = "UPDATE search_index SET built_to = max(built_to, ?2), is_built = ?3 WHERE tenant = ?1";
    execute(
        connection,
        sql,
        params![tenant, last.unwrap_or_default(), is_built],
    )
    .map(drop)
}

fn rows(thing: &Thing) -> Vec<(std::borrow::Cow<'static, str>, String)> {
    index_rows(ThingRef {
        name: thing.name.as_str(),
        id: &thing.id.to_string(),
        type_name: thing.type_name.as_ref().map(|name| name.as_str()),
        billing_group: thing.billing_group.as_ref().map(|name| name.as_str()),
        attributes: &thing.attributes,
    })
}

/// Puts a thing into the index.
pub(super) fn insert(connection: &Connection, tenant: i64, id: u64, thing: &Thing) -> Read<()> {
    rows(thing).iter().try_for_each(|(field, value)| {
        let sql = "INSERT OR IGNORE INTO search_row VALUES (?1, ?2, ?3, ?4)";
        execute(connection, sql, params![tenant, field, value, id]).map(drop)
    })
}

/// Takes a thing, as it was, out of the index.
pub(super) fn remove(connection: &Connection, tenant: i64, id: u64, thing: &Thing) -> Read<()> {
    rows(thing).iter().try_for_each(|(field, value)| {
        let sql = "DELETE FROM search_row WHERE tenant = ?1 AND field = ?2 AND value = ?3 AND thing = ?4";
        execute(connection, sql, params![tenant, field, value, id]).map(drop)
    })
}

/// What a query finds, in the order of making.
pub(super) fn search(
    connection: &Connection,
    tenant: i64,
    query: &Query,
    page: PageRequest,
) -> Read<Page<Indexed>> {
    let after = page.after.map_or(0, |marker| marker.0);
    let look = Look {
        connection,
        tenant,
        after,
    };
    match look.candidates(&query.plan())? {
        Some(candidates) => look.among(&candidates, query, page),
        None => look.everywhere(query, page),
    }
}

struct Look<'a> {
    connection: &'a Connection,
    tenant: i64,
    after: u64,
}

impl Look<'_> {
    /// The first candidates behind the place, in order; `None` if there are so many that going through all things is better.
    /// There are more than [`FILTER_SCAN_ROWS_MAX`] of them only if there are others behind those.
    fn candidates(&self, plan: &Plan) -> Read<Option<Vec<u64>>> {
        match plan {
            Plan::Everything => Ok(None),
            Plan::Nowhere => Ok(Some(Vec::new())),
            Plan::Exact { field, value } => self.exact(field, value).map(Some),
            Plan::Prefix { field, prefix } => self.prefix(field, prefix),
            Plan::Group(name) => self.group(name),
            Plan::Either(plans) => {
                let mut all = Vec::new();
                for plan in plans {
                    match self.candidates(plan)? {
                        Some(some) => all.extend(some),
                        None => return Ok(None),
                    }
                }
                Ok(Some(in_order(all)))
            }
        }
    }

    fn numbers(&self, sql: &str, params: impl Params) -> Read<Vec<u64>> {
        read::all(self.connection, sql, params, |row| column(row, 0))
    }

    fn exact(&self, field: &str, value: &str) -> Read<Vec<u64>> {
        let sql =
            "SELECT thing FROM search_row WHERE tenant = ?1 AND field = ?2 AND value = ?3 AND thing > ?4
             ORDER BY thing LIMIT ?5";
        let most = FILTER_SCAN_ROWS_MAX + 1;
        self.numbers(sql, params![self.tenant, field, value, self.after, most])
    }

    /// The rows of a range are in the order of their values, so all of them are read, unless they are too many.
    fn prefix(&self, field: &str, prefix: &str) -> Read<Option<Vec<u64>>> {
        // No text is greater than one that goes on with the last character of Unicode.
        let end = format!("{prefix}{}", char::MAX);
        let sql =
            "SELECT thing FROM (SELECT thing FROM search_row WHERE tenant = ?1 AND field = ?2 AND value >= ?3
             AND value < ?4 LIMIT ?5) WHERE thing > ?6";
        let all =
            "SELECT count(*) FROM (SELECT 1 FROM search_row WHERE tenant = ?1 AND field = ?2 AND value >= ?3
             AND value < ?4 LIMIT ?5)";
        let most = SEARCH_CANDIDATES_MAX + 1;
        let found = read::count(
            self.connection,
            all,
            params![self.tenant, field, prefix, end, most],
        )?;
        if found as usize >= most {
            return Ok(None);
        }
        let found = self.numbers(sql, params![self.tenant, field, prefix, end, most, self.after])?;
        Ok(Some(in_order(found)))
    }

    fn group(&self, name: &str) -> Read<Option<Vec<u64>>> {
        let sql = "SELECT m.thing FROM thing_group g JOIN group_member m ON m.thing_group = g.id
             WHERE g.tenant = ?1 AND lower(g.name) = ?2 AND m.thing > ?3 LIMIT ?4";
        let most = SEARCH_CANDIDATES_MAX + 1;
        let mut found = self.numbers(sql, params![self.tenant, name, self.after, most])?;
        if found.len() >= most {
            return Ok(None);
        }
        found.extend(self.exact("billingGroupName", name)?);
        Ok(Some(in_order(found)))
    }

    fn among(&self, candidates: &[u64], query: &Query, page: PageRequest) -> Read<Page<Indexed>> {
        let sql = concat!("SELECT ", thing_columns!(), " WHERE t.id = ?1 AND t.tenant = ?2");
        let mut found = Gathering::new(query, page);
        for id in candidates {
            let row = read::one(self.connection, sql, params![id, self.tenant], read::thing_row)?;
            let Some((_, thing)) = row else { continue };
            if !found.take(self.connection, *id, thing.record)? {
                break;
            }
        }
        Ok(found.page)
    }

    fn everywhere(&self, query: &Query, page: PageRequest) -> Read<Page<Indexed>> {
        let sql = concat!(
            "SELECT ",
            thing_columns!(),
            " WHERE t.tenant = ?1 AND t.id > ?2 ORDER BY t.id LIMIT ?3"
        );
        let failed = Error::database("search things");
        let mut statement = self.connection.prepare_cached(sql).map_err(&failed)?;
        let most = FILTER_SCAN_ROWS_MAX + 1;
        let mut rows = statement
            .query(params![self.tenant, self.after, most])
            .map_err(&failed)?;
        let mut found = Gathering::new(query, page);
        while let Some(row) = rows.next().map_err(&failed)? {
            let (id, thing) = read::thing_row(row)?;
            if !found.take(self.connection, id, thing.record)? {
                break;
            }
        }
        Ok(found.page)
    }
}

/// A page that is being filled.
struct Gathering<'a> {
    query: &'a Query,
    size: usize,
    looked_at: usize,
    last: u64,
    page: Page<Indexed>,
}

impl<'a> Gathering<'a> {
    fn new(query: &'a Query, page: PageRequest) -> Self {
        Self {
            query,
            size: usize::from(page.size),
            looked_at: 0,
            last: 0,
            page: Page {
                items: Vec::new(),
                next: None,
            },
        }
    }

    /// Looks at one more thing; false if it is for the next page.
    fn take(&mut self, connection: &Connection, id: u64, thing: Thing) -> Read<bool> {
        if self.page.items.len() == self.size || self.looked_at == FILTER_SCAN_ROWS_MAX {
            self.page.next = Some(Marker(self.last));
            return Ok(false);
        }
        (self.looked_at, self.last) = (self.looked_at + 1, id);
        let groups = groups_of(connection, id)?;
        let document = Document {
            thing: &thing,
            groups: &groups,
        };
        if self.query.admits(&document) {
            self.page.items.push(Indexed { thing, groups });
        }
        Ok(true)
    }
}

fn groups_of(connection: &Connection, thing: u64) -> Read<Vec<GroupName>> {
    let sql =
        "SELECT g.name FROM group_member m JOIN thing_group g ON g.id = m.thing_group WHERE m.thing = ?1";
    read::all(connection, sql, [thing], |row| {
        read::group_name(read::text(row, 0)?)
    })
}

fn in_order(mut places: Vec<u64>) -> Vec<u64> {
    places.sort_unstable();
    places.dedup();
    places.truncate(FILTER_SCAN_ROWS_MAX + 1);
    places
}
