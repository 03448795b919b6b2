//! Suspected clones: seen across all shards, told to those who listen, written down, and ended where the operator wants that.
//!
//! It stands between the shards and `fleet::clones`, which decides. A shard tells of each connection with a certificate when it
//! is let in and when it ends; both cost a look into one table and no waiting.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fleet::audit::{Actor, Entry};
use fleet::batch::Batch;
use fleet::clones::{Answer, Place, Presence, Suspicion, Watch};
use fleet::text::Text;
use identity::{CertificateId, Tenant, UnixMillis};
use serde_json::json;
use store::Records as _;

use crate::control::Control;
use crate::events::Announcement;
use crate::shard::Mail;

/// The table of all shards.
#[derive(Debug, Default)]
pub(crate) struct Clones(Mutex<Watch>);

/// A connection that makes one suspicious.
#[derive(Clone, Debug)]
pub(crate) struct Suspect {
    pub(crate) tenant: Tenant,
    pub(crate) certificate: CertificateId,
    pub(crate) client_id: String,
    pub(crate) address: String,
    pub(crate) answer: Answer,
}

/// Tells client ids apart. One that the server made is like no other.
pub(crate) fn client_number(client_id: &str, place: Place) -> u64 {
    let mut hasher = DefaultHasher::new();
    match client_id {
        "" => (place.shard, place.connection).hash(&mut hasher),
        name => name.hash(&mut hasher),
    }
    hasher.finish()
}

impl Clones {
    /// A connection has begun.
    pub(crate) fn enter(
        &self,
        tenant: &Tenant,
        certificate: CertificateId,
        presence: Presence,
        now: UnixMillis,
    ) -> Option<Suspicion> {
        self.lock().enter(tenant, certificate, presence, now)
    }

    /// A connection has ended.
    pub(crate) fn leave(
        &self,
        tenant: &Tenant,
        certificate: CertificateId,
        place: Place,
        taken_over: bool,
        now: UnixMillis,
    ) {
        self.lock().leave(tenant, certificate, place, taken_over, now);
    }

    fn lock(&self) -> MutexGuard<'_, Watch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Suspect {
    /// What was seen, for people.
    pub(crate) fn reason(&self, suspicion: &Suspicion) -> String {
        let what = match suspicion.cause {
            fleet::clones::Cause::ClientIds => "under another client id",
            fleet::clones::Cause::Networks => "from another network",
        };
        let beside = match suspicion.untold {
            0 => String::new(),
            untold => format!("; {untold} more since this was told last"),
        };
        format!(
            "the certificate is live {what} at the same time (here {:?} from {}, there from {}){beside}",
            self.client_id, self.address, suspicion.network
        )
    }

    /// The event, on `$aws/events/birthmark/clone/suspected/CERTIFICATE`.
    fn announcement(&self, suspicion: &Suspicion, now: UnixMillis) -> Announcement {
        let action = match self.answer {
            Answer::Drop => "drop",
            Answer::Alarm | Answer::Off => "alarm",
        };
        let payload = json!({
            "eventType": "clone_suspected",
            "timestamp": now.0,
            "certificateId": self.certificate.to_string(),
            "cause": suspicion.cause.name(),
            "action": action,
            "clientId": self.client_id,
            "ipAddress": self.address,
            "otherNetwork": suspicion.network.to_string(),
            "suspectedSinceLast": suspicion.untold,
        });
        Announcement {
            topic: format!("$aws/events/birthmark/clone/suspected/{}", self.certificate),
            payload: payload.to_string().into_bytes(),
        }
    }

    /// Tells whoever listens, and the audit log.
    pub(crate) fn tell(self, control: &Arc<Control>, suspicion: &Suspicion, now: UnixMillis) {
        control
            .shards
            .announce(&self.tenant, self.announcement(suspicion, now));
        let mut batch = Batch::new(&self.tenant);
        batch.audit.push(Entry {
            at: now,
            actor: Actor::Device(Text::short(format!("{} from {}", self.certificate, self.address))),
            action: "security.clone_suspected",
            subject: Text::short(self.certificate.to_string()),
            detail: Text::short(self.reason(suspicion)),
        });
        let control = control.clone();
        control.clone().beside(async move {
            // The record of the attempt is there in any case.
            let _ = control.records.commit(batch).await;
        });
    }
}

/// Ends other connections, wherever they are.
pub(crate) fn drop_others(control: &Arc<Control>, others: &[Place]) {
    for place in others {
        let Some(mailbox) = control.shards.mailbox(usize::from(place.shard)) else {
            continue;
        };
        let mail = Mail::Suspected {
            connection: broker::ConnectionId(place.connection),
        };
        if let Err(refused) = mailbox.try_send(mail) {
            let (mailbox, mail) = (mailbox.clone(), refused.into_inner());
            control.beside(async move {
                let _ = mailbox.send(mail).await;
            });
        }
    }
}
