//! Clients that connect, crash, come back, take over and forget; links that delay, lose and repeat; nodes that write their logs
//! late, die, alone or together, and are made of what was durable; trust that changes: as a seed decides.
//!
//! One to three nodes share the clients, as the shards of one server do. A model of each client keeps to MQTT: it sends again
//! what was not acknowledged, and knows a QoS 2 message by its identifier. At the end everything heals and what was promised must
//! have come: nothing acknowledged is lost, nothing of QoS 2 comes twice, order holds for each publisher, topic and QoS, nothing
//! comes that may not be received or was not asked for, and nothing is left behind. A failure prints its seed; `cargo xtask world
//! --seed N` replays it.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod accidents;
mod client;
mod dice;
mod promises;
mod requests;
mod roles;
mod shard;
mod shell;
mod world;

use world::World;

const SEEDS: u64 = 100;
const STEPS: usize = 1_200;
const CLIENTS: usize = 6;
const TOPICS: [&str; 5] = ["t/a", "t/b", "secret/a", JOB, KEPT];
/// Of a shared subscription, whose members are some of the even clients.
const JOB: &str = "job/a";
const JOBS: &str = "$share/workers/job/#";
/// Whose last message stays.
const KEPT: &str = "kept/a";
/// What a client may listen to; the last one only if it is even.
const FILTERS: [&str; 6] = ["t/#", "t/a", "secret/#", "kept/#", "will/#", JOBS];
/// Payloads of wills are numbers from here on.
const WILLS: u64 = 1 << 40;

/// Steps of a run whose server dies at a chosen one of them, and steps after.
const STEPS_BEFORE_DEATH: usize = 120;
const STEPS_AFTER_DEATH: usize = 20;

fn live_through(seed: u64) -> World {
    let _named = Seed(seed);
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
    }
    world.heal();
    world.check();
    world
}

/// The server dies after so many steps of a run, with so many more steps of each node durable than anybody was told of.
fn die_at(seed: u64, step: usize, lucky: usize) -> usize {
    let _named = Seed(seed);
    let mut world = World::new(seed);
    (0..step).for_each(|_| world.step());
    world.crash_with(|_| lucky);
    (0..STEPS_AFTER_DEATH).for_each(|_| world.step());
    world.heal();
    world.check();
    world.published.len()
}

/// Names the seed of a run that fails.
struct Seed(u64);

impl Drop for Seed {
    #[expect(clippy::print_stderr, reason = "the seed must be seen")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}: cargo xtask world --seed {}", self.0, self.0);
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_comes_twice_that_may_not() {
    let seeds = match number("BIRTHMARK_WORLD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("BIRTHMARK_WORLD_SEEDS").unwrap_or(SEEDS),
    };
    let many = seeds.end - seeds.start >= SEEDS;
    let mut total = world::Tally::default();
    for seed in seeds {
        total += live_through(seed).tally;
    }
    // A world in which nothing happens proves nothing.
    assert!(!many || total.is_eventful(), "{total:?}");
}

#[test]
fn the_server_may_die_after_any_step_with_any_part_of_its_logs_written() {
    let mut published = 0;
    for (round, step) in (0..STEPS_BEFORE_DEATH).enumerate() {
        let seed = number("BIRTHMARK_WORLD_SEED").unwrap_or(round as u64 % 7);
        for lucky in [0, 1, 3] {
            published += die_at(seed, step, lucky);
        }
    }
    assert!(published > 500, "{published}");
}
