//! The first connection of a device: from a certificate nobody knows to a thing with policies, in one transaction.
//!
//! Three steps, so that each can look at exactly the facts it needs: [`identify`] finds the registered CA that signed the
//! certificate (trust is one level deep, as at AWS) and works the template out; [`Identified::needs`] says which records to
//! look up; [`Identified::decide`] gives the batch. Possession of the key has been proven by the TLS handshake before
//! anything here is asked. The batch demands that the CA and every record it rests on are still as they were read.
//!
//! When the template cannot be carried out, the certificate stays PENDING_ACTIVATION as at AWS and the next connection
//! tries again: that outcome is [`Onboarded::Failed`], with its own batch.

use core::borrow::Borrow;

use identity::certificate::Certificate;
use identity::{CertificateId, ThingName};

use crate::attempt::Trail;
use crate::batch::{Batch, Key, Record, Relation};
use crate::call::{Call, Decision, Event, Profile};
use crate::certificate::{KEYS_HINT, is_key_accepted, record};
use crate::limits::{
    CAS_PER_SUBJECT_MAX, CERTIFICATES_PER_THING_MAX, POLICIES_PER_TARGET_MAX, THINGS_PER_CERTIFICATE_MAX,
};
use crate::names::PolicyName;
use crate::policies;
use crate::record::{
    CaCertificate, CaStatus, CertificateMode, CertificateStatus, DeviceCertificate, Origin, PolicyAttachment,
    PolicyTarget, PrincipalType, RegistrationCode, Thing, ThingPrincipal, Uuid, Versioned,
};
use crate::refusal::{Exception, Refusal};
use crate::template::{Override, Parameters, Plan, PolicyPlan, Template, ThingPlan};
use crate::validity;

/// A registered CA, read once: its certificate parsed and its template compiled. May be cached under (id, version).
#[derive(Debug, Clone)]
pub struct Authority {
    record: Versioned<CaCertificate>,
    certificate: Certificate,
    template: Option<Result<Template, Refusal>>,
}

impl Authority {
    /// Reads a CA record. A record that cannot be read is a fault of ours, told as a refusal.
    pub fn read(record: Versioned<CaCertificate>) -> Result<Self, Refusal> {
        let certificate = Certificate::parse(&record.record.der).map_err(|fault| {
            Refusal::new(
                Exception::CertificateValidation,
                "fleet.ca.unreadable",
                format!(
                    "the recorded CA certificate {} cannot be read: {fault}",
                    record.record.id
                ),
            )
        })?;
        let body = record
            .record
            .registration
            .as_ref()
            .and_then(|config| config.template_body.as_deref());
        let template = body.map(Template::parse);
        Ok(Self {
            record,
            certificate,
            template,
        })
    }

    /// The record.
    pub fn record(&self) -> &Versioned<CaCertificate> {
        &self.record
    }
}

/// A certificate that has just been presented and whose key the peer has proven to hold.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The certificate, as it came.
    pub leaf: &'a Certificate,
    /// Whether the client named this tenant's endpoint (SNI).
    pub named_by_sni: bool,
    /// Whether certificates of simulated chips are let in.
    pub allow_simulated: bool,
}

/// A certificate whose registered issuer is known.
#[derive(Debug, Clone)]
pub struct Identified<'a> {
    leaf: &'a Certificate,
    authority: &'a Authority,
    plan: Option<Result<Plan, Refusal>>,
}

/// The records to look up before deciding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// This thing, and the certificates attached to it.
    pub thing: Option<ThingName>,
    /// These policies.
    pub policies: Vec<PolicyName>,
}

/// A certificate attached to the thing of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The certificate.
    pub certificate: CertificateId,
    /// Its status.
    pub status: CertificateStatus,
}

