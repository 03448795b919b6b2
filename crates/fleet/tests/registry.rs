//! Certificates, things, policies and what holds them together: idempotence, versions and refusals as the AWS IoT API has
//! them.
#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap as the tests do")]

mod fixtures;

use std::collections::BTreeMap;
use std::sync::Arc;

use fixtures::{Authority, NOW, call, refused};
use fleet::attachment::{self, AttachFacts};
use fleet::batch::{Batch, Record, Write};
use fleet::certificate::{self, DeleteFacts, Registration};
use fleet::names::{PolicyName, PolicyVersionId, ThingTypeName};
use fleet::record::{
    CaStatus, CertificateMode, CertificateStatus, DeviceCertificate, Policy, PolicyAttachment, PolicyTarget,
    PrincipalType, Tag, Thing, ThingPrincipal, Uuid, Versioned,
};
use fleet::thing::{self, CreateRequest, Facts, Filter, UpdateRequest};
use fleet::{Event, policies, policy_versions, principal};
use identity::crypto::SoftwareKey;
use identity::key::Curve;
use identity::name::Name;
use identity::{CertificateId, ThingName};

const DOCUMENT: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:Connect","Resource":"*"}]}"#;

fn at<T>(version: u64, record: T) -> Versioned<T> {
    Versioned { version, record }
}

fn put(batch: &Batch) -> &Record {
    match batch.writes.as_slice() {
        [Write::Put { record, .. }, ..] => record,
        other => panic!("no record: {other:?}"),
    }
}

fn device(status: CertificateStatus) -> Versioned<DeviceCertificate> {
    let leaf = Authority::named("Signer").device("unit-1");
    let decision = certificate::create(&call(), &leaf, true).unwrap();
    let Record::Certificate(record) = put(&decision.batch) else {
        panic!("no certificate")
    };
    at(
        1,
        DeviceCertificate {
            status,
            ..record.clone()
        },
    )
}

fn name(text: &str) -> ThingName {
    text.parse().unwrap()
}

fn policy_name() -> PolicyName {
    PolicyName::parse("telemetry").unwrap()
}

fn a_policy() -> Versioned<Policy> {
    let decision = policies::create(&call(), &policy_name(), DOCUMENT, Vec::new(), None).unwrap();
    at(1, decision.reply)
}

fn a_thing() -> Versioned<Thing> {
    at(
        1,
        thing::create(
            &call(),
            &name("unit-1"),
            CreateRequest::default(),
            &Facts::default(),
            Uuid([1; 16]),
        )
        .unwrap()
        .reply,
    )
}

#[test]
fn a_request_is_certified_only_with_proof_of_its_key() {
    let key = SoftwareKey::generate(Curve::P256).unwrap();
    let der = key.request(&Name::with_common_name("unit-1").unwrap()).unwrap();
    let pem = identity::request::encode_pem(&der);
    assert_eq!(
        certificate::examine_request(&pem).unwrap().public_key(),
        &key.prove(&Name::with_common_name("x").unwrap())
            .unwrap()
            .public_key()
            .clone()
    );
    let mut forged = der.clone();
    *forged.last_mut().unwrap() ^= 1;
    let expected = ("InvalidRequestException", "fleet.request");
    for bad in [
        "",
        "x",
        &identity::request::encode_pem(&forged),
        &"x".repeat(4097),
    ] {
        assert_eq!(refused(certificate::examine_request(bad)), expected);
    }
}

#[test]
fn issued_certificates_are_inactive_unless_told_otherwise() {
    let leaf = Authority::named("Signer").device("unit-1");
    for (active, status) in [
        (false, CertificateStatus::Inactive),
        (true, CertificateStatus::Active),
    ] {
        let decision = certificate::create(&call(), &leaf, active).unwrap();
        let Record::Certificate(record) = put(&decision.batch) else {
            panic!("no certificate")
        };
        assert_eq!(
            (record.status, record.ca, record.customer_version),
            (status, None, 1)
        );
    }
}

