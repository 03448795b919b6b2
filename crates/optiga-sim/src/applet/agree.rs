//! CalcSSec and DeriveKey: a shared secret by ECDH (SP 800-56A), and keys from a secret by the TLS 1.2 PRF (RFC 5246, 5).
//!
//! The chip does not know a label: what it derives from is label and seed, put together by the host.

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::fields::{Fields, u16_of};
use super::keys::AGREE;
use super::{Applet, Session, Worked};
use crate::code::Code;
use crate::ec::{self, Curve};
use crate::limits::{DERIVATION_BYTES, DERIVED_EXPORTED_BYTES, DERIVED_STORED_BYTES, SECRET_BYTES_MAX};
use crate::metadata;
use crate::objects::Kind;
use crate::timing;

/// The one scheme that each of the two commands has.
const SCHEME: u8 = 0x01;

/// Where a result goes.
enum Destination {
    Export,
    Session(u16),
}

impl Destination {
    fn parse(fields: &mut Fields<'_>) -> Result<Self, Code> {
        match (fields.take(0x07), fields.take(0x08)) {
            (Some([]), None) => Ok(Self::Export),
            (None, Some(oid)) => Ok(Self::Session(u16_of(oid)?)),
            _ => Err(Code::InvalidField),
        }
    }
}

impl Applet {
    pub(super) fn agree(&mut self, param: u8, data: &[u8], out: &mut Vec<u8>, now_us: u64) -> Worked {
        if param != SCHEME {
            return Err(Code::InvalidParam);
        }
        let mut fields = Fields::parse(data)?;
        let (oid, algorithm) = (fields.require_u16(0x01)?, fields.require_u8(0x05)?);
        let peer = ec::read_bit_string(fields.require(0x06)?).ok_or(Code::InvalidField)?;
        let destination = Destination::parse(&mut fields)?;
        fields.finish()?;
        let object = self.key_object(oid)?;
        let curve = self.usable_key(object, AGREE)?;
        if Curve::from_wire(algorithm) != Some(curve) || !ec::is_on_curve(curve, peer) {
            return Err(Code::InvalidField);
        }
        let delay_us = self.count_key_use(object, now_us)?;
        let secret = self.with_key(object, |curve, stored| ec::agree(curve, stored, peer))?;
        self.deliver(destination, secret, out)?;
        Ok(delay_us + timing::AGREE_US)
    }

    pub(super) fn derive(&mut self, param: u8, data: &[u8], out: &mut Vec<u8>) -> Worked {
        if param != SCHEME {
            return Err(Code::InvalidParam);
        }
        let mut fields = Fields::parse(data)?;
        let (oid, seed, length) = (
            fields.require_u16(0x01)?,
            fields.require(0x02)?,
            fields.require_u16(0x03)?,
        );
        let destination = Destination::parse(&mut fields)?;
        fields.finish()?;
        let lengths = match destination {
            Destination::Export => DERIVED_EXPORTED_BYTES,
            Destination::Session(_) => DERIVED_STORED_BYTES,
        };
        if !DERIVATION_BYTES.contains(&seed.len()) || !lengths.contains(&length) {
            return Err(Code::InvalidField);
        }
        let derived = expand(&self.secret(oid)?, seed, usize::from(length));
        self.deliver(destination, derived, out)?;
        Ok(timing::DERIVE_US)
    }

    /// A secret in a session, or (since product version 1.30) in a data object that allows its use.
    fn secret(&mut self, oid: u16) -> Result<Zeroizing<Vec<u8>>, Code> {
        let object = self.object(oid)?;
        if let Some(session) = self.session(oid) {
            return match session.as_deref() {
                Some(Session::Secret(secret)) => Ok(secret.clone()),
                _ => Err(Code::InvalidOid),
            };
        }
        if object.kind != Kind::Data || !self.personality.settings.firmware.derives_from_objects() {
            return Err(Code::InvalidOid);
        }
        let view = self.memory.view(object);
        if view.content.is_empty() || view.content.len() > SECRET_BYTES_MAX {
            return Err(Code::InvalidField);
        }
        if metadata::condition(view.conditions, metadata::EXECUTE).is_some() {
            self.permits(object, metadata::EXECUTE)?;
        }
        Ok(Zeroizing::new(self.memory.view(object).content.to_vec()))
    }

    fn deliver(
        &mut self,
        destination: Destination,
        secret: Zeroizing<Vec<u8>>,
        out: &mut Vec<u8>,
    ) -> Result<(), Code> {
        match destination {
            Destination::Export => out.extend_from_slice(&secret),
            Destination::Session(oid) => {
                *self.session(oid).ok_or(Code::InvalidOid)? = Some(Box::new(Session::Secret(secret)));
            }
        }
        Ok(())
    }
}