/// What is known when a first connection is decided.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The certificate, when an earlier connection registered it (PENDING_ACTIVATION).
    pub existing: Option<Versioned<DeviceCertificate>>,
    /// Policies that are attached to it already; empty for a new one.
    pub attached_policies: Vec<PolicyName>,
    /// Things it is attached to already; empty for a new one.
    pub attached_things: Vec<ThingName>,
    /// The thing of [`Needs::thing`].
    pub thing: Option<Versioned<Thing>>,
    /// The certificates attached to that thing.
    pub holders: Vec<Holder>,
    /// Those of [`Needs::policies`] that exist.
    pub policies: Vec<Versioned<PolicyName>>,
    /// The tenant's registration code: a verification certificate is never a device.
    pub code: Option<RegistrationCode>,
}

/// How a first connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Onboarded {
    /// The template was carried out.
    Provisioned {
        /// The thing.
        thing: Option<ThingName>,
        /// The policies that are now attached.
        policies: Vec<PolicyName>,
        /// Whether the certificate is ACTIVE.
        active: bool,
    },
    /// There is no template: the certificate awaits activation, and the event was told.
    Registered,
    /// The template could not be carried out: the certificate awaits activation, and the next connection tries again.
    Failed(Refusal),
}

/// Finds the registered CA that signed the certificate. `candidates` are the tenant's CAs whose subject is the leaf's
/// issuer.
pub fn identify<'a, A: Borrow<Authority>>(
    call: &Call,
    arrival: Arrival<'a>,
    candidates: &'a [A],
    trail: &mut Trail,
) -> Result<Identified<'a>, Refusal> {
    let leaf = arrival.leaf;
    let authority = match issuer(leaf, candidates) {
        Ok(authority) => authority,
        Err(refusal) => return Err(fail(trail, "ca.found", refusal)),
    };
    trail.passed(
        "ca.found",
        format!("signed by the registered CA {}", authority.record.record.id),
    );
    if let Err(refusal) = check_authority(call, &authority.record.record, arrival.named_by_sni) {
        return Err(fail(trail, "ca.status", refusal));
    }
    trail.passed("ca.status", "ACTIVE, with automatic registration");
    if let Err(refusal) = check_leaf(call, &arrival) {
        return Err(fail(trail, "certificate.validity", refusal));
    }
    trail.passed(
        "certificate.validity",
        format!("until {}", leaf.not_after().to_rfc3339()),
    );
    let plan = authority
        .template
        .clone()
        .map(|template| template?.evaluate(&Parameters::of(leaf)));
    Ok(Identified {
        leaf,
        authority,
        plan,
    })
}

