//! First connections: which CA is found, what is made, what is refused and why, and what a retry does.
#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap as the tests do")]

mod fixtures;

use fixtures::{Authority, CODE, NOW, TEMPLATE, call, failed_step, strict_call};
use fleet::admission::{self, Admission};
use fleet::attempt::{StepVerdict, Trail};
use fleet::batch::{Batch, Check, Expect, Key, Record, Write};
use fleet::names::{CodeValue, PolicyName};
use fleet::onboarding::{self, Arrival, Facts, Holder, Onboarded};
use fleet::record::{
    CaStatus, CertificateMode, CertificateStatus, DeviceCertificate, Policy, RegistrationCode, Thing, Uuid,
    Versioned,
};
use fleet::{Call, Decision, Event, Refusal};
use identity::certificate::Certificate;
use identity::name::AttributeKind as Kind;
use identity::{Explained as _, Tenant};

/// One first connection.
struct Case {
    call: Call,
    ca: Versioned<fleet::record::CaCertificate>,
    leaf: Certificate,
    named_by_sni: bool,
    allow_simulated: bool,
    facts: Facts,
    trail: Trail,
}

fn telemetry() -> Versioned<PolicyName> {
    Versioned {
        version: 11,
        record: PolicyName::parse("telemetry").unwrap(),
    }
}

fn case() -> Case {
    case_of(&Authority::named("Signer"), Some(TEMPLATE))
}

fn case_of(authority: &Authority, template: Option<&str>) -> Case {
    Case {
        call: call(),
        ca: authority.record(template),
        leaf: authority.device("unit-1"),
        named_by_sni: true,
        allow_simulated: false,
        facts: Facts {
            policies: vec![telemetry()],
            ..Facts::default()
        },
        trail: Trail::default(),
    }
}

impl Case {
    fn run(&mut self) -> Result<Decision<Onboarded>, Refusal> {
        let authorities = [onboarding::Authority::read(self.ca.clone())?];
        let arrival = Arrival {
            leaf: &self.leaf,
            named_by_sni: self.named_by_sni,
            allow_simulated: self.allow_simulated,
        };
        let identified = onboarding::identify(&self.call, arrival, &authorities, &mut self.trail)?;
        identified.decide(&self.call, &self.facts, Uuid([7; 16]), &mut self.trail)
    }

    #[track_caller]
    fn refused(mut self, code: &str, step: &str) {
        let refusal = self.run().unwrap_err();
        assert_eq!(refusal.code(), code, "{refusal}");
        assert_eq!(failed_step(&self.trail).as_deref(), Some(step));
    }

    /// The template fails, the certificate stays PENDING_ACTIVATION.
    #[track_caller]
    fn pending(mut self, code: &str) {
        let decision = self.run().unwrap();
        let Onboarded::Failed(refusal) = &decision.reply else {
            panic!("{:?}", decision.reply)
        };
        assert_eq!(refusal.code(), code, "{refusal}");
        assert_eq!(
            status(&decision.batch),
            Some(CertificateStatus::PendingActivation)
        );
        assert!(failed_step(&self.trail).is_some());
    }
}

fn records(batch: &Batch) -> impl Iterator<Item = &Record> {
    batch.writes.iter().filter_map(|write| match write {
        Write::Put { record, .. } => Some(record),
        Write::Delete { .. } => None,
    })
}

fn certificate(batch: &Batch) -> Option<&DeviceCertificate> {
    records(batch).find_map(|record| match record {
        Record::Certificate(certificate) => Some(certificate),
        _ => None,
    })
}

fn thing(batch: &Batch) -> Option<&Thing> {
    records(batch).find_map(|record| match record {
        Record::Thing(thing) => Some(thing),
        _ => None,
    })
}

fn status(batch: &Batch) -> Option<CertificateStatus> {
    certificate(batch).map(|certificate| certificate.status)
}

