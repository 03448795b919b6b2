//! `cargo xtask test`: everything that must hold before a change is shown to anyone.
//!
//! The order puts what is quick and often wrong first. Everything of the workspace is built in one profile with one
//! set of features, so that no dependency is compiled twice.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use crate::console::{Counts, Ending, Steps};
use crate::failure::Outcome;
use crate::process::{self, Run, which};
use crate::{docs, fuzz, skips, thumb, tidy, tools, tree};

/// Runs every check.
pub(crate) fn run(require_tools: bool, seed: Option<u64>) -> Outcome<ExitCode> {
    let start = Instant::now();
    let mut steps = Steps::default();
    let mut tests = Counts::default();
    let environment = Environment {
        skips: skips::fresh_file()?,
        require_tools,
        seed,
        aws: None,
    };
    let environment = set_up(&mut steps, environment);
    for (name, check) in QUICK {
        steps.take(name, check);
    }
    let may_go_on = build(&mut steps);
    if may_go_on {
        steps.take("tests", || suite(Part::AllButStories, &environment, &mut tests));
        steps.take("examples in the documentation", || {
            documentation(&environment, &mut tests)
        });
        steps.take(
            "firmware for thumbv7em, and how big the chip driver is",
            thumb::check,
        );
        steps.take("fuzz", fuzz::smoke);
        steps.take("stories", || suite(Part::Stories, &environment, &mut tests));
    }
    Ok(close(&steps, tests, start))
}

type Check = fn() -> Outcome<Ending>;

/// What needs no build of ours.
const QUICK: &[(&str, Check)] = &[
    ("tidy", tidy::check),
    ("generated pages", docs::check),
    ("format", format),
    ("lints", lints),
];

/// What the tests are told.
struct Environment {
    skips: PathBuf,
    require_tools: bool,
    seed: Option<u64>,
    aws: Option<PathBuf>,
}

impl Environment {
    fn tell(&self, run: Run) -> Run {
        let mut run = run
            .env(skips::VARIABLE, &self.skips)
            .env("BIRTHMARK_BIN", binary());
        if self.require_tools {
            run = run.env("BIRTHMARK_REQUIRE_TOOLS", "1");
        }
        if let Some(seed) = self.seed {
            run = run.env("BIRTHMARK_SEED", seed.to_string());
        }
        if let Some(aws) = &self.aws {
            run = run.env("BIRTHMARK_AWS", aws);
        }
        run
    }
}

/// The binary that the stories run: built together with the tests.
fn binary() -> PathBuf {
    process::target().join("debug").join("birthmark")
}

fn set_up(steps: &mut Steps, mut environment: Environment) -> Environment {
    steps.take("outside tools", || {
        let tools = tools::prepare()?;
        environment.aws = tools
            .iter()
            .find(|tool| tool.name == "aws")
            .and_then(|tool| tool.file.clone());
        Ok(tools::judge(&tools, environment.require_tools))
    });
    environment
}

fn format() -> Outcome<Ending> {
    let ours = Run::cargo().args(["fmt", "--all", "--", "--check"]).shown()?;
    let fuzz = Run::cargo()
        .args(["fmt", "--", "--check"])
        .dir(&fuzz::folder())
        .shown()?;
    let firmware = Run::cargo()
        .args(["fmt", "--", "--check"])
        .dir(&process::root().join("firmware"))
        .shown()?;
    let all = [ours, fuzz, firmware];
    Ok(all
        .into_iter()
        .find(|ending| *ending != Ending::Passed)
        .unwrap_or(Ending::Passed))
}

fn lints() -> Outcome<Ending> {
    Run::cargo()
        .args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
        .shown()
}

/// One build for the binary, the tests and the stories.
fn build(steps: &mut Steps) -> bool {
    let mut built = false;
    steps.take("build", || {
        let targets = ["--lib", "--bins", "--tests", "--examples"];
        let ending = Run::cargo()
            .args(["build", "--workspace", "--profile", "test"])
            .args(targets)
            .shown()?;
        built = ending == Ending::Passed;
        Ok(ending)
    });
    built
}

