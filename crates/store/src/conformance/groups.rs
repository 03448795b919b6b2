//! The promises about templates and thing groups.

use fleet::batch::{Batch, Key, Record, Relation};
use fleet::page::PageRequest;
use fleet::record::{PolicyAttachment, PolicyTarget};

use super::Place;
use super::made::{
    attachment, batch, ca, certificate, group, group_name, id, member, other_tenant, policy, policy_name,
    principal, template, thing, thing_name,
};
use super::steps::{conflict, keep, tenant};
use crate::{Conflict, GroupFilter, Records, wait};

/// A named template is kept with all its versions, replaced, listed, and not deleted while a CA follows it.
pub fn templates_are_kept_with_their_versions(place: &impl Place) {
    let records = place.open();
    let tenant = tenant();
    let first = template("first");
    let version = keep(
        &records,
        batch([
            Record::Template(first.clone()),
            Record::Template(template("second")),
        ]),
    )
    .version;
    let found = wait(records.template(&tenant, &first.name)).unwrap().unwrap();
    assert_eq!((found.version, &found.record), (version, &first));
    assert!(!wait(records.is_template_used(&tenant, &first.name)).unwrap());
    assert!(
        wait(records.template(&other_tenant(), &first.name))
            .unwrap()
            .is_none()
    );

    assert_eq!(wait(records.template_count(&tenant)).unwrap(), 2);
    assert_eq!(wait(records.template_count(&other_tenant())).unwrap(), 0);
    let mut third = batch([Record::Template(template("third"))]);
    third.at_most(Relation::Templates, 1);
    assert_eq!(conflict(&records, third), Conflict::Relation(Relation::Templates));

    let mut changed = first.clone();
    changed.versions.remove(0);
    (changed.enabled, changed.hook) = (false, None);
    let mut replacing = Batch::new(&tenant);
    replacing.replace(Record::Template(changed.clone()), version);
    let replaced = keep(&records, replacing.clone()).version;
    let found = wait(records.template(&tenant, &first.name)).unwrap().unwrap();
    assert_eq!((found.version, &found.record), (replaced, &changed));
    let key = Key::Template(first.name.clone());
    assert_eq!(conflict(&records, replacing), Conflict::Record(key.clone()));

    let page = wait(records.list_templates(&tenant, PageRequest::first())).unwrap();
    let names: Vec<_> = page.items.iter().map(|template| template.name.as_str()).collect();
    assert_eq!(names, ["first", "second"]);

    let mut follower = ca(7, b"follower");
    follower.registration = Some(fleet::record::RegistrationConfig {
        template_body: None,
        template_name: Some(first.name.clone()),
        role_arn: None,
    });
    let at = keep(&records, batch([Record::Ca(follower.clone())])).version;
    assert_eq!(
        wait(records.ca(&tenant, &id(7))).unwrap().unwrap().record,
        follower
    );
    assert!(wait(records.is_template_used(&tenant, &first.name)).unwrap());
    let relation = Relation::CasWithTemplate(first.name.clone());
    let mut deleting = Batch::new(&tenant);
    deleting.delete(key, replaced);
    deleting.at_most(relation.clone(), 0);
    assert_eq!(conflict(&records, deleting.clone()), Conflict::Relation(relation));
    follower.registration = None;
    let mut leaving = Batch::new(&tenant);
    leaving.replace(Record::Ca(follower), at);
    keep(&records, leaving);
    keep(&records, deleting);
    assert!(wait(records.template(&tenant, &first.name)).unwrap().is_none());
}