#[test]
fn registering_a_certificate_needs_its_active_ca() {
    let authority = Authority::named("Signer");
    let leaf = authority.device("unit-1");
    let ca = authority.record(None);
    let parse = |ca: Option<&Authority>| {
        Registration::parse(
            &leaf.pem(),
            ca.map(|ca| ca.certificate.pem()).as_deref(),
            None,
            false,
        )
        .unwrap()
    };
    let plain = parse(None);
    let one = std::slice::from_ref(&ca);
    let decision = certificate::register(&call(), &plain, one, None).unwrap();
    let Record::Certificate(record) = put(&decision.batch) else {
        panic!("no certificate")
    };
    assert_eq!(
        (record.ca, record.mode),
        (Some(ca.record.id), CertificateMode::Default)
    );

    let existing = at(1, record.clone());
    let expected = ("ResourceAlreadyExistsException", "fleet.certificate.exists");
    assert_eq!(
        refused(certificate::register(&call(), &plain, one, Some(&existing))),
        expected
    );
    let expected = ("CertificateValidationException", "fleet.certificate.issuer");
    assert_eq!(
        refused(certificate::register(&call(), &plain, &[], None)),
        expected
    );
    let namesake = Authority::named("Signer").record(None);
    assert_eq!(
        refused(certificate::register(
            &call(),
            &plain,
            std::slice::from_ref(&namesake),
            None
        )),
        expected
    );
    let expected = (
        "CertificateConflictException",
        "fleet.certificate.ambiguous_issuer",
    );
    let two = [namesake, ca.clone()];
    assert_eq!(
        refused(certificate::register(&call(), &plain, &two, None)),
        expected
    );
    certificate::register(&call(), &parse(Some(&authority)), &two, None).unwrap();
    let mut stopped = ca;
    stopped.record.status = CaStatus::Inactive;
    let expected = ("CertificateStateException", "fleet.ca.inactive");
    assert_eq!(
        refused(certificate::register(&call(), &plain, &[stopped], None)),
        expected
    );

    let without = certificate::register_without_ca(&call(), &plain, None).unwrap();
    let Record::Certificate(record) = put(&without.batch) else {
        panic!("no certificate")
    };
    assert_eq!((record.ca, record.mode), (None, CertificateMode::SniOnly));
    for (status, code) in [
        ("PENDING_TRANSFER", "fleet.certificate.status_reserved"),
        ("x", "fleet.certificate.status"),
    ] {
        assert_eq!(
            refused(Registration::parse(&leaf.pem(), None, Some(status), false)).1,
            code
        );
    }
}

#[test]
fn a_simulated_chip_is_registered_only_with_a_word_of_the_operator() {
    let leaf = Authority::simulated().simulated_device("unit-1");
    let parse = || Registration::parse(&leaf.pem(), None, None, false).unwrap();
    let register = |registration| certificate::register_without_ca(&call(), &registration, None);
    assert_eq!(
        refused(register(parse())),
        ("CertificateValidationException", "fleet.certificate.simulated")
    );
    register(parse().allow_simulated(true)).unwrap();
}

#[test]
fn the_status_of_a_certificate_changes_as_aws_lets_it() {
    use CertificateStatus::{Active, Inactive, PendingActivation, PendingTransfer, Revoked};
    let state = "CertificateStateException";
    for (from, to, expected) in [
        (Active, "INACTIVE", Ok(true)),
        (Active, "REVOKED", Ok(true)),
        (Active, "ACTIVE", Ok(false)),
        (Inactive, "ACTIVE", Ok(true)),
        (PendingActivation, "ACTIVE", Ok(true)),
        (Revoked, "REVOKED", Ok(false)),
        (Revoked, "ACTIVE", Err(state)),
        (PendingTransfer, "ACTIVE", Err(state)),
        (Active, "PENDING_TRANSFER", Err("InvalidRequestException")),
        (Active, "PENDING_ACTIVATION", Err("InvalidRequestException")),
        (Active, "active", Err("InvalidRequestException")),
    ] {
        let existing = device(from);
        let id = existing.record.id;
        let outcome = certificate::update(&call(), &id, to, Some(&existing));
        match (outcome, expected) {
            (Ok(decision), Ok(changes)) => {
                assert_eq!(!decision.batch.is_empty(), changes, "{from:?} -> {to}");
                assert_eq!(decision.batch.raises_epoch, changes);
                assert_eq!(decision.events.contains(&Event::CertificateTrust(id)), changes);
            }
            (Err(refusal), Err(exception)) => {
                assert_eq!(refusal.exception().name(), exception, "{from:?} -> {to}")
            }
            (outcome, _) => panic!("{from:?} -> {to}: {outcome:?}"),
        }
    }
    let id = CertificateId([1; 32]);
    assert_eq!(
        refused(certificate::update(&call(), &id, "ACTIVE", None)).0,
        "ResourceNotFoundException"
    );
}

