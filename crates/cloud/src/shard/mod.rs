//! The shards: each a thread that carries its share of the established connections, and owns everything about them.
//!
//! They stand behind the front door. A connection belongs to the shard that the hash of its account and client id names, so
//! two connections with one client id always meet. What another shard must know comes as [`Mail`], in bounded queues; what they
//! share is a table of who listens to what, so that mail goes only to those that want it. A shard decides nothing; its [`broker::Node`] does.

mod changes;
mod connection;
mod footings;
mod gates;
mod log;
mod mail;
mod run;
mod state;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use broker::{ConnectionId, Interests, Message, RetainedMessage, Trust};
use fleet::attempt::Verdict;
use fleet::names::PolicyName;
use identity::{CertificateId, Tenant, UnixMillis};
use mqtt::{QoS, TopicName};
use policy::{CertificateFacts, Grant, ThingFacts};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::timeout;

pub(crate) use log::{Restored, open_all};
pub(crate) use mail::{ClientNews, Direct, Holder, Mail, ThingNews};
pub(crate) use run::start;

use crate::api::ApiFault;
use crate::arrival::Record;
use crate::control::Control;
use crate::domains::Domain;
use crate::events::Announcement;
use crate::footing::{Footing, Ground};
use crate::limits::{SHARD_MAILBOX_MAX, TRUST_DEADLINE};
use crate::metrics::ShardReading;
use crate::wire::DetachedWire;

/// What was found out about a client before it came to its shard.
pub(crate) struct Clearance {
    /// What its certificate may do.
    pub(crate) grant: Arc<Grant>,
    /// What policies can ask about its certificate.
    pub(crate) facts: Arc<CertificateFacts>,
    /// What policies can ask about the things that its certificate is attached to.
    pub(crate) things: Arc<[ThingFacts]>,
    /// Whether it named its endpoint.
    pub(crate) by_name: bool,
    /// When its time is up, if it is.
    pub(crate) lease: Option<Lease>,
    /// What else it rests on; most rest on nothing but their certificate.
    pub(crate) footing: Option<Box<Footing>>,
}

impl Clearance {
    /// It ends with this, which was looked up at this mark of the withdrawals or later.
    pub(crate) fn resting_on(mut self, ground: Ground, mark: u64) -> Self {
        self.footing.get_or_insert_default().grounds.push((ground, mark));
        self
    }

    /// It ends with the domain that it came by, if it came by one.
    pub(crate) fn by_domain(self, domain: Option<&Domain>) -> Self {
        match domain {
            None => self,
            Some(domain) => {
                let name = domain.configuration.domain.as_str();
                self.resting_on(Ground::Domain(name.into()), domain.mark)
            }
        }
    }

    /// It is granted what these policies say, by their names.
    pub(crate) fn by_names(mut self, names: Arc<[PolicyName]>) -> Self {
        self.footing.get_or_insert_default().policies = Some(names);
        self
    }
}

/// A connection's end, which is certain from the beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    pub(crate) until: UnixMillis,
    pub(crate) kind: broker::Lease,
}

/// A connection on its way to its shard.
pub(crate) struct Arrival {
    pub(crate) wire: DetachedWire,
    /// What the client has sent so far, beginning with its CONNECT.
    pub(crate) received: Vec<u8>,
    pub(crate) clearance: Clearance,
    pub(crate) record: Record,
    /// Given back when it has arrived.
    pub(crate) place: OwnedSemaphorePermit,
}

impl Arrival {
    /// Ends it, since nobody takes it any more.
    pub(crate) fn turn_away(self, control: &Control) {
        let reason = "the server is shutting down";
        let hint = "connect again later";
        self.record
            .end(control, Verdict::Faulted, "cloud.shutdown", reason, hint);
    }
}

/// A change of trust that every shard has to act on.
#[derive(Clone, Debug)]
pub(crate) struct TrustChange {
    pub(crate) certificate: CertificateId,
    /// What it may do from now on; `None`: nothing.
    pub(crate) grant: Option<Arc<Grant>>,
}

/// How far one shard is with beginning anew.
#[derive(Debug, Default)]
struct Lives {
    /// Everything of earlier lives is given up.
    fallen: AtomicU32,
    /// It is made of its log again.
    rebuilt: AtomicU32,
}

