//! Established traffic at QoS 1: publishers and subscribers on a few threads, each with a runtime of its own.
//!
//! The first eight bytes of each payload say when it was sent, so that the subscriber knows how long it was on its way. Nothing
//! may be lost: a connection that ends before the load does is an error.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{MissedTickBehavior, interval_at, sleep};

use super::client::{Client, Road};
use super::wire::{self, Packet};
use crate::Outcome;
use crate::devices::Device;

/// Bytes of each payload.
const PAYLOAD_BYTES: usize = 128;

/// Threads that carry the load.
const THREADS: usize = 2;

/// How often a thread looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(2);

/// When publishers send.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// As soon as fewer than so many are on their way: neither acknowledged nor, from one to one, heard.
    Window(usize),
    /// All publishers together so many in a second.
    PerSecond(u32),
}

/// Who sends what to whom.
pub(crate) struct Plan<'a> {
    pub(crate) road: &'a Road,
    pub(crate) publishers: &'a [Device],
    /// Each publisher has its equal share of them, in order; with one publisher all of them hear it.
    pub(crate) subscribers: &'a [Device],
    pub(crate) pace: Pace,
}

/// What all threads of a load share.
struct Shared {
    begun: Instant,
    stop: AtomicBool,
    /// Whether times are written down.
    measuring: AtomicBool,
    published: AtomicU64,
    delivered: AtomicU64,
    /// Connections that are up.
    ready: AtomicU64,
    micros: Mutex<Vec<u32>>,
    failure: Mutex<Option<String>>,
}

/// A load that goes on until it is ended.
pub(crate) struct Traffic {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What the two ends of a pair know of each other: a closed loop must not become a queue in the server.
#[derive(Default)]
struct Pair {
    heard: Cell<u64>,
    more: Notify,
}

/// How much went through between two moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    pub(crate) published: u64,
    pub(crate) delivered: u64,
}

/// How long deliveries took, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    pub(crate) middle: f64,
    pub(crate) percentile_99: f64,
    pub(crate) count: usize,
}

impl Traffic {
    /// Connects and subscribes everybody, then lets the publishers begin.
    pub(crate) fn start(plan: &Plan<'_>) -> Outcome<Self> {
        let shared = Arc::new(Shared {
            begun: Instant::now(),
            stop: AtomicBool::new(false),
            measuring: AtomicBool::new(false),
            published: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            ready: AtomicU64::new(0),
            micros: Mutex::new(Vec::new()),
            failure: Mutex::new(None),
        });
        let wanted = (plan.publishers.len() + plan.subscribers.len()) as u64;
        let mut traffic = Self {
            shared: Arc::clone(&shared),
            threads: Vec::new(),
        };
        for index in 0..THREADS {
            let part = Part::of(plan, index, &shared);
            let thread = thread::Builder::new().name(format!("load-{index}"));
            traffic.threads.push(thread.spawn(move || part.run())?);
        }
        while shared.ready.load(Ordering::Acquire) < wanted {
            traffic.check()?;
            thread::sleep(LOOK);
        }
        Ok(traffic)
    }

    /// What went through so far.
    pub(crate) fn count(&self) -> Count {
        Count {
            published: self.shared.published.load(Ordering::Relaxed),
            delivered: self.shared.delivered.load(Ordering::Relaxed),
        }
    }

    /// Writes down how long deliveries take from now on.
    pub(crate) fn measure(&self) {
        self.shared.measuring.store(true, Ordering::Relaxed);
    }

    /// How long they took since, and begins anew.
    pub(crate) fn latency(&self) -> Outcome<Latency> {
        self.shared.measuring.store(false, Ordering::Relaxed);
        let mut micros = core::mem::take(&mut *self.shared.micros.lock().map_err(|_| "a load thread died")?);
        micros.sort_unstable();
        let at = |share: f64| {
            let index = (micros.len() as f64 * share) as usize;
            micros.get(index).copied().map_or(f64::NAN, f64::from)
        };
        Ok(Latency {
            middle: at(0.5),
            percentile_99: at(0.99),
            count: micros.len(),
        })
    }

