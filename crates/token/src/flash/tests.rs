//! The store under a knife: cut at every byte, changed at every byte, used from two sides.

use std::fs;
use std::vec::Vec;

use tempfile::TempDir;

use identity::key::{Curve, PublicKey};

use super::*;
use crate::attribute::{Attribute, AttributeKind as A, Class, Value};
use crate::crypto::EcPrivate;
use crate::limits::PIN_TRIES_MAX;

const OFFICER_PIN: &[u8] = b"officer's";
const USER_PIN: &[u8] = b"user's";
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

/// A private key as the core describes it.
fn draft(label: &str) -> Draft {
    let key = EcPrivate::generate(Curve::P256).unwrap();
    let attributes = [
        Attribute::class(Class::PrivateKey),
        Attribute::new(A::Private, Value::Flag(true)),
        Attribute::new(A::Label, Value::from(label.as_bytes().to_vec())),
        Attribute::new(A::PublicKeyInfo, Value::from(key.public().spki_der().to_vec())),
    ];
    Draft {
        attributes: attributes.into_iter().collect(),
        secret: Some(key.secret().unwrap()),
    }
}

fn generate(flash: &Flash, label: &str) -> Place {
    flash.keep([draft(label)].into()).unwrap()[0].place
}

fn sign(flash: &Flash, place: Place) -> Result<Vec<u8>, Error> {
    let Key::EcPrivate(key) = flash.open_key(place)? else {
        panic!("another key")
    };
    let mut signature = [0; 64];
    key.sign_digest(&[7; 32], &mut signature)?;
    Ok(signature.to_vec())
}

fn count(flash: &Flash) -> Result<usize, Error> {
    flash.load().map(|contents| contents.objects.len())
}

fn again(flash: &Flash) -> Flash {
    Flash::new(&flash.store().folder)
}

fn journal_of(flash: &Flash) -> Vec<u8> {
    fs::read(flash.store().path("journal")).unwrap()
}

#[test]
fn a_key_signs_and_survives_and_is_nowhere_in_the_files() {
    let (_folder, flash) = token();
    let place = generate(&flash, "key");
    let signature = sign(&flash, place).unwrap();
    let info = flash.load().unwrap().objects[0]
        .attributes
        .bytes(A::PublicKeyInfo)
        .unwrap()
        .to_vec();
    let public = crate::crypto::EcPublic::of(PublicKey::from_spki_der(&info).unwrap(), Curve::P256).unwrap();
    assert_eq!(public.verify_digest(&[7; 32], &signature), Ok(()));
    let Key::EcPrivate(key) = flash.open_key(place).unwrap() else {
        panic!("another key")
    };
    let scalar = key.scalar().unwrap();
    let files = [journal_of(&flash), fs::read(flash.store().path("pins")).unwrap()].concat();
    assert!(
        !files
            .windows(8)
            .any(|window| scalar.windows(8).any(|secret| secret == window))
    );

    let other = again(&flash);
    assert_eq!(count(&other), Ok(1));
    let place = other.load().unwrap().objects[0].place;
    assert_eq!(sign(&other, place), Err(Error::UserNotLoggedIn));
    other.login(User::User, USER_PIN).unwrap();
    assert!(sign(&other, place).is_ok());
    other.logout();
    assert_eq!(sign(&other, place), Err(Error::UserNotLoggedIn));
}

#[test]
fn cut_anywhere_in_the_last_commit_the_token_is_as_before_it_and_goes_on() {
    let (_folder, flash) = token();
    generate(&flash, "first");
    let before = journal_of(&flash).len();
    generate(&flash, "second");
    let whole = journal_of(&flash);
    for length in before..whole.len() {
        fs::write(flash.store().path("journal"), &whole[..length]).unwrap();
        assert_eq!(count(&again(&flash)), Ok(1), "cut at {length}");
        // The same with a file that grew before its bytes came.
        let mut zeros = whole[..length].to_vec();
        zeros.resize(whole.len(), 0);
        if whole.len() - length >= 32 && length - before >= 8 || length == before {
            fs::write(flash.store().path("journal"), &zeros).unwrap();
            assert_eq!(count(&again(&flash)), Ok(1), "zeros from {length}");
        }
    }
    // The next writer takes the torn end away.
    fs::write(flash.store().path("journal"), &whole[..whole.len() - 5]).unwrap();
    let writer = again(&flash);
    writer.login(User::User, USER_PIN).unwrap();
    generate(&writer, "third");
    assert_eq!(count(&again(&flash)), Ok(2));
}

