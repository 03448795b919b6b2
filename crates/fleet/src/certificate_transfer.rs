//! TransferCertificate, AcceptCertificateTransfer, RejectCertificateTransfer and CancelCertificateTransfer.
//!
//! A certificate that is not ACTIVE and has nothing attached moves from one account of this server to another in the same
//! region. While it is under way it stays with its old account as PENDING_TRANSFER; each account has a record of its own of
//! the transfer. What changes in both accounts is kept in one transaction, so a certificate is never in both or in none.

use identity::{CertificateId, Tenant, UnixMillis};

use crate::batch::{Batch, Record, Relation};
use crate::call::{Call, Decided, Decision};
use crate::certificate;
use crate::limits::TRANSFER_MESSAGE_BYTES_MAX;
use crate::plain::shaped;
use crate::record::{CertificateStatus, DeviceCertificate, PolicyTarget, Versioned};
use crate::refusal::{Exception, Refusal};
use crate::resource::{self, Kind, Resource};

shaped!(
    /// What the old account knows of a transfer.
    Outgoing {
        /// The certificate's id.
        certificate: String,
        /// The account that it goes to.
        to: String,
        /// What the old account says to the new one.
        message: String,
        /// When it began.
        sent: UnixMillis,
        /// When the certificate was made.
        created: UnixMillis,
        /// When the new account refused it; the certificate is INACTIVE then.
        rejected: Option<UnixMillis>,
        /// Why it refused.
        reason: String,
    }
);

shaped!(
    /// What the new account knows of a transfer.
    Incoming {
        /// The certificate's id.
        certificate: String,
        /// The account that it comes from.
        from: String,
        /// What the old account says.
        message: String,
        /// When it began.
        sent: UnixMillis,
        /// When it was accepted or refused here.
        ended: Option<UnixMillis>,
    }
);

impl Resource for Outgoing {
    const KIND: Kind = Kind::OutgoingTransfer;

    fn name(&self) -> &str {
        &self.certificate
    }
}

impl Resource for Incoming {
    const KIND: Kind = Kind::IncomingTransfer;

    fn name(&self) -> &str {
        &self.certificate
    }
}

/// What is known of a transfer.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The certificate in its old account.
    pub certificate: Option<Versioned<DeviceCertificate>>,
    /// The old account's record.
    pub outgoing: Option<Versioned<Outgoing>>,
    /// The new account's record.
    pub incoming: Option<Versioned<Incoming>>,
    /// Whether the new account has the certificate already.
    pub is_there: bool,
    /// How many policies and things it has.
    pub attached: usize,
}

/// TransferCertificate. `target` is the new account in the same region; the caller has checked that there is one.
pub fn transfer(
    call: &Call,
    id: &CertificateId,
    target: &Tenant,
    message: &str,
    facts: &Facts,
) -> Decided<()> {
    check_message(message)?;
    let existing = certificate::found(id, facts.certificate.as_ref())?;
    if target.account == call.tenant.account {
        return Err(wrong(
            "fleet.transfer.self",
            "the certificate is in that account already",
        ));
    }
    match existing.record.status {
        CertificateStatus::Inactive | CertificateStatus::PendingActivation => {}
        CertificateStatus::PendingTransfer => {
            return Err(conflict(id, "it is on its way to another account already"));
        }
        other => {
            return Err(Refusal::new(
                Exception::CertificateState,
                "fleet.transfer.state",
                format!("certificate {id} cannot be transferred: it is {}", other.name()),
            )
            .hint("set it to INACTIVE first (UpdateCertificate)"));
        }
    }
    if facts.attached > 0 {
        return Err(conflict(id, "policies or things are attached to it"));
    }
    if facts.is_there {
        return Err(conflict(id, "the other account has it already"));
    }
    let mut batch = call.batch();
    become_status(call, existing, CertificateStatus::PendingTransfer, &mut batch);
    batch.at_most(Relation::PoliciesOf(PolicyTarget::Certificate(*id)), 0);
    batch.at_most(Relation::ThingsOf(*id), 0);
    let outgoing = Outgoing {
        certificate: id.to_string(),
        to: target.account.to_string(),
        message: message.to_owned(),
        sent: call.now,
        created: existing.record.created,
        rejected: None,
        reason: String::new(),
    };
    put(&mut batch, &outgoing, facts.outgoing.as_ref());
    let incoming = Incoming {
        certificate: id.to_string(),
        from: call.tenant.account.to_string(),
        message: message.to_owned(),
        sent: call.now,
        ended: None,
    };
    let mut theirs = Batch::new(target);
    put(&mut theirs, &incoming, facts.incoming.as_ref());
    theirs.audit.push(call.entry(
        "certificate.offered",
        id.to_string(),
        call.tenant.account.to_string(),
    ));
    Ok(both(call, "certificate.transfer", id, batch, theirs))
}

/// AcceptCertificateTransfer, by the new account. `source` is the old one.
pub fn accept(
    call: &Call,
    id: &CertificateId,
    source: &Tenant,
    set_as_active: bool,
    facts: &Facts,
) -> Decided<()> {
    let incoming = pending(id, facts)?;
    let existing = under_way(id, facts)?;
    let mut batch = call.batch();
    put(&mut batch, &ended(call, incoming), Some(incoming));
    let record = DeviceCertificate {
        status: if set_as_active {
            CertificateStatus::Active
        } else {
            CertificateStatus::Inactive
        },
        created: call.now,
        modified: call.now,
        customer_version: 1,
        ca: None,
        ..existing.record.clone()
    };
    batch.insert(Record::Certificate(record));
    let mut theirs = Batch::new(source);
    theirs.delete(crate::batch::Key::Certificate(*id), existing.version);
    if let Some(outgoing) = &facts.outgoing {
        theirs.delete(
            resource::key::<Outgoing>(outgoing.record.name()),
            outgoing.version,
        );
    }
    theirs.audit.push(call.entry(
        "certificate.transferred",
        id.to_string(),
        call.tenant.account.to_string(),
    ));
    theirs.raises_epoch = true;
    Ok(both(call, "certificate.accept", id, batch, theirs))
}

