//! The line with simulated chips, over real I²C frames: what leaves it, what it refuses, and what it does after a crash.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{cell::Cell, fs, panic, path::Path, sync::Once};

use factory::{
    Error, Factory, Order, Plan, Terms,
    ledger::{self, State},
    line::{Finished, Outcome, Setup},
};
use i2c_bus::{BusDelay, LocalClient};
use identity::{
    UnixMillis,
    certificate::Certificate,
    crypto::{self, SoftwareKey},
    extension::KeyUsage,
    issue::{Profile, Serial, Signer as _, Validity, prepare},
    key::{Curve, KeyKind, SignatureAlgorithm},
    name::Name,
};
use optiga::{Config, KeySlot, Lifecycle, ObjectId, Optiga, WriteMode, identity_format::Certificates};
use optiga_sim::{Behaviour, Faults, Settings, Tray};
use tempfile::TempDir;

const NOW: UnixMillis = UnixMillis::from_seconds(1_795_305_600);

type Driver = Optiga<LocalClient, BusDelay>;

fn driver(tray: &Tray, index: u32) -> Driver {
    let client = tray.bus(index).unwrap().client();
    let delay = client.delay();
    Optiga::new(client, delay, Config::default())
}

fn drivers(tray: &Tray) -> impl Iterator<Item = Driver> {
    (0..tray.chips()).map(|index| driver(tray, index))
}

/// The root of a cloud's server certificate.
fn server_root() -> Certificate {
    let key = SoftwareKey::generate(Curve::P256).unwrap();
    let name = Name::with_common_name("Server Root").unwrap();
    let profile = Profile::root(key.public_key(), &name, Validity::days(NOW, 3_650).unwrap());
    let serial = Serial::from_random([7; 16]);
    prepare(&profile, key.prove(&name).unwrap(), &name, &serial)
        .unwrap()
        .sign(&key)
        .unwrap()
}

fn plan(simulated: bool) -> Plan {
    Plan::new("Example GmbH", simulated, NOW).unwrap()
}

fn order(factory: &mut Factory, count: u64) -> Order {
    factory
        .order(&Terms::new("order-1", "bm-", count, NOW).unwrap(), NOW)
        .unwrap()
}

/// A factory in a directory of its own.
fn factory() -> (TempDir, Factory) {
    let folder = tempfile::tempdir().unwrap();
    let factory = Factory::create(&folder.path().join("factory"), &plan(true), NOW).unwrap();
    (folder, factory)
}

fn run(
    factory: &mut Factory,
    count: u64,
    setup: &Setup,
    chips: impl Iterator<Item = Driver>,
) -> Vec<Finished> {
    let order = order(factory, count);
    let mut all = Vec::new();
    let mut line = factory.line(&order, setup).unwrap();
    let report = line
        .run(chips, &|| NOW, |finished| all.push(finished.clone()))
        .unwrap();
    assert_eq!(
        report.done(),
        all.iter().filter(|finished| finished.outcome.is_done()).count() as u64
    );
    all
}

/// What a chip holds after the line, and that it can no longer be changed.
fn check_chip(tray: &Tray, index: u32, certificate: &Certificate, anchor: &Certificate) {
    let mut chip = driver(tray, index);
    chip.open().unwrap();
    let mut content = [0; 1_800];
    let bytes = chip
        .read_object(ObjectId::CERTIFICATE_1, 0, &mut content)
        .unwrap();
    let chain = Certificates::parse(&content[..bytes])
        .unwrap()
        .collect::<Vec<_>>();
    assert_eq!(chain, [certificate.der()]);
    let bytes = chip.read_object(ObjectId::TRUST_ANCHOR, 0, &mut content).unwrap();
    assert_eq!(&content[..bytes], anchor.der());
    for object in [
        ObjectId::CERTIFICATE_1,
        ObjectId::TRUST_ANCHOR,
        KeySlot::E0F1.object(),
    ] {
        assert_eq!(
            chip.read_metadata(object).unwrap().lifecycle,
            Some(Lifecycle::Operational),
            "{object}"
        );
    }
    assert!(
        chip.write_object(ObjectId::CERTIFICATE_1, WriteMode::Update, 0, &[0])
            .is_err()
    );
    assert!(
        chip.write_object(ObjectId::TRUST_ANCHOR, WriteMode::Update, 0, &[0])
            .is_err()
    );
    let usage = optiga::KeyUsage::SIGN;
    assert!(
        chip.generate_key(KeySlot::E0F1, optiga::Curve::P256, usage)
            .is_err()
    );
    // The key that was certified is the key in the chip.
    let signature = chip
        .sign_digest(KeySlot::E0F1, &crypto::sha256(b"hello"))
        .unwrap();
    let mut room = [0; 128];
    let signature = signature.write_der(&mut room).unwrap();
    crypto::verify(
        certificate.public_key(),
        SignatureAlgorithm::EcdsaSha256,
        b"hello",
        signature,
    )
    .unwrap();
}

