//! GenKeyPair and CalcSign: keys that are born in the chip, and what they sign.

use super::fields::Fields;
use super::{Applet, ReadyKey, Session, Worked, state, write_all};
use crate::code::Code;
use crate::ec::{self, Curve};
use crate::limits::DIGEST_BYTES_MIN;
use crate::metadata::{self, USAGE_BITS};
use crate::objects::{Kind, Object};
use crate::timing;

/// Usage: sign a challenge or a TLS handshake.
pub(super) const AUTHENTICATE: u8 = 0x01;
/// Usage: sign anything.
pub(super) const SIGN: u8 = 0x10;
/// Usage: agree on a secret.
pub(super) const AGREE: u8 = 0x20;

/// ECDSA as in FIPS 186-3, over a digest that the host has made.
const ECDSA: u8 = 0x11;

impl Applet {
    pub(super) fn generate(&mut self, param: u8, data: &[u8], out: &mut Vec<u8>) -> Worked {
        let curve = Curve::from_wire(param).ok_or(Code::InvalidParam)?;
        let mut fields = Fields::parse(data)?;
        if let Some(export) = fields.take(0x07) {
            fields.finish()?;
            if !export.is_empty() {
                return Err(Code::InvalidField);
            }
            self.export_pair(curve, out)?;
        } else {
            let (oid, usage) = (fields.require_u16(0x01)?, fields.require_u8(0x02)?);
            fields.finish()?;
            if usage == 0 || usage & !USAGE_BITS != 0 {
                return Err(Code::InvalidField);
            }
            self.store_pair(curve, oid, usage, out)?;
        }
        self.counters.key_generations += 1;
        Ok(timing::GENERATE_US)
    }

    fn export_pair(&mut self, curve: Curve, out: &mut Vec<u8>) -> Result<(), Code> {
        let generated = ec::generate(curve).ok_or(Code::Internal)?;
        let scalar = generated.stored.get(..curve.bytes()).ok_or(Code::Internal)?;
        out.extend_from_slice(&[0x01, 0, (scalar.len() + 2) as u8, 0x04, scalar.len() as u8]);
        out.extend_from_slice(scalar);
        push_public_key(out, ec::point(curve, &generated.stored));
        Ok(())
    }

    fn store_pair(&mut self, curve: Curve, oid: u16, usage: u8, out: &mut Vec<u8>) -> Result<(), Code> {
        let object = self.object(oid)?;
        match object.kind {
            Kind::Key => self.permits(object, metadata::CHANGE)?,
            Kind::Session => {}
            _ => return Err(Code::InvalidOid),
        }
        let ec::Generated { pair, stored } = ec::generate(curve).ok_or(Code::Internal)?;
        push_public_key(out, ec::point(curve, &stored));
        if object.kind == Kind::Session {
            *self.session(oid).ok_or(Code::InvalidOid)? =
                Some(Box::new(Session::Key { curve, usage, stored }));
            return Ok(());
        }
        let life_cycle = self.memory.view(object).life_cycle;
        self.commit(&[
            write_all(oid, &stored),
            state(oid, life_cycle, curve.to_wire(), usage),
        ])?;
        self.ready_key = Some(Box::new(ReadyKey {
            oid,
            pair,
            loaded: false,
        }));
        Ok(())
    }

    pub(super) fn sign(&mut self, param: u8, data: &[u8], out: &mut Vec<u8>, now_us: u64) -> Worked {
        if param != ECDSA {
            return Err(Code::InvalidParam);
        }
        let mut fields = Fields::parse(data)?;
        let (digest, oid) = (fields.require(0x01)?, fields.require_u16(0x03)?);
        fields.finish()?;
        let object = self.key_object(oid)?;
        let curve = self.usable_key(object, AUTHENTICATE | SIGN)?;
        if !(DIGEST_BYTES_MIN..=curve.bytes()).contains(&digest.len()) {
            return Err(Code::InvalidField);
        }
        let delay_us = self.count_key_use(object, now_us)?;
        let integers = if object.kind == Kind::Key {
            self.sign_ready(object, curve, digest)?
        } else {
            self.with_key(object, |curve, stored| {
                ec::sign(&ec::load(curve, stored)?, curve, digest)
            })?
        };
        out.extend_from_slice(&integers);
        self.counters.signatures += 1;
        Ok(delay_us + timing::SIGN_US)
    }

    /// Signs with a key of the memory, which is loaded only if it is not ready.
    fn sign_ready(&mut self, object: &'static Object, curve: Curve, digest: &[u8]) -> Result<Vec<u8>, Code> {
        let ready = self.ready_key.take().filter(|ready| ready.oid == object.oid);
        let ready = match ready {
            Some(ready) => ready,
            None => Box::new(ReadyKey {
                oid: object.oid,
                pair: self.with_key(object, ec::load)?,
                loaded: true,
            }),
        };
        let integers = ec::sign(&ready.pair, curve, digest).ok_or(Code::Internal);
        self.ready_key = Some(ready).filter(|ready| ready.loaded);
        integers
    }