/// The way to all shards.
#[derive(Clone, Debug)]
pub(crate) struct Shards {
    mailboxes: Arc<[mpsc::Sender<Mail>]>,
    /// Whether any client has ever subscribed to messages of the server's own.
    listened: Arc<AtomicBool>,
    /// By shard, the subscriptions of sessions that outlive their connection.
    kept: Arc<[AtomicUsize]>,
    /// By shard, how far it is with beginning anew.
    lives: Arc<[Lives]>,
    /// Which shards have somebody who listens to what.
    interests: Arc<Interests>,
    /// By shard, the connections that a drain has not ended yet.
    left: Arc<[AtomicUsize]>,
}

impl Shards {
    /// So many shards, and where each takes its mail out.
    pub(crate) fn new(count: usize) -> (Self, Vec<mpsc::Receiver<Mail>>) {
        let (mailboxes, slots): (Vec<_>, Vec<_>) =
            (0..count).map(|_| mpsc::channel(SHARD_MAILBOX_MAX)).unzip();
        (
            Self {
                mailboxes: mailboxes.into(),
                listened: Arc::default(),
                kept: (0..count).map(|_| AtomicUsize::new(0)).collect(),
                lives: (0..count).map(|_| Lives::default()).collect(),
                interests: Arc::default(),
                left: (0..count).map(|_| AtomicUsize::new(usize::MAX)).collect(),
            },
            slots,
        )
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.mailboxes.len()
    }

    /// Which of them have somebody who listens to what.
    pub(crate) const fn interests(&self) -> &Arc<Interests> {
        &self.interests
    }

    /// The mailbox of one shard.
    pub(crate) fn mailbox(&self, index: usize) -> Option<&mpsc::Sender<Mail>> {
        self.mailboxes.get(index)
    }

    /// Hands connections to their shard; gives them back if that shard has ended.
    pub(crate) async fn arrive(&self, index: usize, arrivals: Vec<Arrival>) -> Result<(), Vec<Arrival>> {
        let Some(mailbox) = self.mailboxes.get(index) else {
            return Err(arrivals);
        };
        match mailbox.send(Mail::Arrive(arrivals)).await {
            Err(mpsc::error::SendError(Mail::Arrive(arrivals))) => Err(arrivals),
            _ => Ok(()),
        }
    }

    /// Publishes a message of the server's own, if anybody could listen. It promises no delivery to a shard whose mailbox is
    /// full.
    pub(crate) fn announce(&self, tenant: &Tenant, announcement: Announcement) {
        if !self.has_listeners() {
            return;
        }
        let Ok(topic) = TopicName::new(&announcement.topic) else {
            return;
        };
        let message = Message::new(*tenant, topic, &announcement.payload, QoS::AtLeastOnce);
        if let (Ok(message), Some(mailbox)) = (message, self.mailboxes.first()) {
            let answer = None;
            let _ = mailbox.try_send(Mail::Publish { message, answer });
        }
    }

    /// Publishes a message of an API caller; at QoS 1 it ends when the message is kept for all who are to get it.
    pub(crate) async fn publish(&self, message: Arc<Message>) -> Result<(), ApiFault> {
        let mailbox = self.mailboxes.first().ok_or_else(stopped)?;
        let (sender, receiver) = oneshot::channel();
        let promises = message.qos() != QoS::AtMostOnce || message.is_retained();
        let answer = promises.then_some(sender);
        let sent = mailbox.send(Mail::Publish { message, answer }).await;
        sent.map_err(|_| stopped())?;
        if promises {
            let kept = timeout(TRUST_DEADLINE, receiver).await;
            kept.map_err(|_| late("keep a message"))?.map_err(|_| stopped())?;
        }
        Ok(())
    }

    /// Takes an answer to the connection that asked.
    pub(crate) async fn answer(&self, shard: usize, connection: ConnectionId, message: Option<Arc<Message>>) {
        if let Some(mailbox) = self.mailboxes.get(shard) {
            let _ = mailbox.send(Mail::Answer { connection, message }).await;
        }
    }

    /// The message that stays on a topic.
    pub(crate) async fn retained(
        &self,
        tenant: &Tenant,
        topic: &str,
    ) -> Result<Option<RetainedMessage>, ApiFault> {
        let (tenant, topic) = (*tenant, topic.into());
        self.ask_first(|answer| Mail::Retained {
            tenant,
            topic,
            answer,
        })
        .await
    }

    /// One page of the messages that stay on topics, in the order of the topics, beginning after one.
    pub(crate) async fn list_retained(
        &self,
        tenant: &Tenant,
        after: Option<&str>,
        count: usize,
    ) -> Result<Vec<RetainedMessage>, ApiFault> {
        let (tenant, after) = (*tenant, after.map(Into::into));
        self.ask_first(|answer| Mail::ListRetained {
            tenant,
            after,
            count,
            answer,
        })
        .await
    }

