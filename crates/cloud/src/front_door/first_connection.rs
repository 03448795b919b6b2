//! First connections: an unknown certificate of a registered CA is registered and provisioned.
//!
//! It stands between the front door and `fleet::onboarding`. Simultaneous connections of one certificate share one run, and
//! only so many runs go on at once: a wave of new devices waits here and not in front of known ones. A run is a task of its
//! own, so a client that leaves does not leave it half done. Nothing is told before it is durable.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use fleet::attempt::Trail;
use fleet::audit::Actor;
use fleet::onboarding::{Arrival, Onboarded};
use fleet::text::Text;
use fleet::{Call, Decision, Profile};
use identity::certificate::Certificate;
use identity::{CertificateId, Tenant};
use store::{CommitError, Records as _};
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::FrontDoor;
use super::newcomer::Newcomer;
use crate::acquaintances::Before;
use crate::api::ApiFault;
use crate::arrival::Record;
use crate::clock;
use crate::control::{Control, Told};
use crate::deciding::{self, ShownOut};
use crate::hook::Consultation;
use crate::limits::{CONFLICT_RETRIES_MAX, FIRST_CONNECTIONS_MAX, HOLD_DEADLINE, WEBHOOK_DEADLINE};
use crate::tenancy::Addressed;

/// The runs that go on.
pub(super) struct FirstConnections {
    runs: RefCell<HashMap<Key, Awaited>>,
    lane: Arc<Semaphore>,
}

impl Default for FirstConnections {
    fn default() -> Self {
        Self {
            runs: RefCell::default(),
            lane: Arc::new(Semaphore::new(FIRST_CONNECTIONS_MAX)),
        }
    }
}

/// Which certificate, and whose.
type Key = (Tenant, CertificateId);
type Awaited = watch::Receiver<Option<Run>>;

/// How a run ended, for everybody who waits for it.
type Run = Result<Outcome, (ShownOut, Trail)>;

/// A first connection that was recorded.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) onboarded: Onboarded,
    pub(super) ca: CertificateId,
    pub(super) trail: Trail,
}

impl FirstConnections {
    /// Provisions this certificate, or waits for whoever does already.
    pub(super) async fn run(
        &self,
        door: &Rc<FrontDoor>,
        certificate: &Certificate,
        addressed: Addressed,
        record: &mut Record,
    ) -> Result<Outcome, ShownOut> {
        let key = (addressed.tenant, certificate.id());
        let joined = self.runs.borrow().get(&key).cloned();
        let mut receiver = match joined {
            Some(receiver) => {
                record.attempt.trail.passed(
                    "first_connection.shared",
                    "another connection of this certificate is ahead",
                );
                receiver
            }
            None => self.begin(door, key, certificate, addressed, record),
        };
        let late = || ShownOut::Failed(ApiFault::Busy("the provisioning of the device took too long"));
        // A hook may take its own time.
        let patience = match door.control.plan.webhooks.is_empty() {
            true => HOLD_DEADLINE,
            false => HOLD_DEADLINE + WEBHOOK_DEADLINE,
        };
        let ended = timeout(patience, receiver.wait_for(Option::is_some))
            .await
            .map_err(|_| late())?;
        let run = ended.ok().and_then(|run| run.clone()).ok_or_else(late)?;
        run.map_err(|(ended, trail)| {
            record.attempt.trail.extend(trail);
            ended
        })
    }

