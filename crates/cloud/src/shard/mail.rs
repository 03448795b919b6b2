//! What a shard is told from outside: new connections, messages of other shards, and changes of trust.

use std::sync::Arc;

use broker::{Message, Trust};
use identity::{CertificateId, Tenant, ThingName};
use policy::ThingFacts;
use tokio::sync::oneshot;

use super::Arrival;

/// One piece of mail.
pub(crate) enum Mail {
    /// A client that may come in.
    Arrive(Box<Arrival>),
    /// Messages that another shard's clients published.
    Forwarded(Vec<Arc<Message>>),
    /// A message of the server or its API.
    Publish(Arc<Message>),
    /// Certificates may do something else from now on.
    Trust {
        /// What changed.
        changes: Arc<[Trust]>,
        /// Answered when it is so.
        answer: oneshot::Sender<()>,
    },
    /// A thing is not what it was.
    Thing {
        /// What is known of it now.
        news: Arc<ThingNews>,
        /// Answered when it is so.
        answer: oneshot::Sender<()>,
    },
    /// A policy says something else from now on.
    Policy {
        /// Whose policy.
        tenant: Tenant,
        /// Which.
        policy: Arc<str>,
        /// The trust epoch of the change: grants made before are not taken any more.
        epoch: u64,
        /// Answered with the certificates of live connections that have it.
        answer: oneshot::Sender<Vec<CertificateId>>,
    },
}

/// What is known of a thing after a change.
#[derive(Clone, Debug)]
pub(crate) struct ThingNews {
    pub(crate) tenant: Tenant,
    pub(crate) name: ThingName,
    /// `None`: it is gone.
    pub(crate) facts: Option<ThingFacts>,
    /// The certificates that it is attached to.
    pub(crate) attached_to: Vec<CertificateId>,
    /// The trust epoch of the change.
    pub(crate) epoch: u64,
}
