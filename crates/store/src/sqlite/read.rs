//! Rows become records: every look-up by key, on any connection.
//!
//! The writer uses these inside its transaction and the readers inside theirs. A row that no version of this program
//! writes is told as damage, never guessed at.

use std::sync::Arc;

use fleet::limits::{CAS_PER_SUBJECT_MAX, CERTIFICATES_PER_THING_MAX, GROUP_DEPTH_MAX};
use fleet::names::{
    BillingGroupName, CodeValue, GroupName, PolicyName, PolicyVersionId, TemplateName, TemplateVersionId,
    ThingTypeName,
};
use fleet::record::{
    CaCertificate, CaStatus, CertificateMode, CertificateStatus, DeviceCertificate, GroupMember, Origin,
    Policy, PolicyAttachment, PolicyTarget, PolicyVersion, PrincipalType, ProvisioningHook,
    ProvisioningTemplate, RegionClaim, RegistrationCode, TemplateKind, TemplateVersion, Thing, ThingGroup,
    ThingPrincipal, Uuid, Versioned,
};
use fleet::resource::Resource;
use fleet::thing_group_members::Membership;
use identity::{CertificateId, Region, Tenant, ThingName, UnixMillis};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};

use super::codec::{bytes, read_attributes, read_registration, read_tags, word};
use crate::error::Error;
use crate::records::{AttachedPolicy, Holding};

type Read<T> = Result<T, Error>;

macro_rules! certificate_fields {
    () => {
        "c.id, c.fingerprint, issuer.fingerprint, c.origin, c.status, c.mode, \
    c.not_before, c.not_after, c.created, c.modified, c.customer_version, c.version, c.der"
    };
}
macro_rules! certificate_tables {
    () => {
        " FROM certificate c LEFT JOIN issuer ON issuer.id = c.issuer"
    };
}
macro_rules! certificate_columns {
    () => {
        concat!(certificate_fields!(), certificate_tables!())
    };
}
macro_rules! thing_fields {
    () => {
        "t.id, t.name, t.uuid, t.type_name, t.attributes, t.thing_version, \
    issuer.fingerprint, t.simulated, t.created, t.modified, t.version, t.billing_group"
    };
}
macro_rules! thing_tables {
    () => {
        " FROM thing t LEFT JOIN issuer ON issuer.id = t.born_under"
    };
}
macro_rules! thing_columns {
    () => {
        concat!(thing_fields!(), thing_tables!())
    };
}
macro_rules! ca_columns {
    () => {
        "id, fingerprint, der, subject, key_id, status, auto_registration, mode, registration, \
    not_before, not_after, created, modified, customer_version, tags, version, gated FROM ca"
    };
}
macro_rules! policy_columns {
    () => {
        "id, name, default_version, last_version, created, modified, tags, version FROM policy"
    };
}

macro_rules! template_columns {
    () => {
        "id, name, kind, description, enabled, role_arn, hook_version, hook_target, default_version, last_version, \
    created, modified, tags, version FROM provisioning_template"
    };
}

macro_rules! group_columns {
    () => {
        "g.id, g.name, g.uuid, parent.name, g.description, g.attributes, g.group_version, g.created, g.modified, \
    g.tags, g.version FROM thing_group g LEFT JOIN thing_group parent ON parent.id = g.parent"
    };
}
/// The rest of a query that begins with some groups in `above`: the groups above them, and the policies of all.
macro_rules! climb {
    () => {
        "UNION SELECT g.parent FROM thing_group g JOIN above ON above.id = g.id WHERE g.parent IS NOT NULL)
         SELECT p.name, p.default_version, p.version, v.document FROM policy p
         JOIN policy_version v ON v.policy = p.id AND v.id = p.default_version
         WHERE p.id IN (SELECT a.policy FROM group_policy a JOIN above ON a.thing_group = above.id) ORDER BY p.id"
    };
}

/// One row, if there is one, turned into a record.
pub(super) fn one<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> Read<T>,
) -> Read<Option<T>> {
    let failed = Error::database("look up a record");
    let mut statement = connection.prepare_cached(sql).map_err(&failed)?;
    let mut rows = statement.query(params).map_err(&failed)?;
    rows.next().map_err(&failed)?.map(read).transpose()
}