    /// An object that can hold a private key.
    pub(super) fn key_object(&mut self, oid: u16) -> Result<&'static Object, Code> {
        let object = self.object(oid)?;
        if matches!(object.kind, Kind::Key | Kind::Session) {
            Ok(object)
        } else {
            Err(Code::InvalidOid)
        }
    }

    /// The curve of the key in an object, if it may be used for one of these.
    pub(super) fn usable_key(&mut self, object: &'static Object, usages: u8) -> Result<Curve, Code> {
        self.permits(object, metadata::EXECUTE)?;
        let (curve, usage) = match self.session(object.oid) {
            Some(session) => match session.as_deref() {
                Some(Session::Key { curve, usage, .. }) => (*curve, *usage),
                _ => return Err(Code::InvalidOid),
            },
            None => {
                let view = self.memory.view(object);
                (
                    Curve::from_wire(view.algorithm).ok_or(Code::InvalidOid)?,
                    view.usage,
                )
            }
        };
        if usage & usages == 0 {
            Err(Code::Usage)
        } else {
            Ok(curve)
        }
    }

    /// Works with the private key of an object.
    pub(super) fn with_key<T>(
        &mut self,
        object: &'static Object,
        work: impl FnOnce(Curve, &[u8]) -> Option<T>,
    ) -> Result<T, Code> {
        let done = match self.session(object.oid) {
            Some(session) => match session.as_deref() {
                Some(Session::Key { curve, stored, .. }) => work(*curve, stored),
                _ => None,
            },
            None => {
                let view = self.memory.view(object);
                Curve::from_wire(view.algorithm).and_then(|curve| work(curve, view.content))
            }
        };
        done.ok_or(Code::Internal)
    }
}

