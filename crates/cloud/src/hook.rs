//! Asks the pre-provisioning hook of a template whether a device may be provisioned.
//!
//! It stands between a device's first step and its template, for fleet provisioning and for just-in-time provisioning
//! alike. The question is that of the AWS IoT developer guide ("Pre-provisioning hooks", payload version 2020-04-01). A hook
//! that does not answer, or not in that form, has said no.

use std::collections::BTreeMap;

use fleet::attempt::Trail;
use fleet::onboarding::Identified;
use fleet::provisioning_hook::{Answer, denied};
use fleet::record::ProvisioningHook;
use fleet::{Refusal, arn};
use identity::certificate::Certificate;
use identity::{CertificateId, Tenant};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::object;
use crate::webhook::{Fault, Webhooks};

/// What a hook is told.
pub(crate) struct Question<'a> {
    /// The claim certificate of the device; none of one that comes with a certificate of its own.
    pub(crate) claim: Option<CertificateId>,
    /// The certificate that is to be provisioned.
    pub(crate) certificate: CertificateId,
    /// All of it.
    pub(crate) certificate_der: &'a [u8],
    /// The template.
    pub(crate) template_arn: String,
    /// The MQTT client id, where it is known.
    pub(crate) client_id: Option<&'a str>,
    /// The parameters for the template.
    pub(crate) parameters: &'a BTreeMap<String, String>,
}

impl Question<'_> {
    fn body(&self) -> Value {
        object(json!({
            "claimCertificateId": self.claim.map(|claim| claim.to_string()),
            "certificateId": self.certificate.to_string(),
            "certificatePem": identity::pem::encode("CERTIFICATE", self.certificate_der),
            "templateArn": self.template_arn,
            "clientId": self.client_id,
            "parameters": self.parameters,
        }))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    allow_provisioning: bool,
    #[serde(default)]
    parameter_overrides: Option<BTreeMap<String, String>>,
}

/// Asks; what goes wrong is a no, with the reason in the trail.
pub(crate) async fn ask(
    webhooks: &Webhooks,
    tenant: &Tenant,
    hook: &ProvisioningHook,
    question: &Question<'_>,
    trail: &mut Trail,
) -> Result<Answer, Refusal> {
    let webhook = webhooks
        .find(tenant, &hook.target_arn)
        .inspect_err(|refusal| trail.failed("hook.found", refusal.reason()))
        .map_err(|refusal| denied(format!("the hook of the template cannot be asked: {refusal}")))?;
    let said = webhook.ask(&question.body()).await.and_then(|answer| {
        serde_json::from_value::<Said>(answer).map_err(|error| Fault::Answer(error.to_string()))
    });
    match said {
        Ok(said) => {
            let word = if said.allow_provisioning {
                "allows it"
            } else {
                "does not allow it"
            };
            trail.passed("hook.ask", format!("{} {word}", webhook.name()));
            Ok(Answer {
                allows: said.allow_provisioning,
                overrides: said.parameter_overrides.unwrap_or_default(),
            })
        }
        Err(fault) => {
            trail.failed("hook.ask", format!("{}: {fault}", webhook.name()));
            Err(denied(format!("the hook of the template gave no answer: {fault}")).hint(fault.remedy()))
        }
    }
}

/// The hook of a template on the way of one certificate: asked once, and again only if it is another one by then.
pub(crate) struct Consultation<'a> {
    webhooks: Option<&'a Webhooks>,
    said: Option<(ProvisioningHook, Result<Values, Refusal>)>,
}

/// Parameters of a template.
type Values = BTreeMap<String, String>;

impl<'a> Consultation<'a> {
    /// Whoever is named is asked.
    pub(crate) fn with(webhooks: &'a Webhooks) -> Self {
        Self {
            webhooks: Some(webhooks),
            said: None,
        }
    }

    /// Nobody is asked: what a hook would say stays open.
    pub(crate) fn rehearsed() -> Self {
        Self {
            webhooks: None,
            said: None,
        }
    }

    /// Asks the hook about a certificate, if its template has one.
    pub(crate) async fn ask<'i>(
        &mut self,
        tenant: &Tenant,
        leaf: &Certificate,
        identified: Identified<'i>,
        trail: &mut Trail,
    ) -> Identified<'i> {
        let Some((hook, template, parameters)) = identified.hook() else {
            return identified;
        };
        let Some(webhooks) = self.webhooks else {
            trail.skipped(
                "hook.ask",
                "the hook of the template is asked when the device comes",
            );
            return identified;
        };
        if let Some((_, said)) = self.said.as_ref().filter(|(known, _)| known == hook) {
            trail.skipped("hook.ask", "asked already");
            return identified.hooked(said.clone());
        }
        let question = Question {
            claim: None,
            certificate: leaf.id(),
            certificate_der: leaf.der(),
            template_arn: arn::template(tenant, template),
            client_id: None,
            parameters: &parameters,
        };
        let answer = ask(webhooks, tenant, hook, &question, trail).await;
        let said = answer.and_then(|answer| answer.apply(parameters.clone()));
        self.said = Some((hook.clone(), said.clone()));
        identified.hooked(said)
    }
}