/// All rows, turned into records.
pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Read<T>,
) -> Read<Vec<T>> {
    let failed = Error::database("list records");
    let mut statement = connection.prepare_cached(sql).map_err(&failed)?;
    let mut rows = statement.query(params).map_err(&failed)?;
    let mut items = Vec::new();
    while let Some(row) = rows.next().map_err(&failed)? {
        items.push(read(row)?);
    }
    Ok(items)
}

/// A column of a row.
pub(super) fn column<T: rusqlite::types::FromSql>(row: &Row<'_>, at: usize) -> Read<T> {
    row.get(at).map_err(Error::database("read a column"))
}

pub(super) fn text<'a>(row: &'a Row<'_>, at: usize) -> Read<&'a str> {
    row.get_ref(at)
        .map_err(Error::database("read a column"))?
        .as_str()
        .map_err(|_| Error::corrupt("a text column", "not a text"))
}

pub(super) fn blob<'a>(row: &'a Row<'_>, at: usize) -> Read<&'a [u8]> {
    row.get_ref(at)
        .map_err(Error::database("read a column"))?
        .as_blob()
        .map_err(|_| Error::corrupt("a blob column", "not a blob"))
}

fn millis(row: &Row<'_>, at: usize) -> Read<UnixMillis> {
    column(row, at).map(UnixMillis)
}

pub(super) fn id(row: &Row<'_>, at: usize) -> Read<CertificateId> {
    bytes("fingerprint", blob(row, at)?).map(CertificateId)
}

pub(super) fn optional_id(row: &Row<'_>, at: usize) -> Read<Option<CertificateId>> {
    let value = row.get_ref(at).map_err(Error::database("read a column"))?;
    match value.as_blob_or_null() {
        Ok(None) => Ok(None),
        Ok(Some(blob)) => bytes("fingerprint", blob).map(CertificateId).map(Some),
        Err(_) => Err(Error::corrupt("fingerprint", "not a blob")),
    }
}

pub(super) fn thing_name(row: &Row<'_>, at: usize) -> Read<ThingName> {
    word("thing.name", text(row, at)?, |text| text.parse().ok())
}

pub(super) fn policy_name(row: &Row<'_>, at: usize) -> Read<PolicyName> {
    word("policy.name", text(row, at)?, |text| PolicyName::parse(text).ok())
}

/// The number of a tenant, if anything was ever kept for it.
pub(super) fn tenant_id(connection: &Connection, tenant: &Tenant) -> Read<Option<i64>> {
    let sql = "SELECT id FROM tenant WHERE account = ?1 AND region = ?2";
    one(
        connection,
        sql,
        params![tenant.account.as_str(), tenant.region.as_str()],
        |row| column(row, 0),
    )
}

/// Every tenant that anything was ever kept for, in order.
pub(super) fn tenants(connection: &Connection) -> Read<Vec<Tenant>> {
    let sql = "SELECT account, region FROM tenant ORDER BY id";
    all(connection, sql, [], |row| {
        Ok(Tenant {
            account: word("tenant.account", text(row, 0)?, |text| text.parse().ok())?,
            region: word("tenant.region", text(row, 1)?, |text| text.parse().ok())?,
        })
    })
}

pub(super) fn epoch(connection: &Connection, tenant: i64) -> Read<u64> {
    let found = one(
        connection,
        "SELECT epoch FROM tenant WHERE id = ?1",
        [tenant],
        |row| column(row, 0),
    )?;
    Ok(found.unwrap_or(0))
}

pub(super) fn registration_code(
    connection: &Connection,
    tenant: i64,
) -> Read<Option<Versioned<RegistrationCode>>> {
    let sql = "SELECT code, created, version FROM registration_code WHERE tenant = ?1";
    one(connection, sql, [tenant], |row| {
        let code = CodeValue(bytes("registration_code.code", blob(row, 0)?)?);
        let record = RegistrationCode {
            code,
            created: millis(row, 1)?,
        };
        Ok(Versioned {
            version: column(row, 2)?,
            record,
        })
    })
}

