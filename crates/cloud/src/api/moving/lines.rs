//! One line of an export, as JSON: the twin of `fleet::import::Line`.
//!
//! A line holds one resource and what hangs on it. Times are milliseconds since 1970. What another cloud does not tell
//! (ids, versions, when something was made) may be missing and is made up.

use std::collections::BTreeMap;
use std::sync::Arc;

use fleet::import::Line;
use fleet::names::{
    BillingGroupName, GroupName, PolicyName, PolicyVersionId, TemplateName, TemplateVersionId, ThingTypeName,
};
use fleet::plain::{Plain, Shape as _};
use fleet::record::{
    CaCertificate, CaStatus, CertificateMode, CertificateStatus, DeviceCertificate, Origin, Policy,
    PolicyVersion, PrincipalType, ProvisioningHook, ProvisioningTemplate, RegistrationConfig, Tag,
    TemplateKind, TemplateVersion, Thing, ThingGroup, Uuid,
};
use fleet::text::escaped;
use fleet::{Call, Exception, Refusal};
use identity::certificate::Certificate;
use identity::{ThingName, UnixMillis};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::clock;

/// A resource of any kind.
#[derive(Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Written {
    ThingType { body: Map<String, Value> },
    BillingGroup { body: Map<String, Value> },
    Policy(PolicyLine),
    Template(TemplateLine),
    Ca(CaLine),
    Group(GroupLine),
    Thing(ThingLine),
    Certificate(CertificateLine),
}

type Tags = Vec<(String, String)>;

