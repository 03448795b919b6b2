//! The thing and the policies that a template asks for, met with those that exist.

use identity::{CertificateId, ThingName};

use super::Facts;
use crate::attempt::Trail;
use crate::batch::{Batch, Key, Record, Relation};
use crate::billing_group;
use crate::call::{Call, Event, Profile};
use crate::limits::{CERTIFICATES_PER_THING_MAX, POLICIES_PER_TARGET_MAX, THINGS_PER_CERTIFICATE_MAX};
use crate::names::{GroupName, PolicyName, ThingTypeName};
use crate::record::{
    CertificateStatus, PolicyAttachment, PolicyTarget, PrincipalType, Thing, ThingPrincipal, Uuid,
};
use crate::refusal::{Exception, Refusal};
use crate::resource;
use crate::template::{Override, Plan, PolicyPlan, ThingPlan};
use crate::thing_group_members::Groups;
use crate::thing_type::{self, ThingType};
use crate::{policies, thing};

/// The certificate that gets a thing and policies.
pub(crate) struct Bearer {
    /// Its id.
    pub(crate) id: CertificateId,
    /// The registered CA that signed it.
    pub(crate) ca: Option<CertificateId>,
    /// It is that of a simulated chip.
    pub(crate) simulated: bool,
}

impl Bearer {
    /// Makes or changes the thing; gives what has to be told.
    pub(crate) fn write_thing(
        &self,
        call: &Call,
        facts: &Facts,
        plan: &ThingPlan,
        thing_id: Uuid,
        batch: &mut Batch,
        trail: &mut Trail,
    ) -> Result<Vec<Event>, Refusal> {
        let Some(existing) = &facts.thing else {
            let thing = self.new_thing(call, plan, thing_id);
            check_kinds(plan, facts, batch)?;
            let mut events = thing::news_of_new(&thing);
            let groups = Groups::of(&plan.name, thing_id, facts);
            events.extend(groups.join(call, &facts.groups, batch).map_err(unusable)?);
            batch.insert(Record::Thing(thing));
            trail.passed("thing.create", plan.name.as_str());
            return Ok(events);
        };
        self.check_takeover(call, facts, &existing.record, batch, trail)?;
        let mut events = Vec::new();
        match changed_thing(call, &existing.record, plan)? {
            None => batch.check(Key::Thing(plan.name.clone()), existing.version),
            Some(thing) => {
                if thing.type_name != existing.record.type_name {
                    check_kinds(plan, facts, batch)?;
                }
                events = thing::news_of_changed(&existing.record, &thing);
                batch.replace(Record::Thing(thing), existing.version);
                batch.raises_epoch = true;
            }
        }
        events.extend(regrouped(call, &existing.record, plan, facts, batch)?);
        trail.passed("thing.reuse", plan.name.as_str());
        Ok(events)
    }

    fn new_thing(&self, call: &Call, plan: &ThingPlan, id: Uuid) -> Thing {
        Thing {
            name: plan.name.clone(),
            id,
            type_name: plan.type_name.clone(),
            billing_group: plan.billing_group.clone(),
            attributes: plan.attributes.clone(),
            version: 1,
            born_under: self.ca,
            simulated: self.simulated,
            created: call.now,
            modified: call.now,
        }
    }

    /// A thing belongs to the CA under which it was born, and to one active certificate. AWS knows no such rule: there the
    /// certificate is attached and somebody is told.
    fn check_takeover(
        &self,
        call: &Call,
        facts: &Facts,
        thing: &Thing,
        batch: &mut Batch,
        trail: &mut Trail,
    ) -> Result<(), Refusal> {
        let foreign_ca = thing.born_under.filter(|born_under| Some(*born_under) != self.ca);
        let leaf = self.id;
        let other = facts
            .holders
            .iter()
            .find(|holder| holder.certificate != leaf && holder.status == CertificateStatus::Active);
        let why = match (foreign_ca, other) {
            (Some(born_under), _) => format!("thing {} was first made under the CA {born_under}", thing.name),
            (None, Some(other)) => format!(
                "thing {} has the active certificate {}",
                thing.name, other.certificate
            ),
            (None, None) => return Ok(()),
        };
        if call.profile == Profile::SelfHost {
            return Err(Refusal::new(Exception::ConflictingResourceUpdate, "fleet.onboarding.takeover", why)
                .hint("deactivate and detach the old certificate, or delete the thing, if the device was really replaced"));
        }
        trail.alarm("thing.takeover", why.as_str());
        batch
            .audit
            .push(call.entry("security.thing_takeover", leaf.to_string(), why));
        Ok(())
    }

