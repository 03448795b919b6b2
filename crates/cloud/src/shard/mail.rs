//! What a shard is told from outside: new connections, messages of other shards, and changes of trust.

use std::net::SocketAddr;
use std::sync::Arc;

use broker::{ClientState, ConnectionId, Forward, Message, RetainedMessage, Share, Trust};
use fleet::names::PolicyName;
use identity::{CertificateId, Tenant, ThingName};
use mqtt::QoS;
use policy::ThingFacts;
use tokio::sync::oneshot;

use super::Arrival;
use crate::footing::Ground;
use crate::metrics::ShardReading;

/// One piece of mail.
pub(crate) enum Mail {
    /// Clients that may come in.
    Arrive(Vec<Arrival>),
    /// What another shard sends.
    Parcels {
        /// Which.
        from: usize,
        /// What.
        parcels: Vec<Parcel>,
        /// Confirm under this number when what had to be kept of it is durable; 0: nothing had to.
        receipt: u64,
        /// In which life of all shards.
        life: u32,
    },
    /// Another shard has made durable what it was sent.
    Confirmed {
        /// Which.
        from: usize,
        /// Up to this number.
        number: u64,
        /// In this life of all shards.
        life: u32,
    },
    /// A shard lost what its log did not take: all begin anew.
    Fallen {
        /// In this life.
        life: u32,
    },
    /// A message of the server or its API.
    Publish {
        /// Which.
        message: Arc<Message>,
        /// Answered when it is kept for all who are to get it.
        answer: Option<oneshot::Sender<bool>>,
    },
    /// An answer of the server to one client's request.
    Answer {
        /// Whose.
        connection: ConnectionId,
        /// What; none if it cannot be written.
        message: Option<Arc<Message>>,
    },
    /// Asks for the message that stays on a topic.
    Retained {
        /// Whose.
        tenant: Tenant,
        /// Where.
        topic: Box<str>,
        /// Answered at once.
        answer: oneshot::Sender<Option<RetainedMessage>>,
    },
    /// Asks for a page of the messages that stay on topics.
    ListRetained {
        /// Whose.
        tenant: Tenant,
        /// After this topic; none: from the first.
        after: Option<Box<str>>,
        /// At most so many.
        count: usize,
        /// Answered at once.
        answer: oneshot::Sender<Vec<RetainedMessage>>,
    },
    /// Asks for what the shard counted.
    Measure {
        /// Answered at once.
        answer: oneshot::Sender<Box<ShardReading>>,
    },
    /// A connection whose certificate is in two places, and which is to end.
    Suspected {
        /// Which.
        connection: ConnectionId,
    },
    /// Asks how a client stands, and what it listens to.
    Client {
        /// Whose.
        tenant: Tenant,
        /// Which.
        client_id: Box<str>,
        /// Answered at once.
        answer: oneshot::Sender<Option<ClientNews>>,
    },
    /// A message for one client.
    Direct {
        /// Which client.
        client_id: Box<str>,
        /// What; nobody else has it.
        message: Arc<Message>,
        /// Answered at once.
        answer: oneshot::Sender<Direct>,
    },
    /// Ends a client's connection.
    Disconnect {
        /// Whose.
        tenant: Tenant,
        /// Which.
        client_id: Box<str>,
        /// Whether its session ends, too.
        clean: bool,
        /// Whether its will is forgotten.
        forget_will: bool,
        /// Answered with whether there is such a client, when that is kept.
        answer: oneshot::Sender<bool>,
    },
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
        /// Answered with the holders of live connections that have it.
        answer: oneshot::Sender<Vec<Holder>>,
    },
    /// What connections rest on counts no more.
    Withdraw {
        /// What.
        ground: Ground,
        /// Answered when they have ended.
        answer: oneshot::Sender<()>,
    },
    /// Asks an authorizer again about those whom it let in.
    Inquire {
        /// What they rest on.
        ground: Ground,
        /// Answered at once.
        answer: oneshot::Sender<()>,
    },
}

/// What became of a message for one client.
#[derive(Debug)]
pub(crate) enum Direct {
    /// It is on its way.
    Sent,
    /// It is on its way; this tells when the client has it, and ends when the connection does.
    Awaited(oneshot::Receiver<()>),
    /// The client is not connected.
    Absent,
    /// Its policies do not let it receive this, in words.
    Forbidden(String),
    /// It takes no packet that long.
    TooLong,
    /// Too much waits for it, or for clients like it.
    Full,
}

/// Who has a policy, of those who are connected.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    /// Its certificate, or what stands in the place of one.
    pub(crate) certificate: CertificateId,
    /// The policies that it is granted by name.
    pub(crate) policies: Option<Arc<[PolicyName]>>,
}

/// What a shard knows of a client.
#[derive(Clone, Debug)]
pub(crate) struct ClientNews {
    pub(crate) state: ClientState,
    /// Where it comes from, with the port.
    pub(crate) peer: Option<SocketAddr>,
    /// Which address of this server it has reached.
    pub(crate) reached: Option<SocketAddr>,
    /// The filters of its subscriptions, in order.
    pub(crate) subscriptions: Vec<(Arc<str>, QoS)>,
}

/// What one shard sends another.
#[derive(Clone, Debug)]
pub(crate) enum Parcel {
    /// A message.
    Forward(Forward),
    /// Who takes part in a shared subscription.
    Share(Share),
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
