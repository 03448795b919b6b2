//! Lists, page by page, in the order in which records were made.
//!
//! A page is found by the number of the last row shown (keyset pagination), so it costs the same wherever it is. A list
//! that has to look at rows it does not show looks at a bounded number of them.

use fleet::names::{GroupName, PolicyName};
use fleet::page::{Marker, PageRequest};
use fleet::record::{
    CaCertificate, DeviceCertificate, PolicyTarget, PrincipalType, ProvisioningTemplate, Thing, ThingGroup,
    ThingPrincipal, Versioned,
};
use fleet::resource::Resource;
use fleet::thing::Filter;
use identity::{CertificateId, Tenant, ThingName, UnixMillis};
use rusqlite::types::ToSql;
use rusqlite::{Connection, Row};

use super::codec::word;
use super::read::{self, column};
use crate::error::Error;
use crate::limits::FILTER_SCAN_ROWS_MAX;
use crate::records::{AuditLine, GroupFilter, Page};

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
    let names = (
        filter.type_name.as_ref().map(|name| name.as_str()),
        filter.billing_group.as_ref().map(|name| name.as_str()),
    );
    let (select, name) = match names {
        (Some(name), _) => (
            concat!(
                "SELECT ",
                thing_columns!(),
                " WHERE t.tenant = ?1 AND t.type_name = ?2"
            ),
            Some(name),
        ),
        (None, Some(name)) => (
            concat!(
                "SELECT ",
                thing_columns!(),
                " WHERE t.tenant = ?1 AND t.billing_group = ?2"
            ),
            Some(name),
        ),
        (None, None) => (
            concat!("SELECT ", thing_columns!(), " WHERE t.tenant = ?1 AND ?2 IS NULL"),
            None,
        ),
    };
    let scan = if filter.is_empty() {
        usize::from(page.size)
    } else {
        FILTER_SCAN_ROWS_MAX
    };
    Listing {
        select,
        params: &[&tenant, &name],
        order: "t.id",
    }
    .page(connection, page, scan, |row| {
        let (place, thing) = read::thing_row(row)?;
        Ok((place, Some(thing.record).filter(|thing| filter.admits(thing))))
    })
}

/// Records that are kept whole, of one kind.
pub(super) fn resources<T: Resource>(
    connection: &Connection,
    tenant: i64,
    prefix: &str,
    page: PageRequest,
) -> Read<Page<T>> {
    let scan = if prefix.is_empty() {
        usize::from(page.size)
    } else {
        FILTER_SCAN_ROWS_MAX
    };
    Listing {
        select: "SELECT id, body, version FROM resource WHERE tenant = ?1 AND kind = ?2",
        params: &[&tenant, &T::KIND.name()],
        order: "id",
    }
    .page(connection, page, scan, |row| {
        let (place, resource) = read::resource_row::<T>(row)?;
        let shown = Some(resource.record).filter(|resource| resource.name().starts_with(prefix));
        Ok((place, shown))
    })
}

/// Records that are kept whole, of one kind, of every tenant.
pub(super) fn every_resource<T: Resource>(connection: &Connection) -> Read<Vec<(Tenant, Versioned<T>)>> {
    let sql = "SELECT r.id, r.body, r.version, t.account, t.region FROM tenant t
         JOIN resource r ON r.tenant = t.id AND r.kind = ?1 ORDER BY r.id";
    read::all(connection, sql, [T::KIND.name()], |row| {
        let tenant = Tenant {
            account: word("tenant.account", read::text(row, 3)?, |text| text.parse().ok())?,
            region: word("tenant.region", read::text(row, 4)?, |text| text.parse().ok())?,
        };
        read::resource_row(row).map(|(_, resource)| (tenant, resource))
    })
}

