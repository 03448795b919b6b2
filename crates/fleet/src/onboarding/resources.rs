//! The thing and the policies that a template asks for, met with those that exist.

use identity::{CertificateId, ThingName};

use super::Facts;
use crate::attempt::Trail;
use crate::batch::{Batch, Key, Record, Relation};
use crate::call::{Call, Profile};
use crate::limits::{CERTIFICATES_PER_THING_MAX, POLICIES_PER_TARGET_MAX, THINGS_PER_CERTIFICATE_MAX};
use crate::names::PolicyName;
use crate::policies;
use crate::record::{
    CertificateStatus, PolicyAttachment, PolicyTarget, PrincipalType, Thing, ThingPrincipal, Uuid,
};
use crate::refusal::{Exception, Refusal};
use crate::template::{Override, Plan, PolicyPlan, ThingPlan};

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
    pub(crate) fn write_thing(
        &self,
        call: &Call,
        facts: &Facts,
        plan: &ThingPlan,
        thing_id: Uuid,
        batch: &mut Batch,
        trail: &mut Trail,
    ) -> Result<(), Refusal> {
        let Some(existing) = &facts.thing else {
            batch.insert(Record::Thing(self.new_thing(call, plan, thing_id)));
            trail.passed("thing.create", plan.name.as_str());
            return Ok(());
        };
        self.check_takeover(call, facts, &existing.record, batch, trail)?;
        match changed_thing(call, &existing.record, plan)? {
            None => batch.check(Key::Thing(plan.name.clone()), existing.version),
            Some(thing) => batch.replace(Record::Thing(thing), existing.version),
        }
        trail.passed("thing.reuse", plan.name.as_str());
        Ok(())
    }

    fn new_thing(&self, call: &Call, plan: &ThingPlan, id: Uuid) -> Thing {
        Thing {
            name: plan.name.clone(),
            id,
            type_name: None,
            billing_group: None,
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

/// What becomes of a thing that exists: `None` leaves it.
fn changed_thing(call: &Call, thing: &Thing, plan: &ThingPlan) -> Result<Option<Thing>, Refusal> {
    let conflict = |why: &str| {
        Refusal::new(
            Exception::ConflictingResourceUpdate,
            "fleet.onboarding.thing_conflict",
            format!("thing {} exists {why}", thing.name),
        )
        .hint("give the thing OverrideSettings (AttributePayload: DO_NOTHING, MERGE or REPLACE) in the template")
    };
    let mut attributes = plan.attributes.clone();
    match plan.attribute_override {
        Some(Override::DoNothing) => return Ok(None),
        Some(Override::Fail) => return Err(conflict("and the template says FAIL")),
        None if thing.attributes == attributes => return Ok(None),
        None => return Err(conflict("with other attributes")),
        Some(Override::Replace) => {}
        Some(Override::Merge) => {
            attributes = thing.attributes.clone();
            attributes.extend(plan.attributes.clone());
        }
    }
    if thing.attributes == attributes {
        return Ok(None);
    }
    crate::thing::check_attributes(&attributes, thing.type_name.is_some())?;
    Ok(Some(Thing {
        attributes,
        version: thing.version + 1,
        modified: call.now,
        ..thing.clone()
    }))
}