#[test]
fn chips_leave_with_their_identity_and_nothing_can_change_it() {
    let (_folder, mut factory) = factory();
    let tray = Tray::memory(10, 1).unwrap();
    let setup = Setup {
        batch_chips: 4,
        ..Setup::new(server_root())
    };
    let all = run(&mut factory, 10, &setup, drivers(&tray));
    assert!(
        all.iter().all(|finished| finished.outcome == Outcome::Made),
        "{all:?}"
    );
    // One signature for each request, and none besides.
    assert_eq!(tray.counters().signatures, 10);

    let order = factory.ledger().order("order-1").unwrap().unwrap();
    assert_eq!(
        (order.intended, order.signed, order.done, order.scrapped),
        (10, 10, 10, 0)
    );
    let units = factory.ledger().units(order.id, 0, 100).unwrap();
    for (index, (unit, finished)) in (0..).zip(units.iter().zip(&all)) {
        assert_eq!(unit.thing.as_str(), format!("bm-{:06}", index + 1));
        assert_eq!(unit.state, State::Done);
        assert_eq!(
            (finished.thing.as_ref(), finished.certificate),
            (Some(&unit.thing), unit.certificate)
        );
        let certificate = factory.ledger().certificate(unit).unwrap().unwrap();
        check_certificate(&certificate, factory.signer(), unit.thing.as_str());
        assert_eq!(certificate.serial(), unit.serial.bytes());
        check_chip(&tray, index, &certificate, &setup.server_root);
    }
    let verified = ledger::verify(factory.path()).unwrap();
    assert_eq!(
        (
            verified.done,
            verified.intended,
            verified.signed,
            verified.torn_bytes
        ),
        (10, 0, 0, 0)
    );
}

fn check_certificate(certificate: &Certificate, signer: &Certificate, thing: &str) {
    assert!(certificate.is_signed_by(signer.public_key()).is_ok());
    assert_eq!(certificate.issuer(), signer.subject());
    assert_eq!(certificate.subject().to_string(), format!("CN={thing}"));
    assert_eq!(certificate.serial().len(), 16);
    assert_eq!(certificate.public_key().kind(), KeyKind::Ec(Curve::P256));
    assert_eq!(certificate.key_usage(), Some(KeyUsage::DIGITAL_SIGNATURE));
    assert!(certificate.extended_key_usage().unwrap().client_auth());
    assert_eq!(certificate.authority_key_id(), signer.subject_key_id());
    assert!(certificate.not_after() >= NOW.plus_years(20) && certificate.not_before() < NOW);
    assert!(certificate.is_simulated() && !certificate.is_ca());
}

#[test]
fn done_chips_are_left_alone() {
    let (_folder, mut factory) = factory();
    let tray = Tray::memory(3, 2).unwrap();
    let setup = Setup::new(server_root());
    let first = run(&mut factory, 3, &setup, drivers(&tray));
    let signatures = tray.counters().signatures;
    let again = run(&mut factory, 3, &setup, drivers(&tray));
    assert!(
        again
            .iter()
            .all(|finished| finished.outcome == Outcome::AlreadyDone)
    );
    let certificates = |all: &[Finished]| {
        all.iter()
            .map(|finished| finished.certificate)
            .collect::<Vec<_>>()
    };
    assert_eq!(certificates(&again), certificates(&first));
    assert_eq!(tray.counters().signatures, signatures);
}

#[test]
fn more_stations_make_the_same() {
    let (_folder, mut factory) = factory();
    let tray = Tray::memory(37, 3).unwrap();
    let setup = Setup {
        batch_chips: 16,
        stations: 4,
        ..Setup::new(server_root())
    };
    let all = run(&mut factory, 37, &setup, drivers(&tray));
    assert!(all.iter().all(|finished| finished.outcome == Outcome::Made));
    let names = all
        .iter()
        .map(|finished| finished.thing.clone().unwrap().to_string())
        .collect::<Vec<_>>();
    assert_eq!(
        names,
        (1..=37)
            .map(|number| format!("bm-{number:06}"))
            .collect::<Vec<_>>()
    );
    assert_eq!(ledger::verify(factory.path()).unwrap().done, 37);
}

