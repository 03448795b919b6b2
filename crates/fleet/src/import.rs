//! Taking over a fleet that was written down elsewhere: one line, one resource with what hangs on it.
//!
//! Many lines become one batch, so that a million of them cost a few thousand transactions. A line that is there already is
//! passed over, what it lacks is added, and what contradicts it is refused: running an import again mends it. Ids, times and
//! statuses come over as they are; private keys never do. A CA comes without proof that anybody holds its key, so it is
//! taken only where nobody else could be harmed by it: on a server with one account.

use std::collections::HashSet;

use identity::{CertificateId, ThingName};

use crate::batch::{Batch, Check, Expect, Key, Record};
use crate::billing_group::BillingGroup;
use crate::call::Call;
use crate::limits::{GROUPS_PER_THING_MAX, POLICIES_PER_TARGET_MAX, THINGS_PER_CERTIFICATE_MAX};
use crate::names::{GroupName, PolicyName};
use crate::record::{
    CaCertificate, CertificateMode, DeviceCertificate, GroupMember, Policy, PolicyAttachment, PolicyTarget,
    PrincipalType, ProvisioningTemplate, RegionClaim, Thing, ThingGroup, ThingPrincipal, Versioned,
};
use crate::refusal::{Exception, Refusal};
use crate::resource::{self, Resource as _};
use crate::template::Template;
use crate::thing_type::ThingType;
use crate::{policy_document, tags, thing};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A thing type.
    ThingType(ThingType),
    /// A billing group.
    BillingGroup(BillingGroup),
    /// A policy with its versions.
    Policy(Policy),
    /// A named provisioning template with its versions.
    Template(ProvisioningTemplate),
    /// A CA certificate.
    Ca(CaCertificate),
    /// A thing group, and the policies attached to it.
    Group(ThingGroup, Vec<PolicyName>),
    /// A thing, and the groups that it is in.
    Thing(Thing, Vec<GroupName>),
    /// A device certificate, the policies attached to it and the things that it is attached to.
    Certificate(
        DeviceCertificate,
        Vec<PolicyName>,
        Vec<(ThingName, PrincipalType)>,
    ),
}

impl Line {
    /// The record's key.
    pub fn key(&self) -> Key {
        match self {
            Self::ThingType(record) => resource::key::<ThingType>(&record.name),
            Self::BillingGroup(record) => resource::key::<BillingGroup>(&record.name),
            Self::Policy(record) => Key::Policy(record.name.clone()),
            Self::Template(record) => Key::Template(record.name.clone()),
            Self::Ca(record) => Key::Ca(record.id),
            Self::Group(record, _) => Key::Group(record.name.clone()),
            Self::Thing(record, _) => Key::Thing(record.name.clone()),
            Self::Certificate(record, ..) => Key::Certificate(record.id),
        }
    }

    /// How many writes and checks it can make at most.
    pub fn weight(&self) -> usize {
        match self {
            Self::ThingType(_) | Self::BillingGroup(_) | Self::Policy(_) | Self::Template(_) => 2,
            Self::Ca(_) => 3,
            Self::Group(_, policies) => 2 + 2 * policies.len(),
            Self::Thing(_, groups) => 3 + 2 * groups.len(),
            Self::Certificate(_, policies, things) => 1 + 2 * (policies.len() + things.len()),
        }
    }
}

/// The record that is there under the line's key, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Existing {
    /// A record, with its attachments.
    Line(Box<Line>, u64),
    /// The claim of another account on a CA.
    Claimed,
}

/// What is known when a line is decided.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// What is there under its key.
    pub existing: Option<Existing>,
    /// The records that it names, those that exist, with their versions.
    pub named: Vec<(Key, u64)>,
    /// Whether the server has one account.
    pub is_alone: bool,
}

/// Lines that were put together so far: one batch.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// What is kept.
    pub batch: Batch,
    /// The keys that it writes.
    written: HashSet<Key>,
}

impl Gathered {
    /// Nothing so far.
    pub fn new(call: &Call) -> Self {
        Self {
            batch: call.batch(),
            written: HashSet::new(),
        }
    }

