//! What is measured, in rounds in which everybody has a turn.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value};

use super::tokens::{Signer, Tokens, Wanted};
use crate::Outcome;

/// Rounds; odd, so that one is in the middle.
const ROUNDS: usize = 9;
/// CPU time of one turn.
const TURN: Duration = Duration::from_millis(100);
/// Threads that sign at the same time.
const THREADS: usize = 8;
/// Objects in the full token.
const OBJECTS: u32 = 10_000;
/// Key pairs of one turn.
const PAIRS: u32 = 8;
/// Calls between two looks at the clock, and the fewest of one turn.
const BATCH: u32 = 16;

type Values = Map<String, Value>;

/// All samples of all rows.
#[derive(Default)]
struct Samples(BTreeMap<String, Vec<f64>>);

impl Samples {
    fn add(&mut self, row: String, value: f64) {
        self.0.entry(row).or_default().push(value);
    }

    /// The middle one of each row.
    fn medians(self) -> Values {
        let middle = |mut all: Vec<f64>| {
            all.sort_by(f64::total_cmp);
            all.get(all.len() / 2).copied()
        };
        let rows = self.0.into_iter();
        rows.map(|(row, all)| (row, middle(all).into())).collect()
    }
}

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// How often a second of this thread's CPU time does this.
fn rate(turn: Duration, mut work: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    let (start, mut done) = (seconds(ClockId::ThreadCPUTime), 0_u32);
    loop {
        for _ in 0..BATCH {
            work()?;
        }
        done += BATCH;
        let spent = seconds(ClockId::ThreadCPUTime) - start;
        if spent >= turn.as_secs_f64() {
            return Ok(f64::from(done) / spent);
        }
    }
}

/// The bare signature that all others contain.
struct Bare {
    key: EcdsaKeyPair,
    digest: Digest,
}

impl Bare {
    fn new() -> Outcome<Self> {
        Ok(Self {
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?,
            digest: digest::digest(&digest::SHA256, b"bench"),
        })
    }

    fn sign(&self) -> Outcome<()> {
        black_box(self.key.sign_digest(&self.digest)?);
        Ok(())
    }
}

const DIGEST: [u8; 32] = [7; 32];

impl Tokens {
    fn sign(&self, signer: Signer) -> Outcome<()> {
        black_box(self.module.sign(signer.session, signer.key, &DIGEST)?);
        Ok(())
    }

    fn find(&self, by_label: bool, number: u32) -> Outcome<()> {
        let wanted = Wanted::new(number % self.objects);
        let mut template = if by_label {
            wanted.by_label()
        } else {
            wanted.by_class_and_id()
        };
        match self.module.find(self.full.session, &mut template)? {
            (1, _) => Ok(()),
            (found, _) => Err(format!("found {found} objects where one is").into()),
        }
    }
}

/// What programs do all day: sign and find.
pub(super) fn using<'a>(modules: impl Iterator<Item = (&'a str, &'a Path)>) -> Outcome<Values> {
    let mut all = Vec::new();
    for (name, library) in modules {
        let start = Instant::now();
        all.push(Tokens::make(name, library, OBJECTS)?);
        let seconds = start.elapsed().as_secs_f64();
        eprintln!("{name}: {OBJECTS} objects in {seconds:.1} s");
    }
    let (bare, mut samples) = (Bare::new()?, Samples::default());
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        signatures(&bare, &all, &mut samples)?;
        searches(&all, &mut samples)?;
    }
    for _ in 0..ROUNDS / 2 {
        crowds(&bare, &all, &mut samples)?;
    }
    for tokens in &mut all {
        let seconds = tokens.reopen()?;
        samples.add(format!("{}_reopen_ms", tokens.name), seconds * 1e3);
    }
    Ok(samples.medians())
}

