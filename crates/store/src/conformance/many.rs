//! The promises about many batches and many look-ups at once.

use fleet::batch::{Batch, Key, Record};
use fleet::onboarding::Needs;
use fleet::record::CertificateStatus;
use identity::CertificateId;

use super::Place;
use super::made::{batch, certificate, entry, id, policy, policy_name, thing, thing_name};
use super::steps::{everything, keep, tenant};
use crate::{CommitError, Conflict, Records, wait};

/// More than an engine may care to keep in one go.
const MANY: u64 = 600;

/// Of batches that come together each is kept or not for itself, in their order, and each answer is its own.
pub fn batches_are_kept_each_for_itself_in_order(place: &impl Place) {
    let records = place.open();
    let version = keep(&records, batch([Record::Policy(policy(1))])).version;
    let mut batches: Vec<Batch> = (0..MANY)
        .map(|number| {
            let mut made = batch([Record::Thing(thing(number))]);
            made.check(Key::Policy(policy_name(1)), version);
            made.raises_epoch = true;
            made
        })
        .collect();
    batches.push(batch([Record::Thing(thing(7))]));
    batches.push(Batch::new(&tenant()));
    batches.push(batch([Record::Thing(thing(MANY)), Record::Thing(thing(MANY))]));
    batches.push(batch([Record::Thing(thing(MANY))]));
    let mut outcomes = wait(records.commit_each(batches)).into_iter();
    for number in 1..=MANY {
        let kept = outcomes.next().unwrap().unwrap();
        assert_eq!((kept.version, kept.epoch), (version + number, number));
    }
    let conflict = Conflict::Record(Key::Thing(thing_name(7)));
    assert!(matches!(outcomes.next(), Some(Err(CommitError::Conflict(found))) if found == conflict));
    assert_eq!(outcomes.next().unwrap().unwrap().epoch, MANY);
    assert!(matches!(outcomes.next(), Some(Err(CommitError::Fault(_)))));
    assert_eq!(outcomes.next().unwrap().unwrap().version, version + MANY + 1);
    assert!(outcomes.next().is_none());
    drop(records);
    let records = place.open();
    assert_eq!(wait(records.trust_epoch(&tenant())).unwrap(), MANY);
    for number in [0, MANY - 1, MANY] {
        assert!(
            wait(records.thing(&tenant(), &thing_name(number)))
                .unwrap()
                .is_some()
        );
    }
}

/// The facts of many devices are those of each of them.
pub fn facts_of_many_are_those_of_each(place: &impl Place) {
    let records = place.open();
    let tenant = tenant();
    let needs = |policies: &[u64]| Needs {
        thing: Some(thing_name(2)),
        policies: policies.iter().map(|number| policy_name(*number)).collect(),
        ..Needs::default()
    };
    let wanted: Vec<(Option<CertificateId>, Needs)> = vec![
        (Some(id(2)), needs(&[3])),
        (None, needs(&[3, 4])),
        (Some(id(50)), Needs::default()),
        (Some(id(2)), needs(&[])),
    ];
    let nothing = wait(records.onboarding_facts_of_each(&tenant, &wanted)).unwrap();
    assert_eq!(nothing.len(), wanted.len());
    assert!(nothing.iter().all(|facts| facts.thing.is_none()));
    keep(&records, everything());
    let found = wait(records.onboarding_facts_of_each(&tenant, &wanted)).unwrap();
    assert_eq!(found.len(), wanted.len());
    for ((id, needs), facts) in wanted.iter().zip(&found) {
        let id = id.unwrap_or(CertificateId([0; 32]));
        let alone = wait(records.onboarding_facts(&tenant, &id, needs)).unwrap();
        assert_eq!(format!("{facts:?}"), format!("{alone:?}"));
    }
    assert!(found.iter().any(|facts| facts.existing.is_some()));
    assert!(found.iter().any(|facts| !facts.policies.is_empty()));
}

/// What many batches rest on is looked at anew after it was written, however it was written.
pub fn a_fact_that_many_rest_on_may_still_change(place: &impl Place) {
    let records = place.open();
    let first = keep(&records, batch([Record::Policy(policy(1))])).version;
    let rests_on = |version| {
        let mut batch = batch([]);
        batch.check(Key::Policy(policy_name(1)), version);
        batch.audit.push(entry("look"));
        wait(records.commit(batch))
    };
    assert!(rests_on(first).is_ok() && rests_on(first).is_ok());
    let mut replace = Batch::new(&tenant());
    replace.replace(Record::Policy(policy(1)), first);
    let second = keep(&records, replace).version;
    assert!(rests_on(first).is_err() && rests_on(second).is_ok());
    let mut broken = batch([]);
    broken.delete(Key::Policy(policy_name(1)), second);
    broken.check(Key::Certificate(id(9)), 1);
    assert!(wait(records.commit(broken)).is_err() && rests_on(second).is_ok());
    let mut delete = batch([]);
    delete.delete(Key::Policy(policy_name(1)), second);
    keep(&records, delete);
    assert!(rests_on(second).is_err());
    let third = keep(&records, batch([Record::Policy(policy(1))])).version;
    assert!(rests_on(second).is_err() && rests_on(third).is_ok());
}

/// A certificate that changes while others come in is changed once, and they are kept.
pub fn one_conflict_among_many_stops_no_other(place: &impl Place) {
    let records = place.open();
    let version = keep(&records, batch([Record::Certificate(certificate(1, None))])).version;
    let change = |status| {
        let mut batch = Batch::new(&tenant());
        let mut record = certificate(1, None);
        record.status = status;
        batch.replace(Record::Certificate(record), version);
        batch
    };
    let outcomes = wait(records.commit_each(vec![
        change(CertificateStatus::Inactive),
        batch([Record::Thing(thing(1))]),
        change(CertificateStatus::Revoked),
        batch([Record::Thing(thing(2))]),
    ]));
    let kept: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(kept, [true, true, false, true]);
    let found = wait(records.certificate(&tenant(), &id(1))).unwrap().unwrap();
    assert_eq!(found.record.status, CertificateStatus::Inactive);
}
