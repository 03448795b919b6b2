//! What a policy decision costs: a typical policy with variables, asked what connections ask all day.

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

use identity::{CertificateId, Tenant, UnixMillis};
use policy::{
    Action, CertificateFacts, Context, Grant, NamedPolicy, Policy, Request, Resource, ThingFacts, decide,
};
use rustix::time::{ClockId, clock_gettime};

use crate::Outcome;
use crate::cloud::member_of_a_fleet;

/// Decisions of each kind.
const ROUNDS: u32 = 200_000;

/// Nanoseconds of CPU per decision, over publish, receive and a topic that is refused.
pub(super) fn nanoseconds() -> Outcome<f64> {
    let id = CertificateId([0xab; 32]);
    let thing = ThingFacts {
        name: "device-00000001".parse()?,
        type_name: Some("sensor".to_owned()),
        attributes: Vec::new(),
        is_attached: true,
    };
    let source = IpAddr::from([203, 0, 113, 7]);
    let facts = Arc::new(CertificateFacts::new(id));
    let context = Context::new("device-00000001", source, facts, Some(&thing));
    let policy = Policy::parse(&member_of_a_fleet().to_string())?;
    let grant = Grant::new(Tenant::default(), id, 1, vec![NamedPolicy::new("fleet", policy)]);
    let cases = [
        (Action::Publish, "to/device-00000002/telemetry", true),
        (Action::Receive, "to/device-00000001/commands", true),
        (Action::Receive, "to/device-00000002/commands", false),
    ];
    let begun = clock_gettime(ClockId::ThreadCPUTime);
    for _ in 0..ROUNDS {
        for (action, topic, expected) in cases {
            let request = Request {
                action,
                resource: Resource::topic(topic),
                context: &context,
                now: UnixMillis(1_795_339_800_000),
            };
            if decide(black_box(&grant), black_box(&request)).is_allowed() != expected {
                return Err(format!("{action:?} {topic} was decided wrongly").into());
            }
        }
    }
    let ended = clock_gettime(ClockId::ThreadCPUTime);
    let spent = (ended.tv_sec - begun.tv_sec) as f64 * 1e9 + (ended.tv_nsec - begun.tv_nsec) as f64;
    Ok(spent / f64::from(ROUNDS) / cases.len() as f64)
}
