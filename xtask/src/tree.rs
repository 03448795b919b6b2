//! The files of the repository, without what is built or hidden.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Outcome, Trying};
use crate::process;

/// Folders that hold nothing written by hand.
const NOT_OURS: [&str; 4] = ["target", ".git", "corpus", "artifacts"];

/// One text file: its path from the root with `/`, and what it says.
pub(crate) struct SourceFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl SourceFile {
    /// The crate under `crates/` that the file belongs to.
    pub(crate) fn crate_name(&self) -> Option<&str> {
        self.path.strip_prefix("crates/")?.split('/').next()
    }

    /// Whether only tests use the file.
    pub(crate) fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    /// The lines before the first `#[cfg(test)]` that opens a module of tests.
    pub(crate) fn without_tests(&self) -> &str {
        let end = self.text.find("#[cfg(test)]\nmod ").unwrap_or(self.text.len());
        self.text.get(..end).unwrap_or(&self.text)
    }
}

/// Every file whose name ends with one of the endings, in the order of the paths.
pub(crate) fn files(endings: &[&str]) -> Outcome<Vec<SourceFile>> {
    let root = process::root();
    let mut paths = Vec::new();
    collect(&root, &mut paths)?;
    paths.sort();
    let wanted = paths
        .into_iter()
        .filter(|path| endings.iter().any(|e| path.to_string_lossy().ends_with(e)));
    wanted.map(|path| read(&root, &path)).collect()
}

fn read(root: &Path, path: &Path) -> Outcome<SourceFile> {
    let text = fs::read_to_string(path).trying(|| format!("read {}", path.display()))?;
    let from_root = path.strip_prefix(root).unwrap_or(path);
    Ok(SourceFile {
        path: from_root.to_string_lossy().replace('\\', "/"),
        text,
    })
}

fn collect(dir: &Path, into: &mut Vec<PathBuf>) -> Outcome<()> {
    for entry in fs::read_dir(dir).trying(|| format!("list {}", dir.display()))? {
        let entry = entry.trying(|| format!("list {}", dir.display()))?;
        let kind = entry
            .file_type()
            .trying(|| format!("look at {}", entry.path().display()))?;
        let name = entry.file_name();
        if kind.is_dir() {
            let ours = !NOT_OURS.iter().any(|other| *other == name);
            if ours {
                collect(&entry.path(), into)?;
            }
        } else if kind.is_file() {
            into.push(entry.path());
        }
    }
    Ok(())
}