    /// Whether all is well so far.
    pub(crate) fn check(&self) -> Outcome<()> {
        match self.shared.failure.lock() {
            Ok(failure) if failure.is_none() => Ok(()),
            Ok(failure) => Err(failure.clone().unwrap_or_default().into()),
            Err(_) => Err("a load thread died".into()),
        }
    }

    /// Ends the load; an error if any connection failed before.
    pub(crate) fn end(mut self) -> Outcome<()> {
        self.halt();
        self.check()
    }

    fn halt(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.halt();
    }
}

/// The share of one thread.
struct Part {
    shared: Arc<Shared>,
    road: Road,
    pace: Pace,
    /// All publishers of the load.
    publishers_total: usize,
    /// Whether each publisher has a subscriber of its own.
    one_to_one: bool,
    /// A publisher and the topic that it publishes to.
    publishers: Vec<(usize, Device, String)>,
    /// A subscriber and its filter.
    subscribers: Vec<(usize, Device, String)>,
    wanted: u64,
}

impl Part {
    fn of(plan: &Plan<'_>, index: usize, shared: &Arc<Shared>) -> Self {
        let one_to_one = plan.publishers.len() > 1;
        let topic = |number: usize| match plan.subscribers.get(number) {
            Some(device) if one_to_one => format!("to/{}/x", device.name),
            _ => "all/x".to_owned(),
        };
        let mine = |devices: &[Device], base: usize| -> Vec<(usize, Device, String)> {
            let all = devices.iter().enumerate();
            all.filter(|(number, _)| number % THREADS == index)
                .map(|(number, device)| (base + number, device.clone(), topic(number)))
                .collect()
        };
        Self {
            shared: Arc::clone(shared),
            road: plan.road.clone(),
            pace: plan.pace,
            publishers_total: plan.publishers.len(),
            one_to_one,
            publishers: mine(plan.publishers, 0),
            subscribers: mine(plan.subscribers, plan.publishers.len()),
            wanted: (plan.publishers.len() + plan.subscribers.len()) as u64,
        }
    }

    fn run(self) {
        let shared = Arc::clone(&self.shared);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let outcome = runtime
            .map_err(Into::into)
            .and_then(|runtime| LocalSet::new().block_on(&runtime, self.carry()));
        if let Err(error) = outcome {
            shared.fail(&error.to_string());
        }
    }

