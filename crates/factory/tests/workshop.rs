//! A factory as a directory: made once, opened again, never by two, never half.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;

use factory::{Error, Factory, Plan, Terms, ledger};
use identity::{UnixMillis, certificate::Certificate, issue::Validity};

const NOW: UnixMillis = UnixMillis::from_seconds(1_795_305_600);

fn plan() -> Plan {
    Plan::new("Example GmbH", true, NOW).unwrap()
}

#[test]
fn a_factory_is_made_once_and_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep").join("factory");
    assert!(matches!(Factory::open(&path), Err(Error::Missing { .. })));
    assert!(matches!(ledger::orders(&path), Err(Error::Missing { .. })));
    assert!(matches!(ledger::verify(&path), Err(Error::Missing { .. })));
    assert!(!path.exists());
    let factory = Factory::create(&path, &plan(), NOW).unwrap();
    let (root, signer) = (factory.root().clone(), factory.signer().clone());
    assert!(root.is_self_issued() && root.is_signed_by(root.public_key()).is_ok());
    assert!(signer.is_signed_by(root.public_key()).is_ok());
    assert_eq!(signer.issuer(), root.subject());
    assert!(root.is_simulated() && signer.is_simulated());
    assert!(signer.subject().to_string().contains("Example GmbH Signer CA"));
    assert!(signer.not_after() > NOW.plus_years(40));
    drop(factory);
    assert!(matches!(
        Factory::create(&path, &plan(), NOW),
        Err(Error::Exists { .. })
    ));
    let again = Factory::open_or_create(&path, &plan(), NOW).unwrap();
    assert_eq!((again.root(), again.signer()), (&root, &signer));
}

#[cfg(unix)]
#[test]
fn keys_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("factory");
    drop(Factory::create(&path, &plan(), NOW).unwrap());
    let mode = |name: &str| fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(""), 0o700);
    for name in ["root.key.pem", "signer.key.pem", "ledger.log"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    fs::set_permissions(path.join("signer.key.pem"), fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Factory::open(&path), Err(Error::Exposed { .. })));
}

#[test]
fn two_cannot_have_one_factory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("factory");
    let first = Factory::create(&path, &plan(), NOW).unwrap();
    assert!(matches!(Factory::open(&path), Err(Error::Locked { .. })));
    // Questions are answered meanwhile.
    assert_eq!(ledger::orders(&path).unwrap(), []);
    assert_eq!(ledger::verify(&path).unwrap().records, 4);
    drop(first);
    assert!(Factory::open(&path).is_ok());
}

#[test]
fn an_interrupted_making_is_taken_up_and_foreign_directories_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("factory");
    let whole = Factory::create(&path, &plan(), NOW).unwrap();
    let names = [
        "signer.pem",
        "root.pem",
        "ledger.sqlite",
        "ledger.log",
        "signer.key.pem",
        "root.key.pem",
    ];
    drop(whole);
    for name in names {
        fs::remove_file(path.join(name)).unwrap();
        assert!(
            matches!(
                Factory::open(&path),
                Err(Error::Incomplete { .. } | Error::Missing { .. })
            ),
            "{name}"
        );
        if path.join("ledger.log").exists() {
            ledger::verify(&path).unwrap();
        }
    }
    drop(Factory::create(&path, &plan(), NOW).unwrap());
    fs::remove_file(path.join("signer.pem")).unwrap();
    drop(Factory::open_or_create(&path, &plan(), NOW).unwrap());
    ledger::verify(&path).unwrap();

    let foreign = folder.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("thesis.tex"), "years of work").unwrap();
    assert!(matches!(
        Factory::create(&foreign, &plan(), NOW),
        Err(Error::Occupied { .. })
    ));
    assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1);
}

#[test]
fn files_of_two_factories_do_not_mix() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
    drop(Factory::create(&a, &plan(), NOW).unwrap());
    drop(Factory::create(&b, &plan(), NOW).unwrap());
    for name in ["signer.key.pem", "root.pem", "ledger.log"] {
        let own = fs::read(a.join(name)).unwrap();
        fs::copy(b.join(name), a.join(name)).unwrap();
        assert!(
            matches!(Factory::open(&a), Err(Error::Misplaced { .. })),
            "{name}"
        );
        fs::write(a.join(name), own).unwrap();
    }
    assert!(Factory::open(&a).is_ok());
}

#[test]
fn orders_are_found_again_and_keep_their_terms() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("factory");
    let mut factory = Factory::create(&path, &plan(), NOW).unwrap();
    let terms = |name: &str, count| Terms::new(name, &format!("{name}-"), count, NOW).unwrap();
    let first = factory.order(&terms("a", 5), NOW).unwrap();
    let second = factory.order(&terms("b", 5), NOW).unwrap();
    assert_eq!((first.id, second.id), (1, 2));
    drop(factory);
    let mut factory = Factory::open(&path).unwrap();
    let later = Terms::new("a", "a-", 5, NOW.plus_days(3)).unwrap();
    assert_eq!(factory.order(&later, NOW).unwrap(), first);
    assert!(matches!(
        factory.order(&terms("a", 6), NOW),
        Err(Error::OtherTerms { .. })
    ));
    let same_names = Terms {
        prefix: "a-".into(),
        ..terms("c", 5)
    };
    assert!(matches!(
        factory.order(&same_names, NOW),
        Err(Error::Duplicate { .. })
    ));
    let for_ever = Terms {
        validity: Validity::new(NOW, UnixMillis::NO_EXPIRY).unwrap(),
        ..terms("c", 1)
    };
    assert!(matches!(
        factory.order(&for_ever, NOW),
        Err(Error::OutlivesSigner)
    ));
    assert_eq!(ledger::orders(&path).unwrap().len(), 2);
}

#[test]
fn a_registration_code_is_answered_with_a_certificate_that_is_good_for_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut factory = Factory::create(&folder.path().join("factory"), &plan(), NOW).unwrap();
    let code = "66a4e7b8c0d1f2039485766a4e7b8c0d1f2039485766a4e7b8c0d1f203948576";
    let certificate = factory.verification_certificate(code, NOW).unwrap();
    assert_eq!(certificate.subject().to_string(), format!("CN={code}"));
    assert!(certificate.is_signed_by(factory.signer().public_key()).is_ok());
    assert!(certificate.extended_key_usage().is_none() && !certificate.is_ca());
    let days = certificate.not_after().since(certificate.not_before()) / UnixMillis::DAY;
    assert!(days <= 7 && certificate.is_valid_at(NOW));
    let again = factory.verification_certificate(code, NOW).unwrap();
    let keys = |certificate: &Certificate| certificate.public_key().spki_der().to_vec();
    assert_ne!(keys(&again), keys(&certificate));
    assert_ne!(again.serial(), certificate.serial());
    let before = factory.ledger().head();
    for bad in [
        "",
        &code[1..],
        &format!("{code}0"),
        &code.replace('6', "g"),
        "bm-000001",
    ] {
        assert!(
            matches!(
                factory.verification_certificate(bad, NOW),
                Err(Error::RegistrationCode)
            ),
            "{bad}"
        );
    }
    assert_eq!(factory.ledger().head(), before);
    assert_eq!(ledger::verify(factory.path()).unwrap().verifications, 2);
}

#[test]
fn customers_have_printable_names() {
    let named = |name: &str| Plan::new(name, false, NOW).is_ok();
    assert!(named("Bäckerei Söhne") && named(&"ä".repeat(64)));
    assert!(!named("") && !named("a\nb") && !named(&"ä".repeat(65)));
}