/// P_SHA256 of RFC 5246, 5.
fn expand(secret: &[u8], seed: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut out = Zeroizing::new(Vec::with_capacity(length + 32));
    let mut a = hmac::sign(&key, seed);
    while out.len() < length {
        let mut block = hmac::Context::with_key(&key);
        block.update(a.as_ref());
        block.update(seed);
        out.extend_from_slice(block.sign().as_ref());
        a = hmac::sign(&key, a.as_ref());
    }
    out.truncate(length);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::applet::tests::{Bench, hex, unhex};

    const SECRET: &str = "DAFE7261189D93AD2DB77918DB7AED128EE491F7454BF5F5EDC6D016D56FDB3D";
    const SEED: &str = "61C7DEF90FD5CD7A8B7A364104E00D823846BFB770EEBF8F40252E0A2142AF9C";

    #[test]
    fn derived_keys_are_the_known_ones() {
        let mut bench = Bench::new();
        bench.ok(&format!("02 40 0024 F1D0 0000 {SECRET}"), "");
        let derive = |seed: &str, length: &str| {
            let data = format!(
                "01 0002 F1D0 02 {:04X} {seed} 03 0002 {length} 07 0000",
                seed.len() / 2
            );
            let bytes = data.replace(' ', "").len() / 2;
            format!("34 01 {bytes:04X} {data}")
        };
        bench.ok(&derive(SEED, "0010"), "7BF9FCA0F3D7EEB7E30C366DE9967457");
        bench.ok(
            &derive(SEED, "0028"),
            "7BF9FCA0F3D7EEB7E30C366DE99674578D9C5D44985C5DE2540D18C86DB51F0CD57FB525C51C0C16",
        );
        let labelled = format!("{}{SEED}", hex(b"Firmware update"));
        bench.ok(&derive(&labelled, "0010"), "FCC80ED89C5B95CF29E6EBDAF337FF11");
        bench.no(&derive(SEED, "000F"), Code::InvalidField);
        bench.no(&derive(SEED, "0101"), Code::InvalidField);
        bench.no(&derive("01020304050607", "0010"), Code::InvalidField);
        bench.ok("02 01 0009 F1D0 0000 20 03 D3 01 FF", "");
        bench.no(&derive(SEED, "0010"), Code::AccessDenied);
        bench.ok(&format!("02 40 0045 F1D1 0000 {}", "AA".repeat(65)), "");
        bench.no(&derive(SEED, "0010").replace("F1D0", "F1D1"), Code::InvalidField);
        bench.no(&derive(SEED, "0010").replace("F1D0", "F1D2"), Code::InvalidField);
        bench.no(&derive(SEED, "0010").replace("F1D0", "E0E8"), Code::InvalidOid);
        bench.no(&derive(SEED, "0010").replace("F1D0", "E100"), Code::InvalidOid);
    }

    #[test]
    fn two_chips_agree_and_derive_the_same_key() {
        let (mut one, mut two) = (Bench::new(), Bench::new());
        let ones = hex(&one.data("38 03 0009 01 0002 E100 02 0001 20")[3..]);
        let twos = hex(&two.data("38 03 0009 01 0002 E0F1 02 0001 20")[3..]);
        let secret = one.data(&format!(
            "33 01 0053 01 0002 E100 05 0001 03 06 0044 {twos} 07 0000"
        ));
        assert_eq!(secret.len(), 32);
        assert_eq!(
            two.data(&format!(
                "33 01 0053 01 0002 E0F1 05 0001 03 06 0044 {ones} 07 0000"
            )),
            secret
        );
        // The secret takes the place of the key.
        one.ok(
            &format!("33 01 0055 01 0002 E100 05 0001 03 06 0044 {twos} 08 0002 E100"),
            "",
        );
        one.no(
            &format!("33 01 0053 01 0002 E100 05 0001 03 06 0044 {twos} 07 0000"),
            Code::InvalidOid,
        );
        let derived = one.data(&format!(
            "34 01 0030 01 0002 E100 02 0020 {SEED} 03 0002 0010 07 0000"
        ));
        assert_eq!(derived, expand(&secret, &unhex(SEED), 16)[..]);
        one.ok(
            &format!("34 01 0032 01 0002 E100 02 0020 {SEED} 03 0002 0030 08 0002 E101"),
            "",
        );
        one.no(
            &format!("34 01 0032 01 0002 E100 02 0020 {SEED} 03 0002 0031 08 0002 E101"),
            Code::InvalidField,
        );
        one.no(
            &format!("34 01 0032 01 0002 E100 02 0020 {SEED} 03 0002 0030 08 0002 F1D0"),
            Code::InvalidOid,
        );
    }

    #[test]
    fn agreements_that_are_refused() {
        let mut bench = Bench::new();
        let peer = hex(&bench.data("38 03 0009 01 0002 E0F1 02 0001 10")[3..]);
        bench.data("38 03 0009 01 0002 E0F2 02 0001 20");
        let command = |oid: &str, algorithm: &str, peer: &str| {
            format!("33 01 0053 01 0002 {oid} 05 0001 {algorithm} 06 0044 {peer} 07 0000")
        };
        assert_eq!(bench.data(&command("E0F2", "03", &peer)).len(), 32);
        bench.no(&command("E0F1", "03", &peer), Code::Usage);
        bench.no(&command("E0F3", "03", &peer), Code::InvalidOid);
        bench.no(&command("E0F2", "04", &peer), Code::InvalidField);
        let off_curve = format!("{}00", &peer[..peer.len() - 2]);
        bench.no(&command("E0F2", "03", &off_curve), Code::InvalidField);
        bench.no(
            &command("E0F2", "03", &peer).replace("33 01", "33 02"),
            Code::InvalidParam,
        );
        bench.no("34 02 0000", Code::InvalidParam);
    }
}