    /// How a client stands, and what it listens to.
    pub(crate) async fn client(
        &self,
        tenant: &Tenant,
        client_id: &str,
    ) -> Result<Option<ClientNews>, ApiFault> {
        let (tenant, name) = (*tenant, client_id.into());
        let index = self.index_of(&tenant, client_id);
        self.ask(index, |answer| Mail::Client {
            tenant,
            client_id: name,
            answer,
        })
        .await
    }

    /// Sends a message to one client, whatever it has subscribed to. Nobody else may have the message.
    pub(crate) async fn direct(&self, client_id: &str, message: Arc<Message>) -> Result<Direct, ApiFault> {
        let index = self.index_of(message.tenant(), client_id);
        let client_id = client_id.into();
        self.ask(index, |answer| Mail::Direct {
            client_id,
            message,
            answer,
        })
        .await
    }

    /// Ends a client's connection, and its session if it is to end clean; false if there is no such client.
    pub(crate) async fn disconnect(
        &self,
        tenant: &Tenant,
        client_id: &str,
        (clean, forget_will): (bool, bool),
    ) -> Result<bool, ApiFault> {
        let (tenant, name) = (*tenant, client_id.into());
        let index = self.index_of(&tenant, client_id);
        self.ask(index, |answer| Mail::Disconnect {
            tenant,
            client_id: name,
            clean,
            forget_will,
            answer,
        })
        .await
    }

    /// Which shard a client belongs to.
    pub(crate) fn index_of(&self, tenant: &Tenant, client_id: &str) -> usize {
        log::shard_of(&tenant.account, client_id, self.mailboxes.len())
    }

