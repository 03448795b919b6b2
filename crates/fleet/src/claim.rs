//! Provisioning by claim: a device without an identity asks for a certificate, and makes itself known with it.
//!
//! Two steps over MQTT (AWS IoT developer guide, "Device provisioning MQTT API"). The first issues a certificate that
//! awaits activation, and an ownership token; the second shows the token and carries a template out. Of the token only a
//! hash is kept. It is good once, for one hour, and only in the hands of the claim certificate that it was given to; a
//! certificate whose token ran out is deleted. The token itself never comes here.

use identity::certificate::Certificate;
use identity::{CertificateId, UnixMillis};

use crate::attempt::Trail;
use crate::batch::{Key, Record};
use crate::call::{Call, Decided, Decision, Event};
use crate::certificate::{self, DeleteFacts, Registered};
use crate::limits::{
    CLAIM_MILLIS, CLAIMS_MAX, OWNERSHIP_TOKEN_BYTES_MAX, OWNERSHIP_TOKEN_MILLIS, OWNERSHIP_TOKENS_MAX,
};
use crate::names::TemplateName;
use crate::onboarding::Facts;
use crate::plain::shaped;
use crate::record::{
    CertificateMode, CertificateStatus, DeviceCertificate, Origin, ProvisioningTemplate, TemplateKind, Uuid,
    Versioned,
};
use crate::refusal::{Exception, Refusal};
use crate::register_thing::{self, Asked, Bearing, Made};
use crate::resource::{self, Kind, Resource};
use crate::{arn, provisioning_template};

shaped!(
    /// What is kept of an ownership token.
    OwnershipToken {
        /// SHA-256 of the token, in hexadecimal digits.
        hash: String,
        /// The certificate that it is for.
        certificate: String,
        /// The claim certificate that it was given to.
        claim: String,
        /// Until when it is good.
        expires: UnixMillis,
    }
);

impl Resource for OwnershipToken {
    const KIND: Kind = Kind::OwnershipToken;

    fn name(&self) -> &str {
        &self.hash
    }
}

shaped!(
    /// A claim certificate of CreateProvisioningClaim: for a few minutes, for one template, and in no list.
    ProvisioningClaim {
        /// The id of the certificate.
        certificate: String,
        /// The template that a device may be provisioned by.
        template: String,
        /// Until when it is good.
        expires: UnixMillis,
    }
);

impl Resource for ProvisioningClaim {
    const KIND: Kind = Kind::ProvisioningClaim;

    fn name(&self) -> &str {
        &self.certificate
    }
}

/// The name under which a token is kept.
pub fn hash(token: &str) -> String {
    let hash = identity::crypto::sha256(token.as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether one more certificate may wait for its device. `waiting` are the tokens of the account that nobody has used yet:
/// whoever holds a claim certificate cannot fill the disk with certificates that no device ever takes.
pub fn check_room(waiting: u32) -> Result<(), Refusal> {
    if waiting < OWNERSHIP_TOKENS_MAX {
        return Ok(());
    }
    Err(Refusal::new(
        Exception::LimitExceeded,
        "fleet.claim.outstanding",
        format!("{OWNERSHIP_TOKENS_MAX} certificates of this account wait for RegisterThing already"),
    )
    .hint("let devices use the tokens that they were given; one that is not used ends after an hour. If nobody knows whose they are, deactivate the claim certificate"))
}

/// Whether one more claim certificate may be made. `kept` are those of the account.
pub fn check_claims(kept: u32) -> Result<(), Refusal> {
    if kept < CLAIMS_MAX {
        return Ok(());
    }
    Err(Refusal::new(
        Exception::LimitExceeded,
        "fleet.claim.claims",
        format!("{CLAIMS_MAX} claim certificates of this account are kept already"),
    )
    .hint("each of them ends after five minutes"))
}

/// Records a certificate that was issued to the holder of a claim certificate, and the hash of its token.
pub fn issue(call: &Call, issued: &Certificate, hash: String, claim: &CertificateId) -> Decision<Registered> {
    let status = CertificateStatus::PendingActivation;
    let record = certificate::record(
        call,
        issued,
        None,
        Origin::Issued,
        status,
        CertificateMode::Default,
    );
    let id = record.id;
    let token = OwnershipToken {
        hash,
        certificate: id.to_string(),
        claim: claim.to_string(),
        expires: call.now.plus_millis(OWNERSHIP_TOKEN_MILLIS),
    };
    let mut batch = call.batch();
    let detail = format!("{}, for the claim {claim}", status.name());
    batch
        .audit
        .push(call.entry("certificate.issue", id.to_string(), detail));
    batch.insert(Record::Certificate(record));
    batch.insert(token.kept());
    Decision {
        batch,
        events: Vec::new(),
        reply: Registered {
            arn: arn::certificate(&call.tenant, &id),
            id,
        },
    }
}

/// The certificate that a token is for: it is known, not too old, and in the hands that it was given to.
pub fn owned(
    call: &Call,
    token: &str,
    existing: Option<&Versioned<OwnershipToken>>,
    claim: &CertificateId,
) -> Result<CertificateId, Refusal> {
    let refused = |code, reason: &str| {
        Refusal::new(Exception::Unauthorized, code, reason)
            .hint("ask for a new certificate and use its token once")
    };
    if token.is_empty() || token.len() > OWNERSHIP_TOKEN_BYTES_MAX {
        return Err(refused(
            "fleet.claim.token_length",
            "Certificate ownership token cannot be empty or too long",
        ));
    }
    let unknown = || {
        refused(
            "fleet.claim.token_unknown",
            "the certificate ownership token is not known, or was used",
        )
    };
    let found = &existing.ok_or_else(unknown)?.record;
    if found.claim != claim.to_string() {
        let reason = "the certificate ownership token was given to another claim certificate";
        return Err(refused("fleet.claim.token_foreign", reason));
    }
    if found.expires <= call.now {
        return Err(refused(
            "fleet.claim.token_expired",
            "the certificate ownership token is more than an hour old",
        ));
    }
    found.certificate.parse().map_err(|_| unknown())
}

/// The document of the template that devices with a claim follow.
pub fn body<'a>(
    name: &TemplateName,
    existing: Option<&'a Versioned<ProvisioningTemplate>>,
) -> Result<&'a str, Refusal> {
    let template = &provisioning_template::found(name, existing)?.record;
    if template.kind != TemplateKind::FleetProvisioning {
        return Err(Refusal::new(
            Exception::InvalidRequest,
            "fleet.claim.template_type",
            format!("provisioning template {name} is not of the type FLEET_PROVISIONING"),
        ));
    }
    if !template.enabled {
        return Err(Refusal::new(
            Exception::InvalidRequest,
            "fleet.claim.template_disabled",
            format!("provisioning template {name} is not enabled"),
        )
        .hint("enable it (UpdateProvisioningTemplate --enabled)"));
    }
    let version = template.default_body();
    let version =
        version.ok_or_else(|| provisioning_template::missing_version(name, template.default_version))?;
    Ok(&version.body)
}

