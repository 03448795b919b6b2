//! Clients that show no certificate: what stands in the place of its id, and what they may do.
//!
//! It stands beside `trust`, which makes the grants of certificates. An access key speaks MQTT with what its role allows;
//! whoever comes in on the loopback listener without TLS has one policy that the operator named. It must never give a
//! client more than its role or that policy says.

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::digest;
use identity::{CertificateId, Tenant, UnixMillis};
use policy::{Action, CertificateFacts, Context, Grant, NamedPolicy, Policy, Request, Resource};
use store::Records as _;

use crate::api::ApiFault;
use crate::api::sigv4::{Caller, Denied};
use crate::clock;
use crate::config::Role;
use crate::control::Control;
use crate::footing::Ground;
use crate::limits::SIGNED_CONNECTION_LIFE;
use crate::shard::{Clearance, Lease};
use crate::temporary_keys::Assumed;
use crate::trust::thing_facts;

/// Who comes in without TLS.
pub(crate) const ANONYMOUS: &str = "anonymous";

/// What an administrator's key may do.
const EVERYTHING: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:*","Resource":"*"}}"#;
/// What a key may do that only looks.
const LISTENING: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["iot:Connect",
    "iot:Subscribe","iot:Receive","iot:GetRetainedMessage","iot:ListRetainedMessages"],"Resource":"*"}}"#;

/// What stands in the place of the certificate id of a client without a certificate. No certificate has it: that would be a
/// second preimage of SHA-256.
pub(crate) fn stand_in(name: &str) -> CertificateId {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"birthmark principal\0");
    context.update(name.as_bytes());
    let mut id = [0; 32];
    let digest = context.finish();
    id.iter_mut()
        .zip(digest.as_ref())
        .for_each(|(to, from)| *to = *from);
    CertificateId(id)
}

/// What whoever signed a request may do on the data plane; `mark` is that of the withdrawals before the signature was checked.
pub(crate) async fn of_caller(control: &Control, caller: &Caller, mark: u64) -> Result<Clearance, ApiFault> {
    if let Some(assumed) = control.assumed(caller).await? {
        return of_assumed(control, caller, &assumed, mark).await;
    }
    let (name, document) = match caller.role() {
        Role::Admin => ("role:admin", EVERYTHING),
        Role::Read => ("role:read", LISTENING),
        Role::Factory | Role::None => return Err(Denied::Role { operation: "Connect" }.into()),
    };
    let policy = Policy::parse(document).map_err(ApiFault::failed)?;
    let tenant = Tenant {
        account: *caller.account(),
        region: *caller.region(),
    };
    let policies = vec![NamedPolicy::new(name, policy)];
    // A role rests on no record, so no change of trust makes its grant old.
    let grant = Grant::new(tenant, stand_in(caller.access_key()), u64::MAX, policies);
    let clearance = signed(caller, Arc::new(grant.without_certificate()), None);
    Ok(clearance.resting_on(Ground::AccessKey(caller.access_key().into()), mark))
}

/// What a device may do with its temporary access key: what the policies say that its role names. One that is missing refuses
/// all of it, for what it would have denied must not be allowed by its absence.
pub(crate) async fn of_assumed(
    control: &Control,
    caller: &Caller,
    assumed: &Assumed,
    mark: u64,
) -> Result<Clearance, ApiFault> {
    let tenant = &assumed.tenant;
    let role = control.plan.role(&tenant.account, &assumed.role);
    let names: Arc<[_]> = role
        .map(|role| role.policies.as_slice())
        .unwrap_or_default()
        .into();
    let looked = control
        .grants
        .of_names(&control.records, tenant, stand_in(caller.access_key()), &names);
    let grant = looked.await.map_err(|fault| match fault {
        ApiFault::Refused(_) => Denied::Withdrawn("a policy that its role names is not there").into(),
        other => other,
    })?;
    let mut clearance = signed(caller, grant, Some(assumed.expires))
        .by_names(names)
        .resting_on(Ground::Certificate(*tenant, assumed.certificate), mark)
        .resting_on(Ground::RoleAlias(*tenant, assumed.alias.as_str().into()), mark);
    if let Some(thing) = assumed.thing.as_ref().and_then(|thing| thing.parse().ok()) {
        let found = control.records.thing(tenant, &thing).await?;
        clearance.things = found.map(|found| thing_facts(found.record)).into_iter().collect();
    }
    Ok(clearance)
}

/// What a signer may do, no longer than a signed connection lives or his key.
fn signed(caller: &Caller, grant: Arc<Grant>, ends: Option<UnixMillis>) -> Clearance {
    let mut clearance = named(grant, caller.access_key());
    let until = clock::now().plus_millis(SIGNED_CONNECTION_LIFE.as_millis() as i64);
    clearance.lease = Some(Lease {
        until: ends.map_or(until, |ends| ends.min(until)),
        kind: broker::Lease::WebSocket,
    });
    clearance
}

/// What an operation of the data plane does; nothing: it is none.
pub(crate) fn actions(operation: &str, retains: bool) -> &'static [Action] {
    match operation {
        "Publish" if retains => &[Action::Publish, Action::RetainPublish],
        "Publish" => &[Action::Publish],
        "GetRetainedMessage" => &[Action::GetRetainedMessage],
        "ListRetainedMessages" => &[Action::ListRetainedMessages],
        _ => &[],
    }
}

/// Whether this may be done on a topic by a request of its own.
pub(crate) fn allows(clearance: &Clearance, action: Action, topic: &str, from: IpAddr) -> bool {
    let context = Context::new("", from, clearance.facts.clone(), None);
    let request = Request {
        action,
        resource: Resource::topic(topic),
        context: &context,
        now: clock::now(),
    };
    policy::decide(&clearance.grant, &request).is_allowed()
}

/// A client without a certificate that is known by this name.
pub(crate) fn named(grant: Arc<Grant>, principal: &str) -> Clearance {
    Clearance {
        grant,
        facts: Arc::new(CertificateFacts::of_other(principal)),
        things: Arc::default(),
        by_name: true,
        lease: None,
        footing: None,
    }
}

#[cfg(test)]
mod tests {
    use policy::decide;

    use super::*;

    #[test]
    fn roles_end_where_they_should_on_the_data_plane() {
        let rows = [
            (EVERYTHING, [true; 5]),
            (LISTENING, [true, true, true, false, false]),
        ];
        for (document, expected) in rows {
            let policy = NamedPolicy::new("role", Policy::parse(document).unwrap());
            let grant = Grant::new(Tenant::default(), stand_in("key"), u64::MAX, [policy]);
            let facts = Arc::new(CertificateFacts::of_other("key"));
            let context = Context::new("c", IpAddr::from([127, 0, 0, 1]), facts, None);
            let asked = [
                (Action::Connect, Resource::client("c")),
                (Action::Subscribe, Resource::topic_filter("a/#")),
                (Action::Receive, Resource::topic("a/b")),
                (Action::Publish, Resource::topic("a/b")),
                (Action::RetainPublish, Resource::topic("a/b")),
            ];
            let found = asked.map(|(action, resource)| {
                let request = Request {
                    action,
                    resource,
                    context: &context,
                    now: UnixMillis(0),
                };
                decide(&grant, &request).is_allowed()
            });
            assert_eq!(found, expected, "{document}");
        }
    }

    #[test]
    fn each_name_has_a_place_of_its_own() {
        assert_ne!(stand_in("a"), stand_in("b"));
        assert_eq!(stand_in("a"), stand_in("a"));
    }
}
