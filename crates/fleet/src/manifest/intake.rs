//! Taking manifests: segment by segment, each once, in order, and never more devices than the order has.
//!
//! A segment that was lost, comes again or belongs to another story is refused before anything is kept. Microchip's files
//! have no sequence, so an operator places their order first; what of them is known already is passed over.

use std::collections::BTreeSet;

use identity::manifest::{Entry, Opened, Terms, is_order_name};

use super::signers::trusted;
use super::{ManifestEntry, ManifestOrder, ManifestProgress, ManifestSigner, key};
use crate::batch::{Batch, Record};
use crate::call::{Call, Decided, Decision};
use crate::record::Versioned;
use crate::refusal::{Exception, Refusal};
use crate::resource::{self, Resource as _};

/// What is known when a part of a manifest is taken.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The signer.
    pub signer: Option<Versioned<ManifestSigner>>,
    /// The order.
    pub order: Option<Versioned<ManifestOrder>>,
    /// How far it was taken.
    pub progress: Option<Versioned<ManifestProgress>>,
    /// The entries that are known of those that come.
    pub known: Vec<Versioned<ManifestEntry>>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Devices that were new.
    pub new: usize,
    /// Devices that were known already.
    pub known: usize,
}

/// Takes a segment.
pub fn take(call: &Call, opened: &Opened, facts: &Facts) -> Decided<Taken> {
    let segment = &opened.segment;
    let signer = trusted(&opened.signer.to_string(), facts.signer.as_ref())?;
    let (sequence, digest, so_far) = facts.progress.as_ref().map_or((0, [0; 32], 0), |progress| {
        let progress = &progress.record;
        let digest = identity::manifest::KeyHash::parse(&progress.digest).map_or([0; 32], |hash| hash.0);
        (progress.sequence, digest, progress.entries)
    });
    let known = segment.entries.len();
    if segment.sequence == sequence && opened.digest == digest {
        // The answer got lost, and the same line comes once more.
        return Ok(Decision::unchanged(call, Taken { new: 0, known }));
    }
    let refuse = |code, why: String| refused(&segment.order, code, why);
    if segment.sequence <= sequence {
        return Err(refuse(
            "fleet.manifest.replay",
            format!(
                "segment {} comes again, or another one in its place: {sequence} were taken",
                segment.sequence
            ),
        ));
    }
    if segment.sequence != sequence + 1 || segment.previous != digest {
        return Err(refuse(
            "fleet.manifest.gap",
            format!("segment {} does not follow the last one that was taken, {sequence}", segment.sequence),
        )
        .hint("import the manifest from its first missing line on; if nothing is missing, it is not the one that was begun"));
    }
    let mut batch = call.batch();
    batch.check(resource::key::<ManifestSigner>(&signer.record.id), signer.version);
    match &facts.order {
        Some(order) => check_order(order, opened, &mut batch)?,
        None => batch.insert(order_of(call, opened).kept()),
    }
    if let Some(other) = facts.known.first() {
        return Err(refuse(
            "fleet.manifest.twice",
            format!(
                "the key {} was listed before, in the order {}",
                other.record.entry.key, other.record.order
            ),
        ));
    }
    keep_entries(&segment.order, segment.entries.iter(), &mut batch)?;
    let entries = so_far + u64::try_from(known).unwrap_or(u64::MAX);
    check_count(&segment.order, segment.terms.count, entries)?;
    let progress = ManifestProgress {
        name: segment.order.clone(),
        sequence: segment.sequence,
        digest: identity::manifest::KeyHash(opened.digest).to_string(),
        entries,
        modified: call.now,
    };
    advance(&progress, facts, &mut batch);
    let detail = format!(
        "segment {}, {known} devices, signed by {}",
        segment.sequence, opened.signer
    );
    batch
        .audit
        .push(call.entry("manifest.take", segment.order.as_str(), detail));
    Ok(Decision {
        batch,
        events: Vec::new(),
        reply: Taken { new: known, known: 0 },
    })
}

/// Places the order of manifests that have no terms of their own.
pub fn place(
    call: &Call,
    name: &str,
    signer_id: &str,
    terms: &Terms,
    signer: Option<&Versioned<ManifestSigner>>,
    existing: Option<&Versioned<ManifestOrder>>,
) -> Decided<ManifestOrder> {
    if !is_order_name(name) || terms.count == 0 || terms.not_before >= terms.not_after {
        return Err(Refusal::new(
            Exception::InvalidRequest,
            "fleet.manifest.terms",
            "the order cannot be placed: its name, its count or its window is not possible",
        )
        .hint("a name has 1 to 64 letters, digits, dots, underscores and hyphens; the count is at least 1; the window begins before it ends"));
    }
    let signer = trusted(signer_id, signer)?;
    if let Some(existing) = existing {
        let same = existing.record.has(terms) && existing.record.signer == signer_id;
        return match same {
            true => Ok(Decision::unchanged(call, existing.record.clone())),
            false => Err(refused(
                name,
                "fleet.manifest.other_terms",
                "it exists with other terms".into(),
            )),
        };
    }
    let order = ManifestOrder {
        is_microchip: true,
        ..new_order(call, name, signer_id.to_owned(), terms)
    };
    let mut decision = resource::insert(call, "manifest.order.place", order);
    decision
        .batch
        .check(resource::key::<ManifestSigner>(&signer.record.id), signer.version);
    Ok(decision)
}

