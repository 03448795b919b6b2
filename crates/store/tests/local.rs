//! The one-machine engine keeps every promise of the conformance suite, survives the loss of its process, and refuses what
//! it must not open.
#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap as the tests do")]

use std::path::{Path, PathBuf};

use fleet::batch::Record;
use fleet::page::PageRequest;
use identity::{Explained as _, Tenant};
use store::conformance::made::{batch, ca, entry, first_connection, id, policy, thing};
use store::conformance::{AttemptPlace, Place};
use store::{AttemptReader, Attempts as _, DataDirectory, LocalAttempts, LocalRecords, Records as _, wait};
use tempfile::TempDir;

struct Local(TempDir);

impl Local {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn directory(&self) -> DataDirectory {
        DataDirectory::open(self.path()).unwrap()
    }
}

impl Place for Local {
    type Records = LocalRecords;

    fn open(&self) -> LocalRecords {
        LocalRecords::open(&self.directory()).unwrap()
    }
}

impl AttemptPlace for Local {
    type Attempts = LocalAttempts;

    fn open(&self) -> LocalAttempts {
        LocalAttempts::open(&self.directory()).unwrap()
    }
}

store::records_conformance!(Local::new);
store::attempts_conformance!(Local::new);

/// Everything that lies in the directory at this moment, as the end of the process or of the power would leave it.
fn snapshot(from: &Path) -> Local {
    let to = Local::new();
    for file in from.read_dir().unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.path().join(file.file_name())).unwrap();
    }
    to
}

fn provisioned(place: &Local) -> usize {
    let records = Place::open(place);
    records.verify_audit().unwrap();
    let page = PageRequest {
        size: 250,
        after: None,
        ascending: true,
    };
    let certificates = wait(records.list_certificates(&Tenant::default(), page))
        .unwrap()
        .items;
    for certificate in &certificates {
        let trust = wait(records.trust(&Tenant::default(), &certificate.id))
            .unwrap()
            .unwrap();
        assert_eq!(
            (trust.policies.len(), trust.things.len()),
            (1, 1),
            "no device is half-provisioned"
        );
    }
    let audit = wait(records.list_audit(&Tenant::default(), page))
        .unwrap()
        .items
        .len();
    assert_eq!(audit, certificates.len(), "each change has its entry");
    certificates.len()
}

#[test]
fn the_end_of_the_process_loses_nothing_that_was_answered() {
    let place = Local::new();
    let records = Place::open(&place);
    wait(records.commit(batch([Record::Ca(ca(1, b"s")), Record::Policy(policy(1))]))).unwrap();
    let mut snapshots = Vec::new();
    for number in 0..40 {
        wait(records.commit(first_connection(100 + number, 1))).unwrap();
        if number % 8 == 7 {
            snapshots.push((number as usize + 1, snapshot(place.path())));
        }
    }
    drop(records);
    for (answered, snapshot) in snapshots {
        assert_eq!(provisioned(&snapshot), answered);
    }
}

#[test]
fn a_torn_log_loses_whole_batches_from_its_end_and_nothing_else() {
    let place = Local::new();
    let records = Place::open(&place);
    wait(records.commit(batch([Record::Ca(ca(1, b"s")), Record::Policy(policy(1))]))).unwrap();
    for number in 0..20 {
        wait(records.commit(first_connection(100 + number, 1))).unwrap();
    }
    let whole = snapshot(place.path());
    let log = |place: &Local| place.path().join("records.sqlite-wal");
    let length = log(&whole).metadata().unwrap().len();
    let mut counts = Vec::new();
    for cut in [1, 100, 4000, 5000, 20_000, 60_000, 100_000] {
        let torn = snapshot(place.path());
        let file = std::fs::OpenOptions::new().write(true).open(log(&torn)).unwrap();
        file.set_len(length.saturating_sub(cut)).unwrap();
        // The index of the log is rebuilt from the log when no process holds it.
        std::fs::remove_file(torn.path().join("records.sqlite-shm")).unwrap();
        counts.push(provisioned(&torn));
    }
    assert!(
        counts.is_sorted_by(|a, b| a >= b) && counts[0] < 20 && counts[6] > 0,
        "{counts:?}"
    );
}

#[test]
fn a_changed_line_of_the_audit_log_is_found() {
    let change = |sql: &str| {
        let place = Local::new();
        let records = Place::open(&place);
        for number in 0..5 {
            let mut changing = batch([Record::Thing(thing(number))]);
            changing.audit.push(entry("made"));
            wait(records.commit(changing)).unwrap();
        }
        assert_eq!(records.verify_audit().unwrap().0, 5);
        drop(records);
        rusqlite::Connection::open(place.path().join("records.sqlite"))
            .unwrap()
            .execute_batch(sql)
            .unwrap();
        Place::open(&place)
            .verify_audit()
            .map(|(lines, _)| lines)
            .map_err(|fault| fault.to_string())
    };
    assert_eq!(change("SELECT 1"), Ok(5));
    for (sql, line) in [
        ("UPDATE audit SET detail = 'x' WHERE number = 3", 3),
        ("UPDATE audit SET at = at + 1 WHERE number = 1", 1),
        ("DELETE FROM audit WHERE number = 2", 2),
        ("UPDATE audit SET number = 6 WHERE number = 5", 5),
        ("UPDATE audit SET hash = zeroblob(32) WHERE number = 4", 4),
    ] {
        let fault = change(sql).unwrap_err();
        assert!(fault.contains(&format!("line {line} ")), "{sql}: {fault}");
    }
}