impl Identified<'_> {
    /// The CA that signed it.
    pub fn ca(&self) -> &CertificateId {
        &self.authority.record.record.id
    }

    /// The records to look up.
    pub fn needs(&self) -> Needs {
        let Some(Ok(plan)) = &self.plan else {
            return Needs::default();
        };
        Needs {
            thing: plan.thing.as_ref().map(|thing| thing.name.clone()),
            policies: plan.policies.iter().map(|policy| policy.name().clone()).collect(),
        }
    }

    /// Decides. `thing_id` becomes the id of the thing if one is made.
    pub fn decide(
        &self,
        call: &Call,
        facts: &Facts,
        thing_id: Uuid,
        trail: &mut Trail,
    ) -> Result<Decision<Onboarded>, Refusal> {
        if let Err(refusal) = refuse_verification(self.leaf, facts) {
            return Err(fail(trail, "certificate.purpose", refusal));
        }
        let plan = match &self.plan {
            None => {
                trail.skipped(
                    "template",
                    "the CA has no template: the certificate awaits activation",
                );
                return Ok(self.pending(call, facts, Onboarded::Registered));
            }
            Some(Err(refusal)) => {
                trail.failed("template.evaluate", refusal.reason());
                return Ok(self.pending(call, facts, Onboarded::Failed(refusal.clone())));
            }
            Some(Ok(plan)) => plan,
        };
        trail.passed("template.evaluate", "every parameter has a value");
        match self.provisioned(call, facts, plan, thing_id, trail) {
            Ok(decision) => Ok(decision),
            Err(refusal) => {
                trail.failed("template.resources", refusal.reason());
                Ok(self.pending(call, facts, Onboarded::Failed(refusal)))
            }
        }
    }

    /// The certificate stays, or becomes, PENDING_ACTIVATION; whoever listens is told, every time.
    fn pending(&self, call: &Call, facts: &Facts, reply: Onboarded) -> Decision<Onboarded> {
        let mut batch = self.batch(call);
        if facts.existing.is_none() {
            let status = CertificateStatus::PendingActivation;
            batch.audit.push(call.entry(
                "certificate.first_connection",
                self.leaf.id().to_string(),
                status.name(),
            ));
            batch.insert(Record::Certificate(self.record(call, status)));
        } else {
            batch.checks.clear();
        }
        Decision {
            batch,
            events: vec![self.registered(call, facts)],
            reply,
        }
    }

    fn provisioned(
        &self,
        call: &Call,
        facts: &Facts,
        plan: &Plan,
        thing_id: Uuid,
        trail: &mut Trail,
    ) -> Result<Decision<Onboarded>, Refusal> {
        let mut batch = self.batch(call);
        if let Some(thing) = &plan.thing {
            self.write_thing(call, facts, thing, thing_id, &mut batch, trail)?;
        }
        self.write_policies(call, facts, plan, &mut batch, trail)?;
        if let Some(thing) = &plan.thing {
            self.attach_thing(call, facts, &thing.name, &mut batch)?;
        }
        self.write_certificate(call, facts, plan, &mut batch);
        let status = if plan.activate { "ACTIVE" } else { "INACTIVE" };
        trail.passed("certificate.activate", status);
        let thing = plan.thing.as_ref().map(|thing| thing.name.clone());
        let detail = thing
            .as_ref()
            .map_or_else(|| status.to_owned(), |thing| format!("{status}, thing {thing}"));
        batch
            .audit
            .push(call.entry("certificate.first_connection", self.leaf.id().to_string(), detail));
        let policies = plan.policies.iter().map(|policy| policy.name().clone()).collect();
        let reply = Onboarded::Provisioned {
            thing,
            policies,
            active: plan.activate,
        };
        Ok(Decision {
            batch,
            events: vec![self.registered(call, facts)],
            reply,
        })
    }

    /// A batch that demands the CA to be as it was read.
    fn batch(&self, call: &Call) -> Batch {
        let mut batch = call.batch();
        let ca = &self.authority.record;
        batch.check(Key::Ca(ca.record.id), ca.version);
        batch
    }

    fn write_thing(
        &self,
        call: &Call,
        facts: &Facts,
        plan: &ThingPlan,
        thing_id: Uuid,
        batch: &mut Batch,
        trail: &mut Trail,
    ) -> Result<(), Refusal> {
        let Some(existing) = &facts.thing else {
            batch.insert(Record::Thing(self.new_thing(call, plan, thing_id)));
            trail.passed("thing.create", plan.name.as_str());
            return Ok(());
        };
        self.check_takeover(call, facts, &existing.record, batch, trail)?;
        match changed_thing(call, &existing.record, plan)? {
            None => batch.check(Key::Thing(plan.name.clone()), existing.version),
            Some(thing) => batch.replace(Record::Thing(thing), existing.version),
        }
        trail.passed("thing.reuse", plan.name.as_str());
        Ok(())
    }

    fn new_thing(&self, call: &Call, plan: &ThingPlan, id: Uuid) -> Thing {
        Thing {
            name: plan.name.clone(),
            id,
            type_name: None,
            attributes: plan.attributes.clone(),
            version: 1,
            born_under: Some(*self.ca()),
            simulated: self.leaf.is_simulated(),
            created: call.now,
            modified: call.now,
        }
    }

    /// A thing belongs to the CA under which it was born, and to one active certificate. AWS knows no such rule: there the
    /// certificate is attached and somebody is told.
    fn check_takeover(
        &self,
        call: &Call,
        facts: &Facts,
        thing: &Thing,
        batch: &mut Batch,
        trail: &mut Trail,
    ) -> Result<(), Refusal> {
        let foreign_ca = thing.born_under.filter(|born_under| born_under != self.ca());
        let leaf = self.leaf.id();
        let other = facts
            .holders
            .iter()
            .find(|holder| holder.certificate != leaf && holder.status == CertificateStatus::Active);
        let why = match (foreign_ca, other) {
            (Some(born_under), _) => format!("thing {} was first made under the CA {born_under}", thing.name),
            (None, Some(other)) => format!(
                "thing {} has the active certificate {}",
                thing.name, other.certificate
            ),
            (None, None) => return Ok(()),
        };
        if call.profile == Profile::SelfHost {
            return Err(Refusal::new(Exception::ConflictingResourceUpdate, "fleet.onboarding.takeover", why)
                .hint("deactivate and detach the old certificate, or delete the thing, if the device was really replaced"));
        }
        trail.alarm("thing.takeover", why.as_str());
        batch
            .audit
            .push(call.entry("security.thing_takeover", leaf.to_string(), why));
        Ok(())
    }

    fn write_policies(
        &self,
        call: &Call,
        facts: &Facts,
        plan: &Plan,
        batch: &mut Batch,
        trail: &mut Trail,
    ) -> Result<(), Refusal> {
        let target = PolicyTarget::Certificate(self.leaf.id());
        let mut seen: Vec<&PolicyName> = Vec::new();
        for policy in &plan.policies {
            let name = policy.name();
            if seen.contains(&name) {
                continue;
            }
            seen.push(name);
            demand_policy(call, facts, policy, batch)?;
            if !facts.attached_policies.contains(name) {
                batch.insert(Record::Attachment(PolicyAttachment {
                    policy: name.clone(),
                    target: target.clone(),
                }));
            }
            trail.passed("policy.attach", name.as_str());
        }
        let others = facts
            .attached_policies
            .iter()
            .filter(|name| !seen.contains(name))
            .count();
        if others + seen.len() > POLICIES_PER_TARGET_MAX as usize {
            return Err(Refusal::new(
                Exception::LimitExceeded,
                "fleet.onboarding.policies",
                format!("the certificate would have more than {POLICIES_PER_TARGET_MAX} policies"),
            ));
        }
        if facts.existing.is_some() {
            let count = u32::try_from(facts.attached_policies.len()).unwrap_or(u32::MAX);
            batch.at_most(Relation::PoliciesOf(target), count);
        }
        Ok(())
    }

    fn attach_thing(
        &self,
        call: &Call,
        facts: &Facts,
        thing: &ThingName,
        batch: &mut Batch,
    ) -> Result<(), Refusal> {
        let certificate = self.leaf.id();
        if facts.attached_things.contains(thing) {
            return Ok(());
        }
        let limit = |what: &str| {
            Refusal::new(
                Exception::LimitExceeded,
                "fleet.onboarding.things",
                format!("{what} (call at {})", call.now.to_rfc3339()),
            )
        };
        if facts.attached_things.len() >= THINGS_PER_CERTIFICATE_MAX as usize {
            return Err(limit("the certificate is attached to too many things already"));
        }
        if facts.holders.len() >= CERTIFICATES_PER_THING_MAX as usize {
            return Err(limit("the thing has too many certificates already"));
        }
        if facts.thing.is_some() {
            batch.at_most(
                Relation::PrincipalsOf(thing.clone()),
                CERTIFICATES_PER_THING_MAX - 1,
            );
        }
        let kind = PrincipalType::NonExclusive;
        batch.insert(Record::ThingPrincipal(ThingPrincipal {
            thing: thing.clone(),
            certificate,
            kind,
        }));
        Ok(())
    }

    fn write_certificate(&self, call: &Call, facts: &Facts, plan: &Plan, batch: &mut Batch) {
        let status = if plan.activate {
            CertificateStatus::Active
        } else {
            CertificateStatus::Inactive
        };
        match &facts.existing {
            None => {
                let mut record = self.record(call, status);
                // PENDING_ACTIVATION and then this status, in one transaction.
                record.customer_version = 2;
                batch.insert(Record::Certificate(record));
            }
            Some(existing) => {
                let mut record = existing.record.clone();
                record.status = status;
                record.customer_version += 1;
                record.modified = call.now;
                batch.replace(Record::Certificate(record), existing.version);
            }
        }
    }

    fn record(&self, call: &Call, status: CertificateStatus) -> DeviceCertificate {
        let mode = self.authority.record.record.mode;
        record(
            call,
            self.leaf,
            Some(*self.ca()),
            Origin::FirstConnection,
            status,
            mode,
        )
    }

    fn registered(&self, call: &Call, facts: &Facts) -> Event {
        let registered = facts
            .existing
            .as_ref()
            .map_or(call.now, |existing| existing.record.created);
        Event::Registered {
            certificate: self.leaf.id(),
            ca: *self.ca(),
            registered,
            at: call.now,
        }
    }
}

