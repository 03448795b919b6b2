//! What every part of the running server shares: configuration, records, keys, and the way to the shards.
//!
//! It stands beside front door, shards and API. Two things happen only here: a decision becomes durable ([`Control::keep`]),
//! and a change of trust reaches every live connection before anybody hears that it is done ([`Control::tell`]).

use core::future::Future;
use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::sync::Arc;

use fleet::attempt::{Attempt, TraceId};
use fleet::event_switches::EventSwitches;
use fleet::record::Versioned;
use fleet::registry_event::RegistryEvent;
use fleet::{Decision, Event};
use identity::crypto::SoftwareKey;
use identity::{CertificateId, Tenant, ThingName};
use store::{Attempts as _, CommitError, LocalAttempts, LocalRecords, Records as _};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::spawn_local;

use crate::acquaintances::Acquaintances;
use crate::api::{ApiFault, Quotas};
use crate::bucket::Bucket;
use crate::clones::Clones;
use crate::config::Plan;
use crate::desk::{Desk, Errand};
use crate::domains::Domains;
use crate::events;
use crate::footing::{Ground, Withdrawals};
use crate::keys::Keys;
use crate::limits::{CONFLICT_RETRIES_MAX, LINGERING_MAX, RSA_GENERATIONS_MAX};
use crate::metrics::Tally;
use crate::pki::DeviceIssuer;
use crate::registry_events;
use crate::shard::{Holder, Shards, ThingNews, TrustChange};
use crate::tasks::Tasks;
use crate::telemetry::{Exporter, Telemetry};
use crate::temporary_keys::TemporaryKeys;
use crate::trust::{Grants, thing_facts};
use crate::webhook::Webhooks;

/// The shared state of one server.
pub(crate) struct Control {
    pub(crate) plan: Plan,
    pub(crate) records: LocalRecords,
    pub(crate) attempts: LocalAttempts,
    pub(crate) issuer: DeviceIssuer,
    /// The names of domain configurations.
    pub(crate) domains: Arc<Domains>,
    pub(crate) shards: Shards,
    pub(crate) traces: Traces,
    pub(crate) grants: Grants,
    pub(crate) webhooks: Webhooks,
    pub(crate) desk: Desk,
    /// Certificates that were looked up lately.
    pub(crate) acquaintances: Acquaintances,
    rsa_turns: Semaphore,
    /// What connections rest on no more.
    pub(crate) withdrawals: Withdrawals,
    /// What is counted once per connection or request.
    pub(crate) tally: Tally,
    /// The access keys of the operator's files.
    pub(crate) keys: Keys,
    /// Which certificates are live where.
    pub(crate) clones: Clones,
    /// Takes spans.
    pub(crate) telemetry: Telemetry,
    /// The key under the temporary access keys of devices.
    pub(crate) temporary_keys: TemporaryKeys,
    pub(crate) buckets: BTreeMap<String, Bucket>,
    /// How many calls each account may make.
    pub(crate) quotas: Quotas,
    /// Registration tasks under way.
    pub(crate) tasks: Tasks,
    lingering: Arc<Semaphore>,
    /// Changes of trust reach the shards in the order in which they were made.
    telling: Mutex<()>,
    /// Counts changes of registered CAs, so that what the front door remembers of them can be too old.
    authorities: AtomicU64,
}

/// What has to be told of a durable decision.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) events: Vec<Event>,
    pub(crate) epoch: u64,
}

impl Told {
    /// What has to be told of a further decision, kept later than this one.
    pub(crate) fn add(&mut self, other: Self) {
        self.events.extend(other.events);
        self.epoch = self.epoch.max(other.epoch);
    }
}

impl Control {
    pub(crate) fn new(
        plan: Plan,
        records: LocalRecords,
        attempts: LocalAttempts,
        (issuer, domains): (DeviceIssuer, Arc<Domains>),
        (keys, temporary_keys, buckets): (Keys, TemporaryKeys, BTreeMap<String, Bucket>),
        shards: Shards,
        (webhooks, desk): (Webhooks, Desk),
    ) -> Result<Self, identity::Error> {
        let quotas = Quotas::new(plan.emulate_quotas, &plan.quotas);
        Ok(Self {
            plan,
            records,
            attempts,
            issuer,
            domains,
            shards,
            traces: Traces::new()?,
            grants: Grants::default(),
            acquaintances: Acquaintances::default(),
            withdrawals: Withdrawals::default(),
            tally: Tally::default(),
            webhooks,
            desk,
            clones: Clones::default(),
            telemetry: Telemetry::default(),
            rsa_turns: Semaphore::new(RSA_GENERATIONS_MAX),
            keys,
            temporary_keys,
            buckets,
            quotas,
            tasks: Tasks::default(),
            lingering: Arc::new(Semaphore::new(LINGERING_MAX)),
            telling: Mutex::new(()),
            authorities: AtomicU64::new(0),
        })
    }