    /// Whether a line in it has this key.
    pub fn holds(&self, key: &Key) -> bool {
        self.written.contains(key)
    }

    /// How many writes and checks are in it.
    pub fn weight(&self) -> usize {
        self.batch.writes.len() + self.batch.checks.len() + self.batch.audit.len()
    }
}

impl Facts {
    fn demand(&self, key: Key, gathered: &mut Gathered) -> Result<(), Refusal> {
        // What an earlier line of the same batch makes is there when this one is written.
        if gathered.holds(&key) {
            return Ok(());
        }
        let batch = &mut gathered.batch;
        let Some((key, version)) = self.named.iter().find(|(named, _)| *named == key) else {
            return Err(Refusal::new(
                Exception::ResourceNotFound,
                "fleet.import.missing",
                format!("it refers to {key:?}, which is not there"),
            )
            .hint("import what it refers to first, or put it into the same file before this line"));
        };
        let check = Check::Is {
            key: key.clone(),
            expect: Expect::Version(*version),
        };
        if !batch.checks.contains(&check) {
            batch.checks.push(check);
        }
        Ok(())
    }
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is new.
    Made,
    /// It was there; something that hangs on it was added.
    Mended,
    /// It was there.
    Known,
}

/// Adds a line to a batch. A line that is refused adds nothing.
pub fn add(call: &Call, line: &Line, facts: &Facts, gathered: &mut Gathered) -> Result<Outcome, Refusal> {
    let (writes, checks, audit) = (
        gathered.batch.writes.len(),
        gathered.batch.checks.len(),
        gathered.batch.audit.len(),
    );
    let outcome = check(call, line).and_then(|()| match &facts.existing {
        None => make(call, line, facts, gathered).map(|()| Outcome::Made),
        Some(Existing::Claimed) => Err(Refusal::new(
            Exception::CertificateConflict,
            "fleet.import.claimed",
            "another account of this region holds the CA",
        )),
        Some(Existing::Line(existing, version)) => mend(line, existing, *version, facts, gathered),
    });
    match outcome {
        Ok(Outcome::Made) => drop(gathered.written.insert(line.key())),
        Ok(_) => {}
        Err(_) => {
            gathered.batch.writes.truncate(writes);
            gathered.batch.checks.truncate(checks);
            gathered.batch.audit.truncate(audit);
        }
    }
    outcome
}

/// What no record of ours may be.
fn check(call: &Call, line: &Line) -> Result<(), Refusal> {
    let many = |what: &str, found: usize, most: u32| match found > most as usize {
        false => Ok(()),
        true => Err(Refusal::new(
            Exception::LimitExceeded,
            "fleet.import.many",
            format!(
                "it has {found} {what}, and {most} are allowed (call at {})",
                call.now.to_rfc3339()
            ),
        )),
    };
    match line {
        Line::ThingType(record) => tags::check(&record.tags),
        Line::BillingGroup(record) => tags::check(&record.tags),
        Line::Policy(record) => {
            let documents = record
                .versions
                .iter()
                .map(|version| policy_document::check(&version.document));
            documents.collect::<Result<(), _>>()?;
            let whole = record.default_document().is_some();
            versions(whole, record.versions.len(), crate::limits::POLICY_VERSIONS_MAX)?;
            tags::check(&record.tags)
        }
        Line::Template(record) => {
            record
                .versions
                .iter()
                .try_for_each(|version| Template::parse(&version.body).map(drop))?;
            let whole = record.default_body().is_some();
            versions(whole, record.versions.len(), crate::limits::TEMPLATE_VERSIONS_MAX)?;
            tags::check(&record.tags)
        }
        Line::Ca(record) => {
            let body = record
                .registration
                .as_ref()
                .and_then(|config| config.template_body.as_deref());
            body.map(Template::parse).transpose()?;
            tags::check(&record.tags)
        }
        Line::Group(record, policies) => {
            many("policies", policies.len(), POLICIES_PER_TARGET_MAX)?;
            tags::check(&record.tags)
        }
        Line::Thing(record, groups) => {
            many("groups", groups.len(), GROUPS_PER_THING_MAX)?;
            thing::check_attributes(&record.attributes, record.type_name.is_some())
        }
        Line::Certificate(_, policies, things) => {
            many("policies", policies.len(), POLICIES_PER_TARGET_MAX)?;
            many("things", things.len(), THINGS_PER_CERTIFICATE_MAX)
        }
    }
}