#[test]
fn a_first_connection_makes_everything_in_one_batch() {
    let mut case = case();
    let id = case.leaf.id();
    let decision = case.run().unwrap();
    let Onboarded::Provisioned {
        thing: Some(name),
        policies,
        active: true,
    } = &decision.reply
    else {
        panic!("{:?}", decision.reply)
    };
    assert_eq!((name.as_str(), policies.len()), ("unit-1", 1));
    let keys: Vec<_> = records(&decision.batch).map(Record::key).collect();
    for kind in [Key::Certificate(id), Key::Thing("unit-1".parse().unwrap())] {
        assert!(keys.contains(&kind), "{keys:?}");
    }
    assert_eq!(
        keys.len(),
        4,
        "certificate, thing, policy attachment, principal: {keys:?}"
    );
    let certificate = certificate(&decision.batch).unwrap();
    assert_eq!(
        (certificate.status, certificate.ca),
        (CertificateStatus::Active, Some(case.ca.record.id))
    );
    let thing = thing(&decision.batch).unwrap();
    assert_eq!(thing.attributes.get("country").map(String::as_str), Some("NZ"));
    assert_eq!(
        (thing.born_under, thing.simulated),
        (Some(case.ca.record.id), false)
    );
    let ca = Check::Is {
        key: Key::Ca(case.ca.record.id),
        expect: Expect::Version(7),
    };
    assert!(
        decision.batch.checks.contains(&ca),
        "the CA must still be as it was read"
    );
    assert!(
        matches!(decision.events.as_slice(), [Event::Registered { certificate, .. }, Event::Registry(_)] if *certificate == id)
    );
    assert!(
        !decision.batch.raises_epoch,
        "nobody holds a grant for a certificate that nobody knew"
    );
    assert_eq!(failed_step(&case.trail), None);
    assert!(case.trail.steps().len() >= 6, "{:?}", case.trail);
}

#[test]
fn without_a_template_the_certificate_awaits_activation() {
    let mut case = case_of(&Authority::named("Signer"), None);
    let decision = case.run().unwrap();
    assert_eq!(decision.reply, Onboarded::Registered);
    assert_eq!(
        status(&decision.batch),
        Some(CertificateStatus::PendingActivation)
    );
    assert_eq!(decision.events.len(), 1);
    // Presented again before anybody activated it: told again, written no more.
    let record = certificate(&decision.batch).unwrap().clone();
    case.facts.existing = Some(Versioned { version: 9, record });
    let again = case.run().unwrap();
    assert_eq!((again.batch.is_empty(), again.events.len()), (true, 1));
}

#[test]
fn unknown_and_unwilling_cas_are_told_apart() {
    let mut stranger = case();
    stranger.leaf = Authority::named("Somebody").device("unit-1");
    let nobody: [onboarding::Authority; 0] = [];
    let arrival = Arrival {
        leaf: &stranger.leaf,
        named_by_sni: true,
        allow_simulated: false,
    };
    let refusal = onboarding::identify(&call(), arrival, &nobody, &mut stranger.trail).unwrap_err();
    assert_eq!(refusal.code(), "fleet.onboarding.unknown_ca");
    assert!(refusal.reason().contains("Somebody"), "{refusal}");

    let mut namesake = case();
    namesake.leaf = Authority::named("Signer").device("unit-1");
    namesake.refused("fleet.onboarding.signature", "ca.found");
    let mut itself = case();
    itself.leaf = Certificate::parse(&itself.ca.record.der).unwrap();
    itself.refused("fleet.onboarding.is_ca", "ca.found");
    let mut inactive = case();
    inactive.ca.record.status = CaStatus::Inactive;
    inactive.refused("fleet.onboarding.ca_inactive", "ca.status");
    let mut disabled = case();
    disabled.ca.record.auto_registration = false;
    disabled.refused("fleet.onboarding.no_auto_registration", "ca.status");
    let mut unnamed = case();
    unnamed.ca.record.mode = CertificateMode::SniOnly;
    unnamed.named_by_sni = false;
    unnamed.refused("fleet.onboarding.sni", "ca.status");
    let mut named = case();
    named.ca.record.mode = CertificateMode::SniOnly;
    named.run().unwrap();
}

#[test]
fn a_certificate_out_of_its_time_says_whose_clock() {
    let authority = Authority::named("Signer");
    let name = [(Kind::CommonName, "unit-1")];
    let mut expired = case_of(&authority, Some(TEMPLATE));
    expired.leaf = authority.device_of(&name, -10, 5);
    expired.refused("fleet.certificate.expired", "certificate.validity");
    let mut young = case_of(&authority, Some(TEMPLATE));
    young.leaf = authority.device_of(&name, 1, 5);
    young.refused("fleet.certificate.not_yet_valid", "certificate.validity");
    let old = Authority::valid("Old", -30, 40, false);
    let mut outlived = case_of(&old, Some(TEMPLATE));
    outlived.leaf = old.device_of(&name, -1, 5);
    outlived.call.now = NOW.plus_days(11);
    outlived.refused("fleet.certificate.expired", "ca.status");
}

#[test]
fn simulated_chips_need_a_word_of_the_operator() {
    let chips = Authority::simulated();
    let mut case = case();
    case.leaf = chips.simulated_device("unit-1");
    case.ca.record.der = chips.certificate.der().into();
    let mut allowed = Case {
        allow_simulated: true,
        ..case
    };
    assert!(
        thing(&allowed.run().unwrap().batch).unwrap().simulated,
        "the thing says it for ever"
    );
    allowed.allow_simulated = false;
    allowed.trail = Trail::default();
    allowed.refused("fleet.onboarding.simulated", "certificate.validity");
}

