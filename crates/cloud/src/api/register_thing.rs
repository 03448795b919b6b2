//! RegisterThing: a template carried out once for the caller of the API, or once for each of many lines.
//!
//! It stands between the wire, [`super::bulk`] and `fleet::register_thing`. What a line brings is read and issued before
//! anything is looked up ([`bring`]), so that it happens once, however often the decision about it is taken anew.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use fleet::attempt::Trail;
use fleet::certificate::{self, Registration};
use fleet::onboarding::Facts;
use fleet::record::{CaCertificate, Versioned};
use fleet::register_thing::{self, Asked, Bearing, Made};
use fleet::template::CertificatePlan;
use fleet::{Call, Decision};
use identity::certificate::Certificate;
use identity::{CertificateId, UnixMillis};
use serde::{Deserialize, Serialize};
use store::Records as _;

use super::certificates::parse_id;
use super::operation::Input;
use super::render::{Answer, nothing};
use super::{Request, fault::ApiFault};
use crate::clock;
use crate::control::Control;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegisterThing {
    template_body: String,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
}

/// What a template is carried out for: its parameters in their places, and the certificate.
pub(super) struct Wish {
    asked: Asked,
    brought: Brought,
}

impl Wish {
    /// Reads the certificate, or issues it; nothing is looked up.
    pub(super) fn read(control: &Control, asked: Asked, now: UnixMillis) -> Result<Self, ApiFault> {
        let brought = bring(control, &asked, now)?;
        Ok(Self { asked, brought })
    }
}

/// The certificate of a template, before it is looked up.
enum Brought {
    Nothing,
    Registered(CertificateId),
    Issued(Box<Certificate>),
    Foreign(Box<Registration>),
}

impl Brought {
    /// What there is to look up; nothing of a certificate that was issued just now.
    fn id(&self) -> Option<CertificateId> {
        match self {
            Self::Nothing | Self::Issued(_) => None,
            Self::Registered(id) => Some(*id),
            Self::Foreign(registration) => Some(registration.leaf().id()),
        }
    }
}

/// RegisterThing.
pub(super) async fn register(request: &Request<'_>, input: Input) -> Result<Answer, ApiFault> {
    let input: RegisterThing = input.read()?;
    let asked = Asked::read(&input.template_body, input.parameters)?;
    let wish = Wish::read(request.control, asked, request.call.now)?;
    let made = request
        .decide(async || decide_one(request.control, &request.call, &wish).await)
        .await?;
    Ok(serde_json::to_value(Reply::of(&made)).unwrap_or_else(|_| nothing()))
}

/// What RegisterThing answers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reply<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_pem: Option<String>,
    resource_arns: &'a BTreeMap<String, String>,
}

impl<'a> Reply<'a> {
    pub(super) fn of(made: &'a Made) -> Self {
        let pem = |der: &Arc<[u8]>| identity::pem::encode("CERTIFICATE", der);
        Self {
            certificate_pem: made.certificate.as_ref().map(pem),
            resource_arns: &made.arns,
        }
    }
}

/// Decides about each as if it were the only one; all rest on facts of one moment.
pub(super) async fn decide_each(
    control: &Control,
    call: &Call,
    wishes: &[&Wish],
) -> Result<Vec<Result<Decision<Made>, ApiFault>>, ApiFault> {
    let wanted: Vec<_> = wishes
        .iter()
        .map(|wish| (wish.brought.id(), wish.asked.needs()))
        .collect();
    let facts = control
        .records
        .onboarding_facts_of_each(&call.tenant, &wanted)
        .await?;
    let mut issuers = Issuers {
        control,
        call,
        known: HashMap::new(),
    };
    let mut decided = Vec::with_capacity(wishes.len());
    for (wish, facts) in wishes.iter().zip(&facts) {
        decided.push(decide(&mut issuers, wish, facts).await);
    }
    Ok(decided)
}

/// Decides about one.
pub(super) async fn decide_one(
    control: &Control,
    call: &Call,
    wish: &Wish,
) -> Result<Decision<Made>, ApiFault> {
    let decided = decide_each(control, call, &[wish]).await?.into_iter().next();
    decided.unwrap_or_else(|| Err(ApiFault::failed("a decision was not taken")))
}

async fn decide(issuers: &mut Issuers<'_>, wish: &Wish, facts: &Facts) -> Result<Decision<Made>, ApiFault> {
    let call = issuers.call;
    let bearing = bearing(issuers, &wish.brought, facts, wish.asked.activates()).await?;
    let thing_id = clock::uuid().map_err(ApiFault::failed)?;
    let trail = &mut Trail::default();
    Ok(register_thing::decide(
        call,
        &wish.asked,
        bearing,
        facts,
        thing_id,
        trail,
    )?)
}

/// The registered CAs that certificates name, each looked up once.
struct Issuers<'a> {
    control: &'a Control,
    call: &'a Call,
    known: HashMap<Box<[u8]>, Vec<Versioned<CaCertificate>>>,
}

impl Issuers<'_> {
    async fn of(&mut self, leaf: &Certificate) -> Result<&[Versioned<CaCertificate>], ApiFault> {
        let subject = leaf.issuer().der();
        if !self.known.contains_key(subject) {
            let found = self
                .control
                .records
                .cas_by_subject(&self.call.tenant, subject)
                .await?;
            self.known.insert(subject.into(), found);
        }
        Ok(self.known.get(subject).map_or(&[], Vec::as_slice))
    }
}

/// Reads the certificate that the parameters bring, or issues one for the request that they bring.
fn bring(control: &Control, asked: &Asked, now: UnixMillis) -> Result<Brought, ApiFault> {
    Ok(match asked.certificate() {
        None => Brought::Nothing,
        Some(CertificatePlan::Id(id)) => Brought::Registered(parse_id(id)?),
        Some(CertificatePlan::Request(pem)) => {
            let proven = certificate::examine_request(pem)?;
            let issued = control.issuer.issue(proven, now);
            Brought::Issued(Box::new(issued.map_err(ApiFault::failed)?))
        }
        Some(CertificatePlan::Pem { certificate, ca }) => {
            let registration = Registration::parse(certificate, ca.as_deref(), None, asked.activates())?;
            let allowed = control.plan.allow_simulated;
            Brought::Foreign(Box::new(registration.allow_simulated(allowed)))
        }
    })
}

/// A certificate that is registered already is taken as it is, however it was brought.
async fn bearing(
    issuers: &mut Issuers<'_>,
    brought: &Brought,
    facts: &Facts,
    activate: bool,
) -> Result<Bearing, ApiFault> {
    let call = issuers.call;
    Ok(match brought {
        Brought::Nothing => Bearing::Nothing,
        Brought::Registered(id) => Bearing::Registered(*id),
        Brought::Issued(issued) => Bearing::New(certificate::create(call, issued, activate)?),
        Brought::Foreign(registration) if facts.existing.is_some() => {
            Bearing::Registered(registration.leaf().id())
        }
        Brought::Foreign(registration) => {
            let candidates = issuers.of(registration.leaf()).await?;
            Bearing::New(certificate::register(call, registration, candidates, None)?)
        }
    })
}