#[test]
fn a_certificate_in_use_is_not_deleted() {
    let inactive = device(CertificateStatus::Inactive);
    let id = inactive.record.id;
    let target = PolicyTarget::Certificate(id);
    let policy = at(
        4,
        PolicyAttachment {
            policy: policy_name(),
            target,
        },
    );
    let held = at(
        5,
        ThingPrincipal {
            thing: name("unit-1"),
            certificate: id,
            kind: PrincipalType::NonExclusive,
        },
    );
    let none = DeleteFacts::default();
    let with_policy = DeleteFacts {
        policies: vec![policy],
        ..none.clone()
    };
    let with_thing = DeleteFacts {
        things: vec![held],
        ..none.clone()
    };
    let delete = |existing, force, facts| certificate::delete(&call(), &id, force, existing, facts);
    let active = device(CertificateStatus::Active);
    assert_eq!(
        refused(delete(Some(&active), true, &none)).0,
        "CertificateStateException"
    );
    assert_eq!(
        refused(delete(Some(&inactive), false, &with_policy)).0,
        "DeleteConflictException"
    );
    assert_eq!(
        refused(delete(Some(&inactive), true, &with_thing)).0,
        "DeleteConflictException"
    );
    assert_eq!(refused(delete(None, true, &none)).0, "ResourceNotFoundException");
    assert_eq!(
        delete(Some(&inactive), false, &none).unwrap().batch.writes.len(),
        1
    );
    assert_eq!(
        delete(Some(&inactive), true, &with_policy)
            .unwrap()
            .batch
            .writes
            .len(),
        2,
        "the attachment goes too"
    );
}

#[test]
fn a_thing_is_made_once_and_the_same_request_succeeds() {
    let attributes = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
    let request = CreateRequest {
        attributes: attributes.clone(),
        ..CreateRequest::default()
    };
    let create = |request: &CreateRequest, existing: Option<&Versioned<Thing>>| {
        let facts = Facts {
            existing: existing.cloned(),
            ..Facts::default()
        };
        thing::create(&call(), &name("unit-1"), request.clone(), &facts, Uuid([2; 16]))
    };
    let made = create(&request, None).unwrap();
    assert_eq!(made.reply.version, 1);
    let existing = at(1, made.reply.clone());
    let again = create(&request, Some(&existing)).unwrap();
    assert_eq!((again.batch.is_empty(), again.reply), (true, made.reply));
    let other = CreateRequest::default();
    assert_eq!(
        refused(create(&other, Some(&existing))),
        ("ResourceAlreadyExistsException", "fleet.thing.exists")
    );
    let many: BTreeMap<_, _> = (0..4).map(|n| (n.to_string(), String::new())).collect();
    let many = CreateRequest {
        attributes: many,
        ..CreateRequest::default()
    };
    assert_eq!(
        refused(create(&many, None)),
        ("InvalidRequestException", "fleet.thing.attributes")
    );
    for (key, value) in [
        ("", "x"),
        ("a b", "x"),
        ("a", "x y"),
        ("a", &"x".repeat(801)),
        (&"a".repeat(129), "x"),
    ] {
        let attributes = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let request = CreateRequest {
            attributes,
            ..CreateRequest::default()
        };
        assert_eq!(
            refused(create(&request, None)).1,
            "fleet.thing.attribute",
            "{key}={value}"
        );
    }
    let typed = CreateRequest {
        type_name: Some(ThingTypeName::parse("t").unwrap()),
        ..CreateRequest::default()
    };
    assert_eq!(
        refused(create(&typed, None)),
        ("ResourceNotFoundException", "fleet.resource.missing")
    );
}

