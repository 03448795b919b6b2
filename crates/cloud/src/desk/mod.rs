//! The desk: where what takes long is done beside shards and front door.
//!
//! Devices ask here for certificates and for provisioning over MQTT, and webhooks are told of certificates that await
//! somebody's decision. Requests come from the shards through a bounded queue, are worked on some at a time on the control
//! runtime, and the answer goes back to the connection that asked. It must never answer before what it says is durable,
//! nor anybody else than who asked.

mod create;
mod news;
mod provision;
mod sweep;
mod wire;

use std::sync::Arc;

use broker::{Ask, Message};
use fleet::attempt::{Attempt, Trail, Verdict};
use fleet::audit::Actor;
use fleet::claim::ProvisioningClaim;
use fleet::text::Text;
use fleet::{Call, Event, Exception, Profile, Refusal};
use identity::Tenant;
use store::Records as _;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

use self::wire::{Answer, Topic, Wish};
use crate::api::ApiFault;
use crate::clock;
use crate::control::Control;
use crate::limits::{ERRANDS_AT_ONCE, ERRANDS_WAITING_MAX, SHUTDOWN_DEADLINE, SWEEP_INTERVAL};
use crate::shutdown::Shutdown;

/// A device's request on its way to the desk.
pub(crate) struct Asked {
    /// The shard that carries the connection.
    pub(crate) shard: usize,
    /// The request.
    pub(crate) ask: Ask,
    /// The record of it, begun.
    pub(crate) attempt: Attempt,
}

/// What is brought to the desk.
pub(crate) enum Errand {
    /// A device asks.
    Ask(Box<Asked>),
    /// A certificate was registered by its first connection: webhooks are to hear of it.
    Registered(Tenant, Event),
}

/// The way to the desk.
pub(crate) type Desk = mpsc::Sender<Errand>;

/// The desk's own end.
pub(crate) type Tray = mpsc::Receiver<Errand>;

/// A desk that nobody works at yet.
pub(crate) fn open() -> (Desk, Tray) {
    mpsc::channel(ERRANDS_WAITING_MAX)
}

/// The answer to a request that finds no room at the desk.
pub(crate) fn turned_away(ask: &Ask) -> Option<Arc<Message>> {
    let topic = Topic::of(&ask.message)?;
    topic.rejected(&ApiFault::Busy("too many requests of devices wait"))
}

/// How a device's request is refused if it cannot be read, whoever sent it. Nothing else is looked at, and nothing is done.
pub fn refusal_of_claim(message: &Message) -> Option<Arc<Message>> {
    let topic = Topic::of(message)?;
    let read = match topic.wish() {
        Wish::Create => topic.read::<wire::CreateRequest>().map(drop),
        Wish::CreateFromRequest => topic.read::<wire::FromRequest>().map(drop),
        Wish::Provision(_) => topic.read::<wire::RegisterThing>().map(drop),
    };
    topic.rejected(&read.err()?)
}

/// Works until shutdown, then lets those errands end that are under way.
pub(crate) async fn work(control: Arc<Control>, mut tray: Tray, shutdown: Shutdown) {
    let room = Arc::new(Semaphore::new(ERRANDS_AT_ONCE));
    spawn_local(tidy(control.clone(), shutdown.clone()));
    loop {
        let errand = tokio::select! {
            errand = tray.recv() => errand,
            () = shutdown.begun() => None,
        };
        let (Some(errand), Ok(place)) = (errand, room.clone().acquire_owned().await) else {
            break;
        };
        let control = control.clone();
        spawn_local(async move {
            match errand {
                Errand::Ask(asked) => serve(&control, *asked).await,
                Errand::Registered(tenant, event) => news::tell(&control, &tenant, &event).await,
            }
            drop(place);
        });
    }
    let all = u32::try_from(ERRANDS_AT_ONCE).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(SHUTDOWN_DEADLINE, room.acquire_many(all)).await;
}

/// Clears away what has run out, and memory that nobody needs, from time to time.
async fn tidy(control: Arc<Control>, shutdown: Shutdown) {
    loop {
        sweep::all(&control, clock::now()).await;
        control.records.rest();
        tokio::select! {
            () = sleep(SWEEP_INTERVAL) => {}
            () = shutdown.begun() => return,
        }
    }
}

/// Does what a device asks for, answers, and writes down how it went.
async fn serve(control: &Arc<Control>, asked: Asked) {
    let Asked {
        shard,
        ask,
        mut attempt,
    } = asked;
    let begun = Instant::now();
    let mut trail = Trail::default();
    let Some(topic) = Topic::of(&ask.message) else {
        return;
    };
    let done = carry_out(control, &ask, &topic, &mut attempt, &mut trail).await;
    attempt.trail.extend(trail);
    let message = match &done {
        Ok(answer) => {
            attempt.accept();
            topic.accepted(answer)
        }
        Err(fault) => {
            note(&mut attempt, fault);
            topic.rejected(fault)
        }
    };
    drop(done);
    attempt.elapsed_micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    store::Attempts::record(&control.attempts, attempt);
    control.shards.answer(shard, ask.connection, message).await;
}

async fn carry_out(
    control: &Arc<Control>,
    ask: &Ask,
    topic: &Topic<'_>,
    attempt: &mut Attempt,
    trail: &mut Trail,
) -> Result<Answer, ApiFault> {
    let call = Call {
        tenant: *ask.message.tenant(),
        now: clock::now(),
        actor: Actor::Device(Text::short(format!("{} as {}", ask.certificate, ask.client_id))),
        profile: Profile::Aws,
    };
    check_claim(control, &call, ask).await?;
    match topic.wish() {
        Wish::Create => create::with_keys(control, &call, ask, topic, trail).await,
        Wish::CreateFromRequest => create::from_request(control, &call, ask, topic, trail).await,
        Wish::Provision(name) => {
            let provisioned = provision::register(control, &call, ask, topic, name, trail).await?;
            attempt.thing.clone_from(&provisioned.thing);
            Ok(Answer::Provisioned(provisioned))
        }
    }
}

/// A claim certificate of CreateProvisioningClaim is good for minutes only, whatever its connection is.
async fn check_claim(control: &Control, call: &Call, ask: &Ask) -> Result<(), ApiFault> {
    let claim = ask.certificate.to_string();
    let found = control
        .records
        .resource::<ProvisioningClaim>(&call.tenant, &claim)
        .await?;
    match found.is_none_or(|claim| claim.record.is_good(call.now)) {
        true => Ok(()),
        false => Err(Refusal::new(
            Exception::Unauthorized,
            "cloud.claim.expired",
            "the claim certificate is not good any more",
        )
        .hint("make a new one (CreateProvisioningClaim)")
        .into()),
    }
}

fn note(attempt: &mut Attempt, fault: &ApiFault) {
    match fault {
        ApiFault::Refused(refusal) => attempt.refuse(refusal),
        ApiFault::Failed(cause) => attempt.end(Verdict::Faulted, "cloud.desk.fault", cause.as_str(), ""),
        other => attempt.end(
            Verdict::Faulted,
            "cloud.desk.busy",
            other.to_string(),
            "the device may try again",
        ),
    }
}