/// Carries the template out for the certificate of the token, and uses the token up in the same transaction.
pub fn redeem(
    call: &Call,
    asked: &Asked,
    template: &Versioned<ProvisioningTemplate>,
    (token, id): (&Versioned<OwnershipToken>, CertificateId),
    facts: &Facts,
    thing_id: Uuid,
    trail: &mut Trail,
) -> Decided<Made> {
    let bearing = Bearing::Registered(id);
    let mut decision = register_thing::decide(call, asked, bearing, facts, thing_id, trail)?;
    let batch = &mut decision.batch;
    batch.delete(resource::key::<OwnershipToken>(&token.record.hash), token.version);
    batch.check(Key::Template(template.record.name.clone()), template.version);
    Ok(decision)
}

/// Forgets a token that ran out, and with it its certificate, unless somebody has made something of that.
pub fn expire(
    call: &Call,
    token: &Versioned<OwnershipToken>,
    existing: Option<&Versioned<DeviceCertificate>>,
    facts: &DeleteFacts,
) -> Decided<()> {
    let waits = |existing: &&Versioned<DeviceCertificate>| {
        existing.record.status == CertificateStatus::PendingActivation
            && facts.things.is_empty()
            && facts.policies.is_empty()
    };
    let mut decision = match existing.filter(waits) {
        Some(existing) => certificate::delete(call, &existing.record.id, false, Some(existing), facts)?,
        None => Decision::unchanged(call, ()),
    };
    let key = resource::key::<OwnershipToken>(&token.record.hash);
    decision.batch.delete(key, token.version);
    Ok(decision)
}

/// CreateProvisioningClaim: records the claim certificate that was issued.
pub fn create(
    call: &Call,
    name: &TemplateName,
    existing: Option<&Versioned<ProvisioningTemplate>>,
    issued: &Certificate,
) -> Decided<ProvisioningClaim> {
    body(name, existing)?;
    let claim = ProvisioningClaim {
        certificate: issued.id().to_string(),
        template: name.as_str().to_owned(),
        expires: call.now.plus_millis(CLAIM_MILLIS),
    };
    Ok(resource::insert(call, "claim.create", claim))
}

impl ProvisioningClaim {
    /// Whether it is still good.
    pub fn is_good(&self, now: UnixMillis) -> bool {
        now < self.expires
    }

    /// All that its holder may do: provision itself by its template.
    pub fn policy(&self) -> String {
        let template = &self.template;
        let topics = |kind: &str| {
            format!(
                r#"["arn:aws:iot:*:*:{kind}/$aws/certificates/create/*","arn:aws:iot:*:*:{kind}/$aws/certificates/create-from-csr/*","arn:aws:iot:*:*:{kind}/$aws/provisioning-templates/{template}/provision/*"]"#
            )
        };
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"iot:Connect","Resource":"*"}},{{"Effect":"Allow","Action":["iot:Publish","iot:Receive"],"Resource":{}}},{{"Effect":"Allow","Action":"iot:Subscribe","Resource":{}}}]}}"#,
            topics("topic"),
            topics("topicfilter")
        )
    }
}

/// Forgets a claim certificate that is not good any more.
pub fn forget(call: &Call, claim: &Versioned<ProvisioningClaim>) -> Decision<()> {
    let mut decision = resource::delete(call, "claim.end", claim);
    decision.batch.raises_epoch = true;
    if let Ok(id) = claim.record.certificate.parse() {
        decision.events.push(Event::CertificateTrust(id));
    }
    decision
}

#[cfg(test)]
mod tests;