#[test]
fn an_order_makes_as_many_as_were_ordered() {
    let (_folder, mut factory) = factory();
    let tray = Tray::memory(5, 4).unwrap();
    let setup = Setup {
        batch_chips: 2,
        ..Setup::new(server_root())
    };
    let all = run(&mut factory, 3, &setup, drivers(&tray));
    let codes = all.iter().map(|finished| match &finished.outcome {
        Outcome::Aside(reason) => reason.code.clone().into_owned(),
        outcome => format!("{outcome:?}"),
    });
    let wanted = [
        "Made",
        "Made",
        "Made",
        "factory.order.complete",
        "factory.order.complete",
    ];
    assert_eq!(codes.collect::<Vec<_>>(), wanted);
    // The two that were left over have not even made a key.
    assert_eq!(tray.counters().signatures, 3);
}

#[test]
fn a_bad_chip_stops_no_other() {
    let (_folder, mut factory) = factory();
    let tray = Tray::memory(6, 5).unwrap();
    // Chip 1 is locked by somebody else, chip 2 loses its power at the first write, chip 4 is not there at all.
    let mut locked = driver(&tray, 1);
    locked.open().unwrap();
    locked
        .write_metadata(KeySlot::E0F1.object(), &optiga::MetadataChange::LOCK)
        .unwrap();
    tray.chip(2).unwrap().lock().unwrap().cut_power_after(0);
    let empty = i2c_bus::LocalBus::virtual_time().client();
    let absent = Optiga::new(empty.clone(), empty.delay(), Config::default());
    let chips = (0..4)
        .map(|index| driver(&tray, index))
        .chain([absent])
        .chain([driver(&tray, 5), driver(&tray, 0)]);
    let setup = Setup::new(server_root());
    let all = run(&mut factory, 100, &setup, chips);
    let code = |index: usize| match &all[index].outcome {
        Outcome::Scrapped(reason) | Outcome::Aside(reason) => reason.code.clone().into_owned(),
        outcome => format!("{outcome:?}"),
    };
    assert_eq!([code(0), code(3), code(5)], ["Made", "Made", "Made"]);
    assert!(
        matches!(&all[1].outcome, Outcome::Scrapped(reason) if reason.code == "chip.refused.access"),
        "{:?}",
        all[1]
    );
    assert!(matches!(&all[2].outcome, Outcome::Aside(_)), "{:?}", all[2]);
    assert_eq!(code(4), "chip.bus.absent");
    assert_eq!(code(6), "factory.chip.twice");

    // What was scrapped stays so; what was set aside may come back.
    let mut power = tray.bus(2).unwrap().client();
    power.line(0x30, i2c_bus::Line::Vdd, false).unwrap();
    power.line(0x30, i2c_bus::Line::Vdd, true).unwrap();
    let again = run(
        &mut factory,
        100,
        &setup,
        [driver(&tray, 1), driver(&tray, 2)].into_iter(),
    );
    assert_eq!(again[0].outcome, all[1].outcome);
    assert_eq!(again[1].outcome, Outcome::Made);
    let verified = ledger::verify(factory.path()).unwrap();
    assert_eq!((verified.done, verified.scrapped), (4, 1));
}

#[test]
fn lost_and_damaged_frames_cost_time_and_nothing_else() {
    let (_folder, mut factory) = factory();
    let faults = Faults {
        lost_in_permille: 20,
        repeated_in_permille: 20,
        ..Faults::default()
    };
    let behaviour = Behaviour {
        faults: Some(faults),
        ..Behaviour::default()
    };
    let tray = Tray::memory_with(
        20,
        6,
        Settings {
            behaviour,
            ..Settings::default()
        },
    )
    .unwrap();
    let all = run(&mut factory, 20, &Setup::new(server_root()), drivers(&tray));
    let aside = all.iter().filter(|finished| !finished.outcome.is_done()).count();
    assert!(aside <= 2, "{all:?}");
    ledger::verify(factory.path()).unwrap();
}

/// What the ledger's files are at some moment.
fn snapshot(path: &Path) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let chosen = files.filter(|file| file.file_name().unwrap().to_str().unwrap().starts_with("ledger"));
    chosen
        .map(|file| {
            (
                file.file_name().unwrap().to_str().unwrap().to_owned(),
                fs::read(&file).unwrap(),
            )
        })
        .collect()
}