    /// Asks one shard what all of them know.
    async fn ask_first<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Mail) -> Result<T, ApiFault> {
        self.ask(0, question).await
    }

    async fn ask<T>(
        &self,
        index: usize,
        question: impl FnOnce(oneshot::Sender<T>) -> Mail,
    ) -> Result<T, ApiFault> {
        let mailbox = self.mailboxes.get(index).ok_or_else(stopped)?;
        let (sender, receiver) = oneshot::channel();
        mailbox.send(question(sender)).await.map_err(|_| stopped())?;
        let answer = timeout(TRUST_DEADLINE, receiver).await;
        answer.map_err(|_| late("answer"))?.map_err(|_| stopped())
    }

    /// Asks every shard what it counted; none of one whose mailbox is full.
    pub(crate) fn measure(&self) -> Vec<Option<oneshot::Receiver<Box<ShardReading>>>> {
        let ask = |mailbox: &mpsc::Sender<Mail>| {
            let (answer, receiver) = oneshot::channel();
            let sent = mailbox.try_send(Mail::Measure { answer });
            sent.is_ok().then_some(receiver)
        };
        self.mailboxes.iter().map(ask).collect()
    }

    /// How many pieces of mail wait, all shards together.
    pub(crate) fn mail_waiting(&self) -> usize {
        let waiting = |mailbox: &mpsc::Sender<Mail>| mailbox.max_capacity() - mailbox.capacity();
        self.mailboxes.iter().map(waiting).sum()
    }

    /// Notes how many subscriptions of sessions that outlive their connection a shard has.
    pub(crate) fn note_kept(&self, index: usize, count: usize) {
        if let Some(kept) = self.kept.get(index)
            && kept.load(Ordering::Relaxed) != count
        {
            kept.store(count, Ordering::Release);
        }
    }

    /// How many there are.
    pub(crate) fn kept(&self, index: usize) -> usize {
        self.kept
            .get(index)
            .map_or(0, |kept| kept.load(Ordering::Acquire))
    }

    /// Notes that a shard has given up everything of earlier lives.
    pub(crate) fn note_fallen(&self, index: usize, life: u32) {
        if let Some(lives) = self.lives.get(index) {
            lives.fallen.store(life, Ordering::Release);
        }
    }

    /// The latest life that any shard has fallen into.
    pub(crate) fn latest_life(&self) -> u32 {
        let fallen = self
            .lives
            .iter()
            .map(|lives| lives.fallen.load(Ordering::Acquire));
        fallen.max().unwrap_or(0)
    }

    /// Whether no shard works in an earlier life any more.
    pub(crate) fn all_fallen(&self, life: u32) -> bool {
        self.lives
            .iter()
            .all(|lives| lives.fallen.load(Ordering::Acquire) >= life)
    }

    /// Notes that a shard is made of its log again.
    pub(crate) fn note_rebuilt(&self, index: usize, life: u32) {
        if let Some(lives) = self.lives.get(index) {
            lives.rebuilt.store(life, Ordering::Release);
        }
    }

    /// Whether all are.
    pub(crate) fn all_rebuilt(&self, life: u32) -> bool {
        self.lives
            .iter()
            .all(|lives| lives.rebuilt.load(Ordering::Acquire) >= life)
    }

    /// Notes how many connections a drain has left on a shard; false when there is none on any.
    pub(crate) fn note_left(&self, index: usize, count: usize) -> bool {
        if let Some(left) = self.left.get(index) {
            left.store(count, Ordering::Release);
        }
        self.left.iter().any(|left| left.load(Ordering::Acquire) > 0)
    }

    /// Whether anybody has ever subscribed to messages of the server's own.
    pub(crate) fn has_listeners(&self) -> bool {
        self.listened.load(Ordering::Relaxed)
    }

    /// Remembers that somebody listens to messages of the server's own.
    pub(crate) fn note_listener(&self) {
        self.listened.store(true, Ordering::Relaxed);
    }

    /// Ends every connection that rests on this; returns when each has ended.
    pub(crate) async fn withdraw(&self, ground: Ground) -> Result<(), ApiFault> {
        let withdrawn = self.ask_all(|answer| Mail::Withdraw {
            ground: ground.clone(),
            answer,
        });
        withdrawn.await.map(drop)
    }

    /// Lets an authorizer be asked again about everybody whom it let in.
    pub(crate) async fn inquire_now(&self, ground: Ground) -> Result<(), ApiFault> {
        let begun = self.ask_all(|answer| Mail::Inquire {
            ground: ground.clone(),
            answer,
        });
        begun.await.map(drop)
    }

    /// Tells every shard that a policy changed: from then on it takes no grant that was made before. Ends with the
    /// holders of live connections whose grants have to be made anew.
    pub(crate) async fn holders(
        &self,
        tenant: &Tenant,
        policy: &str,
        epoch: u64,
    ) -> Result<Vec<Holder>, ApiFault> {
        let policy: Arc<str> = Arc::from(policy);
        let holders = self.ask_all(|answer| Mail::Policy {
            tenant: *tenant,
            policy: policy.clone(),
            epoch,
            answer,
        });
        Ok(holders.await?.into_iter().flatten().collect())
    }

    /// Changes what certificates may do on every shard; ends when each has acted on it.
    pub(crate) async fn change_trust(
        &self,
        tenant: &Tenant,
        epoch: u64,
        changes: Vec<TrustChange>,
    ) -> Result<(), ApiFault> {
        let changes = changes
            .into_iter()
            .map(|TrustChange { certificate, grant }| Trust {
                tenant: *tenant,
                certificate,
                epoch: grant.as_ref().map_or(epoch, |grant| grant.epoch.max(epoch)),
                grant,
            });
        let changes: Arc<[Trust]> = changes.collect();
        self.ask_all(|answer| Mail::Trust {
            changes: changes.clone(),
            answer,
        })
        .await
        .map(drop)
    }

    /// Tells every shard what is now known of a thing; ends when each has acted on it.
    pub(crate) async fn change_thing(&self, news: ThingNews) -> Result<(), ApiFault> {
        let news = Arc::new(news);
        self.ask_all(|answer| Mail::Thing {
            news: news.clone(),
            answer,
        })
        .await
        .map(drop)
    }

    /// Sends a question to every shard and waits for all answers.
    async fn ask_all<T>(&self, question: impl Fn(oneshot::Sender<T>) -> Mail) -> Result<Vec<T>, ApiFault> {
        let asked = async {
            let mut awaited = Vec::with_capacity(self.mailboxes.len());
            for mailbox in self.mailboxes.iter() {
                let (sender, receiver) = oneshot::channel();
                mailbox.send(question(sender)).await.map_err(|_| stopped())?;
                awaited.push(receiver);
            }
            let mut answers = Vec::with_capacity(awaited.len());
            for receiver in awaited {
                answers.push(receiver.await.map_err(|_| stopped())?);
            }
            Ok(answers)
        };
        timeout(TRUST_DEADLINE, asked)
            .await
            .unwrap_or_else(|_| Err(late("act on a change of trust")))
    }
}

fn late(what: &str) -> ApiFault {
    ApiFault::failed(format!("a shard did not {what} in time"))
}

fn stopped() -> ApiFault {
    ApiFault::Busy("the server is shutting down")
}
