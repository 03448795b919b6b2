//! The promises about single records, batches and what survives.

use std::sync::Arc;

use fleet::batch::{Batch, Check, Expect, Key, Record, Relation, Write};
use fleet::names::PolicyVersionId;
use fleet::onboarding::Needs;
use fleet::page::PageRequest;
use fleet::record::{CaStatus, CertificateStatus, PolicyTarget, PolicyVersion};
use fleet::thing::Filter;
use identity::{Explained as _, Tenant};

use super::Place;
use super::made::{
    NOW, attachment, batch, ca, certificate, claim, code, entry, first_connection, id, other_tenant, policy,
    policy_name, principal, thing, thing_name,
};
use super::steps::{conflict, everything, keep, pages, tenant};
use crate::{CommitError, Conflict, Records, wait};

/// Nothing is there at first, and looking for it is no error.
pub fn nothing_is_there_at_first(place: &impl Place) {
    let records = place.open();
    let tenant = tenant();
    assert_eq!(wait(records.trust_epoch(&tenant)).unwrap(), 0);
    assert!(wait(records.registration_code(&tenant)).unwrap().is_none());
    assert!(wait(records.ca(&tenant, &id(1))).unwrap().is_none());
    assert!(
        wait(records.cas_by_subject(&tenant, b"subject"))
            .unwrap()
            .is_empty()
    );
    assert!(
        wait(records.region_claim(&tenant.region, &id(1)))
            .unwrap()
            .is_none()
    );
    assert!(wait(records.certificate(&tenant, &id(1))).unwrap().is_none());
    assert!(wait(records.trust(&tenant, &id(1))).unwrap().is_none());
    assert!(wait(records.thing(&tenant, &thing_name(1))).unwrap().is_none());
    assert!(wait(records.policy(&tenant, &policy_name(1))).unwrap().is_none());
    assert!(
        wait(records.list_things(&tenant, &Filter::default(), PageRequest::first()))
            .unwrap()
            .items
            .is_empty()
    );
    assert_eq!(keep(&records, Batch::new(&tenant)).epoch, 0);
}

/// Every kind of record comes back exactly as it was kept, with the version of its commit.
pub fn every_kind_of_record_is_read_back(place: &impl Place) {
    let records = place.open();
    let tenant = tenant();
    let version = keep(&records, everything()).version;
    let found = wait(records.registration_code(&tenant)).unwrap().unwrap();
    assert_eq!((found.version, found.record), (version, code()));
    let found = wait(records.ca(&tenant, &id(1))).unwrap().unwrap();
    assert_eq!((found.version, &found.record), (version, &ca(1, b"subject")));
    assert_eq!(
        wait(records.cas_by_subject(&tenant, b"subject")).unwrap(),
        [found]
    );
    let found = wait(records.region_claim(&tenant.region, &id(1)))
        .unwrap()
        .unwrap();
    assert_eq!((found.version, found.record), (version, claim(1, &tenant)));
    let found = wait(records.certificate(&tenant, &id(2))).unwrap().unwrap();
    assert_eq!((found.version, found.record), (version, certificate(2, Some(1))));
    let found = wait(records.thing(&tenant, &thing_name(2))).unwrap().unwrap();
    assert_eq!((found.version, found.record), (version, thing(2)));
    let found = wait(records.policy(&tenant, &policy_name(3))).unwrap().unwrap();
    assert_eq!((found.version, found.record), (version, policy(3)));
    let found = wait(records.policies_of(&tenant, &PolicyTarget::Certificate(id(2)))).unwrap();
    assert_eq!(
        found
            .iter()
            .map(|found| (found.version, &found.record))
            .collect::<Vec<_>>(),
        [(version, &attachment(3, 2))]
    );
    let found = wait(records.things_of(&tenant, &id(2))).unwrap();
    assert_eq!(
        found.iter().map(|found| &found.record).collect::<Vec<_>>(),
        [&principal(2, 2)]
    );
    let found = wait(records.principals_of(&tenant, &thing_name(2))).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].principal.record, principal(2, 2));
    assert_eq!(found[0].status, CertificateStatus::Active);
}

