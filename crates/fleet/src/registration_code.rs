//! GetRegistrationCode and DeleteRegistrationCode: the code that a CA owner signs to prove possession.
//!
//! One code per tenant, made on first use and stable until it is deleted (AWS IoT API reference, GetRegistrationCode).

use crate::batch::{Key, Record};
use crate::call::{Call, Decided, Decision};
use crate::names::CodeValue;
use crate::record::{RegistrationCode, Versioned};
use crate::refusal::{Exception, Refusal};

/// GetRegistrationCode: the tenant's code; `fresh` becomes it if there is none.
pub fn current(
    call: &Call,
    existing: Option<&Versioned<RegistrationCode>>,
    fresh: [u8; 32],
) -> Decided<CodeValue> {
    if let Some(existing) = existing {
        return Ok(Decision::unchanged(call, existing.record.code));
    }
    let code = CodeValue(fresh);
    let mut batch = call.batch();
    batch.insert(Record::RegistrationCode(RegistrationCode {
        code,
        created: call.now,
    }));
    batch.audit.push(call.entry(
        "registration_code.create",
        "registration code",
        "a new registration code was made",
    ));
    Ok(Decision {
        batch,
        events: Vec::new(),
        reply: code,
    })
}

/// DeleteRegistrationCode: the next GetRegistrationCode makes another one.
pub fn delete(call: &Call, existing: Option<&Versioned<RegistrationCode>>) -> Decided<()> {
    let existing = existing.ok_or_else(|| {
        Refusal::new(
            Exception::ResourceNotFound,
            "fleet.registration_code.missing",
            "cannot delete the registration code: this account has none in this region",
        )
    })?;
    let mut batch = call.batch();
    batch.delete(Key::RegistrationCode, existing.version);
    batch.audit.push(call.entry(
        "registration_code.delete",
        "registration code",
        "the registration code was deleted",
    ));
    Ok(Decision {
        batch,
        events: Vec::new(),
        reply: (),
    })
}
