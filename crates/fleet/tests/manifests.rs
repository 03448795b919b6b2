//! Manifests: who may sign, what is taken, and who is let in by it.
#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap as the tests do")]

mod fixtures;

use fixtures::{Authority, NOW, call, failed_step, refused};
use fleet::attempt::Trail;
use fleet::batch::{Batch, Key, Record, Write};
use fleet::manifest::{
    Listed, ManifestEntry, ManifestOrder, ManifestProgress, ManifestSigner, gate, intake, signers,
};
use fleet::names::PolicyName;
use fleet::onboarding::{self, Arrival, Facts, Onboarded};
use fleet::record::{Uuid, Versioned};
use fleet::{Call, Decision, Event};
use identity::certificate::Certificate;
use identity::crypto::SoftwareKey;
use identity::issue::Signer as _;
use identity::key::Curve;
use identity::manifest::{Entry, KeyHash, Opened, Segment, Terms, open, seal};
use identity::{CertificateId, Explained as _};

fn versioned<T>(record: T) -> Versioned<T> {
    Versioned { version: 5, record }
}

fn signer_of(key: &SoftwareKey) -> ManifestSigner {
    let document = signers::Document::read(&key.public_key().pem()).unwrap();
    signers::enroll(&call(), &document, "line", &[], None)
        .unwrap()
        .reply
}

fn terms(ca: CertificateId) -> Terms {
    Terms {
        ca,
        count: 3,
        not_before: NOW.plus_days(-1),
        not_after: NOW.plus_days(30),
        per_hour: 2,
    }
}

fn entry(number: u8) -> Entry {
    Entry {
        key: KeyHash([number; 32]),
        certificate: None,
        unit: format!("unit-{number}"),
        thing: None,
        parameters: [("reel".to_owned(), "R7".to_owned())].into(),
    }
}

fn opened(key: &SoftwareKey, sequence: u64, previous: [u8; 32], entries: Vec<Entry>) -> Opened {
    let segment = Segment {
        order: "spring".into(),
        terms: terms(CertificateId([1; 32])),
        sequence,
        previous,
        entries,
    };
    let (line, _) = seal(&segment, key).unwrap();
    open(&line, |_| Some(key.public_key().clone())).unwrap()
}

/// The facts after a batch was kept.
fn after(facts: &intake::Facts, batch: &Batch) -> intake::Facts {
    let mut facts = facts.clone();
    facts.known.clear();
    for write in &batch.writes {
        if let Write::Put {
            record: Record::Resource(kept),
            ..
        } = write
        {
            use fleet::plain::Shape as _;
            if let Some(order) = ManifestOrder::shaped(&kept.body)
                .filter(|_| kept.kind == fleet::resource::Kind::ManifestOrder)
            {
                facts.order = Some(versioned(order));
            }
            if let Some(progress) = ManifestProgress::shaped(&kept.body)
                .filter(|_| kept.kind == fleet::resource::Kind::ManifestProgress)
            {
                facts.progress = Some(versioned(progress));
            }
        }
    }
    facts
}

#[test]
fn signers_are_enrolled_and_revoked_for_ever() {
    let key = SoftwareKey::generate(Curve::P256).unwrap();
    let document = signers::Document::read(&key.public_key().pem()).unwrap();
    let authority = Authority::named("Signer");
    let enrolled = signers::enroll(&call(), &document, "line 1", &[], None).unwrap();
    assert_eq!(enrolled.reply.id, KeyHash::of(key.public_key()).to_string());
    assert_eq!(enrolled.batch.audit[0].action, "manifest.signer.enroll");
    let existing = versioned(enrolled.reply);
    assert!(
        signers::enroll(&call(), &document, "line 1", &[], Some(&existing))
            .unwrap()
            .batch
            .is_empty()
    );
    let revoked = versioned(
        signers::revoke(&call(), &existing.record.id, Some(&existing))
            .unwrap()
            .reply,
    );
    assert!(revoked.record.revoked);
    let again = signers::enroll(&call(), &document, "", &[], Some(&revoked));
    assert_eq!(refused(again).1, "fleet.manifest.signer_revoked");
    assert_eq!(
        refused(signers::revoke(&call(), "x", None)).1,
        "fleet.resource.missing"
    );
    // The CA does not vouch for its own devices.
    let of_ca = signers::Document::read(&authority.certificate.pem()).unwrap();
    let cas = [authority.record(None).record];
    assert_eq!(
        refused(signers::enroll(&call(), &of_ca, "", &cas, None)).1,
        "fleet.manifest.signer_is_ca"
    );
    assert_eq!(
        refused(signers::Document::read("nothing")).1,
        "fleet.manifest.signer_document"
    );
    assert_eq!(
        refused(signers::enroll(&call(), &document, "a\u{1b}[31m", &[], None)).1,
        "fleet.manifest.signer_label"
    );
}

