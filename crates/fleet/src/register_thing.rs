//! RegisterThing: a template and its parameters, carried out once for the caller of the API.
//!
//! The same templates as those of first connections, but the certificate may also come as PEM or as a certification
//! request, and the parameters are what the caller gave. Whoever calls holds an access key, so nothing is decided here
//! about admission; everything is kept in one transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use identity::{CertificateId, ThingName};

use crate::attempt::Trail;
use crate::batch::{Batch, Record, Write};
use crate::call::{Call, Decided, Decision, Event};
use crate::certificate::Registered;
use crate::limits::{PARAMETER_BYTES_MAX, TEMPLATE_PARAMETERS_MAX};
use crate::onboarding::resources::Bearer;
use crate::onboarding::{Facts, Needs};
use crate::record::{CertificateStatus, DeviceCertificate, Uuid};
use crate::refusal::{Exception, Refusal};
use crate::template::{CertificatePlan, Override, Parameters, Plan, Template};
use crate::{arn, certificate};

/// A template with every parameter in its place.
#[derive(Debug, Clone)]
pub struct Asked {
    template: Arc<Template>,
    plan: Plan,
}

/// The certificate that the template is about.
#[derive(Debug, Clone)]
pub enum Bearing {
    /// The template has none.
    Nothing,
    /// One that is registered: it is in the facts.
    Registered(CertificateId),
    /// One that this call registers or issues: the decision that does.
    New(Decision<Registered>),
}

/// What RegisterThing answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The certificate, DER.
    pub certificate: Option<Arc<[u8]>>,
    /// ARNs under the names that the resources have in the template.
    pub arns: BTreeMap<String, String>,
    /// The thing.
    pub thing: Option<ThingName>,
    /// What a device is told.
    pub device_configuration: BTreeMap<String, String>,
}

impl Asked {
    /// Reads the template and puts the parameters in.
    pub fn read(body: &str, parameters: BTreeMap<String, String>) -> Result<Self, Refusal> {
        Self::fill(&Arc::new(Template::parse(body)?), parameters)
    }

    /// Puts the parameters into a template that was read before, for one of many things.
    pub fn fill(template: &Arc<Template>, parameters: BTreeMap<String, String>) -> Result<Self, Refusal> {
        let is_long = |(name, value): (&String, &String)| name.len() + value.len() > PARAMETER_BYTES_MAX;
        if parameters.len() > TEMPLATE_PARAMETERS_MAX || parameters.iter().any(is_long) {
            return Err(Refusal::new(
                Exception::InvalidRequest,
                "fleet.register_thing.parameters",
                format!(
                    "there are more than {TEMPLATE_PARAMETERS_MAX} parameters, or one has more than {PARAMETER_BYTES_MAX} bytes"
                ),
            ));
        }
        let plan = template.evaluate(&Parameters::given(parameters))?;
        if plan.certificate.is_none() && !plan.policies.is_empty() {
            return Err(failed(
                "the template has policies, but no certificate to attach them to".to_owned(),
            ));
        }
        let template = Arc::clone(template);
        Ok(Self { template, plan })
    }

    /// Where the certificate comes from.
    pub fn certificate(&self) -> Option<&CertificatePlan> {
        self.plan.certificate.as_ref()
    }

    /// Whether the certificate becomes ACTIVE.
    pub fn activates(&self) -> bool {
        self.plan.activate
    }

    /// The records to look up.
    pub fn needs(&self) -> Needs {
        Needs::of(&self.plan)
    }
}

