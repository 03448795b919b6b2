//! `cargo xtask fuzz`: feeds the decoders with mutated bytes.
//!
//! `fuzz/` is built here on the stable compiler with the flags that its coverage pass takes; no other program is needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::args::FUZZ_SECONDS;
use crate::console::Ending;
use crate::failure::{Failure, Outcome, Trying};
use crate::process::{self, Caught, Run};

/// What the compiler is told, so that the fuzzer sees which edges an input reaches and what it is compared with.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// The variable that names the target to the one binary; `list` prints them all.
const TARGET: &str = "BIRTHMARK_FUZZ_TARGET";

/// Targets that also begin with golden bytes of the repository.
const VECTORS: &[(&str, &str)] = &[
    ("certificate", "vectors/identity"),
    ("request", "vectors/identity"),
];

/// Memory above which an input has done damage.
const RSS_MEBIBYTES_MAX: u32 = 1024;

/// Seconds above which one input has done damage. The fuzzer reads a wall clock, so an input that is found slow is run again alone.
const INPUT_SECONDS_MAX: u32 = 5;

/// How often a target begins anew because the machine stood still.
const PAUSES_MAX: u32 = 3;

/// The folder of the fuzz workspace.
pub(crate) fn folder() -> PathBuf {
    process::root().join("fuzz")
}

