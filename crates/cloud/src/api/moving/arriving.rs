//! POST /birthmark/import: lines become records, many in one transaction.
//!
//! Lines are put together until a batch is full. If somebody else changed what a batch rests on, its lines are tried again
//! one by one, so that only the line at fault is refused. Nothing is answered before it is durable and told.
//!
//! All of it happens on a thread beside the runtime: reading hundreds of certificates would make every other caller wait.

use std::collections::HashMap;

use fleet::batch::Key;
use fleet::billing_group::BillingGroup;
use fleet::import::{self, Existing, Facts, Gathered, Line, Outcome};
use fleet::record::Versioned;
use fleet::resource::{self, Kind};
use fleet::thing_type::ThingType;
use fleet::{Call, Event, Refusal};
use identity::Explained as _;
use serde_json::{Value, json};
use store::{CommitError, Records as _};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::leaving::{certificate_line, group_line, thing_line};
use super::lines;
use crate::api::Request;
use crate::api::fault::ApiFault;
use crate::api::operation::Input;
use crate::api::render::Answer;
use crate::control::{Control, Told};
use crate::limits::{CONFLICT_RETRIES_MAX, IMPORT_BATCH_ITEMS, IMPORT_REFUSALS_TOLD_MAX};

/// Takes lines in.
pub(in crate::api) async fn import(request: &Request<'_>, _: Input) -> Result<Answer, ApiFault> {
    let (control, call) = (request.control.clone(), request.call.clone());
    let (body, runtime) = (request.body.to_vec(), Handle::current());
    let work = spawn_blocking(move || {
        let mut intake = Intake::new(&control, &call);
        let outcome = runtime.block_on(intake.take_all(&body));
        (intake.told, intake.sum, outcome)
    });
    let (told, sum, outcome) = work.await.map_err(ApiFault::failed)?;
    // Also if it broke off: what was kept by then is kept.
    request.control.tell(&request.call.tenant, told).await?;
    request.control.authorities_changed();
    outcome?;
    Ok(json!({
        "made": sum.made, "mended": sum.mended, "known": sum.known,
        "refused": sum.refused, "refusals": sum.refusals,
    }))
}

/// What became of the lines.
#[derive(Default)]
struct Sum {
    made: u64,
    mended: u64,
    known: u64,
    refused: u64,
    refusals: Vec<Value>,
}

impl Sum {
    fn refuse(&mut self, number: usize, refusal: &Refusal) {
        self.refused += 1;
        if self.refusals.len() < IMPORT_REFUSALS_TOLD_MAX {
            self.refusals.push(json!({
                "line": number, "exception": refusal.exception().name(), "code": refusal.code(), "message": refusal.message(),
            }));
        }
    }

    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Made => self.made += 1,
            Outcome::Mended => self.mended += 1,
            Outcome::Known => self.known += 1,
        }
    }
}

/// The lines of one request on their way.
struct Intake<'a> {
    control: &'a Control,
    call: &'a Call,
    gathered: Gathered,
    /// The lines in the batch.
    waiting: Vec<(usize, Line, Outcome)>,
    /// Records that lines name, with their versions; few of them are named by many lines.
    seen: HashMap<Key, Option<u64>>,
    is_alone: bool,
    /// What was kept and is to be told.
    told: Told,
    sum: Sum,
}

impl<'a> Intake<'a> {
    fn new(control: &'a Control, call: &'a Call) -> Self {
        let mut accounts = control.plan.accounts();
        Self {
            control,
            call,
            gathered: Gathered::new(call),
            waiting: Vec::new(),
            seen: HashMap::new(),
            is_alone: accounts.all(|account| account == call.tenant.account),
            told: Told::default(),
            sum: Sum::default(),
        }
    }