fn versions(has_default: bool, count: usize, most: usize) -> Result<(), Refusal> {
    if has_default && (1..=most).contains(&count) {
        return Ok(());
    }
    Err(Refusal::new(
        Exception::InvalidRequest,
        "fleet.import.versions",
        format!("it must have 1 to {most} versions, and one of them must be the default"),
    ))
}

fn make(call: &Call, line: &Line, facts: &Facts, gathered: &mut Gathered) -> Result<(), Refusal> {
    match line {
        Line::ThingType(record) => gathered.batch.insert(record.kept()),
        Line::BillingGroup(record) => gathered.batch.insert(record.kept()),
        Line::Policy(record) => gathered.batch.insert(Record::Policy(record.clone())),
        Line::Template(record) => gathered.batch.insert(Record::Template(record.clone())),
        Line::Ca(record) => make_ca(call, record, facts, gathered)?,
        Line::Group(record, policies) => {
            if let Some(parent) = &record.parent {
                facts.demand(Key::Group(parent.clone()), gathered)?;
            }
            gathered.batch.insert(Record::Group(record.clone()));
            attach(
                &PolicyTarget::Group(record.name.clone()),
                policies.iter(),
                facts,
                gathered,
            )?;
        }
        Line::Thing(record, groups) => {
            if let Some(name) = &record.type_name {
                facts.demand(resource::key::<ThingType>(name.as_str()), gathered)?;
            }
            if let Some(name) = &record.billing_group {
                facts.demand(resource::key::<BillingGroup>(name.as_str()), gathered)?;
            }
            gathered.batch.insert(Record::Thing(record.clone()));
            join(&record.name, groups.iter(), facts, gathered)?;
        }
        Line::Certificate(record, policies, things) => {
            gathered.batch.insert(Record::Certificate(record.clone()));
            attach(
                &PolicyTarget::Certificate(record.id),
                policies.iter(),
                facts,
                gathered,
            )?;
            hold(record.id, things.iter(), facts, gathered)?;
        }
    }
    Ok(())
}

fn make_ca(
    call: &Call,
    record: &CaCertificate,
    facts: &Facts,
    gathered: &mut Gathered,
) -> Result<(), Refusal> {
    if !facts.is_alone {
        return Err(Refusal::new(
            Exception::RegistrationCodeValidation,
            "fleet.import.unproven",
            format!(
                "the CA {} comes without proof that its key is held, and this server has several accounts",
                record.id
            ),
        )
        .hint(
            "register it with a verification certificate for this account's code (RegisterCACertificate)",
        ));
    }
    if let Some(name) = record
        .registration
        .as_ref()
        .and_then(|config| config.template_name.as_ref())
    {
        facts.demand(Key::Template(name.clone()), gathered)?;
    }
    if record.mode == CertificateMode::Default {
        gathered.batch.insert(Record::RegionClaim(RegionClaim {
            ca: record.id,
            owner: call.tenant.account,
        }));
    }
    let detail = "a CA was imported without proof that its key is held";
    gathered
        .batch
        .audit
        .push(call.entry("security.ca_import", record.id.to_string(), detail));
    gathered.batch.insert(Record::Ca(record.clone()));
    Ok(())
}

