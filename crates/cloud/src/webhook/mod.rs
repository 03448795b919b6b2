//! Outgoing webhooks: the server asks a program of the operator's, or tells it something.
//!
//! They stand where AWS calls a Lambda function: hooks of provisioning templates, custom authorizers, and just-in-time
//! registration. The API names one by the ARN of a function whose last part is a name under `[webhooks]` of the
//! configuration; where it is, only the operator says. It must never call an address that was not checked, and a call
//! without an answer must never count as a yes.

mod address;
mod call;
mod config;
mod fault;
#[cfg(test)]
mod tests;

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::hmac;
use fleet::{Exception, Refusal};
use http::header::{HeaderName, HeaderValue};
use identity::{AccountId, Tenant};
use policy::Network;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

pub(crate) use self::address::may_call;
pub use self::config::WebhookConfig;
use self::config::{Target, read, read_header, read_secret, wrong};
pub(crate) use self::config::{WebhookPlan, plan};
pub(crate) use self::fault::Fault;
use crate::api::sigv4::hex;
use crate::clock;
use crate::error::Error;
use crate::limits::{WEBHOOK_CALLS_MAX, WEBHOOK_DEADLINE};

/// A webhook that can be called.
pub(crate) struct Webhook {
    name: String,
    target: Target,
    allowed: Vec<Network>,
    headers: Vec<(HeaderName, HeaderValue)>,
    key: Option<hmac::Key>,
    tls: Option<Arc<ClientConfig>>,
    accounts: Vec<AccountId>,
    is_told_registered: bool,
    places: Semaphore,
    deadline: Duration,
}

/// All webhooks of a server, by name.
#[derive(Default)]
pub(crate) struct Webhooks(BTreeMap<String, Arc<Webhook>>);

impl Webhooks {
    /// Reads the files that the webhooks name; those that are not absolute are beneath the data directory.
    pub(crate) fn open(plans: &BTreeMap<String, WebhookPlan>, directory: &Path) -> Result<Self, Error> {
        let opened = plans.iter().map(|(name, plan)| {
            let webhook = Webhook::open(name, plan, directory)?;
            Ok((name.clone(), Arc::new(webhook)))
        });
        opened.collect::<Result<_, Error>>().map(Self)
    }

    /// The webhook that an ARN names, for this tenant.
    pub(crate) fn find(&self, tenant: &Tenant, arn: &str) -> Result<&Arc<Webhook>, Refusal> {
        let name = name_in(arn)?;
        let found = self.0.get(name);
        found.filter(|webhook| webhook.accounts.contains(&tenant.account)).ok_or_else(|| {
            Refusal::new(
                Exception::InvalidRequest,
                "cloud.webhook.unknown",
                format!("the function {name} is no webhook of this server"),
            )
            .hint(format!(
                "put [webhooks.{name}] with its url into the configuration of the server, and accounts if it is for this account"
            ))
        })
    }

    /// Those that are told of certificates that a first connection registered.
    pub(crate) fn told_registered(&self, account: AccountId) -> impl Iterator<Item = &Arc<Webhook>> {
        let webhooks = self.0.values();
        webhooks.filter(move |webhook| webhook.is_told_registered && webhook.accounts.contains(&account))
    }
}

/// The name at the end of `arn:PARTITION:lambda:REGION:ACCOUNT:function:NAME` (AWS Lambda API reference, FunctionArn).
fn name_in(arn: &str) -> Result<&str, Refusal> {
    let mut parts = arn.split(':');
    let mut next = || parts.next().unwrap_or_default();
    let (scheme, _partition, service, _region, _account, kind) =
        (next(), next(), next(), next(), next(), next());
    let name = next();
    let fits = (scheme, service, kind) == ("arn", "lambda", "function")
        && !name.is_empty()
        && parts.next().is_none();
    fits.then_some(name).ok_or_else(|| {
        let shown: String = arn.chars().take(128).collect();
        Refusal::new(
            Exception::InvalidRequest,
            "cloud.webhook.arn",
            format!("\"{shown}\" is not the ARN of a function"),
        )
        .hint("name a webhook as arn:aws:lambda:REGION:ACCOUNT:function:NAME, with the NAME of [webhooks.NAME] in the configuration")
    })
}