/// RejectCertificateTransfer, by the new account: the certificate is INACTIVE in the old one again.
pub fn reject(call: &Call, id: &CertificateId, source: &Tenant, reason: &str, facts: &Facts) -> Decided<()> {
    check_message(reason)?;
    let incoming = pending(id, facts)?;
    let existing = under_way(id, facts)?;
    let mut batch = call.batch();
    put(&mut batch, &ended(call, incoming), Some(incoming));
    let mut theirs = Batch::new(source);
    become_status(call, existing, CertificateStatus::Inactive, &mut theirs);
    if let Some(outgoing) = &facts.outgoing {
        let told = Outgoing {
            rejected: Some(call.now),
            reason: reason.to_owned(),
            ..outgoing.record.clone()
        };
        put(&mut theirs, &told, Some(outgoing));
    }
    theirs.audit.push(call.entry(
        "certificate.rejected",
        id.to_string(),
        call.tenant.account.to_string(),
    ));
    Ok(both(call, "certificate.reject", id, batch, theirs))
}

/// CancelCertificateTransfer, by the old account: the certificate is INACTIVE again. `target` is the new account.
pub fn cancel(call: &Call, id: &CertificateId, target: Option<&Tenant>, facts: &Facts) -> Decided<()> {
    let existing = certificate::found(id, facts.certificate.as_ref())?;
    let outgoing = facts.outgoing.as_ref();
    let (Some(outgoing), CertificateStatus::PendingTransfer, Some(target)) =
        (outgoing, existing.record.status, target)
    else {
        return Err(completed(id));
    };
    let mut batch = call.batch();
    become_status(call, existing, CertificateStatus::Inactive, &mut batch);
    batch.delete(
        resource::key::<Outgoing>(outgoing.record.name()),
        outgoing.version,
    );
    let mut theirs = Batch::new(target);
    if let Some(incoming) = &facts.incoming {
        put(&mut theirs, &ended(call, incoming), Some(incoming));
    }
    theirs.audit.push(call.entry(
        "certificate.withdrawn",
        id.to_string(),
        call.tenant.account.to_string(),
    ));
    Ok(both(call, "certificate.cancel_transfer", id, batch, theirs))
}

/// The transfer to this account that has not ended.
pub fn pending<'a>(id: &CertificateId, facts: &'a Facts) -> Result<&'a Versioned<Incoming>, Refusal> {
    let incoming = facts.incoming.as_ref().ok_or_else(|| {
        Refusal::new(
            Exception::ResourceNotFound,
            "fleet.transfer.missing",
            format!("no certificate {id} is on its way to this account"),
        )
    })?;
    match incoming.record.ended {
        None => Ok(incoming),
        Some(_) => Err(completed(id)),
    }
}

fn under_way<'a>(id: &CertificateId, facts: &'a Facts) -> Result<&'a Versioned<DeviceCertificate>, Refusal> {
    facts
        .certificate
        .as_ref()
        .filter(|found| found.record.status == CertificateStatus::PendingTransfer)
        .ok_or_else(|| completed(id))
}

fn completed(id: &CertificateId) -> Refusal {
    Refusal::new(
        Exception::TransferAlreadyCompleted,
        "fleet.transfer.completed",
        format!("the transfer of certificate {id} has ended already"),
    )
}

fn ended(call: &Call, incoming: &Versioned<Incoming>) -> Incoming {
    Incoming {
        ended: Some(call.now),
        ..incoming.record.clone()
    }
}

fn become_status(
    call: &Call,
    existing: &Versioned<DeviceCertificate>,
    status: CertificateStatus,
    batch: &mut Batch,
) {
    let mut record = existing.record.clone();
    record.status = status;
    record.customer_version += 1;
    record.modified = call.now;
    batch.replace(Record::Certificate(record), existing.version);
}

fn put<T: Resource>(batch: &mut Batch, resource: &T, existing: Option<&Versioned<T>>) {
    match existing {
        None => batch.insert(resource.kept()),
        Some(existing) => batch.replace(resource.kept(), existing.version),
    }
}

fn both(
    call: &Call,
    action: &'static str,
    id: &CertificateId,
    mut batch: Batch,
    theirs: Batch,
) -> Decision<()> {
    let detail = theirs.tenant.account.to_string();
    batch.audit.push(call.entry(action, id.to_string(), detail));
    batch.raises_epoch = true;
    batch.beside = Some(Box::new(theirs));
    Decision {
        batch,
        events: Vec::new(),
        reply: (),
    }
}

fn check_message(message: &str) -> Result<(), Refusal> {
    if message.len() <= TRANSFER_MESSAGE_BYTES_MAX {
        return Ok(());
    }
    Err(wrong(
        "fleet.transfer.message",
        "a message or reason has at most 128 bytes",
    ))
}

fn conflict(id: &CertificateId, why: &str) -> Refusal {
    Refusal::new(
        Exception::TransferConflict,
        "fleet.transfer.conflict",
        format!("certificate {id} cannot be transferred: {why}"),
    )
}

fn wrong(code: &'static str, why: &str) -> Refusal {
    Refusal::new(
        Exception::InvalidRequest,
        code,
        format!("the certificate cannot be transferred: {why}"),
    )
}
