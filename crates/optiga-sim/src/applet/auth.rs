//! SetAuthScheme, SetAuthMsg and GetAuthMsg: a challenge from the host, signed by a key of the chip.
//!
//! The chip hashes the challenge itself and answers r and s as two bare numbers, unlike CalcSign. A challenge is signed once.
//! Scheme 99, the client of the on-chip DTLS, can be selected, and that is all: its two commands, ProcUpLinkMsg (1A) and
//! ProcDownLinkMsg (1B), are not simulated and are refused with 0A.

use aws_lc_rs::digest;

use super::fields::u16_of;
use super::keys::{AUTHENTICATE, SIGN};
use super::{Applet, Worked};
use crate::code::Code;
use crate::ec::{self, Curve};
use crate::limits::CHALLENGE_BYTES;
use crate::objects::{Kind, Object};
use crate::timing;

/// Scheme: ECDSA over SHA-256 of the challenge.
const ECDSA_SHA256: u8 = 0x91;
/// Scheme: client of a DTLS connection.
const DTLS_CLIENT: u8 = 0x99;
/// SetAuthMsg: the message is a challenge.
const CHALLENGE: u8 = 0x01;
/// GetAuthMsg: the message is the answer to a challenge.
const ANSWER: u8 = 0x02;

/// What SetAuthScheme has selected.
#[derive(Debug)]
pub(super) enum Scheme {
    /// A key that will sign the challenge, and its digest once it has come.
    Challenge {
        key: u16,
        digest: Option<digest::Digest>,
    },
    /// Nothing that this simulator can go on with.
    Dtls,
}

impl Applet {
    pub(super) fn set_scheme(&mut self, param: u8, data: &[u8]) -> Worked {
        let scheme = match (param, data) {
            (ECDSA_SHA256, [_, _]) => {
                let key = u16_of(data)?;
                self.challenge_key(key)?;
                Scheme::Challenge { key, digest: None }
            }
            (DTLS_CLIENT, [a, b, c, d]) => {
                self.challenge_key(u16::from_be_bytes([*a, *b]))?;
                let session = self.session(u16::from_be_bytes([*c, *d]));
                session.ok_or(Code::InvalidOid)?;
                Scheme::Dtls
            }
            (ECDSA_SHA256 | DTLS_CLIENT, _) => return Err(Code::InvalidLength),
            _ => return Err(Code::InvalidParam),
        };
        self.scheme = Some(scheme);
        Ok(timing::REFUSAL_US)
    }

    pub(super) fn set_challenge(&mut self, param: u8, data: &[u8]) -> Worked {
        if param != CHALLENGE {
            return Err(Code::InvalidParam);
        }
        let Some(Scheme::Challenge { digest, .. }) = &mut self.scheme else {
            return Err(Code::OutOfSequence);
        };
        if !CHALLENGE_BYTES.contains(&data.len()) {
            return Err(Code::InvalidField);
        }
        *digest = Some(digest::digest(&digest::SHA256, data));
        Ok(timing::hash_us(data.len()))
    }

    pub(super) fn answer_challenge(
        &mut self,
        param: u8,
        data: &[u8],
        out: &mut Vec<u8>,
        now_us: u64,
    ) -> Worked {
        if param != ANSWER {
            return Err(Code::InvalidParam);
        }
        if !data.is_empty() {
            return Err(Code::InvalidLength);
        }
        let Some(Scheme::Challenge { key, digest }) = &mut self.scheme else {
            return Err(Code::OutOfSequence);
        };
        let (key, digest) = (*key, digest.take().ok_or(Code::OutOfSequence)?);
        // The key may be another one by now, or may not be used any more.
        let object = self.challenge_key(key)?;
        let delay_us = self.count_key_use(object, now_us)?;
        let pair = self.with_key(object, ec::load)?;
        let integers = ec::sign(&pair, Curve::P256, digest.as_ref()).ok_or(Code::Internal)?;
        out.extend_from_slice(&ec::bare(Curve::P256, &integers).ok_or(Code::Internal)?);
        self.counters.signatures += 1;
        Ok(delay_us + timing::SIGN_US)
    }