pub(super) fn ca(
    connection: &Connection,
    tenant: i64,
    id: &CertificateId,
) -> Read<Option<Versioned<CaCertificate>>> {
    let sql = concat!(
        "SELECT ",
        ca_columns!(),
        " WHERE tenant = ?1 AND fingerprint = ?2"
    );
    one(connection, sql, params![tenant, id.0], ca_row).map(|found| found.map(|(_, ca)| ca))
}

pub(super) fn cas_by_subject(
    connection: &Connection,
    tenant: i64,
    subject: &[u8],
) -> Read<Vec<Versioned<CaCertificate>>> {
    let sql = concat!(
        "SELECT ",
        ca_columns!(),
        " WHERE tenant = ?1 AND subject = ?2 ORDER BY id LIMIT ?3"
    );
    all(
        connection,
        sql,
        params![tenant, subject, CAS_PER_SUBJECT_MAX],
        |row| ca_row(row).map(|(_, ca)| ca),
    )
}

pub(super) fn ca_row(row: &Row<'_>) -> Read<(u64, Versioned<CaCertificate>)> {
    let registration = row.get_ref(8).map_err(Error::database("read a column"))?;
    let registration = match registration.as_str_or_null() {
        Ok(None) => None,
        Ok(Some(text)) => Some(read_registration(text)?),
        Err(_) => return Err(Error::corrupt("ca.registration", "not a text")),
    };
    let record = CaCertificate {
        id: id(row, 1)?,
        der: Arc::from(blob(row, 2)?),
        subject: Arc::from(blob(row, 3)?),
        key_id: bytes("ca.key_id", blob(row, 4)?)?,
        status: word("ca.status", text(row, 5)?, CaStatus::parse)?,
        auto_registration: column(row, 6)?,
        mode: word("ca.mode", text(row, 7)?, CertificateMode::parse)?,
        registration,
        gated: column(row, 16)?,
        not_before: millis(row, 9)?,
        not_after: millis(row, 10)?,
        created: millis(row, 11)?,
        modified: millis(row, 12)?,
        customer_version: column(row, 13)?,
        tags: read_tags(text(row, 14)?)?,
    };
    Ok((
        column(row, 0)?,
        Versioned {
            version: column(row, 15)?,
            record,
        },
    ))
}

pub(super) fn region_claim(
    connection: &Connection,
    region: &Region,
    ca: &CertificateId,
) -> Read<Option<Versioned<RegionClaim>>> {
    let sql = "SELECT account, version FROM region_claim WHERE region = ?1 AND fingerprint = ?2";
    one(connection, sql, params![region.as_str(), ca.0], |row| {
        let owner = word("region_claim.account", text(row, 0)?, |text| text.parse().ok())?;
        Ok(Versioned {
            version: column(row, 1)?,
            record: RegionClaim { ca: *ca, owner },
        })
    })
}

/// The certificate with its row number.
pub(super) fn certificate(
    connection: &Connection,
    tenant: i64,
    id: &CertificateId,
) -> Read<Option<(u64, Versioned<DeviceCertificate>)>> {
    let sql = concat!(
        "SELECT ",
        certificate_columns!(),
        " WHERE c.tenant = ?1 AND c.fingerprint = ?2"
    );
    one(connection, sql, params![tenant, id.0], certificate_row)
}

pub(super) fn certificate_row(row: &Row<'_>) -> Read<(u64, Versioned<DeviceCertificate>)> {
    let record = DeviceCertificate {
        id: id(row, 1)?,
        der: Arc::from(blob(row, 12)?),
        ca: optional_id(row, 2)?,
        origin: word("certificate.origin", text(row, 3)?, Origin::parse)?,
        status: word("certificate.status", text(row, 4)?, CertificateStatus::parse)?,
        mode: word("certificate.mode", text(row, 5)?, CertificateMode::parse)?,
        not_before: millis(row, 6)?,
        not_after: millis(row, 7)?,
        created: millis(row, 8)?,
        modified: millis(row, 9)?,
        customer_version: column(row, 10)?,
    };
    Ok((
        column(row, 0)?,
        Versioned {
            version: column(row, 11)?,
            record,
        },
    ))
}

