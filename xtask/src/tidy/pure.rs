//! The pure crates decide and never act: no clock, no randomness, no file, no network, no thread, no runtime.
//!
//! Clippy reads only the nearest `clippy.toml`, so each pure crate carries the root's list and the pure list together;
//! here the copies are compared, line by line.

use std::fs;

use crate::metadata::Metadata;
use crate::tree::SourceFile;

use super::Problem;

/// The crates that decide.
const PURE: &[&str] = &["identity", "mqtt", "optiga", "policy", "fleet", "broker"];

/// What must not lie beneath them in what is shipped.
const RUNTIMES: &[&str] = &[
    "tokio", "mio", "async-io", "smol", "rusqlite", "rustls", "socket2",
];

/// What each pure crate's file holds after the root's lines.
const LIST: &str = include_str!("pure.toml");

/// No runtime, socket or database beneath the pure crates.
pub(super) fn no_runtime(metadata: &Metadata) -> Vec<Problem> {
    let pure = metadata
        .members()
        .filter(|package| PURE.contains(&package.name.as_str()));
    pure.flat_map(|package| {
        RUNTIMES
            .iter()
            .filter_map(move |name| metadata.way_down(package, name))
    })
    .map(|way| {
        Problem::new(
            way.first().cloned().unwrap_or_default(),
            format!("reaches {}", way.join(" > ")),
        )
    })
    .collect()
}

/// Each pure crate's `clippy.toml` is the root's plus the pure list.
pub(super) fn lists(manifests: &[SourceFile]) -> Vec<Problem> {
    let text_of = |path: &str| {
        manifests
            .iter()
            .find(|file| file.path == path)
            .map(|file| file.text.as_str())
    };
    let Some(root) = text_of("clippy.toml") else {
        return vec![Problem::new("clippy.toml", "is missing")];
    };
    let expected = expected(root);
    let strays = manifests
        .iter()
        .filter(|file| file.path.ends_with("/clippy.toml"))
        .filter(|file| !file.crate_name().is_some_and(|name| PURE.contains(&name)));
    let strays =
        strays.map(|file| Problem::new(&file.path, "only the root and the pure crates have such a file"));
    PURE.iter()
        .map(|name| format!("crates/{name}/clippy.toml"))
        .filter(|path| text_of(path) != Some(expected.as_str()))
        .map(|path| {
            Problem::new(
                path,
                "is not the root's clippy.toml plus the pure list; run cargo xtask docs",
            )
        })
        .chain(strays)
        .collect()
}

/// What the file of a pure crate must say.
fn expected(root: &str) -> String {
    let shared = root
        .lines()
        .filter(|line| !line.starts_with('#') && !line.starts_with("disallowed-"));
    let shared: String = shared.map(|line| format!("{line}\n")).collect();
    format!("{HEAD}{shared}{LIST}")
}

const HEAD: &str =
    "# The root's clippy.toml plus what a pure crate must not touch; written by `cargo xtask docs`.\n";

/// Every file that this list makes, with its text.
pub(crate) fn generated() -> Vec<(String, String)> {
    let root = fs::read_to_string(crate::process::root().join("clippy.toml")).unwrap_or_default();
    PURE.iter()
        .map(|name| (format!("crates/{name}/clippy.toml"), expected(&root)))
        .collect()
}