/// A record under its version is replaced or deleted, and what hung on it is gone with it.
pub fn records_are_replaced_and_deleted(place: &impl Place) {
    let records = place.open();
    let tenant = tenant();
    let first = keep(&records, everything()).version;

    let mut batch = Batch::new(&tenant);
    let mut changed_ca = ca(1, b"subject");
    (changed_ca.status, changed_ca.registration) = (CaStatus::Inactive, None);
    let mut changed_certificate = certificate(2, Some(1));
    changed_certificate.status = CertificateStatus::Revoked;
    let mut changed_thing = thing(2);
    changed_thing.attributes.clear();
    changed_thing.version = 2;
    let mut changed_policy = policy(3);
    let second = PolicyVersion {
        id: PolicyVersionId(2),
        document: Arc::from("{\"a\":1}"),
        created: NOW,
    };
    changed_policy.versions.push(second);
    changed_policy.default_version = PolicyVersionId(2);
    for record in [
        Record::Ca(changed_ca.clone()),
        Record::Certificate(changed_certificate.clone()),
        Record::Thing(changed_thing.clone()),
        Record::Policy(changed_policy.clone()),
    ] {
        batch.replace(record, first);
    }
    let second = keep(&records, batch).version;
    assert!(second > first);
    assert_eq!(
        wait(records.ca(&tenant, &id(1))).unwrap().unwrap().record,
        changed_ca
    );
    assert_eq!(
        wait(records.certificate(&tenant, &id(2)))
            .unwrap()
            .unwrap()
            .record,
        changed_certificate
    );
    assert_eq!(
        wait(records.thing(&tenant, &thing_name(2)))
            .unwrap()
            .unwrap()
            .record,
        changed_thing
    );
    assert_eq!(
        wait(records.policy(&tenant, &policy_name(3)))
            .unwrap()
            .unwrap()
            .record,
        changed_policy
    );
    let trust = wait(records.trust(&tenant, &id(2))).unwrap().unwrap();
    assert_eq!(
        trust.policies[0].document.as_ref(),
        "{\"a\":1}",
        "the default version counts"
    );

    let mut batch = Batch::new(&tenant);
    batch.delete(Key::Certificate(id(2)), second);
    batch.delete(Key::Thing(thing_name(2)), second);
    batch.delete(Key::Policy(policy_name(3)), second);
    batch.delete(Key::Ca(id(1)), second);
    batch.delete(Key::RegistrationCode, first);
    batch.delete(Key::RegionClaim(id(1)), first);
    batch.delete(
        Key::Attachment {
            policy: policy_name(3),
            target: PolicyTarget::Certificate(id(2)),
        },
        first,
    );
    batch.delete(
        Key::ThingPrincipal {
            thing: thing_name(2),
            certificate: id(2),
        },
        first,
    );
    keep(&records, batch);
    assert!(wait(records.certificate(&tenant, &id(2))).unwrap().is_none());
    assert!(wait(records.policy(&tenant, &policy_name(3))).unwrap().is_none());
    assert!(
        wait(records.policies_of(&tenant, &PolicyTarget::Certificate(id(2))))
            .unwrap()
            .is_empty()
    );
    keep(&records, everything());
    assert_eq!(
        wait(records.policy(&tenant, &policy_name(3)))
            .unwrap()
            .unwrap()
            .record,
        policy(3)
    );
}

