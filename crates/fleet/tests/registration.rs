//! RegisterCACertificate and what follows it: each check of the AWS order has its refusal here.

mod fixtures;

use fixtures::{Authority, NOW, call, code, config, facts, refused, register, strict_call};
use fleet::batch::{Check, Key, Record, Write};
use fleet::ca::{self, UpdateRequest};
use fleet::names::CodeValue;
use fleet::record::{CaStatus, CertificateMode, RegionClaim, RegistrationCode, Versioned};
use fleet::registration::{ConfigFacts, Request};
use fleet::registration_code;

fn check(change: impl FnOnce(&mut Request), expected: (&str, &str)) {
    let mut request = Authority::named("Signer").request();
    change(&mut request);
    assert_eq!(refused(register(&call(), request, &facts())), expected);
}

#[test]
fn a_ca_is_registered_with_proof_of_possession() {
    let authority = Authority::named("Signer");
    let decision = register(&call(), authority.request(), &facts()).unwrap();
    let id = authority.certificate.id();
    assert_eq!(decision.reply.registered.id, id);
    assert_eq!(
        decision.reply.registered.arn,
        format!("arn:aws:iot:us-east-1:123456789012:cacert/{id}")
    );
    assert!(decision.reply.warnings.is_empty());
    let keys: Vec<_> = decision
        .batch
        .writes
        .iter()
        .map(|write| match write {
            Write::Put { record, .. } => record.key(),
            Write::Delete { key, .. } => key.clone(),
        })
        .collect();
    assert_eq!(keys, [Key::RegionClaim(id), Key::Ca(id)]);
    let code = Check::Is {
        key: Key::RegistrationCode,
        expect: fleet::batch::Expect::Version(3),
    };
    assert!(
        decision.batch.checks.contains(&code),
        "the code must still be this one when the CA is kept"
    );
    let record = authority.record(Some(fixtures::TEMPLATE)).record;
    assert_eq!(
        (record.status, record.auto_registration),
        (CaStatus::Active, true)
    );
    assert_eq!(record.subject.as_ref(), authority.certificate.subject().der());
}

#[test]
fn a_new_ca_does_nothing_unless_told_to() {
    let mut request = Authority::named("Signer").request();
    (request.set_as_active, request.allow_auto_registration) = (false, false);
    let decision = register(&call(), request, &facts()).unwrap();
    let Some(Write::Put {
        record: Record::Ca(ca),
        ..
    }) = decision.batch.writes.last()
    else {
        panic!("no CA")
    };
    assert_eq!((ca.status, ca.auto_registration), (CaStatus::Inactive, false));
}

#[test]
fn what_is_not_a_ca_certificate_is_refused() {
    let validation = "CertificateValidationException";
    let authority = Authority::named("Signer");
    let leaf = authority.device("leaf").pem();
    check(
        |request| request.ca_certificate = leaf.clone(),
        (validation, "fleet.ca.not_a_ca"),
    );
    check(
        |request| request.ca_certificate = "no pem".to_owned(),
        (validation, "fleet.certificate.pem"),
    );
    let two = authority.certificate.pem() + &authority.certificate.pem();
    check(
        |request| request.ca_certificate = two.clone(),
        (validation, "fleet.certificate.pem"),
    );
    check(
        |request| request.ca_certificate = "x".repeat(65_537),
        (validation, "fleet.certificate.pem"),
    );
    let old = Authority::valid("Old", -400, 399, false).certificate.pem();
    check(
        |request| request.ca_certificate = old.clone(),
        (validation, "fleet.certificate.expired"),
    );
    let young = Authority::valid("Young", 1, 399, false).certificate.pem();
    check(
        |request| request.ca_certificate = young.clone(),
        (validation, "fleet.certificate.not_yet_valid"),
    );
}

#[test]
fn mode_and_verification_certificate_belong_together() {
    let invalid = ("InvalidRequestException", "fleet.ca.mode");
    check(|request| request.verification_certificate = None, invalid);
    check(|request| request.mode = Some("SNI_ONLY".to_owned()), invalid);
    check(|request| request.mode = Some("sni_only".to_owned()), invalid);
}

