//! The store under a knife: cut at every byte, changed at every byte, used from two sides.

use std::fs;
use std::vec::Vec;

use tempfile::TempDir;

use super::*;
use crate::attribute::AttributeKind as A;
use crate::limits::PIN_TRIES_MAX;

const OFFICER_PIN: &[u8] = b"officer's";
const USER_PIN: &[u8] = b"user's";
const CURVE: &[u8] = &[0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];

fn flag(kind: A, flag: bool) -> Attribute<'static> {
    Attribute {
        kind,
        value: Value::Flag(flag),
    }
}

fn bytes(kind: A, bytes: &[u8]) -> Attribute<'_> {
    Attribute {
        kind,
        value: Value::bytes(bytes),
    }
}

/// A token with both PINs and the user logged in.
fn token() -> (TempDir, Flash) {
    let folder = tempfile::tempdir().unwrap();
    let mut flash = Flash::new(&folder.path().join("token"));
    flash.init_token(OFFICER_PIN, "one").unwrap();
    flash.login(User::SecurityOfficer, OFFICER_PIN).unwrap();
    flash.init_pin(USER_PIN).unwrap();
    flash.logout();
    flash.login(User::User, USER_PIN).unwrap();
    (folder, flash)
}

fn generate(flash: &mut Flash, label: &str) -> Place {
    let public = [flag(A::Token, true), bytes(A::EcParams, CURVE)];
    let private = [flag(A::Token, true), bytes(A::Label, label.as_bytes())];
    flash.generate_pair(&public, &private).unwrap().1
}

fn count(flash: &mut Flash) -> Result<usize, Error> {
    flash.load().map(|contents| contents.objects.len())
}

fn again(flash: &Flash) -> Flash {
    Flash::new(&flash.folder)
}

fn journal_of(flash: &Flash) -> Vec<u8> {
    fs::read(flash.path("journal")).unwrap()
}

#[test]
fn a_key_signs_and_survives_and_is_nowhere_in_the_files() {
    let (_folder, mut flash) = token();
    let place = generate(&mut flash, "key");
    let signature = flash.sign_digest(place, Curve::P256, &[7; 32]).unwrap();
    let key = flash.load().unwrap().objects[0].public_key().unwrap().clone();
    assert_eq!(software::verify(&key, &[7; 32], &signature), Ok(()));
    let pkcs8 = flash.key(place, Curve::P256).unwrap().to_pkcs8v1().unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(signing(Curve::P256).unwrap(), pkcs8.as_ref()).unwrap();
    use aws_lc_rs::encoding::{AsBigEndian, EcPrivateKeyBin};
    let scalar: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().unwrap();
    let files = [journal_of(&flash), fs::read(flash.path("pins")).unwrap()].concat();
    assert!(
        !files
            .windows(8)
            .any(|window| scalar.as_ref().windows(8).any(|secret| secret == window))
    );

    let mut other = again(&flash);
    assert_eq!(count(&mut other), Ok(2));
    let place = *other.state().unwrap().objects.last_key_value().unwrap().0;
    assert_eq!(
        other.sign_digest(place, Curve::P256, &[7; 32]),
        Err(Error::UserNotLoggedIn)
    );
    other.login(User::User, USER_PIN).unwrap();
    assert!(other.sign_digest(place, Curve::P256, &[7; 32]).is_ok());
    other.logout();
    assert_eq!(
        other.sign_digest(place, Curve::P256, &[7; 32]),
        Err(Error::UserNotLoggedIn)
    );
}