/// The thing with its row number.
pub(super) fn thing(
    connection: &Connection,
    tenant: i64,
    name: &ThingName,
) -> Read<Option<(u64, Versioned<Thing>)>> {
    let sql = concat!(
        "SELECT ",
        thing_columns!(),
        " WHERE t.tenant = ?1 AND t.name = ?2"
    );
    one(connection, sql, params![tenant, name.as_str()], thing_row)
}

pub(super) fn thing_row(row: &Row<'_>) -> Read<(u64, Versioned<Thing>)> {
    let billing_group: Option<String> = column(row, 11)?;
    let billing_group = billing_group.map(|name| {
        word("thing.billing_group", &name, |name| {
            BillingGroupName::parse(name).ok()
        })
    });
    let type_name: Option<String> = column(row, 3)?;
    let type_name =
        type_name.map(|name| word("thing.type_name", &name, |name| ThingTypeName::parse(name).ok()));
    let record = Thing {
        name: thing_name(row, 1)?,
        id: Uuid(bytes("thing.uuid", blob(row, 2)?)?),
        type_name: type_name.transpose()?,
        billing_group: billing_group.transpose()?,
        attributes: read_attributes(text(row, 4)?)?,
        version: column(row, 5)?,
        born_under: optional_id(row, 6)?,
        simulated: column(row, 7)?,
        created: millis(row, 8)?,
        modified: millis(row, 9)?,
    };
    Ok((
        column(row, 0)?,
        Versioned {
            version: column(row, 10)?,
            record,
        },
    ))
}

pub(super) fn policy(
    connection: &Connection,
    tenant: i64,
    name: &PolicyName,
) -> Read<Option<Versioned<Policy>>> {
    let sql = concat!("SELECT ", policy_columns!(), " WHERE tenant = ?1 AND name = ?2");
    let found = one(connection, sql, params![tenant, name.as_str()], policy_row)?;
    found
        .map(|(row, policy)| with_versions(connection, row, policy))
        .transpose()
}

/// A policy without its versions, and its row number.
pub(super) fn policy_row(row: &Row<'_>) -> Read<(u64, Versioned<Policy>)> {
    let record = Policy {
        name: policy_name(row, 1)?,
        versions: Vec::new(),
        default_version: PolicyVersionId(column(row, 2)?),
        last_version: PolicyVersionId(column(row, 3)?),
        created: millis(row, 4)?,
        modified: millis(row, 5)?,
        tags: read_tags(text(row, 6)?)?,
    };
    Ok((
        column(row, 0)?,
        Versioned {
            version: column(row, 7)?,
            record,
        },
    ))
}

pub(super) fn with_versions(
    connection: &Connection,
    row: u64,
    mut policy: Versioned<Policy>,
) -> Read<Versioned<Policy>> {
    let sql = "SELECT id, document, created FROM policy_version WHERE policy = ?1 ORDER BY id";
    policy.record.versions = all(connection, sql, [row], |row| {
        Ok(PolicyVersion {
            id: PolicyVersionId(column(row, 0)?),
            document: Arc::from(text(row, 1)?),
            created: millis(row, 2)?,
        })
    })?;
    Ok(policy)
}

pub(super) fn template(
    connection: &Connection,
    tenant: i64,
    name: &TemplateName,
) -> Read<Option<Versioned<ProvisioningTemplate>>> {
    let sql = concat!("SELECT ", template_columns!(), " WHERE tenant = ?1 AND name = ?2");
    let found = one(connection, sql, params![tenant, name.as_str()], template_row)?;
    found
        .map(|(row, template)| with_bodies(connection, row, template))
        .transpose()
}

