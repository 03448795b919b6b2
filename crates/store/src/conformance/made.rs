//! Records made up for the suite. The store never looks into a certificate, so its bytes are made up too.

use std::collections::BTreeMap;
use std::sync::Arc;

use fleet::audit::{Actor, Entry};
use fleet::batch::{Batch, Record};
use fleet::names::{CodeValue, GroupName, PolicyName, PolicyVersionId, TemplateName, TemplateVersionId};
use fleet::record::{
    CaCertificate, CaStatus, CertificateMode, CertificateStatus, DeviceCertificate, GroupMember, Origin,
    Policy, PolicyAttachment, PolicyTarget, PolicyVersion, PrincipalType, ProvisioningHook,
    ProvisioningTemplate, RegionClaim, RegistrationCode, RegistrationConfig, Tag, TemplateKind,
    TemplateVersion, Thing, ThingGroup, ThingPrincipal, Uuid,
};
use fleet::text::Text;
use identity::{CertificateId, Tenant, ThingName, UnixMillis};

/// A time.
pub const NOW: UnixMillis = UnixMillis(1_795_392_000_123);

/// The id with this number.
pub fn id(number: u64) -> CertificateId {
    CertificateId(identity::crypto::sha256(&number.to_be_bytes()))
}

/// `t-<number>`.
pub fn thing_name(number: u64) -> ThingName {
    format!("t-{number:06}").parse().unwrap()
}

/// `p-<number>`.
pub fn policy_name(number: u64) -> PolicyName {
    PolicyName::parse(&format!("p-{number:06}")).unwrap()
}

/// Another tenant than the default one.
pub fn other_tenant() -> Tenant {
    Tenant {
        account: "000000000001".parse().unwrap(),
        region: "eu-west-1".parse().unwrap(),
    }
}

/// A CA with every field in use.
pub fn ca(number: u64, subject: &[u8]) -> CaCertificate {
    CaCertificate {
        id: id(number),
        der: Arc::from(number.to_be_bytes().as_slice()),
        subject: Arc::from(subject),
        key_id: [9; 20],
        status: CaStatus::Active,
        auto_registration: true,
        mode: CertificateMode::SniOnly,
        registration: Some(RegistrationConfig {
            template_body: Some("{\"Resources\": \"ü\"}".to_owned()),
            template_name: None,
            role_arn: Some("arn:aws:iam::123456789012:role/r".to_owned()),
        }),
        gated: true,
        not_before: UnixMillis(-1),
        not_after: UnixMillis::NO_EXPIRY,
        created: NOW,
        modified: NOW,
        customer_version: 1,
        tags: vec![Tag {
            key: "k".to_owned(),
            value: "v".to_owned(),
        }],
    }
}

/// A certificate under CA `ca`.
pub fn certificate(number: u64, ca: Option<u64>) -> DeviceCertificate {
    DeviceCertificate {
        id: id(number),
        der: Arc::from([number.to_be_bytes().as_slice(), &[0x30; 592]].concat()),
        ca: ca.map(id),
        origin: Origin::FirstConnection,
        status: CertificateStatus::Active,
        mode: CertificateMode::Default,
        not_before: UnixMillis(0),
        not_after: UnixMillis::NO_EXPIRY,
        created: NOW,
        modified: NOW,
        customer_version: 2,
    }
}

/// A thing with an attribute.
pub fn thing(number: u64) -> Thing {
    Thing {
        name: thing_name(number),
        id: Uuid([7; 16]),
        type_name: None,
        billing_group: None,
        attributes: BTreeMap::from([("number".to_owned(), number.to_string())]),
        version: 1,
        born_under: Some(id(1)),
        simulated: true,
        created: NOW,
        modified: NOW,
    }
}

