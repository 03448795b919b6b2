//! What becomes of a certificate whose issuer is known: provisioned by the template, or left to await activation.

use identity::CertificateId;
use identity::certificate::Certificate;
use identity::manifest::KeyHash;

use super::resources::Bearer;
use super::{Facts, Identified, Needs, Onboarded, fail};
use crate::attempt::Trail;
use crate::batch::{Batch, Check, Key, Record};
use crate::call::{Call, Decision, Event};
use crate::certificate::record;
use crate::manifest::gate;
use crate::record::{CertificateStatus, DeviceCertificate, Origin, Uuid};
use crate::refusal::{Exception, Refusal};
use crate::template::Plan;

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
        Needs::of(plan)
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
        let admitted = match self.admitted(call) {
            Ok(admitted) => admitted,
            Err(refusal) => return Ok(self.unlisted(call, refusal, trail)),
        };
        if let Some(admitted) = &admitted {
            trail.passed("manifest.entry", admitted.told());
        }
        let mut decision = self.carry_out(call, facts, thing_id, trail)?;
        // Who awaits activation already is counted when he is provisioned.
        if let Some(admitted) = admitted.filter(|_| !decision.batch.is_empty()) {
            admitted.keep(call, self.leaf.id(), &mut decision.batch);
        }
        Ok(decision)
    }

    /// What the CA's gate says; `None` if it has none.
    fn admitted(&self, call: &Call) -> Result<Option<gate::Admitted<'_>>, Refusal> {
        let gated = self.authority.record.record.gated;
        let check = || gate::check(call, self.leaf, self.ca(), self.listed.as_ref());
        gated.then(check).transpose()
    }

    /// Not let in: nothing is kept, and somebody is told, since a CA's key may be in the wrong hands.
    fn unlisted(&self, call: &Call, refusal: Refusal, trail: &mut Trail) -> Decision<Onboarded> {
        trail.failed("manifest.entry", refusal.reason());
        let event = Event::Unlisted {
            certificate: self.leaf.id(),
            key: KeyHash::of(self.leaf.public_key()),
            ca: *self.ca(),
            code: identity::Explained::code(&refusal),
            at: call.now,
        };
        Decision {
            batch: call.batch(),
            events: vec![event],
            reply: Onboarded::Unlisted(refusal),
        }
    }

    fn carry_out(
        &self,
        call: &Call,
        facts: &Facts,
        thing_id: Uuid,
        trail: &mut Trail,
    ) -> Result<Decision<Onboarded>, Refusal> {
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
        let mut events = vec![self.registered(call, facts)];
        if let Some(thing) = &plan.thing {
            let told = self
                .bearer()
                .write_thing(call, facts, thing, thing_id, &mut batch, trail)?;
            events.extend(told);
        }
        self.bearer()
            .write_policies(call, facts, plan, &mut batch, trail)?;
        if let Some(thing) = &plan.thing {
            self.bearer().attach_thing(call, facts, &thing.name, &mut batch)?;
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
        Ok(Decision { batch, events, reply })
    }

    /// The certificate, as far as thing and policies need it.
    fn bearer(&self) -> Bearer {
        Bearer {
            id: self.leaf.id(),
            ca: Some(*self.ca()),
            simulated: self.leaf.is_simulated(),
        }
    }

    /// A batch that demands the CA to be as it was read.
    fn batch(&self, call: &Call) -> Batch {
        let mut batch = call.batch();
        let ca = &self.authority.record;
        batch.check(Key::Ca(ca.record.id), ca.version);
        if let Some((name, expect)) = &self.authority.named {
            batch.checks.push(Check::Is {
                key: Key::Template(name.clone()),
                expect: *expect,
            });
        }
        batch
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