/// A template without its versions, and its row number.
pub(super) fn template_row(row: &Row<'_>) -> Read<(u64, Versioned<ProvisioningTemplate>)> {
    let hook: (Option<String>, Option<String>) = (column(row, 6)?, column(row, 7)?);
    let record = ProvisioningTemplate {
        name: word("provisioning_template.name", text(row, 1)?, |text| {
            TemplateName::parse(text).ok()
        })?,
        kind: word("provisioning_template.kind", text(row, 2)?, TemplateKind::parse)?,
        description: column(row, 3)?,
        enabled: column(row, 4)?,
        role_arn: column(row, 5)?,
        hook: match hook {
            (Some(payload_version), Some(target_arn)) => Some(ProvisioningHook {
                payload_version,
                target_arn,
            }),
            _ => None,
        },
        versions: Vec::new(),
        default_version: TemplateVersionId(column(row, 8)?),
        last_version: TemplateVersionId(column(row, 9)?),
        created: millis(row, 10)?,
        modified: millis(row, 11)?,
        tags: read_tags(text(row, 12)?)?,
    };
    Ok((
        column(row, 0)?,
        Versioned {
            version: column(row, 13)?,
            record,
        },
    ))
}

fn with_bodies(
    connection: &Connection,
    row: u64,
    mut template: Versioned<ProvisioningTemplate>,
) -> Read<Versioned<ProvisioningTemplate>> {
    let sql = "SELECT id, body, created FROM provisioning_template_version WHERE template = ?1 ORDER BY id";
    template.record.versions = all(connection, sql, [row], |row| {
        Ok(TemplateVersion {
            id: TemplateVersionId(column(row, 0)?),
            body: Arc::from(text(row, 1)?),
            created: millis(row, 2)?,
        })
    })?;
    Ok(template)
}

pub(super) fn template_count(connection: &Connection, tenant: i64) -> Read<u32> {
    let sql = "SELECT count(*) FROM provisioning_template WHERE tenant = ?1";
    let found = one(connection, sql, params![tenant], |row| {
        row.get(0).map_err(Error::database("count templates"))
    })?;
    Ok(found.unwrap_or(0))
}

pub(super) fn is_template_used(connection: &Connection, tenant: i64, name: &TemplateName) -> Read<bool> {
    let sql = "SELECT 1 FROM ca WHERE tenant = ?1 AND template_name = ?2 LIMIT 1";
    let found = one(connection, sql, params![tenant, name.as_str()], |_| Ok(()))?;
    Ok(found.is_some())
}

pub(super) fn policies_of(
    connection: &Connection,
    tenant: i64,
    target: &PolicyTarget,
) -> Read<Vec<Versioned<PolicyAttachment>>> {
    let read = |row: &Row<'_>| {
        let record = PolicyAttachment {
            policy: policy_name(row, 0)?,
            target: target.clone(),
        };
        Ok(Versioned {
            version: column(row, 1)?,
            record,
        })
    };
    match target {
        PolicyTarget::Certificate(id) => {
            let sql = "SELECT p.name, a.version FROM certificate c
                 JOIN policy_attachment a ON a.certificate = c.id JOIN policy p ON p.id = a.policy
                 WHERE c.tenant = ?1 AND c.fingerprint = ?2 ORDER BY a.policy";
            all(connection, sql, params![tenant, id.0], read)
        }
        PolicyTarget::Group(name) => {
            let sql = "SELECT p.name, a.version FROM thing_group g
                 JOIN group_policy a ON a.thing_group = g.id JOIN policy p ON p.id = a.policy
                 WHERE g.tenant = ?1 AND g.name = ?2 ORDER BY a.policy";
            all(connection, sql, params![tenant, name.as_str()], read)
        }
    }
}

pub(super) fn attached_policy(row: &Row<'_>) -> Read<AttachedPolicy> {
    Ok(AttachedPolicy {
        name: policy_name(row, 0)?,
        version: PolicyVersionId(column(row, 1)?),
        record_version: column(row, 2)?,
        document: Arc::from(text(row, 3)?),
    })
}

/// The policies of the groups that a thing is in, and of the groups above those.
pub(super) fn policies_of_thing(
    connection: &Connection,
    tenant: i64,
    thing: &ThingName,
) -> Read<Vec<AttachedPolicy>> {
    let sql = concat!(
        "WITH RECURSIVE above (id) AS (
            SELECT m.thing_group FROM thing t JOIN group_member m ON m.thing = t.id WHERE t.tenant = ?1 AND t.name = ?2
            ",
        climb!()
    );
    all(connection, sql, params![tenant, thing.as_str()], attached_policy)
}