#[test]
fn cut_anywhere_in_the_last_commit_the_token_is_as_before_it_and_goes_on() {
    let (_folder, mut flash) = token();
    generate(&mut flash, "first");
    let before = journal_of(&flash).len();
    generate(&mut flash, "second");
    let whole = journal_of(&flash);
    for length in before..whole.len() {
        fs::write(flash.path("journal"), &whole[..length]).unwrap();
        assert_eq!(count(&mut again(&flash)), Ok(2), "cut at {length}");
        // The same with a file that grew before its bytes came.
        let mut zeros = whole[..length].to_vec();
        zeros.resize(whole.len(), 0);
        if whole.len() - length >= 32 && length - before >= 8 || length == before {
            fs::write(flash.path("journal"), &zeros).unwrap();
            assert_eq!(count(&mut again(&flash)), Ok(2), "zeros from {length}");
        }
    }
    // The next writer takes the torn end away.
    fs::write(flash.path("journal"), &whole[..whole.len() - 5]).unwrap();
    let mut writer = again(&flash);
    writer.refresh().unwrap();
    writer.login(User::User, USER_PIN).unwrap();
    generate(&mut writer, "third");
    assert_eq!(count(&mut again(&flash)), Ok(4));
}

#[test]
fn no_byte_of_the_journal_can_be_changed() {
    let (_folder, mut flash) = token();
    generate(&mut flash, "key");
    let whole = journal_of(&flash);
    for index in 0..whole.len() {
        let mut changed = whole.clone();
        changed[index] ^= 1 << (index % 8);
        fs::write(flash.path("journal"), changed).unwrap();
        assert!(count(&mut again(&flash)).is_err(), "byte {index}");
    }
}

#[test]
fn whoever_mends_the_sums_is_found_at_the_next_login() {
    let (_folder, mut flash) = token();
    generate(&mut flash, "key");
    let whole = journal_of(&flash);
    let frames = journal::scan(&mut File::open(flash.path("journal")).unwrap(), 0, journal::START).unwrap();
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
    fs::write(flash.path("journal"), [&whole[..start], &frame].concat()).unwrap();
    let mut other = again(&flash);
    assert_eq!(count(&mut other), Ok(2), "nobody has the keys yet");
    assert_eq!(other.login(User::User, USER_PIN), Err(CHANGED));
    // A process that is logged in sees it at once.
    assert_eq!(
        flash.load().map(|_| ()),
        Ok(()),
        "the length is the same: it has read all of this"
    );
    generate_fails(&mut again(&flash));
}

fn generate_fails(flash: &mut Flash) {
    flash.refresh().unwrap();
    assert_eq!(flash.create(&[]), Err(Error::TemplateIncomplete));
    let certificate = [flag(A::Token, true), Attribute::class(Class::Data)];
    assert_eq!(flash.create(&certificate), Err(Error::UserNotLoggedIn));
}

#[test]
fn wrong_pins_are_counted_across_processes_and_lock() {
    let (_folder, flash) = token();
    let mut last = Ok(());
    for tries in 0..PIN_TRIES_MAX {
        let mut process = again(&flash);
        last = process.login(User::User, b"wrong");
        assert_eq!(last, Err(Error::PinIncorrect), "try {tries}");
    }
    assert!(last.is_err());
    let mut process = again(&flash);
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
    let (_folder, mut writer) = token();
    let mut reader = again(&writer);
    assert_eq!(count(&mut reader), Ok(0));
    let place = generate(&mut writer, "key");
    assert_eq!((reader.changed(), reader.changed()), (Ok(true), Ok(false)));
    assert_eq!(count(&mut reader), Ok(2));
    writer.destroy(place).unwrap();
    assert_eq!(count(&mut reader), Ok(1));
    assert_eq!(writer.destroy(place), Err(Error::ObjectHandleInvalid));
    assert_eq!(reader.init_token(b"wrong", "x"), Err(Error::PinIncorrect));
    reader.init_token(OFFICER_PIN, "two").unwrap();
    assert_eq!(
        (count(&mut writer), writer.status().unwrap().label),
        (Ok(0), "two".into())
    );
    let public = [flag(A::Token, true), bytes(A::EcParams, CURVE)];
    assert_eq!(
        writer.generate_pair(&public, &public[..1]),
        Err(Error::UserNotLoggedIn)
    );
}

