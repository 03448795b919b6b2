//! The store under a knife: cut at every byte, changed at every byte, used from many sides.

use std::borrow::Cow;
use std::fs;
use std::sync::Arc;
use std::vec::Vec;

use tempfile::TempDir;
use zeroize::Zeroizing;

use super::frame::{self, DAMAGED};
use super::journal::Journal;
use super::seal::{Keys, random_key};
use super::state::CHANGED;
use super::*;
use crate::attribute::{Attribute, AttributeKind as A, Class, Value};
use crate::attributes::Attributes;
use crate::backend::{Backend, Draft, Found, PinState, Place, User};
use crate::error::Error;
use crate::limits::{JOURNAL_SLACK_BYTES, PIN_TRIES_MAX};

const OFFICER_PIN: &[u8] = b"officer's";
const USER_PIN: &[u8] = b"user's";
const SECRET: &[u8] = b"a rather secret sentence";

/// A token with both PINs and the user logged in.
fn token() -> (TempDir, Flash) {
    let folder = tempfile::tempdir().unwrap();
    let flash = Flash::new(&folder.path().join("token"));
    flash.init_token(OFFICER_PIN, "one").unwrap();
    flash.login(User::SecurityOfficer, OFFICER_PIN).unwrap();
    flash.init_pin(USER_PIN).unwrap();
    flash.logout();
    flash.login(User::User, USER_PIN).unwrap();
    (folder, flash)
}

fn draft(label: &str, secret: Option<&[u8]>) -> Draft {
    let all = [
        Attribute::class(Class::Data),
        Attribute::label(label),
        Attribute::new(A::Private, Value::Flag(secret.is_some())),
        Attribute::new(A::Token, Value::Flag(true)),
    ];
    Draft {
        attributes: all.into_iter().map(Attribute::into_owned).collect(),
        secret: secret.map(|secret| Zeroizing::new(secret.to_vec())),
    }
}

/// Keeps something secret.
fn keep(flash: &Flash, label: &str) -> Place {
    flash.keep([draft(label, Some(SECRET))].into()).unwrap()[0].place
}

fn count(flash: &Flash) -> Result<usize, Error> {
    flash.load().map(|contents| contents.objects.len())
}

fn label(found: &Found) -> Vec<u8> {
    found.attributes.bytes(A::Label).unwrap().to_vec()
}

/// Another process.
fn again(flash: &Flash) -> Flash {
    Flash::new(flash.folder())
}

fn journal_of(flash: &Flash) -> Vec<u8> {
    fs::read(flash.folder().join("journal")).unwrap()
}

fn put_journal(flash: &Flash, bytes: &[u8]) {
    fs::write(flash.folder().join("journal"), bytes).unwrap();
}

#[test]
fn a_secret_survives_and_opens_for_the_user_alone_and_is_nowhere_in_the_files() {
    let (_folder, flash) = token();
    let place = keep(&flash, "secret");
    assert_eq!(flash.open_value(place).unwrap().as_slice(), SECRET);
    let files = [journal_of(&flash), fs::read(flash.folder().join("pins")).unwrap()].concat();
    let found = |part: &[u8]| files.windows(part.len()).any(|window| window == part);
    assert!(SECRET.windows(4).all(|part| !found(part)));

    let other = again(&flash);
    let contents = other.load().unwrap();
    let place = contents.objects[0].place;
    assert_eq!(label(&contents.objects[0]), b"secret");
    assert_eq!(other.open_value(place), Err(Error::UserNotLoggedIn));
    other.login(User::SecurityOfficer, OFFICER_PIN).unwrap();
    assert_eq!(other.open_value(place), Err(Error::UserNotLoggedIn));
    other.login(User::User, USER_PIN).unwrap();
    assert_eq!(other.open_value(place).unwrap().as_slice(), SECRET);
    other.logout();
    assert_eq!(other.open_value(place), Err(Error::UserNotLoggedIn));
    assert_eq!(
        other.keep([draft("x", None)].into()).unwrap_err(),
        Error::UserNotLoggedIn
    );
}

