//! CreatePolicy, GetPolicy, ListPolicies and DeletePolicy.

use std::sync::Arc;

use crate::batch::{Key, Record, Relation};
use crate::call::{Call, Decided, Decision};
use crate::names::{PolicyName, PolicyVersionId};
use crate::record::{Policy, PolicyVersion, Tag, Versioned};
use crate::refusal::{Exception, Refusal};
use crate::{policy_document, tags};

/// CreatePolicy: version 1, which is the default.
pub fn create(
    call: &Call,
    name: &PolicyName,
    document: &str,
    tags: Vec<Tag>,
    existing: Option<&Versioned<Policy>>,
) -> Decided<Policy> {
    policy_document::check(document)?;
    tags::check(&tags)?;
    if existing.is_some() {
        return Err(Refusal::new(
            Exception::ResourceAlreadyExists,
            "fleet.policy.exists",
            format!("policy {name} already exists"),
        )
        .hint("add a version with CreatePolicyVersion")
        .existing(name.as_str(), crate::arn::policy(&call.tenant, name)));
    }
    let policy = first_version(call, name, document, tags);
    let mut batch = call.batch();
    batch.insert(Record::Policy(policy.clone()));
    batch.audit.push(call.entry("policy.create", name.as_str(), ""));
    Ok(Decision {
        batch,
        events: Vec::new(),
        reply: policy,
    })
}

/// GetPolicy, and the first step of everything about a policy.
pub fn found<'a>(
    name: &PolicyName,
    existing: Option<&'a Versioned<Policy>>,
) -> Result<&'a Versioned<Policy>, Refusal> {
    existing.ok_or_else(|| {
        Refusal::new(
            Exception::ResourceNotFound,
            "fleet.policy.missing",
            format!("there is no policy named {name}"),
        )
    })
}

/// DeletePolicy: only without other versions and without targets. `has_targets` is whether any attachment names it.
pub fn delete(
    call: &Call,
    name: &PolicyName,
    existing: Option<&Versioned<Policy>>,
    has_targets: bool,
) -> Decided<()> {
    let existing = found(name, existing)?;
    let (why, hint) = if existing.record.versions.len() > 1 {
        (
            "it has versions besides the default one",
            "delete them first (DeletePolicyVersion)",
        )
    } else if has_targets {
        (
            "it is attached",
            "detach it from every target first (ListTargetsForPolicy, DetachPolicy)",
        )
    } else {
        let mut batch = call.batch();
        batch.delete(Key::Policy(name.clone()), existing.version);
        batch.at_most(Relation::TargetsOf(name.clone()), 0);
        batch.audit.push(call.entry("policy.delete", name.as_str(), ""));
        return Ok(Decision {
            batch,
            events: Vec::new(),
            reply: (),
        });
    };
    Err(Refusal::new(
        Exception::DeleteConflict,
        "fleet.policy.in_use",
        format!("policy {name} cannot be deleted: {why}"),
    )
    .hint(hint))
}

/// A policy with its first version.
pub(crate) fn first_version(call: &Call, name: &PolicyName, document: &str, tags: Vec<Tag>) -> Policy {
    let id = PolicyVersionId(1);
    Policy {
        name: name.clone(),
        versions: vec![PolicyVersion {
            id,
            document: Arc::from(document),
            created: call.now,
        }],
        default_version: id,
        last_version: id,
        created: call.now,
        modified: call.now,
        tags,
    }
}
