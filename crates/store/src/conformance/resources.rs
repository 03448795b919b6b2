//! The promises about records that are kept whole.

use fleet::batch::{Batch, Key, Record, Relation};
use fleet::billing_group::BillingGroup;
use fleet::names::{BillingGroupName, ThingTypeName};
use fleet::record::{Tag, Uuid};
use fleet::resource::{self, Resource as _};
use fleet::thing::Filter;
use fleet::thing_type::{Propagating, ThingType};
use identity::Tenant;

use super::Place;
use super::made::{NOW, batch, entry, other_tenant, thing};
use super::steps::{conflict, keep, pages};
use crate::{Conflict, Records, wait};

fn thing_type(name: &str) -> ThingType {
    ThingType {
        name: name.to_owned(),
        id: Uuid([3; 16]),
        description: "ü".to_owned(),
        searchable: vec!["room".to_owned()],
        propagating: vec![Propagating {
            user_property: "p".to_owned(),
            thing_attribute: Some("room".to_owned()),
            connection_attribute: None,
        }],
        deprecated: Some(NOW),
        created: NOW,
        tags: vec![Tag {
            key: "k".to_owned(),
            value: "v".to_owned(),
        }],
    }
}

fn billing_group(name: &str) -> BillingGroup {
    BillingGroup {
        name: name.to_owned(),
        id: Uuid([4; 16]),
        description: String::new(),
        version: 1,
        created: NOW,
        tags: Vec::new(),
    }
}

/// A record that is kept whole is read back, replaced under its version, listed with others of its kind, and deleted.
pub fn whole_records_are_kept_by_kind_and_name(place: &impl Place) {
    let (records, tenant) = (place.open(), Tenant::default());
    let read = |name: &str| wait(records.resource::<ThingType>(&tenant, name)).unwrap();
    assert!(read("a").is_none());
    let made = ["a", "b", "ab"].map(|name| thing_type(name).kept());
    keep(&records, batch(made));
    keep(&records, batch([billing_group("a").kept()]));
    let found = read("a").unwrap();
    assert_eq!(found.record, thing_type("a"));
    assert_eq!(
        conflict(&records, batch([thing_type("a").kept()])),
        Conflict::Record(resource::key::<ThingType>("a"))
    );
    let listed = |prefix: &str| {
        let found = pages(1, true, |page| {
            wait(records.list_resources::<ThingType>(&tenant, prefix, page)).unwrap()
        });
        found.into_iter().map(|found| found.name).collect::<Vec<_>>()
    };
    assert_eq!(listed(""), ["a", "b", "ab"]);
    assert_eq!(listed("a"), ["a", "ab"]);
    let count = |tenant, most| wait(records.resource_count::<ThingType>(tenant, most)).unwrap();
    assert_eq!([2, 3, 4].map(|most| count(&tenant, most)), [2, 3, 3]);
    assert_eq!(count(&other_tenant(), 9), 0);
    let mut changed = thing_type("a");
    changed.deprecated = None;
    let mut replacing = Batch::new(&tenant);
    replacing.replace(changed.kept(), found.version);
    keep(&records, replacing.clone());
    assert_eq!(read("a").unwrap().record, changed);
    assert!(matches!(conflict(&records, replacing), Conflict::Record(_)));
    let mut deleting = Batch::new(&tenant);
    deleting.delete(resource::key::<ThingType>("a"), read("a").unwrap().version);
    keep(&records, deleting);
    assert!(read("a").is_none());
    assert!(
        wait(records.resource::<BillingGroup>(&tenant, "a"))
            .unwrap()
            .is_some()
    );
    assert!(
        wait(records.resource::<BillingGroup>(&other_tenant(), "a"))
            .unwrap()
            .is_none()
    );
}

/// Records of one kind are found in every tenant at once.
pub fn records_of_one_kind_are_found_in_every_tenant(place: &impl Place) {
    let (records, ours, theirs) = (place.open(), Tenant::default(), other_tenant());
    let found = || {
        let found = wait(records.every_resource::<BillingGroup>()).unwrap();
        found
            .into_iter()
            .map(|(tenant, found)| (tenant, found.record.name))
            .collect::<Vec<_>>()
    };
    assert!(found().is_empty());
    keep(
        &records,
        batch([billing_group("a").kept(), thing_type("a").kept()]),
    );
    let mut other = Batch::new(&theirs);
    other.insert(billing_group("b").kept());
    keep(&records, other);
    assert_eq!(found(), [(ours, "a".to_owned()), (theirs, "b".to_owned())]);
}

