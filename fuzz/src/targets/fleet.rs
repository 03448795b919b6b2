//! Documents of an operator: provisioning templates and policies.

use std::net::Ipv4Addr;
use std::sync::{Arc, LazyLock};

use fleet::template::{Parameters, Template};
use identity::certificate::Certificate;
use identity::{CertificateId, Tenant, UnixMillis};
use policy::{Action, CertificateFacts, Context, Grant, NamedPolicy, Policy, Request, Resource};

/// A device certificate of openssl with every subject attribute that a template can name.
const DEVICE: &[u8] = include_bytes!("../../../vectors/identity/device-p256.der");

static SAMPLE: LazyLock<Certificate> =
    LazyLock::new(|| Certificate::parse(DEVICE).expect("a good certificate"));

/// Text of a provisioning template, and what it makes of one certificate.
pub(super) fn template(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(template) = Template::parse(text) else {
        return;
    };
    let _ = template.lint();
    let _ = template.named_policies();
    let _ = template.check_against(&SAMPLE);
    let _ = template.evaluate(&Parameters::of(&SAMPLE));
}

/// Text of a policy document, then what it says about a few requests.
pub(super) fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(policy) = Policy::parse(text) else { return };
    assert!(policy.statement_count() > 0);
    let grant = Grant::new(
        Tenant::default(),
        CertificateId([7; 32]),
        1,
        [NamedPolicy::new("p", policy)],
    );
    let facts = Arc::new(CertificateFacts::of(CertificateId([7; 32]), &SAMPLE));
    let context = Context::new("bm-1", Ipv4Addr::LOCALHOST.into(), facts, None);
    let ask = |action, resource| {
        let request = Request {
            action,
            resource,
            context: &context,
            now: UnixMillis(0),
        };
        let verdict = policy::decide(&grant, &request);
        assert!(!verdict.explain(&grant, &request).is_empty());
    };
    ask(Action::Connect, Resource::client("bm-1"));
    ask(Action::Publish, Resource::topic("dt/bm-1/telemetry"));
    ask(Action::Subscribe, Resource::topic_filter("cmd/bm-1/#"));
}