/// The policies of a group and of the groups above it.
pub(super) fn policies_of_group(
    connection: &Connection,
    tenant: i64,
    group: &GroupName,
) -> Read<Vec<AttachedPolicy>> {
    let sql = concat!(
        "WITH RECURSIVE above (id) AS (SELECT id FROM thing_group WHERE tenant = ?1 AND name = ?2
            ",
        climb!()
    );
    all(connection, sql, params![tenant, group.as_str()], attached_policy)
}

/// A group and the groups above it, the top last.
pub(super) fn lineage(
    connection: &Connection,
    tenant: i64,
    group: &GroupName,
) -> Read<Vec<Versioned<ThingGroup>>> {
    let sql = concat!(
        "SELECT ",
        group_columns!(),
        " WHERE g.tenant = ?1 AND g.name = ?2"
    );
    let mut lineage: Vec<Versioned<ThingGroup>> = Vec::new();
    let mut next = Some(group.clone());
    while let Some(name) = next.take().filter(|_| lineage.len() <= GROUP_DEPTH_MAX) {
        let found = one(connection, sql, params![tenant, name.as_str()], group_row)?;
        if let Some((_, found)) = found {
            next = found.record.parent.clone();
            lineage.push(found);
        }
    }
    Ok(lineage)
}

pub(super) fn group_row(row: &Row<'_>) -> Read<(u64, Versioned<ThingGroup>)> {
    let parent: Option<String> = column(row, 3)?;
    let record = ThingGroup {
        name: group_name(text(row, 1)?)?,
        id: Uuid(bytes("thing_group.uuid", blob(row, 2)?)?),
        parent: parent.as_deref().map(group_name).transpose()?,
        description: column(row, 4)?,
        attributes: read_attributes(text(row, 5)?)?,
        version: column(row, 6)?,
        created: millis(row, 7)?,
        modified: millis(row, 8)?,
        tags: read_tags(text(row, 9)?)?,
    };
    Ok((
        column(row, 0)?,
        Versioned {
            version: column(row, 10)?,
            record,
        },
    ))
}

pub(super) fn group_name(text: &str) -> Read<GroupName> {
    word("thing_group.name", text, |text| GroupName::parse(text).ok())
}

/// The groups that a thing is directly in, with the top of each hierarchy.
pub(super) fn groups_of(connection: &Connection, tenant: i64, thing: &ThingName) -> Read<Vec<Membership>> {
    let sql = "SELECT g.name, m.version FROM thing t JOIN group_member m ON m.thing = t.id
         JOIN thing_group g ON g.id = m.thing_group WHERE t.tenant = ?1 AND t.name = ?2 ORDER BY m.thing_group";
    let members = all(connection, sql, params![tenant, thing.as_str()], |row| {
        Ok(Versioned {
            version: column(row, 1)?,
            record: GroupMember {
                group: group_name(text(row, 0)?)?,
                thing: thing.clone(),
            },
        })
    })?;
    let with_root = |member: Versioned<GroupMember>| {
        let lineage = lineage(connection, tenant, &member.record.group)?;
        let root = lineage
            .last()
            .map_or(&member.record.group, |top| &top.record.name)
            .clone();
        Ok(Membership { member, root })
    };
    members.into_iter().map(with_root).collect()
}

/// How many groups are directly under a group.
pub(super) fn children_of(connection: &Connection, tenant: i64, group: &GroupName) -> Read<u32> {
    let sql = "SELECT count(*) FROM thing_group g JOIN thing_group c ON c.parent = g.id
         WHERE g.tenant = ?1 AND g.name = ?2";
    count(connection, sql, params![tenant, group.as_str()])
}

/// Certificates attached to things in a group or in one under it, by number, behind `after`.
pub(super) fn certificates_in_group(
    connection: &Connection,
    tenant: i64,
    group: &GroupName,
) -> Read<Vec<CertificateId>> {
    let sql = "WITH RECURSIVE below (id) AS (SELECT id FROM thing_group WHERE tenant = ?1 AND name = ?2
            UNION SELECT g.id FROM thing_group g JOIN below ON g.parent = below.id)
         SELECT DISTINCT c.fingerprint FROM below JOIN group_member m ON m.thing_group = below.id
         JOIN thing_principal p ON p.thing = m.thing JOIN certificate c ON c.id = p.certificate";
    all(connection, sql, params![tenant, group.as_str()], |row| id(row, 0))
}