/// Hierarchies are read from below, listed from above, and things are found in them.
pub fn groups_are_nested_and_hold_things(place: &impl Place) {
    let records = place.open();
    let tenant = tenant();
    let top = group("top", None);
    keep(
        &records,
        batch([
            Record::Group(top.clone()),
            Record::Thing(thing(1)),
            Record::Thing(thing(2)),
        ]),
    );
    keep(&records, batch([Record::Group(group("mid", Some("top")))]));
    keep(
        &records,
        batch([
            Record::Group(group("leaf", Some("mid"))),
            Record::Group(group("other", None)),
        ]),
    );
    let members = [("leaf", 1), ("other", 1), ("mid", 2)];
    keep(
        &records,
        batch(members.map(|(name, thing)| Record::GroupMember(member(name, thing)))),
    );
    let lineage = wait(records.group_lineage(&tenant, &group_name("leaf"))).unwrap();
    let names: Vec<_> = lineage.iter().map(|group| group.record.name.as_str()).collect();
    assert_eq!(names, ["leaf", "mid", "top"]);
    assert_eq!(lineage[2].record, top);
    assert!(
        wait(records.group_lineage(&tenant, &group_name("none")))
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        wait(records.group_children(&tenant, &group_name("top"))).unwrap(),
        1
    );
    let memberships = wait(records.groups_of(&tenant, &thing_name(1))).unwrap();
    let found: Vec<_> = memberships
        .iter()
        .map(|found| (found.member.record.group.as_str(), found.root.as_str()))
        .collect();
    assert_eq!(found, [("leaf", "top"), ("other", "other")]);

    let listed = |parent: Option<&str>, recursive, prefix: Option<&str>| {
        let filter = GroupFilter {
            parent: parent.map(group_name),
            recursive,
            prefix: prefix.map(str::to_owned),
        };
        let page = wait(records.list_groups(&tenant, &filter, PageRequest::first())).unwrap();
        let names = page.items.iter().map(|group| group.name.to_string());
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(listed(None, true, None), "top mid leaf other");
    assert_eq!(listed(None, false, None), "top other");
    assert_eq!(listed(Some("top"), false, None), "mid");
    assert_eq!(listed(Some("top"), true, None), "mid leaf");
    assert_eq!(listed(None, true, Some("l")), "leaf");
    let things = |name, recursive| {
        let page = PageRequest::first();
        let page = wait(records.list_things_in_group(&tenant, &group_name(name), recursive, page)).unwrap();
        page.items
    };
    assert_eq!(things("top", false), []);
    assert_eq!(things("top", true), [thing_name(1), thing_name(2)]);
    assert_eq!(things("leaf", false), [thing_name(1)]);

    // A group is deleted with its memberships, but not while another one is under it.
    let deleting = |name: &str| {
        let lineage = wait(records.group_lineage(&tenant, &group_name(name))).unwrap();
        let mut deleting = Batch::new(&tenant);
        deleting.delete(Key::Group(group_name(name)), lineage[0].version);
        deleting.at_most(Relation::ChildrenOf(group_name(name)), 0);
        deleting
    };
    let relation = Relation::ChildrenOf(group_name("mid"));
    assert_eq!(conflict(&records, deleting("mid")), Conflict::Relation(relation));
    keep(&records, deleting("leaf"));
    assert_eq!(wait(records.groups_of(&tenant, &thing_name(1))).unwrap().len(), 1);
    let mut ending = Batch::new(&tenant);
    let thing = wait(records.thing(&tenant, &thing_name(2))).unwrap().unwrap();
    ending.delete(Key::Thing(thing_name(2)), thing.version);
    keep(&records, ending);
    assert_eq!(things("mid", false), []);
}

/// A policy of a group counts for the certificates of the things in it and below, once, until one of the links is cut.
pub fn policies_of_groups_count_for_the_things_in_them(place: &impl Place) {
    let records = place.open();
    let tenant = tenant();
    let attached = |number, name: &str| {
        Record::Attachment(PolicyAttachment {
            policy: policy_name(number),
            target: PolicyTarget::Group(group_name(name)),
        })
    };
    keep(&records, batch([Record::Group(group("top", None))]));
    keep(&records, batch([Record::Group(group("leaf", Some("top")))]));
    let policies = (1..=3).map(|number| Record::Policy(policy(number)));
    let rest = [
        Record::Certificate(certificate(5, None)),
        Record::Thing(thing(5)),
        Record::ThingPrincipal(principal(5, 5)),
        Record::GroupMember(member("leaf", 5)),
        Record::Attachment(attachment(3, 5)),
        attached(1, "top"),
        attached(2, "leaf"),
        attached(3, "leaf"),
    ];
    keep(&records, batch(policies.chain(rest)));
    let names = |found: &[crate::AttachedPolicy]| -> Vec<String> {
        found.iter().map(|policy| policy.name.to_string()).collect()
    };
    let trusted = || names(&wait(records.trust(&tenant, &id(5))).unwrap().unwrap().policies);
    assert_eq!(trusted(), ["p-000003", "p-000001", "p-000002"]);
    let of_thing = wait(records.policies_of_thing(&tenant, &thing_name(5))).unwrap();
    assert_eq!(names(&of_thing), ["p-000001", "p-000002", "p-000003"]);
    let of_group = wait(records.policies_of_group(&tenant, &group_name("top"))).unwrap();
    assert_eq!(names(&of_group), ["p-000001"]);
    assert_eq!(
        wait(records.certificates_in_group(&tenant, &group_name("top"))).unwrap(),
        [id(5)]
    );
    let target = PolicyTarget::Group(group_name("leaf"));
    assert_eq!(wait(records.policies_of(&tenant, &target)).unwrap().len(), 2);
    let page = wait(records.list_attached_policies(&tenant, &target, PageRequest::first())).unwrap();
    assert_eq!(page.items, [policy_name(2), policy_name(3)]);

    // Targets of both kinds are paged in one order and in the other.
    let expected = [target, PolicyTarget::Certificate(id(5))];
    for ascending in [true, false] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = PageRequest {
                size: 1,
                after,
                ascending,
            };
            let page = wait(records.list_targets(&tenant, &policy_name(3), page)).unwrap();
            found.extend(page.items);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if !ascending {
            found.reverse();
        }
        assert_eq!(found, expected, "{ascending}");
    }
    let relation = Relation::TargetsOf(policy_name(1));
    let mut counting = batch([Record::Thing(thing(9))]);
    counting.at_most(relation.clone(), 0);
    assert_eq!(conflict(&records, counting), Conflict::Relation(relation));

    let mut leaving = Batch::new(&tenant);
    let member = wait(records.groups_of(&tenant, &thing_name(5)))
        .unwrap()
        .remove(0)
        .member;
    let key = Key::GroupMember {
        group: group_name("leaf"),
        thing: thing_name(5),
    };
    leaving.delete(key, member.version);
    keep(&records, leaving);
    assert_eq!(trusted(), ["p-000003"]);
}
