//! Certificates that were looked up lately, with all that follows from their records.
//!
//! They stand before the records: a fleet that comes back after an outage is known already, and its policies are compiled. What is
//! remembered here may have changed since; so whatever changes trust makes it forgotten before the change is answered, and what
//! was read before a change is not remembered after it. A grant carries its trust epoch, as one that was just made, and a shard
//! takes none that is older than a change. Whether a certificate may connect is decided each time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fleet::record::{DeviceCertificate, Thing};
use identity::{CertificateId, Tenant};
use policy::{CertificateFacts, Grant};

use crate::limits::ACQUAINTANCES_MAX;

/// So many parts, each with its own lock and its own count of changes.
const PARTS: usize = 64;

/// What is known of one certificate.
#[derive(Clone, Debug)]
pub(crate) struct Acquaintance {
    tenant: Tenant,
    /// Its record, without the certificate itself.
    pub(crate) certificate: DeviceCertificate,
    /// What it may do.
    pub(crate) grant: Arc<Grant>,
    /// What policies can ask about it.
    pub(crate) facts: Arc<CertificateFacts>,
    /// The things that it is attached to.
    pub(crate) things: Arc<[Thing]>,
}

/// All of them, at most [`ACQUAINTANCES_MAX`].
#[derive(Debug)]
pub(crate) struct Acquaintances(Box<[Mutex<Part>]>);

#[derive(Debug, Default)]
struct Part {
    changes: u64,
    known: HashMap<CertificateId, Acquaintance>,
}

/// Which changes there had been when a look-up began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before(u64);

impl Default for Acquaintances {
    fn default() -> Self {
        Self((0..PARTS).map(|_| Mutex::default()).collect())
    }
}

impl Acquaintances {
    /// What is known of a certificate; or else what to say when it has been looked up.
    pub(crate) fn recall(&self, tenant: &Tenant, id: &CertificateId) -> Result<Acquaintance, Before> {
        let part = self.part(id);
        part.known
            .get(id)
            .filter(|known| known.tenant == *tenant)
            .cloned()
            .ok_or(Before(part.changes))
    }

    /// Remembers what was looked up, unless something changed meanwhile.
    pub(crate) fn remember(&self, tenant: Tenant, before: Before, found: Found) -> Acquaintance {
        let id = found.certificate.id;
        let acquaintance = Acquaintance {
            tenant,
            certificate: DeviceCertificate {
                der: Arc::default(),
                ..found.certificate
            },
            grant: found.grant,
            facts: found.facts,
            things: found.things.into(),
        };
        let mut part = self.part(&id);
        if part.changes == before.0 {
            if part.known.len() >= ACQUAINTANCES_MAX / PARTS {
                part.known.clear();
            }
            part.known.insert(id, acquaintance.clone());
        }
        acquaintance
    }

    /// Something that this certificate's trust rests on has changed.
    pub(crate) fn forget(&self, id: &CertificateId) {
        let mut part = self.part(id);
        part.changes += 1;
        part.known.remove(id);
    }

    /// Something has changed that the trust of many rests on.
    pub(crate) fn forget_all(&self) {
        for part in &self.0 {
            let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
            part.changes += 1;
            part.known = HashMap::new();
        }
    }

    fn part(&self, id: &CertificateId) -> MutexGuard<'_, Part> {
        let index = usize::from(id.0[0]) % self.0.len().max(1);
        self.0[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a look-up found.
pub(crate) struct Found {
    pub(crate) certificate: DeviceCertificate,
    pub(crate) grant: Arc<Grant>,
    pub(crate) facts: Arc<CertificateFacts>,
    pub(crate) things: Vec<Thing>,
}

#[cfg(test)]
mod tests {
    use fleet::record::{CertificateMode, CertificateStatus, Origin};
    use identity::UnixMillis;

    use super::*;

    fn found(number: u16, epoch: u64) -> Found {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&number.to_be_bytes());
        let id = CertificateId(id);
        Found {
            certificate: DeviceCertificate {
                id,
                der: Arc::from(&[1, 2, 3][..]),
                ca: None,
                origin: Origin::Registered,
                status: CertificateStatus::Active,
                mode: CertificateMode::Default,
                not_before: UnixMillis(0),
                not_after: UnixMillis(1),
                created: UnixMillis(0),
                modified: UnixMillis(0),
                customer_version: 1,
            },
            grant: Arc::new(Grant::new(Tenant::default(), id, epoch, [])),
            facts: Arc::new(CertificateFacts::new(id)),
            things: Vec::new(),
        }
    }

    #[test]
    fn what_changed_is_forgotten_and_not_remembered_from_before() {
        let known = Acquaintances::default();
        let tenant = Tenant::default();
        let id = found(7, 1).certificate.id;
        let before = known.recall(&tenant, &id).unwrap_err();
        let _ = known.remember(tenant, before, found(7, 1));
        assert_eq!(known.recall(&tenant, &id).unwrap().grant.epoch, 1);
        known.forget(&id);
        let before = known.recall(&tenant, &id).unwrap_err();
        // A change comes while the records are read: what was read may be from before.
        known.forget(&id);
        let told = known.remember(tenant, before, found(7, 1));
        assert_eq!(told.grant.epoch, 1, "who asked is answered all the same");
        let before = known.recall(&tenant, &id).unwrap_err();
        let _ = known.remember(tenant, before, found(7, 2));
        assert_eq!(known.recall(&tenant, &id).unwrap().grant.epoch, 2);
        let before = known.recall(&tenant, &found(9, 1).certificate.id).unwrap_err();
        known.forget_all();
        let _ = known.remember(tenant, before, found(9, 1));
        assert!(known.recall(&tenant, &id).is_err());
        assert!(known.recall(&tenant, &found(9, 1).certificate.id).is_err());
    }

    #[test]
    fn a_certificate_of_another_tenant_is_not_known() {
        let known = Acquaintances::default();
        let id = found(7, 1).certificate.id;
        let before = known.recall(&Tenant::default(), &id).unwrap_err();
        let _ = known.remember(Tenant::default(), before, found(7, 1));
        let other = Tenant {
            account: "999999999999".parse().unwrap(),
            ..Tenant::default()
        };
        assert!(known.recall(&other, &id).is_err());
        assert!(known.recall(&Tenant::default(), &id).is_ok());
    }

    #[test]
    fn there_are_never_more_than_the_limit() {
        let known = Acquaintances::default();
        let tenant = Tenant::default();
        // All of one part.
        for number in 0..=u16::try_from(ACQUAINTANCES_MAX / PARTS).unwrap() {
            let found = found(number % 256, 1);
            let mut id = found.certificate.id;
            id.0[0] = 0;
            id.0[2..4].copy_from_slice(&number.to_be_bytes());
            let before = known.recall(&tenant, &id).unwrap_err();
            let certificate = DeviceCertificate {
                id,
                ..found.certificate
            };
            let _ = known.remember(tenant, before, Found { certificate, ..found });
            assert!(known.recall(&tenant, &id).is_ok());
            assert!(known.part(&id).known.len() <= ACQUAINTANCES_MAX / PARTS);
        }
    }
}