    /// A key on P-256 that may sign.
    fn challenge_key(&mut self, oid: u16) -> Result<&'static Object, Code> {
        let object = self.key_object(oid)?;
        match (object.kind, self.usable_key(object, AUTHENTICATE | SIGN)?) {
            (Kind::Key | Kind::Session, Curve::P256) => Ok(object),
            _ => Err(Code::InvalidField),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::applet::tests::{Bench, hex};

    const CHALLENGE: &str = "19 01 0010 11111111111111111111111111111111";

    /// r and s as CalcSign would give them.
    fn integers(raw: &[u8]) -> Vec<u8> {
        let mut out = vec![];
        for half in raw.chunks(32) {
            let mut number: Vec<u8> = half.iter().copied().skip_while(|byte| *byte == 0).collect();
            if number[0] & 0x80 != 0 {
                number.insert(0, 0);
            }
            out.extend_from_slice(&[2, number.len() as u8]);
            out.extend_from_slice(&number);
        }
        out
    }

    #[test]
    fn a_challenge_is_hashed_and_signed_once() {
        for key in ["E0F1", "E100"] {
            let mut bench = Bench::new();
            let public = bench.data(&format!("38 03 0009 01 0002 {key} 02 0001 01"))[6..].to_vec();
            bench.ok(&format!("10 91 0002 {key}"), "");
            for _ in 0..20 {
                bench.ok(CHALLENGE, "");
                let raw = bench.data("18 02 0000");
                assert_eq!(raw.len(), 64);
                let hash = digest::digest(&digest::SHA256, &[0x11; 16]);
                assert!(ec::verifies(Curve::P256, &public, hash.as_ref(), &integers(&raw)));
                bench.no("18 02 0000", Code::OutOfSequence);
            }
            assert_eq!(bench.applet.counters.signatures, 20);
        }
    }

    #[test]
    fn steps_in_another_order_are_refused() {
        let mut bench = Bench::new();
        bench.no(CHALLENGE, Code::OutOfSequence);
        bench.no("18 02 0000", Code::OutOfSequence);
        bench.ok("10 91 0002 E0F0", "");
        bench.no("18 02 0000", Code::OutOfSequence);
        bench.ok(CHALLENGE, "");
        // A new scheme and a new opening forget the challenge.
        bench.ok("10 91 0002 E0F0", "");
        bench.no("18 02 0000", Code::OutOfSequence);
        bench.ok(CHALLENGE, "");
        bench.open();
        bench.no("18 02 0000", Code::OutOfSequence);
        bench.no(CHALLENGE, Code::OutOfSequence);
    }

    #[test]
    fn what_a_scheme_and_a_challenge_must_be() {
        let mut bench = Bench::new();
        bench.no("10 92 0002 E0F0", Code::InvalidParam);
        bench.no("10 91 0003 E0F000", Code::InvalidLength);
        bench.no("10 91 0002 E0F1", Code::InvalidOid);
        bench.no("10 91 0002 F1D0", Code::InvalidOid);
        bench.data("38 04 0009 01 0002 E0F1 02 0001 10");
        bench.no("10 91 0002 E0F1", Code::InvalidField);
        bench.data("38 03 0009 01 0002 E0F2 02 0001 20");
        bench.no("10 91 0002 E0F2", Code::Usage);
        bench.ok("10 91 0002 E0F0", "");
        bench.no("19 02 0008 0000000000000000", Code::InvalidParam);
        bench.no("19 01 0007 00000000000000", Code::InvalidField);
        bench.no(&format!("19 01 0101 {}", hex(&[0; 257])), Code::InvalidField);
        bench.ok(&format!("19 01 0100 {}", hex(&[0; 256])), "");
        bench.no("18 01 0000", Code::InvalidParam);
        bench.no("18 02 0001 00", Code::InvalidLength);
        assert_eq!(bench.data("18 02 0000").len(), 64);
    }

    #[test]
    fn a_key_that_may_not_be_used_any_more_does_not_answer() {
        let mut bench = Bench::new();
        bench.data("38 03 0009 01 0002 E0F1 02 0001 10");
        bench.ok("10 91 0002 E0F1", "");
        bench.ok(CHALLENGE, "");
        bench.ok("02 01 0009 E0F1 0000 20 03 D3 01 FF", "");
        bench.no("18 02 0000", Code::AccessDenied);
    }

    #[test]
    fn dtls_can_be_selected_and_goes_no_further() {
        let mut bench = Bench::new();
        bench.ok("10 99 0004 E0F0 E100", "");
        bench.no(CHALLENGE, Code::OutOfSequence);
        bench.no("1A 01 0009 E100 31 0004 5BF00000", Code::InvalidCommand);
        bench.no("1B 02 0005 E100 61 0000", Code::InvalidCommand);
        bench.no("10 99 0004 E0F0 E104", Code::InvalidOid);
        bench.no("10 99 0002 E0F0", Code::InvalidLength);
    }
}
