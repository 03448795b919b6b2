//! What is measured of one broker, whichever it is: CPU per connection and per message, memory per idle connection, and how long
//! messages take while others disturb.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use serde_json::{Map, Value, json};

use crate::client::{End, connect_all};
use crate::devices::Device;
use crate::in_turns::middle;
use crate::load::{Crowd, Latency, Pace, Plan, Road, Sluggards, Storm, Traffic};
use crate::{Outcome, cpu, memory};

/// From the start of a load to its measurement.
const WARM_UP: Duration = Duration::from_millis(800);

/// After connections were made, until a server has settled.
const SETTLE: Duration = Duration::from_millis(1_500);

/// Pairs of the paced load and messages of all of them in a second.
const PACED: (usize, u32) = (100, 4_000);

/// Pairs of the loads in a closed loop.
const PAIRS: usize = 50;

/// Subscribers of one publisher.
const FAN: usize = 100;

/// Messages of established traffic in a second while others disturb.
const DISTURBED_PER_SECOND: u32 = 2_000;

/// Rounds of quiet, storm and slow clients, of which the middle one counts.
const ROUNDS: usize = 3;

/// Slow clients of each kind.
const SLUGGARDS: usize = 40;

/// A broker that runs.
pub(super) struct Broker<'a> {
    pub(super) address: SocketAddr,
    /// Its process, if that is on this machine.
    pub(super) pid: Option<u32>,
    pub(super) root: &'a CertificateDer<'static>,
    /// Devices that it lets in.
    pub(super) devices: &'a [Device],
    /// How long each load is measured.
    pub(super) time: Duration,
}

