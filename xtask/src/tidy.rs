//! `cargo xtask tidy`: the rules of the tree that a compiler does not know.
//!
//! Each check is a function from what is there to a list of problems; none of them changes a file.

mod codes;
mod deny;
mod levels;
mod licences;
mod papers;
mod pure;
mod sources;

use std::process::ExitCode;

use crate::console::Ending;
use crate::failure::Outcome;
use crate::metadata::Metadata;
use crate::tree::{self, SourceFile};

pub(crate) use codes::error_codes;
pub(crate) use pure::generated as pure_lists;

/// Something that is not as the rules want it: where, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    place: String,
    text: String,
}

impl Problem {
    fn new(place: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            text: text.into(),
        }
    }
}

/// All that the checks look at.
struct Repository {
    metadata: Metadata,
    rust: Vec<SourceFile>,
    manifests: Vec<SourceFile>,
    papers: Vec<SourceFile>,
    deny: deny::Deny,
}

impl Repository {
    fn read() -> Outcome<Self> {
        Ok(Self {
            metadata: Metadata::load()?,
            rust: tree::files(&[".rs"])?,
            manifests: tree::files(&["clippy.toml", "Cargo.toml"])?,
            papers: tree::files(&[".md"])?,
            deny: deny::Deny::read()?,
        })
    }
}

/// The command: prints every problem; exit code 1 when there is one.
pub(crate) fn run() -> Outcome<ExitCode> {
    Ok(if check()? == Ending::Passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The same as one step of `cargo xtask test`.
pub(crate) fn check() -> Outcome<Ending> {
    let repository = Repository::read()?;
    let mut problems = 0;
    for (name, check) in CHECKS {
        let found = check(&repository);
        println!("    {:<4} {name}", if found.is_empty() { "ok" } else { "BAD" });
        for problem in &found {
            println!("         {}: {}", problem.place, problem.text);
        }
        problems += found.len();
    }
    for note in sources::long_files(&repository.rust) {
        println!("    note {}: {}", note.place, note.text);
    }
    println!("    {} checks, {problems} problems", CHECKS.len());
    Ok(if problems == 0 {
        Ending::Passed
    } else {
        Ending::Failed
    })
}

type Check = fn(&Repository) -> Vec<Problem>;

const CHECKS: &[(&str, Check)] = &[
    (
        "each statement of MQTT has a test that exists, or a reason",
        |_| {
            let problems = crate::conformance::problems();
            let problems = problems.unwrap_or_else(|failure| vec![failure.to_string()]);
            problems
                .into_iter()
                .filter_map(|problem| problem.split_once(": ").map(|(at, what)| Problem::new(at, what)))
                .collect()
        },
    ),
    ("each crate depends on what the table of levels lets it", |r| {
        levels::table(&r.metadata)
    }),
    ("heavy dependencies stay in the crates that may use them", |r| {
        levels::heavy(&r.metadata)
    }),
    ("no runtime beneath the pure crates", |r| {
        pure::no_runtime(&r.metadata)
    }),
    (
        "pure crates carry the whole list of what they must not call",
        |r| pure::lists(&r.manifests),
    ),
    ("every crate forbids unsafe code", |r| {
        sources::unsafe_forbidden(&r.metadata)
    }),
    (
        "every crate takes the lints of the workspace and says what it is",
        |r| sources::manifests(&r.metadata),
    ),
    ("every source file opens by saying what it is", |r| {
        sources::openings(&r.rust)
    }),
    ("no leftovers in the sources", |r| sources::leftovers(&r.rust)),
    ("each threat names tests that exist", |r| {
        papers::threats(&r.rust, &r.papers)
    }),
    ("types are not named after nothing", |r| {
        sources::empty_names(&r.rust)
    }),
    ("licences of everything we link", |r| {
        licences::allowed(&r.metadata, &r.deny)
    }),
    ("two versions of one crate have a reason", |r| {
        licences::duplicates(&r.metadata, &r.deny)
    }),
    ("every dependency has a line among the decisions", |r| {
        papers::dependencies(&r.metadata, &r.papers)
    }),
    ("paths in documents exist", |r| papers::paths(&r.papers)),
    ("links in documents lead somewhere", |r| papers::links(&r.papers)),
    (
        "the page of callers tells of every caller, and of no other",
        |r| papers::callers(&r.rust, &r.papers),
    ),
    ("nothing of the writer's machine is in the tree", |r| {
        papers::machine_paths(&r.rust, &r.papers)
    }),
    ("error codes are unique", |r| codes::unique(&r.rust)),
];