fn signatures(bare: &Bare, all: &[Tokens], samples: &mut Samples) -> Outcome<()> {
    for tokens in all {
        let name = &tokens.name;
        // The bare one before and after: what drifts meanwhile drifts for both.
        let before = rate(TURN, || bare.sign())?;
        let empty = rate(TURN, || tokens.sign(tokens.empty))?;
        let full = rate(TURN, || tokens.sign(tokens.full))?;
        let again = rate(TURN, || tokens.sign(tokens.empty))?;
        let after = rate(TURN, || bare.sign())?;
        let (bare, empty) = (before.midpoint(after), empty.midpoint(again));
        samples.add("bare_sign_us".to_owned(), 1e6 / bare);
        samples.add(format!("{name}_sign_us"), 1e6 / empty);
        samples.add(format!("{name}_sign_ratio"), empty / bare);
        samples.add(format!("{name}_full_ratio"), full / empty);
    }
    Ok(())
}

fn searches(all: &[Tokens], samples: &mut Samples) -> Outcome<()> {
    for tokens in all {
        for (row, by_label) in [("find_label", true), ("find_id", false)] {
            let mut number = 0_u32;
            let found = rate(TURN, || {
                number = number.wrapping_add(7_919);
                tokens.find(by_label, number)
            })?;
            samples.add(format!("{}_{row}", tokens.name), found);
        }
        let sessions = rate(TURN, || tokens.open_and_close())?;
        samples.add(format!("{}_sessions", tokens.name), sessions);
    }
    Ok(())
}

/// Eight threads, each with a session: signatures in a second of CPU and in a second of the wall clock, for a module and for
/// the bare key in the same minute.
fn crowds(bare: &Bare, all: &[Tokens], samples: &mut Samples) -> Outcome<()> {
    let bare_wall = crowd(|_| bare.sign())?.1;
    for tokens in all {
        let name = &tokens.name;
        let signers = (0..THREADS)
            .map(|_| tokens.another())
            .collect::<Outcome<Vec<_>>>()?;
        let alone = rate(TURN, || tokens.sign(tokens.empty))?;
        let (together, wall) =
            crowd(|thread| tokens.sign(signers.get(thread).copied().ok_or("no session")?))?;
        let again = rate(TURN, || tokens.sign(tokens.empty))?;
        let after = crowd(|_| bare.sign())?.1;
        samples.add(format!("{name}_threads_ratio"), together / alone.midpoint(again));
        samples.add(
            format!("{name}_threads_wall_ratio"),
            wall / bare_wall.midpoint(after),
        );
        for signer in signers {
            tokens.module.close(signer.session)?;
        }
    }
    Ok(())
}

/// In a second of CPU, and in a second of the wall clock.
fn crowd(work: impl Fn(usize) -> Outcome<()> + Sync) -> Outcome<(f64, f64)> {
    let start = Instant::now();
    let turn = TURN / 2;
    let one = |thread: usize| -> Outcome<(f64, f64)> {
        let before = seconds(ClockId::ThreadCPUTime);
        let rate = rate(turn, || work(thread))?;
        let spent = seconds(ClockId::ThreadCPUTime) - before;
        Ok((rate * spent, spent))
    };
    let one = &one;
    let (mut done, mut spent) = (0.0, 0.0);
    std::thread::scope(|scope| -> Outcome<()> {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || one(thread)))
            .collect();
        for thread in threads {
            let (signatures, cpu) = thread.join().map_err(|_| "a thread panicked")??;
            done += signatures;
            spent += cpu;
        }
        Ok(())
    })?;
    Ok((done / spent, done / start.elapsed().as_secs_f64()))
}

/// What must last: key pairs that come and go, by the wall clock, since it is the disk that is waited for.
pub(super) fn lasting<'a>(modules: impl Iterator<Item = (&'a str, &'a Path)>) -> Outcome<Values> {
    let all = modules
        .map(|(name, library)| Tokens::make(name, library, 0))
        .collect::<Outcome<Vec<_>>>()?;
    let mut samples = Samples::default();
    for _ in 0..ROUNDS / 2 {
        for tokens in &all {
            let start = Instant::now();
            for _ in 0..PAIRS {
                tokens.make_and_destroy_pair()?;
            }
            let pairs = f64::from(PAIRS) / start.elapsed().as_secs_f64();
            samples.add(format!("{}_pairs", tokens.name), pairs);
        }
    }
    Ok(samples.medians())
}