/// CAs with their tenants; there are few of either.
pub(super) fn every_ca(connection: &Connection) -> Read<Vec<(Tenant, CaCertificate)>> {
    let sql = "SELECT id, account, region FROM tenant ORDER BY id";
    let tenants = read::all(connection, sql, [], |row| {
        let tenant = Tenant {
            account: word("tenant.account", read::text(row, 1)?, |text| text.parse().ok())?,
            region: word("tenant.region", read::text(row, 2)?, |text| text.parse().ok())?,
        };
        Ok((column::<i64>(row, 0)?, tenant))
    })?;
    let sql = concat!("SELECT ", ca_columns!(), " WHERE tenant = ?1 ORDER BY id");
    let mut cas = Vec::new();
    for (id, tenant) in tenants {
        let own = read::all(connection, sql, [id], |row| {
            read::ca_row(row).map(|(_, ca)| ca.record)
        })?;
        cas.extend(own.into_iter().map(|ca| (tenant, ca)));
    }
    Ok(cas)
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
    let show = |row: &Row<'_>| Ok((column(row, 0)?, read::policy_name(row, 1)?));
    let order = "a.policy";
    match target {
        PolicyTarget::Certificate(id) => {
            let select =
                "SELECT p.id, p.name FROM certificate c JOIN policy_attachment a ON a.certificate = c.id
                 JOIN policy p ON p.id = a.policy WHERE c.tenant = ?1 AND c.fingerprint = ?2";
            let params: &[&dyn ToSql] = &[&tenant, &id.0];
            Listing {
                select,
                params,
                order,
            }
            .whole(connection, page, show)
        }
        PolicyTarget::Group(name) => {
            let select = "SELECT p.id, p.name FROM thing_group g JOIN group_policy a ON a.thing_group = g.id
                 JOIN policy p ON p.id = a.policy WHERE g.tenant = ?1 AND g.name = ?2";
            let params: &[&dyn ToSql] = &[&tenant, &name.as_str()];
            Listing {
                select,
                params,
                order,
            }
            .whole(connection, page, show)
        }
    }
}

/// Places of certificates in the list of a policy's targets begin here; those of groups are below.
const CERTIFICATES_FROM: u64 = 1 << 60;

/// Groups, then certificates; the other way round when the newest come first.
pub(super) fn targets(
    connection: &Connection,
    tenant: i64,
    policy: &PolicyName,
    page: PageRequest,
) -> Read<Page<PolicyTarget>> {
    let among_certificates = page.after.map(|after| after.0 >= CERTIFICATES_FROM);
    let only_second = among_certificates == Some(page.ascending);
    let mut found = if only_second {
        Page {
            items: Vec::new(),
            next: None,
        }
    } else {
        targets_of_kind(connection, tenant, policy, page, !page.ascending)?
    };
    if found.next.is_none() {
        let left = page.size - u16::try_from(found.items.len()).unwrap_or(page.size);
        let rest = PageRequest {
            size: left,
            // A second part that has not begun starts at its own end of the places.
            after: page.after.filter(|_| only_second).or(Some(if page.ascending {
                Marker(CERTIFICATES_FROM)
            } else {
                Marker(CERTIFICATES_FROM - 1)
            })),
            ..page
        };
        let rest = targets_of_kind(connection, tenant, policy, rest, page.ascending)?;
        found.items.extend(rest.items);
        found.next = rest.next;
    }
    Ok(found)
}

