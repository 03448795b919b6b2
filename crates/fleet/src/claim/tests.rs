//! Tokens and claims over time, with a clock of our own.

use identity::crypto::SoftwareKey;
use identity::issue::{Profile, Serial, Validity, prepare};
use identity::key::Curve;
use identity::name::Name;
use identity::{Explained as _, Tenant};
use policy::{Action, Resource};

use super::*;
use crate::audit::Actor;
use crate::batch::Write;
use crate::record::{PolicyTarget, ThingPrincipal};

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const CLAIM: CertificateId = CertificateId([7; 32]);
const TOKEN: &str = "a token";

fn call(after_millis: i64) -> Call {
    Call {
        tenant: Tenant::default(),
        now: NOW.plus_millis(after_millis),
        actor: Actor::Operator,
        profile: crate::Profile::Aws,
    }
}

fn certificate() -> Certificate {
    let key = SoftwareKey::generate(Curve::P256).unwrap();
    let subject = Name::with_common_name("AWS IoT Certificate").unwrap();
    let proven = key.prove(&subject).unwrap();
    let validity = Validity::new(NOW, NOW.plus_days(30)).unwrap();
    let profile = Profile::root(proven.public_key(), &subject, validity);
    let serial = Serial::new([1; 16]).unwrap();
    prepare(&profile, proven, &subject, &serial)
        .unwrap()
        .sign(&key)
        .unwrap()
}

/// What [`issue`] keeps, as it is read back.
fn kept(issued: &Certificate) -> (Versioned<OwnershipToken>, Versioned<DeviceCertificate>) {
    let decision = issue(&call(0), issued, hash(TOKEN), &CLAIM);
    let (mut token, mut certificate) = (None, None);
    for write in decision.batch.writes {
        match write {
            Write::Put {
                record: Record::Certificate(record),
                ..
            } => certificate = Some(record),
            Write::Put {
                record: Record::Resource(kept),
                ..
            } => {
                token = <OwnershipToken as crate::plain::Shape>::shaped(&kept.body);
            }
            other => panic!("{other:?}"),
        }
    }
    let version = 5;
    (
        Versioned {
            version,
            record: token.unwrap(),
        },
        Versioned {
            version,
            record: certificate.unwrap(),
        },
    )
}

fn code<T>(result: Result<T, Refusal>) -> &'static str {
    result.map_or_else(|refusal| refusal.code(), |_| "")
}

#[test]
fn what_waits_is_bounded() {
    assert!(check_room(0).is_ok() && check_room(OWNERSHIP_TOKENS_MAX - 1).is_ok());
    let refusal = check_room(OWNERSHIP_TOKENS_MAX).unwrap_err();
    assert_eq!(refusal.code(), "fleet.claim.outstanding");
    assert!(check_claims(0).is_ok() && check_claims(CLAIMS_MAX - 1).is_ok());
    assert_eq!(check_claims(CLAIMS_MAX).unwrap_err().code(), "fleet.claim.claims");
}

#[test]
fn a_token_is_good_for_an_hour_in_its_own_hands() {
    let issued = certificate();
    let (token, certificate) = kept(&issued);
    assert_eq!(certificate.record.status, CertificateStatus::PendingActivation);
    assert!(!format!("{token:?}").contains(TOKEN));
    let check = |after: i64, text: &str, found: Option<&Versioned<OwnershipToken>>, claim, expected| {
        assert_eq!(
            code(owned(&call(after), text, found, &claim)),
            expected,
            "{after} {text:.8}"
        );
    };
    let hour = OWNERSHIP_TOKEN_MILLIS;
    assert_eq!(owned(&call(0), TOKEN, Some(&token), &CLAIM).unwrap(), issued.id());
    check(hour - 1, TOKEN, Some(&token), CLAIM, "");
    check(hour, TOKEN, Some(&token), CLAIM, "fleet.claim.token_expired");
    check(
        0,
        TOKEN,
        Some(&token),
        CertificateId([8; 32]),
        "fleet.claim.token_foreign",
    );
    check(0, TOKEN, None, CLAIM, "fleet.claim.token_unknown");
    check(0, "", None, CLAIM, "fleet.claim.token_length");
    check(
        0,
        &"x".repeat(OWNERSHIP_TOKEN_BYTES_MAX),
        None,
        CLAIM,
        "fleet.claim.token_unknown",
    );
    check(
        0,
        &"x".repeat(OWNERSHIP_TOKEN_BYTES_MAX + 1),
        None,
        CLAIM,
        "fleet.claim.token_length",
    );
}

