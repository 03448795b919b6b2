//! Certificates that were looked up lately, with all that follows from their records.
//!
//! They stand before the records: a fleet that comes back after an outage is known already, and its policies are compiled. What is
//! remembered here may have changed since; so whatever changes trust makes it forgotten before the change is answered, and what
//! was read before a change is not remembered after it. A grant carries its trust epoch, as one that was just made, and a shard
//! takes none that is older than a change. Whether a certificate may connect is decided each time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fleet::admission::Registered;
use hashbrown::HashTable;
use identity::{CertificateId, Tenant};
use policy::{CertificateFacts, Grant, ThingFacts};

use crate::limits::{ACQUAINTANCES_BYTES_MAX, ACQUAINTANCES_MAX};

/// So many parts, each with its own lock and its own count of changes.
const PARTS: usize = 64;
const PART_MAX: usize = ACQUAINTANCES_MAX / PARTS;
const PART_BYTES_MAX: usize = ACQUAINTANCES_BYTES_MAX / PARTS;

/// What is known of one certificate. Its connections hold the same pieces.
#[derive(Debug)]
pub(crate) struct Known {
    /// What admission looks at.
    pub(crate) registered: Registered,
    /// What it may do.
    pub(crate) grant: Arc<Grant>,
    /// What policies can ask about it.
    pub(crate) facts: Arc<CertificateFacts>,
    /// What policies can ask about the things that it is attached to.
    pub(crate) things: Arc<[ThingFacts]>,
}

impl Known {
    /// Bytes that it occupies, about. Compiled policies are shared by many and count elsewhere.
    fn bytes(&self) -> usize {
        let things = self.things.iter().map(bytes_of).sum::<usize>();
        size_of::<Self>() + size_of::<Grant>() + self.facts.bytes() + things
    }
}

fn bytes_of(thing: &ThingFacts) -> usize {
    let texts = |(name, value): &(String, String)| size_of::<(String, String)>() + name.len() + value.len();
    let attributes = thing.attributes.iter().map(texts).sum::<usize>();
    let type_name = thing.type_name.as_ref().map_or(0, String::len);
    size_of::<ThingFacts>() + thing.name.as_str().len() + type_name + attributes
}

/// All of them, at most [`ACQUAINTANCES_MAX`] with at most [`ACQUAINTANCES_BYTES_MAX`].
#[derive(Debug)]
pub(crate) struct Acquaintances(Box<[Mutex<Part>]>);

#[derive(Debug, Default)]
struct Part {
    changes: u64,
    known: HashTable<Arc<Known>>,
    /// Of all that is known here.
    bytes: usize,
    /// Where the next that has to make room is looked for.
    hand: usize,
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
    pub(crate) fn recall(&self, tenant: &Tenant, id: &CertificateId) -> Result<Arc<Known>, Before> {
        let part = self.part(id);
        part.find(id)
            .filter(|known| known.grant.tenant == *tenant)
            .cloned()
            .ok_or(Before(part.changes))
    }

    /// What to say when something has been learned of a certificate that nobody knew before.
    pub(crate) fn before(&self, id: &CertificateId) -> Before {
        Before(self.part(id).changes)
    }

    /// Remembers what was looked up, unless something changed meanwhile.
    pub(crate) fn remember(&self, before: Before, known: &Arc<Known>) {
        let mut part = self.part(&known.registered.id);
        if part.changes == before.0 {
            part.keep(known.clone());
        }
    }

    /// Something that this certificate's trust rests on has changed.
    pub(crate) fn forget(&self, id: &CertificateId) {
        let mut part = self.part(id);
        part.changes += 1;
        part.drop_of(id);
    }

    /// Something has changed that the trust of many rests on.
    pub(crate) fn forget_all(&self) {
        for part in &self.0 {
            let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
            let changes = part.changes + 1;
            let anew = Part {
                changes,
                ..Part::default()
            };
            let forgotten = core::mem::replace(&mut *part, anew);
            // Nobody waits while they are thrown away.
            drop(part);
            drop(forgotten);
        }
    }

    fn part(&self, id: &CertificateId) -> MutexGuard<'_, Part> {
        let index = usize::from(id.0[0]) % self.0.len().max(1);
        self.0[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    fn find(&self, id: &CertificateId) -> Option<&Arc<Known>> {
        self.known.find(place(id), |known| known.registered.id == *id)
    }

    fn keep(&mut self, known: Arc<Known>) {
        let (id, bytes) = (known.registered.id, known.bytes());
        self.drop_of(&id);
        if bytes > PART_BYTES_MAX {
            return;
        }
        while self.known.len() >= PART_MAX || self.bytes + bytes > PART_BYTES_MAX {
            self.drop_next();
        }
        self.bytes += bytes;
        self.known
            .insert_unique(place(&id), known, |known| place(&known.registered.id));
    }

    fn drop_of(&mut self, id: &CertificateId) {
        let found = self
            .known
            .find_entry(place(id), |known| known.registered.id == *id);
        if let Ok(entry) = found {
            let (known, _) = entry.remove();
            self.bytes -= known.bytes();
        }
    }

    /// Makes room by one: whichever stands next in the table, which is a matter of chance.
    fn drop_next(&mut self) {
        let places = self.known.num_buckets();
        for _ in 0..places {
            self.hand = (self.hand + 1) % places;
            if let Ok(entry) = self.known.get_bucket_entry(self.hand) {
                let (known, _) = entry.remove();
                self.bytes -= known.bytes();
                return;
            }
        }
    }
}

/// Where in its part a certificate stands: its id is a hash already, and the first byte chose the part.
fn place(id: &CertificateId) -> u64 {
    let [_, bytes @ ..] = id.0;
    let first = bytes.first_chunk().copied().unwrap_or_default();
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use fleet::record::{CertificateMode, CertificateStatus};
    use identity::UnixMillis;

    use super::*;

    fn id(number: u16) -> CertificateId {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&number.to_be_bytes());
        CertificateId(id)
    }