#[test]
fn all_kinds_of_values_come_back_as_they_went() {
    let (_folder, flash) = token();
    let lines = [
        Attribute::new(A::Sign, Value::Flag(true)),
        Attribute::new(A::Label, Value::text("inner")),
    ];
    let all = [
        Attribute::class(Class::SecretKey),
        Attribute::new(A::Private, Value::Flag(false)),
        Attribute::new(A::Label, Value::text("")),
        Attribute::new(A::Id, Value::bytes(&[0; 600])),
        Attribute::new(
            A::AllowedMechanisms,
            Value::Numbers(Cow::Borrowed(&[1, u64::MAX])),
        ),
        Attribute::new(A::WrapTemplate, Value::Template(lines.to_vec())),
        Attribute::new(A::BirthmarkSlot, Value::Number(7)),
    ];
    let attributes: Attributes = all.into_iter().map(Attribute::into_owned).collect();
    let draft = Draft {
        attributes: attributes.clone(),
        secret: Some(Zeroizing::new(Vec::new())),
    };
    flash.keep([draft].into()).unwrap();
    let other = again(&flash);
    other.login(User::User, USER_PIN).unwrap();
    let found = other.load().unwrap().objects.remove(0);
    assert_eq!(*found.attributes, attributes);
    assert_eq!(other.open_value(found.place).unwrap().as_slice(), b"");
    let long = Attribute::new(
        A::Label,
        Value::from(std::vec![b'x'; crate::limits::ATTRIBUTE_BYTES_MAX + 1]),
    );
    let refused = flash.change(found.place, &[long]);
    assert_eq!(refused.unwrap_err().number(), 0x013);
}

#[test]
fn cut_anywhere_in_the_last_commit_the_token_is_as_before_it_and_goes_on() {
    let (_folder, flash) = token();
    keep(&flash, "first");
    let before = journal_of(&flash).len();
    flash
        .keep([draft("second", Some(&[7; 1500])), draft("third", None)].into())
        .unwrap();
    let whole = journal_of(&flash);
    for length in before..whole.len() {
        put_journal(&flash, &whole[..length]);
        assert_eq!(count(&again(&flash)), Ok(1), "cut at {length}");
        // The same with a file that grew before its bytes came.
        if length % 64 == 0 {
            let mut zeros = whole[..length].to_vec();
            zeros.resize(whole.len(), 0);
            put_journal(&flash, &zeros);
            assert_eq!(count(&again(&flash)), Ok(1), "zeros from {length}");
        }
    }
    // The next writer begins a new file; a reader who saw the torn one follows.
    put_journal(&flash, &whole[..whole.len() - 5]);
    let (writer, reader) = (again(&flash), again(&flash));
    assert_eq!(count(&reader), Ok(1));
    writer.login(User::User, USER_PIN).unwrap();
    keep(&writer, "fourth");
    assert_eq!((count(&reader), count(&again(&flash))), (Ok(2), Ok(2)));
    keep(&writer, "fifth");
    assert_eq!(count(&reader), Ok(3));
}