    pub(crate) fn write_policies(
        &self,
        call: &Call,
        facts: &Facts,
        plan: &Plan,
        batch: &mut Batch,
        trail: &mut Trail,
    ) -> Result<(), Refusal> {
        let target = PolicyTarget::Certificate(self.id);
        let mut seen: Vec<&PolicyName> = Vec::new();
        for policy in &plan.policies {
            let name = policy.name();
            if seen.contains(&name) {
                continue;
            }
            seen.push(name);
            demand_policy(call, facts, policy, batch)?;
            if !facts.attached_policies.contains(name) {
                batch.insert(Record::Attachment(PolicyAttachment {
                    policy: name.clone(),
                    target: target.clone(),
                }));
            }
            trail.passed("policy.attach", name.as_str());
        }
        let others = facts
            .attached_policies
            .iter()
            .filter(|name| !seen.contains(name))
            .count();
        if others + seen.len() > POLICIES_PER_TARGET_MAX as usize {
            return Err(Refusal::new(
                Exception::LimitExceeded,
                "fleet.onboarding.policies",
                format!("the certificate would have more than {POLICIES_PER_TARGET_MAX} policies"),
            ));
        }
        if facts.existing.is_some() {
            let count = u32::try_from(facts.attached_policies.len()).unwrap_or(u32::MAX);
            batch.at_most(Relation::PoliciesOf(target), count);
        }
        Ok(())
    }

    pub(crate) fn attach_thing(
        &self,
        call: &Call,
        facts: &Facts,
        thing: &ThingName,
        batch: &mut Batch,
    ) -> Result<(), Refusal> {
        let certificate = self.id;
        if facts.attached_things.contains(thing) {
            return Ok(());
        }
        let limit = |what: &str| {
            Refusal::new(
                Exception::LimitExceeded,
                "fleet.onboarding.things",
                format!("{what} (call at {})", call.now.to_rfc3339()),
            )
        };
        if facts.attached_things.len() >= THINGS_PER_CERTIFICATE_MAX as usize {
            return Err(limit("the certificate is attached to too many things already"));
        }
        if facts.holders.len() >= CERTIFICATES_PER_THING_MAX as usize {
            return Err(limit("the thing has too many certificates already"));
        }
        if facts.thing.is_some() {
            batch.at_most(
                Relation::PrincipalsOf(thing.clone()),
                CERTIFICATES_PER_THING_MAX - 1,
            );
        }
        let kind = PrincipalType::NonExclusive;
        batch.insert(Record::ThingPrincipal(ThingPrincipal {
            thing: thing.clone(),
            certificate,
            kind,
        }));
        Ok(())
    }
}

/// The policy exists, or is made now if the template holds its document.
fn demand_policy(call: &Call, facts: &Facts, policy: &PolicyPlan, batch: &mut Batch) -> Result<(), Refusal> {
    let existing = facts
        .policies
        .iter()
        .find(|existing| existing.record == *policy.name());
    match (existing, policy) {
        (Some(existing), _) => batch.check(Key::Policy(existing.record.clone()), existing.version),
        (None, PolicyPlan::Inline { name, document }) => {
            batch
                .audit
                .push(call.entry("policy.create", name.as_str(), "made by a template"));
            batch.insert(Record::Policy(policies::first_version(
                call,
                name,
                document,
                Vec::new(),
            )));
        }
        (None, PolicyPlan::Named(name)) => {
            return Err(Refusal::new(
                Exception::ResourceRegistrationFailure,
                "fleet.onboarding.policy_missing",
                format!("the template attaches the policy {name}, which does not exist"),
            )
            .hint("create the policy (CreatePolicy); the device's next connection tries again"));
        }
    }
    Ok(())
}

/// The thing type and the billing group of a new thing are there, and stay so until this is kept.
fn check_kinds(plan: &ThingPlan, facts: &Facts, batch: &mut Batch) -> Result<(), Refusal> {
    if let Some(name) = &plan.type_name {
        let found = thing_type::admitting(name, facts.thing_type.as_ref()).map_err(unusable)?;
        batch.check(resource::key::<ThingType>(name.as_str()), found.version);
    }
    if let Some(name) = &plan.billing_group {
        let found = resource::found(name.as_str(), facts.billing_group.as_ref()).map_err(unusable)?;
        batch.check(billing_group::key(name), found.version);
    }
    Ok(())
}

