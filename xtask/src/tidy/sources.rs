//! Rules about single source files and manifests.

use std::fs;
use std::path::Path;

use crate::metadata::{Metadata, Package};
use crate::process;
use crate::tree::SourceFile;

use super::Problem;

/// Above this a file is reported, not refused.
const LINES_NOTED: usize = 800;

/// Words that no commit should leave behind. Written in halves, so that this file does not find itself.
const LEFTOVERS: &[(&str, &str)] = &[
    (
        concat!("TO", "DO"),
        "finish it or say in the documents what is not there",
    ),
    (concat!("FIX", "ME"), "mend it"),
    (concat!("XX", "X:"), "mend it"),
    (concat!("todo", "!("), "finish it"),
    (
        concat!("unimpl", "emented!("),
        "finish it, or refuse with an error",
    ),
    (concat!("#[ig", "nore"), "a test runs or it is not there"),
    (concat!("should_", "panic"), "return the error and compare it"),
];

/// Endings of type names that say nothing.
const EMPTY_NAMES: &[&str] = &[
    "Manager", "Handler", "Helper", "Service", "Util", "Utils", "Data", "Info",
];

/// Words of others that stand in our sources at the wall where they are spoken: members of AWS's API.
const NAMES_OF_OTHERS: &[&str] = &["AuthInfo"];

/// Crates whose unsafe edge is another language; each names its own modules. `bench` loads modules of others.
const MAY_BE_UNSAFE: &[&str] = &["pkcs11", "i2c-shim", "bench"];

/// Crates that forbid it but in one file, which says so itself.
const MAY_BE_UNSAFE_IN: &[(&str, &str)] = &[("token", "src/raw_rsa.rs")];

/// `#![forbid(unsafe_code)]` in the root file of every library and binary.
pub(super) fn unsafe_forbidden(metadata: &Metadata) -> Vec<Problem> {
    let members = metadata
        .members()
        .filter(|package| !MAY_BE_UNSAFE.contains(&package.name.as_str()));
    members
        .flat_map(|package| package.roots.iter().map(move |path| (package, path)))
        .filter(|(package, path)| !forbids(package, Path::new(path.as_str())))
        .map(|(_, path)| Problem::new(from_root(path), "lacks #![forbid(unsafe_code)]"))
        .collect()
}

fn forbids(package: &Package, root: &Path) -> bool {
    let has = |path: &Path, line: &str| fs::read_to_string(path).is_ok_and(|text| text.contains(line));
    let exception = MAY_BE_UNSAFE_IN.iter().find(|(name, _)| *name == package.name);
    has(root, "\n#![forbid(unsafe_code)]")
        || exception.is_some_and(|(_, file)| {
            let crate_dir = Path::new(&package.manifest)
                .parent()
                .unwrap_or_else(|| Path::new(""));
            has(root, "\n#![deny(unsafe_code)]") && only_in(&crate_dir.join("src"), &crate_dir.join(file))
        })
}

/// Whether no other file takes the ban off for itself.
fn only_in(dir: &Path, file: &Path) -> bool {
    let Ok(entries) = fs::read_dir(dir) else {
        return true;
    };
    entries.flatten().map(|entry| entry.path()).all(|path| {
        if path.is_dir() {
            return only_in(&path, file);
        }
        let lifted = |text: String| text.contains("(unsafe_code") && !text.contains("deny(unsafe_code)");
        path == file || !fs::read_to_string(&path).is_ok_and(lifted)
    })
}

/// Each member has a description and takes the lints of the workspace.
pub(super) fn manifests(metadata: &Metadata) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in metadata.members() {
        let place = from_root(&package.manifest);
        if package.description.as_deref().unwrap_or_default().is_empty() {
            problems.push(Problem::new(&place, "has no description"));
        }
        let text = fs::read_to_string(&package.manifest).unwrap_or_default();
        if !text.contains("[lints]\nworkspace = true") {
            problems.push(Problem::new(place, "does not take the lints of the workspace"));
        }
    }
    problems
}

/// Each source file opens with `//!`.
pub(super) fn openings(files: &[SourceFile]) -> Vec<Problem> {
    let silent = files.iter().filter(|file| !file.text.starts_with("//!"));
    silent
        .map(|file| Problem::new(&file.path, "does not open with //! and what it is"))
        .collect()
}

/// Words that show that something was not finished.
pub(super) fn leftovers(files: &[SourceFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files {
        for (number, line) in file.text.lines().enumerate() {
            for (word, cure) in LEFTOVERS.iter().filter(|(word, _)| line.contains(word)) {
                problems.push(Problem::new(
                    format!("{}:{}", file.path, number + 1),
                    format!("`{word}`: {cure}"),
                ));
            }
        }
    }
    problems
}

/// Types named after what every type is.
pub(super) fn empty_names(files: &[SourceFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files {
        for (number, line) in file.text.lines().enumerate() {
            let Some(name) = declared_type(line) else { continue };
            if NAMES_OF_OTHERS.contains(&name) {
                continue;
            }
            if let Some(ending) = EMPTY_NAMES.iter().find(|ending| name.ends_with(*ending)) {
                let place = format!("{}:{}", file.path, number + 1);
                problems.push(Problem::new(
                    place,
                    format!("`{name}`: `{ending}` says nothing; name what it is"),
                ));
            }
        }
    }
    problems
}

/// The name that a line declares with `struct`, `enum` or `trait`.
fn declared_type(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let after_visibility = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.trim_start(),
        None => line,
    };
    let (keyword, rest) = after_visibility.split_once(' ')?;
    if !matches!(keyword, "struct" | "enum" | "trait") {
        return None;
    }
    rest.split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
        .filter(|name| !name.is_empty())
}

/// Files that have grown past what reads well.
pub(super) fn long_files(files: &[SourceFile]) -> Vec<Problem> {
    let lines = |file: &SourceFile| file.text.lines().count();
    let long = files.iter().filter(|file| lines(file) > LINES_NOTED);
    long.map(|file| Problem::new(&file.path, format!("{} lines", lines(file))))
        .collect()
}

fn from_root(path: &str) -> String {
    let root = process::root();
    path.strip_prefix(&*root.to_string_lossy())
        .unwrap_or(path)
        .trim_start_matches('/')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Vec<SourceFile> {
        vec![SourceFile {
            path: "a.rs".to_owned(),
            text: text.to_owned(),
        }]
    }

    #[test]
    fn declared_types_are_found() {
        assert_eq!(
            declared_type("pub(crate) struct LineManager<'a> {"),
            Some("LineManager")
        );
        assert_eq!(declared_type("pub enum Data {"), Some("Data"));
        assert_eq!(declared_type("    trait Signer: Send {"), Some("Signer"));
        assert_eq!(declared_type("// a struct of"), None);
        assert_eq!(declared_type("let x = 1;"), None);
    }

    #[test]
    fn leftovers_and_empty_names_are_found() {
        assert_eq!(leftovers(&file(concat!("// TO", "DO later"))).len(), 1);
        assert_eq!(leftovers(&file("// done")).len(), 0);
        assert_eq!(empty_names(&file("struct TokenManager;")).len(), 1);
        assert_eq!(empty_names(&file("struct Token;")).len(), 0);
    }

    #[test]
    fn a_file_must_say_what_it_is() {
        assert_eq!(openings(&file("use std::fs;")).len(), 1);
        assert_eq!(openings(&file("//! Reads files.")).len(), 0);
    }
}