/// Adds what hangs on a record that is there, if the record is the same.
fn mend(
    line: &Line,
    existing: &Line,
    version: u64,
    facts: &Facts,
    gathered: &mut Gathered,
) -> Result<Outcome, Refusal> {
    if !is_same(line, existing) {
        return Err(Refusal::new(
            Exception::ResourceAlreadyExists,
            "fleet.import.other",
            format!("{:?} is there already, and it is another one", line.key()),
        )
        .hint("change or delete one of the two; nothing is overwritten"));
    }
    let before = gathered.batch.writes.len();
    match (line, existing) {
        (Line::Group(group, wanted), Line::Group(_, has)) => {
            let target = PolicyTarget::Group(group.name.clone());
            attach(
                &target,
                wanted.iter().filter(|name| !has.contains(name)),
                facts,
                gathered,
            )?;
        }
        (Line::Thing(thing, wanted), Line::Thing(_, has)) => {
            join(
                &thing.name,
                wanted.iter().filter(|name| !has.contains(name)),
                facts,
                gathered,
            )?;
        }
        (Line::Certificate(certificate, policies, things), Line::Certificate(_, has, holds)) => {
            let target = PolicyTarget::Certificate(certificate.id);
            attach(
                &target,
                policies.iter().filter(|name| !has.contains(name)),
                facts,
                gathered,
            )?;
            let lacks =
                |wanted: &&(ThingName, PrincipalType)| !holds.iter().any(|(held, _)| *held == wanted.0);
            hold(certificate.id, things.iter().filter(lacks), facts, gathered)?;
        }
        _ => {}
    }
    if gathered.batch.writes.len() == before {
        return Ok(Outcome::Known);
    }
    gathered.batch.check(line.key(), version);
    gathered.batch.raises_epoch = true;
    Ok(Outcome::Mended)
}

/// Whether the two mean the same; when they were made, and under which id, does not matter.
fn is_same(line: &Line, existing: &Line) -> bool {
    match (line, existing) {
        (Line::ThingType(new), Line::ThingType(old)) => {
            (&new.searchable, &new.description) == (&old.searchable, &old.description)
        }
        (Line::BillingGroup(new), Line::BillingGroup(old)) => new.description == old.description,
        (Line::Policy(new), Line::Policy(old)) => {
            let document =
                |policy: &Policy| policy.default_document().map(|version| version.document.clone());
            document(new) == document(old)
        }
        (Line::Template(new), Line::Template(old)) => {
            let body =
                |template: &ProvisioningTemplate| template.default_body().map(|version| version.body.clone());
            body(new) == body(old)
        }
        (Line::Group(new, _), Line::Group(old, _)) => {
            (&new.parent, &new.attributes) == (&old.parent, &old.attributes)
        }
        (Line::Thing(new, _), Line::Thing(old, _)) => {
            (&new.type_name, &new.billing_group, &new.attributes)
                == (&old.type_name, &old.billing_group, &old.attributes)
        }
        // The key is the hash of the whole certificate.
        (Line::Ca(_), Line::Ca(_)) | (Line::Certificate(..), Line::Certificate(..)) => true,
        _ => false,
    }
}

fn attach<'a>(
    target: &PolicyTarget,
    policies: impl Iterator<Item = &'a PolicyName>,
    facts: &Facts,
    gathered: &mut Gathered,
) -> Result<(), Refusal> {
    for policy in policies {
        facts.demand(Key::Policy(policy.clone()), gathered)?;
        gathered.batch.insert(Record::Attachment(PolicyAttachment {
            policy: policy.clone(),
            target: target.clone(),
        }));
    }
    Ok(())
}

fn join<'a>(
    thing: &ThingName,
    groups: impl Iterator<Item = &'a GroupName>,
    facts: &Facts,
    gathered: &mut Gathered,
) -> Result<(), Refusal> {
    for group in groups {
        facts.demand(Key::Group(group.clone()), gathered)?;
        gathered.batch.insert(Record::GroupMember(GroupMember {
            group: group.clone(),
            thing: thing.clone(),
        }));
    }
    Ok(())
}

fn hold<'a>(
    certificate: CertificateId,
    things: impl Iterator<Item = &'a (ThingName, PrincipalType)>,
    facts: &Facts,
    gathered: &mut Gathered,
) -> Result<(), Refusal> {
    for (thing, kind) in things {
        facts.demand(Key::Thing(thing.clone()), gathered)?;
        gathered.batch.insert(Record::ThingPrincipal(ThingPrincipal {
            thing: thing.clone(),
            certificate,
            kind: *kind,
        }));
    }
    Ok(())
}

/// An existing record with its version, as [`Facts::existing`] wants it.
pub fn existing<T>(found: Option<Versioned<T>>, line: impl FnOnce(T) -> Line) -> Option<Existing> {
    found.map(|found| Existing::Line(Box::new(line(found.record)), found.version))
}
