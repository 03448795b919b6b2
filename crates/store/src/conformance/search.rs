//! The promises about searching things.

use std::collections::BTreeMap;

use fleet::batch::{Batch, Key, Record};
use fleet::names::GroupName;
use fleet::record::{GroupMember, Thing, ThingGroup, Uuid};
use fleet::search::Query;
use identity::Tenant;

use super::Place;
use super::made::{NOW, batch, other_tenant, thing};
use super::steps::{keep, pages};
use crate::{Records, wait};

fn numbered(number: u64) -> Thing {
    let kind = if number.is_multiple_of(2) { "even" } else { "Odd" };
    Thing {
        attributes: BTreeMap::from([
            ("kind".to_owned(), kind.to_owned()),
            ("number".to_owned(), number.to_string()),
        ]),
        ..thing(number)
    }
}

fn step(records: &impl Records, tenant: &Tenant, wanted: bool) -> Option<bool> {
    let mut step = Batch::new(tenant);
    step.index = Some(wanted);
    keep(records, step);
    wait(records.index_state(tenant)).unwrap()
}

fn found(records: &impl Records, text: &str) -> Vec<String> {
    let (tenant, query) = (Tenant::default(), Query::parse(text).unwrap());
    let found = pages(2, true, |page| {
        wait(records.search_things(&tenant, &query, page)).unwrap()
    });
    let number = |thing: &Thing| thing.attributes.get("number").cloned().unwrap_or_default();
    found.iter().map(|found| number(&found.thing)).collect()
}

fn replace(records: &impl Records, change: impl FnOnce(&mut Thing), number: u64) {
    let tenant = Tenant::default();
    let existing = wait(records.thing(&tenant, &thing(number).name))
        .unwrap()
        .unwrap();
    let mut changed = existing.record.clone();
    change(&mut changed);
    let mut batch = Batch::new(&tenant);
    batch.replace(Record::Thing(changed), existing.version);
    keep(records, batch);
}

/// Things are found by what they are now, those made before the index and those made after it, and only in their tenant.
pub fn things_are_found_by_queries(place: &impl Place) {
    let (records, tenant) = (place.open(), Tenant::default());
    for number in 0..6 {
        keep(&records, batch([Record::Thing(numbered(number))]));
    }
    assert_eq!(wait(records.index_state(&tenant)).unwrap(), None);
    let mut state = step(&records, &tenant, true);
    while state == Some(false) {
        state = step(&records, &tenant, true);
    }
    assert_eq!(state, Some(true));
    assert_eq!(wait(records.index_state(&other_tenant())).unwrap(), None);
    for number in 6..10 {
        keep(&records, batch([Record::Thing(numbered(number))]));
    }
    let hall = GroupName::parse("Hall").unwrap();
    let group = ThingGroup {
        name: hall.clone(),
        id: Uuid([9; 16]),
        parent: None,
        description: String::new(),
        attributes: BTreeMap::new(),
        version: 1,
        created: NOW,
        modified: NOW,
        tags: Vec::new(),
    };
    let member = GroupMember {
        group: hall,
        thing: thing(3).name,
    };
    keep(
        &records,
        batch([Record::Group(group), Record::GroupMember(member)]),
    );
    assert_eq!(found(&records, "attributes.kind:even"), ["0", "2", "4", "6", "8"]);
    assert_eq!(found(&records, "attributes.kind:od*"), ["1", "3", "5", "7", "9"]);
    assert_eq!(found(&records, "attributes.number>7"), ["8", "9"]);
    assert_eq!(
        found(&records, "attributes.number:(2 OR 5) AND attributes.kind:odd"),
        ["5"]
    );
    assert_eq!(
        found(&records, "NOT attributes.kind:odd"),
        ["0", "2", "4", "6", "8"]
    );
    assert_eq!(found(&records, "thingGroupNames:hall"), ["3"]);
    assert_eq!(found(&records, "*").len(), 10);
    assert!(found(&records, "nothing:at_all").is_empty());

    // A thing is found by what it is, and no longer by what it was.
    replace(
        &records,
        |thing| drop(thing.attributes.insert("kind".to_owned(), "prime".to_owned())),
        7,
    );
    assert_eq!(found(&records, "attributes.kind:prime"), ["7"]);
    assert_eq!(found(&records, "attributes.kind:odd"), ["1", "3", "5", "9"]);
    let gone = wait(records.thing(&tenant, &thing(5).name)).unwrap().unwrap();
    let mut deleting = Batch::new(&tenant);
    deleting.delete(Key::Thing(gone.record.name), gone.version);
    keep(&records, deleting);
    assert_eq!(found(&records, "attributes.number:5"), [""; 0]);
    assert_eq!(found(&records, "attributes.kind:odd"), ["1", "3", "9"]);

    // Without an index nothing is remembered, and a new one is of what is there then.
    assert_eq!(step(&records, &tenant, false), None);
    replace(
        &records,
        |thing| drop(thing.attributes.insert("kind".to_owned(), "late".to_owned())),
        1,
    );
    assert_eq!(step(&records, &tenant, true), Some(true));
    assert_eq!(found(&records, "attributes.kind:late"), ["1"]);
    assert_eq!(found(&records, "attributes.kind:odd"), ["3", "9"]);
}