/// Things of a type and things in a billing group are listed and counted.
pub fn things_are_found_by_type_and_billing_group(place: &impl Place) {
    let (records, tenant) = (place.open(), Tenant::default());
    let (kind, payer) = (
        ThingTypeName::parse("lamp").unwrap(),
        BillingGroupName::parse("city").unwrap(),
    );
    for number in 0..12 {
        let mut made = thing(number);
        made.type_name = (number % 2 == 0).then(|| kind.clone());
        made.billing_group = (number % 3 == 0).then(|| payer.clone());
        keep(&records, batch([Record::Thing(made)]));
    }
    let count = |kind: Option<&ThingTypeName>, payer: Option<&BillingGroupName>| {
        let filter = Filter {
            type_name: kind.cloned(),
            billing_group: payer.cloned(),
            ..Filter::default()
        };
        let found = pages(2, true, |page| {
            wait(records.list_things(&tenant, &filter, page)).unwrap()
        });
        assert!(found.iter().all(|thing| filter.admits(thing)));
        found.len()
    };
    assert_eq!(
        [
            count(Some(&kind), None),
            count(None, Some(&payer)),
            count(Some(&kind), Some(&payer))
        ],
        [6, 4, 2]
    );
    for (relation, number) in [
        (Relation::ThingsOfType(kind.clone()), 6),
        (Relation::ThingsBilledTo(payer), 4),
    ] {
        let mut fits = batch([billing_group(&number.to_string()).kept()]);
        fits.at_most(relation.clone(), number);
        keep(&records, fits);
        let mut many = batch([billing_group("other").kept()]);
        many.at_most(relation.clone(), number - 1);
        assert_eq!(conflict(&records, many), Conflict::Relation(relation));
    }
    // A thing that leaves its type is no longer found by it.
    let existing = wait(records.thing(&tenant, &thing(0).name)).unwrap().unwrap();
    let mut leaving = Batch::new(&tenant);
    leaving.check(Key::Thing(existing.record.name.clone()), existing.version);
    leaving.replace(
        Record::Thing(fleet::record::Thing {
            type_name: None,
            ..existing.record
        }),
        existing.version,
    );
    keep(&records, leaving);
    assert_eq!(count(Some(&kind), None), 5);
}

/// What is kept in two tenants at once is kept in both or in none, and is in the audit log of each.
pub fn two_tenants_are_changed_together_or_not_at_all(place: &impl Place) {
    let (records, ours, theirs) = (place.open(), Tenant::default(), other_tenant());
    let moving = |name: &str| {
        let mut batch = batch([billing_group(name).kept()]);
        let mut beside = Batch::new(&theirs);
        beside.insert(thing_type(name).kept());
        beside.audit.push(entry("thing_type.create"));
        beside.raises_epoch = true;
        batch.beside = Some(Box::new(beside));
        batch
    };
    let is_there = |name: &str| {
        (
            wait(records.resource::<BillingGroup>(&ours, name))
                .unwrap()
                .is_some(),
            wait(records.resource::<ThingType>(&theirs, name))
                .unwrap()
                .is_some(),
        )
    };
    let kept = keep(&records, moving("a"));
    assert_eq!(is_there("a"), (true, true));
    assert_eq!(kept.epoch, 0, "the epoch of the first tenant");
    assert_eq!(wait(records.trust_epoch(&theirs)).unwrap(), 1);
    let log = wait(records.list_audit(&theirs, fleet::page::PageRequest::first())).unwrap();
    assert_eq!(log.items.len(), 1);
    // Something is in the way in one of the two.
    let mut there = Batch::new(&theirs);
    there.insert(thing_type("b").kept());
    keep(&records, there);
    assert!(matches!(conflict(&records, moving("b")), Conflict::Record(_)));
    assert_eq!(is_there("b"), (false, true));
    keep(&records, batch([billing_group("c").kept()]));
    assert!(matches!(conflict(&records, moving("c")), Conflict::Record(_)));
    assert_eq!(is_there("c"), (true, false));
    // Neither twice the same tenant nor a third.
    let mut same = moving("d");
    if let Some(beside) = &mut same.beside {
        beside.tenant = ours;
    }
    assert!(wait(records.commit(same)).is_err());
    assert_eq!(is_there("d"), (false, false));
}
