//! The thread of a shard: one runtime, one state, and the tasks that borrow it.
//!
//! One task per connection reads; one takes mail; one looks at the clock. When all that were ready had their turn, what they
//! caused is sent, once for all of them and before the thread looks for more.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use broker::ConnectionId;
use core::future::poll_fn;
use core::time::Duration;
use fleet::admission::{self, Admission};
use fleet::attempt::{Trail, Verdict};
use identity::{CertificateId, Tenant};
use policy::CertificateFacts;
use store::Records as _;
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::MissedTickBehavior;

use super::log::Restored;
use super::mail::Mail;
use super::state::{Attempted, State};
use super::{Arrival, Clearance};
use crate::api::ApiFault;
use crate::authorizer::{self, Question};
use crate::clock;
use crate::config::DrainConfig;
use crate::control::Control;
use crate::limits::{DRAIN_TICK, MAIL_PER_TURN_MAX, SHUTDOWN_DEADLINE, TICK, TICK_CONGESTED};
use crate::shutdown::Shutdown;
use crate::trust::facts_of_each;
use crate::wire::linger;

/// Starts the thread of one shard.
///
/// # Errors
/// The system gives no thread or no runtime.
pub(crate) fn start(
    control: Arc<Control>,
    index: usize,
    slot: mpsc::Receiver<Mail>,
    restored: Restored,
    shutdown: Shutdown,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name(format!("shard-{index}"))
        .spawn(move || {
            let tasks = LocalSet::new();
            runtime.block_on(async {
                let state = RefCell::new(State::new(control.clone(), index, restored));
                let shard = Rc::new(Shard { control, state });
                let turns = tasks.run_until(run(shard.clone(), index, slot, shutdown));
                in_turns(&tasks, &shard, turns).await;
            });
        })
}

/// Lets all tasks that are ready have their turn, sends what they caused, and begins again.
async fn in_turns(tasks: &LocalSet, shard: &Rc<Shard>, turns: impl Future<Output = ()>) {
    let mut turns = core::pin::pin!(turns);
    poll_fn(|context| {
        let outcome = turns.as_mut().poll(context);
        if outcome.is_pending() && flush(tasks, shard) {
            context.waker().wake_by_ref();
        }
        outcome
    })
    .await;
}

/// What the tasks of one shard share.
struct Shard {
    control: Arc<Control>,
    state: RefCell<State>,
}

async fn run(shard: Rc<Shard>, index: usize, mut slot: mpsc::Receiver<Mail>, shutdown: Shutdown) {
    spawn_local(keep_time(shard.clone()));
    spawn_local(follow_log(shard.clone()));
    let mut mail = Vec::with_capacity(MAIL_PER_TURN_MAX);
    loop {
        let taken = tokio::select! {
            taken = slot.recv_many(&mut mail, MAIL_PER_TURN_MAX) => taken,
            () = shutdown.begun() => 0,
        };
        if taken == 0 {
            break;
        }
        for mail in mail.drain(..) {
            read(&shard, mail);
        }
    }
    drain(&shard, index, &mut slot, &shutdown).await;
    slot.close();
    while let Ok(mail) = slot.try_recv() {
        if let Mail::Arrive(arrivals) = mail {
            turn_away(&shard, arrivals);
        }
    }
    shard.state.borrow_mut().stop();
    let closing: Vec<_> = core::mem::take(&mut shard.state.borrow_mut().closing);
    let goodbyes: Vec<_> = closing
        .into_iter()
        .map(|wire| spawn_local(linger(wire)))
        .collect();
    let all = async {
        for goodbye in goodbyes {
            let _ = goodbye.await;
        }
    };
    let _ = tokio::time::timeout(SHUTDOWN_DEADLINE, all).await;
}

