//! CalcHash: SHA-256 over many commands, in the chip or with the state outside in between.

use aws_lc_rs::hmac;

use super::fields::Fields;
use super::{Applet, Worked};
use crate::code::Code;
use crate::metadata;
use crate::objects::Kind;
use crate::sha256::Sha256;
use crate::timing;

const SHA256: u8 = 0xE2;

/// Steps, the low half of the first field's tag.
const START: u8 = 0;
const START_AND_FINISH: u8 = 1;
const CONTINUE: u8 = 2;
const FINISH: u8 = 3;
const TERMINATE: u8 = 4;
const INTERMEDIATE: u8 = 5;

/// In a tag: the message is in an object.
const FROM_OBJECT: u8 = 0x10;

impl Applet {
    pub(super) fn hash(&mut self, param: u8, data: &[u8], out: &mut Vec<u8>) -> Worked {
        if param != SHA256 {
            return Err(Code::InvalidParam);
        }
        let mut fields = Fields::parse(data)?;
        let (tag, value) = fields.take_any(is_step).ok_or(Code::InvalidField)?;
        let (import, export) = (fields.take(0x06), fields.take(0x07));
        fields.finish()?;
        let step = tag & !FROM_OBJECT;
        if !fits(step, value, import, export) {
            return Err(Code::InvalidField);
        }
        let message = if tag & FROM_OBJECT == 0 {
            value.to_vec()
        } else {
            self.object_part(value)?
        };
        let work_us = timing::hash_us(message.len());
        let mut hash = match (step, import) {
            (START | START_AND_FINISH, _) => Box::new(Sha256::new()),
            (TERMINATE, _) => {
                self.hash = None;
                return Ok(work_us);
            }
            (_, Some(context)) => {
                let imported = Sha256::import(context, |bytes| self.seal(bytes));
                Box::new(imported.ok_or(Code::InvalidField)?)
            }
            (_, None) => self.hash.take().ok_or(Code::OutOfSequence)?,
        };
        hash.update(&message);
        if matches!(step, START_AND_FINISH | FINISH | INTERMEDIATE) {
            out.extend_from_slice(&[0x01, 0, 32]);
            out.extend_from_slice(&Sha256::clone(&hash).finish());
        }
        if export.is_some() {
            let context = hash.export(|bytes| self.seal(bytes));
            out.extend_from_slice(&[0x06, 0, context.len() as u8]);
            out.extend_from_slice(&context);
        }
        self.hash = matches!(step, START | CONTINUE | INTERMEDIATE).then_some(hash);
        Ok(work_us)
    }

    /// `OID offset length` of an object that can be read.
    fn object_part(&mut self, place: &[u8]) -> Result<Vec<u8>, Code> {
        let [a, b, c, d, e, f] = *place else {
            return Err(Code::InvalidField);
        };
        let object = self.object(u16::from_be_bytes([a, b]))?;
        if !matches!(object.kind, Kind::Data | Kind::Certificate) {
            return Err(Code::InvalidOid);
        }
        self.permits(object, metadata::READ)?;
        let start = usize::from(u16::from_be_bytes([c, d]));
        let end = start + usize::from(u16::from_be_bytes([e, f]));
        let part = self
            .memory
            .view(object)
            .content
            .get(start..end)
            .ok_or(Code::OutOfBounds)?;
        Ok(part.to_vec())
    }

    fn seal(&self, bytes: &[u8]) -> [u8; 32] {
        let key = self.personality.authority.sealing_key(self.personality.index);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), bytes);
        tag.as_ref().try_into().unwrap_or([0; 32])
    }
}

fn is_step(tag: u8) -> bool {
    tag & !FROM_OBJECT <= INTERMEDIATE
}

/// Whether the parts of the command go together.
fn fits(step: u8, value: &[u8], import: Option<&[u8]>, export: Option<&[u8]>) -> bool {
    let message = match step {
        START_AND_FINISH => !value.is_empty(),
        TERMINATE => value.is_empty(),
        _ => true,
    };
    let import = import.is_none() || matches!(step, CONTINUE | FINISH | INTERMEDIATE);
    let export = match export {
        None => true,
        Some(value) => value.is_empty() && matches!(step, START | CONTINUE),
    };
    message && import && export
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::applet::tests::{Bench, hex};

    const ABC: &str = "01 0020 BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";

    #[test]
    fn one_message_in_one_or_in_many_commands() {
        let mut bench = Bench::new();
        bench.ok("30 E2 0006 01 0003 616263", ABC);
        bench.ok("30 E2 0004 00 0001 61", "");
        bench.ok("30 E2 0004 02 0001 62", "");
        bench.ok("30 E2 0004 05 0001 63", ABC);
        bench.ok("30 E2 0003 03 0000", ABC);
        bench.no("30 E2 0003 03 0000", Code::OutOfSequence);
        bench.no("30 E2 0004 02 0001 62", Code::OutOfSequence);
        bench.ok("30 E2 0003 00 0000", "");
        bench.ok("30 E2 0003 04 0000", "");
        bench.no("30 E2 0003 03 0000", Code::OutOfSequence);
    }

    #[test]
    fn a_message_can_be_in_an_object() {
        let mut bench = Bench::new();
        bench.ok("02 40 0008 F1D0 0000 78616263", "");
        bench.ok("30 E2 0009 11 0006 F1D0 0001 0003", ABC);
        bench.no("30 E2 0009 11 0006 F1D0 0001 0004", Code::OutOfBounds);
        bench.no("30 E2 0009 11 0006 E0F1 0001 0003", Code::InvalidOid);
        bench.ok("02 01 0009 F1D0 0000 20 03 D1 01 FF", "");
        bench.no("30 E2 0009 11 0006 F1D0 0001 0003", Code::AccessDenied);
    }

    #[test]
    fn the_state_can_wait_outside_and_comes_back_only_to_its_own_chip() {
        let mut bench = Bench::new();
        let started = hex(&bench.data("30 E2 0007 00 0001 61 07 0000"));
        assert_eq!(started.len(), 2 * 133);
        bench.ok(
            "30 E2 0004 01 0001 7A",
            &hex(&[&[1, 0, 32][..], &identity::crypto::sha256(b"z")].concat()),
        );
        let continued = hex(&bench.data(&format!("30 E2 008C 02 0001 62 {started} 07 0000")));
        bench.ok(&format!("30 E2 0089 03 0001 63 {continued}"), ABC);
        bench.ok(&format!("30 E2 0089 03 0001 63 {continued}"), ABC);
        let forged = format!("{}00", &continued[..continued.len() - 2]);
        bench.no(&format!("30 E2 0089 03 0001 63 {forged}"), Code::InvalidField);
    }

    #[test]
    fn combinations_that_make_no_sense() {
        let mut bench = Bench::new();
        bench.no("30 E3 0006 01 0003 616263", Code::InvalidParam);
        bench.no("30 E2 0003 01 0000", Code::InvalidField);
        bench.no("30 E2 0004 04 0001 00", Code::InvalidField);
        bench.no("30 E2 0009 01 0003 616263 07 0000", Code::InvalidField);
        bench.no("30 E2 0007 00 0000 07 0001 00", Code::InvalidField);
        bench.no("30 E2 0006 00 0000 06 0000", Code::InvalidField);
        bench.no("30 E2 0006 00 0000 02 0000", Code::InvalidField);
        bench.no("30 E2 0003 07 0000", Code::InvalidField);
        bench.no("30 E2 0003 20 0000", Code::InvalidField);
    }
}
