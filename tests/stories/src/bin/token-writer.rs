//! A program that changes a token through the module, over and over, until it is killed. Before and after each change it says
//! so, and whoever killed it can tell what may have happened.
//!
//! Arguments: module, what, PIN, round. What: `pairs`, `objects`, `pins`, `guesses`.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a program that a story runs")]
#![expect(clippy::unwrap_used, reason = "a surprise ends the story")]

use std::io::Write as _;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;

/// prime256v1.
const CURVE: &[u8] = &[0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
/// Nobody waits that long for the kill.
const CHANGES_MAX: u32 = 10_000;

fn main() {
    let [module, what, pin, round]: [String; 4] =
        std::env::args().skip(1).collect::<Vec<_>>().try_into().unwrap();
    let pkcs11 = Pkcs11::new(module).unwrap();
    pkcs11
        .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
        .unwrap();
    let slot = pkcs11.get_slots_with_initialized_token().unwrap()[0];
    let session = pkcs11.open_rw_session(slot).unwrap();
    if what != "guesses" {
        let pin = AuthPin::new(pin.clone().into());
        session.login(UserType::User, Some(&pin)).unwrap();
    }
    say("ready");
    for number in 0..CHANGES_MAX {
        let name = format!("{round}-{number}");
        match what.as_str() {
            "pairs" => pairs(&session, &name),
            "objects" => objects(&session, &name),
            "pins" => pins(&session, &pin, number),
            _ => guess(&session),
        }
    }
}

/// One line, at once.
fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().unwrap();
}

/// A pair is made; every other one is destroyed again, key by key.
fn pairs(session: &Session, name: &str) {
    let label = || Attribute::Label(name.into());
    let public = [
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::EcParams(CURVE.into()),
        label(),
    ];
    let private = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sign(true),
        label(),
    ];
    say(&format!("begin pair {name}"));
    let (public, private) = session
        .generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)
        .unwrap();
    say("done");
    if name.ends_with(['0', '2', '4', '6', '8']) {
        for (half, key) in [("public", public), ("private", private)] {
            say(&format!("begin destroy-{half} {name}"));
            session.destroy_object(key).unwrap();
            say("done");
        }
    }
}

/// Private data are kept; every other one is destroyed again.
fn objects(session: &Session, name: &str) {
    let template = [
        Attribute::Class(ObjectClass::DATA),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Label(name.into()),
        Attribute::Value(name.repeat(20).into()),
    ];
    say(&format!("begin data {name}"));
    let object = session.create_object(&template).unwrap();
    say("done");
    if name.ends_with(['0', '2', '4', '6', '8']) {
        say(&format!("begin destroy-data {name}"));
        session.destroy_object(object).unwrap();
        say("done");
    }
}

/// The PIN is changed to another one and back.
fn pins(session: &Session, pin: &str, number: u32) {
    let other = format!("{pin}-other");
    let (old, new) = if number.is_multiple_of(2) {
        (pin, other.as_str())
    } else {
        (&*other, pin)
    };
    say(&format!("begin pin {new}"));
    let auth = |pin: &str| AuthPin::new(pin.into());
    session.set_pin(&auth(old), &auth(new)).unwrap();
    say("done");
}

/// A wrong PIN is tried.
fn guess(session: &Session) {
    say("begin guess");
    let wrong = AuthPin::new("wrong".into());
    match session.login(UserType::User, Some(&wrong)) {
        Err(Error::Pkcs11(RvError::PinIncorrect, _)) => say("done"),
        Err(Error::Pkcs11(RvError::PinLocked, _)) => {
            say("locked");
            std::process::exit(0);
        }
        other => panic!("{other:?}"),
    }
}