/// Ends connections at the rate that the operator chose, until no shard has any. Mail still goes to and fro meanwhile, so that
/// what is acknowledged is kept.
async fn drain(shard: &Rc<Shard>, index: usize, slot: &mut mpsc::Receiver<Mail>, shutdown: &Shutdown) {
    let DrainConfig {
        connections_per_second,
        deadline_seconds,
    } = shard.control.plan.drain;
    if connections_per_second == 0 {
        return;
    }
    let shards = shard.control.shards.count().max(1) as u64;
    let deadline = tokio::time::sleep(Duration::from_secs(deadline_seconds.into()));
    let mut deadline = core::pin::pin!(deadline);
    let mut ticks = tokio::time::interval(DRAIN_TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // In thousandths of a connection.
    let per_tick =
        u64::from(connections_per_second) * u64::try_from(DRAIN_TICK.as_millis()).unwrap_or(1) / shards;
    let mut budget = 1_000;
    let mut mail = Vec::with_capacity(MAIL_PER_TURN_MAX);
    loop {
        tokio::select! {
            _ = slot.recv_many(&mut mail, MAIL_PER_TURN_MAX) => {}
            _ = ticks.tick() => {
                let left = shard.state.borrow_mut().drain_some(budget / 1_000);
                budget = budget % 1_000 + per_tick;
                if !shard.control.shards.note_left(index, left) {
                    return;
                }
            }
            () = shutdown.hurried() => return,
            () = deadline.as_mut() => return,
        }
        for mail in mail.drain(..) {
            match mail {
                Mail::Arrive(arrivals) => turn_away(shard, arrivals),
                mail => read(shard, mail),
            }
        }
    }
}

fn turn_away(shard: &Shard, arrivals: Vec<Arrival>) {
    for arrival in arrivals {
        arrival.turn_away(&shard.control);
    }
}

fn read(shard: &Rc<Shard>, mail: Mail) {
    let mut state = shard.state.borrow_mut();
    state.begin();
    match mail {
        Mail::Arrive(arrivals) => {
            for id in arrivals.into_iter().filter_map(|arrival| state.arrive(arrival)) {
                spawn_local(carry(shard.clone(), id));
            }
        }
        Mail::Parcels {
            from,
            parcels,
            receipt,
            life,
        } => state.parcels(from, parcels, receipt, life),
        Mail::Confirmed { from, number, life } => state.confirm(from, number, life),
        Mail::Fallen { life } => state.fall(life),
        Mail::Publish { message, answer } => state.publish(message, answer),
        Mail::Answer { connection, message } => state.answer(connection, message),
        Mail::Retained {
            tenant,
            topic,
            answer,
        } => {
            let _ = answer.send(state.retained(&tenant, &topic));
        }
        Mail::ListRetained {
            tenant,
            after,
            count,
            answer,
        } => {
            let _ = answer.send(state.list_retained(&tenant, after.as_deref(), count));
        }
        Mail::Suspected { connection } => state.expel(connection),
        Mail::Measure { answer } => {
            let _ = answer.send(Box::new(state.reading()));
        }
        Mail::Client {
            tenant,
            client_id,
            answer,
        } => {
            let _ = answer.send(state.client(&tenant, &client_id));
        }
        Mail::Direct {
            client_id,
            message,
            answer,
        } => {
            let _ = answer.send(state.direct(&client_id, message));
        }
        Mail::Disconnect {
            tenant,
            client_id,
            clean,
            forget_will,
            answer,
        } => state.disconnect(&tenant, &client_id, (clean, forget_will), answer),
        Mail::Trust { changes, answer } => {
            state.change_trust(&changes);
            let _ = answer.send(());
        }
        Mail::Thing { news, answer } => {
            state.change_thing(&news);
            let _ = answer.send(());
        }
        Mail::Withdraw { ground, answer } => {
            state.withdraw(&ground);
            let _ = answer.send(());
        }
        Mail::Inquire { ground, answer } => {
            state.inquire_now(&ground);
            let _ = answer.send(());
        }
        Mail::Policy {
            tenant,
            policy,
            epoch,
            answer,
        } => {
            let _ = answer.send(state.change_policy(tenant, &policy, epoch));
        }
    }
}

/// The task of one connection.
async fn carry(shard: Rc<Shard>, id: ConnectionId) {
    poll_fn(|context| shard.state.borrow_mut().turn(id, context)).await;
}

/// Sends what was queued, closes what is to be closed, and looks up again what has to be. True when something is left that could
/// not be done now.
fn flush(tasks: &LocalSet, shard: &Rc<Shard>) -> bool {
    let mut state = shard.state.borrow_mut();
    if !state.has_work() {
        return false;
    }
    state.flush();
    let (closing, outdated, inquiring) = (
        core::mem::take(&mut state.closing),
        core::mem::take(&mut state.outdated),
        core::mem::take(&mut state.inquiring),
    );
    let has_more = state.has_work();
    drop(state);
    let _inside = tasks.enter();
    for wire in closing {
        shard.control.beside(linger(wire));
    }
    for id in outdated {
        spawn_local(look_again(shard.clone(), id));
    }
    for (id, question) in inquiring {
        spawn_local(inquire(shard.clone(), id, question));
    }
    has_more
}

/// Asks an authorizer again about a client that it let in.
async fn inquire(shard: Rc<Shard>, id: ConnectionId, question: Arc<Question>) {
    let mut trail = Trail::default();
    let answer = authorizer::ask_again(&shard.control, &question, &mut trail).await;
    shard.state.borrow_mut().inquired(id, answer, trail);
}

/// Lets go what waited for the log, whenever that has progressed.
async fn follow_log(shard: Rc<Shard>) {
    let progress = shard.state.borrow().progress();
    loop {
        progress.notified().await;
        shard.state.borrow_mut().progressed();
    }
}

async fn keep_time(shard: Rc<Shard>) {
    loop {
        let (deadline, congested) = {
            let state = shard.state.borrow();
            (state.next_deadline(), state.is_congested() || state.is_tidying())
        };
        let rest = if congested { TICK_CONGESTED } else { TICK };
        let until = deadline.map_or(rest, |deadline| {
            Duration::from_millis(u64::try_from(deadline.since(clock::now())).unwrap_or(0))
        });
        tokio::time::sleep(until.clamp(TICK_CONGESTED, rest)).await;
        shard.state.borrow_mut().tick();
    }
}

/// The same for a client that shows no certificate; none for all others.
async fn look_at_other(
    shard: &Shard,
    id: ConnectionId,
    tenant: &Tenant,
    stand_in: &CertificateId,
    facts: &Arc<CertificateFacts>,
) -> Option<Result<Clearance, Attempted>> {
    if shard.state.borrow().is_by_certificate(id) {
        return None;
    }
    let Some(names) = shard.state.borrow().policies_of(id) else {
        return Some(Err(withdrawn()));
    };
    let control = &shard.control;
    let looked = control
        .grants
        .of_names(&control.records, tenant, *stand_in, &names);
    Some(match looked.await {
        Ok(grant) => Ok(Clearance {
            grant,
            facts: facts.clone(),
            things: Arc::default(),
            by_name: true,
            lease: None,
            footing: None,
        }),
        Err(fault) => Err(faulted(fault)),
    })
}

fn withdrawn() -> Attempted {
    Box::new(|attempt| {
        let reason = "what the client may do was withdrawn while it connected";
        attempt.end(Verdict::Refused, "cloud.trust.withdrawn", reason, "connect again");
    })
}

/// Writes down what kept a look-up from saying yes.
pub(super) fn faulted(fault: ApiFault) -> Attempted {
    Box::new(move |attempt| match fault {
        ApiFault::Refused(refusal) => attempt.refuse(&refusal),
        fault => attempt.end(
            Verdict::Faulted,
            "cloud.trust.fault",
            fault.to_string(),
            "look at the server's disk and log",
        ),
    })
}

/// Looks up what a client may do once more: it changed while the client was on its way.
async fn look_again(shard: Rc<Shard>, id: ConnectionId) {
    let asked = shard
        .state
        .borrow_mut()
        .opening_of(id)
        .map(|(tenant, certificate, opening)| (tenant, certificate, opening.facts.clone(), opening.by_name));
    let Some((tenant, certificate, facts, by_name)) = asked else {
        return;
    };
    if let Some(looked) = look_at_other(&shard, id, &tenant, &certificate, &facts).await {
        return shard.state.borrow_mut().attach_again(id, looked);
    }
    let trust = shard.control.records.trust(&tenant, &certificate).await;
    let looked = trust.map_err(ApiFault::from).and_then(|trust| {
        let Some(trust) = trust else { return Ok(None) };
        let mut state = shard.state.borrow_mut();
        let Some((.., opening)) = state.opening_of(id) else {
            return Ok(None);
        };
        let trail = &mut opening.record.attempt.trail;
        trail.passed(
            "certificate.found",
            "looked up again: something changed meanwhile",
        );
        match admission::decide(&trust.certificate.record, clock::now(), by_name, trail) {
            Ok(Admission::Admitted) => {
                let grant = shard.control.grants.grant(&tenant, &trust)?;
                Ok(Some(Clearance {
                    grant,
                    facts,
                    things: facts_of_each(trust.things),
                    by_name,
                    lease: None,
                    footing: None,
                }))
            }
            Ok(Admission::Onboard) => Ok(None),
            Err(refusal) => Err(ApiFault::Refused(refusal)),
        }
    });
    let looked: Result<Clearance, Attempted> = match looked {
        Ok(Some(clearance)) => Ok(clearance),
        Ok(None) => Err(withdrawn()),
        Err(fault) => Err(faulted(fault)),
    };
    shard.state.borrow_mut().attach_again(id, looked);
}
