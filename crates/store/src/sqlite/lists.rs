//! Lists, page by page, in the order in which records were made.
//!
//! A page is found by the number of the last row shown (keyset pagination), so it costs the same wherever it is. A list
//! that has to look at rows it does not show looks at a bounded number of them.

use fleet::names::PolicyName;
use fleet::page::{Marker, PageRequest};
use fleet::record::{
    CaCertificate, DeviceCertificate, PolicyTarget, PrincipalType, ProvisioningTemplate, Thing,
    ThingPrincipal,
};
use fleet::thing::Filter;
use identity::{CertificateId, ThingName, UnixMillis};
use rusqlite::types::ToSql;
use rusqlite::{Connection, Row};

use super::codec::word;
use super::read::{self, column};
use crate::error::Error;
use crate::limits::FILTER_SCAN_ROWS_MAX;
use crate::records::{AuditLine, Page};

type Read<T> = Result<T, Error>;

/// Rows of one page: where to look, and the column that gives the order.
struct Listing<'a> {
    /// `SELECT … WHERE …`, with parameters from ?1.
    select: &'a str,
    params: &'a [&'a dyn ToSql],
    order: &'a str,
}

impl Listing<'_> {
    /// Reads rows behind the marker and keeps those that `show` gives. Looks at most at `scan` rows.
    fn page<T>(
        &self,
        connection: &Connection,
        request: PageRequest,
        scan: usize,
        mut show: impl FnMut(&Row<'_>) -> Read<(u64, Option<T>)>,
    ) -> Read<Page<T>> {
        let failed = Error::database("list records");
        let (compare, direction, start) = if request.ascending {
            (">", "ASC", 0)
        } else {
            ("<", "DESC", i64::MAX as u64)
        };
        let after = request.after.map_or(start, |marker| marker.0);
        let (place, limit) = (self.params.len() + 1, self.params.len() + 2);
        let sql = format!(
            "{} AND {order} {compare} ?{place} ORDER BY {order} {direction} LIMIT ?{limit}",
            self.select,
            order = self.order
        );
        let scan_limit = scan + 1;
        let mut params = self.params.to_vec();
        params.extend([&after as &dyn ToSql, &scan_limit]);
        let mut statement = connection.prepare_cached(&sql).map_err(&failed)?;
        let mut rows = statement.query(params.as_slice()).map_err(&failed)?;
        let (mut items, mut last, mut seen) = (Vec::new(), after, 0);
        while let Some(row) = rows.next().map_err(&failed)? {
            if items.len() == usize::from(request.size) || seen == scan {
                return Ok(Page {
                    items,
                    next: Some(Marker(last)),
                });
            }
            let (place, item) = show(row)?;
            items.extend(item);
            last = place;
            seen += 1;
        }
        Ok(Page { items, next: None })
    }

    /// A page of which every row is shown.
    fn whole<T>(
        &self,
        connection: &Connection,
        request: PageRequest,
        mut show: impl FnMut(&Row<'_>) -> Read<(u64, T)>,
    ) -> Read<Page<T>> {
        self.page(connection, request, usize::from(request.size), |row| {
            show(row).map(|(place, item)| (place, Some(item)))
        })
    }
}

pub(super) fn cas(connection: &Connection, tenant: i64, page: PageRequest) -> Read<Page<CaCertificate>> {
    let select = concat!("SELECT ", ca_columns!(), " WHERE tenant = ?1");
    Listing {
        select,
        params: &[&tenant],
        order: "id",
    }
    .whole(connection, page, |row| {
        read::ca_row(row).map(|(place, ca)| (place, ca.record))
    })
}

pub(super) fn certificates(
    connection: &Connection,
    tenant: i64,
    page: PageRequest,
) -> Read<Page<DeviceCertificate>> {
    let select = concat!("SELECT ", certificate_columns!(), " WHERE c.tenant = ?1");
    Listing {
        select,
        params: &[&tenant],
        order: "c.id",
    }
    .whole(connection, page, |row| {
        read::certificate_row(row).map(|(place, found)| (place, found.record))
    })
}

pub(super) fn certificates_by_ca(
    connection: &Connection,
    tenant: i64,
    ca: &CertificateId,
    page: PageRequest,
) -> Read<Page<DeviceCertificate>> {
    let select = concat!(
        "SELECT ",
        certificate_columns!(),
        " WHERE c.tenant = ?1 AND c.issuer = (SELECT id FROM issuer WHERE fingerprint = ?2)"
    );
    Listing {
        select,
        params: &[&tenant, &ca.0],
        order: "c.id",
    }
    .whole(connection, page, |row| {
        read::certificate_row(row).map(|(place, found)| (place, found.record))
    })
}

pub(super) fn things(
    connection: &Connection,
    tenant: i64,
    filter: &Filter,
    page: PageRequest,
) -> Read<Page<Thing>> {
    let select = concat!("SELECT ", thing_columns!(), " WHERE t.tenant = ?1");
    let scan = if filter.is_empty() {
        usize::from(page.size)
    } else {
        FILTER_SCAN_ROWS_MAX
    };
    Listing {
        select,
        params: &[&tenant],
        order: "t.id",
    }
    .page(connection, page, scan, |row| {
        let (place, thing) = read::thing_row(row)?;
        Ok((place, Some(thing.record).filter(|thing| filter.admits(thing))))
    })
}

pub(super) fn policies(connection: &Connection, tenant: i64, page: PageRequest) -> Read<Page<PolicyName>> {
    let select = "SELECT id, name FROM policy WHERE tenant = ?1";
    Listing {
        select,
        params: &[&tenant],
        order: "id",
    }
    .whole(connection, page, |row| {
        Ok((column(row, 0)?, read::policy_name(row, 1)?))
    })
}

/// Templates without their versions.
pub(super) fn templates(
    connection: &Connection,
    tenant: i64,
    page: PageRequest,
) -> Read<Page<ProvisioningTemplate>> {
    let select = concat!("SELECT ", template_columns!(), " WHERE tenant = ?1");
    Listing {
        select,
        params: &[&tenant],
        order: "id",
    }
    .whole(connection, page, |row| {
        read::template_row(row).map(|(place, template)| (place, template.record))
    })
}

pub(super) fn attached_policies(
    connection: &Connection,
    tenant: i64,
    target: &PolicyTarget,
    page: PageRequest,
) -> Read<Page<PolicyName>> {
    let PolicyTarget::Certificate(id) = target;
    let select = "SELECT p.id, p.name FROM certificate c JOIN policy_attachment a ON a.certificate = c.id
         JOIN policy p ON p.id = a.policy WHERE c.tenant = ?1 AND c.fingerprint = ?2";
    Listing {
        select,
        params: &[&tenant, &id.0],
        order: "a.policy",
    }
    .whole(connection, page, |row| {
        Ok((column(row, 0)?, read::policy_name(row, 1)?))
    })
}

pub(super) fn targets(
    connection: &Connection,
    tenant: i64,
    policy: &PolicyName,
    page: PageRequest,
) -> Read<Page<PolicyTarget>> {
    let select = "SELECT c.id, c.fingerprint FROM policy p JOIN policy_attachment a ON a.policy = p.id
         JOIN certificate c ON c.id = a.certificate WHERE p.tenant = ?1 AND p.name = ?2";
    Listing {
        select,
        params: &[&tenant, &policy.as_str()],
        order: "a.certificate",
    }
    .whole(connection, page, |row| {
        Ok((column(row, 0)?, PolicyTarget::Certificate(read::id(row, 1)?)))
    })
}

pub(super) fn thing_principals(
    connection: &Connection,
    tenant: i64,
    thing: &ThingName,
    page: PageRequest,
) -> Read<Page<ThingPrincipal>> {
    let select = "SELECT c.id, c.fingerprint, p.kind FROM thing t JOIN thing_principal p ON p.thing = t.id
         JOIN certificate c ON c.id = p.certificate WHERE t.tenant = ?1 AND t.name = ?2";
    Listing {
        select,
        params: &[&tenant, &thing.as_str()],
        order: "p.certificate",
    }
    .whole(connection, page, |row| {
        let item = ThingPrincipal {
            thing: thing.clone(),
            certificate: read::id(row, 1)?,
            kind: kind(row)?,
        };
        Ok((column(row, 0)?, item))
    })
}

pub(super) fn principal_things(
    connection: &Connection,
    tenant: i64,
    id: &CertificateId,
    page: PageRequest,
) -> Read<Page<ThingPrincipal>> {
    let select =
        "SELECT t.id, t.name, p.kind FROM certificate c JOIN thing_principal p ON p.certificate = c.id
         JOIN thing t ON t.id = p.thing WHERE c.tenant = ?1 AND c.fingerprint = ?2";
    Listing {
        select,
        params: &[&tenant, &id.0],
        order: "p.thing",
    }
    .whole(connection, page, |row| {
        let item = ThingPrincipal {
            thing: read::thing_name(row, 1)?,
            certificate: *id,
            kind: kind(row)?,
        };
        Ok((column(row, 0)?, item))
    })
}

/// The log of all tenants is one chain; lines of others are passed over.
pub(super) fn audit(connection: &Connection, tenant: i64, page: PageRequest) -> Read<Page<AuditLine>> {
    let select = "SELECT number, version, at, actor, action, subject, detail, tenant FROM audit WHERE TRUE";
    Listing {
        select,
        params: &[],
        order: "number",
    }
    .page(connection, page, FILTER_SCAN_ROWS_MAX, |row| {
        let line = AuditLine {
            number: column(row, 0)?,
            version: column(row, 1)?,
            at: UnixMillis(column(row, 2)?),
            actor: column(row, 3)?,
            action: column(row, 4)?,
            subject: column(row, 5)?,
            detail: column(row, 6)?,
        };
        let ours = column::<i64>(row, 7)? == tenant;
        Ok((line.number, ours.then_some(line)))
    })
}

fn kind(row: &Row<'_>) -> Read<PrincipalType> {
    let text: String = column(row, 2)?;
    word("thing_principal.kind", &text, PrincipalType::parse)
}
