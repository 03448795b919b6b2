//! Licences of everything that is linked, and crates that are there in two versions.

use std::collections::{BTreeMap, BTreeSet};

use crate::metadata::Metadata;

use super::Problem;
use super::deny::Deny;

/// Each package's licence expression can be met from the allowed list.
pub(super) fn allowed(metadata: &Metadata, deny: &Deny) -> Vec<Problem> {
    let met = |expression: &str| met(expression, &deny.licences);
    metadata
        .packages()
        .filter(|package| !package.licence.as_deref().is_some_and(met))
        .map(|package| {
            let licence = package.licence.as_deref().unwrap_or("none stated");
            Problem::new(
                package.label(),
                format!("licence `{licence}` is not among those of deny.toml"),
            )
        })
        .collect()
}

/// Whether an SPDX expression (also the old form with `/`) can be met with these licences.
fn met(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader {
        words: &words,
        allowed,
    };
    reader.any().is_some_and(|met| met && reader.words.is_empty())
}

/// Reads an expression; `None` means that it is not one.
struct Reader<'a> {
    words: &'a [&'a str],
    allowed: &'a [String],
}

impl Reader<'_> {
    fn any(&mut self) -> Option<bool> {
        let mut met = self.all()?;
        while self.take("OR") {
            met |= self.all()?;
        }
        Some(met)
    }

    fn all(&mut self) -> Option<bool> {
        let mut met = self.one()?;
        while self.take("AND") {
            met &= self.one()?;
        }
        Some(met)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let met = self.any()?;
            return self.take(")").then_some(met);
        }
        let mut name = self.next()?.to_owned();
        if self.take("WITH") {
            name = format!("{name} WITH {}", self.next()?);
        }
        Some(self.allowed.contains(&name))
    }

    fn take(&mut self, word: &str) -> bool {
        let there = self.words.first() == Some(&word);
        if there {
            self.next();
        }
        there
    }

    fn next(&mut self) -> Option<&str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }
}

/// Each second version has a line with a reason, and no line outlives its cause.
pub(super) fn duplicates(metadata: &Metadata, deny: &Deny) -> Vec<Problem> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in metadata.packages() {
        versions
            .entry(&package.name)
            .or_default()
            .insert(&package.version);
    }
    let excused =
        |name: &str, version: &str| deny.skips.iter().any(|s| s.name == name && s.version == version);
    let mut problems = Vec::new();
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        let without: Vec<_> = versions
            .iter()
            .filter(|version| !excused(name, version))
            .copied()
            .collect();
        if without.len() > 1 {
            let text = format!(
                "{} are all here; all but one need a line with a reason in deny.toml",
                without.join(", ")
            );
            problems.push(Problem::new(*name, text));
        }
    }
    let twice = |name: &str, version: &str| {
        versions
            .get(name)
            .is_some_and(|v| v.len() > 1 && v.contains(version))
    };
    for skip in &deny.skips {
        if skip.reason.is_empty() {
            problems.push(Problem::new(
                "deny.toml",
                format!("{}@{} has no reason", skip.name, skip.version),
            ));
        }
        if !twice(&skip.name, &skip.version) {
            let text = format!(
                "{}@{} is no longer a second version; remove its line",
                skip.name, skip.version
            );
            problems.push(Problem::new("deny.toml", text));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, expected: bool) {
        let allowed: Vec<String> = ["MIT", "Apache-2.0", "ISC", "Apache-2.0 WITH LLVM-exception"]
            .map(str::to_owned)
            .into();
        assert_eq!(met(expression, &allowed), expected, "{expression}");
    }

    #[test]
    fn expressions_are_met_or_refused() {
        check("MIT", true);
        check("GPL-3.0", false);
        check("MIT OR GPL-3.0", true);
        check("MIT AND GPL-3.0", false);
        check("MIT/Apache-2.0", true);
        check("ISC AND (GPL-2.0 OR Apache-2.0)", true);
        check("ISC AND (GPL-2.0 OR LGPL-2.1)", false);
        check("Apache-2.0 WITH LLVM-exception", true);
        check("GPL-2.0 WITH Classpath-exception-2.0", false);
        check("", false);
        check("MIT OR", false);
        check("(MIT", false);
        check("MIT ISC", false);
    }
}
