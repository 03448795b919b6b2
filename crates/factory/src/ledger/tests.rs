//! The ledger against crashes, clumsy hands and forgers.

use std::{fs, path::PathBuf};

use identity::{
    UnixMillis,
    certificate::Certificate,
    crypto::SoftwareKey,
    issue::{Profile, Serial, prepare},
    key::Curve,
    name::Name,
};
use tempfile::TempDir;

use super::{log::HEADER_BYTES, *};
use crate::{Terms, ca::Hierarchy, ca::Plan};

const NOW: UnixMillis = UnixMillis::from_seconds(1_795_305_600);

/// A ledger in a directory of its own, and the CA that it is about.
struct Fixture {
    folder: TempDir,
    ca: Hierarchy,
    ledger: Option<Ledger>,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = Hierarchy::make(&Plan::new("Example", false, NOW).unwrap()).unwrap();
        Ledger::create(folder.path(), &ca.records, NOW).unwrap();
        let ledger = Ledger::open(folder.path()).unwrap();
        let mut fixture = Self {
            folder,
            ca,
            ledger: Some(ledger),
        };
        fixture.keep(&[Record::Order(Terms::new("order-1", "bm-", 1_000, NOW).unwrap())]);
        fixture
    }

    fn ledger(&mut self) -> &mut Ledger {
        self.ledger.as_mut().unwrap()
    }

    fn keep(&mut self, records: &[Record]) {
        self.ledger().keep(records, NOW).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn close(&mut self) {
        self.ledger = None;
    }

    fn reopen(&mut self) -> Result<(), Error> {
        self.ledger = None;
        self.ledger = Some(Ledger::open(self.folder.path())?);
        Ok(())
    }

    /// An intent and the certificate that follows from it.
    fn device(&mut self, number: u64) -> (Record, Certificate) {
        let serial = self.ledger().draw_serial().unwrap();
        let terms = self.ledger().order("order-1").unwrap().unwrap().terms;
        let thing = terms.thing(number).unwrap();
        let profile = Profile::device(&self.ca.signer, terms.validity).unwrap();
        let subject = Name::with_common_name(thing.as_str()).unwrap();
        let key = SoftwareKey::generate(Curve::P256)
            .unwrap()
            .prove(&subject)
            .unwrap();
        let key_hash = crypto::sha256(key.public_key().spki_der());
        let prepared = prepare(&profile, key, &subject, &serial).unwrap();
        let purpose = Purpose::Device(Device {
            order: 1,
            number,
            uid: uid(number),
            thing,
        });
        let intent = Intent {
            serial,
            key_hash,
            purpose,
            tbs: prepared.to_be_signed().into(),
        };
        (
            Record::Intent(intent),
            prepared.sign(&self.ca.signer_key).unwrap(),
        )
    }

    /// One device all the way.
    fn make(&mut self, number: u64) -> Certificate {
        let (intent, certificate) = self.device(number);
        self.keep(&[intent]);
        self.keep(&[Record::Signed(certificate.clone())]);
        self.keep(&[Record::Done(serial_of(&certificate))]);
        certificate
    }

    fn drop_index(&self) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(self.path(&format!("{INDEX_FILE}{suffix}")));
        }
    }

    /// Where each record ends.
    fn ends(&self) -> Vec<u64> {
        let (mut scan, _) = Scan::open(&self.path(LOG_FILE)).unwrap();
        let mut ends = vec![scan.end().at];
        while let Some(Step::Record { .. }) = scan.next().unwrap() {
            ends.push(scan.end().at);
        }
        ends
    }
}

fn uid(number: u64) -> Uid {
    let mut uid = [0xcd; 27];
    uid[11..19].copy_from_slice(&number.to_be_bytes());
    Uid(uid)
}

fn serial_of(certificate: &Certificate) -> Serial {
    Serial::new(certificate.serial().try_into().unwrap()).unwrap()
}