#[test]
fn segments_are_taken_once_and_in_order() {
    let key = SoftwareKey::generate(Curve::P256).unwrap();
    let facts = intake::Facts {
        signer: Some(versioned(signer_of(&key))),
        ..Default::default()
    };
    let first = opened(&key, 1, [0; 32], vec![entry(1), entry(2)]);
    let taken = intake::take(&call(), &first, &facts).unwrap();
    assert_eq!((taken.reply.new, taken.batch.writes.len()), (2, 4));
    let one = after(&facts, &taken.batch);
    // The very same line again changes nothing; another one in its place is refused.
    let again = intake::take(&call(), &first, &one).unwrap();
    assert_eq!((again.reply.known, again.batch.is_empty()), (2, true));
    let code = |opened: &Opened, facts: &intake::Facts| refused(intake::take(&call(), opened, facts)).1;
    assert_eq!(
        code(&opened(&key, 1, [0; 32], vec![entry(9)]), &one),
        "fleet.manifest.replay"
    );
    assert_eq!(
        code(&opened(&key, 3, first.digest, vec![entry(3)]), &one),
        "fleet.manifest.gap"
    );
    assert_eq!(
        code(&opened(&key, 2, [8; 32], vec![entry(3)]), &one),
        "fleet.manifest.gap"
    );
    assert_eq!(
        code(&opened(&key, 2, first.digest, vec![entry(3)]), &facts),
        "fleet.manifest.gap"
    );
    let second = opened(&key, 2, first.digest, vec![entry(3)]);
    let two = after(&one, &intake::take(&call(), &second, &one).unwrap().batch);
    assert_eq!(two.progress.as_ref().unwrap().record.entries, 3);
    // Three were ordered.
    assert_eq!(
        code(&opened(&key, 3, second.digest, vec![entry(4)]), &two),
        "fleet.manifest.quota"
    );
    let twice = opened(&key, 2, first.digest, vec![entry(3), entry(3)]);
    assert_eq!(code(&twice, &one), "fleet.manifest.twice");
    let listed = ManifestEntry {
        entry: entry(3),
        order: "autumn".into(),
        admitted: None,
    };
    let known = intake::Facts {
        known: vec![versioned(listed)],
        ..one.clone()
    };
    assert_eq!(code(&second, &known), "fleet.manifest.twice");
    // Terms and signer of an order never change.
    let mut other = second.clone();
    other.segment.terms.count = 4_000;
    assert_eq!(code(&other, &one), "fleet.manifest.other_terms");
    let stranger = SoftwareKey::generate(Curve::P256).unwrap();
    let foreign = intake::Facts {
        signer: Some(versioned(signer_of(&stranger))),
        ..one.clone()
    };
    assert_eq!(
        code(&opened(&stranger, 2, first.digest, vec![entry(3)]), &foreign),
        "fleet.manifest.other_terms"
    );
    // A signer who is unknown or revoked.
    assert_eq!(
        code(
            &second,
            &intake::Facts {
                signer: None,
                ..one.clone()
            }
        ),
        "fleet.manifest.signer"
    );
    let mut revoked = one.clone();
    revoked.signer.as_mut().unwrap().record.revoked = true;
    assert_eq!(code(&second, &revoked), "fleet.manifest.signer");
}

#[test]
fn items_without_a_sequence_need_an_order_that_was_placed() {
    let key = SoftwareKey::generate(Curve::P256).unwrap();
    let signer = versioned(signer_of(&key));
    let id = signer.record.id.clone();
    let facts = intake::Facts {
        signer: Some(signer.clone()),
        ..Default::default()
    };
    assert_eq!(
        refused(intake::take_items(&call(), "reel", &[entry(1)], &facts)).1,
        "fleet.resource.missing"
    );
    let terms = terms(CertificateId([1; 32]));
    assert_eq!(
        refused(intake::place(&call(), "reel", &id, &terms, None, None)).1,
        "fleet.manifest.signer"
    );
    assert_eq!(
        refused(intake::place(&call(), "a b", &id, &terms, Some(&signer), None)).1,
        "fleet.manifest.terms"
    );
    let placed = intake::place(&call(), "reel", &id, &terms, Some(&signer), None)
        .unwrap()
        .reply;
    let placed = intake::Facts {
        order: Some(versioned(placed)),
        ..facts
    };
    let taken = intake::take_items(&call(), "reel", &[entry(1), entry(2)], &placed).unwrap();
    assert_eq!(taken.reply.new, 2);
    let mut known = after(&placed, &taken.batch);
    known.known = vec![versioned(ManifestEntry {
        entry: entry(1),
        order: "reel".into(),
        admitted: None,
    })];
    let taken = intake::take_items(&call(), "reel", &[entry(1), entry(3)], &known).unwrap();
    assert_eq!((taken.reply.new, taken.reply.known), (1, 1));
    let mut altered = entry(1);
    altered.unit = "another".into();
    assert_eq!(
        refused(intake::take_items(&call(), "reel", &[altered], &known)).1,
        "fleet.manifest.twice"
    );
    let many = [entry(3), entry(4)];
    assert_eq!(
        refused(intake::take_items(&call(), "reel", &many, &known)).1,
        "fleet.manifest.quota"
    );
}