#[test]
fn the_verification_certificate_is_never_a_device() {
    let authority = Authority::named("Signer");
    let mut case = case_of(&authority, Some(TEMPLATE));
    case.leaf = authority.verification(&fixtures::code());
    case.facts.code = Some(RegistrationCode {
        code: CodeValue(CODE),
        created: NOW,
    });
    case.refused("fleet.onboarding.verification_certificate", "certificate.purpose");
}

#[test]
fn a_template_that_fails_leaves_the_certificate_pending_and_says_why() {
    let authority = Authority::named("Signer");
    let mut anonymous = case_of(&authority, Some(TEMPLATE));
    anonymous.leaf = authority.device_of(&[(Kind::Country, "NZ")], -1, 100);
    anonymous.pending("fleet.template.parameter");
    let mut misnamed = case_of(&authority, Some(TEMPLATE));
    misnamed.leaf = authority.device("not a thing name");
    misnamed.pending("fleet.template.thing_name");
    let mut unattached = case_of(&authority, Some(TEMPLATE));
    unattached.facts.policies.clear();
    unattached.pending("fleet.onboarding.policy_missing");
    let mut taken = case_of(&authority, Some(TEMPLATE));
    taken.facts.thing = Some(existing_thing(taken.ca.record.id, "AU"));
    taken.pending("fleet.onboarding.thing_conflict");
}

#[test]
fn the_next_connection_tries_again() {
    let authority = Authority::named("Signer");
    let mut case = case_of(&authority, Some(TEMPLATE));
    case.facts.policies.clear();
    let first = case.run().unwrap();
    let record = certificate(&first.batch).unwrap().clone();
    case.facts.existing = Some(Versioned { version: 21, record });
    case.facts.policies.push(telemetry());
    let second = case.run().unwrap();
    assert!(matches!(
        second.reply,
        Onboarded::Provisioned { active: true, .. }
    ));
    let id = case.leaf.id();
    let replaced = second.batch.writes.iter().any(|write| {
        matches!(write, Write::Put { record: Record::Certificate(c), expect: Expect::Version(21) } if c.id == id)
    });
    assert!(replaced, "the pending certificate is activated, not made anew");
}

fn existing_thing(born_under: identity::CertificateId, country: &str) -> Versioned<Thing> {
    let record = Thing {
        name: "unit-1".parse().unwrap(),
        id: Uuid([1; 16]),
        type_name: None,
        billing_group: None,
        attributes: [("country".to_owned(), country.to_owned())].into(),
        version: 3,
        born_under: Some(born_under),
        simulated: false,
        created: NOW,
        modified: NOW,
    };
    Versioned { version: 5, record }
}

#[test]
fn an_existing_thing_is_treated_as_the_template_says() {
    let authority = Authority::named("Signer");
    let run = |setting: Option<&str>, country: &str| {
        let template = match setting {
            None => TEMPLATE.to_owned(),
            Some(setting) => TEMPLATE.replace(
                r#""Type": "AWS::IoT::Thing","#,
                &format!(
                    r#""Type": "AWS::IoT::Thing", "OverrideSettings": {{"AttributePayload": "{setting}"}},"#
                ),
            ),
        };
        let mut case = case_of(&authority, Some(&template));
        case.facts.thing = Some(existing_thing(case.ca.record.id, country));
        case.facts
            .thing
            .as_mut()
            .unwrap()
            .record
            .attributes
            .insert("extra".to_owned(), "1".to_owned());
        let decision = case.run().unwrap();
        let changes = thing(&decision.batch).is_some();
        let refreshes = decision
            .events
            .iter()
            .any(|event| matches!(event, Event::ThingTrust(name) if name.as_str() == "unit-1"));
        assert_eq!(
            (refreshes, decision.batch.raises_epoch),
            (changes, changes),
            "live connections ask about their thing: {setting:?}"
        );
        match decision.reply {
            Onboarded::Provisioned { .. } => {
                Ok(thing(&decision.batch).map(|t| (t.version, t.attributes.len())))
            }
            _ => Err(()),
        }
    };
    assert_eq!(run(None, "NZ"), Err(()), "other attributes: refused");
    assert_eq!(run(Some("DO_NOTHING"), "AU"), Ok(None));
    assert_eq!(run(Some("FAIL"), "NZ"), Err(()));
    assert_eq!(run(Some("REPLACE"), "AU"), Ok(Some((4, 1))));
    assert_eq!(run(Some("MERGE"), "AU"), Ok(Some((4, 2))));
    assert_eq!(run(Some("MERGE"), "NZ"), Ok(None), "nothing changes");

    let mut equal = case_of(&authority, Some(TEMPLATE));
    equal.facts.thing = Some(existing_thing(equal.ca.record.id, "NZ"));
    let decision = equal.run().unwrap();
    assert!(thing(&decision.batch).is_none());
    let unchanged = Check::Is {
        key: Key::Thing("unit-1".parse().unwrap()),
        expect: Expect::Version(5),
    };
    assert!(decision.batch.checks.contains(&unchanged));
}