pub(super) fn things_of(
    connection: &Connection,
    tenant: i64,
    id: &CertificateId,
) -> Read<Vec<Versioned<ThingPrincipal>>> {
    let sql = "SELECT t.name, p.kind, p.version FROM certificate c
         JOIN thing_principal p ON p.certificate = c.id JOIN thing t ON t.id = p.thing
         WHERE c.tenant = ?1 AND c.fingerprint = ?2 ORDER BY p.thing";
    all(connection, sql, params![tenant, id.0], |row| {
        let kind = word("thing_principal.kind", text(row, 1)?, PrincipalType::parse)?;
        let record = ThingPrincipal {
            thing: thing_name(row, 0)?,
            certificate: *id,
            kind,
        };
        Ok(Versioned {
            version: column(row, 2)?,
            record,
        })
    })
}

pub(super) fn principals_of(connection: &Connection, tenant: i64, thing: &ThingName) -> Read<Vec<Holding>> {
    let sql = "SELECT c.fingerprint, p.kind, p.version, c.status FROM thing t
         JOIN thing_principal p ON p.thing = t.id JOIN certificate c ON c.id = p.certificate
         WHERE t.tenant = ?1 AND t.name = ?2 ORDER BY p.certificate LIMIT ?3";
    all(
        connection,
        sql,
        params![tenant, thing.as_str(), CERTIFICATES_PER_THING_MAX],
        |row| {
            let kind = word("thing_principal.kind", text(row, 1)?, PrincipalType::parse)?;
            let record = ThingPrincipal {
                thing: thing.clone(),
                certificate: id(row, 0)?,
                kind,
            };
            Ok(Holding {
                principal: Versioned {
                    version: column(row, 2)?,
                    record,
                },
                status: word("certificate.status", text(row, 3)?, CertificateStatus::parse)?,
            })
        },
    )
}

/// A record that is kept whole.
pub(super) fn resource<T: Resource>(
    connection: &Connection,
    tenant: i64,
    name: &str,
) -> Read<Option<Versioned<T>>> {
    let sql = "SELECT id, body, version FROM resource WHERE tenant = ?1 AND kind = ?2 AND name = ?3";
    let found = one(
        connection,
        sql,
        params![tenant, T::KIND.name(), name],
        resource_row,
    )?;
    Ok(found.map(|(_, resource)| resource))
}

pub(super) fn resource_row<T: Resource>(row: &Row<'_>) -> Read<(u64, Versioned<T>)> {
    let body = crate::plain::read(text(row, 1)?)?;
    let record = T::shaped(&body)
        .ok_or_else(|| Error::corrupt("resource.body", format!("not the shape of a {}", T::KIND.name())))?;
    Ok((
        column(row, 0)?,
        Versioned {
            version: column(row, 2)?,
            record,
        },
    ))
}

pub(super) fn resource_count<T: Resource>(connection: &Connection, tenant: i64, most: u32) -> Read<u32> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM resource WHERE tenant = ?1 AND kind = ?2 LIMIT ?3)";
    count(connection, sql, params![tenant, T::KIND.name(), most])
}

/// How many rows a query finds, counted no further than one more than `most`.
pub(super) fn count(connection: &Connection, sql: &str, params: impl Params) -> Read<u32> {
    let found = connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_row(params, |row| row.get(0)).optional())
        .map_err(Error::database("count records"))?;
    Ok(found.unwrap_or(0))
}

/// A policy's name with the version of its record.
pub(super) fn policy_version(
    connection: &Connection,
    tenant: i64,
    name: &PolicyName,
) -> Read<Option<Versioned<PolicyName>>> {
    let sql = "SELECT version FROM policy WHERE tenant = ?1 AND name = ?2";
    one(connection, sql, params![tenant, name.as_str()], |row| {
        Ok(Versioned {
            version: column(row, 0)?,
            record: name.clone(),
        })
    })
}