/// If one fact does not hold, nothing of the batch is kept, and the answer names the fact.
pub fn a_conflict_keeps_nothing_and_names_what(place: &impl Place) {
    let records = place.open();
    let tenant = tenant();
    let version = keep(&records, everything()).version;
    let keys = [
        Key::RegistrationCode,
        Key::Ca(id(1)),
        Key::RegionClaim(id(1)),
        Key::Certificate(id(2)),
        Key::Thing(thing_name(2)),
        Key::Policy(policy_name(3)),
        Key::Attachment {
            policy: policy_name(3),
            target: PolicyTarget::Certificate(id(2)),
        },
        Key::ThingPrincipal {
            thing: thing_name(2),
            certificate: id(2),
        },
    ];
    for key in keys {
        for expect in [Expect::Absent, Expect::Version(version + 1)] {
            let mut changing = batch([Record::Thing(thing(77))]);
            changing.audit.push(entry("never"));
            changing.raises_epoch = true;
            changing.checks.push(Check::Is {
                key: key.clone(),
                expect,
            });
            assert_eq!(
                conflict(&records, changing),
                Conflict::Record(key.clone()),
                "{expect:?}"
            );
        }
        let mut deleting = batch([Record::Thing(thing(77))]);
        deleting.delete(key.clone(), version + 1);
        assert_eq!(conflict(&records, deleting), Conflict::Record(key.clone()));
        let mut fine = Batch::new(&tenant);
        fine.check(key, version);
        fine.audit.push(entry("checked"));
        keep(&records, fine);
    }
    for record in everything().writes {
        let Write::Put { record, .. } = record else {
            continue;
        };
        let key = record.key();
        assert_eq!(
            conflict(&records, batch([Record::Thing(thing(77)), record])),
            Conflict::Record(key)
        );
    }
    let missing = Key::Thing(thing_name(99));
    let mut replacing = batch([Record::Thing(thing(77))]);
    replacing.replace(Record::Thing(thing(99)), version);
    assert_eq!(conflict(&records, replacing), Conflict::Record(missing));
    assert!(wait(records.thing(&tenant, &thing_name(77))).unwrap().is_none());
    assert_eq!(wait(records.trust_epoch(&tenant)).unwrap(), 0);
    let audit = wait(records.list_audit(&tenant, PageRequest::first())).unwrap();
    assert!(
        audit.items.iter().all(|line| line.action == "checked"),
        "{audit:?}"
    );
}

/// A record that was deleted and made again is not the one that was read before.
pub fn a_version_never_comes_back(place: &impl Place) {
    let records = place.open();
    let tenant = tenant();
    let first = keep(&records, batch([Record::Thing(thing(1))])).version;
    let mut deleting = Batch::new(&tenant);
    deleting.delete(Key::Thing(thing_name(1)), first);
    keep(&records, deleting);
    let second = keep(&records, batch([Record::Thing(thing(1))])).version;
    assert!(second > first);
    let mut stale = Batch::new(&tenant);
    stale.delete(Key::Thing(thing_name(1)), first);
    conflict(&records, stale);
}

/// Limits on how many hang on something hold against whoever writes at the same time.
pub fn relations_are_counted_inside_the_write(place: &impl Place) {
    let records = place.open();
    keep(&records, everything());
    let relations = [
        Relation::TargetsOf(policy_name(3)),
        Relation::PoliciesOf(PolicyTarget::Certificate(id(2))),
        Relation::ThingsOf(id(2)),
        Relation::PrincipalsOf(thing_name(2)),
        Relation::CasWithSubject(Arc::from(b"subject".as_slice())),
    ];
    for (number, relation) in relations.into_iter().enumerate() {
        let mut none = batch([Record::Thing(thing(100))]);
        none.at_most(relation.clone(), 0);
        assert_eq!(conflict(&records, none), Conflict::Relation(relation.clone()));
        let mut one = batch([Record::Thing(thing(200 + number as u64))]);
        one.at_most(relation, 1);
        keep(&records, one);
    }
    let nothing = [
        Relation::TargetsOf(policy_name(9)),
        Relation::ThingsOf(id(9)),
        Relation::PrincipalsOf(thing_name(9)),
    ];
    for relation in nothing {
        let mut none = Batch::new(&tenant());
        none.audit.push(entry("checked"));
        none.at_most(relation, 0);
        keep(&records, none);
    }
}