#[test]
fn no_byte_of_the_journal_can_be_changed() {
    let (_folder, flash) = token();
    generate(&flash, "key");
    let whole = journal_of(&flash);
    for index in 0..whole.len() {
        let mut changed = whole.clone();
        changed[index] ^= 1 << (index % 8);
        fs::write(flash.store().path("journal"), changed).unwrap();
        assert!(count(&again(&flash)).is_err(), "byte {index}");
    }
}

#[test]
fn whoever_mends_the_sums_is_found_at_the_next_login() {
    let (_folder, flash) = token();
    generate(&flash, "key");
    let whole = journal_of(&flash);
    let frames = journal::scan(
        &mut File::open(flash.store().path("journal")).unwrap(),
        0,
        journal::START,
    )
    .unwrap();
    // Let the private key be seen without login.
    let (last, kept) = frames.split_last().unwrap();
    let mut body = last.body.clone();
    let needle = [&A::Private.number().to_be_bytes()[..], &[0, 0, 0, 1, 1]].concat();
    let at = body
        .windows(needle.len())
        .position(|window| window == needle)
        .unwrap();
    body[at + needle.len() - 1] = 0;
    let (frame, _) = journal::frame(&last.before, &body).unwrap();
    let start = kept.last().unwrap().end as usize;
    fs::write(flash.store().path("journal"), [&whole[..start], &frame].concat()).unwrap();
    let other = again(&flash);
    assert_eq!(count(&other), Ok(1), "nobody has the keys yet");
    assert_eq!(other.login(User::User, USER_PIN), Err(CHANGED));
    // A process that is logged in sees it at once.
    assert_eq!(
        flash.load().map(|_| ()),
        Ok(()),
        "the length is the same: it has read all of this"
    );
    let nobody = again(&flash);
    assert_eq!(
        nobody.keep([draft("x")].into()).map(|_| ()),
        Err(Error::UserNotLoggedIn)
    );
}

#[test]
fn wrong_pins_are_counted_across_processes_and_lock() {
    let (_folder, flash) = token();
    let mut last = Ok(());
    for tries in 0..PIN_TRIES_MAX {
        let process = again(&flash);
        last = process.login(User::User, b"wrong");
        assert_eq!(last, Err(Error::PinIncorrect), "try {tries}");
    }
    assert!(last.is_err());
    let process = again(&flash);
    assert_eq!(process.login(User::User, USER_PIN), Err(Error::PinLocked));
    assert_eq!(process.status().unwrap().user_pin, PinState::Locked);
    // The security officer gives a new one.
    process.login(User::SecurityOfficer, OFFICER_PIN).unwrap();
    process.init_pin(b"another").unwrap();
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
    let first = reader.generation().unwrap();
    let place = generate(&writer, "key");
    assert_eq!(
        (reader.generation(), reader.generation()),
        (Ok(first + 1), Ok(first + 1))
    );
    assert_eq!(count(&reader), Ok(1));
    writer.destroy(place).unwrap();
    assert_eq!(count(&reader), Ok(0));
    assert_eq!(writer.destroy(place), Err(Error::ObjectHandleInvalid));
    assert_eq!(reader.init_token(b"wrong", "x"), Err(Error::PinIncorrect));
    reader.init_token(OFFICER_PIN, "two").unwrap();
    assert_eq!(
        (count(&writer), writer.status().unwrap().label),
        (Ok(0), "two".into())
    );
    assert_eq!(
        writer.keep([draft("x")].into()).map(|_| ()),
        Err(Error::UserNotLoggedIn)
    );
}

#[test]
fn what_is_sealed_is_told_only_to_the_user() {
    let (_folder, flash) = token();
    let attributes = [
        Attribute::class(Class::Data),
        Attribute::new(A::Private, Value::Flag(true)),
    ];
    let secret = Draft {
        attributes: attributes.into_iter().collect(),
        secret: Some(Zeroizing::new(b"a rather secret sentence".to_vec())),
    };
    let place = flash.keep([secret].into()).unwrap()[0].place;
    assert_eq!(&**flash.open_value(place).unwrap(), b"a rather secret sentence");
    flash.logout();
    assert_eq!(flash.open_value(place), Err(Error::UserNotLoggedIn));
    assert!(!journal_of(&flash).windows(6).any(|window| window == b"secret"));
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, flash) = token();
    for name in ["journal", "pins", "lock"] {
        let mode = fs::metadata(flash.store().path(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let mode = fs::metadata(&flash.store().folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