/// RegisterThing. `thing_id` becomes the id of the thing if one is made.
pub fn decide(
    call: &Call,
    asked: &Asked,
    bearing: Bearing,
    facts: &Facts,
    thing_id: Uuid,
    trail: &mut Trail,
) -> Decided<Made> {
    let plan = &asked.plan;
    let is_known = matches!(bearing, Bearing::Registered(_));
    let (mut batch, certificate) = match bearing {
        Bearing::Nothing => (call.batch(), None),
        Bearing::Registered(id) => {
            let mut batch = call.batch();
            let record = existing(call, plan, &id, facts, &mut batch)?;
            (batch, Some(record))
        }
        Bearing::New(decision) => {
            let record = inserted(&decision.batch);
            (decision.batch, record)
        }
    };
    let bearer = Bearer {
        id: certificate
            .as_ref()
            .map_or(CertificateId([0; 32]), |certificate| certificate.id),
        // An administrator may give any thing any certificate: no CA is foreign here, and none gives birth.
        ca: facts.thing.as_ref().and_then(|thing| thing.record.born_under),
        simulated: false,
    };
    let mut events = Vec::new();
    if let Some(thing) = &plan.thing {
        events = bearer.write_thing(call, facts, thing, thing_id, &mut batch, trail)?;
    }
    if let Some(certificate) = &certificate {
        bearer.write_policies(call, facts, plan, &mut batch, trail)?;
        if let Some(thing) = &plan.thing {
            bearer.attach_thing(call, facts, &thing.name, &mut batch)?;
        }
        // Nobody can be connected with a certificate that was not registered until now.
        if is_known {
            events.push(Event::CertificateTrust(certificate.id));
        }
    }
    let subject = plan.thing.as_ref().map_or("", |thing| thing.name.as_str());
    let detail = certificate
        .as_ref()
        .map(|certificate| certificate.id.to_string())
        .unwrap_or_default();
    batch.audit.push(call.entry("thing.register", subject, detail));
    batch.raises_epoch = true;
    let reply = made(call, asked, certificate.as_ref());
    Ok(Decision { batch, events, reply })
}

/// A certificate that is registered gets the status that the template says, unless it says that it may not.
fn existing(
    call: &Call,
    plan: &Plan,
    id: &CertificateId,
    facts: &Facts,
    batch: &mut Batch,
) -> Result<DeviceCertificate, Refusal> {
    let existing = certificate::found(id, facts.existing.as_ref())
        .map_err(|refusal| failed(format!("the template's certificate cannot be used: {refusal}")))?;
    let mut record = existing.record.clone();
    let wanted = if plan.activate {
        CertificateStatus::Active
    } else {
        CertificateStatus::Inactive
    };
    let differs = record.status != wanted;
    match (plan.status_override, record.status) {
        (Some(Override::DoNothing), _) => {}
        (Some(Override::Fail), status) if differs => {
            return Err(Refusal::new(
                Exception::ConflictingResourceUpdate,
                "fleet.register_thing.status",
                format!(
                    "certificate {id} is {}, and the template says FAIL",
                    status.name()
                ),
            ));
        }
        (_, CertificateStatus::Revoked | CertificateStatus::PendingTransfer) if differs => {
            return Err(failed(format!(
                "certificate {id} is {} and cannot become {}",
                record.status.name(),
                wanted.name()
            )));
        }
        _ if differs => {
            record.status = wanted;
            record.customer_version += 1;
            record.modified = call.now;
        }
        _ => {}
    }
    // Written even if nothing changed, so that it is still there when its attachments are.
    batch.replace(Record::Certificate(record.clone()), existing.version);
    Ok(record)
}

/// The certificate that a batch registers.
fn inserted(batch: &Batch) -> Option<DeviceCertificate> {
    batch.writes.iter().find_map(|write| match write {
        Write::Put {
            record: Record::Certificate(certificate),
            ..
        } => Some(certificate.clone()),
        _ => None,
    })
}

fn made(call: &Call, asked: &Asked, certificate: Option<&DeviceCertificate>) -> Made {
    let (thing_name, certificate_name, policy_names) = asked.template.logical_names();
    let mut arns = BTreeMap::new();
    if let (Some(name), Some(thing)) = (thing_name, &asked.plan.thing) {
        arns.insert(name.to_owned(), arn::thing(&call.tenant, &thing.name));
    }
    if let (Some(name), Some(certificate)) = (certificate_name, certificate) {
        arns.insert(name.to_owned(), arn::certificate(&call.tenant, &certificate.id));
    }
    for (name, policy) in policy_names.zip(&asked.plan.policies) {
        arns.insert(name.to_owned(), arn::policy(&call.tenant, policy.name()));
    }
    Made {
        certificate: certificate.map(|certificate| certificate.der.clone()),
        arns,
        thing: asked.plan.thing.as_ref().map(|thing| thing.name.clone()),
        device_configuration: asked.plan.device_configuration.clone(),
    }
}

fn failed(reason: String) -> Refusal {
    Refusal::new(
        Exception::ResourceRegistrationFailure,
        "fleet.register_thing.failed",
        reason,
    )
}
