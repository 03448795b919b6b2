//! RegisterThing of a device: its token, its template, its hook, and everything that the template makes, in one transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker::Ask;
use fleet::attempt::Trail;
use fleet::claim::{self, OwnershipToken};
use fleet::names::TemplateName;
use fleet::record::{ProvisioningTemplate, Versioned};
use fleet::register_thing::Asked;
use fleet::template::CERTIFICATE_ID;
use fleet::{Call, Refusal, arn, provisioning_template};
use identity::CertificateId;
use store::{CommitError, Records as _};

use super::wire::{Provisioned, RegisterThing, Topic};
use crate::api::ApiFault;
use crate::clock;
use crate::control::{Control, Told};
use crate::hook::{self, Question};
use crate::limits::CONFLICT_RETRIES_MAX;

/// Parameters that begin so are the server's to set.
const OWN_PARAMETERS: &str = "AWS::IoT::";

/// Looks, asks the hook, decides, keeps and tells.
pub(super) async fn register(
    control: &Arc<Control>,
    call: &Call,
    ask: &Ask,
    topic: &Topic<'_>,
    name: &str,
    trail: &mut Trail,
) -> Result<Provisioned, ApiFault> {
    let request: RegisterThing = topic.read()?;
    let name = TemplateName::parse(name)?;
    let thing_id = clock::uuid().map_err(ApiFault::failed)?;
    let given = request.parameters.clone().unwrap_or_default();
    let mut hooked: Option<(u64, BTreeMap<String, String>)> = None;
    for _ in 0..CONFLICT_RETRIES_MAX {
        *trail = Trail::default();
        let template = control.records.template(&call.tenant, &name).await?;
        let body = noted(trail, "template.found", claim::body(&name, template.as_ref()))?;
        let template = provisioning_template::found(&name, template.as_ref())?;
        let (token, id) = own(control, call, ask, &request, trail).await?;
        // Asked once: again only if the template, and with it perhaps its hook, is another one by now.
        let parameters = match hooked.take().filter(|(version, _)| *version == template.version) {
            Some((_, parameters)) => parameters,
            None => {
                consult(
                    control,
                    call,
                    ask,
                    template,
                    &id,
                    own_parameters(&given, &id),
                    trail,
                )
                .await?
            }
        };
        let asked = noted(trail, "template.evaluate", Asked::read(body, parameters.clone()))?;
        hooked = Some((template.version, parameters));
        let facts = control
            .records
            .onboarding_facts(&call.tenant, &id, &asked.needs())
            .await?;
        let redeemed = claim::redeem(call, &asked, template, (&token, id), &facts, thing_id, trail);
        let decision = noted(trail, "template.resources", redeemed)?;
        match control.records.commit(decision.batch).await {
            Ok(committed) => {
                let events = decision.events;
                control
                    .tell(
                        &call.tenant,
                        Told {
                            events,
                            epoch: committed.epoch,
                        },
                    )
                    .await?;
                trail.passed("certificate.provisioned", id.to_string());
                return Ok(Provisioned {
                    thing: decision.reply.thing,
                    device_configuration: decision.reply.device_configuration,
                });
            }
            Err(CommitError::Conflict(_)) => {}
            Err(CommitError::Overloaded) => return Err(ApiFault::Busy("too many changes wait for the disk")),
            Err(CommitError::Fault(error)) => return Err(ApiFault::failed(error)),
        }
    }
    Err(ApiFault::Busy("others keep changing the same records"))
}

/// The token that the device shows, and the certificate that it is for.
async fn own(
    control: &Control,
    call: &Call,
    ask: &Ask,
    request: &RegisterThing,
    trail: &mut Trail,
) -> Result<(Versioned<OwnershipToken>, CertificateId), ApiFault> {
    let shown = &request.certificate_ownership_token;
    let found = control
        .records
        .resource::<OwnershipToken>(&call.tenant, &claim::hash(shown))
        .await?;
    let id = noted(
        trail,
        "token.owned",
        claim::owned(call, shown, found.as_ref(), &ask.certificate),
    )?;
    trail.passed("token.owned", id.to_string());
    found
        .map(|found| (found, id))
        .ok_or_else(|| ApiFault::failed("a token vanished while it was looked at"))
}

/// What the device gives and what the server says: which certificate it is, a device does not choose.
fn own_parameters(given: &BTreeMap<String, String>, id: &CertificateId) -> BTreeMap<String, String> {
    let given = given.iter().filter(|(name, _)| !name.starts_with(OWN_PARAMETERS));
    let mut parameters: BTreeMap<_, _> = given.map(|(name, value)| (name.clone(), value.clone())).collect();
    parameters.insert(CERTIFICATE_ID.to_owned(), id.to_string());
    parameters
}

/// Asks the hook of the template, if it has one.
async fn consult(
    control: &Control,
    call: &Call,
    ask: &Ask,
    template: &Versioned<ProvisioningTemplate>,
    id: &CertificateId,
    parameters: BTreeMap<String, String>,
    trail: &mut Trail,
) -> Result<BTreeMap<String, String>, ApiFault> {
    let Some(named) = &template.record.hook else {
        return Ok(parameters);
    };
    let certificate = control.records.certificate(&call.tenant, id).await?;
    let certificate = fleet::certificate::found(id, certificate.as_ref())?;
    let question = Question {
        claim: Some(ask.certificate),
        certificate: *id,
        certificate_der: &certificate.record.der,
        template_arn: arn::template(&call.tenant, &template.record.name),
        client_id: Some(&ask.client_id),
        parameters: &parameters,
    };
    let answer = hook::ask(&control.webhooks, &call.tenant, named, &question, trail).await?;
    Ok(noted(trail, "hook.answer", answer.apply(parameters))?)
}

/// The step at which it ended, if it ended here.
fn noted<T>(trail: &mut Trail, step: &'static str, outcome: Result<T, Refusal>) -> Result<T, Refusal> {
    outcome.inspect_err(|refusal| trail.failed(step, refusal.reason()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_does_not_say_whose_certificate_it_is() {
        let given = [
            ("Serial", "1"),
            ("AWS::IoT::Certificate::Id", "ff"),
            ("AWS::IoT::Certificate::CommonName", "x"),
        ];
        let given = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let id = CertificateId([1; 32]);
        let parameters = own_parameters(&given, &id);
        let expected = [
            ("Serial".to_owned(), "1".to_owned()),
            (CERTIFICATE_ID.to_owned(), id.to_string()),
        ];
        assert_eq!(parameters, BTreeMap::from(expected));
    }
}