#[test]
fn each_line_of_the_audit_log_rests_on_all_before_it() {
    let end = |first: &'static str| {
        let place = Local::new();
        let records = Place::open(&place);
        for action in [first, "second", "third"] {
            let mut changing = batch([]);
            changing.audit.push(entry(action));
            wait(records.commit(changing)).unwrap();
        }
        records.verify_audit().unwrap()
    };
    assert_eq!(end("first"), end("first"));
    assert_ne!(end("first"), end("another"));
}

#[test]
fn a_file_from_a_newer_version_is_refused_by_name_and_left_alone() {
    let place = Local::new();
    drop(Place::open(&place));
    drop(AttemptPlace::open(&place));
    for (file, open) in [
        (
            "records.sqlite",
            (|place| LocalRecords::open(&place.directory()).err()) as fn(&Local) -> Option<store::Error>,
        ),
        ("attempts.sqlite", |place| {
            LocalAttempts::open(&place.directory()).err()
        }),
        ("attempts.sqlite", |place| AttemptReader::open(place.path()).err()),
    ] {
        let path = place.path().join(file);
        let database = rusqlite::Connection::open(&path).unwrap();
        let known: i64 = database
            .query_row("SELECT version FROM schema_version", [], |row| row.get(0))
            .unwrap();
        database
            .execute_batch("UPDATE schema_version SET version = 99")
            .unwrap();
        let fault = open(&place).unwrap();
        assert_eq!(fault.code(), "store.newer");
        let text = fault.to_string();
        assert!(
            text.contains(file) && text.contains("99") && text.contains(&format!("newer than {known}")),
            "{text}"
        );
        database
            .execute("UPDATE schema_version SET version = ?1", [known])
            .unwrap();
    }
    drop(Place::open(&place));
}

#[test]
fn what_is_no_database_is_refused() {
    let place = Local::new();
    std::fs::write(
        place.path().join("records.sqlite"),
        "this is not a database, whatever its name says",
    )
    .unwrap();
    let fault = LocalRecords::open(&place.directory()).err().unwrap();
    assert_eq!(fault.code(), "store.database");
}

#[test]
fn one_directory_has_one_holder_and_private_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Local::new();
    let records = Place::open(&place);
    wait(records.commit(batch([Record::Thing(thing(1))]))).unwrap();
    assert_eq!(
        DataDirectory::open(place.path()).unwrap_err().code(),
        "store.locked"
    );
    let files: Vec<PathBuf> = place
        .path()
        .read_dir()
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert!(files.len() >= 3, "database, log, lock: {files:?}");
    for file in files {
        assert_eq!(
            file.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{}",
            file.display()
        );
    }
    drop(records);
    DataDirectory::open(place.path()).unwrap();
}

#[test]
fn attempts_are_readable_beside_the_process_that_writes_them() {
    let place = Local::new();
    let missing = AttemptReader::open(place.path()).err().unwrap();
    assert!(missing.to_string().contains("attempts.sqlite"), "{missing}");
    let attempts = AttemptPlace::open(&place);
    let reader = AttemptReader::open(place.path()).unwrap();
    assert!(reader.newest(&store::Filter::default(), 10).unwrap().is_empty());
    let begin = |number: u8| {
        let mut attempt = fleet::attempt::Attempt::begin(
            fleet::attempt::TraceId([number; 16]),
            fleet::attempt::Kind::Api,
            Tenant::default(),
            identity::UnixMillis(i64::from(number)),
        );
        attempt.accept();
        attempt
    };
    attempts.record(begin(1));
    wait(attempts.flush()).unwrap();
    let first = reader.newest(&store::Filter::default(), 10).unwrap();
    assert_eq!(first.len(), 1);
    attempts.record(begin(2));
    wait(attempts.flush()).unwrap();
    let followed = reader
        .after(&store::Filter::default(), first[0].place, 10)
        .unwrap();
    assert_eq!(
        followed
            .iter()
            .map(|recorded| recorded.attempt.trace.0[0])
            .collect::<Vec<_>>(),
        [2]
    );
    drop(attempts);
    assert_eq!(reader.newest(&store::Filter::default(), 10).unwrap().len(), 2);
    assert_ne!(id(1), id(2));
}

/// A look-up that fails leaves nobody with the moment at which it failed.
#[test]
fn what_was_damaged_and_is_mended_is_seen_without_a_write() {
    let place = Local::new();
    let records = Place::open(&place);
    wait(records.commit(batch([Record::Policy(policy(1)), Record::Thing(thing(1))]))).unwrap();
    wait(records.commit(first_connection(100, 1))).unwrap();
    let looked_up = || wait(records.trust(&Tenant::default(), &id(100)));
    assert!(looked_up().unwrap().is_some());
    let stranger = rusqlite::Connection::open(place.path().join("records.sqlite")).unwrap();
    stranger.pragma_update(None, "legacy_alter_table", true).unwrap();
    stranger
        .execute_batch("ALTER TABLE certificate RENAME TO gone")
        .unwrap();
    // What was looked at is seen until something is written.
    wait(records.commit(batch([Record::Thing(thing(9))]))).unwrap();
    assert!(looked_up().is_err());
    stranger
        .execute_batch("ALTER TABLE gone RENAME TO certificate")
        .unwrap();
    assert!(looked_up().unwrap().is_some());
}