    fn known(id: CertificateId, epoch: u64) -> Arc<Known> {
        with_things(id, epoch, Arc::default())
    }

    fn with_things(id: CertificateId, epoch: u64, things: Arc<[ThingFacts]>) -> Arc<Known> {
        Arc::new(Known {
            registered: Registered {
                id,
                ca: None,
                status: CertificateStatus::Active,
                mode: CertificateMode::Default,
                not_before: UnixMillis(0),
                not_after: UnixMillis(1),
            },
            grant: Arc::new(Grant::new(Tenant::default(), id, epoch, [])),
            facts: Arc::new(CertificateFacts::new(id)),
            things,
        })
    }

    /// All of one part.
    fn neighbour(number: u32) -> CertificateId {
        let mut id = [0; 32];
        id[1..5].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
        CertificateId(id)
    }

    fn attributes(count: usize, bytes: usize) -> Arc<[ThingFacts]> {
        let attributes = (0..count).map(|number| (number.to_string(), "x".repeat(bytes)));
        Arc::new([ThingFacts {
            name: "bm-1".parse().unwrap(),
            type_name: None,
            attributes: attributes.collect(),
            is_attached: true,
        }])
    }

    #[test]
    fn what_changed_is_forgotten_and_not_remembered_from_before() {
        let all = Acquaintances::default();
        let (tenant, seven, nine) = (Tenant::default(), id(7), id(9));
        let before = all.recall(&tenant, &seven).unwrap_err();
        all.remember(before, &known(seven, 1));
        assert_eq!(all.recall(&tenant, &seven).unwrap().grant.epoch, 1);
        all.forget(&seven);
        let before = all.recall(&tenant, &seven).unwrap_err();
        // A change comes while the records are read: what was read may be from before.
        all.forget(&seven);
        all.remember(before, &known(seven, 1));
        let before = all.recall(&tenant, &seven).unwrap_err();
        all.remember(before, &known(seven, 2));
        assert_eq!(all.recall(&tenant, &seven).unwrap().grant.epoch, 2);
        let before = all.before(&nine);
        all.forget_all();
        all.remember(before, &known(nine, 1));
        assert!(all.recall(&tenant, &seven).is_err());
        assert!(all.recall(&tenant, &nine).is_err());
    }

    #[test]
    fn what_is_learned_anew_takes_the_place_of_what_was_known() {
        let all = Acquaintances::default();
        for epoch in 1..=3 {
            all.remember(all.before(&id(7)), &known(id(7), epoch));
        }
        let part = all.part(&id(7));
        assert_eq!((part.known.len(), part.find(&id(7)).unwrap().grant.epoch), (1, 3));
        assert_eq!(part.bytes, known(id(7), 3).bytes());
    }

    #[test]
    fn a_certificate_of_another_tenant_is_not_known() {
        let all = Acquaintances::default();
        all.remember(all.before(&id(7)), &known(id(7), 1));
        let other = Tenant {
            account: "999999999999".parse().unwrap(),
            ..Tenant::default()
        };
        assert!(all.recall(&other, &id(7)).is_err());
        assert!(all.recall(&Tenant::default(), &id(7)).is_ok());
    }

    #[test]
    fn there_are_never_more_than_the_limit_and_few_make_room() {
        let all = Acquaintances::default();
        let count = u32::try_from(3 * PART_MAX).unwrap();
        for number in 0..count {
            let id = neighbour(number);
            all.remember(all.before(&id), &known(id, 1));
            let part = all.part(&id);
            assert!(part.find(&id).is_some(), "who came last is known");
            assert_eq!(part.known.len(), PART_MAX.min(number as usize + 1));
        }
        let part = all.part(&neighbour(0));
        assert_eq!(part.bytes, PART_MAX * known(neighbour(0), 1).bytes());
    }

    #[test]
    fn large_things_make_room_by_their_bytes() {
        let all = Acquaintances::default();
        let large = with_things(neighbour(0), 1, attributes(50, 800)).bytes();
        let fit = PART_BYTES_MAX / large;
        assert!(fit > 1 && fit < PART_MAX);
        for number in 0..100 {
            let id = neighbour(number);
            all.remember(all.before(&id), &with_things(id, 1, attributes(50, 800)));
            let part = all.part(&id);
            assert!(part.find(&id).is_some() && part.bytes <= PART_BYTES_MAX);
            assert_eq!(part.known.len(), fit.min(number as usize + 1));
        }
        // What would push out everybody else is not remembered at all.
        let id = neighbour(1000);
        all.remember(
            all.before(&id),
            &with_things(id, 1, attributes(1, PART_BYTES_MAX)),
        );
        let part = all.part(&id);
        assert!(part.find(&id).is_none());
        assert_eq!(part.known.len(), fit);
    }
}