/// A device at a closed gate.
struct Case {
    call: Call,
    leaf: Certificate,
    ca: Versioned<fleet::record::CaCertificate>,
    listed: Option<Listed>,
    trail: Trail,
}

fn case() -> Case {
    let authority = Authority::named("Signer");
    let mut ca = authority.record(Some(fixtures::TEMPLATE));
    ca.record.gated = true;
    let leaf = authority.device("unit-1");
    let key = SoftwareKey::generate(Curve::P256).unwrap();
    let signer = signer_of(&key);
    let listed = Listed {
        entry: versioned(ManifestEntry {
            entry: Entry {
                key: KeyHash::of(leaf.public_key()),
                ..entry(1)
            },
            order: "spring".into(),
            admitted: None,
        }),
        order: Some(versioned(
            intake::place(
                &call(),
                "spring",
                &signer.id,
                &terms(ca.record.id),
                Some(&versioned(signer.clone())),
                None,
            )
            .unwrap()
            .reply,
        )),
        signer: Some(versioned(signer)),
        admitted: 0,
        admitted_this_hour: 0,
    };
    Case {
        call: call(),
        leaf,
        ca,
        listed: Some(listed),
        trail: Trail::default(),
    }
}

impl Case {
    fn run(&mut self) -> Decision<Onboarded> {
        let authorities = [onboarding::Authority::read(self.ca.clone()).unwrap()];
        let arrival = Arrival {
            leaf: &self.leaf,
            named_by_sni: true,
            allow_simulated: false,
        };
        let mut identified =
            onboarding::identify(&self.call, arrival, &authorities, &mut self.trail).unwrap();
        if let Some(key) = identified.listing() {
            assert_eq!(key, KeyHash::of(self.leaf.public_key()));
            identified = identified.with_listed(self.listed.clone());
        }
        let facts = Facts {
            policies: vec![versioned(PolicyName::parse("telemetry").unwrap())],
            ..Facts::default()
        };
        identified
            .decide(&self.call, &facts, Uuid([7; 16]), &mut self.trail)
            .unwrap()
    }

    fn listed(&mut self) -> &mut Listed {
        self.listed.as_mut().unwrap()
    }
}

#[test]
fn a_listed_device_uses_its_entry_up() {
    let mut case = case();
    let id = case.leaf.id();
    let decision = case.run();
    assert!(matches!(
        decision.reply,
        Onboarded::Provisioned { active: true, .. }
    ));
    let key = Key::ManifestEntry(KeyHash::of(case.leaf.public_key()));
    let entry = decision.batch.writes.iter().find_map(|write| match write {
        Write::Put {
            record: Record::ManifestEntry(entry),
            expect,
        } => Some((entry, *expect)),
        _ => None,
    });
    let (entry, expect) = entry.unwrap();
    assert_eq!(
        (entry.admitted, expect),
        (Some(id), fleet::batch::Expect::Version(5))
    );
    assert_eq!(Record::ManifestEntry(entry.clone()).key(), key);
    let tallies: Vec<_> = decision
        .batch
        .tallies
        .iter()
        .map(|tally| (tally.name.as_str(), tally.most))
        .collect();
    assert_eq!(tallies, [("admitted/spring", 3), ("admitted-hourly/spring", 2)]);
    // The same certificate once more, before it was activated: nothing is counted again.
    case.listed().entry.record.admitted = Some(id);
    case.listed().admitted = 3;
    let decision = case.run();
    assert!(matches!(decision.reply, Onboarded::Provisioned { .. }) && decision.batch.tallies.is_empty());
}