/// Two tenants may keep the same keys, and neither sees the other's.
pub fn tenants_do_not_see_each_other(place: &impl Place) {
    let records = place.open();
    let (ours, theirs) = (tenant(), other_tenant());
    keep(&records, everything());
    assert!(wait(records.certificate(&theirs, &id(2))).unwrap().is_none());
    let mut same = everything();
    same.tenant = theirs;
    same.writes.retain(|write| {
        !matches!(
            write,
            Write::Put {
                record: Record::RegionClaim(_),
                ..
            }
        )
    });
    same.raises_epoch = true;
    keep(&records, same);
    assert!(wait(records.certificate(&theirs, &id(2))).unwrap().is_some());
    assert_eq!(wait(records.trust_epoch(&ours)).unwrap(), 0);
    assert_eq!(wait(records.trust_epoch(&theirs)).unwrap(), 1);
    for tenant in [ours, theirs] {
        let page = wait(records.list_certificates(&tenant, PageRequest::first())).unwrap();
        assert_eq!(page.items.len(), 1);
        assert_eq!(
            wait(records.cas_by_subject(&tenant, b"subject")).unwrap().len(),
            1
        );
    }
    let mut only_theirs = first_connection(40, 40);
    only_theirs.tenant = theirs;
    only_theirs.insert(Record::Policy(policy(40)));
    only_theirs.insert(Record::Ca(ca(41, b"theirs")));
    keep(&records, only_theirs);
    assert!(wait(records.certificate(&ours, &id(40))).unwrap().is_none());
    assert!(wait(records.trust(&ours, &id(40))).unwrap().is_none());
    assert!(wait(records.thing(&ours, &thing_name(40))).unwrap().is_none());
    assert!(wait(records.policy(&ours, &policy_name(40))).unwrap().is_none());
    assert!(wait(records.ca(&ours, &id(41))).unwrap().is_none());
    assert!(wait(records.cas_by_subject(&ours, b"theirs")).unwrap().is_empty());
    assert!(
        wait(records.policies_of(&ours, &PolicyTarget::Certificate(id(40))))
            .unwrap()
            .is_empty()
    );
    assert!(wait(records.things_of(&ours, &id(40))).unwrap().is_empty());
    assert!(
        wait(records.principals_of(&ours, &thing_name(40)))
            .unwrap()
            .is_empty()
    );
    assert!(
        wait(records.list_targets(&ours, &policy_name(40), PageRequest::first()))
            .unwrap()
            .items
            .is_empty()
    );
    let needs = Needs {
        thing: Some(thing_name(40)),
        policies: vec![policy_name(40)],
        ..Needs::default()
    };
    let facts = wait(records.onboarding_facts(&ours, &id(40), &needs)).unwrap();
    assert!(facts.existing.is_none() && facts.thing.is_none() && facts.policies.is_empty());
    let mut foreign = Batch::new(&ours);
    foreign.check(Key::Certificate(id(40)), 1);
    foreign.audit.push(entry("never"));
    assert_eq!(
        conflict(&records, foreign),
        Conflict::Record(Key::Certificate(id(40)))
    );
}

/// A CA is claimed once per region, whatever the account.
pub fn a_region_has_one_claim_on_a_ca(place: &impl Place) {
    let records = place.open();
    let neighbour = Tenant {
        account: other_tenant().account,
        ..tenant()
    };
    keep(&records, batch([Record::RegionClaim(claim(1, &tenant()))]));
    let mut second = Batch::new(&neighbour);
    second.insert(Record::RegionClaim(claim(1, &neighbour)));
    assert_eq!(
        conflict(&records, second),
        Conflict::Record(Key::RegionClaim(id(1)))
    );
    let mut elsewhere = Batch::new(&other_tenant());
    elsewhere.insert(Record::RegionClaim(claim(1, &other_tenant())));
    keep(&records, elsewhere);
    let found = wait(records.region_claim(&tenant().region, &id(1)))
        .unwrap()
        .unwrap();
    assert_eq!(found.record.owner, tenant().account);
}

/// Only batches that change trust raise the epoch, each by one, and the answer tells it.
pub fn the_epoch_rises_with_trust(place: &impl Place) {
    let records = place.open();
    let mut first = batch([Record::Thing(thing(1))]);
    first.raises_epoch = true;
    assert_eq!(keep(&records, first).epoch, 1);
    assert_eq!(keep(&records, batch([Record::Thing(thing(2))])).epoch, 1);
    let mut third = batch([Record::Thing(thing(3))]);
    third.raises_epoch = true;
    assert_eq!(keep(&records, third).epoch, 2);
    assert_eq!(wait(records.trust_epoch(&tenant())).unwrap(), 2);
}