#[test]
fn possession_is_proven_by_this_ca_and_this_code() {
    let validation = "CertificateValidationException";
    let other = Authority::named("Other").verification(&code()).pem();
    check(
        |r| r.verification_certificate = Some(other.clone()),
        (validation, "fleet.ca.verification_issuer"),
    );
    let namesake = Authority::named("Signer").verification(&code()).pem();
    check(
        |r| r.verification_certificate = Some(namesake.clone()),
        (validation, "fleet.ca.verification_signature"),
    );
    check(
        |r| r.verification_certificate = Some("x".to_owned()),
        (validation, "fleet.certificate.pem"),
    );

    let authority = Authority::named("Signer");
    let mut request = authority.request();
    request.verification_certificate = Some(authority.verification(&"ab".repeat(32)).pem());
    let expected = (
        "RegistrationCodeValidationException",
        "fleet.ca.registration_code",
    );
    assert_eq!(refused(register(&call(), request, &facts())), expected);
    let mut none = facts();
    none.code = None;
    assert_eq!(refused(register(&call(), authority.request(), &none)), expected);
    let mut upper = authority.request();
    upper.verification_certificate = Some(authority.verification(&code().to_uppercase()).pem());
    register(&call(), upper, &facts()).unwrap();
    let late = fleet::Call {
        now: NOW.plus_days(7),
        ..call()
    };
    assert_eq!(
        refused(register(&late, authority.request(), &facts())),
        (validation, "fleet.certificate.expired")
    );
}

#[test]
fn the_same_ca_is_registered_once_and_a_subject_ten_times() {
    let authority = Authority::named("Signer");
    let mut known = facts();
    known.existing = Some(authority.record(None));
    let refusal = register(&call(), authority.request(), &known).unwrap_err();
    assert_eq!(refusal.exception().name(), "ResourceAlreadyExistsException");
    assert_eq!(
        refusal.existing_resource().unwrap().id,
        authority.certificate.id().to_string()
    );

    let mut crowded = facts();
    crowded.cas_with_subject = 9;
    register(&call(), authority.request(), &crowded).unwrap();
    crowded.cas_with_subject = 10;
    let expected = ("LimitExceededException", "fleet.ca.subject_limit");
    assert_eq!(
        refused(register(&call(), authority.request(), &crowded)),
        expected
    );

    let mut claimed = facts();
    let claim = RegionClaim {
        ca: authority.certificate.id(),
        owner: "000000000001".parse().unwrap(),
    };
    claimed.claim = Some(Versioned {
        version: 1,
        record: claim,
    });
    let expected = ("ResourceAlreadyExistsException", "fleet.ca.exists");
    assert_eq!(
        refused(register(&call(), authority.request(), &claimed)),
        expected
    );
}

#[test]
fn sni_only_needs_no_proof_where_aws_needs_none_and_is_an_alarm() {
    let mut request = Authority::named("Signer").request();
    request.mode = Some("SNI_ONLY".to_owned());
    request.verification_certificate = None;
    let decision = register(&call(), request.clone(), &facts()).unwrap();
    assert!(
        decision
            .batch
            .audit
            .iter()
            .any(|entry| entry.action == "security.sni_only_registration")
    );
    let expected = ("InvalidRequestException", "fleet.ca.possession_required");
    assert_eq!(refused(register(&strict_call(), request, &facts())), expected);
}

#[test]
fn simulated_chips_need_a_word_of_the_operator() {
    let authority = Authority::simulated();
    let expected = ("CertificateValidationException", "fleet.ca.simulated");
    assert_eq!(
        refused(register(&call(), authority.request(), &facts())),
        expected
    );
    let mut allowed = facts();
    allowed.allow_simulated = true;
    register(&call(), authority.request(), &allowed).unwrap();
}

#[test]
fn the_template_is_checked_when_the_ca_is_registered() {
    let invalid = "InvalidRequestException";
    check(
        |r| r.registration = Some(Default::default()),
        (invalid, "fleet.ca.config"),
    );
    check(
        |r| r.registration.as_mut().unwrap().role_arn = None,
        (invalid, "fleet.ca.config"),
    );
    check(
        |r| r.registration.as_mut().unwrap().role_arn = Some("role".to_owned()),
        (invalid, "fleet.ca.role"),
    );
    check(
        |r| r.registration.as_mut().unwrap().template_name = Some("t".to_owned()),
        (invalid, "fleet.ca.config"),
    );
    check(
        |r| r.registration = Some(config("{}")),
        (invalid, "fleet.template.form"),
    );
    let named = fleet::registration::ConfigRequest {
        template_name: Some("t".to_owned()),
        ..Default::default()
    };
    check(
        |r| r.registration = Some(named),
        ("ResourceNotFoundException", "fleet.template.missing"),
    );
}

#[test]
fn an_unknown_policy_warns_at_aws_and_is_refused_by_the_strict() {
    let authority = Authority::named("Signer");
    let mut unknown = facts();
    unknown.config.policies.clear();
    let decision = register(&call(), authority.request(), &unknown).unwrap();
    assert!(
        decision.reply.warnings[0].contains("telemetry"),
        "{:?}",
        decision.reply.warnings
    );
    unknown.config.strict = true;
    let expected = ("ResourceNotFoundException", "fleet.template.policy_missing");
    assert_eq!(
        refused(register(&strict_call(), authority.request(), &unknown)),
        expected
    );
}