#[test]
fn what_was_kept_is_there_after_opening_again() {
    let mut fixture = Fixture::new();
    let first = fixture.make(1);
    let (intent, _) = fixture.device(2);
    fixture.keep(&[intent]);
    for drop_index in [false, true] {
        fixture.close();
        if drop_index {
            fixture.drop_index();
        }
        fixture.reopen().unwrap();
        let ledger = fixture.ledger();
        let order = ledger.order("order-1").unwrap().unwrap();
        assert_eq!(
            (order.intended, order.signed, order.done, order.scrapped),
            (2, 1, 1, 0)
        );
        assert_eq!(order.remaining(), 998);
        let units = ledger.units(order.id, 0, 10).unwrap();
        assert_eq!(
            units.iter().map(|unit| unit.state).collect::<Vec<_>>(),
            [State::Done, State::Intended]
        );
        assert_eq!(ledger.certificate(&units[0]).unwrap(), Some(first.clone()));
        assert_eq!(ledger.certificate(&units[1]).unwrap(), None);
        assert_eq!(ledger.units(order.id, 1, 10).unwrap().len(), 1);
        let Some(Chip::Unit(unit)) = ledger.chip(order.id, &uid(2)).unwrap() else {
            panic!("chip 2 is known")
        };
        assert_eq!(unit.thing.as_str(), "bm-000002");
        assert!(ledger.chip(order.id, &uid(3)).unwrap().is_none());
        assert_eq!(ledger.cut_bytes(), 0);
    }
    let verified = verify(fixture.folder.path()).unwrap();
    assert_eq!((verified.intended, verified.signed, verified.done), (1, 0, 1));
    assert_eq!(verified.head, fixture.ledger().head());
}

#[test]
fn nothing_is_kept_twice_and_no_step_is_left_out() {
    let mut fixture = Fixture::new();
    let (intent, certificate) = fixture.device(1);
    let (again, _) = fixture.device(1);
    let (second, other) = fixture.device(2);
    let signed = Record::Signed(certificate.clone());
    let done = Record::Done(serial_of(&certificate));
    let refused = |fixture: &mut Fixture, records: &[Record], wanted: fn(&Error) -> bool| {
        let head = fixture.ledger().head();
        let error = fixture.ledger().keep(records, NOW).unwrap_err();
        assert!(wanted(&error), "{error}");
        assert_eq!(fixture.ledger().head(), head);
    };
    let duplicate: fn(&Error) -> bool = |error| matches!(error, Error::Duplicate { .. });
    let out_of_step: fn(&Error) -> bool = |error| matches!(error, Error::OutOfStep { .. });

    refused(&mut fixture, std::slice::from_ref(&signed), out_of_step);
    refused(&mut fixture, &[intent.clone(), again.clone()], duplicate);
    fixture.keep(std::slice::from_ref(&intent));
    refused(&mut fixture, std::slice::from_ref(&intent), duplicate);
    refused(&mut fixture, std::slice::from_ref(&again), duplicate);
    refused(&mut fixture, std::slice::from_ref(&done), out_of_step);
    // One bad record of a group takes the good ones with it.
    refused(
        &mut fixture,
        &[second.clone(), Record::Signed(other.clone()), done.clone()],
        out_of_step,
    );
    fixture.keep(&[signed.clone(), second, Record::Signed(other)]);
    refused(&mut fixture, &[signed], out_of_step);
    fixture.keep(std::slice::from_ref(&done));
    refused(&mut fixture, &[done], out_of_step);
    refused(
        &mut fixture,
        &[Record::Order(Terms::new("order-1", "x-", 1, NOW).unwrap())],
        duplicate,
    );
    fixture.reopen().unwrap();
    verify(fixture.folder.path()).unwrap();
}

#[test]
fn what_the_log_does_not_hold_the_index_does_not_know() {
    let mut fixture = Fixture::new();
    let (intent, _) = fixture.device(1);
    fixture.ledger().log.break_disk();
    assert!(matches!(
        fixture.ledger().keep(std::slice::from_ref(&intent), NOW),
        Err(Error::File { .. })
    ));
    assert!(fixture.ledger().chip(1, &uid(1)).unwrap().is_none());
    assert!(matches!(
        fixture.ledger().keep(std::slice::from_ref(&intent), NOW),
        Err(Error::Broken)
    ));
    fixture.reopen().unwrap();
    fixture.keep(&[intent]);
    assert!(fixture.ledger().chip(1, &uid(1)).unwrap().is_some());
}

#[test]
fn an_order_ends_with_its_count() {
    let mut fixture = Fixture::new();
    fixture.keep(&[Record::Order(Terms::new("small", "s-", 1, NOW).unwrap())]);
    let in_small = |mut record: Record, number| {
        if let Record::Intent(Intent {
            purpose: Purpose::Device(device),
            ..
        }) = &mut record
        {
            (device.order, device.number) = (2, number);
        }
        record
    };
    let (first, _) = fixture.device(1);
    let (second, _) = fixture.device(2);
    fixture.keep(&[in_small(first, 1)]);
    let over = fixture.ledger().keep(&[in_small(second, 2)], NOW);
    assert!(matches!(over, Err(Error::Duplicate { .. })), "{over:?}");
}