    async fn take_all(&mut self, body: &[u8]) -> Result<(), ApiFault> {
        let text = core::str::from_utf8(body)
            .map_err(|_| ApiFault::invalid("cloud.api.body", "the lines are not UTF-8"))?;
        let lines = text.lines().enumerate();
        for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            match lines::read(self.call, line) {
                Ok(line) => self.take(number + 1, line).await?,
                Err(refusal) => self.sum.refuse(number + 1, &refusal),
            }
        }
        self.flush().await
    }

    async fn take(&mut self, number: usize, line: Line) -> Result<(), ApiFault> {
        let is_full = self.gathered.weight() + line.weight() > IMPORT_BATCH_ITEMS;
        if is_full || self.gathered.holds(&line.key()) {
            self.flush().await?;
        }
        let facts = self.facts(&line).await?;
        match import::add(self.call, &line, &facts, &mut self.gathered) {
            Ok(outcome) => self.waiting.push((number, line, outcome)),
            Err(refusal) => self.sum.refuse(number, &refusal),
        }
        Ok(())
    }

    /// Keeps what was put together.
    async fn flush(&mut self) -> Result<(), ApiFault> {
        let waiting = core::mem::take(&mut self.waiting);
        let gathered = core::mem::replace(&mut self.gathered, Gathered::new(self.call));
        if self.keep(gathered, &waiting).await? {
            waiting
                .iter()
                .for_each(|(_, _, outcome)| self.sum.count(*outcome));
            return Ok(());
        }
        self.seen.clear();
        for (number, line, _) in waiting {
            self.alone(number, line).await?;
        }
        Ok(())
    }

    /// One line in a batch of its own, until nobody comes in between.
    async fn alone(&mut self, number: usize, line: Line) -> Result<(), ApiFault> {
        for _ in 0..CONFLICT_RETRIES_MAX {
            self.seen.clear();
            let facts = self.facts(&line).await?;
            let mut gathered = Gathered::new(self.call);
            let outcome = match import::add(self.call, &line, &facts, &mut gathered) {
                Ok(outcome) => outcome,
                Err(refusal) => {
                    self.sum.refuse(number, &refusal);
                    return Ok(());
                }
            };
            let one = [(number, line.clone(), outcome)];
            if self.keep(gathered, &one).await? {
                self.sum.count(outcome);
                return Ok(());
            }
        }
        Err(ApiFault::Busy("others keep changing the same records"))
    }

    /// Whether the batch was kept; not if somebody else changed what it rests on.
    async fn keep(&mut self, gathered: Gathered, lines: &[(usize, Line, Outcome)]) -> Result<bool, ApiFault> {
        let mut batch = gathered.batch;
        if batch.writes.is_empty() {
            return Ok(true);
        }
        let (first, last) = (
            lines.first().map_or(0, |line| line.0),
            lines.last().map_or(0, |line| line.0),
        );
        batch.audit.push(fleet::audit::Entry {
            at: self.call.now,
            actor: self.call.actor.clone(),
            action: "fleet.import",
            subject: fleet::text::Text::short(format!("lines {first} to {last} of one request")),
            detail: fleet::text::Text::long(format!("{} records", batch.writes.len())),
        });
        match self.control.records.commit(batch).await {
            Ok(committed) => {
                let mended = lines.iter().filter(|(_, _, outcome)| *outcome == Outcome::Mended);
                let events = mended.filter_map(|(_, line, _)| trust_of(line)).collect();
                let epoch = committed.epoch;
                self.told.add(Told { events, epoch });
                Ok(true)
            }
            Err(CommitError::Conflict(_)) => Ok(false),
            Err(CommitError::Overloaded) => Err(ApiFault::Busy("too many changes wait for the disk")),
            Err(CommitError::Fault(error)) => Err(ApiFault::failed(error)),
        }
    }

    async fn facts(&mut self, line: &Line) -> Result<Facts, ApiFault> {
        let mut named = Vec::new();
        for key in names(line) {
            let version = match self.seen.get(&key) {
                // A thing is named by one line or two, and there are a million of them.
                Some(version) => *version,
                None => {
                    let version = self.version(&key).await?;
                    if !matches!(key, Key::Thing(_)) {
                        self.seen.insert(key.clone(), version);
                    }
                    version
                }
            };
            named.extend(version.map(|version| (key, version)));
        }
        Ok(Facts {
            existing: self.existing(line).await?,
            named,
            is_alone: self.is_alone,
        })
    }

    async fn existing(&self, line: &Line) -> Result<Option<Existing>, ApiFault> {
        let (store, tenant) = (&self.control.records, &self.call.tenant);
        Ok(match line {
            Line::ThingType(record) => {
                import::existing(store.resource(tenant, &record.name).await?, Line::ThingType)
            }
            Line::BillingGroup(record) => {
                import::existing(store.resource(tenant, &record.name).await?, Line::BillingGroup)
            }
            Line::Policy(record) => import::existing(store.policy(tenant, &record.name).await?, Line::Policy),
            Line::Template(record) => {
                import::existing(store.template(tenant, &record.name).await?, Line::Template)
            }
            Line::Ca(record) => match store.ca(tenant, &record.id).await? {
                Some(found) => import::existing(Some(found), Line::Ca),
                None => {
                    let claim = store.region_claim(&tenant.region, &record.id).await?;
                    claim.map(|_| Existing::Claimed)
                }
            },
            Line::Group(record, _) => match store
                .group_lineage(tenant, &record.name)
                .await?
                .into_iter()
                .next()
            {
                None => None,
                Some(Versioned { version, record }) => Some(Existing::Line(
                    Box::new(group_line(store, tenant, record).await?),
                    version,
                )),
            },
            Line::Thing(record, _) => match store.thing(tenant, &record.name).await? {
                None => None,
                Some(Versioned { version, record }) => Some(Existing::Line(
                    Box::new(thing_line(store, tenant, record).await?),
                    version,
                )),
            },
            Line::Certificate(record, ..) => match store.certificate(tenant, &record.id).await? {
                None => None,
                Some(Versioned { version, record }) => Some(Existing::Line(
                    Box::new(certificate_line(store, tenant, record).await?),
                    version,
                )),
            },
        })
    }

    /// The version of a record that a line names.
    async fn version(&self, key: &Key) -> Result<Option<u64>, ApiFault> {
        let (store, tenant) = (&self.control.records, &self.call.tenant);
        Ok(match key {
            Key::Policy(name) => store.policy(tenant, name).await?.map(|found| found.version),
            Key::Template(name) => store.template(tenant, name).await?.map(|found| found.version),
            Key::Thing(name) => store.thing(tenant, name).await?.map(|found| found.version),
            Key::Group(name) => store
                .group_lineage(tenant, name)
                .await?
                .first()
                .map(|found| found.version),
            Key::Resource {
                kind: Kind::ThingType,
                name,
            } => store
                .resource::<ThingType>(tenant, name)
                .await?
                .map(|found| found.version),
            Key::Resource {
                kind: Kind::BillingGroup,
                name,
            } => store
                .resource::<BillingGroup>(tenant, name)
                .await?
                .map(|found| found.version),
            _ => None,
        })
    }
}

