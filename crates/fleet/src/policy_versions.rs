//! CreatePolicyVersion, GetPolicyVersion, ListPolicyVersions, SetDefaultPolicyVersion and DeletePolicyVersion.
//!
//! A policy has at most five versions, numbers are never used twice, and one of them counts. Which one counts is a change
//! of trust for every certificate the policy is attached to.

use std::sync::Arc;

use crate::batch::Record;
use crate::call::{Call, Decided, Decision, Event};
use crate::limits::POLICY_VERSIONS_MAX;
use crate::names::{PolicyName, PolicyVersionId};
use crate::policies::found;
use crate::policy_document;
use crate::record::{Policy, PolicyVersion, Versioned};
use crate::refusal::{Exception, Refusal};

/// CreatePolicyVersion.
pub fn create(
    call: &Call,
    name: &PolicyName,
    document: &str,
    set_as_default: bool,
    existing: Option<&Versioned<Policy>>,
) -> Decided<PolicyVersion> {
    let existing = found(name, existing)?;
    policy_document::check(document)?;
    let mut policy = existing.record.clone();
    if policy.versions.len() >= POLICY_VERSIONS_MAX {
        return Err(Refusal::new(
            Exception::VersionsLimitExceeded,
            "fleet.policy.versions",
            format!("policy {name} has {POLICY_VERSIONS_MAX} versions already"),
        )
        .hint("delete one first (DeletePolicyVersion)"));
    }
    let id = PolicyVersionId(policy.last_version.0 + 1);
    let version = PolicyVersion {
        id,
        document: Arc::from(document),
        created: call.now,
    };
    policy.versions.push(version.clone());
    policy.last_version = id;
    if set_as_default {
        policy.default_version = id;
    }
    Ok(replaced(
        call,
        policy,
        existing.version,
        "policy.version.create",
        id,
        set_as_default,
        version,
    ))
}

/// GetPolicyVersion.
pub fn version<'a>(
    name: &PolicyName,
    id: PolicyVersionId,
    existing: Option<&'a Versioned<Policy>>,
) -> Result<(&'a Policy, &'a PolicyVersion), Refusal> {
    let policy = &found(name, existing)?.record;
    let version = policy.version(id).ok_or_else(|| missing(name, id))?;
    Ok((policy, version))
}

/// SetDefaultPolicyVersion.
pub fn set_default(
    call: &Call,
    name: &PolicyName,
    id: PolicyVersionId,
    existing: Option<&Versioned<Policy>>,
) -> Decided<()> {
    version(name, id, existing)?;
    let existing = found(name, existing)?;
    if existing.record.default_version == id {
        return Ok(Decision::unchanged(call, ()));
    }
    let mut policy = existing.record.clone();
    policy.default_version = id;
    Ok(replaced(
        call,
        policy,
        existing.version,
        "policy.version.default",
        id,
        true,
        (),
    ))
}

/// DeletePolicyVersion: never the default one.
pub fn delete(
    call: &Call,
    name: &PolicyName,
    id: PolicyVersionId,
    existing: Option<&Versioned<Policy>>,
) -> Decided<()> {
    version(name, id, existing)?;
    let existing = found(name, existing)?;
    if existing.record.default_version == id {
        return Err(Refusal::new(
            Exception::InvalidRequest,
            "fleet.policy.default_version",
            format!("Cannot delete the default version of a policy (version {id} of {name})"),
        )
        .hint("make another version the default, or delete the policy"));
    }
    let mut policy = existing.record.clone();
    policy.versions.retain(|version| version.id != id);
    Ok(replaced(
        call,
        policy,
        existing.version,
        "policy.version.delete",
        id,
        false,
        (),
    ))
}

fn replaced<R>(
    call: &Call,
    mut policy: Policy,
    version: u64,
    action: &'static str,
    id: PolicyVersionId,
    changes_trust: bool,
    reply: R,
) -> Decision<R> {
    policy.modified = call.now;
    let name = policy.name.clone();
    let mut batch = call.batch();
    batch.replace(Record::Policy(policy), version);
    batch
        .audit
        .push(call.entry(action, name.as_str(), format!("version {id}")));
    batch.raises_epoch = changes_trust;
    let events = if changes_trust {
        vec![Event::PolicyTrust(name)]
    } else {
        Vec::new()
    };
    Decision { batch, events, reply }
}

fn missing(name: &PolicyName, id: PolicyVersionId) -> Refusal {
    Refusal::new(
        Exception::ResourceNotFound,
        "fleet.policy.version_missing",
        format!("policy {name} has no version {id}"),
    )
}