impl Webhook {
    fn open(name: &str, plan: &WebhookPlan, directory: &Path) -> Result<Self, Error> {
        let key = plan
            .secret
            .as_ref()
            .map(|path| read_secret(&directory.join(path)))
            .transpose()?;
        let header = |(name, path): &(HeaderName, std::path::PathBuf)| {
            Ok((name.clone(), read_header(&directory.join(path))?))
        };
        let ca = plan.ca.as_ref().map(|path| directory.join(path));
        Ok(Self {
            name: name.to_owned(),
            target: plan.target.clone(),
            allowed: plan.allowed.clone(),
            headers: plan.headers.iter().map(header).collect::<Result<_, Error>>()?,
            key: key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, &key)),
            tls: plan
                .target
                .is_encrypted
                .then(|| client_config(ca.as_deref()))
                .transpose()?,
            accounts: plan.accounts.clone(),
            is_told_registered: plan.is_told_registered,
            places: Semaphore::new(WEBHOOK_CALLS_MAX),
            deadline: WEBHOOK_DEADLINE,
        })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Asks, and gives the JSON object that it answers.
    pub(crate) async fn ask(&self, question: &Value) -> Result<Value, Fault> {
        self.ask_in(question.to_string().into_bytes()).await
    }

    /// The same with a question that is JSON already.
    pub(crate) async fn ask_in(&self, question: Vec<u8>) -> Result<Value, Fault> {
        let answer = self.call(question).await?;
        let answer: Value = serde_json::from_slice(&answer)
            .map_err(|error| Fault::Answer(format!("it is not JSON: {error}")))?;
        match answer.is_object() {
            true => Ok(answer),
            false => Err(Fault::Answer("it is not a JSON object".to_owned())),
        }
    }

    /// Tells; what it answers does not matter, as long as it is 200.
    pub(crate) async fn tell(&self, news: Vec<u8>) -> Result<(), Fault> {
        self.call(news).await.map(drop)
    }

    /// Waits for a place and calls, all in one deadline.
    async fn call(&self, body: Vec<u8>) -> Result<hyper::body::Bytes, Fault> {
        let until = Instant::now() + self.deadline;
        let place = timeout_at(until, self.places.acquire()).await;
        let Ok(Ok(_place)) = place else {
            return Err(Fault::Busy);
        };
        let called = call::call(self, body, clock::now().0 / 1000);
        timeout_at(until, called).await.unwrap_or(Err(Fault::Late))
    }

    /// `t=SECONDS,v1=HEX`: HMAC-SHA-256 over the seconds, a point, and the body.
    fn signature(&self, body: &[u8], now_seconds: i64) -> Option<String> {
        let mut context = hmac::Context::with_key(self.key.as_ref()?);
        context.update(format!("{now_seconds}.").as_bytes());
        context.update(body);
        Some(format!("t={now_seconds},v1={}", hex(context.sign().as_ref())))
    }
}

/// Who may be on the other side: servers with a certificate of these authorities, or of the system's.
pub(crate) fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in authorities(ca)? {
        // The system may hold some that nobody can use any more.
        if roots.add(certificate).is_err()
            && let Some(path) = ca
        {
            return Err(wrong(
                &path.display().to_string(),
                "given certificate authorities that can be read",
            ));
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn authorities(ca: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, Error> {
    use rustls::pki_types::pem::PemObject as _;
    let Some(path) = ca else {
        return Ok(rustls_native_certs::load_native_certs().certs);
    };
    let text = read(path)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let read = read.unwrap_or_default();
    match read.is_empty() {
        true => Err(wrong(
            &path.display().to_string(),
            "given a PEM file of certificate authorities",
        )),
        false => Ok(read),
    }
}