/// What a grant rests on is read together.
pub fn a_grant_rests_on_one_moment(place: &impl Place) {
    let records = place.open();
    let mut all = everything();
    all.raises_epoch = true;
    let version = keep(&records, all).version;
    let trust = wait(records.trust(&tenant(), &id(2))).unwrap().unwrap();
    assert_eq!(trust.certificate.record, certificate(2, Some(1)));
    assert_eq!(trust.things, [thing(2)]);
    assert_eq!(trust.epoch, 1);
    let policies: Vec<_> = trust
        .policies
        .iter()
        .map(|p| (&p.name, p.version, p.record_version, p.document.as_ref()))
        .collect();
    assert_eq!(policies, [(&policy_name(3), PolicyVersionId(1), version, "{}")]);
}

/// What was looked up before does not count when it has changed, and policies come in the order of their records.
pub fn a_changed_policy_counts_at_the_next_look(place: &impl Place) {
    let records = place.open();
    let version = keep(&records, everything()).version;
    let looked_up = || -> Vec<(String, u64, String)> {
        let trust = wait(records.trust(&tenant(), &id(2))).unwrap().unwrap();
        let told = trust.policies.iter();
        told.map(|p| (p.name.to_string(), p.record_version, p.document.to_string()))
            .collect()
    };
    let third = |version, document: &str| ("p-000003".to_owned(), version, document.to_owned());
    assert_eq!(looked_up(), [third(version, "{}")]);
    assert_eq!(looked_up(), [third(version, "{}")]);
    let mut changed = policy(3);
    changed.versions[0].document = "{\"b\":2}".into();
    let mut change = batch([
        Record::Policy(policy(4)),
        Record::Policy(policy(1)),
        Record::Attachment(attachment(1, 2)),
        Record::Attachment(attachment(4, 2)),
    ]);
    change.replace(Record::Policy(changed), version);
    let later = keep(&records, change).version;
    let expected = [
        third(later, "{\"b\":2}"),
        ("p-000004".to_owned(), later, "{}".to_owned()),
        ("p-000001".to_owned(), later, "{}".to_owned()),
    ];
    assert_eq!(looked_up(), expected);
    let mut detached = Batch::new(&tenant());
    let key = Key::Attachment {
        policy: policy_name(3),
        target: PolicyTarget::Certificate(id(2)),
    };
    detached.delete(key, version);
    keep(&records, detached);
    assert_eq!(looked_up(), expected[1..]);
}

/// The facts of a first connection: of a new certificate, and of one that comes again.
pub fn a_first_connection_finds_its_facts(place: &impl Place) {
    let records = place.open();
    let tenant = tenant();
    let version = keep(&records, everything()).version;
    let needs = Needs {
        thing: Some(thing_name(2)),
        policies: vec![policy_name(3), policy_name(4)],
        ..Needs::default()
    };
    let fresh = wait(records.onboarding_facts(&tenant, &id(50), &needs)).unwrap();
    assert!(
        fresh.existing.is_none() && fresh.attached_policies.is_empty() && fresh.attached_things.is_empty()
    );
    assert_eq!(fresh.thing.unwrap().record, thing(2));
    assert_eq!(
        fresh
            .holders
            .iter()
            .map(|holder| holder.certificate)
            .collect::<Vec<_>>(),
        [id(2)]
    );
    let policies: Vec<_> = fresh
        .policies
        .iter()
        .map(|found| (found.version, &found.record))
        .collect();
    assert_eq!(policies, [(version, &policy_name(3))]);
    assert_eq!(fresh.code, Some(code()));
    let again = wait(records.onboarding_facts(&tenant, &id(2), &Needs::default())).unwrap();
    assert_eq!(again.existing.unwrap().record, certificate(2, Some(1)));
    assert_eq!(again.attached_policies, [policy_name(3)]);
    assert_eq!(again.attached_things, [thing_name(2)]);
    assert!(again.thing.is_none() && again.policies.is_empty());
}

