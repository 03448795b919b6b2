//! The gate of a CA: closed, it lets in only devices that stand in a manifest, each entry for one certificate.
//!
//! It is off until somebody turns it on, since AWS has none. An entry is found by the hash of the device's key and never by
//! its subject, its serial number or what its maker calls it: whoever stole the CA's key can write those as he likes. The
//! order's count, window and rate hold here once more, whatever the factory's signer did.

use identity::CertificateId;
use identity::certificate::Certificate;
use identity::manifest::KeyHash;

use super::{Listed, ManifestEntry, ManifestOrder, ManifestSigner, hour};
use crate::batch::{Batch, Record, Tally};
use crate::ca;
use crate::call::{Call, Decided, Decision};
use crate::record::{CaCertificate, Versioned};
use crate::refusal::{Exception, Refusal};
use crate::resource;

/// Turns the gate of a CA on or off.
pub fn turn(
    call: &Call,
    id: &CertificateId,
    on: bool,
    existing: Option<&Versioned<CaCertificate>>,
) -> Decided<bool> {
    let existing = ca::found(id, existing)?;
    if existing.record.gated == on {
        return Ok(Decision::unchanged(call, false));
    }
    let mut batch = call.batch();
    let record = CaCertificate {
        gated: on,
        modified: call.now,
        ..existing.record.clone()
    };
    let action = if on { "ca.gate.on" } else { "security.ca_gate_off" };
    batch.audit.push(call.entry(action, id.to_string(), ""));
    batch.replace(Record::Ca(record), existing.version);
    Ok(Decision {
        batch,
        events: Vec::new(),
        reply: true,
    })
}

/// A device that may come in, and what has to be kept of it.
#[derive(Debug, Clone)]
pub(crate) struct Admitted<'a> {
    listed: &'a Listed,
    order: &'a Versioned<ManifestOrder>,
    signer: &'a Versioned<ManifestSigner>,
    /// It came in before with the same certificate: nothing is counted again.
    is_again: bool,
}

/// Decides whether a device stands in a manifest.
pub(crate) fn check<'a>(
    call: &Call,
    leaf: &Certificate,
    ca: &CertificateId,
    listed: Option<&'a Listed>,
) -> Result<Admitted<'a>, Refusal> {
    let refuse = |code, why: String| Refusal::new(Exception::Unauthorized, code, why);
    let Some(listed) = listed else {
        let key = KeyHash::of(leaf.public_key());
        return Err(refuse(
            "fleet.admission.unlisted",
            format!("the certificate is signed by the CA {ca}, but its key {key} is in no manifest"),
        )
        .hint("import the manifest of its order (birthmark fleet manifest import); if there is none, the CA's key signs devices that nobody ordered"));
    };
    let entry = &listed.entry.record;
    let order_name = &entry.order;
    let order = listed
        .order
        .as_ref()
        .filter(|order| order.record.ca == ca.to_string())
        .ok_or_else(|| {
            refuse(
                "fleet.admission.other_ca",
                format!("the manifest of the order {order_name} lists its key for another CA than {ca}"),
            )
        })?;
    let signer = listed
        .signer
        .as_ref()
        .filter(|signer| !signer.record.revoked)
        .ok_or_else(|| {
            refuse(
                "fleet.admission.signer",
                format!(
                    "the signer {} of the order {order_name} was revoked",
                    order.record.signer
                ),
            )
            .hint("have the order's devices listed again by a signer that is trusted")
        })?;
    if entry.entry.certificate.is_some_and(|listed| listed != leaf.id()) {
        return Err(refuse(
            "fleet.admission.other_certificate",
            format!("the manifest of the order {order_name} lists its key with another certificate"),
        ));
    }
    let admitted = Admitted {
        listed,
        order,
        signer,
        is_again: entry.admitted == Some(leaf.id()),
    };
    match entry.admitted {
        Some(other) if other != leaf.id() => Err(refuse(
            "fleet.admission.used",
            format!("its entry in the order {order_name} has admitted the certificate {other} already"),
        )
        .hint("one entry admits one certificate: register the new one (RegisterCertificate) if the device was renewed")),
        Some(_) => Ok(admitted),
        None => check_terms(call, &admitted).map(|()| admitted),
    }
}

/// Window, count and rate of the order.
fn check_terms(call: &Call, admitted: &Admitted<'_>) -> Result<(), Refusal> {
    let (order, listed) = (&admitted.order.record, admitted.listed);
    let refuse = |code, why: String| {
        Err(Refusal::new(
            Exception::Unauthorized,
            code,
            format!("the order {} {why}", order.name),
        ))
    };
    if call.now < order.not_before || call.now > order.not_after {
        let (from, to) = (order.not_before.to_rfc3339(), order.not_after.to_rfc3339());
        return refuse(
            "fleet.admission.window",
            format!("admits devices from {from} to {to}"),
        );
    }
    if listed.admitted >= order.count {
        return refuse(
            "fleet.admission.quota",
            format!("has admitted all of its {} devices", order.count),
        );
    }
    if order.per_hour > 0 && listed.admitted_this_hour >= order.per_hour {
        return refuse(
            "fleet.admission.rate",
            format!(
                "has admitted {} devices in this hour, which is all that it may",
                order.per_hour
            ),
        );
    }
    Ok(())
}

impl Admitted<'_> {
    /// What the trail says of it.
    pub(crate) fn told(&self) -> String {
        let ManifestEntry { entry, order, .. } = &self.listed.entry.record;
        match entry.unit.is_empty() {
            true => format!("in the manifest of the order {order}"),
            false => format!("unit {} in the manifest of the order {order}", entry.unit),
        }
    }

    /// Uses the entry up, in the transaction of the first connection.
    pub(crate) fn keep(&self, call: &Call, certificate: CertificateId, batch: &mut Batch) {
        batch.check(
            resource::key::<ManifestOrder>(&self.order.record.name),
            self.order.version,
        );
        batch.check(
            resource::key::<ManifestSigner>(&self.signer.record.id),
            self.signer.version,
        );
        if self.is_again {
            return;
        }
        let entry = ManifestEntry {
            admitted: Some(certificate),
            ..self.listed.entry.record.clone()
        };
        batch.replace(Record::ManifestEntry(Box::new(entry)), self.listed.entry.version);
        let order = &self.order.record;
        batch.tallies.push(Tally {
            name: order.admitted_tally(),
            window: 0,
            most: order.count,
        });
        if order.per_hour > 0 {
            batch.tallies.push(Tally {
                name: order.hourly_tally(),
                window: hour(call.now),
                most: order.per_hour,
            });
        }
    }
}
