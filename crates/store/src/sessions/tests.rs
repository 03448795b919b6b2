//! A log is opened, written, cut at any byte and opened again.

use std::sync::mpsc;

use broker::SessionKey;

use super::*;

fn ended(key: u64) -> Record {
    Record::Ended { key: SessionKey(key) }
}

fn frame(keys: &[u64]) -> Frame {
    let mut frame = Frame::default();
    keys.iter().for_each(|key| frame.push(&ended(*key)));
    frame
}

/// Opens a log; gives it, the keys of its records, and what tells of progress.
fn open(directory: &Path, durability: Durability) -> (SessionLog, Vec<u64>, mpsc::Receiver<()>) {
    let (sender, receiver) = mpsc::channel();
    let mut keys = Vec::new();
    let log = SessionLog::open(
        directory,
        durability,
        move || sender.send(()).unwrap_or(()),
        |record| {
            keys.extend(record.session().map(|key| key.0));
            Ok(())
        },
    );
    (log.unwrap(), keys, receiver)
}

fn keys(directory: &Path) -> Vec<u64> {
    open(directory, Durability::Strict).1
}

#[test]
fn what_is_durable_is_there_after_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    for durability in [Durability::Strict, Durability::Relaxed] {
        let directory = folder.path().join(format!("{durability:?}"));
        let (log, found, told) = open(&directory, durability);
        assert_eq!(found, [0_u64; 0]);
        assert!(log.append(&mut frame(&[1, 2]), 2));
        assert!(log.append(&mut frame(&[3]), 3));
        while log.durable() < 3 {
            told.recv().unwrap();
        }
        assert_eq!((log.waiting_bytes(), log.has_failed()), (0, false));
        // As after kill -9: nothing more is written.
        assert_eq!(keys(&directory), [1, 2, 3]);
        drop(log);
        assert_eq!(keys(&directory), [1, 2, 3]);
    }
}

#[test]
fn a_frame_that_a_crash_cut_short_is_cut_off_whole() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path();
    let (log, ..) = open(directory, Durability::Strict);
    assert!(log.append(&mut frame(&[1]), 1));
    assert!(log.append(&mut frame(&[2, 3, 4]), 4));
    drop(log);
    let path = segment::path(directory, 1);
    let whole = fs::read(&path).unwrap();
    let first_end = whole.len() - 8 - frame(&[2, 3, 4]).bytes();
    for end in 0..whole.len() {
        fs::write(&path, whole.get(..end).unwrap()).unwrap();
        let expected: &[u64] = if end < first_end { &[] } else { &[1] };
        let (log, found, _) = open(directory, Durability::Strict);
        assert_eq!(found, expected, "cut at {end}");
        assert!(log.append(&mut frame(&[9]), 1));
        drop(log);
        assert_eq!(
            keys(directory),
            [expected, &[9]].concat(),
            "cut at {end}, written on"
        );
    }
    for at in first_end..whole.len() {
        let mut damaged = whole.clone();
        *damaged.get_mut(at).unwrap() ^= 0x40;
        fs::write(&path, damaged).unwrap();
        assert_eq!(keys(directory), [1], "flipped at {at}");
    }
}

#[test]
fn damage_anywhere_else_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path();
    let (log, ..) = open(directory, Durability::Strict);
    assert!(log.append(&mut frame(&[1]), 1) && log.begin_checkpoint() && log.append(&mut frame(&[2]), 2));
    drop(log);
    assert_eq!(keys(directory), [1, 2], "the checkpoint is not complete");
    let path = segment::path(directory, 1);
    let whole = fs::read(&path).unwrap();
    let check = |bytes: &[u8], expected: &str| {
        fs::write(&path, bytes).unwrap();
        let failure = SessionLog::open(directory, Durability::Strict, || {}, |_| Ok(())).unwrap_err();
        assert!(failure.to_string().contains(expected), "{failure}");
    };
    check(whole.get(..whole.len() - 1).unwrap(), "broken frame");
    check(whole.get(..3).unwrap(), "shorter than its header");
    check(b"something else altogether", "not a session log");
    let mut newer = whole.clone();
    *newer.get_mut(8).unwrap() = 2;
    check(&newer, "newer version");
}

#[test]
fn a_complete_checkpoint_replaces_what_was_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path();
    let (log, ..) = open(directory, Durability::Strict);
    assert!(log.append(&mut frame(&[1]), 1) && log.begin_checkpoint());
    assert!(log.append(&mut frame(&[2]), 2) && log.end_checkpoint() && log.append(&mut frame(&[3]), 3));
    drop(log);
    assert_eq!(segment::numbers(directory).unwrap(), [2]);
    assert_eq!(keys(directory), [2, 3]);
}

#[test]
fn records_that_fit_nowhere_are_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (log, ..) = open(folder.path(), Durability::Strict);
    assert!(log.append(&mut frame(&[1]), 1));
    drop(log);
    let failure = SessionLog::open(
        folder.path(),
        Durability::Strict,
        || {},
        |_| Err(broker::Unfit { message: 7 }),
    );
    assert!(failure.unwrap_err().to_string().contains("message 7"));
}

#[test]
fn a_log_that_cannot_be_written_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _, told) = open(folder.path(), Durability::Strict);
    // The folder goes away beneath it: the next file cannot be made.
    fs::remove_dir_all(folder.path()).unwrap();
    assert!(log.begin_checkpoint());
    told.recv().unwrap();
    assert!(log.has_failed());
    while log.append(&mut frame(&[1]), 1) {
        std::thread::yield_now();
    }
    assert_eq!(log.durable(), 0);
}