#[test]
fn scrapped_chips_keep_their_reason_and_their_serial_number() {
    let mut fixture = Fixture::new();
    let (intent, certificate) = fixture.device(1);
    fixture.keep(&[intent]);
    let scrap = |number, serial| {
        Record::Scrapped(Scrap {
            order: 1,
            uid: uid(number),
            serial,
            reason: "chip.refused.access: locked".into(),
        })
    };
    fixture.keep(&[scrap(1, Some(serial_of(&certificate))), scrap(2, None)]);
    assert!(fixture.ledger().keep(&[scrap(2, None)], NOW).is_err());
    assert!(
        fixture
            .ledger()
            .keep(&[Record::Signed(certificate)], NOW)
            .is_err()
    );
    fixture.reopen().unwrap();
    let Some(Chip::Unit(unit)) = fixture.ledger().chip(1, &uid(1)).unwrap() else {
        panic!("chip 1 is known")
    };
    assert_eq!(
        (unit.state, unit.reason.as_deref()),
        (State::Scrapped, Some("chip.refused.access: locked"))
    );
    assert!(matches!(
        fixture.ledger().chip(1, &uid(2)),
        Ok(Some(Chip::Scrapped(_)))
    ));
    assert_eq!(verify(fixture.folder.path()).unwrap().scrapped, 2);
}

/// The log after some work, and an index that has seen only the beginning of it.
fn worked() -> (Fixture, Vec<u8>, Vec<u8>, Vec<u64>) {
    let mut fixture = Fixture::new();
    fixture.make(1);
    fixture.close();
    let early_index = fs::read(fixture.path(INDEX_FILE)).unwrap();
    fixture.reopen().unwrap();
    fixture.make(2);
    let (intent, certificate) = fixture.device(3);
    fixture.keep(&[intent]);
    let scrap = Scrap {
        order: 1,
        uid: uid(3),
        serial: Some(serial_of(&certificate)),
        reason: "x: y".into(),
    };
    fixture.keep(&[Record::Scrapped(scrap)]);
    fixture.close();
    let log = fs::read(fixture.path(LOG_FILE)).unwrap();
    let ends = fixture.ends();
    (fixture, early_index, log, ends)
}

#[test]
fn a_log_cut_anywhere_opens_with_every_whole_record() {
    let (mut fixture, early_index, log, ends) = worked();
    let last_three = ends[ends.len() - 4] as usize;
    for cut in last_three..=log.len() {
        let whole = *ends.iter().rfind(|end| **end <= cut as u64).unwrap();
        let near_an_end = ends.iter().any(|end| end.abs_diff(cut as u64) < 2);
        for index in [None, Some(&early_index)] {
            fixture.close();
            fixture.drop_index();
            if let Some(index) = index {
                fs::write(fixture.path(INDEX_FILE), index).unwrap();
            }
            fs::write(fixture.path(LOG_FILE), &log[..cut]).unwrap();
            let audit = verify(fixture.folder.path()).unwrap();
            assert_eq!((audit.head.at, audit.torn_bytes), (whole, cut as u64 - whole));
            // Opening writes to the disk, which costs time; auditing has looked at every byte.
            if near_an_end || cut % 29 == 0 {
                fixture.reopen().unwrap();
                assert_eq!(fixture.ledger().head().at, whole, "cut at {cut}");
                assert_eq!(fixture.ledger().cut_bytes(), cut as u64 - whole);
                assert_eq!(fs::metadata(fixture.path(LOG_FILE)).unwrap().len(), whole);
            }
        }
        // It goes on as if nothing had been.
        if fixture.ledger.is_some() && cut % 58 == 0 {
            let number = fixture.ledger().order("order-1").unwrap().unwrap().intended + 1;
            fixture.make(number);
            fixture.reopen().unwrap();
            verify(fixture.folder.path()).unwrap();
        }
    }
}

