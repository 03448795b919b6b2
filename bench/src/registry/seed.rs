//! Fills a registry: devices like one that was provisioned by its first connection, kept through the real store, one batch each.
//!
//! Their certificates differ from the first one's in nothing but the name, so nobody could connect with them; each is as long as
//! the first one's, and has a fingerprint of its own.

use std::collections::VecDeque;
use std::future::Future as _;
use std::path::Path;
use std::task::{Context, Poll, Waker};

use fleet::audit::{Actor, Entry};
use fleet::batch::{Batch, Record};
use fleet::page::PageRequest;
use fleet::record::{
    DeviceCertificate, PolicyAttachment, PolicyTarget, PrincipalType, Thing, ThingPrincipal, Uuid,
};
use fleet::text::Text;
use identity::crypto::sha256;
use identity::{CertificateId, Tenant};
use store::{DataDirectory, LocalRecords, Records as _, wait};

use crate::Outcome;

/// Batches that wait for the writer at the same time.
const IN_FLIGHT: usize = 1_024;

/// Names of seeded devices; real ones have the same length and another beginning.
pub(super) fn name(number: u64) -> String {
    format!("seed-{number:08}")
}

/// What every device has.
struct Pattern {
    certificate: DeviceCertificate,
    thing: Thing,
    attachments: Vec<PolicyAttachment>,
    tenant: Tenant,
}

/// Adds so many devices to the registry in a data directory that nobody uses.
pub(super) fn fill(data: &Path, pattern: &str, count: u64) -> Outcome<()> {
    let records = LocalRecords::open(&DataDirectory::open(data)?)?;
    let pattern = Pattern::look_up(&records, pattern)?;
    let mut waiting = VecDeque::with_capacity(IN_FLIGHT);
    for number in 0..count {
        // Devices connect in any order, not in that of their names.
        let batch = pattern.batch(&name(number * 7_919 % count), number)?;
        let mut commit = Box::pin(records.commit(batch));
        match commit.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(kept) => drop(kept?),
            Poll::Pending => waiting.push_back(commit),
        }
        if waiting.len() >= IN_FLIGHT {
            for commit in waiting.drain(..) {
                wait(commit)?;
            }
        }
    }
    for commit in waiting {
        wait(commit)?;
    }
    Ok(())
}

/// Bytes of the registry on disk.
pub(super) fn disk_bytes(data: &Path) -> Outcome<u64> {
    Ok(data.join("records.sqlite").metadata()?.len())
}

impl Pattern {
    fn look_up(records: &LocalRecords, name: &str) -> Outcome<Self> {
        let tenant = Tenant::default();
        let thing = wait(records.thing(&tenant, &name.parse()?))?.ok_or("the pattern is no thing")?;
        let page = wait(records.list_thing_principals(&tenant, &thing.record.name, PageRequest::first()))?;
        let principal = page
            .items
            .first()
            .ok_or("the pattern has no certificate")?
            .certificate;
        let certificate = wait(records.certificate(&tenant, &principal))?.ok_or("no certificate")?;
        let attachments = wait(records.policies_of(&tenant, &PolicyTarget::Certificate(principal)))?;
        Ok(Self {
            certificate: certificate.record,
            thing: thing.record,
            attachments: attachments.into_iter().map(|kept| kept.record).collect(),
            tenant,
        })
    }

    fn batch(&self, name: &str, number: u64) -> Outcome<Batch> {
        let der = replace(&self.certificate.der, self.thing.name.as_str(), name)?;
        let id = CertificateId(sha256(&der));
        let thing: identity::ThingName = name.parse()?;
        let mut batch = Batch::new(&self.tenant);
        let mut uuid = [0; 16];
        uuid.copy_from_slice(id.0.get(..16).ok_or("a hash is short")?);
        batch.insert(Record::Thing(Thing {
            name: thing.clone(),
            id: Uuid(uuid),
            ..self.thing.clone()
        }));
        for attachment in &self.attachments {
            batch.insert(Record::Attachment(PolicyAttachment {
                target: PolicyTarget::Certificate(id),
                ..attachment.clone()
            }));
        }
        batch.insert(Record::ThingPrincipal(ThingPrincipal {
            thing: thing.clone(),
            certificate: id,
            kind: PrincipalType::NonExclusive,
        }));
        batch.insert(Record::Certificate(DeviceCertificate {
            id,
            der: der.into(),
            ..self.certificate.clone()
        }));
        let at = self.thing.created;
        batch.audit.push(Entry {
            at: identity::UnixMillis(at.0 + number as i64),
            actor: Actor::Device(Text::short(format!("{id}@127.0.0.1"))),
            action: "certificate.first_connection",
            subject: Text::short(id.to_string()),
            detail: Text::long(format!("thing {name}")),
        });
        batch.raises_epoch = true;
        Ok(batch)
    }
}

/// The same bytes with another name of the same length in them.
pub(super) fn replace(der: &[u8], old: &str, new: &str) -> Outcome<Vec<u8>> {
    if old.len() != new.len() {
        return Err(format!("{old} and {new} differ in length").into());
    }
    let mut der = der.to_vec();
    let at = der.windows(old.len()).position(|part| part == old.as_bytes());
    let at = at.ok_or("the certificate does not name its thing")?;
    if let Some(part) = der.get_mut(at..at + new.len()) {
        part.copy_from_slice(new.as_bytes());
    }
    Ok(der)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_replaced_by_one_of_the_same_length() {
        assert_eq!(replace(b"..real..", "real", "seed").unwrap(), b"..seed..");
        assert!(replace(b"..real..", "real", "longer").is_err());
        assert!(replace(b"..other.", "real", "seed").is_err());
    }
}
