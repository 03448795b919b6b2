//! Reads `deny.toml`, the list that cargo-deny understands too: licences that may be linked, and crates that may
//! be there twice, each with its reason.
//!
//! It reads only the shapes that the file uses (tables, arrays of strings or of one-line tables), not all of TOML.

use std::fs;

use crate::failure::{Outcome, Trying};
use crate::process;

/// What the file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Deny {
    /// SPDX names.
    pub(super) licences: Vec<String>,
    /// Crate name, version, reason.
    pub(super) skips: Vec<Skip>,
}

/// A second version that is allowed, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Skip {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) reason: String,
}

impl Deny {
    pub(super) fn read() -> Outcome<Self> {
        let file = process::root().join("deny.toml");
        let text = fs::read_to_string(&file).trying(|| format!("read {}", file.display()))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let (mut table, mut array) = (String::new(), String::new());
        let mut deny = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                name.clone_into(&mut table);
            } else if let Some((key, _)) = line.split_once('=').filter(|(key, _)| !key.contains('{')) {
                key.trim().clone_into(&mut array);
            }
            match (table.as_str(), array.as_str()) {
                ("licenses", "allow") => deny.licences.extend(quoted(line)),
                ("bans", "skip") => deny.skips.extend(Skip::parse(line)),
                _ => {}
            }
        }
        deny
    }
}

impl Skip {
    /// `{ crate = "name@1.2.3", reason = "..." },`
    fn parse(line: &str) -> Option<Self> {
        let mut strings = quoted(line).into_iter();
        let (name, version) = strings
            .next()?
            .split_once('@')
            .map(|(n, v)| (n.to_owned(), v.to_owned()))?;
        Some(Self {
            name,
            version,
            reason: strings.next().unwrap_or_default(),
        })
    }
}

fn quoted(line: &str) -> Vec<String> {
    line.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_lists_are_read_and_nothing_else() {
        let deny = Deny::parse(
            "[graph]\ntargets = [\"x\"]\n[licenses]\nallow = [\n  \"MIT\", # short\n  \"ISC\",\n]\nother = [\"no\"]\n\
             [bans]\nmultiple-versions = \"deny\"\nskip = [\n  # why\n  { crate = \"syn@2.0.1\", reason = \"old derives\" },\n]\n",
        );
        assert_eq!(deny.licences, ["MIT", "ISC"]);
        let skip = Skip {
            name: "syn".into(),
            version: "2.0.1".into(),
            reason: "old derives".into(),
        };
        assert_eq!(deny.skips, [skip]);
    }
}
