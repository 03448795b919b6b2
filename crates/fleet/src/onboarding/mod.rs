//! The first connection of a device: from a certificate nobody knows to a thing with policies, in one transaction.
//!
//! Three steps, so that each can look at exactly the facts it needs: [`identify`] finds the registered CA that signed the
//! certificate (trust is one level deep, as at AWS) and works the template out; [`Identified::needs`] says which records to
//! look up; [`Identified::decide`] gives the batch. Possession of the key has been proven by the TLS handshake before
//! anything here is asked. The batch demands that the CA and every record it rests on are still as they were read.
//!
//! When the template cannot be carried out, the certificate stays PENDING_ACTIVATION as at AWS and the next connection
//! tries again: that outcome is [`Onboarded::Failed`], with its own batch.

mod decide;
mod identify;
pub(crate) mod resources;

pub use identify::identify;

use std::collections::BTreeMap;

use identity::certificate::Certificate;
use identity::manifest::KeyHash;
use identity::{CertificateId, ThingName};

use crate::attempt::Trail;
use crate::batch::Expect;
use crate::billing_group::BillingGroup;
use crate::manifest::Listed;
use crate::names::{BillingGroupName, GroupName, PolicyName, TemplateName, ThingTypeName};
use crate::provisioning_template;
use crate::record::{
    CaCertificate, CertificateStatus, DeviceCertificate, ProvisioningHook, ProvisioningTemplate,
    RegistrationCode, Thing, Versioned,
};
use crate::refusal::{Exception, Refusal};
use crate::template::{MANIFEST_PREFIX, Parameters, Plan, Template};
use crate::thing_group_members::{Joined, Membership};
use crate::thing_type::ThingType;

/// A registered CA, read once: its certificate parsed and its template compiled. May be cached under (id, version).
#[derive(Debug, Clone)]
pub struct Authority {
    record: Versioned<CaCertificate>,
    certificate: Certificate,
    template: Option<Result<Template, Refusal>>,
    /// The named template it came from, and what must be there when a device is kept.
    named: Option<(TemplateName, Expect)>,
    /// The template names devices by what a manifest says of them.
    reads_manifests: bool,
    /// What is asked before that template is carried out.
    hook: Option<ProvisioningHook>,
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
        let reads_manifests = body.is_some_and(|body| body.contains(MANIFEST_PREFIX));
        Ok(Self {
            record,
            certificate,
            template,
            named: None,
            reads_manifests,
            hook: None,
        }
        .with_template(None))
    }

    /// The named template that its first connections follow: what to look for.
    pub fn template_name(&self) -> Option<&TemplateName> {
        self.record.record.registration.as_ref()?.template_name.as_ref()
    }

    /// Takes the named template in, or that there is none.
    #[must_use]
    pub fn with_template(mut self, found: Option<&Versioned<ProvisioningTemplate>>) -> Self {
        if let Some(name) = self.template_name().cloned() {
            let expect = found.map_or(Expect::Absent, |found| Expect::Version(found.version));
            self.template = Some(provisioning_template::read(&name, found));
            let body = found.and_then(|found| found.record.default_body());
            self.reads_manifests = body.is_some_and(|version| version.body.contains(MANIFEST_PREFIX));
            self.hook = found.and_then(|found| found.record.hook.clone());
            self.named = Some((name, expect));
        }
        self
    }

    /// The record.
    pub fn record(&self) -> &Versioned<CaCertificate> {
        &self.record
    }

    /// What the template makes of a device.
    fn plan(&self, leaf: &Certificate, listed: Option<Listed>) -> Option<Result<Plan, Refusal>> {
        let parameters = Parameters::of(leaf).with_listed(listed);
        self.template
            .as_ref()
            .map(|template| template.as_ref().map_err(Clone::clone)?.evaluate(&parameters))
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
    listed: Option<Listed>,
}

impl Identified<'_> {
    /// The key to look for in the manifests, if they are asked at all; then [`Identified::with_listed`] comes next.
    pub fn listing(&self) -> Option<KeyHash> {
        let wanted = self.authority.record.record.gated || self.authority.reads_manifests;
        wanted.then(|| KeyHash::of(self.leaf.public_key()))
    }

    /// Takes in what the manifests say of the device.
    #[must_use]
    pub fn with_listed(mut self, listed: Option<Listed>) -> Self {
        if self.authority.reads_manifests {
            self.plan = self.authority.plan(self.leaf, listed.clone());
        }
        self.listed = listed;
        self
    }
}

impl<'a> Identified<'a> {
    /// The hook that is to be asked before [`Self::decide`], its template, and what it is told of the certificate. There is
    /// none if the device cannot be provisioned anyway.
    pub fn hook(&self) -> Option<(&'a ProvisioningHook, &'a TemplateName, BTreeMap<String, String>)> {
        let hook = self.authority.hook.as_ref()?;
        let (name, _) = self.authority.named.as_ref()?;
        let plan = self.plan.as_ref()?;
        let kept_out = self.authority.record.record.gated && self.listed.is_none();
        (plan.is_ok() && !kept_out).then(|| (hook, name, self.parameters().values()))
    }

    /// Takes what the hook said: other parameters, or a no, with which the certificate stays PENDING_ACTIVATION.
    #[must_use]
    pub fn hooked(mut self, said: Result<BTreeMap<String, String>, Refusal>) -> Self {
        let template = self.authority.template.clone();
        self.plan = template.map(|template| template?.evaluate(&self.parameters().overridden(said?)));
        self
    }

    fn parameters(&self) -> Parameters {
        Parameters::of(self.leaf).with_listed(self.listed.clone())
    }
}

/// The records to look up before deciding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// This thing, and the certificates attached to it.
    pub thing: Option<ThingName>,
    /// These policies.
    pub policies: Vec<PolicyName>,
    /// This thing type.
    pub type_name: Option<ThingTypeName>,
    /// These thing groups.
    pub groups: Vec<GroupName>,
    /// This billing group.
    pub billing_group: Option<BillingGroupName>,
}

impl Needs {
    /// What a plan rests on.
    pub(crate) fn of(plan: &Plan) -> Self {
        let thing = plan.thing.as_ref();
        Self {
            thing: thing.map(|thing| thing.name.clone()),
            policies: plan.policies.iter().map(|policy| policy.name().clone()).collect(),
            type_name: thing.and_then(|thing| thing.type_name.clone()),
            groups: thing.map(|thing| thing.groups.clone()).unwrap_or_default(),
            billing_group: thing.and_then(|thing| thing.billing_group.clone()),
        }
    }
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
    /// The groups that the thing is in.
    pub memberships: Vec<Membership>,
    /// The groups of [`Needs::groups`].
    pub groups: Vec<Joined>,
    /// The thing type of [`Needs::type_name`].
    pub thing_type: Option<Versioned<ThingType>>,
    /// The billing group of [`Needs::billing_group`].
    pub billing_group: Option<Versioned<BillingGroup>>,
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
    /// The CA's gate is closed and no manifest admits the device: nothing was kept, and whoever listens was told.
    Unlisted(Refusal),
}

fn fail(trail: &mut Trail, step: &'static str, refusal: Refusal) -> Refusal {
    trail.failed(step, refusal.reason());
    refusal
}
