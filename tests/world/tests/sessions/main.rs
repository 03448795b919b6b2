//! Clients that connect, crash, come back and take over; links that delay and lose; nodes that write their logs late, die and are
//! made of what was durable: as a seed decides.
//!
//! Two or three nodes share the clients, as the shards of one server do, and die together. A model of each client keeps to MQTT:
//! it sends again what was not acknowledged, and knows a QoS 2 message by its identifier. At the end everything heals and what
//! was promised must have come: nothing acknowledged is lost, nothing of QoS 2 comes twice, order holds for each publisher, topic
//! and QoS, nothing comes that may not be received, and nothing is left behind. A failure prints its seed; `cargo xtask world
//! --seed N` replays it.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod accidents;
mod client;
mod dice;
mod promises;
mod shard;
mod world;

use world::World;

const SEEDS: u64 = 100;
const STEPS: usize = 1_200;
const CLIENTS: usize = 6;
const TOPICS: [&str; 5] = ["t/a", "t/b", "secret/a", JOB, KEPT];
/// Of a shared subscription, whose members are the even clients.
const JOB: &str = "job/a";
const JOBS: &str = "$share/workers/job/#";
/// Whose last message stays.
const KEPT: &str = "kept/a";
/// Payloads of wills are numbers from here on.
const WILLS: u64 = 1 << 40;

fn run(seed: u64) -> (usize, usize, usize) {
    let mut world = World::new(seed);
    for index in 0..CLIENTS {
        world.connect(index);
    }
    for _ in 0..STEPS {
        world.step();
    }
    world.heal();
    world.check();
    (world.published.len(), world.crashes, world.repeated)
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

#[test]
fn nothing_acknowledged_is_lost_and_nothing_comes_twice_that_may_not() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse::<u64>().ok())
    };
    let seeds = match number("BIRTHMARK_WORLD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("BIRTHMARK_WORLD_SEEDS").unwrap_or(SEEDS),
    };
    let many = seeds.end - seeds.start >= SEEDS;
    let mut total = (0, 0, 0);
    for seed in seeds {
        let _named = Seed(seed);
        let (published, crashes, repeated) = run(seed);
        total = (total.0 + published, total.1 + crashes, total.2 + repeated);
    }
    // A world in which nothing happens proves nothing.
    assert!(
        !many || total.0 > 5_000 && total.1 > 100 && total.2 > 1_000,
        "{total:?}"
    );
}