#[test]
fn a_log_that_lost_what_its_index_has_seen_is_refused() {
    let (mut fixture, _, log, ends) = worked();
    for cut in [ends[ends.len() - 2] as usize, log.len() - 1, HEADER_BYTES] {
        fs::write(fixture.path(LOG_FILE), &log[..cut]).unwrap();
        assert!(matches!(fixture.reopen(), Err(Error::Tampered { .. })), "{cut}");
        assert!(
            matches!(verify(fixture.folder.path()), Err(Error::Tampered { .. })),
            "{cut}"
        );
        assert_eq!(
            fs::read(fixture.path(LOG_FILE)).unwrap(),
            log[..cut],
            "nothing is written"
        );
    }
}

#[test]
fn every_changed_byte_is_found() {
    let (mut fixture, _, log, ends) = worked();
    let index = fs::read(fixture.path(INDEX_FILE)).unwrap();
    let last = ends[ends.len() - 2] as usize;
    for at in (0..log.len()).step_by(41) {
        let mut changed = log.clone();
        changed[at] ^= 0x10;
        fs::write(fixture.path(LOG_FILE), &changed).unwrap();
        fs::write(fixture.path(INDEX_FILE), &index).unwrap();
        assert!(verify(fixture.folder.path()).is_err(), "byte {at}");
        // Without the index the last record, or the chain value before it, could be the remains of a crash: it is reported,
        // and cut when opened.
        fixture.drop_index();
        match verify(fixture.folder.path()) {
            Ok(audit) => assert!(at >= last - 32 && audit.torn_bytes > 0, "byte {at}"),
            Err(_) => assert!(fixture.reopen().is_err() || at < HEADER_BYTES, "byte {at}"),
        }
    }
}

#[test]
fn deleted_swapped_and_repeated_records_are_found() {
    let (fixture, _, log, ends) = worked();
    let index = fs::read(fixture.path(INDEX_FILE)).unwrap();
    let part = |from: u64, to: u64| &log[from as usize..to as usize];
    let whole = log.len() as u64;
    for record in 0..ends.len() - 2 {
        let (start, end, next) = (ends[record], ends[record + 1], ends[record + 2]);
        for forged in [
            [part(0, start), part(end, whole)].concat(),
            [
                part(0, start),
                part(end, next),
                part(start, end),
                part(next, whole),
            ]
            .concat(),
            [part(0, end), part(start, whole)].concat(),
        ] {
            fs::write(fixture.path(LOG_FILE), &forged).unwrap();
            fs::write(fixture.path(INDEX_FILE), &index).unwrap();
            let found = verify(fixture.folder.path());
            assert!(
                matches!(found, Err(Error::Tampered { .. })),
                "record {record}: {found:?}"
            );
            // Without the index, a break with no two records behind it that belong together could be a crash.
            fixture.drop_index();
            let found = verify(fixture.folder.path());
            let torn = matches!(&found, Ok(audit) if audit.torn_bytes > 0 && record + 4 >= ends.len());
            assert!(
                torn || matches!(found, Err(Error::Tampered { .. })),
                "record {record}: {found:?}"
            );
        }
    }
}

#[test]
fn a_chain_that_was_computed_anew_over_a_lie_is_found() {
    // Somebody who can write the file can also compute hashes; what he cannot compute are signatures.
    let mut fixture = Fixture::new();
    let forger = SoftwareKey::generate(Curve::P256).unwrap();
    let (intent, certificate) = fixture.device(1);
    let Record::Intent(intent) = intent else {
        panic!("an intent")
    };
    let forged = identity::request::assemble(
        certificate.tbs(),
        identity::key::SignatureAlgorithm::EcdsaSha256,
        &forger.sign_digest(&crypto::sha256(certificate.tbs())).unwrap(),
    );
    let forged = Certificate::parse(&forged).unwrap();
    let mut other_key = intent.clone();
    other_key.key_hash = [0; 32];
    let mut number_9 = intent.clone();
    if let Purpose::Device(device) = &mut number_9.purpose {
        device.number = 9;
    }
    // The CA's own signature, on something else than was intended under this serial number.
    let profile = Profile::device(&fixture.ca.signer, Plan::new("x", false, NOW).unwrap().validity).unwrap();
    let subject = Name::with_common_name("bm-666666").unwrap();
    let proven = SoftwareKey::generate(Curve::P256)
        .unwrap()
        .prove(&subject)
        .unwrap();
    let mut own_key = intent.clone();
    own_key.key_hash = crypto::sha256(proven.public_key().spki_der());
    let exchanged = prepare(&profile, proven, &subject, &intent.serial).unwrap();
    let exchanged = exchanged.sign(&fixture.ca.signer_key).unwrap();
    let start = fixture.ledger().head();
    for lie in [
        vec![Record::Intent(own_key), Record::Signed(exchanged)],
        vec![Record::Intent(intent.clone()), Record::Signed(forged)],
        vec![Record::Intent(other_key), Record::Signed(certificate.clone())],
        vec![Record::Intent(number_9)],
        vec![Record::Signed(certificate.clone())],
        vec![Record::Intent(intent.clone()), Record::Intent(intent.clone())],
        vec![Record::Done(intent.serial)],
        vec![Record::Scrapped(Scrap {
            order: 1,
            uid: uid(1),
            serial: Some(intent.serial),
            reason: String::new(),
        })],
    ] {
        let mut bytes = fs::read(fixture.path(LOG_FILE)).unwrap();
        bytes.truncate(start.at as usize);
        lie.iter()
            .fold(start, |end, record| log::push(&mut bytes, end, record, NOW));
        fs::write(fixture.path(LOG_FILE), &bytes).unwrap();
        assert!(
            matches!(verify(fixture.folder.path()), Err(Error::Tampered { .. })),
            "{lie:?}"
        );
    }
}