fn push_public_key(out: &mut Vec<u8>, point: &[u8]) {
    out.extend_from_slice(&[0x02, 0, (point.len() + 3) as u8]);
    ec::push_bit_string(out, point);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::applet::tests::{Bench, hex};
    use crate::objects::oid;
    use crate::personality::{Behaviour, Settings};
    use crate::timing::Timing;

    const DIGEST: &str = "01 0020 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F";

    fn point(response: &[u8]) -> Vec<u8> {
        ec::read_bit_string(&response[3..]).unwrap().to_vec()
    }

    #[test]
    fn a_key_is_born_signs_and_is_described() {
        for (param, algorithm, curve, oid) in [
            ("03", "03", Curve::P256, "E0F1"),
            ("04", "04", Curve::P384, "E0F2"),
            ("03", "03", Curve::P256, "E100"),
        ] {
            let mut bench = Bench::new();
            let first = point(&bench.data(&format!("38 {param} 0009 01 0002 {oid} 02 0001 13")));
            let metadata = hex(&bench.data(&format!("01 01 0002 {oid}")));
            assert!(
                metadata.ends_with(&format!("E001{algorithm}E10113")),
                "{metadata}"
            );
            let digest: Vec<u8> = (0..32).collect();
            // The first signature uses the key as it was made, the second as it was stored, the third as it was loaded.
            for _ in 0..3 {
                let signature = bench.data(&format!("31 11 0028 {DIGEST} 03 0002 {oid}"));
                assert!(ec::verifies(curve, &first, &digest, &signature));
            }
            let second = point(&bench.data(&format!("38 {param} 0009 01 0002 {oid} 02 0001 10")));
            let signature = bench.data(&format!("31 11 0028 03 0002 {oid} {DIGEST}"));
            assert!(ec::verifies(curve, &second, &digest, &signature));
            assert!(!ec::verifies(curve, &first, &digest, &signature));
            assert_eq!(
                (
                    bench.applet.counters.signatures,
                    bench.applet.counters.key_generations
                ),
                (4, 2)
            );
        }
    }

    #[test]
    fn signatures_that_are_refused() {
        let mut bench = Bench::new();
        bench.data("38 03 0009 01 0002 E0F1 02 0001 10");
        bench.data("38 03 0009 01 0002 E0F2 02 0001 20");
        bench.data("38 03 0009 01 0002 E0F3 02 0001 01");
        bench.data(&format!("31 11 0028 {DIGEST} 03 0002 E0F3"));
        bench.data(&format!("31 11 0028 {DIGEST} 03 0002 E0F0"));
        let refused = bench.applet.counters;
        bench.no(&format!("31 11 0028 {DIGEST} 03 0002 E0F2"), Code::Usage);
        bench.no(&format!("31 11 0028 {DIGEST} 03 0002 E100"), Code::InvalidOid);
        bench.no(&format!("31 11 0028 {DIGEST} 03 0002 E0E1"), Code::InvalidOid);
        bench.no(&format!("31 12 0028 {DIGEST} 03 0002 E0F1"), Code::InvalidParam);
        bench.no(&format!("31 11 0023 {DIGEST}"), Code::InvalidField);
        bench.no(
            &format!("31 11 002B {DIGEST} 03 0002 E0F1 04 0000"),
            Code::InvalidField,
        );
        bench.no(
            "31 11 0011 01 0009 010203040506070809 03 0002 E0F1",
            Code::InvalidField,
        );
        bench.no(
            &format!("31 11 0029 01 0021 00 {} 03 0002 E0F1", &DIGEST[8..]),
            Code::InvalidField,
        );
        bench.ok("02 01 0009 E0F1 0000 20 03 D3 01 FF", "");
        bench.no(&format!("31 11 0028 {DIGEST} 03 0002 E0F1"), Code::AccessDenied);
        assert_eq!(bench.applet.counters.signatures, refused.signatures);
    }

    #[test]
    fn generations_that_are_refused() {
        let mut bench = Bench::new();
        bench.no("38 03 0009 01 0002 E0F0 02 0001 10", Code::AccessDenied);
        bench.no("38 03 0009 01 0002 E0E1 02 0001 10", Code::InvalidOid);
        bench.no("38 05 0009 01 0002 E0F1 02 0001 10", Code::InvalidParam);
        bench.no("38 03 0009 01 0002 E0F1 02 0001 00", Code::InvalidField);
        bench.no("38 03 0009 01 0002 E0F1 02 0001 40", Code::InvalidField);
        bench.no("38 03 0005 01 0002 E0F1", Code::InvalidField);
        bench.no("38 03 0004 07 0001 00", Code::InvalidField);
        bench.data("38 03 0009 01 0002 E0F1 02 0001 10");
        bench.ok("02 01 0009 E0F1 0000 20 03 C0 01 07", "");
        bench.no("38 03 0009 01 0002 E0F1 02 0001 10", Code::AccessDenied);
        bench.data(&format!("31 11 0028 {DIGEST} 03 0002 E0F1"));
        assert_eq!(bench.applet.counters.key_generations, 1);
    }

    #[test]
    fn an_exported_pair_belongs_together() {
        for (param, curve) in [("03", Curve::P256), ("04", Curve::P384)] {
            let mut bench = Bench::new();
            let pair = bench.data(&format!("38 {param} 0003 07 0000"));
            let scalar = &pair[5..5 + curve.bytes()];
            let stored = ec::store_scalar(curve, scalar).unwrap();
            assert_eq!(ec::point(curve, &stored), point(&pair[5 + curve.bytes()..]));
        }
    }

    #[test]
    fn the_usage_of_a_key_can_be_changed_until_it_is_operational() {
        let mut bench = Bench::new();
        bench.data("38 03 0009 01 0002 E0F1 02 0001 20");
        bench.no(&format!("31 11 0028 {DIGEST} 03 0002 E0F1"), Code::Usage);
        bench.ok("02 01 0009 E0F1 0000 20 03 E1 01 10", "");
        bench.data(&format!("31 11 0028 {DIGEST} 03 0002 E0F1"));
        bench.ok("02 01 0009 E0F1 0000 20 03 C0 01 07", "");
        bench.no("02 01 0009 E0F1 0000 20 03 E1 01 20", Code::AccessDenied);
    }

    #[test]
    fn the_security_monitor_counts_keys_of_the_chip_and_delays_from_128_on() {
        let behaviour = Behaviour {
            timing: Timing::Virtual,
            ..Behaviour::default()
        };
        let mut bench = Bench::closed(Settings {
            behaviour,
            ..Settings::default()
        });
        bench.open();
        bench.data("38 03 0009 01 0002 E0F1 02 0001 10");
        bench.data("38 03 0009 01 0002 E100 02 0001 10");
        bench.data(&format!("31 11 0028 {DIGEST} 03 0002 E100"));
        bench.ok("01 00 0002 E0C5", "00");
        let work_us = |bench: &mut Bench| {
            let command = crate::applet::tests::unhex(&format!("31 11 0028 {DIGEST} 03 0002 E0F1"));
            bench.applet.execute(&command, &mut vec![], bench.now_us)
        };
        for _ in 0..128 {
            assert_eq!(work_us(&mut bench), timing::SIGN_US);
        }
        bench.ok("01 00 0002 E0C5", "80");
        assert!(work_us(&mut bench) > timing::SIGN_US);
        // It outlives a reset, and time heals it.
        bench.applet.reset(bench.now_us);
        bench.open();
        bench.ok("01 00 0002 E0C5", "81");
        bench.now_us += 5_000_000 * 0x80;
        bench.ok("01 00 0002 E0C5", "01");
        assert_eq!(work_us(&mut bench), timing::SIGN_US);
    }

    #[test]
    fn the_monitor_is_off_without_time() {
        let mut bench = Bench::new();
        for _ in 0..10 {
            bench.data(&format!("31 11 0028 {DIGEST} 03 0002 E0F0"));
        }
        bench.ok("01 00 0002 E0C5", "00");
        assert!(!bench.applet.memory.touched(oid::EVENT_COUNTER));
    }
}
