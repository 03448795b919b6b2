//! AttachPolicy, DetachPolicy, ListAttachedPolicies and ListTargetsForPolicy.
//!
//! Attaching says what a certificate may do, so both directions raise the trust epoch.

use crate::batch::{Key, Record, Relation};
use crate::call::{Call, Decided, Decision, Event};
use crate::limits::POLICIES_PER_TARGET_MAX;
use crate::names::PolicyName;
use crate::record::{DeviceCertificate, Policy, PolicyAttachment, PolicyTarget, ThingGroup, Versioned};
use crate::refusal::{Exception, Refusal};
use crate::{certificate, policies, thing_group};

/// What is known before a policy is attached.
#[derive(Debug, Clone, Default)]
pub struct AttachFacts {
    /// The policy.
    pub policy: Option<Versioned<Policy>>,
    /// The certificate.
    pub certificate: Option<Versioned<DeviceCertificate>>,
    /// The thing group.
    pub group: Option<Versioned<ThingGroup>>,
    /// The attachment, if there is one already.
    pub existing: Option<Versioned<PolicyAttachment>>,
    /// How many policies the target has.
    pub policies_of_target: u32,
}

/// AttachPolicy; attaching what is attached succeeds.
pub fn attach(call: &Call, name: &PolicyName, target: &PolicyTarget, facts: &AttachFacts) -> Decided<()> {
    let policy = policies::found(name, facts.policy.as_ref())?;
    let (key, version) = match target {
        PolicyTarget::Certificate(id) => {
            let found = certificate::found(id, facts.certificate.as_ref())?;
            (Key::Certificate(*id), found.version)
        }
        PolicyTarget::Group(group) => {
            let found = thing_group::found(group, facts.group.as_ref())?;
            (Key::Group(group.clone()), found.version)
        }
    };
    if facts.existing.is_some() {
        return Ok(Decision::unchanged(call, ()));
    }
    if facts.policies_of_target >= POLICIES_PER_TARGET_MAX {
        return Err(Refusal::new(
            Exception::LimitExceeded,
            "fleet.attachment.limit",
            format!(
                "policy {name} cannot be attached: {} has {POLICIES_PER_TARGET_MAX} policies already",
                shown(target)
            ),
        )
        .hint("detach one, or put the statements into one policy"));
    }
    let mut batch = call.batch();
    batch.insert(Record::Attachment(PolicyAttachment {
        policy: name.clone(),
        target: target.clone(),
    }));
    batch.check(Key::Policy(name.clone()), policy.version);
    batch.check(key, version);
    batch.at_most(Relation::PoliciesOf(target.clone()), POLICIES_PER_TARGET_MAX - 1);
    batch
        .audit
        .push(call.entry("policy.attach", shown(target), name.as_str()));
    batch.raises_epoch = true;
    Ok(Decision {
        batch,
        events: vec![trust_of(target)],
        reply: (),
    })
}

fn trust_of(target: &PolicyTarget) -> Event {
    match target {
        PolicyTarget::Certificate(id) => Event::CertificateTrust(*id),
        PolicyTarget::Group(group) => Event::GroupTrust(group.clone()),
    }
}

fn shown(target: &PolicyTarget) -> String {
    match target {
        PolicyTarget::Certificate(id) => format!("certificate {id}"),
        PolicyTarget::Group(group) => format!("thing group {group}"),
    }
}

/// DetachPolicy: what is not attached is detached already, even if there is no such policy; only the target must be there.
pub fn detach_if_attached(
    call: &Call,
    name: &PolicyName,
    target: &PolicyTarget,
    existing: Option<&Versioned<PolicyAttachment>>,
    is_target_there: bool,
) -> Decided<()> {
    if !is_target_there {
        return Err(Refusal::new(
            Exception::InvalidRequest,
            "fleet.attachment.target",
            format!("Invalid Target: there is no {}", shown(target)),
        ));
    }
    if existing.is_none() {
        return Ok(Decision::unchanged(call, ()));
    }
    detach(call, name, target, existing)
}

/// DetachPrincipalPolicy.
pub fn detach(
    call: &Call,
    name: &PolicyName,
    target: &PolicyTarget,
    existing: Option<&Versioned<PolicyAttachment>>,
) -> Decided<()> {
    let existing = existing.ok_or_else(|| {
        Refusal::new(
            Exception::ResourceNotFound,
            "fleet.attachment.missing",
            format!("policy {name} is not attached to {}", shown(target)),
        )
    })?;
    let mut batch = call.batch();
    batch.delete(
        Key::Attachment {
            policy: name.clone(),
            target: target.clone(),
        },
        existing.version,
    );
    batch
        .audit
        .push(call.entry("policy.detach", shown(target), name.as_str()));
    batch.raises_epoch = true;
    Ok(Decision {
        batch,
        // Whoever holds the policy is found by it: that is cheaper than looking for everything in a group.
        events: vec![match target {
            PolicyTarget::Group(_) => Event::PolicyTrust(name.clone()),
            PolicyTarget::Certificate(_) => trust_of(target),
        }],
        reply: (),
    })
}