/// Something that the template names cannot be used as it says.
fn unusable(refusal: Refusal) -> Refusal {
    Refusal::new(
        Exception::ResourceRegistrationFailure,
        "fleet.onboarding.unusable",
        format!("the template cannot be carried out: {}", refusal.reason()),
    )
    .hint(refusal.remedy().to_owned())
}

/// What becomes of the groups of a thing that exists.
fn regrouped(
    call: &Call,
    thing: &Thing,
    plan: &ThingPlan,
    facts: &Facts,
    batch: &mut Batch,
) -> Result<Vec<Event>, Refusal> {
    let is_in = |name: &GroupName| {
        let mut groups = facts
            .memberships
            .iter()
            .map(|membership| &membership.member.record.group);
        groups.any(|group| group == name)
    };
    let differs = plan.groups.iter().any(|name| !is_in(name));
    let leaves = plan.groups_override == Some(Override::Replace)
        && facts
            .memberships
            .iter()
            .any(|membership| !plan.groups.contains(&membership.member.record.group));
    match plan.groups_override {
        Some(Override::DoNothing) => return Ok(Vec::new()),
        _ if !differs && !leaves => return Ok(Vec::new()),
        None | Some(Override::Fail) => return Err(conflict(thing, "in other groups", "ThingGroups")),
        Some(Override::Merge | Override::Replace) => {}
    }
    let mut groups = Groups::of(&thing.name, thing.id, facts);
    if leaves {
        groups.leave_all_but(call, &plan.groups, batch);
    }
    let mut events = groups.join(call, &facts.groups, batch).map_err(unusable)?;
    events.push(Event::ThingGrants(thing.name.clone()));
    batch.raises_epoch = true;
    Ok(events)
}

fn conflict(thing: &Thing, why: &str, key: &str) -> Refusal {
    Refusal::new(
        Exception::ConflictingResourceUpdate,
        "fleet.onboarding.thing_conflict",
        format!("thing {} exists {why}, and the template does not say what to do then", thing.name),
    )
    .hint(format!(
        "give the thing OverrideSettings ({key}: DO_NOTHING or REPLACE, or MERGE where there are several) in the template"
    ))
}

/// The thing type of a thing that exists.
fn changed_type(thing: &Thing, plan: &ThingPlan) -> Result<Option<ThingTypeName>, Refusal> {
    if plan.type_name.is_none() || plan.type_name == thing.type_name {
        return Ok(thing.type_name.clone());
    }
    match plan.type_override {
        Some(Override::DoNothing) => Ok(thing.type_name.clone()),
        Some(Override::Replace) => Ok(plan.type_name.clone()),
        _ => Err(conflict(thing, "with another type", "ThingTypeName")),
    }
}

/// What becomes of a thing that exists: `None` leaves it.
fn changed_thing(call: &Call, thing: &Thing, plan: &ThingPlan) -> Result<Option<Thing>, Refusal> {
    let type_name = changed_type(thing, plan)?;
    if plan.billing_group.is_some() && plan.billing_group != thing.billing_group {
        return Err(conflict(thing, "in another billing group", "none for it"));
    }
    let mut attributes = plan.attributes.clone();
    match plan.attribute_override {
        Some(Override::DoNothing) => attributes = thing.attributes.clone(),
        Some(Override::Fail) => {
            return Err(conflict(thing, "and the template says FAIL", "AttributePayload"));
        }
        None if thing.attributes != attributes => {
            return Err(conflict(thing, "with other attributes", "AttributePayload"));
        }
        None | Some(Override::Replace) => {}
        Some(Override::Merge) => {
            attributes = thing.attributes.clone();
            attributes.extend(plan.attributes.clone());
        }
    }
    if thing.attributes == attributes && thing.type_name == type_name {
        return Ok(None);
    }
    thing::check_attributes(&attributes, type_name.is_some())?;
    Ok(Some(Thing {
        attributes,
        type_name,
        version: thing.version + 1,
        modified: call.now,
        ..thing.clone()
    }))
}
