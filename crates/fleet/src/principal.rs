//! AttachThingPrincipal, DetachThingPrincipal, ListThingPrincipals and ListPrincipalThings.
//!
//! A principal of a thing is a device certificate. Attaching or detaching changes what policies say of a connection, so
//! both raise the trust epoch.

use identity::{CertificateId, ThingName};

use crate::batch::{Key, Record, Relation};
use crate::call::{Call, Decided, Decision, Event};
use crate::limits::{CERTIFICATES_PER_THING_MAX, THINGS_PER_CERTIFICATE_MAX};
use crate::record::{DeviceCertificate, PrincipalType, Thing, ThingPrincipal, Versioned};
use crate::refusal::{Exception, Refusal};
use crate::{certificate, thing};

/// What is known before a certificate is attached to a thing.
#[derive(Debug, Clone, Default)]
pub struct AttachFacts {
    /// The thing.
    pub thing: Option<Versioned<Thing>>,
    /// The certificate.
    pub certificate: Option<Versioned<DeviceCertificate>>,
    /// All things that the certificate is attached to.
    pub things_of_certificate: Vec<Versioned<ThingPrincipal>>,
}

/// AttachThingPrincipal; attaching what is attached succeeds.
pub fn attach(
    call: &Call,
    thing_name: &ThingName,
    principal: &CertificateId,
    kind: Option<&str>,
    facts: &AttachFacts,
) -> Decided<()> {
    let kind = parse_kind(kind)?;
    let thing = thing::found(thing_name, facts.thing.as_ref())?;
    let certificate = certificate::found(principal, facts.certificate.as_ref())?;
    let others = || {
        facts
            .things_of_certificate
            .iter()
            .filter(|other| other.record.thing != *thing_name)
    };
    let same = facts
        .things_of_certificate
        .iter()
        .find(|other| other.record.thing == *thing_name);
    if same.is_some_and(|same| same.record.kind == kind) {
        return Ok(Decision::unchanged(call, ()));
    }
    if let Some(other) = others()
        .find(|other| kind == PrincipalType::Exclusive || other.record.kind == PrincipalType::Exclusive)
    {
        return Err(Refusal::new(
            Exception::InvalidRequest,
            "fleet.principal.exclusive",
            format!("certificate {principal} cannot be attached to {thing_name}: it is attached to {}, and one of the two is exclusive", other.record.thing),
        )
        .hint("detach it there first (DetachThingPrincipal)"));
    }
    let attached = others().count();
    if attached >= THINGS_PER_CERTIFICATE_MAX as usize {
        return Err(Refusal::new(
            Exception::LimitExceeded,
            "fleet.principal.limit",
            format!("certificate {principal} is attached to {attached} things already"),
        ));
    }
    let mut batch = call.batch();
    let record = Record::ThingPrincipal(ThingPrincipal {
        thing: thing_name.clone(),
        certificate: *principal,
        kind,
    });
    match same {
        Some(same) => batch.replace(record, same.version),
        None => batch.insert(record),
    }
    batch.check(Key::Thing(thing_name.clone()), thing.version);
    batch.check(Key::Certificate(*principal), certificate.version);
    // The count was just read: whoever attaches the same certificate elsewhere meanwhile makes us look again.
    batch.at_most(
        Relation::ThingsOf(*principal),
        u32::try_from(facts.things_of_certificate.len()).unwrap_or(u32::MAX),
    );
    batch.at_most(
        Relation::PrincipalsOf(thing_name.clone()),
        CERTIFICATES_PER_THING_MAX - 1,
    );
    batch
        .audit
        .push(call.entry("thing.attach", principal.to_string(), thing_name.as_str()));
    batch.raises_epoch = true;
    Ok(Decision {
        batch,
        events: vec![Event::CertificateTrust(*principal)],
        reply: (),
    })
}

/// DetachThingPrincipal.
pub fn detach(
    call: &Call,
    thing_name: &ThingName,
    principal: &CertificateId,
    existing: Option<&Versioned<ThingPrincipal>>,
) -> Decided<()> {
    let existing = existing.ok_or_else(|| {
        Refusal::new(
            Exception::ResourceNotFound,
            "fleet.principal.missing",
            format!("certificate {principal} is not attached to thing {thing_name}"),
        )
    })?;
    let mut batch = call.batch();
    batch.delete(
        Key::ThingPrincipal {
            thing: thing_name.clone(),
            certificate: *principal,
        },
        existing.version,
    );
    batch
        .audit
        .push(call.entry("thing.detach", principal.to_string(), thing_name.as_str()));
    batch.raises_epoch = true;
    Ok(Decision {
        batch,
        events: vec![Event::CertificateTrust(*principal)],
        reply: (),
    })
}

fn parse_kind(kind: Option<&str>) -> Result<PrincipalType, Refusal> {
    match kind {
        None => Ok(PrincipalType::default()),
        Some(text) => PrincipalType::parse(text).ok_or_else(|| {
            Refusal::new(
                Exception::InvalidRequest,
                "fleet.principal.kind",
                format!(
                    "\"{}\" is not a thing principal type",
                    text.chars().take(64).collect::<String>()
                ),
            )
            .hint("use EXCLUSIVE_THING or NON_EXCLUSIVE_THING")
        }),
    }
}
