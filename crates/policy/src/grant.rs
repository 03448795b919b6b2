//! What a certificate was granted, and the decision: explicit deny first, then any allow, otherwise no.

use std::sync::Arc;

use identity::{CertificateId, Tenant, UnixMillis};

use crate::action::Action;
use crate::context::Context;
use crate::document::{Effect, Policy, Statement};
use crate::explain;
use crate::resource::Resource;

/// The policies of one certificate as they were when its state of trust was read. Only who read that state, with the
/// certificate ACTIVE and inside its validity, makes one.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Whose certificate.
    pub tenant: Tenant,
    /// Which certificate; what stands in its place if `by_certificate` is false.
    pub certificate: CertificateId,
    /// Whether the client showed a certificate. Without one many clients may be the same principal, as those of one access key.
    pub by_certificate: bool,
    /// The tenant's trust epoch when the state was read: a change of trust raises it, and what is older does not count any more.
    pub epoch: u64,
    policies: Arc<[NamedPolicy]>,
}

/// A policy with the name it has in the account. Cloning it shares the compiled document.
#[derive(Clone, Debug)]
pub struct NamedPolicy {
    name: Arc<str>,
    policy: Arc<Policy>,
}

impl NamedPolicy {
    /// Names a policy.
    pub fn new(name: impl Into<Arc<str>>, policy: impl Into<Arc<Policy>>) -> Self {
        Self {
            name: name.into(),
            policy: policy.into(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn statements(&self) -> &[Statement] {
        &self.policy.statements
    }
}

impl Grant {
    /// The set of policies that count for a certificate: those attached to it and to the groups of its things.
    pub fn new(
        tenant: Tenant,
        certificate: CertificateId,
        epoch: u64,
        policies: impl Into<Arc<[NamedPolicy]>>,
    ) -> Self {
        Self {
            tenant,
            certificate,
            by_certificate: true,
            epoch,
            policies: policies.into(),
        }
    }

    /// The same for a client that showed no certificate; the id given stands in its place.
    #[must_use]
    pub const fn without_certificate(mut self) -> Self {
        self.by_certificate = false;
        self
    }

    /// The policies, in the order in which they are gone through.
    #[must_use]
    pub fn policies(&self) -> &[NamedPolicy] {
        &self.policies
    }

    /// The statement with an id that a verdict gave out.
    pub(crate) fn statement(&self, id: StatementId) -> Option<(&NamedPolicy, &Statement)> {
        let policy = self.policies.get(id.policy)?;
        Some((policy, policy.statements().get(id.statement)?))
    }
}

/// One question to a grant.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What is to be done.
    pub action: Action,
    /// To what.
    pub resource: Resource<'a>,
    /// By whom, from where.
    pub context: &'a Context,
    /// When.
    pub now: UnixMillis,
}

/// Which statement of a grant: both numbers count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementId {
    /// Position of the policy in [`Grant::policies`].
    pub policy: usize,
    /// Position of the statement in its document.
    pub statement: usize,
}

/// The answer, with the statement that decided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// A statement allows it and none denies it.
    Allowed(StatementId),
    /// A statement denies it, whatever others allow.
    ExplicitDeny(StatementId),
    /// No statement says anything about it.
    ImplicitDeny {
        /// How many statements were gone through.
        considered: usize,
    },
}

impl Verdict {
    /// The only answer that lets it happen.
    #[must_use]
    pub const fn is_allowed(self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    /// The answer in words, for the grant and request it was given for: the policy and statement that decided, with variables
    /// replaced by their values, and for an implicit deny the smallest statement that would allow it.
    #[must_use]
    pub fn explain(self, grant: &Grant, request: &Request<'_>) -> String {
        explain::explain(self, grant, request)
    }
}

/// Decides a request: explicit deny, then allow, then no (AWS IAM user guide, "Policy evaluation logic").
pub fn decide(grant: &Grant, request: &Request<'_>) -> Verdict {
    request
        .resource
        .with_arn(&grant.tenant, |arn| decide_on(grant, request, arn))
}

fn decide_on(grant: &Grant, request: &Request<'_>, arn: &str) -> Verdict {
    let mut allowed = None;
    let mut considered = 0;
    for (policy, named) in grant.policies.iter().enumerate() {
        for (statement, rule) in named.statements().iter().enumerate() {
            considered += 1;
            // An allow after the first changes nothing; a deny always does.
            if rule.effect == Effect::Allow && allowed.is_some() {
                continue;
            }
            if !rule.applies(request.action, arn, request.context, request.now) {
                continue;
            }
            let id = StatementId { policy, statement };
            match rule.effect {
                Effect::Deny => return Verdict::ExplicitDeny(id),
                Effect::Allow => allowed = Some(id),
            }
        }
    }
    allowed.map_or(Verdict::ImplicitDeny { considered }, Verdict::Allowed)
}