#[test]
fn no_byte_of_any_file_can_be_changed() {
    let (_folder, flash) = token();
    keep(&flash, "first");
    keep(&flash, "second");
    let place = keep(&flash, "third");
    flash.destroy(place).unwrap();
    let mut files: Vec<_> = fs::read_dir(flash.folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    files.sort();
    assert_eq!(files, ["journal", "lock", "pins"]);
    assert_eq!(fs::read(flash.folder().join("lock")).unwrap(), b"");
    for name in ["journal", "pins"] {
        let path = flash.folder().join(name);
        let whole = fs::read(&path).unwrap();
        for index in 0..whole.len() {
            for pattern in [1 << (index % 8), whole[index]] {
                let mut changed = whole.clone();
                changed[index] ^= pattern;
                if changed == whole {
                    continue;
                }
                fs::write(&path, &changed).unwrap();
                let other = again(&flash);
                assert!(other.status().is_err(), "byte {index} of {name}");
                let usable = name == "journal" && other.load().is_ok();
                assert!(!usable, "byte {index} of {name}");
                if index % 16 == 0 {
                    assert_ne!(
                        other.login(User::User, USER_PIN),
                        Ok(()),
                        "byte {index} of {name}"
                    );
                }
            }
        }
        fs::write(&path, &whole).unwrap();
        assert_eq!(count(&again(&flash)), Ok(2));
    }
}

/// What somebody can write who has no key but knows this program.
fn forged(flash: &Flash, label: &str) -> Vec<u8> {
    let mut journal = Journal::open(&flash.folder().join("journal")).unwrap().unwrap();
    journal.read(|_| Ok(())).unwrap();
    let attributes = Arc::new(draft(label, None).attributes);
    let record = record::Record::Put(
        [9; 16],
        record::Stored {
            attributes,
            sealed: [].into(),
        },
    );
    let mut body = Vec::new();
    record.write(&mut body);
    let keys = Keys::new([1; 16], random_key().unwrap()).unwrap();
    frame::build(&journal.at, &body, &keys).unwrap().0
}

#[test]
fn whoever_mends_the_sums_is_found_by_whoever_has_a_pin() {
    let (_folder, flash) = token();
    keep(&flash, "key");
    let reader = again(&flash);
    assert_eq!(count(&reader), Ok(1));
    let forged = [journal_of(&flash), forged(&flash, "forged")].concat();
    put_journal(&flash, &forged);
    assert_eq!(count(&reader), Ok(2), "nobody there has the keys");
    // A process that is logged in sees it at once.
    assert_eq!(flash.load().map(|_| ()), Err(CHANGED));
    for (user, pin) in [(User::User, USER_PIN), (User::SecurityOfficer, OFFICER_PIN)] {
        assert_eq!(reader.login(user, pin), Err(CHANGED));
    }
    assert_eq!(
        reader.keep([draft("x", None)].into()).unwrap_err(),
        Error::UserNotLoggedIn
    );
    // Nothing may be added on top of it.
    assert!(flash.keep([draft("x", None)].into()).is_err());
    assert_eq!(journal_of(&flash), forged);
}

#[test]
fn a_sealed_part_of_one_object_does_not_open_in_another() {
    let (_folder, flash) = token();
    let (first, second) = (keep(&flash, "first"), keep(&flash, "second"));
    flash
        .change(second, &[Attribute::label("third").into_owned()])
        .unwrap();
    let known = flash.known();
    let keys = known.keys().unwrap();
    let (first, second) = (known.entry(first).unwrap(), known.entry(second).unwrap());
    let public = |entry: &state::Entry| record::public_bytes(&entry.stored.attributes);
    let opens = |id, public: &[u8], sealed| keys.open(id, public, sealed).unwrap().is_some();
    assert!(opens(&second.id, &public(&second), &second.stored.sealed));
    assert!(!opens(&first.id, &public(&first), &second.stored.sealed));
    assert!(!opens(&second.id, &public(&first), &second.stored.sealed));
}

#[test]
fn wrong_pins_are_counted_across_processes_and_lock() {
    let (_folder, flash) = token();
    for tries in 0..PIN_TRIES_MAX {
        let process = again(&flash);
        let last = process.login(User::User, b"wrong");
        assert_eq!(last, Err(Error::PinIncorrect), "try {tries}");
    }
    let process = again(&flash);
    assert_eq!(process.login(User::User, USER_PIN), Err(Error::PinLocked));
    assert_eq!(process.status().unwrap().user_pin, PinState::Locked);
    // The security officer gives a new one.
    process.login(User::SecurityOfficer, OFFICER_PIN).unwrap();
    process.init_pin(b"another").unwrap();
    assert_eq!(process.status().unwrap().user_pin, PinState::Set);
    process.logout();
    assert_eq!(process.login(User::User, USER_PIN), Err(Error::PinIncorrect));
    assert_eq!(process.status().unwrap().user_pin, PinState::CountLow);
    process.login(User::User, b"another").unwrap();
    assert_eq!(process.status().unwrap().user_pin, PinState::Set);
    process.set_pin(User::User, b"another", USER_PIN).unwrap();
    assert_eq!(
        process.set_pin(User::User, b"another", USER_PIN),
        Err(Error::PinIncorrect)
    );
    assert_eq!(
        process.set_pin(User::User, USER_PIN, b"123"),
        Err(Error::PinLengthRange)
    );
    assert_eq!(process.login(User::User, USER_PIN), Ok(()));
}

#[test]
fn what_one_process_writes_another_sees_and_a_new_token_ends_the_old_login() {
    let (_folder, writer) = token();
    let reader = again(&writer);
    assert_eq!(count(&reader), Ok(0));
    let before = reader.generation().unwrap();
    let place = keep(&writer, "key");
    assert_eq!(reader.generation(), Ok(before + 1));
    assert_eq!(reader.generation(), Ok(before + 1));
    assert_eq!(count(&reader), Ok(1));
    let own = writer.generation().unwrap();
    let found = writer
        .change(place, &[Attribute::label("other").into_owned()])
        .unwrap();
    assert_eq!((found.place, label(&found).as_slice()), (place, &b"other"[..]));
    assert_eq!(writer.generation(), Ok(own + 1));
    assert_eq!(writer.open_value(place).unwrap().as_slice(), SECRET);
    assert_eq!(label(&reader.load().unwrap().objects[0]), b"other");
    writer.destroy(place).unwrap();
    assert_eq!(count(&reader), Ok(0));
    assert_eq!(writer.destroy(place), Err(Error::ObjectHandleInvalid));
    assert_eq!(
        writer.change(place, &[]).map(|_| ()),
        Err(Error::ObjectHandleInvalid)
    );
    assert_ne!(keep(&writer, "key"), place, "places are not used again");

    assert_eq!(reader.init_token(b"wrong", "x"), Err(Error::PinIncorrect));
    reader.init_token(OFFICER_PIN, "two").unwrap();
    assert_eq!(count(&writer), Ok(0));
    assert_eq!(writer.status().unwrap().label, "two");
    let refused = writer.keep([draft("late", None)].into());
    assert_eq!(refused.unwrap_err(), Error::UserNotLoggedIn);
}

#[test]
fn two_processes_write_in_turn_and_change_the_same_object() {
    let (_folder, one) = token();
    let two = again(&one);
    two.login(User::User, USER_PIN).unwrap();
    let place = keep(&one, "shared");
    let theirs = two.load().unwrap().objects[0].place;
    for round in 0..10_u8 {
        let (flash, place) = if round % 2 == 0 {
            (&one, place)
        } else {
            (&two, theirs)
        };
        let id = Attribute::new(A::Id, Value::from(std::vec![round]));
        flash.change(place, &[id]).unwrap();
        keep(flash, "more");
    }
    for flash in [&one, &two, &again(&one)] {
        let found = flash.load().unwrap().objects;
        assert_eq!(found.len(), 11);
        assert_eq!(found[0].attributes.bytes(A::Id), Some(&[9][..]));
    }
    assert_eq!(two.open_value(theirs).unwrap().as_slice(), SECRET);
    one.destroy(place).unwrap();
    assert_eq!(two.destroy(theirs), Err(Error::ObjectHandleInvalid));
}

#[test]
fn many_threads_keep_and_destroy_and_nothing_is_lost() {
    const THREADS: usize = 8;
    const EACH: usize = 12;
    let (_folder, flash) = token();
    let before = flash.generation().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let flash = &flash;
            scope.spawn(move || {
                for number in 0..EACH {
                    let place = keep(flash, &std::format!("{thread}/{number}"));
                    if number % 2 == 0 {
                        flash.destroy(place).unwrap();
                    }
                }
            });
        }
    });
    let commits = (THREADS * EACH * 3 / 2) as u64;
    assert_eq!(flash.generation(), Ok(before + commits));
    for flash in [&flash, &again(&flash)] {
        assert_eq!(count(flash), Ok(THREADS * EACH / 2));
    }
}

