//! Manifests in the cloud: who may sign them, which orders there are, and the devices that they name.
//!
//! `identity::manifest` verifies what was signed; here it is decided what becomes of it. An administrator enrols signers
//! ([`signers`]), their manifests are taken in order ([`intake`]), and a CA whose gate is closed brings in only devices that
//! stand in one ([`gate`]). One entry admits one certificate.

pub mod gate;
pub mod intake;
pub mod signers;

use identity::manifest::{Entry, KeyHash, Terms};
use identity::{CertificateId, UnixMillis};

use crate::plain::shaped;
use crate::record::Versioned;
use crate::resource::{Kind, Resource};

/// A device of a manifest that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestEntry {
    /// What the manifest says of it.
    pub entry: Entry,
    /// The order that it belongs to.
    pub order: String,
    /// The one certificate that came in by it.
    pub admitted: Option<CertificateId>,
}

shaped!(
    /// Somebody whose manifests count.
    ManifestSigner {
        /// The hash of its public key.
        id: String,
        /// For people.
        label: String,
        /// Its certificate or its public key, PEM.
        document: String,
        /// The id of its certificate; empty for a bare key.
        certificate: String,
        /// Whether its manifests count no more.
        revoked: bool,
        /// When it was enrolled.
        created: UnixMillis,
        /// When it was last changed.
        modified: UnixMillis,
    }
);

impl Resource for ManifestSigner {
    const KIND: Kind = Kind::ManifestSigner;

    fn name(&self) -> &str {
        &self.id
    }
}

shaped!(
    /// An order: whose devices, how many, and when they may come in.
    ManifestOrder {
        /// Its name.
        name: String,
        /// The signer of its manifests.
        signer: String,
        /// The CA whose devices these are.
        ca: String,
        /// How many there may ever be.
        count: u64,
        /// Nobody comes in for the first time before this.
        not_before: UnixMillis,
        /// Nobody comes in for the first time after this.
        not_after: UnixMillis,
        /// How many may come in for the first time in one hour; 0 is as many as like.
        per_hour: u64,
        /// Whether its manifests are Microchip's, which have no sequence.
        is_microchip: bool,
        /// When it became known.
        created: UnixMillis,
    }
);

impl Resource for ManifestOrder {
    const KIND: Kind = Kind::ManifestOrder;

    fn name(&self) -> &str {
        &self.name
    }
}

impl ManifestOrder {
    /// Whether these are its terms.
    fn has(&self, terms: &Terms) -> bool {
        self.ca == terms.ca.to_string()
            && self.count == terms.count
            && self.not_before == terms.not_before
            && self.not_after == terms.not_after
            && self.per_hour == terms.per_hour
    }

    /// The counter of those who came in, whenever it was.
    pub fn admitted_tally(&self) -> String {
        format!("admitted/{}", self.name)
    }

    /// The counter of those who came in within this hour.
    pub fn hourly_tally(&self) -> String {
        format!("admitted-hourly/{}", self.name)
    }
}

shaped!(
    /// How far the manifests of an order were taken.
    ManifestProgress {
        /// The order.
        name: String,
        /// The last segment.
        sequence: u64,
        /// Its digest.
        digest: String,
        /// Devices so far.
        entries: u64,
        /// When it was taken.
        modified: UnixMillis,
    }
);

impl Resource for ManifestProgress {
    const KIND: Kind = Kind::ManifestProgress;

    fn name(&self) -> &str {
        &self.name
    }
}

/// The hour of a moment: hourly counters begin anew with it.
pub fn hour(at: UnixMillis) -> i64 {
    at.0.div_euclid(3_600_000)
}

/// What is known of the device with a certain key, of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its entry.
    pub entry: Versioned<ManifestEntry>,
    /// The entry's order.
    pub order: Option<Versioned<ManifestOrder>>,
    /// The order's signer.
    pub signer: Option<Versioned<ManifestSigner>>,
    /// How many of the order came in so far.
    pub admitted: u64,
    /// How many of them within this hour.
    pub admitted_this_hour: u64,
}

impl Listed {
    /// The parameters that a template finds under `Birthmark::Manifest::`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let ManifestEntry { entry, order, .. } = &self.entry.record;
        match name {
            "Unit" => Some(entry.unit.as_str()).filter(|unit| !unit.is_empty()),
            "Thing" => entry.thing.as_ref().map(|thing| thing.as_str()),
            "Order" => Some(order),
            other => entry.parameters.get(other).map(String::as_str),
        }
    }
}

/// The key that an entry is kept under.
pub fn key(hash: KeyHash) -> crate::batch::Key {
    crate::batch::Key::ManifestEntry(hash)
}