#[test]
fn a_thing_taken_over_is_an_alarm_at_aws_and_refused_by_the_strict() {
    let other_ca = Authority::named("Other").certificate.id();
    let holder = Holder {
        certificate: other_ca,
        status: CertificateStatus::Active,
    };
    let retired = Holder {
        certificate: other_ca,
        status: CertificateStatus::Revoked,
    };
    for (foreign_ca, holders, alarm) in [
        (true, vec![], true),
        (false, vec![holder], true),
        (false, vec![retired], false),
        (false, vec![], false),
    ] {
        let setup = || {
            let mut case = case();
            let born_under = if foreign_ca { other_ca } else { case.ca.record.id };
            case.facts.thing = Some(existing_thing(born_under, "NZ"));
            case.facts.holders = holders.clone();
            case
        };
        let mut lenient = setup();
        let decision = lenient.run().unwrap();
        assert!(matches!(decision.reply, Onboarded::Provisioned { .. }));
        let told = lenient
            .trail
            .steps()
            .iter()
            .any(|step| step.verdict == StepVerdict::Alarm);
        let kept = decision
            .batch
            .audit
            .iter()
            .any(|entry| entry.action == "security.thing_takeover");
        assert_eq!((told, kept), (alarm, alarm));
        let mut strict = setup();
        strict.call = strict_call();
        if alarm {
            strict.pending("fleet.onboarding.takeover");
        } else {
            assert!(matches!(
                strict.run().unwrap().reply,
                Onboarded::Provisioned { .. }
            ));
        }
    }
}

#[test]
fn an_inline_policy_is_made_once_and_shared() {
    let inline = r#"{"PolicyDocument": "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"iot:Connect\",\"Resource\":\"*\"}]}"}"#;
    let template = TEMPLATE.replace(r#"{"PolicyName": "telemetry"}"#, inline);
    let authority = Authority::named("Signer");
    let mut first = case_of(&authority, Some(&template));
    let decision = first.run().unwrap();
    let policies: Vec<&Policy> = records(&decision.batch)
        .filter_map(|record| match record {
            Record::Policy(policy) => Some(policy),
            _ => None,
        })
        .collect();
    let [policy] = policies.as_slice() else {
        panic!("{policies:?}")
    };
    let mut second = case_of(&authority, Some(&template));
    second.facts.policies = vec![Versioned {
        version: 2,
        record: policy.name.clone(),
    }];
    let decision = second.run().unwrap();
    assert!(!records(&decision.batch).any(|record| matches!(record, Record::Policy(_))));
}

#[test]
fn only_active_certificates_inside_their_time_are_admitted() {
    let mut onboarded = case();
    let decision = onboarded.run().unwrap();
    let active = certificate(&decision.batch).unwrap().clone();
    let admit = |certificate: &DeviceCertificate, sni| {
        admission::decide(certificate, NOW, sni, &mut Trail::default()).map_err(|refusal| refusal.code())
    };
    assert_eq!(admit(&active, false), Ok(Admission::Admitted));
    for (status, expected) in [
        (CertificateStatus::Inactive, Err("fleet.admission.inactive")),
        (CertificateStatus::Revoked, Err("fleet.admission.revoked")),
        (
            CertificateStatus::PendingTransfer,
            Err("fleet.admission.transfer"),
        ),
        (CertificateStatus::PendingActivation, Ok(Admission::Onboard)),
    ] {
        assert_eq!(
            admit(
                &DeviceCertificate {
                    status,
                    ..active.clone()
                },
                true
            ),
            expected
        );
    }
    let orphan = DeviceCertificate {
        ca: None,
        status: CertificateStatus::PendingActivation,
        ..active.clone()
    };
    assert_eq!(admit(&orphan, true), Err("fleet.admission.pending"));
    let sni_only = DeviceCertificate {
        mode: CertificateMode::SniOnly,
        ..active.clone()
    };
    assert_eq!(admit(&sni_only, false), Err("fleet.admission.sni"));
    assert_eq!(admit(&sni_only, true), Ok(Admission::Admitted));
    let expired = DeviceCertificate {
        not_after: NOW.plus_millis(-1),
        ..active.clone()
    };
    assert_eq!(admit(&expired, true), Err("fleet.certificate.expired"));
    let young = DeviceCertificate {
        not_before: NOW.plus_millis(1),
        ..active
    };
    assert_eq!(admit(&young, true), Err("fleet.certificate.not_yet_valid"));
    assert_eq!(Tenant::default(), call().tenant);
}