#[test]
fn the_journal_stays_small_however_often_objects_come_and_go() {
    let (_folder, flash) = token();
    let (stays, reader) = (keep(&flash, "stays"), again(&flash));
    let theirs = reader.load().unwrap().objects[0].place;
    let mut longest = 0;
    for _ in 0..40 {
        let place = flash.keep([draft("goes", Some(&[1; 60_000]))].into()).unwrap()[0].place;
        flash.destroy(place).unwrap();
        longest = longest.max(journal_of(&flash).len() as u64);
        assert_eq!(count(&reader), Ok(1));
    }
    assert!(longest > JOURNAL_SLACK_BYTES / 2 && longest < JOURNAL_SLACK_BYTES + 200_000);
    assert!(!flash.folder().join("journal.new").exists());
    assert_eq!(flash.open_value(stays).unwrap().as_slice(), SECRET);
    assert_eq!(
        reader.load().unwrap().objects[0].place,
        theirs,
        "places outlive files"
    );
    assert_eq!(count(&again(&flash)), Ok(1));
}

#[test]
fn a_half_written_new_journal_is_nothing() {
    let (_folder, flash) = token();
    keep(&flash, "key");
    fs::write(flash.folder().join("journal.new"), &journal_of(&flash)[..200]).unwrap();
    assert_eq!(count(&again(&flash)), Ok(1));
    for _ in 0..20 {
        let place = flash.keep([draft("goes", Some(&[1; 60_000]))].into()).unwrap()[0].place;
        flash.destroy(place).unwrap();
    }
    assert_eq!(count(&again(&flash)), Ok(1));
}