/// The candidate that signed the leaf.
fn issuer<'a, A: Borrow<Authority>>(
    leaf: &Certificate,
    candidates: &'a [A],
) -> Result<&'a Authority, Refusal> {
    let refuse = |code, reason: String| Refusal::new(Exception::Unauthorized, code, reason);
    let candidates = candidates
        .iter()
        .take(CAS_PER_SUBJECT_MAX as usize)
        .map(Borrow::borrow);
    let mut seen = 0;
    for authority in candidates {
        if authority.certificate.id() == leaf.id() {
            return Err(refuse(
                "fleet.onboarding.is_ca",
                "the certificate is a registered CA, not a device".to_owned(),
            ));
        }
        if leaf.is_signed_by(authority.certificate.public_key()).is_ok() {
            return Ok(authority);
        }
        seen += 1;
    }
    if seen == 0 {
        return Err(refuse(
            "fleet.onboarding.unknown_ca",
            format!(
                "the certificate is not registered, and no CA with the subject \"{}\" is",
                leaf.issuer()
            ),
        )
        .hint("register the CA that issued it (RegisterCACertificate), or the certificate itself"));
    }
    Err(refuse(
        "fleet.onboarding.signature",
        format!(
            "{seen} registered CA(s) are named \"{}\", but none of their keys signed the certificate",
            leaf.issuer()
        ),
    )
    .hint("register the CA that really issued it: its name is known, its key is not"))
}