fn targets_of_kind(
    connection: &Connection,
    tenant: i64,
    policy: &PolicyName,
    page: PageRequest,
    certificates: bool,
) -> Read<Page<PolicyTarget>> {
    let params: &[&dyn ToSql] = &[&tenant, &policy.as_str()];
    if !certificates {
        let select = "SELECT g.id, g.name FROM policy p JOIN group_policy a ON a.policy = p.id
             JOIN thing_group g ON g.id = a.thing_group WHERE p.tenant = ?1 AND p.name = ?2";
        let order = "a.thing_group";
        return Listing {
            select,
            params,
            order,
        }
        .whole(connection, page, |row| {
            let name: String = column(row, 1)?;
            Ok((column(row, 0)?, PolicyTarget::Group(read::group_name(&name)?)))
        });
    }
    let select = "SELECT c.id, c.fingerprint FROM policy p JOIN policy_attachment a ON a.policy = p.id
         JOIN certificate c ON c.id = a.certificate WHERE p.tenant = ?1 AND p.name = ?2";
    let order = "a.certificate";
    let inner = PageRequest {
        after: page.after.map(|after| Marker(after.0 - CERTIFICATES_FROM)),
        ..page
    };
    let found = Listing {
        select,
        params,
        order,
    }
    .whole(connection, inner, |row| {
        Ok((column(row, 0)?, PolicyTarget::Certificate(read::id(row, 1)?)))
    })?;
    Ok(Page {
        items: found.items,
        next: found.next.map(|next| Marker(next.0 + CERTIFICATES_FROM)),
    })
}

/// Groups: all, those directly under one, or everything below one.
pub(super) fn groups(
    connection: &Connection,
    tenant: i64,
    filter: &GroupFilter,
    page: PageRequest,
) -> Read<Page<ThingGroup>> {
    let (select, parent) = match (&filter.parent, filter.recursive) {
        (None, true) => (
            concat!("SELECT ", group_columns!(), " WHERE g.tenant = ?1 AND ?2 IS NULL"),
            None,
        ),
        (None, false) => (
            concat!(
                "SELECT ",
                group_columns!(),
                " WHERE g.tenant = ?1 AND ?2 IS NULL AND g.parent IS NULL"
            ),
            None,
        ),
        (Some(parent), false) => (
            concat!(
                "SELECT ",
                group_columns!(),
                " WHERE g.tenant = ?1 AND parent.name = ?2"
            ),
            Some(parent.as_str()),
        ),
        (Some(parent), true) => (
            concat!(
                "SELECT ",
                group_columns!(),
                " WHERE g.tenant = ?1 AND g.parent IN (
                    WITH RECURSIVE below (id) AS (SELECT id FROM thing_group WHERE tenant = ?1 AND name = ?2
                        UNION SELECT c.id FROM thing_group c JOIN below ON c.parent = below.id)
                    SELECT id FROM below)"
            ),
            Some(parent.as_str()),
        ),
    };
    let prefix = filter.prefix.as_deref().unwrap_or_default();
    let scan = if prefix.is_empty() {
        usize::from(page.size)
    } else {
        FILTER_SCAN_ROWS_MAX
    };
    Listing {
        select,
        params: &[&tenant, &parent],
        order: "g.id",
    }
    .page(connection, page, scan, |row| {
        let (place, group) = read::group_row(row)?;
        let shown = Some(group.record).filter(|group| group.name.as_str().starts_with(prefix));
        Ok((place, shown))
    })
}

/// Things in a group, or in it and in those below it.
pub(super) fn things_in_group(
    connection: &Connection,
    tenant: i64,
    group: &GroupName,
    recursive: bool,
    page: PageRequest,
) -> Read<Page<ThingName>> {
    let select = if recursive {
        "SELECT t.id, t.name FROM thing t WHERE t.tenant = ?1 AND t.id IN (
            WITH RECURSIVE below (id) AS (SELECT id FROM thing_group WHERE tenant = ?1 AND name = ?2
                UNION SELECT c.id FROM thing_group c JOIN below ON c.parent = below.id)
            SELECT m.thing FROM group_member m JOIN below ON m.thing_group = below.id)"
    } else {
        "SELECT t.id, t.name FROM thing_group g JOIN group_member m ON m.thing_group = g.id
         JOIN thing t ON t.id = m.thing WHERE g.tenant = ?1 AND g.name = ?2"
    };
    let order = if recursive { "t.id" } else { "m.thing" };
    Listing {
        select,
        params: &[&tenant, &group.as_str()],
        order,
    }
    .whole(connection, page, |row| {
        Ok((column(row, 0)?, read::thing_name(row, 1)?))
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
