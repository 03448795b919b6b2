//! What a developer sees while a long command runs: which step, how long it took, what was skipped.

use std::time::Instant;

use crate::failure::Outcome;

/// How one step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Passed,
    /// The step ran and found something wrong.
    Failed,
    /// A tool is missing; the text names the command that adds it.
    Skipped(String),
}

/// A row of steps, counted.
#[derive(Default)]
pub(crate) struct Steps {
    taken: Vec<(String, Ending, f64)>,
}

impl Steps {
    /// Runs one step and prints its name, its end and its time. A step that cannot be carried out has failed.
    pub(crate) fn take(&mut self, name: &str, step: impl FnOnce() -> Outcome<Ending>) {
        println!("\n==> {name}");
        let start = Instant::now();
        let ending = step().unwrap_or_else(|failure| {
            println!("    {failure}");
            Ending::Failed
        });
        let seconds = start.elapsed().as_secs_f64();
        println!("    {} {name} ({seconds:.1} s)", word(&ending));
        self.taken.push((name.to_owned(), ending, seconds));
    }

    /// Whether no step failed so far.
    pub(crate) fn all_well(&self) -> bool {
        self.taken.iter().all(|(_, ending, _)| *ending != Ending::Failed)
    }

    /// Prints the table of all steps with their times.
    pub(crate) fn print_table(&self) {
        println!("\n{:<9} {:>8}  step", "", "seconds");
        for (name, ending, seconds) in &self.taken {
            println!("{:<9} {seconds:>8.1}  {name}", word(ending));
            if let Ending::Skipped(how) = ending {
                println!("{:<9} {:>8}  to run it: {how}", "", "");
            }
        }
    }

    /// How many steps (passed, failed, were skipped).
    pub(crate) fn counts(&self) -> Counts {
        let count = |wanted: fn(&Ending) -> bool| self.taken.iter().filter(|(_, e, _)| wanted(e)).count();
        Counts {
            passed: count(|e| matches!(e, Ending::Passed)),
            failed: count(|e| matches!(e, Ending::Failed)),
            skipped: count(|e| matches!(e, Ending::Skipped(_))),
        }
    }
}

/// How many things passed, failed, were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

fn word(ending: &Ending) -> &'static str {
    match ending {
        Ending::Passed => "ok",
        Ending::Failed => "FAILED",
        Ending::Skipped(_) => "skipped",
    }
}