/// Takes devices of an order that was placed; their signatures were verified with the signer's key.
pub fn take_items(call: &Call, order: &str, items: &[Entry], facts: &Facts) -> Decided<Taken> {
    let found = resource::found(order, facts.order.as_ref())?;
    let signer = trusted(&found.record.signer, facts.signer.as_ref())?;
    if !found.record.is_microchip {
        return Err(refused(
            order,
            "fleet.manifest.form",
            "its manifests are not Microchip's".into(),
        ));
    }
    let mut batch = call.batch();
    batch.check(resource::key::<ManifestSigner>(&signer.record.id), signer.version);
    batch.check(resource::key::<ManifestOrder>(order), found.version);
    let mut new = Vec::with_capacity(items.len());
    for item in items {
        match facts
            .known
            .iter()
            .find(|known| known.record.entry.key == item.key)
        {
            None => new.push(item),
            Some(known) if known.record.entry == *item && known.record.order == order => {}
            Some(known) => {
                return Err(refused(
                    order,
                    "fleet.manifest.twice",
                    format!(
                        "the key {} was listed before with other particulars, in the order {}",
                        item.key, known.record.order
                    ),
                ));
            }
        }
    }
    let taken = Taken {
        new: new.len(),
        known: items.len() - new.len(),
    };
    if new.is_empty() {
        return Ok(Decision::unchanged(call, taken));
    }
    keep_entries(order, new.into_iter(), &mut batch)?;
    let before = facts.progress.as_ref().map(|progress| &progress.record);
    let entries = before.map_or(0, |before| before.entries) + u64::try_from(taken.new).unwrap_or(u64::MAX);
    check_count(order, found.record.count, entries)?;
    let progress = ManifestProgress {
        name: order.to_owned(),
        sequence: before.map_or(0, |before| before.sequence) + 1,
        digest: String::new(),
        entries,
        modified: call.now,
    };
    advance(&progress, facts, &mut batch);
    let detail = format!("{} devices, signed by {}", taken.new, found.record.signer);
    batch.audit.push(call.entry("manifest.take", order, detail));
    Ok(Decision {
        batch,
        events: Vec::new(),
        reply: taken,
    })
}

fn check_order(order: &Versioned<ManifestOrder>, opened: &Opened, batch: &mut Batch) -> Result<(), Refusal> {
    let segment = &opened.segment;
    let same = order.record.has(&segment.terms)
        && order.record.signer == opened.signer.to_string()
        && !order.record.is_microchip;
    if !same {
        return Err(refused(
            &segment.order,
            "fleet.manifest.other_terms",
            "it was begun by another signer or with other terms, which never change".into(),
        ));
    }
    batch.check(resource::key::<ManifestOrder>(&segment.order), order.version);
    Ok(())
}

fn order_of(call: &Call, opened: &Opened) -> ManifestOrder {
    let segment = &opened.segment;
    new_order(call, &segment.order, opened.signer.to_string(), &segment.terms)
}

fn new_order(call: &Call, name: &str, signer: String, terms: &Terms) -> ManifestOrder {
    ManifestOrder {
        name: name.to_owned(),
        signer,
        ca: terms.ca.to_string(),
        count: terms.count,
        not_before: terms.not_before,
        not_after: terms.not_after,
        per_hour: terms.per_hour,
        is_microchip: false,
        created: call.now,
    }
}

fn keep_entries<'a>(
    order: &str,
    entries: impl Iterator<Item = &'a Entry>,
    batch: &mut Batch,
) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    for entry in entries {
        if !seen.insert(entry.key) {
            return Err(refused(
                order,
                "fleet.manifest.twice",
                format!("the key {} is listed twice", entry.key),
            ));
        }
        batch.insert(Record::ManifestEntry(Box::new(ManifestEntry {
            entry: entry.clone(),
            order: order.to_owned(),
            admitted: None,
        })));
    }
    Ok(())
}

fn check_count(order: &str, count: u64, entries: u64) -> Result<(), Refusal> {
    match entries <= count {
        true => Ok(()),
        false => Err(refused(
            order,
            "fleet.manifest.quota",
            format!("it would have {entries} devices, and {count} were ordered"),
        )),
    }
}

fn advance(progress: &ManifestProgress, facts: &Facts, batch: &mut Batch) {
    match &facts.progress {
        Some(existing) => batch.replace(progress.kept(), existing.version),
        None => batch.insert(progress.kept()),
    }
}

fn refused(order: &str, code: &'static str, why: String) -> Refusal {
    Refusal::new(
        Exception::InvalidRequest,
        code,
        format!("the manifest of the order {order} is refused: {why}"),
    )
}

/// The keys of entries, to look them up.
pub fn keys<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<crate::batch::Key> {
    entries.into_iter().map(|entry| key(entry.key)).collect()
}
