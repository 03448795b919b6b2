//! The table of levels: which crate may depend on which, and which alone may use something heavy.
//!
//! The same table stands in ARCHITECTURE.md for people.

use crate::metadata::{Metadata, Package, Use};

use super::Problem;

/// What a crate may depend on.
enum May {
    Only(&'static [&'static str]),
    /// Wiring: any crate of the product.
    Anything,
}

/// Every crate of the product with its level and what may lie beneath it.
const TABLE: &[(u8, &str, May)] = &[
    (0, "identity", May::Only(&[])),
    (0, "mqtt", May::Only(&[])),
    (0, "i2c-bus", May::Only(&[])),
    (0, "optiga", May::Only(&[])),
    (1, "optiga-sim", May::Only(&["identity", "i2c-bus"])),
    (1, "i2c-shim", May::Only(&["i2c-bus"])),
    (1, "policy", May::Only(&["identity"])),
    (2, "token", May::Only(&["identity", "optiga", "i2c-bus"])),
    (2, "factory", May::Only(&["identity", "optiga"])),
    (2, "fleet", May::Only(&["identity", "policy"])),
    (2, "broker", May::Only(&["identity", "policy", "mqtt"])),
    (3, "pkcs11", May::Only(&["token"])),
    (3, "store", May::Only(&["identity", "fleet", "broker"])),
    (3, "device", May::Only(&["identity", "token", "mqtt"])),
    (
        4,
        "cloud",
        May::Only(&["identity", "mqtt", "policy", "fleet", "broker", "store"]),
    ),
    (5, "birthmark", May::Anything),
];

/// Programs around the product; nothing may depend on them.
const OUTSIDE: &[&str] = &["xtask", "stories", "world", "bench"];

/// Pairs that must not meet even in tests: each would check itself against its own mistakes.
const NEVER: &[(&str, &str)] = &[
    ("optiga-sim", "optiga"),
    ("factory", "cloud"),
    ("cloud", "factory"),
    ("broker", "fleet"),
    ("fleet", "broker"),
];

/// A heavy dependency and the crates that may use it directly in what they ship.
const HEAVY: &[(&str, &[&str])] = &[
    ("rustls", &["cloud", "device", "birthmark", "bench"]),
    ("tokio-rustls", &["cloud", "birthmark", "bench"]),
    ("tokio", &["cloud", "birthmark", "bench"]),
    ("hyper", &["cloud", "birthmark", "bench"]),
    ("rusqlite", &["store", "factory"]),
    ("aws-sigv4", &["birthmark", "cloud"]),
    ("clap", &["birthmark"]),
    ("cryptoki", &["device", "stories"]),
];

/// The dependencies between our crates.
pub(super) fn table(metadata: &Metadata) -> Vec<Problem> {
    metadata
        .members()
        .flat_map(|package| one(metadata, package))
        .collect()
}

fn one(metadata: &Metadata, package: &Package) -> Vec<Problem> {
    let ours = |how| {
        metadata
            .direct(package, how)
            .filter(|below| below.member)
            .map(|below| below.name.as_str())
    };
    let mut problems: Vec<_> = ours(Use::Product)
        .chain(ours(Use::Tests))
        .filter(|below| OUTSIDE.contains(below) || NEVER.contains(&(package.name.as_str(), below)))
        .map(|below| {
            Problem::new(
                &package.name,
                format!("must not depend on {below}, not even in tests"),
            )
        })
        .collect();
    if OUTSIDE.contains(&package.name.as_str()) {
        return problems;
    }
    let Some((_, _, may)) = TABLE.iter().find(|(_, name, _)| *name == package.name) else {
        problems.push(Problem::new(
            &package.name,
            "is not in the table of levels (xtask/src/tidy/levels.rs)",
        ));
        return problems;
    };
    if let May::Only(allowed) = may {
        let beyond = ours(Use::Product).filter(|below| !allowed.contains(below));
        problems
            .extend(beyond.map(|below| Problem::new(&package.name, format!("must not depend on {below}"))));
    }
    problems
}

/// The dependencies on heavy crates from elsewhere.
pub(super) fn heavy(metadata: &Metadata) -> Vec<Problem> {
    let used = |package: &Package, name: &str| {
        metadata
            .direct(package, Use::Product)
            .any(|below| below.name == name)
    };
    HEAVY
        .iter()
        .flat_map(|(name, may)| {
            let others = metadata
                .members()
                .filter(move |package| !may.contains(&package.name.as_str()));
            others.filter(|package| used(package, name)).map(move |package| {
                Problem::new(
                    &package.name,
                    format!("must not use {name}; only {} may", may.join(", ")),
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_points_downwards_only() {
        let level = |wanted: &str| {
            TABLE
                .iter()
                .find(|(_, name, _)| *name == wanted)
                .map(|(level, ..)| *level)
        };
        for (own, name, may) in TABLE {
            let May::Only(allowed) = may else { continue };
            for below in *allowed {
                assert!(
                    level(below).is_some_and(|below| below < *own),
                    "{name} on {below}"
                );
            }
        }
    }

    #[test]
    fn what_may_never_meet_is_not_allowed_by_the_table() {
        for (above, below) in NEVER {
            for (_, name, may) in TABLE {
                if let (May::Only(allowed), true) = (may, name == above) {
                    assert!(!allowed.contains(below), "{above} on {below}");
                }
            }
        }
    }
}