#[test]
fn with_its_token_a_certificate_goes_that_nobody_made_use_of() {
    let issued = certificate();
    let (token, waiting) = kept(&issued);
    let deleted = |existing: Option<&Versioned<DeviceCertificate>>, facts: &DeleteFacts| {
        let decision = expire(&call(OWNERSHIP_TOKEN_MILLIS), &token, existing, facts).unwrap();
        let keys = decision.batch.writes.into_iter().map(|write| match write {
            Write::Delete { key, .. } => key,
            other => panic!("{other:?}"),
        });
        keys.collect::<Vec<_>>()
    };
    let token_key = resource::key::<OwnershipToken>(&token.record.hash);
    let alone = DeleteFacts::default();
    assert_eq!(
        deleted(Some(&waiting), &alone),
        [Key::Certificate(issued.id()), token_key.clone()]
    );
    assert_eq!(deleted(None, &alone), std::slice::from_ref(&token_key));
    let mut active = waiting.clone();
    active.record.status = CertificateStatus::Active;
    assert_eq!(deleted(Some(&active), &alone), std::slice::from_ref(&token_key));
    let attached = DeleteFacts {
        policies: vec![Versioned {
            version: 1,
            record: crate::record::PolicyAttachment {
                policy: crate::names::PolicyName::parse("p").unwrap(),
                target: PolicyTarget::Certificate(issued.id()),
            },
        }],
        things: Vec::new(),
    };
    assert_eq!(
        deleted(Some(&waiting), &attached),
        std::slice::from_ref(&token_key)
    );
    let held = DeleteFacts {
        policies: Vec::new(),
        things: vec![Versioned {
            version: 1,
            record: ThingPrincipal {
                thing: "t".parse().unwrap(),
                certificate: issued.id(),
                kind: crate::record::PrincipalType::NonExclusive,
            },
        }],
    };
    assert_eq!(deleted(Some(&waiting), &held), [token_key]);
}

#[test]
fn a_claim_may_do_nothing_but_provision() {
    let claim = ProvisioningClaim {
        certificate: CLAIM.to_string(),
        template: "fleet".to_owned(),
        expires: NOW.plus_millis(CLAIM_MILLIS),
    };
    assert!(
        claim.is_good(NOW) && claim.is_good(claim.expires.plus_millis(-1)) && !claim.is_good(claim.expires)
    );
    let policy = policy::NamedPolicy::new("claim", policy::Policy::parse(&claim.policy()).unwrap());
    let grant = policy::Grant::new(Tenant::default(), CLAIM, 1, [policy]);
    let facts = std::sync::Arc::new(policy::CertificateFacts::new(CLAIM));
    let context = policy::Context::new("c", std::net::IpAddr::from([127, 0, 0, 1]), facts, None);
    let allows = |action, resource: Resource<'_>| {
        let request = policy::Request {
            action,
            resource,
            context: &context,
            now: NOW,
        };
        policy::decide(&grant, &request).is_allowed()
    };
    let own = "$aws/provisioning-templates/fleet/provision/json";
    for topic in [
        "$aws/certificates/create/cbor",
        "$aws/certificates/create-from-csr/json",
        own,
    ] {
        assert!(allows(Action::Publish, Resource::topic(topic)), "{topic}");
        assert!(
            allows(Action::Receive, Resource::topic(&format!("{topic}/accepted"))),
            "{topic}"
        );
        assert!(
            allows(Action::Subscribe, Resource::topic_filter(&format!("{topic}/+"))),
            "{topic}"
        );
        assert!(!allows(Action::RetainPublish, Resource::topic(topic)), "{topic}");
    }
    for topic in [
        "$aws/provisioning-templates/other/provision/json",
        "$aws/provisioning-templates/fleet",
        "dt/x",
    ] {
        assert!(!allows(Action::Publish, Resource::topic(topic)), "{topic}");
        assert!(
            !allows(Action::Subscribe, Resource::topic_filter(topic)),
            "{topic}"
        );
    }
}