#[test]
fn files_of_a_newer_version_and_of_another_factory_are_refused() {
    let mut fixture = Fixture::new();
    fixture.close();
    let log = fs::read(fixture.path(LOG_FILE)).unwrap();
    let mut newer = log.clone();
    newer[17] = 2;
    fs::write(fixture.path(LOG_FILE), &newer).unwrap();
    assert!(matches!(fixture.reopen(), Err(Error::Newer { found: 2, .. })));
    let mut other = log.clone();
    other[20] ^= 1;
    fs::write(fixture.path(LOG_FILE), &other).unwrap();
    assert!(matches!(fixture.reopen(), Err(Error::Misplaced { .. })));
    fs::write(fixture.path(LOG_FILE), &log).unwrap();
    fixture.reopen().unwrap();
    fixture.close();
    let index = rusqlite::Connection::open(fixture.path(INDEX_FILE)).unwrap();
    index.pragma_update(None, "user_version", 2).unwrap();
    drop(index);
    assert!(matches!(
        fixture.reopen(),
        Err(Error::Newer {
            found: 2,
            known: 1,
            ..
        })
    ));
    assert!(matches!(orders(fixture.folder.path()), Err(Error::Newer { .. })));
}

#[test]
fn questions_are_answered_whatever_the_index_has_seen() {
    let (fixture, early_index, _, _) = worked();
    let done = || {
        let orders = orders(fixture.folder.path()).unwrap();
        orders
            .iter()
            .map(|order| (order.intended, order.done, order.scrapped))
            .collect::<Vec<_>>()
    };
    assert_eq!(done(), [(3, 2, 1)]);
    fs::write(fixture.path(INDEX_FILE), early_index).unwrap();
    assert_eq!(done(), [(3, 2, 1)]);
    fixture.drop_index();
    assert_eq!(done(), [(3, 2, 1)]);
    assert!(!fixture.path(INDEX_FILE).exists());
}

#[test]
fn files_that_a_killed_process_left_are_read_and_opened() {
    // What a process that is killed leaves: the index with its write-ahead log beside it.
    let mut living = Fixture::new();
    living.make(1);
    for left in [&["", "-wal", "-shm"][..], &["", "-wal"]] {
        let killed = tempfile::tempdir().unwrap();
        let names = left
            .iter()
            .map(|suffix| format!("{INDEX_FILE}{suffix}"))
            .chain([LOG_FILE.into()]);
        for name in names {
            fs::copy(living.path(&name), killed.path().join(&name)).unwrap();
        }
        assert_eq!(verify(killed.path()).unwrap().done, 1, "{left:?}");
        assert_eq!(orders(killed.path()).unwrap()[0].done, 1, "{left:?}");
        let mut ledger = Ledger::open(killed.path()).unwrap();
        assert_eq!(ledger.head(), living.ledger().head());
        let (intent, _) = living.device(2);
        ledger.keep(&[intent], NOW).unwrap();
    }
}

#[test]
fn serial_numbers_rise_over_openings() {
    let mut fixture = Fixture::new();
    let first = serial_of(&fixture.make(1));
    fixture.reopen().unwrap();
    let second = serial_of(&fixture.make(2));
    assert!(first < second);
    assert_ne!(first.bytes()[8..], second.bytes()[8..]);
}