/// The records that a line names.
fn names(line: &Line) -> Vec<Key> {
    match line {
        Line::ThingType(_) | Line::BillingGroup(_) | Line::Policy(_) | Line::Template(_) => Vec::new(),
        Line::Ca(record) => {
            let config = record.registration.as_ref();
            let name = config.and_then(|config| config.template_name.clone());
            name.map(Key::Template).into_iter().collect()
        }
        Line::Group(record, policies) => {
            let parent = record.parent.clone().map(Key::Group);
            parent
                .into_iter()
                .chain(policies.iter().cloned().map(Key::Policy))
                .collect()
        }
        Line::Thing(record, groups) => {
            let thing_type = record
                .type_name
                .as_ref()
                .map(|name| resource::key::<ThingType>(name.as_str()));
            let billing = record
                .billing_group
                .as_ref()
                .map(|name| resource::key::<BillingGroup>(name.as_str()));
            let groups = groups.iter().cloned().map(Key::Group);
            thing_type.into_iter().chain(billing).chain(groups).collect()
        }
        Line::Certificate(_, policies, things) => {
            let things = things.iter().map(|(name, _)| Key::Thing(name.clone()));
            policies.iter().cloned().map(Key::Policy).chain(things).collect()
        }
    }
}

/// Whose grants have to be made anew when something was added to it.
fn trust_of(line: &Line) -> Option<Event> {
    match line {
        Line::Certificate(record, ..) => Some(Event::CertificateTrust(record.id)),
        Line::Thing(record, _) => Some(Event::ThingGrants(record.name.clone())),
        Line::Group(record, _) => Some(Event::GroupTrust(record.name.clone())),
        _ => None,
    }
}