#[test]
fn a_template_is_checked_against_a_sample_certificate() {
    use identity::name::AttributeKind::{CommonName, Country};
    let authority = Authority::named("Signer");
    let mut sampled = facts();
    sampled.config.sample = Some(authority.device("unit-1"));
    register(&call(), authority.request(), &sampled).unwrap();
    sampled.config.sample = Some(authority.device_of(&[(Country, "NZ")], -1, 7300));
    let refusal = register(&call(), authority.request(), &sampled).unwrap_err();
    assert!(
        refusal.reason().contains("AWS::IoT::Certificate::CommonName"),
        "{refusal}"
    );
    assert!(
        refusal.reason().contains("C=NZ"),
        "the subject is told: {refusal}"
    );
    sampled.config.sample = Some(authority.device_of(&[(CommonName, "not a thing name")], -1, 7300));
    assert_eq!(
        refused(register(&call(), authority.request(), &sampled)).1,
        "fleet.template.thing_name"
    );
}

#[test]
fn the_registration_code_is_made_once_and_can_be_deleted() {
    let first = registration_code::current(&call(), None, [1; 32]).unwrap();
    assert_eq!((first.reply, first.batch.writes.len()), (CodeValue([1; 32]), 1));
    let existing = Versioned {
        version: 4,
        record: RegistrationCode {
            code: first.reply,
            created: NOW,
        },
    };
    let second = registration_code::current(&call(), Some(&existing), [2; 32]).unwrap();
    assert_eq!(
        (second.reply, second.batch.is_empty()),
        (CodeValue([1; 32]), true)
    );
    registration_code::delete(&call(), Some(&existing)).unwrap();
    let expected = ("ResourceNotFoundException", "fleet.registration_code.missing");
    assert_eq!(refused(registration_code::delete(&call(), None)), expected);
}

#[test]
fn a_ca_is_updated_and_deleted_as_its_status_allows() {
    let record = Authority::named("Signer").record(None);
    let id = record.record.id;
    let none = ConfigFacts::default();
    let update = |request, existing| ca::update(&call(), &id, request, existing, &none);
    let inactive = UpdateRequest {
        new_status: Some("INACTIVE".to_owned()),
        ..UpdateRequest::default()
    };
    let decision = update(inactive.clone(), Some(&record)).unwrap();
    let Some(Write::Put {
        record: Record::Ca(stopped),
        ..
    }) = decision.batch.writes.first()
    else {
        panic!("no CA")
    };
    assert_eq!(
        (stopped.status, stopped.customer_version),
        (CaStatus::Inactive, 2)
    );
    assert!(
        !decision.batch.raises_epoch,
        "registered devices stay as they are"
    );
    let same = UpdateRequest {
        new_status: Some("ACTIVE".to_owned()),
        ..UpdateRequest::default()
    };
    assert!(update(same, Some(&record)).unwrap().batch.is_empty());
    let removed = UpdateRequest {
        remove_auto_registration: true,
        ..UpdateRequest::default()
    };
    let decision = update(removed, Some(&record)).unwrap();
    let Some(Write::Put {
        record: Record::Ca(closed),
        ..
    }) = decision.batch.writes.first()
    else {
        panic!("no CA")
    };
    assert_eq!((closed.auto_registration, &closed.registration), (false, &None));
    let wrong = UpdateRequest {
        new_status: Some("active".to_owned()),
        ..UpdateRequest::default()
    };
    assert_eq!(
        refused(update(wrong, Some(&record))),
        ("InvalidRequestException", "fleet.ca.word")
    );
    let wrong = UpdateRequest {
        new_auto_registration: Some("ON".to_owned()),
        ..UpdateRequest::default()
    };
    assert_eq!(
        refused(update(wrong, Some(&record))),
        ("InvalidRequestException", "fleet.ca.word")
    );
    assert_eq!(
        refused(update(inactive, None)),
        ("ResourceNotFoundException", "fleet.ca.missing")
    );

    let delete = |existing| ca::delete(&call(), &id, existing, None);
    assert_eq!(
        refused(delete(Some(&record))),
        ("CertificateStateException", "fleet.ca.active")
    );
    let stopped = Versioned {
        version: 8,
        record: stopped.clone(),
    };
    delete(Some(&stopped)).unwrap();
    assert_eq!(
        refused(delete(None)),
        ("ResourceNotFoundException", "fleet.ca.missing")
    );
    assert_eq!(stopped.record.mode, CertificateMode::Default);
}