#[test]
fn a_sealed_token_is_used_and_never_changed() {
    let (folder, flash) = token();
    keep(&flash, "key");
    assert_eq!(flash.end_changes(b"wrong"), Err(Error::PinIncorrect));
    assert!(!again(&flash).status().unwrap().write_protected);
    flash.end_changes(OFFICER_PIN).unwrap();
    let files = || fs::read_dir(flash.folder()).unwrap().count();
    assert_eq!(files(), 1, "the journal is all there is");

    let counters = folder.path().join("counters");
    let sealed = Flash::with_counters(flash.folder(), &counters);
    let status = sealed.status().unwrap();
    assert!(status.write_protected && status.user_pin == PinState::Set);
    assert_eq!(sealed.login(User::User, b"wrong"), Err(Error::PinIncorrect));
    assert_eq!(sealed.status().unwrap().user_pin, PinState::CountLow);
    sealed.login(User::User, USER_PIN).unwrap();
    let place = sealed.load().unwrap().objects[0].place;
    assert_eq!(sealed.open_value(place).unwrap().as_slice(), SECRET);
    let protected = Err(Error::WriteProtected);
    assert_eq!(sealed.keep([draft("x", None)].into()).map(|_| ()), protected);
    assert_eq!(sealed.change(place, &[]).map(|_| ()), protected);
    assert_eq!(sealed.destroy(place), protected);
    assert_eq!(sealed.set_pin(User::User, USER_PIN, b"another"), protected);
    assert_eq!(sealed.init_token(OFFICER_PIN, "x"), protected);
    assert_eq!(sealed.end_changes(OFFICER_PIN), protected);
    sealed.login(User::SecurityOfficer, OFFICER_PIN).unwrap();
    assert_eq!(sealed.init_pin(b"another"), protected);
    assert_eq!(files(), 1, "not even a lock");
    // Without a place for its counters nobody gets in, since nobody counts.
    let error = again(&flash).login(User::User, USER_PIN).unwrap_err();
    assert!(error.to_string().contains("counters"), "{error}");
    assert!(again(&flash).status().unwrap().write_protected);
}

#[test]
fn journals_of_other_forms_and_no_journal_are_told_apart() {
    let (_folder, flash) = token();
    let whole = journal_of(&flash);
    put_journal(
        &flash,
        &[&[0, 0, 1, 0, 0xFF, 0xFF, 0xFE, 0xFF], &[5; 300][..]].concat(),
    );
    let error = again(&flash).load().unwrap_err();
    assert!(error.to_string().contains("form 1"), "{error}");
    for wrong in [&whole[..0], &whole[..63], &whole[..64]] {
        put_journal(&flash, wrong);
        assert!(again(&flash).load().is_err());
    }
    put_journal(&flash, &[]);
    assert_eq!(again(&flash).load().map(|_| ()), Err(DAMAGED));
    fs::remove_file(flash.folder().join("journal")).unwrap();
    let none = again(&flash);
    assert_eq!((count(&none), none.status().unwrap().initialized), (Ok(0), false));
    assert_eq!(none.login(User::User, USER_PIN), Err(Error::NotInitialized));
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, flash) = token();
    for name in ["journal", "pins", "lock"] {
        let mode = fs::metadata(flash.folder().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let mode = fs::metadata(flash.folder()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