fn check_authority(call: &Call, ca: &CaCertificate, named_by_sni: bool) -> Result<(), Refusal> {
    let id = ca.id;
    let refuse = |code, why: &str, hint: &'static str| {
        Err(Refusal::new(
            Exception::Unauthorized,
            code,
            format!("the CA {id} that issued the certificate {why}"),
        )
        .hint(hint))
    };
    if ca.status != CaStatus::Active {
        return refuse(
            "fleet.onboarding.ca_inactive",
            "is INACTIVE",
            "activate it (UpdateCACertificate --new-status ACTIVE)",
        );
    }
    if !ca.auto_registration {
        return refuse(
            "fleet.onboarding.no_auto_registration",
            "does not register certificates at their first connection",
            "allow it (UpdateCACertificate --new-auto-registration-status ENABLE), or register the certificate",
        );
    }
    if ca.mode == CertificateMode::SniOnly && !named_by_sni {
        return refuse(
            "fleet.onboarding.sni",
            "is registered as SNI_ONLY, and the client sent no server name of this account",
            "let the client send the endpoint's name (SNI)",
        );
    }
    validity::check("the CA certificate", ca.not_before, ca.not_after, call.now)
}

fn check_leaf(call: &Call, arrival: &Arrival<'_>) -> Result<(), Refusal> {
    let leaf = arrival.leaf;
    let refuse = |code, reason: &str| Refusal::new(Exception::Unauthorized, code, reason);
    if leaf.is_simulated() && !arrival.allow_simulated {
        return Err(refuse(
            "fleet.onboarding.simulated",
            "the certificate is that of a simulated chip",
        )
        .hint("start the server with --allow-simulated if this is not production"));
    }
    if !is_key_accepted(leaf.public_key().kind()) {
        return Err(refuse(
            "fleet.onboarding.key",
            "the key of the certificate is not one that may connect",
        )
        .hint(KEYS_HINT));
    }
    if call.profile == Profile::SelfHost && leaf.is_ca() {
        return Err(refuse(
            "fleet.onboarding.leaf_is_ca",
            "the certificate is a CA certificate, not a device's",
        ));
    }
    validity::check_certificate("the device certificate", leaf, call.now)
}