#[test]
fn a_thing_is_updated_under_the_version_the_caller_demands() {
    let existing = a_thing();
    let set = |pairs: &[(&str, &str)]| {
        Some(
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>(),
        )
    };
    let update = |existing: &Versioned<Thing>, request| {
        let facts = Facts {
            existing: Some(existing.clone()),
            ..Facts::default()
        };
        let decision = thing::update(&call(), &name("unit-1"), request, &facts)?;
        match put(&decision.batch) {
            Record::Thing(thing) => Ok(at(existing.version + 1, thing.clone())),
            other => panic!("{other:?}"),
        }
    };
    let first = update(
        &existing,
        UpdateRequest {
            attributes: set(&[("a", "1"), ("b", "2")]),
            ..UpdateRequest::default()
        },
    );
    let first = first.unwrap();
    assert_eq!((first.record.version, first.record.attributes.len()), (2, 2));
    let merged = UpdateRequest {
        attributes: set(&[("b", ""), ("c", "3")]),
        merge: true,
        ..UpdateRequest::default()
    };
    let merged = update(&first, merged).unwrap().record.attributes;
    assert_eq!(merged.keys().collect::<Vec<_>>(), ["a", "c"]);
    let replaced = UpdateRequest {
        attributes: set(&[]),
        expected_version: Some(2),
        ..UpdateRequest::default()
    };
    assert!(update(&first, replaced).unwrap().record.attributes.is_empty());
    let stale = UpdateRequest {
        expected_version: Some(1),
        ..UpdateRequest::default()
    };
    assert_eq!(
        refused(update(&first, stale)),
        ("VersionConflictException", "fleet.thing.version")
    );
    let missing = thing::update(&call(), &name("x"), UpdateRequest::default(), &Facts::default());
    assert_eq!(refused(missing).0, "ResourceNotFoundException");
}

#[test]
fn a_thing_with_certificates_stays() {
    let existing = a_thing();
    let held = at(
        5,
        ThingPrincipal {
            thing: name("unit-1"),
            certificate: CertificateId([1; 32]),
            kind: PrincipalType::NonExclusive,
        },
    );
    let delete =
        |existing, version, held: &[_]| thing::delete(&call(), &name("unit-1"), version, existing, held);
    assert_eq!(
        refused(delete(Some(&existing), None, &[held])),
        ("InvalidRequestException", "fleet.thing.attached")
    );
    assert_eq!(
        refused(delete(Some(&existing), Some(9), &[])).0,
        "VersionConflictException"
    );
    assert_eq!(
        delete(Some(&existing), Some(1), &[]).unwrap().batch.writes.len(),
        1
    );
    assert!(
        delete(None, None, &[]).unwrap().batch.is_empty(),
        "deleting what is not there succeeds"
    );
}

#[test]
fn things_are_filtered_by_attribute_and_type() {
    let mut thing = a_thing().record;
    thing.attributes.insert("site".to_owned(), "akl-1".to_owned());
    let filter = |attribute: Option<(&str, Option<&str>)>, prefix| Filter {
        attribute_name: attribute.map(|(name, _)| name.to_owned()),
        attribute_value: attribute.and_then(|(_, value)| value).map(str::to_owned),
        value_is_prefix: prefix,
        ..Filter::default()
    };
    for (attribute, prefix, expected) in [
        (None, false, true),
        (Some(("site", None)), false, true),
        (Some(("site", Some("akl-1"))), false, true),
        (Some(("site", Some("akl"))), false, false),
        (Some(("site", Some("akl"))), true, true),
        (Some(("other", None)), false, false),
    ] {
        assert_eq!(
            filter(attribute, prefix).check().unwrap().admits(&thing),
            expected,
            "{attribute:?}"
        );
    }
    let typed = Filter {
        type_name: Some(ThingTypeName::parse("t").unwrap()),
        ..Filter::default()
    };
    assert!(!typed.admits(&thing));
    let valueless = Filter {
        attribute_value: Some("x".to_owned()),
        ..Filter::default()
    };
    assert_eq!(
        refused(valueless.check()),
        ("InvalidRequestException", "fleet.thing.filter")
    );
}