/// Every entry of a kept batch is in the tenant's audit log, in order, with the version of its commit.
pub fn changes_are_in_the_audit_log(place: &impl Place) {
    let records = place.open();
    let mut versions = Vec::new();
    for number in 0..3 {
        let mut changing = batch([Record::Thing(thing(number))]);
        changing.audit.extend([entry("first"), entry("second")]);
        versions.extend([keep(&records, changing).version; 2]);
        let mut other = Batch::new(&other_tenant());
        other.audit.push(entry("other"));
        keep(&records, other);
    }
    let lines = pages(2, true, |page| wait(records.list_audit(&tenant(), page)).unwrap());
    assert_eq!(
        lines.iter().map(|line| line.version).collect::<Vec<_>>(),
        versions
    );
    assert!(lines.is_sorted_by_key(|line| line.number));
    let first = &lines[0];
    let shown = (
        first.actor.as_str(),
        first.action.as_str(),
        first.subject.as_str(),
        first.detail.as_str(),
        first.at,
    );
    assert_eq!(shown, ("key:BMKEY", "first", "subject", "detail ü", NOW));
}

/// What was answered is there after the records are closed and opened again, and versions go on rising.
pub fn what_was_answered_is_there_after_reopening(place: &impl Place) {
    let records = place.open();
    let mut all = everything();
    all.raises_epoch = true;
    all.audit.push(entry("made"));
    let before = keep(&records, all);
    drop(records);
    let records = place.open();
    assert_eq!(wait(records.trust(&tenant(), &id(2))).unwrap().unwrap().epoch, 1);
    assert_eq!(
        wait(records.ca(&tenant(), &id(1))).unwrap().unwrap().record,
        ca(1, b"subject")
    );
    let mut more = batch([Record::Thing(thing(30))]);
    more.audit.push(entry("more"));
    assert!(keep(&records, more).version > before.version);
    assert_eq!(
        wait(records.list_audit(&tenant(), PageRequest::first()))
            .unwrap()
            .items
            .len(),
        2
    );
}

/// Of many that make the same record at once exactly one succeeds; what does not collide is all kept.
pub fn of_many_writers_of_one_key_one_wins(place: &impl Place) {
    let records = place.open();
    keep(
        &records,
        batch([Record::Ca(ca(1, b"s")), Record::Policy(policy(1))]),
    );
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let submit = |number: u64| {
            let records = &records;
            scope.spawn(move || {
                let mine = wait(records.commit(first_connection(1000 + number, 1)));
                let shared = wait(records.commit(batch([Record::Thing(thing(1))])));
                (mine.is_ok(), shared)
            })
        };
        let threads: Vec<_> = (0..32).map(submit).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(outcomes.iter().all(|(mine, _)| *mine));
    assert_eq!(outcomes.iter().filter(|(_, shared)| shared.is_ok()).count(), 1);
    let conflicts = outcomes
        .iter()
        .filter(|(_, shared)| matches!(shared, Err(CommitError::Conflict(_))))
        .count();
    assert_eq!(conflicts, 31);
    let found = pages(250, true, |page| {
        wait(records.list_certificates(&tenant(), page)).unwrap()
    });
    assert_eq!(found.len(), 32);
}

/// A batch that no decision makes is refused as a mistake of ours and changes nothing.
pub fn malformed_batches_are_refused(place: &impl Place) {
    let records = place.open();
    let twice = batch([Record::Thing(thing(1)), Record::Thing(thing(1))]);
    let huge = batch((0..300).map(|number| Record::Thing(thing(number))));
    let dangling = batch([Record::Thing(thing(1)), Record::Attachment(attachment(1, 1))]);
    for malformed in [twice, huge, dangling] {
        match wait(records.commit(malformed)) {
            Err(CommitError::Fault(fault)) => assert!(!fault.code().is_empty()),
            other => panic!("expected a fault, got {other:?}"),
        }
    }
    assert!(wait(records.thing(&tenant(), &thing_name(1))).unwrap().is_none());
    keep(&records, batch([Record::Thing(thing(1))]));
}