    fn begin(
        &self,
        door: &Rc<FrontDoor>,
        key: Key,
        certificate: &Certificate,
        addressed: Addressed,
        record: &Record,
    ) -> Awaited {
        let (sender, receiver) = watch::channel(None);
        self.runs.borrow_mut().insert(key, receiver.clone());
        let (door, certificate, lane) = (door.clone(), certificate.clone(), self.lane.clone());
        let peer = record
            .attempt
            .peer
            .map(|peer| peer.ip().to_string())
            .unwrap_or_default();
        let actor = Actor::Device(Text::short(format!("{} from {peer}", certificate.id())));
        let (trace, at, begun) = (record.attempt.trace, clock::now(), Instant::now());
        spawn_local(async move {
            let place = lane.acquire_owned().await;
            let mut trail = Trail::default();
            let run = onboard(&door, &certificate, addressed, actor, &mut trail).await;
            drop(place);
            let (outcome, micros) = (outcome_of(&run), begun.elapsed().as_micros());
            door.control.tally.first_connection(outcome);
            let micros = u64::try_from(micros).unwrap_or(u64::MAX);
            door.control
                .telemetry
                .first_connection(trace, at, micros, outcome);
            door.first_connections.runs.borrow_mut().remove(&key);
            let run = match run {
                Ok((onboarded, ca)) => Ok(Outcome { onboarded, ca, trail }),
                Err(ended) => Err((ended, trail)),
            };
            let _ = sender.send(Some(run));
        });
        receiver
    }
}

/// As metrics name it.
const fn outcome_of(run: &Result<(Onboarded, CertificateId), ShownOut>) -> &'static str {
    match run {
        Ok((Onboarded::Provisioned { .. }, _)) => "provisioned",
        Ok((Onboarded::Registered, _)) => "registered",
        Ok((Onboarded::Failed(_), _)) | Err(ShownOut::Refused(_)) => "refused",
        Ok((Onboarded::Unlisted(_), _)) => "unlisted",
        Err(_) => "failed",
    }
}

/// Looks, decides, keeps and tells.
async fn onboard(
    door: &FrontDoor,
    leaf: &Certificate,
    addressed: Addressed,
    actor: Actor,
    trail: &mut Trail,
) -> Result<(Onboarded, CertificateId), ShownOut> {
    let control = &door.control;
    let tenant = addressed.tenant;
    let call = Call {
        tenant,
        now: clock::now(),
        actor,
        profile: Profile::Aws,
    };
    let arrival = Arrival {
        leaf,
        named_by_sni: addressed.by_name,
        allow_simulated: control.plan.allow_simulated,
    };
    let mut hooks = Consultation::with(&control.webhooks);
    for _ in 0..CONFLICT_RETRIES_MAX {
        *trail = Trail::default();
        let candidates = door
            .authorities
            .with_subject(control, &tenant, leaf.issuer().der())
            .await?;
        let decided =
            deciding::first_connection(&control.records, &call, arrival, &candidates, &mut hooks, trail)
                .await?;
        let (Decision { batch, events, reply }, ca) = decided;
        // Before it is kept: whatever is changed after that is not overlooked.
        let before = control.acquaintances.before(&leaf.id());
        let newcomer = Newcomer::of(&batch, &leaf.id());
        let committed = match batch.is_empty() {
            true => Ok(0),
            false => control
                .records
                .commit(batch)
                .await
                .map(|committed| committed.epoch),
        };
        match committed {
            Ok(epoch) => {
                control.tell(&tenant, Told { events, epoch }).await?;
                if let Some(newcomer) = newcomer {
                    introduce(control, &tenant, leaf, (newcomer, epoch), before).await;
                }
                return Ok((reply, ca));
            }
            Err(CommitError::Conflict(_)) => door.authorities.forget(),
            Err(CommitError::Overloaded) => {
                return Err(ShownOut::Failed(ApiFault::Busy(
                    "too many changes wait for the disk",
                )));
            }
            Err(CommitError::Fault(error)) => return Err(ShownOut::Failed(ApiFault::failed(error))),
        }
    }
    Err(ShownOut::Failed(ApiFault::Busy(
        "others keep changing the same records",
    )))
}

/// Remembers what the device's next connection would look up, which comes soon.
async fn introduce(
    control: &Control,
    tenant: &Tenant,
    leaf: &Certificate,
    (newcomer, epoch): (Newcomer, u64),
    before: Before,
) {
    let known = newcomer.known(&control.grants, &control.records, tenant, leaf, epoch);
    if let Some(known) = known.await {
        control.acquaintances.remember(before, &Arc::new(known));
    }
}