    /// Begins to take spans, if the configuration wants them; gives what sends them.
    pub(crate) fn trace(&mut self) -> Option<Exporter> {
        let (telemetry, exporter) = Telemetry::new(self.plan.telemetry.as_ref());
        self.telemetry = telemetry;
        exporter
    }

    /// Runs something that nobody waits for on this thread, if there is room for it.
    pub(crate) fn beside(&self, work: impl Future<Output = ()> + 'static) {
        if let Ok(place) = self.lingering.clone().try_acquire_owned() {
            spawn_local(async move {
                work.await;
                drop(place);
            });
        }
    }

    /// A registered CA was added, changed or removed.
    pub(crate) fn authorities_changed(&self) {
        self.authorities.fetch_add(1, Ordering::Release);
    }

    /// How often registered CAs have changed since the start.
    pub(crate) fn authorities_generation(&self) -> u64 {
        self.authorities.load(Ordering::Acquire)
    }

    /// An RSA key pair. Making one takes long, so it happens beside the runtime, a few at a time.
    pub(crate) async fn make_rsa_key(&self) -> Result<SoftwareKey, ApiFault> {
        let turn = self.rsa_turns.acquire().await;
        let _turn = turn.map_err(|_| ApiFault::Busy("the server is stopping"))?;
        let made = tokio::task::spawn_blocking(|| SoftwareKey::generate_rsa(2048)).await;
        made.map_err(ApiFault::failed)?.map_err(ApiFault::failed)
    }

    /// Looks, decides and keeps; when somebody else changed what the decision rests on, again from the start.
    pub(crate) async fn keep<R>(
        &self,
        look: impl AsyncFn() -> Result<Decision<R>, ApiFault>,
    ) -> Result<(R, Told), ApiFault> {
        for _ in 0..CONFLICT_RETRIES_MAX {
            let Decision { batch, events, reply } = look().await?;
            if batch.is_empty() {
                return Ok((reply, Told { events, epoch: 0 }));
            }
            match self.records.commit(batch).await {
                Ok(committed) => {
                    return Ok((
                        reply,
                        Told {
                            events,
                            epoch: committed.epoch,
                        },
                    ));
                }
                Err(CommitError::Conflict(_)) => {}
                Err(CommitError::Overloaded) => {
                    return Err(ApiFault::Busy("too many changes wait for the disk"));
                }
                Err(CommitError::Fault(error)) => return Err(ApiFault::failed(error)),
            }
        }
        Err(ApiFault::Busy("others keep changing the same records"))
    }

    /// Nothing rests on this any more: ends every connection that does, on every shard, before it returns.
    pub(crate) async fn withdraw(&self, ground: Ground) -> Result<(), ApiFault> {
        self.withdrawals.note(&ground);
        self.shards.withdraw(ground).await
    }

    /// Lets an authorizer be asked again about everybody whom it let in. Their connections go on meanwhile.
    pub(crate) async fn inquire_now(&self, ground: Ground) -> Result<(), ApiFault> {
        self.shards.inquire_now(ground).await
    }