fn restore(path: &Path, files: &[(String, Vec<u8>)]) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(path.join(format!("{}{suffix}", ledger::INDEX_FILE)));
    }
    for (name, content) in files {
        fs::write(path.join(name), content).unwrap();
    }
}

/// Lengths of the log after each record.
fn log_ends(log: &[u8]) -> Vec<usize> {
    let mut ends = vec![34];
    while let Some(head) = log
        .get(ends[ends.len() - 1]..)
        .and_then(|rest| rest.first_chunk::<4>())
    {
        ends.push(ends[ends.len() - 1] + 4 + u32::from_be_bytes(*head) as usize + 32);
    }
    ends
}

#[test]
fn after_a_crash_at_any_record_each_chip_gets_exactly_one_certificate() {
    let chips = 3;
    // The log of a whole run of three chips in one batch: intents, certificates, done, behind five records of the beginning.
    for crash_after in 5..=5 + 3 * chips as usize {
        let (_folder, mut factory) = factory();
        let tray = Tray::memory(chips, 7).unwrap();
        let setup = Setup::new(server_root());
        let path = factory.path().to_owned();
        order(&mut factory, 100);
        drop(factory);
        let begun = snapshot(&path);
        let mut factory = Factory::open(&path).unwrap();
        // The whole run happens to the chips; then the disk loses what came after the crash. Chips that were written or locked
        // later than the crash are still those that the ledger must recognise.
        let first = run(&mut factory, 100, &setup, drivers(&tray));
        drop(factory);
        let mut files = snapshot(&path);
        let log = files
            .iter_mut()
            .find(|(name, _)| name == ledger::LOG_FILE)
            .unwrap();
        let end = log_ends(&log.1)[crash_after];
        log.1.truncate(end);
        let log = log.clone();
        let index = begun.iter().filter(|(name, _)| name != ledger::LOG_FILE);
        restore(&path, &index.cloned().chain([log]).collect::<Vec<_>>());

        let mut factory = Factory::open(&path).unwrap();
        let second = run(&mut factory, 100, &setup, drivers(&tray));
        for (index, (finished, before)) in second.iter().zip(&first).enumerate() {
            let (intended, signed, done) = (
                crash_after >= 6 + index,
                crash_after >= 9 + index,
                crash_after >= 12 + index,
            );
            let what = format!("crash after record {crash_after}, chip {index}: {finished:?}");
            match (intended, signed, done) {
                (_, _, true) => assert_eq!(finished.outcome, Outcome::AlreadyDone, "{what}"),
                (_, true, _) => assert_eq!(finished.outcome, Outcome::Resumed, "{what}"),
                // The chip was locked by the future that never happened: it cannot take another key or certificate.
                _ => assert!(matches!(finished.outcome, Outcome::Scrapped(_)), "{what}"),
            }
            if signed {
                assert_eq!(finished.certificate, before.certificate, "{what}");
            }
            if intended {
                assert_eq!(finished.thing, before.thing, "{what}");
            }
        }
        let verified = ledger::verify(&path).unwrap();
        assert_eq!((verified.intended, verified.signed), (0, 0));
        assert_eq!(verified.done + verified.scrapped, u64::from(chips));
    }
}

/// A clock that ends the run at its n-th look, as a crash would: nothing behind it happens.
fn stop_at(look: u32) -> impl Fn() -> UnixMillis {
    let looks = Cell::new(0);
    move || {
        looks.set(looks.get() + 1);
        if looks.get() == look {
            panic::panic_any(Crash)
        } else {
            NOW
        }
    }
}

struct Crash;

/// Runs a line that dies at the n-th look at the clock.
fn crash(factory: &mut Factory, setup: &Setup, tray: &Tray, look: u32) {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<Crash>().is_none() {
                hook(info);
            }
        }));
    });
    let terms = order(factory, 100);
    let crashed = panic::catch_unwind(panic::AssertUnwindSafe(|| {
        factory
            .line(&terms, setup)
            .unwrap()
            .run(drivers(tray), &stop_at(look), |_| {})
    }));
    assert!(crashed.is_err());
}

