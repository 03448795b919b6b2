//! CreateBillingGroup, DescribeBillingGroup, UpdateBillingGroup and DeleteBillingGroup, and a thing's way in and out.
//!
//! A thing is in at most one billing group. What AWS would charge by it is nobody's business here: the groups are kept,
//! listed and told.

use crate::batch::{Key, Record, Relation};
use crate::call::{Call, Decided, Decision};
use crate::names::BillingGroupName;
use crate::plain::shaped;
use crate::record::{Tag, Thing, Uuid, Versioned};
use crate::refusal::{Exception, Refusal};
use crate::resource::{self, Kind, Resource};
use crate::thing_group::check_description;
use crate::{arn, tags, thing};
use identity::{ThingName, UnixMillis};

shaped!(
    /// A billing group.
    BillingGroup {
        /// Name.
        name: String,
        /// AWS's billingGroupId.
        id: Uuid,
        /// For people.
        description: String,
        /// AWS's version: starts at 1, one more per update.
        version: u64,
        /// When it was made.
        created: UnixMillis,
        /// Tags.
        tags: Vec<Tag>,
    }
);

impl Resource for BillingGroup {
    const KIND: Kind = Kind::BillingGroup;

    fn name(&self) -> &str {
        &self.name
    }
}

/// CreateBillingGroup: a new group, or the one there is if it was made with the same configuration.
pub fn create(
    call: &Call,
    name: &BillingGroupName,
    description: &str,
    tags: Vec<Tag>,
    existing: Option<&Versioned<BillingGroup>>,
    fresh: Uuid,
) -> Decided<BillingGroup> {
    check_description(description)?;
    tags::check(&tags)?;
    match existing {
        Some(existing) if existing.record.description == description => {
            Ok(Decision::unchanged(call, existing.record.clone()))
        }
        Some(Versioned { record, .. }) => Err(resource::exists(
            record,
            &record.id.to_string(),
            arn::named(&call.tenant, "billinggroup", &record.name),
        )),
        None => {
            let group = BillingGroup {
                name: name.as_str().to_owned(),
                id: fresh,
                description: description.to_owned(),
                version: 1,
                created: call.now,
                tags,
            };
            Ok(resource::insert(call, "billing_group.create", group))
        }
    }
}

/// UpdateBillingGroup.
pub fn update(
    call: &Call,
    name: &BillingGroupName,
    description: Option<String>,
    expected_version: Option<u64>,
    existing: Option<&Versioned<BillingGroup>>,
) -> Decided<BillingGroup> {
    let existing = resource::found(name.as_str(), existing)?;
    let mut group = existing.record.clone();
    resource::check_version(&group, group.version, expected_version)?;
    if let Some(description) = description {
        check_description(&description)?;
        group.description = description;
    }
    group.version += 1;
    Ok(resource::replace(
        call,
        "billing_group.update",
        group,
        existing.version,
    ))
}

/// DeleteBillingGroup: deleting what is not there succeeds, one with things in it stays. `is_used` is whether it has any.
pub fn delete(
    call: &Call,
    name: &BillingGroupName,
    expected_version: Option<u64>,
    existing: Option<&Versioned<BillingGroup>>,
    is_used: bool,
) -> Decided<()> {
    let Some(existing) = existing else {
        return Ok(Decision::unchanged(call, ()));
    };
    resource::check_version(&existing.record, existing.record.version, expected_version)?;
    if is_used {
        return Err(Refusal::new(
            Exception::InvalidRequest,
            "fleet.billing_group.in_use",
            format!("billing group {name} cannot be deleted: there are things in it"),
        )
        .hint("take them out first (ListThingsInBillingGroup, RemoveThingFromBillingGroup)"));
    }
    let mut decision = resource::delete(call, "billing_group.delete", existing);
    decision.batch.at_most(Relation::ThingsBilledTo(name.clone()), 0);
    Ok(decision)
}

/// AddThingToBillingGroup: adding what is there succeeds.
pub fn add(
    call: &Call,
    name: &BillingGroupName,
    thing_name: &ThingName,
    group: Option<&Versioned<BillingGroup>>,
    thing: Option<&Versioned<Thing>>,
) -> Decided<()> {
    let group = resource::found(name.as_str(), group)?;
    let existing = thing::found(thing_name, thing)?;
    match &existing.record.billing_group {
        Some(other) if other == name => return Ok(Decision::unchanged(call, ())),
        Some(other) => {
            return Err(Refusal::new(
                Exception::InvalidRequest,
                "fleet.billing_group.other",
                format!("thing {thing_name} is in the billing group {other}"),
            )
            .hint("a thing is in one billing group: take it out first (RemoveThingFromBillingGroup)"));
        }
        None => {}
    }
    let mut decision = moved(call, existing, Some(name.clone()));
    decision
        .batch
        .check(resource::key::<BillingGroup>(name.as_str()), group.version);
    Ok(decision)
}

/// RemoveThingFromBillingGroup: taking out what is not in it succeeds.
pub fn remove(
    call: &Call,
    name: &BillingGroupName,
    thing_name: &ThingName,
    group: Option<&Versioned<BillingGroup>>,
    thing: Option<&Versioned<Thing>>,
) -> Decided<()> {
    resource::found(name.as_str(), group)?;
    let existing = thing::found(thing_name, thing)?;
    if existing.record.billing_group.as_ref() != Some(name) {
        return Ok(Decision::unchanged(call, ()));
    }
    Ok(moved(call, existing, None))
}

fn moved(call: &Call, existing: &Versioned<Thing>, billing_group: Option<BillingGroupName>) -> Decision<()> {
    let mut batch = call.batch();
    let subject = existing.record.name.as_str();
    let detail = billing_group
        .as_ref()
        .map_or_else(|| "none".to_owned(), ToString::to_string);
    batch.audit.push(call.entry("thing.bill", subject, detail));
    let record = Thing {
        billing_group,
        ..existing.record.clone()
    };
    batch.replace(Record::Thing(record), existing.version);
    Decision {
        batch,
        events: Vec::new(),
        reply: (),
    }
}

/// The key that must not change while a thing is put into this group.
pub(crate) fn key(name: &BillingGroupName) -> Key {
    resource::key::<BillingGroup>(name.as_str())
}