/// The certificate that proved the possession of a CA key must not be usable as a device (its CommonName is the code).
fn refuse_verification(leaf: &Certificate, facts: &Facts) -> Result<(), Refusal> {
    let (Some(code), Some(name)) = (&facts.code, leaf.subject().common_name()) else {
        return Ok(());
    };
    if !code.code.matches(name) {
        return Ok(());
    }
    Err(Refusal::new(
        Exception::Unauthorized,
        "fleet.onboarding.verification_certificate",
        "the certificate is the verification certificate of a CA, not a device's",
    ))
}

/// The policy exists, or is made now if the template holds its document.
fn demand_policy(call: &Call, facts: &Facts, policy: &PolicyPlan, batch: &mut Batch) -> Result<(), Refusal> {
    let existing = facts
        .policies
        .iter()
        .find(|existing| existing.record == *policy.name());
    match (existing, policy) {
        (Some(existing), _) => batch.check(Key::Policy(existing.record.clone()), existing.version),
        (None, PolicyPlan::Inline { name, document }) => {
            batch
                .audit
                .push(call.entry("policy.create", name.as_str(), "made by a template"));
            batch.insert(Record::Policy(policies::first_version(
                call,
                name,
                document,
                Vec::new(),
            )));
        }
        (None, PolicyPlan::Named(name)) => {
            return Err(Refusal::new(
                Exception::ResourceRegistrationFailure,
                "fleet.onboarding.policy_missing",
                format!("the template attaches the policy {name}, which does not exist"),
            )
            .hint("create the policy (CreatePolicy); the device's next connection tries again"));
        }
    }
    Ok(())
}

/// What becomes of a thing that exists: `None` leaves it.
fn changed_thing(call: &Call, thing: &Thing, plan: &ThingPlan) -> Result<Option<Thing>, Refusal> {
    let conflict = |why: &str| {
        Refusal::new(
            Exception::ConflictingResourceUpdate,
            "fleet.onboarding.thing_conflict",
            format!("thing {} exists {why}", thing.name),
        )
        .hint("give the thing OverrideSettings (AttributePayload: DO_NOTHING, MERGE or REPLACE) in the template")
    };
    let mut attributes = plan.attributes.clone();
    match plan.attribute_override {
        Some(Override::DoNothing) => return Ok(None),
        Some(Override::Fail) => return Err(conflict("and the template says FAIL")),
        None if thing.attributes == attributes => return Ok(None),
        None => return Err(conflict("with other attributes")),
        Some(Override::Replace) => {}
        Some(Override::Merge) => {
            attributes = thing.attributes.clone();
            attributes.extend(plan.attributes.clone());
        }
    }
    if thing.attributes == attributes {
        return Ok(None);
    }
    crate::thing::check_attributes(&attributes, thing.type_name.is_some())?;
    Ok(Some(Thing {
        attributes,
        version: thing.version + 1,
        modified: call.now,
        ..thing.clone()
    }))
}

fn fail(trail: &mut Trail, step: &'static str, refusal: Refusal) -> Refusal {
    trail.failed(step, refusal.reason());
    refusal
}