    async fn carry(self) -> Outcome<()> {
        let micros = Rc::new(RefCell::new(Vec::new()));
        let mut pairs: HashMap<usize, Rc<Pair>> = HashMap::new();
        for (number, device, filter) in &self.subscribers {
            let pair = Rc::clone(pairs.entry(number - self.publishers_total).or_default());
            let mut client = Client::open(&self.road, device, *number).await?;
            client.subscribe(filter).await?;
            let (shared, micros) = (Arc::clone(&self.shared), Rc::clone(&micros));
            self.shared.ready.fetch_add(1, Ordering::AcqRel);
            spawn_local(async move {
                let ended = hear(client, &shared, &micros, &pair).await;
                shared.ended(ended);
            });
        }
        let mut clients = Vec::new();
        for (number, device, topic) in &self.publishers {
            clients.push((
                *number,
                Client::open(&self.road, device, *number).await?,
                topic.clone(),
            ));
            self.shared.ready.fetch_add(1, Ordering::AcqRel);
        }
        while self.shared.ready.load(Ordering::Acquire) < self.wanted && !self.shared.is_over() {
            sleep(LOOK).await;
        }
        for (number, client, topic) in clients {
            let (shared, pace, total) = (Arc::clone(&self.shared), self.pace, self.publishers_total);
            let pair = pairs.get(&number).filter(|_| self.one_to_one).cloned();
            spawn_local(async move {
                let ended = match pace {
                    Pace::Window(window) => tell(client, &topic, window, pair.as_deref(), &shared).await,
                    Pace::PerSecond(count) => {
                        let every = Duration::from_secs(1) * total as u32 / count;
                        tell_paced(
                            client,
                            &topic,
                            every,
                            every * number as u32 / total as u32,
                            &shared,
                        )
                        .await
                    }
                };
                shared.ended(ended);
            });
        }
        while !self.shared.is_over() {
            sleep(LOOK).await;
            let mut own = micros.borrow_mut();
            if !own.is_empty()
                && let Ok(mut all) = self.shared.micros.lock()
            {
                all.append(&mut own);
            }
        }
        Ok(())
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn nanoseconds(&self) -> u64 {
        self.begun.elapsed().as_nanos() as u64
    }

    /// A client ended: at the end of the load, or too early.
    fn ended(&self, outcome: Outcome<()>) {
        if !self.is_over()
            && let Err(error) = outcome
        {
            self.fail(&error.to_string());
        }
    }

    fn fail(&self, error: &str) {
        if let Ok(mut failure) = self.failure.lock() {
            failure.get_or_insert_with(|| error.to_owned());
        }
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A subscriber: acknowledges what it hears.
async fn hear(mut client: Client, shared: &Shared, micros: &RefCell<Vec<u32>>, pair: &Pair) -> Outcome<()> {
    loop {
        let measuring = shared.measuring.load(Ordering::Relaxed);
        let mut heard = 0;
        client
            .receive(|packet, output| {
                let Packet::Published { id, payload } = packet else {
                    return;
                };
                heard += 1;
                if let Some(id) = id {
                    wire::acknowledge(output, id);
                }
                if measuring && let Some(Ok(sent)) = payload.get(..8).map(<[u8; 8]>::try_from) {
                    let nanoseconds = shared.nanoseconds().saturating_sub(u64::from_be_bytes(sent));
                    micros
                        .borrow_mut()
                        .push(u32::try_from(nanoseconds / 1_000).unwrap_or(u32::MAX));
                }
            })
            .await?;
        shared.delivered.fetch_add(heard, Ordering::Relaxed);
        pair.heard.set(pair.heard.get() + heard);
        pair.more.notify_one();
        client.send().await?;
    }
}

/// A publisher that always has so many messages on their way.
async fn tell(
    mut client: Client,
    topic: &str,
    window: usize,
    pair: Option<&Pair>,
    shared: &Shared,
) -> Outcome<()> {
    let mut sender = Sender::new(topic);
    loop {
        let unheard = || pair.map_or(0, |pair| sender.sent - pair.heard.get() as usize);
        let room = window.saturating_sub(sender.unacknowledged.max(unheard()));
        for _ in 0..room {
            sender.put(&mut client.output, shared);
        }
        client.send().await?;
        match pair {
            None => sender.take(&mut client, shared).await?,
            Some(pair) => tokio::select! {
                taken = sender.take(&mut client, shared) => taken?,
                () = pair.more.notified() => {}
            },
        }
    }
}

/// A publisher that sends one message every so often, whatever has become of the last one.
async fn tell_paced(
    mut client: Client,
    topic: &str,
    every: Duration,
    first: Duration,
    shared: &Shared,
) -> Outcome<()> {
    let mut sender = Sender::new(topic);
    let mut ticks = interval_at(tokio::time::Instant::now() + first, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                sender.put(&mut client.output, shared);
                client.send().await?;
            }
            taken = sender.take(&mut client, shared) => taken?,
        }
    }
}

/// What a publisher remembers.
struct Sender {
    topic: String,
    payload: [u8; PAYLOAD_BYTES],
    id: u16,
    sent: usize,
    unacknowledged: usize,
}

impl Sender {
    fn new(topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            payload: [0x5A; PAYLOAD_BYTES],
            id: 0,
            sent: 0,
            unacknowledged: 0,
        }
    }

    fn put(&mut self, output: &mut Vec<u8>, shared: &Shared) {
        self.id = self.id.checked_add(1).unwrap_or(1);
        self.payload[..8].copy_from_slice(&shared.nanoseconds().to_be_bytes());
        wire::publish(output, &self.topic, self.id, &self.payload);
        self.sent += 1;
        self.unacknowledged += 1;
    }

    async fn take(&mut self, client: &mut Client, shared: &Shared) -> Outcome<()> {
        let mut acknowledged = 0;
        client
            .receive(|packet, _| {
                if packet == Packet::Acknowledged {
                    acknowledged += 1;
                }
            })
            .await?;
        self.unacknowledged = self.unacknowledged.saturating_sub(acknowledged);
        shared.published.fetch_add(acknowledged as u64, Ordering::Relaxed);
        Ok(())
    }
}