#[test]
fn a_certificate_is_attached_to_things() {
    let certificate = device(CertificateStatus::Active);
    let id = certificate.record.id;
    let facts = |held: Vec<Versioned<ThingPrincipal>>| principal::AttachFacts {
        thing: Some(a_thing()),
        certificate: Some(certificate.clone()),
        things_of_certificate: held,
    };
    let held = |thing: &str, kind| {
        at(
            3,
            ThingPrincipal {
                thing: name(thing),
                certificate: id,
                kind,
            },
        )
    };
    let attach =
        |kind, facts: &principal::AttachFacts| principal::attach(&call(), &name("unit-1"), &id, kind, facts);
    let made = attach(None, &facts(vec![])).unwrap();
    assert!(made.batch.raises_epoch && made.events == [Event::CertificateTrust(id)]);
    let same = facts(vec![held("unit-1", PrincipalType::NonExclusive)]);
    assert!(
        attach(None, &same).unwrap().batch.is_empty(),
        "attaching what is attached succeeds"
    );
    let elsewhere = facts(vec![held("unit-2", PrincipalType::NonExclusive)]);
    attach(None, &elsewhere).unwrap();
    let expected = ("InvalidRequestException", "fleet.principal.exclusive");
    assert_eq!(refused(attach(Some("EXCLUSIVE_THING"), &elsewhere)), expected);
    assert_eq!(
        refused(attach(
            None,
            &facts(vec![held("unit-2", PrincipalType::Exclusive)])
        )),
        expected
    );
    assert_eq!(refused(attach(Some("x"), &same)).1, "fleet.principal.kind");
    let many: Vec<_> = (0..9)
        .map(|n| held(&format!("other-{n}"), PrincipalType::NonExclusive))
        .collect();
    attach(None, &facts(many.clone())).unwrap();
    let too_many = facts([many, vec![held("other-9", PrincipalType::NonExclusive)]].concat());
    assert_eq!(
        refused(attach(None, &too_many)),
        ("LimitExceededException", "fleet.principal.limit")
    );
    let nothing = principal::AttachFacts {
        thing: None,
        ..facts(vec![])
    };
    assert_eq!(refused(attach(None, &nothing)).1, "fleet.thing.missing");
    let nobody = principal::AttachFacts {
        certificate: None,
        ..facts(vec![])
    };
    assert_eq!(refused(attach(None, &nobody)).1, "fleet.certificate.missing");

    let existing = held("unit-1", PrincipalType::NonExclusive);
    principal::detach(&call(), &name("unit-1"), &id, Some(&existing)).unwrap();
    assert_eq!(
        refused(principal::detach(&call(), &name("unit-1"), &id, None)).0,
        "ResourceNotFoundException"
    );
}

#[test]
fn a_policy_is_made_once_and_deleted_when_nothing_needs_it() {
    let create =
        |document: &str, tags, existing| policies::create(&call(), &policy_name(), document, tags, existing);
    let policy = a_policy();
    assert_eq!(
        policy.record.default_document().unwrap().document.as_ref(),
        DOCUMENT
    );
    let expected = ("ResourceAlreadyExistsException", "fleet.policy.exists");
    assert_eq!(refused(create(DOCUMENT, Vec::new(), Some(&policy))), expected);
    assert_eq!(
        refused(create("{}", Vec::new(), None)).0,
        "MalformedPolicyException"
    );
    let tag = |key: &str| Tag {
        key: key.to_owned(),
        value: String::new(),
    };
    for bad in [
        vec![tag("")],
        vec![tag("a"), tag("a")],
        vec![tag(&"k".repeat(129))],
    ] {
        assert_eq!(
            refused(create(DOCUMENT, bad, None)),
            ("InvalidRequestException", "fleet.tags")
        );
    }
    create(DOCUMENT, vec![tag("a"), tag("b")], None).unwrap();

    let delete = |existing, attached| policies::delete(&call(), &policy_name(), existing, attached);
    assert_eq!(
        refused(delete(Some(&policy), true)),
        ("DeleteConflictException", "fleet.policy.in_use")
    );
    delete(Some(&policy), false).unwrap();
    assert_eq!(
        refused(delete(None, false)),
        ("ResourceNotFoundException", "fleet.policy.missing")
    );
    let mut two = policy.clone();
    let second = fleet::record::PolicyVersion {
        id: PolicyVersionId(2),
        document: Arc::from(DOCUMENT),
        created: NOW,
    };
    two.record.versions.push(second);
    assert_eq!(
        refused(delete(Some(&two), false)),
        ("DeleteConflictException", "fleet.policy.in_use")
    );
}