#[test]
fn a_private_key_is_what_the_token_says_and_not_what_a_program_wants() {
    let (_folder, mut flash) = token();
    let public = [flag(A::Token, true), bytes(A::EcParams, CURVE)];
    for wish in [
        flag(A::Extractable, true),
        flag(A::Sensitive, false),
        flag(A::Decrypt, true),
    ] {
        let error = flash
            .generate_pair(&public, &[flag(A::Token, true), wish])
            .unwrap_err();
        assert_eq!(error.number(), 0x0D1, "{error}");
    }
    let read_only = flash.generate_pair(&public, &[flag(A::Local, true)]);
    assert_eq!(read_only, Err(Error::AttributeReadOnly));
    let p521 = [
        flag(A::Token, true),
        bytes(A::EcParams, &[0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x23]),
    ];
    assert_eq!(
        flash.generate_pair(&p521, &public[..1]),
        Err(Error::CurveNotSupported)
    );
    let place = generate(&mut flash, "key");
    let contents = flash.load().unwrap();
    let object = contents
        .objects
        .iter()
        .find(|object| object.place == place)
        .unwrap();
    assert!(object.is_private());
    for (kind, value) in [
        (A::Sensitive, true),
        (A::Extractable, false),
        (A::NeverExtractable, true),
        (A::Local, true),
        (A::Sign, true),
    ] {
        assert_eq!(object.attribute(kind), Ok(Value::Flag(value)), "{kind:?}");
    }
    assert_eq!(
        object.attribute(A::Value),
        Err(Error::AttributeSensitive(A::Value))
    );
    assert_eq!(object.label(), "key");
}

#[test]
fn keys_certificates_and_bytes_come_from_outside() {
    let (_folder, mut flash) = token();
    let mut scalar = [0; 32];
    scalar[31] = 1;
    let import = |flash: &mut Flash, scalar: &[u8]| {
        flash.create(&[
            Attribute::class(Class::PrivateKey),
            flag(A::Token, true),
            bytes(A::EcParams, CURVE),
            bytes(A::Value, scalar),
        ])
    };
    let place = import(&mut flash, &scalar).unwrap();
    assert_eq!(
        import(&mut flash, &scalar[30..]).map(|_| ()),
        Ok(()),
        "short numbers are numbers"
    );
    for wrong in [&[0; 32][..], &[0xFF; 32], &[1; 33], &[]] {
        assert_eq!(
            import(&mut flash, wrong).unwrap_err().number(),
            0x013,
            "{wrong:?}"
        );
    }
    let object = flash.load().unwrap().objects.swap_remove(0);
    // The point of the number one is the curve's generator.
    let point = object.public_key().unwrap().ec_point().unwrap()[..5].to_vec();
    assert_eq!(point, [0x04, 0x6B, 0x17, 0xD1, 0xF2]);
    assert_eq!(object.attribute(A::NeverExtractable), Ok(Value::Flag(false)));
    assert!(flash.sign_digest(place, Curve::P256, &[1; 32]).is_ok());
    let garbage = [
        Attribute::class(Class::Certificate),
        flag(A::Token, true),
        bytes(A::Value, b"x"),
    ];
    assert_eq!(flash.create(&garbage).unwrap_err().number(), 0x013);

    let secret = [
        Attribute::class(Class::Data),
        flag(A::Private, true),
        bytes(A::Value, b"a rather secret sentence"),
    ];
    let place = flash.create(&secret).unwrap();
    let value = |flash: &mut Flash| {
        let contents = flash.load().unwrap();
        let object = contents
            .objects
            .into_iter()
            .find(|object| object.place == place)
            .unwrap();
        object.attribute(A::Value).map(Value::into_owned)
    };
    assert_eq!(value(&mut flash), Ok(Value::text("a rather secret sentence")));
    flash.logout();
    assert!(value(&mut flash).is_err());
    assert!(!journal_of(&flash).windows(6).any(|window| window == b"secret"));
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, flash) = token();
    for name in ["journal", "pins", "lock"] {
        let mode = fs::metadata(flash.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let mode = fs::metadata(&flash.folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
