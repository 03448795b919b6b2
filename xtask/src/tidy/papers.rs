//! Documents: the paths they name exist, their links lead somewhere, and each dependency has its reason.

use std::collections::BTreeSet;

use crate::callers;
use crate::metadata::Metadata;
use crate::process;
use crate::tree::SourceFile;

use super::Problem;

/// The page with one line for each dependency.
const DEPENDENCIES: &str = "docs/decisions/0003-dependencies.md";

/// Folders of the root that a path in a document may start with.
const TOPS: &[&str] = &[
    "crates/",
    "tests/",
    "docs/",
    "vectors/",
    "xtask/",
    "firmware/",
    "fuzz/",
    "bench/",
    "examples/",
    "packaging/",
    ".ci/",
    ".cargo/",
];

/// Documents that speak of the tree as it is; the changelog speaks of the past.
fn speaks_of_now(file: &SourceFile) -> bool {
    file.path != "CHANGELOG.md" && !file.path.starts_with("vectors/")
}

/// Paths between backticks.
pub(super) fn paths(papers: &[SourceFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in papers.iter().filter(|file| speaks_of_now(file)) {
        for (number, line) in file.text.lines().enumerate() {
            for path in line.split('`').skip(1).step_by(2).filter(|span| is_path(span)) {
                if !process::root().join(path).exists() {
                    problems.push(Problem::new(
                        format!("{}:{}", file.path, number + 1),
                        format!("no {path} here"),
                    ));
                }
            }
        }
    }
    problems
}

fn is_path(span: &str) -> bool {
    let plain = !span.contains(['*', ' ', '<', '{', '…']);
    let root_file = !span.contains('/') && [".md", ".toml"].iter().any(|ending| span.ends_with(ending));
    let known = matches!(
        span,
        "config.toml" | "pkcs11.toml" | "birthmark.toml" | "Cargo.toml"
    );
    plain && !known && (root_file || TOPS.iter().any(|top| span.starts_with(top)))
}

/// The page that the stories of callers wrote has a part for each of them.
pub(super) fn callers(rust: &[SourceFile], papers: &[SourceFile]) -> Vec<Problem> {
    let text = |files: &[SourceFile], path: &str| {
        let file = files.iter().find(|file| file.path == path);
        file.map(|file| file.text.clone()).unwrap_or_default()
    };
    let names = callers::names_in(&text(rust, callers::NAMES)).unwrap_or_default();
    let wrong = callers::wrong_with(&text(papers, callers::PAGE), &names);
    let problem = |text| Problem::new(callers::PAGE, text);
    wrong.into_iter().map(problem).collect()
}

/// Relative links, `[text](path)`.
pub(super) fn links(papers: &[SourceFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in papers {
        let folder = process::root().join(&file.path);
        for (number, line) in file.text.lines().enumerate() {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let path = target.split('#').next().unwrap_or_default();
                let foreign = target.contains("://") || path.is_empty() || target.starts_with("mailto:");
                if !foreign && !folder.parent().is_some_and(|dir| dir.join(path).exists()) {
                    let place = format!("{}:{}", file.path, number + 1);
                    problems.push(Problem::new(place, format!("the link to {path} leads nowhere")));
                }
            }
        }
    }
    problems
}

/// Each direct dependency has a row on the page of dependencies, and each row a dependency.
pub(super) fn dependencies(metadata: &Metadata, papers: &[SourceFile]) -> Vec<Problem> {
    let page = papers
        .iter()
        .find(|file| file.path == DEPENDENCIES)
        .map_or("", |file| &file.text);
    let rows: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name))
        .collect();
    let ours: BTreeSet<&str> = metadata.members().map(|package| package.name.as_str()).collect();
    let asked: BTreeSet<&str> = metadata
        .members()
        .flat_map(|package| &package.asks_for)
        .map(|(name, _)| name.as_str())
        .filter(|name| !ours.contains(name))
        .collect();
    let missing = asked
        .difference(&rows)
        .map(|name| Problem::new(DEPENDENCIES, format!("no line for {name}")));
    let of_other_workspaces = ["cortex-m-rt", "cortex-m-semihosting", "libfuzzer-sys", "p256"];
    let stale = rows
        .difference(&asked)
        .filter(|name| !of_other_workspaces.contains(name));
    let stale =
        stale.map(|name| Problem::new(DEPENDENCIES, format!("{name} is no longer used; remove its line")));
    missing.chain(stale).collect()
}

/// Paths that exist on one machine only. Written in halves, so that this file does not find itself.
const MACHINE: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
];

/// No path of a writer's machine.
pub(super) fn machine_paths(rust: &[SourceFile], papers: &[SourceFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in rust.iter().chain(papers) {
        for (number, line) in file.text.lines().enumerate() {
            if let Some(path) = MACHINE.iter().find(|path| line.contains(**path)) {
                problems.push(Problem::new(
                    format!("{}:{}", file.path, number + 1),
                    format!("names {path}"),
                ));
            }
        }
    }
    problems
}

/// Each threat of SECURITY.md names tests, and they are there.
pub(super) fn threats(rust: &[SourceFile], papers: &[SourceFile]) -> Vec<Problem> {
    const PAGE: &str = "SECURITY.md";
    let page = papers
        .iter()
        .find(|file| file.path == PAGE)
        .map_or("", |file| &file.text);
    let mut problems = Vec::new();
    for (number, row) in page
        .lines()
        .enumerate()
        .filter(|(_, line)| line.starts_with("| "))
    {
        let tests = row
            .trim_end_matches(" |")
            .rsplit(" | ")
            .next()
            .unwrap_or_default();
        if tests == "test" {
            continue;
        }
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        let there = |name: &str| rust.iter().any(|file| file.text.contains(&format!("fn {name}(")));
        let wrong = names.iter().find(|name| !there(name)).copied();
        if let Some(name) = wrong.or_else(|| names.is_empty().then_some("its test")) {
            problems.push(Problem::new(
                format!("{PAGE}:{}", number + 1),
                format!("the threat has no test: {name} is not there"),
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_from_other_code() {
        for path in ["crates/identity", "docs/story/", "README.md", "deny.toml"] {
            assert!(is_path(path), "{path}");
        }
        for other in [
            "cargo xtask test",
            "crates/*/src",
            "dt/<thing>/telemetry",
            "fleet::decide",
            "pkcs11.toml",
        ] {
            assert!(!is_path(other), "{other}");
        }
    }
}
