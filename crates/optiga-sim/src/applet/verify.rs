//! VerifySign: a signature checked with a key that the host brings, or with a certificate in the chip.

use identity::certificate::Certificate;
use identity::extension::KeyUsage;
use identity::key::{Curve as KeyCurve, KeyKind};
use identity::name::{AttributeKind, Name};

use super::fields::{Fields, u16_of};
use super::{Applet, Worked};
use crate::code::Code;
use crate::ec::{self, Curve};
use crate::limits::{CERTIFICATE_BYTES_MAX, DIGEST_BYTES_MIN};
use crate::metadata;
use crate::objects::Kind;
use crate::timing;

const ECDSA: u8 = 0x11;

impl Applet {
    pub(super) fn verify(&mut self, param: u8, data: &[u8]) -> Worked {
        if param != ECDSA {
            return Err(Code::InvalidParam);
        }
        let mut fields = Fields::parse(data)?;
        let (digest, signature) = (fields.require(0x01)?, fields.require(0x02)?);
        let (curve, point) = match fields.take(0x04) {
            Some(oid) => self.certificate_key(u16_of(oid)?)?,
            None => host_key(&mut fields)?,
        };
        fields.finish()?;
        if !(DIGEST_BYTES_MIN..=curve.bytes()).contains(&digest.len()) {
            return Err(Code::InvalidField);
        }
        if ec::verifies(curve, &point, digest, signature) {
            Ok(timing::VERIFY_US)
        } else {
            Err(Code::BadSignature)
        }
    }

    fn certificate_key(&mut self, oid: u16) -> Result<(Curve, Vec<u8>), Code> {
        let object = self.object(oid)?;
        if object.kind != Kind::Certificate {
            return Err(Code::InvalidOid);
        }
        self.permits(object, metadata::EXECUTE)?;
        let der = self.memory.view(object).content;
        // A TLS identity begins with C0: the chip does not look into it.
        if der.first() != Some(&0x30) {
            return Err(Code::CertificateFormat);
        }
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(Code::CertificateUnsupported);
        }
        let certificate = Certificate::parse(der).map_err(|_| Code::CertificateFormat)?;
        let signs = certificate.key_usage().is_some_and(|usage| {
            usage.contains(KeyUsage::DIGITAL_SIGNATURE) || usage.contains(KeyUsage::KEY_CERT_SIGN)
        });
        if !signs {
            return Err(Code::Usage);
        }
        let curve = match certificate.public_key().kind() {
            KeyKind::Ec(KeyCurve::P256) => Curve::P256,
            KeyKind::Ec(KeyCurve::P384) => Curve::P384,
            _ => return Err(Code::CertificateUnsupported),
        };
        if !has_plain_names(certificate.issuer()) || !has_plain_names(certificate.subject()) {
            return Err(Code::CertificateUnsupported);
        }
        let point = certificate
            .public_key()
            .ec_point()
            .ok_or(Code::CertificateUnsupported)?;
        Ok((curve, point.to_vec()))
    }
}

fn host_key(fields: &mut Fields<'_>) -> Result<(Curve, Vec<u8>), Code> {
    let curve = Curve::from_wire(fields.require_u8(0x05)?).ok_or(Code::InvalidField)?;
    let point = ec::read_bit_string(fields.require(0x06)?).ok_or(Code::InvalidField)?;
    if ec::is_on_curve(curve, point) {
        Ok((curve, point.to_vec()))
    } else {
        Err(Code::InvalidField)
    }
}

/// The chip reads only attributes under joint-iso-itu-t: an e-mail address breaks it (Trust X Release Notes v1.60, 2.8).
fn has_plain_names(name: &Name) -> bool {
    name.attributes().iter().all(|(kind, _)| match kind {
        AttributeKind::Other(oid) => oid.content().first().is_some_and(|first| *first >= 80),
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::applet::tests::{Bench, hex};

    const DIGEST: &str = "01 000A 00010203040506070809";

    fn field(tag: &str, value: &[u8]) -> String {
        format!("{tag} {:04X} {}", value.len(), hex(value))
    }

    fn command(code: &str, fields: &[String]) -> String {
        let data = fields.concat().replace(' ', "");
        format!("{code} {:04X} {data}", data.len() / 2)
    }

    #[test]
    fn a_host_key_verifies_its_own_signature() {
        let mut bench = Bench::new();
        let generated = bench.data("38 03 0009 01 0002 E0F1 02 0001 10");
        let (key, signature) = (
            &generated[3..],
            bench.data(&format!("31 11 0012 {DIGEST} 03 0002 E0F1")),
        );
        let [digest, signature] = [DIGEST.to_string(), field("02", &signature)];
        let (p256, key_field) = ("05 0001 03".to_string(), field("06", key));
        let mut check = |fields: &[String], expected: Result<(), Code>| {
            let command = command("32 11", fields);
            match expected {
                Ok(()) => bench.ok(&command, ""),
                Err(code) => bench.no(&command, code),
            }
        };
        check(
            &[digest.clone(), signature.clone(), p256.clone(), key_field.clone()],
            Ok(()),
        );
        let other = "01 000A 00010203040506070800".to_string();
        check(
            &[other, signature.clone(), p256.clone(), key_field.clone()],
            Err(Code::BadSignature),
        );
        let p384 = "05 0001 04".to_string();
        check(
            &[digest.clone(), signature.clone(), p384, key_field.clone()],
            Err(Code::InvalidField),
        );
        check(
            &[digest.clone(), signature.clone(), p256.clone()],
            Err(Code::InvalidField),
        );
        let mut off_curve = key.to_vec();
        off_curve[10] ^= 1;
        check(
            &[
                digest.clone(),
                signature.clone(),
                p256.clone(),
                field("06", &off_curve),
            ],
            Err(Code::InvalidField),
        );
        check(
            &[digest, field("02", &[0x02, 1, 1]), p256, key_field],
            Err(Code::BadSignature),
        );
    }

    #[test]
    fn a_certificate_verifies_if_it_is_a_bare_one_that_may_sign() {
        let mut bench = Bench::new();
        let identity = bench.data("01 00 0002 E0E0");
        let signature = bench.data(&format!("31 11 0012 {DIGEST} 03 0002 E0F0"));
        let verify = |oid: &str| {
            let fields = [
                DIGEST.to_string(),
                field("02", &signature),
                format!("04 0002 {oid}"),
            ];
            command("32 11", &fields)
        };
        bench.no(&verify("E0E0"), Code::CertificateFormat);
        bench.no(&verify("E0E1"), Code::CertificateFormat);
        bench.no(&verify("F1D0"), Code::InvalidOid);
        let der = &identity[9..];
        bench.ok(&format!("02 40 {:04X} E0E8 0000 {}", der.len() + 4, hex(der)), "");
        bench.ok(&verify("E0E8"), "");
        // One byte more is not the certificate any more.
        bench.ok(&format!("02 00 0005 E0E8 {:04X} 00", der.len()), "");
        bench.no(&verify("E0E8"), Code::CertificateFormat);
        bench.ok(&format!("02 40 0579 E0E1 0000 30 {}", "00".repeat(1396)), "");
        bench.no(&verify("E0E1"), Code::CertificateUnsupported);
    }
}
