//! A Rust program that uses a token through the crate `cryptoki`: it checks everything itself and says "done".
//!
//! A program of its own, since the module takes its configuration from the environment of the process.
//! Arguments: module, token, PIN, label of the key.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a program that a story runs")]
#![expect(clippy::unwrap_used, reason = "a surprise ends the story")]

use std::thread;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;

/// Signatures of each of two threads.
const SIGNATURES: usize = 10;

fn main() {
    let [module, token, pin, label] = words();
    let pkcs11 = Pkcs11::new(module).unwrap();
    pkcs11
        .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
        .unwrap();
    assert!(pkcs11.get_library_info().unwrap().manufacturer_id() == "Birthmark");
    let slot = slot_with(&pkcs11, &token);
    let session = pkcs11.open_rw_session(slot).unwrap();
    session
        .login(UserType::User, Some(&AuthPin::new(pin.into())))
        .unwrap();
    let (private, public) = pair(&session, &label);
    threads(&pkcs11, slot, private, public);
    let found = session
        .find_objects(&[Attribute::Label(b"nothing".into())])
        .unwrap();
    assert!(found.is_empty());
    // An iterator that is dropped half way ends its search.
    assert!(session.iter_objects(&[]).unwrap().next().is_some());
    assert!(session.iter_objects(&[]).unwrap().count() >= 3);
    let digest = session.digest(&Mechanism::Sha256, b"hello").unwrap();
    let signature = session.sign(&Mechanism::Ecdsa, private, &digest).unwrap();
    session
        .verify(&Mechanism::EcdsaSha256, public, b"hello", &signature)
        .unwrap();
    let wrong = session.verify(&Mechanism::EcdsaSha256, public, b"hullo", &signature);
    assert!(wrong.unwrap_err().to_string().contains("signature"));
    session.close().unwrap();
    pkcs11.finalize().unwrap();
    println!("done");
}

fn words() -> [String; 4] {
    let words: Vec<String> = std::env::args().skip(1).collect();
    words.try_into().unwrap()
}

fn slot_with(pkcs11: &Pkcs11, token: &str) -> Slot {
    let slots = pkcs11.get_slots_with_initialized_token().unwrap();
    let named = |slot: &Slot| pkcs11.get_token_info(*slot).unwrap().label() == token;
    slots.into_iter().find(named).unwrap()
}

/// The private key with this label, and its public half, which has the same id.
fn pair(session: &Session, label: &str) -> (ObjectHandle, ObjectHandle) {
    let one = |template: &[Attribute]| session.find_objects(template).unwrap()[0];
    let label = Attribute::Label(label.into());
    let private = one(&[Attribute::Class(ObjectClass::PRIVATE_KEY), label]);
    let id = session.get_attributes(private, &[AttributeType::Id]).unwrap();
    let public = one(&[Attribute::Class(ObjectClass::PUBLIC_KEY), id[0].clone()]);
    (private, public)
}

/// Two threads, each with a session of its own, sign with the same key at the same time.
fn threads(pkcs11: &Pkcs11, slot: Slot, private: ObjectHandle, public: ObjectHandle) {
    thread::scope(|scope| {
        for name in 0..2 {
            scope.spawn(move || {
                let session = pkcs11.open_ro_session(slot).unwrap();
                for number in 0..SIGNATURES {
                    let message = format!("{name} {number}");
                    let sign = &Mechanism::EcdsaSha256;
                    let signature = session.sign(sign, private, message.as_bytes()).unwrap();
                    session
                        .verify(sign, public, message.as_bytes(), &signature)
                        .unwrap();
                }
            });
        }
    });
}