#[derive(Deserialize, Serialize)]
pub(super) struct VersionLine {
    id: u32,
    document: String,
    #[serde(default)]
    created: Option<i64>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PolicyLine {
    name: String,
    versions: Vec<VersionLine>,
    default_version: u32,
    #[serde(default)]
    last_version: u32,
    #[serde(default)]
    created: Option<i64>,
    #[serde(default)]
    tags: Tags,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TemplateLine {
    name: String,
    #[serde(rename = "type")]
    template_type: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    enabled: bool,
    #[serde(default)]
    role_arn: String,
    #[serde(default)]
    hook: Option<(String, String)>,
    versions: Vec<VersionLine>,
    default_version: u32,
    #[serde(default)]
    last_version: u32,
    #[serde(default)]
    created: Option<i64>,
    #[serde(default)]
    tags: Tags,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CaLine {
    certificate_pem: String,
    status: String,
    #[serde(default)]
    auto_registration: bool,
    mode: String,
    #[serde(default)]
    template_body: Option<String>,
    #[serde(default)]
    template_name: Option<String>,
    #[serde(default)]
    role_arn: Option<String>,
    #[serde(default)]
    gated: bool,
    #[serde(default)]
    created: Option<i64>,
    #[serde(default)]
    tags: Tags,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GroupLine {
    name: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    parent: Option<String>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    version: Option<u64>,
    #[serde(default)]
    created: Option<i64>,
    #[serde(default)]
    tags: Tags,
    #[serde(default)]
    policies: Vec<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ThingLine {
    name: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    type_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    billing_group: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    born_under: Option<String>,
    #[serde(default)]
    simulated: bool,
    #[serde(default)]
    created: Option<i64>,
    #[serde(default)]
    groups: Vec<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CertificateLine {
    certificate_pem: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<String>,
    #[serde(default)]
    origin: Option<String>,
    status: String,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    created: Option<i64>,
    #[serde(default)]
    customer_version: Option<u32>,
    #[serde(default)]
    policies: Vec<String>,
    #[serde(default)]
    things: Vec<(String, Option<String>)>,
}

/// Reads one line of an export.
///
/// # Errors
/// It is no line of an export, or a name or a certificate in it is none.
pub fn read(call: &Call, line: &str) -> Result<Line, Refusal> {
    let written: Written = serde_json::from_str(line).map_err(|error| {
        wrong(format!(
            "it is no line of an export: {}",
            escaped(&error.to_string())
        ))
    })?;
    let now = call.now;
    let at = |millis: Option<i64>| millis.map_or(now, UnixMillis);
    match written {
        Written::ThingType { body } => shaped(body).map(Line::ThingType),
        Written::BillingGroup { body } => shaped(body).map(Line::BillingGroup),
        Written::Policy(line) => Ok(Line::Policy(Policy {
            name: PolicyName::parse(&line.name)?,
            default_version: PolicyVersionId(line.default_version),
            last_version: PolicyVersionId(highest(&line.versions).max(line.last_version)),
            versions: read_versions(line.versions, now, |id, document, created| PolicyVersion {
                id: PolicyVersionId(id),
                document,
                created,
            }),
            created: at(line.created),
            modified: now,
            tags: tags(line.tags),
        })),
        Written::Template(line) => Ok(Line::Template(ProvisioningTemplate {
            name: TemplateName::parse(&line.name)?,
            kind: word(&line.template_type, TemplateKind::parse)?,
            description: line.description,
            enabled: line.enabled,
            role_arn: line.role_arn,
            hook: line.hook.map(|(payload_version, target_arn)| ProvisioningHook {
                payload_version,
                target_arn,
            }),
            default_version: TemplateVersionId(line.default_version),
            last_version: TemplateVersionId(highest(&line.versions).max(line.last_version)),
            versions: read_versions(line.versions, now, |id, body, created| TemplateVersion {
                id: TemplateVersionId(id),
                body,
                created,
            }),
            created: at(line.created),
            modified: now,
            tags: tags(line.tags),
        })),
        Written::Ca(line) => read_ca(line, now),
        Written::Group(line) => Ok(Line::Group(
            ThingGroup {
                name: GroupName::parse(&line.name)?,
                id: uuid(line.id.as_deref())?,
                parent: line.parent.as_deref().map(GroupName::parse).transpose()?,
                description: line.description,
                attributes: line.attributes,
                version: line.version.unwrap_or(1),
                created: at(line.created),
                modified: now,
                tags: tags(line.tags),
            },
            names(&line.policies, PolicyName::parse)?,
        )),
        Written::Thing(line) => Ok(Line::Thing(
            Thing {
                name: thing(&line.name)?,
                id: uuid(line.id.as_deref())?,
                type_name: line.type_name.as_deref().map(ThingTypeName::parse).transpose()?,
                billing_group: line
                    .billing_group
                    .as_deref()
                    .map(BillingGroupName::parse)
                    .transpose()?,
                attributes: line.attributes,
                version: line.version.unwrap_or(1),
                born_under: line.born_under.as_deref().map(id).transpose()?,
                simulated: line.simulated,
                created: at(line.created),
                modified: now,
            },
            names(&line.groups, GroupName::parse)?,
        )),
        Written::Certificate(line) => read_certificate(line, now),
    }
}

fn read_ca(line: CaLine, now: UnixMillis) -> Result<Line, Refusal> {
    let certificate = pem(&line.certificate_pem)?;
    let has_registration =
        line.template_body.is_some() || line.template_name.is_some() || line.role_arn.is_some();
    let registration = RegistrationConfig {
        template_body: line.template_body,
        template_name: line
            .template_name
            .as_deref()
            .map(TemplateName::parse)
            .transpose()?,
        role_arn: line.role_arn,
    };
    Ok(Line::Ca(CaCertificate {
        id: certificate.id(),
        der: Arc::from(certificate.der()),
        subject: Arc::from(certificate.subject().der()),
        key_id: certificate.public_key().key_id(),
        status: word(&line.status, CaStatus::parse)?,
        auto_registration: line.auto_registration,
        mode: word(&line.mode, CertificateMode::parse)?,
        registration: has_registration.then_some(registration),
        gated: line.gated,
        not_before: certificate.not_before(),
        not_after: certificate.not_after(),
        created: line.created.map_or(now, UnixMillis),
        modified: now,
        customer_version: 1,
        tags: tags(line.tags),
    }))
}

fn read_certificate(line: CertificateLine, now: UnixMillis) -> Result<Line, Refusal> {
    let certificate = pem(&line.certificate_pem)?;
    if !fleet::certificate::is_key_accepted(certificate.public_key().kind()) {
        return Err(wrong("its key is not one that may connect".to_owned()));
    }
    let things = line.things.iter().map(|(name, kind)| {
        let kind = kind.as_deref().map_or_else(
            || Ok(PrincipalType::default()),
            |kind| word(kind, PrincipalType::parse),
        );
        Ok((thing(name)?, kind?))
    });
    let things = things.collect::<Result<_, Refusal>>()?;
    let policies = names(&line.policies, PolicyName::parse)?;
    let status = word(&line.status, CertificateStatus::parse)?;
    let record = DeviceCertificate {
        id: certificate.id(),
        der: Arc::from(certificate.der()),
        ca: line.ca.as_deref().map(id).transpose()?,
        origin: line
            .origin
            .as_deref()
            .map_or(Ok(Origin::Registered), |origin| word(origin, Origin::parse))?,
        // Its way to another account ended where it came from.
        status: match status {
            CertificateStatus::PendingTransfer => CertificateStatus::Inactive,
            status => status,
        },
        mode: line
            .mode
            .as_deref()
            .map_or(Ok(CertificateMode::Default), |mode| {
                word(mode, CertificateMode::parse)
            })?,
        not_before: certificate.not_before(),
        not_after: certificate.not_after(),
        created: line.created.map_or(now, UnixMillis),
        modified: now,
        customer_version: line.customer_version.unwrap_or(1),
    };
    Ok(Line::Certificate(record, policies, things))
}

/// Writes one line of an export.
pub fn write(line: &Line) -> Value {
    let written = match line {
        Line::ThingType(record) => Written::ThingType {
            body: members(&record.plain()),
        },
        Line::BillingGroup(record) => Written::BillingGroup {
            body: members(&record.plain()),
        },
        Line::Policy(record) => Written::Policy(PolicyLine {
            name: record.name.to_string(),
            versions: record
                .versions
                .iter()
                .map(|version| version_line(version.id.0, &version.document, version.created))
                .collect(),
            default_version: record.default_version.0,
            last_version: record.last_version.0,
            created: Some(record.created.0),
            tags: pairs(&record.tags),
        }),
        Line::Template(record) => Written::Template(TemplateLine {
            name: record.name.to_string(),
            template_type: record.kind.name().to_owned(),
            description: record.description.clone(),
            enabled: record.enabled,
            role_arn: record.role_arn.clone(),
            hook: record
                .hook
                .as_ref()
                .map(|hook| (hook.payload_version.clone(), hook.target_arn.clone())),
            versions: record
                .versions
                .iter()
                .map(|version| version_line(version.id.0, &version.body, version.created))
                .collect(),
            default_version: record.default_version.0,
            last_version: record.last_version.0,
            created: Some(record.created.0),
            tags: pairs(&record.tags),
        }),
        Line::Ca(record) => {
            let registration = record.registration.clone().unwrap_or_default();
            Written::Ca(CaLine {
                certificate_pem: identity::pem::encode("CERTIFICATE", &record.der),
                status: record.status.name().to_owned(),
                auto_registration: record.auto_registration,
                mode: record.mode.name().to_owned(),
                template_body: registration.template_body,
                template_name: registration.template_name.map(|name| name.to_string()),
                role_arn: registration.role_arn,
                gated: record.gated,
                created: Some(record.created.0),
                tags: pairs(&record.tags),
            })
        }
        Line::Group(record, policies) => Written::Group(GroupLine {
            name: record.name.to_string(),
            id: Some(record.id.to_string()),
            parent: record.parent.as_ref().map(ToString::to_string),
            description: record.description.clone(),
            attributes: record.attributes.clone(),
            version: Some(record.version),
            created: Some(record.created.0),
            tags: pairs(&record.tags),
            policies: policies.iter().map(ToString::to_string).collect(),
        }),
        Line::Thing(record, groups) => Written::Thing(ThingLine {
            name: record.name.to_string(),
            id: Some(record.id.to_string()),
            type_name: record.type_name.as_ref().map(ToString::to_string),
            billing_group: record.billing_group.as_ref().map(ToString::to_string),
            attributes: record.attributes.clone(),
            version: Some(record.version),
            born_under: record.born_under.map(|ca| ca.to_string()),
            simulated: record.simulated,
            created: Some(record.created.0),
            groups: groups.iter().map(ToString::to_string).collect(),
        }),
        Line::Certificate(record, policies, things) => Written::Certificate(CertificateLine {
            certificate_pem: identity::pem::encode("CERTIFICATE", &record.der),
            ca: record.ca.map(|ca| ca.to_string()),
            origin: Some(record.origin.name().to_owned()),
            status: record.status.name().to_owned(),
            mode: Some(record.mode.name().to_owned()),
            created: Some(record.created.0),
            customer_version: Some(record.customer_version),
            policies: policies.iter().map(ToString::to_string).collect(),
            things: things
                .iter()
                .map(|(name, kind)| (name.to_string(), Some(kind.name().to_owned())))
                .collect(),
        }),
    };
    serde_json::to_value(written).unwrap_or_else(|_| json!({}))
}

fn members(plain: &Plain) -> Map<String, Value> {
    match store::plain::value(plain) {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// A record that is kept whole. Its name is checked by whoever knows the kind.
fn shaped<T: fleet::resource::Resource>(mut body: Map<String, Value>) -> Result<T, Refusal> {
    if !body.contains_key("id") {
        body.insert("id".to_owned(), uuid(None)?.to_string().into());
    }
    let record = store::plain::plain(Value::Object(body)).and_then(|plain| T::shaped(&plain));
    let record = record.ok_or_else(|| wrong(format!("its body is not that of a {}", T::KIND.name())))?;
    ThingTypeName::parse(record.name())?;
    Ok(record)
}

fn version_line(id: u32, document: &str, created: UnixMillis) -> VersionLine {
    VersionLine {
        id,
        document: document.to_owned(),
        created: Some(created.0),
    }
}

fn read_versions<T>(
    lines: Vec<VersionLine>,
    now: UnixMillis,
    make: impl Fn(u32, Arc<str>, UnixMillis) -> T,
) -> Vec<T> {
    let version = |line: VersionLine| {
        let created = line.created.map_or(now, UnixMillis);
        make(line.id, line.document.into(), created)
    };
    lines.into_iter().map(version).collect()
}

fn highest(versions: &[VersionLine]) -> u32 {
    versions.iter().map(|version| version.id).max().unwrap_or(0)
}

fn tags(pairs: Tags) -> Vec<Tag> {
    pairs.into_iter().map(|(key, value)| Tag { key, value }).collect()
}

fn pairs(tags: &[Tag]) -> Tags {
    tags.iter()
        .map(|tag| (tag.key.clone(), tag.value.clone()))
        .collect()
}

fn names<T: PartialEq>(
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, Refusal>,
) -> Result<Vec<T>, Refusal> {
    let mut names = Vec::with_capacity(texts.len());
    for text in texts {
        let name = parse(text)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn word<T>(text: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Refusal> {
    parse(text).ok_or_else(|| {
        wrong(format!(
            "\"{}\" is not a word that may stand there",
            text.chars().take(64).collect::<String>()
        ))
    })
}

fn thing(name: &str) -> Result<ThingName, Refusal> {
    fleet::arn::parse_thing(name)
}

fn id(text: &str) -> Result<identity::CertificateId, Refusal> {
    text.parse()
        .map_err(|error: identity::Error| wrong(error.to_string()))
}

fn uuid(text: Option<&str>) -> Result<Uuid, Refusal> {
    match text {
        Some(text) => Uuid::parse(text).ok_or_else(|| wrong("its id is no UUID".to_owned())),
        None => clock::uuid().map_err(|error| wrong(error.to_string())),
    }
}

fn pem(text: &str) -> Result<Certificate, Refusal> {
    Certificate::from_pem(text).map_err(|error| wrong(format!("its certificate cannot be read: {error}")))
}

fn wrong(why: String) -> Refusal {
    Refusal::new(Exception::InvalidRequest, "cloud.api.import_line", why)
}
