//! What is known of a device right after its first connection was kept, without looking it up.
//!
//! It stands between first connections and the acquaintances: the device comes back within seconds, and what its look-up would
//! find has just been written. Only what follows from the kept batch alone is taken; the policy is the version that the batch
//! demanded. It must never guess: in any doubt there is nothing here, and the records are asked when the device comes back.

use std::sync::Arc;

use fleet::admission::Registered;
use fleet::batch::{Batch, Check, Expect, Key, Record, Write};
use fleet::names::PolicyName;
use fleet::record::{CertificateStatus, PolicyTarget, Thing};
use identity::certificate::Certificate;
use identity::{CertificateId, Tenant, ThingName};
use policy::{CertificateFacts, Grant};
use store::LocalRecords;

use crate::acquaintances::Known;
use crate::trust::{Grants, facts_of_each};

/// What a batch makes of a certificate that was not there before.
pub(super) struct Newcomer {
    registered: Registered,
    thing: Option<Thing>,
    /// Its policy, and the commit that wrote it.
    policy: Option<(PolicyName, u64)>,
}

/// What was found in the batch so far.
#[derive(Default)]
struct Found<'a> {
    registered: Option<Registered>,
    thing: Option<&'a Thing>,
    attached: Option<&'a ThingName>,
    policy: Option<&'a PolicyName>,
}

impl Newcomer {
    /// Reads it out of the batch of a first connection; none if not all of it is there.
    pub(super) fn of(batch: &Batch, id: &CertificateId) -> Option<Self> {
        let mut found = Found::default();
        let is_understood = batch.writes.iter().all(|write| found.note(write, id));
        let is_whole = batch.beside.is_none() && found.thing.map(|thing| &thing.name) == found.attached;
        let registered = found.registered?;
        if !is_understood || !is_whole || registered.status != CertificateStatus::Active {
            return None;
        }
        let policy = match found.policy {
            None => None,
            Some(name) => Some((name.clone(), demanded(batch, name)?)),
        };
        Some(Self {
            registered,
            thing: found.thing.cloned(),
            policy,
        })
    }

    /// What a look-up would find now; `epoch` is the tenant's after the batch was kept.
    pub(super) async fn known(
        self,
        grants: &Grants,
        records: &LocalRecords,
        tenant: &Tenant,
        leaf: &Certificate,
        epoch: u64,
    ) -> Option<Known> {
        let policies = match &self.policy {
            None => Arc::default(),
            Some((name, version)) => grants.alone(records, tenant, name, *version).await?,
        };
        let id = self.registered.id;
        Some(Known {
            registered: self.registered,
            grant: Arc::new(Grant::new(*tenant, id, epoch, policies)),
            facts: Arc::new(CertificateFacts::of(id, leaf)),
            things: facts_of_each(self.thing),
        })
    }
}

impl<'a> Found<'a> {
    /// Whether it is understood what this does to the certificate.
    fn note(&mut self, write: &'a Write, id: &CertificateId) -> bool {
        let Write::Put {
            record,
            expect: Expect::Absent,
        } = write
        else {
            // An entry of a manifest is marked as used; nobody is granted anything by that.
            return matches!(
                write,
                Write::Put {
                    record: Record::ManifestEntry(_),
                    ..
                }
            );
        };
        match record {
            Record::Certificate(certificate) if certificate.id == *id => {
                self.registered.replace(certificate.into()).is_none()
            }
            Record::Thing(thing) => self.thing.replace(thing).is_none(),
            Record::ThingPrincipal(principal) if principal.certificate == *id => {
                self.attached.replace(&principal.thing).is_none()
            }
            // Several stand in the order of their records, which nothing here tells.
            Record::Attachment(attachment) if attachment.target == PolicyTarget::Certificate(*id) => {
                self.policy.replace(&attachment.policy).is_none()
            }
            _ => false,
        }
    }
}

/// The commit that wrote a policy, if the batch demanded that no other has changed it since.
fn demanded(batch: &Batch, policy: &PolicyName) -> Option<u64> {
    batch.checks.iter().find_map(|check| match check {
        Check::Is {
            key: Key::Policy(name),
            expect: Expect::Version(version),
        } if name == policy => Some(*version),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