impl Broker<'_> {
    fn road(&self) -> Outcome<Road> {
        Road::new(self.address, self.root)
    }

    fn cpu_micros(&self) -> Outcome<f64> {
        self.pid
            .map_or(Ok(f64::NAN), |pid| Ok(cpu::nanoseconds(pid)? as f64 / 1_000.0))
    }

    fn resident(&self) -> Outcome<memory::Resident> {
        self.pid
            .map_or(Err("the process of the server is not here".into()), memory::of)
    }

    fn some(&self, from: usize, count: usize) -> Outcome<&[Device]> {
        let some = self.devices.get(from..from + count);
        some.ok_or_else(|| format!("{} devices are too few", self.devices.len()).into())
    }

    /// CPU microseconds per connection from TCP to CONNACK and back to nothing, by devices that were here before.
    pub(super) fn connect_micros(&self, warm_up: usize, count: usize) -> Outcome<f64> {
        connect_all(self.address, self.root, self.some(0, warm_up)?, End::Accepted)?;
        let before = self.cpu_micros()?;
        connect_all(self.address, self.root, self.some(0, count)?, End::Accepted)?;
        Ok((self.cpu_micros()? - before) / count as f64)
    }

    /// The same by a few devices that connect again and again.
    pub(super) fn again_micros(&self, count: usize, times: usize) -> Outcome<f64> {
        let devices = self.some(0, count)?;
        connect_all(self.address, self.root, devices, End::Accepted)?;
        let before = self.cpu_micros()?;
        for _ in 0..times {
            connect_all(self.address, self.root, devices, End::Accepted)?;
        }
        Ok((self.cpu_micros()? - before) / (count * times) as f64)
    }

    /// Memory per idle connection: the slope between a few and many, in a process that is fresh.
    pub(super) fn idle(&self, few: usize, many: usize) -> Outcome<Value> {
        let (road, mut crowd) = (self.road()?, Crowd::new()?);
        crowd.join(&road, self.some(0, few)?)?;
        thread::sleep(SETTLE);
        let before = self.resident()?;
        let seconds = crowd.join(&road, self.some(few, many - few)?)?;
        thread::sleep(SETTLE);
        let after = self.resident()?;
        let count = (many - few) as f64;
        crowd.check()?;
        Ok(json!({
            "bytes": (after.total as f64 - before.total as f64) / count,
            "own_bytes": (after.anonymous as f64 - before.anonymous as f64) / count,
            "per_second": count / seconds,
        }))
    }

    /// CPU per message under each load, and what memory that left behind.
    pub(super) fn messages(&self) -> Outcome<Map<String, Value>> {
        let mut told = Map::new();
        for name in ["paced", "window_1", "window_10", "fan_out"] {
            told.insert(name.into(), self.part(name)?);
        }
        // What comes now was asked of it before.
        let settled = self.pid.is_some().then(|| self.resident()).transpose()?;
        told.insert(
            "window_10_again".into(),
            self.load(PAIRS, PAIRS, Pace::Window(10))?,
        );
        if let Some(settled) = settled {
            let grown = self.resident()?.anonymous as f64 - settled.anonymous as f64;
            told.insert("grown_megabytes".into(), json!(grown / 1e6));
        }
        Ok(told)
    }

    /// One measurement, by its name.
    pub(super) fn part(&self, name: &str) -> Outcome<Value> {
        match name {
            "paced" => self.load(PACED.0, PACED.0, Pace::PerSecond(PACED.1)),
            "window_1" => self.load(PAIRS, PAIRS, Pace::Window(1)),
            "window_10" => self.load(PAIRS, PAIRS, Pace::Window(10)),
            "fan_out" => self.load(1, FAN, Pace::Window(10)),
            "disturbed" => self.disturbed(),
            _ => Err(format!("there is no part {name}").into()),
        }
    }

    fn load(&self, publishers: usize, subscribers: usize, pace: Pace) -> Outcome<Value> {
        let road = self.road()?;
        let traffic = Traffic::start(&Plan {
            road: &road,
            publishers: self.some(0, publishers)?,
            subscribers: self.some(publishers, subscribers)?,
            pace,
        })?;
        thread::sleep(WARM_UP);
        let (before, cpu_before) = (traffic.count(), self.cpu_micros()?);
        traffic.measure();
        thread::sleep(self.time);
        let (after, cpu_after) = (traffic.count(), self.cpu_micros()?);
        let latency = traffic.latency()?;
        traffic.end()?;
        let delivered = (after.delivered - before.delivered) as f64;
        let published = (after.published - before.published) as f64;
        Ok(json!({
            "us": (cpu_after - cpu_before) / delivered,
            "per_second": delivered / self.time.as_secs_f64(),
            "delivered_per_published": delivered / published,
            "middle_ms": latency.middle / 1e3,
            "p99_ms": latency.percentile_99 / 1e3,
        }))
    }

    /// How long established traffic takes: quiet, beside a storm of handshakes, and beside slow clients.
    pub(super) fn disturbed(&self) -> Outcome<Value> {
        let road = self.road()?;
        let (pairs, others) = (PAIRS, self.devices.len() / 2);
        let everybody = self.some(2 * pairs, 11)?;
        let (one, few) = everybody.split_at(1);
        let traffic = Traffic::start(&Plan {
            road: &road,
            publishers: self.some(0, pairs)?,
            subscribers: self.some(pairs, pairs)?,
            pace: Pace::PerSecond(DISTURBED_PER_SECOND),
        })?;
        // What slow clients are sent, too.
        let noise = Traffic::start(&Plan {
            road: &road,
            publishers: one,
            subscribers: few,
            pace: Pace::PerSecond(200),
        })?;
        thread::sleep(WARM_UP);
        let watch = |time: Duration| -> Outcome<Latency> {
            traffic.measure();
            thread::sleep(time);
            let latency = traffic.latency()?;
            traffic.check()?;
            noise.check()?;
            Ok(latency)
        };
        let mut taken = Disturbed::default();
        for _ in 0..ROUNDS {
            taken.quiet.push(watch(self.time)?);
            {
                let storm = Storm::start(self.address, self.root, self.some(others, others)?)?;
                thread::sleep(WARM_UP);
                let before = storm.count();
                taken.storm.push(watch(self.time)?);
                let after = storm.count();
                taken.handshakes.push((after.0 - before.0) as f64);
                taken.failed += after.1 - before.1;
            }
            thread::sleep(SETTLE);
            {
                let _sluggards = Sluggards::start(&road, self.some(2 * pairs + 11, SLUGGARDS)?)?;
                thread::sleep(SETTLE);
                taken.slow.push(watch(self.time)?);
            }
            thread::sleep(SETTLE);
        }
        traffic.end()?;
        noise.end()?;
        Ok(taken.told(self.time))
    }

    /// As many connections as there are devices: all come, stay, are dropped at once, and come back.
    pub(super) fn many(&self, stay: Duration) -> Outcome<Value> {
        let (road, mut crowd) = (self.road()?, Crowd::new()?);
        thread::sleep(SETTLE);
        let before = self.resident()?;
        let first_seconds = crowd.join(&road, self.devices)?;
        let held = crowd.len();
        let pings = crowd.stay(stay)?;
        crowd.check()?;
        let resident = self.resident()?;
        crowd.drop_all();
        let again_seconds = crowd.join(&road, self.devices)?;
        crowd.check()?;
        Ok(json!({
            "connections": held,
            "connections_again": crowd.len(),
            "seconds_first": first_seconds,
            "seconds_again": again_seconds,
            "stayed_seconds": stay.as_secs_f64(),
            "pings": pings,
            "megabytes": resident.total as f64 / 1e6,
            "bytes": (resident.total as f64 - before.total as f64) / held as f64,
        }))
    }
}

/// What established traffic felt, round by round.
#[derive(Default)]
struct Disturbed {
    quiet: Vec<Latency>,
    storm: Vec<Latency>,
    slow: Vec<Latency>,
    handshakes: Vec<f64>,
    failed: u64,
}

impl Disturbed {
    /// The middle of all rounds.
    fn told(self, time: Duration) -> Value {
        let of = |all: &[Latency], value: fn(&Latency) -> f64| middle(all.iter().map(value).collect());
        let p99_ms = |all: &[Latency]| of(all, |latency| latency.percentile_99 / 1e3);
        let count = |all: &[Latency]| of(all, |latency| latency.count as f64);
        let (quiet, storm, slow) = (p99_ms(&self.quiet), p99_ms(&self.storm), p99_ms(&self.slow));
        json!({
            "quiet_p99_ms": quiet,
            "storm_p99_ms": storm,
            "storm_ratio": storm / quiet,
            "storm_per_second": middle(self.handshakes) / time.as_secs_f64(),
            "storm_failed": self.failed,
            "slow_p99_ms": slow,
            "slow_ratio": slow / quiet,
            "slow_delivered": count(&self.slow) / count(&self.quiet),
        })
    }
}