#[test]
fn a_line_that_dies_between_two_steps_goes_on_with_the_same_bytes() {
    // Look 1: before the intents; 2: before the signatures; 3: before done is kept.
    for (look, resumed, names) in [(1, false, 0), (2, true, 4), (3, true, 4)] {
        let (_folder, mut factory) = factory();
        let tray = Tray::memory(4, 8).unwrap();
        let setup = Setup::new(server_root());
        crash(&mut factory, &setup, &tray, look);
        let path = factory.path().to_owned();
        drop(factory);
        let mut factory = Factory::open(&path).unwrap();
        let kept = factory.ledger().units(1, 0, 10).unwrap();
        assert_eq!(kept.len(), names, "look {look}");
        let kept_certificates = kept.iter().map(|unit| unit.certificate).collect::<Vec<_>>();
        let all = run(&mut factory, 100, &setup, drivers(&tray));
        let wanted = if resumed { Outcome::Resumed } else { Outcome::Made };
        for (index, finished) in (0..).zip(&all) {
            assert_eq!(finished.outcome, wanted, "look {look}");
            assert_eq!(
                finished.thing.as_ref().unwrap().as_str(),
                format!("bm-{:06}", index + 1)
            );
            let unit = &factory.ledger().units(1, u64::from(index), 1).unwrap()[0];
            let certificate = factory.ledger().certificate(unit).unwrap().unwrap();
            check_chip(&tray, index, &certificate, &setup.server_root);
            if look == 3 {
                assert_eq!(kept_certificates[index as usize], Some(certificate.id()));
            }
        }
        let verified = ledger::verify(&path).unwrap();
        assert_eq!((verified.done, verified.intended, verified.signed), (4, 0, 0));
    }
}

#[test]
fn a_chip_that_lost_its_certified_key_is_scrapped() {
    let (_folder, mut factory) = factory();
    let tray = Tray::memory(2, 9).unwrap();
    let setup = Setup::new(server_root());
    crash(&mut factory, &setup, &tray, 2);
    let path = factory.path().to_owned();
    drop(factory);
    let mut stolen = driver(&tray, 0);
    stolen.open().unwrap();
    stolen
        .generate_key(KeySlot::E0F1, optiga::Curve::P256, optiga::KeyUsage::SIGN)
        .unwrap();
    let mut factory = Factory::open(&path).unwrap();
    let all = run(&mut factory, 100, &setup, drivers(&tray));
    assert!(matches!(&all[0].outcome, Outcome::Scrapped(reason) if reason.code == "factory.chip.other_key"));
    assert_eq!(all[1].outcome, Outcome::Resumed);
    // No certificate was ever signed for the first.
    assert_eq!(factory.ledger().order("order-1").unwrap().unwrap().signed, 1);
    ledger::verify(&path).unwrap();
}

#[test]
fn simulated_chips_do_not_get_real_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let mut factory = Factory::create(&folder.path().join("f"), &plan(false), NOW).unwrap();
    assert!(!factory.is_simulated());
    let tray = Tray::memory(1, 10).unwrap();
    let all = run(&mut factory, 10, &Setup::new(server_root()), drivers(&tray));
    assert!(matches!(&all[0].outcome, Outcome::Aside(reason) if reason.code == "factory.chip.simulated"));
    assert_eq!(tray.counters().signatures, 0);
}

#[test]
fn trust_anchors_that_do_not_fit_are_refused() {
    let (_folder, mut factory) = factory();
    let order = order(&mut factory, 1);
    let key = SoftwareKey::generate_rsa(4096).unwrap();
    let name = Name::with_common_name("Long Root").unwrap();
    let profile = Profile::root(key.public_key(), &name, Validity::days(NOW, 1).unwrap());
    let serial = Serial::from_random([7; 16]);
    let long = prepare(&profile, key.prove(&name).unwrap(), &name, &serial)
        .unwrap()
        .sign(&key)
        .unwrap();
    assert!(long.der().len() > 1_024);
    assert!(matches!(
        factory.line(&order, &Setup::new(long)),
        Err(Error::TrustAnchor { .. })
    ));
    let verification = factory.verification_certificate(&"ab".repeat(32), NOW).unwrap();
    assert!(matches!(
        factory.line(&order, &Setup::new(verification)),
        Err(Error::TrustAnchor { .. })
    ));
    for setup in [
        Setup {
            batch_chips: 0,
            ..Setup::new(server_root())
        },
        Setup {
            batch_chips: 4_097,
            ..Setup::new(server_root())
        },
        Setup {
            stations: 0,
            ..Setup::new(server_root())
        },
        Setup {
            stations: 257,
            ..Setup::new(server_root())
        },
    ] {
        assert!(matches!(factory.line(&order, &setup), Err(Error::Term { .. })));
    }
}