    /// Tells what follows from a durable decision; ends when every shard has acted on it.
    pub(crate) async fn tell(&self, tenant: &Tenant, told: Told) -> Result<(), ApiFault> {
        if told.events.is_empty() {
            return Ok(());
        }
        let changes_trust = told.events.iter().any(Event::changes_trust);
        let _turn = if changes_trust {
            Some(self.telling.lock().await)
        } else {
            None
        };
        let mut affected: Vec<CertificateId> = Vec::new();
        let mut named: Vec<Holder> = Vec::new();
        let mut switches: Option<Option<Versioned<EventSwitches>>> = None;
        for event in &told.events {
            match event {
                Event::CertificateTrust(certificate) => {
                    self.acquaintances.forget(certificate);
                    affected.push(*certificate);
                }
                Event::PolicyTrust(policy) => {
                    self.acquaintances.forget_all();
                    let holders = self.shards.holders(tenant, policy.as_str(), told.epoch).await?;
                    let (by_name, by_certificate): (Vec<_>, Vec<_>) =
                        holders.into_iter().partition(|holder| holder.policies.is_some());
                    affected.extend(by_certificate.iter().map(|holder| holder.certificate));
                    named.extend(by_name);
                }
                Event::ThingTrust(thing) => {
                    let news = self.thing_news(tenant, thing, told.epoch).await?;
                    let holders = news.attached_to.iter();
                    holders.for_each(|certificate| self.acquaintances.forget(certificate));
                    self.shards.change_thing(news).await?;
                }
                Event::ThingGrants(thing) => {
                    let holdings = self.records.principals_of(tenant, thing).await?;
                    for holding in &holdings {
                        self.acquaintances.forget(&holding.principal.record.certificate);
                        affected.push(holding.principal.record.certificate);
                    }
                }
                Event::GroupTrust(group) => {
                    self.acquaintances.forget_all();
                    affected.extend(self.records.certificates_in_group(tenant, group).await?);
                }
                Event::Registered { .. } => {
                    if self.webhooks.told_registered(tenant.account).next().is_some() {
                        // Told again at the device's next connection, if there is no room now.
                        let _ = self.desk.try_send(Errand::Registered(*tenant, event.clone()));
                    }
                    events::registered(tenant, event)
                        .map(|event| self.shards.announce(tenant, event))
                        .unwrap_or(());
                }
                Event::Unlisted { .. } => {
                    events::unlisted(event)
                        .map(|event| self.shards.announce(tenant, event))
                        .unwrap_or(());
                }
                Event::Registry(event) => {
                    // Looked up once, however much there is to tell.
                    if switches.is_none() {
                        switches = Some(self.records.resource(tenant, "").await?);
                    }
                    self.announce(tenant, event, switches.as_ref().and_then(Option::as_ref))?;
                }
            }
        }
        if affected.is_empty() && named.is_empty() {
            return Ok(());
        }
        affected.sort_unstable();
        affected.dedup();
        named.sort_unstable_by_key(|holder| holder.certificate);
        named.dedup_by_key(|holder| holder.certificate);
        let mut changes = Vec::with_capacity(affected.len() + named.len());
        for certificate in affected {
            let grant = self.grants.current(&self.records, tenant, &certificate).await?;
            if grant.is_none() {
                self.withdrawals.note(&Ground::Certificate(*tenant, certificate));
            }
            changes.push(TrustChange { certificate, grant });
        }
        for holder in named {
            let (certificate, names) = (holder.certificate, holder.policies.unwrap_or_default());
            let looked = self.grants.of_names(&self.records, tenant, certificate, &names);
            let grant = match looked.await {
                Ok(grant) => Some(grant),
                // One that is missing takes all of it back.
                Err(ApiFault::Refused(_)) => None,
                Err(fault) => return Err(fault),
            };
            changes.push(TrustChange { certificate, grant });
        }
        self.shards.change_trust(tenant, told.epoch, changes).await
    }

    /// Publishes a change of the registry, if the tenant turned that on.
    fn announce(
        &self,
        tenant: &Tenant,
        event: &RegistryEvent,
        switches: Option<&Versioned<EventSwitches>>,
    ) -> Result<(), ApiFault> {
        if switches.is_some_and(|switches| switches.record.is_on(event.event_type())) {
            let id = crate::clock::uuid().map_err(ApiFault::failed)?;
            let told = registry_events::announcement(tenant, event, id, crate::clock::now());
            self.shards.announce(tenant, told);
        }
        Ok(())
    }

    /// What is known of a thing, and the certificates that it is attached to.
    async fn thing_news(&self, tenant: &Tenant, name: &ThingName, epoch: u64) -> Result<ThingNews, ApiFault> {
        let thing = self.records.thing(tenant, name).await?;
        let holdings = self.records.principals_of(tenant, name).await?;
        Ok(ThingNews {
            tenant: *tenant,
            name: name.clone(),
            facts: thing.map(|thing| thing_facts(thing.record)),
            attached_to: holdings
                .iter()
                .map(|holding| holding.principal.record.certificate)
                .collect(),
            epoch,
        })
    }

    /// Counts an attempt that has ended and hands it to the ring.
    pub(crate) fn record(&self, attempt: Attempt) {
        self.tally.attempt(&attempt);
        self.telemetry.attempt(&attempt);
        self.attempts.record(attempt);
    }

    /// Attempts that were dropped because they came faster than they could be written.
    pub(crate) fn attempts_dropped(&self) -> u64 {
        self.attempts.dropped()
    }
}

/// Makes the names of attempts: random per start, then counted.
#[derive(Debug)]
pub(crate) struct Traces {
    start: [u8; 8],
    count: AtomicU64,
}

impl Traces {
    fn new() -> Result<Self, identity::Error> {
        Ok(Self {
            start: crate::clock::random()?,
            count: AtomicU64::new(0),
        })
    }

    /// A name that no other attempt has.
    pub(crate) fn next(&self) -> TraceId {
        let mut bytes = [0; 16];
        let (start, count) = bytes.split_at_mut(8);
        start.copy_from_slice(&self.start);
        count.copy_from_slice(&self.count.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        TraceId(bytes)
    }
}