/// Which tests: the stories come last, since they need everything else to be well.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    AllButStories,
    Stories,
}

fn suite(part: Part, environment: &Environment, tests: &mut Counts) -> Outcome<Ending> {
    let run = environment.tell(if which("cargo-nextest").is_some() {
        nextest(part)
    } else {
        libtest(part)?
    });
    let ending = run.watched(|line| *tests += counts_in(line))?;
    if part == Part::Stories {
        let skipped = skips::read();
        tests.skipped += skipped.len();
        skipped.iter().for_each(|line| println!("    skipped: {line}"));
    }
    Ok(ending)
}

fn nextest(part: Part) -> Run {
    let filter = match part {
        Part::AllButStories => "not package(stories)",
        Part::Stories => "package(stories)",
    };
    let fixed = [
        "nextest",
        "run",
        "--workspace",
        "--cargo-profile",
        "test",
        "--no-fail-fast",
        "--no-tests",
        "pass",
    ];
    Run::cargo()
        .args(fixed)
        .args(["--lib", "--bins", "--tests", "--examples", "-E", filter])
}

fn libtest(part: Part) -> Outcome<Run> {
    let run = Run::cargo().args(["test", "--workspace", "--no-fail-fast"]);
    if part == Part::AllButStories {
        return Ok(run.args(["--exclude", "stories", "--lib", "--bins", "--tests", "--examples"]));
    }
    let files = tree::files(&[".rs"])?;
    let names = files.iter().filter_map(|file| {
        file.path
            .strip_prefix("tests/stories/tests/")?
            .strip_suffix(".rs")
    });
    Ok(names.fold(run, |run, name| run.args(["--test", name])))
}

fn documentation(environment: &Environment, tests: &mut Counts) -> Outcome<Ending> {
    let run = environment.tell(Run::cargo().args(["test", "--workspace", "--doc", "--quiet"]));
    run.watched(|line| *tests += counts_in(line))
}

fn close(steps: &Steps, tests: Counts, start: Instant) -> ExitCode {
    steps.print_table();
    let mut all = steps.counts();
    all += tests;
    let minutes = start.elapsed().as_secs_f64() / 60.0;
    println!(
        "\n{} steps and {} tests in {minutes:.1} min",
        steps.counts().passed,
        tests.passed
    );
    println!("{all}");
    if steps.all_well() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The counts in the closing line of cargo test or of nextest; zero for every other line.
fn counts_in(line: &str) -> Counts {
    let line = line.trim();
    if !line.starts_with("test result:") && !line.starts_with("Summary [") {
        return Counts::default();
    }
    let before = |word: &str| {
        let words: Vec<&str> = line
            .split([' ', ',', ';', ':'])
            .filter(|w| !w.is_empty())
            .collect();
        let at = words.iter().position(|w| *w == word)?;
        words.get(at.checked_sub(1)?)?.parse().ok()
    };
    // What a filter left out is no skip.
    Counts {
        passed: before("passed").unwrap_or(0),
        failed: before("failed").unwrap_or(0),
        skipped: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, passed: usize, failed: usize) {
        assert_eq!(
            counts_in(line),
            Counts {
                passed,
                failed,
                skipped: 0
            },
            "{line}"
        );
    }

    #[test]
    fn closing_lines_are_counted_and_nothing_else() {
        check(
            "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out; finished in 0.00s",
            5,
            0,
        );
        check("test result: FAILED. 5 passed; 1 failed; 0 ignored", 5, 1);
        check(
            "     Summary [   0.012s] 12 tests run: 11 passed, 1 failed, 3 skipped",
            11,
            1,
        );
        check(
            "     Summary [   0.012s] 12 tests run: 12 passed, 3 skipped",
            12,
            0,
        );
        check("test passed ... 5 passed", 0, 0);
        check("", 0, 0);
    }
}