#[test]
fn a_policy_has_five_versions_and_one_that_counts() {
    let mut policy = a_policy();
    let name = policy_name();
    let apply = |policy: &mut Versioned<Policy>, batch: &Batch| {
        let Record::Policy(changed) = put(batch) else {
            panic!("no policy")
        };
        *policy = at(policy.version + 1, changed.clone());
    };
    for expected in 2..=5 {
        let decision =
            policy_versions::create(&call(), &name, DOCUMENT, expected == 3, Some(&policy)).unwrap();
        assert_eq!(decision.reply.id.0, expected);
        assert_eq!(
            decision.batch.raises_epoch,
            expected == 3,
            "only the default counts"
        );
        apply(&mut policy, &decision.batch);
    }
    assert_eq!(policy.record.default_version, PolicyVersionId(3));
    let sixth = policy_versions::create(&call(), &name, DOCUMENT, false, Some(&policy));
    assert_eq!(
        refused(sixth),
        ("VersionsLimitExceededException", "fleet.policy.versions")
    );
    let default = policy_versions::delete(&call(), &name, PolicyVersionId(3), Some(&policy));
    assert_eq!(
        refused(default),
        ("InvalidRequestException", "fleet.policy.default_version")
    );
    let decision = policy_versions::delete(&call(), &name, PolicyVersionId(5), Some(&policy)).unwrap();
    apply(&mut policy, &decision.batch);
    let decision = policy_versions::create(&call(), &name, DOCUMENT, false, Some(&policy)).unwrap();
    assert_eq!(decision.reply.id, PolicyVersionId(6), "no number is used twice");
    apply(&mut policy, &decision.batch);
    let decision = policy_versions::set_default(&call(), &name, PolicyVersionId(1), Some(&policy)).unwrap();
    assert_eq!(decision.events, [Event::PolicyTrust(name.clone())]);
    let missing = policy_versions::set_default(&call(), &name, PolicyVersionId(5), Some(&policy));
    assert_eq!(
        refused(missing),
        ("ResourceNotFoundException", "fleet.policy.version_missing")
    );
    let (_, one) = policy_versions::version(&name, PolicyVersionId(1), Some(&policy)).unwrap();
    assert_eq!(one.document.as_ref(), DOCUMENT);
}

#[test]
fn a_policy_is_attached_to_certificates() {
    let certificate = device(CertificateStatus::Active);
    let target = PolicyTarget::Certificate(certificate.record.id);
    let facts = AttachFacts {
        policy: Some(a_policy()),
        certificate: Some(certificate),
        ..AttachFacts::default()
    };
    let attach = |facts: &AttachFacts| attachment::attach(&call(), &policy_name(), &target, facts);
    assert!(attach(&facts).unwrap().batch.raises_epoch);
    let existing = at(
        3,
        PolicyAttachment {
            policy: policy_name(),
            target: target.clone(),
        },
    );
    let same = AttachFacts {
        existing: Some(existing.clone()),
        ..facts.clone()
    };
    assert!(attach(&same).unwrap().batch.is_empty());
    attach(&AttachFacts {
        policies_of_target: 9,
        ..facts.clone()
    })
    .unwrap();
    let full = AttachFacts {
        policies_of_target: 10,
        ..facts.clone()
    };
    assert_eq!(
        refused(attach(&full)),
        ("LimitExceededException", "fleet.attachment.limit")
    );
    assert_eq!(
        refused(attach(&AttachFacts {
            policy: None,
            ..facts.clone()
        }))
        .1,
        "fleet.policy.missing"
    );
    assert_eq!(
        refused(attach(&AttachFacts {
            certificate: None,
            ..facts
        }))
        .1,
        "fleet.certificate.missing"
    );
    attachment::detach(&call(), &policy_name(), &target, Some(&existing)).unwrap();
    let missing = attachment::detach(&call(), &policy_name(), &target, None);
    assert_eq!(
        refused(missing),
        ("ResourceNotFoundException", "fleet.attachment.missing")
    );
}
