//! What every decision takes and gives: who calls and when; what to keep, what to answer and what to tell.

use identity::{CertificateId, Tenant, ThingName, UnixMillis};

use crate::audit::{Actor, Entry};
use crate::batch::Batch;
use crate::names::{GroupName, PolicyName};
use crate::refusal::Refusal;
use crate::registry_event::RegistryEvent;
use crate::text::Text;

/// Whose semantics apply where AWS and the full standards part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Profile {
    /// AWS's semantics and limits.
    #[default]
    Aws,
    /// The full standards and the stricter choices.
    SelfHost,
}

/// The circumstances of one request.
#[derive(Debug, Clone)]
pub struct Call {
    /// Whose records.
    pub tenant: Tenant,
    /// The time at which the request is decided.
    pub now: UnixMillis,
    /// Who asks.
    pub actor: Actor,
    /// Whose semantics.
    pub profile: Profile,
}

impl Call {
    /// An empty batch for this caller's tenant.
    pub(crate) fn batch(&self) -> Batch {
        Batch::new(&self.tenant)
    }

    /// An audit entry of this caller, now.
    pub(crate) fn entry(
        &self,
        action: &'static str,
        subject: impl Into<String>,
        detail: impl Into<String>,
    ) -> Entry {
        Entry {
            at: self.now,
            actor: self.actor.clone(),
            action,
            subject: Text::short(subject),
            detail: Text::long(detail),
        }
    }
}

/// What has to happen once the batch is durable, before the caller is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Grants of this certificate have to be made anew, or its connections closed.
    CertificateTrust(CertificateId),
    /// Grants of every certificate that this policy is attached to have to be made anew.
    PolicyTrust(PolicyName),
    /// Grants of every certificate attached to this thing have to be made anew.
    ThingTrust(ThingName),
    /// Grants of every certificate attached to this thing have to be made anew, for its groups changed.
    ThingGrants(ThingName),
    /// Grants of every certificate attached to a thing in this group, or in one under it, have to be made anew.
    GroupTrust(GroupName),
    /// A certificate that awaits activation was presented: published on
    /// `$aws/events/certificates/registered/<ca>` (AWS IoT developer guide, "Just-in-time registration").
    Registered {
        /// The device certificate.
        certificate: CertificateId,
        /// The CA it was registered under.
        ca: CertificateId,
        /// When it was registered.
        registered: UnixMillis,
        /// Now.
        at: UnixMillis,
    },
    /// A certificate that a gated CA signed was not let in: published on `$aws/events/birthmark/admission/unknown/<ca>`.
    Unlisted {
        /// The certificate.
        certificate: CertificateId,
        /// The hash of its key.
        key: identity::manifest::KeyHash,
        /// The CA that signed it.
        ca: CertificateId,
        /// The stable code of why.
        code: &'static str,
        /// Now.
        at: UnixMillis,
    },
    /// The registry changed: published for those who turned it on.
    Registry(RegistryEvent),
}

impl Event {
    /// Whether live connections may have to change.
    pub fn changes_trust(&self) -> bool {
        !matches!(
            self,
            Self::Registered { .. } | Self::Unlisted { .. } | Self::Registry(_)
        )
    }
}

/// The outcome of a request that is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<R> {
    /// What to keep first.
    pub batch: Batch,
    /// What to tell once, after the batch is durable.
    pub events: Vec<Event>,
    /// What to answer.
    pub reply: R,
}

impl<R> Decision<R> {
    /// The same, and this is told of its reply.
    #[must_use]
    pub(crate) fn telling(mut self, tell: impl FnOnce(&R) -> Event) -> Self {
        self.events.push(tell(&self.reply));
        self
    }

    /// An answer that changes nothing.
    pub(crate) fn unchanged(call: &Call, reply: R) -> Self {
        Self {
            batch: call.batch(),
            events: Vec::new(),
            reply,
        }
    }
}

/// What a decision gives.
pub type Decided<R> = Result<Decision<R>, Refusal>;
