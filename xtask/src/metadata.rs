//! What `cargo metadata` tells about the workspace and everything beneath it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::failure::{Outcome, Trying};
use crate::process::Run;

/// The platform that is looked at: what only other platforms need never reaches a first-class one.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// How a package is used by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Use {
    /// In what is shipped (or built to build it).
    Product,
    /// In tests alone.
    Tests,
}

/// One package of the dependency graph.
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) licence: Option<String>,
    pub(crate) description: Option<String>,
    /// Path of its manifest.
    pub(crate) manifest: String,
    /// Source files of its libraries and binaries.
    pub(crate) roots: Vec<String>,
    pub(crate) member: bool,
    /// Ids of what it uses on this platform with the features in force.
    pub(crate) uses: BTreeSet<(String, Use)>,
    /// Names of what its manifest asks for, features or not.
    pub(crate) asks_for: BTreeSet<(String, Use)>,
}

/// The whole graph.
pub(crate) struct Metadata {
    packages: BTreeMap<String, Package>,
}

impl Metadata {
    /// Asks cargo.
    pub(crate) fn load() -> Outcome<Self> {
        let args = ["metadata", "--format-version", "1", "--filter-platform", PLATFORM];
        let graph = Run::cargo().args(args).caught_well()?;
        // The graph also names optional packages that no feature turns on; the tree does not.
        let args = [
            "tree",
            "--workspace",
            "--edges",
            "all",
            "--target",
            PLATFORM,
            "--prefix",
            "none",
            "--format",
            "{p}",
        ];
        Self::parse(&graph, &Run::cargo().args(args).caught_well()?)
    }

    fn parse(text: &str, tree: &str) -> Outcome<Self> {
        let in_use: BTreeSet<(&str, &str)> = tree.lines().filter_map(name_and_version).collect();
        let json: Value =
            serde_json::from_str(text).trying(|| "read the answer of cargo metadata".to_owned())?;
        let members: BTreeSet<String> = texts(&json["workspace_members"]).collect();
        let graph: BTreeMap<String, BTreeSet<(String, Use)>> = items(&json["resolve"]["nodes"])
            .map(|node| {
                (
                    text_of(&node["id"]),
                    items(&node["deps"]).filter_map(resolved).collect(),
                )
            })
            .collect();
        let known = items(&json["packages"]).filter_map(|package| {
            let id = text_of(&package["id"]);
            let uses = graph.get(&id)?.clone();
            let member = members.contains(&id);
            let parsed = Package::parse(id.clone(), package, uses, member);
            in_use
                .contains(&(parsed.name.as_str(), parsed.version.as_str()))
                .then_some((id, parsed))
        });
        Ok(Self {
            packages: known.collect(),
        })
    }

    /// Everything that takes part in a build.
    pub(crate) fn packages(&self) -> impl Iterator<Item = &Package> {
        self.packages.values()
    }

    /// The packages of this workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages().filter(|package| package.member)
    }

    /// The packages that one package uses directly in this way.
    pub(crate) fn direct<'a>(&'a self, package: &'a Package, how: Use) -> impl Iterator<Item = &'a Package> {
        let ids = package.uses.iter().filter(move |(_, used)| *used == how);
        ids.filter_map(|(id, _)| self.packages.get(id))
    }

    /// A way from a package down to one with this name through what is shipped, if there is one.
    pub(crate) fn way_down(&self, from: &Package, name: &str) -> Option<Vec<String>> {
        let mut ways = vec![vec![from]];
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop() {
            let last = way.last()?;
            for next in self
                .direct(last, Use::Product)
                .filter(|next| seen.insert(next.id.clone()))
            {
                let mut longer = way.clone();
                longer.push(next);
                if next.name == name {
                    return Some(longer.iter().map(|package| package.name.clone()).collect());
                }
                ways.push(longer);
            }
        }
        None
    }
}

impl Package {
    fn parse(id: String, json: &Value, uses: BTreeSet<(String, Use)>, member: bool) -> Self {
        let built = items(&json["targets"]).filter(|target| {
            texts(&target["kind"])
                .any(|kind| matches!(kind.as_str(), "lib" | "bin" | "cdylib" | "proc-macro"))
        });
        let asked = items(&json["dependencies"]).map(|dependency| {
            let used = if dependency["kind"] == "dev" {
                Use::Tests
            } else {
                Use::Product
            };
            (text_of(&dependency["name"]), used)
        });
        Self {
            id,
            name: text_of(&json["name"]),
            version: text_of(&json["version"]),
            licence: json["license"].as_str().map(str::to_owned),
            description: json["description"].as_str().map(str::to_owned),
            manifest: text_of(&json["manifest_path"]),
            roots: built.map(|target| text_of(&target["src_path"])).collect(),
            member,
            uses,
            asks_for: asked.collect(),
        }
    }

    /// Name and version, as a person would write them.
    pub(crate) fn label(&self) -> String {
        format!("{} {}", self.name, self.version)
    }
}

/// One edge of the resolved graph; an edge that is both for the product and for tests counts for the product.
fn resolved(dependency: &Value) -> Option<(String, Use)> {
    let id = dependency["pkg"].as_str()?.to_owned();
    let tests_only = items(&dependency["dep_kinds"]).all(|kind| kind["kind"] == "dev");
    Some((id, if tests_only { Use::Tests } else { Use::Product }))
}

/// `name v1.2.3 (...)`
fn name_and_version(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.split_once(" v")?;
    Some((name, rest.split(' ').next()?))
}

fn items(json: &Value) -> impl Iterator<Item = &Value> {
    json.as_array().into_iter().flatten()
}

fn texts(json: &Value) -> impl Iterator<Item = String> {
    items(json).map(text_of)
}

fn text_of(json: &Value) -> String {
    json.as_str().unwrap_or_default().to_owned()
}