/// A policy with one version.
pub fn policy(number: u64) -> Policy {
    let version = PolicyVersionId(1);
    Policy {
        name: policy_name(number),
        versions: vec![PolicyVersion {
            id: version,
            document: Arc::from("{}"),
            created: NOW,
        }],
        default_version: version,
        last_version: version,
        created: NOW,
        modified: NOW,
        tags: Vec::new(),
    }
}

/// A named provisioning template with two versions.
pub fn template(name: &str) -> ProvisioningTemplate {
    let version = |number| TemplateVersion {
        id: TemplateVersionId(number),
        body: Arc::from("{\"ü\": 1}"),
        created: NOW,
    };
    ProvisioningTemplate {
        name: TemplateName::parse(name).unwrap(),
        kind: TemplateKind::JustInTime,
        description: "what it is for".to_owned(),
        enabled: true,
        role_arn: "arn:aws:iam::123456789012:role/r".to_owned(),
        hook: Some(ProvisioningHook {
            payload_version: "2020-04-01".to_owned(),
            target_arn: "arn:hook".to_owned(),
        }),
        versions: vec![version(1), version(3)],
        default_version: TemplateVersionId(3),
        last_version: TemplateVersionId(4),
        created: NOW,
        modified: NOW,
        tags: vec![Tag {
            key: "k".to_owned(),
            value: String::new(),
        }],
    }
}

/// A thing group under another one.
pub fn group(name: &str, parent: Option<&str>) -> ThingGroup {
    ThingGroup {
        name: group_name(name),
        id: Uuid([8; 16]),
        parent: parent.map(group_name),
        description: "what it is for".to_owned(),
        attributes: BTreeMap::from([("room".to_owned(), "kitchen".to_owned())]),
        version: 1,
        created: NOW,
        modified: NOW,
        tags: Vec::new(),
    }
}

/// The name of a thing group.
pub fn group_name(name: &str) -> GroupName {
    GroupName::parse(name).unwrap()
}

/// Thing `thing` in a group.
pub fn member(group: &str, thing: u64) -> GroupMember {
    GroupMember {
        group: group_name(group),
        thing: thing_name(thing),
    }
}

/// The registration code.
pub fn code() -> RegistrationCode {
    RegistrationCode {
        code: CodeValue([5; 32]),
        created: NOW,
    }
}

/// The claim of an account on a CA.
pub fn claim(number: u64, tenant: &Tenant) -> RegionClaim {
    RegionClaim {
        ca: id(number),
        owner: tenant.account,
    }
}

/// Policy `policy` attached to certificate `certificate`.
pub fn attachment(policy: u64, certificate: u64) -> PolicyAttachment {
    PolicyAttachment {
        policy: policy_name(policy),
        target: PolicyTarget::Certificate(id(certificate)),
    }
}

/// Certificate `certificate` attached to thing `thing`.
pub fn principal(thing: u64, certificate: u64) -> ThingPrincipal {
    ThingPrincipal {
        thing: thing_name(thing),
        certificate: id(certificate),
        kind: PrincipalType::NonExclusive,
    }
}

/// An audit entry.
pub fn entry(action: &'static str) -> Entry {
    Entry {
        at: NOW,
        actor: Actor::AccessKey(Text::short("BMKEY")),
        action,
        subject: Text::short("subject"),
        detail: Text::long("detail ü"),
    }
}

/// A batch that makes these records for the default tenant.
pub fn batch(records: impl IntoIterator<Item = Record>) -> Batch {
    let mut batch = Batch::new(&Tenant::default());
    records.into_iter().for_each(|record| batch.insert(record));
    batch
}

/// What the first connection of device `number` keeps.
pub fn first_connection(number: u64, policy: u64) -> Batch {
    let mut batch = batch([
        Record::Thing(thing(number)),
        Record::Attachment(attachment(policy, number)),
        Record::ThingPrincipal(principal(number, number)),
        Record::Certificate(certificate(number, Some(1))),
    ]);
    batch.audit.push(entry("certificate.first_connection"));
    batch
}
