//! The promises about lists of records.

use fleet::batch::Record;
use fleet::record::PolicyTarget;
use fleet::thing::Filter;

use super::Place;
use super::made::{
    attachment, batch, ca, certificate, id, policy, policy_name, principal, thing, thing_name,
};
use super::steps::{keep, pages, tenant};
use crate::{Records, wait};

/// Lists come in the order of making, forwards and backwards, each item once, and the last page says so.
pub fn lists_are_paged_in_order_and_back(place: &impl Place) {
    let records = place.open();
    let tenant = tenant();
    for number in [5, 3, 9, 1, 7, 2] {
        let ca_of = if number % 2 == 1 { Some(500) } else { None };
        keep(
            &records,
            batch([
                Record::Ca(ca(100 + number, b"s")),
                Record::Certificate(certificate(number, ca_of)),
                Record::Thing(thing(number)),
                Record::Policy(policy(number)),
            ]),
        );
    }
    let order = [5, 3, 9, 1, 7, 2];
    let odd = [5, 3, 9, 1, 7];
    for size in [1, 2, 3, 5, 6, 7, 250] {
        for ascending in [true, false] {
            let expect = |numbers: &[u64]| -> Vec<u64> {
                if ascending {
                    numbers.to_vec()
                } else {
                    numbers.iter().rev().copied().collect()
                }
            };
            let ids = |numbers: Vec<u64>, add| numbers.into_iter().map(|n| id(n + add)).collect::<Vec<_>>();
            let cas = pages(size, ascending, |page| {
                wait(records.list_cas(&tenant, page)).unwrap()
            });
            assert_eq!(
                cas.iter().map(|ca| ca.id).collect::<Vec<_>>(),
                ids(expect(&order), 100)
            );
            let found = pages(size, ascending, |page| {
                wait(records.list_certificates(&tenant, page)).unwrap()
            });
            assert_eq!(
                found.iter().map(|c| c.id).collect::<Vec<_>>(),
                ids(expect(&order), 0)
            );
            let found = pages(size, ascending, |page| {
                wait(records.list_certificates_by_ca(&tenant, &id(500), page)).unwrap()
            });
            assert_eq!(
                found.iter().map(|c| c.id).collect::<Vec<_>>(),
                ids(expect(&odd), 0)
            );
            let all = Filter::default();
            let found = pages(size, ascending, |page| {
                wait(records.list_things(&tenant, &all, page)).unwrap()
            });
            let names: Vec<_> = expect(&order).into_iter().map(thing_name).collect();
            assert_eq!(
                found.into_iter().map(|thing| thing.name).collect::<Vec<_>>(),
                names
            );
            let found = pages(size, ascending, |page| {
                wait(records.list_policies(&tenant, page)).unwrap()
            });
            assert_eq!(
                found,
                expect(&order).into_iter().map(policy_name).collect::<Vec<_>>()
            );
        }
    }
}

/// A filter finds every match, however many pages that takes.
pub fn filtered_lists_find_every_match(place: &impl Place) {
    let records = place.open();
    for number in 0..40 {
        let mut made = thing(number);
        made.attributes
            .insert("kind".to_owned(), format!("k{}", number % 4));
        keep(&records, batch([Record::Thing(made)]));
    }
    let filter = |value: Option<&str>, prefix| Filter {
        attribute_name: Some("kind".to_owned()),
        attribute_value: value.map(str::to_owned),
        value_is_prefix: prefix,
        ..Filter::default()
    };
    for (filter, expected) in [
        (filter(Some("k1"), false), 10),
        (filter(Some("k"), true), 40),
        (filter(Some("k"), false), 0),
        (filter(None, false), 40),
        (
            Filter {
                attribute_name: Some("none".to_owned()),
                ..Filter::default()
            },
            0,
        ),
    ] {
        let found = pages(3, true, |page| {
            wait(records.list_things(&tenant(), &filter, page)).unwrap()
        });
        assert_eq!(found.len(), expected, "{filter:?}");
    }
}

/// Attachments are found from the certificate and from the policy or thing.
pub fn attachments_are_listed_from_both_sides(place: &impl Place) {
    let records = place.open();
    let tenant = tenant();
    keep(
        &records,
        batch([
            Record::Policy(policy(1)),
            Record::Policy(policy(2)),
            Record::Thing(thing(1)),
        ]),
    );
    for number in 10..15 {
        keep(
            &records,
            batch([
                Record::Certificate(certificate(number, None)),
                Record::Attachment(attachment(1, number)),
                Record::ThingPrincipal(principal(1, number)),
            ]),
        );
    }
    let mut more = batch([Record::Attachment(attachment(2, 10)), Record::Thing(thing(2))]);
    more.insert(Record::ThingPrincipal(principal(2, 10)));
    keep(&records, more);
    let targets = pages(2, true, |page| {
        wait(records.list_targets(&tenant, &policy_name(1), page)).unwrap()
    });
    assert_eq!(
        targets,
        (10..15)
            .map(|n| PolicyTarget::Certificate(id(n)))
            .collect::<Vec<_>>()
    );
    let target = PolicyTarget::Certificate(id(10));
    let names = pages(1, true, |page| {
        wait(records.list_attached_policies(&tenant, &target, page)).unwrap()
    });
    assert_eq!(names, [policy_name(1), policy_name(2)]);
    let holders = pages(2, true, |page| {
        wait(records.list_thing_principals(&tenant, &thing_name(1), page)).unwrap()
    });
    assert_eq!(holders, (10..15).map(|n| principal(1, n)).collect::<Vec<_>>());
    let things = pages(1, false, |page| {
        wait(records.list_principal_things(&tenant, &id(10), page)).unwrap()
    });
    assert_eq!(things, [principal(2, 10), principal(1, 10)]);
}