#[test]
fn who_is_in_no_manifest_is_refused_and_somebody_is_told() {
    type Change = fn(&mut Case);
    let changes: [(&str, Change); 10] = [
        ("fleet.admission.unlisted", |case| case.listed = None),
        ("fleet.admission.other_ca", |case| case.listed().order = None),
        ("fleet.admission.other_ca", |case| {
            case.listed().order.as_mut().unwrap().record.ca = CertificateId([9; 32]).to_string();
        }),
        ("fleet.admission.signer", |case| case.listed().signer = None),
        ("fleet.admission.signer", |case| {
            case.listed().signer.as_mut().unwrap().record.revoked = true
        }),
        ("fleet.admission.other_certificate", |case| {
            case.listed().entry.record.entry.certificate = Some(CertificateId([9; 32]));
        }),
        ("fleet.admission.used", |case| {
            case.listed().entry.record.admitted = Some(CertificateId([9; 32]))
        }),
        ("fleet.admission.window", |case| case.call.now = NOW.plus_days(31)),
        ("fleet.admission.quota", |case| case.listed().admitted = 3),
        ("fleet.admission.rate", |case| {
            case.listed().admitted_this_hour = 2
        }),
    ];
    for (code, change) in changes {
        let mut case = case();
        change(&mut case);
        let decision = case.run();
        let Onboarded::Unlisted(refusal) = &decision.reply else {
            panic!("{code}: {:?}", decision.reply)
        };
        assert_eq!(refusal.code(), code);
        assert!(
            decision.batch.is_empty() && decision.batch.tallies.is_empty(),
            "{code}"
        );
        assert_eq!(failed_step(&case.trail).as_deref(), Some("manifest.entry"));
        let [
            Event::Unlisted {
                certificate,
                ca,
                code: told,
                ..
            },
        ] = &decision.events[..]
        else {
            panic!("{code}: {:?}", decision.events)
        };
        assert_eq!(
            (*certificate, *ca, *told),
            (case.leaf.id(), case.ca.record.id, code)
        );
    }
}

#[test]
fn an_open_gate_asks_no_manifest() {
    let mut case = case();
    case.ca.record.gated = false;
    case.listed = None;
    assert!(matches!(case.run().reply, Onboarded::Provisioned { .. }));
}

#[test]
fn a_gate_is_turned_and_the_audit_log_says_so() {
    let ca = case().ca;
    let id = ca.record.id;
    assert!(
        gate::turn(&call(), &id, true, Some(&ca))
            .unwrap()
            .batch
            .is_empty()
    );
    let opened = gate::turn(&call(), &id, false, Some(&ca)).unwrap();
    assert_eq!(opened.batch.audit[0].action, "security.ca_gate_off");
    assert_eq!(
        refused(gate::turn(&call(), &id, true, None)).1,
        "fleet.ca.missing"
    );
}

#[test]
fn a_template_names_a_device_by_what_its_manifest_says() {
    let template = fixtures::TEMPLATE.replace(
        r#"{"Ref": "AWS::IoT::Certificate::CommonName"}"#,
        r#"{"Fn::Sub": ["${Birthmark::Manifest::Order}-${Birthmark::Manifest::Unit}-${Birthmark::Manifest::reel}", {}]}"#,
    );
    let mut case = case();
    case.ca.record.gated = false;
    case.ca.record.registration.as_mut().unwrap().template_body = Some(template);
    let Onboarded::Provisioned {
        thing: Some(thing), ..
    } = case.run().reply
    else {
        panic!()
    };
    assert_eq!(thing.as_str(), "spring-unit-1-R7");
    // Nobody lists it: the template cannot be carried out, and the next connection tries again.
    case.listed = None;
    let Onboarded::Failed(refusal) = case.run().reply else {
        panic!()
    };
    assert_eq!(refusal.code(), "fleet.template.manifest");
}

#[test]
fn a_ca_without_proof_is_imported_only_where_nobody_else_is() {
    use fleet::import::{self, Existing, Gathered, Line, Outcome};
    let ca = case().ca.record;
    let line = Line::Ca(ca.clone());
    let facts = |is_alone, existing| import::Facts {
        existing,
        named: Vec::new(),
        is_alone,
    };
    let take = |facts: &import::Facts| {
        let mut gathered = Gathered::new(&call());
        import::add(&call(), &line, facts, &mut gathered).map(|outcome| (outcome, gathered.batch))
    };
    let (outcome, batch) = take(&facts(true, None)).unwrap();
    assert_eq!(
        (outcome, batch.audit[0].action),
        (Outcome::Made, "security.ca_import")
    );
    assert_eq!(refused(take(&facts(false, None))).1, "fleet.import.unproven");
    assert_eq!(
        refused(take(&facts(true, Some(Existing::Claimed)))).1,
        "fleet.import.claimed"
    );
    let known = Existing::Line(Box::new(line.clone()), 3);
    let (outcome, batch) = take(&facts(false, Some(known))).unwrap();
    assert!(outcome == Outcome::Known && batch.is_empty());
}