/// The command: one target, or all of them.
pub(crate) fn run(name: Option<&str>, seconds: u64) -> Outcome<ExitCode> {
    let fuzzer = Fuzzer::build()?;
    let Some(name) = name else {
        let ending = fuzzer.run_all(seconds)?;
        return Ok(if ending == Ending::Passed {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    };
    let targets = fuzzer.targets()?;
    if !targets.iter().any(|target| target == name) {
        let known = targets.join(", ");
        return Err(Failure::new(format!("no fuzz target {name}; known: {known}")));
    }
    Ok(if fuzzer.run(name, seconds)? == Ending::Passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// One step of `cargo xtask test`: every target for [`FUZZ_SECONDS`], and whether the seeds reach every variant.
pub(crate) fn smoke() -> Outcome<Ending> {
    let fuzzer = Fuzzer::build()?;
    let unreached = fuzzer.unreached()?;
    print!("{unreached}");
    let ending = fuzzer.run_all(FUZZ_SECONDS)?;
    Ok(if unreached.is_empty() {
        ending
    } else {
        Ending::Failed
    })
}

/// The built binary.
struct Fuzzer {
    binary: PathBuf,
    work: PathBuf,
}

impl Fuzzer {
    fn build() -> Outcome<Self> {
        let host = process::host()?;
        let work = process::target().join("fuzz");
        // Naming the platform keeps the flags away from build scripts.
        let build = Run::cargo()
            .args(["build", "--release", "--target", &host])
            .dir(&folder());
        let build = build.env("RUSTFLAGS", COVERAGE).env("CARGO_TARGET_DIR", &work);
        if build.shown()? != Ending::Passed {
            return Err(Failure::new("the fuzz targets do not build"));
        }
        Ok(Self {
            binary: work.join(host).join("release").join("fuzz"),
            work,
        })
    }

    fn targets(&self) -> Outcome<Vec<String>> {
        let list = Run::new(&self.binary).env(TARGET, "list").caught_well()?;
        Ok(list.lines().map(str::to_owned).collect())
    }

    /// The variants of decoded types that no seed reaches, a line each.
    fn unreached(&self) -> Outcome<String> {
        let seeds = folder().join("seeds");
        Run::new(&self.binary)
            .env(TARGET, "seeds")
            .env("BIRTHMARK_FUZZ_SEEDS", seeds)
            .caught_well()
    }

    /// Every target, as many at once as there are processors.
    fn run_all(&self, seconds: u64) -> Outcome<Ending> {
        let targets = Mutex::new(self.targets()?.into_iter());
        let next = || targets.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || -> Outcome<bool> {
            let mut well = true;
            while let Some(target) = next() {
                well &= self.run(&target, seconds)? == Ending::Passed;
            }
            Ok(well)
        };
        let at_once = thread::available_parallelism().map_or(1, usize::from);
        let ended: Vec<Outcome<bool>> = thread::scope(|scope| {
            let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
            let join =
                |worker: thread::ScopedJoinHandle<'_, Outcome<bool>>| worker.join().unwrap_or(Ok(false));
            workers.into_iter().map(join).collect()
        });
        let ended = ended.into_iter().collect::<Outcome<Vec<bool>>>()?;
        Ok(if ended.into_iter().all(|well| well) {
            Ending::Passed
        } else {
            Ending::Failed
        })
    }

    fn run(&self, target: &str, seconds: u64) -> Outcome<Ending> {
        let found = self.folder_for("artifacts", target)?;
        for _ in 0..=PAUSES_MAX {
            let said = self.search(target, seconds, &found)?;
            if said.success {
                println!("    {target:<24} {}", summary(&said.stderr));
                return Ok(Ending::Passed);
            }
            let paused = match slow_input(&said.stderr) {
                Some(input) => self.is_quick(target, &input)?,
                None => false,
            };
            if !paused {
                println!(
                    "    {target}: an input does damage; it is in {}\n{}",
                    found.display(),
                    said.stderr
                );
                return Ok(Ending::Failed);
            }
            println!("    {target}: the machine stood still under an input that is quick alone; once more");
        }
        println!("    {target}: the machine stood still {PAUSES_MAX} times; nothing is known of this target");
        Ok(Ending::Failed)
    }

    /// Feeds one target with mutated bytes for some seconds.
    fn search(&self, target: &str, seconds: u64, found: &Path) -> Outcome<Caught> {
        let corpus = self.folder_for("corpus", target)?;
        let own = folder().join("seeds").join(target);
        let shared = VECTORS
            .iter()
            .filter(|(name, _)| *name == target)
            .map(|(_, path)| process::root().join(path));
        let seeds = std::iter::once(own)
            .chain(shared)
            .filter(|folder| folder.exists());
        let limits = [
            format!("-max_total_time={seconds}"),
            format!("-rss_limit_mb={RSS_MEBIBYTES_MAX}"),
            format!("-timeout={INPUT_SECONDS_MAX}"),
            format!("-artifact_prefix={}/", found.display()),
            "-print_final_stats=1".to_owned(),
        ];
        self.target(target)
            .args(&limits)
            .args([&corpus])
            .args(seeds)
            .caught()
    }

    /// Whether one input, run alone, is done within the maximum.
    fn is_quick(&self, target: &str, input: &Path) -> Outcome<bool> {
        let limit = format!("-timeout={}", INPUT_SECONDS_MAX * 10);
        let start = Instant::now();
        let alone = self.target(target).args([limit]).args([input]).caught()?;
        let quick = Duration::from_secs(u64::from(INPUT_SECONDS_MAX));
        Ok(alone.success && start.elapsed() < quick)
    }

    fn target(&self, target: &str) -> Run {
        Run::new(&self.binary).env(TARGET, target)
    }

    fn folder_for(&self, kind: &str, target: &str) -> Outcome<PathBuf> {
        let folder = self.work.join(kind).join(target);
        fs::create_dir_all(&folder).trying(|| format!("create {}", folder.display()))?;
        Ok(folder)
    }
}

/// The input that the fuzzer found too slow, if that is why it ended.
fn slow_input(said: &str) -> Option<PathBuf> {
    let (_, written) = said.split_once("Test unit written to ")?;
    let path = PathBuf::from(written.lines().next()?.trim());
    let name = path.file_name()?.to_str()?;
    name.starts_with("timeout-").then_some(path)
}

/// How many inputs ran and how many edges they reached.
fn summary(said: &str) -> String {
    let runs = said
        .lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
        .unwrap_or("?")
        .trim();
    let edges = said
        .lines()
        .rev()
        .find_map(|line| line.split_once(" cov: "))
        .map_or("?", |(_, rest)| rest);
    format!(
        "{runs} inputs, {} edges",
        edges.split_whitespace().next().unwrap_or("?")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_read_from_what_the_fuzzer_says() {
        let said = "#2 INITED cov: 12 ft: 13\n#8 pulse  cov: 42 ft: 50 corp: 3/9b\nDone\nstat::number_of_executed_units: 812\n";
        assert_eq!(summary(said), "812 inputs, 42 edges");
        assert_eq!(summary(""), "? inputs, ? edges");
    }

    #[test]
    fn only_a_timeout_names_a_slow_input() {
        let said = "ALARM: working\nartifact_prefix='a/'; Test unit written to a/timeout-06\nSUMMARY: libFuzzer: timeout\n";
        assert_eq!(slow_input(said), Some(PathBuf::from("a/timeout-06")));
        let crash = "artifact_prefix='a/'; Test unit written to a/crash-06\n";
        assert_eq!(slow_input(crash), None);
        assert_eq!(slow_input("Done 100 runs\n"), None);
    }
}
