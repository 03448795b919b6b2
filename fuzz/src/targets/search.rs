//! Queries over the things of a fleet.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use fleet::names::{BillingGroupName, GroupName, ThingTypeName};
use fleet::record::{Thing, Uuid};
use fleet::search::{Document, Plan, Query, ThingRef, index_rows};
use identity::UnixMillis;

/// Things that differ in what they have.
static THINGS: LazyLock<Vec<(Thing, Vec<GroupName>)>> = LazyLock::new(|| {
    let thing = |name: &str, attributes: &[(&str, &str)]| Thing {
        name: name.parse().expect("a name"),
        id: Uuid([7; 16]),
        type_name: ThingTypeName::parse(name).ok(),
        billing_group: BillingGroupName::parse("City").ok(),
        attributes: attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>(),
        version: 3,
        born_under: None,
        simulated: false,
        created: UnixMillis(0),
        modified: UnixMillis(0),
    };
    let hall = GroupName::parse("Hall").expect("a name");
    vec![
        (thing("Lamp-1", &[("temp", "75"), ("city", "Ulm")]), vec![hall]),
        (thing("door", &[("temp", "-5.5"), ("a.b", "x:y")]), Vec::new()),
    ]
});

/// Whether somebody who follows the plan comes by this thing.
fn looks_at(plan: &Plan, thing: &Thing, groups: &[GroupName]) -> bool {
    let id = thing.id.to_string();
    let billed = thing.billing_group.as_ref().map(|name| name.as_str());
    let rows = index_rows(ThingRef {
        name: thing.name.as_str(),
        id: &id,
        type_name: thing.type_name.as_ref().map(|name| name.as_str()),
        billing_group: billed,
        attributes: &thing.attributes,
    });
    match plan {
        Plan::Everything => true,
        Plan::Nowhere => false,
        Plan::Exact { field, value } => rows.iter().any(|(name, found)| name == field && found == value),
        Plan::Prefix { field, prefix } => rows
            .iter()
            .any(|(name, found)| name == field && found.starts_with(prefix.as_str())),
        Plan::Group(name) => groups
            .iter()
            .map(|name| name.as_str())
            .chain(billed)
            .any(|group| group.eq_ignore_ascii_case(name)),
        Plan::Either(plans) => plans.iter().any(|plan| looks_at(plan, thing, groups)),
    }
}

/// Text of a query: whatever it finds, its plan leads there.
pub(super) fn query(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(query) = Query::parse(text) else {
        return;
    };
    let plan = query.plan();
    for (thing, groups) in THINGS.iter() {
        let document = Document { thing, groups };
        assert!(!query.admits(&document) || looks_at(&plan, thing, groups));
    }
}
